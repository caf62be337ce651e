import CTensorFlow
import FNESupport
import Glibc

/// Captures the lines that TensorFlow logs while its library is loaded. TensorFlow logs through the library Abseil,
/// which at that time writes every line to the standard error, whatever TF_CPP_MIN_LOG_LEVEL says. So the standard
/// error is held back during the load. Lines in Abseil's format go to the log. All others are written to the standard
/// error afterwards.
enum LoadingLog {
    typealias Line = (level: Log.Level, text: String)

    /// Runs the body. Returns its result, and the lines in Abseil's format that it wrote to the standard error.
    static func capture<Loaded>(_ load: () throws -> Loaded) -> (Result<Loaded, any Error>, [Line]) {
        var saved: Int32 = -1
        let file = ctf_begin_capture(&saved)
        let result = Result { try load() }
        guard file >= 0 else { return (result, []) }
        defer { close(file) }
        ctf_end_capture(saved)
        return (result, lines(of: file))
    }

    private static func lines(of file: Int32) -> [Line] {
        var bytes: [UInt8] = []
        var block = [UInt8](repeating: 0, count: 4_096)
        lseek(file, 0, SEEK_SET)
        while bytes.count < 1 << 20 {
            let count = read(file, &block, block.count)
            guard count > 0 else { break }
            bytes += block[..<count]
        }
        return bytes.split(separator: 0x0a).compactMap { line in
            if let parsed = parse(String(decoding: line, as: UTF8.self)) { return parsed }
            if !line.starts(with: "WARNING: All log messages before absl::InitializeLog()".utf8) {
                let text = Array(line) + [0x0a]
                _ = write(STDERR_FILENO, text, text.count)
            }
            return nil
        }
    }

    /// Reads a line in Abseil's format, which begins with the level and the date, such as
    /// "I0000 00:00:1700000000.000000    1234 port.cc:153] text". Nil for any other line.
    static func parse(_ line: String) -> Line? {
        let levels: [Character: Log.Level] = ["I": .info, "W": .warning, "E": .error, "F": .error]
        guard let first = line.first, let level = levels[first], line.dropFirst().prefix(4).allSatisfy(\.isNumber),
            let end = line.firstIndex(of: "]")
        else { return nil }
        return (level, String(line[line.index(after: end)...].drop { $0 == " " }))
    }
}

import FNESupport
import Glibc

/// A line of `runs.jsonl`. Each run of a job writes one, unless it was killed: when it began, how long it took and how
/// it ended. This is the only file that differs between two equal jobs.
struct RunRecord {
    private let begun: String
    private let start = monotonicSeconds()
    private let firstImage: Int

    init(from firstImage: Int) {
        self.firstImage = firstImage
        var (now, parts) = (time(nil), tm())
        gmtime_r(&now, &parts)
        var text = [CChar](repeating: 0, count: 32)
        strftime(&text, text.count, "%Y-%m-%dT%H:%M:%SZ", &parts)
        begun = String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// Appends the line to the file. Errors are ignored, since the record is no part of the results.
    func append(to path: FilePath, until image: Int, _ outcome: String) {
        let seconds = ((monotonicSeconds() - start) * 1_000).rounded() / 1_000
        let line = JSON.object([
            "begun": .text(begun), "seconds": .number(seconds), "images": .integer(image - firstImage),
            "outcome": .text(outcome),
        ]).line()
        guard let file = try? File(path, .writing), let size = try? file.size() else { return }
        try? file.write(line, at: size)
    }
}

/// Seconds of a clock that is never set back.
func monotonicSeconds() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
}

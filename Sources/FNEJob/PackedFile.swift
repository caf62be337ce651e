import FNECodes
import FNENetwork
import FNESupport

/// Packed codes in a .npy file, and what they mean in a .json file beside it (docs/codes.md). A file that is read may
/// come from others. Its size and its header must be those that the .json file tells of, together with the rows.
package final class PackedFile {
    /// The number of codes.
    package let rows: Int
    /// The number of features of a code.
    package let features: Int
    /// The layers of the columns; nil where they are not known.
    package let layers: [Layer]?

    private let words: NumPyFile

    private static let (format, version) = ("fne-packed-codes", 1)

    /// Opens saved codes.
    ///
    /// - Parameter path: the .npy file. The ending may be left out.
    /// - Throws: `.invalidData` where a file is damaged, or of another version; `.fileError`, `.outOfMemory`.
    package init(_ path: FilePath) throws {
        let (array, beside) = Self.files(path)
        (features, layers) = try Self.meaning(of: Self.facts(beside), in: beside)
        rows = try Self.rows(in: array, words: PackedCodes.words(features: features))
        words = try NumPyFile(reading: array, .uint64, Self.shape(rows, features))
    }

    /// Reads codes.
    ///
    /// - Parameter codes: receives `count` rows of `PackedCodes.words`
    /// - Throws: `.invalidArgument` for rows that are not there; `.invalidData` where the file was cut off meanwhile;
    ///   `.fileError`.
    package func read(_ first: Int, _ count: Int, into codes: UnsafeMutablePointer<UInt64>) throws {
        guard first >= 0, count >= 0, first <= rows, count <= rows - first else {
            throw FNEError(
                .invalidArgument,
                "\(count) rows from number \(first) on were asked for, and '\(words.file.path)' has \(rows)")
        }
        try words.read(codes, count: count, at: first)
    }

    /// Saves codes. Each of the two files is replaced as a whole.
    ///
    /// - Parameters:
    ///   - codes: `rows` times `PackedCodes.words`. May be nil where there are no rows.
    ///   - path: the .npy file. The ending is added where it is left out.
    /// - Throws: `.invalidArgument` where a layer has columns that the codes do not have; `.fileError`, `.outOfMemory`.
    package static func save(
        _ codes: UnsafePointer<UInt64>?, rows: Int, features: Int, layers: [Layer]?, to path: FilePath
    ) throws {
        for layer in layers ?? [] where layer.features.upperBound > features {
            throw FNEError(
                .invalidArgument,
                "the layer '\(layer.name)' ends with column \(layer.features.upperBound - 1), and the codes have "
                    + "\(features) features")
        }
        let names = (layers ?? []).reduce(0) { $0 + $1.name.utf8.count }
        try Reserve.prepare(checkedProduct(1024, layers?.count ?? 0, of: "the layers") + 32 * names)
        let facts = JSON.object([
            "format": .text(format), "version": .integer(version), "features": .integer(features),
            "layers": layers.map { .array($0.map(\.json)) } ?? .null,
        ])
        let (array, beside) = files(path)
        let text = facts.written()
        try Reserve.check()
        try replace(array, codes, shape(rows, features))
        try File.replace(beside, with: text)
    }

    /// Replaces a .npy file as a whole, since the codes may be a mapping of the former one.
    private static func replace(_ path: FilePath, _ codes: UnsafePointer<UInt64>?, _ shape: [Int]) throws {
        let unfinished = FilePath(bytes: path.text + Array(".new".utf8))
        do {
            let array = try NumPyFile(unfinished, .uint64, shape)
            if let codes { try array.write(codes, count: shape[0], at: 0) }
            try array.file.sync()
        } catch {
            File.remove(unfinished)
            throw error
        }
        try File.move(unfinished, to: path)
    }

    // MARK: The two files

    /// The .npy file, and the .json file beside it.
    private static func files(_ path: FilePath) -> (FilePath, FilePath) {
        let (text, ending) = (path.text, Array(".npy".utf8))
        let name = text[(text.lastIndex(of: UInt8(ascii: "/")).map { $0 + 1 } ?? 0)...]
        let stem =
            name.count > ending.count && name.suffix(ending.count) == ending[...]
            ? Array(text.dropLast(ending.count)) : text
        return (FilePath(bytes: stem + ending), FilePath(bytes: stem + Array(".json".utf8)))
    }

    private static func shape(_ rows: Int, _ features: Int) throws -> [Int] {
        [rows, 2, try PackedCodes.words(features: features) / 2]
    }

    private static func facts(_ path: FilePath) throws -> JSON {
        let text = try File.contents(path)
        do {
            return try JSON(reading: text)
        } catch let error as FNEError {
            throw error.about("'\(path)' is damaged")
        }
    }

    /// The features and the layers that a .json file tells of.
    private static func meaning(of facts: JSON, in path: FilePath) throws -> (Int, [Layer]?) {
        func damaged(_ what: String) -> FNEError {
            FNEError(.invalidData, "'\(path)' is damaged: \(what) is missing or wrong")
        }
        if case .object(let members) = facts, Set(members.map { Array($0.name.utf8) }).count < members.count {
            throw FNEError(.invalidData, "'\(path)' is damaged: a member is there twice")
        }
        guard facts["format"]?.text == format, facts["version"]?.integer == version else {
            throw FNEError(.invalidData, "'\(path)' describes no packed codes of version \(version)")
        }
        guard let features = facts["features"]?.integer, 1...Int(Int32.max) ~= features else {
            throw damaged("features")
        }
        switch facts["layers"] {
        case .null?: return (features, nil)
        case .array(let items)?:
            try Reserve.prepare(checkedProduct(256, items.count, of: "the layers"))
            let layers = try items.map { item in
                guard let layer = Layer(item), layer.features.upperBound <= features else { throw damaged("layers") }
                return layer
            }
            try Reserve.check()
            return (features, layers)
        default: throw damaged("layers")
        }
    }

    /// The number of rows that a .npy file has room for. Its header is compared later.
    private static func rows(in path: FilePath, words: Int) throws -> Int {
        let (size, row) = (try File(path, .reading).size() - NumPyFile.headerSize, words * MemoryLayout<UInt64>.size)
        guard size >= 0, size % row == 0 else {
            throw FNEError(
                .invalidData,
                "'\(path)' is damaged: it has \(size + NumPyFile.headerSize) bytes, which are no header of "
                    + "\(NumPyFile.headerSize) and codes of \(row)")
        }
        return size / row
    }
}

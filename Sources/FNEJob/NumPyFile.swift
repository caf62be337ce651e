import FNESupport

/// A matrix in a .npy file (NumPy's format, version 1.0). Its rows are written and read at places of the caller's
/// choice. The numbers begin at byte 128.
struct NumPyFile {
    /// A type of elements. The text is NumPy's name for it.
    enum Element: String {
        case float32 = "<f4"
        case float64 = "<f8"
        case int8 = "|i1"
        case int32 = "<i4"
        case int64 = "<i8"
        case uint64 = "<u8"

        var size: Int {
            switch self {
            case .int8: 1
            case .float32, .int32: 4
            case .float64, .int64, .uint64: 8
            }
        }
    }

    let file: File
    /// The size of a row in bytes.
    let rowSize: Int

    static let headerSize = 128

    /// The header, filled up with spaces to `headerSize` bytes.
    static func header(_ element: Element, _ shape: [Int]) -> [UInt8] {
        let sizes = shape.map(String.init).joined(separator: ", ") + (shape.count == 1 ? "," : "")
        let text = "{'descr': '\(element.rawValue)', 'fortran_order': False, 'shape': (\(sizes)), }"
        let start: [UInt8] = [0x93] + Array("NUMPY".utf8) + [1, 0, UInt8(headerSize - 10), 0]
        let space = max(headerSize - start.count - text.utf8.count - 1, 0)
        return start + Array(text.utf8) + [UInt8](repeating: UInt8(ascii: " "), count: space) + [UInt8(ascii: "\n")]
    }

    /// Opens or makes a file. The rows of a file that exists stay. The room for all rows is taken from the disk at
    /// once, and what is after it is cut off.
    init(_ path: FilePath, _ element: Element, _ shape: [Int]) throws {
        rowSize = try checkedProduct(of: shape.dropFirst() + [element.size], "a row")
        let size = Self.headerSize + (try checkedProduct(shape.first ?? 0, rowSize, of: "'\(path)'"))
        file = try File(path, .writing)
        try file.reserve(size)
        if try file.size() > size { try file.setSize(size) }
        try file.write(Self.header(element, shape), at: 0)
    }

    /// Opens a file of this type and this shape for reading.
    ///
    /// - Throws: `.invalidData` for another one; `.fileError`.
    init(reading path: FilePath, _ element: Element, _ shape: [Int]) throws {
        rowSize = try checkedProduct(of: shape.dropFirst() + [element.size], "a row")
        file = try File(path, .reading)
        if let difference = try Self.difference(of: file, element, shape) {
            throw FNEError(.invalidData, "'\(path)' \(difference)")
        }
    }

    /// What is wrong with a file that must have this type and this shape; nil for nothing.
    static func difference(of file: File, _ element: Element, _ shape: [Int]) throws -> String? {
        let expected = headerSize + (try checkedProduct(of: shape + [element.size], "'\(file.path)'"))
        let size = try file.size()
        guard size == expected else { return "has \(size) bytes, but the job wrote \(expected)" }
        var found = [UInt8](repeating: 0, count: headerSize)
        try found.withUnsafeMutableBytes { try file.read($0, at: 0) }
        return found == header(element, shape) ? nil : "has a damaged header"
    }

    func write(_ rows: UnsafeRawPointer, count: Int, at row: Int) throws {
        try file.write(
            UnsafeRawBufferPointer(start: rows, count: count * rowSize), at: Self.headerSize + row * rowSize)
    }

    func read(_ rows: UnsafeMutableRawPointer, count: Int, at row: Int) throws {
        try file.read(
            UnsafeMutableRawBufferPointer(start: rows, count: count * rowSize), at: Self.headerSize + row * rowSize)
    }

    /// Reads the rows of images, float32, some megabytes at a time.
    func eachRows(
        of images: Range<Int>, rowsPerImage: Int, _ body: (Range<Int>, UnsafePointer<Float>) throws -> Void
    ) throws {
        let imageSize = try checkedProduct(rowsPerImage, rowSize, of: "rows")
        let atOnce = max(1, (4 << 20) / max(imageSize, 1))
        let buffer = try Bytes(count: checkedProduct(atOnce, imageSize, of: "rows"))
        try buffer.withNumbers(of: Float.self) { rows in
            for first in stride(from: images.lowerBound, to: images.upperBound, by: atOnce) {
                let part = first..<min(first + atOnce, images.upperBound)
                try read(rows, count: part.count * rowsPerImage, at: part.lowerBound * rowsPerImage)
                try body(part, rows)
            }
        }
    }

    /// Writes a small matrix in one piece.
    static func replace(
        _ path: FilePath, _ element: Element, _ shape: [Int], _ values: UnsafeRawBufferPointer
    ) throws -> FileChecksum {
        let header = header(element, shape)
        let bytes = try Bytes(count: header.count + values.count)
        return try bytes.withNumbers(of: UInt8.self) { start in
            let all = UnsafeMutableRawBufferPointer(start: start, count: bytes.count)
            all.copyBytes(from: header)
            UnsafeMutableRawBufferPointer(rebasing: all[header.count...]).copyBytes(from: values)
            try File.replace(path, with: UnsafeRawBufferPointer(all))
            return FileChecksum(UnsafeRawBufferPointer(all))
        }
    }
}

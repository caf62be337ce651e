import FNESupport

/// A matrix of a job, of which the first rows are done. They have a checksum.
final class JobMatrix {
    let name: String
    private let file: NumPyFile
    private let rows: Int
    /// The checksum of the header and of the rows that are done.
    private(set) var checksum: FileChecksum

    /// Opens or makes the file.
    ///
    /// - Parameter checksum: that of the rows that a former run has done; nil where there are none
    init(_ name: String, _ files: JobFiles, _ element: NumPyFile.Element, _ shape: [Int], _ checksum: FileChecksum?)
        throws
    {
        self.name = name
        rows = shape.first ?? 0
        file = try NumPyFile(files.data(name), element, shape)
        self.checksum = checksum ?? Self.checksum(ofNone: element, shape, file.rowSize)
        empty = Self.checksum(ofNone: element, shape, file.rowSize)
    }

    private let empty: FileChecksum

    private static func checksum(ofNone element: NumPyFile.Element, _ shape: [Int], _ rowSize: Int) -> FileChecksum {
        var result = FileChecksum(expecting: NumPyFile.headerSize + (shape.first ?? 0) * rowSize)
        NumPyFile.header(element, shape).withUnsafeBytes { result.update($0) }
        return result
    }

    /// Writes the rows that follow those that are done.
    func append(_ rows: UnsafeRawPointer, count: Int, at row: Int) throws {
        try file.write(rows, count: count, at: row)
        checksum.update(UnsafeRawBufferPointer(start: rows, count: count * file.rowSize))
    }

    /// Writes rows in the place of rows that are done. `count(until:)` must follow.
    func replace(_ rows: UnsafeRawPointer, count: Int, at row: Int) throws {
        try file.write(rows, count: count, at: row)
    }

    /// Reads the rows of images, float32, some megabytes at a time.
    func eachRows(
        of images: Range<Int>, rowsPerImage: Int, _ body: (Range<Int>, UnsafePointer<Float>) throws -> Void
    ) throws {
        try file.eachRows(of: images, rowsPerImage: rowsPerImage, body)
    }

    func sync() throws { try file.file.sync() }

    /// Goes back to a checksum from before rows were appended.
    func goBack(to checksum: FileChecksum) { self.checksum = checksum }

    /// Says that no row is done.
    func restart() { checksum = empty }

    /// Computes the checksum of the first rows anew, from the file.
    func count(until row: Int) throws {
        checksum = try empty.continued(in: file.file, until: NumPyFile.headerSize + row * file.rowSize)
    }

    /// The checksum of the complete file.
    func closed() -> FileChecksum {
        var result = checksum
        result.close()
        return result
    }

    /// The rows, of those that are done, that are not what they were.
    ///
    /// - Parameter progress: is called with the number of bytes that were compared; false cancels
    func damagedRows(_ progress: (Int) -> Bool) throws -> [Range<Int>] {
        rows(of: try checksum.damage(in: file.file, progress: progress))
    }

    /// The rows that have some of the bytes.
    func rows(of bytes: [Range<Int>]) -> [Range<Int>] {
        bytes.map { bytes in
            let first = max(0, bytes.lowerBound - NumPyFile.headerSize) / file.rowSize
            let end = max(0, bytes.upperBound - NumPyFile.headerSize + file.rowSize - 1) / file.rowSize
            return first..<min(max(first, end), rows)
        }
    }

    /// The number of bytes that the checksum covers.
    var byteCount: Int { checksum.count }
}

import FNECodes
import FNESupport

/// What a job's folder holds, for reading: names, statuses, reasons and rows. No file is believed. Its size and its
/// header must be those that the manifest tells of. Rows are read with pread, so a file that is cut off meanwhile is an
/// error, where a mapped one would kill the process.
package final class JobContents {
    /// The matrices whose rows are read.
    package enum Matrix {
        case features, codes, packedCodes

        fileprivate var file: String {
            switch self {
            case .features: JobFiles.features
            case .codes: JobFiles.codes
            case .packedCodes: JobFiles.packedCodes
            }
        }
    }

    private let files: JobFiles
    private let manifest: Manifest
    private let names: Bytes // the names, each with a zero byte after it
    private let starts: [Int]
    private var reasons: [Int: FNEError]?

    /// Reads the manifest and the names.
    ///
    /// - Throws: `.invalidData` where they are not what the job wrote; `.fileError`, `.outOfMemory`.
    package init(of folder: FilePath) throws {
        files = JobFiles(folder: folder)
        manifest = try Manifest(in: folder)
        let path = files.path(JobFiles.list)
        let list = try ImageList(reading: File.contents(path))
        guard list.count == manifest.images.count, list.sha256 == manifest.images.sha256 else {
            throw FNEError(.invalidData, "'\(path)' is damaged: these are not the names that the job was begun with")
        }
        try Reserve.prepare(checkedProduct(2 * MemoryLayout<Int>.stride, list.count, of: "the names"))
        names = try list.bytes.withUnsafeBytes { try Bytes(copying: $0) }
        starts = (0..<list.count).map { list.name($0).startIndex }
        try Reserve.check()
    }

    /// An image's name, which ends with a zero byte. It lives as long as this object.
    ///
    /// - Throws: `.invalidArgument` for an image that the job does not have.
    package func name(_ image: Int) throws -> UnsafePointer<CChar> {
        try check(image, 1, of: starts.count, "images")
        return names.withNumbers(of: CChar.self) { UnsafePointer($0 + starts[image]) }
    }

    /// Why an image could not be embedded; nil for one that is embedded.
    ///
    /// - Throws: `.invalidArgument`, `.invalidData`, `.fileError`, `.outOfMemory`.
    package func reason(_ image: Int) throws -> String? {
        try check(image, 1, of: starts.count, "images")
        try mustBeThere(JobFiles.images)
        let all = try reasons ?? ShardsSource.failures(in: files.folder, manifest)
        reasons = all
        return all[image]?.message
    }

    /// Reads the statuses of images, and compares the file with its checksum.
    ///
    /// - Parameter statuses: receives `count` numbers, 0 where the image is embedded
    /// - Throws: `.invalidArgument`, `.invalidData`, `.fileError`, `.outOfMemory`.
    package func readStatuses(_ first: Int, _ count: Int, into statuses: UnsafeMutablePointer<Int32>) throws {
        try check(first, count, of: starts.count, "images")
        try mustBeThere(JobFiles.status)
        try Verification(files, manifest).check(JobFiles.status, 0..<Int.max)
        try NumPyFile(reading: files.data(JobFiles.status), .int32, [starts.count])
            .read(statuses, count: count, at: first)
    }

    /// The number of elements in a row of a matrix.
    package func width(of matrix: Matrix) throws -> Int {
        let features = try manifest.featureCount()
        return try matrix == .packedCodes ? PackedCodes.words(features: features) : features
    }

    /// Reads rows. They are not compared with their checksums, which `Job.verify` does.
    ///
    /// - Parameter rows: receives `count` rows of `width(of:)` elements
    /// - Throws: `.invalidArgument`, also where the job has no such matrix; `.invalidData`, `.fileError`.
    package func read(_ matrix: Matrix, _ first: Int, _ count: Int, into rows: UnsafeMutableRawPointer) throws {
        try check(first, count, of: manifest.rowCount(), "rows")
        try mustBeThere(matrix.file)
        guard let (element, shape) = try manifest.matrix(matrix.file) else { return }
        try NumPyFile(reading: files.data(matrix.file), element, shape).read(rows, count: count, at: first)
    }

    private func check(_ first: Int, _ count: Int, of all: Int, _ what: String) throws {
        guard first >= 0, count >= 0, first <= all, count <= all - first else {
            throw FNEError(
                .invalidArgument,
                "\(count) \(what) from number \(first) on were asked for, and the job in '\(files.folder)' has \(all)")
        }
    }

    /// Checks that the job has finished a file.
    private func mustBeThere(_ name: String) throws {
        guard manifest.state == .running || !manifest.fileNames(in: manifest.state).contains(name) else { return }
        throw FNEError(
            .invalidArgument,
            manifest.state == .running
                ? "the job in '\(files.folder)' is not finished. Run it to its end"
                : "the job in '\(files.folder)' has no '\(name)'. Its options did not ask for it")
    }
}

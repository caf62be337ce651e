import FNESupport
import Glibc

/// The files of a job's folder. The name of a matrix that is not finished ends in `.part`.
struct JobFiles {
    let folder: FilePath

    static let list = "images.list"
    static let images = "images.jsonl"
    static let features = "features.npy"
    static let status = "status.npy"
    static let stats = "stats.npy"
    static let statistics = "statistics.fne"
    static let codes = "codes.npy"
    static let packedCodes = "codes_packed.npy"
    static let ofCodes = [codes, packedCodes]
    static let runs = "runs.jsonl"
    static let checkpoint = "checkpoint"
    static let formerCheckpoint = "checkpoint.former"
    static let imageFiles = "image_files.npy"
    static let failures = "failures.part"
    static let lock = "lock"
    /// The statistics that the codes are made with, where an update has kept them.
    static let keptStatistics = "codes_statistics.fne"
    /// Where the network and the images were. The manifest does not name it.
    static let places = "places.json"
    /// The folder in which an update makes the new job.
    static let update = "update.part"
    /// What the update in that folder does.
    static let plan = "update.plan"

    static func unfinished(_ name: String) -> String { name + ".part" }

    /// The files that exist only while the job runs.
    private static let temporary = [failures, checkpoint, checkpoint + ".new", formerCheckpoint, lock, places + ".new"]

    func path(_ name: String) -> FilePath { folder.appending(name) }

    /// The path of a matrix, which depends on whether it is finished.
    func data(_ name: String) throws -> FilePath {
        try File.exists(path(name)) ? path(name) : path(Self.unfinished(name))
    }

    /// Waits until a matrix is on the disk, and gives it its final name.
    func finish(_ name: String) throws {
        let unfinished = path(Self.unfinished(name))
        guard try File.exists(unfinished) else { return }
        try File(unfinished, .writing).sync()
        try File.move(unfinished, to: path(name))
    }

    /// Takes the final name from a matrix that is about to change.
    func unfinish(_ name: String) throws {
        guard try File.exists(path(name)) else { return }
        try File.move(path(name), to: path(Self.unfinished(name)))
    }

    func removeTemporary() { for name in Self.temporary { File.remove(path(name)) } }

    /// The files that a run may leave which was killed, or failed, before it wrote its manifest.
    private static let beginnings = [
        ".", "..", lock, list, list + ".new", failures, runs, Manifest.fileName + ".new", unfinished(imageFiles), plan,
    ]

    /// Checks that the folder holds nothing but the beginnings of a job.
    ///
    /// - Throws: `.invalidArgument`, with the name of another file.
    func mustBeFree() throws {
        guard let handle = folder.withCString({ $0.flatMap(opendir) }) else { throw File.error("cannot read", folder) }
        defer { closedir(handle) }
        while true {
            errno = 0
            guard let entry = readdir(handle) else {
                guard errno == 0 else { throw File.error("cannot read", folder) }
                return
            }
            let name = withUnsafeBytes(of: &entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            guard Self.beginnings.contains(name) else {
                throw FNEError(
                    .invalidArgument,
                    "the folder '\(folder)' holds '\(name)' and no job. Name a folder that is empty or does not exist")
            }
        }
    }

    /// The end of the line of an image that was embedded.
    static let goodEnd = Array(", \"status\": 0, \"reason\": null}".utf8)

    /// Writes `images.jsonl`, with one line of JSON per image, such as
    /// {"image": 3, "name": "a/b.jpg", "status": 0, "reason": null}.
    func writeImages(_ list: ImageList, _ failures: Failures) throws -> FileChecksum {
        let unfinished = path(Self.images + ".new")
        let file = try File(unfinished, .writing)
        try file.setSize(0)
        var (lines, written): ([UInt8], Int) = ([], 0)
        var checksum = FileChecksum(expecting: list.bytes.count + list.count * Self.goodEnd.count)
        for image in 0..<list.count {
            lines += "{\"image\": \(image), \"name\": ".utf8
            JSON.write(list.name(image), to: &lines)
            if let failure = failures.byImage[image] {
                lines += ", \"status\": \(failure.status), \"reason\": ".utf8
                JSON.write(failure.reason, to: &lines)
                lines += "}".utf8
            } else {
                lines += Self.goodEnd
            }
            lines.append(UInt8(ascii: "\n"))
            if lines.count > 1 << 20 || image == list.count - 1 {
                try file.write(lines, at: written)
                written += lines.count
                lines.withUnsafeBytes { checksum.update($0) }
                lines.removeAll(keepingCapacity: true)
            }
        }
        try file.sync()
        try File.move(unfinished, to: path(Self.images))
        checksum.close()
        return checksum
    }

    /// Writes `status.npy`, int32 [count], with the status of each image; 0 for an image that was embedded.
    func writeStatus(_ count: Int, _ failures: Failures) throws -> FileChecksum {
        let bytes = try Bytes(zeros: count * MemoryLayout<Int32>.size)
        return try bytes.withNumbers(of: Int32.self) { statuses in
            for (image, failure) in failures.byImage where image < count {
                statuses[image] = failure.status.littleEndian
            }
            return try NumPyFile.replace(
                path(Self.status), .int32, [count], UnsafeRawBufferPointer(start: statuses, count: bytes.count))
        }
    }

    /// Replaces a file as a whole.
    func replace(_ name: String, with bytes: UnsafeRawBufferPointer) throws -> FileChecksum {
        try File.replace(path(name), with: bytes)
        return FileChecksum(bytes)
    }
}

import FNESupport
import Glibc

/// The sizes and the times of change of the images' files, so that a file which was replaced after it was embedded is
/// noticed. They are beside the manifest and not in it, because copies of a data set differ in their times.
/// `image_files.npy` is int64 [N, 2], with the size in bytes and the time in nanoseconds since 1970; -1 where they are
/// unknown.
final class ImageFiles {
    /// Facts about one file.
    struct Facts: Equatable {
        var size: Int64 = -1
        var time: Int64 = -1

        /// The facts as they are now; both -1 where the file cannot be found.
        init(of path: FilePath) {
            var facts = stat()
            guard path.systemCall({ stat($0, &facts) }) == 0 else { return }
            size = Int64(facts.st_size)
            time = Int64(facts.st_mtim.tv_sec) &* 1_000_000_000 &+ Int64(facts.st_mtim.tv_nsec)
        }

        fileprivate init(size: Int64, time: Int64) {
            self.size = size
            self.time = time
        }

        static let unknown = Facts(size: -1, time: -1)

        var isKnown: Bool { size >= 0 }
    }

    private let file: NumPyFile
    private let count: Int

    /// Opens or makes the file.
    init(_ files: JobFiles, count: Int) throws {
        file = try NumPyFile(files.data(JobFiles.imageFiles), .int64, [count, 2])
        self.count = count
    }

    /// Opens the file of a finished job.
    ///
    /// - Throws: `.invalidData` for a damaged one; `.fileError`.
    init(reading files: JobFiles, count: Int) throws {
        file = try NumPyFile(reading: files.data(JobFiles.imageFiles), .int64, [count, 2])
        self.count = count
    }

    /// Writes the facts of images that were just embedded.
    func write(_ images: Range<Int>, _ facts: [Facts]) throws {
        let numbers = facts.flatMap { [$0.size.littleEndian, $0.time.littleEndian] }
        try numbers.withUnsafeBytes { bytes in
            guard let start = bytes.baseAddress else { return }
            try file.write(start, count: images.count, at: images.lowerBound)
        }
    }

    /// The facts of an image when it was embedded.
    func facts(of image: Int) throws -> Facts {
        var numbers: (Int64, Int64) = (-1, -1)
        try withUnsafeMutableBytes(of: &numbers) { bytes in
            guard let start = bytes.baseAddress else { return }
            try file.read(start, count: 1, at: image)
        }
        return Facts(size: Int64(littleEndian: numbers.0), time: Int64(littleEndian: numbers.1))
    }

    /// The images below `end` whose files are not what they were when they were embedded: how many there are, and the
    /// first one. A file that cannot be found now is none of them.
    func changed(until end: Int, _ now: (Int) -> Facts) throws -> (count: Int, first: Int)? {
        var (count, first) = (0, 0)
        for image in 0..<min(end, self.count) {
            let (before, current) = (try facts(of: image), now(image))
            guard before.isKnown, current.isKnown, before != current else { continue }
            if count == 0 { first = image }
            count += 1
        }
        return count == 0 ? nil : (count, first)
    }
}

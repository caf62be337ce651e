import FNEEmbedding
import FNESupport

/// The progress of a job, with the statistics of the rows that are done. The file is replaced as a whole, after all
/// that it counts is on the disk. Its format, in little-endian numbers:
///
///     "FNEJOB\n\0" | version u32 | 0 u32 | images done u64 | images with codes u64 | failures: bytes u64, count u64 |
///     saved statistics: size u64, bytes | FNV-1a of all bytes before it u64
struct Checkpoint {
    /// The number of images whose rows are on the disk, or that failed.
    var imagesDone = 0
    /// The number of images whose codes are on the disk.
    var codesDone = 0
    /// The size in bytes of the valid part of the file of failures.
    var failuresSize = 0
    var failureCount = 0
    var statistics: Statistics?

    private static let magic = Array("FNEJOB\n\0".utf8)
    private static let version = 1
    private static let headerSize = 56

    func write(to path: FilePath) throws {
        let size = statistics?.savedSize ?? 0
        let bytes = try Bytes(zeros: Self.headerSize + size + 8)
        try bytes.withNumbers(of: UInt8.self) { start in
            let all = UnsafeMutableRawBufferPointer(start: start, count: bytes.count)
            all.copyBytes(from: Self.magic)
            for (place, value) in [Self.version, imagesDone, codesDone, failuresSize, failureCount, size].enumerated() {
                all.storeBytes(of: UInt64(value).littleEndian, toByteOffset: 8 + 8 * place, as: UInt64.self)
            }
            try statistics?.save(
                to: UnsafeMutableRawBufferPointer(rebasing: all[Self.headerSize..<Self.headerSize + size]))
            let sum = fnv1a(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(all)[..<(Self.headerSize + size)]))
            all.storeBytes(of: sum.littleEndian, toByteOffset: Self.headerSize + size, as: UInt64.self)
        }
        try bytes.withBytes { try File.replace(path, with: $0) }
    }

    init(statistics: Statistics?) { self.statistics = statistics }

    /// Reads a checkpoint.
    ///
    /// - Throws: `.invalidData` for a damaged one. The error names the file.
    init(reading path: FilePath, images: Int, features: Int) throws {
        func damaged() -> FNEError {
            FNEError(.invalidData, "the checkpoint is damaged. Remove the job's folder and run the job again")
        }
        try File.read(path) { bytes in
            func word(_ offset: Int) -> UInt64 {
                UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
            }
            guard bytes.count >= Self.headerSize + 8, bytes.starts(with: Self.magic), word(8) == UInt64(Self.version),
                word(bytes.count - 8) == fnv1a(UnsafeRawBufferPointer(rebasing: bytes[..<(bytes.count - 8)])),
                word(48) == UInt64(bytes.count - Self.headerSize - 8), word(16) <= UInt64(images),
                word(24) <= UInt64(images),
                word(32) <= 1 << 50, word(40) <= UInt64(images)
            else { throw damaged() }
            (imagesDone, codesDone, failuresSize, failureCount) = (
                Int(word(16)), Int(word(24)), Int(word(32)), Int(word(40))
            )
            if word(48) > 0 {
                let saved = UnsafeRawBufferPointer(rebasing: bytes[Self.headerSize..<(bytes.count - 8)])
                let statistics = try Statistics.load(saved)
                guard statistics.featureCount == features else { throw damaged() }
                self.statistics = statistics
            }
        }
    }
}

/// The images that could not be embedded, in a file that grows. The file holds image u64, status u32, length of the
/// reason u32, and the reason, for one failure after the other.
struct Failures {
    struct Failure {
        let status: Int32
        let reason: String
    }

    private(set) var byImage: [Int: Failure] = [:]
    private let file: File
    private var size: Int
    private var pending: [UInt8] = []

    /// Opens the file and reads it.
    ///
    /// - Parameter size: the size of the valid part in bytes; the rest is dropped
    /// - Throws: `.invalidData`, `.fileError`.
    init(_ path: FilePath, size: Int) throws {
        file = try File(path, .writing)
        guard try file.size() >= size else {
            throw FNEError(.invalidData, "'\(path)' is shorter than the checkpoint says")
        }
        try file.setSize(size)
        self.size = size
        let bytes = try Bytes(count: size)
        try bytes.withNumbers(of: UInt8.self) {
            try file.read(UnsafeMutableRawBufferPointer(start: $0, count: size), at: 0)
        }
        try bytes.withBytes { bytes in
            var position = 0
            while position + 16 <= size {
                let image = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: position, as: UInt64.self))
                let status = Int32(littleEndian: bytes.loadUnaligned(fromByteOffset: position + 8, as: Int32.self))
                let length = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: position + 12, as: UInt32.self))
                position += 16
                guard Int(length) <= size - position, image <= UInt64(Int.max) else { break }
                let reason = String(decoding: bytes[position..<position + Int(length)], as: UTF8.self)
                byImage[Int(image)] = Failure(status: status, reason: reason)
                position += Int(length)
            }
            guard position == size else { throw FNEError(.invalidData, "'\(path)' is damaged") }
        }
    }

    var count: Int { byImage.count }

    mutating func add(_ image: Int, _ failure: Failure) {
        byImage[image] = failure
        func append(_ value: some FixedWidthInteger) { withUnsafeBytes(of: value.littleEndian) { pending += $0 } }
        let reason = Array(failure.reason.utf8)
        append(UInt64(image))
        append(failure.status)
        append(UInt32(reason.count))
        pending += reason
    }

    /// Writes the failures that were added, and waits until they are on the disk. Returns the file's size in bytes.
    mutating func sync() throws -> Int {
        guard !pending.isEmpty else { return size }
        try file.write(pending, at: size)
        try file.sync()
        size += pending.count
        pending = []
        return size
    }
}

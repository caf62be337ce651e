import FNESupport

/// The images that could not be embedded, in a file that grows. The file holds for one failure after the other image
/// u64, status u32, length of the reason u32, the reason, and the FNV-1a checksum of all bytes before it, u64.
struct Failures {
    struct Failure {
        let status: Int32
        let reason: String
    }

    /// How much of the file is valid, as a checkpoint keeps it.
    struct Extent: Equatable {
        var count = 0
        /// The size in bytes.
        var size = 0
        /// The checksum that the last failure ends with.
        var checksum = emptyChecksum
    }

    private static let emptyChecksum = fnv1a(UnsafeRawBufferPointer(start: nil, count: 0))

    private(set) var byImage: [Int: Failure] = [:]
    /// Whether failures that the checkpoint counts are lost. Then the file is to be written anew.
    private(set) var isDamaged = false
    private let file: File
    private var extent = Extent()
    private var pending: [UInt8] = []
    private var isRewritten = false

    /// Opens the file and reads it. What is after the valid part is dropped.
    ///
    /// - Parameter extent: the valid part
    /// - Throws: `.fileError`, `.outOfMemory`.
    init(_ path: FilePath, _ extent: Extent) throws {
        file = try File(path, .writing)
        let size = min(try file.size(), extent.size)
        let bytes = try Bytes(count: size)
        try bytes.withNumbers(of: UInt8.self) {
            try file.read(UnsafeMutableRawBufferPointer(start: $0, count: size), at: 0)
        }
        bytes.withBytes { read($0) }
        isDamaged = self.extent != extent
        try file.setSize(self.extent.size)
    }

    /// Takes the failures up to the first one that is damaged.
    private mutating func read(_ bytes: UnsafeRawBufferPointer) {
        let (headerSize, sumSize) = (16, 8)
        while extent.size + headerSize + sumSize <= bytes.count {
            let start = extent.size
            let image = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: start, as: UInt64.self))
            let status = Int32(littleEndian: bytes.loadUnaligned(fromByteOffset: start + 8, as: Int32.self))
            let length = Int(
                UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: start + 12, as: UInt32.self)))
            guard length <= bytes.count - start - headerSize - sumSize, image <= UInt64(Int.max) else { return }
            let end = start + headerSize + length
            let sum = fnv1a(UnsafeRawBufferPointer(rebasing: bytes[start..<end]), after: extent.checksum)
            guard sum == UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: end, as: UInt64.self)) else { return }
            let reason = String(decoding: bytes[start + headerSize..<end], as: UTF8.self)
            byImage[Int(image)] = Failure(status: status, reason: reason)
            extent = Extent(count: byImage.count, size: end + sumSize, checksum: sum)
        }
    }

    var count: Int { byImage.count }

    mutating func add(_ image: Int, _ failure: Failure) {
        byImage[image] = failure
        var record: [UInt8] = []
        func append(_ value: some FixedWidthInteger) { withUnsafeBytes(of: value.littleEndian) { record += $0 } }
        let reason = Array(failure.reason.utf8)
        append(UInt64(image))
        append(failure.status)
        append(UInt32(reason.count))
        record += reason
        extent.checksum = record.withUnsafeBytes { fnv1a($0, after: extent.checksum) }
        append(extent.checksum)
        pending += record
    }

    /// Forgets the failures among some images. The file is then written anew.
    mutating func remove(_ images: Range<Int>) {
        let kept = byImage.filter { !images.contains($0.key) }
        guard kept.count < byImage.count || isDamaged else { return }
        isDamaged = false
        byImage = [:]
        pending = []
        isRewritten = true
        extent = Extent()
        for (image, failure) in kept.sorted(by: { $0.key < $1.key }) { add(image, failure) }
    }

    /// Writes the failures that were added, and waits until they are on the disk. Returns what is valid of the file.
    mutating func sync() throws -> Extent {
        guard !pending.isEmpty || isRewritten else { return extent }
        try file.write(pending, at: extent.size)
        extent.size += pending.count
        extent.count = byImage.count
        pending = []
        try file.setSize(extent.size)
        try file.sync()
        isRewritten = false
        return extent
    }
}

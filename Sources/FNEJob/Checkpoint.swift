import FNEEmbedding
import FNESupport

/// The progress of a job, with the statistics of the rows that are done, and the checksums of the files that it builds
/// on. The file is replaced as a whole, after all that it counts is on the disk. Its format, in little-endian numbers:
///
///     "FNEJOB\n\0" | version u64 | images done u64 | images with codes u64 |
///     failures: count u64, bytes u64, checksum u64 |
///     saved statistics: size u64, bytes |
///     for each of features.npy, codes.npy, codes_packed.npy: 0 u64 where the job does not write it, else
///         bytes of a block u64, bytes so far u64, number of states u64, each state 8 u32, the last state 8 u32,
///         the 64 bytes after it |
///     FNV-1a of all bytes before it u64
struct Checkpoint {
    /// The number of images whose rows are on the disk, or that failed.
    var imagesDone = 0
    /// The number of images whose codes are on the disk.
    var codesDone = 0
    /// What is on the disk of the file of failures.
    var failures = Failures.Extent()
    /// The statistics of the rows so far; nil where the job makes none.
    var statistics: Statistics?
    /// The checksums of the matrices, by their names.
    var checksums: [String: FileChecksum] = [:]

    private static let magic = Array("FNEJOB\n\0".utf8)
    private static let version = 2
    private static let matrices = [JobFiles.features, JobFiles.codes, JobFiles.packedCodes]

    init(statistics: Statistics?) { self.statistics = statistics }

    /// Reads the latest checkpoint of a job that is whole; nil where there is none.
    ///
    /// - Parameter notice: receives a sentence about a damaged one
    /// - Throws: `.fileError`, `.outOfMemory`.
    static func latest(
        _ files: JobFiles, images: Int, features: Int, notice: (String) -> Void = { _ in }
    ) throws -> Checkpoint? {
        for name in [JobFiles.checkpoint, JobFiles.formerCheckpoint] where try File.exists(files.path(name)) {
            do {
                guard try File(files.path(name), .reading).size() > 0 else {
                    throw FNEError(.invalidData, "'\(files.path(name))' is empty")
                }
                return try Checkpoint(reading: files.path(name), images: images, features: features)
            } catch let error as FNEError where error.status == .invalidData {
                notice("\(error.message). The job goes on from the checkpoint before it, or from its start")
            }
        }
        return nil
    }

    // MARK: Writing

    /// Replaces the job's checkpoint. The former one is kept, in case that this one is damaged later.
    func write(_ files: JobFiles) throws {
        let bytes = try Bytes(zeros: size)
        try bytes.withNumbers(of: UInt8.self) { start in
            var writer = Writer(bytes: UnsafeMutableRawBufferPointer(start: start, count: bytes.count))
            Self.magic.withUnsafeBytes { writer.put($0) }
            for number in [Self.version, imagesDone, codesDone, failures.count, failures.size] { writer.put(number) }
            writer.put(failures.checksum)
            let savedSize = statistics?.savedSize ?? 0
            writer.put(savedSize)
            try statistics?.save(to: writer.room(savedSize))
            for name in Self.matrices { writer.put(checksums[name]) }
            writer.put(fnv1a(writer.written))
        }
        if try File.exists(files.path(JobFiles.checkpoint)) {
            try File.move(files.path(JobFiles.checkpoint), to: files.path(JobFiles.formerCheckpoint))
        }
        try bytes.withBytes { try File.replace(files.path(JobFiles.checkpoint), with: $0) }
    }

    private var size: Int {
        let sums = Self.matrices.map {
            checksums[$0].map { $0.hash == nil ? 8 : 24 + 32 * ($0.states.count + 1) + 64 } ?? 8
        }
        return 8 * 9 + (statistics?.savedSize ?? 0) + sums.reduce(0, +)
    }

    /// Fills memory from its start on. There must be room.
    private struct Writer {
        let bytes: UnsafeMutableRawBufferPointer
        private var position = 0

        init(bytes: UnsafeMutableRawBufferPointer) { self.bytes = bytes }

        var written: UnsafeRawBufferPointer {
            UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(bytes)[..<position])
        }

        mutating func room(_ count: Int) -> UnsafeMutableRawBufferPointer {
            position += count
            return UnsafeMutableRawBufferPointer(rebasing: bytes[position - count..<position])
        }

        mutating func put(_ content: UnsafeRawBufferPointer) { room(content.count).copyMemory(from: content) }

        mutating func put(_ number: UInt64) { withUnsafeBytes(of: number.littleEndian) { put($0) } }

        mutating func put(_ number: Int) { put(UInt64(number)) }

        mutating func put(_ state: SHA256.State) {
            for word in 0..<8 { withUnsafeBytes(of: state[word].littleEndian) { put($0) } }
        }

        mutating func put(_ checksum: FileChecksum?) {
            guard let checksum, let hash = checksum.hash else { return put(0) }
            for number in [checksum.blockSize, checksum.count, checksum.states.count] { put(number) }
            for state in checksum.states { put(state) }
            put(hash.state)
            withUnsafeBytes(of: hash.rest) { put($0) }
        }
    }

    // MARK: Reading

    /// - Throws: `.invalidData` for a damaged one. The error names the file.
    private init(reading path: FilePath, images: Int, features: Int) throws {
        func damaged() -> FNEError { FNEError(.invalidData, "the checkpoint is damaged") }
        try File.read(path) { bytes in
            guard bytes.count >= 8 * 9, bytes.starts(with: Self.magic) else { throw damaged() }
            var reader = Reader(bytes: UnsafeRawBufferPointer(rebasing: bytes.dropLast(8)), position: 8)
            var end = Reader(bytes: bytes, position: bytes.count - 8)
            guard end.number() == fnv1a(reader.bytes), reader.count(most: Self.version) == Self.version,
                let imagesDone = reader.count(most: images), let codesDone = reader.count(most: imagesDone),
                let failed = reader.count(most: images), let failuresSize = reader.count(most: 1 << 50),
                let failuresChecksum = reader.number(), let savedSize = reader.count(most: bytes.count),
                let saved = reader.room(savedSize)
            else { throw damaged() }
            self.imagesDone = imagesDone
            self.codesDone = codesDone
            failures = Failures.Extent(count: failed, size: failuresSize, checksum: failuresChecksum)
            if savedSize > 0 {
                let statistics = try Statistics.load(saved)
                guard statistics.featureCount == features else { throw damaged() }
                self.statistics = statistics
            }
            for name in Self.matrices {
                guard let checksum = reader.checksum() else { throw damaged() }
                checksums[name] = checksum
            }
            guard reader.isAtEnd else { throw damaged() }
        }
    }

    /// Reads memory from a place on. Gives nil at its end.
    private struct Reader {
        let bytes: UnsafeRawBufferPointer
        private var position: Int

        init(bytes: UnsafeRawBufferPointer, position: Int) {
            self.bytes = bytes
            self.position = position
        }

        var isAtEnd: Bool { position == bytes.count }

        mutating func room(_ count: Int) -> UnsafeRawBufferPointer? {
            guard count <= bytes.count - position else { return nil }
            position += count
            return UnsafeRawBufferPointer(rebasing: bytes[position - count..<position])
        }

        mutating func number() -> UInt64? {
            room(8).map { UInt64(littleEndian: $0.loadUnaligned(as: UInt64.self)) }
        }

        mutating func count(most: Int) -> Int? {
            number().flatMap { $0 <= UInt64(most) ? Int($0) : nil }
        }

        mutating func state() -> SHA256.State? {
            guard let words = room(32) else { return nil }
            var result = SHA256.State()
            for word in 0..<8 {
                result[word] = UInt32(
                    littleEndian: words.loadUnaligned(fromByteOffset: 4 * word, as: UInt32.self))
            }
            return result
        }

        /// A checksum, or nothing where the job does not write the file; nil for a damaged one.
        mutating func checksum() -> FileChecksum?? {
            guard let blockSize = count(most: 1 << 60) else { return nil }
            guard blockSize > 0 else { return .some(nil) }
            guard blockSize % SHA256.blockSize == 0, let size = count(most: 1 << 60),
                let number = count(most: bytes.count / 32), number == size / blockSize
            else { return nil }
            var states: [SHA256.State] = []
            for _ in 0..<number {
                guard let state = state() else { return nil }
                states.append(state)
            }
            guard let last = state(), let rest = room(SHA256.blockSize) else { return nil }
            let hash = SHA256(state: last, count: size, rest: rest.loadUnaligned(as: SIMD64<UInt8>.self))
            return FileChecksum(blockSize: blockSize, states: states, hash: hash)
        }
    }
}

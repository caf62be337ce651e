import CKernels
import FNESupport

/// The SHA-256 of a file, with its states at the ends of blocks. A block is right exactly if SHA-256 leads from the
/// state before it to the state after it. So one reading gives the checksum of the whole file, and still a part of the
/// file can be checked alone, on any thread.
struct FileChecksum: Equatable {
    /// The bytes of a block, a multiple of 64. The last block of a file may be shorter.
    let blockSize: Int
    /// The number of bytes that the checksum covers, from the start of the file on.
    private(set) var count: Int
    /// The states of SHA-256 after each whole block.
    private(set) var states: [SHA256.State]
    private var end: End

    private enum End: Equatable {
        /// More bytes can follow.
        case open(SHA256)
        /// The file is complete, and this is its SHA-256 in hexadecimal digits.
        case closed(String)
    }

    private static let leastBlockSize = 1 << 16
    private static let mostBlocks = 1 << 10

    /// A checksum of no bytes.
    ///
    /// - Parameter expecting: the size in bytes that the file will have. It decides the size of the blocks.
    init(expecting size: Int) {
        var blockSize = Self.leastBlockSize
        while blockSize < size / Self.mostBlocks { blockSize *= 2 }
        self.init(blockSize: blockSize, states: [], hash: SHA256())
    }

    /// A checksum that was saved. More bytes can follow.
    init(blockSize: Int, states: [SHA256.State], hash: SHA256) {
        self.blockSize = blockSize
        self.states = states
        count = hash.count
        end = .open(hash)
    }

    /// The checksum of a complete file.
    init(_ bytes: UnsafeRawBufferPointer) {
        self.init(expecting: bytes.count)
        update(bytes)
        close()
    }

    /// The SHA-256 in hexadecimal digits; of the bytes so far where more can follow.
    var sha256: String {
        switch end {
        case .open(let hash): hash.digest
        case .closed(let digest): digest
        }
    }

    /// What a checkpoint keeps to go on; nil where the file is complete.
    var hash: SHA256? { if case .open(let hash) = end { hash } else { nil } }

    /// Takes the bytes that follow in the file.
    mutating func update(_ bytes: UnsafeRawBufferPointer) {
        guard case .open(var hash) = end else { return }
        var left = bytes[...]
        while !left.isEmpty {
            let next = left.prefix(blockSize - count % blockSize)
            hash.update(UnsafeRawBufferPointer(rebasing: next))
            count += next.count
            if count % blockSize == 0 { states.append(hash.state) }
            left = left.dropFirst(next.count)
        }
        end = .open(hash)
    }

    /// Takes bytes of the file itself, until the checksum covers `size` of them.
    func continued(in file: File, until size: Int) throws -> FileChecksum {
        var result = self
        let buffer = try Bytes(count: Self.pieceSize)
        try buffer.withNumbers(of: UInt8.self) { start in
            while result.count < size {
                let piece = UnsafeMutableRawBufferPointer(start: start, count: min(Self.pieceSize, size - result.count))
                try file.read(piece, at: result.count)
                result.update(UnsafeRawBufferPointer(piece))
            }
        }
        return result
    }

    /// Says that the file is complete.
    mutating func close() { end = .closed(sha256) }

    // MARK: Checking

    private static let pieceSize = 1 << 20
    private static let mostThreads = 8

    /// Reads the file and compares it.
    ///
    /// - Parameters:
    ///   - range: the bytes that are checked, together with the rest of their blocks; nil for all
    ///   - progress: is called on the calling thread with the number of bytes that were checked; false cancels
    /// - Returns: the parts in bytes that are not what they were. They are whole blocks, in order.
    /// - Throws: `.cancelled`, `.fileError`, `.outOfMemory`.
    func damage(in file: File, _ range: Range<Int>? = nil, progress: (Int) -> Bool = { _ in true }) throws
        -> [Range<Int>]
    {
        let range = (range ?? 0..<count).clamped(to: 0..<count)
        guard !range.isEmpty else { return [] }
        let blocks = range.lowerBound / blockSize..<(range.upperBound - 1) / blockSize + 1
        let check = Check(self, file, blocks)
        let helpers = min(Int(ck_processor_count()), Self.mostThreads, blocks.count) - 1
        let workers = (0..<helpers).compactMap { _ in Worker { check.work { _ in true } } }
        check.work(progress)
        for worker in workers { worker.join() }
        return try check.result()
    }

    /// The work of the threads that check a file.
    private final class Check: @unchecked Sendable {
        private let checksum: FileChecksum
        private let file: File
        private let end: Int
        private let monitor = Monitor()
        private var nextBlock: Int
        private var bytesDone = 0
        private var damaged: [Range<Int>] = []
        private var error: FNEError?

        init(_ checksum: FileChecksum, _ file: File, _ blocks: Range<Int>) {
            self.checksum = checksum
            self.file = file
            nextBlock = blocks.lowerBound
            end = blocks.upperBound
        }

        func work(_ progress: (Int) -> Bool) {
            do {
                let buffer = try Bytes(count: min(FileChecksum.pieceSize, checksum.blockSize))
                while let block = take() {
                    let bytes = checksum.bytes(of: block)
                    let isRight = try checksum.isRight(bytes, in: file, buffer)
                    let done = monitor.locked {
                        if !isRight { damaged.append(bytes) }
                        bytesDone += bytes.count
                        return bytesDone
                    }
                    guard progress(done) else {
                        throw FNEError(.cancelled, "the check was cancelled; what is on the disk stays as it is")
                    }
                }
            } catch {
                let error = error as? FNEError ?? FNEError(.internalError, "\(error)")
                monitor.locked { self.error = self.error ?? error }
            }
        }

        private func take() -> Int? {
            monitor.locked {
                guard error == nil, nextBlock < end else { return nil }
                nextBlock += 1
                return nextBlock - 1
            }
        }

        func result() throws -> [Range<Int>] {
            if let error { throw error }
            return damaged.sorted { $0.lowerBound < $1.lowerBound }.joined()
        }
    }

    private func bytes(of block: Int) -> Range<Int> { block * blockSize..<min((block + 1) * blockSize, count) }

    /// Whether a block of the file is what it was. A file that ends too early has a wrong last block.
    private func isRight(_ block: Range<Int>, in file: File, _ buffer: Bytes) throws -> Bool {
        let number = block.lowerBound / blockSize
        var hash = SHA256(state: state(before: number), count: block.lowerBound)
        try buffer.withNumbers(of: UInt8.self) { start in
            while hash.count < block.upperBound {
                let piece = UnsafeMutableRawBufferPointer(
                    start: start, count: min(buffer.count, block.upperBound - hash.count))
                let got = try file.readAvailable(piece, at: hash.count)
                guard got > 0 else { return }
                hash.update(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(piece)[..<got]))
            }
        }
        return hash.count == block.upperBound && ends(number, with: hash)
    }

    /// Reads a whole block of the file into memory, and returns whether it is what it was.
    func load(_ block: Int, of file: File, to memory: UnsafeMutableRawBufferPointer) throws -> Bool {
        let bytes = bytes(of: block)
        guard bytes.count <= memory.count else { return false }
        let piece = UnsafeMutableRawBufferPointer(rebasing: memory[..<bytes.count])
        guard try file.readAvailable(piece, at: bytes.lowerBound) == bytes.count else { return false }
        var hash = SHA256(state: state(before: block), count: bytes.lowerBound)
        hash.update(UnsafeRawBufferPointer(piece))
        return ends(block, with: hash)
    }

    private func state(before block: Int) -> SHA256.State { block == 0 ? SHA256.start : states[block - 1] }

    /// Whether SHA-256 is after the block what it was.
    private func ends(_ block: Int, with hash: SHA256) -> Bool {
        if block < states.count { return hash.state == states[block] }
        switch end {
        case .open(let expected): return hash == expected
        case .closed(let expected): return hash.digest == expected
        }
    }

    // MARK: In the manifest

    /// The checksum of a complete file as the manifest holds it.
    var json: JSON {
        var members = [
            JSON.Member(name: "bytes", value: .integer(count)), JSON.Member(name: "sha256", value: .text(sha256)),
        ]
        if !states.isEmpty {
            members.append(JSON.Member(name: "block_bytes", value: .integer(blockSize)))
            members.append(
                JSON.Member(name: "block_states", value: .array(states.map { .text(SHA256.digits(of: $0)) })))
        }
        return .object(members)
    }

    /// Reads what `json` gives; nil where it is damaged.
    init?(_ json: JSON) {
        guard let count = json["bytes"]?.integer, count >= 0, count <= 1 << 60, let sha256 = json["sha256"]?.text,
            sha256.utf8.count == 64
        else { return nil }
        let blockSize = json["block_bytes"]?.integer ?? max(count + SHA256.blockSize, Self.leastBlockSize)
        let texts = json["block_states"]?.array ?? []
        let states = texts.compactMap { $0.text.flatMap(SHA256.state) }
        guard blockSize >= SHA256.blockSize, json["block_bytes"] == nil || blockSize % SHA256.blockSize == 0,
            states.count == texts.count, states.count == count / blockSize
        else { return nil }
        self.blockSize = blockSize
        self.count = count
        self.states = states
        end = .closed(sha256)
    }
}

extension [Range<Int>] {
    /// Ranges that touch each other become one. They must be in order, and not overlap.
    func joined() -> [Range<Int>] {
        reduce(into: []) { result, range in
            if let last = result.last, last.upperBound == range.lowerBound {
                result[result.count - 1] = last.lowerBound..<range.upperBound
            } else {
                result.append(range)
            }
        }
    }
}

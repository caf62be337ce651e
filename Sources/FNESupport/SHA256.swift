import CKernels

/// The SHA-256 checksum in hexadecimal digits, as sha256sum prints it.
package func sha256(_ bytes: UnsafeRawBufferPointer) -> String {
    var hash = SHA256()
    hash.update(bytes)
    return hash.digest
}

/// A SHA-256 checksum (FIPS 180-4) that is computed piece by piece.
package struct SHA256: Equatable {
    /// The state between two blocks of 64 bytes. The standard calls it a hash value, and H.
    package typealias State = SIMD8<UInt32>
    /// The bytes of a block, after each of which there is a state.
    package static let blockSize = 64

    /// The state after the last whole block.
    package private(set) var state: State
    /// The number of bytes that were taken.
    package private(set) var count: Int
    /// The bytes after the last whole block. The lanes after them are 0.
    package private(set) var rest = SIMD64<UInt8>()

    /// The checksum of no bytes.
    package init() { self.init(state: Self.start, count: 0) }

    /// Continues after whole blocks.
    ///
    /// - Parameters:
    ///   - state: the state after them
    ///   - count: the bytes that they have, a multiple of 64
    package init(state: State, count: Int) {
        self.state = state
        self.count = count
    }

    /// Continues after bytes of any number.
    ///
    /// - Parameter rest: the bytes after the last whole block
    package init(state: State, count: Int, rest: SIMD64<UInt8>) {
        self.init(state: state, count: count)
        for lane in 0..<count % Self.blockSize { self.rest[lane] = rest[lane] }
    }

    /// The state before the first byte.
    package static let start = State(
        0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19)

    /// Takes further bytes.
    package mutating func update(_ bytes: UnsafeRawBufferPointer) {
        var left = bytes[...]
        let filled = count % Self.blockSize
        count += left.count
        if filled > 0 {
            let taken = left.prefix(Self.blockSize - filled)
            withUnsafeMutableBytes(of: &rest) {
                UnsafeMutableRawBufferPointer(rebasing: $0[filled...]).copyBytes(from: taken)
            }
            guard filled + taken.count == Self.blockSize else { return }
            withUnsafeBytes(of: rest) { take($0.baseAddress, blocks: 1) }
            rest = .zero
            left = left.dropFirst(taken.count)
        }
        let blocks = left.count / Self.blockSize
        let whole = UnsafeRawBufferPointer(rebasing: left.prefix(blocks * Self.blockSize))
        if blocks > 0 { take(whole.baseAddress, blocks: blocks) }
        let end = UnsafeRawBufferPointer(rebasing: left.dropFirst(whole.count))
        withUnsafeMutableBytes(of: &rest) { $0.copyBytes(from: end) }
    }

    private mutating func take(_ bytes: UnsafeRawPointer?, blocks: Int) {
        withUnsafeMutableBytes(of: &state) {
            ck_sha256_blocks($0.baseAddress?.assumingMemoryBound(to: UInt32.self), bytes, blocks)
        }
    }

    /// The checksum of the bytes so far, in hexadecimal digits.
    package var digest: String {
        var result = State()
        withUnsafeMutableBytes(of: &result) { digest in
            withUnsafeBytes(of: state) { state in
                withUnsafeBytes(of: rest) { rest in
                    ck_sha256_end(
                        state.baseAddress?.assumingMemoryBound(to: UInt32.self), rest.baseAddress, UInt64(count),
                        digest.baseAddress?.assumingMemoryBound(to: UInt8.self))
                }
            }
        }
        return Self.digits(of: State((0..<8).map { result[$0].bigEndian }))
    }

    // MARK: States in words

    /// A state in 64 hexadecimal digits, eight for each of its words.
    package static func digits(of state: State) -> String {
        let digits = Array("0123456789abcdef".utf8)
        return String(
            decoding: (0..<64).map { digits[Int(state[$0 / 8] >> UInt32(28 - 4 * ($0 % 8)) & 15)] }, as: UTF8.self)
    }

    /// The state that 64 hexadecimal digits give; nil for another text.
    package static func state(_ digits: String) -> State? {
        let digits = Array(digits.utf8)
        guard digits.count == 64 else { return nil }
        var result = State()
        for word in 0..<8 {
            let part = String(decoding: digits[8 * word..<8 * word + 8], as: UTF8.self)
            guard let value = UInt32(part, radix: 16) else { return nil }
            result[word] = value
        }
        return result
    }
}

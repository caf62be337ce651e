import CMemory
import Glibc

/// A block of memory of a fixed size. It is freed with its owner. A failed allocation is an error, never a trap.
///
/// Only closures reach the memory. Swift may free an object after its last use, and using a pointer that was taken out
/// of the object does not count as a use of the object.
package final class Bytes: @unchecked Sendable {
    private let memory: UnsafeMutableRawPointer
    /// The size in bytes.
    package let count: Int

    /// Allocates uninitialized bytes. They are aligned to 64, so that TensorFlow takes them without a copy.
    ///
    /// - Throws: `.outOfMemory`.
    package convenience init(count: Int) throws {
        try self.init(count: count, of: cm_system_memory)
    }

    /// Allocates uninitialized bytes for a picture, which is going to be filled as a whole. A large one is touched
    /// faster than other memory.
    ///
    /// - Throws: `.outOfMemory`.
    package convenience init(picture count: Int) throws {
        try self.init(count: count, of: cm_picture_memory)
    }

    private init(count: Int, of allocate: (Int) -> UnsafeMutableRawPointer?) throws {
        guard count >= 0, let pointer = allocate(max(count, 1)) else {
            throw FNEError(.outOfMemory, "cannot allocate \(count) bytes")
        }
        memory = pointer
        self.count = count
    }

    /// Allocates bytes that are all zero.
    package convenience init(zeros count: Int) throws {
        try self.init(count: count)
        memset(memory, 0, count)
    }

    /// Lends the memory to the body for reading.
    package func withBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
        try withExtendedLifetime(self) { try body(UnsafeRawBufferPointer(start: memory, count: count)) }
    }

    /// Lends the memory to the body as numbers of one type, for reading and writing.
    package func withNumbers<Number: BitwiseCopyable, Result>(
        of type: Number.Type, _ body: (UnsafeMutablePointer<Number>) throws -> Result
    ) rethrows -> Result {
        try withExtendedLifetime(self) { try body(memory.assumingMemoryBound(to: type)) }
    }

    /// Copies bytes in memory.
    package convenience init(copying bytes: UnsafeRawBufferPointer) throws {
        try self.init(count: bytes.count)
        if let start = bytes.baseAddress { memory.copyMemory(from: start, byteCount: bytes.count) }
    }

    /// Reads a whole regular file of at most `limit` bytes. It makes one attempt, see `Patience`.
    ///
    /// - Parameter status: the status of the error for a longer file
    /// - Throws: `.fileError`; `.ioError`; `status` for a longer file. The errors do not name the file. The caller adds
    ///   its name.
    package convenience init(file path: FilePath, limit: Int = .max, over status: FNEError.Status = .fileError) throws {
        let file = try RegularFile(path, limit: limit, over: status)
        try self.init(count: file.size)
        try file.read(0..<file.size, to: memory)
    }

    deinit { free(memory) }
}

/// The product of the factors.
///
/// - Parameter what: what the product counts, for the message
/// - Throws: `.invalidArgument` where the product does not fit, or a factor after the first is negative.
package func checkedProduct(_ factors: Int..., of what: String) throws -> Int {
    try checkedProduct(of: factors, what)
}

/// The product of the factors in an array, as `checkedProduct(_:of:)`.
package func checkedProduct(of factors: [Int], _ what: String) throws -> Int {
    var product = 1
    for factor in factors {
        let (next, overflow) = product.multipliedReportingOverflow(by: factor)
        guard !overflow, factor >= 0 else {
            throw FNEError(.invalidArgument, "\(what): the size is too large for memory")
        }
        product = next
    }
    return product
}

/// The FNV-1a checksum of 64 bits. It finds damage, but gives no protection against forgery.
///
/// - Parameter before: the checksum of the bytes before these
package func fnv1a(_ bytes: UnsafeRawBufferPointer, after before: UInt64 = 0xcbf2_9ce4_8422_2325) -> UInt64 {
    bytes.reduce(before) { ($0 ^ UInt64($1)) &* 0x0000_0100_0000_01b3 }
}

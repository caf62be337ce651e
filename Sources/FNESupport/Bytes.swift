import Glibc

/// A block of memory of fixed size that is freed with its owner. Allocation failure is an error, never a trap.
///
/// The memory is reached through closures alone: Swift may free an object after its last use, and a pointer taken out of
/// it is no use of it.
package final class Bytes: @unchecked Sendable {
    private let memory: UnsafeMutableRawPointer
    package let count: Int

    /// Uninitialized bytes, aligned to 64 so that TensorFlow takes them without a copy.
    package init(count: Int) throws {
        var pointer: UnsafeMutableRawPointer?
        guard count >= 0, posix_memalign(&pointer, 64, max(count, 1)) == 0, let pointer else {
            throw FNEError(.outOfMemory, "cannot allocate \(count) bytes")
        }
        memory = pointer
        self.count = count
    }

    /// All zero.
    package convenience init(zeros count: Int) throws {
        try self.init(count: count)
        memset(memory, 0, count)
    }

    package func withBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
        try withExtendedLifetime(self) { try body(UnsafeRawBufferPointer(start: memory, count: count)) }
    }

    /// The memory as numbers of one type.
    package func withNumbers<Number: BitwiseCopyable, Result>(
        of type: Number.Type, _ body: (UnsafeMutablePointer<Number>) throws -> Result
    ) rethrows -> Result {
        try withExtendedLifetime(self) { try body(memory.assumingMemoryBound(to: type)) }
    }

    /// A copy of bytes in memory.
    package convenience init(copying bytes: UnsafeRawBufferPointer) throws {
        try self.init(count: bytes.count)
        if let start = bytes.baseAddress { memory.copyMemory(from: start, byteCount: bytes.count) }
    }

    /// The whole of a regular file of at most `limit` bytes. Errors do not repeat the path: the caller says what it is.
    package convenience init(file path: FilePath, limit: Int = .max, over status: FNEError.Status = .fileError) throws {
        // A pipe is refused below instead of waited for.
        let descriptor = path.withCString { $0.map { open($0, O_RDONLY | O_CLOEXEC | O_NONBLOCK) } ?? -1 }
        guard descriptor >= 0 else { throw FNEError(.fileError, lastSystemError()) }
        defer { close(descriptor) }
        var facts = stat()
        guard fstat(descriptor, &facts) == 0 else { throw FNEError(.fileError, lastSystemError()) }
        switch facts.st_mode & S_IFMT {
        case S_IFREG: break
        case S_IFDIR: throw FNEError(.fileError, "is a folder, not a file")
        default: throw FNEError(.fileError, "is not a regular file")
        }
        let size = Int(facts.st_size)
        guard size > 0 else { throw FNEError(.fileError, "the file is empty") }
        guard size <= limit else { throw FNEError(status, "\(size) bytes are more than the limit of \(limit)") }
        try self.init(count: size)
        var filled = 0
        while filled < size {
            let got = read(descriptor, memory.advanced(by: filled), size - filled)
            if got < 0 {
                if errno == EINTR { continue }
                throw FNEError(.fileError, lastSystemError())
            }
            guard got > 0 else { throw FNEError(.fileError, "the file became shorter while it was read") }
            filled += got
        }
    }

    deinit { free(memory) }
}

/// What errno says, such as "No such file or directory".
func lastSystemError() -> String { String(cString: strerror(errno)) }

/// a * b, or an error that says what is too large.
package func checkedProduct(_ factors: Int..., of what: String) throws -> Int {
    var product = 1
    for factor in factors {
        let (next, overflow) = product.multipliedReportingOverflow(by: factor)
        guard !overflow, factor >= 0 else { throw FNEError(.invalidArgument, "\(what): too large") }
        product = next
    }
    return product
}

/// FNV-1a, 64 bits: a checksum against damage.
package func fnv1a(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
    bytes.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x0000_0100_0000_01b3 }
}

import Glibc

/// A block of memory of fixed size that is freed with its owner. Allocation failure is an error, never a trap.
final class Bytes: @unchecked Sendable {
    let memory: UnsafeMutableRawBufferPointer

    /// Uninitialized bytes, aligned to 64 so that TensorFlow takes them without a copy.
    init(count: Int) throws {
        var pointer: UnsafeMutableRawPointer?
        guard count >= 0, posix_memalign(&pointer, 64, max(count, 1)) == 0, let pointer else {
            throw FNEError(.outOfMemory, "cannot allocate \(count) bytes")
        }
        memory = UnsafeMutableRawBufferPointer(start: pointer, count: count)
    }

    /// A copy of bytes in memory.
    convenience init(copying bytes: UnsafeRawBufferPointer) throws {
        try self.init(count: bytes.count)
        memory.copyMemory(from: bytes)
    }

    /// The whole of a regular file of at most `limit` bytes. Errors do not repeat the path: the caller says what it is.
    convenience init(file path: String, limit: Int = .max, over status: FNEError.Status = .fileError) throws {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
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
            let got = read(descriptor, memory.baseAddress?.advanced(by: filled), size - filled)
            if got < 0 {
                if errno == EINTR { continue }
                throw FNEError(.fileError, lastSystemError())
            }
            guard got > 0 else { throw FNEError(.fileError, "the file became shorter while it was read") }
            filled += got
        }
    }

    deinit { free(memory.baseAddress) }

    var readOnly: UnsafeRawBufferPointer { UnsafeRawBufferPointer(memory) }
}

/// What errno says, such as "No such file or directory".
func lastSystemError() -> String { String(cString: strerror(errno)) }

/// a * b, or an error that says what is too large.
func checkedProduct(_ factors: Int..., of what: String) throws -> Int {
    var product = 1
    for factor in factors {
        let (next, overflow) = product.multipliedReportingOverflow(by: factor)
        guard !overflow, factor >= 0 else { throw FNEError(.invalidArgument, "\(what): too large") }
        product = next
    }
    return product
}

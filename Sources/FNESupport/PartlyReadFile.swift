import Glibc

/// A file's bytes in memory, of which only those are read that somebody asks for. The others are 0. They cost neither
/// time nor memory, but for addresses.
package final class PartlyReadFile {
    /// The size of the file in bytes, at least 1.
    package let count: Int
    private let file: RegularFile
    private let memory: UnsafeMutableRawPointer

    /// Opens a regular file of at most `limit` bytes. It makes one attempt, see `Patience`.
    ///
    /// - Parameter status: the status of the error for a longer file
    /// - Throws: `.fileError`; `.ioError`; `.outOfMemory`; `status` for a longer file. The errors do not name the file.
    package init(_ path: FilePath, limit: Int, over status: FNEError.Status) throws {
        file = try RegularFile(path, limit: limit, over: status)
        count = file.size
        let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
        guard let memory = mmap(nil, count, PROT_READ | PROT_WRITE, flags, -1, 0), memory != MAP_FAILED else {
            throw FNEError(.outOfMemory, "cannot allocate \(count) bytes")
        }
        self.memory = memory
    }

    deinit { munmap(memory, count) }

    /// Reads a part of the file. What lies beyond the file's end is left out.
    ///
    /// - Throws: `.fileError` where the file has become shorter; `.ioError`.
    package func read(_ part: Range<Int>) throws {
        let part = part.clamped(to: 0..<count)
        try file.read(part, to: memory + part.lowerBound)
    }

    /// Lends the bytes to the body.
    package func withBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
        try withExtendedLifetime(self) { try body(UnsafeRawBufferPointer(start: memory, count: count)) }
    }
}

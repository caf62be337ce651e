import Glibc

/// A regular file that is open for reading. Its errors do not name it. The caller adds the name.
final class RegularFile {
    /// The size in bytes when the file was opened, at least 1.
    let size: Int
    private let descriptor: Int32

    /// Opens a file of at most `limit` bytes.
    ///
    /// - Parameter status: the status of the error for a longer file
    /// - Throws: `.fileError`; `.ioError`; `status` for a longer file.
    init(_ path: FilePath, limit: Int, over status: FNEError.Status) throws {
        // Without O_NONBLOCK, opening a pipe would wait for a writer. Here the pipe is opened, and refused below.
        let descriptor = path.open(O_RDONLY | O_NONBLOCK)
        guard descriptor >= 0 else { throw lastSystemError() }
        do {
            size = try Self.size(of: descriptor)
            guard size <= limit else { throw FNEError(status, "\(size) bytes are more than the limit of \(limit)") }
        } catch {
            close(descriptor)
            throw error
        }
        self.descriptor = descriptor
    }

    deinit { close(descriptor) }

    private static func size(of descriptor: Int32) throws -> Int {
        var facts = stat()
        guard fstat(descriptor, &facts) == 0 else { throw lastSystemError() }
        switch facts.st_mode & S_IFMT {
        case S_IFREG: break
        case S_IFDIR: throw FNEError(.fileError, "this is a folder, not a file")
        default: throw FNEError(.fileError, "this is not a regular file")
        }
        guard facts.st_size > 0 else { throw FNEError(.fileError, "the file is empty") }
        return Int(facts.st_size)
    }

    /// Reads a part of the file to the memory.
    ///
    /// - Throws: `.fileError` where the file has become shorter; `.ioError`.
    func read(_ part: Range<Int>, to memory: UnsafeMutableRawPointer) throws {
        var done = 0
        while done < part.count {
            let got = pread(descriptor, memory + done, part.count - done, off_t(part.lowerBound + done))
            if got < 0, errno == EINTR { continue }
            guard got >= 0 else { throw lastSystemError() }
            guard got > 0 else { throw FNEError(.fileError, "the file became shorter while it was read") }
            done += got
        }
    }
}

import CKernels
import Glibc

/// An open file that is read and written at offsets of the caller's choice. Its errors name it.
package final class File {
    /// The path that the file was opened by.
    package let path: FilePath
    private let descriptor: Int32

    /// What a file is opened for.
    package enum Use {
        case reading
        /// For reading and writing. A missing file is made. What a file holds stays.
        case writing
        /// For locking a folder.
        case folder
    }

    /// Opens a file.
    ///
    /// - Throws: `.fileError`.
    package init(_ path: FilePath, _ use: Use) throws {
        let flags =
            switch use {
            case .reading: O_RDONLY
            case .writing: O_RDWR | O_CREAT
            case .folder: O_RDONLY | O_DIRECTORY
            }
        descriptor = path.open(flags)
        self.path = path
        guard descriptor >= 0 else { throw Self.error("cannot open", path) }
    }

    deinit { close(descriptor) }

    /// The error of a system call that has just failed, with the reason that errno gives.
    ///
    /// - Parameter doing: what could not be done, such as "cannot open"
    package static func error(_ doing: String, _ path: FilePath) -> FNEError {
        let isFull = errno == ENOSPC || errno == EDQUOT
        let error = lastSystemError().about("\(doing) '\(path)'")
        guard isFull else { return error }
        return FNEError(error.status, error.message + ". Make room and run it again. Nothing that was done is lost")
    }

    /// The size in bytes.
    package func size() throws -> Int {
        var facts = stat()
        guard fstat(descriptor, &facts) == 0 else { throw Self.error("cannot read the size of", path) }
        return Int(facts.st_size)
    }

    /// Cuts the file to a size in bytes, or lengthens it with zeros.
    package func setSize(_ size: Int) throws {
        guard ftruncate(descriptor, off_t(size)) == 0 else { throw Self.error("cannot set the size of", path) }
    }

    /// Takes room on the disk now, where the file system can. A full disk is then an error here, not at a later write.
    package func reserve(_ size: Int) throws {
        guard try size > self.size() else { return }
        guard ck_reserve(descriptor, Int64(size)) == 0 else {
            throw Self.error("cannot reserve \(size) bytes for", path)
        }
    }

    /// Writes all bytes at an offset.
    package func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws {
        var done = 0
        while done < bytes.count {
            guard let start = bytes.baseAddress else { return }
            let wrote = pwrite(descriptor, start + done, bytes.count - done, off_t(offset + done))
            if wrote < 0, errno == EINTR { continue }
            guard wrote > 0 else { throw Self.error("cannot write", path) }
            done += wrote
        }
    }

    /// Writes all bytes at an offset.
    package func write(_ bytes: [UInt8], at offset: Int) throws {
        try bytes.withUnsafeBytes { try write($0, at: offset) }
    }

    /// Fills the memory from an offset on.
    ///
    /// - Throws: `.invalidData` where the file ends before that.
    package func read(_ bytes: UnsafeMutableRawBufferPointer, at offset: Int) throws {
        let got = try readAvailable(bytes, at: offset)
        guard got == bytes.count else {
            throw FNEError(
                .invalidData, "'\(path)' ends too early. It must have at least \(offset + bytes.count) bytes")
        }
    }

    /// Fills the memory from an offset on, as far as the file goes. Returns the number of bytes that were read.
    package func readAvailable(_ bytes: UnsafeMutableRawBufferPointer, at offset: Int) throws -> Int {
        var done = 0
        while done < bytes.count {
            guard let start = bytes.baseAddress else { return 0 }
            let got = pread(descriptor, start + done, bytes.count - done, off_t(offset + done))
            if got < 0, errno == EINTR { continue }
            guard got >= 0 else { throw Self.error("cannot read", path) }
            guard got > 0 else { break }
            done += got
        }
        return done
    }

    /// Waits until everything that was written is on the disk.
    package func sync() throws {
        guard fdatasync(descriptor) == 0 || errno == EINVAL else { throw Self.error("cannot write", path) }
    }

    /// Locks the file against other processes for as long as the object lives. Returns false where another process
    /// holds the lock.
    package func lock() throws -> Bool {
        if flock(descriptor, LOCK_EX | LOCK_NB) == 0 { return true }
        guard errno == EWOULDBLOCK else { throw Self.error("cannot lock (the file system may have no locks)", path) }
        return false
    }

    /// Whether the path still leads to this file. It does not where somebody removed or replaced the file.
    package var isAtItsPath: Bool {
        var (own, found) = (stat(), stat())
        return fstat(descriptor, &own) == 0 && path.systemCall { stat($0, &found) } == 0 && own.st_dev == found.st_dev
            && own.st_ino == found.st_ino
    }

    // MARK: Whole files

    /// Whether a file or a folder is at the path. On a failing disk that cannot be told.
    ///
    /// - Throws: `.fileError`.
    package static func exists(_ path: FilePath) throws -> Bool {
        if path.systemCall({ access($0, F_OK) }) == 0 { return true }
        guard errno == ENOENT || errno == ENOTDIR else { throw error("cannot look for", path) }
        return false
    }

    /// Replaces a file as a whole. A reader sees the old bytes or the new ones, also after a crash. The bytes are first
    /// written under another name, and that file then takes the place of the old one.
    package static func replace(_ path: FilePath, with bytes: UnsafeRawBufferPointer) throws {
        let unfinished = FilePath(bytes: path.text + Array(".new".utf8))
        do {
            let file = try File(unfinished, .writing)
            try file.setSize(0)
            try file.write(bytes, at: 0)
            try file.sync()
        } catch {
            remove(unfinished)
            throw error
        }
        try move(unfinished, to: path)
    }

    /// Replaces a file as a whole.
    package static func replace(_ path: FilePath, with bytes: [UInt8]) throws {
        try bytes.withUnsafeBytes { try replace(path, with: $0) }
    }

    /// The bytes of a whole file.
    ///
    /// - Throws: `.outOfMemory` unless there is memory for the array, and for arrays of its lines and of what they say.
    package static func contents(_ path: FilePath) throws -> [UInt8] {
        try read(path) { bytes in
            let lines = bytes.count { $0 == 0 || $0 == UInt8(ascii: "\n") }
            try Reserve.prepare(4 * bytes.count + 192 * lines)
            let array = Array(bytes)
            try Reserve.check()
            return array
        }
    }

    /// Lends a whole file's bytes to the body and returns its result. Errors of the file and of the body name the file.
    package static func read<Result>(_ path: FilePath, _ body: (UnsafeRawBufferPointer) throws -> Result) throws
        -> Result
    {
        do {
            return try Patience().trying { try Bytes(file: path) }.withBytes(body)
        } catch let error as FNEError {
            throw error.about("'\(path)'")
        }
    }

    /// Renames a file, and waits until the new name is on the disk.
    package static func move(_ path: FilePath, to target: FilePath) throws {
        let failed = path.withCString { from in target.systemCall { to in from.map { rename($0, to) } ?? -1 } }
        guard failed == 0 else { throw error("cannot rename to", target) }
        try syncFolder(target.parent)
    }

    /// Removes a file. A file that cannot be removed stays, without an error.
    package static func remove(_ path: FilePath) { _ = path.systemCall { unlink($0) } }

    /// Waits until the names in a folder are on the disk.
    package static func syncFolder(_ path: FilePath) throws {
        let folder = path.open(O_RDONLY | O_DIRECTORY)
        guard folder >= 0 else { throw error("cannot open", path) }
        defer { close(folder) }
        guard fsync(folder) == 0 || errno == EINVAL else { throw error("cannot write", path) }
    }

    /// Makes a folder, and the missing folders above it.
    package static func makeFolder(_ path: FilePath) throws {
        var facts = stat()
        if path.systemCall({ stat($0, &facts) }) == 0 {
            guard facts.st_mode & S_IFMT == S_IFDIR else {
                throw FNEError(.fileError, "'\(path)' is a file, not a folder")
            }
            return
        }
        let parent = path.parent
        if parent.text != path.text { try makeFolder(parent) }
        guard path.systemCall({ mkdir($0, 0o777) }) == 0 || errno == EEXIST else {
            throw error("cannot make the folder", path)
        }
    }
}

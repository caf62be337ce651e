import FNEImage
import FNESupport
import Glibc

/// The images below a folder. A file whose name has the ending of an image is taken. Of any other file the first bytes
/// decide. So the list depends neither on the codecs that are installed, nor on what is wrong with a file.
///
/// Each real folder is listed once, however many links lead to it. Of its paths, the one with the fewest links is
/// taken, and of these the first by its bytes. So the names do not depend on the order in which a file system lists
/// them. Names that begin with a dot are left out.
package struct FolderListing {
    /// The paths of the images below the folder, in the order of their bytes.
    package private(set) var names: [[UInt8]] = []
    /// The bytes of all names.
    private var size = 0
    /// The folders below which another file system begins.
    private(set) var mounts: [FilePath] = []
    /// How much was left out.
    package private(set) var intake = Intake()
    /// A sentence about each folder and file that cannot be read and is left out.
    package private(set) var unreadable: [String] = []

    private let root: FilePath
    private let failsOnUnreadable: Bool
    private let reports: Reports
    private var listed: Set<FileIdentity> = []

    /// A folder that is still to be listed.
    private struct Pending {
        /// The path below the root. It ends with a slash, except for the root itself.
        let path: [UInt8]
        /// The device of the folder that it was found in.
        let device: UInt?
    }

    /// What a folder holds.
    private struct Content {
        var identity: FileIdentity?
        var images: [[UInt8]] = []
        var folders: [[UInt8]] = []
        var links: [[UInt8]] = []
        var intake = Intake()
        var unreadable: [String] = []

        mutating func leave(_ reason: LeftOut, _ sentence: String) {
            intake.leave(reason)
            unreadable.append(sentence)
        }
    }

    /// Lists a folder.
    ///
    /// - Parameters:
    ///   - failsOnUnreadable: whether a folder or a file that cannot be read is an error. Else it is left out, unless
    ///     it is the root.
    ///   - report: is called some times a second with the number of images found. Returning false cancels.
    /// - Throws: `.cancelled`; `.fileError` and `.ioError`, with the path of the folder that cannot be read.
    package init(of root: FilePath, failsOnUnreadable: Bool = false, report: ((Int) -> Bool)? = nil) throws {
        self.root = root
        self.failsOnUnreadable = failsOnUnreadable
        reports = Reports(report)
        // Each round lists what is reached over one link more. The slash at a path's end brings the paths below two
        // links into the order of the two.
        var starts = [Pending(path: [], device: nil)]
        while !starts.isEmpty {
            var links: [Pending] = []
            for start in starts { try walk(from: start, &links) }
            starts = links.sorted { precedes($0.path, $1.path) }
        }
        names.sort(by: precedes)
    }

    /// Lists all folders below one that are reached without a link, in the order of their paths. No descriptor stays
    /// open, however deep the folders lie.
    private mutating func walk(from start: Pending, _ links: inout [Pending]) throws {
        var pending = [start]
        while let folder = pending.popLast() {
            let content = try content(of: folder.path)
            intake.add(content.intake)
            unreadable += content.unreadable
            guard let identity = content.identity else { continue } // it is listed already
            listed.insert(identity)
            if let device = folder.device, device != identity.device {
                mounts.append(place(folder.path))
            }
            for name in content.images { names.append(folder.path + name) }
            size += content.images.reduce(0) { $0 + folder.path.count + $1.count }
            func below(_ names: [[UInt8]]) -> [Pending] {
                names.map { Pending(path: folder.path + $0 + [UInt8(ascii: "/")], device: identity.device) }
            }
            links += below(content.links)
            pending += below(content.folders).sorted { precedes($1.path, $0.path) }
        }
    }

    /// The path of a folder below the root.
    private func place(_ path: [UInt8]) -> FilePath { path.isEmpty ? root : root.appending(path.dropLast()) }

    /// Reads one folder, or notes that it cannot be read.
    private func content(of path: [UInt8]) throws -> Content {
        do {
            return try Patience().trying { try list(path) }
        } catch let error as FNEError where error.status == .fileError && !failsOnUnreadable && !path.isEmpty {
            var content = Content()
            content.leave(.unreadableFolder, error.message + ". The folder is left out")
            return content
        }
    }

    /// Reads one folder. The content has no identity where the folder is listed already.
    private func list(_ path: [UInt8]) throws -> Content {
        let (path, length) = (place(path), path.count)
        func unreadable() -> FNEError {
            let error = File.error("cannot list", path)
            guard error.status == .fileError, failsOnUnreadable || length == 0 else { return error }
            return FNEError(
                .fileError, error.message + ". Make it readable, or pass a list of the images without this folder")
        }
        var content = Content()
        var read = 0
        let descriptor = path.open(O_RDONLY | O_DIRECTORY)
        guard descriptor >= 0 else { throw unreadable() }
        guard let handle = fdopendir(descriptor) else {
            defer { close(descriptor) }
            throw unreadable()
        }
        defer { closedir(handle) }
        var facts = stat()
        guard fstat(descriptor, &facts) == 0 else { throw unreadable() }
        let identity = FileIdentity(facts)
        guard !listed.contains(identity) else { return content }
        content.identity = identity
        while true {
            errno = 0
            guard let entry = readdir(handle) else {
                guard errno == 0 else { throw unreadable() }
                return content
            }
            read += length + 64
            try Reserve.prepare(4 * (size + read) + 64 * names.count)
            try reports.found(names.count + content.images.count)
            try withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                guard let start = bytes.baseAddress else { return }
                guard bytes[0] != UInt8(ascii: ".") else {
                    if !isFolderItself(bytes) { content.intake.leave(.hidden) }
                    return
                }
                let name = UnsafeRawBufferPointer(start: start, count: strnlen(start, bytes.count))
                var kind = Int(entry.pointee.d_type)
                if kind == Int(DT_UNKNOWN) { // the file system does not say
                    guard fstatat(descriptor, start, &facts, AT_SYMLINK_NOFOLLOW) == 0 else {
                        if errno == ENOENT { return } // it was removed just now
                        throw unreadable()
                    }
                    kind = Int((facts.st_mode & S_IFMT) >> 12)
                }
                switch kind {
                case Int(DT_DIR): content.folders.append(Array(name))
                case Int(DT_LNK): try follow(name, start, in: descriptor, path, &content)
                case Int(DT_REG): try take(name, start, in: descriptor, path, &content)
                default: content.intake.leave(.special)
                }
            }
        }
    }

    /// Takes a link for what it leads to. A link with an image's name that leads nowhere is an image that is missing.
    private func follow(
        _ name: UnsafeRawBufferPointer, _ start: UnsafeRawPointer, in descriptor: Int32, _ folder: FilePath,
        _ content: inout Content
    ) throws {
        var facts = stat()
        if fstatat(descriptor, start.assumingMemoryBound(to: CChar.self), &facts, 0) == 0 {
            switch facts.st_mode & S_IFMT {
            case S_IFDIR: content.links.append(Array(name))
            case S_IFREG: try take(name, start, in: descriptor, folder, &content)
            default: content.intake.leave(.special)
            }
            return
        }
        let error = File.error("cannot follow the link", folder.appending(Array(name)))
        guard error.status == .fileError else { throw error }
        if ImageFormat.isNamed(by: name) {
            content.images.append(Array(name))
        } else {
            content.leave(.brokenLink, error.message + ". It is left out")
        }
    }

    /// Takes a regular file if it is an image by its name or by its first bytes.
    private func take(
        _ name: UnsafeRawBufferPointer, _ start: UnsafeRawPointer, in descriptor: Int32, _ folder: FilePath,
        _ content: inout Content
    ) throws {
        if ImageFormat.isNamed(by: name) {
            content.images.append(Array(name))
        } else if ImageFormat.isRaw(name) {
            content.intake.leave(.raw)
        } else if let format = firstBytes(start, in: descriptor) {
            if format == .other { content.intake.leave(.noImage) } else { content.images.append(Array(name)) }
        } else if errno != ENOENT { // else it was removed just now
            let error = File.error("cannot read", folder.appending(Array(name)))
            guard error.status == .fileError, !failsOnUnreadable else { throw error }
            content.leave(.unreadableFile, error.message + ". It is left out")
        }
    }

    /// The format of a file by its first bytes; nil where it cannot be read, with errno.
    private func firstBytes(_ name: UnsafeRawPointer, in descriptor: Int32) -> ImageFormat? {
        // The file may have become a pipe since, which must not wait for a writer.
        let file = openat(descriptor, name.assumingMemoryBound(to: CChar.self), O_RDONLY | O_NONBLOCK | O_CLOEXEC)
        guard file >= 0 else { return nil }
        defer {
            let number = errno
            close(file)
            errno = number
        }
        return withUnsafeTemporaryAllocation(byteCount: ImageFormat.signatureSize, alignment: 1) { bytes in
            var got = read(file, bytes.baseAddress, bytes.count)
            while got < 0, errno == EINTR { got = read(file, bytes.baseAddress, bytes.count) }
            return got < 0 ? nil : ImageFormat(of: UnsafeRawBufferPointer(rebasing: bytes[..<got]))
        }
    }

    /// Tells the caller, at most ten times a second.
    private final class Reports {
        private let report: ((Int) -> Bool)?
        private var next = 0.0

        init(_ report: ((Int) -> Bool)?) { self.report = report }

        func found(_ count: Int) throws {
            guard let report, monotonicSeconds() >= next else { return }
            guard report(count) else {
                throw FNEError(.cancelled, "the listing was cancelled after \(count) images")
            }
            next = monotonicSeconds() + 0.1
        }
    }
}

/// Whether an entry is "." or "..", by which each folder lists itself and the one above.
private func isFolderItself(_ name: UnsafeRawBufferPointer) -> Bool {
    name[1] == 0 || name[1] == UInt8(ascii: ".") && name[2] == 0
}

/// The order of paths by their bytes.
private func precedes(_ a: [UInt8], _ b: [UInt8]) -> Bool {
    let order = a.withUnsafeBytes { a in
        b.withUnsafeBytes { b in
            guard let start = a.baseAddress, let other = b.baseAddress else { return Int32(0) }
            return memcmp(start, other, min(a.count, b.count))
        }
    }
    return order == 0 ? a.count < b.count : order < 0
}

import FNESupport
import Glibc

/// The JPEG and PNG files below a folder, found by the endings of their names.
///
/// Each real folder is listed once, however many links lead to it. Of its paths, the one with the fewest links is
/// taken, and of these the first by its bytes. So the names do not depend on the order in which a file system lists
/// them. Names that begin with a dot are left out.
struct FolderListing {
    /// The paths of the images below the folder, in the order of their bytes.
    private(set) var names: [[UInt8]] = []
    /// The bytes of all names.
    private var size = 0
    /// The folders below which another file system begins.
    private(set) var mounts: [FilePath] = []

    private let root: FilePath
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
    }

    /// Lists a folder.
    ///
    /// - Parameter report: is called some times a second with the number of images found. Returning false cancels.
    /// - Throws: `.cancelled`; `.fileError` and `.ioError`, with the path of the folder that cannot be read.
    init(of root: FilePath, report: ((Int) -> Bool)? = nil) throws {
        self.root = root
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
            let content = try Patience().trying { try list(folder.path) }
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

    /// Reads one folder. The content has no identity where the folder is listed already.
    private func list(_ path: [UInt8]) throws -> Content {
        let (path, length) = (place(path), path.count)
        func unreadable() -> FNEError {
            let error = File.error("cannot list", path)
            guard error.status == .fileError else { return error }
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
                guard let start = bytes.baseAddress, bytes[0] != UInt8(ascii: ".") else { return }
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
                case Int(DT_REG) where isImage(name): content.images.append(Array(name))
                default: break
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
            case S_IFREG where isImage(name): content.images.append(Array(name))
            default: break
            }
            return
        }
        let error = File.error("cannot follow the link", folder.appending(Array(name)))
        guard error.status == .fileError else { throw error }
        if isImage(name) {
            content.images.append(Array(name))
        } else {
            Log.write(.warning, error.message + ". It is left out")
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

private let endings = [".jpg", ".jpeg", ".jpe", ".jfif", ".png"].map { Array($0.utf8) }

private func isImage(_ name: UnsafeRawBufferPointer) -> Bool {
    func lowered(_ byte: UInt8) -> UInt8 { (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte) ? byte + 32 : byte }
    return endings.contains { ending in
        name.count > ending.count && zip(name.suffix(ending.count), ending).allSatisfy { lowered($0) == $1 }
    }
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

import FNESupport
import Glibc

/// The names of a job's images, in order.
struct ImageList {
    /// The names as bytes, each ended by a zero.
    let bytes: [UInt8]
    /// Where each begins, and the end.
    private let starts: [Int]

    var count: Int { starts.count - 1 }

    /// As a path: bytes that need not be UTF-8.
    func name(_ image: Int) -> ArraySlice<UInt8> { bytes[starts[image]..<starts[image + 1] - 1] }

    func text(_ image: Int) -> String { String(decoding: name(image), as: UTF8.self) }

    var sha256: String { bytes.withUnsafeBytes(FNESupport.sha256) }

    init(_ names: some Sequence<some Sequence<UInt8>>) {
        var (bytes, starts): ([UInt8], [Int]) = ([], [0])
        for name in names {
            bytes += name
            bytes.append(0)
            starts.append(bytes.count)
        }
        self.bytes = bytes
        self.starts = starts
    }

    /// What `bytes` holds.
    init(reading bytes: [UInt8]) throws {
        guard bytes.last ?? 0 == 0 else { throw FNEError(.invalidData, "the list of images ends too early") }
        self.bytes = bytes
        starts = [0] + bytes.indices.filter { bytes[$0] == 0 }.map { $0 + 1 }
    }

    subscript(_ range: Range<Int>) -> ImageList { ImageList(range.lazy.map(name)) }

    // MARK: Sources

    /// What a user names as the images' source: a folder, or a list file. And what relative names are relative to.
    static func read(_ source: FilePath, root: FilePath?) throws -> (list: ImageList, root: FilePath) {
        var facts = stat()
        guard source.systemCall({ stat($0, &facts) }) == 0 else { throw File.error("cannot read", source) }
        if facts.st_mode & S_IFMT == S_IFDIR {
            guard root == nil else {
                throw FNEError(.invalidArgument, "root is for list files; the names of a folder's images are relative to it")
            }
            return (try folder(source), source)
        }
        let list = try file(source)
        guard list.count > 0 else { throw FNEError(.invalidArgument, "the list '\(source)' names no images") }
        return (list, root ?? source.parent)
    }

    /// Names a line each, or, as `find -print0` writes them, each ended by a zero byte.
    private static func file(_ path: FilePath) throws -> ImageList {
        let bytes = try File.contents(path)
        let separator: UInt8 = bytes.contains(0) ? 0 : UInt8(ascii: "\n")
        return ImageList(
            bytes.split(separator: separator).compactMap { line in
                let name = separator != 0 && line.last == UInt8(ascii: "\r") ? line.dropLast() : line
                return name.isEmpty ? nil : name
            })
    }

    private static let endings = [".jpg", ".jpeg", ".jpe", ".jfif", ".png"].map { Array($0.utf8) }

    /// The JPEG and PNG files below a folder, by the ends of their names, in the order of their paths' bytes. Links are
    /// followed; names that begin with a dot are left out.
    private static func folder(_ path: FilePath) throws -> ImageList {
        var names: [[UInt8]] = []
        try visit(path, prefix: [], above: []) { names.append($0) }
        guard !names.isEmpty else {
            throw FNEError(
                .invalidArgument, "the folder '\(path)' holds no JPEG or PNG files (.jpg, .jpeg, .jpe, .jfif, .png)")
        }
        return ImageList(names.sorted { $0.lexicographicallyPrecedes($1) })
    }

    private static func visit(
        _ folder: FilePath, prefix: [UInt8], above: [[UInt]], _ found: ([UInt8]) -> Void
    ) throws {
        var facts = stat()
        guard folder.systemCall({ stat($0, &facts) }) == 0 else { throw File.error("cannot read", folder) }
        let identity = [UInt(facts.st_dev), UInt(facts.st_ino)]
        guard !above.contains(identity) else { return } // a link to a folder that this one is in
        guard let handle = folder.withCString({ $0.flatMap(opendir) }) else { throw File.error("cannot read", folder) }
        defer { closedir(handle) }
        while true {
            errno = 0
            guard let entry = readdir(handle) else {
                guard errno == 0 else { throw File.error("cannot read", folder) }
                return
            }
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { Array($0.prefix { $0 != 0 }) }
            guard name.first != UInt8(ascii: ".") else { continue }
            let path = folder.appending(name)
            guard path.systemCall({ stat($0, &facts) }) == 0 else { continue } // a link to nothing, or gone
            switch facts.st_mode & S_IFMT {
            case S_IFDIR: try visit(path, prefix: prefix + name + [UInt8(ascii: "/")], above: above + [identity], found)
            case S_IFREG where isImage(name): found(prefix + name)
            default: break
            }
        }
    }

    private static func isImage(_ name: [UInt8]) -> Bool {
        let lowered = name.map { (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains($0) ? $0 + 32 : $0 }
        return endings.contains { lowered.count > $0.count && lowered.suffix($0.count) == $0[...] }
    }
}

/// A part of a list: whole batches, so that all parts together are the batches of the whole.
public struct Shard: Equatable, Sendable {
    /// Which part, from 0 on, of how many.
    public let index: Int
    public let count: Int

    /// All images.
    public static let whole = Shard(index: 0, count: 1)

    public init(index: Int, count: Int) {
        self.index = index
        self.count = count
    }

    /// - Throws: `.invalidArgument` for an impossible or an empty part.
    func images(of total: Int, imagesPerBatch: Int) throws -> Range<Int> {
        guard count >= 1, count <= 1 << 20, index >= 0, index < count else {
            throw FNEError(.invalidArgument, "shard \(index) of \(count): the index must be 0 to \(count - 1)")
        }
        let batches = (total - 1) / imagesPerBatch + 1
        let range = batches * index / count * imagesPerBatch..<min(batches * (index + 1) / count * imagesPerBatch, total)
        guard !range.isEmpty else {
            throw FNEError(
                .invalidArgument, "shard \(index) of \(count) is empty: \(total) images are \(batches) batches; take fewer shards")
        }
        return range
    }
}

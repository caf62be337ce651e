import FNESupport
import Glibc

/// The names of a job's images, in order.
struct ImageList {
    /// The names, with a zero byte after each. They are what the file `images.list` holds.
    let bytes: [UInt8]
    /// The place where each name begins in `bytes`, and the end.
    private let starts: [Int]

    var count: Int { starts.count - 1 }

    /// An image's name as a path, whose bytes need not be UTF-8.
    func name(_ image: Int) -> ArraySlice<UInt8> { bytes[starts[image]..<starts[image + 1] - 1] }

    /// An image's name for messages.
    func text(_ image: Int) -> String { String(decoding: name(image), as: UTF8.self) }

    /// The checksum of the whole list.
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

    /// Reads names with a zero byte after each.
    ///
    /// - Throws: `.invalidData` where the last zero is missing.
    init(reading bytes: [UInt8]) throws {
        guard bytes.last ?? 0 == 0 else {
            throw FNEError(.invalidData, "the list of images is damaged. Its last name has no end")
        }
        self.bytes = bytes
        starts = [0] + bytes.indices.filter { bytes[$0] == 0 }.map { $0 + 1 }
    }

    subscript(_ range: Range<Int>) -> ImageList { ImageList(range.lazy.map(name)) }

    // MARK: Sources

    /// Reads the images' source that a user names, which is a folder or a list file. Returns the list, and the folder
    /// that its relative names are relative to.
    ///
    /// - Throws: `.fileError`; `.invalidArgument` for a source without images.
    static func read(_ source: FilePath, root: FilePath?) throws -> (list: ImageList, root: FilePath) {
        var facts = stat()
        guard source.systemCall({ stat($0, &facts) }) == 0 else { throw File.error("cannot read", source) }
        if facts.st_mode & S_IFMT == S_IFDIR {
            guard root == nil else {
                throw FNEError(
                    .invalidArgument,
                    "root is given, but the names of a folder's images are relative to that folder. Omit root")
            }
            return (try folder(source), source)
        }
        let list = try file(source)
        guard list.count > 0 else {
            throw FNEError(.invalidArgument, "the list '\(source)' names no images. Write one name per line")
        }
        return (list, root ?? source.parent)
    }

    /// Reads a list file. It has one name per line, or a zero byte after each name, as `find -print0` writes them.
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

    /// Finds the JPEG and PNG files below a folder by the endings of their names. They come in the order of their
    /// paths' bytes. Links are followed. Names that begin with a dot are left out.
    private static func folder(_ path: FilePath) throws -> ImageList {
        var (names, size): ([[UInt8]], Int) = ([], 0)
        try visit(path, prefix: [], above: []) {
            names.append($0)
            size += $0.count
            try Reserve.prepare(4 * size + 64 * names.count)
        }
        guard !names.isEmpty else {
            throw FNEError(
                .invalidArgument, "the folder '\(path)' holds no JPEG or PNG files (.jpg, .jpeg, .jpe, .jfif, .png)")
        }
        return ImageList(names.sorted { $0.lexicographicallyPrecedes($1) })
    }

    private static func visit(
        _ folder: FilePath, prefix: [UInt8], above: [[UInt]], _ found: ([UInt8]) throws -> Void
    ) throws {
        var facts = stat()
        guard folder.systemCall({ stat($0, &facts) }) == 0 else { throw File.error("cannot read", folder) }
        let identity = [UInt(facts.st_dev), UInt(facts.st_ino)]
        guard !above.contains(identity) else { return } // a link to a folder above this one would never end
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
            guard path.systemCall({ stat($0, &facts) }) == 0 else { continue } // a link to nothing
            switch facts.st_mode & S_IFMT {
            case S_IFDIR: try visit(path, prefix: prefix + name + [UInt8(ascii: "/")], above: above + [identity], found)
            case S_IFREG where isImage(name): try found(prefix + name)
            default: break
            }
        }
    }

    private static func isImage(_ name: [UInt8]) -> Bool {
        let lowered = name.map { (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains($0) ? $0 + 32 : $0 }
        return endings.contains { lowered.count > $0.count && lowered.suffix($0.count) == $0[...] }
    }
}

/// A part of a list of images, for jobs that several machines share. It has whole batches, so that the batches of all
/// parts are those of the whole list.
public struct Shard: Equatable, Sendable {
    /// The number of this part, counted from 0.
    public let index: Int
    /// The number of parts.
    public let count: Int

    /// The only part, with all images.
    public static let whole = Shard(index: 0, count: 1)

    /// A part that is checked when a job is opened.
    public init(index: Int, count: Int) {
        self.index = index
        self.count = count
    }

    /// The images of the part.
    ///
    /// - Throws: `.invalidArgument` for an impossible part, and for an empty one.
    func images(of total: Int, imagesPerBatch: Int) throws -> Range<Int> {
        guard count >= 1, count <= 1 << 20, index >= 0, index < count else {
            throw FNEError(
                .invalidArgument, "there is no shard \(index) of \(count); the index must be 0 to \(count - 1)")
        }
        let batches = (total - 1) / imagesPerBatch + 1
        let range =
            batches * index / count * imagesPerBatch..<min(batches * (index + 1) / count * imagesPerBatch, total)
        guard !range.isEmpty else {
            throw FNEError(
                .invalidArgument,
                "shard \(index) of \(count) is empty: \(total) images are \(batches) batches. Take fewer shards")
        }
        return range
    }
}

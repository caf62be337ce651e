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

    /// Reads the images' source that a user names, which is a folder or a list file.
    ///
    /// - Parameter failsOnUnreadable, report: see `FolderListing`
    /// - Throws: `.fileError`; `.ioError`; `.cancelled`; `.invalidArgument` for a source without images.
    static func read(
        _ source: FilePath, root: FilePath?, failsOnUnreadable: Bool, report: ((Int) -> Bool)?
    ) throws -> ImageSource {
        var facts = stat()
        guard source.systemCall({ stat($0, &facts) }) == 0 else { throw File.error("cannot read", source) }
        if facts.st_mode & S_IFMT == S_IFDIR {
            guard root == nil else {
                throw FNEError(
                    .invalidArgument,
                    "root is given, but the names of a folder's images are relative to that folder. Omit root")
            }
            let listing = try FolderListing(of: source, failsOnUnreadable: failsOnUnreadable, report: report)
            guard !listing.names.isEmpty else {
                let leftOut = listing.intake.leftOut.reduce(0, +)
                throw FNEError(
                    .invalidArgument,
                    "the folder '\(source)' holds no images, such as JPEG, PNG or WebP files. \(leftOut) files and "
                        + "folders were left out" + (listing.unreadable.first.map { ". \($0)" } ?? ""))
            }
            return ImageSource(
                list: ImageList(listing.names), root: source, isFolder: true, mounts: listing.mounts,
                intake: listing.intake,
                unreadable: listing.unreadable)
        }
        let list = try file(source)
        guard list.count > 0 else {
            throw FNEError(.invalidArgument, "the list '\(source)' names no images. Write one name per line")
        }
        return ImageSource(list: list, root: root ?? source.parent)
    }

    /// Reads a list file. It has one name per line, or a zero byte after each name, as `find -print0` writes them.
    /// Editors put a mark before a text in UTF-8, which is no part of the first name.
    private static func file(_ path: FilePath) throws -> ImageList {
        let all = try File.contents(path)
        let hasZero = all.contains(0)
        guard !(hasZero && (all.starts(with: [0xff, 0xfe]) || all.starts(with: [0xfe, 0xff]))) else {
            throw FNEError(.invalidArgument, "the list '\(path)' is a text in UTF-16. Save it as UTF-8")
        }
        let bytes = all.starts(with: [0xef, 0xbb, 0xbf]) ? all[3...] : all[...]
        let separator: UInt8 = hasZero ? 0 : UInt8(ascii: "\n")
        return ImageList(
            bytes.split(separator: separator).compactMap { line in
                let name = separator != 0 && line.last == UInt8(ascii: "\r") ? line.dropLast() : line
                return name.isEmpty ? nil : name
            })
    }
}

/// The images that a job is made of.
struct ImageSource {
    let list: ImageList
    /// The folder that relative names are relative to.
    let root: FilePath
    /// Whether the source is a folder, whose files are its images.
    var isFolder = false
    /// The folders below the root where another file system begins.
    var mounts: [FilePath] = []
    /// What was left out of the folder.
    var intake = Intake()
    /// A sentence about each folder and file that cannot be read and is left out.
    var unreadable: [String] = []
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

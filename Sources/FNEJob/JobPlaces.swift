import FNENetwork
import FNESupport

/// Where a job's network and images were, on the machine that ran it. The file `places.json` holds them. Equal jobs do
/// not share it, so no checksum counts it.
struct JobPlaces {
    /// What the network was opened from.
    var network = NetworkPlace()
    /// Values for inputs beside the image, as "name=value".
    var feeds: [String] = []
    /// The absolute path of the folder that the images' names are relative to; nil where it is not known.
    var images: String?

    /// What a network was opened from.
    struct NetworkPlace {
        /// An absolute path, or the name of the default network; nil where the network was in memory only.
        var model: String?
        /// What was taken of a SavedModel.
        var signature: String?
        var tags: [String]?
    }

    private static let format = "fne-places"

    /// - Parameter source: nil for the file that the model was read from
    init(_ model: Model, from source: Job.ModelSource?, _ images: ImageSource) {
        let path = source.map(\.name) ?? model.file
        network = NetworkPlace(model: path?.validText, signature: source?.signature, tags: source?.tags)
        feeds = model.feeds
        self.images = images.folder()?.validText
    }

    // MARK: Shards

    /// Nothing that is known.
    init() {}

    /// What all shards of a job agree on; nil where none remembers anything.
    init?(common shards: [JobPlaces]) {
        self.init()
        let (nothing, all) = (json, shards.map(\.json))
        guard let first = shards.first, all.contains(where: { $0 != nothing }) else { return nil }
        func agree(on names: [String]) -> Bool {
            all.allSatisfy { one in names.allSatisfy { one[$0] == all[0][$0] } }
        }
        if agree(on: ["model", "signature", "tags", "feeds"]) { (network, feeds) = (first.network, first.feeds) }
        if agree(on: ["images"]) { images = first.images }
    }

    // MARK: The file

    /// Reads the places of a job. A job without the file remembers nothing.
    ///
    /// - Throws: `.invalidData` for a damaged file; `.fileError`.
    init(in files: JobFiles) throws {
        let path = files.path(JobFiles.places)
        guard try File.exists(path) else { return }
        let json = try File.read(path) { bytes in // the errors name the file
            try Reserve.prepare(bytes.count)
            return try JSON(reading: Array(bytes))
        }
        func damaged(_ name: String) -> FNEError {
            FNEError(.invalidData, "'\(path)' is damaged: \(name) is missing or wrong")
        }
        func text(_ name: String) throws -> String? {
            guard let value = json[name], value == .null || value.text != nil else { throw damaged(name) }
            return value.text
        }
        func texts(_ name: String) throws -> [String]? {
            guard let value = json[name] else { throw damaged(name) }
            guard value != .null else { return nil }
            let found = value.array?.map(\.text) ?? [nil]
            guard !found.contains(nil) else { throw damaged(name) }
            return found.compactMap { $0 }
        }
        guard try text("format") == Self.format else { throw damaged("format") }
        network = try NetworkPlace(model: text("model"), signature: text("signature"), tags: texts("tags"))
        guard let feeds = try texts("feeds") else { throw damaged("feeds") }
        self.feeds = feeds
        images = try text("images")
    }

    /// The file's content. Places are compared by it, as bytes: Swift takes paths for equal that differ in the form of
    /// their characters.
    private var json: JSON {
        func json(_ text: String?) -> JSON { text.map(JSON.text) ?? .null }
        return .object([
            "format": .text(Self.format), "model": json(network.model), "signature": json(network.signature),
            "tags": network.tags.map { .array($0.map(JSON.text)) } ?? .null, "feeds": .array(feeds.map(JSON.text)),
            "images": json(images),
        ])
    }

    /// Writes the places of a finished job. Where this fails, the job itself is whole, so there is a notice.
    func write(to files: JobFiles, _ reports: Job.Reports) {
        let bytes = json.written()
        let path = files.path(JobFiles.places)
        do {
            if let former = try? File.contents(path), former == bytes { return }
            try File.replace(path, with: bytes)
        } catch {
            let reason = (error as? FNEError)?.message ?? "\(error)"
            reports.say(
                "the job in '\(files.folder)' is whole, but where its network and its images are could not be written: "
                    + reason)
        }
    }
}

extension Job {
    /// What a host opened the job's model from, where that is not a file of its own.
    public struct ModelSource: Sendable {
        /// The absolute path of a file or a folder, or a name that the host understands; nil where the network was in
        /// memory only.
        public var name: FilePath?
        /// The signature that was taken of a SavedModel; nil for the only one.
        public var signature: String?
        /// The tags of the part that was taken of a SavedModel; nil for the only part.
        public var tags: [String]?

        /// A network that was in memory only.
        public init() {}
    }
}

extension ImageSource {
    /// The folder that the names are relative to. Of absolute names it is the folder that they have in common. Nil
    /// where the working directory does not exist, and a name is relative to it.
    func folder() -> FilePath? {
        let slash = UInt8(ascii: "/")
        guard list.count > 0, (0..<list.count).allSatisfy({ list.name($0).first == slash }) else {
            return try? root.absolute()
        }
        let first = list.name(0)
        var common = first[..<(first.lastIndex(of: slash) ?? first.startIndex)]
        for image in (0..<list.count).dropFirst() {
            let name = list.name(image)
            let equal = zip(common, name).prefix { $0 == $1 }.count
            guard equal < common.count || name.dropFirst(equal).first != slash else { continue }
            common = common.prefix(equal)
            common = common[..<(common.lastIndex(of: slash) ?? common.startIndex)]
        }
        return FilePath(bytes: common.isEmpty ? [slash] : Array(common))
    }
}

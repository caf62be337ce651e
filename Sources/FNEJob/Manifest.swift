import FNEEmbedding
import FNEImage
import FNENetwork
import FNEPipeline
import FNESupport

/// The content of `manifest.json`: everything that decides a job's bytes, its state and its results. It does not say
/// where and when the job ran, so that equal jobs have equal manifests.
struct Manifest: Equatable {
    /// The images of the job within the whole list.
    struct Images: Equatable {
        /// The place of the first one in the whole list.
        let first: Int
        let count: Int
        /// The number of images in the whole list.
        let total: Int
        /// The checksum of these images' names, as `images.list` holds them.
        let sha256: String
        /// The checksum of the names in the whole list.
        let totalSHA256: String
    }

    /// How the codes are made.
    struct Codes: Equatable {
        let discretization: Discretization
        let formats: CodeFormats
        /// The checksum of the given file of statistics; nil for the job's own statistics.
        let statisticsSHA256: String?
    }

    var state: Job.State
    let images: Images
    /// The images that updates have removed, in order. Their rows stay, as rows of failed images.
    var removed: [Int] = []
    /// The model, the preprocessing, the layers and the choices in computing.
    let settings: JSON
    /// The engines that computed the rows, in order.
    var engines: [EngineRecord]
    let keepsFeatures: Bool
    var codes: Codes?
    /// The numbers of images that were embedded, and that could not be; nil until all were tried.
    var results: (embedded: Int, failed: Int)?
    /// The checksums of the finished files, by their names. The manifest itself and `JobFiles.unrecorded` have none.
    var files: [String: FileChecksum] = [:]

    /// An engine that computed rows.
    struct EngineRecord: Equatable {
        /// The place in the whole list of the first image that it computed.
        let firstImage: Int
        let facts: JSON
    }

    static func == (a: Manifest, b: Manifest) -> Bool { a.json == b.json }

    private func setting(_ name: String) throws -> Int {
        guard let value = settings[name]?.integer, value >= 1 else { throw Self.damaged(name) }
        return value
    }

    func featureCount() throws -> Int { try setting("features") }
    func rowsPerImage() throws -> Int { try setting("rows_per_image") }
    func imagesPerBatch() throws -> Int { max(1, try setting("batch_size") / (try rowsPerImage())) }

    /// The facts of the engine that computed an image's rows.
    ///
    /// - Parameter image: its place in the whole list
    func engine(of image: Int) -> JSON? { engines.last { $0.firstImage <= image }?.facts }

    /// Records that other engines have computed some images' rows.
    ///
    /// - Parameters:
    ///   - now: the engines, from the first of these images on
    ///   - range: the places of the images in the whole list
    mutating func setEngines(_ now: [EngineRecord], of range: Range<Int>) {
        let after = engine(of: range.upperBound)
        engines.removeAll { range.contains($0.firstImage) }
        engines += now.filter { $0.firstImage < range.upperBound }
        let isLast = range.upperBound >= images.first + images.count
        if let after, !isLast, !engines.contains(where: { $0.firstImage == range.upperBound }) {
            engines.append(EngineRecord(firstImage: range.upperBound, facts: after))
        }
        engines.sort { $0.firstImage < $1.firstImage }
    }

    /// The number of rows of all images.
    func rowCount() throws -> Int { try checkedProduct(images.count, rowsPerImage(), of: "rows") }

    /// The files that a job in its state has, in the order of the manifest.
    func fileNames(in state: Job.State) -> [String] {
        let formats = state == .finished ? codes?.formats ?? [] : []
        let ownStatistics = files[JobFiles.statistics] != nil || codes?.statisticsSHA256 == nil
        return [JobFiles.list, JobFiles.images, JobFiles.status] + (keepsFeatures ? [JobFiles.features] : [])
            + (ownStatistics ? [JobFiles.statistics, JobFiles.stats] : [])
            + (formats.contains(.int8) ? [JobFiles.codes] : [])
            + (formats.contains(.packed) ? [JobFiles.packedCodes] : [])
    }

    func layers() throws -> [Layer] {
        guard let layers = settings["layers"]?.array else { throw Self.damaged("layers") }
        return try layers.map {
            guard let layer = Layer($0) else { throw Self.damaged("layers") }
            return layer
        }
    }

    // MARK: The file

    static let fileName = "manifest.json"
    private static let format = "fne-job"
    static let version = 1

    private static func damaged(_ what: String) -> FNEError {
        FNEError(.invalidData, "the manifest is damaged, because '\(what)' is missing or wrong")
    }

    var json: JSON {
        let codes: JSON =
            self.codes.map {
                .object([
                    "lower": .number($0.discretization.lower), "upper": .number($0.discretization.upper),
                    "rules": .text($0.discretization.rules.name),
                    "statistics": .text($0.statisticsSHA256 == nil ? "own" : "given"),
                    "statistics_sha256": $0.statisticsSHA256.map(JSON.text) ?? .null,
                    "formats": .array($0.formats.names.map(JSON.text)),
                ])
            } ?? .null
        return .object([
            "format": .text(Self.format), "version": .integer(Self.version), "state": .text(state.name),
            "images": .object(
                [
                    JSON.Member(name: "count", value: .integer(images.count)),
                    JSON.Member(name: "first", value: .integer(images.first)),
                    JSON.Member(name: "total", value: .integer(images.total)),
                    JSON.Member(name: "sha256", value: .text(images.sha256)),
                    JSON.Member(name: "total_sha256", value: .text(images.totalSHA256)),
                ]
                    + (removed.isEmpty
                        ? [] : [JSON.Member(name: "removed", value: .array(removed.map { .integer($0) }))])),
            "results": results.map {
                .object(["embedded": .integer($0.embedded), "failed": .integer($0.failed)])
            } ?? .null,
            "keeps_features": .flag(keepsFeatures),
            "codes": codes,
            "engines": .array(
                engines.map {
                    guard case .object(let facts) = $0.facts else { return .null }
                    return .object([JSON.Member(name: "first_image", value: .integer($0.firstImage))] + facts)
                }),
            "files": .object(
                fileNames(in: .finished).compactMap { name in
                    files[name].map { JSON.Member(name: name, value: $0.json) }
                }),
            "settings": settings,
        ])
    }

    init(
        state: Job.State, images: Images, settings: JSON, engines: [EngineRecord], keepsFeatures: Bool, codes: Codes?
    ) {
        self.state = state
        self.images = images
        self.settings = settings
        self.engines = engines
        self.keepsFeatures = keepsFeatures
        self.codes = codes
    }

    /// Reads the manifest in a folder.
    ///
    /// - Throws: `.invalidData`, `.fileError`; `.jobBusy` while an update exchanges the files. All name the file.
    init(in folder: FilePath) throws {
        let path = folder.appending(Self.fileName)
        do {
            let bytes = try File.contents(path)
            try self.init(JSON(reading: bytes))
            guard Self.sealed(bytes) == bytes else {
                throw FNEError(
                    .invalidData,
                    "the manifest is damaged, because its own checksum '\(Self.seal)' does not fit it. Take a copy "
                        + "that is whole, or remove the job's folder and run the job again")
            }
        } catch let error as FNEError where [.invalidData, .jobBusy].contains(error.status) {
            throw error.about("'\(path)'")
        }
    }

    private init(_ json: JSON) throws {
        guard json["format"]?.text == Self.format else {
            throw FNEError(.invalidData, "this is no manifest of a libfne job")
        }
        guard json["version"]?.integer == Self.version else {
            throw FNEError(.invalidData, "the job is of another version; this library reads version \(Self.version)")
        }
        guard json["state"]?.text != JobExchange.state else { throw JobExchange.isUnderWay }
        guard let state = json["state"]?.text.flatMap(Job.State.init(name:)) else { throw Self.damaged("state") }
        guard let images = json["images"], let count = images["count"]?.integer, let first = images["first"]?.integer,
            let total = images["total"]?.integer, let sha256 = images["sha256"]?.text,
            let totalSHA256 = images["total_sha256"]?.text, count >= 1, first >= 0, total <= 1 << 40,
            first <= total - count
        else { throw Self.damaged("images") }
        guard let settings = json["settings"], let engines = json["engines"]?.array,
            case .flag(let keepsFeatures) = json["keeps_features"]
        else { throw Self.damaged("settings") }
        self.init(
            state: state,
            images: Images(first: first, count: count, total: total, sha256: sha256, totalSHA256: totalSHA256),
            settings: settings,
            engines: try engines.map {
                guard case .object(let members) = $0, let first = $0["first_image"]?.integer else {
                    throw Self.damaged("engines")
                }
                return EngineRecord(firstImage: first, facts: .object(members.filter { $0.name != "first_image" }))
            },
            keepsFeatures: keepsFeatures, codes: try Self.codes(json["codes"]))
        removed = ((images["removed"] ?? .array([])).array ?? [.null]).map { $0.integer ?? -1 }
        guard removed.allSatisfy({ $0 >= 0 && $0 < count }), zip(removed, removed.dropFirst()).allSatisfy(<) else {
            throw Self.damaged("images.removed")
        }
        guard try featureCount() <= Int(Int32.max), try rowsPerImage() <= 10, try imagesPerBatch() <= 1 << 20,
            try layers().last?.features.upperBound == featureCount()
        else { throw Self.damaged("settings") }
        if let results = json["results"], results != .null {
            guard let embedded = results["embedded"]?.integer, let failed = results["failed"]?.integer else {
                throw Self.damaged("results")
            }
            self.results = (embedded, failed)
        }
        // A job can have statistics of its own besides the given ones that its codes are made with.
        for name in fileNames(in: .finished) + [JobFiles.statistics, JobFiles.stats] {
            guard let json = json["files"]?[name] else { continue }
            guard let checksum = FileChecksum(json) else { throw Self.damaged("files.\(name)") }
            if let (element, shape) = try matrix(name) {
                let size = try checkedProduct(of: shape + [element.size], name)
                guard checksum.count == NumPyFile.headerSize + size else { throw Self.damaged("files.\(name).bytes") }
            }
            files[name] = checksum
        }
        guard state == .running || results != nil else { throw Self.damaged("results") }
        if let missing = state == .running ? nil : fileNames(in: state).first(where: { files[$0] == nil }) {
            throw Self.damaged("files.\(missing)")
        }
    }

    private static func codes(_ json: JSON?) throws -> Codes? {
        guard let json, json != .null else { return nil }
        func number(_ name: String) -> Double? {
            switch json[name] {
            case .number(let number): number
            case .integer(let number): Double(number)
            default: nil
            }
        }
        guard let lower = number("lower"), let upper = number("upper"), let formats = json["formats"]?.array,
            let rules = Discretization.Rules.allCases.first(where: { $0.name == json["rules"]?.text })
        else { throw damaged("codes") }
        return Codes(
            discretization: try Discretization(lower: lower, upper: upper, rules: rules),
            formats: CodeFormats(names: formats.compactMap(\.text)), statisticsSHA256: json["statistics_sha256"]?.text)
    }

    /// The name of the last member, which is the SHA-256 of the manifest with 64 zeros in the place of its digits.
    private static let seal = "manifest_sha256"

    /// - Parameter state: the name of a state that no finished job has; nil for the manifest's own
    func write(to folder: FilePath, state: String? = nil) throws {
        guard case .object(var members) = json else { return }
        if let state {
            members = members.map { $0.name == "state" ? JSON.Member(name: $0.name, value: .text(state)) : $0 }
        }
        let seal = JSON.Member(name: Self.seal, value: .text(String(repeating: "0", count: 64)))
        try File.replace(folder.appending(Self.fileName), with: Self.sealed(JSON.object(members + [seal]).written()))
    }

    /// The text of a manifest with the right digits in its last member.
    private static func sealed(_ text: [UInt8]) -> [UInt8] {
        let end = Array("\"\n}\n".utf8)
        let digits = text.count - end.count - 64
        guard digits > 0 else { return [] }
        var result = text
        result.replaceSubrange(digits..<digits + 64, with: repeatElement(UInt8(ascii: "0"), count: 64))
        let start = Array("\"\(seal)\": \"".utf8)
        guard result[..<digits].suffix(start.count) == start[...], result.suffix(end.count) == end[...] else {
            return []
        }
        let sum = result.withUnsafeBytes(sha256)
        result.replaceSubrange(digits..<digits + 64, with: sum.utf8)
        return result
    }

    // MARK: Comparing

    /// The first difference of two values in words, such as "input.height is 224 there and 192 here"; nil for equal
    /// ones.
    static func difference(_ here: JSON, _ there: JSON, _ name: String = "") -> String? {
        guard here != there else { return nil }
        switch (here, there) {
        case (.object(let a), .object(let b)):
            for member in a {
                let path = name.isEmpty ? member.name : "\(name).\(member.name)"
                if let found = difference(member.value, there[member.name] ?? .null, path) { return found }
            }
            return b.first { here[$0.name] == nil }.map { "\(name.isEmpty ? "" : name + ".")\($0.name) is missing" }
        case (.array(let a), .array(let b)):
            if a.count != b.count { return "\(name) has \(b.count) items there and \(a.count) here" }
            return zip(a, b).enumerated().lazy.compactMap { difference($1.0, $1.1, "\(name)[\($0)]") }.first
        default:
            func shown(_ value: JSON) -> String {
                String(decoding: value.written().dropLast().prefix(80), as: UTF8.self)
            }
            return "\(name) is \(shown(there)) there and \(shown(here)) here"
        }
    }
}

/// The formats that a job writes its codes in. Each format is a file.
public struct CodeFormats: OptionSet, Sendable {
    /// One bit per format. The numbers are those of `FNE_CODES_*` in `include/fne.h`.
    public let rawValue: Int32

    /// Formats from their bits.
    public init(rawValue: Int32) { self.rawValue = rawValue }

    /// The file `codes.npy`, int8 [rows, F].
    public static let int8 = CodeFormats(rawValue: 1)
    /// The file `codes_packed.npy`, uint64 [rows, 2, (F + 63) / 64]. `PackedCodes` describes the two planes of a row.
    public static let packed = CodeFormats(rawValue: 2)

    private static let named: [(CodeFormats, String)] = [(.int8, "int8"), (.packed, "packed")]

    var names: [String] { Self.named.filter { contains($0.0) }.map(\.1) }

    init(names: [String]) { self.init(Self.named.filter { names.contains($0.1) }.map(\.0)) }
}

extension Discretization.Rules {
    var name: String {
        switch self {
        case .documented: "documented"
        case .torch: "torch"
        }
    }
}

// MARK: - Names in the manifest

extension Job.State {
    var name: String {
        switch self {
        case .running: "running"
        case .features: "features"
        case .finished: "finished"
        }
    }

    init?(name: String) {
        guard let state = Self.allCases.first(where: { $0.name == name }) else { return nil }
        self = state
    }
}

extension ResizeMode {
    var name: String {
        switch self {
        case .stretch: "stretch"
        case .shortestSide: "shortest_side"
        }
    }
}

extension Interpolation {
    var name: String {
        switch self {
        case .bilinear: "bilinear"
        case .antialiased: "antialiased"
        case .bicubic: "bicubic"
        }
    }
}

extension DecodeMode {
    var name: String {
        switch self {
        case .full: "full"
        case .scaled: "scaled"
        }
    }
}

extension ChannelOrder {
    var name: String {
        switch self {
        case .rgb: "rgb"
        case .bgr: "bgr"
        }
    }
}

extension Precision {
    var name: String {
        switch self {
        case .float32: "float32"
        case .bfloat16: "bfloat16"
        }
    }
}

// MARK: - Everything that decides the bytes

extension Extractor {
    /// The model, the preprocessing, the layers and the choices in computing, as the manifest holds them. Choices that
    /// most jobs leave open stand there only where they are made.
    func settings(of model: Model) -> JSON {
        guard case .object(let members) = commonSettings(of: model) else { return .null }
        var chosen: [JSON.Member] = []
        if tokens.pooling != .mean {
            chosen.append(JSON.Member(name: "token_pooling", value: .text(tokens.pooling.name)))
        }
        if tokens.pooling.takesRest {
            chosen.append(JSON.Member(name: "prefix_tokens", value: .integer(tokens.prefix)))
        }
        if preprocessing.decode != .full {
            chosen.append(JSON.Member(name: "decode", value: .text(preprocessing.decode.name)))
        }
        return .object(members + chosen)
    }

    private func commonSettings(of model: Model) -> JSON {
        let p = preprocessing
        func triple(_ values: (Float, Float, Float)) -> JSON {
            .array([values.0, values.1, values.2].map { .number(Double($0)) })
        }
        let isBFloat16 = arithmetic.precision == .bfloat16
        return .object([
            "model": .object([
                "sha256": .text(model.checksum), "bytes": .integer(model.byteCount),
                "feeds": .array(model.feeds.map(JSON.text)),
            ]),
            "input": .object([
                "tensor": .text(inputName), "height": .integer(height), "width": .integer(width),
                "crops": .integer(rowsPerImage), "resize_mode": .text(p.mode.name),
                "resize_height": .integer(p.target.height), "resize_width": .integer(p.target.width),
                "interpolation": .text(p.interpolation.name),
                "channels": .integer(channels), "channel_order": .text(p.channelOrder.name),
                "mean": triple(p.mean), "scale": triple(p.scale),
            ]),
            "image_options": .object([
                "max_bytes": .integer(p.imageOptions.maxBytes), "max_pixels": .integer(p.imageOptions.maxPixels),
                "max_chunk_bytes": .integer(p.imageOptions.maxChunkBytes),
                "max_side": .integer(p.imageOptions.maxSide),
                "max_expansion": .integer(p.imageOptions.maxExpansion),
                "max_scans": .integer(p.imageOptions.maxScans),
                "tolerate_truncation": .flag(p.imageOptions.toleratesTruncation),
            ]),
            "precision": .text(arithmetic.precision.name),
            "float32_layers": isBFloat16 ? .integer(arithmetic.float32Layers) : .null,
            "batch_size": .integer(batchSize), "engine_threads": .integer(arithmetic.engineThreads),
            "batch_statistics": batchStatistics.map {
                .object(["node": .text($0.node), "operation": .text($0.operation), "count": .integer($0.count)])
            } ?? .null,
            "rows_per_image": .integer(rowsPerImage), "features": .integer(featureCount),
            "layers": .array(layers.map(\.json)),
        ])
    }

    /// Facts about the engine and the machine that the last bits of a row can depend on, as a line of JSON.
    public var engineDescription: String { String(decoding: engineFacts.line(), as: UTF8.self) }

    /// The same as a value.
    var engineFacts: JSON { .object(engine.facts + [JSON.Member(name: "libfne", value: .text(libraryVersion))]) }
}

import FNEEmbedding
import FNEImage
import FNENetwork
import FNEPipeline
import FNESupport

/// What `manifest.json` says of a job: what decides its bytes, how far it is, what came out. Nothing of where and when it
/// ran, so that equal jobs have equal manifests.
struct Manifest: Equatable {
    /// Which images of the whole list.
    struct Images: Equatable {
        let first: Int
        let count: Int
        let total: Int
        /// Of the names as `images.list` holds them: these images', and the whole list's.
        let sha256: String
        let totalSHA256: String
    }

    /// How codes are made.
    struct Codes: Equatable {
        let discretization: Discretization
        let formats: CodeFormats
        /// Of the file of given statistics; nil: the job's own.
        let statisticsSHA256: String?
    }

    var state: Job.State
    let images: Images
    /// Model, preprocessing, layers and the kind of arithmetic.
    let settings: JSON
    /// What computed the rows: from which image of the whole list on, and with what.
    var engines: [EngineRecord]
    let keepsFeatures: Bool
    var codes: Codes?
    /// Images that were embedded, and that could not be.
    var results: (embedded: Int, failed: Int)?

    /// What computed the rows from an image on.
    struct EngineRecord: Equatable {
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

    func layers() throws -> [Layer] {
        guard let layers = settings["layers"]?.array else { throw Self.damaged("layers") }
        return try layers.map { layer in
            guard let name = layer["name"]?.text, let rank = layer["rank"]?.integer,
                let kind = TensorKind.allCases.first(where: { $0.name == layer["kind"]?.text }),
                let first = layer["first_feature"]?.integer, let count = layer["features"]?.integer, first >= 0, count >= 1,
                first <= Int(Int32.max), count <= Int(Int32.max)
            else { throw Self.damaged("layers") }
            return Layer(name: name, kind: kind, rank: rank, features: first..<first + count)
        }
    }

    // MARK: The file

    static let fileName = "manifest.json"
    private static let format = "fne-job"
    static let version = 1

    private static func damaged(_ what: String) -> FNEError {
        FNEError(.invalidData, "the manifest is damaged: \(what) is missing or wrong")
    }

    var json: JSON {
        let codes: JSON = self.codes.map {
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
            "images": .object([
                "count": .integer(images.count), "first": .integer(images.first), "total": .integer(images.total),
                "sha256": .text(images.sha256), "total_sha256": .text(images.totalSHA256),
            ]),
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

    /// - Throws: `.invalidData`, `.fileError`, naming the file.
    init(in folder: FilePath) throws {
        let path = folder.appending(Self.fileName)
        do {
            try self.init(JSON(reading: File.contents(path)))
        } catch let error as FNEError where error.status == .invalidData {
            throw error.about("'\(path)'")
        }
    }

    private init(_ json: JSON) throws {
        guard json["format"]?.text == Self.format else { throw FNEError(.invalidData, "this is no job of libfne") }
        guard json["version"]?.integer == Self.version else {
            throw FNEError(.invalidData, "a job of another version; this library reads version \(Self.version)")
        }
        guard let state = json["state"]?.text.flatMap(Job.State.init(name:)) else { throw Self.damaged("state") }
        guard let images = json["images"], let count = images["count"]?.integer, let first = images["first"]?.integer,
            let total = images["total"]?.integer, let sha256 = images["sha256"]?.text,
            let totalSHA256 = images["total_sha256"]?.text, count >= 1, first >= 0, total <= 1 << 40, first <= total - count
        else { throw Self.damaged("images") }
        guard let settings = json["settings"], let engines = json["engines"]?.array,
            case .flag(let keepsFeatures) = json["keeps_features"]
        else { throw Self.damaged("settings") }
        self.init(
            state: state,
            images: Images(first: first, count: count, total: total, sha256: sha256, totalSHA256: totalSHA256),
            settings: settings,
            engines: try engines.map {
                guard case .object(let members) = $0, let first = $0["first_image"]?.integer else { throw Self.damaged("engines") }
                return EngineRecord(firstImage: first, facts: .object(members.filter { $0.name != "first_image" }))
            },
            keepsFeatures: keepsFeatures, codes: try Self.codes(json["codes"]))
        guard try featureCount() <= Int(Int32.max), try rowsPerImage() <= 10, try imagesPerBatch() <= 1 << 20,
            try layers().last?.features.upperBound == featureCount()
        else { throw Self.damaged("settings") }
        if let results = json["results"], results != .null {
            guard let embedded = results["embedded"]?.integer, let failed = results["failed"]?.integer else {
                throw Self.damaged("results")
            }
            self.results = (embedded, failed)
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

    func write(to folder: FilePath) throws { try File.replace(folder.appending(Self.fileName), with: json.written()) }

    // MARK: Comparing

    /// The first member in which two values differ, such as "input.height is 224 there and 192 here".
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

/// In which files a job's codes are.
public struct CodeFormats: OptionSet, Sendable {
    public let rawValue: Int32

    public init(rawValue: Int32) { self.rawValue = rawValue }

    /// `codes.npy`, int8 [rows, F].
    public static let int8 = CodeFormats(rawValue: 1)
    /// `codes_packed.npy`, uint64 [rows, 2, (F + 63) / 64]: the planes of what is not 0, and of what is -1.
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

// MARK: - What decides the bytes

extension Extractor {
    /// Model, preprocessing, layers and the kind of arithmetic, as the manifest holds them.
    func settings(of model: Model) -> JSON {
        let p = preprocessing
        func triple(_ values: (Float, Float, Float)) -> JSON {
            .array([values.0, values.1, values.2].map { .number(Double($0)) })
        }
        let isBFloat16 = arithmetic.precision == .bfloat16
        return .object([
            "model": .object([
                "sha256": .text(model.serialized.withBytes(sha256)), "bytes": .integer(model.serialized.count),
            ]),
            "input": .object([
                "tensor": .text(inputName), "height": .integer(height), "width": .integer(width),
                "crops": .integer(rowsPerImage), "resize_mode": .text(p.mode.name),
                "resize_height": .integer(p.target.height), "resize_width": .integer(p.target.width),
                "interpolation": .text(p.interpolation.name),
                "channel_order": .text(p.channelOrder.name),
                "mean": triple(p.mean), "scale": triple(p.scale),
            ]),
            "image_options": .object([
                "max_bytes": .integer(p.imageOptions.maxBytes), "max_pixels": .integer(p.imageOptions.maxPixels),
                "max_chunk_bytes": .integer(p.imageOptions.maxChunkBytes),
                "max_scans": .integer(p.imageOptions.maxScans),
                "tolerate_truncation": .flag(p.imageOptions.toleratesTruncation),
            ]),
            "precision": .text(arithmetic.precision.name),
            "float32_layers": isBFloat16 ? .integer(arithmetic.float32Layers) : .null,
            "batch_size": .integer(batchSize), "engine_threads": .integer(arithmetic.engineThreads),
            "rows_per_image": .integer(rowsPerImage), "features": .integer(featureCount),
            "layers": .array(
                layers.map {
                    .object([
                        "name": .text($0.name), "kind": .text($0.kind.name), "rank": .integer($0.rank),
                        "first_feature": .integer($0.features.lowerBound), "features": .integer($0.features.count),
                    ])
                }),
        ])
    }

    /// What computes, as far as the last bits can depend on it.
    var engineFacts: JSON { .object(engine.facts + [JSON.Member(name: "libfne", value: .text(libraryVersion))]) }
}

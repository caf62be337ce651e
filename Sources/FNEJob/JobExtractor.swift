import FNEImage
import FNENetwork
import FNEPipeline
import FNESupport
import Glibc

extension Job {
    /// An extractor that makes the same rows as the job, for further images.
    ///
    /// - Parameters:
    ///   - model: the job's model; nil for the file that it was read from when the job ran
    ///   - options: the decoder, the threads, the streams, the device, the goal, and what happens to a bad image. All
    ///     else is the job's. With the goal `latency` an image is not padded to the job's batch, unless rows depend on
    ///     their batch. The last bits of its row may then be others than in the job.
    /// - Throws: `.jobMismatch` where the model is not the job's; `.fileError` where no model is given and the job's is
    ///   not there any more; `.invalidData`; as `Extractor`.
    public func extractor(_ model: Model? = nil, _ options: Extractor.Options = Extractor.Options()) throws -> Extractor
    {
        let given = try model ?? rememberedModel()
        let saved = try SavedSettings(Manifest(in: folder).settings)
        guard given.checksum == (try saved.text("model", "sha256")) else {
            throw FNEError(.jobMismatch, "the model is not the one that the job in '\(folder)' was made with")
        }
        let model = try given.feeds.isEmpty ? given.feeding(saved.texts("model", "feeds")) : given
        let extractor = try Extractor(model, saved.extractorOptions(from: options))
        if let difference = saved.difference(from: extractor.settings(of: model), options.goal) {
            throw FNEError(.jobMismatch, "the extractor is not that of the job in '\(folder)': \(difference)")
        }
        return extractor
    }

    /// The network, read from the file that it was read from when the job ran.
    private func rememberedModel() throws -> Model {
        let way = "Pass the model"
        guard let path = try JobPlaces(in: JobFiles(folder: folder)).network.model else {
            throw FNEError(.fileError, "the job in '\(folder)' does not say where its network is. \(way)")
        }
        let facts = FilePath(path).facts()
        guard path.utf8.first == UInt8(ascii: "/"), facts.map({ $0.st_mode & S_IFMT == S_IFREG }) ?? true else {
            throw FNEError(
                .fileError, "the network of the job in '\(folder)' was made of '\(path)', which is no file. \(way)")
        }
        return try Model(file: FilePath(path))
    }
}

/// A manifest's settings, read back. Nothing of them is believed.
private struct SavedSettings {
    private let json: JSON

    init(_ settings: JSON) { json = settings }

    private func damaged(_ path: [String]) -> FNEError {
        FNEError(
            .invalidData,
            "the manifest is damaged, because 'settings.\(path.joined(separator: "."))' is missing or wrong")
    }

    private func value<Value>(_ path: [String], _ read: (JSON) -> Value?) throws -> Value {
        var found: JSON? = json
        for name in path { found = found?[name] }
        guard let value = found.flatMap(read) else { throw damaged(path) }
        return value
    }

    func text(_ path: String...) throws -> String { try value(path) { $0.text } }

    func texts(_ path: String...) throws -> [String] {
        let texts = try value(path) { $0.array }
        return try texts.map {
            guard let text = $0.text else { throw damaged(path) }
            return text
        }
    }

    /// A number from 0 to the largest that the interface takes.
    private func count(_ path: String...) throws -> Int {
        let number = try value(path) { $0.integer }
        guard number >= 0, number <= 1 << 40 else { throw damaged(path) }
        return number
    }

    private func size(_ path: String...) throws -> Int {
        let number = try value(path) { $0.integer }
        guard number >= 1, number <= Int(Int32.max) else { throw damaged(path) }
        return number
    }

    private func choice<Value>(_ values: [Value], _ name: (Value) -> String, _ path: String...) throws -> Value {
        let text = try value(path) { $0.text }
        guard let found = values.first(where: { name($0) == text }) else { throw damaged(path) }
        return found
    }

    private func triple(_ path: String...) throws -> (Float, Float, Float) {
        let numbers = try value(path) { $0.array }.map { json -> Float in
            switch json {
            case .number(let number): return Float(number)
            case .integer(let number): return Float(number)
            default: throw damaged(path)
            }
        }
        guard numbers.count == 3 else { throw damaged(path) }
        return (numbers[0], numbers[1], numbers[2])
    }

    private func imageOptions() throws -> ImageOptions {
        var result = ImageOptions()
        result.maxBytes = try count("image_options", "max_bytes")
        result.maxPixels = try count("image_options", "max_pixels")
        result.maxChunkBytes = try count("image_options", "max_chunk_bytes")
        result.maxSide = try count("image_options", "max_side")
        result.maxExpansion = try count("image_options", "max_expansion")
        result.maxScans = try count("image_options", "max_scans")
        result.toleratesTruncation = try value(["image_options", "tolerate_truncation"]) {
            if case .flag(let flag) = $0 { flag } else { nil }
        }
        try result.check()
        return result
    }

    /// The options of the job's extractor. What does not decide a row is taken from the given ones.
    func extractorOptions(from given: Extractor.Options) throws -> Extractor.Options {
        var result = given
        result.feeds = []
        result.inputTensor = try text("input", "tensor")
        result.layers = try value(["layers"]) { $0.array }.map {
            guard let name = $0["name"]?.text else { throw damaged(["layers"]) }
            return name
        }
        (result.height, result.width) = (try size("input", "height"), try size("input", "width"))
        result.resizeMode = try choice([.stretch, .shortestSide], \.name, "input", "resize_mode")
        result.resizeHeight = try size("input", "resize_height")
        result.resizeWidth = try size("input", "resize_width")
        result.interpolation = try choice([.bilinear, .antialiased, .bicubic], \.name, "input", "interpolation")
        guard let crops = Crops(rawValue: try size("input", "crops")) else { throw damaged(["input", "crops"]) }
        result.crops = crops
        result.channels = try size("input", "channels")
        result.channelOrder = try choice([.rgb, .bgr], \.name, "input", "channel_order")
        (result.mean, result.scale) = (try triple("input", "mean"), try triple("input", "scale"))
        result.imageOptions = try imageOptions()
        // One image at a time is not padded to the job's batch, unless its rows depend on their batch.
        let ownBatches = given.goal != .latency || json["batch_statistics"].map { $0 != .null } ?? false
        result.batchSize = ownBatches ? try size("batch_size") : nil
        result.padsBatches = ownBatches
        result.precision = try choice([.float32, .bfloat16], \.name, "precision")
        result.float32Layers = result.precision == .bfloat16 ? try count("float32_layers") : nil
        if json["token_pooling"] != nil {
            result.tokenPooling = try choice(Array(TokenPooling.allCases), \.name, "token_pooling")
        }
        if json["prefix_tokens"] != nil { result.prefixTokens = try size("prefix_tokens") }
        result.decode = json["decode"] == nil ? .full : try choice([.full, .scaled], \.name, "decode")
        return result
    }

    /// The first difference of what decides a row, in words; nil for none. The engine's threads are the process's.
    func difference(from settings: JSON, _ goal: Goal) -> String? {
        var deciding = [
            "input", "decode", "image_options", "precision", "float32_layers", "batch_size", "rows_per_image", "layers",
        ]
        if goal == .latency { deciding.removeAll { $0 == "batch_size" } }
        for name in deciding {
            let (here, there) = (settings[name] ?? .null, json[name] ?? .null)
            if let found = Manifest.difference(here, there, name) { return found }
        }
        return nil
    }
}

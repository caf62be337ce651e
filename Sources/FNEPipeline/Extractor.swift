import CKernels
import FNEImage
import FNENetwork
import FNESupport
import Glibc

/// A model that is prepared for one input size and a list of layers. It turns images into rows of float32 features, one
/// row per image, or ten with ten crops. A feature is a channel of a layer, averaged over height and width. Any number
/// of threads may call `extract` at once.
public final class Extractor: @unchecked Sendable {
    /// The layers of a row, in the order of its columns.
    public let layers: [Layer]
    /// The tensor that images are fed to.
    public let inputName: String
    /// Rows per run of the network.
    public let batchSize: Int
    /// Batches that are in the network at once.
    public let streams: Int
    /// What makes a row depend on the other images of its batch, such as batch normalization in training mode. Nil
    /// where nothing is known to.
    public let batchStatistics: BatchStatistics?
    /// The network input's height in pixels.
    public var height: Int { preprocessing.input.height }
    /// The network input's width in pixels.
    public var width: Int { preprocessing.input.width }
    /// The numbers per pixel that the network is fed with: 3, or 1 for grey.
    public var channels: Int { preprocessing.channels }
    /// The numbers that the network is fed with for one row: height * width * channels.
    package var imageSize: Int { preprocessing.cropValueCount }
    /// Whether the network reads whole numbers, so that it is fed with the pixels as they are.
    public var readsWholeNumbers: Bool { wholeNumbers != nil }
    /// Rows per image. There is 1, or 10 with ten crops.
    public var rowsPerImage: Int { preprocessing.crops.rawValue }
    /// F, the number of features in a row.
    public var featureCount: Int { engine.featureCount }

    /// How pixels become the network's input.
    package let preprocessing: Preprocessing
    /// The choices in computing that results depend on.
    package let arithmetic: Arithmetic
    /// How tokens become features.
    package let tokens: Tokens
    /// What runs the network.
    package let engine: any Engine
    /// What a network that reads whole numbers can be fed with; nil where it reads real numbers.
    let wholeNumbers: ClosedRange<Float>?
    let loaderThreads: Int
    /// Whether a batch may be smaller than `batchSize`, so that each stream has one.
    let mayShrinkBatches: Bool
    let onError: OnError
    let decoder: ImageDecoder?
    let process = getpid()

    /// Opens the engine that runs the model. Its library is loaded if it is not loaded yet. The log warns of a network
    /// with `batchStatistics`.
    ///
    /// - Throws: `.unknownTensor`, `.unsupportedTensor`, `.invalidArgument`, `.invalidGraph`, `.backendUnavailable`,
    ///   `.backendConflict`, `.backendError`, `.forked`.
    public init(_ model: Model, _ options: Options = Options()) throws {
        let model = try model.feeding(options.feeds)
        try Reserve.prepare(model.structureSize * Model.reservePerByte)
        if options.layers.isEmpty { for note in model.notes { Log.write(.warning, note) } }
        let input = try model.input(named: options.inputTensor)
        let selected = try LayerSelection.resolve(options.layers, in: model)
        preprocessing = try Preprocessing(options, input)
        wholeNumbers = input.wholeNumbers
        if let wanted = options.batchSize, let fixed = input.batch, wanted != fixed {
            throw FNEError(
                .invalidArgument, "batch_size is \(wanted), but the graph's input has a fixed batch size of \(fixed)")
        }
        loaderThreads = options.loaderThreads ?? Self.defaultLoaderThreads
        mayShrinkBatches = options.batchSize == nil && input.batch == nil && !options.padsBatches
        for (name, value, limit) in [
            ("batch_size", options.batchSize ?? input.batch ?? 1, 65_536), ("loader_threads", loaderThreads, 1_024),
            ("engine_threads", options.engineThreads ?? 1, 1_024), ("streams", options.streams ?? 1, 1_024),
            ("prefix_tokens", options.prefixTokens, 65_536),
        ] where value < 1 || value > limit {
            throw FNEError(.invalidArgument, "\(name) is \(value); it must be 1 to \(limit)")
        }

        let network = try EngineFactory.open(
            model, input: input, layers: selected, height: preprocessing.input.height, width: preprocessing.input.width,
            channels: preprocessing.channels, options.engine)
        engine = network.engine
        layers = network.layers
        arithmetic = network.arithmetic
        batchSize = network.batchSize
        streams = network.streams
        batchStatistics = network.batchStatistics
        inputName = input.name.text
        tokens = options.tokens
        onError = options.onError
        decoder = options.decoder
        if let batchStatistics { Log.write(.warning, batchStatistics.sentence) }
    }

    /// Whether bad images are skipped instead of ending the call.
    public var skipsBadImages: Bool { onError == .skip }

    /// Whether an image's error ends the call. An error of the machine always does, since the image may be good.
    func endsTheRun(_ error: FNEError) -> Bool { !skipsBadImages || error.status.isOfTheMachine }

    private static var defaultLoaderThreads: Int { min(Int(ck_processor_count()), 16) }

    /// An extractor with an engine that is already open.
    init(engine: any Engine, layers: [Layer], preprocessing: Preprocessing, options: Options) {
        self.engine = engine
        self.layers = layers
        self.preprocessing = preprocessing
        wholeNumbers = nil
        inputName = options.inputTensor ?? ""
        batchSize = options.batchSize ?? EngineDefaults.batchSize
        mayShrinkBatches = options.batchSize == nil && !options.padsBatches
        arithmetic = Arithmetic()
        batchStatistics = nil
        tokens = options.tokens
        streams = options.streams ?? 1
        loaderThreads = options.loaderThreads ?? Self.defaultLoaderThreads
        onError = options.onError
        decoder = options.decoder
    }
}

import CKernels
import FNEEmbedding
import FNEImage
import FNENetwork
import FNESupport
import Glibc

/// A model prepared for one input size and a list of layers: it turns images into pooled float32 features, one row an
/// image. Any number of threads may call `extract` at once.
public final class Extractor: @unchecked Sendable {
    /// What is done with an image that cannot be read.
    public enum OnError: Int32, Sendable {
        /// The first bad image ends the call with its error.
        case fail = 0
        /// A bad image's row is filled with NaN and reported, and the call goes on.
        case skip = 1
    }

    /// Layers, size, preprocessing, precision and threads; what stands here are the defaults.
    public struct Options: Sendable {
        /// Nil: the graph's only float32 placeholder.
        public var inputTensor: String?
        /// Names, globs, "all", "last:25%"; empty: all default layers.
        public var layers: [String] = []
        /// Input pixels; nil: as the graph's placeholder says.
        public var height: Int?
        public var width: Int?
        public var resizeMode = ResizeMode.stretch
        /// What pictures are resized to before they are cropped to the input's size; nil: the input's size, or with ten
        /// crops 8/7 of it (256 for 224).
        public var resizeHeight: Int?
        public var resizeWidth: Int?
        public var interpolation = Interpolation.bilinear
        /// Each crop of an image is a row.
        public var crops = Crops.centre
        public var imageOptions = ImageOptions()
        public var channelOrder = ChannelOrder.rgb
        /// Fed = (pixel - mean) * scale in float32, for each channel in the order fed; pixels are 0 to 255.
        public var mean: (Float, Float, Float) = (0, 0, 0)
        public var scale: (Float, Float, Float) = (1, 1, 1)
        /// Rows a run of the network; nil: as the graph's placeholder says, else 4 (32 on a GPU), and fewer where a call
        /// has too few images to keep all streams busy.
        public var batchSize: Int?
        /// Fill a batch that has too few images up with zeros, so that the network always sees `batchSize` rows: a row's bits
        /// then do not depend on how many images a call has.
        public var padsBatches = false
        /// Nil: one a processor, at most 16.
        public var loaderThreads: Int?
        /// Batches that are in the network at once, each on a thread of its own; nil: one a processor, or the processors
        /// divided by `engineThreads`, at most 64; 2 on a GPU.
        public var streams: Int?
        /// Threads that one operation of the network is spread over; nil: 1. The first extractor of a process decides.
        public var engineThreads: Int?
        public var device = Device.automatic
        /// Take a GPU's memory as it is needed, instead of nearly all of it at once. The first session of a process decides.
        public var growsGPUMemory = false
        public var precision = Precision.float32
        /// With bfloat16, the first layers that stay float32; nil: 2.
        public var float32Layers: Int?
        public var onError = OnError.fail

        public init() {}
    }

    /// The layers of a row, in the order of its columns.
    public let layers: [Layer]
    /// The tensor that images are fed to.
    public let inputName: String
    /// Rows of a run of the network.
    public let batchSize: Int
    /// Batches that are in the network at once.
    public let streams: Int
    /// Pixels that images are resized to.
    public var height: Int { preprocessing.input.height }
    public var width: Int { preprocessing.input.width }
    /// Rows of an image: 1, or 10.
    public var rowsPerImage: Int { preprocessing.crops.rawValue }
    /// F, the features of a row.
    public var featureCount: Int { engine.featureCount }

    package let preprocessing: Preprocessing
    package let arithmetic: Arithmetic
    package let engine: any Engine
    private let loaderThreads: Int
    /// Whether a batch may be smaller than `batchSize` so that all streams have one.
    private let mayShrinkBatches: Bool
    private let onError: OnError
    private let process = getpid()

    /// Opens the engine that runs the model, and loads it if it is not loaded yet.
    ///
    /// - Throws: `.unknownTensor`, `.unsupportedTensor`, `.invalidArgument`, `.backendUnavailable`, `.backendError`.
    public init(_ model: Model, _ options: Options = Options()) throws {
        let input = try model.input(named: options.inputTensor)
        let selected = try LayerSelection.resolve(options.layers, in: model)
        preprocessing = try Self.preprocessing(options, input)
        if let wanted = options.batchSize, let fixed = input.batch, wanted != fixed {
            throw FNEError(
                .invalidArgument, "batch_size is \(wanted), but the graph's input has a fixed batch size of \(fixed)")
        }
        loaderThreads = options.loaderThreads ?? Self.defaultLoaderThreads
        mayShrinkBatches = options.batchSize == nil && input.batch == nil && !options.padsBatches
        for (name, value, limit) in [
            ("batch_size", options.batchSize ?? input.batch ?? 1, 65_536), ("loader_threads", loaderThreads, 1_024),
            ("engine_threads", options.engineThreads ?? 1, 1_024), ("streams", options.streams ?? 1, 1_024),
        ] where value < 1 || value > limit {
            throw FNEError(.invalidArgument, "\(name) is \(value); it must be 1 to \(limit)")
        }

        var engineOptions = EngineOptions()
        engineOptions.batchSize = options.batchSize
        engineOptions.padsBatches = options.padsBatches
        engineOptions.streams = options.streams
        engineOptions.engineThreads = options.engineThreads
        engineOptions.device = options.device
        engineOptions.growsGPUMemory = options.growsGPUMemory
        engineOptions.precision = options.precision
        engineOptions.float32Layers = options.float32Layers
        let network = try EngineFactory.open(
            model, input: input, layers: selected, height: preprocessing.input.height, width: preprocessing.input.width,
            engineOptions)
        engine = network.engine
        layers = network.layers
        arithmetic = network.arithmetic
        batchSize = network.batchSize
        streams = network.streams
        inputName = input.name.text
        onError = options.onError
    }

    /// Whether bad images are skipped instead of ending the call.
    public var skipsBadImages: Bool { onError == .skip }

    private static var defaultLoaderThreads: Int { min(Int(ck_processor_count()), 16) }

    /// With an engine that is open already.
    init(engine: any Engine, layers: [Layer], preprocessing: Preprocessing, options: Options) {
        self.engine = engine
        self.layers = layers
        self.preprocessing = preprocessing
        inputName = options.inputTensor ?? ""
        batchSize = options.batchSize ?? EngineDefaults.batchSize
        mayShrinkBatches = options.batchSize == nil && !options.padsBatches
        arithmetic = Arithmetic()
        streams = options.streams ?? 1
        loaderThreads = options.loaderThreads ?? Self.defaultLoaderThreads
        onError = options.onError
    }

    private static func preprocessing(_ options: Options, _ input: Model.Input) throws -> Preprocessing {
        func size(_ name: String, _ wanted: Int?, _ fixed: Int?) throws -> Int {
            if let wanted, let fixed, wanted != fixed {
                throw FNEError(.invalidArgument, "\(name) is \(wanted), but the graph's input has a fixed \(name) of \(fixed)")
            }
            guard let size = wanted ?? fixed else {
                throw FNEError(.invalidArgument, "the graph does not fix the input's \(name); pass it")
            }
            guard size >= 1, size <= 16_384 else {
                throw FNEError(.invalidArgument, "\(name) is \(size); it must be 1 to 16384")
            }
            return size
        }
        for value in [
            options.mean.0, options.mean.1, options.mean.2, options.scale.0, options.scale.1, options.scale.2,
        ] where !value.isFinite {
            throw FNEError(.invalidArgument, "mean and scale must be finite numbers; one is \(value)")
        }
        for scale in [options.scale.0, options.scale.1, options.scale.2] where scale == 0 {
            throw FNEError(.invalidArgument, "scale is 0: every image would look the same to the network")
        }
        var result = Preprocessing(
            height: try size("height", options.height, input.height), width: try size("width", options.width, input.width))
        result.target = PixelSize(
            height: try target("resize_height", options.resizeHeight, result.input.height, "height", options.crops),
            width: try target("resize_width", options.resizeWidth, result.input.width, "width", options.crops))
        result.mode = options.resizeMode
        result.interpolation = options.interpolation
        result.crops = options.crops
        result.channelOrder = options.channelOrder
        result.mean = options.mean
        result.scale = options.scale
        try options.imageOptions.check()
        result.imageOptions = options.imageOptions
        return result
    }

    /// A side of what pictures are resized to.
    private static func target(
        _ name: String, _ wanted: Int?, _ input: Int, _ inputName: String, _ crops: Crops
    ) throws -> Int {
        // The published experiments take ten crops of 224 from pictures of 256.
        let side = wanted ?? (crops == .ten ? (input * 16 + 7) / 14 : input)
        guard side >= input, side <= 32_768 else {
            throw FNEError(
                .invalidArgument, "\(name) is \(side); it must be \(input) (the input's \(inputName)) to 32768")
        }
        return side
    }

    // MARK: Extraction

    /// What a run reports, all of it on the calling thread.
    public struct Reports {
        /// Between batches: images done and in all. False cancels the run.
        public var progress: ((Int, Int) -> Bool)?
        /// Each image that was skipped, or the one that ended the run.
        public var imageError: ((Int, FNEError) -> Void)?

        public init(progress: ((Int, Int) -> Bool)? = nil, imageError: ((Int, FNEError) -> Void)? = nil) {
            self.progress = progress
            self.imageError = imageError
        }
    }

    /// Where a run's rows go: to one or more of them.
    public struct Output {
        /// Receives float32 [rows, F]; a skipped image's rows are NaN.
        public var features: UnsafeMutablePointer<Float>?
        /// Receives int8 [rows, F] by way of the discretizer; a skipped image's rows are `Discretization.skippedCode`.
        public var codes: UnsafeMutablePointer<Int8>?
        /// Receives the codes packed (see `PackedCodes`), by way of the discretizer; 0 in a skipped image's rows.
        public var packed: UnsafeMutablePointer<UInt64>?
        /// Needed for codes.
        public var discretizer: Discretizer?
        /// Receives batch after batch on the calling thread: the images, and float32 [rows, F], which live during the call;
        /// a skipped image's rows are NaN. What it throws ends the run. Without features some batches wait for it in memory.
        package var sink: ((Range<Int>, UnsafePointer<Float>) throws -> Void)?

        public init(
            features: UnsafeMutablePointer<Float>? = nil, codes: UnsafeMutablePointer<Int8>? = nil,
            packed: UnsafeMutablePointer<UInt64>? = nil, discretizer: Discretizer? = nil
        ) {
            self.features = features
            self.codes = codes
            self.packed = packed
            self.discretizer = discretizer
        }
    }

    /// Embeds image files.
    ///
    /// - Parameters:
    ///   - output: of paths.count * rowsPerImage rows; the crops of an image are adjacent
    ///   - rowsDone: how many rows are final, also when the call throws; those behind them are unspecified
    /// - Throws: the error of the first bad image, naming it (`onError` `.fail`); `.notFinite` for a network that gives
    ///   NaN or infinity; `.cancelled`; `.backendError`; `.forked`; `.shapeMismatch` for a discretizer of another F.
    public func extract(
        files paths: [FilePath], to output: Output, rowsDone: inout Int, reports: Reports = Reports()
    ) throws {
        try extract(fileCount: paths.count, file: { paths[$0] }, to: output, rowsDone: &rowsDone, reports: reports)
    }

    /// The same of files whose paths are made when they are needed, on several threads.
    ///
    /// - Parameter place: what an image is called in errors; nil: "image 3 of 7"
    package func extract(
        fileCount: Int, file: @escaping (Int) -> FilePath, to output: Output, rowsDone: inout Int, reports: Reports,
        place: ((Int) -> String)? = nil
    ) throws {
        try extract(fileCount, to: output, &rowsDone, reports, name: { file($0).description }, place: place) { [preprocessing] i, fed in
            try preprocessing.feed(Image(file: file(i), options: preprocessing.imageOptions), to: fed)
        }
    }

    /// As `extract(files:)`, of JPEG or PNG data in memory.
    public func extract(
        encoded images: [UnsafeRawBufferPointer], to output: Output, rowsDone: inout Int, reports: Reports = Reports()
    ) throws {
        try extract(images.count, to: output, &rowsDone, reports) { [preprocessing] i, fed in
            try preprocessing.feed(Image(encoded: images[i], options: preprocessing.imageOptions), to: fed)
        }
    }

    /// Decoded pixels in a caller's memory, uint8 [height, width, 3].
    public struct Pixels {
        /// RGB or BGR, as channelOrder says.
        public let pixels: UnsafePointer<UInt8>
        /// Bytes from a row to the next.
        public let rowStride: Int
        public let height: Int
        public let width: Int
        public let channelOrder: ChannelOrder

        public init(
            pixels: UnsafePointer<UInt8>, rowStride: Int, height: Int, width: Int, channelOrder: ChannelOrder
        ) {
            self.pixels = pixels
            self.rowStride = rowStride
            self.height = height
            self.width = width
            self.channelOrder = channelOrder
        }
    }

    /// As `extract(files:)`, of decoded pixels.
    public func extract(
        pixels images: [Pixels], to output: Output, rowsDone: inout Int, reports: Reports = Reports()
    ) throws {
        try extract(images.count, to: output, &rowsDone, reports) { [preprocessing] i, fed in
            try preprocessing.feed(images[i], to: fed)
        }
    }

    /// What the network would be fed with for an image.
    ///
    /// - Parameter fed: receives float32 [rowsPerImage, height, width, 3]
    public func preprocess(_ image: Pixels, to fed: UnsafeMutablePointer<Float>) throws {
        try preprocessing.feed(image, to: fed)
    }

    /// As `extract(files:)`, of float32 [count, height, width, 3] that is fed as it is, one row for each.
    public func extract(
        tensor: UnsafePointer<Float>, count: Int, to output: Output, rowsDone: inout Int, reports: Reports = Reports()
    ) throws {
        let size = preprocessing.cropValueCount
        try extract(count, rowsPerImage: 1, to: output, &rowsDone, reports) { i, fed in
            let bad = ck_first_not_finite(tensor + i * size, size)
            guard bad == size else { // a ReLU can make a finite feature of it
                let what = (tensor + i * size)[bad].isNaN ? "NaN" : "infinity"
                throw FNEError(.notFinite, "the network's input is \(what) in element \(bad); check mean and scale, or the numbers")
            }
            fed.update(from: tensor + i * size, count: size)
        }
    }

    private func extract(
        _ count: Int, rowsPerImage: Int? = nil, to output: Output, _ rowsDone: inout Int, _ reports: Reports,
        name: @escaping (Int) -> String? = { _ in nil }, place: ((Int) -> String)? = nil,
        load: @escaping (Int, UnsafeMutablePointer<Float>) throws -> Void
    ) throws {
        rowsDone = 0
        guard getpid() == process else {
            throw FNEError(
                .forked,
                "this extractor was opened before the process forked, and its engine's threads are not in the child; "
                    + "start workers with spawn, or open the first extractor in the child")
        }
        guard count >= 1 else { throw FNEError(.invalidArgument, "there are no images") }
        if let discretizer = output.discretizer, discretizer.featureCount != featureCount {
            throw FNEError(
                .shapeMismatch,
                "the statistics are of \(discretizer.featureCount) features; these layers have \(featureCount)")
        }

        let perImage = rowsPerImage ?? self.rowsPerImage
        let imagesPerBatch = batchImages(count, rowsPerImage: perImage)
        let streams = min(self.streams, (count - 1) / imagesPerBatch + 1)
        let buffers = output.sink == nil || output.features != nil ? nil : RowBuffers(
            size: try checkedProduct(
                imagesPerBatch, perImage, featureCount, MemoryLayout<Float>.size, of: "batch_size x features"),
            consumers: streams)
        let loader = try BatchLoader(
            count: count, batchSize: imagesPerBatch, valueCount: perImage * preprocessing.cropValueCount,
            threads: loaderThreads, consumers: streams, load: load)
        let runs = OrderedStreams(
            try (0..<streams).map { _ -> OrderedStreams<BatchTask.Outcome>.Stream in
                let task = try BatchTask(
                    self, output, rowsPerImage: perImage, imagesPerBatch: imagesPerBatch, name: name)
                return {
                    // Memory first: the earliest batch that is in work has some then, and the others wait for it.
                    guard buffers?.waitForRoom() ?? true, let batch = loader.take() else { return nil }
                    defer { loader.giveBack(batch) }
                    return (batch.number, task.run(batch, in: buffers))
                }
            })
        defer {
            loader.stop()
            buffers?.stop()
            runs.stop()
        }
        while let outcome = runs.next() {
            for (image, error) in outcome.badImages {
                reports.imageError?(image, error)
                if onError == .fail { throw error.about(place?(image) ?? "image \(image) of \(count)") }
            }
            if let error = outcome.error { throw error }
            if let sink = output.sink {
                if let rows = outcome.rows {
                    try rows.withNumbers(of: Float.self) { try sink(outcome.images, $0) }
                    buffers?.giveBack(rows)
                } else if let features = output.features {
                    try sink(outcome.images, features + outcome.images.lowerBound * perImage * featureCount)
                }
            }
            let done = outcome.images.upperBound
            rowsDone = done * perImage
            if let progress = reports.progress, !progress(done, count) {
                throw FNEError(.cancelled, "cancelled after \(done) of \(count) images")
            }
        }
    }

    /// Images of a batch: so many that their rows fill the batch size, and at least one.
    private func batchImages(_ count: Int, rowsPerImage: Int) -> Int {
        let full = max(1, batchSize / rowsPerImage)
        return mayShrinkBatches ? min(full, (count - 1) / streams + 1) : full
    }

    /// Runs the network on loaded rows, no more at once than a batch.
    func run(_ values: UnsafeMutablePointer<Float>, count: Int, to rows: UnsafeMutablePointer<Float>) throws {
        for first in stride(from: 0, to: count, by: batchSize) {
            try engine.run(
                values + first * preprocessing.cropValueCount, count: min(batchSize, count - first),
                to: rows + first * featureCount)
        }
    }

    /// An error when an activation of an image's rows is NaN or infinite.
    func checkRows(_ rows: UnsafePointer<Float>, count: Int) -> FNEError? {
        let bad = ck_first_not_finite(rows, count * featureCount)
        guard bad < count * featureCount else { return nil }
        let feature = bad % featureCount
        let layer = layers.first { $0.features.contains(feature) }
        let place = layer.map { "feature \(feature - $0.features.lowerBound) of layer '\($0.name)'" } ?? "feature \(feature)"
        return FNEError(
            .notFinite,
            "the network gave \(rows[bad].isNaN ? "NaN" : "infinity") in \(place); check the preprocessing (mean, scale) and the network's weights")
    }
}

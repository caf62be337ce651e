import CKernels
import FNEEmbedding
import FNEImage
import FNENetwork
import FNESupport
import Glibc

/// A model that is prepared for one input size and a list of layers. It turns images into rows of float32 features, one
/// row per image, or ten with ten crops. A feature is a channel of a layer, averaged over height and width. Any number
/// of threads may call `extract` at once.
public final class Extractor: @unchecked Sendable {
    /// How a bad image is treated. A bad image cannot be read, or the network gives no finite numbers for it.
    public enum OnError: Int32, Sendable {
        /// The first bad image ends the call with its error.
        case fail = 0
        /// A bad image is reported, its rows become NaN, and the call goes on.
        case skip = 1
    }

    /// The choices for an extractor. The values here are the defaults.
    public struct Options: Sendable {
        /// The tensor that images are fed to; nil for the graph's only float32 placeholder.
        public var inputTensor: String?
        /// The layers, as names, globs, "all" or shares such as "last:25%" (see `LayerSelection`). An empty list means
        /// all default layers.
        public var layers: [String] = []
        /// The network input's height in pixels, 1 to 16384; nil for the one that the graph's placeholder fixes.
        public var height: Int?
        /// The network input's width in pixels, 1 to 16384; nil for the one that the graph's placeholder fixes.
        public var width: Int?
        /// Whether resized pictures keep their aspect.
        public var resizeMode = ResizeMode.stretch
        /// The height that pictures are resized to before they are cropped to the input's size. Nil means the input's
        /// height, or 8/7 of it with ten crops (256 for 224).
        public var resizeHeight: Int?
        /// The width that pictures are resized to before they are cropped to the input's size. Nil means the input's
        /// width, or 8/7 of it with ten crops (256 for 224).
        public var resizeWidth: Int?
        /// How resized pictures are computed.
        public var interpolation = Interpolation.bilinear
        /// Which parts of a picture are embedded. Each gives a row.
        public var crops = Crops.centre
        /// The limits for images.
        public var imageOptions = ImageOptions()
        /// The order of the channels that the network is fed with.
        public var channelOrder = ChannelOrder.rgb
        /// The network is fed with (pixel - mean) * scale, computed in float32 for each channel. Pixels are 0 to 255.
        /// The three numbers are for the channels in the order in which they are fed.
        public var mean: (Float, Float, Float) = (0, 0, 0)
        /// The factors after `mean` was subtracted, for the channels in the order in which they are fed. None may be 0.
        public var scale: (Float, Float, Float) = (1, 1, 1)
        /// Rows per run of the network, 1 to 65536. Nil means the batch size that the graph fixes, else 4 (32 on a
        /// GPU). It then is smaller where a call has too few images to keep all streams busy.
        public var batchSize: Int?
        /// Whether a batch of too few images is filled up with zeros, so that the network always sees `batchSize` rows.
        /// The bits of a row then do not depend on the number of images in the call.
        public var padsBatches = false
        /// Threads that read and prepare images, 1 to 1024; nil for one per processor, at most 16.
        public var loaderThreads: Int?
        /// Batches that are in the network at once, each on a thread of its own, 1 to 1024. Nil means the number of
        /// processors divided by `engineThreads`, at most 64, and 2 on a GPU.
        public var streams: Int?
        /// Threads per operation of the network, 1 to 1024; nil for 1. The first extractor of a process decides.
        public var engineThreads: Int?
        /// The device that computes.
        public var device = Device.automatic
        /// Whether a GPU's memory is taken as it is needed, instead of nearly all of it at once. The first session of a
        /// process decides.
        public var growsGPUMemory = false
        /// The type that layers multiply in.
        public var precision = Precision.float32
        /// With bfloat16, how many first layers stay float32; nil for 2.
        public var float32Layers: Int?
        /// How a bad image is treated.
        public var onError = OnError.fail

        /// The defaults.
        public init() {}
    }

    /// The layers of a row, in the order of its columns.
    public let layers: [Layer]
    /// The tensor that images are fed to.
    public let inputName: String
    /// Rows per run of the network.
    public let batchSize: Int
    /// Batches that are in the network at once.
    public let streams: Int
    /// The network input's height in pixels.
    public var height: Int { preprocessing.input.height }
    /// The network input's width in pixels.
    public var width: Int { preprocessing.input.width }
    /// Rows per image. There is 1, or 10 with ten crops.
    public var rowsPerImage: Int { preprocessing.crops.rawValue }
    /// F, the number of features in a row.
    public var featureCount: Int { engine.featureCount }

    /// How pixels become the network's input.
    package let preprocessing: Preprocessing
    /// The choices in computing that results depend on.
    package let arithmetic: Arithmetic
    /// What runs the network.
    package let engine: any Engine
    private let loaderThreads: Int
    /// Whether a batch may be smaller than `batchSize`, so that each stream has one.
    private let mayShrinkBatches: Bool
    private let onError: OnError
    private let process = getpid()

    /// Opens the engine that runs the model. Its library is loaded if it is not loaded yet.
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

    /// An extractor with an engine that is already open.
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
                throw FNEError(
                    .invalidArgument, "\(name) is \(wanted), but the graph's input has a fixed \(name) of \(fixed)")
            }
            guard let size = wanted ?? fixed else {
                throw FNEError(.invalidArgument, "the graph does not fix the input's \(name); pass it as an option")
            }
            guard size >= 1, size <= 16_384 else {
                throw FNEError(.invalidArgument, "\(name) is \(size); it must be 1 to 16384")
            }
            return size
        }
        for value in [
            options.mean.0, options.mean.1, options.mean.2, options.scale.0, options.scale.1, options.scale.2,
        ] where !value.isFinite {
            throw FNEError(.invalidArgument, "mean and scale must be finite numbers, but one is \(value)")
        }
        for scale in [options.scale.0, options.scale.1, options.scale.2] where scale == 0 {
            throw FNEError(
                .invalidArgument, "scale is 0, so every image would look the same to the network. Take another number")
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

    /// A side of the size that pictures are resized to.
    private static func target(
        _ name: String, _ wanted: Int?, _ input: Int, _ inputName: String, _ crops: Crops
    ) throws -> Int {
        // The published experiments take ten crops of 224 pixels from pictures of 256 pixels.
        let side = wanted ?? (crops == .ten ? (input * 16 + 7) / 14 : input)
        guard side >= input, side <= 32_768 else {
            throw FNEError(
                .invalidArgument, "\(name) is \(side); it must be \(input) (the network input's \(inputName)) to 32768")
        }
        return side
    }

    // MARK: Extraction

    /// The functions that a run reports to. All are called on the calling thread.
    public struct Reports {
        /// Is called between batches with the number of images that are done and the number of all images. Returning
        /// false cancels the run.
        public var progress: ((Int, Int) -> Bool)?
        /// Is called with the number and the error of each image that is skipped, or of the one that ends the run.
        public var imageError: ((Int, FNEError) -> Void)?

        /// Reports to none, one or both functions.
        public init(progress: ((Int, Int) -> Bool)? = nil, imageError: ((Int, FNEError) -> Void)? = nil) {
            self.progress = progress
            self.imageError = imageError
        }
    }

    /// The places that a run's rows go to. There must be at least one. The caller owns the memory, which must last
    /// until the run returns.
    public struct Output {
        /// Receives float32 [rows, F]. A skipped image's rows are NaN.
        public var features: UnsafeMutablePointer<Float>?
        /// Receives codes, int8 [rows, F], which the discretizer makes. A skipped image's rows are
        /// `Discretization.skippedCode`.
        public var codes: UnsafeMutablePointer<Int8>?
        /// Receives packed codes (see `PackedCodes`), which the discretizer makes. A skipped image's rows are 0.
        public var packed: UnsafeMutablePointer<UInt64>?
        /// Makes the codes. It is needed for `codes` and `packed`.
        public var discretizer: Discretizer?
        /// Receives batch after batch, on the calling thread: the images, and their rows as float32 [rows, F], which
        /// live during the call. A skipped image's rows are NaN. An error that it throws ends the run. Without
        /// `features`, some batches wait in memory for the sink.
        package var sink: ((Range<Int>, UnsafePointer<Float>) throws -> Void)?

        /// An output to the places that are given.
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
    ///   - output: has room for paths.count * rowsPerImage rows; the crops of an image are adjacent
    ///   - rowsDone: receives the number of rows that are final, also when the call throws; later rows are unspecified
    /// - Throws: the error of the first bad image, with its name, where `onError` is `.fail`. It is `.notFinite` where
    ///   the network gives NaN or infinity. Also `.cancelled`; `.backendError`; `.forked`; `.shapeMismatch` for a
    ///   discretizer of another F.
    public func extract(
        files paths: [FilePath], to output: Output, rowsDone: inout Int, reports: Reports = Reports()
    ) throws {
        try extract(fileCount: paths.count, file: { paths[$0] }, to: output, rowsDone: &rowsDone, reports: reports)
    }

    /// Embeds image files whose paths are made when they are needed.
    ///
    /// - Parameters:
    ///   - file: gives the path of the image of that number; several threads call it at once
    ///   - place: gives the words for an image in errors; nil for words such as "image 3 of 7"
    package func extract(
        fileCount: Int, file: @escaping (Int) -> FilePath, to output: Output, rowsDone: inout Int, reports: Reports,
        place: ((Int) -> String)? = nil
    ) throws {
        try extract(fileCount, to: output, &rowsDone, reports, name: { file($0).description }, place: place) { [preprocessing] i, fed in
            try preprocessing.feed(Image(file: file(i), options: preprocessing.imageOptions), to: fed)
        }
    }

    /// Embeds JPEG or PNG images in memory, as `extract(files:to:rowsDone:reports:)` does. The bytes must last until
    /// the call returns.
    public func extract(
        encoded images: [UnsafeRawBufferPointer], to output: Output, rowsDone: inout Int, reports: Reports = Reports()
    ) throws {
        try extract(images.count, to: output, &rowsDone, reports) { [preprocessing] i, fed in
            try preprocessing.feed(Image(encoded: images[i], options: preprocessing.imageOptions), to: fed)
        }
    }

    /// Decoded pixels in the caller's memory, uint8 [height, width, 3].
    public struct Pixels {
        /// The first pixel of the first row.
        public let pixels: UnsafePointer<UInt8>
        /// Bytes from one row to the next.
        public let rowStride: Int
        /// The number of rows.
        public let height: Int
        /// The number of pixels in a row.
        public let width: Int
        /// The order of the channels in memory.
        public let channelOrder: ChannelOrder

        /// Pixels that must last until the call they are given to returns.
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

    /// Embeds decoded pixels, as `extract(files:to:rowsDone:reports:)` does.
    public func extract(
        pixels images: [Pixels], to output: Output, rowsDone: inout Int, reports: Reports = Reports()
    ) throws {
        try extract(images.count, to: output, &rowsDone, reports) { [preprocessing] i, fed in
            try preprocessing.feed(images[i], to: fed)
        }
    }

    /// Computes the network's input for an image.
    ///
    /// - Parameter fed: receives float32 [rowsPerImage, height, width, 3]
    /// - Throws: `.imageLimit`, `.invalidArgument`, `.outOfMemory`.
    public func preprocess(_ image: Pixels, to fed: UnsafeMutablePointer<Float>) throws {
        try preprocessing.feed(image, to: fed)
    }

    /// Embeds float32 [count, height, width, 3], as `extract(files:to:rowsDone:reports:)` does. The numbers are fed to
    /// the network as they are. Each image gives one row.
    public func extract(
        tensor: UnsafePointer<Float>, count: Int, to output: Output, rowsDone: inout Int, reports: Reports = Reports()
    ) throws {
        let size = preprocessing.cropValueCount
        try extract(count, rowsPerImage: 1, to: output, &rowsDone, reports) { i, fed in
            let bad = ck_first_not_finite(tensor + i * size, size)
            guard bad == size else { // a ReLU could hide the number by making a finite feature of it
                let what = (tensor + i * size)[bad].isNaN ? "NaN" : "infinity"
                throw FNEError(
                    .notFinite, "the network's input is \(what) in element \(bad). Check the numbers, mean and scale")
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
                "this extractor was opened before the process forked, and its engine's threads are not in the child. "
                    + "Start workers with spawn, or open the first extractor in the child")
        }
        guard count >= 1 else { throw FNEError(.invalidArgument, "there are no images") }
        if let discretizer = output.discretizer, discretizer.featureCount != featureCount {
            throw FNEError(
                .shapeMismatch,
                "the statistics are of \(discretizer.featureCount) features, but these layers have \(featureCount)")
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
                    // Memory comes first. So the earliest batch in work always has memory, and the others wait for it.
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
                throw FNEError(.cancelled, "the run was cancelled after \(done) of \(count) images")
            }
        }
    }

    /// Images per batch. Their rows fill the batch size. There is at least one image.
    private func batchImages(_ count: Int, rowsPerImage: Int) -> Int {
        let full = max(1, batchSize / rowsPerImage)
        return mayShrinkBatches ? min(full, (count - 1) / streams + 1) : full
    }

    /// Runs the network on loaded rows. A run takes at most `batchSize` rows.
    func run(_ values: UnsafeMutablePointer<Float>, count: Int, to rows: UnsafeMutablePointer<Float>) throws {
        for first in stride(from: 0, to: count, by: batchSize) {
            try engine.run(
                values + first * preprocessing.cropValueCount, count: min(batchSize, count - first),
                to: rows + first * featureCount)
        }
    }

    /// The error for an image's rows of which a feature is NaN or infinite; nil where all are finite.
    func checkRows(_ rows: UnsafePointer<Float>, count: Int) -> FNEError? {
        let bad = ck_first_not_finite(rows, count * featureCount)
        guard bad < count * featureCount else { return nil }
        let feature = bad % featureCount
        let layer = layers.first { $0.features.contains(feature) }
        let place = layer.map { "feature \(feature - $0.features.lowerBound) of layer '\($0.name)'" } ?? "feature \(feature)"
        return FNEError(
            .notFinite,
            "the network gave \(rows[bad].isNaN ? "NaN" : "infinity") in \(place). Check the preprocessing "
                + "(mean, scale) and the network's weights")
    }
}

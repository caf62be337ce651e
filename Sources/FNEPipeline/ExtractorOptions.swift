import FNEImage
import FNENetwork

extension Extractor {
    /// How a bad image is treated. A bad image cannot be read, or the network gives no finite numbers for it.
    public enum OnError: Int32, Sendable {
        /// The first bad image ends the call with its error.
        case fail = 0
        /// A bad image is reported, its rows become NaN, and the call goes on.
        case skip = 1
    }

    /// The choices for an extractor. The values here are the defaults.
    public struct Options: Sendable {
        /// The tensor that images are fed to; nil for the graph's only placeholder that can take images.
        public var inputTensor: String?
        /// The layers, as names, globs, "all" or shares such as "last:25%" (see `LayerSelection`). An empty list means
        /// all default layers.
        public var layers: [String] = []
        /// Values for the network's inputs beside the image, as "name=value", such as "phase_train=false". They come in
        /// addition to those of the model (see `Model.feeding`).
        public var feeds: [String] = []
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
        /// How much of a picture is decoded. With `scaled`, an `interpolation` of `bilinear` becomes `antialiased`.
        public var decode = DecodeMode.full
        /// Which parts of a picture are embedded. Each gives a row.
        public var crops = Crops.centre
        /// The limits for images.
        public var imageOptions = ImageOptions()
        /// Decodes images that libfne does not read itself, on the threads that load images; nil for none.
        public var decoder: ImageDecoder?
        /// The order of the channels that the network is fed with.
        public var channelOrder = ChannelOrder.rgb
        /// The numbers per pixel that the network is fed with: 3, or 1 for grey. Nil means what the graph's placeholder
        /// fixes, else 3.
        public var channels: Int?
        /// The network is fed with (pixel - mean) * scale, computed in float32 for each channel. Pixels are 0 to 255.
        /// The three numbers are for the channels in the order in which they are fed. The first is for grey.
        public var mean: (Float, Float, Float) = (0, 0, 0)
        /// The factors after `mean` was subtracted, for the channels in the order in which they are fed. None may be 0.
        public var scale: (Float, Float, Float) = (1, 1, 1)
        /// Rows per run of the network, 1 to 65536. Nil means the batch size that the graph fixes, else 4, or 2 for a
        /// small network with large maps, or 32 on a GPU. It then is smaller where a call has too few images to keep
        /// all streams busy.
        public var batchSize: Int?
        /// Whether a batch of too few images is filled up with zeros, so that the network always sees `batchSize` rows.
        /// The bits of a row then do not depend on the number of images in the call, unless the extractor has
        /// `batchStatistics`.
        public var padsBatches = false
        /// Threads that read and prepare images, 1 to 1024; nil for one per processor, at most 16.
        public var loaderThreads: Int?
        /// Batches that are in the network at once, each on a thread of its own, 1 to 1024. Nil means the number of
        /// processors divided by `engineThreads`, at most 64, and 2 on a GPU.
        public var streams: Int?
        /// Threads per operation of the network, 1 to 1024; nil for 1. The first extractor of a process decides.
        public var engineThreads: Int?
        /// What batchSize, streams and engineThreads are for where they are nil. For `latency` they are 1, 1 and the
        /// number of processors, at most 16.
        public var goal = Goal.throughput
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
        /// What is taken of a layer [n, tokens, C].
        public var tokenPooling = TokenPooling.mean
        /// The tokens that stand before the image's own, such as class and register tokens, 1 to 65536. `rest` and
        /// `firstAndRest` leave them out of the mean.
        public var prefixTokens = 1

        /// The defaults.
        public init() {}

        var tokens: Tokens {
            var result = Tokens()
            result.pooling = tokenPooling
            result.prefix = prefixTokens
            return result
        }

        /// The part that the engine takes.
        var engine: EngineOptions {
            var result = EngineOptions()
            result.batchSize = batchSize
            result.padsBatches = padsBatches
            result.streams = streams
            result.engineThreads = engineThreads
            result.goal = goal
            result.device = device
            result.growsGPUMemory = growsGPUMemory
            result.precision = precision
            result.float32Layers = float32Layers
            result.tokens = tokens
            return result
        }
    }
}

import FNESupport

/// A network and a table of its tensors. It is a frozen TensorFlow GraphDef, whose weights are constants of the graph,
/// or an ONNX file. Reading it needs neither TensorFlow nor ONNX Runtime. A model never changes, so any number of
/// threads may use it at once.
public final class Model: Sendable {
    /// An entry of the table of tensors.
    public struct Tensor: Sendable {
        /// The name, without "import/" and ":0".
        public let name: String
        /// The operation that computes the tensor, such as TensorFlow's "Conv2D" and ONNX's "Conv".
        public let operation: String
        /// The kind of the layer whose output or operation this tensor is. Else `input` for a placeholder, or `other`.
        public let kind: TensorKind
        /// The number of dimensions; nil where the graph does not say it outright.
        public let rank: Int?
        /// The size of the last dimension; nil where the graph does not say it outright.
        public let channels: Int?
        /// Whether the tensor is a layer that is taken when no layer is selected.
        public let isDefault: Bool
        /// Whether the tensor is the output of a classifier's last layer. It is taken only when it is asked for.
        public let isClassifier: Bool
        /// Whether a classifier's last layer reads this tensor, before changes of its shape. It is often the last map,
        /// averaged over height and width.
        public let isClassifierInput: Bool
        /// Whether the selector "penultimate" selects this tensor.
        public let isPenultimate: Bool
        /// The path of the layer's module in PyTorch, such as "features.0", where the exporter of an ONNX file kept it.
        public var module: String?
    }

    /// The tensor that images are fed to, with what the graph fixes.
    package struct Input {
        /// The tensor's name.
        package let name: TensorName
        /// The type of the numbers that the graph reads. float32 is fed, and cast to it.
        let type: DataType
        /// The only batch size that the graph takes; nil where it takes any.
        package var batch: Int?
        /// The only height in pixels that the graph takes; nil where it takes any.
        package var height: Int?
        /// The only width in pixels that the graph takes; nil where it takes any.
        package var width: Int?
        /// The only number of channels that the graph takes, which is 1 or 3; nil where it takes any.
        package var channels: Int?

        /// The name of the type.
        package var typeName: String { "\(type)" }
        /// The numbers that can be fed where the graph reads whole numbers; nil where it reads real numbers.
        package var wholeNumbers: ClosedRange<Float>? { type.wholeNumbers }

        init(name: TensorName, type: DataType) {
            self.name = name
            self.type = type
        }
    }

    /// The network.
    let network: any Network

    /// The first output of every node that is no constant, in an order in which they can be computed.
    public var tensors: [Tensor] { network.tensors }

    /// What a user should know about the network, in sentences: which layers cannot be taken.
    public var notes: [String] { network.notes }

    /// The library that runs the network.
    public var engine: Backend.Kind { network.engine }

    /// The values that were given to inputs beside the image, as "name=value".
    package var feeds: [String] { network.feeds }

    /// The size of the network without its constants. What is built of it takes memory by this size.
    package var structureSize: Int { network.structureSize }

    /// The reserve for reading a network, and for preparing one, in bytes per byte of its structure. Networks take 5 to
    /// 15, and graphs that were made to take much took 34.
    package static let reservePerByte = 128

    /// The absolute path of the file that the network was read from; nil for a network that was in memory, or where the
    /// working directory did not exist.
    public let file: FilePath?

    init(_ network: any Network, file: FilePath? = nil) {
        self.network = network
        self.file = file
    }

    /// Reads a file: a GraphDef, or an ONNX model with the files beside it that hold its weights. Which one it is, its
    /// content says. What a GraphDef does is checked when an extractor is opened, for the layers that it takes.
    ///
    /// - Parameters:
    ///   - allowUnsafe: whether operations of a GraphDef may run that are not on the list of allowed ones. A graph is a
    ///     program. With such operations it may read and write files.
    ///   - feeds: values for inputs beside the image (see `feeding`)
    /// - Throws: `.fileError`, `.ioError`, `.invalidGraph`, `.unsafeGraph`; as `feeding`. The errors name the file.
    public convenience init(file path: FilePath, allowUnsafe: Bool = false, feeds: [String] = []) throws {
        do {
            let bytes = try Patience().trying { try Bytes(file: path) }
            try self.init(bytes, beside: path, allowUnsafe: allowUnsafe, feeds: feeds)
        } catch let error as FNEError {
            throw WrongFile.explain(error, file: path).about(path.description)
        }
    }

    /// Reads a serialized GraphDef or ONNX model in memory. The bytes are copied. The weights must be in them.
    ///
    /// - Throws: as `init(file:allowUnsafe:feeds:)`, without the file's name.
    public convenience init(
        copying bytes: UnsafeRawBufferPointer, allowUnsafe: Bool = false, feeds: [String] = []
    ) throws {
        guard bytes.count > 0 else { throw FNEError(.invalidGraph, "the GraphDef is empty") }
        try self.init(Bytes(copying: bytes), beside: nil, allowUnsafe: allowUnsafe, feeds: feeds)
    }

    /// - Parameter file: the model's file, beside which others may hold its weights
    private convenience init(_ bytes: Bytes, beside file: FilePath?, allowUnsafe: Bool, feeds: [String]) throws {
        if bytes.withBytes(ONNXDefinition.isONNX) {
            self.init(
                try ONNXNetwork(bytes, ONNXExternalData(beside: file)).feeding(feeds), file: try? file?.absolute())
        } else {
            self.init(try GraphDefNetwork(bytes, allowUnsafe: allowUnsafe, feeds: feeds), file: try? file?.absolute())
        }
    }

    /// The same network with values for inputs beside the image. The inputs become constants, and what follows from
    /// them is simplified: conditions, and dropouts of rate 0.
    ///
    /// - Parameter feeds: values as "name=value", such as "phase_train=false" (see `Feed`). They come in addition to
    ///   those that the model was given before.
    /// - Throws: `.invalidArgument`, `.unknownTensor`, `.unsupportedTensor`; as `init(file:allowUnsafe:feeds:)`.
    public func feeding(_ feeds: [String]) throws -> Model {
        feeds.isEmpty ? self : Model(try network.feeding(feeds), file: file)
    }

    /// The SHA-256 of the network's bytes, in hexadecimal digits. Those of the files beside an ONNX model follow its
    /// own, in the order of their names.
    package var checksum: String {
        var sum = SHA256()
        for part in network.contents { part.withBytes { sum.update($0) } }
        return sum.digest
    }

    /// The number of bytes that `checksum` is of.
    package var byteCount: Int { network.contents.reduce(0) { $0 + $1.count } }

    /// The input tensor.
    ///
    /// - Parameter name: the name as a user writes it; nil for the only input that can take images
    /// - Throws: `.unknownTensor`, `.unsupportedTensor`.
    package func input(named name: String?) throws -> Input { try network.input(named: name) }

    /// The shapes of the tensors of the table `tensors` for an image's size; nil where a shape does not follow from the
    /// network without running it.
    ///
    /// - Parameters:
    ///   - name: the tensor that images are fed to; nil for the only input that can take images
    ///   - height, width: the image's size in pixels; nil for what the input fixes
    /// - Throws: `.unknownTensor`, `.unsupportedTensor`, `.invalidArgument` where the size is not known or not the
    ///   graph's.
    package func shapes(input name: String?, height: Int?, width: Int?) throws -> [LayerShape?] {
        try network.shapes(input: name, height: height, width: width)
    }
}

extension Model.Input {
    /// The size of the images in pixels, which the graph may fix.
    ///
    /// - Throws: `.invalidArgument`.
    package func size(height: Int?, width: Int?) throws -> (height: Int, width: Int) {
        (try side("height", height, self.height), try side("width", width, self.width))
    }

    private func side(_ name: String, _ wanted: Int?, _ fixed: Int?) throws -> Int {
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
}

/// A shape in words, such as "[?, 224, 224, 3]", with ? for an unknown dimension.
func describe(_ shape: [Int]) -> String {
    "[" + shape.map { $0 < 0 ? "?" : String($0) }.joined(separator: ", ") + "]"
}

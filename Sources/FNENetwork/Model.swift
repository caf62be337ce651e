import FNESupport

/// A network: a frozen TensorFlow GraphDef, whose weights are constants of the graph, and a table of its tensors.
/// Reading it needs no TensorFlow. A model never changes, so any number of threads may use it at once.
public final class Model: @unchecked Sendable {
    /// An entry of the table of tensors.
    public struct Tensor: Sendable {
        /// The name, without "import/" and ":0".
        public let name: String
        /// TensorFlow's operation that computes the tensor, such as "Conv2D".
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
    }

    /// The first output of every node that is no constant, in an order in which they can be computed.
    public let tensors: [Tensor]

    /// What a user should know about the network, in sentences: which layers cannot be taken.
    public let notes: [String]

    /// The GraphDef as it was read.
    package let source: Bytes
    /// The values that were given to inputs beside the image, as "name=value".
    package let feeds: [String]
    /// The GraphDef as it is run, after `GraphSimplification`.
    let serialized: Bytes
    /// The size of the GraphDef without its constants (see `GraphDefinition.structureSize`).
    package let structureSize: Int
    let graph: GraphDefinition
    let topology: GraphTopology
    let analysis: LayerAnalysis
    /// What the selector "penultimate" selects.
    let penultimate: [TensorName]
    /// The names of tensors that are gone, with those that hold their values.
    private let aliases: [TensorName: TensorName]
    /// The values that each image of a batch is given, by the names of their placeholders.
    let perImage: [String: GraphSimplification.PerImage]
    /// Whether operations may run that are not on the list of allowed ones.
    let allowsUnsafe: Bool

    /// Reads a GraphDef file. What a graph does is checked when an extractor is opened, for the layers that it takes.
    ///
    /// - Parameter allowUnsafe: whether operations may run that are not on the list of allowed ones. A graph is a
    ///   program. With such operations it may read and write files.
    /// - Parameter feeds: values for inputs beside the image (see `feeding`)
    /// - Throws: `.fileError`, `.ioError`, `.invalidGraph`; as `feeding`. The errors name the file.
    public convenience init(file path: FilePath, allowUnsafe: Bool = false, feeds: [String] = []) throws {
        do {
            try self.init(Patience().trying { try Bytes(file: path) }, allowUnsafe: allowUnsafe, feeds: feeds)
        } catch let error as FNEError {
            throw WrongFile.explain(error, file: path).about(path.description)
        }
    }

    /// Reads a serialized GraphDef in memory. The bytes are copied.
    ///
    /// - Throws: as `init(file:allowUnsafe:)`, without the file's name.
    public convenience init(
        copying bytes: UnsafeRawBufferPointer, allowUnsafe: Bool = false, feeds: [String] = []
    ) throws {
        guard bytes.count > 0 else { throw FNEError(.invalidGraph, "the GraphDef is empty") }
        try self.init(Bytes(copying: bytes), allowUnsafe: allowUnsafe, feeds: feeds)
    }

    /// The same network with values for inputs beside the image. The inputs become constants, and what follows from
    /// them is simplified: conditions, and dropouts of rate 0.
    ///
    /// - Parameter feeds: values as "name=value", such as "phase_train=false" (see `Feed`). They come in addition to
    ///   those that the model was given before.
    /// - Throws: `.invalidArgument`, `.unknownTensor`, `.unsupportedTensor`; as `init(file:allowUnsafe:)`.
    public func feeding(_ feeds: [String]) throws -> Model {
        feeds.isEmpty ? self : try Model(source, allowUnsafe: allowsUnsafe, feeds: self.feeds + feeds)
    }

    private convenience init(_ bytes: Bytes, allowUnsafe: Bool, feeds: [String]) throws {
        let structureSize = bytes.withBytes(GraphDefinition.structureSize)
        try Reserve.prepare(structureSize * Self.reservePerByte)
        let read = try bytes.withBytes { try GraphDefinition($0) }
        if !read.functions.isEmpty { try GraphExpansion.check(read, GraphTopology(read)) }
        try self.init(
            GraphSimplification.apply(to: read, bytes, feeds: feeds.map(Feed.init)), source: bytes, feeds: feeds,
            structureSize: structureSize, allowsUnsafe: allowUnsafe)
    }

    /// The same network as another graph, in which some operations stand for others.
    func rewritten(_ draft: GraphDraft) throws -> Model {
        let graph = GraphSimplification.Result(
            try draft.read(), aliases: aliases, perImage: perImage)
        return try Model(
            graph, source: source, feeds: feeds, structureSize: structureSize, allowsUnsafe: allowsUnsafe)
    }

    private init(
        _ simplified: GraphSimplification.Result, source: Bytes, feeds: [String], structureSize: Int, allowsUnsafe: Bool
    ) throws {
        self.source = source
        self.feeds = feeds.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        self.allowsUnsafe = allowsUnsafe
        self.structureSize = structureSize
        graph = simplified.graph
        serialized = simplified.serialized
        aliases = simplified.aliases
        perImage = simplified.perImage
        topology = try GraphTopology(graph)
        let controlFlow = ControlFlow(graph.nodes, order: topology.order) { [graph] in graph.index[$0.name] }
        analysis = LayerAnalysis(graph, topology, controlFlow)
        notes = [HiddenLayers(graph, topology, controlFlow).note].compactMap { $0 }
        penultimate = Penultimate(graph, topology, analysis).tensors
        tensors = Self.table(graph, topology, analysis, penultimate)
    }

    /// The reserve for reading a graph, and for preparing one, in bytes per byte of its structure. Networks take 5 to
    /// 15, and graphs that were made to take much took 34.
    package static let reservePerByte = 128

    private static func table(
        _ graph: GraphDefinition, _ topology: GraphTopology, _ analysis: LayerAnalysis, _ penultimate: [TensorName]
    ) -> [Tensor] {
        let penultimate = Set(penultimate)
        var layerOf: [Int: LayerAnalysis.Layer] = [:]
        for layer in analysis.layers {
            layerOf[layer.output] = layer
            for part in layer.parts where layerOf[part] == nil { layerOf[part] = layer }
        }
        return topology.order.filter { !topology.isConstant[$0] }.map { number in
            let node = graph.nodes[number]
            let layer = layerOf[number]
            let isOutput = layer?.output == number
            let placeholder = node.isAny(.placeholder) ? node.shape("shape") : nil
            let kind = layer?.kind ?? (node.isAny(.placeholder) ? .input : .other)
            let rank = layer.map { isOutput ? $0.rank : analysis.operationRank($0.operation) } ?? placeholder?.count
            let channels = layer?.channels ?? placeholder?.last.flatMap { $0 > 0 ? $0 : nil }
            return Tensor(
                name: node.name, operation: node.operation, kind: kind, rank: rank, channels: channels,
                isDefault: isOutput && layer?.isClassifier == false,
                isClassifier: isOutput && layer?.isClassifier == true,
                isClassifierInput: analysis.classifierInputs.contains(number),
                isPenultimate: penultimate.contains(TensorName(node: node.name, output: 0)))
        }
    }

    /// The outputs of the default layers, in the order of `tensors`.
    var defaultLayers: [Tensor] { tensors.filter(\.isDefault) }

    /// The tensor that a user names. It is the graph's tensor of exactly that name, else the one without "import/".
    func tensorName(_ text: String) -> TensorName {
        let names = [TensorName(text), TensorName(userWritten: text)]
        for name in names {
            if graph.number(of: name.node) != nil { return name }
            if name.node.utf8.allSatisfy({ $0 < 0x80 }), let alias = aliases[name] { return alias }
        }
        return names[1]
    }

    /// The node of a tensor. The error for a missing one lists the nearest names.
    func node(_ tensor: TensorName, writtenAs text: String) throws -> GraphDefinition.Node {
        guard let number = graph.number(of: tensor.node) else { throw unknownTensor(text) }
        return graph.nodes[number]
    }

    /// The error for a name that no tensor has.
    func unknownTensor(_ text: String) -> FNEError {
        FNEError(
            .unknownTensor,
            "the graph has no tensor '\(text)'. "
                + nearestNamesSentence(to: tensorName(text).node, among: tensors.map(\.name)))
    }
}

/// A shape in words, such as "[?, 224, 224, 3]", with ? for an unknown dimension.
func describe(_ shape: [Int]) -> String {
    "[" + shape.map { $0 < 0 ? "?" : String($0) }.joined(separator: ", ") + "]"
}

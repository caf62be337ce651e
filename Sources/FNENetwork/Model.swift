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
    }

    /// The first output of every node that is no constant, in an order in which they can be computed.
    public let tensors: [Tensor]

    /// The GraphDef as it was read.
    package let serialized: Bytes
    /// The size of the GraphDef without its constants (see `GraphDefinition.structureSize`).
    package let structureSize: Int
    let graph: GraphDefinition
    let topology: GraphTopology
    let analysis: LayerAnalysis

    /// Reads and checks a GraphDef file.
    ///
    /// - Parameter allowUnsafe: whether operations may stand in the graph that are not on the list of allowed ones. A
    ///   graph is a program. With such operations it may read and write files.
    /// - Throws: `.fileError`, `.ioError`, `.invalidGraph` or `.unsafeGraph`. The errors name the file.
    public convenience init(file path: FilePath, allowUnsafe: Bool = false) throws {
        do {
            try self.init(Patience().trying { try Bytes(file: path) }, allowUnsafe: allowUnsafe)
        } catch let error as FNEError {
            throw error.about(path.description)
        }
    }

    /// Reads and checks a serialized GraphDef in memory. The bytes are copied.
    ///
    /// - Throws: as `init(file:allowUnsafe:)`, without the file's name.
    public convenience init(copying bytes: UnsafeRawBufferPointer, allowUnsafe: Bool = false) throws {
        guard bytes.count > 0 else { throw FNEError(.invalidGraph, "the GraphDef is empty") }
        try self.init(Bytes(copying: bytes), allowUnsafe: allowUnsafe)
    }

    private init(_ bytes: Bytes, allowUnsafe: Bool) throws {
        serialized = bytes
        structureSize = bytes.withBytes(GraphDefinition.structureSize)
        try Reserve.prepare(structureSize * Self.reservePerByte)
        graph = try bytes.withBytes { try GraphDefinition($0) }
        if !allowUnsafe { try GraphSafety.check(graph) }
        try GraphConsistency.check(graph)
        try GraphSizes.check(graph, size: bytes.count)
        topology = try GraphTopology(graph)
        try GraphExpansion.check(graph, topology)
        try GraphLoops.check(graph)
        analysis = LayerAnalysis(graph, topology)
        tensors = Self.table(graph, topology, analysis)
    }

    /// The reserve for reading a graph, and for preparing one, in bytes per byte of its structure. Networks take 5 to
    /// 15, and graphs that were made to take much took 34.
    package static let reservePerByte = 128

    private static func table(
        _ graph: GraphDefinition, _ topology: GraphTopology, _ analysis: LayerAnalysis
    ) -> [Tensor] {
        var layerOf: [Int: LayerAnalysis.Layer] = [:]
        for layer in analysis.layers {
            layerOf[layer.output] = layer
            if layerOf[layer.operation] == nil { layerOf[layer.operation] = layer }
        }
        return topology.order.filter { !topology.isConstant[$0] }.map { number in
            let node = graph.nodes[number]
            let layer = layerOf[number]
            let isOutput = layer?.output == number
            let placeholder = node.isAny(.placeholder) ? node.shape("shape") : nil
            let kind = layer?.kind ?? (node.isAny(.placeholder) ? .input : .other)
            let rank: Int? =
                switch layer?.kind {
                case .convolution, .depthwise: node.operation == "Conv3D" ? 5 : 4
                case .dense: 2
                default: placeholder?.count
                }
            let channels = layer?.channels ?? placeholder?.last.flatMap { $0 > 0 ? $0 : nil }
            return Tensor(
                name: node.name, operation: node.operation, kind: kind, rank: rank, channels: channels,
                isDefault: isOutput && layer?.isClassifier == false,
                isClassifier: isOutput && layer?.isClassifier == true,
                isClassifierInput: analysis.classifierInputs.contains(number))
        }
    }

    /// The outputs of the default layers, in the order of `tensors`.
    var defaultLayers: [Tensor] { tensors.filter(\.isDefault) }

    /// The tensor that a user names. It is the graph's tensor of exactly that name, else the one without "import/".
    func tensorName(_ text: String) -> TensorName {
        let exact = TensorName(text)
        return graph.number(of: exact.node) != nil ? exact : TensorName(userWritten: text)
    }

    /// Checks that no map is [n, channels, height, width]. The pooling would average the wrong axes of such a map.
    ///
    /// - Throws: `.unsupportedTensor`, with the name of the node.
    package func checkLayout() throws {
        for node in graph.nodes {
            guard let layout = node.text("data_format"), layout.hasPrefix("NC") else { continue }
            throw FNEError(
                .unsupportedTensor,
                "node '\(node.name)' works in the layout \(layout), but layers must be [n, height, width, channels]. "
                    + "Convert the network to NHWC")
        }
    }

    /// Checks that no tensor that the selected layers need is known to be too large.
    ///
    /// - Throws: `.invalidGraph`, with the name of the node.
    package func checkShapes(
        input: Input, layers selected: [LayerSelection.Selected], height: Int, width: Int, channels: Int
    ) throws {
        let roots = selected.map(\.name.node) + [input.name.node]
        try TensorShapes.check(
            graph, topology, needed: topology.ancestors(of: Set(roots.compactMap { graph.index[$0] })),
            input: input.name, image: [input.batch ?? 1, height, width, channels])
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

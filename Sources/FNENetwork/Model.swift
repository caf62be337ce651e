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
            let rank = layer.map { isOutput ? $0.rank : analysis.operationRank($0.operation) } ?? placeholder?.count
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

    // MARK: Input

    /// The tensor that images are fed to, with the sizes that the graph fixes.
    package struct Input {
        /// The tensor's name.
        package let name: TensorName
        /// The only batch size that the graph takes; nil where it takes any.
        package let batch: Int?
        /// The only height in pixels that the graph takes; nil where it takes any.
        package let height: Int?
        /// The only width in pixels that the graph takes; nil where it takes any.
        package let width: Int?
    }

    /// The input tensor.
    ///
    /// - Parameter name: the name as a user writes it; nil for the graph's only float32 placeholder. A placeholder is
    ///   an operation whose value is fed.
    /// - Throws: `.unknownTensor`, `.unsupportedTensor`.
    package func input(named name: String?) throws -> Input {
        guard let name else {
            let candidates = graph.nodes.filter {
                $0.operation == "Placeholder" && $0.type("dtype") == .float32
            }
            guard let only = candidates.first else {
                throw FNEError(.unknownTensor, "the graph has no float32 placeholder. Name the input tensor")
            }
            guard candidates.count == 1 else {
                let names = candidates.map { "'\($0.name)'" }.joined(separator: ", ")
                throw FNEError(.unknownTensor, "the graph has several inputs (\(names)). Name the one for images")
            }
            return try input(only, TensorName(node: only.name, output: 0))
        }
        let tensor = tensorName(name)
        return try input(node(tensor, writtenAs: name), tensor)
    }

    private func input(_ node: GraphDefinition.Node, _ name: TensorName) throws -> Input {
        guard node.isAny(.placeholder) else {
            return Input(name: name, batch: nil, height: nil, width: nil)
        }
        guard name.output == 0 else {
            throw FNEError(
                .unknownTensor, "the operation '\(node.name)' has 1 output; there is no '\(name.text)'")
        }
        if let type = node.type("dtype"), type != .float32 {
            throw FNEError(
                .unsupportedTensor,
                "the input '\(node.name)' is not float32. Name the float32 tensor that is made of it as the input")
        }
        guard let shape = node.shape("shape"), !shape.isEmpty else {
            return Input(name: name, batch: nil, height: nil, width: nil)
        }
        guard shape.count == 4, shape[3] == 3 || shape[3] == -1 else {
            throw FNEError(
                .unsupportedTensor,
                "the input '\(node.name)' has shape \(describe(shape)); images need [batch, height, width, 3]")
        }
        func fixed(_ dimension: Int) -> Int? { dimension > 0 ? dimension : nil }
        return Input(name: name, batch: fixed(shape[0]), height: fixed(shape[1]), width: fixed(shape[2]))
    }

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

    /// The node of a tensor. The error for a missing one lists the nearest names.
    private func node(_ tensor: TensorName, writtenAs text: String) throws -> GraphDefinition.Node {
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

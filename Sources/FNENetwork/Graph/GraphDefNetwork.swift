import FNESupport

/// A frozen TensorFlow GraphDef, whose weights are constants of the graph. Reading it needs no TensorFlow.
final class GraphDefNetwork: Network, @unchecked Sendable {
    /// The first output of every node that is no constant, in an order in which they can be computed.
    let tensors: [Model.Tensor]

    /// What a user should know about the network, in sentences: which layers cannot be taken.
    let notes: [String]

    /// The GraphDef as it was read.
    let source: Bytes
    /// The values that were given to inputs beside the image, as "name=value".
    let feeds: [String]
    /// The GraphDef as it is run, after `GraphSimplification`.
    let serialized: Bytes
    /// The size of the GraphDef without its constants (see `GraphDefinition.structureSize`).
    let structureSize: Int
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

    /// - Parameters:
    ///   - allowUnsafe: whether operations may run that are not on the list of allowed ones
    ///   - feeds: values for inputs beside the image (see `Model.feeding`)
    /// - Throws: as `Model.init(file:allowUnsafe:feeds:)`.
    convenience init(_ bytes: Bytes, allowUnsafe: Bool, feeds: [String]) throws {
        let structureSize = bytes.withBytes(GraphDefinition.structureSize)
        try Reserve.prepare(structureSize * Model.reservePerByte)
        let read = try bytes.withBytes { try GraphDefinition($0) }
        if !read.functions.isEmpty { try GraphExpansion.check(read, GraphTopology(read)) }
        try self.init(
            GraphSimplification.apply(to: read, bytes, feeds: feeds.map(Feed.init)), source: bytes, feeds: feeds,
            structureSize: structureSize, allowsUnsafe: allowUnsafe)
    }

    var engine: Backend.Kind { .tensorFlow }

    var contents: [Bytes] { [source] }

    func feeding(_ feeds: [String]) throws -> any Network {
        feeds.isEmpty ? self : try GraphDefNetwork(source, allowUnsafe: allowsUnsafe, feeds: self.feeds + feeds)
    }

    /// The same network as another graph, in which some operations stand for others.
    func rewritten(_ draft: GraphDraft) throws -> GraphDefNetwork {
        let graph = GraphSimplification.Result(
            try draft.read(), aliases: aliases, perImage: perImage)
        return try GraphDefNetwork(
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
        penultimate = GraphDefPenultimate.tensors(graph, topology, analysis)
        tensors = Self.table(graph, topology, analysis, penultimate)
    }

    private static func table(
        _ graph: GraphDefinition, _ topology: GraphTopology, _ analysis: LayerAnalysis, _ penultimate: [TensorName]
    ) -> [Model.Tensor] {
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
            return Model.Tensor(
                name: node.name, operation: node.operation, kind: kind, rank: rank, channels: channels,
                isDefault: isOutput && layer?.isClassifier == false,
                isClassifier: isOutput && layer?.isClassifier == true,
                isClassifierInput: analysis.classifierInputs.contains(number),
                isPenultimate: penultimate.contains(TensorName(node: node.name, output: 0)))
        }
    }

    /// The outputs of the default layers, in the order of `tensors`.
    var defaultLayers: [Model.Tensor] { tensors.filter(\.isDefault) }

    /// The tensor that a user names. It is the graph's tensor of exactly that name, else the one without "import/".
    func tensorName(_ text: String) -> TensorName {
        let names = [TensorName(text), TensorName(userWritten: text)]
        for name in names {
            if graph.number(of: name.node) != nil { return name }
            if name.node.utf8.allSatisfy({ $0 < 0x80 }), let alias = aliases[name] { return alias }
        }
        return names[1]
    }

    func knownTensor(_ text: String) -> TensorName? {
        let name = tensorName(text)
        return graph.number(of: name.node) == nil ? nil : name
    }

    func plainName(_ text: String) -> String { tensorName(text).node }

    /// Weights that are no constants are why a graph that is not frozen has no layer.
    func checkForLayers() throws { try GraphSafety.checkFrozen(graph) }

    /// The node of a tensor. The error for a missing one lists the nearest names.
    func node(_ tensor: TensorName, writtenAs text: String) throws -> GraphDefinition.Node {
        guard let number = graph.number(of: tensor.node) else { throw unknownTensor(text) }
        return graph.nodes[number]
    }
}

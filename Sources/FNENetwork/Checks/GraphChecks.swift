import FNESupport

/// Checks what is left of a graph for the selected layers, which alone reaches TensorFlow. What stands in front of the
/// input, or elsewhere in the graph, is no fault.
struct GraphChecks {
    private let model: GraphDefNetwork
    private let input: Model.Input
    private let taps: [TensorName]
    /// The height and width of the network's input in pixels, and the numbers per pixel.
    private let size: [Int]
    /// The nodes that run.
    private let needed: Set<Int>
    /// The part of the graph that runs.
    private let part: GraphDefinition

    init(_ model: GraphDefNetwork, input: Model.Input, taps: [TensorName], size: [Int]) {
        self.model = model
        self.input = input
        self.taps = taps
        self.size = size
        needed = model.topology.needed(for: taps, input: input.name)
        part = model.graph.part(needed)
    }

    /// The shape of what is fed.
    private func image(_ batch: Int) -> [Int] { [batch] + size }

    /// Checks everything but the sizes of tensors.
    ///
    /// - Throws: `.unsafeGraph`, `.invalidGraph`, `.unsupportedTensor`, `.invalidArgument`.
    func run() throws {
        try model.checkInputs(needed, image: input.name)
        if !model.allowsUnsafe { try GraphSafety.check(part) }
        try GraphConsistency.check(part)
        try GraphSizes.check(part, size: model.serialized.count)
        try GraphExpansion.check(part, GraphTopology(part))
        try GraphLoops.check(part)
        try checkLayout()
        warnOfRandomNumbers()
    }

    private func warnOfRandomNumbers() {
        let random = part.nodes.filter { $0.isAny(.random) }
        guard let first = random.first else { return }
        Log.write(
            .warning,
            "the network draws random numbers in \(random.count) nodes, first in '\(first.name)' (\(first.operation)). "
                + "The same image may give another row each time")
    }

    /// Checks that no map is [n, channels, height, width]. The pooling would average the wrong axes of such a map.
    private func checkLayout() throws {
        let graph = model.graph
        let suspects = needed.filter { graph.nodes[$0].hasChannelsFirst }.sorted()
        guard !suspects.isEmpty else { return }
        let outputs = try TensorShapes.outputs(
            graph, model.topology, needed: needed, input: input.name, image: image(input.batch ?? 2))
        for number in suspects where !normalizesRows(number, outputs) {
            let node = graph.nodes[number]
            throw FNEError(
                .unsupportedTensor,
                "node '\(node.name)' works in the layout \(node.text("data_format") ?? ""), but layers must be "
                    + "[n, height, width, channels]. Convert the network to NHWC")
        }
    }

    /// Whether a node is a layer normalization as Keras 2 writes it. It reshapes a tensor to [1, rows, values, 1], and
    /// normalizes each row as if it were a channel of one image. That is no map in another layout.
    private func normalizesRows(_ number: Int, _ outputs: [TensorShapes.Outputs]) -> Bool {
        let node = model.graph.nodes[number]
        guard node.takesBatchStatistics, let input = node.dataInputs.first,
            let source = model.graph.index[input.name],
            let shape = outputs[source][input].shape, shape.count == 4
        else { return false }
        return model.graph.nodes[source].operation == "Reshape" && shape[0] == 1 && shape[3] == 1
    }

    /// Checks that no tensor that the selected layers need is known to be too large.
    ///
    /// - Returns: the outputs of the nodes, by the nodes' numbers.
    /// - Throws: `.invalidGraph`, with the name of the node.
    @discardableResult
    func checkShapes() throws -> [TensorShapes.Outputs] {
        try TensorShapes.check(
            model.graph, model.topology, needed: needed, input: input.name, image: image(input.batch ?? 1))
    }

    /// The shapes of the selected layers for one image; nil where a shape does not follow from the graph.
    ///
    /// - Parameter outputs: what `checkShapes` gave
    func layerShapes(_ outputs: [TensorShapes.Outputs]) throws -> [LayerShape?] {
        try model.shapes(of: taps, outputs, needed: needed, input: input, image: size)
    }

    /// The operations that work across the images of a batch, among those that the selected layers need. Nil where
    /// there is none.
    func batchStatistics() throws -> BatchStatistics? {
        let graph = model.graph
        let found = try BatchDependence.nodes(
            graph, model.topology, needed: needed, layers: Set(taps.compactMap { graph.index[$0.node] }),
            input: input.name, image: image(1), batch: input.batch)
        return found.first.map { first in
            BatchStatistics(
                node: graph.nodes[first].name, operation: graph.nodes[first].operation, count: found.count)
        }
    }
}

import FNESupport

/// Checks what is left of a graph for the selected layers, which alone reaches TensorFlow. What stands in front of the
/// input, or elsewhere in the graph, is no fault.
struct GraphChecks {
    private let model: Model
    private let input: TensorName
    /// The nodes that run.
    private let needed: Set<Int>
    /// The part of the graph that runs.
    private let part: GraphDefinition

    init(_ model: Model, input: TensorName, taps: [TensorName]) {
        self.model = model
        self.input = input
        needed = model.topology.needed(for: taps, input: input)
        part = model.graph.part(needed)
    }

    /// Checks everything but the shapes.
    ///
    /// - Throws: `.unsafeGraph`, `.invalidGraph`, `.unsupportedTensor`, `.invalidArgument`.
    func run() throws {
        try model.checkInputs(needed, image: input)
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
        for node in part.nodes {
            guard let layout = node.text("data_format"), layout.hasPrefix("NC") else { continue }
            throw FNEError(
                .unsupportedTensor,
                "node '\(node.name)' works in the layout \(layout), but layers must be [n, height, width, channels]. "
                    + "Convert the network to NHWC")
        }
    }

    /// Checks that no tensor that the selected layers need is known to be too large.
    ///
    /// - Parameter image: the shape that is fed for one image, or for the only batch size that the graph takes
    /// - Returns: for each node the shape of its first output; nil where it is not known.
    /// - Throws: `.invalidGraph`, with the name of the node.
    @discardableResult
    func checkShapes(image: [Int]) throws -> [[Int]?] {
        try TensorShapes.check(model.graph, model.topology, needed: needed, input: input, image: image)
    }
}

/// A GraphDef, as `Penultimate` looks at it.
struct GraphDefPenultimate: PenultimateSource {
    /// An output of the node of a number.
    struct Tensor: Hashable {
        let node: Int
        let output: Int
    }

    let order: [Tensor]

    private let graph: GraphDefinition
    private let topology: GraphTopology
    /// The nodes whose first outputs are default layers.
    private let defaults: Set<Int>

    /// What the selector "penultimate" selects.
    static func tensors(
        _ graph: GraphDefinition, _ topology: GraphTopology, _ analysis: LayerAnalysis
    ) -> [TensorName] {
        let source = GraphDefPenultimate(graph, topology, analysis)
        let read = analysis.layers.filter(\.isClassifier).compactMap { source.tensor(readBy: $0.operation) }
        return Penultimate(source, read: read).tensors.map {
            TensorName(node: graph.nodes[$0.node].name, output: $0.output)
        }
    }

    private init(_ graph: GraphDefinition, _ topology: GraphTopology, _ analysis: LayerAnalysis) {
        (self.graph, self.topology) = (graph, topology)
        order = topology.order.map { Tensor(node: $0, output: 0) }
        defaults = Set(analysis.layers.filter { !$0.isClassifier }.map(\.output))
    }

    private func tensor(_ input: GraphDefinition.Input) -> Tensor? {
        graph.index[input.name].map { Tensor(node: $0, output: input.output) }
    }

    /// The tensor that a layer's operation reads beside its weights.
    private func tensor(readBy operation: Int) -> Tensor? {
        graph.nodes[operation].dataInputs.lazy.compactMap(tensor).first { !topology.isConstant[$0.node] }
    }

    func isDefault(_ tensor: Tensor) -> Bool { tensor.output == 0 && defaults.contains(tensor.node) }

    func before(_ tensor: Tensor) -> Tensor? {
        guard tensor.output == 0,
            graph.nodes[tensor.node].isAny([.reshapes, .keepsTensor]) || isPooling(tensor.node)
        else { return nil }
        return graph.nodes[tensor.node].dataInputs.first.flatMap(self.tensor)
    }

    /// Whether a node averages a map over height and width, or over windows of them.
    private func isPooling(_ number: Int) -> Bool {
        let inputs = topology.inputs[number]
        switch graph.nodes[number].operation {
        case "AvgPool": return true
        case "Mean":
            guard inputs.count == 2, let axes = topology.integers(inputs[1]) else { return false }
            return [[1, 2], [2, 1], [-3, -2], [-2, -3]].contains(axes)
        default: return false
        }
    }

    func branches(of tensor: Tensor) -> [Tensor]? {
        let number = tensor.node
        let (inputs, numbers) = (graph.nodes[number].dataInputs, topology.inputs[number])
        guard tensor.output == 0, inputs.count >= 2, inputs.count == numbers.count else { return nil }
        func isChannelAxis(_ place: Int) -> Bool { [[3], [-1]].contains(topology.integers(numbers[place])) }
        func joined(_ inputs: some Collection<GraphDefinition.Input>) -> [Tensor]? {
            let found = inputs.compactMap(self.tensor)
            return found.count == inputs.count ? found : nil
        }
        switch graph.nodes[number].operation {
        case "ConcatV2" where isChannelAxis(numbers.count - 1): return joined(inputs.dropLast())
        case "Concat" where isChannelAxis(0): return joined(inputs.dropFirst())
        default: return nil
        }
    }
}

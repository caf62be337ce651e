/// Tells which of a network's layers are classifiers' last ones. No further layer can be reached from such a layer. It
/// leads to an output without a residual sum or a normalization, by way of a softmax, or of changes of shape alone.
struct ONNXClassifiers {
    private let graph: ONNXDefinition.Graph
    private let topology: ONNXTopology
    private let kinds: [TensorKind?]
    /// For each node, what can be reached from its outputs.
    private var ahead: [Ahead]
    /// Whether each node is a residual sum or a normalization, and whether it may stand after scores. These are found
    /// once, since many values may have the same reader.
    private var mixing: [Bool] = []
    private var following: [Bool] = []

    /// What can be reached from a value.
    private struct Ahead {
        /// A further layer can be reached.
        var layer = false
        /// A node that tells classes from scores can be reached.
        var decision = false
        /// A residual sum or a normalization can be reached.
        var mixes = false
        /// Only changes of shape, averages, sums with constants, and decisions can be reached.
        var onlyShaping = true
    }

    init(_ graph: ONNXDefinition.Graph, _ topology: ONNXTopology, _ kinds: [TensorKind?]) {
        self.graph = graph
        self.topology = topology
        self.kinds = kinds
        ahead = Array(repeating: Ahead(), count: graph.nodes.count)
        mixing = graph.nodes.indices.map(mixes)
        following = graph.nodes.indices.map(mayFollowScores)
        for place in topology.order.reversed() {
            var sum = Ahead()
            for output in topology.outputs[place] { if let output { add(lookAhead(output), to: &sum) } }
            ahead[place] = sum
        }
    }

    private func add(_ part: Ahead, to sum: inout Ahead) {
        sum.layer = sum.layer || part.layer
        sum.decision = sum.decision || part.decision
        sum.mixes = sum.mixes || part.mixes
        sum.onlyShaping = sum.onlyShaping && part.onlyShaping
    }

    /// What can be reached from a value, by what can be reached from its readers.
    private func lookAhead(_ value: Int) -> Ahead {
        var result = Ahead()
        for reader in topology.valueReaders(value, graph) {
            let isDecision = decides(reader)
            let next = ahead[reader]
            add(
                Ahead(
                    layer: kinds[reader] != nil || next.layer, decision: isDecision || next.decision,
                    mixes: mixing[reader] || next.mixes,
                    onlyShaping: next.onlyShaping && (isDecision || following[reader])),
                to: &result)
        }
        return result
    }

    /// Whether a node may stand after scores. It may scale them by constants, and average those of two layers.
    private func mayFollowScores(_ place: Int) -> Bool {
        let node = graph.nodes[place]
        guard node.isAny(.affine), variables(place).count > 1 else { return node.isAny(.mayFollowScores) }
        return node.isAny(.addition) && !mixing[place]
    }

    /// The inputs of a node that are no constants.
    private func variables(_ place: Int) -> [Int] {
        topology.inputs[place].compactMap { $0 }.filter { !topology.isConstant[$0] }
    }

    /// Whether a node tells classes from scores. A sigmoid does where it ends the graph. Elsewhere it is a gate.
    private func decides(_ place: Int) -> Bool {
        let node = graph.nodes[place]
        return node.isAny(.decides) || (node.operation == "Sigmoid" && ahead[place].onlyShaping)
    }

    /// Whether a node is a normalization, or a sum of values of which one is no score. The scores of two dense layers
    /// may be averaged.
    private func mixes(_ place: Int) -> Bool {
        let node = graph.nodes[place]
        if node.isAny(.normalizes) || node.operation == "LRN" { return true }
        guard node.isAny(.addition) || ["Sum", "Mean"].contains(node.operation) else { return false }
        let addends = variables(place)
        return addends.count > 1 && !addends.allSatisfy(isScore)
    }

    /// Whether a value is the output of a dense layer, perhaps with a bias.
    private func isScore(_ value: Int) -> Bool {
        var value: Int? = value
        for _ in 0..<8 {
            guard let current = value, let place = topology.producers[current] else { return false }
            if kinds[place] != nil { return kinds[place] == .dense }
            guard graph.nodes[place].isAny([.affine, .keepsTensor, .reshapes]) else { return false }
            let read = variables(place)
            value = read.count == 1 ? read.first : nil
        }
        return false
    }

    func isClassifier(_ place: Int, _ output: Int, _ kind: TensorKind, isActivated: Bool) -> Bool {
        let ahead = lookAhead(output)
        if ahead.layer || ahead.mixes { return false }
        if ahead.decision { return true }
        if isActivated { return kind == .dense && endsInSigmoid(output) }
        return ahead.onlyShaping && (kind == .dense || (kind == .convolution && readsPooledMap(place)))
    }

    private func endsInSigmoid(_ output: Int) -> Bool {
        topology.producers[output].map { graph.nodes[$0].operation == "Sigmoid" } ?? false
    }

    /// Whether a convolution reads a map that was averaged over height and width.
    private func readsPooledMap(_ place: Int) -> Bool {
        var value = topology.inputs[place].first ?? nil
        for _ in 0..<8 {
            guard let current = value, let producer = topology.producers[current] else { return false }
            if graph.nodes[producer].isAny(.averages) { return true }
            guard graph.nodes[producer].isAny([.reshapes, .keepsTensor]) else { return false }
            value = topology.inputs[producer].first ?? nil
        }
        return false
    }
}

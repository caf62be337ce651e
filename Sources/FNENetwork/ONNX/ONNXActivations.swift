/// Recognizes activations that several operators make, such as SiLU, x * sigmoid(x), GELU or a hard swish.
struct ONNXActivations: Sendable {
    private let graph: ONNXDefinition.Graph
    private let topology: ONNXTopology
    private let shapes: ONNXShapes

    /// The most operators that an activation may be made of.
    private static let limit = 16

    init(_ graph: ONNXDefinition.Graph, _ topology: ONNXTopology, _ shapes: ONNXShapes) {
        self.graph = graph
        self.topology = topology
        self.shapes = shapes
    }

    /// The output of an activation that several operators on one value x make. All readers of x work value by value on
    /// x and constants alone. Everything that they compute meets again in one value, which is the output, perhaps after
    /// a constant factor. Nil where the readers make no such activation.
    func composed(of value: Int) -> Int? {
        let first = topology.valueReaders(value, graph)
        guard (2...Self.limit).contains(first.count) else { return nil }
        var region = Set([value])
        var open = first.count // edges that lead out of the values of the region
        var pending = Set(first)
        while region.count <= Self.limit, !pending.isEmpty, pending.count <= Self.limit {
            // Without a node whose inputs are all in the region, x meets other values, and this is no activation.
            guard let next = pending.sorted().first(where: { isPart($0, of: region) }),
                let output = topology.outputs[next].first ?? nil
            else { return nil }
            pending.remove(next)
            open -= Set(topology.inputs[next].compactMap { $0 }).intersection(region).count
            region.insert(output)
            if open == 0 { return withFactors(output) }
            let readers = topology.valueReaders(output, graph)
            open += readers.count
            pending.formUnion(readers.prefix(Self.limit + 1))
        }
        return nil
    }

    private func isPart(_ place: Int, of region: Set<Int>) -> Bool {
        graph.nodes[place].isAny(.valueByValue) && topology.outputs[place].count == 1
            && topology.inputs[place].count <= Self.limit
            && topology.inputs[place].allSatisfy { $0.map { region.contains($0) || topology.isConstant[$0] } ?? true }
    }

    /// The value after constant factors of one number. They belong to the activation, as in GELUs that multiply by a
    /// half at the end. A factor for each channel does not: it scales what a block adds to its input.
    func withFactors(_ value: Int) -> Int {
        var output = value
        while let reader = topology.onlyReader(output, graph), graph.nodes[reader].isAny(.scaling),
            let factor = other(reader, than: output), shapes.constantCount(factor) == 1,
            let next = topology.outputs[reader].first ?? nil
        {
            output = next
        }
        return output
    }

    /// The constant input of a node that reads a value and one constant; nil for other nodes.
    func other(_ reader: Int, than value: Int) -> Int? {
        let inputs = topology.inputs[reader]
        guard inputs.count == 2, let other = inputs.first(where: { $0 != value }) ?? nil, topology.isConstant[other]
        else { return nil }
        return other
    }

    /// Whether an activation is the middle of a hard sigmoid that is written out, clip(x + 3, 0, 6) / 6.
    func isHardSigmoid(_ activation: Int, of sum: Int) -> Bool {
        guard graph.nodes[activation].operation == "Clip", let place = topology.producers[sum] else { return false }
        return graph.nodes[place].operation == "Add"
            && topology.inputs[place].contains { $0.flatMap(shapes.small)?.numbers == [3] }
    }
}

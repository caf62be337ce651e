/// An ONNX network, as `Penultimate` looks at it. A tensor is a value's number.
struct ONNXPenultimate: PenultimateSource {
    let order: [Int]

    private let graph: ONNXDefinition.Graph
    private let topology: ONNXTopology
    private let shapes: ONNXShapes
    private let layout: ONNXLayout
    private let defaults: Set<Int>

    /// What the selector "penultimate" selects, as the values' numbers.
    static func values(
        _ graph: ONNXDefinition.Graph, _ topology: ONNXTopology, _ shapes: ONNXShapes, _ analysis: ONNXLayers
    ) -> [Int] {
        let source = ONNXPenultimate(graph, topology, shapes, analysis)
        let read = analysis.layers.filter(\.isClassifier).compactMap { topology.inputs[$0.node].first ?? nil }
        return Penultimate(source, read: read).tensors
    }

    private init(
        _ graph: ONNXDefinition.Graph, _ topology: ONNXTopology, _ shapes: ONNXShapes, _ analysis: ONNXLayers
    ) {
        (self.graph, self.topology, self.shapes) = (graph, topology, shapes)
        layout = ONNXLayout(graph, topology, analysis.layers)
        order = topology.order.flatMap { topology.outputs[$0].compactMap { $0 } }
        defaults = Set(analysis.layers.filter { !$0.isClassifier }.map(\.output))
    }

    func isDefault(_ value: Int) -> Bool { defaults.contains(value) }

    /// The node that makes a value as its first output.
    private func producer(_ value: Int) -> Int? {
        topology.producers[value].flatMap { (topology.outputs[$0].first ?? nil) == value ? $0 : nil }
    }

    private func input(_ place: Int, _ number: Int) -> Int? {
        number < topology.inputs[place].count ? topology.inputs[place][number] : nil
    }

    func before(_ value: Int) -> Int? {
        guard let place = producer(value), let read = input(place, 0),
            graph.nodes[place].isAny([.reshapes, .keepsTensor]) || isPooling(place, of: read)
        else { return nil }
        return read
    }

    /// Whether a node averages a map over height and width, or over windows of them.
    private func isPooling(_ place: Int, of read: Int) -> Bool {
        let node = graph.nodes[place]
        switch node.operation {
        case "GlobalAveragePool", "AveragePool": return true
        case "ReduceMean":
            guard let axes = shapes.integers(of: place, "axes", input: 1),
                let last = layout.channelsLast(read)
            else { return false }
            return ONNXLayout.areSides(axes, last: last)
        default: return false
        }
    }

    func branches(of value: Int) -> [Int]? {
        guard let place = producer(value), graph.nodes[place].operation == "Concat",
            let axis = graph.nodes[place].integer("axis")
        else { return nil }
        let inputs = topology.inputs[place].compactMap { $0 }
        guard inputs.count >= 2, inputs.count == topology.inputs[place].count,
            inputs.allSatisfy({ channelAxes(of: $0).contains(axis) })
        else { return nil }
        return inputs
    }

    /// The axes that the channels of a value may be named by; none where that is not known.
    private func channelAxes(of value: Int) -> Set<Int> {
        if let last = layout.channelsLast(value) {
            let isMatrix = topology.producers[value].map { graph.nodes[$0].operation == "Gemm" } ?? false
            return ONNXLayout.channelAxes(last: last).union(isMatrix ? [1] : [])
        }
        return isVector(value) ? [1, -1] : []
    }

    /// Whether a value is [n, C]: a Flatten, or an average over height and width without these axes.
    private func isVector(_ value: Int) -> Bool {
        guard let place = producer(value), let read = before(value) else { return false }
        switch graph.nodes[place].operation {
        case "Flatten", "ReduceMean": return true
        case "Reshape", "Squeeze": return producer(read).map { isPooling($0, of: input($0, 0) ?? read) } ?? false
        default: return false
        }
    }
}

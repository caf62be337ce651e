/// Shows by the operators of a network alone that the first axis of a value is that of the images, and that what an
/// image has there does not depend on the others. For most convolutional networks this holds for every layer, and saves
/// the runs that would show it.
///
/// Each operator is known not to mix images, or it ends the proof. What it ends is left to `PoolingProof`.
struct ONNXImageAxis: Sendable {
    private let graph: ONNXDefinition.Graph
    private let topology: ONNXTopology
    private let shapes: ONNXShapes
    /// The ranks of the values whose first axis is the images', by the values' numbers.
    private var ranks: [Int?]

    /// - Parameter input: the number of the input that takes the images, which has four axes
    init(_ graph: ONNXDefinition.Graph, _ topology: ONNXTopology, _ shapes: ONNXShapes, input: Int) {
        (self.graph, self.topology, self.shapes) = (graph, topology, shapes)
        ranks = Array(repeating: nil, count: topology.names.count)
        ranks[input] = 4
        for place in topology.order {
            guard let rank = rank(madeBy: place) else { continue }
            let outputs = topology.outputs[place]
            // Other operators have further outputs of another meaning, such as the places of the largest values.
            for output in graph.nodes[place].operation == "Split" ? outputs[...] : outputs.prefix(1) {
                if let output { ranks[output] = rank }
            }
        }
    }

    /// The rank of a value whose first axis is the images'; nil where the operators do not show it.
    func rank(_ value: Int) -> Int? { ranks[value] }

    /// The plan of a layer that is a map or a vector; nil where the operators do not show it.
    func plan(_ layer: ONNXLayers.Layer) -> ONNXPooling? {
        // One channel may become several where a sum or a product follows.
        guard let rank = ranks[layer.output], let channels = layer.channels, channels > 1 else { return nil }
        switch (rank, layer.channelsLast) {
        case (2, _): return ONNXPooling(shape: [1, channels], imageAxis: 0, rows: .one, channelAxes: 1..<2)
        case (4, true): return ONNXPooling(shape: [1, 1, 1, channels], imageAxis: 0, rows: .one, channelAxes: 3..<4)
        case (4, false): return ONNXPooling(shape: [1, channels, 1, 1], imageAxis: 0, rows: .one, channelAxes: 1..<2)
        default: return nil // of tokens, the plan needs their number
        }
    }

    // MARK: Operators

    /// The rank of what a node makes; nil where the node may mix images.
    private func rank(madeBy place: Int) -> Int? {
        let node = graph.nodes[place]
        guard node.domain.isEmpty else { return nil }
        if node.isAny(.valueByValue) { return rankOfValueByValue(place) }
        if node.operation == "Concat" { return rankOfConcat(place) }
        guard let first = topology.inputs[place].first ?? nil, let rank = ranks[first], rank >= 2,
            topology.inputs[place].dropFirst().allSatisfy({ $0.map { topology.isConstant[$0] } ?? true })
        else { return nil }
        switch node.operation {
        case "Conv", "ConvTranspose", "QLinearConv", "LRN", "InstanceNormalization", "GroupNormalization", "MaxPool",
            "AveragePool", "LpPool", "GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool", "DepthToSpace",
            "SpaceToDepth":
            return rank >= 3 ? rank : nil
        case "BatchNormalization":
            return node.outputs.count == 1 && (node.integer("training_mode") ?? 0) == 0 ? rank : nil
        case "Dropout": return topology.inputs[place].count < 3 ? rank : nil
        case "QuantizeLinear", "DequantizeLinear": return keeps(node, rank, axisByDefault: 1) ? rank : nil
        // Old files mean all axes from the first named one on, and the first by default.
        case "Softmax", "LogSoftmax", "LayerNormalization", "RMSNormalization", "LpNormalization":
            return keeps(node, rank, axisByDefault: -1) ? rank : nil
        case "Split": return node.integer("axis") != nil && keeps(node, rank, axisByDefault: 0) ? rank : nil
        case "MatMul": return constantShape(place, 1)?.count == 2 ? rank : nil
        case "Gemm": return rankOfGemm(place, rank)
        case "Pad": return rankOfPad(place, rank)
        case "Slice": return shapes.integers(of: place, "axes", input: 3).flatMap { places($0, rank) }.map { _ in rank }
        case "Transpose":
            return node.integers("perm").flatMap { $0.first == 0 && $0.count == rank ? rank : nil }
        default: return rankOfNewShape(place, rank)
        }
    }

    /// The rank after an operator that removes axes or makes new ones.
    private func rankOfNewShape(_ place: Int, _ rank: Int) -> Int? {
        let node = graph.nodes[place]
        switch node.operation {
        case "Flatten": return Self.axis(node.integer("axis") ?? 1, rank) == 1 ? 2 : nil
        case "Reshape":
            // 0 is the size before. A number or -1 in its place does not say what becomes of the images.
            guard (node.integer("allowzero") ?? 0) == 0, let sizes = shapes.integers(of: place, "shape", input: 1),
                sizes.first == 0
            else {
                return nil
            }
            return sizes.count
        case "Squeeze":
            return shapes.integers(of: place, "axes", input: 1).flatMap { places($0, rank) }.map { rank - $0.count }
        case "Unsqueeze":
            return shapes.integers(of: place, "axes", input: 1).flatMap { axes in
                places(axes, rank + axes.count).map { rank + $0.count }
            }
        case _ where node.operation.hasPrefix("Reduce"):
            guard let axes = shapes.integers(of: place, "axes", input: 1).flatMap({ places($0, rank) }) else {
                return nil
            }
            return (node.integer("keepdims") ?? 1) != 0 ? rank : rank - axes.count
        default: return nil
        }
    }

    /// All values have the images first, but for constants that are the same for each image.
    private func rankOfValueByValue(_ place: Int) -> Int? {
        let inputs = topology.inputs[place].compactMap { $0 }
        let found = Set(inputs.filter { !topology.isConstant[$0] }.map { ranks[$0] })
        guard found.count == 1, let rank = found.first ?? nil else { return nil }
        for constant in inputs where topology.isConstant[constant] {
            guard let shape = shapes.constant(constant), isForEachImage(shape, rank) else { return nil }
        }
        return rank
    }

    /// Whether a constant is broadcast along the images' axis.
    private func isForEachImage(_ shape: [Int], _ rank: Int) -> Bool {
        shape.count < rank || shape.count == rank && shape.first == 1
    }

    private func rankOfConcat(_ place: Int) -> Int? {
        let found = Set(topology.inputs[place].map { $0.flatMap { ranks[$0] } })
        guard found.count == 1, let rank = found.first ?? nil, graph.nodes[place].integer("axis") != nil else {
            return nil
        }
        return keeps(graph.nodes[place], rank, axisByDefault: 0) ? rank : nil
    }

    private func rankOfGemm(_ place: Int, _ rank: Int) -> Int? {
        let bias = topology.inputs[place].count > 2 ? topology.inputs[place][2] : nil
        guard rank == 2, (graph.nodes[place].integer("transA") ?? 0) == 0, constantShape(place, 1)?.count == 2,
            bias.map({ shapes.constant($0).map { isForEachImage($0, rank) } ?? false }) ?? true
        else { return nil }
        return rank
    }

    private func rankOfPad(_ place: Int, _ rank: Int) -> Int? {
        guard topology.inputs[place].count < 4, let pads = shapes.integers(of: place, "pads", input: 1),
            pads.count == 2 * rank,
            pads[0] == 0, pads[rank] == 0
        else { return nil }
        return rank
    }

    // MARK: Attributes

    /// Whether the axis that a node works along is none of the images'.
    private func keeps(_ node: ONNXDefinition.Node, _ rank: Int, axisByDefault: Int) -> Bool {
        (Self.axis(node.integer("axis") ?? axisByDefault, rank) ?? 0) > 0
    }

    /// The axes of a list, counted from the first; nil where the images' is among them, or none.
    private func places(_ axes: [Int], _ rank: Int) -> Set<Int>? {
        let places = Set(axes.map { Self.axis($0, rank) ?? 0 })
        return places.isEmpty || places.contains(0) ? nil : places
    }

    /// An axis, counted from the first; nil for one that there is not.
    private static func axis(_ axis: Int, _ rank: Int) -> Int? {
        let counted = axis < 0 ? axis + rank : axis
        return (0..<rank).contains(counted) ? counted : nil
    }

    private func constantShape(_ place: Int, _ input: Int) -> [Int]? {
        let inputs = topology.inputs[place]
        return inputs.indices.contains(input) ? inputs[input].flatMap { shapes.constant($0) } : nil
    }
}

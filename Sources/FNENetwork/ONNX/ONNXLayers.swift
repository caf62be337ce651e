/// Finds the layers of an ONNX network from the structure of its graph, as `LayerAnalysis` does for TensorFlow, so that
/// a network has the same layers on both engines.
///
/// A layer is a convolution or a matrix product whose weights are computed from constants alone, so that a product of
/// queries and keys is none. What reads constants only is no layer either. The layer's output is the value after the
/// bias, the batch normalization and the one activation that follow it.
struct ONNXLayers: Sendable {
    /// A layer that was found.
    struct Layer: Sendable {
        /// The value that is the layer's output.
        let output: Int
        /// The node of the convolution or the product itself.
        let node: Int
        let kind: TensorKind
        /// The number of channels; nil where the weights' shape is not in the file.
        let channels: Int?
        /// The rank of the output; nil where only a run shows it.
        let rank: Int?
        /// Whether the channels are the last axis. Else they are the second.
        let channelsLast: Bool
        let isClassifier: Bool
        /// The path of PyTorch's module, where the exporter kept one.
        let module: String?
        /// Whether the output is of quantized whole numbers, as a quantized convolution makes them.
        let isQuantized: Bool
    }

    /// The layers, in the order of the topology.
    private(set) var layers: [Layer] = []
    /// The values that the classifiers' last layers read, before changes of their shapes.
    private(set) var classifierInputs: Set<Int> = []

    private let graph: ONNXDefinition.Graph
    private let topology: ONNXTopology
    private let shapes: ONNXShapes
    private let activations: ONNXActivations
    private let groups: ONNXConvolutionGroups

    init(_ graph: ONNXDefinition.Graph, _ topology: ONNXTopology, _ shapes: ONNXShapes) {
        self.graph = graph
        self.topology = topology
        self.shapes = shapes
        activations = ONNXActivations(graph, topology, shapes)
        let kinds = graph.nodes.indices.map { Self.kind($0, graph, topology, shapes) }
        groups = ONNXConvolutionGroups(graph, topology, shapes, kinds: kinds)
        let classifiers = ONNXClassifiers(graph, topology, kinds)
        var seen = Set<Int>() // two products whose sum is one output are one layer
        for place in topology.order {
            guard let kind = kinds[place], let walk = self.walk(from: place, kind), seen.insert(walk.output).inserted
            else {
                continue
            }
            let isClassifier = classifiers.isClassifier(place, walk.output, kind, isActivated: walk.isActivated)
            layers.append(layer(place, kind, walk, isClassifier))
            if isClassifier, let read = read(by: place) { classifierInputs.insert(read) }
        }
    }

    private func layer(_ place: Int, _ kind: TensorKind, _ walk: Walk, _ isClassifier: Bool) -> Layer {
        Layer(
            output: walk.output, node: place, kind: kind, channels: channels(place), rank: rank(place, walk.output),
            channelsLast: walk.channelsLast, isClassifier: isClassifier, module: module(place),
            isQuantized: topology.producers[walk.output].map {
                ["QLinearConv", "QLinearMatMul", "QuantizeLinear"].contains(graph.nodes[$0].operation)
            } ?? false)
    }

    // MARK: Operators

    /// The kind of layer that a node is; nil where it is none.
    private static func kind(
        _ place: Int, _ graph: ONNXDefinition.Graph, _ topology: ONNXTopology, _ shapes: ONNXShapes
    ) -> TensorKind? {
        let node = graph.nodes[place]
        let inputs = topology.inputs[place]
        guard let number = node.facts?.weights, number < inputs.count, let weights = inputs[number],
            topology.isConstant[weights], let data = inputs.first ?? nil, !topology.isSize[data]
        else { return nil }
        let shape = shapes.constant(weights)
        if node.operation == "Einsum" {
            return node.inputs.count == 2 && node.text("equation").flatMap(ONNXEinsum.channelAxis) != nil ? .dense : nil
        }
        guard isConvolution(node) else {
            // A product of more matrices than one is no layer.
            return shape.map { $0.count >= 2 && product($0.dropLast(2)) == 1 } ?? true ? .dense : nil
        }
        guard let shape, shape.count >= 3 else { return .convolution }
        let groups = node.integer("group") ?? 1
        return groups > 1 && (node.operation == "ConvTranspose" ? shape[0] == groups : shape[1] == 1)
            ? .depthwise : .convolution
    }

    private static func isConvolution(_ node: ONNXDefinition.Node) -> Bool {
        ["Conv", "ConvTranspose", "DeformConv", "QLinearConv"].contains(node.operation)
    }

    private func input(_ place: Int, _ number: Int) -> Int? {
        number < topology.inputs[place].count ? topology.inputs[place][number] : nil
    }

    private func weights(_ place: Int) -> Int? { graph.nodes[place].facts?.weights.flatMap { input(place, $0) } }

    /// The number of channels that a layer's weights give.
    private func channels(_ place: Int) -> Int? {
        guard let group = groups[place] else { return ownChannels(place) }
        let counts = group.convolutions.compactMap(ownChannels)
        return counts.count == group.convolutions.count
            ? counts.reduce(0) { $0 > Int.max - $1 ? Int.max : $0 + $1 } : nil
    }

    private func ownChannels(_ place: Int) -> Int? {
        guard let shape = weights(place).flatMap({ shapes.constant($0) }), shape.count >= 2 else { return nil }
        let node = graph.nodes[place]
        switch node.operation {
        case "ConvTranspose": return saturating(shape[1], max(node.integer("group") ?? 1, 1))
        case "Gemm": return node.integer("transB") ?? 0 == 0 ? shape[1] : shape[0]
        case "MatMul", "QLinearMatMul": return shape.last
        case "Einsum": return node.text("equation").flatMap(ONNXEinsum.channelAxis).map { shape[$0] }
        default: return shape[0]
        }
    }

    private func rank(_ place: Int, _ output: Int) -> Int? {
        let node = graph.nodes[place]
        if Self.isConvolution(node) { return weights(place).flatMap { shapes.constant($0)?.count } }
        return shapes.written(output)?.shape?.count ?? (node.operation == "Gemm" ? 2 : nil)
    }

    /// The path of the layer's module. The name of its weight is the best witness, since a normalization that an
    /// exporter folded into the layer gives the node its own path.
    private func module(_ place: Int) -> String? {
        var value = weights(place)
        for _ in 0..<16 {
            guard let current = value else { break }
            if let path = ONNXModulePath.path(weight: topology.names[current]) { return path }
            value = topology.producers[current].flatMap { input($0, 0) }
        }
        return graph.nodes[place].module
    }

    // MARK: The walk

    /// The way from a layer's operator to its output.
    private struct Walk {
        /// The last value on the way that can be the layer's output.
        var output: Int
        var current: Int
        var isActivated = false
        /// Whether the channels of the output, and of the current value, are the last axis.
        var channelsLast: Bool
        var currentLast: Bool

        mutating func take(_ value: Int) {
            (output, current) = (value, value)
            channelsLast = currentLast
        }

        mutating func activate(_ value: Int) {
            take(value)
            isActivated = true
        }
    }

    private func walk(from place: Int, _ kind: TensorKind) -> Walk? {
        guard let first = groups[place]?.result ?? topology.outputs[place].first ?? nil else { return nil }
        let last = groups[place]?.channelsLast ?? (kind == .dense)
        var walk = Walk(output: first, current: first, channelsLast: last, currentLast: last)
        walk.isActivated = groups[place]?.isActivated ?? false
        while !walk.isActivated, step(&walk, place, kind) {}
        return walk
    }

    /// Goes on by one node. Returns whether it could.
    private func step(_ walk: inout Walk, _ place: Int, _ kind: TensorKind) -> Bool {
        if let composed = activations.composed(of: walk.current) {
            walk.activate(composed)
            return true
        }
        guard let reader = topology.onlyReader(walk.current, graph), let next = topology.outputs[reader].first ?? nil
        else { return false }
        let node = graph.nodes[reader]
        if node.isAny(.activation) {
            guard readsFirst(reader, walk.current) else { return false }
            walk.activate(activations.isHardSigmoid(reader, of: walk.current) ? activations.withFactors(next) : next)
        } else if node.operation == "BatchNormalization" || node.isAny(.addition) {
            guard node.isAny(.addition) ? isBias(reader, walk, place) : readsFirst(reader, walk.current) else {
                return false
            }
            walk.take(next)
        } else {
            return pass(reader, to: next, &walk, place, kind)
        }
        return true
    }

    /// Goes past a node that belongs to the layer only where a sum or an activation follows.
    private func pass(_ reader: Int, to next: Int, _ walk: inout Walk, _ place: Int, _ kind: TensorKind) -> Bool {
        let node = graph.nodes[reader]
        if node.isAny(.scaling) {
            guard isBias(reader, walk, place) else { return false }
        } else if node.operation == "Transpose" {
            guard kind != .dense, let last = Self.movesChannels(node, last: walk.currentLast) else { return false }
            walk.currentLast = last
        } else if node.isAny(.reshapes) {
            guard kind == .dense else { return false }
        } else if !node.isAny(.keepsTensor) || !readsFirst(reader, walk.current) {
            return false
        }
        walk.current = next
        return true
    }

    /// Whether a Transpose of a map moves the channels to the last axis, or back to the second; nil for another one.
    private static func movesChannels(_ node: ONNXDefinition.Node, last: Bool) -> Bool? {
        guard let order = node.integers("perm"), order.count >= 3 else { return nil }
        let toLast = [0] + Array(2..<order.count) + [1]
        let toSecond = [0, order.count - 1] + Array(1..<order.count - 1)
        if !last, order == toLast { return true }
        return last && order == toSecond ? false : nil
    }

    /// Whether a node's first input is the value, and the others are constants.
    private func readsFirst(_ reader: Int, _ value: Int) -> Bool {
        topology.inputs[reader].first == value
            && topology.inputs[reader].dropFirst().allSatisfy { $0.map { topology.isConstant[$0] } ?? true }
    }

    /// Whether a sum or a product is of the layer and a constant of one number, or of one for each channel. A larger
    /// constant, such as the embedding of positions, is none of the layer's.
    private func isBias(_ reader: Int, _ walk: Walk, _ place: Int) -> Bool {
        guard let constant = activations.other(reader, than: walk.current),
            graph.nodes[reader].operation != "Div" || topology.inputs[reader].first == walk.current
        else { return false }
        guard let count = shapes.constantCount(constant), let channels = channels(place) else { return true }
        return [1, channels].contains(count)
    }

    /// The value that a layer reads, before changes of its shape.
    private func read(by place: Int) -> Int? {
        var value = input(place, 0)
        for _ in 0..<64 {
            guard let current = value, let producer = topology.producers[current] else { return value }
            guard graph.nodes[producer].isAny([.reshapes, .keepsTensor]) else { return current }
            value = input(producer, 0)
        }
        return nil
    }
}

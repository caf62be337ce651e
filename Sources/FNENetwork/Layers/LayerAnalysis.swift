/// Finds the layers of a network from the structure of its graph.
///
/// A layer is a convolution, a depthwise convolution, or a matrix product with a constant. Its output is the tensor
/// after the bias, the normalization and the activation that follow it: from the operation, the walk goes on while the
/// tensor has a single reader that scales or shifts by constants, normalizes, or is an activation; it ends after the
/// first activation. A residual sum, a concatenation or a second reader ends it too.
///
/// A layer from which no further layer can be reached is a classifier's output when a softmax follows it, or when it is
/// a score without activation: a dense layer, or a 1x1 convolution of a globally pooled map.
struct LayerAnalysis {
    struct Layer {
        /// The node whose first output is the layer's output.
        let output: Int
        let kind: TensorKind
        let channels: Int?
        let isClassifier: Bool
        /// The convolution or product itself.
        let operation: Int
    }

    /// In graph order.
    private(set) var layers: [Layer] = []
    /// What the classifiers' last layers read: often the globally pooled last map.
    private(set) var classifierInputs: Set<Int> = []

    private let graph: GraphDefinition
    private let topology: GraphTopology
    /// The kind of layer that an operation is, if it is one.
    private var kinds: [TensorKind?]
    /// What can be reached from a node's outputs.
    private var ahead: [Ahead]

    init(_ graph: GraphDefinition, _ topology: GraphTopology) {
        self.graph = graph
        self.topology = topology
        kinds = Array(repeating: nil, count: graph.nodes.count)
        ahead = Array(repeating: Ahead(), count: graph.nodes.count)
        for number in topology.order { kinds[number] = kind(number) }
        for number in topology.order.reversed() { ahead[number] = lookAhead(number) }
        var seen = Set<Int>() // two products that are summed into one output are one layer
        for number in topology.order {
            guard let kind = kinds[number] else { continue }
            let (output, activated) = walk(from: number)
            guard seen.insert(output).inserted else { continue }
            layers.append(
                Layer(
                    output: output, kind: kind, channels: channels(number),
                    isClassifier: isClassifier(number, output: output, activated: activated, kind: kind),
                    operation: number))
        }
        classifierInputs = Set(layers.filter(\.isClassifier).compactMap { read(by: $0.operation) })
    }

    private var inputs: [[Int]] { topology.inputs }
    private var readers: [[Int]] { topology.readers }
    private var isConstant: [Bool] { topology.isConstant }

    /// Whether an operation is a layer's.
    func isLayer(_ number: Int) -> Bool { kinds[number] != nil }

    /// One entry per edge to a node that uses a node's values. One that asks for the shape (for a batch size) does not.
    private func valueReaders(_ number: Int) -> [Int] {
        readers[number].filter { graph.nodes[$0].operation != "Shape" }
    }

    // MARK: Layers

    /// The kind of layer that a node is, if it is one.
    private func kind(_ number: Int) -> TensorKind? {
        guard !isConstant[number], let kind = graph.nodes[number].facts.layer else { return nil }
        guard kind == .dense else { return kind }
        let inputs = inputs[number]
        return inputs.count == 2 && isConstant[inputs[0]] != isConstant[inputs[1]] ? .dense : nil
    }

    /// The number of channels that a layer's weights give, if their shape is in the graph.
    func channels(_ number: Int) -> Int? {
        let node = graph.nodes[number]
        let inputs = inputs[number]
        if let place = node.facts.weights {
            guard place < inputs.count, let shape = constantShape(inputs[place]) else { return nil }
            return Self.channels(of: node.operation, weights: shape)
        }
        // A matrix product: the constant is one of the two.
        guard inputs.count >= 2, !isConstant[inputs[0]], let shape = constantShape(inputs[1]), shape.count == 2 else {
            return nil
        }
        return node.flag("transpose_b") || node.flag("adj_y") ? shape[0] : shape[1]
    }

    /// From the shape of a convolution's weights.
    private static func channels(of operation: String, weights shape: [Int]) -> Int? {
        switch operation {
        case "Conv2DBackpropInput": // [height, width, out, in]
            return shape.count == 4 ? shape[2] : nil
        case "DepthwiseConv2dNative": // [height, width, in, multiplier]
            guard shape.count == 4 else { return nil }
            let (product, overflow) = shape[2].multipliedReportingOverflow(by: shape[3])
            return overflow ? nil : product
        default: // [.., in, out]
            return shape.last
        }
    }

    /// The shape of a constant, also after operations that keep it.
    private func constantShape(_ number: Int) -> [Int]? {
        var number = number
        for _ in 0..<16 {
            let node = graph.nodes[number]
            if node.operation == "Const" { return node.constant("value")?.shape }
            guard node.isAny(.keepsTensor), let input = inputs[number].first else { return nil }
            number = input
        }
        return nil
    }

    /// From a layer's operation to its output: the node, and whether an activation was met.
    private func walk(from operation: Int) -> (output: Int, activated: Bool) {
        var output = operation // the last tensor that is worth naming
        var current = operation
        while true {
            if let composed = composedActivation(of: current) { return (composed, true) }
            let users = valueReaders(current)
            guard let user = users.first, users.count == 1 else { return (output, false) }
            let node = graph.nodes[user]
            if node.isAny(.activation) { return (user, true) }
            if node.isAny(.normalization) {
                guard inputs[user].first == current else { return (output, false) }
            } else if node.isAny(.affine) {
                let others = inputs[user].filter { $0 != current }
                guard others.count == 1, isConstant[others[0]] else { return (output, false) }
            } else if node.isAny(.keepsTensor) {
                current = user
                continue
            } else if !node.isAny(.unblocks), !restoresMap(user, after: operation) {
                return (output, false)
            }
            current = user
            output = user
        }
    }

    /// A dense layer on a map, as Keras writes it: Reshape to [n * height * width, in], MatMul, Reshape to a map again.
    private func restoresMap(_ reader: Int, after operation: Int) -> Bool {
        func isReshape(_ number: Int?) -> Bool { number.map { graph.nodes[$0].operation == "Reshape" } ?? false }
        return kinds[operation] == .dense && isReshape(reader) && inputs[reader].first == operation
            && isReshape(inputs[operation].first { !isConstant[$0] })
    }

    /// The most operations that an activation is made of.
    private static let composedLimit = 16

    /// An activation that several operations on one tensor x make: swish x * sigmoid(x), hard swish, mish, gelu, PReLU
    /// and the like. All readers of x work value by value on x and constants alone, and everything computed so meets
    /// again in one tensor, the activation's output.
    private func composedActivation(of tensor: Int) -> Int? {
        guard valueReaders(tensor).count >= 2 else { return nil }
        var region = Set([tensor])
        var open = valueReaders(tensor).count // edges that lead out of what was visited
        var pending = Set(valueReaders(tensor))
        while region.count <= Self.composedLimit, !pending.isEmpty {
            // The next one whose inputs are all visited; none: x meets something else.
            guard let next = pending.sorted().first(where: { isPointwise($0, on: region) }) else { return nil }
            pending.remove(next)
            region.insert(next)
            open -= inputs[next].count { region.contains($0) && $0 != next }
            if open == 0 { return withoutGradientIdentity(withFactors(next)) }
            open += valueReaders(next).count
            pending.formUnion(valueReaders(next))
        }
        return nil
    }

    private func isPointwise(_ number: Int, on region: Set<Int>) -> Bool {
        graph.nodes[number].isAny(.valueByValue)
            && inputs[number].allSatisfy { region.contains($0) || isConstant[$0] }
    }

    /// Constant factors after the activation belong to it: some hard swishes divide by six at the end.
    private func withFactors(_ number: Int) -> Int {
        var output = number
        while let reader = valueReaders(output).first, valueReaders(output).count == 1,
            graph.nodes[reader].isAny(.scaling),
            let other = inputs[reader].first(where: { $0 != output }), isConstant[other]
        {
            output = reader
        }
        return output
    }

    /// An IdentityN that only carries a custom gradient hands its first input on.
    private func withoutGradientIdentity(_ number: Int) -> Int {
        guard graph.nodes[number].operation == "IdentityN", let first = inputs[number].first else { return number }
        return first
    }

    // MARK: Classifiers

    /// A sigmoid decides where it ends the graph; elsewhere it is a gate. An exp does where it is part of a softmax that
    /// is written out.
    private func decides(_ number: Int) -> Bool {
        let operation = graph.nodes[number].operation
        if graph.nodes[number].isAny(.decides) { return true }
        if operation == "Sigmoid" { return ahead[number].onlyShaping }
        let next = readers[number].map { graph.nodes[$0].operation }
        return operation == "Exp" && next.contains("Sum") && (next.contains("RealDiv") || next.contains("Div"))
    }

    private struct Ahead {
        var layer = false
        var decision = false
        /// Nothing but changes of shape, pooling and decisions.
        var onlyShaping = true
    }

    /// From what is ahead of a node's readers, which were visited before it.
    private func lookAhead(_ number: Int) -> Ahead {
        var result = Ahead()
        for reader in readers[number] {
            let isDecision = decides(reader)
            result.layer = result.layer || kinds[reader] != nil || ahead[reader].layer
            result.decision = result.decision || isDecision || ahead[reader].decision
            result.onlyShaping =
                result.onlyShaping && ahead[reader].onlyShaping && (isDecision || graph.nodes[reader].isAny(.mayFollowScores))
        }
        return result
    }

    private func isClassifier(_ operation: Int, output: Int, activated: Bool, kind: TensorKind) -> Bool {
        if ahead[output].layer { return false }
        if ahead[output].decision { return true }
        if activated { return kind == .dense && graph.nodes[output].operation == "Sigmoid" }
        guard ahead[output].onlyShaping else { return false }
        return kind == .dense || (kind == .convolution && readsPooledMap(operation))
    }

    /// The tensor that a layer reads, before changes of its shape.
    private func read(by operation: Int) -> Int? {
        var number = inputs[operation].first { !isConstant[$0] }
        while let current = number {
            guard graph.nodes[current].isAny([.reshapes, .keepsTensor]) else { return current }
            number = inputs[current].first
        }
        return nil
    }

    /// Whether a convolution reads a map that was averaged over all of height and width: as far as the structure says,
    /// a Mean, or an average pooling.
    private func readsPooledMap(_ operation: Int) -> Bool {
        guard var number = inputs[operation].first else { return false }
        for _ in 0..<8 {
            let node = graph.nodes[number]
            if node.isAny(.averages) { return true }
            guard node.isAny(.reshapes) || node.operation == "Identity", let input = inputs[number].first
            else { return false }
            number = input
        }
        return false
    }
}

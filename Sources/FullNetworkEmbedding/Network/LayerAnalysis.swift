/// Kinds of tensors; the numbers are those of `FNE_KIND_*`.
public enum TensorKind: Int32, Sendable, CaseIterable {
    case other = 0
    case convolution = 1
    case depthwise = 2
    case dense = 3
    case input = 4

    var name: String {
        switch self {
        case .other: "other"
        case .convolution: "convolution"
        case .depthwise: "depthwise"
        case .dense: "dense"
        case .input: "input"
        }
    }
}

/// Finds the layers of a network from the structure of its graph.
///
/// A layer is a convolution, a depthwise convolution, or a matrix product with a constant. Its output is the tensor
/// after the bias, the normalization and the activation that follow it: from the operation, the walk goes on while the
/// tensor has a single reader that scales or shifts by constants, normalizes, or is an activation; it ends behind the
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
    /// Whether a node's value is known from constants alone.
    private(set) var isConstant: [Bool]
    /// Node numbers so that each comes after its inputs; as they stand in the file where that is such an order.
    private(set) var order: [Int] = []

    private let graph: GraphDefinition
    /// Data edges: whose outputs a node reads, and who reads any output of a node, in graph order.
    let inputs: [[Int]]
    private(set) var readers: [[Int]]
    /// Nodes that wait for a node without reading from it.
    private(set) var controlReaders: [Int: [Int]] = [:]
    /// The kind of layer that an operation is, if it is one.
    private var kinds: [TensorKind?]
    /// What can be reached from a node's outputs.
    private var ahead: [Ahead]

    init(_ graph: GraphDefinition) throws {
        self.graph = graph
        let count = graph.nodes.count
        inputs = graph.nodes.map { node in node.inputs.compactMap { $0.isControl ? nil : graph.index[$0.name] } }
        for (number, node) in graph.nodes.enumerated() {
            for input in node.inputs where input.isControl {
                if let awaited = graph.index[input.name] { controlReaders[awaited, default: []].append(number) }
            }
        }
        readers = Array(repeating: [], count: count)
        kinds = Array(repeating: nil, count: count)
        ahead = Array(repeating: Ahead(), count: count)
        isConstant = Array(repeating: false, count: count)
        try sort()
        for number in order {
            let operation = graph.nodes[number].operation
            for input in inputs[number] { readers[input].append(number) }
            isConstant[number] =
                operation == "Const"
                || (!inputs[number].isEmpty && operation != "PlaceholderWithDefault"
                    && inputs[number].allSatisfy { isConstant[$0] })
            kinds[number] = kind(number)
        }
        for number in order.reversed() { ahead[number] = lookAhead(number) }
        var seen = Set<Int>() // two products that are summed into one output are one layer
        for number in order {
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

    private func dataInputs(_ number: Int) -> [Int] { inputs[number] }

    /// Whether an operation is a layer's.
    func isLayer(_ number: Int) -> Bool { kinds[number] != nil }

    func isNormalization(_ number: Int) -> Bool { Self.normalization.contains(graph.nodes[number].operation) }


    /// The nodes themselves and all that they need, control inputs included.
    func ancestors(of nodes: Set<Int>) -> Set<Int> {
        var found = nodes
        var pending = Array(nodes)
        while let number = pending.popLast() {
            for input in graph.nodes[number].inputs {
                if let next = graph.index[input.name], found.insert(next).inserted { pending.append(next) }
            }
        }
        return found
    }

    /// One entry an edge to a node that uses a node's values; one that asks for the shape (for a batch size) does not.
    private func valueReaders(_ number: Int) -> [Int] {
        readers[number].filter { graph.nodes[$0].operation != "Shape" }
    }

    // MARK: Order

    /// Depth first from each node in file order, so that a file in topological order keeps it. Loops of the old control
    /// flow are cut where they close, behind a NextIteration; any other cycle is an error.
    private mutating func sort() throws {
        var state = [UInt8](repeating: 0, count: graph.nodes.count) // 0 new, 1 being visited, 2 done
        order.reserveCapacity(graph.nodes.count)
        for root in graph.nodes.indices where state[root] == 0 {
            var stack: [(node: Int, next: Int)] = [(root, 0)]
            state[root] = 1
            while let (node, next) = stack.last {
                let inputs = graph.nodes[node].inputs
                guard next < inputs.count else {
                    state[node] = 2
                    order.append(node)
                    stack.removeLast()
                    continue
                }
                stack[stack.count - 1].next += 1
                guard let input = graph.index[inputs[next].name], graph.nodes[input].operation != "NextIteration" else {
                    continue
                }
                if state[input] == 1 {
                    throw FNEError(.invalidGraph, "the graph has a cycle through '\(graph.nodes[node].name)'")
                }
                if state[input] == 0 {
                    state[input] = 1
                    stack.append((input, 0))
                }
            }
        }
    }

    // MARK: Layers

    /// The kind of layer that an operation is, if it is one.
    private func kind(_ number: Int) -> TensorKind? {
        guard !isConstant[number] else { return nil }
        let inputs = dataInputs(number)
        switch graph.nodes[number].operation {
        case "Conv2D", "Conv3D", "Conv2DBackpropInput", "FusedPadConv2D", "FusedResizeAndPadConv2D":
            return .convolution
        case "DepthwiseConv2dNative":
            return .depthwise
        case "MatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3":
            return inputs.count == 2 && isConstant[inputs[0]] != isConstant[inputs[1]] ? .dense : nil
        default:
            return nil
        }
    }

    /// The number of channels that a layer's weights give, if their shape is in the graph.
    func channels(_ number: Int) -> Int? {
        let node = graph.nodes[number]
        let inputs = dataInputs(number)
        guard inputs.count >= 2 else { return nil }
        func weights(_ input: Int) -> [Int]? { constantShape(inputs[input]) }
        switch node.operation {
        case "Conv2D", "Conv3D": return weights(1)?.last // [.., in, out]
        case "FusedPadConv2D": return inputs.count > 2 ? weights(2)?.last : nil
        case "FusedResizeAndPadConv2D": return inputs.count > 3 ? weights(3)?.last : nil
        case "Conv2DBackpropInput": // [height, width, out, in]
            guard let shape = weights(1), shape.count == 4 else { return nil }
            return shape[2]
        case "DepthwiseConv2dNative": // [height, width, in, multiplier]
            guard let shape = weights(1), shape.count == 4 else { return nil }
            let (product, overflow) = shape[2].multipliedReportingOverflow(by: shape[3])
            return overflow ? nil : product
        default: // a matrix product; the constant is one of the two
            let weightsFirst = isConstant[inputs[0]]
            guard let shape = weights(weightsFirst ? 0 : 1), shape.count == 2 else { return nil }
            if weightsFirst { return nil }
            return node.flag("transpose_b") || node.flag("adj_y") ? shape[0] : shape[1]
        }
    }

    /// The shape of a constant, also behind operations that keep it.
    private func constantShape(_ number: Int) -> [Int]? {
        var number = number
        for _ in 0..<16 {
            let node = graph.nodes[number]
            if node.operation == "Const" { return node.constant("value")?.shape }
            guard Self.keepsTensor.contains(node.operation), let input = dataInputs(number).first else { return nil }
            number = input
        }
        return nil
    }

    private static let keepsTensor: Set = [
        "Identity", "Snapshot", "StopGradient", "PreventGradient", "Cast", "GuaranteeConst", "CheckNumerics",
        "EnsureShape", "QuantizeAndDequantizeV2", "QuantizeAndDequantizeV3", "QuantizeAndDequantizeV4",
        "FakeQuantWithMinMaxArgs", "FakeQuantWithMinMaxVars", "FakeQuantWithMinMaxVarsPerChannel",
    ]

    /// Inverses of what an atrous convolution does to its input.
    private static let unblocking: Set = ["BatchToSpaceND", "BatchToSpace"]

    private static let normalization: Set = [
        "FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3", "BatchNormWithGlobalNormalization",
    ]

    private static let activation: Set = [
        "Relu", "Relu6", "Elu", "Selu", "LeakyRelu", "Sigmoid", "Tanh", "Softplus", "Softsign",
    ]

    /// Sums, products and the like with a constant.
    private static let affine: Set = [
        "BiasAdd", "BiasAddV1", "Add", "AddV2", "Sub", "Mul", "RealDiv", "Div",
    ]

    /// From a layer's operation to its output: the node, and whether an activation was met.
    private func walk(from operation: Int) -> (output: Int, activated: Bool) {
        var output = operation // the last tensor that is worth naming
        var current = operation
        while true {
            if let composed = composedActivation(of: current) { return (composed, true) }
            let users = valueReaders(current)
            guard let user = users.first, users.count == 1 else { return (output, false) }
            let node = graph.nodes[user]
            if Self.activation.contains(node.operation) { return (user, true) }
            if Self.normalization.contains(node.operation) {
                guard dataInputs(user).first == current else { return (output, false) }
            } else if Self.affine.contains(node.operation) {
                let others = dataInputs(user).filter { $0 != current }
                guard others.count == 1, isConstant[others[0]] else { return (output, false) }
            } else if Self.keepsTensor.contains(node.operation) {
                current = user
                continue
            } else if !Self.unblocking.contains(node.operation), !restoresMap(user, after: operation) {
                return (output, false)
            }
            current = user
            output = user
        }
    }

    /// A dense layer on a map, as Keras writes it: Reshape to [n * height * width, in], MatMul, Reshape to a map again.
    private func restoresMap(_ reader: Int, after operation: Int) -> Bool {
        func isReshape(_ number: Int?) -> Bool { number.map { graph.nodes[$0].operation == "Reshape" } ?? false }
        return kinds[operation] == .dense && isReshape(reader) && dataInputs(reader).first == operation
            && isReshape(dataInputs(operation).first { !isConstant[$0] })
    }

    /// Operations that work value by value.
    private static let pointwise = activation.union(affine).union(keepsTensor).union([
        "Abs", "AddN", "ClipByValue", "Erf", "Erfc", "Exp", "Expm1", "Greater", "GreaterEqual", "IdentityN", "Less",
        "LessEqual", "Log1p", "Maximum", "Minimum", "Neg", "Pow", "Select", "SelectV2", "Sign", "Sqrt", "Square",
    ])

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
            open -= dataInputs(next).count { region.contains($0) && $0 != next }
            if open == 0 { return withoutGradientIdentity(withFactors(next)) }
            open += valueReaders(next).count
            pending.formUnion(valueReaders(next))
        }
        return nil
    }

    private func isPointwise(_ number: Int, on region: Set<Int>) -> Bool {
        Self.pointwise.contains(graph.nodes[number].operation)
            && dataInputs(number).allSatisfy { region.contains($0) || isConstant[$0] }
    }

    /// Constant factors behind the activation belong to it: some hard swishes divide by six at the end.
    private func withFactors(_ number: Int) -> Int {
        var output = number
        while let reader = valueReaders(output).first, valueReaders(output).count == 1,
            ["Mul", "RealDiv", "Div"].contains(graph.nodes[reader].operation),
            let other = dataInputs(reader).first(where: { $0 != output }), isConstant[other]
        {
            output = reader
        }
        return output
    }

    /// An IdentityN that only carries a custom gradient hands its first input on.
    private func withoutGradientIdentity(_ number: Int) -> Int {
        guard graph.nodes[number].operation == "IdentityN", let first = dataInputs(number).first else { return number }
        return first
    }

    // MARK: Classifiers

    private static let shaping: Set = [
        "Reshape", "Squeeze", "ExpandDims", "Mean", "AvgPool", "Identity", "Cast", "Flatten",
    ]

    /// What tells classes from scores.
    private static let deciding: Set = ["Softmax", "LogSoftmax", "ArgMax", "TopK", "TopKV2", "InTopKV2"]

    /// A sigmoid decides where it ends the graph; elsewhere it is a gate. An exp does where it is part of a softmax that
    /// is written out.
    private func decides(_ number: Int) -> Bool {
        let operation = graph.nodes[number].operation
        if Self.deciding.contains(operation) { return true }
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
            let operation = graph.nodes[reader].operation
            let decides = decides(reader)
            result.layer = result.layer || kinds[reader] != nil || ahead[reader].layer
            result.decision = result.decision || decides || ahead[reader].decision
            result.onlyShaping =
                result.onlyShaping && ahead[reader].onlyShaping && (decides || Self.shaping.contains(operation))
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

    private static let reshaping: Set = ["Reshape", "Squeeze", "ExpandDims"]

    /// The tensor that a layer reads, in front of changes of its shape.
    private func read(by operation: Int) -> Int? {
        var number = dataInputs(operation).first { !isConstant[$0] }
        while let current = number {
            let name = graph.nodes[current].operation
            guard Self.reshaping.contains(name) || Self.keepsTensor.contains(name) else { return current }
            number = dataInputs(current).first
        }
        return nil
    }

    /// Whether a convolution reads a map that was averaged over all of height and width: as far as the structure says,
    /// a Mean, or an average pooling.
    private func readsPooledMap(_ operation: Int) -> Bool {
        guard var number = dataInputs(operation).first else { return false }
        for _ in 0..<8 {
            let name = graph.nodes[number].operation
            if name == "Mean" || name == "AvgPool" { return true }
            guard Self.reshaping.contains(name) || name == "Identity", let input = dataInputs(number).first
            else { return false }
            number = input
        }
        return false
    }
}

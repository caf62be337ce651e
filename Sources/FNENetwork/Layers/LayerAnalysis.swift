/// Finds the layers of a network from the structure of its graph.
///
/// A layer is a convolution, a depthwise convolution, or a matrix product with a constant, Einsum included. Its output
/// is the tensor after the bias, the normalization and the activation that follow it. To find it, the analysis walks
/// from the operation along the graph. It goes on while the tensor has a single reader that scales or shifts by
/// constants, normalizes, or is an activation. The walk ends after the first activation. It ends before a residual sum,
/// a concatenation or a second reader.
///
/// Batch normalization in training mode is recognized also where it is written out, and several operations read the
/// tensor that it normalizes. Convolutions in groups that are written out, as in AlexNet, are one layer, whose walk
/// begins at the concatenation of their results (`ConvolutionGroups`).
///
/// A layer is a classifier's output when no further layer can be reached from it, and a softmax follows it or it is a
/// score. A score is a dense layer without an activation, or a 1x1 convolution, without one, of a map that was averaged
/// over height and width. What is normalized is no score: after such a layer, further layers were cut off.
struct LayerAnalysis {
    /// A layer that was found. Nodes are given by their numbers.
    struct Layer {
        /// The node whose first output is the layer's output.
        let output: Int
        let kind: TensorKind
        /// The number of channels; nil where the weights' shape is not in the graph.
        let channels: Int?
        /// The rank of the output; nil where it does not follow from the operations.
        let rank: Int?
        let isClassifier: Bool
        /// The node of the convolution or the product itself. With groups it is the first one's.
        let operation: Int
        /// All nodes that are operations of the layer. There are several with groups.
        let parts: [Int]
    }

    /// The layers, in the order of the topology.
    private(set) var layers: [Layer] = []
    /// The nodes that the classifiers' last layers read. Often it is the last map, averaged over height and width.
    private(set) var classifierInputs: Set<Int> = []

    private let graph: GraphDefinition
    private let topology: GraphTopology
    /// The kind of layer that each node is; nil for one that is no layer.
    private var kinds: [TensorKind?]
    private let groups: ConvolutionGroups
    /// Whether a node is computed of constants and shapes alone, as the number of averaged values is.
    private let isSize: [Bool]
    /// For each node, what can be reached from its outputs.
    private var ahead: [Ahead]

    init(_ graph: GraphDefinition, _ topology: GraphTopology, _ controlFlow: ControlFlow) {
        self.graph = graph
        self.topology = topology
        kinds = graph.nodes.indices.map { Self.kind($0, graph, topology, controlFlow) }
        groups = ConvolutionGroups(graph, topology, kinds: kinds)
        isSize = Self.sizes(graph, topology)
        ahead = Array(repeating: Ahead(), count: graph.nodes.count)
        for number in topology.order.reversed() { ahead[number] = lookAhead(number) }
        var seen = Set<Int>() // two products whose sum is one output are one layer
        for number in topology.order {
            guard let kind = kinds[number], !continuesLayer(number) else { continue }
            let way = walk(from: number)
            guard seen.insert(way.output).inserted else { continue }
            let parts = parts(of: number)
            layers.append(
                Layer(
                    output: way.output, kind: kind, channels: channels(of: parts),
                    rank: way.changesRank ? nil : operationRank(number),
                    isClassifier: isClassifier(number, way, kind: kind), operation: number, parts: parts))
        }
        classifierInputs = Set(layers.filter(\.isClassifier).compactMap { read(by: $0.operation) })
    }

    private var inputs: [[Int]] { topology.inputs }
    private var readers: [[Int]] { topology.readers }
    private var isConstant: [Bool] { topology.isConstant }

    /// Whether a node is the operation of a layer.
    func isLayer(_ number: Int) -> Bool { kinds[number] != nil }

    /// Whether a node is a convolution of a group, but not the first one of its layer.
    func continuesLayer(_ number: Int) -> Bool { groups[number].map { $0.convolutions.first != number } ?? false }

    /// The nodes that use a node's values, once per edge. A node that reads only the shape, as for a batch size, uses
    /// none.
    private func valueReaders(_ number: Int) -> [Int] {
        readers[number].filter { graph.nodes[$0].operation != "Shape" }
    }

    // MARK: Layers

    /// The kind of layer that a node is; nil where it is no layer.
    private static func kind(
        _ number: Int, _ graph: GraphDefinition, _ topology: GraphTopology, _ controlFlow: ControlFlow
    ) -> TensorKind? {
        let isConstant = topology.isConstant
        guard !isConstant[number], !controlFlow.contains(number), let kind = graph.nodes[number].facts.layer
        else { return nil }
        guard kind == .dense else { return kind }
        let inputs = topology.inputs[number]
        return inputs.count == 2 && isConstant[inputs[0]] != isConstant[inputs[1]] ? .dense : nil
    }

    /// The number of channels of a layer's operations together; nil where one of them is not known.
    private func channels(of parts: [Int]) -> Int? {
        var sum = 0
        for part in parts {
            guard let channels = channels(part) else { return nil }
            let (larger, overflow) = sum.addingReportingOverflow(channels)
            guard !overflow else { return nil }
            sum = larger
        }
        return sum
    }

    /// The number of channels that a layer's weights give; nil where their shape is not in the graph.
    func channels(_ number: Int) -> Int? {
        let node = graph.nodes[number]
        let inputs = inputs[number]
        if let place = node.facts.weights {
            guard place < inputs.count, let shape = constantShape(inputs[place]) else { return nil }
            return Self.channels(of: node.operation, weights: shape)
        }
        guard inputs.count == 2 else { return nil }
        if node.operation == "Einsum" { return einsumChannels(number) }
        // A matrix product has one constant input. The channels are known where that is the second one.
        guard !isConstant[inputs[0]], let shape = constantShape(inputs[1]), shape.count >= 2 else { return nil }
        return shape[shape.count - (node.flag("transpose_b") || node.flag("adj_y") ? 2 : 1)]
    }

    /// The number of channels that the weights of an Einsum make, such as d * e in "abc,cde->abde"; nil where they are
    /// not the last axes.
    private func einsumChannels(_ number: Int) -> Int? {
        let inputs = inputs[number]
        guard let weights = inputs.firstIndex(where: { isConstant[$0] }),
            let sums = EinsumEquation(graph.nodes[number].text("equation") ?? ""), sums.operands.count == inputs.count,
            let shape = constantShape(inputs[weights]), shape.count == sums.operands[weights].count
        else { return nil }
        let sizes = Dictionary(zip(sums.operands[weights], shape)) { first, _ in first }
        let made = sums.result.reversed().prefix { sizes[$0] != nil && !sums.operands[1 - weights].contains($0) }
        return made.isEmpty ? nil : product(made.compactMap { sizes[$0] })
    }

    /// The rank of an operation's output; nil where it depends on the input.
    func operationRank(_ number: Int) -> Int? {
        switch graph.nodes[number].operation {
        case "Conv3D": 5
        case "MatMul": 2
        default: kinds[number] == .dense || kinds[number] == nil ? nil : 4
        }
    }

    /// The number of channels by the shape of a convolution's weights.
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

    /// The shape of a constant, also after changes of its shape, and of equal parts that it is split into.
    private func constantShape(_ number: Int) -> [Int]? {
        if let stored = topology.storedConstant(number, through: .keepsTensor) {
            return graph.nodes[stored].constant("value")?.shape
        }
        return constant(number).shape
    }

    /// What is known of a constant that at most six operations on one or two inputs make, such as a Reshape.
    private func constant(_ number: Int, steps: Int = 6) -> TensorShapes.Tensor {
        let node = graph.nodes[number]
        guard steps > 0, isConstant[number], inputs[number].count <= 2 else { return .unknown }
        let first = GraphDefinition.Input(name: node.name, output: 0, isControl: false)
        return ShapeFunctions(node, inputs[number].map { constant($0, steps: steps - 1) }).outputs[first]
    }

    /// The last dimensions of a shape that a node gives, as far as they are constants, and whether these are all.
    private func lastDimensions(madeBy number: Int) -> (sizes: [Int], isKnown: Bool) {
        if let sizes = constant(number).values { return (sizes, true) }
        guard graph.nodes[number].operation == "Pack" else { return ([], false) }
        let sizes = inputs[number].reversed().map { constant($0).values }.prefix { $0?.count == 1 }
        return (sizes.reversed().compactMap { $0?.first }, false)
    }

    /// The way from a layer's operation to its output.
    private struct Way {
        /// The last tensor on it that can be the layer's output.
        var output: Int
        /// It ends with an activation.
        var isActivated = false
        /// A normalization is on it.
        var isNormalized = false
        /// A change of the rank is on it.
        var changesRank = false
    }

    /// Walks from a layer's operation to its output.
    private func walk(from operation: Int) -> Way {
        let group = groups[operation]
        let channels = channels(of: parts(of: operation))
        var way = Way(output: group?.concatenation ?? operation, isActivated: group?.isActivated ?? false)
        if way.isActivated { return way }
        var current = way.output
        while true {
            let users = valueReaders(current)
            if let activation = composedActivation(of: current) ?? activation(users, of: current) {
                way.output = activation
                way.isActivated = true
                return way
            }
            if let normalized = composedNormalization(of: current) {
                (current, way.output, way.isNormalized) = (normalized, normalized, true)
                continue
            }
            guard let user = users.first, users.count == 1 else { return way }
            let node = graph.nodes[user]
            if node.isAny(.normalization) {
                guard inputs[user].first == current else { return way }
                way.isNormalized = true
            } else if node.isAny(.affine) {
                let others = inputs[user].filter { $0 != current }
                guard others.count == 1, isConstant[others[0]] else { return way }
            } else if node.isAny(.keepsTensor) {
                current = user
                continue
            } else if restoresShape(user, after: operation) {
                way.changesRank = true
            } else if !node.isAny(.unblocks), !keepsMap(user, of: operation, channels) {
                return way
            }
            current = user
            way.output = user
        }
    }

    /// The output of the activation that is the only reader; nil where there is none.
    private func activation(_ users: [Int], of tensor: Int) -> Int? {
        guard let user = users.first, users.count == 1, graph.nodes[user].isAny(.activation) else { return nil }
        return isHardSigmoid(user, of: tensor) ? withFactors(user) : user
    }

    /// Whether an activation is the middle of a hard sigmoid, ReLU6(x + 3) / 6.
    private func isHardSigmoid(_ activation: Int, of sum: Int) -> Bool {
        graph.nodes[activation].operation == "Relu6" && graph.nodes[sum].isAny(.addition)
            && inputs[sum].contains { number in
                isConstant[number]
                    && topology.storedConstant(number).flatMap { graph.nodes[$0].constant("value")?.scalar } == 3
            }
    }

    /// Whether a reader gives a layer's product the shape that it has for the network. Keras writes
    /// - a dense layer on a map as a Reshape to [n * height * width, in], a MatMul, and a Reshape to a map,
    /// - the projections of attention as a BatchMatMul, and a Reshape to [n, tokens, heads, features of a head],
    /// - a convolution of one dimension as ExpandDims, Conv2D and Squeeze.
    private func restoresShape(_ reader: Int, after operation: Int) -> Bool {
        guard inputs[reader].first == operation, let data = inputs[operation].first(where: { !isConstant[$0] }) else {
            return false
        }
        switch graph.nodes[reader].operation {
        case "Reshape":
            guard kinds[operation] == .dense else { return false }
            return graph.nodes[data].operation == "Reshape" && graph.nodes[operation].operation == "MatMul"
                || splitsFeatures(reader, of: operation)
        case "Squeeze": return kinds[operation] == .convolution && graph.nodes[data].operation == "ExpandDims"
        default: return false
        }
    }

    /// Whether a Reshape splits the features of a product over several axes.
    private func splitsFeatures(_ reshape: Int, of operation: Int) -> Bool {
        guard graph.nodes[operation].operation != "MatMul", let channels = channels(operation),
            inputs[reshape].count == 2
        else { return false }
        let (sizes, isKnown) = lastDimensions(madeBy: inputs[reshape][1])
        guard sizes.last != channels else { return false }
        let first = isKnown ? 1 : 0 // the first dimension is the images'
        return sizes.indices.dropFirst(first).contains { product(sizes[$0...].map { max($0, 0) }) == channels }
    }

    /// Whether a Reshape leaves a convolution's map as it is. Programs for AlexNet give the sum with the bias the shape
    /// of the convolution's output again, by a Shape of it or by a constant.
    private func keepsMap(_ reader: Int, of operation: Int, _ channels: Int?) -> Bool {
        guard graph.nodes[reader].operation == "Reshape", inputs[reader].count == 2, kinds[operation] != .dense else {
            return false
        }
        let shape = inputs[reader][1]
        if let map = inputs[shape].first, graph.nodes[shape].operation == "Shape" {
            return map == groups[operation]?.concatenation ?? operation
        }
        guard let sizes = topology.integers(shape), let channels else { return false }
        return sizes.count == 4 && sizes[0] == -1 && sizes[3] == channels
    }

    /// The operations of the layer that an operation belongs to.
    private func parts(of operation: Int) -> [Int] { groups[operation]?.convolutions ?? [operation] }

    /// The most operations that an activation may be made of.
    private static let composedLimit = 16

    /// The output of an activation that several operations on one tensor x make, such as swish, x * sigmoid(x), hard
    /// swish, mish, gelu or PReLU. All readers of x work value by value on x and constants alone. Everything that they
    /// compute meets again in one tensor, which is the output. Nil where the readers make no such activation.
    private func composedActivation(of tensor: Int) -> Int? {
        composition(of: tensor, atMost: Self.composedLimit, part: isPointwise)
            .map { withoutGradientIdentity(withFactors($0.output)) }
    }

    /// The output of the operations on one tensor x that all readers of x begin, and that meet again in one tensor. Nil
    /// where some of them are not allowed, or read something else.
    ///
    /// - Parameter part: whether a node is allowed, given the nodes that it may read
    private func composition(
        of tensor: Int, atMost limit: Int, part: (Int, Set<Int>) -> Bool
    ) -> (output: Int, region: Set<Int>)? {
        guard valueReaders(tensor).count >= 2 else { return nil }
        var region = Set([tensor])
        var open = valueReaders(tensor).count // edges that lead out of the nodes that were visited
        var pending = Set(valueReaders(tensor))
        while region.count <= limit, !pending.isEmpty {
            // More nodes than this cannot all be part of it.
            guard pending.count <= limit else { return nil }
            // Take a node whose inputs are all visited. Without one, x meets other tensors, and this is no composition.
            guard let next = pending.sorted().first(where: { part($0, region) }) else { return nil }
            pending.remove(next)
            region.insert(next)
            open -= inputs[next].count { region.contains($0) && $0 != next }
            if open == 0 { return (next, region) }
            open += valueReaders(next).count
            pending.formUnion(valueReaders(next))
        }
        return nil
    }

    private static func sizes(_ graph: GraphDefinition, _ topology: GraphTopology) -> [Bool] {
        var result = topology.isConstant
        for number in topology.order where !result[number] {
            let inputs = topology.inputs[number]
            result[number] =
                graph.nodes[number].operation == "Shape" || (!inputs.isEmpty && inputs.allSatisfy { result[$0] })
        }
        return result
    }

    /// The most operations that a batch normalization may be made of.
    private static let normalizationLimit = 32

    /// The output of a batch normalization in training mode that is written out: several operations on x that average x
    /// over the batch, and normalize it by the averages.
    private func composedNormalization(of tensor: Int) -> Int? {
        guard let found = composition(of: tensor, atMost: Self.normalizationLimit, part: isPartOfNormalization),
            found.region.contains(where: { sumsOverBatch($0) })
        else { return nil }
        return found.output
    }

    private func isPartOfNormalization(_ number: Int, on region: Set<Int>) -> Bool {
        let node = graph.nodes[number]
        let isAllowed =
            node.isAny([.valueByValue, .reshapes]) || ["Rsqrt", "SquaredDifference"].contains(node.operation)
            || sumsOverBatch(number)
        return isAllowed && inputs[number].contains(where: region.contains)
            && inputs[number].allSatisfy { region.contains($0) || isSize[$0] }
    }

    private func sumsOverBatch(_ number: Int) -> Bool {
        guard ["Mean", "Sum"].contains(graph.nodes[number].operation), inputs[number].count == 2 else { return false }
        return topology.integers(inputs[number][1])?.contains(0) ?? false
    }

    private func isPointwise(_ number: Int, on region: Set<Int>) -> Bool {
        graph.nodes[number].isAny(.valueByValue)
            && inputs[number].allSatisfy { region.contains($0) || isConstant[$0] }
    }

    /// The node after constant factors. They belong to the activation, as in hard swishes that divide by six at the
    /// end.
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

    /// The node before an IdentityN. Such a node only carries a custom gradient, and passes its first input on.
    private func withoutGradientIdentity(_ number: Int) -> Int {
        guard graph.nodes[number].operation == "IdentityN", let first = inputs[number].first else { return number }
        return first
    }

    // MARK: Classifiers

    /// Whether a node tells classes from scores. A sigmoid does where it ends the graph; elsewhere it is a gate. An exp
    /// does where it is part of a softmax that is written out.
    private func decides(_ number: Int) -> Bool {
        let operation = graph.nodes[number].operation
        if graph.nodes[number].isAny(.decides) { return operation != "Softmax" || !isAttention(number) }
        if operation == "Sigmoid" { return ahead[number].onlyShaping }
        let next = readers[number].map { graph.nodes[$0].operation }
        return operation == "Exp" && next.contains("Sum") && (next.contains("RealDiv") || next.contains("Div"))
    }

    /// Whether a softmax gives the weights of attention, which other tensors are multiplied by.
    private func isAttention(_ softmax: Int) -> Bool {
        readers[softmax].contains { reader in
            let isProduct = graph.nodes[reader].facts.layer == .dense || graph.nodes[reader].isAny(.scaling)
            return isProduct && !inputs[reader].contains { isConstant[$0] }
        }
    }

    /// Whether a node multiplies a tensor by numbers that depend on the image, as a normalization by the tensor's own
    /// mean and variance does. Nobody does that to scores.
    private func scalesByImage(_ number: Int) -> Bool {
        graph.nodes[number].isAny(.scaling) && !inputs[number].contains { isConstant[$0] }
    }

    /// What can be reached from a node.
    private struct Ahead {
        /// A further layer can be reached.
        var layer = false
        /// A node that tells classes from scores can be reached, and no normalization is in between.
        var decision = false
        /// Only changes of shape, pooling and decisions can be reached.
        var onlyShaping = true
    }

    /// What can be reached from a node, by what can be reached from its readers. They must have been visited before.
    private func lookAhead(_ number: Int) -> Ahead {
        var result = Ahead()
        for reader in readers[number] {
            let isDecision = decides(reader)
            result.layer = result.layer || kinds[reader] != nil || ahead[reader].layer
            result.decision =
                result.decision || isDecision || (ahead[reader].decision && !scalesByImage(reader))
            result.onlyShaping =
                result.onlyShaping && ahead[reader].onlyShaping
                && (isDecision || graph.nodes[reader].isAny(.mayFollowScores))
        }
        return result
    }

    private func isClassifier(_ operation: Int, _ way: Way, kind: TensorKind) -> Bool {
        let ahead = ahead[way.output]
        if ahead.layer { return false }
        if ahead.decision { return true }
        if way.isActivated { return kind == .dense && graph.nodes[way.output].operation == "Sigmoid" }
        guard ahead.onlyShaping, !way.isNormalized else { return false }
        return kind == .dense || (kind == .convolution && readsPooledMap(operation))
    }

    /// The node whose tensor a layer reads, before changes of its shape.
    private func read(by operation: Int) -> Int? {
        var number = inputs[operation].first { !isConstant[$0] }
        while let current = number {
            guard graph.nodes[current].isAny([.reshapes, .keepsTensor]) else { return current }
            number = inputs[current].first
        }
        return nil
    }

    /// Whether a convolution reads a map that was averaged over all of height and width. The structure of the graph
    /// only shows that there is a Mean or an average pooling, so this is taken for it.
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

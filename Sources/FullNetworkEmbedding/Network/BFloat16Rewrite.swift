import CKernels

/// How the network computes.
public enum Precision: Int32, Sendable {
    case float32 = 0
    /// Convolutions and dense layers multiply bfloat16 and sum float32.
    case bfloat16 = 1
}

/// Rewrites a graph so that its layers compute in bfloat16, all but the first few, whose rounding errors every later layer
/// would inherit.
///
/// Bias and normalization with constants are folded into a layer's weights first, in float64. Then its weights are rounded
/// so that the sum of each output channel's weights is kept (`ck_round_bf16`): inputs behind an activation are positive and
/// rise and fall together, so what matters most of the weights' errors is their sum. Operations between layers that move or
/// compare values follow the type of what they read; all others stay float32, and casts stand at the borders.
struct BFloat16Rewrite {
    private let model: Model
    private let needed: Set<Int>
    private let tapped: Set<Int>
    private let float32Layers: Int
    private let ownOperations: Bool
    private let feedsLargeWeights: Bool
    private var constants: ConstantValues

    /// Nodes whose first output is bfloat16 now.
    private var halved = Set<Int>()
    /// Nodes that were folded into the layer before them.
    private var folded = Set<Int>()
    /// How many readers of a constant read something else now.
    private var forgotten: [Int: Int] = [:]
    private var casts: [Cast: String] = [:]
    private(set) var fed: [GraphPreparation.Fed] = []

    private struct Cast: Hashable {
        let tensor: TensorName
        let toHalf: Bool
    }

    init(
        _ model: Model, needed: Set<Int>, tapped: Set<Int>, float32Layers: Int, ownOperations: Bool,
        feedsLargeWeights: Bool, library: TensorFlowLibrary
    ) {
        self.model = model
        self.needed = needed
        self.tapped = tapped
        self.float32Layers = float32Layers
        self.ownOperations = ownOperations
        self.feedsLargeWeights = feedsLargeWeights
        constants = ConstantValues(model, library)
    }

    private var graph: GraphDefinition { model.graph }

    /// Whether another node waits for a node without reading from it.
    private func isAwaited(_ number: Int) -> Bool {
        model.analysis.controlReaders[number, default: []].contains(where: needed.contains)
    }

    mutating func apply(to editor: inout GraphEditor) throws {
        var layers = 0
        for number in model.analysis.order where needed.contains(number) && !folded.contains(number) {
            guard !model.analysis.isConstant[number] else { continue }
            if model.analysis.isLayer(number) {
                layers += 1
                if layers > float32Layers, try convertLayer(number, &editor) { continue }
            }
            if try follow(number, &editor) { continue }
            try castInputs(number, &editor)
        }
        dropForgotten(&editor)
    }

    // MARK: Layers

    /// What follows a layer's operation and can be taken into its weights: y = product * scale + shift, a channel each.
    private struct Affine {
        /// The operations, in order.
        var nodes: [Int] = []
        var scale: [Double]
        var shift: [Double]
        /// Of the layer's output.
        let rank: Int
    }

    /// - Returns: whether the layer could be converted.
    private mutating func convertLayer(_ number: Int, _ editor: inout GraphEditor) throws -> Bool {
        let node = graph.nodes[number]
        let inputs = node.dataInputs
        guard ["Conv2D", "DepthwiseConv2dNative", "MatMul"].contains(node.operation), inputs.count == 2,
            (node.type("T") ?? GraphDefinition.float32) == GraphDefinition.float32, !node.flag("transpose_a"),
            let weightsNode = graph.index[inputs[1].name], inputs[1].output == 0,
            let dataNode = graph.index[inputs[0].name], !model.analysis.isConstant[dataNode],
            let shape = try constants.shape(weightsNode), !shape.contains(0)
        else { return false }
        // Weights as [inputs, channels], or [channels, inputs].
        let channelsFirst = node.operation == "MatMul" && node.flag("transpose_b")
        let channels: Int
        switch (node.operation, shape.count) {
        case ("Conv2D", 4): channels = shape[3]
        case ("DepthwiseConv2dNative", 4): channels = shape[2] * shape[3]
        case ("MatMul", 2): channels = shape[channelsFirst ? 0 : 1]
        default: return false
        }
        let affine = try affine(behind: number, channels: channels, rank: shape.count)

        let rounded = try round(
            weightsNode, shape, channels: channels, channelsFirst: channelsFirst,
            scale: affine.scale.allSatisfy { $0 == 1 } ? nil : affine.scale)
        let half = GraphDefinition.bfloat16
        let weightsName: String
        if feedsLargeWeights, node.operation == "MatMul", rounded.count >= GraphPreparation.largeWeights {
            weightsName = editor.add(
                "fne/weights/" + node.name, operation: "Placeholder",
                attributes: GraphPreparation.placeholder(half, shape))
            fed.append(.init(node: weightsName, type: half, shape: shape, values: rounded))
        } else {
            weightsName = constant("fne/weights/" + node.name, shape, rounded, &editor)
        }
        let data = cast(inputs[0], toHalf: true, &editor)
        let controls = node.inputs.filter(\.isControl).map(\.text)
        try editor.edit(number, inputs: [data, weightsName] + controls, attributes: ["T": AttributeValue.type(half)])
        halved.insert(number)
        forget(weightsNode)
        guard let end = affine.nodes.last else { return true }

        for folded in affine.nodes {
            if folded != end { editor.drop(folded) }
            for input in model.analysis.inputs[folded] where model.analysis.isConstant[input] { forget(input) }
        }
        let shift = affine.shift.map { Float($0) }
        let bias = try Bytes(count: channels * 2)
        bias.withNumbers(of: UInt16.self) { ck_round_bf16_nearest(shift, channels, $0) }
        let biasName = constant("fne/bias/" + node.name, [channels], bias, &editor)
        editor.replace(
            end, operation: "BiasAdd", inputs: [node.name, biasName], attributes: ["T": AttributeValue.type(half)])
        halved.insert(end)
        return true
    }

    /// One reader of a constant less.
    private mutating func forget(_ constant: Int) { forgotten[constant, default: 0] += 1 }

    /// Drops the constants that nothing reads any more.
    private mutating func dropForgotten(_ editor: inout GraphEditor) {
        var pending = Array(forgotten.keys)
        var dropped = Set<Int>()
        while let number = pending.popLast() {
            let readers = model.analysis.readers[number].count { needed.contains($0) }
            guard forgotten[number] == readers, !tapped.contains(number), !isAwaited(number),
                dropped.insert(number).inserted
            else { continue }
            editor.drop(number)
            for input in model.analysis.inputs[number] {
                forget(input)
                pending.append(input)
            }
        }
    }

    private func constant(_ name: String, _ shape: [Int], _ halves: Bytes, _ editor: inout GraphEditor) -> String {
        let half = GraphDefinition.bfloat16
        let value = halves.withBytes { AttributeValue.tensor(type: half, shape: shape, content: $0) }
        return editor.add(name, operation: "Const", attributes: ["dtype": AttributeValue.type(half), "value": value])
    }

    /// Weights as bfloat16, the sum of each output channel kept.
    private mutating func round(
        _ weights: Int, _ shape: [Int], channels: Int, channelsFirst: Bool, scale: [Double]?
    ) throws -> Bytes {
        let count = try elementCount(shape)
        let result = try Bytes(count: count * 2)
        try constants.withValues(weights) { values in
            let failed = result.withNumbers(of: UInt16.self) {
                ck_round_bf16(values, count / channels, channels, channelsFirst ? 1 : 0, scale, $0)
            }
            guard failed == 0 else { throw FNEError(.outOfMemory, "cannot allocate a layer's weights") }
        }
        return result
    }

    /// Follows a layer's operation over sums and products with constants and normalizations with constants, as long as
    /// nothing else reads what is between.
    private mutating func affine(behind number: Int, channels: Int, rank: Int) throws -> Affine {
        var result = Affine(
            scale: [Double](repeating: 1, count: channels), shift: [Double](repeating: 0, count: channels),
            rank: rank)
        var end = number
        while !tapped.contains(end) {
            let readers = model.analysis.readers[end].filter(needed.contains)
            guard readers.count == 1, let reader = readers.first, try fold(reader, of: end, into: &result, channels) else {
                break
            }
            folded.insert(reader)
            result.nodes.append(reader)
            end = reader
        }
        return result
    }

    /// - Returns: false where the node is no such operation.
    private mutating func fold(
        _ number: Int, of source: Int, into affine: inout Affine, _ channels: Int
    ) throws -> Bool {
        let node = graph.nodes[number]
        let inputs = node.dataInputs
        guard !node.inputs.contains(where: \.isControl), !isAwaited(number), !isAwaited(source)
        else { return false }
        if model.analysis.isNormalization(number) {
            return try foldNormalization(number, of: source, into: &affine, channels)
        }
        guard inputs.count == 2,
            let position = inputs.firstIndex(where: { graph.index[$0.name] == source && $0.output == 0 }),
            let other = graph.index[inputs[1 - position].name], other != source,
            let values = try perChannel(other, channels, rank: affine.rank)
        else { return false }
        switch node.operation {
        case "BiasAdd", "BiasAddV1", "Add", "AddV2":
            for c in 0..<channels { affine.shift[c] += values[c] }
        case "Sub" where position == 0:
            for c in 0..<channels { affine.shift[c] -= values[c] }
        case "Mul":
            for c in 0..<channels {
                affine.scale[c] *= values[c]
                affine.shift[c] *= values[c]
            }
        case "RealDiv" where position == 0 && !values.contains(0), "Div" where position == 0 && !values.contains(0):
            for c in 0..<channels {
                affine.scale[c] /= values[c]
                affine.shift[c] /= values[c]
            }
        default: return false
        }
        return true
    }

    private mutating func foldNormalization(
        _ number: Int, of source: Int, into affine: inout Affine, _ channels: Int
    ) throws -> Bool {
        let node = graph.nodes[number]
        let inputs = node.dataInputs
        guard inputs.count == 5, node.operation.hasPrefix("FusedBatchNorm"), node.has("is_training"),
            !node.flag("is_training"), graph.index[inputs[0].name] == source, inputs[0].output == 0
        else { return false }
        var parts: [[Double]] = []
        for input in inputs[1...] {
            guard let number = graph.index[input.name], let values = try perChannel(number, channels, rank: 1) else {
                return false
            }
            parts.append(values)
        }
        // y = (x - mean) / sqrt(variance + epsilon) * scale + offset
        let epsilon = Double(node.number("epsilon") ?? 0.0001)
        let factors = (0..<channels).map { parts[0][$0] / (parts[3][$0] + epsilon).squareRoot() }
        guard factors.allSatisfy(\.isFinite) else { return false }
        for (c, factor) in factors.enumerated() {
            affine.scale[c] *= factor
            affine.shift[c] = (affine.shift[c] - parts[2][c]) * factor + parts[1][c]
        }
        return true
    }

    /// A constant that is one number, or one a channel along the last axis, and has no more axes than what it is added to
    /// or multiplied with.
    private mutating func perChannel(_ number: Int, _ channels: Int, rank: Int) throws -> [Double]? {
        guard let constant = try constants.value(number), constant.shape.count <= rank else { return nil }
        if constant.values.count == 1, let value = constant.values.first {
            return [Double](repeating: Double(value), count: channels)
        }
        guard constant.values.count == channels, constant.shape.last == channels else { return nil }
        return constant.values.map(Double.init)
    }

    // MARK: Between layers

    /// Operations that give what they read, moved or compared, a sum or a product: how many of their inputs, from the
    /// first on, are of the type T; nil: all of them.
    private static let following: [String: Int?] = [
        "Add": nil, "AddV2": nil, "AddN": nil, "Sub": nil, "Mul": nil, "Maximum": nil, "Minimum": nil,
        "BiasAdd": nil, "BiasAddV1": nil, "Relu": nil, "Relu6": nil, "Elu": nil, "LeakyRelu": nil, "Identity": nil,
        "StopGradient": nil, "MaxPool": nil, "AvgPool": nil, "LRN": nil, "Squeeze": nil,
        "Reshape": 1, "ExpandDims": 1, "Pad": 1, "MirrorPad": 1, "Transpose": 1,
        "SpaceToBatchND": 1, "BatchToSpaceND": 1, "Slice": 1, "StridedSlice": 1,
    ]

    /// Gives an operation between layers the type of what it reads.
    private mutating func follow(_ number: Int, _ editor: inout GraphEditor) throws -> Bool {
        let node = graph.nodes[number]
        let data = node.dataInputs
        let typed: Int
        if node.operation == "ConcatV2" {
            typed = data.count - 1
        } else if node.operation == "PadV2" { // also the value that is padded with
            typed = data.count
        } else if let count = Self.following[node.operation] {
            typed = count ?? data.count
        } else {
            return false
        }
        guard (node.type("T") ?? GraphDefinition.float32) == GraphDefinition.float32, typed >= 1, typed <= data.count,
            data[..<typed].contains(where: isHalf)
        else { return false }
        if node.operation == "LRN", !ownOperations { return false }
        if ownOperations, data.count == 2, node.operation == "AddV2" || node.operation == "Add" {
            try convertSum(number, &editor)
            return true
        }
        var position = 0
        let inputs = node.inputs.map { input -> String in
            guard !input.isControl else { return input.text }
            defer { position += 1 }
            let isTyped = position < typed && !(node.operation == "PadV2" && position == 1)
            return isTyped ? cast(input, toHalf: true, &editor) : input.text
        }
        try editor.edit(
            number, operation: node.operation == "LRN" ? "FneLRN" : nil, inputs: inputs,
            attributes: ["T": AttributeValue.type(GraphDefinition.bfloat16)])
        halved.insert(number)
        return true
    }

    /// A sum of two, as at the end of a residual block, runs on libfne's own operation, together with the Relu behind it
    /// where nothing else reads the sum: TensorFlow adds bfloat16 at less than half the speed of float32.
    private mutating func convertSum(_ number: Int, _ editor: inout GraphEditor) throws {
        let node = graph.nodes[number]
        let inputs = node.inputs.map { $0.isControl ? $0.text : cast($0, toHalf: true, &editor) }
        let readers = model.analysis.readers[number].filter(needed.contains)
        let half = AttributeValue.type(GraphDefinition.bfloat16)
        if readers.count == 1, let relu = readers.first, graph.nodes[relu].operation == "Relu",
            graph.nodes[relu].inputs.count == 1, graph.nodes[relu].type("T") ?? GraphDefinition.float32 == GraphDefinition.float32,
            !tapped.contains(number), !isAwaited(number)
        {
            editor.drop(number)
            editor.replace(
                relu, operation: "FneAdd", inputs: inputs, attributes: ["T": half, "relu": AttributeValue.flag(true)])
            folded.insert(relu)
            halved.insert(relu)
        } else {
            try editor.edit(number, operation: "FneAdd", inputs: inputs, attributes: ["T": half])
            halved.insert(number)
        }
    }

    /// An operation that stays float32 reads casts of what is bfloat16.
    private mutating func castInputs(_ number: Int, _ editor: inout GraphEditor) throws {
        let node = graph.nodes[number]
        let isNormalization = node.operation == "LRN" && ownOperations
            && (node.type("T") ?? GraphDefinition.float32) == GraphDefinition.float32
        guard node.dataInputs.contains(where: isHalf) || isNormalization else { return }
        let inputs = node.inputs.map { $0.isControl ? $0.text : cast($0, toHalf: false, &editor) }
        try editor.edit(number, operation: isNormalization ? "FneLRN" : nil, inputs: inputs)
    }

    private func isHalf(_ input: GraphDefinition.Input) -> Bool {
        input.output == 0 && graph.index[input.name].map(halved.contains) ?? false
    }

    /// The name of a tensor in the wanted type.
    private mutating func cast(_ input: GraphDefinition.Input, toHalf: Bool, _ editor: inout GraphEditor) -> String {
        guard isHalf(input) != toHalf else { return input.text }
        let key = Cast(tensor: TensorName(node: input.name, output: input.output), toHalf: toHalf)
        if let name = casts[key] { return name }
        let (float, half) = (GraphDefinition.float32, GraphDefinition.bfloat16)
        let name = editor.add(
            "fne/\(toHalf ? "bfloat16" : "float32")/" + input.name, operation: "Cast", inputs: [input.text],
            attributes: [
                "SrcT": AttributeValue.type(toHalf ? float : half), "DstT": AttributeValue.type(toHalf ? half : float),
            ])
        casts[key] = name
        return name
    }
}

import CKernels
import FNESupport

/// Rewrites a graph so that its layers compute in bfloat16. The first few layers stay float32, because every later
/// layer would inherit their rounding errors.
///
/// A bias and a normalization by constants are first folded into a layer's weights, in float64. Then the weights are
/// rounded so that the sum of each output channel's weights is kept (`ck_round_bf16`). The sum of the errors matters
/// most, because inputs after an activation are positive, and rise and fall together. Operations between layers that
/// move, compare, add or multiply values take the type of their inputs. All other operations stay float32. Casts stand
/// where the types meet.
struct BFloat16Rewrite {
    private let model: GraphDefNetwork
    private let needed: Set<Int>
    private let float32Layers: Int
    private let hasOwnOperations: Bool
    private let feedsLargeWeights: Bool
    private var folding: AffineFolding

    /// The nodes whose first output is bfloat16 now.
    private var converted = Set<Int>()
    /// The nodes that were folded into the layer before them.
    private var folded = Set<Int>()
    /// For a constant, how many of its readers read something else now.
    private var forgotten: [Int: Int] = [:]
    private var casts: [Cast: String] = [:]
    private(set) var fed: [FedWeights] = []

    /// A cast of a tensor to a type. Each is made once.
    private struct Cast: Hashable {
        let tensor: TensorName
        let type: DataType
    }

    init(
        _ model: GraphDefNetwork, needed: Set<Int>, taps: [TensorName], float32Layers: Int, hasOwnOperations: Bool,
        feedsLargeWeights: Bool, constants: ConstantValues
    ) {
        self.model = model
        self.needed = needed
        self.float32Layers = float32Layers
        self.hasOwnOperations = hasOwnOperations
        self.feedsLargeWeights = feedsLargeWeights
        folding = AffineFolding(model, needed: needed, taps: taps, constants: constants)
    }

    private var graph: GraphDefinition { model.graph }
    private var topology: GraphTopology { model.topology }

    /// Makes the changes. Call it once.
    mutating func apply(to editor: inout GraphEditor) throws {
        var layers = 0
        for number in topology.order where needed.contains(number) && !folded.contains(number) {
            guard !topology.isConstant[number] else { continue }
            try Reserve.check()
            if model.analysis.isLayer(number) {
                if !model.analysis.continuesLayer(number) { layers += 1 }
                if layers > float32Layers, try convertLayer(number, &editor) { continue }
            }
            if try follow(number, &editor) { continue }
            try castInputs(number, &editor)
        }
        dropForgotten(&editor)
    }

    // MARK: Layers

    /// Converts a layer to bfloat16.
    ///
    /// - Returns: whether the layer could be converted.
    private mutating func convertLayer(_ number: Int, _ editor: inout GraphEditor) throws -> Bool {
        let node = graph.nodes[number]
        let inputs = node.dataInputs
        guard ["Conv2D", "DepthwiseConv2dNative", "MatMul"].contains(node.operation), inputs.count == 2,
            node.isFloat32, !node.flag("transpose_a"),
            let weightsNode = graph.index[inputs[1].name], inputs[1].output == 0,
            let dataNode = graph.index[inputs[0].name], !topology.isConstant[dataNode],
            let shape = try folding.constants.shape(weightsNode), !shape.contains(0)
        else { return false }
        // The weights are seen as [inputs, channels], or as [channels, inputs].
        let channelsFirst = node.operation == "MatMul" && node.flag("transpose_b")
        let channels: Int
        switch (node.operation, shape.count) {
        case ("Conv2D", 4): channels = shape[3]
        case ("DepthwiseConv2dNative", 4): channels = shape[2] * shape[3]
        case ("MatMul", 2): channels = shape[channelsFirst ? 0 : 1]
        default: return false
        }
        let affine = try folding.affine(after: number, channels: channels, rank: shape.count)
        folded.formUnion(affine.nodes)

        let rounded = try round(
            weightsNode, shape, channels: channels, channelsFirst: channelsFirst,
            scale: affine.scale.allSatisfy { $0 == 1 } ? nil : affine.scale)
        let weightsName: String
        if feedsLargeWeights, node.operation == "MatMul", rounded.count >= FedWeights.threshold {
            weightsName = editor.add(
                "fne/weights/" + node.name, operation: "Placeholder",
                attributes: FedWeights.placeholder(.bfloat16, shape))
            fed.append(.init(node: weightsName, type: .bfloat16, shape: shape, values: rounded))
        } else {
            weightsName = try constant("fne/weights/" + node.name, shape, rounded, &editor)
        }
        let data = cast(inputs[0], to: .bfloat16, &editor)
        let controls = node.inputs.filter(\.isControl).map(\.text)
        try editor.edit(
            number, inputs: [data, weightsName] + controls, attributes: ["T": AttributeValue.type(.bfloat16)])
        converted.insert(number)
        forget(weightsNode)
        guard let end = affine.nodes.last else { return true }

        for folded in affine.nodes {
            if folded != end { editor.drop(folded) }
            for input in topology.inputs[folded] where topology.isConstant[input] { forget(input) }
        }
        let shift = affine.shift.map { Float($0) }
        let bias = try Bytes(count: channels * 2)
        bias.withNumbers(of: UInt16.self) { ck_round_bf16_nearest(shift, channels, $0) }
        let biasName = try constant("fne/bias/" + node.name, [channels], bias, &editor)
        editor.replace(
            end, operation: "BiasAdd", inputs: [node.name, biasName], attributes: ["T": AttributeValue.type(.bfloat16)])
        converted.insert(end)
        return true
    }

    /// Notes that a constant has one reader less.
    private mutating func forget(_ constant: Int) { forgotten[constant, default: 0] += 1 }

    /// Drops the constants that no node reads any more.
    private mutating func dropForgotten(_ editor: inout GraphEditor) {
        var pending = Array(forgotten.keys)
        var dropped = Set<Int>()
        while let number = pending.popLast() {
            let readers = topology.readers[number].count { needed.contains($0) }
            guard forgotten[number] == readers, !folding.isTapped(number), !folding.isAwaited(number),
                dropped.insert(number).inserted
            else { continue }
            editor.drop(number)
            for input in topology.inputs[number] {
                forget(input)
                pending.append(input)
            }
        }
    }

    private func constant(
        _ name: String, _ shape: [Int], _ bfloat16s: Bytes, _ editor: inout GraphEditor
    ) throws -> String {
        try Reserve.prepare(12 * bfloat16s.count) // the messages around the values, each with a copy that grows
        let value = bfloat16s.withBytes { AttributeValue.tensor(type: .bfloat16, shape: shape, content: $0) }
        return editor.add(
            name, operation: "Const", attributes: ["dtype": AttributeValue.type(.bfloat16), "value": value])
    }

    /// A layer's weights as bfloat16. The sum of each output channel is kept.
    private mutating func round(
        _ weights: Int, _ shape: [Int], channels: Int, channelsFirst: Bool, scale: [Double]?
    ) throws -> Bytes {
        let count = try elementCount(shape)
        let result = try Bytes(count: count * 2)
        try folding.constants.withValues(weights) { values in
            let failed = result.withNumbers(of: UInt16.self) {
                ck_round_bf16(values, count / channels, channels, channelsFirst ? 1 : 0, scale, $0)
            }
            guard failed == 0 else {
                throw FNEError(.outOfMemory, "there is not enough memory to round a layer's weights")
            }
        }
        return result
    }

    // MARK: Between layers

    /// Gives an operation between layers the type of its inputs.
    ///
    /// - Returns: false where the operation stays float32.
    private mutating func follow(_ number: Int, _ editor: inout GraphEditor) throws -> Bool {
        let node = graph.nodes[number]
        let data = node.dataInputs
        let typed = node.facts.follows.count(of: data.count)
        guard node.isFloat32, typed >= 1,
            data[..<typed].contains(where: isBFloat16)
        else { return false }
        if node.operation == "LRN", !hasOwnOperations { return false }
        if hasOwnOperations, data.count == 2, node.operation == "AddV2" || node.operation == "Add" {
            try convertSum(number, &editor)
            return true
        }
        var position = 0
        let inputs = node.inputs.map { input -> String in
            guard !input.isControl else { return input.text }
            defer { position += 1 }
            let isTyped = position < typed && !(node.operation == "PadV2" && position == 1)
            return isTyped ? cast(input, to: .bfloat16, &editor) : input.text
        }
        try editor.edit(
            number, operation: node.operation == "LRN" ? "FneLRN" : nil, inputs: inputs,
            attributes: ["T": AttributeValue.type(.bfloat16)])
        converted.insert(number)
        return true
    }

    /// Makes a sum of two tensors, as at the end of a residual block, an operation of libfne's own. A Relu after it
    /// becomes part of it, where nothing else reads the sum. TensorFlow adds bfloat16 at less than half the speed of
    /// float32.
    private mutating func convertSum(_ number: Int, _ editor: inout GraphEditor) throws {
        let node = graph.nodes[number]
        let inputs = node.inputs.map { $0.isControl ? $0.text : cast($0, to: .bfloat16, &editor) }
        let readers = topology.readers[number].filter(needed.contains)
        let bfloat16 = AttributeValue.type(.bfloat16)
        if readers.count == 1, let relu = readers.first, graph.nodes[relu].operation == "Relu",
            graph.nodes[relu].inputs.count == 1, graph.nodes[relu].isFloat32,
            !folding.isTapped(number), !folding.isAwaited(number)
        {
            editor.drop(number)
            editor.replace(
                relu, operation: "FneAdd", inputs: inputs,
                attributes: ["T": bfloat16, "relu": AttributeValue.flag(true)])
            folded.insert(relu)
            converted.insert(relu)
        } else {
            try editor.edit(number, operation: "FneAdd", inputs: inputs, attributes: ["T": bfloat16])
            converted.insert(number)
        }
    }

    /// Makes an operation that stays float32 read casts of its bfloat16 inputs.
    private mutating func castInputs(_ number: Int, _ editor: inout GraphEditor) throws {
        let node = graph.nodes[number]
        let isNormalization = node.operation == "LRN" && hasOwnOperations && node.isFloat32
        guard node.dataInputs.contains(where: isBFloat16) || isNormalization else { return }
        let inputs = node.inputs.map { $0.isControl ? $0.text : cast($0, to: .float32, &editor) }
        try editor.edit(number, operation: isNormalization ? "FneLRN" : nil, inputs: inputs)
    }

    private func isBFloat16(_ input: GraphDefinition.Input) -> Bool {
        input.output == 0 && graph.index[input.name].map(converted.contains) ?? false
    }

    /// The name of an input's tensor in float32 or bfloat16. A cast is added where it has the other type.
    private mutating func cast(_ input: GraphDefinition.Input, to type: DataType, _ editor: inout GraphEditor) -> String
    {
        let present = isBFloat16(input) ? DataType.bfloat16 : .float32
        guard present != type else { return input.text }
        let key = Cast(tensor: TensorName(node: input.name, output: input.output), type: type)
        if let name = casts[key] { return name }
        let name = editor.add(
            "fne/\(type)/" + input.name, operation: "Cast", inputs: [input.text],
            attributes: ["SrcT": AttributeValue.type(present), "DstT": AttributeValue.type(type)])
        casts[key] = name
        return name
    }
}

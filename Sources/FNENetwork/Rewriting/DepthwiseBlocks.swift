import CKernels
import FNESupport

/// Makes one operation of libfne's own of a depthwise convolution and the convolutions of 1 x 1 around it. They are the
/// inverted residual blocks of MobileNet V2 and EfficientNet, and the separable convolutions of MobileNet V1.
///
/// The maps between the three are the largest of these networks. As operations of TensorFlow's, they go to memory and
/// come back, once to be read by the next convolution, and once to be averaged. The operation computes a few rows at a
/// time, which stay in the cache, and averages them on the way.
///
/// A block is left to TensorFlow where something else needs a map between its convolutions.
struct DepthwiseBlocks {
    /// The layers of the row that the operations average, and the tensors [n, channels] of their averages.
    private(set) var means: [TensorName: TensorName] = [:]

    private let model: GraphDefNetwork
    private let needed: Set<Int>
    /// The layers that are averaged over height and width alone.
    private let averaged: Set<TensorName>
    private let shapes: KnownShapes
    private var folding: AffineFolding
    /// The convolutions of the blocks that were found.
    private var taken = Set<Int>()

    /// The most numbers of a row of a map. The kernel keeps a few rows in the cache.
    private static let largestRow = 1 << 17

    init(
        _ model: GraphDefNetwork, needed: Set<Int>, taps: [TensorName], averaged: Set<TensorName>,
        shapes: KnownShapes, constants: ConstantValues
    ) {
        self.model = model
        self.needed = needed
        self.averaged = averaged
        self.shapes = shapes
        folding = AffineFolding(model, needed: needed, taps: taps, constants: constants)
    }

    private var graph: GraphDefinition { model.graph }
    private var topology: GraphTopology { model.topology }

    /// Makes the changes. Call it once.
    mutating func apply(to editor: inout GraphEditor) throws {
        for number in topology.order where needed.contains(number) {
            guard graph.nodes[number].operation == "DepthwiseConv2dNative", let block = try block(around: number)
            else { continue }
            try Reserve.check()
            try write(block, &editor)
        }
    }

    // MARK: Convolutions

    /// What an activation limits values to. The raw values are those of the kernel's attributes.
    private enum Limit: Int {
        case none, atLeast0, from0To6

        init?(_ operation: String) {
            switch operation {
            case "Relu": self = .atLeast0
            case "Relu6": self = .from0To6
            default: return nil
            }
        }
    }

    /// A convolution, what can be folded into it, and its activation.
    private struct Convolution {
        let number: Int
        let affine: AffineFolding.Affine
        let limit: Limit
        /// The last node.
        let end: Int
    }

    /// The only node that reads a node's first output, where nothing else needs the node.
    private func onlyReader(of number: Int) -> Int? {
        let readers = topology.readers[number].filter(needed.contains)
        guard readers.count == 1, let reader = readers.first, !folding.isAwaited(number),
            graph.nodes[reader].dataInputs.allSatisfy({ graph.index[$0.name] != number || $0.output == 0 })
        else { return nil }
        return reader
    }

    /// A convolution of float32 in the layout of the kernel, whose weights have a known shape.
    ///
    /// - Parameter channels: how many it makes, by the shape of its weights
    private mutating func convolution(_ number: Int, _ operation: String, channels: ([Int]) -> Int?) throws
        -> Convolution?
    {
        let node = graph.nodes[number]
        guard node.operation == operation, node.isFloat32, node.inputs.count == 2,
            !node.inputs.contains(where: \.isControl), node.dataInputs[0].output == 0,
            node.dataInputs[1].output == 0, !taken.contains(number),
            (node.text("data_format") ?? "NHWC") == "NHWC", (node.integers("dilations") ?? []).allSatisfy({ $0 == 1 }),
            ["SAME", "VALID"].contains(node.text("padding") ?? ""),
            let weights = graph.index[node.dataInputs[1].name], topology.isConstant[weights],
            let shape = try folding.constants.shape(weights), shape.count == 4, let count = channels(shape)
        else { return nil }
        let affine = try folding.affine(after: number, channels: count, rank: 4)
        let last = affine.nodes.last ?? number
        guard !folding.isTapped(last), let reader = onlyReader(of: last),
            let limit = Limit(graph.nodes[reader].operation),
            graph.nodes[reader].isFloat32, graph.nodes[reader].inputs.count == 1
        else { return Convolution(number: number, affine: affine, limit: .none, end: last) }
        return Convolution(number: number, affine: affine, limit: limit, end: reader)
    }

    /// A convolution of 1 x 1.
    private mutating func pointwise(_ number: Int) throws -> Convolution? {
        guard (graph.nodes[number].integers("strides") ?? []).allSatisfy({ $0 == 1 }) else { return nil }
        return try convolution(number, "Conv2D") { $0[0] == 1 && $0[1] == 1 && $0[3] > 0 ? $0[3] : nil }
    }

    // MARK: Blocks

    private struct Block {
        let expansion: Convolution?
        let depthwise: Convolution
        let projection: Convolution
        /// The tensor that it reads.
        let source: GraphDefinition.Input
        let stride: Int
        /// Whether the depthwise convolution pads as TensorFlow's SAME, which depends on the size of the map.
        let padsSame: Bool
        /// The zeros that a node puts around the map before; nil where there is no such node.
        let padding: Padding?
    }

    private struct Padding {
        let number: Int
        let top, bottom, left, right: Int
    }

    /// The block of a depthwise convolution; nil where it is left to TensorFlow.
    private mutating func block(around number: Int) throws -> Block? {
        let node = graph.nodes[number]
        let strides = node.integers("strides") ?? []
        guard strides.count == 4, strides[1] == strides[2], (1...2).contains(strides[1]),
            let depthwise = try convolution(
                number, "DepthwiseConv2dNative",
                channels: {
                    [3, CK_BLOCK_SIDE].contains($0[0]) && $0[1] == $0[0] && $0[3] == 1 && $0[2] > 0 ? $0[2] : nil
                }),
            depthwise.affine.scale.count % CK_BLOCK_UNIT == 0, isFree(depthwise.end),
            let next = onlyReader(of: depthwise.end), let projection = try pointwise(next),
            let before = graph.index[node.dataInputs[0].name]
        else { return nil }
        let padding = node.text("padding") == "VALID" ? padding(before) : nil
        guard let map = padding == nil ? node.dataInputs[0] : graph.nodes[before].dataInputs.first, map.output == 0
        else { return nil }
        let channels = depthwise.affine.scale.count
        let expansion = try expansion(before: map, read: padding?.number ?? number)
        let source = expansion.map { graph.nodes[$0.number].dataInputs[0] } ?? map
        guard isSmallEnough(source), isSmallEnough(map), try inputs(of: projection) == channels else { return nil }
        return Block(
            expansion: expansion, depthwise: depthwise, projection: projection, source: source, stride: strides[1],
            padsSame: node.text("padding") == "SAME", padding: padding)
    }

    /// How many channels a convolution of 1 x 1 reads, by its weights. In groups, it reads more.
    private mutating func inputs(of convolution: Convolution) throws -> Int? {
        try folding.constants.shape(topology.inputs[convolution.number][1])?[2]
    }

    /// Whether a map is known to have rows, and a row to fit a core's cache.
    private func isSmallEnough(_ map: GraphDefinition.Input) -> Bool {
        guard let shape = shapes[map], shape.count == 4, !shape.dropFirst().contains(0) else { return false }
        return saturating(shape[2], shape[3]) <= Self.largestRow
    }

    /// Whether no layer of the row takes a tensor of a node, but by its average.
    private func isFree(_ number: Int) -> Bool {
        !folding.isTapped(number) || averaged.contains(TensorName(node: graph.nodes[number].name, output: 0))
    }

    /// The convolution whose map a block begins with; nil where the block reads that map itself.
    ///
    /// - Parameter reader: the node of the block that reads it
    private mutating func expansion(before map: GraphDefinition.Input, read reader: Int) throws -> Convolution? {
        guard let end = graph.index[map.name], isFree(end), onlyReader(of: end) == reader,
            let number = convolution(endingAt: end), let found = try pointwise(number), found.end == end,
            try inputs(of: found) == shapes[graph.nodes[number].dataInputs[0]]?.last
        else { return nil }
        return found
    }

    /// Follows an activation, sums and normalizations back to a convolution.
    private func convolution(endingAt end: Int) -> Int? {
        var number = end
        for _ in 0..<8 {
            let node = graph.nodes[number]
            if node.operation == "Conv2D" { return number }
            let isStep =
                Limit(node.operation) != nil || node.isAny([.addition, .subtraction, .scaling, .normalization])
            guard isStep, let next = topology.inputs[number].first(where: { !topology.isConstant[$0] }) else {
                return nil
            }
            number = next
        }
        return nil
    }

    /// The zeros that a node puts around its input; nil where it is no such node.
    private func padding(_ number: Int) -> Padding? {
        let node = graph.nodes[number]
        guard node.operation == "Pad", node.inputs.count == 2, !node.inputs.contains(where: \.isControl),
            node.isFloat32, !folding.isTapped(number), onlyReader(of: number) != nil,
            let sizes = topology.integers(topology.inputs[number][1]), sizes.count == 8,
            sizes[0] == 0, sizes[1] == 0, sizes[6] == 0, sizes[7] == 0,
            sizes.allSatisfy({ (0...CK_BLOCK_ZEROS).contains($0) })
        else { return nil }
        return Padding(number: number, top: sizes[2], bottom: sizes[3], left: sizes[4], right: sizes[5])
    }

    // MARK: Writing

    /// Puts the operation in the place of the block's last node.
    private mutating func write(_ block: Block, _ editor: inout GraphEditor) throws {
        let depthwise = try weights(of: block.depthwise, &editor)
        // Without an expansion, the kernel does not read its weights. Any tensors may stand in their place.
        let inputs =
            try [block.source.text] + (block.expansion.map { try weights(of: $0, &editor) } ?? depthwise) + depthwise
            + weights(of: block.projection, &editor)
        let convolutions = [block.expansion, block.depthwise, block.projection].compactMap { $0 }
        let end = block.projection.end
        for number in convolutions.flatMap({ [$0.number] + $0.affine.nodes + [$0.end] })
            + [block.padding?.number].compactMap({ $0 })
        where number != end { editor.drop(number) }
        let integers = [
            "stride": block.stride, "top": block.padding?.top ?? 0, "bottom": block.padding?.bottom ?? 0,
            "left": block.padding?.left ?? 0, "right": block.padding?.right ?? 0,
            "expansion_limit": (block.expansion?.limit ?? .none).rawValue,
            "depthwise_limit": block.depthwise.limit.rawValue, "projection_limit": block.projection.limit.rawValue,
        ]
        var attributes = integers.mapValues(AttributeValue.integer)
        attributes["T"] = AttributeValue.type(.float32)
        attributes["same"] = AttributeValue.flag(block.padsSame)
        attributes["expands"] = AttributeValue.flag(block.expansion != nil)
        editor.replace(end, operation: "FneDepthwiseBlock", inputs: inputs, attributes: attributes)
        for (place, convolution) in [block.expansion, block.depthwise, block.projection].enumerated() {
            guard let convolution else { continue }
            taken.insert(convolution.number)
            let tap = TensorName(node: graph.nodes[convolution.end].name, output: 0)
            if averaged.contains(tap) { means[tap] = TensorName(node: graph.nodes[end].name, output: place + 1) }
        }
    }

    /// The names of a convolution's weights and bias, with what is folded into it.
    private mutating func weights(of convolution: Convolution, _ editor: inout GraphEditor) throws -> [String] {
        let node = graph.nodes[convolution.number]
        let affine = convolution.affine
        var weights = node.dataInputs[1].text
        if !affine.scale.allSatisfy({ $0 == 1 }) {
            weights = try scaled(topology.inputs[convolution.number][1], by: affine.scale, named: node.name, &editor)
        }
        let bias = try constant(
            "fne/bias/" + node.name, [affine.shift.count], affine.shift.map { Float($0) }, &editor)
        return [weights, bias]
    }

    /// The weights of a convolution, whose last axis with more than one element is the channels.
    private mutating func scaled(
        _ number: Int, by scale: [Double], named name: String, _ editor: inout GraphEditor
    ) throws -> String {
        guard let shape = try folding.constants.shape(number) else {
            throw FNEError(.invalidGraph, "the weights of '\(name)' have no shape")
        }
        let count = try elementCount(shape)
        var values: [Float] = []
        try Reserve.prepare(2 * count * MemoryLayout<Float>.size)
        try folding.constants.withValues(number) { stored in
            values = (0..<count).map { place in
                let value = Float(
                    bitPattern: UInt32(littleEndian: stored.loadUnaligned(fromByteOffset: 4 * place, as: UInt32.self)))
                return Float(Double(value) * scale[place % scale.count])
            }
        }
        return try constant("fne/weights/" + name, shape, values, &editor)
    }

    private func constant(
        _ name: String, _ shape: [Int], _ values: [Float], _ editor: inout GraphEditor
    ) throws -> String {
        try Reserve.prepare(12 * values.count * MemoryLayout<Float>.size) // the messages around the values
        let value = values.withUnsafeBytes { AttributeValue.tensor(type: .float32, shape: shape, content: $0) }
        return editor.add(
            name, operation: "Const", attributes: ["dtype": AttributeValue.type(.float32), "value": value])
    }
}

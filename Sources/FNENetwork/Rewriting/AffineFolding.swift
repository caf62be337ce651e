/// Finds the sums, products and normalizations by constants after a layer's product, which can be folded into the
/// layer's weights and bias. They are computed in float64.
struct AffineFolding {
    private let model: GraphDefNetwork
    private let needed: Set<Int>
    /// Nodes of which an output is a layer of the row, and those of them of which it is not the first output.
    private let tapped: Set<Int>
    private let tappedFurther: Set<Int>
    var constants: ConstantValues

    init(_ model: GraphDefNetwork, needed: Set<Int>, taps: [TensorName], constants: ConstantValues) {
        self.model = model
        self.needed = needed
        tapped = Set(taps.compactMap { model.graph.index[$0.node] })
        tappedFurther = Set(taps.compactMap { $0.output > 0 ? model.graph.index[$0.node] : nil })
        self.constants = constants
    }

    private var graph: GraphDefinition { model.graph }
    private var topology: GraphTopology { model.topology }

    /// Whether an output of a node is a layer of the row.
    func isTapped(_ number: Int) -> Bool { tapped.contains(number) }

    /// Whether a needed node waits for a node without reading from it.
    func isAwaited(_ number: Int) -> Bool {
        topology.controlReaders[number, default: []].contains(where: needed.contains)
    }

    /// The operations after a layer's product that can be folded into the layer, as y = product * scale + shift. There
    /// is one scale and one shift per channel.
    struct Affine {
        /// The nodes, in order.
        var nodes: [Int] = []
        var scale: [Double]
        var shift: [Double]
        /// The rank of the layer's output.
        let rank: Int
    }

    /// Finds the operations after a layer's product that can be folded into it. They are sums, products and
    /// normalizations with constants. The search ends where a tensor between them has another reader.
    mutating func affine(after number: Int, channels: Int, rank: Int) throws -> Affine {
        var result = Affine(
            scale: [Double](repeating: 1, count: channels), shift: [Double](repeating: 0, count: channels),
            rank: rank)
        var end = number
        while !tapped.contains(end) {
            let readers = topology.readers[end].filter(needed.contains)
            guard readers.count == 1, let reader = readers.first, try fold(reader, of: end, into: &result, channels)
            else {
                break
            }
            result.nodes.append(reader)
            end = reader
        }
        return result
    }

    /// Folds one node into the layer.
    ///
    /// - Returns: false where the node is no sum, product or normalization with constants.
    private mutating func fold(
        _ number: Int, of source: Int, into affine: inout Affine, _ channels: Int
    ) throws -> Bool {
        let node = graph.nodes[number]
        let inputs = node.dataInputs
        guard !node.inputs.contains(where: \.isControl), !isAwaited(number), !isAwaited(source)
        else { return false }
        if node.isAny(.normalization) {
            return try foldNormalization(number, of: source, into: &affine, channels)
        }
        guard inputs.count == 2,
            let position = inputs.firstIndex(where: { graph.index[$0.name] == source && $0.output == 0 }),
            let other = constant(inputs[1 - position]), other != source,
            let values = try perChannel(other, channels, rank: affine.rank)
        else { return false }
        switch node.operation {
        case _ where node.isAny(.addition):
            for c in 0..<channels { affine.shift[c] += values[c] }
        case "Sub" where position == 0:
            for c in 0..<channels { affine.shift[c] -= values[c] }
        case "Mul":
            for c in 0..<channels {
                affine.scale[c] *= values[c]
                affine.shift[c] *= values[c]
            }
        case "RealDiv", "Div":
            guard position == 0, !values.contains(0) else { return false }
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
        guard inputs.count == 5, node.operation.hasPrefix("FusedBatchNorm"), !node.takesBatchStatistics,
            graph.index[inputs[0].name] == source, inputs[0].output == 0,
            isReadAtItsFirstOutputAlone(number)
        else { return false }
        var parts: [[Double]] = []
        for input in inputs[1...] {
            guard let number = constant(input), let values = try perChannel(number, channels, rank: 1) else {
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

    /// The node of an input. The values of further outputs, as those of Split, are not known.
    private func constant(_ input: GraphDefinition.Input) -> Int? {
        input.output == 0 ? graph.index[input.name] : nil
    }

    /// Whether nothing reads a node's further outputs, which a sum in its place does not have.
    private func isReadAtItsFirstOutputAlone(_ number: Int) -> Bool {
        guard !tappedFurther.contains(number) else { return false }
        return topology.readers[number].filter(needed.contains).allSatisfy { reader in
            graph.nodes[reader].dataInputs.allSatisfy { graph.index[$0.name] != number || $0.output == 0 }
        }
    }

    /// The values of a constant, one per channel. The constant must be one number, or have one number per channel along
    /// its last axis, and no more axes than the tensor that it is combined with. Else nil.
    private mutating func perChannel(_ number: Int, _ channels: Int, rank: Int) throws -> [Double]? {
        guard let constant = try constants.value(number), constant.shape.count <= rank else { return nil }
        if constant.values.count == 1, let value = constant.values.first {
            return [Double](repeating: Double(value), count: channels)
        }
        guard constant.values.count == channels, constant.shape.last == channels else { return nil }
        return constant.values.map(Double.init)
    }
}

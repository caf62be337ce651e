/// Finds convolutions in groups that are written out, as in AlexNet. A tensor's channels are split, each part has a
/// convolution of its own, and the results are concatenated along their channels. Such convolutions are one layer.
///
/// Convolutions that read the same tensor and meet in a concatenation are layers of their own, as in Inception.
struct ConvolutionGroups {
    /// The convolutions of one layer.
    struct Group {
        /// The node that puts their results together.
        let concatenation: Int
        /// The convolutions, in the order of the concatenation.
        let convolutions: [Int]
        /// Whether an activation stands between the convolutions and the concatenation.
        let isActivated: Bool
    }

    private let graph: GraphDefinition
    private let topology: GraphTopology
    private let kinds: [TensorKind?]
    private var groups: [Int: Group] = [:]

    /// - Parameter kinds: the kind of layer that each node is; nil for one that is no layer
    init(_ graph: GraphDefinition, _ topology: GraphTopology, kinds: [TensorKind?]) {
        self.graph = graph
        self.topology = topology
        self.kinds = kinds
        for number in topology.order {
            guard let group = group(endingAt: number) else { continue }
            for convolution in group.convolutions { groups[convolution] = group }
        }
    }

    /// The group that a convolution belongs to; nil where it is a layer by itself.
    subscript(convolution: Int) -> Group? { groups[convolution] }

    /// The longest way from a part to its convolution, or from there to the concatenation, in nodes.
    private static let longestWay = 16

    private func group(endingAt number: Int) -> Group? {
        let node = graph.nodes[number]
        let inputs = node.dataInputs
        guard inputs.count >= 3 else { return nil }
        let results: [GraphDefinition.Input]
        switch node.operation {
        case "ConcatV2" where isChannelAxis(topology.inputs[number].last): results = Array(inputs.dropLast())
        case "Concat" where isChannelAxis(topology.inputs[number].first): results = Array(inputs.dropFirst())
        default: return nil
        }
        var convolutions: [Int] = []
        var parts: [Part] = []
        var isActivated = false
        for result in results {
            guard result.output == 0, let (convolution, activated) = convolution(before: result),
                kinds[convolution] == kinds[convolutions.first ?? convolution], let part = part(of: convolution)
            else { return nil }
            convolutions.append(convolution)
            parts.append(part)
            isActivated = isActivated || activated
        }
        guard Part.areOneTensor(parts) else { return nil }
        return Group(concatenation: number, convolutions: convolutions, isActivated: isActivated)
    }

    // MARK: After the convolutions

    /// The convolution that a part of a concatenation comes from, and whether it was activated since. Between them
    /// stands what may stand between a convolution and a layer's output.
    private func convolution(before result: GraphDefinition.Input) -> (Int, Bool)? {
        guard var number = graph.index[result.name] else { return nil }
        var isActivated = false
        for _ in 0..<Self.longestWay {
            let node = graph.nodes[number]
            let inputs = topology.inputs[number]
            // Any number of concatenations may read one node, so its readers are not counted to the end.
            let readers = topology.readers[number].lazy.filter { graph.nodes[$0].operation != "Shape" }
            guard readers.prefix(2).count == 1 else { return nil }
            switch kinds[number] {
            case .convolution, .depthwise:
                guard node.operation != "Conv3D", let weights = node.facts.weights, weights < inputs.count else {
                    return nil
                }
                return topology.isConstant[inputs[weights]] ? (number, isActivated) : nil
            case nil: break
            default: return nil
            }
            if node.isAny(.affine) {
                let varying = inputs.filter { !topology.isConstant[$0] }
                guard varying.count == 1 else { return nil }
                number = varying[0]
                continue
            }
            guard node.isAny([.activation, .normalization, .keepsTensor, .unblocks]), let first = inputs.first else {
                return nil
            }
            isActivated = isActivated || node.isAny(.activation)
            number = first
        }
        return nil
    }

    // MARK: Before the convolutions

    /// A part of a tensor's channels.
    private struct Part {
        let tensor: TensorName
        /// The place of the first channel, or the number of the part.
        let first: Int
        /// The place after the last channel; nil for all that follow.
        let end: Int?
        /// The end of the last part; nil where it is not known.
        let whole: Int?

        /// Whether parts are of one tensor, do not overlap, and leave nothing out.
        static func areOneTensor(_ parts: [Part]) -> Bool {
            let sorted = parts.sorted { $0.first < $1.first }
            guard let first = sorted.first, let last = sorted.last, first.first == 0 else { return false }
            return parts.allSatisfy { $0.tensor == first.tensor } && last.end == last.whole ?? last.end
                && zip(sorted, sorted.dropFirst()).allSatisfy { $0.end == $1.first }
        }
    }

    /// The part that a convolution reads, perhaps padded.
    private func part(of convolution: Int) -> Part? {
        guard var input = graph.nodes[convolution].dataInputs.first else { return nil }
        for _ in 0..<Self.longestWay {
            guard let number = graph.index[input.name] else { return nil }
            let node = graph.nodes[number]
            switch node.operation {
            case "Split": return splitPart(input, of: number, tensor: 1, axis: 0)
            case "SplitV": return splitPart(input, of: number, tensor: 0, axis: 2)
            case "Slice": return slice(number)
            case "StridedSlice": return stridedSlice(number)
            case "Pad", "PadV2", "MirrorPad", "SpaceToBatch", "SpaceToBatchND": break
            default: guard node.isAny(.keepsBits) else { return nil }
            }
            guard let first = node.dataInputs.first else { return nil }
            input = first
        }
        return nil
    }

    private func splitPart(_ input: GraphDefinition.Input, of number: Int, tensor: Int, axis: Int) -> Part? {
        let inputs = graph.nodes[number].dataInputs
        guard inputs.count > max(tensor, axis), isChannelAxis(topology.inputs[number][axis]),
            let count = graph.nodes[number].integer("num_split"), input.output < count
        else { return nil }
        return Part(
            tensor: TensorName(node: inputs[tensor].name, output: inputs[tensor].output), first: input.output,
            end: input.output + 1, whole: count)
    }

    private func slice(_ number: Int) -> Part? {
        guard let begin = integers(number, input: 1), let size = integers(number, input: 2), begin.count == 4,
            size.count == 4, begin[..<3].allSatisfy({ $0 == 0 })
        else { return nil }
        let (end, overflow) = begin[3].addingReportingOverflow(size[3])
        return overflow ? nil : part(of: number, first: begin[3], end: size[3] < 0 ? nil : end)
    }

    /// A slice such as x[:, :, :, 0:48] or x[..., 0:48].
    private func stridedSlice(_ number: Int) -> Part? {
        let node = graph.nodes[number]
        guard let begin = integers(number, input: 1), let end = integers(number, input: 2),
            let strides = integers(number, input: 3), begin.count == end.count, begin.count == strides.count,
            strides.last == 1, (node.integer("shrink_axis_mask") ?? 0) == 0, (node.integer("new_axis_mask") ?? 0) == 0
        else { return nil }
        let (first, last) = (node.integer("begin_mask") ?? 0, node.integer("end_mask") ?? 0)
        let axis: Int // the place of the channels in the slice
        switch (begin.count, node.integer("ellipsis_mask") ?? 0) {
        case (4, 0) where first & last & 7 == 7 && strides.allSatisfy({ $0 == 1 }): axis = 3
        case (2, 1): axis = 1
        default: return nil
        }
        return part(
            of: number, first: first >> axis & 1 == 1 ? 0 : begin[axis], end: last >> axis & 1 == 1 ? nil : end[axis])
    }

    private func part(of number: Int, first: Int, end: Int?) -> Part? {
        guard first >= 0, end ?? Int.max > first, let tensor = graph.nodes[number].dataInputs.first else { return nil }
        return Part(tensor: TensorName(node: tensor.name, output: tensor.output), first: first, end: end, whole: nil)
    }

    // MARK: Constants

    private func integers(_ number: Int, input: Int) -> [Int]? {
        guard input < topology.inputs[number].count else { return nil }
        return topology.integers(topology.inputs[number][input])
    }

    /// Whether a constant names the last axis of a map.
    private func isChannelAxis(_ number: Int?) -> Bool {
        guard let number, let axes = topology.integers(number), axes.count == 1 else { return false }
        return axes[0] == 3 || axes[0] == -1
    }
}

/// Finds convolutions in groups that are written out, by the rule of `ConvolutionGroups`. The channels of a value are
/// split, each part has a convolution of its own, and the results are concatenated. Such convolutions are one layer.
struct ONNXConvolutionGroups {
    /// The convolutions of one layer.
    struct Group {
        /// The value that puts their results together.
        let result: Int
        /// The nodes of the convolutions, in the order of the concatenation.
        let convolutions: [Int]
        /// Whether an activation stands between the convolutions and the concatenation.
        let isActivated: Bool
    }

    private let graph: ONNXDefinition.Graph
    private let topology: ONNXTopology
    private let shapes: ONNXShapes
    private let kinds: [TensorKind?]
    private var groups: [Int: Group] = [:]

    /// - Parameter kinds: the kind of layer that each node is; nil for one that is no layer
    init(
        _ graph: ONNXDefinition.Graph, _ topology: ONNXTopology, _ shapes: ONNXShapes, kinds: [TensorKind?]
    ) {
        (self.graph, self.topology, self.shapes, self.kinds) = (graph, topology, shapes, kinds)
        for place in topology.order {
            guard let group = group(endingAt: place) else { continue }
            for convolution in group.convolutions { groups[convolution] = group }
        }
    }

    /// The group that a convolution belongs to; nil where it is a layer by itself.
    subscript(convolution: Int) -> Group? { groups[convolution] }

    /// The longest way from a part to its convolution, or from there to the concatenation, in nodes.
    private static let longestWay = 16

    private func group(endingAt place: Int) -> Group? {
        let results = topology.inputs[place].compactMap { $0 }
        guard graph.nodes[place].operation == "Concat", graph.nodes[place].integer("axis") == 1,
            results.count >= 2, let result = topology.outputs[place].first ?? nil
        else { return nil }
        var (convolutions, parts, isActivated): ([Int], [Part], Bool) = ([], [], false)
        for value in results {
            guard let (convolution, activated) = convolution(before: value), !convolutions.contains(convolution),
                kinds[convolution] == kinds[convolutions.first ?? convolution], let part = part(of: convolution)
            else { return nil }
            convolutions.append(convolution)
            parts.append(part)
            isActivated = isActivated || activated
        }
        guard Part.areOneValue(parts) else { return nil }
        return Group(result: result, convolutions: convolutions, isActivated: isActivated)
    }

    /// The convolution that a part of a concatenation comes from, and whether it was activated since.
    private func convolution(before result: Int) -> (Int, Bool)? {
        var (value, isActivated) = (result, false)
        for _ in 0..<Self.longestWay {
            guard topology.onlyReader(value, graph) != nil, let place = topology.producers[value] else { return nil }
            if let kind = kinds[place] {
                return [.convolution, .depthwise].contains(kind) ? (place, isActivated) : nil
            }
            let node = graph.nodes[place]
            let varying = topology.inputs[place].compactMap { $0 }.filter { !topology.isConstant[$0] }
            guard varying.count == 1, node.isAny([.activation, .affine, .normalizes, .keepsTensor]) else { return nil }
            isActivated = isActivated || node.isAny(.activation)
            value = varying[0]
        }
        return nil
    }

    /// A part of a value's channels, or of its parts in their order.
    private struct Part {
        let value: Int
        let first: Int
        /// The place after the last one; nil for all that follow.
        let end: Int?
        /// The end of the last part; nil where it is not known.
        let whole: Int?

        /// Whether parts are of one value, do not overlap, and leave nothing out.
        static func areOneValue(_ parts: [Part]) -> Bool {
            let sorted = parts.sorted { $0.first < $1.first }
            guard let first = sorted.first, let last = sorted.last, first.first == 0 else { return false }
            return parts.allSatisfy { $0.value == first.value } && last.end == last.whole ?? last.end
                && zip(sorted, sorted.dropFirst()).allSatisfy { $0.end == $1.first }
        }
    }

    /// The part that a convolution reads, perhaps padded.
    private func part(of convolution: Int) -> Part? {
        guard var value = topology.inputs[convolution].first ?? nil else { return nil }
        for _ in 0..<Self.longestWay {
            guard let place = topology.producers[value], let read = topology.inputs[place].first ?? nil else {
                return nil
            }
            let node = graph.nodes[place]
            switch node.operation {
            case "Split":
                guard node.integer("axis") == 1,
                    let number = topology.outputs[place].firstIndex(of: value)
                else { return nil }
                return Part(value: read, first: number, end: number + 1, whole: topology.outputs[place].count)
            case "Slice": return slice(place, of: read)
            case "Pad": value = read
            default:
                guard node.isAny(.keepsTensor) else { return nil }
                value = read
            }
        }
        return nil
    }

    private func slice(_ place: Int, of read: Int) -> Part? {
        func list(_ name: String, _ number: Int) -> [Int]? { shapes.integers(of: place, name, input: number) }
        guard let start = list("starts", 1), let end = list("ends", 2), let axes = list("axes", 3),
            start.count == 1, end.count == 1, axes == [1], list("steps", 4) ?? [1] == [1],
            start[0] >= 0, end[0] > start[0]
        else { return nil }
        return Part(value: read, first: start[0], end: end[0] >= Int(Int32.max) ? nil : end[0], whole: nil)
    }
}

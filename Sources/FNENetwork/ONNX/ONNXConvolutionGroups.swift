/// Finds convolutions in groups that are written out, by the rule of `ConvolutionGroups`. The channels of a value are
/// split, each part has a convolution of its own, and the results are concatenated. Such convolutions are one layer.
/// Networks that were converted from TensorFlow have Transposes in between, and may split the last axis.
struct ONNXConvolutionGroups {
    /// The convolutions of one layer.
    struct Group {
        /// The value that puts their results together.
        let result: Int
        /// The nodes of the convolutions, in the order of the concatenation.
        let convolutions: [Int]
        /// Whether an activation stands between the convolutions and the concatenation.
        let isActivated: Bool
        /// Whether the channels of the result are its last axis.
        let channelsLast: Bool
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
        guard graph.nodes[place].operation == "Concat", let axis = graph.nodes[place].integer("axis"),
            results.count >= 2, let result = topology.outputs[place].first ?? nil
        else { return nil }
        var (ways, parts): ([Way], [Part]) = ([], [])
        for value in results {
            guard let way = way(to: value, along: axis), !ways.contains(where: { $0.convolution == way.convolution }),
                kinds[way.convolution] == kinds[ways.first?.convolution ?? way.convolution],
                way.channelsLast == ways.first?.channelsLast ?? way.channelsLast,
                let part = part(of: way.convolution)
            else { return nil }
            ways.append(way)
            parts.append(part)
        }
        guard Part.areOneValue(parts), let first = ways.first else { return nil }
        return Group(
            result: result, convolutions: ways.map(\.convolution), isActivated: ways.contains { $0.isActivated },
            channelsLast: first.channelsLast)
    }

    /// The way from a convolution to a part of a concatenation.
    private struct Way {
        let convolution: Int
        let isActivated: Bool
        let channelsLast: Bool
    }

    /// The way to a part of a concatenation; nil where the axis is not that of the channels.
    private func way(to result: Int, along axis: Int) -> Way? {
        var (value, isActivated, channels) = (result, false, Channels(axis))
        var isLast: Bool?
        for _ in 0..<Self.longestWay {
            guard topology.onlyReader(value, graph) != nil, let place = topology.producers[value] else { return nil }
            if let kind = kinds[place] {
                guard channels.axis == 1, [.convolution, .depthwise].contains(kind), isLast ?? false || axis == 1
                else { return nil }
                return Way(convolution: place, isActivated: isActivated, channelsLast: isLast ?? false)
            }
            let node = graph.nodes[place]
            let varying = topology.inputs[place].compactMap { $0 }.filter { !topology.isConstant[$0] }
            guard varying.count == 1 else { return nil }
            if node.operation == "Transpose" {
                isLast = isLast ?? channels.isLast(after: node)
                guard channels.move(before: node) else { return nil }
            } else if !node.isAny([.activation, .affine, .normalizes, .keepsTensor]) {
                return nil
            }
            isActivated = isActivated || node.isAny(.activation)
            value = varying[0]
        }
        return nil
    }

    /// The axis of the channels, on a way back over Transposes.
    private struct Channels {
        /// It counts from the end where it is negative.
        private(set) var axis: Int
        private var rank: Int?

        init(_ axis: Int) { self.axis = axis }

        /// Goes back over a Transpose. Returns whether it could.
        mutating func move(before node: ONNXDefinition.Node) -> Bool {
            guard let order = node.integers("perm") else { return false }
            let counted = axis < 0 ? axis + order.count : axis
            guard order.indices.contains(counted) else { return false }
            (axis, rank) = (order[counted], order.count)
            return true
        }

        /// Whether the axis is the last one of what a Transpose gives.
        func isLast(after node: ONNXDefinition.Node) -> Bool {
            guard let count = node.integers("perm")?.count else { return false }
            return axis == -1 || axis == count - 1
        }

        /// Whether an axis that a node names is this one.
        func isNamed(_ name: Int?) -> Bool {
            guard let name else { return false }
            return name == axis || rank.map { name < 0 && name + $0 == axis } ?? false
        }
    }

    /// A part of a value's channels, or of its parts in their order.
    private struct Part {
        let value: Int
        let axis: Int
        let first: Int
        /// The place after the last one; nil for all that follow.
        let end: Int?
        /// The end of the last part; nil where it is not known.
        let whole: Int?

        /// Whether parts are of one value, do not overlap, and leave nothing out.
        static func areOneValue(_ parts: [Part]) -> Bool {
            let sorted = parts.sorted { $0.first < $1.first }
            guard let first = sorted.first, let last = sorted.last, first.first == 0 else { return false }
            return parts.allSatisfy { $0.value == first.value && $0.axis == first.axis }
                && last.end == last.whole ?? last.end
                && zip(sorted, sorted.dropFirst()).allSatisfy { $0.end == $1.first }
        }
    }

    /// The part that a convolution reads, perhaps padded.
    private func part(of convolution: Int) -> Part? {
        guard var value = topology.inputs[convolution].first ?? nil else { return nil }
        var channels = Channels(1)
        for _ in 0..<Self.longestWay {
            guard let place = topology.producers[value], let read = topology.inputs[place].first ?? nil else {
                return nil
            }
            let node = graph.nodes[place]
            switch node.operation {
            case "Split":
                guard channels.isNamed(node.integer("axis")),
                    let number = topology.outputs[place].firstIndex(of: value)
                else { return nil }
                let count = topology.outputs[place].count
                return Part(value: read, axis: channels.axis, first: number, end: number + 1, whole: count)
            case "Slice": return slice(place, of: read, channels)
            case "Transpose":
                guard channels.move(before: node) else { return nil }
                value = read
            case "Pad": value = read
            default:
                guard node.isAny(.keepsTensor) else { return nil }
                value = read
            }
        }
        return nil
    }

    private func slice(_ place: Int, of read: Int, _ channels: Channels) -> Part? {
        func list(_ name: String, _ number: Int) -> [Int]? { shapes.integers(of: place, name, input: number) }
        guard let start = list("starts", 1), let end = list("ends", 2), let axes = list("axes", 3),
            start.count == 1, end.count == 1, axes.count == 1, channels.isNamed(axes.first),
            list("steps", 4) ?? [1] == [1], start[0] >= 0, end[0] > start[0]
        else { return nil }
        let last = end[0] >= Int(Int32.max) ? nil : end[0]
        return Part(value: read, axis: channels.axis, first: start[0], end: last, whole: nil)
    }
}

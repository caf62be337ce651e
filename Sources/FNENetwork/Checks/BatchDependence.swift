/// Finds the operations that work across the images of a batch. Behind one of them, an image's row depends on its
/// neighbours. Batch normalization in training mode is the usual case: it normalizes by the mean and the variance of
/// the whole batch, in one operation or written out.
///
/// The shapes are followed for two batch sizes. The axis that grows with the batch is the one that the images lie
/// along. An operation works across images where it works along that axis, or where its output has no such axis any
/// more. So normalizations of each image by itself are told apart, whichever axes they use. Only tensors count that are
/// computed of the images' values, and of which the layers are computed.
///
/// Where the graph takes one batch size alone, the images are taken to lie along a first axis of that size. Of a tensor
/// of unknown shape, the first axis is taken for the images'. Other than that, what the check does not know, it lets
/// pass.
struct BatchDependence {
    /// How a tensor holds the images of a batch.
    private enum Images: Equatable {
        /// The tensor's shape is not known.
        case unknown
        /// One after the other along an axis of so many.
        case along(Int, rank: Int)
        /// In another way, or not as it seems.
        case otherwise
    }

    /// Two batch sizes. What a graph divides a batch by, such as 4, divides them.
    private static let batchSizes = [48, 96]

    private let graph: GraphDefinition
    private let topology: GraphTopology
    /// The batch sizes that the shapes are followed for.
    private let sizes: [Int]
    /// The outputs of each node, for each of these sizes.
    private let outputs: [[TensorShapes.Outputs]]

    /// The operations that work across images, in the order of the topology.
    ///
    /// - Parameters:
    ///   - needed: the nodes that run
    ///   - layers: the nodes whose outputs are the layers of the row
    ///   - input: the tensor that images are fed to
    ///   - image: its shape for one image
    ///   - batch: the only batch size that the graph takes; nil where it takes any
    /// - Throws: `.invalidGraph`, as `TensorShapes.check`.
    static func nodes(
        _ graph: GraphDefinition, _ topology: GraphTopology, needed: Set<Int>, layers: Set<Int>, input: TensorName,
        image: [Int], batch: Int?
    ) throws -> [Int] {
        guard batch != 1, let fed = graph.index[input.node] else { return [] }
        let sizes = batch.map { [$0] } ?? batchSizes
        let outputs = try sizes.map {
            try TensorShapes.outputs(graph, topology, needed: needed, input: input, image: [$0] + image.dropFirst())
        }
        let dependence = BatchDependence(graph: graph, topology: topology, sizes: sizes, outputs: outputs)
        let candidates = dependence.used(by: layers, of: fed).intersection(needed)
        var varies = [Bool](repeating: false, count: graph.nodes.count) // with the images' values
        varies[fed] = true
        var found: [Int] = []
        for number in topology.order where candidates.contains(number) && number != fed {
            guard !dependence.readsShapes(number) else { continue }
            varies[number] = topology.inputs[number].contains { varies[$0] }
            if varies[number], dependence.worksAcrossImages(number, varies) { found.append(number) }
        }
        return found
    }

    private func readsShapes(_ number: Int) -> Bool {
        ["Shape", "ShapeN", "Size", "Rank", "ZerosLike", "OnesLike"].contains(graph.nodes[number].operation)
    }

    /// The nodes whose values the layers are computed of, down to the one that is fed.
    private func used(by layers: Set<Int>, of fed: Int) -> Set<Int> {
        var found = layers
        var pending = Array(layers)
        while let number = pending.popLast() {
            guard number != fed, !readsShapes(number) else { continue }
            for input in topology.inputs[number] where found.insert(input).inserted { pending.append(input) }
        }
        return found
    }

    private func images(_ number: Int, _ input: GraphDefinition.Input) -> Images {
        let shapes = outputs.compactMap { $0[number][input].shape }
        guard shapes.count == sizes.count, let first = shapes.first, let last = shapes.last else { return .unknown }
        guard shapes.count > 1 else { return first.first == sizes[0] ? .along(0, rank: first.count) : .otherwise }
        guard first.count == last.count else { return .otherwise }
        let growing = first.indices.filter { first[$0] != last[$0] }
        // Along its axis, each image has the same number of places, whatever the batch size.
        guard growing.count == 1, let axis = growing.first, first[axis] % sizes[0] == 0, last[axis] % sizes[1] == 0,
            first[axis] / sizes[0] == last[axis] / sizes[1]
        else { return .otherwise }
        return .along(axis, rank: first.count)
    }

    private func worksAcrossImages(_ number: Int, _ varies: [Bool]) -> Bool {
        let node = graph.nodes[number]
        let read = zip(topology.inputs[number], node.dataInputs).map { varies[$0] ? images($0, $1) : nil }
        let result = images(number, GraphDefinition.Input(name: node.name, output: 0, isControl: false))
        let keepsImages = result != .otherwise || sizes.count == 1
        switch read.first ?? nil {
        case .along(let axis, let rank)? where axes(of: number, rank: rank).contains(axis): return true
        case .unknown? where axes(of: number, rank: nil).contains(0): return true
        default:
            return !keepsImages && read.contains { if case .along? = $0 { true } else { false } }
        }
    }

    /// The axes of its first input that an operation works along; empty where they are not known.
    ///
    /// - Parameter rank: the input's rank; nil where it is not known
    private func axes(of number: Int, rank: Int?) -> [Int] {
        let node = graph.nodes[number]
        switch node.operation {
        case _ where node.takesBatchStatistics:
            let channels = node.hasChannelsFirst ? 1 : (rank ?? 4) - 1
            return (0..<(rank ?? 4)).filter { $0 != channels }
        case "All", "Any", "ArgMax", "ArgMin", "Cumprod", "Cumsum", "Max", "Mean", "Min", "Prod", "ReverseV2", "Sum":
            return axes(in: 1, of: number, rank: rank)
        case "Roll": return axes(in: 2, of: number, rank: rank)
        case "LogSoftmax", "Softmax": return rank.map { [$0 - 1] } ?? []
        default: return []
        }
    }

    /// The axes that an input of a node names.
    private func axes(in input: Int, of number: Int, rank: Int?) -> [Int] {
        let inputs = graph.nodes[number].dataInputs
        guard input < inputs.count,
            let axes = outputs.first?[topology.inputs[number][input]][inputs[input]].values
        else { return [] }
        return axes.compactMap { axis in axis >= 0 ? axis : rank.map { axis + $0 } }
    }
}

extension GraphDefinition.Node {
    /// Whether the node is a batch normalization in training mode, which is TensorFlow's default.
    var takesBatchStatistics: Bool {
        ["FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"].contains(operation)
            && (!has("is_training") || flag("is_training"))
    }

    /// Whether the node works on [n, channels, height, width].
    var hasChannelsFirst: Bool { text("data_format")?.hasPrefix("NC") ?? false }
}

/// The operations of a network that work across the images of a batch, so that a row depends on its neighbours.
public struct BatchStatistics: Sendable {
    /// The name of the first one.
    public let node: String
    /// TensorFlow's operation that it is.
    public let operation: String
    /// The number of all.
    public let count: Int

    /// What users should know of it.
    package var sentence: String {
        let others = count == 1 ? "" : count == 2 ? " and 1 other operation" : " and \(count - 1) other operations"
        return "a row depends on the other images of its batch, because '\(node)' (\(operation))\(others) "
            + "\(count == 1 ? "works" : "work") across the images, as batch normalization does in training. Freeze the "
            + "network for inference, or set batch_size to 1"
    }
}

/// Tells which axis of a map has the channels. ONNX's convolutions have them on the second axis. Networks that were
/// converted from TensorFlow have Transposes in between.
struct ONNXLayout: Sendable {
    private let graph: ONNXDefinition.Graph
    private let topology: ONNXTopology
    /// The layers, by the values that are their outputs or their operators' own.
    private let layers: [Int: ONNXLayers.Layer]

    init(_ graph: ONNXDefinition.Graph, _ topology: ONNXTopology, _ found: [ONNXLayers.Layer]) {
        (self.graph, self.topology) = (graph, topology)
        var layers: [Int: ONNXLayers.Layer] = [:]
        for layer in found { layers[layer.output] = layer }
        self.layers = layers
    }

    /// The most nodes that are gone back over. A layer is near in every network that was seen.
    private static let longestWay = 256

    /// Whether the channels of a value are on its last axis. It is found at the layer before it, by way of nodes that
    /// keep the axes. Nil where that is not known, as after a Reshape.
    ///
    /// - Parameter imageIsLast: the same of the network's input; nil where that is not known
    func channelsLast(_ value: Int, imageIsLast: Bool? = nil) -> Bool? {
        var current = value
        var transposes: [[Int]?] = []
        for _ in 0..<Self.longestWay {
            if let layer = layers[current] { return Self.moved(layer.channelsLast, by: transposes) }
            guard let place = topology.producers[current] else {
                return topology.constants[current] == nil ? Self.moved(imageIsLast, by: transposes) : nil
            }
            let node = graph.nodes[place]
            if node.operation == "Transpose" {
                transposes.append(node.integers("perm"))
            } else if Self.changesAxes(node) {
                return nil
            }
            guard let next = topology.inputs[place].compactMap({ $0 }).first(where: { !topology.isConstant[$0] }) else {
                return nil
            }
            current = next
        }
        return nil
    }

    private static func changesAxes(_ node: ONNXDefinition.Node) -> Bool {
        if node.operation.hasPrefix("Reduce") { return node.integer("keepdims") == 0 }
        return node.isAny([.reshapes, .readsShape, .controlFlow])
            || ["Gather", "ArgMax", "ArgMin", "MatMul", "Einsum"].contains(node.operation)
    }

    private static func moved(_ last: Bool?, by transposes: [[Int]?]) -> Bool? {
        transposes.reversed().reduce(last) { last, order in
            last.flatMap { last in order.flatMap { moved(last, by: $0) } }
        }
    }

    /// Whether the channels are the last axis after a Transpose; nil where they are neither the last nor the second.
    ///
    /// - Parameter last: whether they are the last axis before it
    static func moved(_ last: Bool, by order: [Int]) -> Bool? {
        guard order.count >= 3 else { return nil }
        let channels = last ? order.count - 1 : 1
        if order.first != 0 { return nil }
        return order.last == channels ? true : order[1] == channels ? false : nil
    }

    /// The axes that a map's channels may be named by.
    ///
    /// - Parameter last: whether they are the last axis
    static func channelAxes(last: Bool) -> Set<Int> { last ? [3, -1] : [1, -3] }

    /// Whether axes are the height and the width of a map.
    static func areSides(_ axes: [Int], last: Bool) -> Bool {
        let wanted: Set<Set<Int>> = last ? [[1, 2], [-3, -2]] : [[2, 3], [-2, -1]]
        return axes.count == 2 && wanted.contains(Set(axes))
    }
}

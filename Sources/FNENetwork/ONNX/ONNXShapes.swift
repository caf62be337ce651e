/// The shapes of values, as far as layers need them: the weights' own, and what the file says of other values. Shapes
/// that only a run shows are nil.
struct ONNXShapes: Sendable {
    private let graph: ONNXDefinition.Graph
    private let topology: ONNXTopology
    /// What the file says, by the values' numbers.
    private let written: [Int: ONNXDefinition.Value]
    /// The shapes of constants, and of what is computed from these, by the values' numbers.
    private let constants: [Int: [Int]]
    private let lists: [Int: [Int]]

    init(_ graph: ONNXDefinition.Graph, _ topology: ONNXTopology) {
        self.graph = graph
        self.topology = topology
        var written: [Int: ONNXDefinition.Value] = [:]
        for value in graph.values + graph.outputs + graph.inputs {
            if let number = topology.number[value.name] { written[number] = value }
        }
        self.written = written
        lists = ONNXIntegers.known(graph, topology)
        constants = Self.constants(graph, topology, written, lists)
    }

    /// The type and shape that the file says.
    func written(_ value: Int) -> ONNXDefinition.Value? { written[value] }

    /// The shape of a constant, or of what is computed from constants alone. Nil where it is not known.
    func constant(_ value: Int) -> [Int]? { constants[value] }

    /// Finds the shapes of what nodes make of constants, in their order.
    private static func constants(
        _ graph: ONNXDefinition.Graph, _ topology: ONNXTopology, _ written: [Int: ONNXDefinition.Value],
        _ lists: [Int: [Int]]
    ) -> [Int: [Int]] {
        var shapes = topology.constants.mapValues(\.dimensions)
        for place in topology.order {
            guard let output = topology.outputs[place].first ?? nil, topology.isConstant[output], shapes[output] == nil
            else { continue }
            if let shape = written[output]?.shape, shape.allSatisfy({ $0 >= 0 }) {
                shapes[output] = shape
            } else {
                // No operator below reads more inputs than two.
                let inputs = topology.inputs[place].prefix(2).map { $0.flatMap { shapes[$0] } }
                let second = topology.inputs[place].dropFirst().first ?? nil
                shapes[output] = shape(graph.nodes[place], inputs, second.flatMap { lists[$0] })
            }
        }
        return shapes
    }

    /// The shape that a node makes of constants.
    ///
    /// - Parameters:
    ///   - inputs: the shapes of the first two inputs
    ///   - integers: the values of the second input, where they are a few integers
    private static func shape(_ node: ONNXDefinition.Node, _ inputs: [[Int]?], _ integers: [Int]?) -> [Int]? {
        guard let first = inputs.first ?? nil else { return nil }
        let second = inputs.dropFirst().first ?? nil
        switch node.operation {
        case "Transpose": return transposed(first, by: node.integers("perm"))
        case "Reshape": return integers.flatMap { reshaped(first, to: $0) }
        case "MatMul": return second.flatMap { $0.count == 2 ? first.dropLast() + $0.suffix(1) : nil }
        case _ where node.isAny([.keepsTensor, .normalizes]): return first
        case _ where node.isAny(.affine): return second.flatMap { broadcast(first, $0) }
        case _ where node.isAny(.valueByValue) && inputs.count == 1: return first
        default: return nil
        }
    }

    /// The number of elements of a constant, as `constant`. Changes of shape keep it.
    func constantCount(_ value: Int, depth: Int = 0) -> Int? {
        if let shape = constant(value) { return product(shape) }
        guard depth < 16, let place = topology.producers[value], graph.nodes[place].isAny(.reshapes),
            let first = topology.inputs[place].first ?? nil
        else { return nil }
        return constantCount(first, depth: depth + 1)
    }

    /// The integers of a small list that is computed from constants alone.
    func integers(_ value: Int) -> [Int]? { lists[value] }

    /// A list of integers that a node has as an attribute in older files, and as a constant input in newer ones.
    func integers(of place: Int, _ attribute: String, input: Int) -> [Int]? {
        let inputs = topology.inputs[place]
        return graph.nodes[place].integers(attribute)
            ?? (input < inputs.count ? inputs[input].flatMap { lists[$0] } : nil)
    }

    /// The constant that a value is, by way of nodes that pass it on.
    func small(_ value: Int) -> ONNXTensor? {
        var value = value
        for _ in 0..<16 {
            if let tensor = topology.constants[value] { return tensor }
            guard let place = topology.producers[value], ["Identity", "Cast"].contains(graph.nodes[place].operation),
                let next = topology.inputs[place].first ?? nil
            else { return nil }
            value = next
        }
        return nil
    }

    private static func transposed(_ shape: [Int], by order: [Int]?) -> [Int]? {
        guard let order else { return shape.reversed() }
        guard order.sorted() == Array(shape.indices) else { return nil }
        return order.map { shape[$0] }
    }

    /// The shape after a Reshape, in which -1 stands for what is left, and 0 for the size before.
    private static func reshaped(_ shape: [Int], to wanted: [Int]) -> [Int]? {
        let sizes = wanted.enumerated().map { $1 == 0 && $0 < shape.count ? shape[$0] : $1 }
        let (whole, known) = (product(shape), product(sizes.filter { $0 != -1 }))
        guard known > 0, sizes.allSatisfy({ $0 >= -1 }), sizes.count(where: { $0 == -1 }) <= 1 else { return nil }
        return sizes.map { $0 == -1 ? whole / known : $0 }
    }

    private static func broadcast(_ a: [Int], _ b: [Int]) -> [Int]? {
        let rank = max(a.count, b.count)
        let (a, b) = (Array(repeating: 1, count: rank - a.count) + a, Array(repeating: 1, count: rank - b.count) + b)
        guard zip(a, b).allSatisfy({ $0 == $1 || $0 == 1 || $1 == 1 }) else { return nil }
        return zip(a, b).map { $0 == 1 ? $1 : $0 }
    }
}

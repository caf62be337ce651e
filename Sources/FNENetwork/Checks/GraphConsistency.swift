import FNESupport

/// Checks what TensorFlow takes for granted about a graph. TensorFlow 2.21 ends the whole process over each of these
/// mistakes; damaged graphs showed which these are. Graphs that TensorFlow wrote have none of them. The checks are made
/// whatever the caller allows.
enum GraphConsistency {
    /// - Throws: `.invalidGraph`, with the name of the node.
    static func check(_ graph: GraphDefinition) throws {
        for node in graph.nodes { try check(node) { graph.index[$0.name].map { graph.nodes[$0] } } }
        for function in graph.functions {
            let byName = Dictionary(function.nodes.map { ($0.name, $0) }) { _, last in last }
            for node in function.nodes { try check(node) { byName[$0.source] } }
        }
    }

    private static func check(
        _ node: GraphDefinition.Node, source: (GraphDefinition.Input) -> GraphDefinition.Node?
    ) throws {
        func wrong(_ what: String) -> FNEError {
            FNEError(.invalidGraph, "node '\(node.name)' (\(node.operation)) \(what)")
        }
        func input(_ place: Int) -> GraphDefinition.Node? {
            node.inputs.indices.contains(place) ? source(node.inputs[place]) : nil
        }
        if node.has("_kernel") { throw wrong("has the attribute '_kernel', which is TensorFlow's own") }
        if node.operation == "Const", let value = node.constant("value"), let type = node.type("dtype"),
            value.type != type || type == .unknown
        {
            throw wrong("holds values of another type than it declares")
        }
        // TensorFlow takes memory for the declared number of inputs or outputs before it counts them.
        if let count = node.integer("N"), count < 0 || count > node.dataInputs.count {
            throw wrong("declares \(count) inputs, but has \(node.dataInputs.count)")
        }
        for name in ["num", "num_split", "num_partitions"] {
            if let count = node.integer(name), count < 0 || count > 1 << 16 {
                throw wrong("declares \(count) outputs; it may have 0 to 65536")
            }
        }
        if node.operation != "Merge", let loop = node.dataInputs.compactMap(source).first(where: endsRound) {
            throw wrong("reads '\(loop.name)' (\(loop.operation)), which ends a loop's round. A Merge alone may")
        }
        switch node.operation {
        case "Exit", "RefExit":
            // TensorFlow expects the Switch of a loop before the loop's end.
            guard input(0)?.operation == "Switch" else { throw wrong("ends a loop that the graph does not have") }
        case "Switch", "If", "StatelessIf":
            // TensorFlow's optimizer takes a constant by which a branch is chosen for one number.
            let place = node.operation == "Switch" ? 1 : 0
            if let type = node.type("Tcond"), !conditions.contains(type) {
                throw wrong("chooses a branch by a tensor of type \(type), of which TensorFlow makes no truth value")
            }
            if let shape = input(place)?.constant("value")?.shape, !shape.isEmpty {
                throw wrong("chooses a branch by a constant of \(shape.count) dimensions; it must have none")
            }
        case "SplitV":
            if let type = node.type("Tlen"), type != .int32, type != .int64 {
                throw wrong("takes its sizes from a tensor of type \(type); it must be int32 or int64")
            }
            if let shape = input(1)?.constant("value")?.shape, shape.count != 1 {
                throw wrong("takes its sizes from a tensor of \(shape.count) dimensions; it must have 1")
            }
        case "GatherV2":
            let rank = input(1)?.constant("value")?.shape?.count ?? 8
            if let dimensions = node.integer("batch_dims"), abs(clamped(dimensions)) > rank {
                throw wrong("has the attribute batch_dims \(dimensions), which is beyond the indices' dimensions")
            }
        default: break
        }
    }

    /// The types that TensorFlow makes a truth value of.
    private static let conditions: Set<DataType> = [
        .bool, .float32, .float64, .int8, .int16, .int32, .int64, .uint8, .string,
    ]

    private static func endsRound(_ node: GraphDefinition.Node) -> Bool { node.operation == "NextIteration" }

    /// The number, or the nearest one whose absolute value fits an Int.
    private static func clamped(_ number: Int) -> Int { max(number, -Int.max) }
}

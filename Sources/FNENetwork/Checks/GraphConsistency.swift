import FNESupport

/// What TensorFlow takes for granted of a graph, and ends the process over where it is not so (found by damaged graphs, on
/// TensorFlow 2.21). Graphs that TensorFlow wrote hold to all of it; checked whatever the caller allows.
enum GraphConsistency {
    static func check(_ graph: GraphDefinition) throws {
        for node in graph.nodes { try check(node) { graph.index[$0].map { graph.nodes[$0] } } }
        for (_, body) in Dictionary(grouping: graph.functionNodes, by: \.function) {
            var byName: [String: GraphDefinition.Node] = [:]
            for part in body { byName[part.node.name] = part.node }
            // In a function an input is "node:output:0".
            for part in body { try check(part.node) { byName[String($0.prefix { $0 != ":" })] } }
        }
    }

    private static func check(
        _ node: GraphDefinition.Node, source: (String) -> GraphDefinition.Node?
    ) throws {
        func wrong(_ what: String) -> FNEError { FNEError(.invalidGraph, "node '\(node.name)' (\(node.operation)) \(what)") }
        func input(_ place: Int) -> GraphDefinition.Node? {
            node.inputs.indices.contains(place) ? source(node.inputs[place].name) : nil
        }
        if node.has("_kernel") { throw wrong("has the attribute '_kernel', which TensorFlow keeps for itself") }
        if node.operation == "Const", let value = node.constant("value"), let type = node.type("dtype"),
            value.type != type || type == .unknown
        {
            throw wrong("holds values of another type than it says")
        }
        // TensorFlow makes room for so many inputs or outputs before it counts them.
        if let count = node.integer("N"), count < 0 || count > node.dataInputs.count {
            throw wrong("says that it has \(count) inputs, and has \(node.dataInputs.count)")
        }
        for name in ["num", "num_split"] {
            if let count = node.integer(name), count < 0 || count > 1 << 16 { throw wrong("has \(count) outputs") }
        }
        switch node.operation {
        case "Exit", "RefExit":
            // A loop's end that is outside of a loop.
            guard input(0)?.operation == "Switch" else { throw wrong("ends no loop") }
        case "SplitV":
            if let shape = input(1)?.constant("value")?.shape, shape.count != 1 {
                throw wrong("is given sizes of \(shape.count) dimensions instead of one")
            }
        case "GatherV2":
            let rank = input(1)?.constant("value")?.shape?.count ?? 8
            if let dimensions = node.integer("batch_dims"), abs(clamped(dimensions)) > rank {
                throw wrong("has the attribute batch_dims \(dimensions), beyond the indices' dimensions")
            }
        default: break
        }
    }

    /// A number whose absolute value exists.
    private static func clamped(_ number: Int) -> Int { max(number, -Int.max) }
}

import FNESupport

/// Refuses graphs that may do more than compute. A graph is a program that TensorFlow runs with the rights of the host
/// process. Only operations that compute tensors from tensors are allowed (`Operation.Traits.computes`). Operations
/// that read or write files, load libraries, call Python or other processes, open connections, keep state or make
/// threads are refused.
///
/// `docs/operations.md` has the reasons, by groups of operations.
enum GraphSafety {
    /// - Throws: `.invalidGraph` for a graph that is not frozen, and `.unsafeGraph` for any other operation that is not
    ///   allowed. The errors name node and operation.
    static func check(_ graph: GraphDefinition) throws {
        // Freezing is the way out also where such a graph has other operations that are not allowed.
        try checkFrozen(graph)
        // A node may call one of the graph's own functions, since their bodies are checked here as well. TensorFlow
        // refuses to import a function that has the name of one of TensorFlow's operations.
        let functions = Set(graph.functions.map(\.name))
        try forEachNode(graph) { node, function in
            guard node.isAny(.computes) || functions.contains(node.operation) else {
                throw FNEError(
                    .unsafeGraph,
                    describe(node, function) + ", which is not on the list of operations that only compute. " + wayOut)
            }
            // A place that the graph computes would then say how much memory is taken.
            if let attribute = growing.first(where: { mayHold($0, node) }) {
                throw FNEError(
                    .unsafeGraph,
                    describe(node, function) + " with '\(attribute)', so that it may grow without limit. " + wayOut)
            }
        }
    }

    /// Refuses a graph whose weights or inputs stand outside of it. It could not run, whatever the caller allows.
    ///
    /// - Throws: `.invalidGraph`, with the names of the node and the operation.
    static func checkFrozen(_ graph: GraphDefinition) throws {
        try forEachNode(graph) { node, function in
            guard node.isAny(.unfrozen) else { return }
            throw FNEError(
                .invalidGraph,
                "this graph is not frozen. \(describe(node, function)), which works with what stands outside of the "
                    + "graph. \(howToFreeze)")
        }
    }

    /// What to do about a graph that is not frozen.
    static let howToFreeze =
        "Freeze it, so that its weights become constants. In Python, fne.Model takes a SavedModel's folder and a Keras "
        + "model, and tf.compat.v1.graph_util.convert_variables_to_constants takes the session that has the weights"

    private static let wayOut = "If you trust the source of this graph, open it with allow_unsafe"

    /// The attributes by which lists of tensors grow with the places that are written.
    private static let growing = ["dynamic_size", "resize_if_index_out_of_bounds"]

    /// Whether the attribute is true, or is what a function's caller gives.
    private static func mayHold(_ attribute: String, _ node: GraphDefinition.Node) -> Bool {
        if case .placeholder? = node.attributes[attribute] { return true }
        return node.flag(attribute)
    }

    /// - Parameter body: takes a node, and the function that it stands in
    private static func forEachNode(
        _ graph: GraphDefinition, _ body: (GraphDefinition.Node, GraphDefinition.Function?) throws -> Void
    ) rethrows {
        for node in graph.nodes { try body(node, nil) }
        for function in graph.functions {
            for node in function.nodes { try body(node, function) }
        }
    }

    private static func describe(_ node: GraphDefinition.Node, _ function: GraphDefinition.Function?) -> String {
        "node '\(node.name)'" + (function.map { " of function '\($0.name)'" } ?? "") + " is a '\(node.operation)'"
    }
}

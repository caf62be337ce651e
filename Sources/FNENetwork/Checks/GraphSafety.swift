import FNESupport

/// A graph is a program that TensorFlow runs with the host's rights. Only operations that compute tensors from tensors
/// are let through (`Operation.Traits.computes`). What reads or writes files, loads libraries, calls Python or other processes, opens
/// connections, keeps state or makes threads is refused.
enum GraphSafety {
    static func check(_ graph: GraphDefinition) throws {
        // A node may call one of the graph's own functions, whose body is checked here as well. TensorFlow refuses to
        // import a function that is named like one of its operations.
        let functions = Set(graph.functionNodes.map(\.function))
        func isAllowed(_ node: GraphDefinition.Node) -> Bool {
            node.isAny(.computes) || functions.contains(node.operation)
        }
        for node in graph.nodes where !isAllowed(node) {
            throw FNEError(.unsafeGraph, message(node: "node '\(node.name)'", operation: node.operation))
        }
        for body in graph.functionNodes where !isAllowed(body.node) {
            throw FNEError(
                .unsafeGraph,
                message(node: "node '\(body.node.name)' of function '\(body.function)'", operation: body.node.operation))
        }
    }

    private static func message(node: String, operation: String) -> String {
        "\(node) is a '\(operation)', which is not on the list of operations that only compute; "
            + "if you trust where this graph comes from, open it with allow_unsafe"
    }
}

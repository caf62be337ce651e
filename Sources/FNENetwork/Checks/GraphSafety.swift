import FNESupport

/// Refuses graphs that may do more than compute. A graph is a program that TensorFlow runs with the rights of the host
/// process. Only operations that compute tensors from tensors are allowed (`Operation.Traits.computes`). Operations
/// that read or write files, load libraries, call Python or other processes, open connections, keep state or make
/// threads are refused.
enum GraphSafety {
    /// - Throws: `.unsafeGraph`, with the names of the node and the operation.
    static func check(_ graph: GraphDefinition) throws {
        // A node may call one of the graph's own functions, since their bodies are checked here as well. TensorFlow
        // refuses to import a function that has the name of one of TensorFlow's operations.
        let functions = Set(graph.functions.map(\.name))
        func isAllowed(_ node: GraphDefinition.Node) -> Bool {
            node.isAny(.computes) || functions.contains(node.operation)
        }
        for node in graph.nodes where !isAllowed(node) {
            throw FNEError(.unsafeGraph, message(node: "node '\(node.name)'", operation: node.operation))
        }
        for function in graph.functions {
            for node in function.nodes where !isAllowed(node) {
                throw FNEError(
                    .unsafeGraph,
                    message(node: "node '\(node.name)' of function '\(function.name)'", operation: node.operation))
            }
        }
    }

    private static func message(node: String, operation: String) -> String {
        "\(node) is a '\(operation)', which is not on the list of operations that only compute. "
            + "If you trust the source of this graph, open it with allow_unsafe"
    }
}

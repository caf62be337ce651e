import FNESupport

/// Refuses ONNX files with operators that libfne does not know to compute tensors from tensors only, before ONNX
/// Runtime sees the file. A file that was optimized for a runtime is refused too, since its operators hide layers.
enum ONNXSafety {
    /// The versions of ONNX's operators that are read. Those after the newest one may mean something else.
    static let opsets = 9...28

    /// - Throws: `.unsafeGraph` for an operator that is not allowed, and `.invalidGraph` for a file of another version.
    ///   The errors name node and operator.
    static func check(_ model: ONNXDefinition) throws {
        try checkVersions(model)
        try forEachNode(model.graph, check)
        for node in model.graph.nodes { for subgraph in node.subgraphs { try checkConstants(subgraph) } }
    }

    /// The constants of subgraphs must be in the file. The weights outside of it are handed to the runtime by name, and
    /// the names of a subgraph are its own.
    private static func checkConstants(_ graph: ONNXDefinition.Graph) throws {
        for constant in graph.constants + graph.nodes.compactMap(\.constant) {
            guard case .outside = constant.place else { continue }
            throw FNEError(
                .invalidGraph,
                "the constant '\(constant.name)' of a subgraph is in a file beside the model, which libfne does not "
                    + "read. Save the model as one file with onnx.save(onnx.load(path), other_path)")
        }
        for node in graph.nodes { for subgraph in node.subgraphs { try checkConstants(subgraph) } }
    }

    private static func checkVersions(_ model: ONNXDefinition) throws {
        guard let version = model.opsets[""] else {
            throw FNEError(.invalidGraph, "the ONNX model names no version of ONNX's operators. Export it again")
        }
        guard opsets.contains(version) else {
            throw FNEError(
                .invalidGraph,
                "the ONNX model uses version \(version) of ONNX's operators (its opset). libfne reads versions "
                    + "\(opsets.lowerBound) to \(opsets.upperBound). Export it with one of these, or convert it with "
                    + "onnx.version_converter.convert_version")
        }
    }

    /// Calls the body with each node, those of subgraphs included.
    static func forEachNode(
        _ graph: ONNXDefinition.Graph, _ body: (ONNXDefinition.Node) throws -> Void
    ) rethrows {
        for node in graph.nodes {
            try body(node)
            for subgraph in node.subgraphs { try forEachNode(subgraph, body) }
        }
    }

    private static func check(_ node: ONNXDefinition.Node) throws {
        if isOfRuntime(node.domain) {
            throw FNEError(
                .unsafeGraph,
                "\(node.title) stands for several operations, because the file was optimized for a runtime. That hides "
                    + "layers. Use the file as it was exported, before it was optimized")
        }
        guard let facts = node.facts else {
            throw FNEError(
                .unsafeGraph,
                "\(node.title) is not on the list of operators that libfne knows to compute only. Export the network "
                    + "with ONNX's own operators")
        }
        if let refusal = facts.refusal { throw FNEError(.unsafeGraph, "\(node.title) is not read. \(refusal)") }
        guard node.subgraphs.isEmpty || facts.isAny(.controlFlow) else {
            throw FNEError(.unsafeGraph, "\(node.title) has a subgraph, which such an operator has not")
        }
    }

    /// Whether operators of a domain are made by a runtime's optimizer.
    private static func isOfRuntime(_ domain: String) -> Bool {
        domain.utf8.starts(with: "com.microsoft".utf8) || domain.utf8.starts(with: "com.ms.".utf8)
            || domain == "trt.plugins"
    }
}

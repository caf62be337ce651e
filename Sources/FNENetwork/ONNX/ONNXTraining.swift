import FNESupport

/// Refuses networks that were exported as they are in training. Their rows would depend on chance, or on the other
/// images of a batch.
enum ONNXTraining {
    /// - Throws: `.invalidGraph`, with the name of the node.
    static func check(_ graph: ONNXDefinition.Graph, _ topology: ONNXTopology, _ shapes: ONNXShapes) throws {
        try ONNXSafety.forEachNode(graph) { node in
            guard node.isAny(.random) else { return }
            throw training(node, "makes random numbers, so that rows would differ from run to run")
        }
        for (place, node) in graph.nodes.enumerated() {
            let inputs = topology.inputs[place]
            if node.operation == "Dropout", inputs.count > 2, let mode = inputs[2], shapes.integers(mode) != [0] {
                throw training(node, "drops values by chance")
            }
            // Weights that are standardized by a normalization in this mode are constants.
            guard normalizesByBatch(node), let data = inputs.first ?? nil, !topology.isConstant[data] else { continue }
            throw training(node, "normalizes by the images of a batch, so that a row would depend on the others")
        }
    }

    /// Before version 14 of ONNX's operators, a batch normalization in training had five outputs.
    private static func normalizesByBatch(_ node: ONNXDefinition.Node) -> Bool {
        node.operation == "BatchNormalization" && (node.integer("training_mode") ?? 0 != 0 || node.outputs.count > 3)
    }

    private static func training(_ node: ONNXDefinition.Node, _ what: String) -> FNEError {
        FNEError(.invalidGraph, "\(node.title) \(what). Call the model's eval() before it is exported")
    }
}

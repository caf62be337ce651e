/// The layers of an ONNX network that cannot be taken, because they are inside of other operators.
enum ONNXHiddenLayers {
    /// A sentence for people; nil where there are none.
    static func note(_ graph: ONNXDefinition.Graph) -> String? {
        var inside = 0
        for node in graph.nodes {
            for subgraph in node.subgraphs {
                ONNXSafety.forEachNode(subgraph) { inside += $0.facts?.weights == nil ? 0 : 1 }
            }
        }
        let recurrent = graph.nodes.filter { ["LSTM", "GRU", "RNN"].contains($0.operation) }
        var parts: [String] = []
        if inside > 0 { parts.append("\(inside) of its layers are inside of conditions or loops") }
        if let first = recurrent.first {
            parts.append("\(recurrent.count) of its nodes are recurrent layers, such as \(first.title)")
        }
        return parts.isEmpty ? nil : parts.joined(separator: ", and ") + ". These are not among the layers"
    }
}

import CTensorFlow
import FNESupport

/// The graph that a session runs for rows: the imported network, the pooling of each layer, and the concatenation.
struct RowGraph {
    /// The tensor for the images, then those for the weights that are fed.
    let inputs: [TF_Output]
    /// In the order of the row's columns.
    let layers: [Layer]
    /// float32 [n, F].
    let output: TF_Output

    /// The prefix under which the model's graph is imported, as in the original function.
    static let prefix = "import"

    init(
        _ builder: GraphBuilder, _ model: Model, _ prepared: GraphPreparation, input inputName: TensorName,
        layers selected: [LayerSelection.Selected], shapes: [LayerShape], _ setup: TensorFlowEngine.Setup
    ) throws {
        inputs = try Self.imported(builder, prepared, input: inputName, setup)
        let input = inputs[0]
        var layers: [Layer] = []
        var parts: [TF_Output] = []
        for (number, (layer, shape)) in zip(selected, shapes).enumerated() {
            // With bfloat16 the rewritten graph has the bias folded already.
            let moved = setup.precision == .float32 ? MovedTap(layer.name, in: model, needed: prepared.needed) : nil
            let tap = (moved?.tensor ?? layer.name) == inputName ? input : nil
            let pooling = try Pooling(layer, shape, setup.tokens)
            let first = layers.last?.features.upperBound ?? 0
            guard pooling.featureCount <= Int(Int32.max) - first else {
                throw FNEError(.unsupportedTensor, "these layers have more features than \(Int32.max)")
            }
            parts.append(try Self.pooled(layer.name, pooling, number, moved, tap: tap, builder))
            layers.append(
                Layer(
                    name: layer.name.text, kind: layer.kind, rank: shape.rank,
                    features: first..<first + pooling.featureCount))
        }
        self.layers = layers
        output = try builder.concatenated(parts)
    }

    /// Imports a network, which then reads its images from a placeholder.
    ///
    /// - Returns: the placeholder, and then the tensors for the weights that are fed.
    static func imported(
        _ builder: GraphBuilder, _ prepared: GraphPreparation, input name: TensorName, _ setup: TensorFlowEngine.Setup
    ) throws -> [TF_Output] {
        let input = try builder.placeholder(
            "fne/input", shape: [Int64(setup.batch ?? -1), Int64(setup.height), Int64(setup.width), 3])
        try TensorFlowSession.importGraph(
            prepared.serialized, into: builder.graph, library: builder.library, prefix: prefix, mapping: (name, input))
        return try [input]
            + prepared.fed.map { try builder.output(TensorName(node: $0.node, output: 0), prefix: prefix) }
    }

    /// A layer of the row as [n, features].
    ///
    /// - Parameter tap: the tensor, where it is not one of the imported graph
    private static func pooled(
        _ name: TensorName, _ pooling: Pooling, _ number: Int, _ moved: MovedTap?, tap: TF_Output?,
        _ builder: GraphBuilder
    ) throws -> TF_Output {
        let tensor = try tap ?? builder.output(moved?.tensor ?? name, prefix: prefix)
        let pooled = try builder.pooled(tensor, pooling, number: number)
        guard let moved else { return pooled }
        return try builder.difference(
            pooled, builder.output(moved.bias, prefix: prefix), "fne/unbiased\(number)")
    }
}

import CTensorFlow
import FNESupport

/// The graph that computes rows: a network, the pooling of each selected layer, and their concatenation.
struct RowGraph {
    /// The layers in the order of the row's columns.
    let layers: [Layer]
    /// The tensor for the images, then those for the weights that are fed.
    let inputs: [TF_Output]
    /// The rows, float32 [n, features].
    let output: TF_Output

    init(
        _ builder: GraphBuilder, _ model: GraphDefNetwork, _ prepared: GraphPreparation, input: Model.Input,
        layers selected: [LayerSelection.Selected], shapes: [LayerShape], _ setup: TensorFlowEngine.Setup
    ) throws {
        let network = try ImportedNetwork(builder, model, prepared, input: input, setup)
        inputs = network.inputs
        var layers: [Layer] = []
        var parts: [TF_Output] = []
        for (number, (layer, shape)) in zip(selected, shapes).enumerated() {
            // With bfloat16 the rewritten graph has the bias folded already.
            let moved = setup.precision == .float32 ? MovedTap(layer.name, in: model, needed: prepared.needed) : nil
            let pooling = try Pooling(layer, shape, setup.tokens)
            let first = layers.last?.features.upperBound ?? 0
            guard pooling.featureCount <= Int(Int32.max) - first else {
                throw FNEError(.unsupportedTensor, "these layers have more features than \(Int32.max)")
            }
            parts.append(
                try prepared.means[layer.name].map(network.tensor)
                    ?? Self.pooled(layer.name, pooling, number, moved, of: network, builder))
            layers.append(
                Layer(
                    name: layer.name.text, kind: layer.kind, rank: shape.rank,
                    features: first..<first + pooling.featureCount))
        }
        self.layers = layers
        output = try builder.concatenated(parts)
    }

    /// A layer of the row as [n, features].
    private static func pooled(
        _ name: TensorName, _ pooling: Pooling, _ number: Int, _ moved: MovedTap?, of network: ImportedNetwork,
        _ builder: GraphBuilder
    ) throws -> TF_Output {
        let pooled = try builder.pooled(network.tensor(moved?.tensor ?? name), pooling, number: number)
        guard let moved else { return pooled }
        return try builder.difference(pooled, network.tensor(moved.bias), "fne/unbiased\(number)")
    }
}

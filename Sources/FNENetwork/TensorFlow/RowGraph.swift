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
    private static let prefix = "import"

    init(
        _ builder: GraphBuilder, _ model: Model, _ prepared: GraphPreparation, input: Model.Input,
        layers selected: [LayerSelection.Selected], _ setup: TensorFlowEngine.Setup
    ) throws {
        let sizes = [setup.batch ?? -1, setup.height, setup.width, setup.channels]
        let images = try builder.placeholder("fne/input", shape: sizes.map(Int64.init))
        let fed = try builder.cast(images, to: input.type, "fne/input/cast")
        let given = try model.perImage.sorted { $0.key < $1.key }.enumerated().map { place, value in
            (
                from: TensorName(node: value.key, output: 0),
                to: try builder.repeated(value.value, rowsOf: images, "fne/feed\(place)")
            )
        }
        try TensorFlowSession.importGraph(
            prepared.serialized, into: builder.graph, library: builder.library, prefix: Self.prefix,
            mappings: [(input.name, fed)] + given)
        inputs =
            try [images]
            + prepared.fed.map { try builder.output(TensorName(node: $0.node, output: 0), prefix: Self.prefix) }
        var layers: [Layer] = []
        var parts: [TF_Output] = []
        for (number, layer) in selected.enumerated() {
            // With bfloat16 the rewritten graph has the bias folded already.
            let moved = setup.precision == .float32 ? MovedTap(layer.name, in: model, needed: prepared.needed) : nil
            // A layer may be the input itself. Whole numbers are taken before the cast, which does not change them.
            let tap = (moved?.tensor ?? layer.name) == input.name ? (input.type.isReal ? fed : images) : nil
            let (pooled, rank, channels) = try Self.pooled(layer.name, number, moved, tap: tap, builder)
            let first = layers.last?.features.upperBound ?? 0
            guard channels <= Int(Int32.max) - first else {
                throw FNEError(.unsupportedTensor, "these layers have more features than \(Int32.max)")
            }
            parts.append(pooled)
            layers.append(
                Layer(name: layer.name.text, kind: layer.kind, rank: rank, features: first..<first + channels))
        }
        self.layers = layers
        output = try builder.concatenated(parts)
    }

    /// A layer of the row as [n, C].
    ///
    /// - Parameter tap: the tensor, where it is not one of the imported graph
    private static func pooled(
        _ name: TensorName, _ number: Int, _ moved: MovedTap?, tap: TF_Output?, _ builder: GraphBuilder
    ) throws -> (TF_Output, rank: Int, channels: Int) {
        let tensor = try tap ?? builder.output(moved?.tensor ?? name, prefix: prefix)
        let (pooled, rank, channels) = try builder.pooled(tensor, layer: name.text, number: number)
        guard let moved else { return (pooled, rank, channels) }
        let bias = try builder.output(moved.bias, prefix: prefix)
        return (try builder.difference(pooled, bias, "fne/unbiased\(number)"), rank, channels)
    }
}

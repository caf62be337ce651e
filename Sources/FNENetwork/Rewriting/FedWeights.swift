import FNESupport

/// Weights of a dense layer that are taken out of the graph and fed with each run, without a copy. Were they in the
/// graph, TensorFlow would copy them five times before the first row.
struct FedWeights {
    /// The name of the placeholder that stands for the weights in the graph.
    let node: String
    let type: DataType
    let shape: [Int]
    let values: Bytes

    /// Weights of at least so many bytes are fed: 4 MiB.
    static let threshold = 4 << 20

    /// The attributes of a placeholder for weights.
    static func placeholder(_ type: DataType, _ shape: [Int]) -> GraphEditor.Attributes {
        ["dtype": AttributeValue.type(type), "shape": AttributeValue.shape(shape)]
    }
}

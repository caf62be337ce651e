import FNESupport

/// Weights of a dense layer that leave the graph and are fed with each run, without a copy. Inside the graph TensorFlow
/// copies them five times before the first row.
struct FedWeights {
    /// The placeholder that stands for them.
    let node: String
    let type: DataType
    let shape: [Int]
    let values: Bytes

    /// Weights of at least so many bytes are fed.
    static let threshold = 4 << 20

    /// Attributes of the placeholder.
    static func placeholder(_ type: DataType, _ shape: [Int]) -> GraphEditor.Attributes {
        ["dtype": AttributeValue.type(type), "shape": AttributeValue.shape(shape)]
    }
}

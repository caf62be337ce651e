/// The type that the network computes in.
public enum Precision: Int32, Sendable {
    /// Everything is computed in the types that the graph names.
    case float32 = 0
    /// Convolutions and dense layers multiply bfloat16, the upper half of a float32, and sum float32.
    case bfloat16 = 1
}

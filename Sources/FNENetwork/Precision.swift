/// How the network computes.
public enum Precision: Int32, Sendable {
    case float32 = 0
    /// Convolutions and dense layers multiply bfloat16 and sum float32.
    case bfloat16 = 1
}

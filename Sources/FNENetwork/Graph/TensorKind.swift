/// The kinds of tensors. The numbers are those of `FNE_KIND_*` in `include/fne.h`.
public enum TensorKind: Int32, Sendable, CaseIterable {
    case other = 0
    case convolution = 1
    case depthwise = 2
    case dense = 3
    case input = 4

    /// The name in a job's manifest.
    package var name: String {
        switch self {
        case .other: "other"
        case .convolution: "convolution"
        case .depthwise: "depthwise"
        case .dense: "dense"
        case .input: "input"
        }
    }
}

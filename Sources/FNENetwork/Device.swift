import FNESupport

/// Where a network runs.
public enum Device: Equatable, Sendable {
    /// TensorFlow's choice: its first GPU, if it has one.
    case automatic
    case cpu
    case gpu(Int)

    /// "cpu", "gpu" or "gpu:1".
    ///
    /// - Throws: `.invalidArgument`.
    public init(_ text: String) throws {
        switch text {
        case "cpu": self = .cpu
        case "gpu": self = .gpu(0)
        default:
            guard text.hasPrefix("gpu:"), let number = Int(text.dropFirst(4)), number >= 0, number < 1_024 else {
                throw FNEError(.invalidArgument, "device is '\(text)'; it must be 'cpu', 'gpu' or 'gpu:' and a number")
            }
            self = .gpu(number)
        }
    }
}

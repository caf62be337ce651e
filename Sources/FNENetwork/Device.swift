import FNESupport

/// The device that a network runs on.
public enum Device: Equatable, Sendable {
    /// TensorFlow chooses. It takes its first GPU, if it has one.
    case automatic
    /// The processor, even where TensorFlow has a GPU.
    case cpu
    /// The GPU of this number, counted from 0.
    case gpu(Int)

    /// The device that a text names, which is "cpu", "gpu" (the GPU 0) or, for example, "gpu:1".
    ///
    /// - Throws: `.invalidArgument` for any other text.
    public init(_ text: String) throws {
        switch text {
        case "cpu": self = .cpu
        case "gpu": self = .gpu(0)
        default:
            guard text.hasPrefix("gpu:"), let number = Int(text.dropFirst(4)), number >= 0, number < 1_024 else {
                throw FNEError(.invalidArgument, "device is '\(text)'; it must be 'cpu', 'gpu', or 'gpu:' and a number")
            }
            self = .gpu(number)
        }
    }
}

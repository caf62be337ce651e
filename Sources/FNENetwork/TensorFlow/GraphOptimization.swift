/// The passes that TensorFlow's graph optimizer makes before the first run of a session.
enum GraphOptimization {
    /// None.
    case none
    /// Those that make a network faster on a processor, in one round. By default TensorFlow makes some 20, in two
    /// rounds. That takes more than half of the first run. A graph of libfne's has no functions, and hardly a node that
    /// nothing needs. So most of these passes find nothing.
    case chosenPasses
    /// TensorFlow's own choice, which is for GPUs too: layouts, and copies between devices.
    case allPasses

    /// Names of TensorFlow's. Constants are folded again after the nodes between them are gone, since a normalization
    /// goes into the weights of its convolution only then. `remap` fuses convolution, bias and activation.
    private static let passes = ["constfold", "dependency", "constfold", "remap"]

    /// Writes the fields of TensorFlow's RewriterConfig (tensorflow/core/protobuf/rewriter_config.proto).
    func write(to writer: inout ProtobufWriter) {
        switch self {
        case .none: writer.number(19, 1) // disable_meta_optimizer
        case .chosenPasses:
            writer.number(12, 1) // meta_optimizer_iterations, ONE
            writer.number(32, 1) // disable_tfg_optimizer, which works on functions
            for name in Self.passes { writer.text(100, name) } // optimizers
        case .allPasses: break
        }
    }
}

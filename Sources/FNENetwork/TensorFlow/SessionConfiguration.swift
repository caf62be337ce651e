/// The options of a TensorFlow session. They are TensorFlow's ConfigProto (tensorflow/core/protobuf/config.proto),
/// which is written here field by field, because the C API takes it only in serialized form.
struct SessionConfiguration {
    /// Threads per operation. They belong to a pool that all sessions of the process share. The first session decides
    /// its size.
    var threads: Int
    /// What TensorFlow does to the graph before the first run. Each pass copies the graph and its weights.
    var optimization = GraphOptimization.chosenPasses
    /// The device that computes.
    var device = Device.automatic
    /// Whether a GPU's memory is taken as it is needed, instead of nearly all of it at once.
    var growsGPUMemory = false

    /// The ConfigProto.
    var serialized: [UInt8] {
        var writer = ProtobufWriter()
        if device == .cpu {
            writer.message(1) { // device_count, a map
                $0.text(1, "GPU")
                $0.number(2, 0)
            }
        }
        writer.number(2, threads) // intra_op_parallelism_threads
        writer.number(5, -1) // inter_op_parallelism_threads; -1 lets a run's operations run on the thread that called
        if growsGPUMemory || isGPUChosen {
            writer.message(6) { // gpu_options
                if growsGPUMemory { $0.number(4, 1) } // allow_growth
                if case .gpu(let number) = device { $0.text(5, String(number)) } // visible_device_list
            }
        }
        writer.number(7, 1) // allow_soft_placement; a graph that names a GPU also runs without one
        writer.message(10) { // graph_options
            $0.message(10) { optimization.write(to: &$0) } // rewrite_options
        }
        return writer.bytes
    }

    private var isGPUChosen: Bool { if case .gpu = device { true } else { false } }
}

import FNESupport

extension OnnxRuntimeEngine {
    /// Rows per run of the network. On one thread a small batch stays in the caches (docs/architecture.md).
    private static let batchSize = 2

    /// Loads ONNX Runtime if it is not loaded, makes the choices that the options leave open, and opens an engine.
    ///
    /// - Parameter session: a session that is open on the network already; nil: one is opened
    /// - Throws: `.invalidArgument` for an option that ONNX Runtime cannot follow; as `OnnxRuntimeLibrary.load`;
    ///   `.backendError`, `.outOfMemory`.
    static func open(
        _ network: OnnxRuntimeNetwork, _ options: EngineOptions, session: OnnxRuntimeSession? = nil
    ) throws -> PreparedNetwork {
        try check(options)
        let library = try OnnxRuntimeLibrary.load()
        var arithmetic = Arithmetic()
        arithmetic.engineThreads = options.threads
        // A network that takes one image at a time does so whatever is asked for. The log has a warning.
        let byGoal = options.goal == .latency ? EngineDefaults.latencyBatchSize : Self.batchSize
        let batchSize = network.batch ?? options.batchSize ?? byGoal
        var network = network
        if options.padsBatches { network.batch = batchSize }
        return PreparedNetwork(
            engine: try OnnxRuntimeEngine(library, network, OnnxRuntimeSession.Threading(options), session: session),
            layers: network.layers, arithmetic: arithmetic, batchSize: batchSize,
            streams: options.streams(engineThreads: arithmetic.engineThreads))
    }

    /// - Throws: `.invalidArgument` for an option that ONNX Runtime cannot follow.
    static func check(_ options: EngineOptions) throws {
        func refuse(_ option: String, _ wayOut: String) throws {
            throw FNEError(.invalidArgument, "\(option), which networks on ONNX Runtime do not have. \(wayOut)")
        }
        if options.precision == .bfloat16 { try refuse("precision is bfloat16", "Use float32") }
        if options.float32Layers != nil { try refuse("float32_layers is set", "Leave it out") }
        if case .gpu(let number) = options.device { try refuse("device is 'gpu:\(number)'", "Use 'cpu'") }
        if options.growsGPUMemory { try refuse("gpu_memory_growth is set", "Leave it out") }
    }
}

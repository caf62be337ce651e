import CKernels

/// How a network is run. Nil leaves a choice to the engine.
package struct EngineOptions: Sendable {
    /// Rows per run of the network.
    package var batchSize: Int?
    /// Whether all batches that the network sees have the same size.
    package var padsBatches = false
    /// Batches that are in the network at once.
    package var streams: Int?
    /// Threads per operation of the network.
    package var engineThreads: Int?
    /// What the choices that are left to the engine are made for.
    package var goal = Goal.throughput
    /// The device that computes.
    package var device = Device.automatic
    /// Whether a GPU's memory is taken as it is needed, instead of nearly all of it at once.
    package var growsGPUMemory = false
    /// The type that layers multiply in.
    package var precision = Precision.float32
    /// With bfloat16, how many first layers stay float32.
    package var float32Layers: Int?
    /// What is taken of layers of tokens.
    package var tokens = Tokens()

    /// All choices are left to the engine, in float32.
    package init() {}

    /// Threads per operation: those asked for, or the goal's.
    var threads: Int { engineThreads ?? EngineDefaults.engineThreads(goal) }

    /// Batches that are in a CPU at once: those asked for, or the goal's.
    ///
    /// - Parameter engineThreads: the threads per operation that there are
    func streams(engineThreads: Int) -> Int {
        streams ?? (goal == .latency ? 1 : EngineDefaults.streams(engineThreads: engineThreads))
    }
}

/// The choices of an engine where the user makes none.
package enum EngineDefaults {
    /// Rows per run of the network on a CPU.
    package static let batchSize = 4
    /// Rows per run of a network with few weights and a large map. Two such maps stay in the cache, where four would
    /// go to memory.
    static let largeMapBatchSize = 2
    /// From this number of bytes per image on, a map is large.
    static let largeMap = 4 << 20
    /// Up to this number of bytes, a graph has few weights. More must be read by many rows at once.
    static let fewWeights = 32 << 20
    /// Rows per run of the network on a GPU.
    static let gpuBatchSize = 32
    /// Batches that are in a GPU at once.
    static let gpuStreams = 2
    /// With bfloat16, how many first layers stay float32.
    static let float32Layers = 2

    /// Rows per run where one image is to be fast.
    static let latencyBatchSize = 1
    /// The most threads that an operation gets by default. On two cores, more than two could not be tried. A frame's
    /// operations take microseconds, so that many threads would wait for each other.
    private static let latencyThreads = 16

    /// Threads per operation on a CPU.
    static func engineThreads(_ goal: Goal) -> Int {
        goal == .latency ? min(max(Int(ck_processor_count()), 1), latencyThreads) : 1
    }

    /// Batches that are in a CPU at once: as many as there are threads for, at most 64. Several runs on one thread each
    /// are faster than one run on all threads, because no operation waits for its slowest part, and a small batch stays
    /// in the caches.
    static func streams(engineThreads: Int) -> Int {
        min(max(Int(ck_processor_count()) / max(engineThreads, 1), 1), 64)
    }
}

/// A network that is ready to run, with the choices that were made for it.
package struct PreparedNetwork {
    /// What runs the network.
    package let engine: any Engine
    /// The selected layers, in the order of the row's columns.
    package let layers: [Layer]
    /// The choices that results depend on.
    package let arithmetic: Arithmetic
    /// Rows per run of the network.
    package let batchSize: Int
    /// Batches that are in the network at once.
    package let streams: Int
    /// What makes a row depend on the other images of its batch; nil where nothing does.
    package internal(set) var batchStatistics: BatchStatistics?
}

/// Chooses and opens the engine that runs a model.
package enum EngineFactory {
    /// Opens the engine for a model, and loads the engine's library if it is not loaded.
    ///
    /// - Parameters:
    ///   - input: the tensor that images are fed to
    ///   - selected: the tensors of the row, in the order of its columns
    ///   - height, width: the size of the network's input in pixels
    ///   - channels: the numbers per pixel, 1 or 3
    /// - Throws: `.unknownTensor`, `.unsupportedTensor`, `.invalidArgument`, `.invalidGraph`, `.unsafeGraph`,
    ///   `.backendUnavailable`, `.backendConflict`, `.backendError`, `.forked`.
    package static func open(
        _ model: Model, input: Model.Input, layers selected: [LayerSelection.Selected], height: Int, width: Int,
        channels: Int, _ options: EngineOptions
    ) throws -> PreparedNetwork {
        try model.network.open(
            input: input, layers: selected, height: height, width: width, channels: channels, options)
    }
}

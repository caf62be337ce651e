import CKernels

/// How a network is to be run; nil leaves the choice to the engine.
package struct EngineOptions: Sendable {
    package var batchSize: Int?
    /// The network always sees batches of the same size.
    package var padsBatches = false
    package var streams: Int?
    package var engineThreads: Int?
    package var device = Device.automatic
    package var growsGPUMemory = false
    package var precision = Precision.float32
    package var float32Layers: Int?

    package init() {}
}

/// What an engine chooses where a user does not.
package enum EngineDefaults {
    /// Rows per run of the network, on a CPU and on a GPU.
    package static let batchSize = 4
    static let gpuBatchSize = 32
    /// Batches that are in a GPU at once.
    static let gpuStreams = 2
    /// With bfloat16, how many first layers stay float32.
    static let float32Layers = 2

    /// Runs beside each other on one thread each are faster than one run on all threads: no operation waits for its
    /// slowest part, and a small batch stays in the caches.
    static func streams(engineThreads: Int) -> Int {
        min(max(Int(ck_processor_count()) / max(engineThreads, 1), 1), 64)
    }
}

/// A network that is ready to run, with what was chosen for it.
package struct PreparedNetwork {
    package let engine: any Engine
    /// In the order of the row's columns.
    package let layers: [Layer]
    package let arithmetic: Arithmetic
    /// Rows per run of the network.
    package let batchSize: Int
    /// Batches that are in the network at once.
    package let streams: Int
}

/// Chooses and opens the engine that runs a model.
package enum EngineFactory {
    /// - Parameters:
    ///   - selected: the tensors of the row
    ///   - size: of the network's input
    /// - Throws: `.unknownTensor`, `.unsupportedTensor`, `.invalidArgument`, `.backendUnavailable`, `.backendError`.
    package static func open(
        _ model: Model, input: Model.Input, layers selected: [LayerSelection.Selected], height: Int, width: Int,
        _ options: EngineOptions
    ) throws -> PreparedNetwork {
        try model.checkLayout()
        return try TensorFlowEngine.open(
            model, input: input, layers: selected, height: height, width: width, options)
    }
}

/// The engine's library, which is loaded at run time and once in a process.
public enum Backend {
    /// The version, and the file that it was loaded from.
    public struct Info: Sendable {
        /// Such as "2.21.0".
        public let version: String
        public let path: String
    }

    /// Loads TensorFlow, or keeps the copy that is loaded.
    ///
    /// - Parameter path: a library file or a folder that holds one; nil searches `FNE_TENSORFLOW`, a copy in the process,
    ///   and the system's library path.
    /// - Throws: `.backendUnavailable` with what was tried; `.backendConflict` when another copy is in the process.
    public static func load(path: String? = nil) throws { try TensorFlowLibrary.load(path: path) }

    /// What is loaded, if anything is.
    public static var loaded: Info? { TensorFlowLibrary.current.map { Info(version: $0.version, path: $0.path) } }
}

import CKernels
import FNESupport

extension TensorFlowEngine {
    /// Loads TensorFlow if it is not loaded, makes the choices that the options leave open, and opens an engine.
    static func open(
        _ model: GraphDefNetwork, input: Model.Input, layers selected: [LayerSelection.Selected],
        shapes: [LayerShape?], graphShapes: KnownShapes, height: Int, width: Int, channels: Int,
        _ options: EngineOptions
    ) throws -> PreparedNetwork {
        let library = try TensorFlowLibrary.load()
        let threads = library.operationThreads(asked: options.threads)
        if threads != options.threads { warn(of: threads, options) }
        let session = SessionConfiguration(
            threads: threads, device: options.device, growsGPUMemory: options.growsGPUMemory)
        let runsOnGPU = try usesGPU(library, session)
        if !runsOnGPU { try check(options.precision) }
        func batchSize(_ shapes: [LayerShape?]) -> Int {
            options.batchSize ?? input.batch ?? defaultBatchSize(model, shapes, options, runsOnGPU: runsOnGPU)
        }
        let padded = options.padsBatches ? batchSize(shapes) : nil
        var arithmetic = Arithmetic()
        arithmetic.precision = options.precision
        arithmetic.float32Layers = options.float32Layers ?? EngineDefaults.float32Layers
        arithmetic.engineThreads = threads
        let setup = Setup(
            batch: padded ?? input.batch, height: height, width: width, channels: channels,
            session: session, runsOnGPU: runsOnGPU, precision: arithmetic.precision,
            float32Layers: arithmetic.float32Layers, tokens: options.tokens)
        let engine = try TensorFlowEngine(
            library, model: model, input: input, layers: selected,
            shapes: RowsProof.shapes(library, model, input: input, layers: selected, known: shapes, setup),
            graphShapes: graphShapes, setup)
        return PreparedNetwork(
            engine: engine, layers: engine.layers, arithmetic: arithmetic,
            batchSize: padded ?? batchSize(keptShapes(of: selected, shapes, without: engine.layersInBlocks)),
            streams: runsOnGPU && options.goal == .throughput
                ? options.streams ?? EngineDefaults.gpuStreams : options.streams(engineThreads: threads))
    }

    /// The shapes of the layers whose maps are kept.
    private static func keptShapes(
        of selected: [LayerSelection.Selected], _ shapes: [LayerShape?], without inner: Set<TensorName>
    ) -> [LayerShape?] {
        zip(selected, shapes).filter { !inner.contains($0.0.name) }.map(\.1)
    }

    private static func defaultBatchSize(
        _ model: GraphDefNetwork, _ shapes: [LayerShape?], _ options: EngineOptions, runsOnGPU: Bool
    ) -> Int {
        if options.goal == .latency { return EngineDefaults.latencyBatchSize }
        if runsOnGPU { return EngineDefaults.gpuBatchSize }
        let largest = shapes.compactMap { $0.map { product($0.dimensions) } }.max() ?? 0
        return options.precision == .float32
            && saturating(largest, MemoryLayout<Float>.size) >= EngineDefaults.largeMap
            && model.serialized.count <= EngineDefaults.fewWeights
            ? EngineDefaults.largeMapBatchSize : EngineDefaults.batchSize
    }

    /// Tells that the process has another number of threads per operation than the options want.
    private static func warn(of threads: Int, _ options: EngineOptions) {
        let made = "but the first extractor of the process has made it \(threads)"
        if options.engineThreads != nil {
            Log.write(.warning, "engine_threads is \(options.threads), \(made)")
        } else if options.goal == .latency {
            Log.write(
                .warning,
                "goal is latency, for which engine_threads would be \(options.threads), \(made). Open the extractor of "
                    + "this goal first, or open all extractors of the process with this engine_threads")
        }
    }

    private static func usesGPU(_ library: TensorFlowLibrary, _ session: SessionConfiguration) throws -> Bool {
        guard session.device != .cpu else { return false }
        let hasGPU = try TensorFlowSession(library, session) { _ in }.deviceTypes().contains("GPU")
        if case .gpu(let number) = session.device, !hasGPU {
            throw FNEError(
                .invalidArgument, "device is 'gpu:\(number)', but TensorFlow \(library.version) has no such GPU here")
        }
        return hasGPU
    }

    private static func check(_ precision: Precision) throws {
        guard precision == .bfloat16 else { return }
        switch ck_bfloat16_support() {
        case 0:
            throw FNEError(
                .invalidArgument,
                "precision is bfloat16, which TensorFlow computes on processors with AVX-512 only. Use float32")
        case 1: Log.write(.info, "the processor has no instructions for bfloat16, so float32 may be faster")
        default: break
        }
    }
}

import CKernels
import CTensorFlow
import FNESupport
import Glibc

/// A model's graph in a TensorFlow session. The pooling of each layer and the concatenation are added to the graph. So
/// one run per batch gives one float32 [n, F] matrix, and no activation map leaves TensorFlow.
final class TensorFlowEngine: Engine, @unchecked Sendable {
    let layers: [Layer]
    let featureCount: Int
    let layout = ImageLayout.channelsLast
    /// The layers that blocks of convolutions average. Only the maps that a block ends with are kept.
    let layersInBlocks: Set<TensorName>

    private let library: TensorFlowLibrary
    private let session: FedSession
    private let output: TF_Output
    /// The only batch size that the graph takes; nil where it takes any.
    private let fixedBatch: Int?
    private let height: Int
    private let width: Int
    private let channels: Int
    private let runsOnGPU: Bool

    /// TensorFlow does not optimize graphs of more bytes than this, because it would copy them several times.
    private static let largeGraph = 256 << 20

    /// The choices that were made for the network.
    struct Setup {
        var batch: Int?
        var height: Int
        var width: Int
        var channels: Int
        var session = SessionConfiguration(threads: 1)
        /// On a GPU, libfne uses neither its own operations nor weights that are fed. Both are for CPUs.
        var runsOnGPU = false
        var precision = Precision.float32
        /// With bfloat16, how many layers from the first on stay float32.
        var float32Layers = 0
        /// What is taken of layers of tokens.
        var tokens = Tokens()

        /// The most threads per operation with which blocks of convolutions are one operation. It runs on one of them.
        /// With two, TensorFlow's operations take longer than that.
        private static let blockThreads = 2

        /// Whether blocks of convolutions are one operation.
        var makesBlocks: Bool {
            session.threads <= Self.blockThreads && precision == .float32 && ck_has_blocks() != 0
        }
    }

    /// - Parameters:
    ///   - shapes: those of the layers
    ///   - graphShapes: those of the tensors of the graph
    init(
        _ library: TensorFlowLibrary, model: GraphDefNetwork, input: Model.Input,
        layers selected: [LayerSelection.Selected], shapes: [LayerShape], graphShapes: KnownShapes, _ setup: Setup
    ) throws {
        let usesOwnOperations = library.hasOwnOperations && !setup.runsOnGPU
        let prepared = try GraphPreparation(
            model, input: input.name, taps: selected.map(\.name), precision: setup.precision,
            float32Layers: setup.float32Layers,
            for: GraphPreparation.Target(
                hasOwnOperations: usesOwnOperations,
                blocks: usesOwnOperations && setup.makesBlocks
                    ? .init(averaged: Self.averaged(selected, shapes), shapes: graphShapes) : nil,
                takesFedWeights: !setup.runsOnGPU,
                constants: TensorFlowConstants(library: library, threads: setup.session.threads)))
        var configuration = setup.session
        if setup.runsOnGPU { configuration.optimization = .allPasses }
        if prepared.serialized.count > Self.largeGraph { configuration.optimization = .none }
        var built: RowGraph?
        let session = try TensorFlowSession(library, configuration) { graph in
            let builder = GraphBuilder(
                library: library, graph: graph, usesOwnOperations: usesOwnOperations)
            built = try RowGraph(builder, model, prepared, input: input, layers: selected, shapes: shapes, setup)
        }
        guard let built else { throw FNEError(.internalError, "the session has no graph") }
        self.session = try FedSession(library, session, inputs: built.inputs, prepared.fed, setup)
        layers = built.layers
        layersInBlocks = Set(prepared.means.keys)
        output = built.output
        featureCount = layers.last?.features.upperBound ?? 0
        self.library = library
        fixedBatch = setup.batch
        height = setup.height
        runsOnGPU = setup.runsOnGPU
        width = setup.width
        channels = setup.channels
    }

    /// The layers that are averaged over height and width alone.
    private static func averaged(_ selected: [LayerSelection.Selected], _ shapes: [LayerShape]) -> Set<TensorName> {
        Set(zip(selected, shapes).filter { $0.kind != .dense && $1.rank == 4 && $1.rows == 1 }.map(\.0.name))
    }

    var facts: [JSON.Member] {
        func variable(_ name: String) -> JSON.Member {
            JSON.Member(name: name, value: getenv(name).map { .text(String(cString: $0)) } ?? .null)
        }
        return [
            JSON.Member(name: "tensorflow", value: .text(library.version)),
            JSON.Member(name: "device", value: .text(runsOnGPU ? "gpu" : "cpu")),
            JSON.Member(name: "processor", value: .text(String(cString: ck_processor_features()))),
            variable("TF_ENABLE_ONEDNN_OPTS"), variable("ONEDNN_MAX_CPU_ISA"),
        ]
    }

    func run(_ values: UnsafeMutablePointer<Float>, count: Int, to rows: UnsafeMutablePointer<Float>) throws {
        guard let fixedBatch, count != fixedBatch else { return try run(values, count, firstRows: count, to: rows) }
        let imageSize = height * width * channels
        let padded = try Bytes(zeros: fixedBatch * imageSize * MemoryLayout<Float>.size)
        try padded.withNumbers(of: Float.self) { full in
            full.update(from: values, count: count * imageSize)
            try run(full, fixedBatch, firstRows: count, to: rows)
        }
    }

    private func run(
        _ values: UnsafeMutablePointer<Float>, _ count: Int, firstRows: Int, to rows: UnsafeMutablePointer<Float>
    ) throws {
        let api = library.api
        try session.run(values, count, fetching: [output]) { results in
            guard let result = results.first, api.NumDims(result) == 2, api.TensorType(result) == CTF_FLOAT,
                api.Dim(result, 1) == Int64(featureCount), let features = api.TensorData(result)
            else {
                throw FNEError(
                    .backendError, "TensorFlow returned no float32 matrix of \(featureCount) columns")
            }
            guard api.Dim(result, 0) == Int64(count) else {
                throw FNEError(
                    .unsupportedTensor,
                    "\(count) images gave \(api.Dim(result, 0)) rows; a layer's first dimension must be the images'")
            }
            memcpy(rows, features, firstRows * featureCount * MemoryLayout<Float>.size)
        }
    }
}

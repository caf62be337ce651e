import CTensorFlow
import Glibc

/// A model's graph in a TensorFlow session, with the pooling of each layer and the concatenation added to it: one run
/// for a batch gives one float32 [n, F] matrix, and no activation map leaves TensorFlow.
final class TensorFlowEngine: Engine, @unchecked Sendable {
    /// A layer of the row.
    struct Layer {
        let name: String
        let kind: TensorKind
        let rank: Int
        let features: Range<Int>
    }

    let layers: [Layer]
    let featureCount: Int

    private let library: TensorFlowLibrary
    private let graph: OpaquePointer
    private let session: OpaquePointer
    private let input: TF_Output
    private let output: TF_Output
    /// The only batch size that the graph takes, if it fixes one.
    private let fixedBatch: Int?
    private let height: Int
    private let width: Int

    /// The prefix under which the model's graph is imported, as in the original function.
    private static let prefix = "import"

    init(
        _ library: TensorFlowLibrary, model: Model, input inputName: TensorName,
        layers selected: [LayerSelection.Selected], batch: Int?, height: Int, width: Int, threads: Int
    ) throws {
        guard let graph = library.api.NewGraph() else { throw FNEError(.outOfMemory, "TensorFlow gave no graph") }
        var keep = false
        defer { if !keep { library.api.DeleteGraph(graph) } }

        var builder = GraphBuilder(library: library, graph: graph)
        input = try builder.placeholder("fne/input", shape: [Int64(batch ?? -1), Int64(height), Int64(width), 3])
        try Self.importGraph(model, into: graph, library: library, mapping: inputName, to: input)

        var layers: [Layer] = []
        var parts: [TF_Output] = []
        var first = 0
        for (number, layer) in selected.enumerated() {
            let tap = layer.name == inputName ? input : try builder.output(layer.name, prefix: Self.prefix)
            let (pooled, rank, channels) = try builder.pooled(tap, layer: layer.name.text, number: number)
            parts.append(pooled)
            layers.append(
                Layer(name: layer.name.text, kind: layer.kind, rank: rank, features: first..<first + channels))
            first += channels
            guard first <= Int(Int32.max) else {
                throw FNEError(.unsupportedTensor, "these layers have more features than \(Int32.max)")
            }
        }
        output = try builder.concatenated(parts)
        self.layers = layers
        featureCount = first

        session = try Self.openSession(graph, library: library, threads: threads)
        self.library = library
        self.graph = graph
        fixedBatch = batch
        self.height = height
        self.width = width
        keep = true
    }

    deinit {
        if let status = library.api.NewStatus() {
            library.api.CloseSession(session, status)
            library.api.DeleteSession(session, status)
            library.api.DeleteStatus(status)
        }
        library.api.DeleteGraph(graph)
    }

    private static func importGraph(
        _ model: Model, into graph: OpaquePointer, library: TensorFlowLibrary, mapping from: TensorName,
        to input: TF_Output
    ) throws {
        guard let options = library.api.NewImportGraphDefOptions() else {
            throw FNEError(.outOfMemory, "TensorFlow gave no import options")
        }
        defer { library.api.DeleteImportGraphDefOptions(options) }
        library.api.ImportGraphDefOptionsSetPrefix(options, prefix)
        guard let output = Int32(exactly: from.output) else {
            throw FNEError(.unknownTensor, "the graph has no tensor '\(from.text)'")
        }
        library.api.ImportGraphDefOptionsAddInputMapping(options, from.node, output, input)
        try model.serialized.withBytes { bytes in
            var buffer = TF_Buffer(data: bytes.baseAddress, length: bytes.count, data_deallocator: nil)
            try library.checked("importing the graph") { library.api.GraphImportGraphDef(graph, &buffer, options, $0) }
        }
    }

    private static func openSession(
        _ graph: OpaquePointer, library: TensorFlowLibrary, threads: Int
    ) throws -> OpaquePointer {
        guard let options = library.api.NewSessionOptions() else {
            throw FNEError(.outOfMemory, "TensorFlow gave no session options")
        }
        defer { library.api.DeleteSessionOptions(options) }
        let configuration = SessionConfiguration(threads: threads).serialized
        try library.checked("reading the session's configuration") { status in
            configuration.withUnsafeBytes { library.api.SetConfig(options, $0.baseAddress, $0.count, status) }
        }
        let session = try library.checked("opening a session") { library.api.NewSession(graph, options, $0) }
        guard let session else { throw FNEError(.backendError, "TensorFlow gave no session") }
        return session
    }

    func run(_ values: UnsafeMutablePointer<Float>, count: Int, to rows: UnsafeMutablePointer<Float>) throws {
        guard let fixedBatch, count != fixedBatch else { return try run(values, count, firstRows: count, to: rows) }
        let images = height * width * 3
        let padded = try Bytes(zeros: fixedBatch * images * MemoryLayout<Float>.size)
        try padded.withNumbers(of: Float.self) { full in
            full.update(from: values, count: count * images)
            try run(full, fixedBatch, firstRows: count, to: rows)
        }
    }

    private func run(
        _ values: UnsafeMutablePointer<Float>, _ count: Int, firstRows: Int, to rows: UnsafeMutablePointer<Float>
    ) throws {
        let api = library.api
        let shape = [Int64(count), Int64(height), Int64(width), 3]
        let size = count * height * width * 3 * MemoryLayout<Float>.size
        // The memory stays the caller's: TensorFlow reads it during the run and drops it.
        guard let fed = api.NewTensor(Int32(CTF_FLOAT), shape, 4, values, size, { _, _, _ in }, nil) else {
            throw FNEError(.outOfMemory, "TensorFlow gave no tensor for the batch")
        }
        defer { api.DeleteTensor(fed) }
        var result: OpaquePointer?
        try library.checked("running the network") { status in
            withUnsafePointer(to: input) { from in
                withUnsafePointer(to: output) { to in
                    var fedValue: OpaquePointer? = fed
                    api.SessionRun(session, nil, from, &fedValue, 1, to, &result, 1, nil, 0, nil, status)
                }
            }
        }
        guard let result else { throw FNEError(.backendError, "TensorFlow returned no tensor") }
        defer { api.DeleteTensor(result) }
        guard api.NumDims(result) == 2, api.TensorType(result) == CTF_FLOAT, api.Dim(result, 1) == Int64(featureCount),
            let features = api.TensorData(result)
        else { throw FNEError(.backendError, "TensorFlow returned a tensor of another shape than \(featureCount) columns") }
        guard api.Dim(result, 0) == Int64(count) else {
            throw FNEError(
                .unsupportedTensor,
                "\(count) images gave \(api.Dim(result, 0)) rows; a layer's first dimension must be the images'")
        }
        memcpy(rows, features, firstRows * featureCount * MemoryLayout<Float>.size)
    }
}

import CTensorFlow
import FNESupport
import Glibc

/// A TF_Graph and the session that runs it. Several threads may use it at once.
final class TensorFlowSession: @unchecked Sendable {
    let graph: OpaquePointer
    private let session: OpaquePointer
    private let library: TensorFlowLibrary
    private let monitor = Monitor()
    private var hasRun = false

    /// Makes a graph and opens a session on it.
    ///
    /// - Parameter build: adds the operations to the graph
    /// - Throws: `.backendError`, `.outOfMemory`; what `build` throws.
    init(
        _ library: TensorFlowLibrary, _ configuration: SessionConfiguration, build: (OpaquePointer) throws -> Void
    ) throws {
        guard let graph = library.api.NewGraph() else { throw FNEError(.outOfMemory, "TensorFlow gave no graph") }
        var keep = false
        defer { if !keep { library.api.DeleteGraph(graph) } }
        try build(graph)
        guard let options = library.api.NewSessionOptions() else {
            throw FNEError(.outOfMemory, "TensorFlow gave no session options")
        }
        defer { library.api.DeleteSessionOptions(options) }
        let threads = configuration.threads
        let configuration = configuration.serialized
        try library.checked("reading the session's configuration") { status in
            configuration.withUnsafeBytes { library.api.SetConfig(options, $0.baseAddress, $0.count, status) }
        }
        let session = try library.checked("opening a session") { library.api.NewSession(graph, options, $0) }
        guard let session else { throw FNEError(.backendError, "TensorFlow gave no session") }
        library.sessionOpened(threads: threads)
        self.library = library
        self.graph = graph
        self.session = session
        keep = true
    }

    deinit {
        guard library.isOfThisProcess else { return }
        if let status = library.api.NewStatus() {
            library.api.CloseSession(session, status)
            library.api.DeleteSession(session, status)
            library.api.DeleteStatus(status)
        }
        library.api.DeleteGraph(graph)
    }

    /// The types of the devices that the session can use, such as "CPU" and "GPU".
    func deviceTypes() throws -> [String] {
        let api = library.api
        let list = try library.checked("listing devices") { api.SessionListDevices(session, $0) }
        guard let list else { return [] }
        defer { api.DeleteDeviceList(list) }
        return try (0..<api.DeviceListCount(list)).map { index in
            let type = try library.checked("asking for a device's type") { api.DeviceListType(list, index, $0) }
            return type.map { String(cString: $0) } ?? ""
        }
    }

    /// Imports a serialized GraphDef into a graph.
    ///
    /// - Parameter mappings: tensors of the imported graph, and the tensors that their readers read instead
    static func importGraph(
        _ serialized: Bytes, into graph: OpaquePointer, library: TensorFlowLibrary, prefix: String,
        mappings: [(from: TensorName, to: TF_Output)] = []
    ) throws {
        guard let options = library.api.NewImportGraphDefOptions() else {
            throw FNEError(.outOfMemory, "TensorFlow gave no import options")
        }
        defer { library.api.DeleteImportGraphDefOptions(options) }
        library.api.ImportGraphDefOptionsSetPrefix(options, prefix)
        for (from, to) in mappings {
            guard let output = Int32(exactly: from.output) else {
                throw FNEError(.unknownTensor, "the graph has no tensor '\(from.text)'")
            }
            library.api.ImportGraphDefOptionsAddInputMapping(options, from.node, output, to)
        }
        try serialized.withBytes { bytes in
            var buffer = TF_Buffer(data: bytes.baseAddress, length: bytes.count, data_deallocator: nil)
            try library.checked("importing the graph") { library.api.GraphImportGraphDef(graph, &buffer, options, $0) }
        }
    }

    /// Runs the graph. Several threads may call this at once. The first run is alone, because TensorFlow prepares the
    /// graph in it, and would prepare it again in each run that begins before the first has ended.
    ///
    /// - Parameters:
    ///   - doing: what the run does, for the message
    ///   - body: takes the fetched tensors, which live until it returns
    func run(
        _ inputs: [TF_Output], _ values: [OpaquePointer?], fetching outputs: [TF_Output], _ doing: String,
        _ body: ([OpaquePointer]) throws -> Void
    ) throws {
        var results = [OpaquePointer?](repeating: nil, count: outputs.count)
        defer { for case let result? in results { library.api.DeleteTensor(result) } }
        func runOnce() throws {
            try library.checked(doing) { status in
                library.api.SessionRun(
                    session, nil, inputs, values, Int32(inputs.count), outputs, &results, Int32(outputs.count), nil, 0,
                    nil,
                    status)
            }
        }
        let isFirst = try monitor.locked {
            guard !hasRun else { return false }
            try runOnce()
            hasRun = true
            return true
        }
        if !isFirst { try runOnce() }
        let fetched = results.compactMap { $0 }
        guard fetched.count == outputs.count else { throw FNEError(.backendError, "TensorFlow returned no tensor") }
        try body(fetched)
    }
}

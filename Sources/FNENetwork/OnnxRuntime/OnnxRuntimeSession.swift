import COnnxRuntime
import FNESupport

/// An ONNX Runtime session on a network that has one input and one output. Several threads may use it at once.
final class OnnxRuntimeSession: @unchecked Sendable {
    /// The threads that an operation is spread over.
    struct Threading {
        /// With 1, the session has no threads of its own, and a run stays on the thread that called.
        let count: Int
        /// Whether the threads spin while they wait for the next operation of a run. Waking them takes longer than many
        /// an operation. Spinning takes the processor from other streams and from loaders, where there are any.
        let spins: Bool

        init(_ options: EngineOptions) {
            count = options.threads
            spins = options.goal == .latency && count > 1
        }
    }

    private let session: OpaquePointer
    private let library: OnnxRuntimeLibrary
    private let inputName: [CChar]
    private let outputName: [CChar]

    /// Opens a session.
    ///
    /// - Parameters:
    ///   - model: the ONNX file. ONNX Runtime keeps no pointer to it.
    ///   - weights: what the file names as external data
    /// - Throws: `.backendError`, `.outOfMemory`.
    init(
        _ library: OnnxRuntimeLibrary, model: Bytes, weights: [ONNXWeights.File], _ threading: Threading
    ) throws {
        try AddressSpace.check(forSessionOn: weights.reduce(model.count) { $0 + $1.content.count })
        let api = library.api
        let options = try Self.options(library, threading, weights: weights)
        defer { api.ReleaseSessionOptions(options) }
        let session = try withExtendedLifetime(weights) {
            try model.withBytes { bytes in
                try api.made("opening the network", "session") {
                    api.CreateSessionFromArray(library.environment, bytes.baseAddress, bytes.count, options, $0)
                }
            }
        }
        var isComplete = false
        defer { if !isComplete { api.ReleaseSession(session) } }
        inputName = try Self.onlyName(
            api, session, "input", count: api.SessionGetInputCount, name: api.SessionGetInputName)
        outputName = try Self.onlyName(
            api, session, "output", count: api.SessionGetOutputCount, name: api.SessionGetOutputName)
        self.session = session
        self.library = library
        isComplete = true
    }

    deinit { if library.isOfThisProcess { library.api.ReleaseSession(session) } }

    private static func options(
        _ library: OnnxRuntimeLibrary, _ threading: Threading, weights: [ONNXWeights.File]
    ) throws -> OpaquePointer {
        let api = library.api
        let options = try api.made("making options", "session options") { api.CreateSessionOptions($0) }
        var isComplete = false
        defer { if !isComplete { api.ReleaseSessionOptions(options) } }
        guard let threads = Int32(exactly: threading.count) else {
            throw FNEError(.invalidArgument, "engine_threads is \(threading.count), which is too large")
        }
        func set(_ body: () -> OpaquePointer?) throws { try api.checked("setting options", body) }
        try set { api.SetSessionExecutionMode(options, Int32(CORT_SEQUENTIAL)) }
        try set { api.SetSessionGraphOptimizationLevel(options, Int32(CORT_ALL_OPTIMIZATIONS)) }
        try set { api.SetIntraOpNumThreads(options, threads) }
        try set { api.SetInterOpNumThreads(options, 1) }
        try set { api.AddSessionConfigEntry(options, "session.intra_op.allow_spinning", threading.spins ? "1" : "0") }
        // Without it the threads would spin on after a run, for longer than a camera's next frame takes.
        try set { api.AddSessionConfigEntry(options, "session.force_spinning_stop", threading.spins ? "1" : "0") }
        try set { api.AddCustomOpDomain(options, library.operators) }
        try add(weights, to: options, api)
        isComplete = true
        return options
    }

    private static func add(_ weights: [ONNXWeights.File], to options: OpaquePointer, _ api: cort_api) throws {
        for weight in weights {
            try weight.content.withNumbers(of: CChar.self) { content in
                try weight.location.withCString { location in
                    var names: [UnsafePointer<CChar>?] = [location]
                    var contents: [UnsafeMutablePointer<CChar>?] = [content]
                    var sizes = [weight.content.count]
                    try api.checked("taking weights") {
                        api.AddExternalInitializersFromFilesInMemory(options, &names, &contents, &sizes, 1)
                    }
                }
            }
        }
    }

    private typealias CountFunction = @convention(c) (OpaquePointer?, UnsafeMutablePointer<Int>?) -> OpaquePointer?
    private typealias NameFunction =
        @convention(c) (
            OpaquePointer?, Int, OpaquePointer?, UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?
        ) -> OpaquePointer?

    /// The name of the only input or output.
    private static func onlyName(
        _ api: cort_api, _ session: OpaquePointer, _ what: String, count: CountFunction?, name: NameFunction?
    ) throws -> [CChar] {
        guard let count, let name else { throw FNEError(.internalError, "ONNX Runtime's table has a gap") }
        var found = 0
        try api.checked("counting the \(what)s") { count(session, &found) }
        guard found == 1 else {
            throw FNEError(.backendError, "the network has \(found) \(what)s, and must have one")
        }
        let allocator = try api.made("naming the \(what)", "allocator") { api.GetAllocatorWithDefaultOptions($0) }
        var text: UnsafeMutablePointer<CChar>?
        try api.checked("naming the \(what)") { name(session, 0, allocator, &text) }
        guard let text else { throw FNEError(.backendError, "ONNX Runtime gave no name of the \(what)") }
        defer { if let status = api.AllocatorFree(allocator, text) { api.ReleaseStatus(status) } }
        return Array(String(cString: text).utf8CString)
    }

    /// Runs the network. Several threads may call this at once.
    ///
    /// - Parameters:
    ///   - values: float32 of the given shape. ONNX Runtime reads them in place.
    ///   - body: takes the result, which lives until it returns
    /// - Throws: `.backendError`, `.outOfMemory`; `.unsupportedTensor` where the result is no float32; what `body`
    ///   throws.
    func run(
        _ values: UnsafeMutablePointer<Float>, shape: [Int],
        _ body: (_ numbers: UnsafePointer<Float>, _ shape: [Int]) throws -> Void
    ) throws {
        let api = library.api
        let dims = shape.map(Int64.init)
        let size = try checkedProduct(of: [MemoryLayout<Float>.size] + shape, "a batch")
        let input = try api.made("taking a batch", "tensor") {
            api.CreateTensorWithDataAsOrtValue(
                library.callersMemory, values, size, dims, dims.count, Int32(CORT_FLOAT), $0)
        }
        defer { api.ReleaseValue(input) }
        let output = try api.made("running the network", "result") { output in
            inputName.withUnsafeBufferPointer { inputName in
                outputName.withUnsafeBufferPointer { outputName in
                    var inputs: [UnsafePointer<CChar>?] = [inputName.baseAddress]
                    var outputs: [UnsafePointer<CChar>?] = [outputName.baseAddress]
                    var fed: [OpaquePointer?] = [input]
                    return api.Run(session, nil, &inputs, &fed, 1, &outputs, 1, output)
                }
            }
        }
        defer { api.ReleaseValue(output) }
        let outputShape = try shapeOfFloats(output)
        var numbers: UnsafeMutableRawPointer?
        try api.checked("reading the result") { api.GetTensorMutableData(output, &numbers) }
        guard let numbers else { throw FNEError(.backendError, "ONNX Runtime gave no numbers") }
        try body(UnsafePointer(numbers.assumingMemoryBound(to: Float.self)), outputShape)
    }

    /// The shape of a float32 tensor.
    private func shapeOfFloats(_ tensor: OpaquePointer) throws -> [Int] {
        let api = library.api
        let facts = try api.made("reading the result", "shape") { api.GetTensorTypeAndShape(tensor, $0) }
        defer { api.ReleaseTensorTypeAndShapeInfo(facts) }
        var type: Int32 = 0
        try api.checked("reading the result") { api.GetTensorElementType(facts, &type) }
        guard type == CORT_FLOAT else {
            throw FNEError(.unsupportedTensor, "the network's result is not float32 (ONNX type \(type))")
        }
        var rank = 0
        try api.checked("reading the result") { api.GetDimensionsCount(facts, &rank) }
        guard rank > 0, rank <= 8 else { throw FNEError(.unsupportedTensor, "the network's result has rank \(rank)") }
        var dims = [Int64](repeating: 0, count: rank)
        try api.checked("reading the result") { api.GetDimensions(facts, &dims, rank) }
        return dims.map { Int($0) }
    }
}

import CTensorFlow
import FNESupport

/// A session whose graph takes images and the weights that are fed with each run.
final class FedSession: @unchecked Sendable {
    /// The tensor for the images, then those for the weights.
    private let inputs: [TF_Output]
    private let weights: [FedTensor]
    private let session: TensorFlowSession
    private let library: TensorFlowLibrary
    private let height: Int
    private let width: Int
    private let channels: Int

    /// - Parameter inputs: the tensor for the images, then those for the weights
    init(
        _ library: TensorFlowLibrary, _ session: TensorFlowSession, inputs: [TF_Output], _ fed: [FedWeights],
        _ setup: TensorFlowEngine.Setup
    ) throws {
        self.library = library
        self.session = session
        self.inputs = inputs
        weights = try fed.map { try FedTensor(library, $0.values, type: $0.type, shape: $0.shape) }
        (height, width, channels) = (setup.height, setup.width, setup.channels)
    }

    /// Runs the graph on images. Several threads may call this at once.
    ///
    /// - Parameters:
    ///   - values: float32 [count, height, width, channels]. TensorFlow only reads it during the run.
    ///   - body: takes the fetched tensors, which live until it returns
    func run(
        _ values: UnsafeMutablePointer<Float>, _ count: Int, fetching outputs: [TF_Output],
        _ body: ([OpaquePointer]) throws -> Void
    ) throws {
        let shape = [Int64(count), Int64(height), Int64(width), Int64(channels)]
        let size = count * height * width * channels * MemoryLayout<Float>.size
        guard let fed = library.api.NewTensor(Int32(CTF_FLOAT), shape, 4, values, size, { _, _, _ in }, nil) else {
            throw FNEError(.outOfMemory, "TensorFlow gave no tensor for the batch")
        }
        defer { library.api.DeleteTensor(fed) }
        try session.run(inputs, [fed] + weights.map(\.tensor), fetching: outputs, "running the network", body)
    }
}

/// A tensor that is fed to many runs. It keeps its memory.
private final class FedTensor {
    let tensor: OpaquePointer
    private let values: Bytes
    private let library: TensorFlowLibrary

    init(_ library: TensorFlowLibrary, _ values: Bytes, type: DataType, shape: [Int]) throws {
        let made = values.withNumbers(of: UInt8.self) {
            library.api.NewTensor(
                Int32(type.rawValue), shape.map(Int64.init), Int32(shape.count), $0, values.count, { _, _, _ in }, nil)
        }
        guard let made else { throw FNEError(.outOfMemory, "TensorFlow gave no tensor for weights") }
        tensor = made
        self.values = values
        self.library = library
    }

    deinit { library.api.DeleteTensor(tensor) }
}

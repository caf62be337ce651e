import CKernels
import COnnxRuntime
import FNESupport
import Glibc

/// A network as ONNX Runtime runs it: an ONNX file whose only input is the float32 of n images in a layout, and whose
/// only output is float32 [n, F], the pooled row of each image. So no activation map leaves ONNX Runtime.
package struct OnnxRuntimeNetwork: Sendable {
    /// The ONNX file.
    package var model: Bytes
    /// What the file names as external data.
    package var weights: [ONNXWeights.File] = []
    /// The layers of the row, in the order of its columns. The last one's features end with F.
    package var layers: [Layer]
    /// The only batch size that the network takes; nil where it takes any.
    package var batch: Int?
    package var height: Int
    package var width: Int
    package var channels: Int
    /// The order of the numbers of an image.
    package var layout: ImageLayout
}

/// Runs a network in an ONNX Runtime session. Each batch stays on the thread that runs it, and streams run several
/// batches at once.
final class OnnxRuntimeEngine: Engine, @unchecked Sendable {
    let featureCount: Int
    let layout: ImageLayout

    private let library: OnnxRuntimeLibrary
    private let session: OnnxRuntimeSession
    private let batch: Int?
    private let imageShape: [Int]

    /// - Parameters:
    ///   - threading: the threads of an operation
    ///   - session: a session that is open on the network already; nil: one is opened
    /// - Throws: `.backendError`, with ONNX Runtime's own words; `.outOfMemory`.
    init(
        _ library: OnnxRuntimeLibrary, _ network: OnnxRuntimeNetwork, _ threading: OnnxRuntimeSession.Threading,
        session: OnnxRuntimeSession? = nil
    ) throws {
        self.session =
            try session
            ?? OnnxRuntimeSession(library, model: network.model, weights: network.weights, threading)
        featureCount = network.layers.last?.features.upperBound ?? 0
        batch = network.batch
        layout = network.layout
        imageShape = layout.shape(height: network.height, width: network.width, channels: network.channels)
        self.library = library
    }

    var facts: [JSON.Member] {
        [
            JSON.Member(name: "onnxruntime", value: .text(library.version)),
            JSON.Member(name: "device", value: .text("cpu")),
            JSON.Member(name: "processor", value: .text(String(cString: ck_processor_features()))),
        ]
    }

    func run(_ values: UnsafeMutablePointer<Float>, count: Int, to rows: UnsafeMutablePointer<Float>) throws {
        guard let batch, count != batch else { return try run(values, count, firstRows: count, to: rows) }
        guard count < batch else {
            throw FNEError(.invalidArgument, "the network takes \(batch) images at once, and was given \(count)")
        }
        let imageSize = try checkedProduct(of: imageShape, "an image")
        let padded = try Bytes(zeros: checkedProduct(batch, imageSize, MemoryLayout<Float>.size, of: "a batch"))
        try padded.withNumbers(of: Float.self) { full in
            full.update(from: values, count: count * imageSize)
            try run(full, batch, firstRows: count, to: rows)
        }
    }

    private func run(
        _ values: UnsafeMutablePointer<Float>, _ count: Int, firstRows: Int, to rows: UnsafeMutablePointer<Float>
    ) throws {
        try session.run(values, shape: [count] + imageShape) { numbers, shape in
            guard shape.count == 2, shape[1] == featureCount else {
                throw FNEError(
                    .backendError,
                    "ONNX Runtime returned a result of shape \(shape), and not \(featureCount) columns")
            }
            guard shape[0] == count else {
                throw FNEError(
                    .unsupportedTensor,
                    "\(count) images gave \(shape[0]) rows; a layer's first dimension must be the images'")
            }
            memcpy(rows, numbers, firstRows * featureCount * MemoryLayout<Float>.size)
        }
    }
}

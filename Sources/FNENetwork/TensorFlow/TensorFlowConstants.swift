import CTensorFlow
import FNESupport

/// Lets TensorFlow compute the tensors of a graph that depend on constants alone.
struct TensorFlowConstants: ConstantEvaluator {
    let library: TensorFlowLibrary
    /// Threads per operation. This may be the first session of the process, which decides.
    let threads: Int

    private static let prefix = "constants"

    func evaluate(_ serialized: Bytes, _ nodes: [String]) throws -> [String: ConstantValues.Value] {
        let session = try TensorFlowSession(library, .init(threads: threads, optimization: .none, device: .cpu)) {
            handle in
            try TensorFlowSession.importGraph(serialized, into: handle, library: library, prefix: Self.prefix)
        }
        let builder = GraphBuilder(library: library, graph: session.graph)
        let fetched = try nodes.map { ($0, try builder.output(TensorName(node: $0, output: 0), prefix: Self.prefix)) }
            .filter { library.api.OperationOutputType($0.1) == CTF_FLOAT }
        var result: [String: ConstantValues.Value] = [:]
        try session.run([], [], fetching: fetched.map(\.1), "computing constants") { tensors in
            for (index, tensor) in tensors.enumerated() {
                let shape = (0..<library.api.NumDims(tensor)).map { Int(library.api.Dim(tensor, $0)) }
                guard let data = library.api.TensorData(tensor) else { continue }
                let values = UnsafeBufferPointer(
                    start: data.assumingMemoryBound(to: Float.self), count: try elementCount(shape))
                try Reserve.prepare(2 * values.count * MemoryLayout<Float>.size)
                result[fetched[index].0] = ConstantValues.Value(shape: shape, values: Array(values))
            }
        }
        return result
    }
}

import FNESupport

/// Runs of a network on images of noise, which show the shapes of its values and the features of its layers.
struct ProofRuns {
    let network: ONNXNetwork
    let input: ONNXInput
    let library: OnnxRuntimeLibrary
    let height: Int
    let width: Int
    let threading: OnnxRuntimeSession.Threading

    /// The shapes of some values for one image and for several.
    ///
    /// - Throws: `.unsupportedTensor`, `.backendError`, `.outOfMemory`.
    func shapes(of values: [Int]) throws -> (one: [[Int]], several: [[Int]]) {
        let session = try session(
            ONNXRowGraph(network, input: input, shapesOf: values, height: height, width: width, batch: .free))
        return try (shapes(session, of: values, images: 1), shapes(session, of: values, images: ProofImages.count))
    }

    /// The shapes of some values of a network that takes one image.
    ///
    /// - Throws: as above.
    func shapesOfOne(_ values: [Int]) throws -> [[Int]] {
        let session = try session(
            ONNXRowGraph(network, input: input, shapesOf: values, height: height, width: width, batch: .one))
        return try shapes(session, of: values, images: 1)
    }

    private func shapes(_ session: OnnxRuntimeSession, of values: [Int], images count: Int) throws -> [[Int]] {
        var numbers = try run(session, Array(0..<count)) { numbers, shape in
            Array(UnsafeBufferPointer(start: numbers, count: product(shape)))
        }[...]
        func next() -> Int { max(Int(exactly: numbers.popFirst() ?? 0) ?? 0, 0) }
        return values.map { _ in (0..<next()).map { _ in next() } }
    }

    func session(_ graph: ONNXRowGraph) throws -> OnnxRuntimeSession {
        try OnnxRuntimeSession(library, model: graph.serialized, weights: graph.weights, threading)
    }

    /// Runs a session on some of the images.
    ///
    /// - Throws: `.backendError`, `.outOfMemory`; what `read` throws.
    func run<Found>(
        _ session: OnnxRuntimeSession, _ images: [Int],
        _ read: (UnsafePointer<Float>, [Int]) throws -> Found
    ) throws -> Found {
        let batch = try ProofImages(size: height * width * input.channels).batch(images)
        var found: Found?
        do {
            try batch.withNumbers(of: Float.self) { values in
                try session.run(values, shape: [images.count] + input.imageShape(height: height, width: width)) {
                    found = try read($0, $1)
                }
            }
        } catch let error as FNEError where error.status == .backendError && images.count > 1 {
            throw FNEError(
                .backendError,
                "\(error.message). It ran \(images.count) images to find out which rows belong to an image. If the "
                    + "network takes one image alone, export it with a batch of any size")
        }
        guard let found else { throw FNEError(.internalError, "a run gave nothing") }
        return found
    }
}

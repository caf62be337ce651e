import CTensorFlow
import FNESupport

/// Finds out by running the network which rows of a layer belong to which image. Most layers have one row per image,
/// and their shapes say so: they are not run. Others work on [n * tokens, C] or on [n * windows, tokens, C], or have
/// shapes that the graph does not tell.
///
/// The network runs on one image and on several. A layer's first dimension must grow with the images. Then the features
/// that an image has in a batch of different images must be those that it has without the others. Were the rows in
/// another order, such as [tokens * n, C], they would be a mixture of the images.
struct RowsProof {
    private let library: TensorFlowLibrary
    private let session: FedSession
    private let builder: GraphBuilder
    private let layers: [LayerSelection.Selected]
    private let tensors: [TF_Output]
    private let setup: TensorFlowEngine.Setup

    /// The shapes of layers.
    ///
    /// - Parameter known: those that follow from the graph
    /// - Throws: `.unsupportedTensor`, with the name of the layer whose rows cannot be told apart; `.backendError`.
    static func shapes(
        _ library: TensorFlowLibrary, _ model: GraphDefNetwork, input: Model.Input, layers: [LayerSelection.Selected],
        known: [LayerShape?], _ setup: TensorFlowEngine.Setup
    ) throws -> [LayerShape] {
        var shapes = known
        let open = shapes.indices.filter { shapes[$0].map { $0.rows != 1 && setup.batch != 1 } ?? true }
        if !open.isEmpty {
            let proof = try RowsProof(library, model, input: input, layers: open.map { layers[$0] }, setup)
            for (place, shape) in zip(open, try proof.shapes()) { shapes[place] = shape }
        }
        return shapes.compactMap { $0 }
    }

    private init(
        _ library: TensorFlowLibrary, _ model: GraphDefNetwork, input: Model.Input, layers: [LayerSelection.Selected],
        _ setup: TensorFlowEngine.Setup
    ) throws {
        let threads = setup.session.threads
        let prepared = try GraphPreparation(
            model, input: input.name, taps: layers.map(\.name), precision: .float32, float32Layers: 0,
            for: GraphPreparation.Target(
                hasOwnOperations: false, takesFedWeights: true,
                constants: TensorFlowConstants(library: library, threads: threads)))
        var imported: ImportedNetwork?
        var tensors: [TF_Output] = []
        let session = try TensorFlowSession(library, .init(threads: threads, optimization: .none, device: .cpu)) {
            graph in
            let builder = GraphBuilder(library: library, graph: graph)
            let network = try ImportedNetwork(builder, model, prepared, input: input, setup)
            tensors = try layers.map { try network.tensor($0.name) }
            imported = network
            for (tensor, layer) in zip(tensors, layers) { try builder.checkType(tensor, layer: layer.name.text) }
        }
        guard let imported else { throw FNEError(.internalError, "the session has no graph") }
        self.library = library
        self.session = try FedSession(library, session, inputs: imported.inputs, prepared.fed, setup)
        builder = GraphBuilder(library: library, graph: session.graph)
        self.layers = layers
        self.tensors = tensors
        self.setup = setup
    }

    // MARK: Shapes

    private func shapes() throws -> [LayerShape] {
        let fetched = try tensors.enumerated().map { try builder.shape(of: $1, "fne/shape\($0)") }
        let (count, furtherCount) = (setup.batch ?? 1, setup.batch ?? ProofImages.count)
        let shapes = try dimensions(fetched, images: count)
        let further = count == furtherCount ? shapes : try dimensions(fetched, images: furtherCount)
        let found = try zip(layers, zip(shapes, further)).map { layer, pair in
            guard let shape = LayerShape(pair.0, of: count, and: pair.1, of: furtherCount) else {
                let what = count == furtherCount ? "" : ", and \(describe(pair.1)) for \(furtherCount)"
                throw Self.inseparable(
                    layer, "its shape is \(describe(pair.0)) for \(count) image\(count == 1 ? "" : "s")\(what)")
            }
            return shape
        }
        try prove(found)
        return found
    }

    private func dimensions(_ fetched: [TF_Output], images count: Int) throws -> [[Int]] {
        try run((0..<count).map { $0 % ProofImages.count }, fetching: fetched) { result in
            (library.api.TensorData(result)?.assumingMemoryBound(to: Int32.self)).map { sizes in
                (0..<Int(library.api.Dim(result, 0))).map { Int(sizes[$0]) }
            }
        }
    }

    private static func inseparable(_ layer: LayerSelection.Selected, _ why: String) -> FNEError {
        FNEError(
            .unsupportedTensor,
            "the rows of the layer '\(layer.name.text)' cannot be told apart by image: \(why). Its first dimension "
                + "must be the images', or an image's rows must follow each other. Leave the layer out")
    }

    // MARK: Order

    /// Proves for the layers with several rows per image that an image's rows follow each other.
    private func prove(_ shapes: [LayerShape]) throws {
        let places = shapes.indices.filter { shapes[$0].rows != 1 && setup.batch != 1 }
        guard !places.isEmpty else { return }
        let pooled = try places.map {
            try builder.pooled(tensors[$0], Pooling(layers[$0], shapes[$0], Tokens()), number: $0)
        }
        let batch = setup.batch ?? ProofImages.count
        let images = 0..<min(batch, ProofImages.count)
        let together = try features(pooled, (0..<batch).map { $0 % images.count })
        let alone = try images.map { image in
            try features(pooled, Array(repeating: image, count: setup.batch ?? 1))
                .map { $0[setup.batch == nil ? 0 : image] }
        }
        for (number, place) in places.enumerated() {
            let verdict = ProofImages.verdict(
                together: Array(together[number].prefix(images.count)), alone: alone.map { $0[number] })
            guard case .apart = verdict else {
                throw Self.inseparable(
                    layers[place], "an image has \(shapes[place].rows) rows, and they change with the other images")
            }
        }
    }

    /// The rows of each layer for a batch of images.
    private func features(_ pooled: [TF_Output], _ images: [Int]) throws -> [[[Float]]] {
        try run(images, fetching: pooled) { result in
            let columns = Int(library.api.Dim(result, 1))
            guard library.api.Dim(result, 0) == Int64(images.count),
                let values = library.api.TensorData(result)?.assumingMemoryBound(to: Float.self)
            else { return nil }
            return images.indices.map { Array(UnsafeBufferPointer(start: values + $0 * columns, count: columns)) }
        }
    }

    // MARK: Runs

    private func run<Result>(
        _ images: [Int], fetching outputs: [TF_Output], _ read: (OpaquePointer) throws -> Result?
    ) throws -> [Result] {
        let batch = try ProofImages(size: setup.height * setup.width * setup.channels).batch(images)
        return try batch.withNumbers(of: Float.self) { values in
            var results: [Result] = []
            do {
                try session.run(values, images.count, fetching: outputs) { results = try $0.compactMap(read) }
            } catch let error as FNEError where error.status == .backendError {
                throw FNEError(
                    .backendError,
                    "\(error.message). It ran \(images.count) image\(images.count == 1 ? "" : "s") to find out which "
                        + "rows of '\(layers[0].name.text)' belong to an image. If the graph takes batches of one size "
                        + "alone, pass it as batch_size, with pad_batches")
            }
            guard results.count == outputs.count else {
                throw FNEError(.backendError, "TensorFlow returned other tensors than the layers")
            }
            return results
        }
    }
}

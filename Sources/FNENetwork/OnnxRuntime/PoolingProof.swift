import FNESupport

/// Finds out by running a network how each layer becomes features. A layer's value may be [n, C, height, width],
/// [tokens, n, C], [n * windows, tokens, C] or of another form, and its shape alone does not say which.
///
/// The network runs on one image and on several. Exactly one axis of a value must grow with the images. That leaves one
/// or two plans (`ONNXPooling.plans`). With the right one, the features that an image has in a batch of different
/// images are those that it has without the others.
struct PoolingProof {
    private let network: ONNXNetwork
    private let input: ONNXInput
    private let layers: [LayerSelection.Selected]
    private let values: [Int]
    private let library: OnnxRuntimeLibrary
    private let height: Int
    private let width: Int
    private let threads: Int

    /// What is proven: a model for rows, and a session on it.
    struct Result {
        let graph: ONNXRowGraph
        let poolings: [ONNXPooling]
        let session: OnnxRuntimeSession
    }

    /// - Throws: `.unknownTensor`.
    init(
        _ library: OnnxRuntimeLibrary, _ network: ONNXNetwork, _ input: ONNXInput,
        layers: [LayerSelection.Selected], height: Int, width: Int, threads: Int
    ) throws {
        self.library = library
        self.network = network
        self.input = input
        self.layers = layers
        self.threads = threads
        (self.height, self.width) = (height, width)
        values = try layers.map { layer in
            guard let value = network.number(of: layer.name.text) else { throw network.unknownTensor(layer.name.text) }
            return value
        }
    }

    /// Finds the plans.
    ///
    /// - Throws: `.unsupportedTensor`, with the name of the layer whose rows cannot be told apart; `.backendError`;
    ///   `.outOfMemory`.
    func proven(_ tokens: Tokens) throws -> Result {
        let plans = try self.plans(tokens)
        var chosen = plans.map { $0[0] }
        var open = Array(plans.indices)
        while true {
            let (graph, session) = try rows(open, chosen)
            let verdicts = try verdicts(session, open.map { chosen[$0].featureCount })
            let wrong = zip(open, verdicts).filter { !Self.isProven($0.1, chosen[$0.0]) }.map(\.0)
            if wrong.isEmpty, open.count == plans.count {
                return Result(graph: graph, poolings: chosen, session: session)
            }
            for place in wrong {
                guard plans[place].count > 1, chosen[place] == plans[place][0] else {
                    throw inseparable(place, "they change with the other images of a batch")
                }
                chosen[place] = plans[place][1]
            }
            // The plans that changed are proven alone, and then the model is made again with all.
            open = wrong.isEmpty ? Array(plans.indices) : wrong
        }
    }

    /// Whether a plan is right. One of two plans is shown by images that differ.
    private static func isProven(_ verdict: ProofImages.Verdict, _ pooling: ONNXPooling) -> Bool {
        switch verdict {
        case .apart: true
        case .equal: pooling.rows == .one
        case .mixed: false
        }
    }

    private func inseparable(_ place: Int, _ why: String) -> FNEError {
        FNEError(
            .unsupportedTensor,
            "the rows of the layer '\(layers[place].name.text)' cannot be told apart by image: \(why). Leave the layer "
                + "out")
    }

    // MARK: Plans

    /// The plans that fit the shapes of each layer, at least one.
    private func plans(_ tokens: Tokens) throws -> [[ONNXPooling]] {
        let graph = try ONNXRowGraph(network, input: input, shapesOf: values, height: height, width: width)
        let session = try self.session(graph)
        let known = Dictionary(network.analysis.layers.map { ($0.output, $0) }) { first, _ in first }
        let (shapes, further) = (try shapes(session, images: 1), try shapes(session, images: ProofImages.count))
        return try values.indices.map { place in
            let plans = ONNXPooling.plans(
                for: known[values[place]] ?? tensor(values[place], rank: shapes[place].count), shape: shapes[place],
                and: further[place], of: ProofImages.count)
            guard !plans.isEmpty else {
                throw inseparable(
                    place,
                    "its shape is \(describe(shapes[place])) for 1 image, and \(describe(further[place])) for "
                        + "\(ProofImages.count)")
            }
            return try plans.map { try with(tokens, $0, of: place) }
        }
    }

    /// A value that is no layer. It counts as a map where it has four axes or more, in the layout of the input. Else
    /// its channels are the last axis.
    private func tensor(_ value: Int, rank: Int) -> ONNXLayers.Layer {
        ONNXLayers.Layer(
            output: value, node: network.topology.producers[value] ?? 0, kind: .other, channels: nil, rank: rank,
            channelsLast: input.channelsLast || rank < 4, isClassifier: false, module: nil, isQuantized: false)
    }

    /// A plan with what is taken of tokens.
    private func with(_ tokens: Tokens, _ plan: ONNXPooling, of place: Int) throws -> ONNXPooling {
        var plan = plan
        guard plan.takesTokens else { return plan }
        if tokens.pooling.takesRest, plan.tokenCount <= tokens.prefix {
            throw Tokens.noneLeft(of: layers[place].name.text, plan.tokenCount, tokens)
        }
        plan.part =
            switch tokens.pooling {
            case .mean: .mean
            case .first: .first
            case .rest: .rest(prefix: tokens.prefix)
            case .firstAndRest: .firstAndRest(prefix: tokens.prefix)
            }
        return plan
    }

    /// The shapes of the values for a number of images.
    private func shapes(_ session: OnnxRuntimeSession, images count: Int) throws -> [[Int]] {
        var numbers = try run(session, Array(0..<count)) { numbers, shape in
            Array(UnsafeBufferPointer(start: numbers, count: product(shape)))
        }[...]
        func next() -> Int { max(Int(exactly: numbers.popFirst() ?? 0) ?? 0, 0) }
        return values.map { _ in (0..<next()).map { _ in next() } }
    }

    // MARK: Runs

    private func session(_ graph: ONNXRowGraph) throws -> OnnxRuntimeSession {
        try OnnxRuntimeSession(
            library, model: graph.serialized,
            weights: graph.weights.map { OnnxRuntimeWeights(location: $0.location, content: $0.content) },
            threads: threads)
    }

    private func rows(_ places: [Int], _ poolings: [ONNXPooling]) throws -> (ONNXRowGraph, OnnxRuntimeSession) {
        let taps = places.map { ONNXRowGraph.Tap(value: values[$0], pooling: poolings[$0]) }
        let graph = try ONNXRowGraph(network, input: input, taps: taps, height: height, width: width)
        return (graph, try session(graph))
    }

    /// What the features of each layer show.
    ///
    /// - Parameter counts: the number of each layer's features
    private func verdicts(_ session: OnnxRuntimeSession, _ counts: [Int]) throws -> [ProofImages.Verdict] {
        let images = Array(0..<ProofImages.count)
        let columns = counts.reduce(0, +)
        func features(_ images: [Int]) throws -> [[Float]] {
            try run(session, images) { numbers, shape in
                guard shape == [images.count, columns] else {
                    throw FNEError(.backendError, "ONNX Runtime returned rows of shape \(shape)")
                }
                return images.indices.map {
                    Array(UnsafeBufferPointer(start: numbers + $0 * columns, count: columns))
                }
            }
        }
        let together = try features(images)
        let alone = try images.map { try features([$0])[0] }
        var first = 0
        return counts.map { count in
            defer { first += count }
            func part(_ row: [Float]) -> [Float] { Array(row[first..<first + count]) }
            return ProofImages.verdict(together: together.map(part), alone: alone.map(part))
        }
    }

    private func run<Found>(
        _ session: OnnxRuntimeSession, _ images: [Int],
        _ read: (UnsafePointer<Float>, [Int]) throws -> Found
    ) throws -> Found {
        let batch = try ProofImages(size: height * width * input.channels).batch(images)
        var found: Found?
        do {
            try batch.withNumbers(of: Float.self) { values in
                try session.run(values, shape: [images.count, height, width, input.channels]) {
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

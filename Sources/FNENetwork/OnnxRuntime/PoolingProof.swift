import FNESupport

/// Finds out how each layer becomes features. A layer's value may be [n, C, height, width], [tokens, n, C],
/// [n * windows, tokens, C] or of another form, and its shape alone does not say which.
///
/// Where the operators show it for every layer (`ONNXImageAxis`), no run is needed. Else the network runs on one image
/// and on several. Exactly one axis of a value must grow with the images. That leaves one or two plans
/// (`ONNXPooling.plans`). With the right one, the features that an image has in a batch of different images are those
/// that it has without the others.
struct PoolingProof {
    private let runs: ProofRuns
    private let layers: [LayerSelection.Selected]
    private let values: [Int]

    /// What is proven: a model for rows, and a session on it.
    struct Result {
        let graph: ONNXRowGraph
        let poolings: [ONNXPooling]
        let session: OnnxRuntimeSession
        /// The only batch size that the model takes; nil where it takes any.
        let batch: Int?
    }

    /// - Throws: `.unknownTensor`.
    init(_ runs: ProofRuns, layers: [LayerSelection.Selected]) throws {
        self.runs = runs
        self.layers = layers
        let network = runs.network
        values = try layers.map { layer in
            guard let value = network.number(of: layer.name.text) else { throw network.unknownTensor(layer.name.text) }
            return value
        }
    }

    /// Finds the plans. A file that was exported for one image, and that cannot be changed for several, is run on one
    /// image at a time. The log says so.
    ///
    /// - Throws: `.unsupportedTensor`, with the name of the layer whose rows cannot be told apart; `.backendError`;
    ///   `.outOfMemory`.
    func proven(_ tokens: Tokens) throws -> Result {
        if let result = try shownByOperators() { return result }
        guard runs.input.batch == 1 else { return try provenForSeveral(tokens) }
        do {
            return try provenForSeveral(tokens)
        } catch let error as FNEError where [.unsupportedTensor, .backendError].contains(error.status) {
            let result = try forOne(tokens)
            Log.write(
                .warning,
                "The network was exported for one image and is run on one at a time, since it cannot be changed for "
                    + "several: \(error.message). Export it with a batch of any size (dynamic_axes, or "
                    + "dynamic_shapes, of torch.onnx.export)")
            return result
        }
    }

    private func provenForSeveral(_ tokens: Tokens) throws -> Result {
        let plans = try self.plans(tokens)
        var chosen = plans.map { $0[0] }
        var open = Array(plans.indices)
        while true {
            let (graph, session) = try rows(open, chosen, .free)
            let verdicts = try verdicts(session, open.map { chosen[$0].featureCount })
            let wrong = zip(open, verdicts).filter { !Self.isProven($0.1, chosen[$0.0]) }.map(\.0)
            if wrong.isEmpty, open.count == plans.count {
                return Result(graph: graph, poolings: chosen, session: session, batch: nil)
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

    // MARK: Operators

    /// What the operators show, without a run; nil where they do not show it for every layer. The engine checks the
    /// shape of what each run gives.
    private func shownByOperators() throws -> Result? {
        let network = runs.network
        guard let input = network.topology.number[runs.input.name] else { return nil }
        let axis = ONNXImageAxis(network.graph, network.topology, network.shapes, input: input)
        var layers: [Int: ONNXLayers.Layer] = [:]
        for layer in network.analysis.layers { layers[layer.output] = layer }
        let poolings = values.compactMap { layers[$0].flatMap(axis.plan) }
        guard poolings.count == values.count else { return nil }
        do {
            let (graph, session) = try rows(Array(values.indices), poolings, .free)
            return Result(graph: graph, poolings: poolings, session: session, batch: nil)
        } catch let error as FNEError where error.status == .backendError {
            return nil // the runs say what is wrong
        }
    }

    // MARK: Plans

    /// The plans that fit the shapes of each layer, at least one.
    private func plans(_ tokens: Tokens) throws -> [[ONNXPooling]] {
        let (shapes, further) = try runs.shapes(of: values)
        return try values.indices.map { place in
            let plans = ONNXPooling.plans(
                for: layer(place, rank: shapes[place].count), shape: shapes[place], and: further[place],
                of: ProofImages.count)
            guard !plans.isEmpty else {
                throw inseparable(
                    place,
                    "its shape is \(describe(shapes[place])) for 1 image, and \(describe(further[place])) for "
                        + "\(ProofImages.count)")
            }
            return try plans.map { try with(tokens, $0, of: place) }
        }
    }

    /// The layer of a value. A value that is no layer counts as a map where it has four axes or more, in the layout of
    /// the layers before it. Else its channels are the last axis.
    private func layer(_ place: Int, rank: Int) -> ONNXLayers.Layer {
        let (value, network) = (values[place], runs.network)
        if let known = network.analysis.layers.first(where: { $0.output == value }) { return known }
        let image = runs.input.channelsLast
        let layout = ONNXLayout(network.graph, network.topology, network.analysis.layers)
        return ONNXLayers.Layer(
            output: value, node: network.topology.producers[value] ?? 0, kind: .other, channels: nil, rank: rank,
            channelsLast: rank < 4 || layout.channelsLast(value, imageIsLast: image) ?? image, isClassifier: false,
            module: nil, isQuantized: false)
    }

    // MARK: One image

    /// A model for batches of one image, in which all rows are the image's.
    private func forOne(_ tokens: Tokens) throws -> Result {
        let shapes = try runs.shapesOfOne(values)
        let poolings = try values.indices.map { place -> ONNXPooling in
            guard let plan = ONNXPooling.plan(for: layer(place, rank: shapes[place].count), shape: shapes[place]) else {
                throw FNEError(
                    .unsupportedTensor,
                    "the layer '\(layers[place].name.text)' has the shape \(describe(shapes[place])), which is of no "
                        + "features. Leave the layer out")
            }
            return try with(tokens, plan, of: place)
        }
        let (graph, session) = try rows(Array(values.indices), poolings, .one)
        return Result(graph: graph, poolings: poolings, session: session, batch: 1)
    }

    /// A plan with what is taken of tokens.
    private func with(_ tokens: Tokens, _ plan: ONNXPooling, of place: Int) throws -> ONNXPooling {
        var plan = plan
        guard plan.takesTokens else { return plan }
        if tokens.pooling.takesRest, plan.tokenCount <= tokens.prefix {
            throw Tokens.noneLeft(of: layers[place].name.text, plan.tokenCount, tokens)
        }
        plan.tokens = tokens
        return plan
    }

    // MARK: Runs

    private func rows(
        _ places: [Int], _ poolings: [ONNXPooling], _ batch: ONNXRowGraph.Batch
    ) throws -> (ONNXRowGraph, OnnxRuntimeSession) {
        let taps = places.map { ONNXRowGraph.Tap(value: values[$0], pooling: poolings[$0]) }
        let graph = try ONNXRowGraph(
            runs.network, input: runs.input, taps: taps, height: runs.height, width: runs.width, batch: batch)
        return (graph, try runs.session(graph))
    }

    /// What the features of each layer show.
    ///
    /// - Parameter counts: the number of each layer's features
    private func verdicts(_ session: OnnxRuntimeSession, _ counts: [Int]) throws -> [ProofImages.Verdict] {
        let images = Array(0..<ProofImages.count)
        let columns = counts.reduce(0, +)
        func features(_ images: [Int]) throws -> [[Float]] {
            try runs.run(session, images) { numbers, shape in
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
}

import FNESupport

extension ONNXNetwork {
    func open(
        input: Model.Input, layers selected: [LayerSelection.Selected], height: Int, width: Int, channels: Int,
        _ options: EngineOptions
    ) throws -> PreparedNetwork {
        try OnnxRuntimeEngine.check(options)
        let runs = try runs(height: height, width: width, options)
        guard channels == runs.input.channels else {
            throw FNEError(
                .invalidArgument, "channels is \(channels), but the network takes images of \(runs.input.channels)")
        }
        let proven = try PoolingProof(runs, layers: selected).proven(options.tokens)
        var first = 0
        let layers = zip(selected, proven.poolings).map { layer, pooling in
            defer { first += pooling.featureCount }
            return Layer(
                name: layer.name.text, kind: layer.kind, rank: pooling.shape.count,
                features: first..<first + pooling.featureCount)
        }
        return try OnnxRuntimeEngine.open(
            OnnxRuntimeNetwork(
                model: proven.graph.serialized, layers: layers, batch: proven.batch, height: height, width: width,
                channels: channels, layout: runs.input.layout),
            options, session: proven.session)
    }

    private func runs(height: Int, width: Int, _ options: EngineOptions) throws -> ProofRuns {
        ProofRuns(
            network: self, input: try ONNXInput(graph, topology, shapes), library: try OnnxRuntimeLibrary.load(),
            height: height, width: width, threading: OnnxRuntimeSession.Threading(options))
    }

    /// The shapes of the tensors of the table `tensors` for an image's size. ONNX Runtime computes them for one image
    /// and for several. A network that takes one image has the shapes for that one.
    ///
    /// - Throws: as the protocol says; as `OnnxRuntimeLibrary.load`; `.backendError`, `.outOfMemory`.
    func shapes(input name: String?, height: Int?, width: Int?) throws -> [LayerShape?] {
        let image = try input(named: name)
        let size = try image.size(height: height, width: width)
        let runs = try runs(height: size.height, width: size.width, EngineOptions())
        let values = tensors.compactMap { topology.number[$0.name] }
        do {
            let (one, several) = try runs.shapes(of: values)
            return zip(one, several).map { LayerShape($0, of: 1, and: $1, of: ProofImages.count) }
        } catch let error as FNEError
            where runs.input.batch == 1 && [.unsupportedTensor, .backendError].contains(error.status)
        {
            return try runs.shapesOfOne(values).map(LayerShape.init(dimensions:))
        }
    }
}

import FNESupport

extension ONNXNetwork {
    func open(
        input: Model.Input, layers selected: [LayerSelection.Selected], height: Int, width: Int, channels: Int,
        _ options: EngineOptions
    ) throws -> PreparedNetwork {
        try OnnxRuntimeEngine.check(options)
        let image = try ONNXInput(graph, topology, shapes)
        guard channels == image.channels else {
            throw FNEError(
                .invalidArgument, "channels is \(channels), but the network takes images of \(image.channels)")
        }
        let proof = try PoolingProof(
            OnnxRuntimeLibrary.load(), self, image, layers: selected, height: height, width: width,
            threads: options.engineThreads ?? 1)
        let proven = try proof.proven(options.tokens)
        var first = 0
        let layers = zip(selected, proven.poolings).map { layer, pooling in
            defer { first += pooling.featureCount }
            return Layer(
                name: layer.name.text, kind: layer.kind, rank: pooling.shape.count,
                features: first..<first + pooling.featureCount)
        }
        return try OnnxRuntimeEngine.open(
            OnnxRuntimeNetwork(
                model: proven.graph.serialized, layers: layers, batch: nil, height: height, width: width,
                channels: channels),
            options, session: proven.session)
    }
}

extension GraphDefNetwork {
    func open(
        input: Model.Input, layers selected: [LayerSelection.Selected], height: Int, width: Int, channels: Int,
        _ options: EngineOptions
    ) throws -> PreparedNetwork {
        let checks = GraphChecks(self, input: input, taps: selected.map(\.name), size: [height, width, channels])
        try checks.run()
        let outputs = try checks.checkShapes()
        let needed = topology.needed(for: selected.map(\.name), input: input.name)
        let guards = RankGuards.needed(in: self, needed: needed, outputs)
        let rewritten = try RankGuards.apply(guards, to: DepthwiseRewrite.apply(to: self, outputs))
        var network = try TensorFlowEngine.open(
            rewritten, input: input, layers: selected, shapes: checks.layerShapes(outputs),
            graphShapes: KnownShapes(graph, outputs), height: height, width: width, channels: channels, options)
        if network.batchSize > 1 { network.batchStatistics = try checks.batchStatistics() }
        return network
    }
}

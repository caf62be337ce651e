import FNESupport

extension GraphDefNetwork {
    /// A second batch size for which shapes are followed. What grows with the batch is seen by the difference.
    private static let severalImages = 3

    /// The shapes of the tensors of the table `tensors` for an image's size; nil where a shape does not follow from the
    /// graph.
    ///
    /// - Parameters:
    ///   - name: the tensor that images are fed to; nil for the graph's only placeholder that can take images
    ///   - height, width: the image's size in pixels; nil for what the placeholder fixes
    /// - Throws: `.unknownTensor`, `.unsupportedTensor`, `.invalidArgument` where the size is not known or not the
    ///   graph's.
    func shapes(input name: String?, height: Int?, width: Int?) throws -> [LayerShape?] {
        try Reserve.prepare(structureSize * Model.reservePerByte)
        let input = try input(named: name)
        let size = try input.size(height: height, width: width)
        let all = Set(graph.nodes.indices)
        let image = [size.height, size.width, input.channels ?? Self.colours]
        let one = try outputs(of: all, input, image, images: 1)
        return try shapes(
            of: tensors.map { TensorName(node: $0.name, output: 0) }, one, needed: all, input: input, image: image)
    }

    /// The numbers per pixel where neither the graph nor the user fixes them.
    private static let colours = 3

    /// The shapes of some tensors for an image. Ordinary networks have one row per image in each layer. Only where that
    /// is not so, shapes are followed for several images too.
    ///
    /// - Parameters:
    ///   - one: what is known of the outputs for one image, or for the only batch size that the graph takes
    ///   - needed: the nodes that run
    ///   - image: [height, width, channels]
    func shapes(
        of names: [TensorName], _ one: [TensorShapes.Outputs], needed: Set<Int>, input: Model.Input, image: [Int]
    ) throws -> [LayerShape?] {
        let shapes = names.map { shape(of: $0, one) }
        if let batch = input.batch {
            return shapes.map { $0.flatMap { LayerShape($0, of: batch, and: $0, of: batch) } }
        }
        if shapes.allSatisfy({ $0?.first == 1 }) { return shapes.map { $0.flatMap(LayerShape.init(dimensions:)) } }
        let several = try outputs(of: needed, input, image, images: Self.severalImages)
        return zip(names, shapes).map { name, shape in
            guard let shape, let further = self.shape(of: name, several) else { return nil }
            return LayerShape(shape, of: 1, and: further, of: Self.severalImages)
        }
    }

    private func outputs(
        of needed: Set<Int>, _ input: Model.Input, _ image: [Int], images: Int
    ) throws -> [TensorShapes.Outputs] {
        try TensorShapes.outputs(
            graph, topology, needed: needed, input: input.name, image: [input.batch ?? images] + image)
    }

    private func shape(of name: TensorName, _ outputs: [TensorShapes.Outputs]) -> [Int]? {
        let read = GraphDefinition.Input(name: name.node, output: name.output, isControl: false)
        return graph.index[name.node].flatMap { outputs[$0][read].shape }
    }
}

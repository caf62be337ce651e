import FNESupport

extension Model {
    /// A second batch size for which shapes are followed. What grows with the batch is seen by the difference.
    private static let severalImages = 3

    /// Checks that no tensor that the selected layers need is known to be too large.
    ///
    /// - Returns: for each layer its shape, or nil where it does not follow from the graph.
    /// - Throws: `.invalidGraph`, with the name of the node.
    package func checkShapes(
        input: Input, layers selected: [LayerSelection.Selected], height: Int, width: Int
    ) throws -> [LayerShape?] {
        let roots = selected.map(\.name.node) + [input.name.node]
        let needed = topology.ancestors(of: Set(roots.compactMap { graph.index[$0] }))
        let shape = try follow(needed, input, height: height, width: width) { one in
            selected.allSatisfy { one($0.name)?.first == 1 }
        }
        return selected.map { shape($0.name) }
    }

    /// The shapes of the tensors of the table `tensors` for an image's size; nil where a shape does not follow from the
    /// graph.
    ///
    /// - Parameters:
    ///   - name: the tensor that images are fed to; nil for the graph's only float32 placeholder
    ///   - height, width: the image's size in pixels; nil for what the placeholder fixes
    /// - Throws: `.unknownTensor`, `.unsupportedTensor`, `.invalidArgument` where the size is not known or not the
    ///   graph's, `.invalidGraph` where a tensor is too large.
    package func shapes(input name: String?, height: Int?, width: Int?) throws -> [LayerShape?] {
        try Reserve.prepare(structureSize * Self.reservePerByte)
        let input = try input(named: name)
        let size = try input.size(height: height, width: width)
        let all = Set(graph.nodes.indices)
        let shape = try follow(all, input, height: size.height, width: size.width) { _ in false }
        return tensors.map { shape(TensorName(node: $0.name, output: 0)) }
    }

    /// - Parameter isEnough: whether the shapes for one image say what is asked. Ordinary networks have one row per
    ///   image in each layer, so that shapes need not be followed for several images too.
    private func follow(
        _ needed: Set<Int>, _ input: Input, height: Int, width: Int, isEnough: ((TensorName) -> [Int]?) -> Bool
    ) throws -> (TensorName) -> LayerShape? {
        func follow(_ images: Int) throws -> (TensorName) -> [Int]? {
            let outputs = try TensorShapes.check(
                graph, topology, needed: needed, input: input.name, image: [input.batch ?? 1, height, width, 3],
                images: images)
            return { name in
                let read = GraphDefinition.Input(name: name.node, output: name.output, isControl: false)
                return self.graph.index[name.node].flatMap { outputs[$0][read].shape }
            }
        }
        let one = try follow(1)
        if let batch = input.batch {
            return { name in one(name).flatMap { LayerShape($0, of: batch, and: $0, of: batch) } }
        }
        if isEnough(one) { return { name in one(name).flatMap(LayerShape.init(dimensions:)) } }
        let several = try follow(Self.severalImages)
        return { name in
            guard let shape = one(name), let further = several(name) else { return nil }
            return LayerShape(shape, of: 1, and: further, of: Self.severalImages)
        }
    }
}

extension Model.Input {
    /// The size of the images in pixels, which the graph may fix.
    ///
    /// - Throws: `.invalidArgument`.
    package func size(height: Int?, width: Int?) throws -> (height: Int, width: Int) {
        (try side("height", height, self.height), try side("width", width, self.width))
    }

    private func side(_ name: String, _ wanted: Int?, _ fixed: Int?) throws -> Int {
        if let wanted, let fixed, wanted != fixed {
            throw FNEError(
                .invalidArgument, "\(name) is \(wanted), but the graph's input has a fixed \(name) of \(fixed)")
        }
        guard let size = wanted ?? fixed else {
            throw FNEError(.invalidArgument, "the graph does not fix the input's \(name); pass it as an option")
        }
        guard size >= 1, size <= 16_384 else {
            throw FNEError(.invalidArgument, "\(name) is \(size); it must be 1 to 16384")
        }
        return size
    }
}

/// Has TensorFlow check the ranks that it takes for granted, with an EnsureShape in front of what reads the tensor.
/// What ended the process is an error of the run then, which names the node.
///
/// - A kernel of a convolution ends the process where it is not given a map, and one of a list where its number is not
///   one. Where the shape is only known once the network runs, as after a condition, nothing tells before.
/// - TensorFlow's optimizer ends the process over a product with a bias that sums over the images of a batch. It takes
///   the product's inputs for tensors of unknown rank.
enum RankGuards {
    /// A tensor that is checked: the name of the node that reads it, the place among its data inputs, its rank and its
    /// type.
    struct Guard {
        let node: String
        let place: Int
        let rank: Int
        let type: DataType
    }

    /// The convolutions that read maps of two sides.
    static let convolutions: Set = ["Conv2D", "DepthwiseConv2dNative"]

    /// What an operation's kernel takes for granted: the place among its inputs, the rank there, and the attribute with
    /// the type. Sizes and numbers are int32 where there is none.
    private static let ranks: [String: [(place: Int, rank: Int, type: String)]] = [
        "Conv2D": [(0, 4, "T")], "DepthwiseConv2dNative": [(0, 4, "T")], "Conv3D": [(0, 5, "T")],
        "Conv2DBackpropInput": [(0, 1, ""), (2, 4, "T")], "Conv3DBackpropInputV2": [(0, 1, "Tshape"), (2, 5, "T")],
        "TensorListGetItem": [(1, 0, "")], "TensorListSetItem": [(1, 0, "")],
    ]

    /// The guards that a model needs.
    ///
    /// - Parameters:
    ///   - needed: the nodes that run
    ///   - outputs: the outputs of the nodes, as far as their shapes are known
    static func needed(in model: GraphDefNetwork, needed: Set<Int>, _ outputs: [TensorShapes.Outputs]) -> [Guard] {
        needed.sorted().flatMap { number -> [Guard] in
            let node = model.graph.nodes[number]
            let shapes = node.dataInputs.map { input in
                model.graph.index[input.name].flatMap { outputs[$0][input].shape }
            }
            if let known = ranks[node.operation] {
                return known.filter { shapes.indices.contains($0.place) && shapes[$0.place]?.count != $0.rank }.map {
                    Guard(
                        node: node.name, place: $0.place, rank: $0.rank,
                        type: node.type($0.type) ?? ($0.rank < 2 ? .int32 : .float32))
                }
            }
            guard node.facts.layer == .dense, sumsOverRows(node, model) else { return [] }
            return shapes.indices.compactMap { place in
                let isMatrix = node.operation == "MatMul" || shapes[place]?.count == 2
                guard isMatrix, !isConstant(node.dataInputs[place], model) else { return nil }
                return Guard(node: node.name, place: place, rank: 2, type: node.type("T") ?? .float32)
            }
        }
    }

    /// Whether a product may sum over the rows of what is computed. A dense layer does not.
    private static func sumsOverRows(_ node: GraphDefinition.Node, _ model: GraphDefNetwork) -> Bool {
        guard node.dataInputs.count == 2 else { return false }
        return node.flag("transpose_a") || node.flag("adj_x") || !isConstant(node.dataInputs[1], model)
    }

    /// Whether a tensor is a constant, also where nodes pass it on.
    private static func isConstant(_ input: GraphDefinition.Input, _ model: GraphDefNetwork) -> Bool {
        var input = input
        for _ in 0..<8 {
            guard let number = model.graph.index[input.name] else { return false }
            let node = model.graph.nodes[number]
            if node.operation == "Const" { return true }
            guard node.isAny(.keepsTensor), let next = node.dataInputs.first else { return false }
            input = next
        }
        return false
    }

    /// - Returns: the model itself where there are no guards.
    static func apply(_ guards: [Guard], to model: GraphDefNetwork) throws -> GraphDefNetwork {
        guard !guards.isEmpty else { return model }
        var draft = GraphDraft(model.graph, model.serialized)
        for check in guards {
            guard let number = draft.number(of: check.node) else { continue }
            let node = draft.nodes[number]
            let places = node.inputs.indices.filter { !node.inputs[$0].isControl }
            guard places.indices.contains(check.place) else { continue }
            let name = draft.free("fne/rank/\(node.name)")
            try draft.add(
                name, operation: "EnsureShape", inputs: [node.inputs[places[check.place]]],
                attributes: [
                    "T": AttributeValue.type(check.type),
                    "shape": AttributeValue.shape([Int](repeating: -1, count: check.rank)),
                ], before: number)
            var inputs = node.inputs
            inputs[places[check.place]] = GraphDefinition.Input(TensorName(node: name, output: 0))
            draft.setInputs(number, inputs)
        }
        return draft.isUnchanged ? model : try model.rewritten(draft)
    }
}

/// Has TensorFlow check the ranks that it takes for granted, with an EnsureShape in front of what reads the tensor.
/// What ended the process is an error of the run then, which names the node.
///
/// - A kernel of a convolution ends the process where it is not given a map, and one of a list where its number is not
///   one. Where the shape is only known once the network runs, as after a condition, nothing tells before.
/// - A kernel of a TensorScatter ends it where its updates have fewer dimensions than its indices need. EnsureShape
///   cannot compare two ranks. A Transpose that keeps all axes can, since it refuses an order of too many axes.
/// - TensorFlow's optimizer ends the process over a product with a bias that sums over the images of a batch. It takes
///   the product's inputs for tensors of unknown rank.
enum RankGuards {
    /// A tensor that is checked: the name of the node that reads it, the place among its data inputs, what it must have
    /// and its type.
    struct Guard {
        let node: String
        let place: Int
        let demand: Demand
        let type: DataType
    }

    enum Demand {
        case rank(Int)
        /// At least as many dimensions as another data input of the node, less one.
        case indexed(by: Int, ofType: DataType)
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
                        node: node.name, place: $0.place, demand: .rank($0.rank),
                        type: node.type($0.type) ?? ($0.rank < 2 ? .int32 : .float32))
                }
            }
            if node.operation.hasPrefix("TensorScatter") { return scattering(node, shapes) }
            guard node.facts.layer == .dense, sumsOverRows(node, model) else { return [] }
            return shapes.indices.compactMap { place in
                let isMatrix = node.operation == "MatMul" || shapes[place]?.count == 2
                guard isMatrix, !isConstant(node.dataInputs[place], model) else { return nil }
                return Guard(node: node.name, place: place, demand: .rank(2), type: node.type("T") ?? .float32)
            }
        }
    }

    /// The guard of the updates, unless their rank is known to fit that of the indices.
    private static func scattering(_ node: GraphDefinition.Node, _ shapes: [[Int]?]) -> [Guard] {
        guard shapes.count == 3 else { return [] }
        if let indices = shapes[1]?.count, let updates = shapes[2]?.count, updates >= indices - 1 { return [] }
        let demand = Demand.indexed(by: 1, ofType: node.type("Tindices") ?? .int32)
        return [Guard(node: node.name, place: 2, demand: demand, type: node.type("T") ?? .float32)]
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
            let tensor = node.inputs[places[check.place]]
            var inputs = node.inputs
            switch check.demand {
            case .rank(let rank):
                inputs[places[check.place]] = try draft.add(
                    "EnsureShape", [tensor],
                    [
                        "T": AttributeValue.type(check.type),
                        "shape": AttributeValue.shape([Int](repeating: -1, count: rank)),
                    ], before: number)
            case .indexed(let place, let type):
                guard places.indices.contains(place) else { continue }
                inputs[places[check.place]] = try compared(
                    tensor, check.type, node.inputs[places[place]], type, &draft, before: number)
            }
            draft.setInputs(number, inputs)
        }
        return draft.isUnchanged ? model : try model.rewritten(draft)
    }

    /// Adds the nodes that refuse updates of too few dimensions. Returns the updates as they pass them.
    private static func compared(
        _ updates: GraphDefinition.Input, _ type: DataType, _ indices: GraphDefinition.Input, _ indexType: DataType,
        _ draft: inout GraphDraft, before number: Int
    ) throws -> GraphDefinition.Input {
        func integer(_ value: Int) throws -> GraphDefinition.Input {
            GraphDefinition.Input(
                try draft.add(
                    integers: [value], shape: [], named: "fne/rank/\(draft.nodes[number].name)", before: number))
        }
        let one = try integer(1)
        let rank = try draft.add("Rank", [updates], ["T": AttributeValue.type(type)], before: number)
        let other = try draft.add("Rank", [indices], ["T": AttributeValue.type(indexType)], before: number)
        let least = try draft.add("Sub", [other, one], ["T": AttributeValue.type(.int32)], before: number)
        let most = try draft.add("Maximum", [rank, least], ["T": AttributeValue.type(.int32)], before: number)
        let axes = try draft.add(
            "Range", [integer(0), most, one], ["Tidx": AttributeValue.type(.int32)], before: number)
        return try draft.add(
            "Transpose", [updates, axes], ["T": AttributeValue.type(type), "Tperm": AttributeValue.type(.int32)],
            before: number)
    }
}

extension GraphDraft {
    /// Adds a node of a guard, with one output.
    fileprivate mutating func add(
        _ operation: String, _ inputs: [GraphDefinition.Input], _ attributes: KeyValuePairs<String, [UInt8]>,
        before number: Int
    ) throws -> GraphDefinition.Input {
        let name = free("fne/rank/\(nodes[number].name)")
        var given: GraphEditor.Attributes = [:]
        for (key, value) in attributes { given[key] = value }
        try add(name, operation: operation, inputs: inputs, attributes: given, before: number)
        return GraphDefinition.Input(TensorName(node: name, output: 0))
    }
}

/// The layers that cannot be taken, because they stand in a loop, in a condition that is not known, or in a function
/// that cannot be put in place of its call.
struct HiddenLayers {
    /// A node with the layers in it.
    struct Place {
        let node: String
        /// The node's kind in words.
        let kind: String
        let count: Int
    }

    private(set) var places: [Place] = []

    private let functions: [String: GraphDefinition.Function]

    init(_ graph: GraphDefinition, _ topology: GraphTopology, _ controlFlow: ControlFlow) {
        functions = Dictionary(graph.functions.map { ($0.name, $0) }) { first, _ in first }
        addCalls(graph, topology)
        guard controlFlow.hasAny else { return }
        for number in topology.order where controlFlow.contains(number) && !topology.isConstant[number] {
            guard let kind = graph.nodes[number].facts.layer else { continue }
            if kind == .dense, topology.inputs[number].allSatisfy({ !topology.isConstant[$0] }) { continue }
            places.append(Place(node: graph.nodes[number].name, kind: "in a loop or a condition", count: 1))
        }
    }

    /// What a user should know, in a sentence; nil where no layer is hidden.
    var note: String? {
        guard let first = places.first else { return nil }
        let count = places.reduce(0) { $0 + $1.count }
        let others = places.count > 1 ? ", and so do those of \(places.count - 1) more nodes" : ""
        return
            "\(count) convolutions and dense layers cannot be taken. \(first.count) stand in '\(first.node)', which is "
            + "\(first.kind)\(others). Give the values of conditions as feeds, or freeze the model without loops"
    }

    private mutating func addCalls(_ graph: GraphDefinition, _ topology: GraphTopology) {
        guard !functions.isEmpty else { return }
        for number in topology.order {
            let node = graph.nodes[number]
            let count = layers(calledBy: node, topology.inputs[number].map { topology.isConstant[$0] }, depth: 0)
            if count > 0 { places.append(Place(node: node.name, kind: Self.kind(of: node), count: count)) }
        }
    }

    private static func kind(of node: GraphDefinition.Node) -> String {
        switch node.operation {
        case "If", "StatelessIf", "Case", "StatelessCase": "a condition"
        case "While", "StatelessWhile": "a loop"
        default: "a call of a function that cannot be put in its place"
        }
    }

    /// The number of layers in the functions that a node calls.
    private func layers(calledBy node: GraphDefinition.Node, _ isConstant: [Bool], depth: Int) -> Int {
        let names = [node.operation] + node.attributes.values.flatMap(\.functions)
        let called = Set(names).compactMap { functions[$0] }
        guard !called.isEmpty, depth < GraphExpansion.nestingLimit else { return 0 }
        let isCondition = ["If", "StatelessIf", "Case", "StatelessCase"].contains(node.operation)
        let given = isCondition ? Array(isConstant.dropFirst()) : isConstant
        return called.reduce(0) { $0 + layers(in: $1, given, depth: depth + 1) }
    }

    private func layers(in function: GraphDefinition.Function, _ given: [Bool], depth: Int) -> Int {
        let index = Dictionary(function.nodes.enumerated().map { ($1.name, $0) }) { first, _ in first }
        guard let order = try? GraphTopology.order(function.nodes, of: "a function", number: { index[$0.source] })
        else { return 0 }
        let arguments = Dictionary(zip(function.arguments, given)) { first, _ in first }
        var isConstant = [Bool](repeating: false, count: function.nodes.count)
        var count = 0
        for place in order {
            let node = function.nodes[place]
            let inputs = node.dataInputs.map { input in
                index[input.source].map { isConstant[$0] } ?? arguments[input.source] ?? false
            }
            isConstant[place] =
                node.operation == "Const"
                || (!inputs.isEmpty && node.isAny([.computes, .keepsTensor]) && inputs.allSatisfy { $0 })
            if let kind = node.facts.layer, !isConstant[place] {
                count += kind != .dense || inputs.contains(true) ? 1 : 0
            }
            count += layers(calledBy: node, inputs, depth: depth)
        }
        return count
    }
}

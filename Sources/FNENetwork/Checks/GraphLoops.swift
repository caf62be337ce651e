import FNESupport

/// Refuses loops that do not end, where that can be seen. The condition of such a loop reads nothing that the loop
/// changes. If it holds once, it holds for ever, and the call that runs the network does not return. The check is made
/// whatever the caller allows. How often another loop runs cannot be told from the graph.
enum GraphLoops {
    /// - Throws: `.invalidGraph`, with the name of the loop's node.
    static func check(_ graph: GraphDefinition) throws {
        for nodes in [graph.nodes] + graph.functions.map(\.nodes)
        where nodes.contains(where: { loops.contains($0.operation) }) {
            try check(Part(nodes), graph)
        }
    }

    private static let loops: Set = ["While", "StatelessWhile", "LoopCond"]

    /// The nodes of the graph or of a function.
    private struct Part {
        let nodes: [GraphDefinition.Node]
        let index: [String: Int]

        init(_ nodes: [GraphDefinition.Node]) {
            self.nodes = nodes
            index = Dictionary(nodes.enumerated().map { ($1.name, $0) }) { first, _ in first }
        }

        /// The node that an input reads; nil for an argument of a function.
        func source(of input: GraphDefinition.Input) -> Int? { index[input.source] }

        /// The node or the argument whose value a tensor is, before nodes that pass it on.
        func origin(of input: GraphDefinition.Input) -> String {
            var input = input
            for _ in nodes {
                guard let number = source(of: input),
                    nodes[number].isAny(.keepsBits) || nodes[number].operation == "Switch",
                    let next = nodes[number].dataInputs.first
                else { break }
                input = next
            }
            return input.source
        }
    }

    private static func check(_ part: Part, _ graph: GraphDefinition) throws {
        for node in part.nodes where loops.contains(node.operation) {
            guard node.operation == "LoopCond" ? mayEnd(node, part) : mayEnd(node, graph) else {
                throw FNEError(
                    .invalidGraph,
                    "the loop of node '\(node.name)' (\(node.operation)) has a condition that reads nothing that the "
                        + "loop changes, so that it would never end. Take it out, and freeze the model again")
            }
        }
    }

    /// Whether a loop of functions changes what its condition reads. Argument and result of the same number are one
    /// variable of the loop.
    private static func mayEnd(_ node: GraphDefinition.Node, _ graph: GraphDefinition) -> Bool {
        func function(_ attribute: String) -> GraphDefinition.Function? {
            let name = node.attributes[attribute]?.functions.first
            return graph.functions.first { $0.name == name }
        }
        guard let condition = function("cond"), let body = function("body"),
            let result = condition.results.first.flatMap({ condition.returned[$0] })
        else { return true }
        let part = Part(body.nodes)
        let changed = zip(body.arguments, body.results).map { argument, result in
            part.origin(of: input(body.returned[result] ?? "")) != argument
        }
        let read = arguments(of: input(result), in: Part(condition.nodes))
        return zip(condition.arguments, changed).contains { read.contains($0) && $1 }
    }

    private static func input(_ text: String) -> GraphDefinition.Input {
        GraphDefinition.Input(name: text, output: 0, isControl: false)
    }

    /// The arguments of a function that a tensor of it depends on.
    private static func arguments(of result: GraphDefinition.Input, in part: Part) -> Set<String> {
        var arguments = Set<String>()
        var seen = Set<Int>()
        var pending = [result]
        while let input = pending.popLast() {
            guard let number = part.source(of: input) else {
                arguments.insert(input.source)
                continue
            }
            if seen.insert(number).inserted { pending += part.nodes[number].dataInputs }
        }
        return arguments
    }

    /// Whether a loop of single nodes changes what its condition reads. A variable of the loop is a Merge of its first
    /// value, which is an Enter's, and its next one, which is a NextIteration's.
    private static func mayEnd(_ condition: GraphDefinition.Node, _ part: Part) -> Bool {
        var seen = Set<Int>()
        var pending = condition.dataInputs
        while let input = pending.popLast() {
            guard let number = part.source(of: input), seen.insert(number).inserted else { continue }
            let node = part.nodes[number]
            switch node.operation {
            case "Enter": continue // a value from outside the loop
            case "Exit": return true // that of another loop
            case "Merge":
                let next = node.dataInputs.compactMap { part.source(of: $0).map { part.nodes[$0] } }
                    .first { $0.operation == "NextIteration" }
                guard let value = next?.dataInputs.first else { break }
                if part.origin(of: value) != node.name { return true }
            default: break
            }
            pending += node.dataInputs
        }
        return false
    }
}

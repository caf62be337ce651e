/// How many conditions and loops each node of a graph stands in, where TensorFlow 1 wrote them as single nodes: Switch
/// and Merge for a condition, Enter and Exit for a loop. What stands in one does not always run, or runs several times.
struct ControlFlow {
    /// Whether any node stands in a condition or a loop.
    let hasAny: Bool
    private let depths: [Int]

    /// - Parameters:
    ///   - order: the nodes, in an order in which each comes after its inputs
    ///   - number: the number of the node that an input reads
    init(_ nodes: [GraphDefinition.Node], order: [Int], number: (GraphDefinition.Input) -> Int?) {
        hasAny = nodes.contains { $0.operation == "Switch" || $0.operation == "Enter" }
        guard hasAny else {
            depths = []
            return
        }
        var depths = [Int](repeating: 0, count: nodes.count)
        var after = depths // the depth of what reads a node
        for place in order {
            let node = nodes[place]
            let inputs = node.inputs.compactMap(number)
            depths[place] = inputs.map { after[$0] }.max() ?? 0
            let operations = inputs.map { nodes[$0].operation }
            let isOfLoop = operations.contains("NextIteration") || operations.contains("LoopCond")
            let change =
                switch node.operation {
                case "Enter": 1
                case "Exit": -1
                case "Switch": isOfLoop ? 0 : 1
                case "Merge": isOfLoop ? 0 : -1
                default: 0
                }
            after[place] = max(0, depths[place] + change)
        }
        self.depths = depths
    }

    /// Whether a node stands in a condition or a loop.
    func contains(_ number: Int) -> Bool { hasAny && depths[number] > 0 }
}

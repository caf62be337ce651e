import FNESupport

/// The structure of a graph: which nodes read which, in which order they can be computed, and which nodes depend on
/// constants alone. A node's number is its index in `GraphDefinition.nodes`.
struct GraphTopology: Sendable {
    /// The nodes, in an order in which each comes after its inputs. It is the order of the file, where that fits.
    let order: [Int]
    /// For each node, the nodes whose outputs it reads, in the order of its inputs.
    let inputs: [[Int]]
    /// For each node, the nodes that read any of its outputs, once per edge.
    let readers: [[Int]]
    /// For a node, the nodes that wait for it without reading from it.
    let controlReaders: [Int: [Int]]
    /// Whether a node's value depends on constants alone. What is not known to compute only, such as a random number or
    /// the content of a file, is no constant.
    let isConstant: [Bool]

    private let graph: GraphDefinition

    /// - Throws: `.invalidGraph` for a cycle, with the name of a node on it.
    init(_ graph: GraphDefinition) throws {
        self.graph = graph
        let order = try Self.order(graph.nodes, of: "the graph") { graph.index[$0.name] }
        let inputs = graph.nodes.map { node in node.inputs.compactMap { $0.isControl ? nil : graph.index[$0.name] } }
        var readers = [[Int]](repeating: [], count: graph.nodes.count)
        var isConstant = [Bool](repeating: false, count: graph.nodes.count)
        for number in order {
            let operation = graph.nodes[number].operation
            for input in inputs[number] { readers[input].append(number) }
            isConstant[number] =
                operation == "Const"
                || (!inputs[number].isEmpty && graph.nodes[number].isAny([.computes, .keepsTensor])
                    && !graph.nodes[number].isAny([.placeholder, .random])
                    && inputs[number].allSatisfy { isConstant[$0] })
        }
        var controlReaders: [Int: [Int]] = [:]
        for (number, node) in graph.nodes.enumerated() {
            for input in node.inputs where input.isControl {
                if let awaited = graph.index[input.name] { controlReaders[awaited, default: []].append(number) }
            }
        }
        self.order = order
        self.inputs = inputs
        self.readers = readers
        self.isConstant = isConstant
        self.controlReaders = controlReaders
    }

    /// The nodes themselves and all nodes that they need, control inputs included.
    func ancestors(of nodes: Set<Int>) -> Set<Int> {
        var found = nodes
        var pending = Array(nodes)
        while let number = pending.popLast() {
            for input in graph.nodes[number].inputs {
                if let next = graph.index[input.name], found.insert(next).inserted { pending.append(next) }
            }
        }
        return found
    }

    /// The Const node that a node passes on, by way of operations with these traits. Nil where there is none within 16
    /// nodes.
    func storedConstant(_ number: Int, through traits: Operation.Traits = .keepsBits) -> Int? {
        var number = number
        for _ in 0..<16 {
            let node = graph.nodes[number]
            if node.operation == "Const" { return number }
            guard node.isAny(traits), let input = node.dataInputs.first, input.output == 0,
                let next = graph.index[input.name]
            else { return nil }
            number = next
        }
        return nil
    }

    /// Finds the order by a depth-first search from each node of the file. A file that is in such an order keeps it.
    /// Loops of TensorFlow's old control flow are cut where they close, which is after a NextIteration. Any other cycle
    /// is an error.
    ///
    /// - Parameters:
    ///   - whole: what the nodes are part of, in words
    ///   - number: the number of the node that an input reads; nil for an argument of a function
    static func order(
        _ nodes: [GraphDefinition.Node], of whole: String, number: (GraphDefinition.Input) -> Int?
    ) throws -> [Int] {
        var order: [Int] = []
        order.reserveCapacity(nodes.count)
        var state = [UInt8](repeating: 0, count: nodes.count) // 0 new, 1 being visited, 2 done
        for root in nodes.indices where state[root] == 0 {
            var stack: [(node: Int, next: Int)] = [(root, 0)]
            state[root] = 1
            while let (node, next) = stack.last {
                let inputs = nodes[node].inputs
                guard next < inputs.count else {
                    state[node] = 2
                    order.append(node)
                    stack.removeLast()
                    continue
                }
                stack[stack.count - 1].next += 1
                guard let input = number(inputs[next]), nodes[input].operation != "NextIteration" else { continue }
                if state[input] == 1 {
                    throw FNEError(.invalidGraph, "\(whole) has a cycle through '\(nodes[node].name)'")
                }
                if state[input] == 0 {
                    state[input] = 1
                    stack.append((input, 0))
                }
            }
        }
        return order
    }
}

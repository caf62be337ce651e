import FNESupport

/// The structure of an ONNX graph: which nodes make and read which values, in which order nodes can be computed, and
/// which values depend on constants alone. A node's number is its index in the graph, and a value has a number too.
struct ONNXTopology: Sendable {
    /// The names of the values.
    let names: [String]
    /// The number of each value, by its name.
    let number: [String: Int]
    /// The node that makes a value; nil for an input of the graph and a constant.
    let producers: [Int?]
    /// The nodes that read a value, once per node, in the order of the file. A node whose subgraph reads it is one.
    let readers: [[Int]]
    /// The values that each node reads, in the order of its inputs; nil for an input that is left out. Values that only
    /// its subgraphs read come after.
    let inputs: [[Int?]]
    /// The values that each node makes; nil for one that is left out.
    let outputs: [[Int?]]
    /// The nodes, in an order in which each comes after its inputs. It is the order of the file, where that fits.
    let order: [Int]
    /// Whether a value depends on constants alone.
    let isConstant: [Bool]
    /// Whether a value is computed from constants and shapes alone, as sizes are.
    let isSize: [Bool]
    /// The constants of the file by their values' numbers, those of Constant nodes included.
    let constants: [Int: ONNXTensor]

    /// - Throws: `.invalidGraph` for a value that nothing makes, one that is made twice, and a cycle.
    init(_ graph: ONNXDefinition.Graph) throws {
        var draft = try ONNXTopologyDraft(graph)
        try draft.connect(graph)
        let order = try draft.order(graph)
        names = draft.names
        number = draft.number
        producers = draft.producers
        readers = draft.readers
        inputs = draft.inputs
        outputs = draft.outputs
        constants = draft.constants
        self.order = order
        isConstant = draft.computed(graph, order) { $0.constant != nil }
        isSize = draft.computed(graph, order) { $0.constant != nil || $0.isAny(.readsShape) }
    }

    /// The only reader of a value's numbers; nil where there are none or several. A node that reads only the shape does
    /// not count.
    func onlyReader(_ value: Int, _ graph: ONNXDefinition.Graph) -> Int? {
        let readers = valueReaders(value, graph)
        return readers.count == 1 ? readers.first : nil
    }

    /// The nodes that read a value's numbers.
    func valueReaders(_ value: Int, _ graph: ONNXDefinition.Graph) -> [Int] {
        readers[value].filter { !graph.nodes[$0].isAny(.readsShape) }
    }
}

/// The parts of a topology, while they are put together.
private struct ONNXTopologyDraft {
    var names: [String] = []
    var number: [String: Int] = [:]
    var producers: [Int?] = []
    var readers: [[Int]] = []
    var inputs: [[Int?]] = []
    var outputs: [[Int?]] = []
    var constants: [Int: ONNXTensor] = [:]

    /// Numbers all values.
    init(_ graph: ONNXDefinition.Graph) throws {
        for tensor in graph.constants { constants[try add(tensor.name, by: nil)] = tensor }
        // Old files name constants among the inputs too.
        for input in graph.inputs where number[input.name] == nil { _ = try add(input.name, by: nil) }
        for (place, node) in graph.nodes.enumerated() {
            var made: [Int?] = []
            for name in node.outputs { try made.append(name.isEmpty ? nil : add(name, by: place)) }
            outputs.append(made)
            if let constant = node.constant, let value = outputs[place].first ?? nil { constants[value] = constant }
        }
        readers = Array(repeating: [], count: names.count)
    }

    private mutating func add(_ name: String, by node: Int?) throws -> Int {
        guard !name.isEmpty, number.updateValue(names.count, forKey: name) == nil else {
            throw FNEError(
                .invalidGraph,
                name.isEmpty
                    ? "an input or a constant of the ONNX model has no name"
                    : "the ONNX model makes the value '\(name)' twice")
        }
        names.append(name)
        producers.append(node)
        return names.count - 1
    }

    mutating func connect(_ graph: ONNXDefinition.Graph) throws {
        for (place, node) in graph.nodes.enumerated() {
            var read: [Int?] = []
            for name in node.inputs {
                guard name.isEmpty || number[name] != nil else {
                    throw FNEError(.invalidGraph, "\(node.title) reads '\(name)', but the graph has no such value")
                }
                read.append(number[name])
            }
            if !node.subgraphs.isEmpty {
                var free = Set<String>()
                for subgraph in node.subgraphs { try collectFree(subgraph, inside: [], to: &free) }
                read += free.subtracting(node.inputs).compactMap { number[$0] }.sorted().map(Optional.some)
            }
            inputs.append(read)
            for value in Set(read.compactMap { $0 }) { readers[value].append(place) }
        }
    }

    /// The values of the graph that a subgraph reads.
    ///
    /// - Parameter scopes: the names of the graphs between the subgraph and the graph
    private func collectFree(
        _ graph: ONNXDefinition.Graph, inside scopes: [Set<String>], to free: inout Set<String>
    ) throws {
        var own = Set(graph.constants.map(\.name)).union(graph.inputs.map(\.name))
        for node in graph.nodes { own.formUnion(node.outputs) }
        let scopes = scopes + [own]
        func isFree(_ name: String) -> Bool { !name.isEmpty && !scopes.contains { $0.contains(name) } }
        for node in graph.nodes {
            for name in node.inputs where isFree(name) {
                guard number[name] != nil else {
                    throw FNEError(.invalidGraph, "\(node.title) reads '\(name)', but the graph has no such value")
                }
                free.insert(name)
            }
            for subgraph in node.subgraphs { try collectFree(subgraph, inside: scopes, to: &free) }
        }
        for output in graph.outputs where isFree(output.name) && number[output.name] != nil { free.insert(output.name) }
    }

    /// Finds the order by a depth-first search from each node of the file.
    func order(_ graph: ONNXDefinition.Graph) throws -> [Int] {
        var order: [Int] = []
        order.reserveCapacity(graph.nodes.count)
        var state = [UInt8](repeating: 0, count: graph.nodes.count) // 0 new, 1 being visited, 2 done
        for root in graph.nodes.indices where state[root] == 0 {
            var stack: [(node: Int, next: Int)] = [(root, 0)]
            state[root] = 1
            while let (node, next) = stack.last {
                guard next < inputs[node].count else {
                    state[node] = 2
                    order.append(node)
                    stack.removeLast()
                    continue
                }
                stack[stack.count - 1].next += 1
                guard let input = inputs[node][next].flatMap({ producers[$0] }) else { continue }
                if state[input] == 1 {
                    throw FNEError(.invalidGraph, "the ONNX model has a cycle through \(graph.nodes[node].title)")
                }
                if state[input] == 0 {
                    state[input] = 1
                    stack.append((input, 0))
                }
            }
        }
        return order
    }

    /// Which values are computed of those that nodes begin with, and of constants.
    func computed(
        _ graph: ONNXDefinition.Graph, _ order: [Int], begins: (ONNXDefinition.Node) -> Bool
    ) -> [Bool] {
        var result = [Bool](repeating: false, count: names.count)
        for value in constants.keys { result[value] = true }
        for place in order {
            let node = graph.nodes[place]
            let read = inputs[place].compactMap { $0 }
            guard begins(node) || (!read.isEmpty && !node.isAny(.random) && read.allSatisfy { result[$0] })
            else { continue }
            for output in outputs[place] { if let output { result[output] = true } }
        }
        return result
    }
}

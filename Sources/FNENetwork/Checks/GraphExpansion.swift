import FNESupport

/// Checks what a graph becomes when TensorFlow puts the bodies of functions in place of their calls. It does so without
/// end for a function that calls itself. A chain of thirty functions, each of which calls the next one twice, becomes a
/// billion nodes. TensorFlow's optimizer follows a chain of nodes by recursion, so that a deep graph ends the process.
/// The checks are made whatever the caller allows.
enum GraphExpansion {
    /// The most nodes that calls of functions may add. The largest networks have some ten thousand nodes in all.
    static let addedLimit = 200_000
    /// The most functions that may be called within each other. Keras makes one per nested model.
    static let nestingLimit = 64
    /// The most nodes that may follow one after the other. A residual network of a thousand layers has about 5,000.
    /// TensorFlow 2.21 survives 30,000, also on a thread with a small stack.
    static let depthLimit = 10_000

    /// A function with all that it calls.
    private struct Expanded {
        var count = 0
        var depth = 0
        var nesting = 1
    }

    /// - Throws: `.invalidGraph`, with the name of the function or of the node.
    static func check(_ graph: GraphDefinition, _ topology: GraphTopology) throws {
        let calls = try Calls(graph)
        var expanded = [Expanded](repeating: Expanded(), count: graph.functions.count)
        for number in calls.order {
            let function = graph.functions[number]
            expanded[number] = try expand(function.nodes, calls[number], expanded, of: function)
        }
        try expandGraph(graph, topology, calls, expanded)
    }

    private static func expand(
        _ nodes: [GraphDefinition.Node], _ calls: [[Int]], _ expanded: [Expanded], of function: GraphDefinition.Function
    ) throws -> Expanded {
        let whole = "the function '\(function.name)'"
        let index = Dictionary(nodes.enumerated().map { ($1.name, $0) }) { first, _ in first }
        let order = try GraphTopology.order(nodes, of: whole) { index[$0.source] }
        let result = try measure(nodes, order, calls, expanded) { index[$0.source] }
        guard result.nesting <= nestingLimit else {
            throw FNEError(
                .invalidGraph,
                "\(whole) calls functions that call functions, \(result.nesting) deep; at most \(nestingLimit) are "
                    + "allowed. Freeze the model with its functions inlined")
        }
        return result
    }

    private static func expandGraph(
        _ graph: GraphDefinition, _ topology: GraphTopology, _ calls: Calls, _ expanded: [Expanded]
    ) throws {
        _ = try measure(graph.nodes, topology.order, calls.ofGraph, expanded) { graph.index[$0.name] }
    }

    /// Counts nodes and the longest chain of them, each call with what it stands for.
    private static func measure(
        _ nodes: [GraphDefinition.Node], _ order: [Int], _ calls: [[Int]], _ expanded: [Expanded],
        number: (GraphDefinition.Input) -> Int?
    ) throws -> Expanded {
        var result = Expanded()
        var added = 0
        var depths = [Int](repeating: 0, count: nodes.count)
        for place in order {
            let node = nodes[place]
            let called = calls[place].map { expanded[$0] }
            // A node that closes a loop comes later in the order. It has no depth yet, so that the loop is cut there.
            var before = 0
            for input in node.inputs {
                if let source = number(input) { before = max(before, depths[source]) }
            }
            depths[place] = before + 1 + (called.map(\.depth).max() ?? 0)
            added += called.reduce(0) { $0 + $1.count }
            result.depth = max(result.depth, depths[place])
            result.nesting = max(result.nesting, 1 + (called.map(\.nesting).max() ?? 0))
            guard added <= addedLimit else {
                throw FNEError(
                    .invalidGraph,
                    "with node '\(node.name)' (\(node.operation)) the calls of functions stand for more than "
                        + "\(addedLimit) nodes. Freeze the model with its functions inlined")
            }
            guard result.depth <= depthLimit else {
                throw FNEError(
                    .invalidGraph,
                    "node '\(node.name)' (\(node.operation)) stands at the end of a chain of more than \(depthLimit) "
                        + "nodes, which TensorFlow may not survive. Simplify the graph, and freeze it again")
            }
        }
        result.count = nodes.count + added
        return result
    }
}

/// Which functions the nodes of a graph and of its functions call.
private struct Calls {
    /// The functions, in an order in which each comes after those that it calls.
    private(set) var order: [Int] = []
    /// For each node of the graph, the numbers of the functions that it may call.
    private(set) var ofGraph: [[Int]] = []
    private var ofFunctions: [[[Int]]] = []

    /// The attributes by which operations take the functions that they call.
    private static let callees = ["f", "then_branch", "else_branch", "cond", "body", "branches"]

    /// - Throws: `.invalidGraph` for functions that share a name, call themselves, or call what their callers give.
    init(_ graph: GraphDefinition) throws {
        var numbers: [String: Int] = [:]
        for (number, function) in graph.functions.enumerated() {
            guard numbers.updateValue(number, forKey: function.name) == nil else {
                throw FNEError(.invalidGraph, "two functions are named '\(function.name)'")
            }
        }
        // TensorFlow may call another function of the same interface.
        let alike = Dictionary(grouping: graph.functions.indices) { graph.functions[$0].interface }
        func called(by node: GraphDefinition.Node) -> [Int] {
            var found = Set(node.attributes.values.flatMap(\.functions).compactMap { numbers[$0] })
            if let direct = numbers[node.operation] { found.insert(direct) }
            for number in found where graph.functions[number].interface != nil {
                found.formUnion(alike[graph.functions[number].interface] ?? [])
            }
            return found.sorted()
        }
        guard !numbers.isEmpty else {
            ofGraph = Array(repeating: [], count: graph.nodes.count)
            return
        }
        ofGraph = graph.nodes.map(called)
        for function in graph.functions {
            for node in function.nodes {
                for name in Self.callees {
                    guard case .placeholder? = node.attributes[name] else { continue }
                    throw FNEError(
                        .invalidGraph,
                        "node '\(node.name)' of function '\(function.name)' calls a function that the caller gives, "
                            + "which cannot be checked. Freeze the model with its functions inlined")
                }
            }
            ofFunctions.append(function.nodes.map(called))
        }
        order = try sorted(graph)
    }

    /// For each node of a function, the numbers of the functions that it may call.
    subscript(function: Int) -> [[Int]] { ofFunctions[function] }

    private func sorted(_ graph: GraphDefinition) throws -> [Int] {
        let edges = ofFunctions.map { Set($0.joined()).sorted() }
        var order: [Int] = []
        var state = [UInt8](repeating: 0, count: edges.count) // 0 new, 1 being visited, 2 done
        for root in edges.indices where state[root] == 0 {
            var stack: [(function: Int, next: Int)] = [(root, 0)]
            state[root] = 1
            while let (function, next) = stack.last {
                guard next < edges[function].count else {
                    state[function] = 2
                    order.append(function)
                    stack.removeLast()
                    continue
                }
                stack[stack.count - 1].next += 1
                let callee = edges[function][next]
                if state[callee] == 1 {
                    throw FNEError(
                        .invalidGraph,
                        "the function '\(graph.functions[callee].name)' calls itself, directly or through others. "
                            + "TensorFlow would not end. Freeze the model without recursive functions")
                }
                if state[callee] == 0 {
                    state[callee] = 1
                    stack.append((callee, 0))
                }
            }
        }
        return order
    }
}

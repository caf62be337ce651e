import FNESupport

/// Checks the sizes that a graph asks for by constants. A few bytes can ask TensorFlow for terabytes of memory, or for
/// hours of work. The checks are made whatever the caller allows. They cannot see sizes that a graph computes.
enum GraphSizes {
    /// The most elements that one operation may ask for.
    static let limit = 1 << 28
    /// The longest side of a map. A network's input may not be longer either.
    static let sideLimit = 16_384

    /// The most bytes that one constant may declare. A serialized tensor cannot hold more.
    static let constantLimit = 1 << 31

    /// - Parameter size: the size of the serialized graph in bytes
    /// - Throws: `.invalidGraph`, with the name of the node.
    static func check(_ graph: GraphDefinition, size: Int) throws {
        try checkConstants(graph, size: size)
        try check(graph.nodes)
        for function in graph.functions { try check(function.nodes) }
    }

    /// Checks the nodes of the graph, or those of one function.
    private static func check(_ nodes: [GraphDefinition.Node]) throws {
        var byName: [String: GraphDefinition.Node] = [:]
        for node in nodes where node.isAny(.makesSizes) || node.operation == "Const" { byName[node.name] = node }
        for node in nodes {
            for place in node.facts.sizes where place < node.inputs.count {
                let numbers = constants(node.inputs[place], byName, depth: 0)
                let largest = node.isAny(.sizesAreSides) ? sideLimit : limit
                var product = 1
                for number in numbers where number < -1 || number > 1 {
                    let (next, overflow) = product.multipliedReportingOverflow(by: abs(max(number, -Int.max)))
                    product = overflow ? .max : next
                }
                guard product <= limit, numbers.allSatisfy({ $0 <= largest }) else {
                    throw FNEError(
                        .invalidGraph,
                        "node '\(node.name)' (\(node.operation)) asks for a size of "
                            + numbers.map(String.init).joined(separator: " x ") + "; at most \(largest) are allowed")
                }
            }
            try checkPlaces(of: node, byName)
            try checkElements(of: node)
        }
    }

    /// Checks the shape of a list's tensors. TensorFlow fills those that were not written with zeros.
    private static func checkElements(of node: GraphDefinition.Node) throws {
        for name in ["element_shape", "element_shape_except0"] {
            guard let shape = node.shape(name), product(shape.map { max($0, 1) }) > limit else { continue }
            throw FNEError(
                .invalidGraph,
                "node '\(node.name)' (\(node.operation)) holds tensors of shape \(describe(shape)); at most \(limit) "
                    + "elements are allowed")
        }
    }

    /// Checks the numbers of which the largest is a size.
    private static func checkPlaces(
        of node: GraphDefinition.Node, _ byName: [String: GraphDefinition.Node]
    ) throws {
        for place in node.facts.places.numbers(of: node.dataInputs.count) {
            guard let largest = largest(node.dataInputs[place], byName), largest > limit else { continue }
            throw FNEError(
                .invalidGraph,
                "node '\(node.name)' (\(node.operation)) asks for the place \(largest) of a result that may have "
                    + "\(limit)")
        }
    }

    /// The largest integer of a constant that an input reads, also where operations pass it on.
    private static func largest(_ input: GraphDefinition.Input, _ byName: [String: GraphDefinition.Node]) -> Int? {
        var input = input
        for _ in 0..<8 {
            guard let node = byName[input.source] else { return nil }
            if node.operation == "Const" { return node.constant("value")?.largest }
            guard let next = node.inputs.first else { return nil }
            input = next
        }
        return nil
    }

    /// The integers of the constants that a size is made of.
    private static func constants(
        _ input: GraphDefinition.Input, _ byName: [String: GraphDefinition.Node], depth: Int
    ) -> [Int] {
        guard depth < 8, let node = byName[input.source] else { return [] }
        if node.operation == "Const" { return node.constant("value")?.integers ?? [] }
        return node.inputs.prefix(16).flatMap { constants($0, byName, depth: depth + 1) }.prefix(64).map { $0 }
    }

    /// Checks the shapes of constants. Together they may declare no more bytes than a graph of `size` bytes can hold in
    /// the most compact form, which is eight bytes per encoded byte. One GiB is added for constants that repeat one
    /// value.
    private static func checkConstants(_ graph: GraphDefinition, size: Int) throws {
        var total = 0
        let totalLimit = min(size, 1 << 40) * 8 + 1 << 30
        for node in graph.nodes + graph.functions.flatMap(\.nodes) {
            guard let constant = node.constant("value") else { continue }
            var bytes = constant.type.byteCount
            for dimension in constant.shape ?? [] {
                let (product, overflow) = bytes.multipliedReportingOverflow(by: dimension)
                guard dimension >= 0, !overflow, product <= constantLimit else {
                    throw FNEError(
                        .invalidGraph, "the constant '\(node.name)' declares a shape that is negative or above 2 GiB")
                }
                bytes = product
            }
            total += bytes
            guard total <= totalLimit else {
                throw FNEError(.invalidGraph, "the constants declare more memory than the graph can fill")
            }
        }
    }
}

import FNESupport

/// Sizes that a graph asks for by a constant: a few bytes can ask TensorFlow for terabytes, or for hours. Checked whatever
/// the caller allows. Sizes that a graph computes cannot be seen here.
enum GraphSizes {
    /// The most that one operation may ask for, as the product of the numbers of a size.
    static let limit = 1 << 28
    /// The most that a side of a map may be: as large as a network's input may be.
    static let sideLimit = 16_384

    /// The most bytes that one constant may declare; what a serialized tensor can hold at all.
    static let constantLimit = 1 << 31

    /// - Parameter size: bytes of the serialized graph
    static func check(_ graph: GraphDefinition, size: Int) throws {
        try checkConstants(graph, size: size)
        try check(graph.nodes)
        for (_, body) in Dictionary(grouping: graph.functionNodes, by: \.function) { try check(body.map(\.node)) }
    }

    /// Nodes of the graph, or of one function.
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
                            + numbers.map(String.init).joined(separator: " x ") + "; at most \(largest) are taken")
                }
            }
        }
    }

    /// The integers of the constants that a size is put together from.
    private static func constants(
        _ input: GraphDefinition.Input, _ byName: [String: GraphDefinition.Node], depth: Int
    ) -> [Int] {
        // In a function an input is "node:output:0".
        let name = input.name.split(separator: ":", maxSplits: 1).first.map(String.init) ?? input.name
        guard depth < 8, let node = byName[name] else { return [] }
        if node.operation == "Const" { return node.constant("value")?.integers ?? [] }
        return node.inputs.prefix(16).flatMap { constants($0, byName, depth: depth + 1) }.prefix(64).map { $0 }
    }

    /// Constants are bounded whatever the caller allows: a shape of a few bytes can ask for terabytes. Together they may
    /// declare no more than `size`, the bytes of the graph, can hold in the most compact form (eight bytes per encoded
    /// one), and a gigabyte for those that repeat one value.
    private static func checkConstants(_ graph: GraphDefinition, size: Int) throws {
        var total = 0
        let totalLimit = min(size, 1 << 40) * 8 + 1 << 30
        for node in graph.nodes + graph.functionNodes.map(\.node) {
            guard let constant = node.constant("value") else { continue }
            var bytes = constant.type.byteCount
            for dimension in constant.shape ?? [] {
                let (product, overflow) = bytes.multipliedReportingOverflow(by: dimension)
                guard dimension >= 0, !overflow, product <= constantLimit else {
                    throw FNEError(
                        .invalidGraph, "the constant '\(node.name)' declares a shape that is negative or too large")
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

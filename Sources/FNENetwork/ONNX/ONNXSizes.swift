import FNESupport

/// Checks the sizes that an ONNX file asks for by constants and attributes. A few bytes can ask the runtime for
/// terabytes of memory, or for hours of work. The checks cannot see sizes that a graph computes.
struct ONNXSizes {
    /// The longest side of a window, a stride or a padding.
    private static let windowLimit = 4_096
    /// How many times one operator may make a tensor larger.
    private static let growthLimit = 65_536

    /// The constants by name: those of the graph, and those of the graphs around it before.
    private let scopes: [[String: ONNXTensor]]

    /// - Throws: `.invalidGraph`, with the name of the node.
    static func check(_ graph: ONNXDefinition.Graph) throws { try check(graph, outer: []) }

    private static func check(_ graph: ONNXDefinition.Graph, outer: [[String: ONNXTensor]]) throws {
        var constants: [String: ONNXTensor] = [:]
        for tensor in graph.constants { constants[tensor.name] = tensor }
        for node in graph.nodes {
            if let constant = node.constant, let name = node.outputs.first { constants[name] = constant }
        }
        let sizes = ONNXSizes(scopes: outer + [constants])
        for node in graph.nodes {
            try sizes.check(node)
            for subgraph in node.subgraphs { try check(subgraph, outer: sizes.scopes) }
        }
    }

    private func check(_ node: ONNXDefinition.Node) throws {
        try checkAttributes(node)
        switch node.operation {
        case "ConstantOfShape", "Expand", "Reshape", "Range", "OneHot", "EyeLike":
            try checkProduct(node, node.inputs.dropFirst(node.operation == "ConstantOfShape" ? 0 : 1), GraphSizes.limit)
        case "Tile": try checkProduct(node, node.inputs.dropFirst(), Self.growthLimit)
        case "Resize", "Upsample": try checkResize(node)
        case "Pad": try checkPads(node)
        case "RandomNormal", "RandomUniform":
            try check(node, product: node.integers("shape") ?? [], GraphSizes.limit)
        default: break
        }
    }

    private func constant(_ name: String) -> ONNXTensor? {
        for scope in scopes.reversed() { if let found = scope[name] { return found } }
        return nil
    }

    private func integers(_ name: String) -> [Int] { constant(name)?.integers ?? [] }

    private func checkProduct(
        _ node: ONNXDefinition.Node, _ inputs: ArraySlice<String>, _ limit: Int
    ) throws {
        for input in inputs.prefix(2) { try check(node, product: integers(input), limit) }
    }

    private func check(_ node: ONNXDefinition.Node, product numbers: [Int], _ limit: Int) throws {
        guard product(numbers.filter { $0 > 1 }) <= limit else { throw tooLarge(node, numbers, limit) }
    }

    private func checkAttributes(_ node: ONNXDefinition.Node) throws {
        for name in ["kernel_shape", "strides", "dilations", "pads", "output_padding", "output_shape"] {
            let limit = name == "output_shape" ? GraphSizes.sideLimit : Self.windowLimit
            let numbers = node.integers(name) ?? []
            guard numbers.allSatisfy({ (-limit...limit).contains($0) }) else { throw tooLarge(node, numbers, limit) }
        }
        if ["SpaceToDepth", "DepthToSpace"].contains(node.operation), let block = node.integer("blocksize") {
            guard (1...Self.windowLimit).contains(block) else { throw tooLarge(node, [block], Self.windowLimit) }
        }
    }

    /// Checks the scales and the sizes of a Resize. They are inputs, which stand at other places in old versions.
    private func checkResize(_ node: ONNXDefinition.Node) throws {
        for input in node.inputs.dropFirst() {
            let sizes = integers(input)
            try check(node, product: sizes, GraphSizes.limit)
            let scales = constant(input)?.numbers ?? []
            guard scales.allSatisfy({ $0.isFinite && $0 <= 1_024 }), scales.reduce(1, { $0 * max($1, 1) }) <= 65_536
            else { throw tooLarge(node, scales.map { Int($0.isFinite ? min(max($0, 0), 1e9) : 1e9) }, 1_024) }
        }
    }

    private func checkPads(_ node: ONNXDefinition.Node) throws {
        let pads = node.inputs.count > 1 ? integers(node.inputs[1]) : []
        guard pads.allSatisfy({ abs(max($0, -.max)) <= Self.windowLimit }) else {
            throw tooLarge(node, pads, Self.windowLimit)
        }
    }

    private func tooLarge(_ node: ONNXDefinition.Node, _ numbers: [Int], _ limit: Int) -> FNEError {
        FNEError(
            .invalidGraph,
            "\(node.title) asks for a size of \(numbers.map(String.init).joined(separator: " x ")); at most \(limit) "
                + "are allowed")
    }
}

import FNESupport

/// Follows the shapes of tensors through a graph for one image of a known size, and refuses a graph of which a tensor
/// is known to be too large. A few nodes can ask for more memory than any machine has: forty concatenations of a tensor
/// with itself, or a Tile by a size that the graph computes.
///
/// A shape is followed as far as it is known. Operations that are not in the table below, and loops, give unknown
/// shapes. So the check refuses nothing that could run, and cannot see everything that could not. The check is made
/// whatever the caller allows.
struct TensorShapes {
    /// A tensor, as far as it is known.
    struct Tensor {
        /// The dimensions; nil where not all of them are known.
        var shape: [Int]?
        /// The elements of a small tensor of integers, in row-major order; nil where not all of them are known.
        var values: [Int]?
        /// Where the shape is not known: how many times as large the tensor is as one of unknown size.
        var growth = 1

        static let unknown = Tensor()

        init(shape: [Int]? = nil, values: [Int]? = nil, growth: Int = 1) {
            self.shape = shape
            self.values = shape.map(product) == values?.count ? values : nil
            self.growth = growth
        }
    }

    /// A tensor may have so many elements per number of the image. A map of 64 channels, as large as the image, has 21.
    static let elementsPerNumber = 1024
    /// A tensor may have so many elements for any image.
    static let leastLimit = GraphSizes.limit
    /// All tensors together may have as many elements as so many of the largest ones.
    static let largestTensors = 64
    /// The most times that concatenations may enlarge a tensor of unknown size.
    static let growthLimit = 1 << 20

    private let graph: GraphDefinition
    private let functions: [String: GraphDefinition.Function]
    /// The most elements of a tensor; nil where shapes are only followed.
    private let limit: Int?
    private var total = 0

    /// - Parameters:
    ///   - needed: the nodes that run
    ///   - input: the tensor that images are fed to
    ///   - image: its shape for one image, or for the only batch size that the graph takes
    /// - Returns: the outputs by the nodes' numbers.
    /// - Throws: `.invalidGraph`, with the name of the node.
    @discardableResult
    static func check(
        _ graph: GraphDefinition, _ topology: GraphTopology, needed: Set<Int>, input: TensorName, image: [Int]
    ) throws -> [Outputs] {
        let limit = max(Self.leastLimit, saturating(product(image), Self.elementsPerNumber))
        return try follow(graph, topology, needed: needed, input: input, image: image, limit: limit)
    }

    /// The outputs of the nodes that run, as far as they are known. No tensor is too large.
    ///
    /// - Parameter image: the shape of what is fed, with a batch size of its own
    /// - Returns: the outputs by the nodes' numbers.
    static func outputs(
        _ graph: GraphDefinition, _ topology: GraphTopology, needed: Set<Int>, input: TensorName, image: [Int]
    ) throws -> [Outputs] {
        try follow(graph, topology, needed: needed, input: input, image: image, limit: nil)
    }

    private static func follow(
        _ graph: GraphDefinition, _ topology: GraphTopology, needed: Set<Int>, input: TensorName, image: [Int],
        limit: Int?
    ) throws -> [Outputs] {
        var shapes = TensorShapes(graph, limit: limit)
        let fed = input.output == 0 ? graph.index[input.node].map { ($0, Tensor(shape: image)) } : nil
        return try shapes.follow(graph.nodes, topology.order.filter(needed.contains), of: "", fed: fed) {
            graph.index[$0.name]
        }
    }

    private init(_ graph: GraphDefinition, limit: Int?) {
        self.graph = graph
        functions = Dictionary(graph.functions.map { ($0.name, $0) }) { first, _ in first }
        self.limit = limit
    }

    /// Follows the shapes through the nodes of the graph or of a function.
    ///
    /// - Parameters:
    ///   - function: what the nodes stand in, in words; empty for the graph
    ///   - fed: the node whose value is fed
    ///   - arguments: the tensors that a function is called with, by their names
    ///   - number: the number of the node that an input reads
    /// - Returns: the outputs of each node.
    private mutating func follow(
        _ nodes: [GraphDefinition.Node], _ order: [Int], of function: String, fed: (Int, Tensor)? = nil,
        arguments: [String: Tensor] = [:], number: (GraphDefinition.Input) -> Int?
    ) throws -> [Outputs] {
        var outputs = [Outputs](repeating: .first(.unknown), count: nodes.count)
        for place in order {
            let node = nodes[place]
            if let fed, fed.0 == place {
                outputs[place] = .first(fed.1)
                continue
            }
            let inputs = node.dataInputs.map { input in
                number(input).map { outputs[$0][input] } ?? arguments[input.source] ?? .unknown
            }
            try checkRanks(of: inputs, of: node, in: function)
            let result = try callees(of: node).isEmpty ? ShapeFunctions(node, inputs).outputs : call(node, inputs)
            outputs[place] = result
            for (tensor, copies) in result.known { try count(tensor, copies, of: node, in: function) }
        }
        return outputs
    }

    /// Checks the ranks that TensorFlow takes for granted. It ends the process where they are wrong.
    private func checkRanks(of inputs: [Tensor], of node: GraphDefinition.Node, in function: String) throws {
        guard limit != nil else { return }
        func wrong(_ what: String) -> FNEError {
            FNEError(.invalidGraph, "node '\(node.name)' (\(node.operation))\(function) \(what)")
        }
        if RankGuards.convolutions.contains(node.operation), let shape = inputs.first?.shape, shape.count != 4 {
            throw wrong(
                "reads a tensor of shape \(describe(shape)), which is no map [n, height, width, channels]")
        }
        if ["Conv2DBackpropInput", "Conv3DBackpropInputV2"].contains(node.operation), let sizes = inputs.first?.values,
            sizes.contains(where: { $0 < 0 })
        {
            throw wrong("asks for a map of the sizes \(describe(sizes)), which may not be negative")
        }
        // TensorFlow subtracts this number from the result's dimensions. One is never too many.
        if node.operation == "GatherV2", let dimensions = node.integer("batch_dims"), dimensions > 1,
            dimensions > inputs.dropFirst().first?.shape?.count ?? 1
        {
            throw wrong("has the attribute batch_dims \(dimensions), but indices that are not known to have so many")
        }
    }

    private mutating func count(_ tensor: Tensor, _ copies: Int, of node: GraphDefinition.Node, in function: String)
        throws
    {
        guard let limit else { return }
        func fail(_ what: String) -> FNEError {
            FNEError(
                .invalidGraph,
                "node '\(node.name)' (\(node.operation))\(function) \(what). Use smaller images, or a graph without it")
        }
        guard let shape = tensor.shape else {
            guard tensor.growth <= Self.growthLimit else {
                throw fail("makes a tensor of more than \(Self.growthLimit) copies of another one")
            }
            return
        }
        let elements = product(shape)
        guard elements <= limit else {
            throw fail("makes a tensor of shape \(describe(shape)) per image; at most \(limit) elements are allowed")
        }
        total += saturating(elements, min(copies, Self.largestTensors))
        guard total <= saturating(limit, Self.largestTensors) else {
            throw fail(
                "is where the tensors together exceed \(saturating(limit, Self.largestTensors)) elements per image")
        }
    }

    // MARK: Functions

    private func callees(of node: GraphDefinition.Node) -> [GraphDefinition.Function] {
        guard !functions.isEmpty else { return [] }
        if let direct = functions[node.operation] { return [direct] }
        return ["f", "then_branch", "else_branch", "cond", "body"].flatMap { name in
            node.attributes[name]?.functions.prefix(1).compactMap { functions[$0] } ?? []
        }
    }

    /// Follows the shapes through the functions that a node calls. `GraphExpansion` bounds how many nodes these are.
    private mutating func call(_ node: GraphDefinition.Node, _ inputs: [Tensor]) throws -> Outputs {
        let callees = callees(of: node)
        // A loop changes its tensors. A branch is chosen by the first input.
        let isLoop = node.attributes["body"] != nil
        let isBranch = node.attributes["then_branch"] != nil
        let given = isLoop ? [] : isBranch ? Array(inputs.dropFirst()) : inputs
        var results: [Tensor] = []
        for function in callees {
            let index = Dictionary(function.nodes.enumerated().map { ($1.name, $0) }) { first, _ in first }
            let whole = " of function '\(function.name)'"
            let order = try GraphTopology.order(function.nodes, of: whole) { index[$0.source] }
            let arguments = Dictionary(zip(function.arguments, given)) { first, _ in first }
            let outputs = try follow(function.nodes, order, of: whole, arguments: arguments) { index[$0.source] }
            results = function.results.map { name in
                let tensor = TensorName(function.returned[name] ?? "")
                let input = GraphDefinition.Input(name: tensor.node, output: tensor.output, isControl: false)
                return index[input.source].map { outputs[$0][input] } ?? arguments[input.source] ?? .unknown
            }
        }
        return isLoop || isBranch ? .first(.unknown) : .each(results)
    }
}

extension TensorShapes {
    /// The outputs of a node.
    enum Outputs {
        /// Nothing is known of the further outputs.
        case first(Tensor)
        /// There are so many outputs, all alike.
        case alike(Tensor, Int)
        case each([Tensor])

        /// Those of which something may be known, and how many there are of each.
        var known: [(tensor: Tensor, copies: Int)] {
            switch self {
            case .first(let tensor): [(tensor, 1)]
            case .alike(let tensor, let count): [(tensor, count)]
            case .each(let tensors): tensors.map { ($0, 1) }
            }
        }

        /// The output that an input reads.
        subscript(input: GraphDefinition.Input) -> Tensor {
            switch self {
            case .first(let tensor):
                // In a function's body an input is "norm:batch_mean:0", by the name of one of the outputs.
                let name = input.name.utf8.firstIndex(of: 0x3a).map { input.name[$0...] } ?? ""
                let isFirst = input.output == 0 && !name.hasPrefix(":batch_") && !name.hasPrefix(":reserve_")
                return isFirst ? tensor : .unknown
            case .alike(let tensor, _): return tensor
            case .each(let tensors): return input.output < tensors.count ? tensors[input.output] : .unknown
            }
        }
    }
}

// MARK: Arithmetic

/// The product of non-negative numbers, or the largest number.
func product(_ numbers: [Int]) -> Int { numbers.reduce(1, saturating) }

func saturating(_ a: Int, _ b: Int) -> Int {
    let (result, overflow) = a.multipliedReportingOverflow(by: b)
    return overflow ? .max : result
}

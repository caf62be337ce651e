/// Sizes that a graph asks for by a constant: a few bytes can ask TensorFlow for terabytes, or for hours. Checked whatever
/// the caller allows. Sizes that a graph computes cannot be seen here.
enum GraphSizes {
    /// The most that one operation may ask for, as the product of the numbers of a size.
    static let limit = 1 << 28
    /// The most that a side of a map may be: as large as a network's input may be.
    static let sideLimit = 16_384

    static func check(_ graph: GraphDefinition) throws {
        try check(graph.nodes)
        for (_, body) in Dictionary(grouping: graph.functionNodes, by: \.function) { try check(body.map(\.node)) }
    }

    /// Nodes of the graph, or of one function.
    private static func check(_ nodes: [GraphDefinition.Node]) throws {
        var byName: [String: GraphDefinition.Node] = [:]
        for node in nodes where Self.parts.contains(node.operation) || node.operation == "Const" { byName[node.name] = node }
        for node in nodes {
            guard let places = inputs[node.operation] else { continue }
            for place in places where place < node.inputs.count {
                let numbers = constants(node.inputs[place], byName, depth: 0)
                let largest = sides.contains(node.operation) ? sideLimit : limit
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

    /// Operations that hand sizes on or put them together.
    private static let parts: Set = ["Identity", "Pack", "ExpandDims", "Squeeze", "Cast"]

    /// Operations whose sizes are sides of maps, or are added to them.
    private static let sides: Set = [
        "CropAndResize", "FusedResizeAndPadConv2D", "MirrorPad", "Pad", "PadV2", "ResizeArea", "ResizeBicubic",
        "ResizeBilinear", "ResizeNearestNeighbor", "SpaceToBatch", "SpaceToBatchND",
    ]

    /// Which inputs of an operation are sizes.
    private static let inputs: [String: [Int]] = [
        "BroadcastTo": [1], "Conv2DBackpropInput": [0], "Conv3DBackpropInputV2": [0], "CropAndResize": [3], "Fill": [0],
        "FusedResizeAndPadConv2D": [1, 2], "LinSpace": [2], "MirrorPad": [1], "OneHot": [1], "Pad": [1], "PadV2": [1],
        "Range": [0, 1], "ResizeArea": [1], "ResizeBicubic": [1], "ResizeBilinear": [1], "ResizeNearestNeighbor": [1],
        "ScatterNd": [2], "SpaceToBatch": [1], "SpaceToBatchND": [2], "Tile": [1], "Bincount": [1],
        "MatrixDiagV2": [2, 3], "MatrixDiagV3": [2, 3],
    ]
}

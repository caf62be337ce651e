/// What a graph becomes before TensorFlow imports it.
///
/// - Nodes that no selected layer needs are left out.
/// - Local response normalization, and sums of bfloat16, run on libfne's own operations, where they are registered.
/// - With bfloat16, layers are rewritten (`BFloat16Rewrite`).
/// - Large weights of dense layers leave the graph and are fed with each run, without a copy: inside the graph TensorFlow
///   copies them five times before the first row. Not on a GPU, which would be sent them with each run.
struct GraphPreparation {
    /// Weights that are fed.
    struct Fed {
        let node: String
        /// TensorFlow's number of the type.
        let type: Int
        let shape: [Int]
        let values: Bytes
    }

    let serialized: Bytes
    let fed: [Fed]
    /// The nodes that the selected layers need.
    let needed: Set<Int>

    /// Weights of at least so many bytes are fed.
    static let largeWeights = 4 << 20

    init(
        _ model: Model, input: TensorName, taps: [TensorName], precision: Precision, float32Layers: Int,
        onGPU: Bool, library: TensorFlowLibrary
    ) throws {
        let graph = model.graph
        var editor = GraphEditor(model)
        let tapped = Set(taps.compactMap { graph.index[$0.node] })
        let roots = tapped.union(graph.index[input.node].map { [$0] } ?? [])
        let ownOperations = library.hasOwnOperations && !onGPU
        needed = model.analysis.ancestors(of: roots)
        for number in graph.nodes.indices where !needed.contains(number) { editor.drop(number) }
        var fed: [Fed] = []
        switch precision {
        case .float32:
            if ownOperations {
                for number in needed where graph.nodes[number].operation == "LRN" {
                    guard (graph.nodes[number].type("T") ?? GraphDefinition.float32) == GraphDefinition.float32 else { continue }
                    try editor.edit(number, operation: "FneLRN")
                }
            }
            if !onGPU { fed = try Self.feedLargeWeights(of: model, needed, &editor) }
        case .bfloat16:
            var rewrite = BFloat16Rewrite(
                model, needed: needed, tapped: tapped, float32Layers: float32Layers, ownOperations: ownOperations,
                feedsLargeWeights: !onGPU, library: library)
            try rewrite.apply(to: &editor)
            fed = rewrite.fed
        }
        serialized = editor.isEmpty ? model.serialized : try editor.serialized()
        self.fed = fed
    }

    /// Makes placeholders of large constants that matrix products alone read.
    private static func feedLargeWeights(
        of model: Model, _ needed: Set<Int>, _ editor: inout GraphEditor
    ) throws -> [Fed] {
        let graph = model.graph
        var fed: [Fed] = []
        for number in needed.sorted() where graph.nodes[number].operation == "Const" {
            let node = graph.nodes[number]
            guard let constant = node.constant("value"), constant.type == GraphDefinition.float32,
                let shape = constant.shape, shape.count == 2, node.inputs.isEmpty,
                isReadByProductsAlone(number, in: model, needed)
            else { continue }
            let values: Bytes? = try model.serialized.withBytes { bytes in
                guard let content = try ConstantValues.content(number, in: bytes, of: model),
                    content.count >= largeWeights, content.count == (try elementCount(shape)) * 4
                else { return nil }
                return try Bytes(copying: content)
            }
            guard let values else { continue }
            editor.replace(number, operation: "Placeholder", inputs: [], attributes: placeholder(GraphDefinition.float32, shape))
            fed.append(Fed(node: node.name, type: GraphDefinition.float32, shape: shape, values: values))
        }
        return fed
    }

    static func placeholder(_ type: Int, _ shape: [Int]) -> [String: [UInt8]] {
        ["dtype": AttributeValue.type(type), "shape": AttributeValue.shape(shape)]
    }

    private static func isReadByProductsAlone(_ constant: Int, in model: Model, _ needed: Set<Int>) -> Bool {
        var pending = [constant]
        var products = 0
        while let number = pending.popLast() {
            for reader in model.analysis.readers[number] where needed.contains(reader) {
                switch model.graph.nodes[reader].operation {
                case "MatMul": products += 1
                case "Identity": pending.append(reader)
                default: return false
                }
            }
        }
        return products > 0
    }
}

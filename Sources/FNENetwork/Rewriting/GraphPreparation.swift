import FNESupport

/// Prepares a graph for an engine.
///
/// - Nodes that no selected layer needs are left out.
/// - Local response normalization and sums of bfloat16 run on libfne's own operations, where the engine has them.
/// - Depthwise convolutions and those around them become one operation, where the engine has it (`DepthwiseBlocks`).
/// - With bfloat16, layers are rewritten (`BFloat16Rewrite`).
/// - Large weights of dense layers leave the graph and are fed with each run (`FedWeights`).
struct GraphPreparation {
    /// The abilities of the engine.
    struct Target {
        /// Whether it has libfne's own operations.
        var hasOwnOperations: Bool
        /// What it must know to make blocks of convolutions; nil where it does not make them.
        var blocks: Blocks?
        /// Whether weights can be fed without a copy. They cannot on a GPU, which would be sent them with each run.
        var takesFedWeights: Bool
        /// Computes the constants that do not stand in the graph.
        var constants: any ConstantEvaluator
    }

    /// What is known of the layers and the graph where blocks of convolutions are made.
    struct Blocks {
        /// The layers that are averaged over height and width alone.
        var averaged: Set<TensorName>
        var shapes: KnownShapes
    }

    let serialized: Bytes
    /// The layers that the graph averages by itself, and the tensors [n, channels] of their averages.
    let means: [TensorName: TensorName]
    let fed: [FedWeights]
    /// The nodes that the selected layers need. The numbers are those of the model's graph.
    let needed: Set<Int>

    /// - Parameters:
    ///   - input: the tensor that images are fed to
    ///   - taps: the tensors of the selected layers
    ///   - float32Layers: with bfloat16, how many first layers stay float32
    init(
        _ model: GraphDefNetwork, input: TensorName, taps: [TensorName], precision: Precision, float32Layers: Int,
        for target: Target
    ) throws {
        let graph = model.graph
        var editor = GraphEditor(model)
        needed = model.topology.needed(for: taps, input: input)
        for number in graph.nodes.indices where !needed.contains(number) { editor.drop(number) }
        var means: [TensorName: TensorName] = [:]
        switch precision {
        case .float32:
            if let known = target.blocks {
                var blocks = DepthwiseBlocks(
                    model, needed: needed, taps: taps, averaged: known.averaged, shapes: known.shapes,
                    constants: ConstantValues(model, needed: needed, target.constants))
                try blocks.apply(to: &editor)
                means = blocks.means
            }
            if target.hasOwnOperations {
                for number in needed where graph.nodes[number].operation == "LRN" && graph.nodes[number].isFloat32 {
                    try editor.edit(number, operation: "FneLRN")
                }
            }
            fed = target.takesFedWeights ? try Self.feedLargeWeights(of: model, needed, &editor) : []
        case .bfloat16:
            var rewrite = BFloat16Rewrite(
                model, needed: needed, taps: taps, float32Layers: float32Layers,
                hasOwnOperations: target.hasOwnOperations, feedsLargeWeights: target.takesFedWeights,
                constants: ConstantValues(model, needed: needed, target.constants))
            try rewrite.apply(to: &editor)
            fed = rewrite.fed
        }
        self.means = means
        serialized = editor.isEmpty ? model.serialized : try editor.serialized()
    }

    /// Makes placeholders of the large constants that only matrix products read.
    private static func feedLargeWeights(
        of model: GraphDefNetwork, _ needed: Set<Int>, _ editor: inout GraphEditor
    ) throws -> [FedWeights] {
        let graph = model.graph
        var fed: [FedWeights] = []
        for number in needed.sorted() where graph.nodes[number].operation == "Const" {
            let node = graph.nodes[number]
            guard let constant = node.constant("value"), constant.type == .float32,
                let shape = constant.shape, shape.count == 2, node.inputs.isEmpty,
                isReadByProductsAlone(number, in: model, needed)
            else { continue }
            let values: Bytes? = try model.serialized.withBytes { bytes in
                guard let content = try ConstantValues.content(number, in: bytes, of: model),
                    content.count >= FedWeights.threshold, content.count == (try elementCount(shape)) * 4
                else { return nil }
                return try Bytes(copying: content)
            }
            guard let values else { continue }
            editor.replace(
                number, operation: "Placeholder", inputs: [], attributes: FedWeights.placeholder(.float32, shape))
            fed.append(FedWeights(node: node.name, type: .float32, shape: shape, values: values))
        }
        return fed
    }

    private static func isReadByProductsAlone(_ constant: Int, in model: GraphDefNetwork, _ needed: Set<Int>) -> Bool {
        var pending = [constant]
        var products = 0
        while let number = pending.popLast() {
            for reader in model.topology.readers[number] where needed.contains(reader) {
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

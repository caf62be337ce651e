import FNESupport

/// Simplifies a graph when it is read: given values become constants, reports and dropouts of rate 0 go, the bodies of
/// functions stand in place of their calls, and of a condition that is known one branch is left.
enum GraphSimplification {
    /// What came of a graph.
    struct Result {
        let graph: GraphDefinition
        let serialized: Bytes
        /// The names of tensors that are gone, with those that hold their values.
        let aliases: [TensorName: TensorName]
        /// The values that each image of a batch is given, by the names of their placeholders.
        let perImage: [String: PerImage]

        init(
            _ read: (graph: GraphDefinition, serialized: Bytes), aliases: [TensorName: TensorName],
            perImage: [String: PerImage]
        ) {
            (graph, serialized) = read
            self.aliases = aliases
            self.perImage = perImage
        }
    }

    /// A value without a batch axis. It is repeated for the images of a batch.
    struct PerImage {
        let type: DataType
        /// The shape without the batch axis.
        let shape: [Int]
        /// Little-endian numbers.
        let content: [UInt8]
    }

    /// - Parameter source: the bytes that the graph was read from
    static func apply(to graph: GraphDefinition, _ source: Bytes, feeds: [Feed]) throws -> Result {
        var draft = GraphDraft(graph, source)
        let perImage = try feed(feeds, to: &draft)
        try ReportRemoval.apply(to: &draft)
        try ConditionFolding.apply(to: &draft)
        try DropoutRemoval.apply(to: &draft)
        if draft.isUnchanged { return Result((graph, source), aliases: [:], perImage: perImage) }
        return Result(try draft.read(), aliases: try draft.aliases(), perImage: perImage)
    }

    /// Makes constants of the nodes that are given a value.
    private static func feed(_ feeds: [Feed], to draft: inout GraphDraft) throws -> [String: PerImage] {
        var perImage: [String: PerImage] = [:]
        var seen = Set<String>()
        for feed in feeds {
            let (number, name) = try node(of: feed, in: draft)
            guard seen.insert(name).inserted else {
                throw FNEError(.invalidArgument, "the input '\(feed.name)' is fed twice")
            }
            let node = draft.nodes[number]
            guard let type = node.type("dtype") ?? node.type("T") ?? node.type("DstT") else {
                throw FNEError(
                    .unsupportedTensor, "the graph does not say the type of '\(feed.name)', so it cannot be fed")
            }
            let content = try feed.content(of: type)
            let declared = node.isAny(.placeholder) ? node.shape("shape") : nil
            if isPerImage(feed.shape, declared) {
                perImage[name] = PerImage(type: type, shape: feed.shape, content: content)
            } else {
                guard fits(feed.shape, declared) else {
                    throw FNEError(
                        .invalidArgument,
                        "the feed '\(feed.name)' has shape \(describe(feed.shape)), but the graph's input has shape "
                            + "\(describe(declared ?? []))")
                }
                try draft.replace(number, byConstant: type, shape: feed.shape, content: content)
            }
        }
        return perImage
    }

    private static func node(of feed: Feed, in draft: GraphDraft) throws -> (number: Int, name: String) {
        for tensor in [TensorName(feed.name), TensorName(userWritten: feed.name)] {
            guard tensor.node.utf8.allSatisfy({ $0 < 0x80 }), let number = draft.number(of: tensor.node) else {
                continue
            }
            guard tensor.output == 0 else {
                throw FNEError(.invalidArgument, "'\(feed.name)' is fed; only the first output of a node can be")
            }
            return (number, tensor.node)
        }
        throw FNEError(
            .unknownTensor,
            "the graph has no tensor '\(feed.name)'. "
                + nearestNamesSentence(to: TensorName(userWritten: feed.name).node, among: draft.nodes.map(\.name)))
    }

    /// Whether a value lacks the first axis of an input, which is the batch's.
    private static func isPerImage(_ shape: [Int], _ declared: [Int]?) -> Bool {
        guard let declared, let first = declared.first, first < 0 else { return false }
        return fits(shape, Array(declared.dropFirst()))
    }

    private static func fits(_ shape: [Int], _ declared: [Int]?) -> Bool {
        guard let declared else { return true }
        return shape.count == declared.count && zip(shape, declared).allSatisfy { $1 < 0 || $0 == $1 }
    }
}

import FNESupport

extension GraphDefNetwork {
    /// The input tensor.
    ///
    /// - Parameter name: the name as a user writes it; nil for the graph's only placeholder that can take images. A
    ///   placeholder is an operation whose value is fed.
    /// - Throws: `.unknownTensor`, `.unsupportedTensor`.
    func input(named name: String?) throws -> Model.Input {
        guard let name else {
            let image = try imagePlaceholder()
            return try input(image, TensorName(node: image.name, output: 0))
        }
        let tensor = tensorName(name)
        return try input(node(tensor, writtenAs: name), tensor)
    }

    private func input(_ node: GraphDefinition.Node, _ name: TensorName) throws -> Model.Input {
        let isPlaceholder = node.isAny(.placeholder)
        guard name.output == 0 || !isPlaceholder else {
            throw FNEError(.unknownTensor, "the operation '\(node.name)' has 1 output; there is no '\(name.text)'")
        }
        var result = Model.Input(name: name, type: node.outputType)
        guard result.type.takesPixels else {
            throw FNEError(
                .unsupportedTensor,
                "the input '\(name.text)' is \(result.type), which cannot hold pixels. Name a tensor of float32, uint8 "
                    + "or another type of numbers as the input")
        }
        guard isPlaceholder, let shape = shape(of: node) else { return result }
        guard Self.isImage(shape) else {
            throw FNEError(
                .unsupportedTensor,
                "the input '\(node.name)' has shape \(describe(shape)); images need \(Self.imageShapes)")
        }
        func fixed(_ dimension: Int) -> Int? { dimension > 0 ? dimension : nil }
        (result.batch, result.height) = (fixed(shape[0]), fixed(shape[1]))
        (result.width, result.channels) = (fixed(shape[2]), fixed(shape[3]))
        return result
    }

    private static let imageShapes = "[batch, height, width, 3] or [batch, height, width, 1]"

    private static func isImage(_ shape: [Int]) -> Bool { shape.count == 4 && [-1, 1, 3].contains(shape[3]) }

    // MARK: Where no input is named

    /// The placeholder that images are fed to. A graph may have others, for metadata or for a share of values to keep.
    /// So those of rank 4 come first. The next are those that have a value where none is fed. The last are those of
    /// unknown rank.
    private func imagePlaceholder() throws -> GraphDefinition.Node {
        let all = graph.nodes.filter { $0.isAny(.placeholder) && perImage[$0.name] == nil }
        let images = all.filter { node in
            node.outputType.takesPixels && (shape(of: node).map(Self.isImage) ?? true)
        }
        func group(ofKnownShape isKnown: Bool, withDefault: Bool) -> [GraphDefinition.Node] {
            images.filter {
                (shape(of: $0) != nil) == isKnown && ($0.operation == "PlaceholderWithDefault") == withDefault
            }
        }
        let groups = [
            group(ofKnownShape: true, withDefault: false), group(ofKnownShape: true, withDefault: true),
            group(ofKnownShape: false, withDefault: false),
        ]
        let candidates = groups.first { !$0.isEmpty } ?? []
        if candidates.count == 1, let only = candidates.first { return only }
        if all.count == 1, let only = all.first { return only } // the error for it says best what is wrong
        guard candidates.isEmpty else {
            throw FNEError(
                .unknownTensor,
                "the graph has several inputs that can take images: \(list(candidates)). Name the one for images")
        }
        throw FNEError(
            .unknownTensor,
            all.isEmpty
                ? "the graph has no placeholder, which images could be fed to. Name the input tensor"
                : "no placeholder of the graph can take images, which need \(Self.imageShapes): \(list(all)). Name the "
                    + "input tensor")
    }

    /// Placeholders with their types and shapes, for messages.
    private func list(_ placeholders: [GraphDefinition.Node]) -> String {
        let shown = placeholders.prefix(12).map { node in
            "'\(node.name)' (\(node.outputType), \(shape(of: node).map(describe) ?? "of unknown shape"))"
        }
        let rest = placeholders.count - shown.count
        return shown.joined(separator: ", ") + (rest > 0 ? " and \(rest) others" : "")
    }

    /// The shape of a placeholder; nil where it is unknown.
    private func shape(of node: GraphDefinition.Node) -> [Int]? {
        guard let shape = node.shape("shape") else { return nil }
        // TensorFlow 0.x wrote an unknown shape as that of a scalar. TensorFlow reads it by the same rule.
        return shape.isEmpty && graph.producer <= 21 && node.operation == "Placeholder" ? nil : shape
    }
}

extension GraphDefinition.Node {
    /// The type of the node's outputs, as far as its attributes tell it. float32 where they do not.
    fileprivate var outputType: DataType {
        facts.makes ?? type("DstT") ?? type("dtype") ?? type("T") ?? .float32
    }
}

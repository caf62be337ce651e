import FNESupport

extension GraphDefNetwork {
    /// Checks that each input of the nodes that run has a value: the image, a feed, or a default.
    ///
    /// - Throws: `.invalidArgument`, with the name, type and shape of the input, and an example of a feed.
    ///   `.unknownTensor` where no layer is computed from the image.
    func checkInputs(_ needed: Set<Int>, image: TensorName) throws {
        let unfed = needed.sorted().map { graph.nodes[$0] }.filter {
            ["Placeholder", "PlaceholderV2"].contains($0.operation) && $0.name != image.node
                && perImage[$0.name] == nil
        }
        guard let first = unfed.first else { return }
        let isRead = needed.contains { number in
            graph.nodes[number].dataInputs.contains { TensorName($0) == image }
        }
        guard isRead else {
            throw FNEError(
                .unknownTensor,
                "no selected layer is computed from the input '\(image.text)'. They need '\(first.name)'")
        }
        let type = first.type("dtype") ?? .unknown
        let shape = first.shape("shape")
        let shown = shape.map { $0.isEmpty ? "a single value" : "shape \(describe($0))" } ?? "any shape"
        guard type != .string, type != .resource, type != .variant else {
            throw FNEError(
                .invalidArgument,
                "the layers need the input '\(first.name)' (\(type)), which cannot be given a value. Name the tensor "
                    + "that images are fed to, after what reads and decodes files, as the input")
        }
        let others = unfed.count > 1 ? " It is one of \(unfed.count) such inputs." : ""
        throw FNEError(
            .invalidArgument,
            "the network has an input beside the image, '\(first.name)' (\(type), \(shown)), which has no value."
                + "\(others) Give it one as a feed, such as \(Self.example(first.name, type, shape))")
    }

    private static func example(_ name: String, _ type: DataType, _ shape: [Int]?) -> String {
        // What such inputs are for: a share of values to keep is 1 outside of training.
        let value = type == .bool ? "false" : name.utf8.elementsEqual("keep_prob".utf8) ? "1" : "0"
        let count = min((shape ?? []).drop { $0 < 0 }.reduce(1) { $1 > 0 ? saturating($0, $1) : $0 }, 8)
        return name + "=" + Array(repeating: value, count: max(count, 1)).joined(separator: ",")
    }
}

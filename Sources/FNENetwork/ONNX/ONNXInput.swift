import FNESupport

/// The input of an ONNX network that takes the images.
struct ONNXInput: Sendable {
    let name: String
    let type: ONNXType
    /// Whether the channels are the last axis, as in TensorFlow. Else they are the second, as in PyTorch.
    let channelsLast: Bool
    /// 1 or 3.
    let channels: Int
    /// The sizes, where the file fixes them.
    let height: Int?
    let width: Int?
    /// The size of a batch, where the file fixes it.
    let batch: Int?

    /// - Throws: `.unsupportedTensor` where there is not one input, or it takes no images.
    init(_ graph: ONNXDefinition.Graph, _ topology: ONNXTopology, _ shapes: ONNXShapes) throws {
        let inputs = graph.inputs.filter { input in
            topology.number[input.name].map { topology.constants[$0] == nil && !topology.readers[$0].isEmpty } ?? false
        }
        guard let input = inputs.first, inputs.count == 1 else {
            let names = inputs.map { "'\($0.name)'" }.joined(separator: ", ")
            throw FNEError(
                .unsupportedTensor,
                inputs.isEmpty
                    ? "the ONNX model reads no input"
                    : "the ONNX model has several inputs, \(names). libfne feeds images to one. Export the network "
                        + "with the image as its only input")
        }
        let shape = input.shape ?? [-1, -1, -1, -1]
        guard input.isTensor, shape.count == 4 else { throw Self.noImages(input, shape) }
        guard input.type.dataType.takesPixels else {
            throw FNEError(
                .unsupportedTensor, "the input '\(input.name)' has elements of a type that pixels cannot be fed as")
        }
        let found = topology.number[input.name].flatMap { Self.firstConvolution($0, graph, topology, shapes) }
        guard let channelsLast = found?.channelsLast ?? Self.layout(shape) else { throw Self.noImages(input, shape) }
        func size(_ axis: Int) -> Int? { shape[axis] > 0 ? shape[axis] : nil }
        let channels = size(channelsLast ? 3 : 1) ?? found?.channels ?? 3
        guard channels == 1 || channels == 3 else { throw Self.noImages(input, shape) }
        name = input.name
        type = input.type
        self.channelsLast = channelsLast
        self.channels = channels
        height = size(channelsLast ? 1 : 2)
        width = size(channelsLast ? 2 : 3)
        batch = size(0)
    }

    /// The order of an image's numbers.
    var layout: ImageLayout { channelsLast ? .channelsLast : .channelsFirst }

    /// The sizes of an image's axes.
    func imageShape(height: Int, width: Int) -> [Int] {
        layout.shape(height: height, width: width, channels: channels)
    }

    private static func noImages(_ input: ONNXDefinition.Value, _ shape: [Int]) -> FNEError {
        FNEError(
            .unsupportedTensor,
            "the input '\(input.name)' has the shape \(describe(shape)). It must be [n, channels, height, width] or "
                + "[n, height, width, channels], with one or three channels")
    }

    /// The layout by the shape; nil where both or none fit.
    private static func layout(_ shape: [Int]) -> Bool? {
        let (second, last) = ([1, 3].contains(shape[1]), [1, 3].contains(shape[3]))
        return second == last ? nil : last
    }

    /// What the first convolution that reads the input says of its layout. Value-by-value operators may stand before
    /// it, and a Transpose.
    private static func firstConvolution(
        _ input: Int, _ graph: ONNXDefinition.Graph, _ topology: ONNXTopology, _ shapes: ONNXShapes
    ) -> (channelsLast: Bool, channels: Int?)? {
        var (value, channelsLast) = (input, false)
        for _ in 0..<16 {
            guard let reader = topology.onlyReader(value, graph), let next = topology.outputs[reader].first ?? nil
            else { return nil }
            let node = graph.nodes[reader]
            if node.operation == "Conv", let weights = topology.inputs[reader].dropFirst().first ?? nil {
                let shape = shapes.constant(weights)
                let groups = node.integer("group") ?? 1
                return (channelsLast, shape.flatMap { $0.count == 4 ? saturating($0[1], max(groups, 1)) : nil })
            }
            if node.operation == "Transpose" {
                guard node.integers("perm") == [0, 3, 1, 2], !channelsLast else { return nil }
                channelsLast = true
            } else if !node.isAny([.valueByValue, .keepsTensor]), node.operation != "Pad" {
                return nil
            }
            value = next
        }
        return nil
    }
}

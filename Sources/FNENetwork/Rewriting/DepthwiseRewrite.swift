/// Makes depthwise convolutions of convolutions whose filters read one channel each. Keras' ConvNeXt has such ones. As
/// Conv2D, TensorFlow computes them several times as slowly.
///
/// A convolution with more than one group, but several channels in each, stays a Conv2D, which TensorFlow computes well
/// with oneDNN.
enum DepthwiseRewrite {
    /// - Parameter outputs: the outputs of the nodes, as far as their shapes are known
    /// - Returns: the model itself where it has no such convolution.
    static func apply(to model: GraphDefNetwork, _ outputs: [TensorShapes.Outputs]) throws -> GraphDefNetwork {
        var draft = GraphDraft(model.graph, model.serialized)
        for number in model.graph.nodes.indices where isDepthwise(number, model, outputs) {
            try rewrite(number, model, outputs, &draft)
        }
        return draft.isUnchanged ? model : try model.rewritten(draft)
    }

    /// Whether a node is a convolution of several channels, of which each filter reads one.
    private static func isDepthwise(_ number: Int, _ model: GraphDefNetwork, _ outputs: [TensorShapes.Outputs])
        -> Bool
    {
        let node = model.graph.nodes[number]
        let inputs = model.topology.inputs[number]
        guard node.operation == "Conv2D", inputs.count == 2, node.dataInputs.allSatisfy({ $0.output == 0 }),
            (node.text("data_format") ?? "NHWC") == "NHWC",
            let data = shape(0, node, inputs, outputs), let weights = shape(1, node, inputs, outputs), data.count == 4,
            weights.count == 4,
            weights[2] == 1, data[3] > 1, weights[3] >= data[3], weights[3] % data[3] == 0
        else { return false }
        // TensorFlow's depthwise convolution has one stride for both sides, and pads as SAME or VALID say.
        let strides = node.integers("strides") ?? []
        let dilations = node.integers("dilations") ?? [1, 1, 1, 1]
        return strides.count == 4 && strides[1] == strides[2] && dilations.count == 4
            && (dilations.allSatisfy { $0 == 1 } || strides.allSatisfy { $0 == 1 })
            && ["SAME", "VALID"].contains(node.text("padding") ?? "")
    }

    /// The shape of one of a node's inputs; nil where it is not known.
    private static func shape(
        _ place: Int, _ node: GraphDefinition.Node, _ inputs: [Int], _ outputs: [TensorShapes.Outputs]
    ) -> [Int]? { outputs[inputs[place]][node.dataInputs[place]].shape }

    /// The filters [height, width, 1, in * multiplier] become [height, width, in, multiplier], which are the same
    /// numbers in the same order.
    private static func rewrite(
        _ number: Int, _ model: GraphDefNetwork, _ outputs: [TensorShapes.Outputs], _ draft: inout GraphDraft
    ) throws {
        let node = model.graph.nodes[number]
        let inputs = model.topology.inputs[number]
        guard let data = shape(0, node, inputs, outputs), let weights = shape(1, node, inputs, outputs) else { return }
        let shape = [weights[0], weights[1], data[3], weights[3] / data[3]]
        let type = AttributeValue.type(node.type("T") ?? .float32)
        let sizes = try draft.add(
            integers: shape, shape: [shape.count], named: "fne/depthwise/\(node.name)/shape", before: number)
        let filters = draft.free("fne/depthwise/\(node.name)/weights")
        try draft.add(
            filters, operation: "Reshape",
            inputs: [node.dataInputs[1], GraphDefinition.Input(sizes)],
            attributes: ["T": type, "Tshape": AttributeValue.type(.int32)], before: number)
        var attributes = try draft.given(by: number, nil)
        for name in attributes.keys where !["T", "strides", "padding", "data_format", "dilations"].contains(name) {
            attributes[name] = nil
        }
        try draft.replace(
            number, by: "DepthwiseConv2dNative",
            inputs: [node.dataInputs[0], GraphDefinition.Input(TensorName(node: filters, output: 0))]
                + node.inputs.filter(\.isControl), attributes: attributes)
    }
}

/// A tap that is moved to after a convolution's bias. A tap is a tensor whose values become features. On a
/// convolution's own output, before its bias, it would keep TensorFlow from fusing the two. Since mean(x + b) is
/// mean(x) + b, the tensor after the bias is averaged instead, and b is subtracted from the [n, C] result.
struct MovedTap {
    /// The tensor after the bias.
    let tensor: TensorName
    let bias: TensorName

    /// Nil where the tap is no convolution's output before a bias, or another node reads it too.
    init?(_ name: TensorName, in model: GraphDefNetwork, needed: Set<Int>) {
        let graph = model.graph
        guard name.output == 0, let number = graph.index[name.node],
            ["Conv2D", "DepthwiseConv2dNative"].contains(graph.nodes[number].operation),
            graph.nodes[number].isFloat32 // half precision would round x + b, and subtracting b would not undo that
        else { return nil }
        // A bias that no layer needs is not computed. Then there is nothing to fuse.
        let readers = model.topology.readers[number].filter(needed.contains)
        guard readers.count == 1, let reader = readers.first,
            graph.nodes[reader].isAny(.addition)
        else { return nil }
        let inputs = graph.nodes[reader].dataInputs
        guard inputs.count == 2, let other = inputs.first(where: { graph.index[$0.name] != number }),
            let bias = graph.index[other.name], model.topology.isConstant[bias],
            let stored = model.topology.storedConstant(bias),
            let shape = graph.nodes[stored].constant("value")?.shape, shape.count == 1,
            shape.first == model.analysis.channels(number) // a longer one would widen a single channel by broadcasting
        else { return nil }
        tensor = TensorName(node: graph.nodes[reader].name, output: 0)
        self.bias = TensorName(node: other.name, output: other.output)
    }
}

/// A tap on a convolution's own output, before its bias, keeps TensorFlow from fusing the two. Since mean(x + b) is
/// mean(x) + b, the tensor after the bias is averaged instead, and b is taken off the [n, C] result.
struct MovedTap {
    /// After the bias.
    let tensor: TensorName
    let bias: TensorName

    /// Nil where the tap is no such output, or something else reads it too.
    init?(_ name: TensorName, in model: Model, needed: Set<Int>) {
        let graph = model.graph
        guard name.output == 0, let number = graph.index[name.node],
            ["Conv2D", "DepthwiseConv2dNative"].contains(graph.nodes[number].operation)
        else { return nil }
        // What no other layer needs is not computed, and then there is nothing to fuse.
        let readers = model.topology.readers[number].filter(needed.contains)
        guard readers.count == 1, let reader = readers.first,
            graph.nodes[reader].isAny(.addition)
        else { return nil }
        let inputs = graph.nodes[reader].dataInputs
        guard inputs.count == 2, let other = inputs.first(where: { graph.index[$0.name] != number }),
            let bias = graph.index[other.name], model.topology.isConstant[bias],
            let stored = model.topology.storedConstant(bias),
            let shape = graph.nodes[stored].constant("value")?.shape, shape.count == 1,
            shape.first == model.analysis.channels(number) // a longer one would widen a single channel
        else { return nil }
        tensor = TensorName(node: graph.nodes[reader].name, output: 0)
        self.bias = TensorName(node: other.name, output: other.output)
    }
}

/// The shapes of a graph's tensors for one image, as far as they are known, by the names of the nodes. A graph that was
/// rewritten keeps the names of its nodes, but not their numbers.
struct KnownShapes {
    private let graph: GraphDefinition
    private let outputs: [TensorShapes.Outputs]

    /// - Parameter outputs: by the numbers of the nodes
    init(_ graph: GraphDefinition, _ outputs: [TensorShapes.Outputs]) {
        self.graph = graph
        self.outputs = outputs
    }

    /// The shape of the tensor that an input names; nil where it is not known.
    subscript(input: GraphDefinition.Input) -> [Int]? { graph.index[input.name].flatMap { outputs[$0][input].shape } }
}

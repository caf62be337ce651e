import CTensorFlow
import FNESupport

/// A prepared network in a graph of TensorFlow's, where it reads its images from a placeholder.
struct ImportedNetwork {
    /// The placeholder for the images, and then the tensors for the weights that are fed.
    let inputs: [TF_Output]

    private let builder: GraphBuilder
    private let input: Model.Input
    /// The images as float32.
    private let images: TF_Output
    /// The images in the type that the network reads.
    private let fed: TF_Output

    /// The prefix under which the network is imported, as in the original function.
    private static let prefix = "import"

    init(
        _ builder: GraphBuilder, _ model: GraphDefNetwork, _ prepared: GraphPreparation, input: Model.Input,
        _ setup: TensorFlowEngine.Setup
    ) throws {
        let sizes = [setup.batch ?? -1, setup.height, setup.width, setup.channels]
        let images = try builder.placeholder("fne/input", shape: sizes.map(Int64.init))
        fed = try builder.cast(images, to: input.type, "fne/input/cast")
        let given = try model.perImage.sorted { $0.key < $1.key }.enumerated().map { place, value in
            (
                from: TensorName(node: value.key, output: 0),
                to: try builder.repeated(value.value, rowsOf: images, "fne/feed\(place)")
            )
        }
        try TensorFlowSession.importGraph(
            prepared.serialized, into: builder.graph, library: builder.library, prefix: Self.prefix,
            mappings: [(input.name, fed)] + given)
        inputs =
            try [images]
            + prepared.fed.map { try builder.output(TensorName(node: $0.node, output: 0), prefix: Self.prefix) }
        self.builder = builder
        self.input = input
        self.images = images
    }

    /// A tensor of the network. It may be the input itself. Whole numbers are then taken before the cast, which does
    /// not change them.
    func tensor(_ name: TensorName) throws -> TF_Output {
        guard name == input.name else { return try builder.output(name, prefix: Self.prefix) }
        return input.type.isReal ? fed : images
    }
}

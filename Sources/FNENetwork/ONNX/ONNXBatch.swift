import FNESupport

/// Frees the batch of a network that was exported for one image. Its shapes hold a 1 where the number of images
/// belongs.
///
/// A shape that begins with 1 gets the number of images in its place. One that leaves nothing open and begins with
/// another number is of rows that grow with the images. Constants that are put beside the images' values, such as
/// a class token, are repeated. Whether the result is right, the proof by runs of one and several images shows.
struct ONNXBatch {
    private let network: ONNXNetwork
    /// The name of the value that is the number of images, as a list of one.
    private let images: String

    private var topology: ONNXTopology { network.topology }

    init(_ network: ONNXNetwork, images: String) {
        self.network = network
        self.images = images
    }

    /// Writes a node, freed of the batch of one.
    ///
    /// - Throws: `.unsupportedTensor` for a node that cannot be freed, with its name.
    func write(_ place: Int, to writer: inout ONNXWriter) throws {
        let node = network.graph.nodes[place]
        var replaced: [Int: String] = [:]
        switch node.operation {
        case "Reshape", "Expand": replaced[1] = try freed(place, 1, &writer)
        case "Resize": replaced[3] = try freed(place, 3, &writer)
        case "Concat" where node.integer("axis") ?? 0 != 0: replaced = try repeated(place, &writer)
        default: break
        }
        try writer.copy(network.node(place, replacing: replaced))
    }

    private func value(_ place: Int, _ number: Int) -> Int? {
        number < topology.inputs[place].count ? topology.inputs[place][number] : nil
    }

    /// The shape that takes the place of another; nil where it can stay.
    private func freed(_ place: Int, _ number: Int, _ writer: inout ONNXWriter) throws -> String? {
        guard let data = value(place, 0), !topology.isSize[data], let shape = value(place, number),
            topology.isSize[shape]
        else { return nil }
        let node = network.graph.nodes[place]
        let sizes = sizes(shape)
        guard let first = sizes?.first else { return nil }
        let name = topology.names[shape]
        if first == 1 {
            return writer.node("Concat", [images, writer.tail(name, axis: 0, from: 1)], Self.onFirst)
        }
        guard node.operation == "Reshape", first.map({ $0 > 1 }) ?? true else { return nil }
        guard sizes?.contains(-1) == false else {
            // A size that is computed with one that is left open follows the images by itself, as in a flatten.
            guard first == nil else { throw Self.fixed(node) }
            return nil
        }
        return writer.node("Concat", [writer.integers([-1]), writer.tail(name, axis: 0, from: 1)], Self.onFirst)
    }

    /// The numbers of a shape; nil in place of those that are computed from the sizes of other values. Nil where the
    /// shape is not put together of numbers.
    private func sizes(_ shape: Int) -> [Int?]? {
        if let known = network.shapes.integers(shape) { return known }
        guard let producer = topology.producers[shape], network.graph.nodes[producer].operation == "Concat" else {
            return nil
        }
        return topology.inputs[producer].flatMap { part in
            part.flatMap(network.shapes.integers).map { $0.map(Optional.some) } ?? [nil]
        }
    }

    /// The constants among the inputs of a Concat, repeated for each image.
    private func repeated(_ place: Int, _ writer: inout ONNXWriter) throws -> [Int: String] {
        var result: [Int: String] = [:]
        let inputs = topology.inputs[place]
        guard inputs.contains(where: { $0.map { !topology.isSize[$0] } ?? false }) else { return [:] }
        for (number, input) in inputs.enumerated() {
            guard let input, topology.isConstant[input] else { continue }
            if let shape = network.shapes.constant(input), shape.first != 1 {
                throw Self.fixed(network.graph.nodes[place])
            }
            let name = topology.names[input]
            let rest = writer.tail(writer.node("Shape", [name]), axis: 0, from: 1)
            let wanted = writer.node("Concat", [images, rest], Self.onFirst)
            result[number] = writer.node("Expand", [name, wanted])
        }
        return result
    }

    private static let onFirst: KeyValuePairs<String, ONNXWriter.Attribute> = ["axis": .integer(0)]

    private static func fixed(_ node: ONNXDefinition.Node) -> FNEError {
        FNEError(
            .unsupportedTensor,
            "\(node.title) holds a size that cannot be told from the number of images")
    }
}

extension ONNXNetwork {
    /// A serialized node, with other names for some of its inputs.
    ///
    /// - Parameter operation: an operator of libfne's that takes the place of the node's own
    func node(_ place: Int, replacing inputs: [Int: String] = [:], as operation: String? = nil) throws -> [UInt8] {
        let range = graph.nodes[place].range
        return try source.withBytes { file in
            let bytes = UnsafeRawBufferPointer(rebasing: file[range])
            guard !inputs.isEmpty || operation != nil else { return Array(bytes) }
            var writer = ProtobufWriter()
            var reader = ProtobufReader(bytes, of: "ONNX model")
            var number = 0
            while let (field, value) = try reader.next() {
                if field == 1 {
                    if let name = inputs[number] { writer.text(1, name) } else { writer.field(field, value) }
                    number += 1
                } else if let operation, field == 4 || field == 7 {
                    if field == 4 { writer.text(4, operation) }
                } else {
                    writer.field(field, value)
                }
            }
            if operation != nil { writer.text(7, ONNXOwnOperators.domain) }
            return writer.bytes
        }
    }
}

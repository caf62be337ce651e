import FNESupport

/// An ONNX network: the file as it was read and checked, and what is known of it without a runtime.
final class ONNXNetwork: Network {
    /// The file, with the bodies of its functions in place of their calls.
    let source: Bytes
    /// The file, and those beside it that hold weights.
    let contents: [Bytes]
    let definition: ONNXDefinition
    let topology: ONNXTopology
    let shapes: ONNXShapes
    let analysis: ONNXLayers
    /// The first output of every node that is no constant, in an order in which they can be computed, after the inputs.
    let tensors: [Model.Tensor]
    /// What the selector "penultimate" selects.
    let penultimate: [TensorName]
    /// What a user should know about the network, in sentences: which layers cannot be taken.
    let notes: [String]

    var graph: ONNXDefinition.Graph { definition.graph }

    /// - Parameter outside: the files beside the model that hold its weights
    /// - Throws: `.fileError`, `.ioError`, `.invalidGraph`, `.unsafeGraph`, `.outOfMemory`.
    init(_ file: Bytes, _ outside: ONNXExternalData) throws {
        source = try ONNXInlining.apply(to: file)
        definition = try source.withBytes { try ONNXDefinition($0, outside) }
        contents = [file] + outside.contents
        try ONNXSafety.check(definition)
        try ONNXSizes.check(definition.graph)
        topology = try ONNXTopology(definition.graph)
        shapes = ONNXShapes(definition.graph, topology)
        try ONNXTraining.check(definition.graph, topology, shapes)
        notes = [ONNXHiddenLayers.note(definition.graph)].compactMap { $0 }
        analysis = ONNXLayers(definition.graph, topology, shapes)
        let read = ONNXPenultimate.values(definition.graph, topology, shapes, analysis)
        penultimate = read.map { [topology] in TensorName(node: topology.names[$0], output: 0) }
        tensors = Self.table(definition.graph, topology, shapes, analysis, penultimate: Set(read))
        try Reserve.check()
    }

    var engine: Backend.Kind { .onnxRuntime }

    var feeds: [String] { [] }

    var structureSize: Int { source.withBytes(ONNXStructure.size) }

    /// - Throws: `.invalidArgument` for any feed, because the image is the only input of these networks.
    func feeding(_ feeds: [String]) throws -> any Network {
        guard let feed = feeds.first else { return self }
        throw FNEError(
            .invalidArgument,
            "the feed '\(feed)' is given, but an ONNX network takes the image alone. Make the value a constant when "
                + "the network is exported")
    }

    // MARK: Names

    /// The name is one of the file's values, with or without ":0", or the path of a layer's module.
    func knownTensor(_ text: String) -> TensorName? {
        let value = number(of: text) ?? analysis.layers.first { $0.module == text }?.output
        return value.map { TensorName(node: topology.names[$0], output: 0) }
    }

    func plainName(_ text: String) -> String { text }

    func checkForLayers() {}

    /// The number of the value that a user names, as it is written in the file, or with or without a trailing ":0".
    func number(of name: String) -> Int? {
        guard name.utf8.allSatisfy({ $0 < 0x80 }) else { return nil }
        let found = topology.number[name] ?? topology.number[name + ":0"]
        return found ?? (name.hasSuffix(":0") ? topology.number[String(name.dropLast(2))] : nil)
    }

    // MARK: Images

    func input(named name: String?) throws -> Model.Input {
        let image = try ONNXInput(graph, topology, shapes)
        if let name, number(of: name) != topology.number[image.name] {
            throw FNEError(
                .unknownTensor, "'\(name)' is not the input of this ONNX network, which is '\(image.name)'")
        }
        var input = Model.Input(name: TensorName(node: image.name, output: 0), type: image.type.dataType)
        // A fixed batch of one is freed.
        input.batch = image.batch == 1 ? nil : image.batch
        (input.height, input.width, input.channels) = (image.height, image.width, image.channels)
        return input
    }

    private static func table(
        _ graph: ONNXDefinition.Graph, _ topology: ONNXTopology, _ shapes: ONNXShapes, _ analysis: ONNXLayers,
        penultimate: Set<Int>
    ) -> [Model.Tensor] {
        var layers: [Int: ONNXLayers.Layer] = [:]
        for layer in analysis.layers {
            layers[layer.output] = layer
            if let own = topology.outputs[layer.node].first ?? nil, layers[own] == nil { layers[own] = layer }
        }
        let inputs = topology.names.indices.filter { topology.producers[$0] == nil && topology.constants[$0] == nil }
        let made = topology.order.compactMap { topology.outputs[$0].first ?? nil }.filter { !topology.isConstant[$0] }
        return (inputs + made).map { value in
            let layer = layers[value]
            let shape = shapes.written(value)?.shape
            let isInput = topology.producers[value] == nil
            let isOutput = layer?.output == value
            return Model.Tensor(
                name: topology.names[value],
                operation: topology.producers[value].map { graph.nodes[$0].operation } ?? "Input",
                kind: layer?.kind ?? (isInput ? .input : .other), rank: layer?.rank ?? shape?.count,
                channels: layer?.channels, isDefault: isOutput && layer?.isClassifier == false,
                isClassifier: isOutput && layer?.isClassifier == true,
                isClassifierInput: analysis.classifierInputs.contains(value),
                isPenultimate: penultimate.contains(value), module: layer?.module)
        }
    }
}

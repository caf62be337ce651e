import FNESupport

/// An ONNX network: the file as it was read and checked, and what is known of it without a runtime. It never changes,
/// so that any number of threads may use it at once.
final class ONNXNetwork: Sendable {
    /// The file.
    let source: Bytes
    let definition: ONNXDefinition
    let topology: ONNXTopology
    let shapes: ONNXShapes
    let analysis: ONNXLayers
    /// The first output of every node that is no constant, in an order in which they can be computed, after the inputs.
    let tensors: [Model.Tensor]
    /// What a user should know about the network, in sentences: which layers cannot be taken.
    let notes: [String]

    var graph: ONNXDefinition.Graph { definition.graph }

    /// Reads an ONNX file, and the files beside it that hold its weights.
    ///
    /// - Throws: `.fileError`, `.ioError`, `.invalidGraph`, `.unsafeGraph`, `.outOfMemory`. The errors name the file.
    convenience init(file path: FilePath) throws {
        do {
            try self.init(Patience().trying { try Bytes(file: path) }, ONNXExternalData(beside: path))
        } catch let error as FNEError {
            throw error.about(path.description)
        }
    }

    /// Reads an ONNX model in memory. The bytes are copied. Its weights must be in it.
    convenience init(copying bytes: UnsafeRawBufferPointer) throws {
        try self.init(Bytes(copying: bytes), ONNXExternalData(beside: nil))
    }

    /// - Parameter outside: the files beside the model
    init(_ source: Bytes, _ outside: ONNXExternalData) throws {
        self.source = source
        definition = try source.withBytes { try ONNXDefinition($0, outside) }
        try ONNXSafety.check(definition)
        try ONNXSizes.check(definition.graph)
        topology = try ONNXTopology(definition.graph)
        shapes = ONNXShapes(definition.graph, topology)
        try ONNXTraining.check(definition.graph, topology, shapes)
        notes = [ONNXHiddenLayers.note(definition.graph)].compactMap { $0 }
        analysis = ONNXLayers(definition.graph, topology, shapes)
        tensors = Self.table(definition.graph, topology, shapes, analysis)
        try Reserve.check()
    }

    /// The number of the value that a user names, as it is written in the file, or without a trailing ":0".
    func number(of name: String) -> Int? {
        guard name.utf8.allSatisfy({ $0 < 0x80 }) else { return nil }
        return topology.number[name] ?? topology.number[name + ":0"]
    }

    private static func table(
        _ graph: ONNXDefinition.Graph, _ topology: ONNXTopology, _ shapes: ONNXShapes, _ analysis: ONNXLayers
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
                isClassifierInput: analysis.classifierInputs.contains(value), isPenultimate: false)
        }
    }
}

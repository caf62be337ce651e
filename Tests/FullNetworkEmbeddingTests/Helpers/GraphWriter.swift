@testable import FNENetwork
@testable import FNESupport

/// Writes the wire format of protocol buffers, as far as a GraphDef needs it.
enum Wire {
    static func varint(_ value: Int) -> [UInt8] {
        var rest = UInt64(bitPattern: Int64(value))
        var bytes: [UInt8] = []
        while rest >= 0x80 {
            bytes.append(UInt8(rest & 0x7f) | 0x80)
            rest >>= 7
        }
        return bytes + [UInt8(rest)]
    }

    static func number(_ field: Int, _ value: Int) -> [UInt8] { varint(field << 3) + varint(value) }

    static func bytes(_ field: Int, _ content: [UInt8]) -> [UInt8] {
        varint(field << 3 | 2) + varint(content.count) + content
    }

    static func text(_ field: Int, _ content: String) -> [UInt8] { bytes(field, Array(content.utf8)) }

    static func fixed32(_ field: Int, _ bits: UInt32) -> [UInt8] {
        varint(field << 3 | 5) + withUnsafeBytes(of: bits.littleEndian) { Array($0) }
    }

    static func fixed64(_ field: Int, _ bits: UInt64) -> [UInt8] {
        varint(field << 3 | 1) + withUnsafeBytes(of: bits.littleEndian) { Array($0) }
    }

    /// A TensorShapeProto.
    static func shape(_ dimensions: [Int]) -> [UInt8] { dimensions.flatMap { bytes(2, number(1, $0)) } }

    /// A NodeDef. Its attributes are AttrValue messages.
    static func node(
        _ name: String, _ operation: String, _ inputs: [String] = [], attributes: KeyValuePairs<String, [UInt8]> = [:]
    ) -> [UInt8] {
        text(1, name) + text(2, operation) + inputs.flatMap { text(3, $0) }
            + attributes.flatMap { bytes(5, text(1, $0.key) + bytes(2, $0.value)) }
    }
}

/// The values of a node's attributes, which are AttrValue messages.
enum Attribute {
    static let float32 = Wire.number(6, 1)
    static let int32 = Wire.number(6, 3)
    static func text(_ text: String) -> [UInt8] { Wire.text(2, text) }
    static func integer(_ value: Int) -> [UInt8] { Wire.number(3, value) }
    static func flag(_ value: Bool) -> [UInt8] { Wire.number(5, value ? 1 : 0) }
    static func shape(_ dimensions: [Int]) -> [UInt8] { Wire.bytes(7, Wire.shape(dimensions)) }

    static func number(_ value: Float) -> [UInt8] { Wire.fixed32(4, value.bitPattern) }

    /// Values as a constant's tensor_content.
    static func content(_ values: [Float]) -> [UInt8] {
        Wire.bytes(4, values.withUnsafeBytes { Array($0) }) // the tests run on little-endian machines alone
    }

    static func content(integers values: [Int32]) -> [UInt8] { Wire.bytes(4, values.withUnsafeBytes { Array($0) }) }

    /// A constant that declares a shape. libfne needs no values to know weights.
    static func tensor(type: Int = 1, _ dimensions: [Int], _ values: [UInt8] = []) -> [UInt8] {
        Wire.bytes(8, Wire.number(1, type) + Wire.bytes(2, Wire.shape(dimensions)) + values)
    }
}

/// Writes a GraphDef node by node. A method returns the name of the node that it adds, so that calls chain:
///
///     var graph = GraphWriter()
///     let input = graph.placeholder("input", [-1, 32, 32, 3])
///     let scores = graph.convolution("conv", of: input, [3, 3, 3, 8])
struct GraphWriter {
    private(set) var serialized: [UInt8] = []
    /// The sizes of the file after each node. A file that is cut there is a smaller graph.
    private(set) var ends: [Int] = []

    @discardableResult
    mutating func node(
        _ name: String, _ operation: String, _ inputs: String..., attributes: KeyValuePairs<String, [UInt8]> = [:]
    ) -> String {
        node(name, operation, inputs: inputs, attributes: attributes)
    }

    @discardableResult
    mutating func node(
        _ name: String, _ operation: String, inputs: [String], attributes: KeyValuePairs<String, [UInt8]> = [:]
    ) -> String {
        serialized += Wire.bytes(1, Wire.node(name, operation, inputs, attributes: attributes))
        ends.append(serialized.count)
        return name
    }

    /// Adds a library with one function, which has a name and the NodeDefs of its body.
    mutating func function(_ name: String, body: [[UInt8]]) {
        let function = Wire.bytes(1, Wire.text(1, name)) + body.flatMap { Wire.bytes(3, $0) }
        serialized += Wire.bytes(2, Wire.bytes(1, function))
    }

    mutating func append(_ bytes: [UInt8]) { serialized += bytes }

    @discardableResult
    mutating func placeholder(_ name: String, _ shape: [Int], type: [UInt8] = Attribute.float32) -> String {
        node(name, "Placeholder", attributes: ["dtype": type, "shape": Attribute.shape(shape)])
    }

    @discardableResult
    mutating func constant(_ name: String, _ shape: [Int]) -> String {
        node(name, "Const", attributes: ["dtype": Attribute.float32, "value": Attribute.tensor(shape)])
    }

    /// A constant with values.
    @discardableResult
    mutating func constant(_ name: String, _ shape: [Int], _ values: [Float]) -> String {
        let value = Attribute.tensor(shape, Attribute.content(values))
        return node(name, "Const", attributes: ["dtype": Attribute.float32, "value": value])
    }

    /// A convolution and its weights [height, width, in, out], named `name/weights`.
    @discardableResult
    mutating func convolution(
        _ name: String, of input: String, _ weights: [Int], _ operation: String = "Conv2D"
    ) -> String {
        constant(name + "/weights", weights)
        return node(name, operation, input, name + "/weights")
    }

    /// A layer of an operation, and its weights `name/weights` with their values.
    @discardableResult
    mutating func layer(
        _ name: String, of input: String, _ weights: [Int], _ values: [Float], _ operation: String = "Conv2D"
    ) -> String {
        constant(name + "/weights", weights, values)
        return node(name, operation, input, name + "/weights")
    }

    /// A product with the constant weights [in, out].
    @discardableResult
    mutating func dense(_ name: String, of input: String, _ weights: [Int]) -> String {
        convolution(name, of: input, weights, "MatMul")
    }

    /// An operation with a tensor and a constant, such as BiasAdd.
    @discardableResult
    mutating func with(_ name: String, _ operation: String, _ input: String, constant shape: [Int]) -> String {
        constant(name + "/constant", shape)
        return node(name, operation, input, name + "/constant")
    }

    func model(allowUnsafe: Bool = false) throws -> GraphDefNetwork {
        try serialized.withUnsafeBytes {
            try GraphDefNetwork(Bytes(copying: $0), allowUnsafe: allowUnsafe, feeds: [])
        }
    }

    /// Checks what a tensor needs, as opening an extractor does, but for the shapes.
    func check(_ tensor: String, allowUnsafe: Bool = false) throws {
        let model = try model(allowUnsafe: allowUnsafe)
        try GraphChecks(
            model, input: model.input(named: "input"), taps: [model.tensorName(tensor)], size: [8, 8, 3]
        ).run()
    }

    /// Checks the whole graph, but for what its operations do and for the shapes.
    func checkAll() throws {
        let graph = try definition()
        try GraphConsistency.check(graph)
        try GraphSizes.check(graph, size: serialized.count)
        try GraphExpansion.check(graph, GraphTopology(graph))
        try GraphLoops.check(graph)
    }

    func definition() throws -> GraphDefinition {
        // The definition holds no pointer into the bytes.
        try serialized.withUnsafeBytes { try GraphDefinition($0) }
    }
}

extension GraphWriter {
    /// A small network with each kind of layer: input, conv + bias + relu, depthwise + batch norm + relu6, pooling, and
    /// a dense classifier of 10 classes with softmax.
    static var smallNetwork: GraphWriter {
        var graph = GraphWriter()
        let input = graph.placeholder("input", [-1, 32, 24, 3])
        let conv = graph.convolution("conv", of: input, [3, 3, 3, 8])
        let relu = graph.node("conv/relu", "Relu", graph.with("conv/bias", "BiasAdd", conv, constant: [8]))
        let depthwise = graph.convolution("depthwise", of: relu, [3, 3, 8, 2], "DepthwiseConv2dNative")
        for name in ["scale", "offset", "mean", "variance"] { graph.constant("norm/" + name, [16]) }
        let norm = graph.node(
            "depthwise/norm", "FusedBatchNormV3", depthwise, "norm/scale", "norm/offset", "norm/mean", "norm/variance",
            attributes: ["is_training": Attribute.flag(false)])
        let relu6 = graph.node("depthwise/relu6", "Relu6", norm)
        let pooled = graph.with("pool", "Mean", relu6, constant: [2])
        let logits = graph.with("logits", "BiasAdd", graph.dense("fc", of: pooled, [16, 10]), constant: [10])
        graph.node("softmax", "Softmax", logits)
        return graph
    }

    /// `count` convolutions in a row, conv1 to conv<count>, and a max pooling after them.
    static func chain(_ count: Int) -> GraphWriter {
        var graph = GraphWriter()
        var last = graph.placeholder("input", [-1, 8, 8, 3])
        for i in 1...count { last = graph.convolution("conv\(i)", of: last, [3, 3, 3, 3]) }
        graph.node("top", "MaxPool", last)
        return graph
    }
}

/// Writes nodes and constants of an ONNX graph.
struct ONNXWriter {
    /// The nodes that were written, serialized, in an order in which they can be computed.
    private(set) var nodes: [[UInt8]] = []
    private(set) var constants: [[UInt8]] = []
    /// The version of ONNX's operators. Some take their axes as attributes in old versions, and as inputs in new ones.
    let opset: Int
    /// The beginning of all names that are written, which no name of the graph has.
    let prefix: String
    private var count = 0

    init(opset: Int, prefix: String) {
        self.opset = opset
        self.prefix = prefix
    }

    /// The value of an attribute that is written.
    enum Attribute: Sendable {
        case integer(Int)
        case integers([Int])
    }

    /// Writes a node with one output.
    ///
    /// - Parameter output: the output's name; nil for a new one
    /// - Returns: the output's name.
    @discardableResult
    mutating func node(
        _ operation: String, _ inputs: [String], _ attributes: KeyValuePairs<String, Attribute> = [:],
        output: String? = nil
    ) -> String {
        count += 1
        let output = output ?? "\(prefix)\(operation)\(count)"
        var node = ProtobufWriter()
        for input in inputs { node.text(1, input) }
        node.text(2, output)
        node.text(3, "\(prefix)node\(count)")
        node.text(4, operation)
        for (name, value) in attributes { node.message(5) { Self.write(name, value, to: &$0) } }
        nodes.append(node.bytes)
        return output
    }

    private static func write(_ name: String, _ value: Attribute, to writer: inout ProtobufWriter) {
        writer.text(1, name)
        switch value {
        case .integer(let number):
            writer.number(3, number)
            writer.number(20, 2)
        case .integers(let numbers):
            for number in numbers { writer.number(8, number) }
            writer.number(20, 7)
        }
    }

    /// Writes a serialized node as it is.
    mutating func copy(_ node: [UInt8]) { nodes.append(node) }

    /// Writes a serialized constant as it is.
    mutating func copy(constant: [UInt8]) { constants.append(constant) }

    /// Writes a constant of int64. Without a shape it is a list.
    mutating func integers(_ values: [Int], isScalar: Bool = false) -> String {
        count += 1
        let name = "\(prefix)constant\(count)"
        var tensor = ProtobufWriter()
        if !isScalar { tensor.number(1, values.count) }
        tensor.number(2, ONNXType.int64.rawValue)
        for value in values { tensor.number(7, value) }
        tensor.text(8, name)
        constants.append(tensor.bytes)
        return name
    }

    /// Writes a constant of one float32.
    mutating func number(_ value: Float) -> String {
        count += 1
        let name = "\(prefix)constant\(count)"
        var tensor = ProtobufWriter()
        tensor.number(2, ONNXType.float32.rawValue)
        tensor.text(8, name)
        withUnsafeBytes(of: value.bitPattern.littleEndian) { tensor.bytes(9, $0) }
        constants.append(tensor.bytes)
        return name
    }

    // MARK: Operators whose form changed

    /// The mean over axes, which are dropped.
    mutating func mean(_ value: String, over axes: [Int]) -> String {
        opset >= 18
            ? node("ReduceMean", [value, integers(axes)], ["keepdims": .integer(0)])
            : node("ReduceMean", [value], ["axes": .integers(axes), "keepdims": .integer(0)])
    }

    /// The part of a value from a place of an axis on.
    mutating func tail(_ value: String, axis: Int, from start: Int) -> String {
        opset >= 10
            ? node("Slice", [value, integers([start]), integers([.max]), integers([axis])])
            : node(
                "Slice", [value], ["starts": .integers([start]), "ends": .integers([.max]), "axes": .integers([axis])])
    }

    /// The value in float32.
    mutating func float32(_ value: String) -> String {
        node("Cast", [value], ["to": .integer(ONNXType.float32.rawValue)])
    }
}

import FNESupport

/// A node of an ONNX file that can be written with other names.
struct ONNXNodeDraft {
    var name = ""
    var operation = ""
    var domain = ""
    var inputs: [String] = []
    var outputs: [String] = []
    var attributes: [Attribute] = []
    private var rest = ProtobufWriter()

    struct Attribute {
        var name = ""
        /// The attribute of the function whose value this one has; "" for one with a value of its own.
        var reference = ""
        var graph: ONNXGraphDraft?
        private var rest = ProtobufWriter()

        /// - Throws: `.invalidGraph`.
        init(_ bytes: UnsafeRawBufferPointer, depth: Int) throws {
            var message = ONNXMessage(bytes, "an attribute", repeated: [7, 8, 9, 10, 11, 15, 23])
            while let field = try message.next() {
                switch field.number {
                case 1: name = try field.name(of: "an attribute")
                case 6: graph = try ONNXGraphDraft(field.bytes(), depth: depth + 1)
                case 21: reference = try field.name(of: "an attribute")
                default: rest.field(field.number, field.value)
                }
            }
        }

        fileprivate func write(to writer: inout ProtobufWriter) {
            writer.text(1, name)
            writer.append(rest)
            if let graph { writer.message(6, graph.write) }
            if !reference.isEmpty { writer.text(21, reference) }
        }
    }

    /// - Throws: `.invalidGraph`.
    init(_ bytes: UnsafeRawBufferPointer, depth: Int = 0) throws {
        var message = ONNXMessage(bytes, "a node", repeated: [1, 2, 5, 9, 10])
        while let field = try message.next() {
            switch field.number {
            case 1: inputs.append(try field.name(of: "an input of a node"))
            case 2: outputs.append(try field.name(of: "an output of a node"))
            case 3: name = try field.name(of: "a node")
            case 4: operation = try field.name(of: "an operation")
            case 5: attributes.append(try Attribute(field.bytes(), depth: depth))
            case 7: domain = try field.name(of: "a domain")
            default: rest.field(field.number, field.value)
            }
        }
    }

    /// The name of the function that the node may call.
    var called: String { ONNXInlining.key(domain, operation) }

    func write(to writer: inout ProtobufWriter) {
        for input in inputs { writer.text(1, input) }
        for output in outputs { writer.text(2, output) }
        writer.text(3, name)
        writer.text(4, operation)
        for attribute in attributes { writer.message(5, attribute.write) }
        writer.text(7, domain)
        writer.append(rest)
    }
}

/// A graph of a node's attribute that can be written with other names.
struct ONNXGraphDraft {
    var nodes: [ONNXNodeDraft] = []
    var constants: [Named] = []
    var inputs: [Named] = []
    var outputs: [Named] = []
    private var rest = ProtobufWriter()

    /// A constant, an input or an output.
    struct Named {
        var name = ""
        private let field: Int
        private var rest = ProtobufWriter()

        /// - Parameter field: the number of the name's field
        init(_ bytes: UnsafeRawBufferPointer, nameIn field: Int) throws {
            self.field = field
            name = try Self.name(in: bytes, field)
            var reader = ProtobufReader(bytes, of: "ONNX model")
            while let (number, value) = try reader.next() { if number != field { rest.field(number, value) } }
        }

        /// The name of a constant, an input or an output.
        static func name(in bytes: UnsafeRawBufferPointer, _ field: Int) throws -> String {
            var reader = ProtobufReader(bytes, of: "ONNX model")
            while let (number, value) = try reader.next() {
                guard number == field else { continue }
                return try ONNXMessage.Field(number: number, value: value, message: "a value").name(of: "a value")
            }
            return ""
        }

        fileprivate func write(to writer: inout ProtobufWriter) {
            writer.text(field, name)
            writer.append(rest)
        }
    }

    private static let depthLimit = 8

    /// - Throws: `.invalidGraph`.
    init(_ bytes: UnsafeRawBufferPointer, depth: Int) throws {
        guard depth <= Self.depthLimit else {
            throw FNEError(.invalidGraph, "subgraphs stand in subgraphs more than \(Self.depthLimit) times over")
        }
        var message = ONNXMessage(bytes, "the graph", repeated: [1, 5, 11, 12, 13, 14, 15, 16])
        while let field = try message.next() {
            switch field.number {
            case 1: nodes.append(try ONNXNodeDraft(field.bytes(), depth: depth))
            case 5: constants.append(try Named(field.bytes(), nameIn: 8))
            case 11: inputs.append(try Named(field.bytes(), nameIn: 1))
            case 12: outputs.append(try Named(field.bytes(), nameIn: 1))
            case 13: break // the names of values inside change
            default: rest.field(field.number, field.value)
            }
        }
    }

    fileprivate func write(to writer: inout ProtobufWriter) {
        for node in nodes { writer.message(1, node.write) }
        for constant in constants { writer.message(5, constant.write) }
        for input in inputs { writer.message(11, input.write) }
        for output in outputs { writer.message(12, output.write) }
        writer.append(rest)
    }
}

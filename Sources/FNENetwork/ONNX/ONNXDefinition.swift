import FNESupport

/// The parts of an ONNX model (onnx.proto, ModelProto) that libfne needs, read without ONNX Runtime: the nodes with
/// their attributes and subgraphs, the types and shapes of constants and values, and where the weights stand. Reading
/// is strict (see `ONNXMessage`).
struct ONNXDefinition: Sendable {
    /// An operation of a graph. An input or an output without a name is left out.
    struct Node: Sendable {
        fileprivate(set) var name = ""
        fileprivate(set) var operation = ""
        /// "" is ONNX's own domain.
        fileprivate(set) var domain = ""
        fileprivate(set) var inputs: [String] = []
        fileprivate(set) var outputs: [String] = []
        fileprivate(set) var attributes: [String: Attribute] = [:]
        /// The path of PyTorch's module that the node was made for, where the exporter kept it.
        fileprivate(set) var module: String?
        /// The bytes of the node's message in the file.
        fileprivate(set) var range = 0..<0

        /// The node in words.
        var title: String {
            (name.isEmpty ? outputs.first.map { "the node of '\($0)'" } ?? "a node" : "node '\(name)'")
                + " (\(domain.isEmpty ? "" : domain + ".")\(operation))"
        }
    }

    /// The value of a node's attribute.
    enum Attribute: Sendable {
        case number(Float)
        case integer(Int)
        case text(String)
        case tensor(ONNXTensor)
        case graph(Graph)
        case numbers([Float])
        case integers([Int])
        /// A value of another kind, which is not kept.
        case other
    }

    /// An input or an output of a graph, or a value inside of it.
    struct Value: Sendable {
        fileprivate(set) var name = ""
        fileprivate(set) var type = ONNXType.unknown
        /// The shape, with -1 for a dimension that is not fixed; nil where the rank is not known.
        fileprivate(set) var shape: [Int]?
        /// Whether it is a tensor, and no list or map.
        fileprivate(set) var isTensor = true
    }

    /// A graph: the model's own, or a subgraph of a node.
    struct Graph: Sendable {
        fileprivate(set) var nodes: [Node] = []
        fileprivate(set) var constants: [ONNXTensor] = []
        fileprivate(set) var inputs: [Value] = []
        fileprivate(set) var outputs: [Value] = []
        fileprivate(set) var values: [Value] = []
    }

    fileprivate(set) var version = 0
    /// The versions of the sets of operations, by domain. That of ONNX itself has the name "".
    fileprivate(set) var opsets: [String: Int] = [:]
    fileprivate(set) var graph = Graph()
    /// What the exporter wrote about the model.
    fileprivate(set) var metadata: [String: String] = [:]

    /// The version of ONNX's own set of operations.
    var opset: Int { opsets[""] ?? 0 }

    /// The most nodes that a model may have, those of subgraphs included.
    static let nodeLimit = 200_000

    /// Reads an ONNX model.
    ///
    /// - Parameter outside: the files beside the model
    /// - Throws: `.invalidGraph`; `.fileError` and `.ioError` for a file beside the model; `.outOfMemory`.
    init(_ bytes: UnsafeRawBufferPointer, _ outside: ONNXExternalData) throws {
        try Reserve.prepare(saturating(ONNXStructure.size(bytes), Self.reservePerByte))
        var reader = ONNXReader(file: bytes, outside: outside)
        self = try reader.model()
        try Reserve.check()
    }

    fileprivate init() {}

    /// The memory that reading takes, in bytes per byte of the file without its constants.
    private static let reservePerByte = 64

    /// Whether a file is an ONNX model, by its content. A GraphDef begins with another field, and other formats that
    /// begin with a version lack the graph or the sets of operations.
    static func isONNX(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var reader = ProtobufReader(bytes, of: "ONNX model")
        var (hasVersion, hasGraph, hasOpsets) = (false, false, false)
        for _ in 0..<4_096 {
            guard let next = try? reader.next() else { break }
            switch next {
            case (1, .varint(let version)): hasVersion = (1...1_000).contains(version)
            case (7, .bytes): hasGraph = true
            case (8, .bytes): hasOpsets = true
            case (2...6, _), (14...26, _): break
            default: return false
            }
        }
        return hasVersion && hasGraph && hasOpsets
    }

    /// A pair of texts.
    static func entry(_ bytes: UnsafeRawBufferPointer, _ what: String) throws -> (key: String, value: String) {
        var result = (key: "", value: "")
        var message = ONNXMessage(bytes, "an entry of \(what)")
        while let field = try message.next() {
            if field.number == 1 { result.key = String(decoding: try field.bytes(), as: UTF8.self) }
            if field.number == 2 { result.value = String(decoding: try field.bytes(), as: UTF8.self) }
        }
        return result
    }
}

/// Reads the messages of an ONNX file.
private struct ONNXReader {
    let file: UnsafeRawBufferPointer
    let outside: ONNXExternalData
    private var nodeCount = 0

    init(file: UnsafeRawBufferPointer, outside: ONNXExternalData) {
        self.file = file
        self.outside = outside
    }

    /// How deep subgraphs may stand in subgraphs.
    private static let depthLimit = 8
    private static let listLimit = 1 << 20

    mutating func model() throws -> ONNXDefinition {
        var model = ONNXDefinition()
        var hasGraph = false
        var message = ONNXMessage(file, "the model", repeated: [8, 14, 20, 25, 26])
        while let field = try message.next() {
            switch field.number {
            case 1: model.version = try field.integer()
            case 7:
                hasGraph = true
                model.graph = try graph(field.bytes(), depth: 0)
            case 8: try Self.readOpset(field.bytes(), to: &model)
            case 14:
                let (key, value) = try ONNXDefinition.entry(field.bytes(), "the metadata")
                model.metadata[key] = value
            default: break
            }
        }
        guard hasGraph, !model.graph.nodes.isEmpty else {
            throw FNEError(.invalidGraph, "the ONNX model is empty. It has no nodes. Export it again")
        }
        return model
    }

    private static func readOpset(_ bytes: UnsafeRawBufferPointer, to model: inout ONNXDefinition) throws {
        var (domain, version) = ("", 0)
        var message = ONNXMessage(bytes, "a set of operations")
        while let field = try message.next() {
            if field.number == 1 { domain = try ONNXReader.domain(field) }
            if field.number == 2 { version = try field.integer() }
        }
        guard model.opsets.updateValue(version, forKey: domain) == nil else {
            throw FNEError(.invalidGraph, "the ONNX model names two versions of the operations '\(domain)'")
        }
    }

    /// The name of a domain. ONNX's own has two.
    private static func domain(_ field: ONNXMessage.Field) throws -> String {
        let name = try field.name(of: "a domain")
        return name == "ai.onnx" ? "" : name
    }

    // MARK: Graphs

    private mutating func graph(_ bytes: UnsafeRawBufferPointer, depth: Int) throws -> ONNXDefinition.Graph {
        guard depth <= Self.depthLimit else {
            throw FNEError(.invalidGraph, "subgraphs stand in subgraphs more than \(Self.depthLimit) times over")
        }
        var graph = ONNXDefinition.Graph()
        var message = ONNXMessage(bytes, "the graph", repeated: [1, 5, 11, 12, 13, 14, 15, 16])
        while let field = try message.next() {
            switch field.number {
            case 1: graph.nodes.append(try node(field.bytes(), depth: depth))
            case 5: graph.constants.append(try tensor(field.bytes()))
            case 11: graph.inputs.append(try Self.value(field.bytes()))
            case 12: graph.outputs.append(try Self.value(field.bytes()))
            case 13: graph.values.append(try Self.value(field.bytes()))
            case 15: throw FNEError(.invalidGraph, "the ONNX model has sparse weights, which libfne does not read")
            default: break
            }
        }
        return graph
    }

    private func tensor(_ bytes: UnsafeRawBufferPointer) throws -> ONNXTensor {
        try ONNXTensor(bytes, at: start(of: bytes), outside)
    }

    private func start(of part: UnsafeRawBufferPointer) -> Int {
        guard let start = part.baseAddress, let base = file.baseAddress else { return 0 }
        return start - base
    }

    private mutating func node(_ bytes: UnsafeRawBufferPointer, depth: Int) throws -> ONNXDefinition.Node {
        nodeCount += 1
        guard nodeCount <= ONNXDefinition.nodeLimit else {
            throw FNEError(.invalidGraph, "the ONNX model has more than \(ONNXDefinition.nodeLimit) nodes")
        }
        if nodeCount % 1_024 == 0 { try Reserve.check() }
        var node = ONNXDefinition.Node()
        node.range = start(of: bytes)..<start(of: bytes) + bytes.count
        var path = ONNXModulePath()
        var message = ONNXMessage(bytes, "a node", repeated: [1, 2, 5, 9, 10])
        while let field = try message.next() { try read(field, of: &node, &path, depth: depth) }
        guard !node.operation.isEmpty else {
            throw FNEError(.invalidGraph, "\(node.title) has no operation")
        }
        node.module = path.text(of: node.name)
        return node
    }

    private mutating func read(
        _ field: ONNXMessage.Field, of node: inout ONNXDefinition.Node, _ path: inout ONNXModulePath, depth: Int
    ) throws {
        switch field.number {
        case 1: node.inputs.append(try field.name(of: "an input of a node"))
        case 2: node.outputs.append(try field.name(of: "an output of a node"))
        case 3: node.name = try field.name(of: "a node")
        case 4: node.operation = try field.name(of: "an operation")
        case 5:
            let (name, value) = try attribute(field.bytes(), depth: depth)
            guard node.attributes.updateValue(value, forKey: name) == nil else {
                throw FNEError(.invalidGraph, "\(node.title) has the attribute '\(name)' twice")
            }
        case 7: node.domain = try Self.domain(field)
        case 9: path.read(try ONNXDefinition.entry(field.bytes(), "the metadata of a node"))
        default: break
        }
    }

    // MARK: Attributes

    private mutating func attribute(
        _ bytes: UnsafeRawBufferPointer, depth: Int
    ) throws -> (name: String, value: ONNXDefinition.Attribute) {
        var name = ""
        var parts = AttributeParts()
        var message = ONNXMessage(bytes, "an attribute", repeated: [7, 8, 9, 10, 11, 15, 23])
        while let field = try message.next() {
            switch field.number {
            case 1: name = try field.name(of: "an attribute")
            case 5: try parts.take(.tensor(tensor(field.bytes())), kind: 4)
            case 6: try parts.take(.graph(graph(field.bytes(), depth: depth + 1)), kind: 5)
            default: try parts.read(field)
            }
        }
        return (name, try parts.value())
    }

    /// The values of an attribute, while it is read.
    private struct AttributeParts {
        var kind = 0
        var found: Int?
        var single: ONNXDefinition.Attribute?
        var integers: [Int] = []
        var numbers: [Float] = []

        /// - Parameter kind: the number of the kind (AttributeProto.AttributeType)
        mutating func take(_ value: ONNXDefinition.Attribute, kind: Int) throws {
            try note(kind)
            single = value
        }

        private mutating func note(_ kind: Int) throws {
            guard found == nil || found == kind else {
                throw FNEError(.invalidGraph, "the ONNX model is damaged. An attribute has values of two kinds")
            }
            found = kind
        }

        mutating func read(_ field: ONNXMessage.Field) throws {
            switch field.number {
            case 2: try take(.number(field.float()), kind: 1)
            case 3: try take(.integer(field.integer()), kind: 2)
            case 4: try take(.text(String(decoding: field.bytes(), as: UTF8.self)), kind: 3)
            case 7:
                try note(6)
                try appendNumbers(field)
            case 8:
                try note(7)
                try field.append(to: &integers, atMost: ONNXReader.listLimit)
            case 9: try take(.other, kind: 8)
            case 10, 11, 14, 15, 22, 23:
                throw FNEError(
                    .invalidGraph, "an attribute is a list of tensors or graphs, a type, or sparse, which is not read")
            case 20: kind = try field.integer()
            case 21: throw FNEError(.invalidGraph, "an attribute refers to one of a function that is not there")
            default: break
            }
        }

        private mutating func appendNumbers(_ field: ONNXMessage.Field) throws {
            switch field.value {
            case .fixed32(let bits): numbers.append(Float(bitPattern: bits))
            case .bytes(let packed) where packed.count % 4 == 0 && packed.count / 4 <= ONNXReader.listLimit:
                for place in stride(from: 0, to: packed.count, by: 4) {
                    let bits = packed.loadUnaligned(fromByteOffset: place, as: UInt32.self)
                    numbers.append(Float(bitPattern: UInt32(littleEndian: bits)))
                }
            default: throw field.wrongType
            }
        }

        /// The value. A kind that is given and does not fit is an error. Old files give none. A value that is zero or
        /// an empty list may be left out.
        func value() throws -> ONNXDefinition.Attribute {
            guard found == nil || kind == 0 || kind == found else {
                throw FNEError(.invalidGraph, "the ONNX model is damaged. An attribute's kind is not that of its value")
            }
            switch found ?? kind {
            case 1: return single ?? .number(0)
            case 2: return single ?? .integer(0)
            case 3: return single ?? .text("")
            case 6: return .numbers(numbers)
            case 7: return .integers(integers)
            default: return single ?? .other
            }
        }
    }

    // MARK: Values

    private static func value(_ bytes: UnsafeRawBufferPointer) throws -> ONNXDefinition.Value {
        var value = ONNXDefinition.Value()
        var message = ONNXMessage(bytes, "a value", repeated: [4])
        while let field = try message.next() {
            if field.number == 1 { value.name = try field.name(of: "a value") }
            if field.number == 2 { try readType(field.bytes(), of: &value) }
        }
        return value
    }

    private static func readType(_ bytes: UnsafeRawBufferPointer, of value: inout ONNXDefinition.Value) throws {
        var message = ONNXMessage(bytes, "a type")
        while let field = try message.next() {
            if [4, 5, 7, 8, 9].contains(field.number) { value.isTensor = false }
            guard field.number == 1 else { continue }
            var tensor = ONNXMessage(try field.bytes(), "a tensor's type")
            while let field = try tensor.next() {
                if field.number == 1 { value.type = ONNXType(number: try field.integer()) }
                if field.number == 2 { value.shape = try shape(field.bytes()) }
            }
        }
    }

    private static func shape(_ bytes: UnsafeRawBufferPointer) throws -> [Int] {
        var shape: [Int] = []
        var message = ONNXMessage(bytes, "a shape", repeated: [1])
        while let field = try message.next() {
            guard field.number == 1 else { continue }
            guard shape.count < 64 else { throw FNEError(.invalidGraph, "a shape has more than 64 dimensions") }
            shape.append(try dimension(field.bytes()))
        }
        return shape
    }

    private static func dimension(_ bytes: UnsafeRawBufferPointer) throws -> Int {
        var size = -1
        var message = ONNXMessage(bytes, "a dimension")
        while let field = try message.next() {
            if field.number == 1 { size = max(-1, try field.integer()) }
        }
        return size
    }
}

/// What libfne needs to know of a TensorFlow GraphDef (tensorflow/core/framework/graph.proto), read without TensorFlow:
/// nodes, edges, the attributes that say what a layer is, the shapes of constants, and the operations in function
/// bodies. Weights are skipped over.
struct GraphDefinition {
    struct Input {
        let name: String
        let output: Int
        let isControl: Bool
    }

    struct Node {
        var name = ""
        var operation = ""
        var inputs: [Input] = []
        /// Attributes by name, those that were understood.
        var attributes: [String: Attribute] = [:]
    }

    enum Attribute {
        case type(Int)
        case shape([Int]?)  // nil: unknown rank; -1: unknown dimension
        case flag(Bool)
        case integer(Int)
        case text(String)
        case tensor(Constant)
    }

    /// A constant's type and shape.
    struct Constant {
        var type = 0
        var shape: [Int]? = []
        /// Values of small int32 constants, for axes.
        var integers: [Int] = []
    }

    /// An operation in the body of a function of the graph's library.
    struct FunctionNode {
        let function: String
        let name: String
        let operation: String
    }

    private(set) var nodes: [Node] = []
    private(set) var functionNodes: [FunctionNode] = []
    private(set) var index: [String: Int] = [:]

    /// TensorFlow's number of float32 (types.proto).
    static let float32 = 1

    init(_ bytes: UnsafeRawBufferPointer) throws {
        try Self.recognize(bytes)
        var reader = ProtobufReader(bytes)
        while let (field, value) = try reader.next() {
            switch (field, value) {
            case (1, .bytes(let message)): nodes.append(try Self.node(message))
            case (2, .bytes(let message)): try readLibrary(message)
            case (3, .varint), (4, .bytes), (5, .bytes): break // version, versions, debug info
            default: throw FNEError(.invalidGraph, "is not a TensorFlow GraphDef (unknown field \(field))")
            }
        }
        guard !nodes.isEmpty else { throw FNEError(.invalidGraph, "is not a TensorFlow GraphDef: it has no nodes") }
        for (number, node) in nodes.enumerated() {
            guard !node.name.isEmpty, !node.operation.isEmpty else {
                throw FNEError(.invalidGraph, "node \(number) has no name or no operation")
            }
            guard index.updateValue(number, forKey: node.name) == nil else {
                throw FNEError(.invalidGraph, "two nodes are named '\(node.name)'")
            }
        }
        for node in nodes {
            for input in node.inputs where index[input.name] == nil {
                throw FNEError(.invalidGraph, "node '\(node.name)' reads '\(input.name)', which the graph does not hold")
            }
        }
    }

    /// Says what other files are that users take for a GraphDef.
    private static func recognize(_ bytes: UnsafeRawBufferPointer) throws {
        func starts(_ text: [UInt8]) -> Bool { bytes.starts(with: text) }
        let mistaken: String? =
            starts([0x89] + Array("HDF".utf8)) ? "is an HDF5 file (Keras weights)"
            : starts(Array("PK".utf8)) ? "is a ZIP archive (a .keras model?)"
            : starts(Array("node {".utf8)) || starts(Array("node:".utf8)) ? "is a GraphDef in text format"
            : starts([0x08, 0x01, 0x12]) ? "is a SavedModel"
            : bytes.count >= 8 && bytes[4..<8].elementsEqual(Array("TFL3".utf8)) ? "is a TensorFlow Lite model" : nil
        if let mistaken {
            throw FNEError(.invalidGraph, "\(mistaken), not a GraphDef; freeze the model into a binary GraphDef first")
        }
    }

    private mutating func readLibrary(_ bytes: UnsafeRawBufferPointer) throws {
        var reader = ProtobufReader(bytes)
        while let (field, value) = try reader.next() {
            guard field == 1, let function = value.message else { continue }
            var name = ""
            var bodies: [UnsafeRawBufferPointer] = []
            var parts = ProtobufReader(function)
            while let (part, value) = try parts.next() {
                guard let message = value.message else { continue }
                if part == 1 { // signature
                    var signature = ProtobufReader(message)
                    while let (field, value) = try signature.next() {
                        if field == 1 { name = value.string ?? "" }
                    }
                } else if part == 3 { // body
                    bodies.append(message)
                }
            }
            for body in bodies {
                let node = try Self.node(body)
                functionNodes.append(FunctionNode(function: name, name: node.name, operation: node.operation))
            }
        }
    }

    private static func node(_ bytes: UnsafeRawBufferPointer) throws -> Node {
        var node = Node()
        var reader = ProtobufReader(bytes)
        while let (field, value) = try reader.next() {
            switch field {
            case 1: node.name = value.string ?? ""
            case 2: node.operation = value.string ?? ""
            case 3: node.inputs.append(input(value.string ?? ""))
            case 5:
                guard let entry = value.message else { continue }
                var key = ""
                var attribute: Attribute?
                var parts = ProtobufReader(entry)
                while let (part, value) = try parts.next() {
                    if part == 1 { key = value.string ?? "" }
                    if part == 2, let message = value.message { attribute = try Self.attribute(message) }
                }
                if let attribute { node.attributes[key] = attribute }
            default: break
            }
        }
        return node
    }

    /// "name", "name:1" or "^name".
    private static func input(_ text: String) -> Input {
        if text.utf8.first == 0x5e { return Input(name: String(text.dropFirst()), output: 0, isControl: true) }
        let reference = TensorName(text)
        return Input(name: reference.node, output: reference.output, isControl: false)
    }

    private static func attribute(_ bytes: UnsafeRawBufferPointer) throws -> Attribute? {
        var reader = ProtobufReader(bytes)
        var result: Attribute?
        while let (field, value) = try reader.next() {
            switch field {
            case 2: result = value.string.map { .text($0) }
            case 3: result = value.varint.map { .integer(Int(truncatingIfNeeded: $0)) }
            case 5: result = value.varint.map { .flag($0 != 0) }
            case 6: result = value.varint.map { .type(Int(truncatingIfNeeded: $0)) }
            case 7: result = try value.message.map { .shape(try shape($0)) }
            case 8: result = try value.message.map { .tensor(try constant($0)) }
            default: break
            }
        }
        return result
    }

    private static func constant(_ bytes: UnsafeRawBufferPointer) throws -> Constant {
        var constant = Constant()
        var reader = ProtobufReader(bytes)
        while let (field, value) = try reader.next() {
            switch field {
            case 1: constant.type = Int(truncatingIfNeeded: value.varint ?? 0)
            case 2: constant.shape = try value.message.flatMap { try shape($0) }
            case 4: // raw content
                if constant.type == 3, let content = value.message, content.count <= 64, content.count % 4 == 0 {
                    constant.integers = stride(from: 0, to: content.count, by: 4).map {
                        Int(Int32(littleEndian: content.loadUnaligned(fromByteOffset: $0, as: Int32.self)))
                    }
                }
            case 7: constant.integers += try value.varints().map { Int(Int32(truncatingIfNeeded: $0)) }
            default: break
            }
        }
        return constant
    }

    private static func shape(_ bytes: UnsafeRawBufferPointer) throws -> [Int]? {
        var dimensions: [Int] = []
        var reader = ProtobufReader(bytes)
        while let (field, value) = try reader.next() {
            if field == 3, value.varint != 0 { return nil }
            guard field == 2, let message = value.message else { continue }
            var size = 0
            var parts = ProtobufReader(message)
            while let (part, value) = try parts.next() {
                if part == 1 { size = Int(truncatingIfNeeded: value.varint ?? 0) }
            }
            dimensions.append(size)
        }
        return dimensions
    }
}

extension GraphDefinition.Node {
    /// Inputs that carry data.
    var dataInputs: [GraphDefinition.Input] { inputs.filter { !$0.isControl } }

    func text(_ name: String) -> String? { if case .text(let value)? = attributes[name] { value } else { nil } }

    func flag(_ name: String) -> Bool { if case .flag(let value)? = attributes[name] { value } else { false } }

    func type(_ name: String) -> Int? { if case .type(let value)? = attributes[name] { value } else { nil } }

    func shape(_ name: String) -> [Int]? { if case .shape(let value)? = attributes[name] { value } else { nil } }

    func constant(_ name: String) -> GraphDefinition.Constant? {
        if case .tensor(let value)? = attributes[name] { value } else { nil }
    }
}

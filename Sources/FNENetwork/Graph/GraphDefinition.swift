import FNESupport

/// The parts of a TensorFlow GraphDef (tensorflow/core/framework/graph.proto) that libfne needs, read without
/// TensorFlow. They are the nodes, the edges, the attributes that say what a layer is, the shapes of constants, and the
/// operations in the bodies of functions. Weights are skipped.
///
/// Reading is strict. A field of the wrong type, and a singular field that stands twice, are errors. So is a name that
/// is not printable ASCII. Swift compares texts as Unicode does, so that different bytes may be equal, and a check must
/// tell names apart as TensorFlow does.
struct GraphDefinition {
    /// An edge of the graph, as the node that reads it names it. A control input is one that the node waits for,
    /// without reading a value.
    struct Input {
        let name: String
        let output: Int
        let isControl: Bool

        /// The text of the input in a NodeDef.
        var text: String { isControl ? "^" + name : output == 0 ? name : "\(name):\(output)" }
    }

    /// An operation of the graph, with its name, inputs and attributes.
    struct Node {
        var name = ""
        var operation = "" {
            didSet { facts = Operation.named(operation) }
        }
        /// The facts that the table of operations has.
        private(set) var facts = Operation.unknown
        var inputs: [Input] = []
        /// The attributes of the kinds below, by name.
        var attributes: [String: Attribute] = [:]
        fileprivate var attributeNames: Set<String> = []
        /// Whether an attribute asks for XLA.
        var asksForXLA: Bool { attributeNames.contains(where: GraphDefinition.isForXLA) }

        /// Whether the node names other nodes that it wants to share a device with.
        var isColocated: Bool { attributeNames.contains(GraphDefinition.colocation) }
        /// The bytes of the node's message in the serialized graph.
        fileprivate(set) var range = 0..<0

        /// A node that was read.
        fileprivate init() {}

        /// A node that no file holds.
        ///
        /// - Parameter given: serialized AttrValue messages
        init(_ name: String, operation: String, inputs: [Input], attributes given: GraphEditor.Attributes) throws {
            self.name = name
            self.operation = operation
            facts = Operation.named(operation)
            self.inputs = inputs
            for (key, value) in given { try setAttribute(key, value) }
        }

        /// Gives the node an attribute, in place of one of that name.
        mutating func setAttribute(_ name: String, _ value: [UInt8]) throws {
            attributes[name] = try value.withUnsafeBytes { try GraphDefinition.attribute($0) }
            attributeNames.insert(name)
        }
    }

    enum Attribute {
        case type(DataType)
        case shape([Int]?) // nil stands for an unknown rank, -1 for an unknown dimension
        case flag(Bool)
        case integer(Int)
        case number(Float)
        case text(String)
        case tensor(Constant)
        /// A list. Its functions are named with those that they are given; of its integers there are a few.
        case list(integers: [Int], functions: [String])
        /// A function, and the functions that it is given.
        case functions([String])
        /// In a function's body, the value that the function's caller gives under that name.
        case placeholder(String)
    }

    /// A constant's type and shape. Its values are read only where they are a few integers, as sizes and axes are.
    struct Constant {
        var type = DataType.unknown
        var shape: [Int]? = []
        var integers: [Int] = []
        /// The value of a constant of one number or one truth value, which is 0 or 1.
        var scalar: Double?
        /// The largest of all its integers, however many they are; nil where it holds none.
        var largest: Int?

        /// Constants of more values than this are weights or indices. Their values are skipped.
        static let fewIntegers = 64
        /// All elements of a small tensor of int32 or int64, in row-major order. Else nil.
        var elements: [Int]? {
            guard type == .int32 || type == .int64, let shape else { return nil }
            let count = product(shape)
            guard count <= Self.fewIntegers, count >= 0 else { return nil }
            // A constant that repeats its last number holds it once.
            let last = integers.last ?? 0
            return Array(integers.prefix(count)) + Array(repeating: last, count: max(0, count - integers.count))
        }

        /// A TensorProto of more bytes is no part of the graph's structure.
        static let largeSize = 4_096
    }

    /// A function of the graph's library.
    struct Function {
        var name = ""
        /// The names of its arguments.
        var arguments: [String] = []
        /// Whether an argument or a result stands for a list of tensors.
        var hasLists = false
        /// The names of its results.
        var results: [String] = []
        /// The tensors that the results are, by the results' names.
        var returned: [String: String] = [:]
        /// Functions with the same interface may be put in place of each other by TensorFlow; nil where there are none.
        var interface: String?
        /// Its body.
        var nodes: [Node] = []
        /// Whether an attribute of the function or of its body asks for XLA.
        var asksForXLA = false
    }

    private(set) var nodes: [Node] = []
    private(set) var functions: [Function] = []
    private(set) var index: [String: Int] = [:]
    /// The version of the format that the graph was written in; 0 where it does not say.
    private(set) var producer = 0

    /// The size of a serialized GraphDef without its constants, up to the first damage. What is built of a graph takes
    /// memory by this size, since the values of constants are not copied. Each message counts some bytes more, because
    /// a node without content takes memory too.
    static func structureSize(_ bytes: UnsafeRawBufferPointer) -> Int {
        var size = 0
        var reader = ProtobufReader(bytes)
        while let (field, value) = try? reader.next() {
            guard case .bytes(let content) = value else { continue }
            switch field {
            case 1: size += 32 + structureSize(content, without: nodeConstants)
            case 2: size += structureSize(content, without: functionConstants)
            default: break
            }
        }
        return size
    }

    /// The fields that lead from a node to a constant: its attributes, their values, tensors.
    private static let nodeConstants = [5, 2, 8][...]
    /// The fields that lead from the library of functions to a constant: functions, their nodes, then as above.
    private static let functionConstants = [1, 3, 5, 2, 8][...]

    private static func structureSize(_ bytes: UnsafeRawBufferPointer, without path: ArraySlice<Int>) -> Int {
        guard bytes.count > Constant.largeSize else { return bytes.count }
        guard let part = path.first else { return 0 }
        var size = 0
        var reader = ProtobufReader(bytes)
        while let (field, value) = try? reader.next() {
            size += 32
            guard case .bytes(let content) = value else { continue }
            size += field == part ? structureSize(content, without: path.dropFirst()) : content.count
        }
        return size
    }

    /// Reads a serialized GraphDef.
    ///
    /// - Throws: `.invalidGraph`.
    init(_ bytes: UnsafeRawBufferPointer) throws {
        try WrongFile.check(bytes)
        var reader = ProtobufReader(bytes)
        while let (field, value) = try reader.next() {
            switch field {
            case 1:
                nodes.append(try Self.node(value.message(), in: bytes))
            case 2: try readLibrary(value.message(), in: bytes)
            case 3: _ = try value.varint() // version
            case 4: producer = try Self.producer(value.message())
            case 5: _ = try value.message() // debug information
            default:
                throw FNEError(.invalidGraph, "this is not a TensorFlow GraphDef. It has the unknown field \(field)")
            }
        }
        guard !nodes.isEmpty else {
            throw FNEError(
                .invalidGraph, "the GraphDef is empty. It has no nodes. Freeze the model again, with its outputs named")
        }
        for (number, node) in nodes.enumerated() {
            guard index.updateValue(number, forKey: node.name) == nil else {
                throw FNEError(.invalidGraph, "two nodes are named '\(node.name)'")
            }
        }
        for node in nodes {
            for input in node.inputs where index[input.name] == nil {
                throw FNEError(
                    .invalidGraph, "node '\(node.name)' reads '\(input.name)', but the graph has no such node")
            }
        }
    }

    /// The graph of some of the nodes, with the functions that they call.
    func part(_ numbers: Set<Int>) -> GraphDefinition {
        guard numbers.count < nodes.count || !functions.isEmpty else { return self }
        var part = self
        part.nodes = nodes.indices.filter(numbers.contains).map { nodes[$0] }
        part.index = Dictionary(part.nodes.enumerated().map { ($1.name, $0) }) { first, _ in first }
        if functions.isEmpty { return part }
        let all = Dictionary(functions.map { ($0.name, $0) }) { first, _ in first }
        var called = Set<String>()
        var pending = part.nodes
        while let node = pending.popLast() {
            for name in [node.operation] + node.attributes.values.flatMap(\.functions) {
                if let function = all[name], called.insert(name).inserted { pending += function.nodes }
            }
        }
        // TensorFlow may call another function of the same interface.
        let interfaces = Set(called.compactMap { all[$0]?.interface })
        part.functions = functions.filter { called.contains($0.name) || $0.interface.map(interfaces.contains) ?? false }
        return part
    }

    /// The number of the node that a user names; nil where there is none.
    func number(of name: String) -> Int? {
        // The graph's names are ASCII. Another name may be equal to one of them as Unicode compares, but is not the
        // same.
        name.utf8.allSatisfy { $0 < 0x80 } ? index[name] : nil
    }

    /// The attribute with the names of nodes that share a node's device.
    static let colocation = "_class"

    /// Whether an attribute is for XLA, which compiles parts of a graph, such as `_XlaMustCompile`. Keras writes some.
    static func isForXLA(_ attribute: String) -> Bool {
        attribute.utf8.starts(with: "_Xla".utf8) || attribute.utf8.starts(with: "_xla".utf8)
    }

    private static func range(of part: UnsafeRawBufferPointer, in whole: UnsafeRawBufferPointer) throws -> Range<Int> {
        guard let start = part.baseAddress, let base = whole.baseAddress else {
            throw FNEError(.invalidGraph, "a node is empty")
        }
        return start - base..<start - base + part.count
    }

    private mutating func readLibrary(_ bytes: UnsafeRawBufferPointer, in graph: UnsafeRawBufferPointer) throws {
        var reader = ProtobufReader(bytes)
        while let (field, value) = try reader.next() {
            if field == 1 { try readFunction(value.message(), in: graph) }
        }
    }

    private mutating func readFunction(_ bytes: UnsafeRawBufferPointer, in graph: UnsafeRawBufferPointer) throws {
        var function = Function()
        var reader = ProtobufReader(bytes)
        var singular = SingularFields()
        while let (field, value) = try reader.next() {
            switch field {
            case 1:
                try singular.take(field)
                try Self.readSignature(value.message(), of: &function)
            case 3:
                let node = try Self.node(value.message(), in: graph)
                function.asksForXLA = function.asksForXLA || node.asksForXLA
                function.nodes.append(node)
            case 4:
                let (key, value) = try Self.entry(value.message(), of: "a result of a function")
                guard function.returned.updateValue(try value?.string() ?? "", forKey: key) == nil else {
                    throw FNEError(.invalidGraph, "function '\(function.name)' returns '\(key)' twice")
                }
            case 5:
                let (key, value) = try Self.entry(value.message(), of: "an attribute of a function")
                function.asksForXLA = function.asksForXLA || Self.isForXLA(key)
                guard key == "api_implements", let value else { continue }
                if case .text(let interface)? = try Self.attribute(value.message()) { function.interface = interface }
            default: break
            }
        }
        guard !function.name.isEmpty else { throw FNEError(.invalidGraph, "a function has no name") }
        functions.append(function)
    }

    private static func readSignature(_ bytes: UnsafeRawBufferPointer, of function: inout Function) throws {
        var reader = ProtobufReader(bytes)
        var singular = SingularFields()
        while let (field, value) = try reader.next() {
            switch field {
            case 1:
                try singular.take(field)
                function.name = try name(value, of: "a function")
            case 2: function.arguments.append(try argumentName(value.message(), of: &function))
            case 3: function.results.append(try argumentName(value.message(), of: &function))
            default: break
            }
        }
    }

    private static func argumentName(_ bytes: UnsafeRawBufferPointer, of function: inout Function) throws -> String {
        var result = ""
        var reader = ProtobufReader(bytes)
        while let (field, value) = try reader.next() {
            if field == 1 { result = try name(value, of: "an argument or a result of a function") }
            if field == 5 || field == 6 { function.hasLists = true } // number_attr, type_list_attr
        }
        return result
    }

    /// An entry of a map with names as keys.
    private static func entry(
        _ bytes: UnsafeRawBufferPointer, of what: String
    ) throws -> (key: String, value: ProtobufReader.Value?) {
        var key = ""
        var content: ProtobufReader.Value?
        var reader = ProtobufReader(bytes)
        var singular = SingularFields()
        while let (field, value) = try reader.next() {
            try singular.take(field)
            if field == 1 { key = try name(value, of: what) }
            if field == 2 { content = value }
        }
        return (key, content)
    }

    /// A name of the graph.
    ///
    /// - Throws: `.invalidGraph` where it is not printable ASCII. TensorFlow allows no other names of nodes, operations
    ///   and attributes. It does allow other names of functions, which are refused too.
    private static func name(_ value: ProtobufReader.Value, of what: String) throws -> String {
        let bytes = try value.message()
        if bytes.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) { return String(decoding: bytes, as: UTF8.self) }
        guard bytes.allSatisfy({ $0 >= 0x20 && $0 != 0x7f }), let name = String(validating: bytes, as: UTF8.self) else {
            throw FNEError(
                .invalidGraph,
                "this is no GraphDef, or a damaged one. The name of \(what) holds bytes that are no printable text")
        }
        let shown = name.unicodeScalars.prefix(100)
            .map { $0.value > 0x20 && $0.value < 0x7f ? String($0) : "\\u{\(String($0.value, radix: 16))}" }
        throw FNEError(
            .invalidGraph,
            "\(what) is named '\(shown.joined())'. Names in a graph must be of printable ASCII characters. "
                + "Rename it, and freeze the model again")
    }

    private static func node(_ bytes: UnsafeRawBufferPointer, in graph: UnsafeRawBufferPointer) throws -> Node {
        var node = Node()
        node.range = try range(of: bytes, in: graph)
        var reader = ProtobufReader(bytes)
        var singular = SingularFields()
        while let (field, value) = try reader.next() {
            switch field {
            case 1:
                try singular.take(field)
                node.name = try name(value, of: "a node")
            case 2:
                try singular.take(field)
                node.operation = try name(value, of: "an operation")
            case 3: node.inputs.append(input(try name(value, of: "an input of a node")))
            case 5: try readAttribute(value.message(), of: &node)
            default: break
            }
        }
        guard !node.name.isEmpty, !node.operation.isEmpty else {
            throw FNEError(.invalidGraph, "a node has no name or no operation")
        }
        return node
    }

    /// Reads an entry of a node's map of attributes.
    private static func readAttribute(_ bytes: UnsafeRawBufferPointer, of node: inout Node) throws {
        let (key, value) = try entry(bytes, of: "an attribute of a node")
        guard node.attributeNames.insert(key).inserted else {
            throw FNEError(.invalidGraph, "node '\(node.name)' has the attribute '\(key)' twice")
        }
        do {
            node.attributes[key] = try value.flatMap { try attribute($0.message()) }
        } catch let error as FNEError {
            throw error.about("attribute '\(key)' of node '\(node.name)'")
        }
    }

    /// The input that a text names. The text is "name", "name:1", or "^name" for a control input.
    private static func input(_ text: String) -> Input {
        if text.utf8.first == 0x5e { return Input(name: String(text.dropFirst()), output: 0, isControl: true) }
        let reference = TensorName(text)
        return Input(name: reference.node, output: reference.output, isControl: false)
    }

    /// - Parameter depth: how many functions the attribute is given to
    fileprivate static func attribute(_ bytes: UnsafeRawBufferPointer, depth: Int = 0) throws -> Attribute? {
        var reader = ProtobufReader(bytes)
        var result: Attribute?
        var singular = SingularFields()
        while let (field, value) = try reader.next() {
            try singular.take(1) // an attribute has one value, of one kind
            switch field {
            case 1: result = try list(value.message(), depth: depth)
            case 2: result = .text(try value.string())
            case 3: result = .integer(Int(truncatingIfNeeded: try value.varint()))
            case 4:
                guard case .fixed32(let bits) = value else { throw ProtobufReader.Value.wrongType }
                result = .number(Float(bitPattern: bits))
            case 5: result = .flag(try value.varint() != 0)
            case 6: result = .type(DataType(number: Int(truncatingIfNeeded: try value.varint())))
            case 7: result = .shape(try shape(value.message()))
            case 8: result = .tensor(try constant(value.message()))
            case 9: result = .placeholder(try name(value, of: "an attribute of a function"))
            case 10: result = .functions(try functions(value.message(), depth: depth))
            default: break
            }
        }
        return result
    }

    private static func list(_ bytes: UnsafeRawBufferPointer, depth: Int) throws -> Attribute {
        var integers: [Int] = []
        var names: [String] = []
        var reader = ProtobufReader(bytes)
        while let (field, value) = try reader.next() {
            if field == 3 { try appendIntegers(value, to: &integers) }
            if field == 8 { _ = try constant(value.message()) }
            if field == 9 { names += try functions(value.message(), depth: depth) }
        }
        return .list(integers: integers, functions: names)
    }

    /// The name in a NameAttrList, and the names of the functions among its attributes.
    private static func functions(_ bytes: UnsafeRawBufferPointer, depth: Int) throws -> [String] {
        guard depth < 8 else {
            throw FNEError(.invalidGraph, "functions are given to functions more than 8 times over")
        }
        var names: [String] = []
        var reader = ProtobufReader(bytes)
        var singular = SingularFields()
        while let (field, value) = try reader.next() {
            switch field {
            case 1:
                try singular.take(field)
                names.append(try name(value, of: "a function"))
            case 2:
                let (key, value) = try entry(value.message(), of: "an attribute of a function")
                guard !isForXLA(key) else {
                    throw FNEError(
                        .invalidGraph,
                        "the function '\(names.first ?? "")' is called with '\(key)', which asks for a compiler. "
                            + "Freeze the model again without jit_compile")
                }
                guard let value else { continue }
                names += try attribute(value.message(), depth: depth + 1)?.functions ?? []
            default: break
            }
        }
        return names
    }

    private static func constant(_ bytes: UnsafeRawBufferPointer) throws -> Constant {
        var constant = Constant()
        var reader = ProtobufReader(bytes)
        var singular = SingularFields()
        var content: UnsafeRawBufferPointer?
        while let (field, value) = try reader.next() {
            switch field {
            case 1:
                try singular.take(field)
                constant.type = DataType(number: Int(truncatingIfNeeded: try value.varint()))
            case 2:
                try singular.take(field)
                constant.shape = try shape(value.message())
            case 4:
                try singular.take(field)
                content = try value.message()
            case 7, 10: // int_val, int64_val
                try appendIntegers(value, to: &constant.integers)
                constant.largest = try largest(of: value, and: constant.largest)
            default: break
            }
        }
        // TensorFlow ends the process over a handle or an object that it did not make itself.
        if constant.type == .resource || constant.type == .variant {
            throw FNEError(
                .invalidGraph,
                "a constant is of type \(constant.type), which no frozen graph can hold. Freeze the model again, with "
                    + "its variables as constants")
        }
        if let content, !content.isEmpty {
            constant.integers = integers(content, type: constant.type)
            constant.largest = largest(of: content, type: constant.type)
        }
        if constant.shape?.allSatisfy({ $0 == 1 }) ?? false { constant.scalar = try scalar(bytes, type: constant.type) }
        return constant
    }

    /// The first value of a TensorProto.
    private static func scalar(_ bytes: UnsafeRawBufferPointer, type: DataType) throws -> Double? {
        var reader = ProtobufReader(bytes)
        while let (field, value) = try reader.next() {
            switch (field, value) {
            case (4, .bytes(let content)) where !content.isEmpty: return type.number(in: content)
            case (5, .fixed32(let bits)): return Double(Float(bitPattern: bits))
            case (5, .bytes(let packed)): return DataType.float32.number(in: packed)
            case (6, .fixed64(let bits)): return Double(bitPattern: bits)
            case (6, .bytes(let packed)): return DataType.float64.number(in: packed)
            case (7, .varint(let number)), (10, .varint(let number)): return Double(Int64(bitPattern: number))
            case (11, .varint(let number)): return number == 0 ? 0 : 1
            case (13, .varint(let bits)): return type.number(half: UInt16(truncatingIfNeeded: bits))
            case (7, .bytes(let packed)), (10, .bytes(let packed)):
                var reader = ProtobufReader(packed)
                if let number = try reader.nextPacked() { return Double(Int64(bitPattern: number)) }
            case (11, .bytes(let packed)): return packed.first.map { $0 == 0 ? 0 : 1 }
            case (13, .bytes(let packed)):
                var reader = ProtobufReader(packed)
                return try reader.nextPacked().flatMap { type.number(half: UInt16(truncatingIfNeeded: $0)) }
            default: break
            }
        }
        return [.string, .complex64, .complex128, .unknown].contains(type) ? nil : 0 // a tensor without values is zero
    }

    /// Appends a repeated field's numbers. They are written one by one, or many in one packed field.
    private static func appendIntegers(_ value: ProtobufReader.Value, to integers: inout [Int]) throws {
        switch value {
        case .varint(let number):
            if integers.count < Constant.fewIntegers { integers.append(Int(truncatingIfNeeded: number)) }
        case .bytes(let packed):
            var reader = ProtobufReader(packed)
            while integers.count < Constant.fewIntegers, let number = try reader.nextPacked() {
                integers.append(Int(truncatingIfNeeded: number))
            }
        default: throw FNEError(.invalidGraph, "a field has the wrong wire type")
        }
    }

    /// The largest of a repeated field's numbers and of one more.
    private static func largest(of value: ProtobufReader.Value, and other: Int?) throws -> Int? {
        var numbers = other.map { [$0] } ?? []
        switch value {
        case .bytes(let packed):
            var reader = ProtobufReader(packed)
            while let number = try reader.nextPacked() {
                let number = Int(truncatingIfNeeded: number)
                numbers = [max(number, numbers.first ?? number)]
            }
        default: numbers.append(Int(truncatingIfNeeded: try value.varint()))
        }
        return numbers.max()
    }

    /// The largest integer of a constant's tensor_content.
    private static func largest(of content: UnsafeRawBufferPointer, type: DataType) -> Int? {
        switch type {
        case .int32: largest(of: content, as: Int32.self)
        case .int64: largest(of: content, as: Int64.self)
        default: nil
        }
    }

    private static func largest<Number: FixedWidthInteger & BitwiseCopyable>(
        of content: UnsafeRawBufferPointer, as type: Number.Type
    ) -> Int? {
        let size = MemoryLayout<Number>.size
        var result: Number?
        for place in 0..<content.count / size {
            let number = Number(littleEndian: content.loadUnaligned(fromByteOffset: size * place, as: Number.self))
            result = result.map { max($0, number) } ?? number
        }
        return result.map { Int($0) }
    }

    /// The integers of a constant's tensor_content, which are little-endian. It is empty where they are many, or of
    /// another type.
    private static func integers(_ content: UnsafeRawBufferPointer, type: DataType) -> [Int] {
        switch type {
        case .int32 where content.count <= 4 * Constant.fewIntegers:
            (0..<content.count / 4).map {
                Int(Int32(littleEndian: content.loadUnaligned(fromByteOffset: 4 * $0, as: Int32.self)))
            }
        case .int64 where content.count <= 8 * Constant.fewIntegers:
            (0..<content.count / 8).map {
                Int(Int64(littleEndian: content.loadUnaligned(fromByteOffset: 8 * $0, as: Int64.self)))
            }
        default: []
        }
    }

    /// The producer of a VersionDef.
    private static func producer(_ bytes: UnsafeRawBufferPointer) throws -> Int {
        var producer = 0
        var reader = ProtobufReader(bytes)
        while let (field, value) = try reader.next() {
            if field == 1 { producer = Int(truncatingIfNeeded: try value.varint()) }
        }
        return producer
    }

    private static func shape(_ bytes: UnsafeRawBufferPointer) throws -> [Int]? {
        var dimensions: [Int] = []
        var reader = ProtobufReader(bytes)
        while let (field, value) = try reader.next() {
            if field == 3, try value.varint() != 0 { return nil }
            guard field == 2 else { continue }
            var size = 0
            var parts = ProtobufReader(try value.message())
            while let (part, value) = try parts.next() {
                if part == 1 { size = Int(truncatingIfNeeded: try value.varint()) }
            }
            dimensions.append(size)
        }
        return dimensions
    }
}

extension GraphDefinition.Attribute {
    /// The functions that stand in the attribute.
    var functions: [String] {
        switch self {
        case .functions(let names), .list(_, let names): names
        default: []
        }
    }
}

extension GraphDefinition.Input {
    /// The name of the node or the argument that an input in a function's body reads. There an input is
    /// "node:output:0" or "argument".
    var source: String { name.utf8.firstIndex(of: 0x3a).map { String(name[..<$0]) } ?? name }
}

extension GraphDefinition.Node {
    /// The inputs that carry values, in order.
    var dataInputs: [GraphDefinition.Input] { inputs.filter { !$0.isControl } }

    func text(_ name: String) -> String? { if case .text(let value)? = attributes[name] { value } else { nil } }

    func flag(_ name: String) -> Bool { if case .flag(let value)? = attributes[name] { value } else { false } }

    func integer(_ name: String) -> Int? { if case .integer(let value)? = attributes[name] { value } else { nil } }

    func number(_ name: String) -> Float? { if case .number(let value)? = attributes[name] { value } else { nil } }

    func type(_ name: String) -> DataType? { if case .type(let value)? = attributes[name] { value } else { nil } }

    /// Whether the operation has one of the traits.
    func isAny(_ traits: Operation.Traits) -> Bool { !facts.traits.isDisjoint(with: traits) }

    /// Whether the operation computes float32, by its attribute T. An operation without the attribute computes float32
    /// too.
    var isFloat32: Bool { (type("T") ?? .float32) == .float32 }

    func shape(_ name: String) -> [Int]? { if case .shape(let value)? = attributes[name] { value } else { nil } }

    /// Whether the node has an attribute of that name, also one of a kind that is not read.
    func has(_ name: String) -> Bool { attributeNames.contains(name) }

    /// The integers of a list.
    func integers(_ name: String) -> [Int]? {
        if case .list(let integers, _)? = attributes[name] { integers } else { nil }
    }

    func constant(_ name: String) -> GraphDefinition.Constant? {
        if case .tensor(let value)? = attributes[name] { value } else { nil }
    }
}

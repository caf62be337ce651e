import FNESupport
import Glibc

/// Collects changes to a graph and writes the changed graph. Nodes can be dropped, rewritten and added. All that does
/// not change is copied byte by byte, but for two kinds of attributes. Those that ask for XLA are never written, so
/// that no graph has code compiled. Those that name nodes to share a device with could name a node that was dropped,
/// which TensorFlow refuses.
struct GraphEditor {
    /// Serialized AttrValue messages, by the attributes' names.
    typealias Attributes = [String: [UInt8]]

    private let model: GraphDefNetwork
    private var replaced: [Int: [UInt8]] = [:]
    private var dropped = Set<Int>()
    private var added: [[UInt8]] = []
    private var addedNames = Set<String>()

    init(_ model: GraphDefNetwork) { self.model = model }

    /// Whether there are no changes.
    var isEmpty: Bool {
        replaced.isEmpty && dropped.isEmpty && added.isEmpty && !model.graph.nodes.contains(where: \.asksForXLA)
            && !model.graph.functions.contains(where: \.asksForXLA)
    }

    /// Leaves a node out.
    mutating func drop(_ number: Int) { dropped.insert(number) }

    /// Changes a node. Nil keeps its operation or its inputs. Attributes that are not given stay.
    mutating func edit(
        _ number: Int, operation: String? = nil, inputs: [String]? = nil, attributes: Attributes = [:]
    ) throws {
        replaced[number] = try edited(number, operation: operation, inputs: inputs, attributes: attributes)
    }

    private func edited(
        _ number: Int, operation: String? = nil, inputs: [String]? = nil, attributes: Attributes = [:]
    ) throws -> [UInt8] {
        let node = model.graph.nodes[number]
        try Reserve.prepare(4 * node.range.count)
        var writer = ProtobufWriter()
        writer.text(1, node.name)
        writer.text(2, operation ?? node.operation)
        for input in inputs ?? node.inputs.map(\.text) { writer.text(3, input) }
        try model.serialized.withBytes { bytes in
            var reader = ProtobufReader(UnsafeRawBufferPointer(rebasing: bytes[node.range]))
            while let (field, value) = try reader.next() {
                switch field {
                case 1, 2, 3: break
                case 5:
                    let key = try Self.key(of: value.message())
                    guard attributes[key] == nil, !GraphDefinition.isForXLA(key), key != GraphDefinition.colocation
                    else {
                        break
                    }
                    writer.field(field, value)
                default: writer.field(field, value)
                }
            }
        }
        for (key, value) in attributes.sorted(by: { $0.key < $1.key }) { Self.write(key, value, to: &writer) }
        return writer.bytes
    }

    /// Replaces a node by another one of the same name. Nothing else is kept.
    mutating func replace(_ number: Int, operation: String, inputs: [String], attributes: Attributes) {
        replaced[number] = Self.node(
            model.graph.nodes[number].name, operation: operation, inputs: inputs, attributes: attributes)
    }

    /// Adds a node.
    ///
    /// - Returns: the node's name. It differs from the wanted one where the graph has a node of that name.
    mutating func add(
        _ name: String, operation: String, inputs: [String] = [], attributes: Attributes
    ) -> String {
        var free = name
        while model.graph.index[free] != nil || addedNames.contains(free) { free += "_" }
        addedNames.insert(free)
        added.append(Self.node(free, operation: operation, inputs: inputs, attributes: attributes))
        return free
    }

    private static func node(
        _ name: String, operation: String, inputs: [String], attributes: Attributes
    ) -> [UInt8] {
        var writer = ProtobufWriter()
        writer.text(1, name)
        writer.text(2, operation)
        for input in inputs { writer.text(3, input) }
        for (key, value) in attributes.sorted(by: { $0.key < $1.key }) { write(key, value, to: &writer) }
        return writer.bytes
    }

    static func write(_ key: String, _ value: [UInt8], to writer: inout ProtobufWriter) {
        writer.message(5) {
            $0.text(1, key)
            $0.bytes(2, value)
        }
    }

    static func key(of entry: UnsafeRawBufferPointer) throws -> String {
        var reader = ProtobufReader(entry)
        while let (field, value) = try reader.next() {
            if field == 1 { return try value.string() }
        }
        return ""
    }

    /// A library of functions without the attributes that ask for XLA.
    private static func withoutXLA(library: UnsafeRawBufferPointer) throws -> [UInt8] {
        try rewritten(library) { field, value, writer in
            guard field == 1 else { return writer.field(field, value) }
            writer.bytes(
                field,
                try rewritten(value.message()) { field, value, writer in
                    switch field {
                    case 3: writer.bytes(field, try rewritten(value.message(), writeUnlessXLA))
                    default: try writeUnlessXLA(field, value, to: &writer)
                    }
                })
        }
    }

    /// Writes a field of a NodeDef or a FunctionDef. Both have their attributes in field 5.
    private static func writeUnlessXLA(
        _ field: Int, _ value: ProtobufReader.Value, to writer: inout ProtobufWriter
    ) throws {
        if field == 5, GraphDefinition.isForXLA(try key(of: value.message())) { return }
        writer.field(field, value)
    }

    private static func rewritten(
        _ message: UnsafeRawBufferPointer, _ write: (Int, ProtobufReader.Value, inout ProtobufWriter) throws -> Void
    ) throws -> [UInt8] {
        var writer = ProtobufWriter()
        var reader = ProtobufReader(message)
        while let (field, value) = try reader.next() { try write(field, value, &writer) }
        return writer.bytes
    }

    /// The changed graph as a serialized GraphDef.
    func serialized() throws -> Bytes {
        try model.serialized.withBytes { original in
            var writer = GraphFileWriter()
            let libraryAsksForXLA = model.graph.functions.contains(where: \.asksForXLA)
            var number = 0
            var reader = ProtobufReader(original)
            while let (field, value) = try reader.next() {
                guard field == 1 else {
                    if field == 2, libraryAsksForXLA {
                        try Reserve.prepare(8 * value.message().count)
                        writer.append(field, try Self.withoutXLA(library: value.message()))
                    } else {
                        writer.append(field, value)
                    }
                    continue
                }
                defer { number += 1 }
                if dropped.contains(number) { continue }
                if let bytes = replaced[number] {
                    writer.append(1, bytes)
                } else if model.graph.nodes[number].asksForXLA || model.graph.nodes[number].isColocated {
                    writer.append(1, try edited(number))
                } else {
                    writer.append(1, try value.message())
                }
            }
            for bytes in added { writer.append(1, bytes) }
            return try writer.joined()
        }
    }
}

/// Joins the fields of a GraphDef. Bytes that are lent must outlive it.
struct GraphFileWriter {
    private var pieces: [(header: [UInt8], content: UnsafeRawBufferPointer?, bytes: [UInt8])] = []

    /// Appends a field whose bytes are lent.
    mutating func append(_ field: Int, _ content: UnsafeRawBufferPointer) {
        pieces.append((Self.header(field, content.count), content, []))
    }

    mutating func append(_ field: Int, _ bytes: [UInt8]) {
        pieces.append((Self.header(field, bytes.count), nil, bytes))
    }

    /// Appends a field as it was read: the library of functions, or the versions.
    mutating func append(_ field: Int, _ value: ProtobufReader.Value) {
        if case .bytes(let content) = value { return append(field, content) }
        var writer = ProtobufWriter()
        writer.field(field, value) // the version of graphs from before there were versions
        pieces.append((writer.bytes, nil, []))
    }

    /// The fields one after the other.
    func joined() throws -> Bytes {
        let size = pieces.reduce(0) { $0 + $1.header.count + ($1.content?.count ?? $1.bytes.count) }
        let result = try Bytes(count: size)
        result.withNumbers(of: UInt8.self) { target in
            var position = 0
            func copy(_ bytes: UnsafeRawBufferPointer) {
                if let start = bytes.baseAddress { memcpy(target + position, start, bytes.count) }
                position += bytes.count
            }
            for piece in pieces {
                piece.header.withUnsafeBytes(copy)
                if let content = piece.content { copy(content) } else { piece.bytes.withUnsafeBytes(copy) }
            }
        }
        return result
    }

    private static func header(_ field: Int, _ length: Int) -> [UInt8] {
        var header = ProtobufWriter()
        header.header(field, length: length)
        return header.bytes
    }
}

/// Makes serialized AttrValue messages (tensorflow/core/framework/attr_value.proto).
enum AttributeValue {
    static func type(_ type: DataType) -> [UInt8] { message { $0.number(6, type.rawValue) } }

    static func integer(_ number: Int) -> [UInt8] { message { $0.number(3, number) } }

    static func flag(_ flag: Bool) -> [UInt8] { message { $0.number(5, flag ? 1 : 0) } }

    static func shape(_ dimensions: [Int]) -> [UInt8] { message { $0.message(7) { writeShape(dimensions, to: &$0) } } }

    /// A constant's TensorProto, with its values as little-endian bytes.
    static func tensor(type: DataType, shape: [Int], content: some Collection<UInt8>) -> [UInt8] {
        message {
            $0.message(8) {
                $0.number(1, type.rawValue)
                $0.message(2) { writeShape(shape, to: &$0) }
                $0.bytes(4, content)
            }
        }
    }

    private static func writeShape(_ dimensions: [Int], to writer: inout ProtobufWriter) {
        for size in dimensions { writer.message(2) { $0.number(1, size) } }
    }

    private static func message(_ write: (inout ProtobufWriter) -> Void) -> [UInt8] {
        var writer = ProtobufWriter()
        write(&writer)
        return writer.bytes
    }
}

import FNESupport

/// Computes the tensors of a graph that depend on constants alone.
protocol ConstantEvaluator {
    /// - Parameters:
    ///   - serialized: a GraphDef of constants and of operations on them
    ///   - nodes: the nodes whose first outputs are wanted
    /// - Returns: the values by the nodes' names. Nodes of another type than float32 are left out.
    func evaluate(_ serialized: Bytes, _ nodes: [String]) throws -> [String: ConstantValues.Value]
}

/// The float32 values of a graph's constants. Some constants stand in the graph, others are computed from constants.
struct ConstantValues {
    struct Value {
        let shape: [Int]
        let values: [Float]
    }

    private let model: GraphDefNetwork
    /// The nodes that run. Others were not checked, and are not computed.
    private let needed: Set<Int>
    private let evaluator: any ConstantEvaluator
    /// The computed constants that other nodes read; nil until one is asked for.
    private var computed: [Int: Value]?

    init(_ model: GraphDefNetwork, needed: Set<Int>, _ evaluator: any ConstantEvaluator) {
        self.model = model
        self.needed = needed
        self.evaluator = evaluator
    }

    /// The value of a node's first output; nil where it is not a float32 constant.
    mutating func value(_ number: Int) throws -> Value? {
        guard model.topology.isConstant[number] else { return nil }
        if let source = model.topology.storedConstant(number) { return try Self.read(source, in: model) }
        if computed == nil { computed = try compute() }
        return computed?[number]
    }

    /// The shape of a node's first output; nil where it is not a float32 constant.
    mutating func shape(_ number: Int) throws -> [Int]? {
        guard let source = model.topology.storedConstant(number) else { return try value(number)?.shape }
        guard let constant = model.graph.nodes[source].constant("value"), constant.type == .float32 else {
            return nil
        }
        return constant.shape
    }

    /// Lends a constant's values to the body. They need not be aligned. They are not copied where they stand in the
    /// graph as one block of bytes.
    ///
    /// - Throws: `.invalidGraph` where the values do not fit the shape.
    mutating func withValues(_ number: Int, _ body: (UnsafeRawPointer) throws -> Void) throws {
        let isInPlace = try model.topology.storedConstant(number).map { source in
            let count = try elementCount(model.graph.nodes[source].constant("value")?.shape ?? [])
            return try model.serialized.withBytes { bytes -> Bool in
                guard let content = try Self.content(source, in: bytes, of: model), let start = content.baseAddress,
                    content.count == count * MemoryLayout<Float>.size
                else { return false }
                try body(start)
                return true
            }
        }
        if isInPlace ?? false { return }
        guard let found = try value(number) else {
            throw FNEError(
                .invalidGraph, "the constant '\(model.graph.nodes[number].name)' has no values that fit its shape")
        }
        try found.values.withUnsafeBytes { bytes in
            if let start = bytes.baseAddress { try body(start) }
        }
    }

    // MARK: Stored

    private static func read(_ number: Int, in model: GraphDefNetwork) throws -> Value? {
        guard let constant = model.graph.nodes[number].constant("value"), constant.type == .float32,
            let shape = constant.shape, shape.allSatisfy({ $0 >= 0 })
        else { return nil }
        let count = try elementCount(shape)
        return try model.serialized.withBytes { bytes -> Value? in
            guard let tensor = try tensorProto(of: model.graph.nodes[number], in: bytes) else { return nil }
            try Reserve.prepare(checkedProduct(3, count, MemoryLayout<Float>.size, of: "a constant") + tensor.count)
            var values: [Float] = []
            var reader = ProtobufReader(tensor)
            while let (field, value) = try reader.next() {
                switch (field, value) {
                case (4, .bytes(let content)) where !content.isEmpty:
                    guard content.count == count * MemoryLayout<Float>.size else { return nil }
                    values = (0..<count).map {
                        Float(
                            bitPattern: UInt32(
                                littleEndian: content.loadUnaligned(fromByteOffset: 4 * $0, as: UInt32.self)))
                    }
                case (5, .bytes(let packed)):
                    values += (0..<packed.count / 4).map {
                        Float(
                            bitPattern: UInt32(
                                littleEndian: packed.loadUnaligned(fromByteOffset: 4 * $0, as: UInt32.self)))
                    }
                case (5, .fixed32(let bits)): values.append(Float(bitPattern: bits))
                default: break
                }
            }
            guard values.count <= count else { return nil }
            // TensorFlow repeats the last value for the rest. Without any value all are zero.
            values += repeatElement(values.last ?? 0, count: count - values.count)
            return Value(shape: shape, values: values)
        }
    }

    /// The bytes of a constant's values, where they stand in the graph as one block; else nil.
    static func content(_ number: Int, in bytes: UnsafeRawBufferPointer, of model: GraphDefNetwork) throws
        -> UnsafeRawBufferPointer?
    {
        guard let tensor = try tensorProto(of: model.graph.nodes[number], in: bytes) else { return nil }
        var reader = ProtobufReader(tensor)
        while let (field, value) = try reader.next() {
            if field == 4 { return try value.message() }
        }
        return nil
    }

    /// The TensorProto message of a Const node, which holds its value.
    private static func tensorProto(
        of node: GraphDefinition.Node, in bytes: UnsafeRawBufferPointer
    ) throws -> UnsafeRawBufferPointer? {
        var reader = ProtobufReader(UnsafeRawBufferPointer(rebasing: bytes[node.range]))
        while let (field, value) = try reader.next() {
            guard field == 5 else { continue }
            var entry = ProtobufReader(try value.message())
            var isValue = false
            while let (part, value) = try entry.next() {
                if part == 1 { isValue = try value.string() == "value" }
                guard part == 2, isValue else { continue }
                var attribute = ProtobufReader(try value.message())
                while let (kind, value) = try attribute.next() {
                    if kind == 8 { return try value.message() }
                }
            }
        }
        return nil
    }

    // MARK: Computed

    /// Has the evaluator compute all constants that other nodes read and that do not stand in the graph.
    private func compute() throws -> [Int: Value] {
        let graph = model.graph
        let topology = model.topology
        var wanted = Set<Int>()
        for number in needed where !topology.isConstant[number] {
            for input in topology.inputs[number]
            where topology.isConstant[input] && topology.storedConstant(input) == nil && graph.nodes[input].isFloat32 {
                wanted.insert(input)
            }
        }
        guard !wanted.isEmpty else { return [:] }
        let needed = topology.ancestors(of: wanted)
        var editor = GraphEditor(model)
        for number in graph.nodes.indices where !needed.contains(number) { editor.drop(number) }
        let values = try evaluator.evaluate(editor.serialized(), wanted.sorted().map { graph.nodes[$0].name })
        var result: [Int: Value] = [:]
        for number in wanted { result[number] = values[graph.nodes[number].name] }
        return result
    }
}

/// The number of elements of a shape.
func elementCount(_ shape: [Int]) throws -> Int {
    var count = 1
    for size in shape { count = try checkedProduct(count, size, of: "a constant's shape") }
    return count
}

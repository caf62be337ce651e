import FNESupport

/// A graph that is changed while it is read, before its layers are looked for. What is written in the end is a GraphDef
/// again. Nodes that stay as they are keep their bytes.
///
/// A tensor can be redirected. What reads it then reads another tensor. The redirected names are kept, so that a user
/// may still give them.
struct GraphDraft {
    /// The nodes. Those that were added come last; `written` gives the order in the file.
    private(set) var nodes: [GraphDefinition.Node]
    /// The functions of the graph's library, by their names.
    let functions: [String: GraphDefinition.Function]

    private let source: Bytes
    private var index: [String: Int]
    /// The nodes that differ from the bytes that they were read from.
    private var changed = Set<Int>()
    private var dropped = Set<Int>()
    /// Attributes that stand in place of those in a node's bytes.
    private var attributes: [Int: GraphEditor.Attributes] = [:]
    private var redirections = Redirections()
    /// What is waited for in place of a node that is gone.
    private var awaited: [String: [String]] = [:]
    /// The nodes that stand in the file where another one stood.
    private var inPlaceOf: [Int: [Int]] = [:]

    /// - Parameter source: the serialized graph, from which `graph` was read
    init(_ graph: GraphDefinition, _ source: Bytes) {
        nodes = graph.nodes
        index = graph.index
        functions = Dictionary(graph.functions.map { ($0.name, $0) }) { first, _ in first }
        self.source = source
    }

    /// Whether nothing was changed.
    var isUnchanged: Bool { changed.isEmpty && dropped.isEmpty && redirections.isEmpty }

    /// The nodes that are still part of the graph.
    var numbers: [Int] { nodes.indices.filter { !dropped.contains($0) } }

    func isDropped(_ number: Int) -> Bool { dropped.contains(number) }

    /// Whether the graph has loops as TensorFlow 1 wrote them, of Enter, Merge, Switch and Exit.
    var hasOldLoops: Bool { nodes.contains { $0.operation == "Enter" || $0.operation == "NextIteration" } }

    // MARK: Edges

    /// The tensor that a reader of this one gets.
    ///
    /// - Throws: `.invalidGraph` where tensors are redirected in a circle, as calls that only read each other would be.
    func resolved(_ tensor: TensorName) throws -> TensorName { try redirections.end(of: tensor) }

    /// The tensors that a node reads, in the order of its data inputs.
    func inputs(of number: Int) throws -> [TensorName] {
        try nodes[number].dataInputs.map { try resolved(TensorName(node: $0.name, output: $0.output)) }
    }

    /// The number of a node; nil where there is none of that name.
    func number(of name: String) -> Int? { index[name].flatMap { dropped.contains($0) ? nil : $0 } }

    private func has(_ name: String) -> Bool { number(of: name) != nil }

    /// Lets what reads a tensor read another one.
    mutating func redirect(_ tensor: TensorName, to other: TensorName) { redirections.add(tensor, other) }

    /// Lets what waits for a node wait for others, or for nothing.
    mutating func wait(for names: [String], insteadOf name: String) { awaited[name] = names }

    /// The names of the nodes that are waited for in place of the one of that name.
    private func waited(for name: String) throws -> [String] {
        var found: [String] = []
        var seen = Set([name])
        var pending = [name]
        while let next = pending.popLast() {
            guard let others = awaited[next] else {
                found.append(next)
                continue
            }
            for other in others where seen.insert(other).inserted { pending.append(other) }
        }
        return found.sorted()
    }

    /// The nodes, in an order in which each comes after its inputs.
    ///
    /// - Throws: `.invalidGraph` for a cycle.
    func order() throws -> [Int] {
        var failure: FNEError?
        let order = try GraphTopology.order(nodes, of: "the graph") { input in
            do {
                return try index[input.isControl ? input.name : resolved(TensorName(input)).node]
            } catch {
                failure = failure ?? error as? FNEError
                return nil
            }
        }
        if let failure { throw failure }
        return order.filter { !dropped.contains($0) }
    }

    // MARK: Changes

    /// Leaves a node out.
    mutating func drop(_ number: Int) { dropped.insert(number) }

    /// Gives a node other inputs.
    mutating func setInputs(_ number: Int, _ inputs: [GraphDefinition.Input]) {
        nodes[number].inputs = inputs
        changed.insert(number)
    }

    /// Replaces a node by a constant of its name.
    mutating func replace(_ number: Int, byConstant type: DataType, shape: [Int], content: [UInt8]) throws {
        let value = AttributeValue.tensor(type: type, shape: shape, content: content)
        try replace(
            number, by: "Const", inputs: [], attributes: ["dtype": AttributeValue.type(type), "value": value])
    }

    /// Replaces a node by another one of its name. Attributes that are not given are gone.
    mutating func replace(
        _ number: Int, by operation: String, inputs: [GraphDefinition.Input], attributes given: GraphEditor.Attributes
    ) throws {
        nodes[number] = try GraphDefinition.Node(
            nodes[number].name, operation: operation, inputs: inputs, attributes: given)
        attributes[number] = given
        changed.insert(number)
    }

    /// Adds a node, a copy of one of a function's body, in the place of another one.
    ///
    /// - Parameter given: attributes that stand in place of the copy's own
    mutating func add(
        _ node: GraphDefinition.Node, named name: String, inputs: [GraphDefinition.Input],
        attributes given: GraphEditor.Attributes, inPlaceOf place: Int
    ) throws {
        var copy = node
        copy.name = name
        copy.inputs = inputs
        for (key, value) in given { try copy.setAttribute(key, value) }
        let number = nodes.count
        nodes.append(copy)
        index[name] = number
        changed.insert(number)
        if !given.isEmpty { attributes[number] = given }
        inPlaceOf[place, default: []].append(number)
    }

    /// Adds a node that stands in the file where another one stands.
    mutating func add(
        _ name: String, operation: String, inputs: [GraphDefinition.Input], attributes given: GraphEditor.Attributes,
        before place: Int
    ) throws {
        let node = try GraphDefinition.Node(name, operation: operation, inputs: inputs, attributes: given)
        try add(node, named: name, inputs: inputs, attributes: given, inPlaceOf: place)
    }

    /// Adds a constant of int32 that stands in the file where another node stands.
    ///
    /// - Parameter shape: [] for a scalar, else the vector's size
    /// - Returns: the constant's tensor. Its name differs from the wanted one where the graph has a node of that name.
    mutating func add(
        integers: [Int], shape: [Int], named name: String, before place: Int
    ) throws -> TensorName {
        let free = free(name)
        let content = integers.flatMap { withUnsafeBytes(of: Int32(clamping: $0).littleEndian, Array.init) }
        let value = AttributeValue.tensor(type: .int32, shape: shape, content: content)
        try add(
            free, operation: "Const", inputs: [], attributes: ["dtype": AttributeValue.type(.int32), "value": value],
            before: place)
        return TensorName(node: free, output: 0)
    }

    /// The name itself, or one like it that no node has.
    func free(_ name: String) -> String {
        var free = name
        while index[free] != nil { free += "_" }
        return free
    }

    // MARK: Calls

    /// The attributes that a node gives to the function that it calls, as serialized AttrValue messages.
    ///
    /// - Parameter attribute: the attribute that holds the function; nil where the operation is the function's name
    func given(by number: Int, _ attribute: String?) throws -> GraphEditor.Attributes {
        if let made = attributes[number], nodes[number].range.isEmpty {
            return try attribute.map { try Self.given(in: made[$0] ?? []) } ?? made
        }
        return try source.withBytes { bytes in
            var found: GraphEditor.Attributes = [:]
            var reader = ProtobufReader(UnsafeRawBufferPointer(rebasing: bytes[nodes[number].range]))
            while let (field, value) = try reader.next() {
                guard field == 5, let (key, value) = try Self.entry(value.message()) else { continue }
                if attribute == nil { found[key] = value }
                if key == attribute { return try Self.given(in: value) }
            }
            return found
        }
    }

    /// The attributes of a NameAttrList in an AttrValue.
    private static func given(in value: [UInt8]) throws -> GraphEditor.Attributes {
        try value.withUnsafeBytes { bytes in
            var found: GraphEditor.Attributes = [:]
            var reader = ProtobufReader(bytes)
            while let (kind, value) = try reader.next() {
                guard kind == 10 else { continue }
                var list = ProtobufReader(try value.message())
                while let (field, value) = try list.next() {
                    if field == 2, let (key, value) = try entry(value.message()) { found[key] = value }
                }
            }
            return found
        }
    }

    private static func entry(_ bytes: UnsafeRawBufferPointer) throws -> (String, [UInt8])? {
        var value: [UInt8] = []
        var reader = ProtobufReader(bytes)
        while let (field, content) = try reader.next() {
            if field == 2 { value = Array(try content.message()) }
        }
        return (try GraphEditor.key(of: bytes), value)
    }

    // MARK: Writing

    /// The names of tensors that are redirected, with those that are read in their place.
    func aliases() throws -> [TensorName: TensorName] {
        var result: [TensorName: TensorName] = [:]
        for tensor in redirections.tensors { result[tensor] = try resolved(tensor) }
        return result
    }

    /// The order of the nodes in the file. What stands in place of a node comes where that stood, or before it.
    private var written: [Int] {
        let added = Set(inPlaceOf.values.joined())
        var result: [Int] = []
        var pending = nodes.indices.reversed().filter { !added.contains($0) }.map { (number: $0, isOpen: true) }
        while let (number, isOpen) = pending.popLast() {
            if isOpen, let others = inPlaceOf[number] {
                pending.append((number, false))
                pending += others.reversed().map { ($0, true) }
            } else if !dropped.contains(number) {
                result.append(number)
            }
        }
        return result
    }

    /// The draft as a GraphDef. The functions come with it only where a node still calls one.
    func serialized() throws -> Bytes {
        let order = written
        let bytes = try order.map { try isAsRead($0) ? nil : encoded($0) }
        let keepsFunctions = order.contains { callsFunctions(nodes[$0]) }
        return try source.withBytes { original in
            var writer = GraphFileWriter()
            for (place, number) in order.enumerated() {
                if let encoded = bytes[place] {
                    writer.append(1, encoded)
                } else {
                    writer.append(1, UnsafeRawBufferPointer(rebasing: original[nodes[number].range]))
                }
            }
            var reader = ProtobufReader(original)
            while let (field, value) = try reader.next() {
                guard field != 1, field != 2 || keepsFunctions else { continue }
                writer.append(field, value)
            }
            return try writer.joined()
        }
    }

    /// The draft as a GraphDef, and as what is read of one.
    func read() throws -> (graph: GraphDefinition, serialized: Bytes) {
        let serialized = try serialized()
        try Reserve.prepare(serialized.withBytes(GraphDefinition.structureSize) * Model.reservePerByte)
        return (try serialized.withBytes { try GraphDefinition($0) }, serialized)
    }

    /// Whether a node calls a function of the graph's library.
    func callsFunctions(_ node: GraphDefinition.Node) -> Bool {
        functions[node.operation] != nil
            || node.attributes.values.contains { $0.functions.contains { functions[$0] != nil } }
    }

    /// Whether a node is written as it was read.
    private func isAsRead(_ number: Int) throws -> Bool {
        guard !changed.contains(number) else { return false }
        return nodes[number].inputs.allSatisfy {
            $0.isControl ? awaited[$0.name] == nil && has($0.name) : !redirections.contains(TensorName($0))
        }
    }

    private func encoded(_ number: Int) throws -> [UInt8] {
        let node = nodes[number]
        let given = attributes[number] ?? [:]
        try Reserve.prepare(4 * node.range.count)
        var writer = ProtobufWriter()
        writer.text(1, node.name)
        writer.text(2, node.operation)
        for tensor in try inputs(of: number) { writer.text(3, GraphDefinition.Input(tensor).text) }
        var seen = Set<String>()
        for input in node.inputs where input.isControl {
            for name in try waited(for: input.name) where has(name) && seen.insert(name).inserted {
                writer.text(3, "^" + name)
            }
        }
        try source.withBytes { bytes in
            var reader = ProtobufReader(UnsafeRawBufferPointer(rebasing: bytes[node.range]))
            while let (field, value) = try reader.next() {
                switch field {
                case 1, 2, 3: break
                case 5:
                    if given[try GraphEditor.key(of: value.message())] == nil { writer.field(field, value) }
                default: writer.field(field, value)
                }
            }
        }
        for (key, value) in given.sorted(by: { $0.key < $1.key }) { GraphEditor.write(key, value, to: &writer) }
        return writer.bytes
    }
}

extension GraphDefinition.Input {
    /// An input that reads a tensor.
    init(_ tensor: TensorName) { self.init(name: tensor.node, output: tensor.output, isControl: false) }
}

extension TensorName {
    /// The tensor that an input reads.
    init(_ input: GraphDefinition.Input) { self.init(node: input.name, output: input.output) }
}

/// Which tensors are read in place of others. A chain of redirections is shortened when it is followed, so that
/// following all of them takes linear time.
private final class Redirections {
    private var next: [TensorName: TensorName] = [:]

    var isEmpty: Bool { next.isEmpty }
    var tensors: [TensorName] { Array(next.keys) }

    func contains(_ tensor: TensorName) -> Bool { next[tensor] != nil }

    func add(_ tensor: TensorName, _ other: TensorName) { next[tensor] = other }

    /// - Throws: `.invalidGraph` for a circle.
    func end(of tensor: TensorName) throws -> TensorName {
        guard let first = next[tensor] else { return tensor }
        var passed = [tensor]
        var end = first
        while let further = next[end] {
            passed.append(end)
            end = further
            guard passed.count <= next.count else {
                throw FNEError(.invalidGraph, "the graph has a cycle through '\(end.node)'")
            }
        }
        for tensor in passed { next[tensor] = end }
        return end
    }
}

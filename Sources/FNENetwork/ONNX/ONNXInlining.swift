import FNESupport

/// Puts the bodies of a model's own functions in place of their calls, as `onnx.inliner.inline_local_functions` does,
/// with the same names. PyTorch's newest exporter writes such functions where it does not optimize.
struct ONNXInlining {
    /// A function of a model.
    private struct Function {
        var name = ""
        var domain = ""
        var inputs: [String] = []
        var outputs: [String] = []
        var nodes: [ONNXNodeDraft] = []
        var defaults: [ONNXNodeDraft.Attribute] = []
        var opsets: [String: Int] = [:]
    }

    /// How deep functions may call functions. One that calls itself has no end.
    private static let depthLimit = 32
    /// The most bytes that bodies may take. Each call makes a copy.
    private static let sizeLimit = 64 << 20

    private var functions: [String: Function] = [:]
    private var names = ONNXNewNames()
    private var callCount = 0
    private var size = 0

    private init() {}

    /// The name by which a function is called.
    static func key(_ domain: String, _ name: String) -> String { (domain == "ai.onnx" ? "" : domain) + "::" + name }

    /// A model without functions of its own; the model itself where it has none.
    ///
    /// - Throws: `.invalidGraph`, `.outOfMemory`.
    static func apply(to model: Bytes) throws -> Bytes {
        try model.withBytes { bytes in
            var reader = ProtobufReader(bytes, of: "ONNX model")
            var hasFunctions = false
            while !hasFunctions, let (field, _) = try reader.next() { hasFunctions = field == 25 }
            guard hasFunctions else { return model }
            try Reserve.prepare(saturating(ONNXStructure.size(bytes), 64) + sizeLimit)
            var inlining = ONNXInlining()
            return try inlining.inlined(bytes)
        }
    }

    // MARK: The model

    private mutating func inlined(_ bytes: UnsafeRawBufferPointer) throws -> Bytes {
        var (others, opsets) = (ONNXParts(), [String: Int]())
        var graph: UnsafeRawBufferPointer?
        var message = ONNXMessage(bytes, "the model", repeated: [8, 14, 20, 25, 26])
        while let field = try message.next() {
            switch field.number {
            case 7: graph = try field.bytes()
            case 25: try add(Self.function(field.bytes()))
            default:
                if field.number == 8 { try Self.read(opset: field.bytes(), to: &opsets) }
                others.add(field)
            }
        }
        guard let graph else { throw FNEError(.invalidGraph, "the ONNX model has no graph. Export it again") }
        for (domain, version) in try furtherOpsets(beside: opsets).sorted(by: { $0.key < $1.key }) {
            others.add { writer in
                writer.message(8) {
                    $0.text(1, domain)
                    $0.number(2, version)
                }
            }
        }
        let written = try inlined(graph: graph)
        others.add { $0.header(7, length: written.count) }
        others.add(written)
        return try others.made()
    }

    private mutating func inlined(graph bytes: UnsafeRawBufferPointer) throws -> ONNXParts {
        var nodes: [ONNXNodeDraft] = []
        var written = ONNXParts()
        var message = ONNXMessage(bytes, "the graph", repeated: [1, 5, 11, 12, 13, 14, 15, 16])
        while let field = try message.next() {
            switch field.number {
            case 1: nodes.append(try ONNXNodeDraft(field.bytes()))
            case 5: names.add(try ONNXGraphDraft.Named.name(in: field.bytes(), 8))
            case 11, 12: names.add(try ONNXGraphDraft.Named.name(in: field.bytes(), 1))
            default: break
            }
            if field.number != 1 { written.add(field) }
        }
        for node in nodes { names.add(node) }
        var count = 0
        for node in nodes {
            try expand(node, &count, depth: 0) { node in written.add { $0.message(1, node.write) } }
        }
        return written
    }

    // MARK: Functions

    private mutating func add(_ function: Function) throws {
        let key = Self.key(function.domain, function.name)
        guard functions.updateValue(function, forKey: key) == nil else {
            throw FNEError(.invalidGraph, "the ONNX model has the function '\(key)' twice. Export it again")
        }
    }

    private static func function(_ bytes: UnsafeRawBufferPointer) throws -> Function {
        var function = Function()
        var message = ONNXMessage(bytes, "a function", repeated: [4, 5, 6, 7, 9, 11, 12, 14])
        while let field = try message.next() {
            switch field.number {
            case 1: function.name = try field.name(of: "a function")
            case 4: function.inputs.append(try field.name(of: "an input of a function"))
            case 5: function.outputs.append(try field.name(of: "an output of a function"))
            case 7: function.nodes.append(try ONNXNodeDraft(field.bytes()))
            case 9: try read(opset: field.bytes(), to: &function.opsets)
            case 10: function.domain = try field.name(of: "a domain")
            case 11: function.defaults.append(try ONNXNodeDraft.Attribute(field.bytes(), depth: 0))
            default: break
            }
        }
        return function
    }

    private static func read(opset bytes: UnsafeRawBufferPointer, to opsets: inout [String: Int]) throws {
        var (domain, version) = ("", 0)
        var message = ONNXMessage(bytes, "a set of operations")
        while let field = try message.next() {
            if field.number == 1 { domain = try field.name(of: "a domain") }
            if field.number == 2 { version = try field.integer() }
        }
        opsets[domain == "ai.onnx" ? "" : domain] = version
    }

    /// The sets of operations that functions have and the model has not.
    ///
    /// - Throws: `.invalidGraph` for a function with another version than the model's.
    private func furtherOpsets(beside opsets: [String: Int]) throws -> [String: Int] {
        var all = opsets
        for (key, function) in functions.sorted(by: { $0.key < $1.key }) {
            for (domain, version) in function.opsets.sorted(by: { $0.key < $1.key }) {
                guard all[domain] ?? version == version else {
                    throw FNEError(
                        .invalidGraph,
                        "the function '\(key)' of the ONNX model has version \(version) of the operators "
                            + "'\(domain.isEmpty ? "ai.onnx" : domain)', and the model has version "
                            + "\(all[domain] ?? 0). Save the model with onnx.inliner.inline_local_functions(model, "
                            + "convert_version=True)")
                }
                all[domain] = version
            }
        }
        return all.filter { opsets[$0.key] == nil }
    }

    // MARK: Calls

    /// Gives out a node, or in place of a call the nodes of the function.
    ///
    /// - Parameter count: how many calls were replaced in the graph, which is a part of the new names
    private mutating func expand(
        _ node: ONNXNodeDraft, _ count: inout Int, depth: Int, to emit: (ONNXNodeDraft) throws -> Void
    ) throws {
        guard let function = functions[node.called] else {
            var node = node
            for place in node.attributes.indices {
                guard let nodes = node.attributes[place].graph?.nodes else { continue }
                var (inner, innerCount): ([ONNXNodeDraft], Int) = ([], count)
                for node in nodes { try expand(node, &innerCount, depth: depth) { inner.append($0) } }
                node.attributes[place].graph?.nodes = inner
            }
            return try emit(node)
        }
        callCount += 1
        guard depth < Self.depthLimit, callCount <= ONNXDefinition.nodeLimit else {
            throw FNEError(
                .invalidGraph,
                "the function '\(node.called)' of the ONNX model calls itself, or functions are called more than "
                    + "\(Self.depthLimit) deep or \(ONNXDefinition.nodeLimit) times")
        }
        count += 1
        for inner in try body(of: function, for: node, suffix: "__\(count)") {
            try expand(inner, &count, depth: depth + 1, to: emit)
        }
    }

    /// The nodes of a function for a call, with the call's values and names of their own.
    private mutating func body(
        of function: Function, for call: ONNXNodeDraft, suffix: String
    ) throws -> [ONNXNodeDraft] {
        guard call.inputs.count <= function.inputs.count, call.outputs.count <= function.outputs.count else {
            throw FNEError(
                .invalidGraph, "a call of the function '\(call.called)' has more inputs or outputs than the function")
        }
        let given = function.defaults + call.attributes
        let values = Dictionary(given.map { ($0.name, $0) }) { _, last in last }
        // The names are lent, since a copy of them for each call takes long.
        var renamer = ONNXRenamer(suffix: suffix)
        swap(&renamer.names, &names)
        defer { swap(&renamer.names, &names) }
        for (place, formal) in function.inputs.enumerated() {
            renamer.bind(formal, to: place < call.inputs.count ? call.inputs[place] : "")
        }
        for (place, formal) in function.outputs.enumerated() {
            renamer.bind(output: formal, to: place < call.outputs.count ? call.outputs[place] : "")
        }
        var nodes = function.nodes
        for place in nodes.indices {
            Self.bind(values, &nodes[place])
            renamer.rename(&nodes[place])
            var writer = ProtobufWriter()
            nodes[place].write(to: &writer)
            size += writer.bytes.count
            guard size <= Self.sizeLimit else {
                throw FNEError(
                    .invalidGraph,
                    "the bodies of the ONNX model's functions, in place of their calls, take more than "
                        + "\(Self.sizeLimit >> 20) MiB. Save the model with onnx.inliner.inline_local_functions")
            }
        }
        try Reserve.check()
        return nodes
    }

    /// Gives the attributes that refer to one of the function the value of the call, or else the function's default.
    private static func bind(_ values: [String: ONNXNodeDraft.Attribute], _ node: inout ONNXNodeDraft) {
        node.attributes = node.attributes.compactMap { attribute in
            var result = attribute
            if !attribute.reference.isEmpty {
                guard let value = values[attribute.reference] else { return nil }
                result = value
                result.name = attribute.name
            }
            if var graph = result.graph {
                for place in graph.nodes.indices { bind(values, &graph.nodes[place]) }
                result.graph = graph
            }
            return result
        }
    }
}

/// The names of a model, and new ones.
struct ONNXNewNames {
    private var known = Set<String>()
    private var index = 0

    mutating func add(_ name: String) { known.insert(name) }

    /// Adds the names of a node and of its subgraphs.
    mutating func add(_ node: ONNXNodeDraft) {
        known.insert(node.name)
        known.formUnion(node.inputs)
        known.formUnion(node.outputs)
        for graph in node.attributes.compactMap(\.graph) {
            known.formUnion((graph.inputs + graph.constants + graph.outputs).map(\.name))
            for inner in graph.nodes { add(inner) }
        }
    }

    /// The wanted name, or one like it that nothing has.
    mutating func new(_ wanted: String) -> String {
        var name = wanted
        while known.contains(name) {
            name = "\(wanted)_\(index)"
            index += 1
        }
        known.insert(name)
        return name
    }
}

/// Gives the values of a function's body the names that they have in place of a call.
private struct ONNXRenamer {
    private let suffix: String
    var names = ONNXNewNames()
    private var scopes: [[String: String]] = [[:]]

    init(suffix: String) { self.suffix = suffix }

    private mutating func define(_ name: String, as other: String) { scopes[scopes.count - 1][name] = other }

    mutating func bind(_ formal: String, to actual: String) { define(formal, as: actual) }

    /// Binds an output. One that the call leaves out gets a name.
    mutating func bind(output formal: String, to actual: String) {
        define(formal, as: actual.isEmpty ? names.new(formal + suffix) : actual)
    }

    private mutating func rename(_ name: inout String) {
        let new = names.new(name + suffix)
        define(name, as: new)
        name = new
    }

    /// Replaces a name by what is bound to it. A name without such belongs to a graph around.
    private mutating func look(up name: inout String, isNew: Bool) {
        guard !name.isEmpty else { return }
        if let bound = scopes.reversed().lazy.compactMap({ [name] in $0[name] }).first {
            name = bound
        } else if isNew {
            rename(&name)
        }
    }

    mutating func rename(_ node: inout ONNXNodeDraft) {
        if !node.name.isEmpty { node.name = names.new(node.name + suffix) }
        for place in node.inputs.indices { look(up: &node.inputs[place], isNew: false) }
        for place in node.outputs.indices { look(up: &node.outputs[place], isNew: true) }
        for place in node.attributes.indices {
            guard var graph = node.attributes[place].graph else { continue }
            rename(&graph)
            node.attributes[place].graph = graph
        }
    }

    private mutating func rename(_ graph: inout ONNXGraphDraft) {
        scopes.append([:])
        for place in graph.inputs.indices { rename(&graph.inputs[place].name) }
        for place in graph.constants.indices { rename(&graph.constants[place].name) }
        for place in graph.outputs.indices { rename(&graph.outputs[place].name) }
        for place in graph.nodes.indices { rename(&graph.nodes[place]) }
        scopes.removeLast()
    }
}

/// The parts of a message that is put together of what was read and of what was written.
private struct ONNXParts {
    private enum Part {
        case read(UnsafeRawBufferPointer)
        case written([UInt8])
    }

    private var parts: [Part] = []
    private(set) var count = 0

    mutating func add(_ field: ONNXMessage.Field) {
        // The content of a large field is not copied before the whole is put together.
        guard case .bytes(let content) = field.value else { return add { $0.field(field.number, field.value) } }
        add { $0.header(field.number, length: content.count) }
        parts.append(.read(content))
        count += content.count
    }

    mutating func add(_ write: (inout ProtobufWriter) -> Void) {
        var writer = ProtobufWriter()
        write(&writer)
        parts.append(.written(writer.bytes))
        count += writer.bytes.count
    }

    mutating func add(_ others: ONNXParts) {
        parts += others.parts
        count += others.count
    }

    /// - Throws: `.outOfMemory`.
    func made() throws -> Bytes {
        let made = try Bytes(count: count)
        made.withNumbers(of: UInt8.self) { start in
            var place = UnsafeMutableRawPointer(start)
            func copy(_ bytes: UnsafeRawBufferPointer) {
                UnsafeMutableRawBufferPointer(start: place, count: bytes.count).copyMemory(from: bytes)
                place += bytes.count
            }
            for part in parts {
                switch part {
                case .read(let bytes): copy(bytes)
                case .written(let bytes): bytes.withUnsafeBytes(copy)
                }
            }
        }
        return made
    }
}

import FNESupport

/// Puts the bodies of functions in place of their calls, so that the layers in them are found and run as others do.
/// Keras freezes a grouped convolution to a call, and so does a block that asks to be compiled. A node of a body is
/// named after the call: "call/node", as TensorFlow's own inlining names it.
///
/// A call stays where its function takes lists, or holds what the table of operations lacks. So it does in graphs with
/// TensorFlow's old loops, where a body would need to know the loop that it stands in.
enum FunctionInlining {
    /// A call of a function, with the tensors that it passes.
    struct Call {
        let number: Int
        let function: GraphDefinition.Function
        /// The attribute that holds the function; nil where the operation is the function's name.
        let attribute: String?
        let arguments: [TensorName]
    }

    /// Inlines all calls of a graph. `GraphExpansion` has checked that they end, and how many nodes they stand for.
    static func apply(to draft: inout GraphDraft) throws {
        guard !draft.functions.isEmpty, !draft.hasOldLoops else { return }
        var pending = draft.numbers
        while let number = pending.popLast() {
            guard let call = try call(number, in: draft) else { continue }
            let first = draft.nodes.count
            if try inline(call, in: &draft) { pending += first..<draft.nodes.count }
        }
    }

    /// The call that a node is; nil where it is none.
    private static func call(_ number: Int, in draft: GraphDraft) throws -> Call? {
        let node = draft.nodes[number]
        let attribute = ["PartitionedCall", "StatefulPartitionedCall"].contains(node.operation) ? "f" : nil
        let name = attribute.map { node.attributes[$0]?.functions.first ?? "" } ?? node.operation
        guard let function = draft.functions[name] else { return nil }
        return Call(number: number, function: function, attribute: attribute, arguments: try draft.inputs(of: number))
    }

    /// Puts a function's body in place of a call.
    ///
    /// - Returns: false where the call stays.
    static func inline(_ call: Call, in draft: inout GraphDraft) throws -> Bool {
        let isTaken = !call.function.hasLists && call.arguments.count == call.function.arguments.count
        guard isTaken, let body = try Body(call, draft) else { return false }
        try Reserve.check()
        for node in body.nodes {
            try draft.add(
                node.node, named: node.name, inputs: node.inputs, attributes: node.attributes, inPlaceOf: call.number)
        }
        let name = draft.nodes[call.number].name
        for (place, result) in body.results.enumerated() {
            draft.redirect(TensorName(node: name, output: place), to: result)
        }
        draft.wait(for: Set(body.results.map(\.node)).sorted(), insteadOf: name)
        draft.drop(call.number)
        return true
    }
}

/// A function's body, with the names that it has in the graph.
private struct Body {
    /// A node of the body as it comes into the graph.
    struct Copy {
        let node: GraphDefinition.Node
        let name: String
        let inputs: [GraphDefinition.Input]
        let attributes: GraphEditor.Attributes
    }

    private(set) var nodes: [Copy] = []
    /// The tensors that the call's outputs are.
    private(set) var results: [TensorName] = []

    private let functions: [String: GraphDefinition.Function]
    private let arguments: [String: TensorName]
    private var names: [String: String] = [:]
    private let operations: [String: String]

    /// Nil where the body cannot be inlined.
    init?(_ call: FunctionInlining.Call, _ draft: GraphDraft) throws {
        let function = call.function
        let caller = draft.nodes[call.number]
        functions = draft.functions
        arguments = Dictionary(zip(function.arguments, call.arguments)) { first, _ in first }
        operations = Dictionary(function.nodes.map { ($0.name, $0.operation) }) { first, _ in first }
        for node in function.nodes { names[node.name] = draft.free(caller.name + "/" + node.name) }
        let given = try draft.given(by: call.number, call.attribute)
        let controls = caller.inputs.filter(\.isControl)
        for node in function.nodes {
            guard let attributes = Self.substituted(node, given), let inputs = inputs(of: node) else { return nil }
            nodes.append(
                Copy(
                    node: node, name: names[node.name] ?? node.name,
                    inputs: node.inputs.isEmpty ? controls : inputs, attributes: attributes))
        }
        for result in function.results {
            let text = GraphDefinition.Input(inBody: function.returned[result] ?? "")
            guard let tensor = tensor(text) else { return nil }
            results.append(tensor)
        }
    }

    /// The attributes that the caller gives, in place of their names in the body. Nil where one is missing.
    private static func substituted(
        _ node: GraphDefinition.Node, _ given: GraphEditor.Attributes
    ) -> GraphEditor.Attributes? {
        var result: GraphEditor.Attributes = [:]
        for (key, value) in node.attributes {
            guard case .placeholder(let name) = value else { continue }
            guard let value = given[name] else { return nil }
            result[key] = value
        }
        return result
    }

    private func inputs(of node: GraphDefinition.Node) -> [GraphDefinition.Input]? {
        var result: [GraphDefinition.Input] = []
        for input in node.inputs {
            if input.isControl {
                // An argument is there when the body begins.
                guard let name = names[input.name] else { continue }
                result.append(GraphDefinition.Input(name: name, output: 0, isControl: true))
            } else {
                guard let tensor = tensor(input) else { return nil }
                result.append(GraphDefinition.Input(tensor))
            }
        }
        return result
    }

    /// The graph's tensor that an input of the body reads.
    private func tensor(_ input: GraphDefinition.Input) -> TensorName? {
        let source = input.source
        guard let name = names[source], let operation = operations[source] else { return arguments[source] }
        // "node:output:0", or "node:output" for the first of that name.
        let output = String(decoding: input.name.utf8.dropFirst(source.utf8.count + 1), as: UTF8.self)
        let number =
            functions[operation].map { function in
                input.output == 0 && !function.hasLists ? function.results.firstIndex(of: output) : nil
            } ?? Operation.output(of: operation, named: output, input.output)
        return number.map { TensorName(node: name, output: $0) }
    }
}

extension GraphDefinition.Input {
    /// An input of a function's body.
    init(inBody text: String) { self.init(TensorName(text)) }
}

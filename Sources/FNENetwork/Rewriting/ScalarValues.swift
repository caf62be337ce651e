import Glibc

/// The numbers and truth values of a draft that follow from constants, such as a condition for training or the rate of
/// a dropout. Each stands in a tensor of one element. A truth value is 0 or 1.
struct ScalarValues {
    private var values: [TensorName: Double] = [:]

    /// - Parameter order: the nodes, in an order in which each comes after its inputs
    init(_ draft: GraphDraft, order: [Int]) throws {
        for number in order {
            let node = draft.nodes[number]
            guard node.operation == "Const" || Self.functions[node.operation] != nil else { continue }
            let inputs = try draft.inputs(of: number).map { values[$0] }
            if let value = Self.value(node, inputs) { values[TensorName(node: node.name, output: 0)] = value }
        }
    }

    /// The value of a tensor; nil where it does not follow from constants, or is not of one element.
    subscript(tensor: TensorName) -> Double? { values[tensor] }

    private static func value(_ node: GraphDefinition.Node, _ inputs: [Double?]) -> Double? {
        if node.operation == "Const" { return node.constant("value")?.scalar }
        guard let function = functions[node.operation], let first = inputs.first, let a = first else { return nil }
        let second = inputs.count > 1 ? inputs[1] : 0
        guard let b = second else { return nil }
        let result = function(a, b)
        return isRounded(node) ? Double(Float(result)) : result
    }

    /// Whether a result is rounded to float32, as TensorFlow rounds it.
    private static func isRounded(_ node: GraphDefinition.Node) -> Bool {
        (node.type("T") ?? node.type("DstT") ?? .unknown) == .float32
    }

    private static let functions: [String: @Sendable (Double, Double) -> Double] = [
        "Identity": { a, _ in a }, "StopGradient": { a, _ in a }, "PreventGradient": { a, _ in a },
        "Snapshot": { a, _ in a }, "PlaceholderWithDefault": { a, _ in a }, "Cast": { a, _ in a },
        "LogicalNot": { a, _ in a == 0 ? 1 : 0 }, "LogicalAnd": { a, b in a != 0 && b != 0 ? 1 : 0 },
        "LogicalOr": { a, b in a != 0 || b != 0 ? 1 : 0 },
        "Equal": { a, b in a == b ? 1 : 0 }, "NotEqual": { a, b in a == b ? 0 : 1 },
        "Less": { a, b in a < b ? 1 : 0 }, "LessEqual": { a, b in a <= b ? 1 : 0 },
        "Greater": { a, b in a > b ? 1 : 0 }, "GreaterEqual": { a, b in a >= b ? 1 : 0 },
        "Add": { a, b in a + b }, "AddV2": { a, b in a + b }, "Sub": { a, b in a - b }, "Mul": { a, b in a * b },
        "RealDiv": { a, b in a / b }, "Div": { a, b in a / b }, "Floor": { a, _ in a.rounded(.down) },
    ]
}

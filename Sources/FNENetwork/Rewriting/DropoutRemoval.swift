/// Takes out each dropout whose rate is known to be 0. Such a dropout multiplies by a mask of ones, which TensorFlow
/// would compute from random numbers for each batch.
struct DropoutRemoval {
    private let values: ScalarValues
    private let order: [Int]

    static func apply(to draft: inout GraphDraft) throws {
        guard draft.numbers.contains(where: { isUniform(draft.nodes[$0]) }) else { return }
        let order = try draft.order()
        let removal = DropoutRemoval(values: try ScalarValues(draft, order: order), order: order)
        try removal.remove(from: &draft)
    }

    private func remove(from draft: inout GraphDraft) throws {
        for number in order {
            let node = draft.nodes[number]
            guard ["Mul", "SelectV2", "Select"].contains(node.operation) else { continue }
            let inputs = try draft.inputs(of: number)
            let places = node.operation == "Mul" ? [(mask: 1, data: 0), (mask: 0, data: 1)] : [(mask: 0, data: 1)]
            for (mask, data) in places where inputs.count > max(mask, data) {
                guard let random = try random(inputs[mask], draft) else { continue }
                let chain = try unscaled(inputs[data], draft)
                guard let source = chain.last, try hasShape(of: chain, random, draft) else { continue }
                draft.redirect(TensorName(node: node.name, output: 0), to: source)
                draft.wait(for: [source.node], insteadOf: node.name)
                draft.drop(number)
                break
            }
        }
    }

    private static func isUniform(_ node: GraphDefinition.Node) -> Bool {
        ["RandomUniform", "StatelessRandomUniform", "StatelessRandomUniformV2"].contains(node.operation)
    }

    /// The random numbers from which a mask is made that holds ones alone. Nil for any other tensor.
    private func random(_ mask: TensorName, _ draft: GraphDraft) throws -> Int? {
        guard let number = draft.number(of: mask.node), mask.output == 0 else { return nil }
        let inputs = try draft.inputs(of: number)
        switch draft.nodes[number].operation {
        case "Cast", "Identity": return try inputs.first.flatMap { try random($0, draft) }
        case "Floor": // floor(keep_prob + u), where u is at least 0 and below 1
            guard let sum = inputs.first, let place = draft.number(of: sum.node),
                ["Add", "AddV2"].contains(draft.nodes[place].operation)
            else { return nil }
            let parts = try draft.inputs(of: place)
            guard parts.count == 2 else { return nil }
            if values[parts[0]] == 1 { return try uniform(parts[1], draft) }
            return values[parts[1]] == 1 ? try uniform(parts[0], draft) : nil
        case "GreaterEqual": // u >= rate
            guard inputs.count == 2, let rate = values[inputs[1]], rate <= 0 else { return nil }
            return try uniform(inputs[0], draft)
        default: return nil
        }
    }

    /// The node that draws numbers from 0 up to 1, also where they are then multiplied by 1 and added to 0.
    private func uniform(_ tensor: TensorName, _ draft: GraphDraft) throws -> Int? {
        guard let number = draft.number(of: tensor.node), tensor.output == 0 else { return nil }
        let node = draft.nodes[number]
        if Self.isUniform(node) { return number }
        let inputs = try draft.inputs(of: number)
        let neutral: Double? = node.operation == "Mul" ? 1 : ["Add", "AddV2"].contains(node.operation) ? 0 : nil
        guard let neutral, inputs.count == 2, values[inputs[1]] == neutral else { return nil }
        return try uniform(inputs[0], draft)
    }

    /// A tensor, and those that it is when factors of 1 are left out.
    private func unscaled(_ tensor: TensorName, _ draft: GraphDraft) throws -> [TensorName] {
        var chain = [tensor]
        while let last = chain.last, last.output == 0, let number = draft.number(of: last.node) {
            let inputs = try draft.inputs(of: number)
            let operation = draft.nodes[number].operation
            guard ["Mul", "RealDiv", "Div"].contains(operation), inputs.count == 2 else { break }
            if values[inputs[1]] == 1 {
                chain.append(inputs[0])
            } else if operation == "Mul", values[inputs[0]] == 1 {
                chain.append(inputs[1])
            } else {
                break
            }
        }
        return chain
    }

    /// Whether random numbers have the shape of one of the tensors, or one that is constant. A mask of another shape
    /// could enlarge what it multiplies.
    private func hasShape(of chain: [TensorName], _ random: Int, _ draft: GraphDraft) throws -> Bool {
        guard let shape = try draft.inputs(of: random).first, let number = draft.number(of: shape.node) else {
            return false
        }
        if draft.nodes[number].operation == "Const" { return true }
        guard draft.nodes[number].operation == "Shape", let measured = try draft.inputs(of: number).first else {
            return false
        }
        return chain.contains(measured)
    }
}

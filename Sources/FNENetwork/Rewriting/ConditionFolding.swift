import FNESupport

/// Follows conditions that are known when the graph is read, so that the branch that is taken stands there alone.
/// Networks that were trained with `phase_train` choose their normalization by such a condition. While both branches
/// stand there, no layer can be followed to its activation.
enum ConditionFolding {
    /// Folds until no condition is left that is known. A branch may hold calls and further conditions.
    static func apply(to draft: inout GraphDraft) throws {
        repeat {
            try FunctionInlining.apply(to: &draft)
        } while try foldOnce(&draft)
    }

    /// Graphs with TensorFlow's old loops stay as they are, since a loop has a Switch and a Merge of its own.
    private static func foldOnce(_ draft: inout GraphDraft) throws -> Bool {
        let wanted: Set = ["Switch", "If", "StatelessIf"]
        guard draft.numbers.contains(where: { wanted.contains(draft.nodes[$0].operation) }), !draft.hasOldLoops
        else { return false }
        let order = try draft.order()
        let values = try ScalarValues(draft, order: order)
        var switches = SwitchFolding()
        var hasChanged = try switches.apply(to: &draft, order, values)
        for number in order where !draft.isDropped(number) {
            if let call = try branch(number, in: draft, values), try FunctionInlining.inline(call, in: &draft) {
                hasChanged = true
            }
        }
        return hasChanged
    }

    /// The branch of an If that is taken, as a call; nil where that is not known.
    private static func branch(
        _ number: Int, in draft: GraphDraft, _ values: ScalarValues
    ) throws -> FunctionInlining.Call? {
        let node = draft.nodes[number]
        guard ["If", "StatelessIf"].contains(node.operation) else { return nil }
        let inputs = try draft.inputs(of: number)
        guard let condition = inputs.first, let value = values[condition] else { return nil }
        let attribute = value != 0 ? "then_branch" : "else_branch"
        guard let name = node.attributes[attribute]?.functions.first, let function = draft.functions[name] else {
            return nil
        }
        return FunctionInlining.Call(
            number: number, function: function, attribute: attribute, arguments: Array(inputs.dropFirst()))
    }
}

/// Folds the conditions that TensorFlow 1 wrote. A Switch hands its data to one of two outputs. What stands after the
/// other one does not run; it is called dead here. A Merge takes the input that is not dead.
private struct SwitchFolding {
    private var deadTensors = Set<TensorName>()
    private var deadNodes = Set<String>()

    mutating func apply(to draft: inout GraphDraft, _ order: [Int], _ values: ScalarValues) throws -> Bool {
        for number in order {
            switch draft.nodes[number].operation {
            case "Switch": try foldSwitch(number, &draft, values)
            case "Merge": try foldMerge(number, &draft)
            default: if try isDead(number, draft) { bury(number, &draft) }
            }
        }
        guard !deadTensors.isEmpty else { return false }
        for number in draft.numbers { waitForNoConstant(number, &draft, values) }
        return true
    }

    /// A constant of a branch waits for the condition. Once that is known there is nothing to wait for.
    private func waitForNoConstant(_ number: Int, _ draft: inout GraphDraft, _ values: ScalarValues) {
        let inputs = draft.nodes[number].inputs
        let kept = inputs.filter { !$0.isControl || values[TensorName(node: $0.name, output: 0)] == nil }
        if kept.count < inputs.count { draft.setInputs(number, kept) }
    }

    private func isDead(_ number: Int, _ draft: GraphDraft) throws -> Bool {
        guard !deadTensors.isEmpty else { return false }
        return try waitsForDead(number, draft) || draft.inputs(of: number).contains(where: isDead)
    }

    private func isDead(_ tensor: TensorName) -> Bool {
        deadTensors.contains(tensor) || deadNodes.contains(tensor.node)
    }

    private func waitsForDead(_ number: Int, _ draft: GraphDraft) throws -> Bool {
        draft.nodes[number].inputs.contains { $0.isControl && deadNodes.contains($0.name) }
    }

    private mutating func bury(_ number: Int, _ draft: inout GraphDraft) {
        deadNodes.insert(draft.nodes[number].name)
        draft.drop(number)
    }

    private mutating func foldSwitch(_ number: Int, _ draft: inout GraphDraft, _ values: ScalarValues) throws {
        let inputs = try draft.inputs(of: number)
        if try isDead(number, draft) { return bury(number, &draft) }
        guard inputs.count == 2, let condition = values[inputs[1]] else { return }
        let name = draft.nodes[number].name
        let taken = condition == 0 ? 0 : 1
        draft.redirect(TensorName(node: name, output: taken), to: inputs[0])
        deadTensors.insert(TensorName(node: name, output: 1 - taken))
        draft.wait(for: [inputs[0].node], insteadOf: name)
        draft.drop(number)
    }

    private mutating func foldMerge(_ number: Int, _ draft: inout GraphDraft) throws {
        let inputs = try draft.inputs(of: number)
        let alive = inputs.indices.filter { !isDead(inputs[$0]) }
        if try alive.isEmpty || waitsForDead(number, draft) { return bury(number, &draft) }
        guard alive.count == 1, inputs.count > 1, let place = alive.first else { return }
        let name = draft.nodes[number].name
        draft.redirect(TensorName(node: name, output: 0), to: inputs[place])
        draft.wait(for: [inputs[place].node], insteadOf: name)
        // The second output tells which input was taken.
        let chosen = try draft.add(integers: [place], shape: [], named: name + "/value_index", before: number)
        draft.redirect(TensorName(node: name, output: 1), to: chosen)
        draft.drop(number)
    }
}

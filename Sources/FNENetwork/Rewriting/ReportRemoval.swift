/// Takes out what only reports: summaries, prints and assertions. They compute nothing that a layer needs, and some of
/// them write to files or to the log.
enum ReportRemoval {
    static func apply(to draft: inout GraphDraft) throws {
        let reports = draft.numbers.filter { draft.nodes[$0].isAny(.reports) }
        guard !reports.isEmpty else { return }
        let read = try valuesRead(in: draft)
        for number in reports {
            let node = draft.nodes[number]
            if node.operation == "Print", let passed = try draft.inputs(of: number).first {
                draft.redirect(TensorName(node: node.name, output: 0), to: passed)
                draft.wait(for: [passed.node], insteadOf: node.name)
            } else {
                guard !read.contains(node.name) else { continue }
                draft.wait(for: [], insteadOf: node.name)
            }
            draft.drop(number)
        }
    }

    /// The nodes whose values others than reports read.
    private static func valuesRead(in draft: GraphDraft) throws -> Set<String> {
        var read = Set<String>()
        for number in draft.numbers where !draft.nodes[number].isAny(.reports) {
            for input in draft.nodes[number].dataInputs { read.insert(input.name) }
        }
        return read
    }
}

/// The values of small lists of integers that are computed from constants alone, as the shapes are that exporters put
/// together of single numbers.
enum ONNXIntegers {
    /// The values by the numbers of the topology, those of constants included.
    static func known(_ graph: ONNXDefinition.Graph, _ topology: ONNXTopology) -> [Int: [Int]] {
        var known = topology.constants.compactMapValues(\.integers)
        for place in topology.order {
            guard let output = topology.outputs[place].first ?? nil, topology.isConstant[output], known[output] == nil,
                let first = topology.inputs[place].first ?? nil, known[first] != nil
            else { continue }
            // A list has at most as many numbers as are read of a constant.
            let inputs = topology.inputs[place].prefix(ONNXTensor.few + 1).map { $0.flatMap { known[$0] } }
            known[output] = values(graph.nodes[place], inputs)
        }
        return known
    }

    private static func values(_ node: ONNXDefinition.Node, _ inputs: [[Int]?]) -> [Int]? {
        guard let first = inputs.first ?? nil else { return nil }
        switch node.operation {
        case "Identity", "Reshape", "Squeeze", "Unsqueeze", "Flatten": return first
        case "Cast": return ONNXType(number: node.integer("to") ?? 0).dataType.isReal ? nil : first
        case "Concat": return joined(inputs)
        case "Gather":
            guard let places = inputs.dropFirst().first ?? nil else { return nil }
            return places.count == 1 ? element(first, places[0]) : nil
        case "Add": return combined(inputs) { $0.addingReportingOverflow($1) }
        case "Sub": return combined(inputs) { $0.subtractingReportingOverflow($1) }
        case "Mul": return combined(inputs) { $0.multipliedReportingOverflow(by: $1) }
        case "Div": return combined(inputs) { $0.dividedReportingOverflow(by: $1) }
        default: return nil
        }
    }

    private static func joined(_ inputs: [[Int]?]) -> [Int]? {
        let lists = inputs.compactMap { $0 }
        let joined = Array(lists.joined())
        return lists.count == inputs.count && joined.count <= ONNXTensor.few ? joined : nil
    }

    private static func element(_ list: [Int], _ place: Int) -> [Int]? {
        let (place, overflow) = place < 0 ? place.addingReportingOverflow(list.count) : (place, false)
        return !overflow && list.indices.contains(place) ? [list[place]] : nil
    }

    /// Two lists of one length, or a list and one number, number by number.
    private static func combined(
        _ inputs: [[Int]?], _ combine: (Int, Int) -> (partialValue: Int, overflow: Bool)
    ) -> [Int]? {
        guard inputs.count == 2, let a = inputs[0], let b = inputs[1],
            a.count == b.count || a.count == 1 || b.count == 1,
            let firstA = a.first, let firstB = b.first
        else { return nil }
        var result: [Int] = []
        for place in 0..<max(a.count, b.count) {
            let (value, overflow) = combine(a.count == 1 ? firstA : a[place], b.count == 1 ? firstB : b[place])
            guard !overflow else { return nil }
            result.append(value)
        }
        return result
    }
}

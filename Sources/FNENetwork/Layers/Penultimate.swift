/// Finds what the selector "penultimate" selects: the tensors that hold what a network's classifiers read.
///
/// The search begins at the input of a classifier's last layer. It goes back over changes of shape, and over averages
/// over height and width, since layers are averaged too. Where it comes to the output of a default layer, this is one.
/// Where it comes to a concatenation of channels, it goes on in all branches, as at the end of Inception networks.
/// Where a branch is something else, such as a residual sum, the tensor before the branches is taken itself.
struct Penultimate {
    /// The outputs of default layers, in the order of the topology. The other tensors come after them.
    let tensors: [TensorName]

    init(_ graph: GraphDefinition, _ topology: GraphTopology, _ analysis: LayerAnalysis) {
        let search = Search(graph, topology, analysis)
        var layers = Set<Int>()
        var others: [TensorName] = []
        for layer in analysis.layers where layer.isClassifier {
            guard let input = search.input(of: layer.operation) else { continue }
            switch search.found(at: input) {
            case .layers(let numbers): layers.formUnion(numbers)
            case .tensor(let name): if !others.contains(name) { others.append(name) }
            }
        }
        let outputs = topology.order.filter(layers.contains)
        tensors = outputs.map { TensorName(node: graph.nodes[$0].name, output: 0) } + others
    }

    /// What a classifier reads.
    private enum Found {
        /// The outputs of default layers, by their nodes.
        case layers(Set<Int>)
        case tensor(TensorName)
    }

    private struct Search {
        private let graph: GraphDefinition
        private let topology: GraphTopology
        /// The nodes whose first outputs are default layers.
        private let defaults: Set<Int>

        init(_ graph: GraphDefinition, _ topology: GraphTopology, _ analysis: LayerAnalysis) {
            (self.graph, self.topology) = (graph, topology)
            defaults = Set(analysis.layers.filter { !$0.isClassifier }.map(\.output))
        }

        /// The input of a layer's operation that is no constant. The weights are one.
        func input(of operation: Int) -> GraphDefinition.Input? {
            graph.nodes[operation].dataInputs.first { input in
                graph.index[input.name].map { !topology.isConstant[$0] } ?? false
            }
        }

        /// What a tensor is made of. Each concatenation is looked at once, however many read it.
        func found(at start: GraphDefinition.Input) -> Found {
            let top = origin(of: start)
            var numbers = Set<Int>()
            var seen = Set<Int>()
            var pending = [top]
            while let input = pending.popLast() {
                let tensor = origin(of: input)
                guard let number = graph.index[tensor.name], tensor.output == 0 else {
                    return .tensor(TensorName(top))
                }
                if defaults.contains(number) {
                    numbers.insert(number)
                } else if seen.insert(number).inserted {
                    guard let branches = branches(of: number) else { return .tensor(TensorName(top)) }
                    pending += branches
                }
            }
            return .layers(numbers)
        }

        /// The most nodes that are gone back over.
        private static let longestWay = 64

        /// The tensor that a tensor is, before changes of its shape and averages over height and width.
        private func origin(of tensor: GraphDefinition.Input) -> GraphDefinition.Input {
            var tensor = tensor
            for _ in 0..<Self.longestWay {
                guard let number = graph.index[tensor.name], tensor.output == 0, !defaults.contains(number),
                    graph.nodes[number].isAny([.reshapes, .keepsTensor]) || isPooling(number),
                    let input = graph.nodes[number].dataInputs.first
                else { break }
                tensor = input
            }
            return tensor
        }

        /// Whether a node averages a map over height and width, or over windows of them.
        private func isPooling(_ number: Int) -> Bool {
            let inputs = topology.inputs[number]
            switch graph.nodes[number].operation {
            case "AvgPool": return true
            case "Mean":
                guard inputs.count == 2, let axes = topology.integers(inputs[1]) else { return false }
                return [[1, 2], [2, 1], [-3, -2], [-2, -3]].contains(axes)
            default: return false
            }
        }

        /// What a concatenation of channels puts together; nil for any other node.
        private func branches(of number: Int) -> [GraphDefinition.Input]? {
            let (inputs, numbers) = (graph.nodes[number].dataInputs, topology.inputs[number])
            guard inputs.count >= 2, inputs.count == numbers.count else { return nil }
            func isChannelAxis(_ place: Int) -> Bool { [[3], [-1]].contains(topology.integers(numbers[place])) }
            switch graph.nodes[number].operation {
            case "ConcatV2" where isChannelAxis(numbers.count - 1): return Array(inputs.dropLast())
            case "Concat" where isChannelAxis(0): return Array(inputs.dropFirst())
            default: return nil
            }
        }
    }
}

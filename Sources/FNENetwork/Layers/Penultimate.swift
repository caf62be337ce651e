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
        var (pending, others): ([Int], [TensorName]) = ([], [])
        var named = Set<TensorName>()
        for layer in analysis.layers where layer.isClassifier {
            guard let tensor = search.tensor(readBy: layer.operation) else { continue }
            if let number = search.number(ofLayers: tensor) {
                pending.append(number)
            } else if named.insert(TensorName(tensor)).inserted {
                others.append(TensorName(tensor))
            }
        }
        let layers = search.layers(in: pending)
        let outputs = topology.order.filter(layers.contains)
        tensors = outputs.map { TensorName(node: graph.nodes[$0].name, output: 0) } + others
    }

    private struct Search {
        private let graph: GraphDefinition
        private let topology: GraphTopology
        /// The nodes whose first outputs are default layers.
        private let defaults: Set<Int>
        /// The concatenations of nothing but default layers and such concatenations, with the nodes that they read.
        /// They are found once, in the order of the graph. There can be more ways through them than can be followed.
        private var joined: [Int: [Int]] = [:]

        init(_ graph: GraphDefinition, _ topology: GraphTopology, _ analysis: LayerAnalysis) {
            (self.graph, self.topology) = (graph, topology)
            defaults = Set(analysis.layers.filter { !$0.isClassifier }.map(\.output))
            for number in topology.order {
                guard let branches = branches(of: number) else { continue }
                let parts = branches.compactMap { self.number(ofLayers: origin(of: $0)) }
                if parts.count == branches.count { joined[number] = parts }
            }
        }

        /// The tensor that a layer's operation reads beside its weights, before changes of its shape and averages.
        func tensor(readBy operation: Int) -> GraphDefinition.Input? {
            graph.nodes[operation].dataInputs.first { input in
                graph.index[input.name].map { !topology.isConstant[$0] } ?? false
            }.map(origin)
        }

        /// The node of a tensor that is a default layer or that joins some; nil for any other tensor.
        func number(ofLayers tensor: GraphDefinition.Input) -> Int? {
            guard tensor.output == 0, let number = graph.index[tensor.name] else { return nil }
            return defaults.contains(number) || joined[number] != nil ? number : nil
        }

        /// The default layers among some nodes and in what they join.
        func layers(in nodes: [Int]) -> Set<Int> {
            var (pending, seen) = (nodes, Set<Int>())
            while let number = pending.popLast() {
                guard seen.insert(number).inserted, !defaults.contains(number) else { continue }
                pending += joined[number] ?? []
            }
            return seen.intersection(defaults)
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

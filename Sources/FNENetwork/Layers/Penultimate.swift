/// What `Penultimate` asks of a network. A tensor is a node's output.
protocol PenultimateSource {
    associatedtype Tensor: Hashable

    /// The tensors that a concatenation may make, in an order in which they can be computed.
    var order: [Tensor] { get }

    /// Whether a tensor is the output of a default layer.
    func isDefault(_ tensor: Tensor) -> Bool

    /// The tensor of which a tensor is a change of shape, or an average over height and width; nil for any other one.
    func before(_ tensor: Tensor) -> Tensor?

    /// What a concatenation of channels puts together; nil for any other tensor.
    func branches(of tensor: Tensor) -> [Tensor]?
}

/// Finds what the selector "penultimate" selects: the tensors that hold what a network's classifiers read. The rule is
/// the same for every kind of network.
///
/// The search begins at the input of a classifier's last layer. It goes back over changes of shape, and over averages
/// over height and width, since layers are averaged too. Where it comes to the output of a default layer, this is one.
/// Where it comes to a concatenation of channels, it goes on in all branches, as at the end of Inception networks.
/// Where a branch is something else, such as a residual sum, the tensor before the branches is taken itself.
struct Penultimate<Source: PenultimateSource> {
    /// The outputs of default layers, in the order of the source. The other tensors come after them.
    let tensors: [Source.Tensor]

    /// - Parameter read: the tensors that the classifiers' last layers read, in the order of the layers
    init(_ source: Source, read: [Source.Tensor]) {
        let search = Search(source)
        var (pending, others, named): ([Source.Tensor], [Source.Tensor], Set<Source.Tensor>) = ([], [], [])
        for tensor in read.map(search.origin) {
            if search.isOfLayers(tensor) {
                pending.append(tensor)
            } else if named.insert(tensor).inserted {
                others.append(tensor)
            }
        }
        let layers = search.layers(in: pending)
        tensors = source.order.filter(layers.contains) + others
    }

    private struct Search {
        private let source: Source
        /// The concatenations of nothing but default layers and such concatenations, with the tensors that they read.
        /// They are found once, in the order of the graph. There can be more ways through them than can be followed.
        private var joined: [Source.Tensor: [Source.Tensor]] = [:]

        init(_ source: Source) {
            self.source = source
            for tensor in source.order {
                guard let parts = source.branches(of: tensor)?.map(origin), parts.allSatisfy(isOfLayers) else {
                    continue
                }
                joined[tensor] = parts
            }
        }

        /// Whether a tensor is a default layer, or joins some.
        func isOfLayers(_ tensor: Source.Tensor) -> Bool { source.isDefault(tensor) || joined[tensor] != nil }

        /// The default layers among some tensors and in what they join.
        func layers(in tensors: [Source.Tensor]) -> Set<Source.Tensor> {
            var (pending, seen) = (tensors, Set<Source.Tensor>())
            while let tensor = pending.popLast() {
                guard seen.insert(tensor).inserted, !source.isDefault(tensor) else { continue }
                pending += joined[tensor] ?? []
            }
            return seen.filter(source.isDefault)
        }

        /// The most nodes that are gone back over.
        private static var longestWay: Int { 64 }

        /// The tensor that a tensor is, before changes of its shape and averages over height and width.
        func origin(of tensor: Source.Tensor) -> Source.Tensor {
            var tensor = tensor
            for _ in 0..<Self.longestWay {
                guard !source.isDefault(tensor), let before = source.before(tensor) else { break }
                tensor = before
            }
            return tensor
        }
    }
}

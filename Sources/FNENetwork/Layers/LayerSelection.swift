import FNESupport

/// Turns the selectors that a user writes into layers. A selector is an exact name, "all", "penultimate", a share such
/// as "last:25%", or a glob, which is a pattern such as "conv*". This is the only implementation of the grammar.
/// Networks, jobs and packed codes all use it.
///
/// A selector that is the name of a layer means that layer, whatever characters it holds. The name is looked for as it
/// is written, and then without a leading "import/" and a trailing ":0". The layers come in the order of the selectors,
/// and within a selector in the order of the list. A layer that several selectors choose is taken once, at its first
/// place. Its exact name may be given once only.
public enum LayerSelection {
    /// A tensor of a network that becomes a layer of the row.
    package struct Selected {
        /// The tensor's name.
        package let name: TensorName
        /// The kind of the layer.
        package let kind: TensorKind
        /// The number of its channels by its weights; nil where the graph does not say it outright.
        package let channels: Int?
    }

    /// Selects from a network. "all" and globs choose from the default layers and the classifier's. An exact name may
    /// be that of any tensor. "penultimate" chooses what classifiers read (see `Penultimate`).
    ///
    /// - Parameter selectors: an empty list means all default layers
    /// - Returns: at least one tensor, none twice.
    /// - Throws: `.unknownTensor`, `.invalidArgument`; `.invalidGraph` for a graph without a layer that is not frozen.
    package static func resolve(_ selectors: [String], in model: Model) throws -> [Selected] {
        try resolve(selectors, in: model.network)
    }

    static func resolve(_ selectors: [String], in network: any Network) throws -> [Selected] {
        let layers = network.tensors.filter { $0.isDefault || $0.isClassifier }
        let choices = Choices<TensorName>(
            layers: layers.map { tensor in
                let layer = TensorName(node: tensor.name, output: 0)
                return (name: tensor.name, otherName: tensor.module, layer: layer, isDefault: tensor.isDefault)
            },
            exact: network.knownTensor,
            penultimate: {
                guard !network.penultimate.isEmpty else {
                    throw FNEError(
                        .unknownTensor,
                        "the graph has no classifier whose input 'penultimate' could select. Name the tensors to take")
                }
                return network.penultimate
            },
            unknown: network.unknownTensor, whole: "graph", checkNone: network.checkForLayers)
        let tensors = Dictionary(network.tensors.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
        return try choices.resolve(selectors).map { name in
            let tensor = tensors[name.node]
            return Selected(
                name: name, kind: tensor?.kind ?? .other, channels: name.output == 0 ? tensor?.channels : nil)
        }
    }

    /// Selects from a list of layers, such as those of a job.
    ///
    /// - Parameters:
    ///   - selectors: an empty list means all default layers
    ///   - names: the names of all layers, in the order of their columns
    ///   - isDefault: which of them are default layers; nil means all
    ///   - isPenultimate: which of them "penultimate" selects; nil means that this is not known
    /// - Returns: indices into `names`, at least one, none twice.
    /// - Throws: `.unknownTensor`, `.invalidArgument`.
    public static func indices(
        _ selectors: [String], among names: [String], isDefault: [Bool]? = nil, isPenultimate: [Bool]? = nil
    ) throws -> [Int] {
        for flags in [isDefault, isPenultimate] {
            guard let flags, flags.count != names.count else { continue }
            throw FNEError(
                .invalidArgument, "there are \(names.count) names, but \(flags.count) flags; each name needs one flag")
        }
        // Names are compared as bytes. Swift's strings can be equal where their bytes differ.
        func key(_ name: TensorName) -> [UInt8] { Array(name.text.utf8) }
        let numbers = Dictionary(
            names.enumerated().map { (key(TensorName($1)), $0) }, uniquingKeysWith: { first, _ in first })
        let choices = Choices<Int>(
            layers: names.enumerated().map {
                (name: $1, otherName: nil, layer: $0, isDefault: isDefault?[$0] ?? true)
            },
            exact: { numbers[key(TensorName($0))] ?? numbers[key(TensorName(userWritten: $0))] },
            penultimate: {
                let numbers = names.indices.filter { isPenultimate?[$0] ?? false }
                guard !numbers.isEmpty else {
                    throw FNEError(
                        .unknownTensor,
                        "no layer of this list is known as what a classifier reads, which 'penultimate' selects. "
                            + "The network knows it: take the names from there")
                }
                return numbers
            },
            unknown: {
                let nearest = nearestNamesSentence(to: TensorName(userWritten: $0).text, among: names)
                return FNEError(.unknownTensor, "there is no layer '\($0)'. \(nearest)")
            },
            whole: "list")
        return try choices.resolve(selectors)
    }

    /// The layers that selectors choose from.
    private struct Choices<Layer: Hashable> {
        /// The layers that "all", "last" and globs choose from. A glob may match the other name, too.
        let layers: [(name: String, otherName: String?, layer: Layer, isDefault: Bool)]
        /// Gives the layer of exactly that name.
        let exact: (String) -> Layer?
        /// Gives the layers that "penultimate" selects.
        let penultimate: () throws -> [Layer]
        /// Makes the error for a name that is not there.
        let unknown: (String) -> FNEError
        /// The word for the thing that holds the layers, for messages.
        let whole: String
        /// Throws the reason why there is no layer, where it is known.
        var checkNone: () throws -> Void = {}

        func resolve(_ selectors: [String]) throws -> [Layer] {
            guard !selectors.isEmpty else { return try nonEmpty(defaults) }
            var chosen: [Layer] = []
            var seen = Set<Layer>()
            var named = Set<Layer>()
            for selector in selectors {
                let found: [Layer]
                if let layer = exact(selector) {
                    guard named.insert(layer).inserted else {
                        throw FNEError(.invalidArgument, "the layer '\(selector)' is selected twice")
                    }
                    found = [layer]
                } else {
                    found = try matching(selector)
                }
                chosen += found.filter { seen.insert($0).inserted }
            }
            return chosen
        }

        private var defaults: [Layer] { layers.filter(\.isDefault).map(\.layer) }

        /// The layers that a selector other than a name chooses.
        private func matching(_ selector: String) throws -> [Layer] {
            if selector == "all" { return try nonEmpty(layers.map(\.layer)) }
            if selector == "penultimate" { return try penultimate() }
            if selector.hasPrefix("last:") { return try nonEmpty(last(selector)) }
            guard selector.contains(where: { "*?[".contains($0) }) else { throw unknown(selector) }
            let pattern = selector.hasPrefix("import/") ? String(selector.dropFirst("import/".count)) : selector
            let found = layers.filter {
                LayerSelection.matches(selector, $0.name) || LayerSelection.matches(pattern, $0.name)
                    || $0.otherName.map { LayerSelection.matches(selector, $0) } ?? false
            }
            guard !found.isEmpty else {
                throw FNEError(.unknownTensor, "no layer of the \(whole) matches '\(selector)'")
            }
            return found.map(\.layer)
        }

        /// The layers of a selector such as "last:25%", which are the last ceil(0.25 L) of the L default layers.
        private func last(_ selector: String) throws -> [Layer] {
            let text = selector.dropFirst("last:".count)
            let isPlain = text.utf8.dropLast().allSatisfy { $0 == UInt8(ascii: ".") || (0x30...0x39).contains($0) }
            guard text.hasSuffix("%"), isPlain, let percent = Double(text.dropLast()), percent > 0, percent <= 100
            else {
                throw FNEError(
                    .invalidArgument,
                    "the selector '\(selector)' needs a share above 0% and up to 100%, such as last:25%")
            }
            // The product is computed first. It is exact for whole percents, so that no rounding error reaches the
            // ceiling.
            let count = Int((percent * Double(defaults.count) / 100).rounded(.up))
            return defaults.suffix(count)
        }

        private func nonEmpty(_ found: [Layer]) throws -> [Layer] {
            guard !found.isEmpty else {
                try checkNone()
                throw FNEError(
                    .unknownTensor, "the \(whole) has no convolution and no dense layer. Name the tensors to take")
            }
            return found
        }
    }

    /// Whether a glob matches a whole name. In a glob, * stands for any run of characters and ? for one character.
    /// [abc] and [a-c] stand for one character of a set, and [!abc] for one that is not in the set.
    static func matches(_ pattern: String, _ name: String) -> Bool {
        let pattern = Array(pattern.unicodeScalars)
        let name = Array(name.unicodeScalars)
        var p = 0
        var n = 0
        var retry: (p: Int, n: Int)? // the places after the last *, and after the part of the name that it took
        while n < name.count {
            if p < pattern.count, pattern[p] == "*" {
                p += 1
                retry = (p, n)
            } else if let end = one(pattern, p, name[n]) {
                p = end
                n += 1
            } else if let (star, taken) = retry {
                retry = (star, taken + 1)
                (p, n) = (star, taken + 1)
            } else {
                return false
            }
        }
        return pattern[p...].allSatisfy { $0 == "*" }
    }

    /// The end of the pattern's element at p, where the element matches the character; nil where it does not match.
    private static func one(_ pattern: [Unicode.Scalar], _ p: Int, _ character: Unicode.Scalar) -> Int? {
        guard p < pattern.count else { return nil }
        if pattern[p] == "?" { return p + 1 }
        // The first member of a set may be "]".
        let negated = pattern.indices.contains(p + 1) && pattern[p + 1] == "!"
        let first = p + (negated ? 2 : 1)
        guard pattern[p] == "[", first < pattern.count, let end = pattern[(first + 1)...].firstIndex(of: "]") else {
            return pattern[p] == character ? p + 1 : nil
        }
        let members = pattern[first..<end]
        var found = false
        var i = members.startIndex
        while i < members.endIndex {
            if i + 2 < members.endIndex, members[i + 1] == "-" {
                found = found || (members[i] <= character && character <= members[i + 2])
                i += 3
            } else {
                found = found || members[i] == character
                i += 1
            }
        }
        return found != negated ? end + 1 : nil
    }
}

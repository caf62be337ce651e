/// Turns a user's selectors into tensors: exact names, globs, "all", "last:25%".
enum LayerSelection {
    struct Selected {
        let name: TensorName
        let kind: TensorKind
    }

    /// - Parameter selectors: empty means all default layers.
    /// - Returns: at least one tensor, none twice, in the order of the selectors.
    static func resolve(_ selectors: [String], in model: Model) throws -> [Selected] {
        var selected: [Selected] = []
        var seen = Set<TensorName>()
        for selector in selectors.isEmpty ? ["last:100%"] : selectors {
            for tensor in try tensors(selector, in: model) {
                guard seen.insert(tensor.name).inserted else {
                    throw FNEError(.invalidArgument, "the layer '\(tensor.name.text)' is selected twice")
                }
                selected.append(tensor)
            }
        }
        return selected
    }

    private static func tensors(_ selector: String, in model: Model) throws -> [Selected] {
        func selected(_ tensors: [Model.Tensor]) -> [Selected] {
            tensors.map { Selected(name: TensorName(node: $0.name, output: 0), kind: $0.kind) }
        }
        // A tensor of that very name comes first, whatever characters it holds.
        let exact = model.tensorName(selector)
        if model.graph.index[exact.node] != nil {
            let kind = model.tensors.first { $0.name == exact.node }?.kind ?? .other
            return [Selected(name: exact, kind: kind)]
        }
        if selector == "all" { return try nonEmpty(selected(model.tensors.filter { $0.isDefault || $0.isClassifier })) }
        if selector.hasPrefix("last:") { return try nonEmpty(selected(last(selector, of: model.defaultLayers))) }
        if selector.contains(where: { "*?[".contains($0) }) {
            let pattern = selector.hasPrefix("import/") ? String(selector.dropFirst("import/".count)) : selector
            let matching = model.tensors.filter {
                ($0.isDefault || $0.isClassifier) && (matches(selector, $0.name) || matches(pattern, $0.name))
            }
            guard !matching.isEmpty else {
                throw FNEError(.unknownTensor, "no layer of the graph matches '\(selector)'")
            }
            return selected(matching)
        }
        _ = try model.node(exact, writtenAs: selector) // throws, with the nearest names
        return []
    }

    private static func nonEmpty(_ tensors: [Selected]) throws -> [Selected] {
        guard !tensors.isEmpty else {
            throw FNEError(.unknownTensor, "the graph has no convolution and no dense layer; name the tensors to take")
        }
        return tensors
    }

    /// "last:25%": the last ceil(0.25 L) of L layers.
    private static func last(_ selector: String, of layers: [Model.Tensor]) throws -> [Model.Tensor] {
        let text = selector.dropFirst("last:".count)
        guard text.hasSuffix("%"), let percent = Double(text.dropLast()), percent > 0, percent <= 100 else {
            throw FNEError(.invalidArgument, "'\(selector)': write a share above 0 and up to 100, such as last:25%")
        }
        let count = Int((percent * Double(layers.count) / 100).rounded(.up))
        return Array(layers.suffix(count))
    }

    /// Whether a glob matches a whole name: * any run of characters, ? one, [abc] and [a-c] one of a set, [!abc] one
    /// that is not of it.
    static func matches(_ pattern: String, _ name: String) -> Bool {
        let pattern = Array(pattern.unicodeScalars)
        let name = Array(name.unicodeScalars)
        var p = 0
        var n = 0
        var retry: (p: Int, n: Int)? // behind the last *, and how much of the name it has taken
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

    /// Where the pattern goes on when its element at p matches the character; nil when it does not match.
    private static func one(_ pattern: [Unicode.Scalar], _ p: Int, _ character: Unicode.Scalar) -> Int? {
        guard p < pattern.count else { return nil }
        if pattern[p] == "?" { return p + 1 }
        guard pattern[p] == "[", let end = pattern[(p + 1)...].dropFirst().firstIndex(of: "]") else {
            return pattern[p] == character ? p + 1 : nil
        }
        var members = pattern[(p + 1)..<end]
        let negated = members.first == "!"
        if negated { members.removeFirst() }
        var found = false
        var i = members.startIndex
        while i < members.endIndex {
            if i + 2 < members.endIndex, members[i + 1] == "-" {
                found = found || (members[i]...max(members[i], members[i + 2])).contains(character)
                i += 3
            } else {
                found = found || members[i] == character
                i += 1
            }
        }
        return found != negated ? end + 1 : nil
    }
}

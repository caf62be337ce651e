/// The path of the PyTorch module that a node was made for, such as "layer1.0.conv1". Exporters write it in ways of
/// their own.
struct ONNXModulePath {
    private var scopes: String?

    /// Takes an entry of a node's metadata.
    mutating func read(_ entry: (key: String, value: String)) {
        if entry.key == "pkg.torch.onnx.name_scopes" { scopes = entry.value }
    }

    /// The path, by the metadata or by the node's name.
    func text(of node: String) -> String? { scopes.flatMap(Self.path(scopes:)) ?? Self.path(name: node) }

    /// The path of the module in a list of scopes, as Python writes it: "['', 'layer1', 'layer1.0', 'relu']". The last
    /// one is the operation's own.
    private static func path(scopes: String) -> String? {
        let names = scopes.utf8.split(separator: UInt8(ascii: "'"), omittingEmptySubsequences: false)
            .enumerated().filter { $0.offset % 2 == 1 }.map { String(decoding: $0.element, as: UTF8.self) }
        return names.dropLast().last.flatMap { $0.isEmpty ? nil : $0 }
    }

    /// The path in the name of a node, "/layer1/layer1.0/conv1/Conv". A part that begins with the part before repeats
    /// it.
    private static func path(name: String) -> String? {
        guard name.utf8.first == UInt8(ascii: "/") else { return nil }
        var path: [Substring] = []
        for part in name.split(separator: "/").dropLast() {
            if let last = path.last, part.utf8.starts(with: (last + ".").utf8) { path.removeLast() }
            path.append(part)
        }
        return path.isEmpty ? nil : path.joined(separator: ".")
    }

    /// The path that a weight's name gives: "layer1.0.conv1" of "layer1.0.conv1.weight".
    static func path(weight name: String) -> String? {
        name.utf8.count > 7 && name.hasSuffix(".weight") ? String(name.dropLast(7)) : nil
    }
}

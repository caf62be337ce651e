/// A tensor of a graph: output `output` of node `node`. Written "node" or "node:0"; the prefix "import/", under which
/// the original function imports its graph, is taken off when a user names a tensor.
package struct TensorName: Hashable {
    let node: String
    let output: Int

    init(node: String, output: Int) {
        self.node = node
        self.output = output
    }

    /// "name", "name:0", "name:1"; a colon without a number behind it belongs to the name.
    init(_ text: String) {
        if let colon = text.utf8.lastIndex(of: 0x3a), let output = Int(text[text.utf8.index(after: colon)...]),
            output >= 0
        {
            self.init(node: String(text[..<colon]), output: output)
        } else {
            self.init(node: text, output: 0)
        }
    }

    /// As a user writes it, with or without "import/".
    init(userWritten text: String) {
        let name = TensorName(text)
        self.init(
            node: name.node.hasPrefix("import/") ? String(name.node.dropFirst("import/".count)) : name.node,
            output: name.output)
    }

    /// "node" for the first output, else "node:1".
    package var text: String { output == 0 ? node : "\(node):\(output)" }
}

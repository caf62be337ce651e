/// The name of a tensor: output `output` of node `node`. The text "node" means the same as "node:0".
package struct TensorName: Hashable {
    let node: String
    let output: Int

    init(node: String, output: Int) {
        self.node = node
        self.output = output
    }

    /// Reads "name", "name:0" or "name:1". A colon without a number after it belongs to the name.
    init(_ text: String) {
        if let colon = text.utf8.lastIndex(of: 0x3a), let output = Int(text[text.utf8.index(after: colon)...]),
            output >= 0
        {
            self.init(node: String(text[..<colon]), output: output)
        } else {
            self.init(node: text, output: 0)
        }
    }

    /// Reads a name that a user wrote. A leading "import/" is removed, because the original function imports its graph
    /// under that prefix.
    init(userWritten text: String) {
        let name = TensorName(text)
        self.init(
            node: name.node.hasPrefix("import/") ? String(name.node.dropFirst("import/".count)) : name.node,
            output: name.output)
    }

    /// The name in words: "node" for the first output, else, for example, "node:1".
    package var text: String { output == 0 ? node : "\(node):\(output)" }
}

/// The size of an ONNX file without the values of its constants. What is built of a graph takes memory by this size.
/// Each message counts some bytes more, because one without content takes memory too.
enum ONNXStructure {
    private enum Message {
        case model
        case graph
        case node
        case attribute
        case tensor

        /// What stands in a field; nil for content without constants.
        func inner(_ field: Int) -> Message? {
            switch (self, field) {
            case (.model, 7): .graph
            case (.graph, 1): .node
            case (.graph, 5), (.attribute, 5): .tensor
            case (.node, 5): .attribute
            case (.attribute, 6): .graph
            default: nil
            }
        }
    }

    /// The fields of a tensor that hold its values.
    private static let values: Set<Int> = [4, 5, 6, 7, 9, 10, 11]
    /// A message of fewer bytes is not looked into.
    private static let small = 4_096
    private static let perMessage = 32

    /// The size up to the first damage.
    static func size(_ bytes: UnsafeRawBufferPointer) -> Int { size(bytes, .model, depth: 0) }

    private static func size(_ bytes: UnsafeRawBufferPointer, _ message: Message, depth: Int) -> Int {
        guard bytes.count > small, depth < 64 else { return bytes.count }
        var size = 0
        var reader = ProtobufReader(bytes)
        while let (field, value) = try? reader.next() {
            size += perMessage
            guard case .bytes(let content) = value else { continue }
            if message == .tensor, values.contains(field) { continue }
            size += message.inner(field).map { self.size(content, $0, depth: depth + 1) } ?? content.count
        }
        return size
    }
}

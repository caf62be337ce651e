/// libfne's own operators for ONNX Runtime, which take the place of slow ones of ONNX (COnnxRuntimeOperations).
enum ONNXOwnOperators {
    /// The domain, which no file may use.
    static let domain = "fne"
    static let version = 1
    /// ONNX's LRN for float32 and an odd size.
    static let normalization = "FneLRN"

    /// Whether `normalization` takes a node's place.
    static func replaces(_ node: ONNXDefinition.Node) -> Bool {
        guard node.operation == "LRN", let size = node.integer("size") else { return false }
        return size % 2 == 1 && (1...131_073).contains(size)
    }
}

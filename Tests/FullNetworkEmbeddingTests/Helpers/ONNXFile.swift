@testable import FNENetwork
@testable import FNESupport

/// Writes small ONNX files.
struct ONNXFile {
    /// The value of an attribute.
    enum Value {
        case integer(Int)
        case integers([Int])
        case number(Float)
        case text(String)
        case tensor([UInt8])
        case graph([UInt8])

        fileprivate func bytes(_ name: String) -> [UInt8] {
            let (content, kind): ([UInt8], Int) =
                switch self {
                case .number(let number): (Wire.fixed32(2, number.bitPattern), 1)
                case .integer(let number): (Wire.number(3, number), 2)
                case .text(let text): (Wire.text(4, text), 3)
                case .tensor(let tensor): (Wire.bytes(5, tensor), 4)
                case .graph(let graph): (Wire.bytes(6, graph), 5)
                case .integers(let numbers): (numbers.flatMap { Wire.number(8, $0) }, 7)
                }
            return Wire.text(1, name) + content + Wire.number(20, kind)
        }
    }

    var opset = 17
    var version = 8
    /// Whatever else stands in the model and in the graph.
    var more: [UInt8] = []
    var graph: [UInt8] = []

    /// A graph whose input "x" is float32 [n, 3, 8, 8].
    init(input shape: [Int] = [-1, 3, 8, 8], type: ONNXType = .float32) { input("x", shape, type: type) }

    /// A graph without an input, such as a subgraph.
    static var empty: ONNXFile {
        var file = ONNXFile()
        file.graph = []
        return file
    }

    static func value(_ name: String, _ shape: [Int], type: ONNXType = .float32) -> [UInt8] {
        let dimensions = shape.flatMap { Wire.bytes(1, $0 < 0 ? Wire.text(2, "n") : Wire.number(1, $0)) }
        let tensor = Wire.number(1, type.rawValue) + Wire.bytes(2, dimensions)
        return Wire.text(1, name) + Wire.bytes(2, Wire.bytes(1, tensor))
    }

    mutating func input(_ name: String, _ shape: [Int], type: ONNXType = .float32) {
        graph += Wire.bytes(11, Self.value(name, shape, type: type))
    }

    mutating func output(_ name: String) { graph += Wire.bytes(12, Wire.text(1, name)) }

    /// A constant of float32, all ones unless the values are given.
    mutating func constant(_ name: String, _ shape: [Int], _ values: [Float]? = nil) {
        graph += Wire.bytes(5, Self.tensor(name, shape, values))
    }

    static func tensor(_ name: String, _ shape: [Int], _ values: [Float]? = nil) -> [UInt8] {
        let values = values ?? Array(repeating: 1, count: shape.reduce(1, *))
        let raw = values.withUnsafeBytes { Array($0) } // the tests run on little-endian machines alone
        return header(name, shape, type: 1) + Wire.bytes(9, raw)
    }

    /// The shape, the type and the name of a tensor.
    static func header(_ name: String, _ shape: [Int], type: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        for dimension in shape { bytes += Wire.number(1, dimension) }
        return bytes + Wire.number(2, type) + Wire.text(8, name)
    }

    /// A constant of int64.
    mutating func integers(_ name: String, _ values: [Int]) {
        let content = values.flatMap { Wire.number(7, $0) }
        graph += Wire.bytes(5, Self.header(name, [values.count], type: 7) + content)
    }

    /// A constant of float32 in a file beside the model.
    mutating func outside(_ name: String, _ shape: [Int], _ entries: KeyValuePairs<String, String>) {
        let data = entries.flatMap { Wire.bytes(13, Wire.text(1, $0.key) + Wire.text(2, $0.value)) }
        graph += Wire.bytes(5, Self.header(name, shape, type: 1) + data + Wire.number(14, 1))
    }

    /// A node "y = Operation a b", named "node of y".
    mutating func node(
        _ text: String, _ attributes: KeyValuePairs<String, Value> = [:], domain: String = "", named name: String? = nil
    ) {
        graph += Wire.bytes(1, Self.node(text, attributes, domain: domain, named: name))
    }

    static func node(
        _ text: String, _ attributes: KeyValuePairs<String, Value> = [:], domain: String = "", named name: String? = nil
    ) -> [UInt8] {
        let words = text.split(separator: " ").map(String.init)
        let equals = words.firstIndex(of: "=") ?? 0
        let outputs = words[..<equals]
        var bytes: [UInt8] = []
        for input in words[(equals + 2)...] { bytes += Wire.text(1, input == "-" ? "" : input) }
        for output in outputs { bytes += Wire.text(2, output) }
        bytes += Wire.text(3, name ?? "node of \(outputs.first ?? "")")
        bytes += Wire.text(4, words[equals + 1])
        for (key, value) in attributes { bytes += Wire.bytes(5, value.bytes(key)) }
        if !domain.isEmpty { bytes += Wire.text(7, domain) }
        return bytes
    }

    var bytes: [UInt8] {
        Wire.number(1, version) + Wire.bytes(8, Wire.text(1, "") + Wire.number(2, opset)) + Wire.bytes(7, graph) + more
    }

    func network() throws -> ONNXNetwork {
        try bytes.withUnsafeBytes { try ONNXNetwork(Bytes(copying: $0), ONNXExternalData(beside: nil)) }
    }

    func definition() throws -> ONNXDefinition {
        try bytes.withUnsafeBytes { try ONNXDefinition($0, ONNXExternalData(beside: nil)) }
    }
}

extension ONNXNetwork {
    /// The layers in words: "output kind channels", with "classifier" after those that are.
    var words: [String] {
        analysis.layers.map { layer in
            "\(topology.names[layer.output]) \(layer.kind.name) \(layer.channels.map(String.init) ?? "?")"
                + (layer.isClassifier ? " classifier" : "")
        }
    }
}

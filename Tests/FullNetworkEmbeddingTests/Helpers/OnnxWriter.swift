@testable import FNENetwork

/// Writes small ONNX files (onnx/onnx.proto), field by field.
struct OnnxWriter {
    private var graph = ProtobufWriter()

    init() { graph.text(2, "test") }

    /// A tensor of constants, float32 or int64.
    mutating func constant(_ name: String, _ shape: [Int], _ numbers: [Float]) {
        graph.message(5) { tensor in
            for size in shape { tensor.number(1, size) }
            tensor.number(2, 1)
            tensor.text(8, name)
            tensor.bytes(9, numbers.flatMap { withUnsafeBytes(of: $0.bitPattern.littleEndian, Array.init) })
        }
    }

    /// A float32 tensor whose numbers are external data.
    mutating func external(_ name: String, _ shape: [Int], location: String, byteCount: Int) {
        graph.message(5) { tensor in
            for size in shape { tensor.number(1, size) }
            tensor.number(2, 1)
            tensor.text(8, name)
            for (key, value) in [("location", location), ("offset", "0"), ("length", String(byteCount))] {
                tensor.message(13) {
                    $0.text(1, key)
                    $0.text(2, value)
                }
            }
            tensor.number(14, 1)
        }
    }

    mutating func node(_ operation: String, _ inputs: [String], _ output: String, ints: [(String, [Int])] = []) {
        graph.message(1) { node in
            for input in inputs { node.text(1, input) }
            node.text(2, output)
            node.text(3, output)
            node.text(4, operation)
            for (name, values) in ints {
                node.message(5) { attribute in
                    attribute.text(1, name)
                    for value in values { attribute.number(8, value) }
                    attribute.number(20, 7)
                }
            }
        }
    }

    mutating func node(_ operation: String, _ inputs: [String], _ output: String, int: (name: String, value: Int)) {
        graph.message(1) { node in
            for input in inputs { node.text(1, input) }
            node.text(2, output)
            node.text(4, operation)
            node.message(5) { attribute in
                attribute.text(1, int.name)
                attribute.number(3, int.value)
                attribute.number(20, 2)
            }
        }
    }

    /// The graph's input, of float32. A size of nil is any.
    mutating func input(_ name: String, _ shape: [Int?]) { value(11, name, type: 1, shape) }

    /// The graph's output. Type 1 is float32, 7 is int64.
    mutating func output(_ name: String, type: Int = 1, _ shape: [Int?]) { value(12, name, type: type, shape) }

    private mutating func value(_ field: Int, _ name: String, type: Int, _ shape: [Int?]) {
        graph.message(field) { value in
            value.text(1, name)
            value.message(2) {
                $0.message(1) { tensor in
                    tensor.number(1, type)
                    tensor.message(2) { dims in
                        for size in shape { dims.message(1) { if let size { $0.number(1, size) } } }
                    }
                }
            }
        }
    }

    /// The file, of opset 13.
    var file: [UInt8] {
        var model = ProtobufWriter()
        model.number(1, 8)
        model.message(8) {
            $0.text(1, "")
            $0.number(2, 13)
        }
        model.bytes(7, graph.bytes)
        return model.bytes
    }
}

import XCTest

@testable import FNECodes
@testable import FNEEmbedding
@testable import FNEImage
@testable import FNEJob
@testable import FNENetwork
@testable import FNEPipeline
@testable import FNESupport
@testable import FullNetworkEmbedding

final class GraphSafetyTests: XCTestCase {
    private func graph(with operation: String, named name: String = "spy") -> GraphWriter {
        var graph = GraphWriter.smallNetwork
        graph.node(name, operation, "input")
        return graph
    }

    func testOperationsThatDoMoreThanComputeAreRefused() {
        for operation in [
            "ReadFile", "WriteFile", "MatchingFiles", "PyFunc", "EagerPyFunc", "PyFuncStateless", "Save", "SaveV2",
            "Restore", "RestoreV2", "Print", "PrintV2", "TFRecordReaderV2", "VariableV2", "VarHandleOp",
            "QueueEnqueueV2", "IteratorV2", "_Send", "_Recv", "LoadLibrary", "DebugIdentity", "ImportEvent",
            "FileSystemSetConfiguration",
            "readfile", "Conv2D2", "NoSuchOperation",
        ] {
            assertFails(.unsafeGraph, saying: "node 'spy'", "'\(operation)'", "allow_unsafe") {
                try graph(with: operation).model()
            }
        }
    }

    func testOperationsThatComputeAreTaken() throws {
        for operation in ["Relu", "Identity", "Tanh", "Shape", "NoOp", "ResizeBilinear", "Squeeze"] {
            XCTAssertNoThrow(try graph(with: operation).model())
        }
    }

    func testAllowUnsafe() throws {
        let model = try graph(with: "PyFunc").model(allowUnsafe: true)
        XCTAssertEqual(model.tensors.last?.name, "spy")
        XCTAssertEqual(model.tensors.last?.operation, "PyFunc")
    }

    func testFunctionBodiesAreCheckedToo() throws {
        func graph(body: [[UInt8]], call: String = "helper") -> GraphWriter {
            var graph = GraphWriter()
            graph.placeholder("input", [-1, 8, 8, 3])
            graph.node("call", call, "input")
            graph.function("helper", body: body)
            return graph
        }
        let harmless = Wire.node("twice", "Add", ["x", "x"])
        XCTAssertNoThrow(try graph(body: [harmless]).model())
        let recursion = Wire.node("again", "helper", ["x"])
        XCTAssertNoThrow(try graph(body: [harmless, recursion]).model(), "a call of a function")
        let harmful = Wire.node("leak", "WriteFile", ["x", "x"])
        for call in ["helper", "PartitionedCall", "Identity"] { // whether the function is called or not
            assertFails(.unsafeGraph, saying: "node 'leak' of function 'helper'", "'WriteFile'") {
                try graph(body: [harmless, harmful], call: call).model()
            }
        }
        XCTAssertNoThrow(try graph(body: [harmful]).model(allowUnsafe: true))
        assertFails(.unsafeGraph, saying: "'call'", "'other'") { try graph(body: [harmless], call: "other").model() }
    }

    func testConstantsAreBoundedWhateverIsAllowed() throws {
        func graph(_ shape: [Int], type: Int = 1) -> GraphWriter {
            var graph = GraphWriter()
            graph.node("bomb", "Const", attributes: ["value": Attribute.tensor(type: type, shape)])
            graph.placeholder("input", [-1, 8, 8, 3])
            return graph
        }
        for shape in [[1 << 29 | 1], [1 << 20, 1 << 20], [1 << 40, 1 << 40], [.max, .max], [-1], [1, -7], [.min]] {
            for allowUnsafe in [false, true] {
                assertFails(.invalidGraph, saying: "'bomb'") { try graph(shape).model(allowUnsafe: allowUnsafe) }
            }
        }
        XCTAssertNoThrow(try graph([]).model())
        XCTAssertNoThrow(try graph([0, 7]).model())
        XCTAssertNoThrow(try graph([1 << 20]).model())
    }

    /// All constants together may declare a gigabyte, and eight bytes more for each byte of the file.
    func testConstantsAreBoundedTogether() throws {
        func graph(_ sizes: [Int], type: Int) -> GraphWriter {
            var graph = GraphWriter()
            for (i, size) in sizes.enumerated() {
                graph.node("c\(i)", "Const", attributes: ["value": Attribute.tensor(type: type, [size])])
            }
            return graph
        }
        let (float32, float64, int8, int16) = (1, 2, 6, 5)
        for (type, size) in [(float32, 1 << 28), (float64, 1 << 27), (int8, 1 << 30), (int16, 1 << 29)] {
            XCTAssertNoThrow(try graph([size], type: type).model())
            XCTAssertNoThrow(try graph([size / 2, size / 2], type: type).model())
            assertFails(.invalidGraph, saying: "more memory") { try graph([size + 1_000], type: type).model() }
            assertFails(.invalidGraph, saying: "more memory") { try graph([size, 1_000], type: type).model() }
            assertFails(.invalidGraph, saying: "more memory") { try graph([size / 2, size, 7], type: type).model() }
        }
    }

    func testConstantsOfFunctionsAreBounded() {
        var graph = GraphWriter()
        graph.placeholder("input", [-1, 8, 8, 3])
        graph.node("call", "helper", "input")
        let bomb = Wire.node("bomb", "Const", attributes: ["value": Attribute.tensor([1 << 40])])
        graph.function("helper", body: [bomb])
        assertFails(.invalidGraph, saying: "'bomb'") { try graph.model() }
    }

    // MARK: Sizes

    private func little(_ numbers: [Int32]) -> [UInt8] {
        Wire.bytes(4, numbers.flatMap { n in withUnsafeBytes(of: n.littleEndian) { Array($0) } })
    }

    private func resizing(to content: [UInt8], shape: [Int], through part: String? = nil) -> GraphWriter {
        var graph = GraphWriter()
        let input = graph.placeholder("input", [-1, 8, 8, 3])
        graph.node("size", "Const", attributes: ["value": Attribute.tensor(type: 3, shape, content)])
        if let part { graph.node("part", part, "size") }
        graph.node("resize", "ResizeBilinear", input, part == nil ? "size" : "part")
        return graph
    }

    func testSizesAreBounded() throws {
        for (height, width) in [(Int32(224), Int32(224)), (16_384, 16_384), (-1, 5), (0, 0)] {
            XCTAssertNoThrow(try resizing(to: little([height, width]), shape: [2]).model())
        }
        for numbers in [[6, Int32.max], [Int32.max, 1], [16_385, 1], [Int32.min, 2]] as [[Int32]] {
            for allowUnsafe in [false, true] {
                assertFails(.invalidGraph, saying: "'resize' (ResizeBilinear)", "\(numbers[0]) x \(numbers[1])") {
                    try resizing(to: little(numbers), shape: [2]).model(allowUnsafe: allowUnsafe)
                }
            }
        }
        // The same number, in the three ways that a file may write it, and after an Identity.
        let repeated = Wire.number(7, 6) + Wire.number(7, Int(Int32.max))
        let packed = Wire.bytes(7, Wire.varint(6) + Wire.varint(Int(Int32.max)))
        for content in [repeated, packed] {
            assertFails(.invalidGraph, saying: "'resize'") { try resizing(to: content, shape: [2]).model() }
        }
        assertFails(.invalidGraph, saying: "'resize'") {
            try resizing(to: packed, shape: [2], through: "Identity").model()
        }
    }

    func testSizesInFunctionsAreBounded() {
        var graph = GraphWriter()
        graph.placeholder("input", [-1, 8, 8, 3])
        graph.node("call", "helper", "input")
        let size = Wire.node("size", "Const", attributes: ["value": Attribute.tensor(type: 3, [1], little([.max]))])
        graph.function("helper", body: [size, Wire.node("tile", "Tile", ["x", "size:output:0"])])
        assertFails(.invalidGraph, saying: "'tile' (Tile)") { try graph.model() }
    }

    // MARK: Consistency

    /// TensorFlow 2.21 ends the process over each of these graphs.
    func testWhatTensorFlowTakesForGranted() throws {
        func graph(_ change: (inout GraphWriter, String) -> Void) -> GraphWriter {
            var graph = GraphWriter()
            change(&graph, graph.placeholder("input", [-1, 8, 8, 3]))
            return graph
        }
        func integers(_ shape: [Int]) -> [UInt8] { Attribute.tensor(type: 3, shape, little([1])) }
        for (text, writer) in [
            ("_kernel", graph { $0.node("bad", "Relu", $1, attributes: ["_kernel": Attribute.float32]) }),
            ("another type", graph { graph, _ in
                graph.node("bad", "Const", attributes: ["dtype": Attribute.float32, "value": Attribute.tensor(type: 5, [2])])
            }),
            ("2147483647 inputs, but has 2", graph {
                $0.node("bad", "Pack", $1, $1, attributes: ["N": Attribute.integer(Int(Int32.max))])
            }),
            ("-1 inputs", graph { $0.node("bad", "Pack", $1, attributes: ["N": Attribute.integer(-1)]) }),
            ("1073741824 outputs", graph {
                $0.node("bad", "Unpack", $1, attributes: ["num": Attribute.integer(1 << 30)])
            }),
            ("ends a loop that the graph does not have", graph { $0.node("bad", "Exit", $1) }),
            ("2 dimensions", graph { graph, input in
                graph.node("sizes", "Const", attributes: ["value": integers([1, 3])])
                graph.node("bad", "SplitV", input, "sizes", "sizes", attributes: ["num_split": Attribute.integer(3)])
            }),
            ("batch_dims 100", graph { graph, input in
                graph.node("indices", "Const", attributes: ["value": integers([3])])
                graph.node("bad", "GatherV2", input, "indices", "indices", attributes: ["batch_dims": Attribute.integer(100)])
            }),
        ] as [(String, GraphWriter)] {
            assertFails(.invalidGraph, saying: "'bad'", text) { try writer.model(allowUnsafe: true) }
        }
        XCTAssertNoThrow(try graph { $0.node("good", "Pack", $1, $1, attributes: ["N": Attribute.integer(2)]) }.model())
        XCTAssertNoThrow(
            try graph { graph, input in
                graph.node("sizes", "Const", attributes: ["dtype": Attribute.int32, "value": integers([3])])
                graph.node("good", "SplitV", input, "sizes", "sizes", attributes: ["num_split": Attribute.integer(3)])
                graph.node("switch", "Switch", input, input)
                graph.node("exit", "Exit", "switch")
            }.model())
    }
}

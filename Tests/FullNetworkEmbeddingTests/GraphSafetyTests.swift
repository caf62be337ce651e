import XCTest

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

    /// A function whose name is equal to an operation's as Unicode compares, with the sign of the unit Kelvin for a K.
    func testAFunctionLendsItsNameToNoOtherOperation() {
        var graph = graph(with: "MapUnstageNoKey")
        graph.function("MapUnstageNo\u{212A}ey", body: [Wire.node("r", "Relu", ["a"])])
        assertFails(.invalidGraph, saying: "function", "printable ASCII") { try graph.model() }
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
        let harmful = Wire.node("leak", "WriteFile", ["x", "x"])
        for call in ["helper", "PartitionedCall", "Identity"] { // whether the function is called or not
            assertFails(.unsafeGraph, saying: "node 'leak' of function 'helper'", "'WriteFile'") {
                try graph(body: [harmless, harmful], call: call).model()
            }
        }
        XCTAssertNoThrow(try graph(body: [harmful]).model(allowUnsafe: true))
        assertFails(.unsafeGraph, saying: "'call'", "'other'") { try graph(body: [harmless], call: "other").model() }
    }
}

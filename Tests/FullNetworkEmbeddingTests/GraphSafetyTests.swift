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
            "Restore", "RestoreV2", "TFRecordReaderV2", "VariableV2", "VarHandleOp",
            "QueueEnqueueV2", "IteratorV2", "_Send", "_Recv", "LoadLibrary", "DebugIdentity", "ImportEvent",
            "FileSystemSetConfiguration",
            "readfile", "Conv2D2", "NoSuchOperation",
        ] {
            assertFails(.unsafeGraph, saying: "node 'spy'", "'\(operation)'", "allow_unsafe") {
                try graph(with: operation).check("spy")
            }
        }
    }

    func testOperationsThatComputeAreTaken() throws {
        for operation in ["Relu", "Identity", "Tanh", "Shape", "NoOp", "ResizeBilinear", "Squeeze"] {
            XCTAssertNoThrow(try graph(with: operation).check("spy"))
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
        XCTAssertNoThrow(try graph(with: "PyFunc").check("spy", allowUnsafe: true))
    }

    func testWhatIsNotNeededIsNotChecked() throws {
        XCTAssertNoThrow(try graph(with: "ReadFile").check("input"))
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
        XCTAssertNoThrow(try graph(body: [harmless]).check("call"))
        let harmful = Wire.node("leak", "WriteFile", ["x", "x"])
        assertFails(.unsafeGraph, saying: "node 'leak' of function 'helper'", "'WriteFile'") {
            try graph(body: [harmless, harmful]).check("call")
        }
        XCTAssertNoThrow(try graph(body: [harmful]).check("call", allowUnsafe: true))
        XCTAssertNoThrow(try graph(body: [harmful], call: "Identity").check("call")) // the function is not called
        assertFails(.unsafeGraph, saying: "'call'", "'other'") {
            try graph(body: [harmless], call: "other").check("call")
        }
    }
}

import XCTest

@testable import FNENetwork

@testable import FNESupport

final class GraphSafetyTests: XCTestCase {
    private func graph(with operation: String, named name: String = "spy") -> GraphWriter {
        var graph = GraphWriter.smallNetwork
        graph.node(name, operation, "input")
        return graph
    }

    func testOperationsThatDoMoreThanComputeAreRefused() {
        for operation in [
            "ReadFile", "WriteFile", "MatchingFiles", "PyFunc", "EagerPyFunc", "PyFuncStateless", "TFRecordReaderV2",
            "QueueEnqueueV2", "_Send", "_Recv", "LoadLibrary", "DebugIdentity", "ImportEvent",
            "FileSystemSetConfiguration",
            "readfile", "Conv2D2", "NoSuchOperation",
        ] {
            assertFails(.unsafeGraph, saying: "node 'spy'", "'\(operation)'", "allow_unsafe") {
                try graph(with: operation).check("spy")
            }
        }
    }

    func testAGraphThatIsNotFrozenSaysHowToFreezeIt() throws {
        for operation in [
            "VariableV2", "VarHandleOp", "ReadVariableOp", "AssignVariableOp", "SaveV2", "RestoreV2", "HashTableV2",
            "LookupTableFindV2", "IteratorGetNext", "ApplyAdam",
        ] {
            var graph = graph(with: "ReadFile")
            graph.node("w", operation)
            assertFails(
                .invalidGraph, saying: "not frozen", "node 'w' is a '\(operation)'", "convert_variables_to_constants",
                "SavedModel's folder"
            ) { try graph.check("w") }
            do {
                _ = try graph.check("w")
            } catch let error as FNEError {
                XCTAssertFalse(error.message.contains("allow_unsafe"), "which would lead nowhere")
            }
            XCTAssertNoThrow(try graph.check("w", allowUnsafe: true))
        }
        var graph = GraphWriter.smallNetwork
        graph.function("helper", body: [Wire.node("w", "VarHandleOp")])
        assertFails(.invalidGraph, saying: "not frozen", "node 'w' of function 'helper'") {
            try GraphSafety.check(graph.definition())
        }
    }

    func testListsOfTensorsMayNotGrow() throws {
        for (operation, attribute) in [
            ("TensorArrayV3", "dynamic_size"), ("TensorListSetItem", "resize_if_index_out_of_bounds"),
        ] {
            func graph(_ value: [UInt8], inFunction: Bool = false) -> GraphWriter {
                var graph = GraphWriter.smallNetwork
                let node = Wire.node("list", operation, attributes: [attribute: value])
                if inFunction { graph.function("helper", body: [node]) } else { graph.append(Wire.bytes(1, node)) }
                return graph
            }
            XCTAssertNoThrow(try GraphSafety.check(graph(Attribute.flag(false)).definition()))
            for (value, inFunction) in [
                (Attribute.flag(true), false), (Attribute.flag(true), true), (Wire.text(9, "given"), true),
            ] {
                assertFails(.unsafeGraph, saying: "'list'", "'\(attribute)'", "grow without limit", "allow_unsafe") {
                    try GraphSafety.check(graph(value, inFunction: inFunction).definition())
                }
            }
        }
    }

    func testOperationsThatComputeAreTaken() throws {
        for operation in [
            "Roll", "ExtractImagePatches", "RandomUniform", "Relu", "Identity", "Tanh", "Shape", "NoOp",
            "ResizeBilinear", "Squeeze",
        ] {
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

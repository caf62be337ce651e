import FNESupport
import XCTest

@testable import FNENetwork

/// Each pass with a graph of a few nodes. What the passes compute is compared with TensorFlow in
/// `Tests/python/test_functions.py` and `test_feeds.py`.
final class GraphSimplificationTests: XCTestCase {
    private var graph = GraphWriter()

    override func setUp() {
        graph = GraphWriter()
        graph.placeholder("input", [-1, 8, 8, 3])
    }

    /// The nodes as "name = Operation(inputs)".
    private func lines() throws -> [String] {
        try graph.model().graph.nodes.map {
            "\($0.name) = \($0.operation)(\($0.inputs.map(\.text).joined(separator: ", ")))"
        }
    }

    func testAGraphWithoutSuchNodesKeepsItsBytes() throws {
        graph.node("relu", "Relu", "input")
        let model = try graph.model()
        XCTAssertTrue(model.serialized === model.source)
    }

    /// A function x, y -> Add(Relu(x), y) and y, with a node that waits for another one.
    private func addFunction() {
        func argument(_ name: String) -> [UInt8] { Wire.bytes(2, Wire.text(1, name)) }
        func result(_ name: String) -> [UInt8] { Wire.bytes(3, Wire.text(1, name)) }
        func returned(_ name: String, _ tensor: String) -> [UInt8] {
            Wire.bytes(4, Wire.text(1, name) + Wire.text(2, tensor))
        }
        let signature =
            Wire.text(1, "f") + argument("x") + argument("y") + result("sum") + result("same")
        let body =
            Wire.bytes(3, Wire.node("relu", "Relu", ["x"]))
            + Wire.bytes(3, Wire.node("sum", "AddV2", ["relu:activations:0", "y", "^relu", "^x"]))
        graph.append(
            Wire.bytes(
                2, Wire.bytes(1, Wire.bytes(1, signature) + body + returned("sum", "sum:z:0") + returned("same", "y"))))
    }

    func testABodyStandsInPlaceOfItsCall() throws {
        graph.node("before", "Relu", "input")
        graph.node("call", "f", "before", "input", "^input")
        graph.node("after", "AddV2", "call", "call:1", "^call")
        addFunction()
        XCTAssertEqual(
            try lines(),
            [
                "input = Placeholder()", "before = Relu(input)", "call/relu = Relu(before)",
                "call/sum = AddV2(call/relu, input, ^call/relu)",
                "after = AddV2(call/sum, input, ^call/sum, ^input)",
            ])
        XCTAssertEqual(try graph.model().tensorName("import/call:1").text, "input")
        XCTAssertEqual(try graph.model().tensorName("call").text, "call/sum")
    }

    func testANameThatIsTakenIsChanged() throws {
        graph.node("call", "f", "input", "input")
        graph.node("call/relu", "Relu", "call")
        addFunction()
        XCTAssertEqual(
            try lines(),
            [
                "input = Placeholder()", "call/relu_ = Relu(input)", "call/sum = AddV2(call/relu_, input, ^call/relu_)",
                "call/relu = Relu(call/sum)",
            ])
    }

    func testCallsThatReadEachOtherAreACycle() {
        graph.node("a", "f", "b", "b:1")
        graph.node("b", "f", "a", "a:1")
        addFunction()
        assertFails(.invalidGraph, saying: "cycle") { try graph.model() }
    }

    /// Chains and stars of many nodes need a small stack, and time that grows as they do.
    func testDeepAndWideGraphs() throws {
        let count = 50_000
        for operation in ["Relu", "Print"] {
            for isChain in [true, false] {
                var graph = GraphWriter()
                graph.placeholder("input", [-1, 8, 8, 3])
                // The last node of the file is the first of the chain, which is the worst order for redirections.
                for i in 0..<count {
                    graph.node("n\(i)", operation, isChain && i + 1 < count ? "n\(i + 1)" : "input")
                }
                XCTAssertEqual(try graph.model().tensors.count, operation == "Print" ? 1 : count + 1)
            }
        }
    }
}

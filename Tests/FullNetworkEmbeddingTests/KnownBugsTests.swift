import XCTest

@testable import FullNetworkEmbedding

/// Each of these fails as long as its bug is there; a mended one moves to the file of its subject.
final class KnownBugsTests: XCTestCase {
    /// GraphSafety.check: a function may bear the name of an operation that is refused, which lets the operation in.
    func testAFunctionNamedAsAnUnsafeOperation() {
        var graph = GraphWriter()
        graph.placeholder("input", [-1, 8, 8, 3])
        graph.node("spy", "ReadFile", "input")
        graph.function("ReadFile", body: [Wire.node("x", "Identity", ["x"])])
        assertFails(.unsafeGraph, saying: "ReadFile") { try graph.model() }
    }

    /// LayerAnalysis.sort: a loop is cut only where the edge that closes the walk touches its Merge or NextIteration; in
    /// a file that names the body first it is another edge.
    func testALoopInAnyOrder() throws {
        for order in [["merge", "switch", "conv", "next"], ["switch", "merge", "conv", "next"]] {
            var graph = GraphWriter()
            graph.placeholder("input", [-1, 16, 16, 3])
            graph.constant("weights", [3, 3, 3, 3])
            graph.constant("condition", [])
            for name in order {
                switch name {
                case "merge": graph.node("merge", "Merge", "input", "next")
                case "switch": graph.node("switch", "Switch", "merge", "condition")
                case "conv": graph.node("conv", "Conv2D", "switch:1", "weights")
                default: graph.node("next", "NextIteration", "conv")
                }
            }
            XCTAssertEqual(try graph.model().defaultLayers.map(\.name), ["conv"], "\(order)")
        }
    }
}

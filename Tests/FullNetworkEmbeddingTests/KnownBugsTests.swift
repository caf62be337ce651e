import XCTest

@testable import FullNetworkEmbedding

final class KnownBugsTests: XCTestCase {
    func testHang() throws {
        var graph = GraphWriter()
        graph.placeholder("input", [-1, 16, 16, 3])
        graph.convolution("conv", of: "input", [3, 3, 3, 3])
        graph.node("a", "Identity", "conv", "b")
        graph.node("b", "Identity", "a")
        graph.node("next", "NextIteration", "input")
        _ = try graph.model()
    }
}

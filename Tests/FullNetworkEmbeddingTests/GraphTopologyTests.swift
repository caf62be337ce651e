import XCTest

@testable import FNENetwork

final class GraphTopologyTests: XCTestCase {
    /// A graph of nodes "name Operation input ...", and its topology by names.
    private struct Names {
        let graph: GraphDefinition
        let topology: GraphTopology

        init(_ nodes: String...) throws {
            var writer = GraphWriter()
            for text in nodes {
                let words = text.split(separator: " ").map(String.init)
                writer.append(Wire.bytes(1, Wire.node(words[0], words[1], Array(words[2...]))))
            }
            graph = try writer.definition()
            topology = try GraphTopology(graph)
        }

        private func names(_ numbers: [Int]) -> [String] { numbers.map { graph.nodes[$0].name } }

        private func number(_ name: String) throws -> Int { try XCTUnwrap(graph.index[name], name) }

        var order: [String] { names(topology.order) }
        var constants: [String] { names(graph.nodes.indices.filter { topology.isConstant[$0] }) }

        func inputs(_ name: String) throws -> [String] { names(topology.inputs[try number(name)]) }

        func readers(_ name: String) throws -> [String] { names(topology.readers[try number(name)]) }

        func controlReaders(_ name: String) throws -> [String] {
            names(topology.controlReaders[try number(name), default: []])
        }

        func ancestors(_ of: String...) throws -> [String] {
            names(topology.ancestors(of: Set(try of.map(number))).sorted())
        }

        func storedConstant(_ name: String) throws -> String? {
            topology.storedConstant(try number(name)).map { graph.nodes[$0].name }
        }
    }

    // MARK: Order

    func testAFileInOrderKeepsIt() throws {
        XCTAssertEqual(
            try Names("a Const", "b Const", "c Add a b", "d Relu a", "e Add d c").order, ["a", "b", "c", "d", "e"])
    }

    func testEachNodeComesAfterItsInputs() throws {
        XCTAssertEqual(try Names("c Add b a", "b Relu a", "a Placeholder").order, ["a", "b", "c"])
        XCTAssertEqual(
            try Names("b Relu a ^z", "a Placeholder", "z NoOp").order, ["a", "z", "b"], "control inputs too")
    }

    func testACycleIsRefusedByName() {
        assertFails(.invalidGraph, saying: "cycle", "'b'") { try Names("a Relu b", "b Relu a") }
        assertFails(.invalidGraph, saying: "cycle", "'a'") { try Names("a Relu a") }
        assertFails(.invalidGraph, saying: "cycle", "'c'") {
            try Names("a Relu b", "b Relu c", "c Relu p ^a", "p Const")
        }
    }

    func testALoopIsCutAfterItsNextIteration() throws {
        let loop = try Names(
            "input Placeholder", "enter Enter input", "merge Merge enter next", "switch Switch merge condition",
            "condition Const", "body Relu switch:1", "next NextIteration body", "exit Exit switch")
        XCTAssertEqual(loop.order, ["input", "enter", "merge", "condition", "switch", "body", "next", "exit"])
        XCTAssertEqual(try loop.inputs("merge"), ["enter", "next"], "the edge stays")
        XCTAssertEqual(try loop.readers("next"), ["merge"])
        XCTAssertEqual(try loop.ancestors("exit"), loop.graph.nodes.map(\.name).filter { $0 != "exit" } + ["exit"])
        XCTAssertEqual(loop.constants, ["condition"])
    }

    // MARK: Edges

    func testReadersHaveOneEntryPerEdge() throws {
        let graph = try Names(
            "x Placeholder", "square Mul x x", "split Split x", "sum Add split:1 split", "after NoOp ^x")
        XCTAssertEqual(try graph.readers("x"), ["square", "square", "split"])
        XCTAssertEqual(try graph.readers("split"), ["sum", "sum"], "any output")
        XCTAssertEqual(try graph.readers("sum"), [])
        XCTAssertEqual(try graph.inputs("square"), ["x", "x"])
        XCTAssertEqual(try graph.inputs("after"), [], "a control input carries no data")
    }

    func testReadersStandInTheOrderOfTheGraph() throws {
        let graph = try Names("late Relu early", "early Relu x", "x Placeholder", "both Add x late")
        XCTAssertEqual(try graph.readers("x"), ["early", "both"])
    }

    func testControlReaders() throws {
        let graph = try Names("x Placeholder", "a Relu x", "b Relu x ^a", "c NoOp ^a ^x")
        XCTAssertEqual(try graph.controlReaders("a"), ["b", "c"])
        XCTAssertEqual(try graph.controlReaders("x"), ["c"])
        XCTAssertEqual(try graph.controlReaders("b"), [])
    }

    func testAncestors() throws {
        let graph = try Names("x Placeholder", "w Const", "a Mul x w", "z NoOp", "b Relu a ^z", "aside Relu x")
        XCTAssertEqual(try graph.ancestors("b"), ["x", "w", "a", "z", "b"])
        XCTAssertEqual(try graph.ancestors("aside", "w"), ["x", "w", "aside"])
        XCTAssertEqual(try graph.ancestors("x"), ["x"])
        XCTAssertEqual(try graph.ancestors(), [])
    }

    // MARK: Constants

    func testConstantsAreWhatConstantsAloneDecide() throws {
        let graph = try Names(
            "x Placeholder", "w Const", "d PlaceholderWithDefault w", "neg Neg w", "sum Add neg w", "mixed Add sum x",
            "random NoOp", "after Neg w ^x", "noise RandomUniform w", "noisy Mul noise w", "file ReadFile w")
        XCTAssertEqual(graph.constants, ["w", "neg", "sum", "after"])
    }

    func testStoredConstants() throws {
        let graph = try Names(
            "w Const", "read Identity w", "again StopGradient read ^read", "neg Neg w", "cast Cast w", "x Placeholder",
            "of_input Identity x", "second Identity read:1")
        XCTAssertEqual(try graph.storedConstant("w"), "w")
        XCTAssertEqual(try graph.storedConstant("again"), "w")
        XCTAssertNil(try graph.storedConstant("neg"))
        XCTAssertNil(try graph.storedConstant("cast"), "another type has other bits")
        XCTAssertNil(try graph.storedConstant("of_input"))
        XCTAssertNil(try graph.storedConstant("second"), "only first outputs hand a constant on")
    }
}

import XCTest

@testable import FNENetwork

/// What a graph becomes when the bodies of functions stand in place of their calls.
final class GraphExpansionTests: XCTestCase {
    /// An AttrValue that is a function, with further functions that it is given.
    private func function(_ name: String, given: [String] = []) -> [UInt8] {
        let attributes = given.flatMap {
            Wire.bytes(2, Wire.text(1, "g") + Wire.bytes(2, Wire.bytes(10, Wire.text(1, $0))))
        }
        return Wire.bytes(10, Wire.text(1, name) + attributes)
    }

    /// An AttrValue that is a list of functions.
    private func functions(_ names: String...) -> [UInt8] {
        Wire.bytes(1, names.flatMap { Wire.bytes(9, Wire.text(1, $0)) })
    }

    /// A graph whose node "call" calls the function "a".
    private func graph(_ bodies: KeyValuePairs<String, [[UInt8]]>) -> GraphWriter {
        var graph = GraphWriter()
        graph.placeholder("input", [-1, 8, 8, 3])
        graph.node("call", "PartitionedCall", "input", attributes: ["f": function("a")])
        for (name, body) in bodies { graph.function(name, body: body) }
        return graph
    }

    private func call(_ name: String, _ node: String = "call") -> [UInt8] {
        Wire.node(node, "PartitionedCall", ["x"], attributes: ["f": function(name)])
    }

    // MARK: Recursion

    func testAFunctionThatCallsItselfIsRefused() {
        let calls: [[UInt8]] = [
            Wire.node("again", "a", ["x"]),
            Wire.node("again", "PartitionedCall", ["x"], attributes: ["f": function("a")]),
            Wire.node("again", "StatefulPartitionedCall", ["x"], attributes: ["f": function("a")]),
            Wire.node("again", "If", ["x", "x"], attributes: ["else_branch": function("a")]),
            Wire.node("again", "StatelessIf", ["x", "x"], attributes: ["then_branch": function("a")]),
            Wire.node("again", "While", ["x"], attributes: ["cond": function("a")]),
            Wire.node("again", "StatelessWhile", ["x"], attributes: ["body": function("a")]),
            Wire.node("again", "Case", ["x", "x"], attributes: ["branches": functions("b", "a")]),
            Wire.node("again", "PartitionedCall", ["x"], attributes: ["f": function("b", given: ["a"])]),
        ]
        for call in calls {
            let graph = self.graph(["a": [call], "b": [Wire.node("r", "Relu", ["x"])]])
            assertFails(.invalidGraph, saying: "the function 'a' calls itself", "Freeze") {
                try graph.checkAll()
            }
        }
    }

    func testAFunctionThatCallsItselfThroughOthersIsRefused() throws {
        assertFails(.invalidGraph, saying: "calls itself") {
            try graph(["a": [call("b")], "b": [call("c")], "c": [Wire.node("n", "b", ["x"])]]).checkAll()
        }
        XCTAssertNoThrow(try graph(["c": [], "a": [call("b"), call("c", "n")], "b": [call("c")]]).checkAll())
        // Also where nothing calls it.
        assertFails(.invalidGraph, saying: "'d' calls itself") { try graph(["a": [], "d": [call("d")]]).checkAll() }
    }

    /// TensorFlow may put a function in place of another one of the same interface.
    func testFunctionsOfOneInterfaceCallEachOther() throws {
        func graph(interface: String) -> GraphWriter {
            var graph = self.graph(["c": [Wire.node("r", "Relu", ["x"])]])
            for (name, callee, interface) in [("a", "b", interface), ("b", "c", "lstm")] {
                let attribute = Wire.text(1, "api_implements") + Wire.bytes(2, Attribute.text(interface))
                let body = Wire.bytes(3, call(callee)) + Wire.bytes(5, attribute)
                graph.append(Wire.bytes(2, Wire.bytes(1, Wire.bytes(1, Wire.text(1, name)) + body)))
            }
            return graph
        }
        XCTAssertNoThrow(try graph(interface: "gru").checkAll())
        assertFails(.invalidGraph, saying: "calls itself") { try graph(interface: "lstm").checkAll() }
    }

    func testAFunctionThatTheCallerGivesIsNotCalled() {
        let body = Wire.node("n", "PartitionedCall", ["x"], attributes: ["f": Wire.text(9, "g")])
        assertFails(.invalidGraph, saying: "node 'n' of function 'a'", "that the caller gives") {
            try graph(["a": [body]]).checkAll()
        }
    }

    func testFunctionsHaveNamesOfTheirOwn() {
        assertFails(.invalidGraph, saying: "two functions are named 'a'") { try graph(["a": [], "a": []]).checkAll() }
    }

    // MARK: Size

    /// Functions f0 to f(n-1), each of which calls the next one twice; the last has two nodes.
    private func doubling(_ count: Int) -> GraphWriter {
        var graph = self.graph(["a": [call("f0")]])
        for number in 0..<count - 1 {
            graph.function("f\(number)", body: [call("f\(number + 1)", "one"), call("f\(number + 1)", "two")])
        }
        graph.function("f\(count - 1)", body: [Wire.node("r", "Relu", ["x"]), Wire.node("s", "Relu", ["x"])])
        return graph
    }

    func testTheNodesThatCallsStandForAreBounded() throws {
        // 2 + 4 + ... + 2^16 nodes, and the node of 'a'.
        XCTAssertNoThrow(try doubling(16).checkAll())
        for count in [17, 40, 60] {
            assertFails(.invalidGraph, saying: "'two' (PartitionedCall)", "more than 200000 nodes") {
                try doubling(count).checkAll()
            }
        }
    }

    func testFunctionsAreNotNestedDeeply() throws {
        func nested(_ count: Int) -> GraphWriter {
            var graph = self.graph(["a": [call("f1")]])
            for number in 1..<count { graph.function("f\(number)", body: [call("f\(number + 1)")]) }
            graph.function("f\(count)", body: [Wire.node("r", "Relu", ["x"])])
            return graph
        }
        XCTAssertNoThrow(try nested(63).checkAll())
        assertFails(.invalidGraph, saying: "65 deep; at most 64") { try nested(64).checkAll() }
    }

    // MARK: Depth

    /// A chain of nodes after the input.
    private func chain(_ count: Int, control: Bool = false) -> GraphWriter {
        var graph = GraphWriter()
        var last = graph.placeholder("input", [-1, 8, 8, 3])
        for number in 2...count {
            last =
                control
                ? graph.node("n\(number)", "Relu", "input", "^" + last)
                : graph.node("n\(number)", "Identity", last)
        }
        return graph
    }

    func testDepthIsBounded() throws {
        XCTAssertNoThrow(try chain(10_000).checkAll())
        for control in [false, true] {
            assertFails(.invalidGraph, saying: "'n10001'", "a chain of more than 10000 nodes") {
                try chain(10_001, control: control).checkAll()
            }
        }
        assertFails(.invalidGraph, saying: "'n10001'") { try chain(100_000).checkAll() }
    }

    func testDepthGoesThroughFunctions() throws {
        func graph(_ calls: Int) -> GraphWriter {
            var body = [Wire.node("n0", "Relu", ["x"])]
            for number in 1..<999 { body.append(Wire.node("n\(number)", "Relu", ["n\(number - 1):activations:0"])) }
            var graph = GraphWriter()
            var last = graph.placeholder("input", [-1, 8, 8, 3])
            for number in 0..<calls {
                last = graph.node("call\(number)", "PartitionedCall", last, attributes: ["f": function("a")])
            }
            graph.function("a", body: body)
            return graph
        }
        XCTAssertNoThrow(try graph(9).checkAll())
        assertFails(.invalidGraph, saying: "'call9' (PartitionedCall)", "chain") { try graph(10).checkAll() }
    }

    func testACycleInAFunctionIsRefused() {
        let body = [Wire.node("n", "Relu", ["m:activations:0"]), Wire.node("m", "Relu", ["n:activations:0"])]
        assertFails(.invalidGraph, saying: "the function 'a' has a cycle through 'm'") {
            try graph(["a": body]).checkAll()
        }
    }
}

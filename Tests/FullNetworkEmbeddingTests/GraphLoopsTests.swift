import XCTest

@testable import FNENetwork

/// Loops that do not end.
final class GraphLoopsTests: XCTestCase {
    /// A function with arguments a and b, and results x and y, which are the tensors of those names.
    private func function(_ name: String, _ nodes: [[UInt8]], returning results: String...) -> [UInt8] {
        let signature =
            Wire.text(1, name) + Wire.bytes(2, Wire.text(1, "a")) + Wire.bytes(2, Wire.text(1, "b"))
            + zip(["x", "y"], results).flatMap { Wire.bytes(3, Wire.text(1, $0.0)) }
        let returned = zip(["x", "y"], results).flatMap { Wire.bytes(4, Wire.text(1, $0) + Wire.text(2, $1)) }
        return Wire.bytes(1, Wire.bytes(1, signature) + nodes.flatMap { Wire.bytes(3, $0) } + returned)
    }

    private func loop(_ operation: String, condition: [UInt8], body: [UInt8]) -> GraphWriter {
        func attribute(_ name: String) -> [UInt8] { Wire.bytes(10, Wire.text(1, name)) }
        var graph = GraphWriter()
        graph.placeholder("input", [-1, 8, 8, 3])
        graph.node(
            "loop", operation, "input", "input", attributes: ["cond": attribute("c"), "body": attribute("b")])
        graph.append(Wire.bytes(2, condition + body))
        return graph
    }

    func testALoopOfFunctions() throws {
        let constant = function("c", [Wire.node("true", "Const")], returning: "true:output:0")
        let ofA = function(
            "c", [Wire.node("less", "Less", ["a", "limit:output:0"]), Wire.node("limit", "Const")],
            returning: "less:z:0")
        let ofB = function("c", [Wire.node("less", "Less", ["b", "b"])], returning: "less:z:0")
        let ofAControl = function("c", [Wire.node("true", "Const", ["^a"])], returning: "true:output:0")
        let step = Wire.node("step", "Add", ["a", "a"])
        let changesA = function(
            "b", [step, Wire.node("same", "Identity", ["b"])], returning: "step:z:0", "same:output:0")
        let changesBoth = function("b", [step], returning: "step:z:0", "a")
        for operation in ["While", "StatelessWhile"] {
            for (condition, body, ends) in [
                (ofA, changesA, true), (ofA, changesBoth, true), (ofB, changesBoth, true),
                (constant, changesBoth, false), (ofB, changesA, false), (ofAControl, changesBoth, false),
            ] {
                let graph = loop(operation, condition: condition, body: body)
                if ends {
                    XCTAssertNoThrow(try graph.checkAll())
                } else {
                    assertFails(.invalidGraph, saying: "'loop' (\(operation))", "never end", "freeze") {
                        try graph.checkAll()
                    }
                }
            }
        }
    }

    /// A loop of TensorFlow's old control flow, with a counter i.
    private func nodes(_ condition: String, next: String) -> [[UInt8]] {
        [
            Wire.node("limit", "Const"), Wire.node("i", "Merge", ["first", "again"]),
            Wire.node("first", "Enter", ["start"]), Wire.node("start", "Const"),
            Wire.node("limit/enter", "Enter", ["limit"]), Wire.node("less", "Less", ["i", "limit/enter"]),
            Wire.node("outside", "Less", ["first", "limit/enter"]), Wire.node("go", "LoopCond", [condition]),
            Wire.node("switch", "Switch", ["i", "go"]), Wire.node("same", "Identity", ["switch:1"]),
            Wire.node("more", "Add", ["same", "limit/enter"]), Wire.node("again", "NextIteration", [next]),
            Wire.node("result", "Exit", ["switch"]),
        ]
    }

    func testALoopOfSingleNodes() throws {
        for (condition, next, ends) in [
            ("less", "more", true), ("less", "same", false), ("outside", "more", false), ("limit", "more", false),
        ] {
            var graph = GraphWriter()
            graph.placeholder("input", [-1, 8, 8, 3])
            for node in nodes(condition, next: next) { graph.append(Wire.bytes(1, node)) }
            if ends {
                XCTAssertNoThrow(try graph.checkAll(), "\(condition), \(next)")
            } else {
                assertFails(.invalidGraph, saying: "'go' (LoopCond)", "never end") { try graph.checkAll() }
            }
        }
    }

    func testLoopsInFunctionsAreChecked() {
        var graph = GraphWriter()
        graph.placeholder("input", [-1, 8, 8, 3])
        graph.function("f", body: nodes("less", next: "same"))
        assertFails(.invalidGraph, saying: "'go' (LoopCond)", "never end") { try graph.checkAll() }
    }
}

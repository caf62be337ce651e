import XCTest

@testable import FNENetwork

/// What TensorFlow takes for granted.
final class GraphConsistencyTests: XCTestCase {
    /// Each of these ends the process inside of TensorFlow 2.21.
    func testWhatTensorFlowTakesForGranted() throws {
        func graph(_ change: (inout GraphWriter, String) -> Void) -> GraphWriter {
            var graph = GraphWriter()
            change(&graph, graph.placeholder("input", [-1, 8, 8, 3]))
            return graph
        }
        func integers(_ shape: [Int]) -> [UInt8] { Attribute.tensor(type: 3, shape, Attribute.content(integers: [1])) }
        for (text, writer) in [
            ("_kernel", graph { $0.node("bad", "Relu", $1, attributes: ["_kernel": Attribute.float32]) }),
            (
                "another type",
                graph { graph, _ in
                    graph.node(
                        "bad", "Const",
                        attributes: ["dtype": Attribute.float32, "value": Attribute.tensor(type: 5, [2])])
                }
            ),
            (
                "2147483647 inputs, but has 2",
                graph {
                    $0.node("bad", "Pack", $1, $1, attributes: ["N": Attribute.integer(Int(Int32.max))])
                }
            ),
            ("-1 inputs", graph { $0.node("bad", "Pack", $1, attributes: ["N": Attribute.integer(-1)]) }),
            (
                "1073741824 outputs",
                graph {
                    $0.node("bad", "Unpack", $1, attributes: ["num": Attribute.integer(1 << 30)])
                }
            ),
            ("ends a loop that the graph does not have", graph { $0.node("bad", "Exit", $1) }),
            (
                "2 dimensions",
                graph { graph, input in
                    graph.node("sizes", "Const", attributes: ["value": integers([1, 3])])
                    graph.node(
                        "bad", "SplitV", input, "sizes", "sizes", attributes: ["num_split": Attribute.integer(3)])
                }
            ),
            (
                "batch_dims 100",
                graph { graph, input in
                    graph.node("indices", "Const", attributes: ["value": integers([3])])
                    graph.node(
                        "bad", "GatherV2", input, "indices", "indices",
                        attributes: ["batch_dims": Attribute.integer(100)])
                }
            ),
        ] as [(String, GraphWriter)] {
            assertFails(.invalidGraph, saying: "'bad'", text) { try writer.checkAll() }
        }
        XCTAssertNoThrow(
            try graph { $0.node("good", "Pack", $1, $1, attributes: ["N": Attribute.integer(2)]) }.checkAll())
        XCTAssertNoThrow(
            try graph { graph, input in
                graph.node("sizes", "Const", attributes: ["dtype": Attribute.int32, "value": integers([3])])
                graph.node("good", "SplitV", input, "sizes", "sizes", attributes: ["num_split": Attribute.integer(3)])
                graph.node("switch", "Switch", input, input)
                graph.node("exit", "Exit", "switch")
            }.checkAll())
    }

    private func check(_ write: (inout GraphWriter) -> Void) throws {
        var graph = GraphWriter()
        graph.placeholder("x", [1])
        write(&graph)
        try GraphConsistency.check(graph.definition())
    }

    func testNumbersOfInputsAndOutputs() throws {
        for (count, inputs, fits) in [
            (0, [], true), (2, ["x", "x"], true), (1, ["x", "x"], true), (3, ["x", "x"], false),
            (2, ["x", "^x"], false), (-1, ["x"], false), (.min, [], false),
        ] as [(Int, [String], Bool)] {
            func packed() throws {
                try check {
                    $0.append(
                        Wire.bytes(1, Wire.node("bad", "Pack", inputs, attributes: ["N": Attribute.integer(count)])))
                }
            }
            if fits {
                XCTAssertNoThrow(try packed(), "\(count) of \(inputs)")
            } else {
                assertFails(.invalidGraph, saying: "'bad' (Pack)", "declares \(count) inputs") { try packed() }
            }
        }
        for name in ["num", "num_split", "num_partitions"] {
            func split(_ count: Int) throws {
                try check { $0.node("bad", "Unpack", "x", attributes: [name: Attribute.integer(count)]) }
            }
            for count in [0, 1, 65_536] { XCTAssertNoThrow(try split(count)) }
            for count in [-1, 65_537, .max] {
                assertFails(.invalidGraph, saying: "declares \(count) outputs") { try split(count) }
            }
        }
    }

    func testBranchesAreChosenByOneNumber() throws {
        for (operation, place) in [
            ("Switch", 1), ("If", 0), ("StatelessIf", 0),
        ] {
            func choice(_ shape: [Int]) throws {
                try check {
                    $0.node("condition", "Const", attributes: ["value": Attribute.tensor(type: 10, shape)])
                    let inputs = place == 0 ? ["condition", "x"] : ["x", "condition"]
                    $0.append(Wire.bytes(1, Wire.node("bad", operation, inputs)))
                }
            }
            XCTAssertNoThrow(try choice([]))
            for shape in [[1], [64], [1, 1]] {
                assertFails(.invalidGraph, saying: "'bad' (\(operation))", "a constant of \(shape.count) dimensions") {
                    try choice(shape)
                }
            }
        }
    }

    func testTypesOfConstants() throws {
        func constant(_ type: Int, _ valueType: Int) throws {
            try check {
                $0.node(
                    "bad", "Const",
                    attributes: ["dtype": Wire.number(6, type), "value": Attribute.tensor(type: valueType, [1])])
            }
        }
        for type in 1...23 where type != 20 && type != 21 { XCTAssertNoThrow(try constant(type, type)) }
        assertFails(.invalidGraph, saying: "another type") { try constant(1, 3) }
        assertFails(.invalidGraph, saying: "another type") { try constant(99, 99) }
    }

    /// TensorFlow ends the process over these. It takes constants of strings, as Assert and summaries have.
    func testConstantsAreNoHandlesAndNoObjects() throws {
        for (type, name) in [(20, "resource"), (21, "variant")] {
            let constant = Attribute.tensor(type: type, [])
            let attributes: [[UInt8]] = [
                constant,
                Wire.bytes(1, Wire.bytes(8, Array(constant.dropFirst(2)))), // in a list
                Wire.bytes(10, Wire.text(1, "f") + Wire.bytes(2, Wire.text(1, "g") + Wire.bytes(2, constant))),
            ]
            for attribute in attributes {
                let node = Wire.node("bad", "Const", attributes: ["value": attribute])
                for inFunction in [false, true] {
                    assertFails(
                        .invalidGraph, saying: "attribute 'value' of node 'bad'", "of type \(name)", "Freeze"
                    ) {
                        try check {
                            if inFunction {
                                $0.function("helper", body: [node])
                            } else {
                                $0.append(Wire.bytes(1, node))
                            }
                        }
                    }
                }
            }
        }
        let message = Attribute.tensor(type: 7, [], Wire.text(8, "must be positive"))
        XCTAssertNoThrow(
            try check { $0.node("good", "Const", attributes: ["dtype": Wire.number(6, 7), "value": message]) })
    }

    func testLoopsEnd() throws {
        for exit in ["Exit", "RefExit"] {
            assertFails(.invalidGraph, saying: "'bad' (\(exit)) ends a loop that the graph does not have") {
                try check { $0.node("bad", exit, "x") }
            }
            assertFails(.invalidGraph, saying: "ends a loop that the graph does not have") {
                try check { $0.node("bad", exit) }
            }
            XCTAssertNoThrow(
                try check {
                    $0.node("switch", "Switch", "x", "x")
                    $0.node("good", exit, "switch")
                })
        }
    }

    func testTypesOfConditionsAndSizes() throws {
        for (number, isTruth) in [(1, true), (10, true), (19, false), (14, false)] {
            func condition() throws {
                try check { $0.node("bad", "StatelessIf", "x", attributes: ["Tcond": Wire.number(6, number)]) }
            }
            if isTruth {
                XCTAssertNoThrow(try condition())
            } else {
                assertFails(.invalidGraph, saying: "'bad'", "makes no truth value") { try condition() }
            }
        }
        XCTAssertNoThrow(
            try check { $0.node("good", "SplitV", "x", "x", "x", attributes: ["Tlen": Wire.number(6, 9)]) })
        assertFails(.invalidGraph, saying: "'bad'", "must be int32 or int64") {
            try check { $0.node("bad", "SplitV", "x", "x", "x", attributes: ["Tlen": Wire.number(6, 6)]) }
        }
    }

    func testRoundsOfLoops() throws {
        assertFails(.invalidGraph, saying: "'bad' (Relu) reads 'next' (NextIteration)", "A Merge alone may") {
            try check {
                $0.node("next", "NextIteration", "x")
                $0.node("bad", "Relu", "next")
            }
        }
        XCTAssertNoThrow(
            try check {
                $0.node("next", "NextIteration", "x")
                $0.node("good", "Merge", "x", "next", attributes: ["N": Attribute.integer(2)])
                $0.node("waits", "Relu", "x", "^next")
            })
    }

    func testBatchDimensions() throws {
        func gather(_ dimensions: Int, of shape: [Int]) throws {
            try check {
                $0.node("indices", "Const", attributes: ["value": Attribute.tensor(type: 3, shape)])
                $0.node(
                    "bad", "GatherV2", "x", "indices", "x", attributes: ["batch_dims": Attribute.integer(dimensions)])
            }
        }
        for dimensions in [-2, 0, 2] { XCTAssertNoThrow(try gather(dimensions, of: [1, 1])) }
        for dimensions in [-3, 3, .min, .max] {
            assertFails(.invalidGraph, saying: "batch_dims \(dimensions)") { try gather(dimensions, of: [1, 1]) }
        }
    }

    /// In a function's body an input names its output too, and names may be those of the graph.
    func testFunctionsAreChecked() throws {
        func function(_ body: [[UInt8]]) throws {
            try check {
                $0.node("switch", "Switch", "x", "x")
                $0.function("helper", body: body)
            }
        }
        XCTAssertNoThrow(
            try function([
                Wire.node("begin", "Switch", ["a", "b"]), Wire.node("end", "Exit", ["begin:output_false:0"]),
            ]))
        assertFails(.invalidGraph, saying: "'end' (Exit)") {
            try function([Wire.node("begin", "Identity", ["a"]), Wire.node("end", "Exit", ["begin:output:0"])])
        }
        assertFails(.invalidGraph, saying: "'end' (Exit)") {
            try function([Wire.node("end", "Exit", ["switch:output:0"])])
        }
    }
}

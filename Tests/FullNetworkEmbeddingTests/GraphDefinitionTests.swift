import XCTest

@testable import FNENetwork

final class GraphDefinitionTests: XCTestCase {
    func testNodesEdgesAndAttributes() throws {
        var graph = GraphWriter()
        graph.placeholder("input", [-1, 8, 9, 3])
        graph.node(
            "axes", "Const",
            attributes: [
                "value": Attribute.tensor(type: 3, [2], Wire.bytes(4, [1, 0, 0, 0, 0xfe, 0xff, 0xff, 0xff]))
            ])
        graph.node("split", "Split", "axes", "input")
        graph.node(
            "mean", "Mean", "split:1", "axes", "^input",
            attributes: ["keep_dims": Attribute.flag(true), "T": Attribute.float32, "N": Attribute.integer(-5)])
        let definition = try graph.definition()

        XCTAssertEqual(definition.nodes.map(\.name), ["input", "axes", "split", "mean"])
        XCTAssertEqual(definition.nodes.map(\.operation), ["Placeholder", "Const", "Split", "Mean"])
        XCTAssertEqual(definition.index, ["input": 0, "axes": 1, "split": 2, "mean": 3])
        let mean = definition.nodes[3]
        XCTAssertEqual(mean.inputs.map(\.name), ["split", "axes", "input"])
        XCTAssertEqual(mean.inputs.map(\.output), [1, 0, 0])
        XCTAssertEqual(mean.inputs.map(\.isControl), [false, false, true])
        XCTAssertEqual(mean.dataInputs.map(\.name), ["split", "axes"])
        XCTAssertTrue(mean.flag("keep_dims"))
        XCTAssertFalse(mean.flag("T"), "an attribute of another type is not a flag")
        XCTAssertEqual(mean.type("T"), .float32)
        guard case .integer(-5)? = mean.attributes["N"] else { return XCTFail("N is not -5") }
        XCTAssertEqual(definition.nodes[0].shape("shape"), [-1, 8, 9, 3])
        let axes = try XCTUnwrap(definition.nodes[1].constant("value"))
        XCTAssertEqual(axes.type, .int32)
        XCTAssertEqual(axes.shape, [2])
    }

    func testShapes() throws {
        func shape(_ attribute: [UInt8]) throws -> [Int]? {
            var graph = GraphWriter()
            graph.node("input", "Placeholder", attributes: ["shape": attribute])
            return try graph.definition().nodes[0].shape("shape")
        }
        XCTAssertEqual(try shape(Attribute.shape([])), [], "a scalar")
        XCTAssertEqual(try shape(Attribute.shape([0, 1, -1])), [0, 1, -1])
        XCTAssertNil(try shape(Wire.bytes(7, Wire.number(3, 1))), "unknown rank")
        XCTAssertNil(try shape(Attribute.integer(3)))
    }

    func testNodesOfFunctions() throws {
        var graph = GraphWriter()
        graph.placeholder("input", [1])
        graph.function("double", body: [Wire.node("sum", "Add", ["x", "x"]), Wire.node("out", "Identity", ["sum"])])
        let functions = try graph.definition().functions
        XCTAssertEqual(functions.map(\.name), ["double"])
        XCTAssertEqual(functions[0].nodes.map(\.name), ["sum", "out"])
        XCTAssertEqual(functions[0].nodes.map(\.operation), ["Add", "Identity"])
    }

    /// The wire format of a signature, of what a function returns, and of attributes that are functions.
    func testFunctions() throws {
        func given(_ name: String, _ attributes: KeyValuePairs<String, [UInt8]> = [:]) -> [UInt8] {
            Wire.text(1, name) + attributes.flatMap { Wire.bytes(2, Wire.text(1, $0.key) + Wire.bytes(2, $0.value)) }
        }
        let both = Wire.bytes(1, Wire.bytes(9, given("f")) + Wire.bytes(9, given("g")) + Wire.bytes(3, [1, 2]))
        let nested = Wire.bytes(10, given("outer", ["x": Wire.bytes(10, given("inner")), "T": Attribute.float32]))
        var graph = GraphWriter()
        graph.node("call", "Case", attributes: ["branches": both, "f": nested])
        let signature =
            Wire.text(1, "helper") + Wire.bytes(2, Wire.text(1, "a") + Wire.number(3, 1))
            + Wire.bytes(2, Wire.text(1, "b")) + Wire.bytes(3, Wire.text(1, "sum"))
        let function =
            Wire.bytes(1, signature)
            + Wire.bytes(3, Wire.node("n", "Add", ["a", "m:out:0"], attributes: ["f": Wire.text(9, "g")]))
            + Wire.bytes(4, Wire.text(1, "sum") + Wire.text(2, "n:z:0"))
            + Wire.bytes(5, Wire.text(1, "api_implements") + Wire.bytes(2, Attribute.text("lstm")))
        graph.append(Wire.bytes(2, Wire.bytes(1, function)))
        let definition = try graph.definition()
        let node = definition.nodes[0]
        XCTAssertEqual(node.attributes["branches"]?.functions, ["f", "g"])
        XCTAssertEqual(node.integers("branches"), [1, 2])
        XCTAssertEqual(node.attributes["f"]?.functions, ["outer", "inner"])
        let helper = definition.functions[0]
        XCTAssertEqual(helper.arguments, ["a", "b"])
        XCTAssertEqual(helper.results, ["sum"])
        XCTAssertEqual(helper.returned, ["sum": "n:z:0"])
        XCTAssertEqual(helper.interface, "lstm")
        XCTAssertEqual(helper.nodes[0].inputs.map(\.source), ["a", "m"])
        guard case .placeholder("g")? = helper.nodes[0].attributes["f"] else { return XCTFail("no placeholder") }

        var deep = Wire.bytes(10, given("f"))
        for _ in 0..<1_000 { deep = Wire.bytes(10, Wire.text(1, "f") + Wire.bytes(2, Wire.bytes(2, deep))) }
        graph.node("deep", "If", attributes: ["f": deep])
        assertFails(.invalidGraph, saying: "8 times over") { try graph.definition() }
    }

    func testVersionsAreSkipped() throws {
        var graph = GraphWriter()
        graph.placeholder("input", [1])
        graph.append(Wire.bytes(4, Wire.number(1, 1_882)) + Wire.number(3, 0))
        XCTAssertEqual(try graph.definition().nodes.count, 1)
    }

    func testGraphsThatAreNotWhole() {
        func fails(saying text: String, _ write: (inout GraphWriter) -> Void) {
            var graph = GraphWriter()
            write(&graph)
            assertFails(.invalidGraph, saying: text) { try graph.definition() }
        }
        fails(saying: "no nodes") { _ in }
        fails(saying: "no nodes") { $0.append(Wire.bytes(4, [])) }
        fails(saying: "unknown field 9") { $0.append(Wire.number(9, 1)) }
        fails(saying: "two nodes are named 'a'") {
            $0.node("a", "NoOp")
            $0.node("a", "Relu")
        }
        fails(saying: "'a' reads 'b'") { $0.node("a", "Relu", "b") }
        fails(saying: "'a' reads 'b'") { $0.node("a", "Relu", "^b") }
        fails(saying: "no name") {
            $0.node("a", "NoOp")
            $0.node("", "NoOp")
        }
        fails(saying: "no operation") { $0.node("a", "") }
    }

    /// Bytes that another reader may take differently are refused. Else a check could see another graph than TensorFlow
    /// does.
    func testAmbiguousFieldsAreRefused() {
        func fails(saying text: String, _ node: [UInt8]) {
            var graph = GraphWriter()
            graph.append(Wire.bytes(1, node))
            assertFails(.invalidGraph, saying: text) { try graph.definition() }
        }
        let node = Wire.node("a", "Relu")
        fails(saying: "twice", node + Wire.text(1, "b"))
        fails(saying: "twice", node + Wire.text(2, "ReadFile"))
        fails(saying: "wire type", Wire.number(1, 5) + node)
        fails(saying: "wire type", Wire.text(1, "a") + Wire.number(2, 5))
        fails(saying: "wire type", node + Wire.number(3, 5))
        fails(saying: "wire type", node + Wire.number(5, 5))
        fails(
            saying: "'value' twice",
            Wire.node("a", "Const", attributes: ["value": Attribute.tensor([1]), "value": Attribute.tensor([2])]))
        let twoTensors = Attribute.tensor([1]) + Attribute.tensor([2])
        fails(saying: "twice", Wire.node("a", "Const", attributes: ["value": twoTensors]))
        let twoTypes = Wire.bytes(8, Wire.number(1, 1) + Wire.number(1, 3))
        fails(saying: "twice", Wire.node("a", "Const", attributes: ["value": twoTypes]))
        fails(saying: "wire type", Wire.node("a", "Placeholder", attributes: ["shape": Wire.number(7, 1)]))

        var graph = GraphWriter()
        graph.append(Wire.number(1, 1))
        assertFails(.invalidGraph, saying: "wire type") { try graph.definition() }
        graph = GraphWriter()
        graph.placeholder("input", [1])
        graph.function("", body: [])
        assertFails(.invalidGraph, saying: "no name") { try graph.definition() }
    }

    // MARK: Names

    /// U+212A is the sign of the unit Kelvin. Swift takes it for equal to the letter K.
    private static let kelvin = "Map\u{212A}ey"

    func testNamesAreASCII() {
        XCTAssertEqual(Self.kelvin, "MapKey", "texts are compared as Unicode does")
        func fails(saying text: String, _ bytes: [UInt8]) {
            var graph = GraphWriter()
            graph.placeholder("MapKey", [1])
            graph.append(bytes)
            assertFails(.invalidGraph, saying: text, "printable ASCII", "Rename it") { try graph.definition() }
        }
        for (name, shown) in [
            (Self.kelvin, "'Map\\u{212a}ey'"), ("卷积", "'\\u{5377}\\u{79ef}'"), ("a b", "'a\\u{20}b'"),
            ("é", "'\\u{e9}'"),
        ] {
            fails(saying: "a node is named \(shown)", Wire.bytes(1, Wire.node(name, "Relu")))
            fails(saying: "an operation is named \(shown)", Wire.bytes(1, Wire.node("a", name)))
            fails(saying: "an input of a node is named \(shown)", Wire.bytes(1, Wire.node("a", "Relu", [name])))
            fails(
                saying: "an attribute of a node is named \(shown)",
                Wire.bytes(1, Wire.node("a", "Relu", attributes: [name: Attribute.float32])))
            let body = Wire.bytes(3, Wire.node(name, "Relu"))
            fails(
                saying: "a node is named \(shown)",
                Wire.bytes(2, Wire.bytes(1, Wire.bytes(1, Wire.text(1, "f")) + body)))
            fails(
                saying: "a function is named \(shown)",
                Wire.bytes(2, Wire.bytes(1, Wire.bytes(1, Wire.text(1, name)))))
        }
        // Control characters, and bytes that are no UTF-8, all of which would be read as one replacement character.
        for name in [Array("a\u{1b}[2J".utf8), [0x61, 0], [0x7f], [0x61, 0xff], [0xc3]] {
            var graph = GraphWriter()
            graph.append(Wire.bytes(1, Wire.bytes(1, name) + Wire.text(2, "Relu")))
            assertFails(.invalidGraph, saying: "no GraphDef, or a damaged one", "The name of a node", "no printable") {
                try graph.definition()
            }
        }
    }

    func testAUsersNameIsComparedByteByByte() throws {
        var graph = GraphWriter()
        graph.placeholder("MapKey", [-1, 8, 8, 3])
        graph.convolution("conv", of: "MapKey", [3, 3, 3, 3])
        let model = try graph.model()
        XCTAssertEqual(try model.input(named: "MapKey").name.node, "MapKey")
        assertFails(.unknownTensor, saying: "'\(Self.kelvin)'") { try model.input(named: Self.kelvin) }
        assertFails(.unknownTensor) { try LayerSelection.resolve([Self.kelvin], in: model) }
    }
}

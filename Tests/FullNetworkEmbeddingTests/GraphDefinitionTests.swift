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
        let nodes = try graph.definition().functionNodes
        XCTAssertEqual(nodes.map(\.function), ["double", "double"])
        XCTAssertEqual(nodes.map(\.node.name), ["sum", "out"])
        XCTAssertEqual(nodes.map(\.node.operation), ["Add", "Identity"])
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
            ("a\u{1b}[2J", "'a\\u{1b}[2J'"), ("a\0", "'a\\u{0}'"), ("a\u{7f}", "'a\\u{7f}'"),
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
        // Bytes that are no UTF-8, each of which would be read as the same replacement character.
        fails(saying: "a node is named", Wire.bytes(1, Wire.bytes(1, [0x61, 0xff]) + Wire.text(2, "Relu")))
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

    func testOtherFilesAreNamed() {
        for (start, text) in [
            ([0x89] + Array("HDF\r\n".utf8), "HDF5"), (Array("PK\u{3}\u{4}".utf8), "ZIP"),
            (Array("node {\n  name: \"input\"".utf8), "text format"), ([0x08, 0x01, 0x12, 0x10], "SavedModel"),
            ([0x1c, 0, 0, 0] + Array("TFL3".utf8), "TensorFlow Lite"),
        ] as [([UInt8], String)] {
            assertFails(.invalidGraph, saying: text, "Freeze") {
                try (start + [UInt8](repeating: 7, count: 30)).withUnsafeBytes { try GraphDefinition($0) }
            }
        }
        assertFails(.invalidGraph) {
            try Array("<!DOCTYPE html><html>".utf8).withUnsafeBytes { try GraphDefinition($0) }
        }
    }
}

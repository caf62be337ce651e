import XCTest

@testable import FNENetwork

final class GraphEditorTests: XCTestCase {
    /// A node with all that a NodeDef may hold: a device, debug information, a list, which libfne does not read, and
    /// fields of every wire type that no version of TensorFlow has.
    private let rich =
        Wire.node(
            "rich", "LRN", ["input", "other:1", "^other"],
            attributes: [
                "T": Attribute.float32, "alpha": Attribute.number(0.25), "_list": Wire.bytes(1, Wire.number(3, 7)),
            ])
        + Wire.text(4, "/device:CPU:0") + Wire.bytes(6, Wire.text(1, "original"))
        + Wire.number(100, -5) + Wire.fixed32(101, 0xdead_beef) + Wire.fixed64(102, 0x0123_4567_89ab_cdef)

    private var graph = GraphWriter()

    override func setUp() {
        graph = GraphWriter()
        graph.placeholder("input", [-1, 8, 8, 3])
        graph.node("other", "Split", "input", "input")
        graph.append(Wire.bytes(1, rich))
        graph.node("last", "Relu", "rich")
    }

    private func edited(_ edit: (inout GraphEditor) throws -> Void) throws -> WrittenGraph {
        var editor = GraphEditor(try graph.model())
        try edit(&editor)
        return try WrittenGraph(editor.serialized())
    }

    // MARK: What stays

    func testAGraphWithoutChangesKeepsItsBytes() throws {
        graph.append(Wire.bytes(4, Wire.number(1, 1_882) + Wire.number(2, 12))) // versions
        graph.append(Wire.bytes(5, Wire.text(1, "file.py"))) // debug information
        graph.append(Wire.number(3, 21)) // the version of graphs before there were versions
        graph.function("helper", body: [Wire.node("sum", "Add", ["x", "x"])])
        let editor = GraphEditor(try graph.model())
        XCTAssertTrue(editor.isEmpty)
        XCTAssertEqual(try editor.serialized().withBytes { Array($0) }, graph.serialized)
    }

    func testEveryChangeIsOne() throws {
        let model = try graph.model()
        var editor = GraphEditor(model)
        editor.drop(3)
        XCTAssertFalse(editor.isEmpty)
        editor = GraphEditor(model)
        try editor.edit(3)
        XCTAssertFalse(editor.isEmpty)
        editor = GraphEditor(model)
        _ = editor.add("new", operation: "NoOp", attributes: [:])
        XCTAssertFalse(editor.isEmpty)
    }

    func testDroppedNodesAreGoneAndTheOthersAreCopied() throws {
        let written = try edited { $0.drop(3) }
        XCTAssertEqual(written.definition.nodes.map(\.name), ["input", "other", "rich"])
        XCTAssertEqual(written.serialized, Array(graph.serialized.prefix(graph.ends[1])) + Wire.bytes(1, rich))
        XCTAssertEqual(try written.message("rich"), rich)
    }

    /// Nodes are counted, not fields: what stands between nodes moves no number.
    func testFieldsBetweenNodes() throws {
        graph = GraphWriter()
        graph.node("first", "NoOp")
        graph.append(Wire.bytes(4, Wire.number(1, 1_882)))
        graph.node("second", "NoOp")
        graph.function("helper", body: [])
        graph.node("third", "NoOp")
        XCTAssertEqual(try edited { $0.drop(1) }.definition.nodes.map(\.name), ["first", "third"])
    }

    // MARK: Edited

    func testAnEditKeepsWhatItIsNotGiven() throws {
        let written = try edited { try $0.edit(2) }
        XCTAssertEqual(written["rich"], "LRN<float32>(input, other:1, ^other)")
        XCTAssertEqual(try written.message("rich"), rich)
    }

    func testAnEditWritesWhatItIsGiven() throws {
        let written = try edited {
            try $0.edit(
                2, operation: "FneLRN", inputs: ["cast", "^input"],
                attributes: ["new": AttributeValue.flag(true), "T": AttributeValue.type(.bfloat16)])
            _ = $0.add("cast", operation: "Cast", inputs: ["input"], attributes: [:])
        }
        XCTAssertEqual(written["rich"], "FneLRN<bfloat16>(cast, ^input)")
        let expected =
            Wire.node(
                "rich", "FneLRN", ["cast", "^input"],
                attributes: ["alpha": Attribute.number(0.25), "_list": Wire.bytes(1, Wire.number(3, 7))])
            + Wire.text(4, "/device:CPU:0") + Wire.bytes(6, Wire.text(1, "original"))
            + Wire.number(100, -5) + Wire.fixed32(101, 0xdead_beef) + Wire.fixed64(102, 0x0123_4567_89ab_cdef)
            + Wire.bytes(5, Wire.text(1, "T") + Wire.bytes(2, Wire.number(6, 14)))
            + Wire.bytes(5, Wire.text(1, "new") + Wire.bytes(2, Wire.number(5, 1)))
        XCTAssertEqual(try written.message("rich"), expected)
        XCTAssertEqual(written.definition.nodes.map(\.name), ["input", "other", "rich", "last", "cast"])
    }

    /// An entry of the attributes may have its value before its key.
    func testAnAttributeWhoseKeyStandsLastIsReplaced() throws {
        graph = GraphWriter()
        graph.append(
            Wire.bytes(1, Wire.node("a", "Relu") + Wire.bytes(5, Wire.bytes(2, Attribute.float32) + Wire.text(1, "T"))))
        let written = try edited { try $0.edit(0, attributes: ["T": AttributeValue.type(.bfloat16)]) }
        let type = Wire.bytes(5, Wire.text(1, "T") + Wire.bytes(2, Wire.number(6, 14)))
        XCTAssertEqual(try written.message("a"), Wire.node("a", "Relu") + type)
    }

    // MARK: XLA

    /// Keras writes such attributes where a model is compiled. They never reach TensorFlow.
    func testAttributesForXLAAreDropped() throws {
        func attributes(_ others: KeyValuePairs<String, [UInt8]>) -> [UInt8] {
            others.flatMap { Wire.bytes(5, Wire.text(1, $0.key) + Wire.bytes(2, $0.value)) }
        }
        let must = attributes(["_XlaMustCompile": Attribute.flag(true)])
        let may = attributes(["_XlaCompile": Attribute.flag(true), "_xla_compile_device_type": Attribute.text("CPU")])
        let type = attributes(["T": Attribute.float32])
        func graph(_ must: [UInt8], _ may: [UInt8]) -> GraphWriter {
            var graph = GraphWriter()
            graph.placeholder("input", [-1, 8, 8, 3])
            graph.append(Wire.bytes(1, Wire.node("call", "helper", ["input"]) + must + type + may))
            graph.append(Wire.bytes(1, Wire.node("last", "Relu", ["call"]) + type))
            let body = Wire.bytes(3, Wire.node("r", "Relu", ["a"]) + may + type)
            let attributes = attributes(["_noinline": Attribute.flag(true)]) + must
            let library = Wire.bytes(1, Wire.bytes(1, Wire.text(1, "helper")) + body + attributes) + Wire.bytes(3, [])
            graph.append(Wire.bytes(2, library))
            return graph
        }
        let plain = graph([], [])
        for asking in [graph(must, may), graph([], may), graph(must, [])] {
            let editor = GraphEditor(try asking.model())
            XCTAssertFalse(editor.isEmpty)
            XCTAssertEqual(try editor.serialized().withBytes { Array($0) }, plain.serialized)
        }
        XCTAssertTrue(GraphEditor(try plain.model()).isEmpty)
        var editor = GraphEditor(try graph(must, may).model())
        try editor.edit(1, operation: "other")
        XCTAssertEqual(
            try WrittenGraph(editor.serialized()).message("call"), Wire.node("call", "other", ["input"]) + type)
    }

    func testACallThatGivesAFunctionAnAttributeForXLAIsRefused() {
        let given = Wire.bytes(2, Wire.text(1, "_XlaMustCompile") + Wire.bytes(2, Attribute.flag(true)))
        graph.node("call", "PartitionedCall", "input", attributes: ["f": Wire.bytes(10, Wire.text(1, "f") + given)])
        assertFails(.invalidGraph, saying: "'call'", "'f' is called with '_XlaMustCompile'", "without jit_compile") {
            try graph.model()
        }
    }

    // MARK: Replaced and added

    func testAReplacedNodeKeepsItsNameAlone() throws {
        let written = try edited {
            $0.replace(
                2, operation: "BiasAdd", inputs: ["input", "other"], attributes: ["T": AttributeValue.type(.float32)])
        }
        let expected = Wire.node("rich", "BiasAdd", ["input", "other"], attributes: ["T": Attribute.float32])
        XCTAssertEqual(try written.message("rich"), expected)
        XCTAssertEqual(written.definition.nodes.map(\.name), ["input", "other", "rich", "last"])
    }

    func testAddedNodesStandAtTheEnd() throws {
        let written = try edited {
            let name = $0.add(
                "fne/new", operation: "Relu", inputs: ["last"], attributes: ["T": AttributeValue.type(.float32)])
            XCTAssertEqual(name, "fne/new")
        }
        let expected = Wire.node("fne/new", "Relu", ["last"], attributes: ["T": Attribute.float32])
        XCTAssertEqual(written.serialized, graph.serialized + Wire.bytes(1, expected))
    }

    func testAddedNodesTakeFreeNames() throws {
        graph.node("other_", "NoOp")
        let written = try edited {
            XCTAssertEqual($0.add("other", operation: "NoOp", attributes: [:]), "other__")
            XCTAssertEqual($0.add("other", operation: "NoOp", attributes: [:]), "other___")
            XCTAssertEqual($0.add("new", operation: "NoOp", attributes: [:]), "new")
            XCTAssertEqual($0.add("new", operation: "NoOp", attributes: [:]), "new_")
        }
        XCTAssertEqual(
            written.definition.nodes.suffix(5).map(\.name), ["other_", "other__", "other___", "new", "new_"])
    }

    /// A dropped node's name stays taken: another node may wait for it under a name of the original.
    func testTheNameOfADroppedNodeIsNotFree() throws {
        _ = try edited {
            $0.drop(3)
            XCTAssertEqual($0.add("last", operation: "NoOp", attributes: [:]), "last_")
        }
    }

    // MARK: Values of attributes

    func testValuesOfAttributes() throws {
        XCTAssertEqual(AttributeValue.type(.bfloat16), Wire.number(6, 14))
        XCTAssertEqual(AttributeValue.flag(true), Wire.number(5, 1))
        XCTAssertEqual(AttributeValue.flag(false), Wire.number(5, 0))
        XCTAssertEqual(AttributeValue.shape([-1, 300]), Attribute.shape([-1, 300]))
        XCTAssertEqual(
            AttributeValue.tensor(type: .bfloat16, shape: [2, 1], content: [1, 2, 3, 4]),
            Attribute.tensor(type: 14, [2, 1], Wire.bytes(4, [1, 2, 3, 4])))

        let written = try edited {
            $0.replace(
                3, operation: "Const", inputs: [],
                attributes: [
                    "dtype": AttributeValue.type(.int32), "shape": AttributeValue.shape([-1, 0, 5]),
                    "value": AttributeValue.tensor(type: .int32, shape: [1], content: [0xfe, 0xff, 0xff, 0xff]),
                ])
        }
        let node = try written.node("last")
        XCTAssertEqual(node.type("dtype"), .int32)
        XCTAssertEqual(node.shape("shape"), [-1, 0, 5])
        XCTAssertEqual(node.constant("value")?.type, .int32)
        XCTAssertEqual(node.constant("value")?.shape, [1])
        XCTAssertEqual(node.constant("value")?.integers, [-2])
    }
}

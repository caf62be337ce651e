import XCTest

@testable import FNENetwork
@testable import FNESupport

final class ONNXDefinitionTests: XCTestCase {
    private func read(_ bytes: [UInt8]) throws -> ONNXDefinition {
        try bytes.withUnsafeBytes { try ONNXDefinition($0, ONNXExternalData(beside: nil)) }
    }

    private func network(_ bytes: [UInt8]) throws -> ONNXNetwork {
        try bytes.withUnsafeBytes { try ONNXNetwork(Bytes(copying: $0), ONNXExternalData(beside: nil)) }
    }

    /// A file with a constant, attributes, a subgraph and metadata.
    private var file: ONNXFile {
        var branch = ONNXFile.empty
        branch.node("t = Relu c")
        branch.output("t")
        var file = ONNXFile()
        file.constant("w", [4, 3, 2, 2])
        file.integers("sizes", [0, -1])
        file.node("c = Conv x w", ["strides": .integers([2, 2]), "group": .integer(1)])
        file.node("b = Constant", ["value": .number(1)])
        file.node("i = If b", ["then_branch": .graph(branch.graph), "else_branch": .graph(branch.graph)])
        file.node("f = Reshape i sizes")
        file.node("e = Elu f", ["alpha": .number(0.5)])
        file.output("e")
        file.more = Wire.bytes(14, Wire.text(1, "author") + Wire.text(2, "me"))
        return file
    }

    // MARK: What is read

    func testThePartsOfAModel() throws {
        let model = try read(file.bytes)
        XCTAssertEqual(model.version, 8)
        XCTAssertEqual(model.opset, 17)
        XCTAssertEqual(model.metadata, ["author": "me"])
        XCTAssertEqual(model.graph.nodes.map(\.operation), ["Conv", "Constant", "If", "Reshape", "Elu"])
        XCTAssertEqual(model.graph.nodes[0].inputs, ["x", "w"])
        XCTAssertEqual(model.graph.nodes[0].outputs, ["c"])
        XCTAssertEqual(model.graph.nodes[0].integers("strides"), [2, 2])
        XCTAssertEqual(model.graph.nodes[0].integer("group"), 1)
        XCTAssertEqual(model.graph.nodes[2].subgraphs.map { $0.nodes.map(\.name) }, [["node of t"], ["node of t"]])
        XCTAssertEqual(model.graph.inputs.map(\.shape), [[-1, 3, 8, 8]])
        XCTAssertEqual(model.graph.inputs.map(\.type), [.float32])
        XCTAssertEqual(model.graph.constants.map(\.dimensions), [[4, 3, 2, 2], [2]])
        XCTAssertEqual(model.graph.constants[0].numbers, Array(repeating: 1, count: 48))
        XCTAssertEqual(model.graph.constants[1].integers, [0, -1])
        XCTAssertEqual(model.graph.nodes[1].constant?.numbers, [1])
    }

    func testValuesOfAllFormsAreRead() throws {
        func tensor(_ type: Int, _ dimensions: [Int], _ content: [UInt8]) throws -> ONNXTensor {
            var file = self.file
            file.graph += Wire.bytes(5, ONNXFile.header("t", dimensions, type: type) + content)
            return try XCTUnwrap(try read(file.bytes).graph.constants.last)
        }
        XCTAssertEqual(try tensor(1, [1], Wire.fixed32(4, Float(2.5).bitPattern)).numbers, [2.5])
        XCTAssertEqual(try tensor(1, [2], Wire.bytes(4, [0, 0, 32, 64, 0, 0, 0, 64])).numbers, [2.5, 2])
        XCTAssertEqual(try tensor(11, [1], Wire.fixed64(10, Double(2.5).bitPattern)).numbers, [2.5])
        XCTAssertEqual(try tensor(10, [1], Wire.number(5, 0x3c00)).numbers, [1])
        XCTAssertEqual(try tensor(10, [1], Wire.bytes(9, [0, 0x3c])).numbers, [1])
        XCTAssertEqual(try tensor(6, [2], Wire.bytes(5, Wire.varint(3) + Wire.varint(-1))).integers, [3, -1])
        XCTAssertEqual(try tensor(2, [2], Wire.bytes(9, [3, 255])).integers, [3, 255])
        XCTAssertEqual(try tensor(22, [3], Wire.bytes(9, [0x21, 3])).dimensions, [3])
        XCTAssertEqual(try tensor(1, [0], []).numbers, [])
    }

    func testAModelIsToldByItsContent() throws {
        func isONNX(_ bytes: [UInt8]) -> Bool { bytes.withUnsafeBytes(ONNXDefinition.isONNX) }
        XCTAssertTrue(isONNX(file.bytes))
        XCTAssertFalse(isONNX([]))
        XCTAssertFalse(isONNX(Array("a text, and no model".utf8)))
        XCTAssertFalse(isONNX(Wire.bytes(1, Wire.node("a", "Const"))), "a GraphDef")
        XCTAssertFalse(isONNX(Wire.number(1, 8) + Wire.bytes(8, [])), "without a graph")
        XCTAssertFalse(isONNX(Wire.number(1, 8) + Wire.bytes(7, [])), "without a set of operators")
        XCTAssertFalse(isONNX(file.bytes + Wire.bytes(200, [])), "Core ML")
    }

    // MARK: Damage

    func testEachTruncationIsAnErrorAndNeverATrap() throws {
        let bytes = file.bytes
        XCTAssertNoThrow(try network(bytes))
        let graphEnd = bytes.count - file.more.count
        for length in 0..<bytes.count where length != graphEnd {
            XCTAssertThrowsError(try network(Array(bytes[..<length])), "\(length) bytes") {
                XCTAssertEqual(($0 as? FNEError)?.status, .invalidGraph, "\($0)")
            }
        }
    }

    func testChangedBytesNeverTrap() throws {
        let bytes = file.bytes
        var random = SeededRandom(7)
        for _ in 0..<3_000 {
            var changed = bytes
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                changed[Int.random(in: 0..<changed.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            do {
                let network = try network(changed)
                let input = try ONNXInput(network.graph, network.topology, network.shapes)
                let taps = network.analysis.layers.map { layer in
                    ONNXRowGraph.Tap(
                        value: layer.output,
                        pooling: ONNXPooling(shape: [1, 4, 4, 4], imageAxis: 0, rows: .one, channelAxes: 1..<2))
                }
                _ = try ONNXRowGraph(network, input: input, taps: taps, height: 8, width: 8)
            } catch is FNEError {}
        }
    }

    func testASingularFieldThatStandsTwiceIsAnError() throws {
        let bytes = file.bytes
        assertFails(.invalidGraph, saying: "Field 1 of the model stands twice") { try read(bytes + Wire.number(1, 8)) }
        assertFails(.invalidGraph, saying: "Field 7 of the model stands twice") { try read(bytes + Wire.bytes(7, [])) }
        var twice = ONNXFile()
        twice.graph += Wire.bytes(1, ONNXFile.node("y = Relu x") + Wire.text(4, "Conv"))
        assertFails(.invalidGraph, saying: "Field 4 of a node stands twice") { try read(twice.bytes) }
        var attributes = ONNXFile()
        attributes.node("y = Elu x", ["alpha": .number(1), "alpha": .number(2)])
        assertFails(.invalidGraph, saying: "'alpha' twice", "node of y") { try read(attributes.bytes) }
        assertFails(.invalidGraph, saying: "two versions", "''") {
            try read(bytes + Wire.bytes(8, Wire.text(1, "ai.onnx") + Wire.number(2, 13)))
        }
    }

    func testAFieldOfTheWrongTypeIsAnError() throws {
        assertFails(.invalidGraph, saying: "Field 7 of the model", "wire type") { try read(Wire.number(7, 1)) }
        var file = ONNXFile()
        file.graph += Wire.bytes(1, Wire.number(4, 1))
        assertFails(.invalidGraph, saying: "Field 4 of a node") { try read(file.bytes) }
    }

    func testTheKindOfAnAttributeMustBeThatOfItsValue() throws {
        var file = ONNXFile()
        let attribute = Wire.text(1, "alpha") + Wire.number(3, 1) + Wire.number(20, 1)
        file.graph += Wire.bytes(1, ONNXFile.node("y = Elu x") + Wire.bytes(5, attribute))
        assertFails(.invalidGraph, saying: "kind") { try read(file.bytes) }
        var both = ONNXFile()
        let two = Wire.text(1, "alpha") + Wire.number(3, 1) + Wire.fixed32(2, 0)
        both.graph += Wire.bytes(1, ONNXFile.node("y = Elu x") + Wire.bytes(5, two))
        assertFails(.invalidGraph, saying: "two kinds") { try read(both.bytes) }
    }

    func testNamesMustBePrintable() throws {
        var file = ONNXFile()
        file.node("y\u{e9} = Relu x")
        assertFails(.invalidGraph, saying: "an output of a node", "printable ASCII") { try read(file.bytes) }
    }

    func testConstantsMustHaveAsManyValuesAsTheirShapesSay() throws {
        func read(_ tensor: [UInt8]) throws -> ONNXDefinition {
            var file = ONNXFile()
            file.graph += Wire.bytes(5, tensor)
            return try self.read(file.bytes)
        }
        let named = Wire.text(8, "w")
        assertFails(.invalidGraph, saying: "'w'", "3 bytes", "needs 4") {
            try read(Wire.number(1, 1) + Wire.number(2, 1) + named + Wire.bytes(9, [1, 2, 3]))
        }
        assertFails(.invalidGraph, saying: "'w'", "2 values", "needs 3") {
            try read(Wire.number(1, 3) + Wire.number(2, 7) + named + Wire.bytes(7, [1, 2]))
        }
        assertFails(.invalidGraph, saying: "'w'", "not possible") {
            try read(Wire.number(1, 1 << 40) + Wire.number(1, 1 << 40) + Wire.number(2, 1) + named)
        }
        assertFails(.invalidGraph, saying: "'w'", "not possible") {
            try read(Wire.number(1, -1) + Wire.number(2, 1) + named)
        }
        assertFails(.invalidGraph, saying: "'w'", "no type") { try read(Wire.number(2, 99) + named) }
    }

    func testSubgraphsStandEightDeepAtMost() throws {
        func nested(_ depth: Int) -> ONNXFile {
            var inner = ONNXFile.empty
            inner.node("leaf = Relu x")
            for level in 0..<depth {
                var outer = level == depth - 1 ? ONNXFile() : .empty
                outer.node("y\(level) = If x", ["then_branch": .graph(inner.graph)])
                inner = outer
            }
            return inner
        }
        XCTAssertNoThrow(try read(nested(8).bytes))
        assertFails(.invalidGraph, saying: "8 times") { try read(nested(9).bytes) }
        assertFails(.invalidGraph, saying: "8 times") { try read(nested(500).bytes) }
    }

    // MARK: Structure

    func testACycleAndAMissingValueAreErrorsByName() throws {
        var cycle = ONNXFile()
        cycle.node("a = Relu b")
        cycle.node("b = Relu a")
        assertFails(.invalidGraph, saying: "cycle", "node of") { try cycle.network() }
        var missing = ONNXFile()
        missing.node("a = Relu nothing")
        assertFails(.invalidGraph, saying: "'nothing'", "node of a") { try missing.network() }
        var twice = ONNXFile()
        twice.node("a = Relu x")
        twice.node("a = Tanh x")
        assertFails(.invalidGraph, saying: "'a' twice") { try twice.network() }
        var inner = ONNXFile.empty
        inner.node("t = Relu nowhere")
        var outer = ONNXFile()
        outer.node("y = If x", ["then_branch": .graph(inner.graph)])
        assertFails(.invalidGraph, saying: "'nowhere'", "node of t") { try outer.network() }
    }

    func testNodesMayStandInAnyOrder() throws {
        var file = ONNXFile()
        file.node("b = Relu a")
        file.node("a = Tanh x")
        file.output("b")
        XCTAssertEqual(try file.network().tensors.map(\.name), ["x", "a", "b"])
    }

    func testWhatASubgraphReadsIsRead() throws {
        let network = try file.network()
        let map = try XCTUnwrap(network.number(of: "c"))
        XCTAssertEqual(network.topology.readers[map].map { network.graph.nodes[$0].operation }, ["If"])
    }

    func testAnEmptyModelIsAnError() throws {
        assertFails(.invalidGraph, saying: "empty") { try ONNXFile().network() }
    }
}

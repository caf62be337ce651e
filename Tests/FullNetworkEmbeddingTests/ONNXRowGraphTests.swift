import XCTest

@testable import FNENetwork
@testable import FNESupport

/// The model that is run for rows. These tests read what was written. That ONNX Runtime computes the right values with
/// it is shown where there is one.
final class ONNXRowGraphTests: XCTestCase {
    private static let map = ONNXPooling(shape: [1, 4, 8, 8], imageAxis: 0, rows: .one, channelAxes: 1..<2)

    /// A network with a convolution "c", a classifier "y" and an output.
    private func file(
        _ input: [Int] = [-1, 3, 8, 8], type: ONNXType = .float32, opset: Int = 17
    ) -> ONNXFile {
        var file = ONNXFile(input: input, type: type)
        file.opset = opset
        file.constant("w", [4, 3, 1, 1])
        file.constant("k", [4, 10])
        file.node("c = Conv x w")
        file.node("pool = GlobalAveragePool c")
        file.node("f = Flatten pool")
        file.node("y = Gemm f k")
        file.output("y")
        return file
    }

    private func rows(_ file: ONNXFile, _ taps: [(String, ONNXPooling)]) throws -> ONNXRowGraph {
        let network = try file.network()
        let input = try ONNXInput(network.graph, network.topology, network.shapes)
        return try ONNXRowGraph(
            network, input: input,
            taps: taps.map { .init(value: try XCTUnwrap(network.number(of: $0.0)), pooling: $0.1) }, height: 8, width: 8
        )
    }

    private func read(_ rows: ONNXRowGraph) throws -> ONNXDefinition {
        try rows.serialized.withBytes { try ONNXDefinition($0, ONNXExternalData(beside: nil)) }
    }

    private func operations(_ rows: ONNXRowGraph) throws -> [String] { try read(rows).graph.nodes.map(\.operation) }

    // MARK: Input and output

    func testTheInputIsFloat32InTheLayoutOfTheNetwork() throws {
        let rows = try self.rows(file(), [("c", Self.map)])
        let model = try read(rows)
        XCTAssertEqual(model.graph.inputs.map(\.name), [rows.input])
        XCTAssertEqual(model.graph.inputs.map(\.shape), [[-1, 3, 8, 8]])
        XCTAssertEqual(model.graph.outputs.map(\.name), [rows.output])
        XCTAssertEqual(model.graph.outputs.map(\.shape), [[-1, 4]])
        XCTAssertEqual(rows.featureCount, 4)
        XCTAssertEqual(model.opset, 17)
    }

    func testNodesThatNoLayerNeedsAreLeftOut() throws {
        XCTAssertEqual(
            try operations(rows(file(), [("c", Self.map)])),
            ["Identity", "Conv", "GlobalAveragePool", "Flatten", "Identity"])
        let scores = ONNXPooling(shape: [1, 10], imageAxis: 0, rows: .one, channelAxes: 1..<2)
        XCTAssertEqual(
            try operations(rows(file(), [("c", Self.map), ("y", scores)])),
            [
                "Identity", "Conv", "GlobalAveragePool", "Flatten", "Gemm", "GlobalAveragePool", "Flatten", "Concat",
            ])
    }

    func testNeighbouringMapsAreFlattenedTogether() throws {
        var file = file()
        file.node("r = Relu c")
        let scores = ONNXPooling(shape: [1, 10], imageAxis: 0, rows: .one, channelAxes: 1..<2)
        let average = "GlobalAveragePool"
        XCTAssertEqual(
            try operations(rows(file, [("c", Self.map), ("r", Self.map), ("y", scores), ("r", Self.map)])).suffix(7),
            [average, average, "Concat", "Flatten", average, "Flatten", "Concat"])
        // Averages of other ranks do not fit together.
        let volume = ONNXPooling(shape: [1, 4, 2, 8, 8], imageAxis: 0, rows: .one, channelAxes: 1..<2)
        XCTAssertEqual(
            try operations(rows(file, [("c", Self.map), ("r", volume)])).suffix(5),
            [average, "Flatten", average, "Flatten", "Concat"])
        // Of one side, the tokens' options decide what is taken.
        let line = ONNXPooling(shape: [1, 4, 8], imageAxis: 0, rows: .one, channelAxes: 1..<2)
        XCTAssertEqual(
            try operations(rows(file, [("c", line), ("r", line)])).suffix(5),
            [average, "Flatten", average, "Flatten", "Concat"])
    }

    func testChannelsLastStayLast() throws {
        var file = ONNXFile(input: [-1, 8, 8, 3])
        file.constant("w", [4, 3, 1, 1])
        file.node("t = Transpose x", ["perm": .integers([0, 3, 1, 2])])
        file.node("c = Conv t w")
        file.output("c")
        let rows = try self.rows(file, [("c", Self.map)])
        XCTAssertEqual(try operations(rows).prefix(3), ["Identity", "Transpose", "Conv"])
        XCTAssertEqual(try read(rows).graph.inputs.map(\.shape), [[-1, 8, 8, 3]])
    }

    func testHalfPrecisionIsPooledInFloat32() throws {
        XCTAssertEqual(
            try operations(rows(file(type: .float16), [("c", Self.map)])),
            ["Cast", "Conv", "Cast", "GlobalAveragePool", "Flatten", "Identity"])
    }

    func testPixelsAreRoundedForAnInputOfWholeNumbers() throws {
        var file = ONNXFile(input: [-1, 3, 8, 8], type: .uint8)
        file.constant("w", [4, 3, 1, 1])
        file.node("r = Cast x", ["to": .integer(1)])
        file.node("c = Conv r w")
        XCTAssertEqual(
            try operations(rows(file, [("c", Self.map)])).prefix(5),
            ["Max", "Min", "Add", "Floor", "Cast"])
    }

    /// libfne's own takes the place of ONNX's where it can compute it.
    func testLocalResponseNormalization() throws {
        func nodes(size: Int, type: ONNXType = .float32, batch: Int = -1) throws -> ONNXDefinition {
            var file = ONNXFile(input: [batch, 3, 8, 8], type: type)
            file.constant("w", [4, 3, 1, 1])
            file.node("c = Conv x w")
            file.node("l = LRN c", ["size": .integer(size)])
            file.output("l")
            return try read(rows(file, [("l", Self.map)]))
        }
        for batch in [-1, 1] {
            let model = try nodes(size: 5, batch: batch)
            let node = try XCTUnwrap(model.graph.nodes.first { $0.operation == "FneLRN" })
            XCTAssertEqual([node.domain, node.inputs[0], node.outputs[0]], ["fne", "c", "l"])
            XCTAssertEqual(node.integer("size"), 5)
            XCTAssertEqual(model.opsets, ["": 17, "fne": 1])
        }
        for model in try [nodes(size: 4), nodes(size: 0), nodes(size: -3), nodes(size: 5, type: .float16)] {
            XCTAssertFalse(model.graph.nodes.contains { $0.operation == "FneLRN" })
            XCTAssertEqual(model.opsets, ["": 17])
        }
    }

    func testNamesOfTheGraphAreNotTaken() throws {
        var file = ONNXFile()
        file.constant("w", [4, 3, 1, 1])
        file.node("fne/rows = Conv x w")
        let rows = try self.rows(file, [("fne/rows", Self.map)])
        XCTAssertEqual(rows.output, "_fne/rows")
        XCTAssertEqual(rows.input, "_fne/input")
    }

    // MARK: Weights

    func testLargeConstantsAreReferredTo() throws {
        var file = ONNXFile()
        let values = (0..<768).map(Float.init)
        file.constant("w", [256, 3, 1, 1], values)
        file.constant("b", [256])
        file.constant("small", [])
        file.node("c = Conv x w b")
        file.node("d = Mul c small")
        let pooling = ONNXPooling(shape: [1, 256, 8, 8], imageAxis: 0, rows: .one, channelAxes: 1..<2)
        let rows = try self.rows(file, [("d", pooling)])
        XCTAssertEqual(rows.weights.map(\.location), ["fne0"])
        let found = rows.weights[0].content.withBytes { Array($0) }
            .withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
        XCTAssertEqual(Array(found.prefix(768)), values)
        XCTAssertEqual(Array(found.suffix(256)), Array(repeating: 1, count: 256))
        XCTAssertLessThan(rows.serialized.count, 1_500)
    }

    func testFilesBesideTheNetworkAreHandedOnWhereTheRuntimeCanReadThem() throws {
        let source = try Array(repeating: UInt8(7), count: 4_096).withUnsafeBytes { try Bytes(copying: $0) }
        var weights = ONNXWeights()
        func place(_ range: Range<Int>) -> String {
            let (location, offset) = weights.place(range, of: source)
            return "\(location) \(offset)"
        }
        XCTAssertEqual(place(128..<1_200), "fne1 128")
        XCTAssertEqual(place(1_200..<1_300), "fne0 0")
        XCTAssertEqual(place(1_300..<1_400), "fne0 128")
        XCTAssertEqual(place(0..<64), "fne1 0")
        let files = try weights.made()
        XCTAssertEqual(files.map(\.location), ["fne1", "fne0"])
        XCTAssertTrue(files[0].content === source)
        XCTAssertEqual(files[1].content.count, 228)
        XCTAssertEqual(files[1].content.withBytes { $0[200] }, 7)
    }

    // MARK: Pooling

    /// The operators after the network's own, for the value "c" of that shape.
    private func pooled(_ pooling: ONNXPooling, opset: Int = 17) throws -> [ONNXDefinition.Node] {
        let model = try read(rows(file(opset: opset), [("c", pooling)]))
        return Array(model.graph.nodes.dropFirst(2).dropLast())
    }

    func testTokensAreAveragedInTheFormOfTheVersion() throws {
        let tokens = ONNXPooling(shape: [1, 7, 4], imageAxis: 0, rows: .one, channelAxes: 2..<3)
        let old = try pooled(tokens)
        XCTAssertEqual(old.map(\.operation), ["ReduceMean"])
        XCTAssertEqual(old.first?.integers("axes"), [1])
        XCTAssertEqual(old.first?.integer("keepdims"), 0)
        let new = try pooled(tokens, opset: 18)
        XCTAssertEqual(new.map(\.operation), ["ReduceMean"])
        XCTAssertEqual(new.first?.inputs.count, 2)
    }

    func testThePartsOfTokens() throws {
        var tokens = ONNXPooling(shape: [1, 7, 4], imageAxis: 0, rows: .one, channelAxes: 2..<3)
        func operations(_ pooling: TokenPooling, prefix: Int = 1) throws -> [String] {
            tokens.tokens.pooling = pooling
            tokens.tokens.prefix = prefix
            return try pooled(tokens).map(\.operation)
        }
        XCTAssertEqual(try operations(.first), ["Gather"])
        XCTAssertEqual(tokens.featureCount, 4)
        XCTAssertEqual(try operations(.rest), ["Slice", "ReduceMean"])
        XCTAssertEqual(try operations(.firstAndRest, prefix: 2), ["Gather", "Slice", "ReduceMean", "Concat"])
        XCTAssertEqual(tokens.featureCount, 8)
        var map = Self.map
        map.tokens.pooling = .firstAndRest
        XCTAssertEqual(map.featureCount, 4, "a map has no tokens")
        XCTAssertEqual(try pooled(map).map(\.operation), ["GlobalAveragePool", "Flatten"])
    }

    func testRowsOfImagesGetAnAxisOfTheirOwn() throws {
        func shape(_ shape: [Int], _ rows: ONNXPooling.Rows) throws -> [Int]? {
            let pooling = ONNXPooling(
                shape: shape, imageAxis: 0, rows: rows, channelAxes: shape.count - 1..<shape.count)
            let model = try read(self.rows(file(), [("c", pooling)]))
            let node = try XCTUnwrap(model.graph.nodes.first { $0.operation == "Reshape" })
            return model.graph.constants.first { $0.name == node.inputs[1] }?.integers
        }
        XCTAssertEqual(try shape([7, 4], .together), [-1, 7, 4])
        XCTAssertEqual(try shape([7, 4], .interleaved), [7, -1, 4])
        XCTAssertEqual(try shape([6, 9, 4], .together), [-1, 6, 9, 4])
        let windows = ONNXPooling(shape: [6, 9, 4], imageAxis: 0, rows: .together, channelAxes: 2..<3)
        XCTAssertEqual(try pooled(windows).suffix(2).map { $0.integers("axes") }, [[1], [1]], "axis by axis")
        XCTAssertFalse(windows.takesTokens)
    }

    func testPlansFollowFromTheShapesOfTwoRuns() throws {
        func plans(_ one: [Int], _ three: [Int]) throws -> [ONNXPooling.Rows] {
            var file = ONNXFile()
            file.constant("w", [8, 4])
            file.node("y = MatMul x w")
            let layer = try XCTUnwrap(try file.network().analysis.layers.first)
            return ONNXPooling.plans(for: layer, shape: one, and: three, of: 3).map(\.rows)
        }
        XCTAssertEqual(try plans([1, 4], [3, 4]), [.one])
        XCTAssertEqual(try plans([1, 7, 4], [3, 7, 4]), [.one])
        XCTAssertEqual(try plans([7, 1, 4], [7, 3, 4]), [.one], "PyTorch's attention")
        XCTAssertEqual(try plans([7, 4], [21, 4]), [.together, .interleaved])
        XCTAssertEqual(try plans([7, 4], [7, 4]), [])
        XCTAssertEqual(try plans([7, 4], [20, 4]), [])
        XCTAssertEqual(try plans([1, 4, 1], [3, 4, 3]), [])
    }

    func testHeadsAreFeaturesTogether() throws {
        var file = ONNXFile()
        file.constant("w", [8, 6])
        file.node("y = MatMul x w")
        let layer = try XCTUnwrap(try file.network().analysis.layers.first)
        let plan = ONNXPooling.plans(for: layer, shape: [1, 7, 2, 3], and: [3, 7, 2, 3], of: 3)
        XCTAssertEqual(plan.map(\.channelAxes), [2..<4])
        XCTAssertEqual(plan.map(\.featureCount), [6])
    }

    // MARK: A batch of one

    func testABatchOfOneIsFreed() throws {
        var file = ONNXFile(input: [1, 3, 8, 8])
        file.constant("w", [4, 3, 1, 1])
        file.integers("tokens", [1, 4, 64])
        file.integers("heads", [2, 32, 4])
        file.constant("class", [1, 4, 1])
        file.node("c = Conv x w")
        file.node("t = Reshape c tokens")
        file.node("all = Concat class t", ["axis": .integer(2)])
        file.node("h = Reshape t heads")
        file.output("h")
        let network = try file.network()
        let tokens = ONNXPooling(shape: [1, 4, 65], imageAxis: 0, rows: .one, channelAxes: 2..<3)
        let heads = ONNXPooling(shape: [2, 32, 4], imageAxis: 0, rows: .together, channelAxes: 2..<3)
        let input = try ONNXInput(network.graph, network.topology, network.shapes)
        XCTAssertEqual(input.batch, 1)
        let model = try read(rows(file, [("all", tokens), ("h", heads)]))
        func node(_ output: String) throws -> ONNXDefinition.Node {
            try XCTUnwrap(model.graph.nodes.first { $0.outputs == [output] }, output)
        }
        /// What begins the shape of a Reshape, and what its other sizes are taken from.
        func parts(_ output: String) throws -> (first: String, rest: String) {
            let shape = try node(node(output).inputs[1])
            XCTAssertEqual(shape.operation, "Concat")
            return (shape.inputs[0], try node(shape.inputs[1]).inputs[0])
        }
        XCTAssertEqual(try parts("t").first, "fne/images")
        XCTAssertEqual(try parts("t").rest, "tokens")
        XCTAssertEqual(try node(node("all").inputs[0]).operation, "Expand")
        let first = try parts("h").first
        XCTAssertEqual(model.graph.constants.first { $0.name == first }?.integers, [-1])
        XCTAssertEqual(try parts("h").rest, "heads")
        XCTAssertEqual(model.graph.inputs.map(\.shape), [[-1, 3, 8, 8]])
    }

    func testShapesThatArePutTogetherAreFreed() throws {
        var file = ONNXFile(input: [1, 3, 8, 8])
        file.constant("w", [4, 3, 1, 1])
        file.integers("one", [1])
        file.integers("eight", [8])
        file.integers("place", [2])
        file.node("c = Conv x w")
        file.node("area = Mul eight eight")
        file.node("of = Shape c")
        file.node("height = Gather of place")
        file.node("shape = Concat one area eight", ["axis": .integer(0)])
        file.node("t = Reshape c shape")
        file.node("windows = Concat height area eight", ["axis": .integer(0)])
        file.node("v = Reshape c windows")
        file.integers("open", [-1])
        file.node("flat = Concat height open", ["axis": .integer(0)])
        file.node("f = Reshape c flat")
        let tokens = ONNXPooling(shape: [1, 4, 64], imageAxis: 0, rows: .one, channelAxes: 1..<2)
        let model = try read(rows(file, [("t", tokens), ("v", tokens), ("f", tokens)]))
        XCTAssertEqual(model.graph.nodes.first { $0.outputs == ["f"] }?.inputs, ["c", "flat"])
        func begin(_ output: String) throws -> String {
            let reshape = try XCTUnwrap(model.graph.nodes.first { $0.outputs == [output] })
            let shape = try XCTUnwrap(model.graph.nodes.first { $0.outputs == [reshape.inputs[1]] })
            XCTAssertEqual(shape.operation, "Concat")
            return shape.inputs[0]
        }
        XCTAssertEqual(try begin("t"), "fne/images")
        let open = try begin("v")
        XCTAssertEqual(model.graph.constants.first { $0.name == open }?.integers, [-1])
    }

    func testWhatCannotBeFreedIsNamed() throws {
        var file = ONNXFile(input: [1, 3, 8, 8])
        file.constant("w", [4, 3, 1, 1])
        file.integers("windows", [4, -1, 4])
        file.node("c = Conv x w")
        file.node("y = Reshape c windows")
        let pooling = ONNXPooling(shape: [4, 16, 4], imageAxis: 0, rows: .together, channelAxes: 2..<3)
        assertFails(.unsupportedTensor, saying: "node of y", "holds a size") { try rows(file, [("y", pooling)]) }
        assertFails(.unsupportedTensor, saying: "batches of 4") {
            try rows(self.file([4, 3, 8, 8]), [("c", Self.map)])
        }
    }

    // MARK: The input's layout

    func testTheLayoutFollowsFromTheFirstConvolutionOrTheShape() throws {
        func input(_ shape: [Int], _ body: (inout ONNXFile) -> Void) throws -> ONNXInput {
            var file = ONNXFile(input: shape)
            file.constant("w", [4, 3, 1, 1])
            body(&file)
            let network = try file.network()
            return try ONNXInput(network.graph, network.topology, network.shapes)
        }
        let first = try input([-1, -1, -1, -1]) { $0.node("c = Conv x w") }
        XCTAssertFalse(first.channelsLast)
        XCTAssertEqual(first.channels, 3)
        XCTAssertNil(first.height)
        let last = try input([-1, -1, -1, -1]) {
            $0.constant("mean", [])
            $0.node("s = Sub x mean")
            $0.node("t = Transpose s", ["perm": .integers([0, 3, 1, 2])])
            $0.node("c = Conv t w")
        }
        XCTAssertTrue(last.channelsLast)
        let shape = try input([2, 32, 24, 1]) { $0.node("y = Flatten x") }
        XCTAssertTrue(shape.channelsLast)
        XCTAssertEqual([shape.channels, shape.height, shape.width, shape.batch], [1, 32, 24, 2])
        for wrong in [[-1, 5, 8, 8], [-1, 8], [-1, -1, -1, -1]] {
            assertFails(.unsupportedTensor, saying: "'x'", "[n, height, width, channels]") {
                try input(wrong) { $0.node("y = Flatten x") }
            }
        }
        assertFails(.unsupportedTensor, saying: "'x', 'size'", "several inputs") {
            try input([-1, 3, 8, 8]) {
                $0.input("size", [2])
                $0.node("y = Add x size")
            }
        }
    }
}

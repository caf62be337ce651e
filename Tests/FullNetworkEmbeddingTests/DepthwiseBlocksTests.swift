import XCTest

@testable import FNENetwork

/// Which convolutions become one operation, and what that reads.
final class DepthwiseBlocksTests: XCTestCase {
    private var graph = GraphWriter()

    override func setUp() {
        graph = GraphWriter()
        graph.placeholder("input", [-1, 8, 8, 3])
    }

    // MARK: Writing networks

    private static let ones = [1, 1, 1, 1]

    private func list(_ numbers: [Int]) -> [UInt8] {
        Wire.bytes(1, Wire.bytes(3, numbers.flatMap { Wire.varint($0) }))
    }

    private func write(
        _ name: String, _ operation: String, of input: String, _ shape: [Int], strides: [Int] = ones,
        padding: String = "SAME", dilations: [Int] = ones
    ) {
        let count = shape.reduce(1, *)
        graph.constant(name + "/weights", shape, (0..<count).map { Float($0 % 7) - 3 })
        graph.node(
            name, operation, input, name + "/weights",
            attributes: [
                "T": Attribute.float32, "strides": list(strides), "padding": Attribute.text(padding),
                "dilations": list(dilations),
            ])
    }

    /// A convolution `name` with `name/bias`, and `name/relu` where an activation is given.
    private func convolution(
        _ name: String, _ operation: String = "Conv2D", of input: String, _ shape: [Int], _ activation: String? = nil,
        strides: [Int] = ones, padding: String = "SAME", dilations: [Int] = ones
    ) -> String {
        write(name, operation, of: input, shape, strides: strides, padding: padding, dilations: dilations)
        let channels = operation == "Conv2D" ? shape[3] : shape[2]
        graph.constant(name + "/b", [channels], (0..<channels).map { Float($0) })
        graph.node(name + "/bias", "BiasAdd", name, name + "/b")
        return activation.map { graph.node(name + "/relu", $0, name + "/bias") } ?? name + "/bias"
    }

    private func depthwise(
        of input: String, channels: Int = 16, strides: [Int] = ones, padding: String = "SAME", dilations: [Int] = ones
    ) -> String {
        convolution(
            "dw", "DepthwiseConv2dNative", of: input, [3, 3, channels, 1], "Relu6", strides: strides, padding: padding,
            dilations: dilations)
    }

    /// An inverted residual block: expand, dw and project.
    private func writeBlock(strides: [Int] = ones, channels: Int = 16) {
        let expanded = convolution("expand", of: "input", [1, 1, 3, channels], "Relu6")
        _ = convolution(
            "project", of: depthwise(of: expanded, channels: channels, strides: strides), [1, 1, channels, 5])
    }

    // MARK: Reading results

    private func prepared(_ taps: [String], averaged: [String]? = nil) throws -> GraphPreparation {
        let model = try graph.model()
        let names = taps.map { TensorName($0) }
        let input = TensorName("input")
        let needed = model.topology.needed(for: names, input: input)
        let outputs = try TensorShapes.outputs(
            model.graph, model.topology, needed: needed, input: input, image: [1, 8, 8, 3])
        return try GraphPreparation(
            model, input: input, taps: names, precision: .float32, float32Layers: 0,
            for: .init(
                hasOwnOperations: true,
                blocks: .init(
                    averaged: Set((averaged ?? taps).map { TensorName($0) }),
                    shapes: KnownShapes(model.graph, outputs)),
                takesFedWeights: false, constants: FakeEvaluator()))
    }

    private func assertNoBlock(
        _ message: String, _ taps: String..., averaged: [String]? = nil, line: UInt = #line
    ) throws {
        let prepared = try prepared(taps, averaged: averaged)
        XCTAssertTrue(prepared.means.isEmpty, message, line: line)
        let lines = try WrittenGraph(prepared.serialized).lines
        XCTAssertFalse(lines.contains { $0.contains("FneDepthwiseBlock") }, message, line: line)
        XCTAssertTrue(lines.contains { $0.contains("DepthwiseConv2dNative") }, message, line: line)
    }

    private func integers(_ node: GraphDefinition.Node) -> [Int?] {
        [
            "stride", "top", "bottom", "left", "right", "expansion_limit", "depthwise_limit", "projection_limit",
        ].map(node.integer)
    }

    // MARK: Blocks

    func testAnInvertedResidualBlock() throws {
        writeBlock()
        let prepared = try prepared(["expand/relu", "dw/relu", "project/bias"])
        let written = try WrittenGraph(prepared.serialized)
        XCTAssertEqual(
            written["project/bias"],
            "FneDepthwiseBlock<float32>(input, expand/weights, fne/bias/expand, dw/weights, fne/bias/dw, "
                + "project/weights, fne/bias/project)")
        let node = try written.node("project/bias")
        XCTAssertEqual(integers(node), [1, 0, 0, 0, 0, 2, 2, 0])
        XCTAssertTrue(node.flag("expands"))
        XCTAssertTrue(node.flag("same"))
        for dropped in ["expand", "expand/bias", "expand/relu", "dw", "dw/bias", "dw/relu", "project"] {
            XCTAssertNil(written[dropped], dropped)
        }
        XCTAssertEqual(
            prepared.means,
            [
                TensorName("expand/relu"): TensorName("project/bias:1"),
                TensorName("dw/relu"): TensorName("project/bias:2"),
                TensorName("project/bias"): TensorName("project/bias:3"),
            ])
    }

    /// The activation of the last convolution belongs to the block, too.
    func testASeparableConvolution() throws {
        let stem = convolution("stem", of: "input", [3, 3, 3, 16], "Relu")
        let last = convolution("project", of: depthwise(of: stem), [1, 1, 16, 5], "Relu")
        let written = try WrittenGraph(prepared([last]).serialized)
        XCTAssertEqual(
            written["project/relu"],
            "FneDepthwiseBlock<float32>(stem/relu, dw/weights, fne/bias/dw, dw/weights, fne/bias/dw, "
                + "project/weights, fne/bias/project)")
        let node = try written.node("project/relu")
        XCTAssertEqual(integers(node), [1, 0, 0, 0, 0, 0, 2, 1])
        XCTAssertFalse(node.flag("expands"))
    }

    /// Keras writes the padding of a stride as an operation of its own.
    func testAPaddingOperation() throws {
        let expanded = convolution("expand", of: "input", [1, 1, 3, 16], "Relu6")
        graph.node(
            "sizes", "Const",
            attributes: [
                "dtype": Attribute.int32,
                "value": Attribute.tensor(type: 3, [4, 2], Attribute.content(integers: [0, 0, 0, 1, 2, 3, 0, 0])),
            ])
        let padded = graph.node("pad", "Pad", expanded, "sizes")
        _ = convolution(
            "project", of: depthwise(of: padded, strides: [1, 2, 2, 1], padding: "VALID"), [1, 1, 16, 5])
        let prepared = try prepared(["expand/relu", "project/bias"])
        let written = try WrittenGraph(prepared.serialized)
        XCTAssertEqual(integers(try written.node("project/bias")), [2, 0, 1, 2, 3, 2, 2, 0])
        XCTAssertFalse(try written.node("project/bias").flag("same"))
        XCTAssertNil(written["pad"])
        XCTAssertEqual(prepared.means[TensorName("expand/relu")], TensorName("project/bias:1"))
        let tapped = try WrittenGraph(self.prepared(["pad", "project/bias"], averaged: ["project/bias"]).serialized)
        XCTAssertEqual(tapped["project/bias"]?.hasPrefix("FneDepthwiseBlock<float32>(pad, "), true)
        XCTAssertEqual(integers(try tapped.node("project/bias")), [2, 0, 0, 0, 0, 0, 2, 0])
    }

    /// A normalization changes weights and bias, in float64.
    func testANormalizationIsFolded() throws {
        write("dw", "DepthwiseConv2dNative", of: convolution("stem", of: "input", [3, 3, 3, 16]), [3, 3, 16, 1])
        for (name, value) in [("scale", 2), ("offset", 3), ("mean", 5), ("variance", 15.75)] as [(String, Float)] {
            graph.constant(name, [16], [Float](repeating: value, count: 16))
        }
        let norm = graph.node(
            "norm", "FusedBatchNormV3", "dw", "scale", "offset", "mean", "variance",
            attributes: ["is_training": Attribute.flag(false), "epsilon": Attribute.number(0.25)])
        _ = convolution("project", of: graph.node("relu", "Relu", norm), [1, 1, 16, 5])
        let written = try WrittenGraph(prepared(["project/bias"]).serialized)
        XCTAssertEqual(
            written["project/bias"],
            "FneDepthwiseBlock<float32>(stem/bias, fne/weights/dw, fne/bias/dw, fne/weights/dw, fne/bias/dw, "
                + "project/weights, fne/bias/project)")
        // 2 / sqrt(15.75 + 0.25) = 0.5, and (0 - 5) * 0.5 + 3 = 0.5
        XCTAssertEqual(
            try written.floats("fne/weights/dw"), (0..<144).map { (Float($0 % 7) - 3) * 0.5 })
        XCTAssertEqual(try written.floats("fne/bias/dw"), [Float](repeating: 0.5, count: 16))
    }

    /// A convolution between two depthwise ones belongs to the first.
    func testTwoInARow() throws {
        let stem = convolution("stem", of: "input", [3, 3, 3, 16], "Relu6")
        let first = convolution("one", of: depthwise(of: stem), [1, 1, 16, 32], "Relu6")
        let second = convolution("dw2", "DepthwiseConv2dNative", of: first, [5, 5, 32, 1], "Relu6")
        let last = convolution("two", of: second, [1, 1, 32, 5], "Relu6")
        let written = try WrittenGraph(prepared([last, first]).serialized)
        XCTAssertEqual(written["one/relu"]?.hasPrefix("FneDepthwiseBlock<float32>(stem/relu, "), true)
        XCTAssertEqual(written["two/relu"]?.hasPrefix("FneDepthwiseBlock<float32>(one/relu, "), true)
    }

    // MARK: What stays TensorFlow's

    func testAMapThatIsNeededStays() throws {
        writeBlock()
        graph.node("sum", "Identity", "dw/relu")
        try assertNoBlock("another node reads the depthwise convolution's map", "sum", "project/bias")
        try assertNoBlock("a layer before its activation", "dw/bias", "project/bias")
        try assertNoBlock("a layer that is not averaged", "dw/relu", "project/bias", averaged: ["project/bias"])
        setUp()
        writeBlock()
        graph.node("sum", "Identity", "input", "^dw/relu")
        try assertNoBlock("a node waits for the map", "sum", "project/bias")
    }

    /// The expansion alone is left to TensorFlow where its map is needed.
    func testAnExpandedMapThatIsNeeded() throws {
        writeBlock()
        graph.node("copy", "Identity", "expand/relu")
        let written = try WrittenGraph(prepared(["copy", "project/bias"]).serialized)
        XCTAssertEqual(written["project/bias"]?.hasPrefix("FneDepthwiseBlock<float32>(expand/relu, "), true)
        XCTAssertNotNil(written["expand"])
        XCTAssertFalse(try written.node("project/bias").flag("expands"))
    }

    /// The values of further outputs are not known. So what reads them is not folded.
    func testASumWithAFurtherOutput() throws {
        write("dw", "DepthwiseConv2dNative", of: convolution("stem", of: "input", [3, 3, 3, 16]), [3, 3, 16, 1])
        graph.constant("all", [32], (0..<32).map { Float($0) })
        graph.node("parts", "Split", "axis", "all")
        graph.constant("axis", [])
        graph.node("sum", "BiasAdd", "dw", "parts:1")
        _ = convolution("project", of: "sum", [1, 1, 16, 5])
        try assertNoBlock("another reader of the depthwise convolution", "project/bias")
    }

    /// A convolution in groups reads more channels than its weights say.
    func testConvolutionsInGroups() throws {
        let stem = convolution("stem", of: "input", [3, 3, 3, 16])
        _ = convolution("project", of: depthwise(of: stem), [1, 1, 4, 8])
        try assertNoBlock("a projection in groups", "project/bias")
        setUp()
        let expanded = convolution(
            "expand", of: convolution("stem", of: "input", [3, 3, 3, 8]), [1, 1, 4, 16], "Relu")
        _ = convolution("project", of: depthwise(of: expanded), [1, 1, 16, 5])
        let written = try WrittenGraph(prepared(["project/bias"]).serialized)
        XCTAssertEqual(written["project/bias"]?.hasPrefix("FneDepthwiseBlock<float32>(expand/relu, "), true)
    }

    /// TensorFlow refuses a node that wants to share a device with a node that is not there.
    func testNodesThatShareADeviceWithADroppedOne() throws {
        writeBlock()
        graph.node(
            "after", "Identity", "project/bias",
            attributes: ["_class": Wire.bytes(1, Wire.bytes(2, Array("loc:@dw".utf8))), "T": Attribute.float32])
        let node = try WrittenGraph(prepared(["after"]).serialized).node("after")
        XCTAssertFalse(node.has("_class"))
        XCTAssertTrue(node.has("T"))
    }

    func testOtherConvolutionsStay() throws {
        writeBlock(channels: 24)
        try assertNoBlock("channels that are no whole vectors", "project/bias")
        setUp()
        _ = convolution("project", of: depthwise(of: "input", channels: 16, dilations: [1, 2, 2, 1]), [1, 1, 16, 5])
        try assertNoBlock("a dilated filter", "project/bias")
        setUp()
        _ = convolution("project", of: depthwise(of: "input", channels: 16), [3, 3, 16, 5])
        try assertNoBlock("a projection of 3 x 3", "project/bias")
        setUp()
        _ = convolution("project", of: depthwise(of: "input"), [1, 1, 16, 5], strides: [1, 2, 2, 1])
        try assertNoBlock("a projection with a stride", "project/bias")
        setUp()
        let wide = convolution("dw", "DepthwiseConv2dNative", of: "input", [7, 7, 16, 1], "Relu")
        _ = convolution("project", of: wide, [1, 1, 16, 5])
        try assertNoBlock("a filter of 7 x 7", "project/bias")
    }
}

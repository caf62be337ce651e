import XCTest

@testable import FNENetwork

final class GraphPreparationTests: XCTestCase {
    private var graph = GraphWriter()

    override func setUp() {
        graph = GraphWriter()
        graph.placeholder("input", [-1, 8, 8, 3])
    }

    private func prepared(
        _ taps: String..., input: String = "input", precision: Precision = .float32, float32Layers: Int = 0,
        ownOperations: Bool = false, feeds: Bool = false
    ) throws -> GraphPreparation {
        try GraphPreparation(
            graph.model(), input: TensorName(input), taps: taps.map { TensorName($0) }, precision: precision,
            float32Layers: float32Layers,
            for: .init(hasOwnOperations: ownOperations, takesFedWeights: feeds, constants: FakeEvaluator()))
    }

    private func lines(_ prepared: GraphPreparation) throws -> [String] { try WrittenGraph(prepared.serialized).lines }

    // MARK: Pruning

    func testAGraphThatNeedsNoChangeIsNotCopied() throws {
        graph.node("relu", "Relu", "input")
        let model = try graph.model()
        let prepared = try GraphPreparation(
            model, input: TensorName("input"), taps: [TensorName("relu")], precision: .float32, float32Layers: 0,
            for: .init(hasOwnOperations: true, takesFedWeights: true, constants: FakeEvaluator()))
        XCTAssertTrue(prepared.serialized === model.serialized)
        XCTAssertEqual(prepared.needed, [0, 1])
        XCTAssertTrue(prepared.fed.isEmpty)
    }

    func testNodesThatNoLayerNeedsAreLeftOut() throws {
        let relu = graph.node("relu", "Relu", graph.convolution("conv", of: "input", [3, 3, 3, 8]))
        graph.node("softmax", "Softmax", graph.dense("fc", of: relu, [8, 10]))
        let middle = try prepared("relu")
        XCTAssertEqual(
            try lines(middle),
            [
                "input = Placeholder<float32>()", "conv/weights = Const<float32>()",
                "conv = Conv2D(input, conv/weights)",
                "relu = Relu(conv)",
            ])
        XCTAssertEqual(middle.needed, [0, 1, 2, 3])
        XCTAssertEqual(middle.serialized.withBytes { Array($0) }, Array(graph.serialized.prefix(graph.ends[3])))
        XCTAssertEqual(try lines(prepared("conv", "fc")).count, 6, "all but the softmax")
        XCTAssertEqual(try WrittenGraph(prepared("softmax").serialized).serialized, graph.serialized)
    }

    func testControlInputsAreNeeded() throws {
        graph.node("started", "NoOp", "^input")
        graph.node("unused", "NoOp", "^started")
        graph.node("relu", "Relu", "input", "^started")
        XCTAssertEqual(
            try lines(prepared("relu")),
            ["input = Placeholder<float32>()", "started = NoOp(^input)", "relu = Relu(input, ^started)"])
    }

    func testATapOnAnotherOutputNeedsItsNode() throws {
        graph.node("split", "Split", "input", "input")
        graph.node("relu", "Relu", "split")
        XCTAssertEqual(
            try lines(prepared("split:1")), ["input = Placeholder<float32>()", "split = Split(input, input)"])
    }

    /// What stands in front of the input does not run, nor does an input that no selected layer depends on.
    func testTheGraphEndsAtTheInput() throws {
        graph.placeholder("second", [-1, 8, 8, 3])
        graph.node("read", "Identity", "second")
        graph.node("relu", "Relu", "input")
        XCTAssertEqual(
            try lines(prepared("relu", input: "read")),
            ["input = Placeholder<float32>()", "relu = Relu(input)"])
    }

    // MARK: libfne's own operations

    func testLocalResponseNormalizationRunsOnOwnOperations() throws {
        func operation(type: [UInt8]?, own: Bool) throws -> String? {
            setUp()
            let radius = Attribute.integer(2)
            if let type {
                graph.node("norm", "LRN", "input", attributes: ["T": type, "depth_radius": radius])
            } else {
                graph.node("norm", "LRN", "input", attributes: ["depth_radius": radius])
            }
            let written = try WrittenGraph(prepared("norm", ownOperations: own).serialized)
            XCTAssertEqual(try written.node("norm").integer("depth_radius"), 2)
            return written["norm"]
        }
        XCTAssertEqual(try operation(type: Attribute.float32, own: true), "FneLRN<float32>(input)")
        XCTAssertEqual(try operation(type: nil, own: true), "FneLRN(input)", "float32 is LRN's default")
        XCTAssertEqual(try operation(type: Attribute.float32, own: false), "LRN<float32>(input)")
        let (float16, bfloat16) = (Wire.number(6, 19), Wire.number(6, 14))
        XCTAssertEqual(try operation(type: float16, own: true), "LRN<float16>(input)")
        XCTAssertEqual(try operation(type: bfloat16, own: true), "LRN<bfloat16>(input)")
    }

    // MARK: Large weights

    /// As many values as make FedWeights.threshold bytes, each with its own bits.
    private static let large = (0..<1 << 20).map { Float(bitPattern: 0x3f00_0000 + UInt32($0)) }

    /// Weights [rows, columns] of as many of the large values.
    private func weights(_ rows: Int, _ columns: Int, _ name: String = "weights") -> String {
        graph.constant(name, [rows, columns], Array(Self.large.prefix(rows * columns)))
    }

    private func assertNotFed(
        _ message: String, _ taps: String..., file: StaticString = #filePath, line: UInt = #line
    ) throws {
        let model = try graph.model()
        let prepared = try GraphPreparation(
            model, input: TensorName("input"), taps: taps.map { TensorName($0) }, precision: .float32, float32Layers: 0,
            for: .init(hasOwnOperations: true, takesFedWeights: true, constants: FakeEvaluator()))
        XCTAssertEqual(prepared.fed.map(\.node), [], message, file: file, line: line)
        XCTAssertTrue(prepared.serialized === model.serialized, message, file: file, line: line)
    }

    func testLargeWeightsOfProductsAreFed() throws {
        graph.node("fc", "MatMul", "input", weights(2_048, 512))
        let prepared = try prepared("fc", feeds: true)
        let written = try WrittenGraph(prepared.serialized)
        XCTAssertEqual(
            written.lines,
            ["input = Placeholder<float32>()", "weights = Placeholder<float32>()", "fc = MatMul(input, weights)"])
        XCTAssertEqual(try written.node("weights").shape("shape"), [2_048, 512])
        XCTAssertLessThan(written.serialized.count, 200, "the values are not in the graph")

        XCTAssertEqual(prepared.fed.map(\.node), ["weights"])
        let fed = try XCTUnwrap(prepared.fed.first)
        XCTAssertEqual(fed.type, .float32)
        XCTAssertEqual(fed.shape, [2_048, 512])
        let isSame = fed.values.withBytes { bytes in Self.large.withUnsafeBytes { bytes.elementsEqual($0) } }
        XCTAssertTrue(isSame, "the bytes are the constant's")
    }

    func testAnEngineThatTakesNoneKeepsThem() throws {
        graph.node("fc", "MatMul", "input", weights(1_024, 1_024))
        let prepared = try prepared("fc", feeds: false)
        XCTAssertEqual(prepared.fed.count, 0)
        XCTAssertEqual(prepared.serialized.withBytes { $0.count }, graph.serialized.count)
    }

    func testFourMebibytesAreLarge() throws {
        XCTAssertEqual(FedWeights.threshold, 4 << 20)
        graph.node("fc", "MatMul", "input", weights(1, 1 << 20))
        XCTAssertEqual(try prepared("fc", feeds: true).fed.map(\.node), ["weights"])
        setUp()
        graph.node("fc", "MatMul", "input", weights(1, 1 << 20 - 1))
        try assertNotFed("four bytes less", "fc")
    }

    func testWeightsMayBeReadThroughIdentitiesAndBySeveralProducts() throws {
        let read = graph.node("again", "Identity", graph.node("read", "Identity", weights(1_024, 1_024)))
        graph.node("one", "MatMul", "input", read)
        graph.node("two", "MatMul", "input", "weights")
        graph.node("aside", "Relu", "weights")
        XCTAssertEqual(
            try lines(prepared("one", "two", feeds: true)),
            [
                "input = Placeholder<float32>()", "weights = Placeholder<float32>()", "read = Identity(weights)",
                "again = Identity(read)", "one = MatMul(input, again)", "two = MatMul(input, weights)",
            ])
        XCTAssertEqual(try prepared("one", "two", feeds: true).fed.count, 1, "what nothing needs does not count")
        try assertNotFed("something else reads them", "one", "two", "aside")
    }

    func testSeveralWeightsAreFedInTheGraphsOrder() throws {
        graph.node("first", "MatMul", "input", weights(1_024, 1_024, "b"))
        graph.node("second", "MatMul", "first", weights(1_024, 1_024, "a"))
        XCTAssertEqual(try prepared("second", feeds: true).fed.map(\.node), ["b", "a"])
    }

    func testWeightsThatSomethingElseReadsStay() throws {
        graph.node("sum", "AddV2", "input", graph.node("read", "Identity", weights(1_024, 1_024)))
        try assertNotFed("no product reads them", "sum")
        graph.node("fc", "MatMul", "input", "weights")
        try assertNotFed("a sum reads them through an Identity", "fc", "sum")
        setUp()
        graph.node("read", "Identity", weights(1_024, 1_024))
        try assertNotFed("nothing but an Identity reads them", "read")
    }

    func testConstantsOfAnotherFormStay() throws {
        let content = Attribute.content(Self.large)
        func write(_ shape: [Int], _ values: [UInt8], type: Int = 1, inputs: [String] = []) {
            setUp()
            let attributes: KeyValuePairs = [
                "dtype": Wire.number(6, type), "value": Attribute.tensor(type: type, shape, values),
            ]
            graph.append(Wire.bytes(1, Wire.node("weights", "Const", inputs, attributes: attributes)))
            graph.node("fc", "MatMul", "input", "weights")
        }
        write([1_024, 1_024], content)
        XCTAssertEqual(try prepared("fc", feeds: true).fed.count, 1)
        write([1, 1_024, 1_024], content)
        try assertNotFed("no matrix", "fc")
        write([1_024, 1_024], content, type: 3)
        try assertNotFed("int32", "fc")
        write([1_024, 1_025], content)
        try assertNotFed("fewer bytes than the shape says", "fc")
        write([1_024, 1_024], Wire.fixed32(5, Float(0.5).bitPattern))
        try assertNotFed("one value that stands for all", "fc")
        write([1_024, 1_024], content, inputs: ["^input"])
        try assertNotFed("waits for another node", "fc")
    }

    // MARK: bfloat16

    func testBFloat16IsRewrittenAndPruned() throws {
        graph.layer("one", of: "input", [1, 1, 3, 1], [1, 2, 3])
        graph.layer("two", of: "one", [1, 1, 1, 2], [4, 5])
        graph.node("norm", "LRN", "two")
        graph.node("aside", "Relu", "one")
        XCTAssertEqual(
            try lines(prepared("norm", precision: .bfloat16, float32Layers: 1, ownOperations: true)),
            [
                "input = Placeholder<float32>()", "one/weights = Const<float32>()", "one = Conv2D(input, one/weights)",
                "two = Conv2D<bfloat16>(fne/bfloat16/one, fne/weights/two)", "norm = FneLRN<bfloat16>(two)",
                "fne/weights/two = Const<bfloat16>()", "fne/bfloat16/one = Cast<float32 to bfloat16>(one)",
            ])
        XCTAssertEqual(
            try WrittenGraph(prepared("norm", precision: .bfloat16, float32Layers: 2).serialized).serialized,
            Array(graph.serialized.prefix(graph.ends[5])), "all layers stay: only pruned")
    }

    func testBFloat16FeedsLargeWeights() throws {
        graph.layer("fc", of: "input", [2_048, 1_024], Self.large + Self.large, "MatMul")
        let fed = try prepared("fc", precision: .bfloat16, feeds: true).fed
        XCTAssertEqual(fed.map(\.node), ["fne/weights/fc"])
        XCTAssertEqual(fed.map(\.type), [.bfloat16])
        XCTAssertEqual(try prepared("fc", precision: .bfloat16, feeds: false).fed.count, 0)
    }
}

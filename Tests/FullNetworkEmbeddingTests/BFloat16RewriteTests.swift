import XCTest

@testable import FNENetwork

final class BFloat16RewriteTests: XCTestCase {
    private var graph = GraphWriter()
    /// What the last rewriting feeds.
    private var fed: [FedWeights] = []

    override func setUp() {
        graph = GraphWriter()
        fed = []
        graph.placeholder("input", [-1, 8, 8, 3])
    }

    /// The graph rewritten for taps on nodes, and what these need.
    private func rewritten(
        _ taps: String..., float32Layers: Int = 0, own: Bool = false, feeds: Bool = false,
        evaluator: FakeEvaluator = FakeEvaluator()
    ) throws -> WrittenGraph {
        let model = try graph.model()
        let tensors = taps.map { TensorName($0) }
        let needed = model.topology.ancestors(of: Set(try tensors.map { try XCTUnwrap(model.graph.index[$0.node]) }))
        var rewrite = BFloat16Rewrite(
            model, needed: needed, taps: tensors, float32Layers: float32Layers, hasOwnOperations: own,
            feedsLargeWeights: feeds, constants: ConstantValues(model, needed: needed, evaluator))
        var editor = GraphEditor(model)
        for number in model.graph.nodes.indices where !needed.contains(number) { editor.drop(number) }
        try rewrite.apply(to: &editor)
        fed = rewrite.fed
        return try WrittenGraph(editor.serialized())
    }

    /// A convolution "conv" of one input channel; a weight of each output channel.
    private func writeConvolution(_ weights: [Float]) {
        graph.node("gray", "Slice", "input", "input", "input")
        graph.layer("conv", of: "gray", [1, 1, 1, weights.count], weights)
    }

    // MARK: Layers

    func testAConvolutionMultipliesBFloat16() throws {
        graph.constant("conv/weights", [1, 1, 3, 2], [1, 2, 3, 4, 5, 6])
        graph.node("started", "NoOp")
        graph.node(
            "conv", "Conv2D", "input", "conv/weights", "^started",
            attributes: ["padding": Attribute.text("SAME"), "T": Attribute.float32])
        let written = try rewritten("conv")
        XCTAssertEqual(
            written.lines,
            [
                "input = Placeholder<float32>()", "started = NoOp()",
                "conv = Conv2D<bfloat16>(fne/bfloat16/input, fne/weights/conv, ^started)",
                "fne/weights/conv = Const<bfloat16>()", "fne/bfloat16/input = Cast<float32 to bfloat16>(input)",
            ])
        XCTAssertEqual(try written.bfloat16s("fne/weights/conv"), [1, 2, 3, 4, 5, 6])
        XCTAssertEqual(try written.node("fne/weights/conv").constant("value")?.shape, [1, 1, 3, 2])
        XCTAssertEqual(try written.node("fne/weights/conv").constant("value")?.type, .bfloat16)
        XCTAssertEqual(try written.node("conv").text("padding"), "SAME")
    }

    /// Weights of 1.002 are nearest to 1, which loses 0.002 of each. So that the sum is kept, some become 1 + 1/128.
    func testTheSumOfEachChannelsWeightsIsKept() throws {
        var random = SeededRandom(5)
        for (operation, shape, transposed) in [
            ("Conv2D", [3, 3, 4, 20], false), ("DepthwiseConv2dNative", [5, 7, 3, 2], false),
            ("MatMul", [40, 5], false),
            ("MatMul", [5, 40], true),
        ] {
            let channels =
                transposed ? shape[0] : operation == "DepthwiseConv2dNative" ? 6 : shape[shape.count - 1]
            let inputs = shape.reduce(1, *) / channels
            let values = (0..<channels * inputs).map { _ in Float.random(in: 1.001...1.003, using: &random) }
            setUp()
            graph.constant("weights", shape, values)
            graph.node("layer", operation, "input", "weights", attributes: ["transpose_b": Attribute.flag(transposed)])
            let written = try rewritten("layer")
            XCTAssertEqual(written["layer"], "\(operation)<bfloat16>(fne/bfloat16/input, fne/weights/layer)")
            let rounded = try written.bfloat16s("fne/weights/layer")
            XCTAssertEqual(rounded.count, values.count)
            XCTAssertEqual(Set(rounded), [1, 1 + 1.0 / 128], "one of the two next to the value")
            for channel in 0..<channels {
                let places = (0..<inputs).map { transposed ? channel * inputs + $0 : $0 * channels + channel }
                let lost = places.reduce(0) { $0 + rounded[$1] - Double(values[$1]) }
                XCTAssertLessThanOrEqual(abs(lost), 0.5 / 128, "\(operation), channel \(channel)")
            }
        }
    }

    func testLayersThatStayFloat32() throws {
        func assertStays(
            _ message: String, line: UInt = #line, _ write: (inout GraphWriter) throws -> Void
        ) rethrows {
            setUp()
            try write(&graph)
            XCTAssertEqual(try rewritten("layer").serialized, graph.serialized, message, line: line)
        }
        assertStays("a transposed input") {
            $0.constant("w", [3, 2], [1, 2, 3, 4, 5, 6])
            $0.node("layer", "MatMul", "input", "w", attributes: ["transpose_a": Attribute.flag(true)])
        }
        assertStays("another type") {
            $0.constant("w", [3, 2], [1, 2, 3, 4, 5, 6])
            $0.node("layer", "MatMul", "input", "w", attributes: ["T": Wire.number(6, 19)])
        }
        assertStays("weights on the left") {
            $0.constant("w", [2, 3], [1, 2, 3, 4, 5, 6])
            $0.node("layer", "MatMul", "w", "input")
        }
        assertStays("weights of no inputs") { $0.layer("layer", of: "input", [1, 1, 0, 4], []) }
        assertStays("weights of another rank") { $0.layer("layer", of: "input", [3, 2], [1, 2, 3, 4, 5, 6]) }
        assertStays("weights that are no constant") { $0.node("layer", "Conv2D", "input", "input") }
        assertStays("three dimensions") { $0.layer("layer", of: "input", [1, 1, 1, 3, 1], [1, 2, 3], "Conv3D") }
        assertStays("a product of many matrices") {
            $0.layer("layer", of: "input", [3, 1], [1, 2, 3], "BatchMatMulV2")
        }
        assertStays("a computed weight that the evaluator does not know") {
            $0.constant("w", [1, 1, 3, 1], [1, 2, 3])
            $0.node("neg", "Neg", "w")
            $0.node("layer", "Conv2D", "input", "neg")
        }
    }

    func testTheFirstLayersStayFloat32() throws {
        graph.layer("one", of: "input", [1, 1, 3, 3], [Float](repeating: 1, count: 9))
        graph.layer(
            "two", of: graph.node("relu", "Relu", "one"), [1, 1, 3, 3], [Float](repeating: 2, count: 9), "Conv3D")
        graph.layer("three", of: "two", [1, 1, 3, 3], [Float](repeating: 3, count: 9))
        graph.layer("four", of: "three", [1, 1, 3, 3], [Float](repeating: 4, count: 9))
        let written = try rewritten("four", float32Layers: 2)
        XCTAssertEqual(
            written.lines,
            [
                "input = Placeholder<float32>()", "one/weights = Const<float32>()", "one = Conv2D(input, one/weights)",
                "relu = Relu(one)", "two/weights = Const<float32>()", "two = Conv3D(relu, two/weights)",
                "three = Conv2D<bfloat16>(fne/bfloat16/two, fne/weights/three)",
                "four = Conv2D<bfloat16>(three, fne/weights/four)", "fne/weights/three = Const<bfloat16>()",
                "fne/bfloat16/two = Cast<float32 to bfloat16>(two)", "fne/weights/four = Const<bfloat16>()",
            ], "a layer that cannot be converted counts too")
        XCTAssertEqual(try rewritten("four", float32Layers: 4).serialized, graph.serialized)
        XCTAssertEqual(try rewritten("four", float32Layers: 1)["one"], "Conv2D(input, one/weights)")
        XCTAssertEqual(
            try rewritten("four", float32Layers: 0)["one"], "Conv2D<bfloat16>(fne/bfloat16/input, fne/weights/one)")
    }

    // MARK: Folding

    private let weights: [Float] = [1.7, -0.3, 5e-3, 412]

    /// The operation `last` ends what is folded: y = `function`(x, channel), which is affine in x. The weights and the
    /// bias must be those of a single product and sum, in Double.
    private func assertFolded(
        to last: String, _ function: (Double, Int) -> Double, file: StaticString = #filePath, line: UInt = #line
    ) throws {
        graph.node("relu", "Relu", last)
        let written = try rewritten("relu")
        func same(_ got: String?, _ expected: String?) { XCTAssertEqual(got, expected, file: file, line: line) }
        same(written["conv"], "Conv2D<bfloat16>(fne/bfloat16/gray, fne/weights/conv)")
        same(written[last], "BiasAdd<bfloat16>(conv, fne/bias/conv)")
        same(written["relu"], "Relu<bfloat16>(\(last))")
        XCTAssertEqual(
            written.definition.nodes.map(\.name),
            [
                "input", "gray", "conv", last, "relu", "fne/weights/conv", "fne/bfloat16/gray", "fne/bias/conv",
            ], "nothing else is left", file: file, line: line)
        let channels = weights.indices
        let shifts = channels.map { function(0, $0) }
        let scaled = channels.map { (function(1, $0) - shifts[$0]) * Double(weights[$0]) }
        XCTAssertEqual(
            try written.bfloat16s("fne/weights/conv"), scaled.map(BFloat16.nearest), "weights", file: file, line: line)
        XCTAssertEqual(
            try written.bfloat16s("fne/bias/conv"), shifts.map(BFloat16.nearest), "bias", file: file, line: line)
        XCTAssertEqual(try written.node("fne/bias/conv").constant("value")?.shape, [4], file: file, line: line)
    }

    func testSumsAndProductsWithConstantsAreFolded() throws {
        let numbers: [Float] = [0.7, -3, 11, 1e-2]
        let c = numbers.map(Double.init)
        for (operation, function) in [
            ("BiasAdd", { $0 + c[$1] }), ("BiasAddV1", { $0 + c[$1] }), ("Add", { $0 + c[$1] }),
            ("AddV2", { $0 + c[$1] }), ("Sub", { $0 - c[$1] }), ("Mul", { $0 * c[$1] }), ("RealDiv", { $0 / c[$1] }),
            ("Div", { $0 / c[$1] }),
        ] as [(String, (Double, Int) -> Double)] {
            setUp()
            writeConvolution(weights)
            graph.constant("c", [4], numbers)
            try assertFolded(to: graph.node("end", operation, "conv", "c"), function)
        }
    }

    func testTheConstantMayStandFirstInSumsAndProducts() throws {
        let numbers: [Float] = [0.7, -3, 11, 1e-2]
        for (operation, function) in [
            ("AddV2", { $0 + Double(numbers[$1]) }), ("Mul", { $0 * Double(numbers[$1]) }),
        ] as [(String, (Double, Int) -> Double)] {
            setUp()
            writeConvolution(weights)
            graph.constant("c", [4], numbers)
            try assertFolded(to: graph.node("end", operation, "c", "conv"), function)
        }
    }

    func testShapesOfFoldedConstants() throws {
        let numbers: [Float] = [0.7, -3, 11, 1e-2]
        for shape in [[1, 4], [1, 1, 4], [1, 1, 1, 4]] {
            setUp()
            writeConvolution(weights)
            graph.constant("c", shape, numbers)
            try assertFolded(to: graph.node("end", "AddV2", "conv", "c")) { $0 + Double(numbers[$1]) }
        }
        for shape in [[], [1], [1, 1, 1, 1]] {
            setUp()
            writeConvolution(weights)
            graph.constant("c", shape, [0.7])
            try assertFolded(to: graph.node("end", "Mul", "conv", "c")) { x, _ in x * Double(Float(0.7)) }
        }
    }

    private func writeNormalization(
        _ name: String = "norm", of input: String = "conv", _ operation: String = "FusedBatchNormV3",
        attributes: KeyValuePairs<String, [UInt8]> = ["is_training": Attribute.flag(false)]
    ) {
        graph.constant(name + "/scale", [4], scale)
        graph.constant(name + "/offset", [4], offset)
        graph.constant(name + "/mean", [4], mean)
        graph.constant(name + "/variance", [4], variance)
        graph.node(
            name, operation, input, name + "/scale", name + "/offset", name + "/mean", name + "/variance",
            attributes: attributes)
    }

    private let scale: [Float] = [1.1, -0.4, 30, 0.007]
    private let offset: [Float] = [0.3, 2, -17, 0]
    private let mean: [Float] = [-5, 0.01, 0.5, 600]
    private let variance: [Float] = [4, 0.003, 1e-6, 81_000]

    private func normalized(_ x: Double, _ c: Int, epsilon: Float) -> Double {
        (x - Double(mean[c])) / sqrt(Double(variance[c]) + Double(epsilon)) * Double(scale[c]) + Double(offset[c])
    }

    func testNormalizationIsFolded() throws {
        for operation in ["FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"] {
            setUp()
            writeConvolution(weights)
            writeNormalization(
                of: "conv", operation,
                attributes: ["is_training": Attribute.flag(false), "epsilon": Attribute.number(0.002)])
            try assertFolded(to: "norm") { normalized($0, $1, epsilon: 0.002) }
        }
        setUp()
        writeConvolution(weights)
        writeNormalization()
        try assertFolded(to: "norm") { normalized($0, $1, epsilon: 0.0001) } // TensorFlow's default
    }

    func testAChainIsFolded() throws {
        writeConvolution(weights)
        let bias: [Float] = [9, 8, -7, 0.6]
        let factors: [Float] = [2, 0.25, -3, 1]
        let sum = graph.node("sum", "BiasAdd", "conv", graph.constant("bias", [4], bias))
        writeNormalization(of: sum)
        let product = graph.node("product", "Mul", graph.constant("factors", [4], factors), "norm")
        let less = graph.node("less", "Sub", product, graph.constant("one", [], [1]))
        let quotient = graph.node("quotient", "RealDiv", less, graph.constant("six", [1], [6]))
        try assertFolded(to: quotient) { x, c in
            (normalized(x + Double(bias[c]), c, epsilon: 0.0001) * Double(factors[c]) - 1) / 6
        }
    }

    /// The sum of scaled weights is kept, in the channel's own scale.
    func testScaledWeightsKeepTheirSum() throws {
        var random = SeededRandom(9)
        let values = (0..<3 * 3 * 3 * 4).map { _ in Float.random(in: 0.5...2, using: &random) }
        let factors: [Float] = [0.9, -77, 3e-4, 1]
        graph.layer("conv", of: "input", [3, 3, 3, 4], values)
        graph.node("end", "Mul", "conv", graph.constant("factors", [4], factors))
        let rounded = try rewritten("end").bfloat16s("fne/weights/conv")
        var lostByNearest = 0.0
        for channel in 0..<4 {
            let exact = stride(from: channel, to: values.count, by: 4).map {
                Double(values[$0]) * Double(factors[channel])
            }
            let got = stride(from: channel, to: values.count, by: 4).map { rounded[$0] }
            for (x, y) in zip(exact, got) { XCTAssertLessThan(abs(x - y), BFloat16.step(at: x) * 1.001) }
            let step = exact.map(BFloat16.step).max() ?? 0
            XCTAssertLessThanOrEqual(abs(exact.reduce(0, +) - got.reduce(0, +)), step / 2 * 1.001, "channel \(channel)")
            lostByNearest = max(
                lostByNearest, abs(exact.reduce(0, +) - exact.map(BFloat16.nearest).reduce(0, +)) / (step / 2))
        }
        XCTAssertGreaterThan(lostByNearest, 1.5, "rounding to nearest would fail")
    }

    func testFoldingIntoProducts() throws {
        // [out, in] and [in, out] of the same numbers.
        for (shape, values, transposed) in [
            ([3, 2], [1, 10, 2, 20, 3, 30], false), ([2, 3], [1, 2, 3, 10, 20, 30], true),
        ] as [([Int], [Float], Bool)] {
            setUp()
            graph.constant("weights", shape, values)
            graph.node("fc", "MatMul", "input", "weights", attributes: ["transpose_b": Attribute.flag(transposed)])
            let product = graph.node("product", "Mul", "fc", graph.constant("factors", [1, 2], [2, 4]))
            graph.node("end", "BiasAdd", product, graph.constant("bias", [2], [5, 6]))
            let written = try rewritten("end")
            XCTAssertEqual(written["end"], "BiasAdd<bfloat16>(fc, fne/bias/fc)")
            XCTAssertEqual(
                try written.bfloat16s("fne/weights/fc"), transposed ? [2, 4, 6, 40, 80, 120] : [2, 40, 4, 80, 6, 120])
            XCTAssertEqual(try written.bfloat16s("fne/bias/fc"), [5, 6])
        }
    }

    func testFoldingIntoDepthwiseConvolutions() throws {
        graph.layer("conv", of: "input", [1, 1, 3, 2], [1, 2, 3, 4, 5, 6], "DepthwiseConv2dNative")
        graph.node("end", "Mul", "conv", graph.constant("factors", [6], [1, 2, 4, 8, 16, 32]))
        let written = try rewritten("end")
        XCTAssertEqual(try written.bfloat16s("fne/weights/conv"), [1, 4, 12, 32, 80, 192])
        XCTAssertEqual(try written.bfloat16s("fne/bias/conv"), [0, 0, 0, 0, 0, 0])
    }

    func testComputedConstantsAreFolded() throws {
        writeConvolution([1, 2, 3, 4])
        graph.constant("stored", [4], [9, 9, 9, 9])
        graph.node("end", "Mul", "conv", graph.node("factors", "Rsqrt", "stored"))
        let evaluator = FakeEvaluator(["factors": .init(shape: [4], values: [2, 4, 8, 16])])
        let written = try rewritten("end", evaluator: evaluator)
        XCTAssertEqual(try written.bfloat16s("fne/weights/conv"), [2, 8, 24, 64])
        XCTAssertNil(written["factors"])
        XCTAssertNil(written["stored"], "what it was computed from goes too")
    }

    // MARK: What is not folded

    /// The convolution's weights are its own, and the operation `name` after it is the expected one.
    private func assertNotFolded(
        _ expected: String, of name: String = "end", tapping tap: String? = nil, file: StaticString = #filePath,
        line: UInt = #line
    ) throws {
        let written = try rewritten(name, tap ?? name)
        XCTAssertEqual(written[name], expected, file: file, line: line)
        XCTAssertEqual(try written.bfloat16s("fne/weights/conv"), [1, 2, 3, 4], file: file, line: line)
        XCTAssertNil(written["fne/bias/conv"], file: file, line: line)
    }

    func testOrdersThatAreNotAffine() throws {
        for (operation, expected) in [
            ("Sub", "Sub<bfloat16>(fne/bfloat16/c, conv)"), ("RealDiv", "RealDiv(c, fne/float32/conv)"),
            ("Div", "Div(c, fne/float32/conv)"),
        ] {
            setUp()
            writeConvolution([1, 2, 3, 4])
            graph.constant("c", [4], [2, 2, 2, 2])
            graph.node("end", operation, "c", "conv")
            try assertNotFolded(expected)
        }
    }

    func testDivisionByZeroIsNotFolded() throws {
        writeConvolution([1, 2, 3, 4])
        graph.constant("c", [4], [2, 0, 2, 2])
        graph.node("end", "RealDiv", "conv", "c")
        try assertNotFolded("RealDiv(fne/float32/conv, c)")
    }

    func testConstantsOfOtherShapesAreNotFolded() throws {
        for (shape, count) in [([4, 1], 4), ([8, 4], 32), ([1, 1, 1, 1, 4], 4), ([1, 1, 1, 1, 1], 1), ([8], 8)] {
            setUp()
            writeConvolution([1, 2, 3, 4])
            graph.constant("c", shape, [Float](repeating: 2, count: count))
            graph.node("end", "Mul", "conv", "c")
            try assertNotFolded("Mul<bfloat16>(conv, fne/bfloat16/c)")
        }
    }

    func testATensorIsNotFolded() throws {
        writeConvolution([1, 2, 3, 4])
        graph.node("end", "Mul", "conv", "input")
        try assertNotFolded("Mul<bfloat16>(conv, fne/bfloat16/input)")
        setUp()
        writeConvolution([1, 2, 3, 4])
        graph.node("end", "Mul", "conv", "conv")
        try assertNotFolded("Mul<bfloat16>(conv, conv)")
    }

    func testNormalizationsThatAreNotFolded() throws {
        let names = "norm/scale, norm/offset, norm/mean, norm/variance"
        for attributes in [["is_training": Attribute.flag(true)], [:]] as [KeyValuePairs<String, [UInt8]>] {
            setUp()
            writeConvolution([1, 2, 3, 4])
            writeNormalization(attributes: attributes) // training is TensorFlow's default
            try assertNotFolded("FusedBatchNormV3(fne/float32/conv, \(names))", of: "norm")
        }
        setUp()
        writeConvolution([1, 2, 3, 4])
        writeNormalization("norm", of: "conv", "BatchNormWithGlobalNormalization")
        try assertNotFolded("BatchNormWithGlobalNormalization(fne/float32/conv, \(names))", of: "norm")

        setUp()
        writeConvolution([1, 2, 3, 4])
        for name in ["scale", "offset", "mean"] { graph.constant("norm/" + name, [4], scale) }
        graph.constant("norm/variance", [4], [1, 1, -1, 1])
        let inference: KeyValuePairs = ["is_training": Attribute.flag(false)]
        graph.node(
            "norm", "FusedBatchNormV3", "conv", "norm/scale", "norm/offset", "norm/mean", "norm/variance",
            attributes: inference)
        try assertNotFolded("FusedBatchNormV3(fne/float32/conv, \(names))", of: "norm")

        setUp()
        writeConvolution([1, 2, 3, 4])
        graph.constant("c", [4], scale)
        graph.node("norm", "FusedBatchNormV3", "input", "conv", "c", "c", "c", attributes: inference)
        try assertNotFolded("FusedBatchNormV3(input, fne/float32/conv, c, c, c)", of: "norm")
    }

    /// A BiasAdd in the place of a normalization has no further outputs.
    func testANormalizationWhoseStatisticsAreReadIsNotFolded() throws {
        writeConvolution([1, 2, 3, 4])
        writeNormalization()
        graph.node("end", "AddV2", "norm", "norm:1")
        let written = try rewritten("end")
        XCTAssertEqual(written["end"], "AddV2(norm, norm:1)")
        XCTAssertEqual(
            written["norm"], "FusedBatchNormV3(fne/float32/conv, norm/scale, norm/offset, norm/mean, norm/variance)")
    }

    func testANormalizationWhoseStatisticsAreTappedIsNotFolded() throws {
        writeConvolution([1, 2, 3, 4])
        writeNormalization()
        let folded = "BiasAdd"
        XCTAssertTrue(try XCTUnwrap(rewritten("norm")["norm"]).hasPrefix(folded))
        XCTAssertFalse(try XCTUnwrap(rewritten("norm:1")["norm"]).hasPrefix(folded))
    }

    func testATapEndsFolding() throws {
        writeConvolution([1, 2, 3, 4])
        graph.constant("c", [4], [2, 2, 2, 2])
        graph.constant("bias", [4], [5, 6, 7, 8])
        graph.node("sum", "BiasAdd", "conv", "bias")
        graph.node("end", "Mul", "sum", "c")
        try assertNotFolded("BiasAdd<bfloat16>(conv, fne/bfloat16/bias)", of: "sum", tapping: "conv")

        let written = try rewritten("sum", "end")
        XCTAssertEqual(written["sum"], "BiasAdd<bfloat16>(conv, fne/bias/conv)", "the tapped sum itself is folded")
        XCTAssertEqual(try written.bfloat16s("fne/bias/conv"), [5, 6, 7, 8])
        XCTAssertEqual(try written.bfloat16s("fne/weights/conv"), [1, 2, 3, 4])
        XCTAssertEqual(written["end"], "Mul<bfloat16>(sum, fne/bfloat16/c)")
    }

    func testASecondReaderEndsFolding() throws {
        writeConvolution([1, 2, 3, 4])
        graph.constant("c", [4], [2, 2, 2, 2])
        graph.node("end", "Mul", "conv", "c")
        graph.node("second", "Relu", "conv")
        try assertNotFolded("Mul<bfloat16>(conv, fne/bfloat16/c)", tapping: "second")
        XCTAssertEqual(try rewritten("end")["end"], "BiasAdd<bfloat16>(conv, fne/bias/conv)", "one that is not needed")
    }

    func testControlInputsEndFolding() throws {
        let expected = "Mul<bfloat16>(conv, fne/bfloat16/c)"
        func write(_ controls: String...) {
            setUp()
            writeConvolution([1, 2, 3, 4])
            graph.node("started", "NoOp")
            graph.constant("c", [4], [2, 2, 2, 2])
            graph.append(Wire.bytes(1, Wire.node("end", "Mul", ["conv", "c"] + controls)))
        }
        write("^started")
        try assertNotFolded("Mul<bfloat16>(conv, fne/bfloat16/c, ^started)")
        write()
        graph.node("waits", "Relu", "input", "^end")
        try assertNotFolded(expected, tapping: "waits")
        write()
        graph.node("waits", "Relu", "input", "^conv")
        try assertNotFolded(expected, tapping: "waits")
        XCTAssertEqual(try rewritten("end")["end"], "BiasAdd<bfloat16>(conv, fne/bias/conv)", "not needed")
    }

    // MARK: Constants that are left

    func testWeightsThatTwoLayersShare() throws {
        graph.constant("w", [1, 1, 3, 3], [Float](repeating: 0.5, count: 9))
        graph.node("one", "Conv2D", "input", graph.node("read", "Identity", "w"))
        graph.node("two", "Conv2D", "one", "read")
        var written = try rewritten("two")
        XCTAssertNil(written["w"])
        XCTAssertNil(written["read"])
        XCTAssertEqual(try written.bfloat16s("fne/weights/one"), try written.bfloat16s("fne/weights/two"))
        written = try rewritten("two", float32Layers: 1)
        XCTAssertEqual(written["one"], "Conv2D(input, read)", "which still reads them")
        XCTAssertEqual(written["read"], "Identity(w)")
        XCTAssertEqual(written["w"], "Const<float32>()")
    }

    func testConstantsThatSomethingElseUsesStay() throws {
        func write() {
            setUp()
            graph.layer("conv", of: "input", [1, 1, 3, 1], [1, 2, 3])
        }
        write()
        graph.node("sum", "AddV2", "input", "conv/weights")
        XCTAssertEqual(try rewritten("conv", "sum")["conv/weights"], "Const<float32>()")
        XCTAssertNil(try rewritten("conv")["conv/weights"], "not needed")
        write()
        graph.node("waits", "Relu", "input", "^conv/weights")
        XCTAssertEqual(try rewritten("conv", "waits")["conv/weights"], "Const<float32>()")
        XCTAssertNil(try rewritten("conv")["conv/weights"], "not needed")
        write()
        XCTAssertEqual(try rewritten("conv", "conv/weights")["conv/weights"], "Const<float32>()", "tapped")
    }

    func testSharedBiasesGoWithTheirLastReader() throws {
        graph.constant("bias", [3], [1, 2, 3])
        for name in ["one", "two"] {
            graph.layer(name, of: "input", [1, 1, 3, 3], [Float](repeating: 1, count: 9))
            graph.node(name + "/sum", "BiasAdd", name, "bias")
        }
        XCTAssertNil(try rewritten("one/sum", "two/sum")["bias"])
        let written = try rewritten("one/sum", "two", "two/sum")
        XCTAssertEqual(written["bias"], "Const<float32>()", "the second sum reads it through a cast")
        XCTAssertEqual(written["two/sum"], "BiasAdd<bfloat16>(two, fne/bfloat16/bias)")
        XCTAssertEqual(written["fne/bfloat16/bias"], "Cast<float32 to bfloat16>(bias)")
    }

    // MARK: Between layers

    /// A convolution "conv", whose output is bfloat16, and int32 constants "a" and "b".
    private func writeBFloat16() {
        setUp()
        graph.layer("conv", of: "input", [1, 1, 3, 1], [1, 2, 3])
        for name in ["a", "b"] {
            graph.node(name, "Const", attributes: ["dtype": Attribute.int32, "value": Attribute.tensor(type: 3, [1])])
        }
    }

    func testWhatMovesOrComparesValuesFollowsTheirType() throws {
        for (operation, inputs) in [
            ("Relu", ["conv"]), ("Relu6", ["conv"]), ("Elu", ["conv"]), ("LeakyRelu", ["conv"]), ("Identity", ["conv"]),
            ("StopGradient", ["conv"]), ("MaxPool", ["conv"]), ("AvgPool", ["conv"]), ("Squeeze", ["conv"]),
            ("Pad", ["conv", "a"]), ("MirrorPad", ["conv", "a"]), ("Reshape", ["conv", "a"]),
            ("ExpandDims", ["conv", "a"]), ("Transpose", ["conv", "a"]), ("Slice", ["conv", "a", "b"]),
            ("StridedSlice", ["conv", "a", "b", "a"]), ("SpaceToBatchND", ["conv", "a", "b"]),
            ("BatchToSpaceND", ["conv", "a", "b"]), ("Maximum", ["conv", "conv"]), ("ConcatV2", ["conv", "conv", "a"]),
        ] {
            writeBFloat16()
            graph.append(Wire.bytes(1, Wire.node("next", operation, inputs + ["^b"])))
            let written = try rewritten("next")
            XCTAssertEqual(written["next"], "\(operation)<bfloat16>(\(inputs.joined(separator: ", ")), ^b)")
            XCTAssertNil(written["fne/float32/conv"], operation)
        }
    }

    func testOtherTensorsAreCastToTheTypeOfTheFirst() throws {
        for (operation, inputs, expected) in [
            ("ConcatV2", ["input", "conv", "a"], "fne/bfloat16/input, conv, a"),
            ("Minimum", ["conv", "input"], "conv, fne/bfloat16/input"),
            ("AddN", ["input", "input", "conv"], "fne/bfloat16/input, fne/bfloat16/input, conv"),
            ("PadV2", ["conv", "a", "zero"], "conv, a, fne/bfloat16/zero"),
        ] {
            writeBFloat16()
            graph.constant("zero", [], [0])
            graph.append(Wire.bytes(1, Wire.node("next", operation, inputs)))
            XCTAssertEqual(try rewritten("next")["next"], "\(operation)<bfloat16>(\(expected))")
        }
    }

    func testOtherOperationsReadFloat32() throws {
        for operation in ["Sigmoid", "Mean", "Softmax", "Exp", "Cast", "IdentityN", "ResizeBilinear"] {
            writeBFloat16()
            graph.node("next", operation, "conv", "a", "^b")
            let written = try rewritten("next")
            XCTAssertEqual(written["next"], "\(operation)(fne/float32/conv, a, ^b)")
            XCTAssertEqual(written["fne/float32/conv"], "Cast<bfloat16 to float32>(conv)")
        }
        writeBFloat16()
        graph.node("next", "Relu", "conv", attributes: ["T": Wire.number(6, 19)])
        XCTAssertEqual(try rewritten("next")["next"], "Relu<float16>(fne/float32/conv)", "one of another type")
        writeBFloat16()
        graph.node("next", "Reshape", "input", "conv")
        XCTAssertEqual(try rewritten("next")["next"], "Reshape(input, fne/float32/conv)", "only the first input's type")
    }

    func testWhatReadsNoBFloat16StaysAsItIs() throws {
        graph.node("before", "Relu", "input", attributes: ["T": Attribute.float32])
        graph.node("split", "Split", "before", "before")
        graph.layer("conv", of: "split:1", [1, 1, 3, 1], [1, 2, 3])
        let written = try rewritten("conv")
        XCTAssertEqual(Array(written.serialized.prefix(graph.ends[2])), Array(graph.serialized.prefix(graph.ends[2])))
    }

    func testNothingIsCastTwice() throws {
        graph.node("split", "Split", "input", "input")
        for name in ["one", "two"] { graph.layer(name, of: "split:1", [1, 1, 3, 1], [1, 2, 3]) }
        graph.layer("three", of: "split", [1, 1, 3, 1], [1, 2, 3])
        graph.node("a", "Sigmoid", "one")
        graph.node("b", "Tanh", "one")
        let written = try rewritten("a", "b", "two", "three")
        let casts = written.lines.filter { $0.contains(" Cast<") }
        XCTAssertEqual(
            casts,
            [
                "fne/bfloat16/split = Cast<float32 to bfloat16>(split:1)",
                "fne/bfloat16/split_ = Cast<float32 to bfloat16>(split)",
                "fne/float32/one = Cast<bfloat16 to float32>(one)",
            ])
        XCTAssertEqual(written["one"], "Conv2D<bfloat16>(fne/bfloat16/split, fne/weights/one)")
        XCTAssertEqual(written["two"], "Conv2D<bfloat16>(fne/bfloat16/split, fne/weights/two)")
        XCTAssertEqual(written["three"], "Conv2D<bfloat16>(fne/bfloat16/split_, fne/weights/three)")
        XCTAssertEqual(written["a"], "Sigmoid(fne/float32/one)")
        XCTAssertEqual(written["b"], "Tanh(fne/float32/one)")
    }

    func testLocalResponseNormalization() throws {
        writeBFloat16()
        graph.node("next", "LRN", "conv", attributes: ["depth_radius": Attribute.integer(2)])
        let own = try rewritten("next", own: true)
        XCTAssertEqual(own["next"], "FneLRN<bfloat16>(conv)")
        XCTAssertEqual(try own.node("next").integer("depth_radius"), 2)
        XCTAssertEqual(try rewritten("next", own: false)["next"], "LRN(fne/float32/conv)")

        writeBFloat16()
        graph.node("next", "LRN", "input", "^conv")
        XCTAssertEqual(try rewritten("next", own: true)["next"], "FneLRN(input, ^conv)", "of a float32 map")
        XCTAssertEqual(try rewritten("next", own: false)["next"], "LRN(input, ^conv)")
    }

    // MARK: Sums

    /// Convolutions "one" and "two" and their sum; `relu` reads it.
    private func writeSum(_ operation: String = "AddV2", _ inputs: [String] = ["one", "two"], relu: String? = "Relu") {
        setUp()
        for name in ["one", "two"] { graph.layer(name, of: "input", [1, 1, 3, 1], [1, 2, 3]) }
        graph.node("started", "NoOp")
        graph.append(Wire.bytes(1, Wire.node("sum", operation, inputs)))
        if let relu { graph.node("relu", relu, "sum") }
        graph.node("top", "MaxPool", relu == nil ? "sum" : "relu")
    }

    func testASumAndItsReluAreOneOperation() throws {
        for operation in ["Add", "AddV2"] {
            writeSum(operation, ["one", "two", "^started"])
            let written = try rewritten("top", own: true)
            XCTAssertNil(written["sum"])
            XCTAssertEqual(written["relu"], "FneAdd<bfloat16>(one, two, ^started)")
            XCTAssertTrue(try written.node("relu").flag("relu"))
            XCTAssertEqual(written["top"], "MaxPool<bfloat16>(relu)")
        }
        writeSum()
        XCTAssertEqual(try rewritten("relu", own: true)["relu"], "FneAdd<bfloat16>(one, two)", "tapped after the Relu")
    }

    func testASumWithoutRelu() throws {
        for relu in [nil, "Relu6"] {
            writeSum(relu: relu)
            let written = try rewritten("top", own: true)
            XCTAssertEqual(written["sum"], "FneAdd<bfloat16>(one, two)")
            XCTAssertFalse(try written.node("sum").flag("relu"))
        }
    }

    func testASumThatSomethingElseUsesIsApartFromItsRelu() throws {
        func assertApart(_ message: String, tapping tap: String, line: UInt = #line) throws {
            let written = try rewritten("top", tap, own: true)
            XCTAssertEqual(written["sum"], "FneAdd<bfloat16>(one, two)", message, line: line)
            XCTAssertEqual(written["relu"], "Relu<bfloat16>(sum)", message, line: line)
        }
        writeSum()
        try assertApart("tapped", tapping: "sum")
        writeSum()
        graph.node("second", "Relu6", "sum")
        try assertApart("read by another", tapping: "second")
        XCTAssertNil(try rewritten("top", own: true)["sum"], "which is not needed")
        writeSum()
        graph.node("waits", "Relu", "input", "^sum")
        try assertApart("awaited", tapping: "waits")
        writeSum(relu: nil)
        graph.node("relu", "Relu", "sum", "^started")
        let written = try rewritten("relu", own: true)
        XCTAssertEqual(written["sum"], "FneAdd<bfloat16>(one, two)", "the Relu waits for another node")
        XCTAssertEqual(written["relu"], "Relu<bfloat16>(sum, ^started)")
    }

    func testSumsWithoutOwnOperations() throws {
        writeSum()
        let written = try rewritten("top", own: false)
        XCTAssertEqual(written["sum"], "AddV2<bfloat16>(one, two)")
        XCTAssertEqual(written["relu"], "Relu<bfloat16>(sum)")
    }

    func testASumWithAFloat32Tensor() throws {
        writeSum("AddV2", ["input", "two"])
        XCTAssertEqual(try rewritten("top", own: true)["relu"], "FneAdd<bfloat16>(fne/bfloat16/input, two)")
        writeSum("AddV2", ["input", "input"])
        XCTAssertEqual(try rewritten("top", own: true)["sum"], "AddV2(input, input)", "nothing is bfloat16")
        writeSum("AddN", ["one", "two"])
        XCTAssertEqual(try rewritten("top", own: true)["sum"], "AddN<bfloat16>(one, two)", "another operation")
    }

    // MARK: Large weights

    func testLargeWeightsOfProductsAreFed() throws {
        let columns = FedWeights.threshold / 2 / 1_024
        let values = [Float](repeating: 0.5, count: 1_024 * columns)
        graph.constant("weights", [1_024, columns], values)
        graph.node("fc", "MatMul", "input", "weights")
        graph.node("end", "Mul", "fc", graph.constant("two", [], [2]))
        let written = try rewritten("end", feeds: true)
        XCTAssertEqual(
            written.lines,
            [
                "input = Placeholder<float32>()", "fc = MatMul<bfloat16>(fne/bfloat16/input, fne/weights/fc)",
                "end = BiasAdd<bfloat16>(fc, fne/bias/fc)", "fne/weights/fc = Placeholder<bfloat16>()",
                "fne/bfloat16/input = Cast<float32 to bfloat16>(input)", "fne/bias/fc = Const<bfloat16>()",
            ])
        XCTAssertEqual(try written.node("fne/weights/fc").shape("shape"), [1_024, columns])
        XCTAssertEqual(fed.map(\.node), ["fne/weights/fc"])
        XCTAssertEqual(fed.map(\.type), [.bfloat16])
        XCTAssertEqual(fed.map(\.shape), [[1_024, columns]])
        let ones = try XCTUnwrap(fed.first?.values.withBytes { Array($0) })
        XCTAssertEqual(ones.count, FedWeights.threshold)
        XCTAssertTrue(zip(ones, (0..<ones.count).map { $0 % 2 == 0 ? 0x80 : 0x3f }).allSatisfy { $0 == $1 }, "all 1")

        XCTAssertEqual(try rewritten("end", feeds: false)["fne/weights/fc"], "Const<bfloat16>()")
        XCTAssertTrue(fed.isEmpty)
    }

    func testSmallerWeightsAndConvolutionsAreNotFed() throws {
        let count = FedWeights.threshold / 2
        graph.layer("fc", of: "input", [1, count - 1], [Float](repeating: 1, count: count - 1), "MatMul")
        XCTAssertEqual(try rewritten("fc", feeds: true)["fne/weights/fc"], "Const<bfloat16>()")
        XCTAssertTrue(fed.isEmpty)
        setUp()
        graph.layer("conv", of: "input", [1, 1, 1, count], [Float](repeating: 1, count: count))
        XCTAssertEqual(try rewritten("conv", feeds: true)["fne/weights/conv"], "Const<bfloat16>()")
        XCTAssertTrue(fed.isEmpty)
    }
}

import XCTest

@testable import FNENetwork
@testable import FNESupport

/// The layers of small graphs. Each graph is one that PyTorch's exporters or tf2onnx write.
final class ONNXLayersTests: XCTestCase {
    /// The layers of the graph that a convolution "c" of 4 channels begins, and the body goes on with.
    private func layers(
        _ body: (inout ONNXFile) -> Void, file: StaticString = #filePath, line: UInt = #line
    ) throws -> [String] {
        var graph = ONNXFile()
        graph.constant("w", [4, 3, 1, 1])
        graph.node("c = Conv x w")
        body(&graph)
        return try graph.network().words
    }

    // MARK: Operators

    func testConvolutionsHaveTheChannelsOfTheirWeights() throws {
        var file = ONNXFile()
        file.constant("a", [6, 3, 3, 3])
        file.constant("b", [6, 1, 3, 3])
        file.constant("c", [6, 5, 2, 2])
        file.constant("d", [5, 1, 2, 2])
        file.constant("e", [4, 2, 1, 1])
        file.node("y1 = Conv x a")
        file.node("y2 = Conv y1 b", ["group": .integer(6)])
        file.node("y3 = ConvTranspose y2 c")
        file.node("y4 = ConvTranspose y3 d", ["group": .integer(5)])
        file.node("y5 = Conv y4 e", ["group": .integer(2)])
        file.output("y5")
        XCTAssertEqual(
            try file.network().words,
            ["y1 convolution 6", "y2 depthwise 6", "y3 convolution 5", "y4 depthwise 5", "y5 convolution 4"])
    }

    func testProductsAreLayersWhereTheWeightsAreConstant() throws {
        var file = ONNXFile(input: [-1, 3, 8, 8])
        file.constant("w", [8, 5])
        file.constant("t", [7, 5])
        file.constant("many", [2, 7, 7])
        file.node("y1 = MatMul x w")
        file.node("y2 = Gemm y1 t", ["transB": .integer(1)])
        file.node("attention = MatMul y1 y2")
        file.node("split = MatMul attention many")
        file.node("u = Transpose w")
        file.node("y3 = MatMul split u")
        file.output("y3")
        XCTAssertEqual(try file.network().words, ["y1 dense 5", "y2 dense 7", "y3 dense 8 classifier"])
    }

    func testAnEinsumIsALayerWhereItMultipliesByAMatrix() throws {
        func words(_ equation: String) throws -> [String] {
            var file = ONNXFile()
            file.constant("w", [8, 5])
            file.node("y = Einsum x w", ["equation": .text(equation)])
            file.node("z = Relu y")
            return try file.network().words
        }
        XCTAssertEqual(try words("bchi, io -> bcho"), ["z dense 5"])
        XCTAssertEqual(try words("bcho,io->bchi"), ["z dense 8"])
        for other in ["bchi,io->bcoh", "bchi,ij->bchi", "bchi,bo->bcho", "bchi,io", "", "a,b,c->d"] {
            XCTAssertEqual(try words(other), [], other)
        }
    }

    func testLayersInsideOfOtherOperatorsAreNoted() throws {
        var inner = ONNXFile.empty
        inner.constant("w", [2, 3, 1, 1])
        inner.node("t = Conv x w")
        var file = ONNXFile()
        file.node("y = If x", ["then_branch": .graph(inner.graph), "else_branch": .graph(inner.graph)])
        file.node("z = LSTM y y y")
        let notes = try file.network().notes
        XCTAssertEqual(notes.count, 1)
        XCTAssertTrue(notes[0].contains("2 of its layers are inside of conditions or loops"), notes[0])
        XCTAssertTrue(notes[0].contains("node of z"), notes[0])
        XCTAssertEqual(try ONNXLayersTests.plain().network().notes, [])
    }

    private static func plain() -> ONNXFile {
        var file = ONNXFile()
        file.node("y = Relu x")
        return file
    }

    func testWeightsMayBeComputedFromConstants() throws {
        var file = ONNXFile()
        file.constant("w", [4, 3, 1, 1])
        file.constant("m", [1, 1, 1, 1])
        file.node("centred = Sub w m")
        file.node("scaled = Mul centred m")
        file.node("y = Conv x scaled")
        file.node("k = Constant", ["value": .tensor(ONNXFile.tensor("", [2, 4, 1, 1]))])
        file.node("z = Conv y k")
        file.output("z")
        XCTAssertEqual(try file.network().words, ["y convolution 4", "z convolution 2"])
    }

    func testWhatReadsConstantsOnlyIsNoLayer() throws {
        XCTAssertEqual(
            try layers { // the bias of positions of Swin V2
                $0.constant("table", [9, 2])
                $0.constant("w1", [2, 8])
                $0.constant("w2", [8, 1])
                $0.node("t1 = MatMul table w1")
                $0.node("t2 = Relu t1")
                $0.node("t3 = MatMul t2 w2")
                $0.node("y = Add c t3")
                $0.output("y")
            }, ["c convolution 4"])
    }

    func testQuantizedConvolutionsAreLayers() throws {
        var file = ONNXFile()
        file.constant("s", [])
        file.constant("z", [])
        file.constant("w", [4, 3, 1, 1])
        file.node("q = QuantizeLinear x s z")
        file.node("y1 = QLinearConv q s z w s z s z")
        file.node("d = DequantizeLinear y1 s z")
        file.node("dw = DequantizeLinear w s z")
        file.node("r = Conv x dw")
        file.node("y2 = Add r d")
        file.output("y2")
        let network = try file.network()
        XCTAssertEqual(network.words, ["y1 convolution 4", "r convolution 4"])
        XCTAssertEqual(network.analysis.layers.map(\.isQuantized), [true, false])
    }

    // MARK: What follows

    func testBiasNormalizationAndOneActivationBelongToTheLayer() throws {
        XCTAssertEqual(
            try layers {
                $0.constant("b", [1, 4, 1, 1])
                $0.constant("v", [4])
                $0.node("s = Add c b")
                $0.node("n = BatchNormalization s v v v v")
                $0.node("a = Relu n")
                $0.node("second = Tanh a")
                $0.output("second")
            }, ["a convolution 4"])
    }

    func testANormalizationWithTwoReadersEndsInItsActivation() throws {
        XCTAssertEqual(
            try layers { // GELU of PyTorch's older exporter, as in MaxViT
                $0.constant("v", [4])
                $0.constant("root", [])
                $0.constant("one", [])
                $0.constant("half", [])
                $0.node("n = BatchNormalization c v v v v")
                $0.node("d = Div n root")
                $0.node("e = Erf d")
                $0.node("p = Add e one")
                $0.node("m = Mul n p")
                $0.node("g = Mul m half")
                $0.node("end = GlobalAveragePool g")
                $0.output("end")
            }, ["g convolution 4"])
        XCTAssertEqual(
            try layers { // two blocks read the normalized map
                $0.constant("v", [4])
                $0.node("n = BatchNormalization c v v v v")
                $0.node("a = Relu n")
                $0.node("p = MaxPool n", ["kernel_shape": .integers([1, 1])])
                $0.node("y = Add a p")
                $0.output("y")
            }, ["n convolution 4"])
    }

    func testComposedActivationsEndWhereAllPathsMeet() throws {
        XCTAssertEqual(
            try layers { // SiLU
                $0.node("s = Sigmoid c")
                $0.node("y = Mul c s")
                $0.output("y")
            }, ["y convolution 4"])
        XCTAssertEqual(
            try layers { // a hard swish
                $0.constant("three", [], [3])
                $0.constant("six", [], [6])
                $0.constant("zero", [], [0])
                $0.node("p = Add c three")
                $0.node("k = Clip p zero six")
                $0.node("m = Mul c k")
                $0.node("y = Div m six")
                $0.output("y")
            }, ["y convolution 4"])
        XCTAssertEqual(
            try layers { // one path leaves: a gate of another branch
                $0.node("s = Sigmoid c")
                $0.node("p = GlobalAveragePool c")
                $0.node("y = Mul p s")
                $0.output("y")
            }, ["c convolution 4"])
    }

    func testAHardSigmoidThatIsWrittenOutEndsAfterItsFactor() throws {
        func words(_ addend: Float) throws -> [String] {
            try layers {
                $0.constant("addend", [], [addend])
                $0.constant("six", [], [6])
                $0.constant("zero", [], [0])
                $0.node("p = Add c addend")
                $0.node("k = Clip p zero six")
                $0.node("y = Div k six")
                $0.output("y")
            }
        }
        XCTAssertEqual(try words(3), ["y convolution 4"])
        XCTAssertEqual(try words(2), ["k convolution 4"])
    }

    func testAConstantFactorBelongsToTheLayerOnlyBeforeASumOrAnActivation() throws {
        func words(_ end: String) throws -> [String] {
            try layers {
                $0.constant("gamma", [1, 4, 1, 1])
                $0.node("m = Mul c gamma")
                $0.node(end)
                $0.output("y")
            }
        }
        XCTAssertEqual(try words("y = Add m x"), ["c convolution 4"], "a block's scale")
        XCTAssertEqual(try words("y = Add m gamma"), ["y convolution 4"], "a normalization that is written out")
        XCTAssertEqual(try words("y = Relu m"), ["y convolution 4"])
    }

    func testAnEmbeddingOfPositionsIsNoBias() throws {
        var file = ONNXFile()
        file.constant("w", [8, 5])
        file.constant("b", [5])
        file.constant("positions", [1, 3, 8, 5])
        file.node("p = MatMul x w")
        file.node("s = Add b p")
        file.node("y = Add s positions")
        file.node("z = LayerNormalization y b")
        file.output("z")
        XCTAssertEqual(try file.network().words, ["s dense 5"])
    }

    func testAResidualSumAndASecondReaderEndTheLayer() throws {
        XCTAssertEqual(
            try layers {
                $0.node("y = Add c x")
                $0.node("z = Relu y")
                $0.output("z")
            }, ["c convolution 4"])
        XCTAssertEqual(
            try layers { // a node that reads only the shape is no reader
                $0.node("s = Shape c")
                $0.node("r = Relu c")
                $0.node("y = Reshape r s")
                $0.output("y")
            }, ["r convolution 4"])
    }

    func testATransposeOfTheMapMovesTheChannels() throws {
        var file = ONNXFile()
        file.constant("w", [4, 3, 1, 1])
        file.constant("b", [4])
        file.node("c = Conv x w")
        file.node("t = Transpose c", ["perm": .integers([0, 2, 3, 1])])
        file.node("y = Add t b")
        file.output("y")
        let layers = try file.network().analysis.layers
        XCTAssertEqual(layers.map(\.channelsLast), [true])
        XCTAssertEqual(layers.map(\.rank), [4])
    }

    // MARK: Classifiers

    /// The layers of a graph in which "f" is the last map's average, [n, 4].
    private func heads(_ body: (inout ONNXFile) -> Void) throws -> [String] {
        try layers {
            $0.node("pool = GlobalAveragePool c")
            $0.node("f = Flatten pool")
            $0.constant("k", [4, 10])
            $0.constant("b", [10])
            body(&$0)
        }
    }

    func testTheLastDenseLayerIsAClassifier() throws {
        XCTAssertEqual(
            try heads {
                $0.node("y = Gemm f k b")
                $0.output("y")
            }, ["c convolution 4", "y dense 10 classifier"])
        XCTAssertEqual(
            try heads {
                $0.node("y = MatMul f k")
                $0.node("z = Add y b")
                $0.node("p = Softmax z")
                $0.output("p")
            }, ["c convolution 4", "z dense 10 classifier"])
    }

    func testALayerBeforeAResidualSumOrANormalizationIsNone() throws {
        XCTAssertEqual(
            try heads {
                $0.node("y = Gemm f k b")
                $0.node("z = Relu y")
                $0.output("z")
            }, ["c convolution 4", "z dense 10"])
        XCTAssertEqual(
            try heads {
                $0.node("y = Gemm f k b")
                $0.node("z = LayerNormalization y b")
                $0.output("z")
            }, ["c convolution 4", "y dense 10"])
        XCTAssertEqual(
            try heads {
                $0.node("r = ReduceMax pool", ["keepdims": .integer(0)])
                $0.node("y = Gemm f k b")
                $0.node("z = Add y r")
                $0.output("z")
            }, ["c convolution 4", "y dense 10"])
    }

    func testTheAverageOfTwoClassifiersIsNoResidualSum() throws {
        XCTAssertEqual(
            try heads { // DeiT with distillation
                $0.constant("two", [])
                $0.node("y = Gemm f k b")
                $0.node("z = Gemm f k")
                $0.node("s = Add y z")
                $0.node("m = Div s two")
                $0.output("m")
            }, ["c convolution 4", "y dense 10 classifier", "z dense 10 classifier"])
    }

    func testClassifierInputsAreReadBeforeChangesOfShape() throws {
        var file = ONNXFile()
        file.constant("w", [4, 3, 1, 1])
        file.constant("k", [4, 10])
        file.node("c = Conv x w")
        file.node("pool = GlobalAveragePool c")
        file.node("f = Flatten pool")
        file.node("y = Gemm f k")
        file.output("y")
        let tensors = try file.network().tensors
        XCTAssertEqual(tensors.filter(\.isClassifierInput).map(\.name), ["pool"])
        XCTAssertEqual(tensors.map(\.name), ["x", "c", "pool", "f", "y"])
        XCTAssertEqual(tensors.map(\.kind), [.input, .convolution, .other, .other, .dense])
        XCTAssertEqual(tensors.map(\.isDefault), [false, true, false, false, false])
        XCTAssertEqual(tensors.map(\.isClassifier), [false, false, false, false, true])
        XCTAssertEqual(tensors.map(\.operation), ["Input", "Conv", "GlobalAveragePool", "Flatten", "Gemm"])
    }

    // MARK: Paths of modules

    func testModulesComeFromWeightsMetadataOrNames() throws {
        var file = ONNXFile()
        file.constant("layer1.0.conv1.weight", [3, 3, 1, 1])
        file.constant("w", [3, 3, 1, 1])
        file.node("a = Conv x layer1.0.conv1.weight", named: "/bn1/Conv")
        file.node("b = Conv a w", named: "/layer1/layer1.0/conv2/Conv")
        let scopes =
            Wire.text(1, "pkg.torch.onnx.name_scopes") + Wire.text(2, "['', 'features', 'features.2', 'conv2d']")
        file.graph += Wire.bytes(1, ONNXFile.node("c = Conv b w") + Wire.bytes(9, scopes))
        file.node("d = Conv c w")
        file.output("d")
        XCTAssertEqual(
            try file.network().analysis.layers.map(\.module), ["layer1.0.conv1", "layer1.0.conv2", "features.2", nil])
    }
}

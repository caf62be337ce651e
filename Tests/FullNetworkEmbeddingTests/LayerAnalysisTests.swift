import XCTest

@testable import FNENetwork

/// Tests by small graphs which tensors are a network's layers.
final class LayerAnalysisTests: XCTestCase {
    private var graph = GraphWriter()
    private var input = ""

    override func setUp() {
        graph = GraphWriter()
        input = graph.placeholder("input", [-1, 16, 16, 3])
    }

    /// The default layers and the classifier's layers of the graph that a test has written.
    private func assertLayers(
        _ layers: [String], classifier: [String] = [], reading inputs: [String]? = nil, file: StaticString = #filePath,
        line: UInt = #line
    ) throws {
        let tensors = try graph.model().tensors
        XCTAssertEqual(tensors.filter(\.isDefault).map(\.name), layers, file: file, line: line)
        XCTAssertEqual(tensors.filter(\.isClassifier).map(\.name), classifier, file: file, line: line)
        if let inputs {
            XCTAssertEqual(tensors.filter(\.isClassifierInput).map(\.name), inputs, file: file, line: line)
        }
    }

    /// Adds a convolution with bias and ReLU. Returns the name of the ReLU.
    private func block(_ name: String, of tensor: String, _ weights: [Int]) -> String {
        let conv = graph.convolution(name, of: tensor, weights)
        let bias = graph.with(name + "/bias", "BiasAdd", conv, constant: [weights[3]])
        return graph.node(name + "/relu", "Relu", bias)
    }

    // MARK: Where a layer ends

    func testTheOutputIsBehindBiasAndActivation() throws {
        let first = block("one", of: input, [3, 3, 3, 8])
        graph.node("top", "MaxPool", block("two", of: first, [3, 3, 8, 16]))
        try assertLayers(["one/relu", "two/relu"])
    }

    func testTheOutputIsBehindNormalization() throws {
        for name in ["scale", "offset", "mean", "variance"] { graph.constant(name, [8]) }
        let conv = graph.convolution("conv", of: input, [3, 3, 3, 8])
        let norm = graph.node("norm", "FusedBatchNormV3", conv, "scale", "offset", "mean", "variance")
        graph.node("relu", "Relu", norm)
        try assertLayers(["relu"])
    }

    func testNormalizationWrittenOut() throws {
        // Keras: x * scale + offset, after folding with constants computed from constants.
        let conv = graph.convolution("conv", of: input, [3, 3, 3, 8])
        graph.constant("variance", [8])
        graph.node("rsqrt", "Rsqrt", "variance")
        let scaled = graph.node("mul", "Mul", conv, "rsqrt")
        graph.node("relu", "Relu", graph.with("add", "AddV2", scaled, constant: [8]))
        try assertLayers(["relu"])
    }

    func testBatchNormalizationInTrainingModeWrittenOut() throws {
        for (axes, layer) in [([0, 1, 2], "relu"), ([1, 2], "conv")] {
            setUp()
            let conv = graph.convolution("conv", of: input, [3, 3, 3, 8])
            let content = Attribute.content(integers: axes.map { Int32($0) })
            graph.node("axes", "Const", attributes: ["value": Attribute.tensor(type: 3, [axes.count], content)])
            graph.node("mean", "Mean", conv, "axes")
            graph.node("variance", "Mean", graph.node("squares", "SquaredDifference", conv, "mean"), "axes")
            graph.node("rsqrt", "Rsqrt", graph.with("epsilon", "AddV2", "variance", constant: []))
            graph.node("shift", "Mul", "mean", "rsqrt")
            graph.node("norm", "Sub", graph.node("scaled", "Mul", conv, "rsqrt"), "shift")
            graph.node("relu", "Relu", "norm")
            try assertLayers([layer])
        }
    }

    func testAConvolutionWithoutActivation() throws {
        let conv = graph.convolution("conv", of: input, [3, 3, 3, 8])
        graph.node("top", "MaxPool", graph.with("bias", "BiasAdd", conv, constant: [8]))
        try assertLayers(["bias"])
    }

    func testTheWalkEndsBehindTheFirstActivation() throws {
        let relu = block("conv", of: input, [3, 3, 3, 8])
        graph.node("second", "Relu", graph.with("scale", "Mul", relu, constant: [8]))
        try assertLayers(["conv/relu"])
    }

    func testIdentitiesArePassed() throws {
        let conv = graph.convolution("conv", of: input, [3, 3, 3, 8])
        let identity = graph.node("identity", "Identity", conv)
        graph.node("relu", "Relu", graph.node("again", "StopGradient", identity))
        try assertLayers(["relu"])

        setUp() // they are no layer's output when nothing follows them
        let plain = graph.convolution("conv", of: input, [3, 3, 3, 8])
        graph.node("top", "MaxPool", graph.node("identity", "Identity", plain))
        try assertLayers(["conv"])
    }

    func testEveryActivationOfOneOperation() throws {
        for activation in ["Relu", "Relu6", "Elu", "Selu", "LeakyRelu", "Tanh", "Softplus", "Softsign", "Sigmoid"] {
            setUp()
            let activated = graph.node("activation", activation, graph.convolution("conv", of: input, [3, 3, 3, 8]))
            graph.node("top", "MaxPool", graph.convolution("next", of: activated, [3, 3, 8, 8]))
            try assertLayers(["activation", "next"])
        }
    }

    func testAtrousConvolutions() throws {
        graph.constant("block", [2])
        graph.constant("pads", [2, 2])
        let blocks = graph.node("to_blocks", "SpaceToBatchND", input, "block", "pads")
        let conv = graph.convolution("conv", of: blocks, [3, 3, 3, 8])
        let map = graph.node("from_blocks", "BatchToSpaceND", conv, "block", "pads")
        graph.node("relu", "Relu", graph.with("bias", "BiasAdd", map, constant: [8]))
        try assertLayers(["relu"])
    }

    // MARK: What ends a layer early

    func testAResidualSumEndsTheLayer() throws {
        let trunk = block("trunk", of: input, [3, 3, 3, 8])
        let conv = graph.convolution("branch", of: trunk, [3, 3, 8, 8])
        let branch = graph.with("branch/bias", "BiasAdd", conv, constant: [8])
        graph.node("relu", "Relu", graph.node("sum", "AddV2", branch, trunk))
        try assertLayers(["trunk/relu", "branch/bias"])
    }

    func testASecondReaderEndsTheLayer() throws {
        let conv = graph.convolution("conv", of: input, [3, 3, 3, 8])
        let bias = graph.with("bias", "BiasAdd", conv, constant: [8])
        graph.node("relu", "Relu", bias)
        graph.node("pool", "MaxPool", bias)
        try assertLayers(["bias"])
    }

    func testAReaderOfTheShapeAloneDoesNot() throws {
        let conv = graph.convolution("conv", of: input, [3, 3, 3, 8])
        graph.node("shape", "Shape", conv)
        graph.node("relu", "Relu", conv)
        try assertLayers(["relu"])
    }

    func testAConcatenationEndsTheLayer() throws {
        let a = graph.convolution("a", of: input, [1, 1, 3, 8])
        let b = graph.convolution("b", of: input, [3, 3, 3, 8])
        graph.constant("axis", [])
        graph.node("relu", "Relu", graph.node("concat", "ConcatV2", a, b, "axis"))
        try assertLayers(["a", "b"])
    }

    // MARK: Activations of several operations

    func testSwish() throws {
        let conv = graph.convolution("conv", of: input, [3, 3, 3, 8])
        let bias = graph.with("bias", "BiasAdd", conv, constant: [8])
        let swish = graph.node("swish", "Mul", bias, graph.node("gate", "Sigmoid", bias))
        graph.node("top", "MaxPool", graph.convolution("next", of: swish, [3, 3, 8, 8]))
        try assertLayers(["swish", "next"])
    }

    func testSwishWithTheGateFirst() throws {
        let conv = graph.convolution("conv", of: input, [3, 3, 3, 8])
        graph.node("top", "MaxPool", graph.node("swish", "Mul", graph.node("gate", "Sigmoid", conv), conv))
        try assertLayers(["swish"])
    }

    func testHardSwish() throws {
        // x * relu6(x + 3) / 6, the division before the product, as Keras writes it.
        let conv = graph.convolution("conv", of: input, [3, 3, 3, 8])
        let shifted = graph.with("shift", "AddV2", conv, constant: [])
        let gate = graph.with("sixth", "Mul", graph.node("relu6", "Relu6", shifted), constant: [])
        graph.node("top", "MaxPool", graph.node("swish", "Mul", conv, gate))
        try assertLayers(["swish"])
    }

    func testHardSwishDividedBehindTheProduct() throws {
        let conv = graph.convolution("conv", of: input, [3, 3, 3, 8])
        let shifted = graph.with("shift", "AddV2", conv, constant: [])
        let product = graph.node("product", "Mul", conv, graph.node("relu6", "Relu6", shifted))
        graph.node("top", "MaxPool", graph.with("swish", "RealDiv", product, constant: []))
        try assertLayers(["swish"])
    }

    func testMish() throws {
        let conv = graph.convolution("conv", of: input, [3, 3, 3, 8])
        let gate = graph.node("tanh", "Tanh", graph.node("softplus", "Softplus", conv))
        graph.node("top", "MaxPool", graph.node("mish", "Mul", conv, gate))
        try assertLayers(["mish"])
    }

    func testGelu() throws {
        // x / 2 * (1 + erf(x / sqrt(2)))
        let conv = graph.convolution("conv", of: input, [3, 3, 3, 8])
        let half = graph.with("half", "Mul", conv, constant: [])
        let erf = graph.node("erf", "Erf", graph.with("scaled", "RealDiv", conv, constant: []))
        graph.node("top", "MaxPool", graph.node("gelu", "Mul", half, graph.with("one", "AddV2", erf, constant: [])))
        try assertLayers(["gelu"])
    }

    func testPReLU() throws {
        // relu(x) - alpha * relu(-x)
        let conv = graph.convolution("conv", of: input, [3, 3, 3, 8])
        let mirrored = graph.node("relu2", "Relu", graph.node("neg", "Neg", conv))
        let negative = graph.with("alpha", "Mul", mirrored, constant: [8])
        graph.node("top", "MaxPool", graph.node("prelu", "AddV2", graph.node("relu1", "Relu", conv), negative))
        try assertLayers(["prelu"])
    }

    func testAGateOfAnotherTensorIsNoActivation() throws {
        // Squeeze and excitation scales the map by factors that a dense path made of it.
        let relu = block("conv", of: input, [3, 3, 3, 8])
        let squeezed = graph.with("squeeze", "Mean", relu, constant: [2])
        let gate = graph.node("gate", "Sigmoid", graph.convolution("excite", of: squeezed, [1, 1, 8, 8]))
        let scaled = graph.node("scaled", "Mul", relu, gate)
        graph.node("top", "MaxPool", block("last", of: scaled, [3, 3, 8, 8]))
        try assertLayers(["conv/relu", "gate", "last/relu"])
    }

    // MARK: Kinds

    func testKindsAndChannels() throws {
        let conv = graph.convolution("conv", of: input, [3, 3, 3, 8])
        let depthwise = graph.convolution("depthwise", of: conv, [3, 3, 8, 2], "DepthwiseConv2dNative")
        graph.constant("sizes", [4])
        graph.constant("kernel", [2, 2, 5, 16])
        let up = graph.node("up", "Conv2DBackpropInput", "sizes", "kernel", depthwise)
        let dense = graph.dense("dense", of: graph.with("flat", "Reshape", up, constant: [2]), [80, 7])
        graph.constant("turned/weights", [9, 7])
        let turned = graph.node(
            "turned", "MatMul", dense, "turned/weights", attributes: ["transpose_b": Attribute.flag(true)])
        graph.node("top", "Relu", turned)
        let layers = try graph.model().defaultLayers
        XCTAssertEqual(layers.map(\.name), ["conv", "depthwise", "up", "dense", "top"])
        XCTAssertEqual(layers.map(\.kind), [.convolution, .depthwise, .convolution, .dense, .dense])
        XCTAssertEqual(layers.map(\.channels), [8, 16, 5, 7, 9])
        XCTAssertEqual(layers.map(\.rank), [4, 4, 4, 2, 2])
    }

    func testWeightsBehindAnIdentity() throws {
        // Frozen variables: Const, Identity ("read"), Conv2D.
        graph.constant("weights", [3, 3, 3, 8])
        graph.node("weights/read", "Identity", "weights")
        graph.node("top", "MaxPool", graph.node("conv", "Conv2D", input, "weights/read"))
        XCTAssertEqual(try graph.model().defaultLayers.map(\.channels), [8])
    }

    func testAProductOfTwoActivationsIsNoLayer() throws {
        let conv = block("conv", of: input, [3, 3, 3, 8])
        let flat = graph.with("flat", "Reshape", conv, constant: [2])
        graph.node("attention", "MatMul", flat, flat)
        try assertLayers(["conv/relu"])
    }

    func testWhatIsComputedFromConstantsIsNoLayer() throws {
        graph.constant("picture", [1, 8, 8, 3])
        graph.convolution("folded", of: "picture", [3, 3, 3, 8])
        graph.node("top", "MaxPool", block("conv", of: input, [3, 3, 3, 8]))
        try assertLayers(["conv/relu"])
        XCTAssertFalse(try graph.model().tensors.map(\.name).contains("folded"))
    }

    // MARK: Classifiers

    func testADenseClassifierWithSoftmaxIsLeftOut() throws {
        let pooled = graph.with("pool", "Mean", block("conv", of: input, [3, 3, 3, 8]), constant: [2])
        let hidden = graph.node("hidden/relu", "Relu", graph.dense("hidden", of: pooled, [8, 32]))
        let logits = graph.with("logits", "BiasAdd", graph.dense("fc", of: hidden, [32, 10]), constant: [10])
        graph.node("softmax", "Softmax", logits)
        try assertLayers(["conv/relu", "hidden/relu"], classifier: ["logits"], reading: ["hidden/relu"])
    }

    func testADenseClassifierWithoutSoftmaxIsLeftOut() throws {
        let pooled = graph.with("pool", "Mean", block("conv", of: input, [3, 3, 3, 8]), constant: [2])
        let product = graph.dense("fc", of: pooled, [8, 10])
        graph.node("output", "Identity", graph.with("logits", "BiasAdd", product, constant: [10]))
        try assertLayers(["conv/relu"], classifier: ["logits"])
    }

    func testASigmoidClassifierIsLeftOut() throws {
        let pooled = graph.with("pool", "Mean", block("conv", of: input, [3, 3, 3, 8]), constant: [2])
        graph.node("labels", "Sigmoid", graph.dense("fc", of: pooled, [8, 10]))
        try assertLayers(["conv/relu"], classifier: ["labels"])
    }

    func testAOneByOneConvolutionOfAPooledMapIsAClassifier() throws {
        // MobileNet v1: average pooling, 1x1 convolution, squeeze, with or without softmax.
        for softmax in [true, false] {
            setUp()
            let pooled = graph.with("pool", "Mean", block("conv", of: input, [3, 3, 3, 8]), constant: [2])
            let scores = graph.convolution("scores", of: pooled, [1, 1, 8, 10])
            let logits = graph.node("squeeze", "Squeeze", graph.with("logits", "BiasAdd", scores, constant: [10]))
            if softmax { graph.node("softmax", "Softmax", graph.with("shape", "Reshape", logits, constant: [2])) }
            try assertLayers(["conv/relu"], classifier: ["logits"], reading: ["pool"])
        }
    }

    func testAClassifierReadsTheJoinedBranchesOfALastBlock() throws {
        let branches = ["a", "b"].map { block($0, of: input, [3, 3, 3, 8]) }
        let joined = graph.node("join", "ConcatV2", branches[0], branches[1], graph.constant("axis", [1]))
        let pooled = graph.with("pool", "Mean", joined, constant: [2])
        let flat = graph.node("dropout", "Identity", graph.with("flat", "Reshape", pooled, constant: [2]))
        graph.node("softmax", "Softmax", graph.dense("fc", of: flat, [16, 10]))
        try assertLayers(["a/relu", "b/relu"], classifier: ["fc"], reading: ["pool"])
    }

    func testANetworkWithoutAHeadHasNoClassifier() throws {
        let relu = block("two", of: block("one", of: input, [3, 3, 3, 8]), [3, 3, 8, 16])
        graph.with("pool", "Mean", relu, constant: [2])
        try assertLayers(["one/relu", "two/relu"], reading: [])
    }

    func testAGateBehindAResidualSumIsNoClassifier() throws {
        let trunk = block("trunk", of: input, [3, 3, 3, 8])
        let sum = graph.node("sum", "AddV2", graph.convolution("branch", of: trunk, [3, 3, 8, 8]), trunk)
        graph.node("swish", "Mul", sum, graph.node("sigmoid", "Sigmoid", sum))
        try assertLayers(["trunk/relu", "branch"])
    }

    func testASoftmaxWrittenOutMakesAClassifier() throws {
        let pooled = graph.with("pool", "Mean", block("conv", of: input, [3, 3, 3, 8]), constant: [2])
        let exp = graph.node("exp", "Exp", graph.dense("fc", of: pooled, [8, 10]))
        graph.node("share", "RealDiv", exp, graph.with("sum", "Sum", exp, constant: [1]))
        try assertLayers(["conv/relu"], classifier: ["fc"])
    }

    func testAConvolutionThatIsTheLastOperationIsNoClassifier() throws {
        graph.convolution("two", of: block("one", of: input, [3, 3, 3, 8]), [3, 3, 8, 16])
        try assertLayers(["one/relu", "two"])
    }

    func testTwoHeadsHaveTwoClassifiers() throws {
        let pooled = graph.with("pool", "Mean", block("conv", of: input, [3, 3, 3, 8]), constant: [2])
        graph.node("softmax1", "Softmax", graph.dense("fc1", of: pooled, [8, 10]))
        graph.node("softmax2", "Softmax", graph.dense("fc2", of: pooled, [8, 20]))
        try assertLayers(["conv/relu"], classifier: ["fc1", "fc2"], reading: ["pool"])
    }

    func testSmallNetwork() throws {
        graph = .smallNetwork
        try assertLayers(["conv/relu", "depthwise/relu6"], classifier: ["logits"])
    }

    // MARK: Order

    func testNodesMayStandInAnyOrder() throws {
        graph = GraphWriter()
        graph.node("relu2", "Relu", "conv2")
        graph.node("conv2", "Conv2D", "relu1", "w2")
        graph.node("relu1", "Relu", "conv1")
        graph.node("conv1", "Conv2D", "input", "w1")
        graph.constant("w2", [3, 3, 8, 4])
        graph.constant("w1", [3, 3, 3, 8])
        graph.placeholder("input", [-1, 16, 16, 3])
        try assertLayers(["relu1", "relu2"])
        XCTAssertEqual(try graph.model().tensors.map(\.name), ["input", "conv1", "relu1", "conv2", "relu2"])
    }

    func testACycleIsRefused() {
        graph.node("a", "Relu", "b")
        graph.node("b", "Relu", "a")
        assertFails(.invalidGraph, saying: "cycle") { try graph.model() }
        setUp()
        graph.node("self", "Relu", "self")
        assertFails(.invalidGraph, saying: "cycle", "'self'") { try graph.model() }
    }

    func testALoopOfTheOldControlFlowIsTakenInAnyOrder() throws {
        for order in [
            ["merge", "switch", "conv", "next"], ["switch", "merge", "conv", "next"],
            ["conv", "next", "switch", "merge"],
            ["next", "conv", "merge", "switch"],
        ] {
            setUp()
            graph.constant("weights", [3, 3, 3, 3])
            graph.constant("condition", [])
            for name in order {
                switch name {
                case "merge": graph.node("merge", "Merge", input, "next")
                case "switch": graph.node("switch", "Switch", "merge", "condition")
                case "conv": graph.node("conv", "Conv2D", "switch:1", "weights")
                default: graph.node("next", "NextIteration", "conv")
                }
            }
            try assertLayers([])
            let notes = try graph.model().notes
            XCTAssertEqual(notes.count, 1)
            XCTAssertTrue(notes.first?.contains("'conv', which is in a loop or a condition") ?? false, "\(notes)")
        }
    }

    func testADeepGraphNeedsNoDeepStack() throws {
        var last = input
        for i in 0..<5_000 { last = graph.node("relu\(i)", "Relu", last) }
        graph.node("top", "MaxPool", graph.convolution("conv", of: last, [3, 3, 3, 3]))
        try assertLayers(["conv"])
    }

    /// A loop of the old control flow is cut wherever the walk meets it.
    func testALoopInAnyOrder() throws {
        for order in [["merge", "switch", "conv", "next"], ["switch", "merge", "conv", "next"]] {
            var graph = GraphWriter()
            graph.placeholder("input", [-1, 16, 16, 3])
            graph.constant("weights", [3, 3, 3, 3])
            graph.constant("condition", [])
            for name in order {
                switch name {
                case "merge": graph.node("merge", "Merge", "input", "next")
                case "switch": graph.node("switch", "Switch", "merge", "condition")
                case "conv": graph.node("conv", "Conv2D", "switch:1", "weights")
                default: graph.node("next", "NextIteration", "conv")
                }
            }
            XCTAssertEqual(
                try graph.model().tensors.map(\.name).sorted(), ["conv", "input", "merge", "next", "switch"], "\(order)"
            )
        }
    }

    /// A NextIteration elsewhere in the graph makes no other cycle legal.
    func testACycleBesideALoopIsRefused() {
        var graph = GraphWriter()
        graph.placeholder("input", [-1, 16, 16, 3])
        graph.convolution("conv", of: "input", [3, 3, 3, 3])
        graph.node("a", "Identity", "conv", "b")
        graph.node("b", "Identity", "a")
        graph.node("next", "NextIteration", "input")
        assertFails(.invalidGraph, saying: "cycle") { try graph.model() }
    }
}

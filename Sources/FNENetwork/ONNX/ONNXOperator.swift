/// The facts that libfne knows about an ONNX operator. This is the only table of them. The checks, the analysis of
/// layers and the rows' graph use it. An operator that the table lacks is refused.
struct ONNXOperator: Sendable {
    /// The properties of an operator.
    struct Traits: OptionSet, Sendable {
        let rawValue: UInt32

        /// It works value by value, and may be part of an activation that several operators make.
        static let valueByValue = Traits(rawValue: 1 << 0)
        /// It is a non-linear function of its first input, value by value. Its other inputs are parameters.
        static let activation = Traits(rawValue: 1 << 1)
        /// It adds or subtracts its inputs.
        static let addition = Traits(rawValue: 1 << 2)
        /// It multiplies its inputs, or divides one by the other.
        static let scaling = Traits(rawValue: 1 << 3)
        /// It passes its first input on, perhaps rounded or in another type.
        static let keepsTensor = Traits(rawValue: 1 << 4)
        /// It changes the shape alone.
        static let reshapes = Traits(rawValue: 1 << 5)
        /// It averages over axes or windows.
        static let averages = Traits(rawValue: 1 << 6)
        /// It normalizes its first input.
        static let normalizes = Traits(rawValue: 1 << 7)
        /// It tells classes from scores.
        static let decides = Traits(rawValue: 1 << 8)
        /// It may stand between a classifier's scores and their softmax.
        static let mayFollowScores = Traits(rawValue: 1 << 9)
        /// It reads only the shape of its input.
        static let readsShape = Traits(rawValue: 1 << 10)
        /// Its values are random numbers, which differ from run to run.
        static let random = Traits(rawValue: 1 << 11)
        /// It has subgraphs.
        static let controlFlow = Traits(rawValue: 1 << 12)

        /// Sums, differences, products and quotients.
        static let affine: Traits = [.addition, .scaling]
    }

    let traits: Traits
    /// The number of the input that holds a layer's weights. The operator is a layer only where it is constant.
    let weights: Int?
    /// Why the operator is refused, and the way out; nil for one that is allowed.
    let refusal: String?

    private init(_ traits: Traits, weights: Int? = nil, refusal: String? = nil) {
        self.traits = traits
        self.weights = weights
        self.refusal = refusal
    }

    func isAny(_ wanted: Traits) -> Bool { !traits.isDisjoint(with: wanted) }

    /// The facts of an operator; nil for one that the table lacks.
    static func named(_ name: String, domain: String) -> ONNXOperator? {
        domain.isEmpty ? table[name] : others[domain]?.contains(name) == true ? ONNXOperator([]) : nil
    }

    /// Operators of other domains that only compute.
    private static let others: [String: Set<String>] = [
        "ai.onnx.ml": ["ArrayFeatureExtractor", "Normalizer", "Scaler"]
    ]

    // MARK: The table

    private static let groups: [(Traits, String)] = [
        (
            [.activation, .valueByValue],
            """
            Relu Clip LeakyRelu PRelu Elu Selu Celu HardSwish HardSigmoid Sigmoid Tanh Gelu Softplus Mish Softsign
            ThresholdedRelu Swish Shrink
            """
        ),
        (
            .valueByValue,
            """
            Erf Pow Sqrt Exp Neg Max Min Abs Where Log Reciprocal Sign Floor Ceil Round Mod Sin Cos Tan Sinh Cosh Asin
            Acos Atan Asinh Acosh Atanh Greater Less Equal GreaterOrEqual LessOrEqual Not And Or Xor IsNaN IsInf Sum
            Mean BitShift BitwiseAnd BitwiseOr BitwiseNot BitwiseXor
            """
        ),
        ([.valueByValue, .addition, .mayFollowScores], "Add Sub"),
        ([.valueByValue, .scaling, .mayFollowScores], "Mul Div"),
        ([.valueByValue, .keepsTensor, .mayFollowScores], "Identity Cast CastLike"),
        ([.keepsTensor, .mayFollowScores], "Dropout QuantizeLinear DequantizeLinear"),
        ([.reshapes, .mayFollowScores], "Reshape Squeeze Unsqueeze Flatten Transpose"),
        (
            [.averages, .mayFollowScores],
            "GlobalAveragePool AveragePool ReduceMean"
        ),
        (
            .normalizes,
            """
            BatchNormalization LayerNormalization InstanceNormalization GroupNormalization RMSNormalization
            MeanVarianceNormalization LpNormalization
            """
        ),
        ([.decides, .mayFollowScores], "Softmax LogSoftmax Hardmax ArgMax TopK"),
        (.readsShape, "Shape Size"),
        (.random, "RandomNormal RandomUniform RandomNormalLike RandomUniformLike Multinomial Bernoulli"),
        (.controlFlow, "If Loop Scan"),
        (.mayFollowScores, "Slice Gather Split Concat"),
        (
            [],
            """
            AffineGrid ArgMin Attention BlackmanWindow CenterCropPad Col2Im Compress Constant
            ConstantOfShape CumProd CumSum DFT DepthToSpace Det Expand EyeLike GRU GatherElements GatherND
            GlobalLpPool GlobalMaxPool GridSample HammingWindow HannWindow LRN LSTM LpPool MaxPool MaxRoiPool MaxUnpool
            MelWeightMatrix NonMaxSuppression NonZero OneHot Pad RNN Range ReduceL1 ReduceL2 ReduceLogSum
            ReduceLogSumExp ReduceMax ReduceMin ReduceProd ReduceSum ReduceSumSquare Resize ReverseSequence RoiAlign
            RotaryEmbedding STFT Scatter ScatterElements ScatterND SpaceToDepth TensorScatter Tile Trilu Unique Upsample
            """
        ),
    ]

    private static let layers: [String: Int] = [
        "Conv": 1, "ConvTranspose": 1, "DeformConv": 1, "Gemm": 1, "MatMul": 1, "QLinearConv": 3, "QLinearMatMul": 3,
        "Einsum": 1,
    ]

    private static let refused: [(String, String)] = [
        (
            "ConvInteger MatMulInteger DynamicQuantizeLinear",
            "It is part of a dynamic quantization, which hides the layers. Use the file before it was quantized"
        ),
        (
            "Optional OptionalGetElement OptionalHasElement SequenceAt SequenceConstruct SequenceEmpty SequenceErase "
                + "SequenceInsert SequenceLength SequenceMap SplitToSequence ConcatFromSequence",
            "It works with lists of tensors, which libfne does not read. Export the network without them"
        ),
        (
            "ImageDecoder RegexFullMatch StringConcat StringNormalizer StringSplit TfIdfVectorizer",
            "It reads files or texts. Export the network without it, so that its input is an image"
        ),
        (
            "NegativeLogLikelihoodLoss SoftmaxCrossEntropyLoss",
            "It belongs to training. Export the network for inference"
        ),
    ]

    private static func words(_ text: String) -> [String] {
        text.split(whereSeparator: { $0 == " " || $0 == "\n" }).map(String.init)
    }

    private static let table: [String: ONNXOperator] = {
        var table: [String: ONNXOperator] = [:]
        for (traits, names) in groups { for name in words(names) { table[name] = ONNXOperator(traits) } }
        for (name, weights) in layers { table[name] = ONNXOperator([], weights: weights) }
        for (names, why) in refused { for name in words(names) { table[name] = ONNXOperator([], refusal: why) } }
        return table
    }()
}

extension ONNXDefinition.Node {
    /// The facts of the node's operator; those of nothing for one that the table lacks, which is refused before.
    var facts: ONNXOperator? { ONNXOperator.named(operation, domain: domain) }

    func isAny(_ traits: ONNXOperator.Traits) -> Bool { facts?.isAny(traits) ?? false }

    /// An attribute that is an integer.
    func integer(_ name: String) -> Int? {
        guard case .integer(let number)? = attributes[name] else { return nil }
        return number
    }

    /// An attribute that is a text.
    func text(_ name: String) -> String? {
        guard case .text(let text)? = attributes[name] else { return nil }
        return text
    }

    /// An attribute that is a list of integers.
    func integers(_ name: String) -> [Int]? {
        guard case .integers(let numbers)? = attributes[name] else { return nil }
        return numbers
    }

    /// The subgraphs, by the names of their attributes.
    var subgraphs: [ONNXDefinition.Graph] {
        attributes.sorted { $0.key < $1.key }.compactMap {
            guard case .graph(let graph) = $0.value else { return nil }
            return graph
        }
    }

    /// The constant that the node is; nil for another node.
    var constant: ONNXTensor? {
        guard operation == "Constant", domain.isEmpty, attributes.count == 1, let value = attributes.first?.value
        else { return nil }
        switch value {
        case .tensor(let tensor): return tensor
        case .integer(let number): return ONNXTensor(type: .int64, dimensions: [], integers: [number])
        case .number(let number): return ONNXTensor(type: .float32, dimensions: [], numbers: [Double(number)])
        case .integers(let list): return ONNXTensor(type: .int64, dimensions: [list.count], integers: list)
        case .numbers(let list):
            return ONNXTensor(type: .float32, dimensions: [list.count], numbers: list.map(Double.init))
        default: return nil
        }
    }
}

/// The facts that libfne knows about a TensorFlow operation. This is the only table of operations. The checks, the
/// analysis of layers and the rewriting of graphs all use it.
struct Operation: Sendable {
    /// The properties of an operation.
    struct Traits: OptionSet, Sendable {
        /// One bit per property.
        let rawValue: UInt32

        /// It computes tensors from tensors and does nothing else, so that graphs of unknown origin may hold it.
        static let computes = Traits(rawValue: 1 << 0)
        /// Its value is fed.
        static let placeholder = Traits(rawValue: 1 << 1)
        /// It adds its inputs.
        static let addition = Traits(rawValue: 1 << 2)
        /// It subtracts one input from the other.
        static let subtraction = Traits(rawValue: 1 << 3)
        /// It multiplies its inputs, or divides one by the other.
        static let scaling = Traits(rawValue: 1 << 4)
        /// It normalizes its first input by statistics that are inputs too.
        static let normalization = Traits(rawValue: 1 << 5)
        /// It is a non-linear function of one input, value by value.
        static let activation = Traits(rawValue: 1 << 6)
        /// It works value by value, and may be part of an activation that several operations make.
        static let partOfActivation = Traits(rawValue: 1 << 7)
        /// It passes its first input on, perhaps checked, rounded or in another type.
        static let keepsTensor = Traits(rawValue: 1 << 8)
        /// It passes its first input on without changing a bit.
        static let keepsBits = Traits(rawValue: 1 << 9)
        /// It changes the shape alone.
        static let reshapes = Traits(rawValue: 1 << 10)
        /// It averages over axes or windows.
        static let averages = Traits(rawValue: 1 << 11)
        /// It may stand between a classifier's scores and their softmax. Scores are the numbers from which classes are
        /// told.
        static let mayFollowScores = Traits(rawValue: 1 << 12)
        /// It tells classes from scores.
        static let decides = Traits(rawValue: 1 << 13)
        /// It undoes the blocks that an atrous convolution makes of its input.
        static let unblocks = Traits(rawValue: 1 << 14)
        /// It passes sizes on, or puts them together.
        static let makesSizes = Traits(rawValue: 1 << 15)
        /// The sizes among its inputs are sides of maps, or are added to sides.
        static let sizesAreSides = Traits(rawValue: 1 << 16)

        /// Sums, differences, products and quotients. With a constant, each is an affine function of the other input.
        static let affine: Traits = [.addition, .subtraction, .scaling]
        /// The operations that an activation can be made of.
        static let valueByValue: Traits = [.activation, .affine, .keepsTensor, .partOfActivation]
    }

    /// Which of an operation's data inputs have the type of its attribute T.
    enum TypedInputs {
        case none
        case first
        case allButLast
        case all

        /// How many inputs have that type. They are the first ones.
        ///
        /// - Parameter inputs: the number of the operation's data inputs
        func count(of inputs: Int) -> Int {
            switch self {
            case .none: 0
            case .first: min(1, inputs)
            case .allButLast: max(0, inputs - 1)
            case .all: inputs
            }
        }
    }

    let traits: Traits
    /// The kind of layer that it may be. A matrix product is a layer only where one of its two inputs is constant.
    let layer: TensorKind?
    /// The number of the input that holds a convolution's weights.
    let weights: Int?
    /// The numbers of the inputs that are sizes.
    let sizes: [Int]
    /// An operation that moves, compares, adds or multiplies values follows the type of these inputs. It can compute
    /// bfloat16 where they are bfloat16.
    let follows: TypedInputs

    private init(
        _ traits: Traits, layer: TensorKind? = nil, weights: Int? = nil, sizes: [Int] = [], follows: TypedInputs = .none
    ) {
        self.traits = traits
        self.layer = layer
        self.weights = weights
        self.sizes = sizes
        self.follows = follows
    }

    /// An operation that the table lacks.
    static let unknown = Operation([])

    /// The facts about the operation of a name.
    static func named(_ name: String) -> Operation {
        // Swift compares texts as Unicode does, so that different bytes may be equal. TensorFlow's names are ASCII.
        guard name.utf8.allSatisfy({ $0 < 0x80 }) else { return .unknown }
        return table[name] ?? .unknown
    }

    private static let table = Dictionary(rows.map { ($0.name, $0.operation) }) { _, last in last }

    /// The table's rows.
    static var rows: [(name: String, operation: Operation)] {
        computing.split(whereSeparator: \.isWhitespace).map { (String($0), Operation(.computes)) } + special
    }

    /// The operations with more facts than that they compute.
    private static let special: [(name: String, operation: Operation)] = [
        // Layers. Weights are [height, width, in, out], but those of a transposed convolution are [height, width, out,
        // in].
        ("Conv2D", Operation(.computes, layer: .convolution, weights: 1)),
        ("Conv3D", Operation(.computes, layer: .convolution, weights: 1)),
        ("Conv2DBackpropInput", Operation(.computes, layer: .convolution, weights: 1, sizes: [0])),
        ("FusedPadConv2D", Operation(.computes, layer: .convolution, weights: 2)),
        (
            "FusedResizeAndPadConv2D",
            Operation([.computes, .sizesAreSides], layer: .convolution, weights: 3, sizes: [1, 2])
        ),
        ("DepthwiseConv2dNative", Operation(.computes, layer: .depthwise, weights: 1)),
        ("MatMul", Operation(.computes, layer: .dense)),
        ("BatchMatMul", Operation(.computes, layer: .dense)),
        ("BatchMatMulV2", Operation(.computes, layer: .dense)),
        ("BatchMatMulV3", Operation(.computes, layer: .dense)),
        ("Einsum", Operation(.computes, layer: .dense)),

        // Inputs and constants.
        ("Placeholder", Operation([.computes, .placeholder])),
        ("PlaceholderV2", Operation([.computes, .placeholder])),
        ("PlaceholderWithDefault", Operation([.computes, .placeholder])),

        // Affine functions.
        ("BiasAdd", Operation([.computes, .addition], follows: .all)),
        ("BiasAddV1", Operation([.computes, .addition], follows: .all)),
        ("Add", Operation([.computes, .addition], follows: .all)),
        ("AddV2", Operation([.computes, .addition], follows: .all)),
        ("Sub", Operation([.computes, .subtraction], follows: .all)),
        ("Mul", Operation([.computes, .scaling], follows: .all)),
        ("RealDiv", Operation([.computes, .scaling])),
        ("Div", Operation([.computes, .scaling])),

        // Normalizations.
        ("FusedBatchNorm", Operation([.computes, .normalization])),
        ("FusedBatchNormV2", Operation([.computes, .normalization])),
        ("FusedBatchNormV3", Operation([.computes, .normalization])),
        ("BatchNormWithGlobalNormalization", Operation([.computes, .normalization])),
        ("LRN", Operation(.computes, follows: .all)),

        // Activations, and their parts.
        ("Relu", Operation([.computes, .activation], follows: .all)),
        ("Relu6", Operation([.computes, .activation], follows: .all)),
        ("Elu", Operation([.computes, .activation], follows: .all)),
        ("Selu", Operation([.computes, .activation])),
        ("LeakyRelu", Operation([.computes, .activation], follows: .all)),
        ("Sigmoid", Operation([.computes, .activation])),
        ("Tanh", Operation([.computes, .activation])),
        ("Softplus", Operation([.computes, .activation])),
        ("Softsign", Operation([.computes, .activation])),
        ("Abs", Operation([.computes, .partOfActivation])),
        ("AddN", Operation([.computes, .partOfActivation], follows: .all)),
        ("ClipByValue", Operation([.computes, .partOfActivation])),
        ("Erf", Operation([.computes, .partOfActivation])),
        ("Erfc", Operation([.computes, .partOfActivation])),
        ("Exp", Operation([.computes, .partOfActivation])),
        ("Expm1", Operation([.computes, .partOfActivation])),
        ("Greater", Operation([.computes, .partOfActivation])),
        ("GreaterEqual", Operation([.computes, .partOfActivation])),
        ("IdentityN", Operation([.computes, .partOfActivation])),
        ("Less", Operation([.computes, .partOfActivation])),
        ("LessEqual", Operation([.computes, .partOfActivation])),
        ("Log1p", Operation([.computes, .partOfActivation])),
        ("Maximum", Operation([.computes, .partOfActivation], follows: .all)),
        ("Minimum", Operation([.computes, .partOfActivation], follows: .all)),
        ("Neg", Operation([.computes, .partOfActivation])),
        ("Pow", Operation([.computes, .partOfActivation])),
        ("Select", Operation([.computes, .partOfActivation])),
        ("SelectV2", Operation([.computes, .partOfActivation])),
        ("Sign", Operation([.computes, .partOfActivation])),
        ("Sqrt", Operation([.computes, .partOfActivation])),
        ("Square", Operation([.computes, .partOfActivation])),

        // Operations that pass a tensor on.
        ("Identity", Operation([.computes, .keepsTensor, .keepsBits, .mayFollowScores, .makesSizes], follows: .all)),
        ("StopGradient", Operation([.computes, .keepsTensor, .keepsBits], follows: .all)),
        ("PreventGradient", Operation([.computes, .keepsTensor, .keepsBits])),
        ("GuaranteeConst", Operation([.computes, .keepsTensor, .keepsBits])),
        ("Snapshot", Operation([.keepsTensor, .keepsBits])),
        ("Cast", Operation([.computes, .keepsTensor, .mayFollowScores, .makesSizes])),
        ("CheckNumerics", Operation([.computes, .keepsTensor])),
        ("EnsureShape", Operation([.computes, .keepsTensor])),
        ("QuantizeAndDequantizeV2", Operation([.computes, .keepsTensor])),
        ("QuantizeAndDequantizeV3", Operation([.computes, .keepsTensor])),
        ("QuantizeAndDequantizeV4", Operation([.computes, .keepsTensor])),
        ("FakeQuantWithMinMaxArgs", Operation([.computes, .keepsTensor])),
        ("FakeQuantWithMinMaxVars", Operation([.computes, .keepsTensor])),
        ("FakeQuantWithMinMaxVarsPerChannel", Operation([.computes, .keepsTensor])),

        // Shapes, pooling, decisions.
        ("Reshape", Operation([.computes, .reshapes, .mayFollowScores], follows: .first)),
        ("Squeeze", Operation([.computes, .reshapes, .mayFollowScores, .makesSizes], follows: .all)),
        ("ExpandDims", Operation([.computes, .reshapes, .mayFollowScores, .makesSizes], follows: .first)),
        ("Mean", Operation([.computes, .averages, .mayFollowScores])),
        ("AvgPool", Operation([.computes, .averages, .mayFollowScores], follows: .all)),
        ("MaxPool", Operation(.computes, follows: .all)),
        ("Transpose", Operation(.computes, follows: .first)),
        ("Slice", Operation(.computes, follows: .first)),
        ("StridedSlice", Operation(.computes, follows: .first)),
        ("ConcatV2", Operation(.computes, follows: .allButLast)),
        ("Pack", Operation([.computes, .makesSizes])),
        ("BatchToSpace", Operation([.computes, .unblocks])),
        ("BatchToSpaceND", Operation([.computes, .unblocks], follows: .first)),
        ("Softmax", Operation([.computes, .decides])),
        ("LogSoftmax", Operation([.computes, .decides])),
        ("ArgMax", Operation([.computes, .decides])),
        ("TopK", Operation([.computes, .decides])),
        ("TopKV2", Operation([.computes, .decides])),
        ("InTopKV2", Operation([.computes, .decides])),

        // Operations with sizes, by which a few bytes can ask for terabytes.
        ("CropAndResize", Operation([.computes, .sizesAreSides], sizes: [3])),
        ("MirrorPad", Operation([.computes, .sizesAreSides], sizes: [1], follows: .first)),
        ("Pad", Operation([.computes, .sizesAreSides], sizes: [1], follows: .first)),
        ("PadV2", Operation([.computes, .sizesAreSides], sizes: [1], follows: .all)),
        ("ResizeArea", Operation([.computes, .sizesAreSides], sizes: [1])),
        ("ResizeBicubic", Operation([.computes, .sizesAreSides], sizes: [1])),
        ("ResizeBilinear", Operation([.computes, .sizesAreSides], sizes: [1])),
        ("ResizeNearestNeighbor", Operation([.computes, .sizesAreSides], sizes: [1])),
        ("SpaceToBatch", Operation([.computes, .sizesAreSides], sizes: [1])),
        ("SpaceToBatchND", Operation([.computes, .sizesAreSides], sizes: [2], follows: .first)),
        ("Bincount", Operation(.computes, sizes: [1])),
        ("BroadcastTo", Operation(.computes, sizes: [1])),
        ("Conv3DBackpropInputV2", Operation(.computes, sizes: [0])),
        ("Fill", Operation(.computes, sizes: [0])),
        ("LinSpace", Operation(.computes, sizes: [2])),
        ("MatrixDiagV2", Operation(.computes, sizes: [2, 3])),
        ("MatrixDiagV3", Operation(.computes, sizes: [2, 3])),
        ("OneHot", Operation(.computes, sizes: [1])),
        ("Range", Operation(.computes, sizes: [0, 1])),
        ("ScatterNd", Operation(.computes, sizes: [2])),
        ("Tile", Operation(.computes, sizes: [1])),
    ]

    /// The operations that only compute, without further facts.
    private static let computing = """
        Acos Acosh All Angle Any ArgMin Asin Asinh Assert Atan Atan2 Atanh AvgPool3D Bitcast BroadcastArgs Bucketize
        Ceil Complex ComplexAbs Concat ConcatOffset Const ControlTrigger Conv Conv2DBackpropInputV2 Cos Cosh Cross
        Cumprod Cumsum DepthToSpace Dequantize Diag DiagPart Dilation2D DivNoNan Enter Equal Erfinv Exit
        Floor FloorDiv FloorMod Gather GatherNd GatherV2 If Imag InTopK Invert InvertPermutation IsFinite IsInf
        IsNan L2Loss LeftShift Lgamma Log LogicalAnd LogicalNot LogicalOr LoopCond LowerBound MatrixBandPart
        MatrixDiag MatrixDiagPart MatrixDiagPartV2 MatrixDiagPartV3 MatrixSetDiag MatrixTranspose Max MaxPool3D
        MaxPoolV2 MaxPoolWithArgmax Merge Min Mod MulNoNan NextIteration NonMaxSuppression NonMaxSuppressionV2
        NonMaxSuppressionV3 NonMaxSuppressionV4 NonMaxSuppressionV5 NoOp NotEqual OnesLike ParallelConcat
        PartitionedCall Polygamma Prod QuantizeAndDequantize Rank Real Reciprocal Reverse ReverseSequence ReverseV2
        RGBToHSV RightShift Rint Roll Round Rsqrt Shape ShapeN Sin Sinh Size SpaceToDepth Split SplitV SquaredDifference
        StatefulPartitionedCall StatelessIf StatelessWhile Sum Switch Tan TensorScatterUpdate TruncateDiv
        TruncateMod Unpack UpperBound Where Xdivy Xlogy ZerosLike Zeta
        """
}

/// What libfne knows of a TensorFlow operation. This is the only table of operations: the checks, the analysis of layers
/// and the rewriting of graphs all ask it.
package struct Operation: Sendable {
    package struct Traits: OptionSet, Sendable {
        package let rawValue: UInt32

        package init(rawValue: UInt32) { self.rawValue = rawValue }

        /// Computes tensors from tensors and does nothing else, so that graphs of unknown origin may hold it.
        static let computes = Traits(rawValue: 1 << 0)
        /// A tensor that is fed.
        static let placeholder = Traits(rawValue: 1 << 1)
        /// Adds its inputs.
        static let addition = Traits(rawValue: 1 << 2)
        /// Takes one input off the other.
        static let subtraction = Traits(rawValue: 1 << 3)
        /// Multiplies its inputs, or divides one by the other.
        static let scaling = Traits(rawValue: 1 << 4)
        /// Normalizes its first input by statistics that are inputs too.
        static let normalization = Traits(rawValue: 1 << 5)
        /// A non-linear function of one input, value by value.
        static let activation = Traits(rawValue: 1 << 6)
        /// Works value by value, and may be part of an activation that several operations make.
        static let partOfActivation = Traits(rawValue: 1 << 7)
        /// Hands its first input on, perhaps checked, rounded or in another type.
        static let keepsTensor = Traits(rawValue: 1 << 8)
        /// Hands its first input on to the bit.
        static let keepsBits = Traits(rawValue: 1 << 9)
        /// Changes the shape alone.
        static let reshapes = Traits(rawValue: 1 << 10)
        /// Averages over axes or windows.
        static let averages = Traits(rawValue: 1 << 11)
        /// May stand between a classifier's scores and their softmax.
        static let mayFollowScores = Traits(rawValue: 1 << 12)
        /// Tells classes from scores.
        static let decides = Traits(rawValue: 1 << 13)
        /// Undoes what an atrous convolution does to its input.
        static let unblocks = Traits(rawValue: 1 << 14)
        /// Hands sizes on, or puts them together.
        static let makesSizes = Traits(rawValue: 1 << 15)
        /// Its sizes are sides of maps, or are added to them.
        static let sizesAreSides = Traits(rawValue: 1 << 16)

        /// Sums, differences, products and quotients: with a constant, an affine function of the other input.
        static let affine: Traits = [.addition, .subtraction, .scaling]
        /// What an activation can be made of.
        static let valueByValue: Traits = [.activation, .affine, .keepsTensor, .partOfActivation]
    }

    /// Which of an operation's data inputs have the type of its attribute T.
    enum TypedInputs {
        case none
        case first
        case allButLast
        case all

        /// - Parameter inputs: data inputs of the operation
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
    /// The kind of layer that it is; a product is one where one of its two inputs is constant.
    let layer: TensorKind?
    /// Which input a convolution's weights are.
    let weights: Int?
    /// Which inputs are sizes.
    let sizes: [Int]
    /// An operation that moves, compares, adds or multiplies values follows the type of these inputs: it can compute
    /// bfloat16 where they are.
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

    /// An operation that the table does not have.
    static let unknown = Operation([])

    static func named(_ name: String) -> Operation {
        // Swift takes different bytes for the same text where Unicode does; TensorFlow's names are ASCII.
        guard name.utf8.allSatisfy({ $0 < 0x80 }) else { return .unknown }
        return table[name] ?? .unknown
    }

    private static let table = Dictionary(rows.map { ($0.name, $0.operation) }) { _, last in last }

    /// The table's rows.
    static var rows: [(name: String, operation: Operation)] {
        computing.split(whereSeparator: \.isWhitespace).map { (String($0), Operation(.computes)) } + special
    }

    /// Operations of which something is known.
    private static let special: [(name: String, operation: Operation)] = [
        // Layers. Weights are [height, width, in, out]; those of a transposed convolution [height, width, out, in].
        ("Conv2D", Operation(.computes, layer: .convolution, weights: 1)),
        ("Conv3D", Operation(.computes, layer: .convolution, weights: 1)),
        ("Conv2DBackpropInput", Operation(.computes, layer: .convolution, weights: 1, sizes: [0])),
        ("FusedPadConv2D", Operation(.computes, layer: .convolution, weights: 2)),
        ("FusedResizeAndPadConv2D", Operation([.computes, .sizesAreSides], layer: .convolution, weights: 3, sizes: [1, 2])),
        ("DepthwiseConv2dNative", Operation(.computes, layer: .depthwise, weights: 1)),
        ("MatMul", Operation(.computes, layer: .dense)),
        ("BatchMatMul", Operation(.computes, layer: .dense)),
        ("BatchMatMulV2", Operation(.computes, layer: .dense)),
        ("BatchMatMulV3", Operation(.computes, layer: .dense)),

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

        // Activations, and what they are made of.
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

        // What hands a tensor on.
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

        // Sizes by which a few bytes can ask for terabytes.
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

    /// Operations of which no more is known than that they compute.
    private static let computing = """
        Acos Acosh All Angle Any ArgMin Asin Asinh Assert Atan Atan2 Atanh AvgPool3D Bitcast BroadcastArgs Bucketize
        Ceil Complex ComplexAbs Concat ConcatOffset Const ControlTrigger Conv Conv2DBackpropInputV2 Cos Cosh Cross
        Cumprod Cumsum DepthToSpace Dequantize Diag DiagPart Dilation2D DivNoNan Einsum Enter Equal Erfinv Exit
        Floor FloorDiv FloorMod Gather GatherNd GatherV2 If Imag InTopK Invert InvertPermutation IsFinite IsInf
        IsNan L2Loss LeftShift Lgamma Log LogicalAnd LogicalNot LogicalOr LoopCond LowerBound MatrixBandPart
        MatrixDiag MatrixDiagPart MatrixDiagPartV2 MatrixDiagPartV3 MatrixSetDiag MatrixTranspose Max MaxPool3D
        MaxPoolV2 MaxPoolWithArgmax Merge Min Mod MulNoNan NextIteration NonMaxSuppression NonMaxSuppressionV2
        NonMaxSuppressionV3 NonMaxSuppressionV4 NonMaxSuppressionV5 NoOp NotEqual OnesLike ParallelConcat
        PartitionedCall Polygamma Prod QuantizeAndDequantize Rank Real Reciprocal Reverse ReverseSequence ReverseV2
        RGBToHSV RightShift Rint Round Rsqrt Shape ShapeN Sin Sinh Size SpaceToDepth Split SplitV SquaredDifference
        StatefulPartitionedCall StatelessIf StatelessWhile Sum Switch Tan TensorScatterUpdate TruncateDiv
        TruncateMod Unpack UpperBound Where Xdivy Xlogy ZerosLike Zeta
        """
}

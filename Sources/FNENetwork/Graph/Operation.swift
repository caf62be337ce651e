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
        /// The sizes among its inputs are sides of maps, are added to sides, or say how long a list of tensors is.
        static let sizesAreSides = Traits(rawValue: 1 << 16)
        /// Its values are random numbers. What is computed from them differs from run to run, or from one place in a
        /// batch to the next.
        static let random = Traits(rawValue: 1 << 17)
        /// It reports to people: it prints, or makes a summary. No feature depends on it. What it passes on, if
        /// anything, is its first input.
        static let reports = Traits(rawValue: 1 << 18)
        /// It keeps, reads or changes what stands outside of the graph, as graphs do that are not frozen: variables,
        /// tables, iterators, checkpoints.
        static let unfrozen = Traits(rawValue: 1 << 19)

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

    /// Which inputs hold numbers of which the largest is a size, as numbers of rows are.
    enum Places {
        case none
        case input(Int)
        case firstHalf

        /// The numbers of those inputs.
        ///
        /// - Parameter inputs: the number of the operation's data inputs
        func numbers(of inputs: Int) -> Range<Int> {
            switch self {
            case .none: 0..<0
            case .input(let number): number < inputs ? number..<number + 1 : 0..<0
            case .firstHalf: 0..<inputs / 2
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
    /// The inputs that are places in the result.
    let places: Places
    /// An operation that moves, compares, adds or multiplies values follows the type of these inputs. It can compute
    /// bfloat16 where they are bfloat16.
    let follows: TypedInputs
    /// The type of its output; nil where an attribute says it.
    let makes: DataType?

    private init(
        _ traits: Traits, layer: TensorKind? = nil, weights: Int? = nil, sizes: [Int] = [], places: Places = .none,
        follows: TypedInputs = .none, makes: DataType? = nil
    ) {
        self.traits = traits
        self.layer = layer
        self.weights = weights
        self.sizes = sizes
        self.places = places
        self.follows = follows
        self.makes = makes
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
        plain.flatMap { names, traits in
            names.split(whereSeparator: \.isWhitespace).map { (String($0), Operation(traits)) }
        } + special
    }

    /// The operations of which only the traits are known.
    private static let plain: [(names: String, traits: Traits)] = [
        (computing, .computes), (random, [.computes, .random]), (reporting, .reports), (unfrozen, .unfrozen),
    ]

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
        ("Snapshot", Operation([.computes, .keepsTensor, .keepsBits])),
        ("Cast", Operation([.computes, .keepsTensor, .mayFollowScores, .makesSizes])),
        ("CheckNumerics", Operation([.computes, .keepsTensor])),
        ("CheckNumericsV2", Operation([.computes, .keepsTensor])),
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
        ("CropAndResize", Operation([.computes, .sizesAreSides], sizes: [3], makes: .float32)),
        ("MirrorPad", Operation([.computes, .sizesAreSides], sizes: [1], follows: .first)),
        ("Pad", Operation([.computes, .sizesAreSides], sizes: [1], follows: .first)),
        ("PadV2", Operation([.computes, .sizesAreSides], sizes: [1], follows: .all)),
        ("ResizeArea", Operation([.computes, .sizesAreSides], sizes: [1], makes: .float32)),
        ("ResizeBicubic", Operation([.computes, .sizesAreSides], sizes: [1], makes: .float32)),
        ("ResizeBilinear", Operation([.computes, .sizesAreSides], sizes: [1], makes: .float32)),
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
        ("CombinedNonMaxSuppression", Operation(.computes, sizes: [2, 3])),
        ("DenseBincount", Operation(.computes, sizes: [1])),
        ("HistogramFixedWidth", Operation(.computes, sizes: [2])),
        ("ImageProjectiveTransformV2", Operation([.computes, .sizesAreSides], sizes: [2])),
        ("ImageProjectiveTransformV3", Operation([.computes, .sizesAreSides], sizes: [2])),
        ("NonMaxSuppressionV4", Operation(.computes, sizes: [2])),
        ("NonMaxSuppressionV5", Operation(.computes, sizes: [2])),
        ("ScaleAndTranslate", Operation([.computes, .sizesAreSides], sizes: [1])),
        ("SparseFillEmptyRows", Operation(.computes, sizes: [2])),
        ("SparseReduceMax", Operation(.computes, sizes: [2])),
        ("SparseReduceSum", Operation(.computes, sizes: [2])),
        ("SparseTensorDenseMatMul", Operation(.computes, sizes: [2])),
        ("SparseToDense", Operation(.computes, sizes: [1])),
        ("TensorArrayV3", Operation([.computes, .sizesAreSides], sizes: [0])),
        ("TensorListGather", Operation(.computes, sizes: [2])),
        ("TensorListGetItem", Operation(.computes, sizes: [2])),
        ("TensorListPopBack", Operation(.computes, sizes: [1])),
        ("TensorListReserve", Operation([.computes, .sizesAreSides], sizes: [1])),
        ("TensorListStack", Operation(.computes, sizes: [1])),
        ("SegmentMaxV2", Operation(.computes, sizes: [2])),
        ("SegmentMinV2", Operation(.computes, sizes: [2])),
        ("SegmentProdV2", Operation(.computes, sizes: [2])),
        ("SegmentSumV2", Operation(.computes, sizes: [2])),
        ("UnsortedSegmentMax", Operation(.computes, sizes: [2])),
        ("UnsortedSegmentMin", Operation(.computes, sizes: [2])),
        ("UnsortedSegmentProd", Operation(.computes, sizes: [2])),
        ("UnsortedSegmentSum", Operation(.computes, sizes: [2])),
        ("SparseSegmentMeanWithNumSegments", Operation(.computes, sizes: [3])),
        ("SparseSegmentSqrtNWithNumSegments", Operation(.computes, sizes: [3])),
        ("SparseSegmentSumWithNumSegments", Operation(.computes, sizes: [3])),

        // Random numbers, as many as a size says.
        ("Multinomial", Operation([.computes, .random], sizes: [1])),
        ("RandomStandardNormal", Operation([.computes, .random], sizes: [0])),
        ("RandomUniform", Operation([.computes, .random], sizes: [0])),
        ("RandomUniformInt", Operation([.computes, .random], sizes: [0])),
        ("StatelessMultinomial", Operation([.computes, .random], sizes: [1])),
        ("StatelessRandomNormal", Operation([.computes, .random], sizes: [0])),
        ("StatelessRandomNormalV2", Operation([.computes, .random], sizes: [0])),
        ("StatelessRandomUniform", Operation([.computes, .random], sizes: [0])),
        ("StatelessRandomUniformFullInt", Operation([.computes, .random], sizes: [0])),
        ("StatelessRandomUniformFullIntV2", Operation([.computes, .random], sizes: [0])),
        ("StatelessRandomUniformInt", Operation([.computes, .random], sizes: [0])),
        ("StatelessRandomUniformIntV2", Operation([.computes, .random], sizes: [0])),
        ("StatelessRandomUniformV2", Operation([.computes, .random], sizes: [0])),
        ("StatelessTruncatedNormal", Operation([.computes, .random], sizes: [0])),
        ("StatelessTruncatedNormalV2", Operation([.computes, .random], sizes: [0])),
        ("TruncatedNormal", Operation([.computes, .random], sizes: [0])),

        // Operations whose results reach up to the largest place among their inputs.
        ("DynamicStitch", Operation(.computes, places: .firstHalf)),
        ("ParallelDynamicStitch", Operation(.computes, places: .firstHalf)),
        ("SegmentMax", Operation(.computes, places: .input(1))),
        ("SegmentMean", Operation(.computes, places: .input(1))),
        ("SegmentMin", Operation(.computes, places: .input(1))),
        ("SegmentProd", Operation(.computes, places: .input(1))),
        ("SegmentSum", Operation(.computes, places: .input(1))),
        ("SparseSegmentMean", Operation(.computes, places: .input(2))),
        ("SparseSegmentSqrtN", Operation(.computes, places: .input(2))),
        ("SparseSegmentSum", Operation(.computes, places: .input(2))),

        // Reports that pass a tensor on, or that a graph may hold as well.
        ("Assert", Operation([.computes, .reports])),
    ]

    /// The operations that only compute, without further facts.
    private static let computing = """
        AccumulateNV2 Acos Acosh AdjustContrast AdjustContrastv2 AdjustHue AdjustSaturation All Angle Any
        ApproximateEqual ArgMin Asin Asinh Atan Atan2 Atanh AvgPool3D BandedTriangularSolve BesselI0 BesselI0e BesselI1
        BesselI1e BesselJ0 BesselJ1 BesselK0 BesselK0e BesselK1 BesselK1e BesselY0 BesselY1 Betainc Bitcast BitwiseAnd
        BitwiseOr BitwiseXor BroadcastArgs Bucketize Ceil Cholesky Complex ComplexAbs Concat ConcatOffset Conj
        ConjugateTranspose Const ControlTrigger Conv Conv2DBackpropInputV2 Cos Cosh Cross Cumprod Cumsum
        CumulativeLogsumexp DataFormatDimMap DataFormatVecPermute Dawsn DepthToSpace Dequantize Diag DiagPart Digamma
        Dilation2D DivNoNan DrawBoundingBoxes DrawBoundingBoxesV2 DynamicPartition Eig EmptyTensorList Enter
        Equal Erfinv EuclideanNorm Exit Expint ExtractImagePatches ExtractVolumePatches FFT FFT2D FFT3D Floor FloorDiv
        FloorMod FresnelCos FresnelSin Gather GatherNd GatherV2 HSVToRGB IFFT IFFT2D IFFT3D If Igamma Igammac Imag
        InTopK Inv Invert InvertPermutation IsFinite IsInf IsNan L2Loss LeftShift Lgamma ListDiff Log
        LogMatrixDeterminant LogicalAnd LogicalNot LogicalOr LoopCond LowerBound Lu MatrixBandPart MatrixDeterminant
        MatrixDiag MatrixDiagPart MatrixDiagPartV2 MatrixDiagPartV3 MatrixInverse MatrixLogarithm MatrixSetDiag
        MatrixSetDiagV2 MatrixSetDiagV3 MatrixSolve MatrixSolveLs MatrixSquareRoot MatrixTriangularSolve Max MaxPool3D
        MaxPoolV2 MaxPoolWithArgmax Merge Min Mod MulNoNan Ndtri NextAfter NextIteration NoOp NonMaxSuppression
        NonMaxSuppressionV2 NonMaxSuppressionV3 NonMaxSuppressionWithOverlaps NotEqual NthElement OnesLike
        ParallelConcat PartitionedCall Polygamma PopulationCount Prod Qr QuantizeAndDequantize RGBToHSV Rank Real
        Reciprocal Reverse ReverseSequence ReverseV2 RightShift Rint Roll Round Rsqrt ScatterNdNonAliasingAdd
        SelfAdjointEigV2 Shape ShapeN Sin Sinh Size SoftmaxCrossEntropyWithLogits SpaceToDepth SparseAdd SparseConcat
        SparseDenseCwiseAdd SparseDenseCwiseDiv SparseDenseCwiseMul SparseMatMul SparseReduceMaxSparse
        SparseReduceSumSparse SparseReorder SparseReshape SparseSlice SparseSoftmax SparseSoftmaxCrossEntropyWithLogits
        SparseSparseMaximum SparseSparseMinimum SparseSplit SparseTensorDenseAdd Spence Split SplitV SquaredDifference
        StatefulPartitionedCall StatelessIf StatelessWhile Sum Svd Switch Tan TensorArrayCloseV3 TensorArrayConcatV3
        TensorArrayGatherV3 TensorArrayReadV3 TensorArrayScatterV3 TensorArraySizeV3 TensorArraySplitV3
        TensorArrayWriteV3 TensorListConcat TensorListConcatV2 TensorListElementShape TensorListFromTensor
        TensorListLength TensorListPushBack TensorListSetItem TensorScatterAdd TensorScatterMax TensorScatterMin
        TensorScatterSub TensorScatterUpdate TensorStridedSliceUpdate TridiagonalMatMul TridiagonalSolve TruncateDiv
        TruncateMod Unique UniqueV2 UniqueWithCounts UniqueWithCountsV2 Unpack UnravelIndex UpperBound Where While Xdivy
        Xlog1py Xlogy ZerosLike Zeta
        """

    private static let random = """
        RandomIndexShuffle RandomShuffle StatelessRandomGetAlg StatelessRandomGetKeyCounter
        StatelessRandomGetKeyCounterAlg StatelessShuffle
        """

    private static let reporting = """
        AudioSummary AudioSummaryV2 HistogramSummary ImageSummary MergeSummary Print PrintV2 ScalarSummary TensorSummary
        TensorSummaryV2
        """

    /// Also operations of training, which change variables.
    private static let unfrozen = """
        AnonymousHashTable AnonymousIterator AnonymousIteratorV2 AnonymousIteratorV3 AnonymousMultiDeviceIterator
        AnonymousMultiDeviceIteratorV3 AnonymousMutableDenseHashTable AnonymousMutableHashTable
        AnonymousMutableHashTableOfTensors ApplyAdaMax ApplyAdadelta ApplyAdagrad ApplyAdagradDA ApplyAdagradV2
        ApplyAdam ApplyAddSign ApplyCenteredRMSProp ApplyFtrl ApplyFtrlV2 ApplyGradientDescent ApplyMomentum
        ApplyPowerSign ApplyProximalAdagrad ApplyProximalGradientDescent ApplyRMSProp Assign AssignAdd
        AssignAddVariableOp AssignSub AssignSubVariableOp AssignVariableOp CountUpTo DeleteIterator
        DeleteMultiDeviceIterator DeserializeIterator DestroyResourceOp DestroyTemporaryVariable DisableCopyOnRead
        ExperimentalIteratorGetDevice HashTable HashTableV2 InitializeTable InitializeTableFromDataset
        InitializeTableFromTextFile InitializeTableFromTextFileV2 InitializeTableV2 IsVariableInitialized Iterator
        IteratorFromStringHandle IteratorFromStringHandleV2 IteratorGetDevice IteratorGetModelProto IteratorGetNext
        IteratorGetNextAsOptional IteratorGetNextSync IteratorToStringHandle IteratorV2 LookupTableExport
        LookupTableExportV2 LookupTableFind LookupTableFindV2 LookupTableImport LookupTableImportV2 LookupTableInsert
        LookupTableInsertV2 LookupTableRemoveV2 LookupTableSize LookupTableSizeV2 MakeIterator MergeV2Checkpoints
        MultiDeviceIterator MultiDeviceIteratorFromStringHandle MultiDeviceIteratorGetNextFromShard
        MultiDeviceIteratorInit MultiDeviceIteratorToStringHandle MutableDenseHashTable MutableDenseHashTableV2
        MutableHashTable MutableHashTableOfTensors MutableHashTableOfTensorsV2 MutableHashTableV2 OneShotIterator
        ReadVariableOp RefEnter RefExit RefIdentity RefMerge RefNextIteration RefSelect RefSwitch ResourceApplyAdaMax
        ResourceApplyAdadelta ResourceApplyAdagrad ResourceApplyAdagradDA ResourceApplyAdagradV2 ResourceApplyAdam
        ResourceApplyAdamWithAmsgrad ResourceApplyAddSign ResourceApplyCenteredRMSProp ResourceApplyFtrl
        ResourceApplyFtrlV2 ResourceApplyGradientDescent ResourceApplyKerasMomentum ResourceApplyMomentum
        ResourceApplyPowerSign ResourceApplyProximalAdagrad ResourceApplyProximalGradientDescent ResourceApplyRMSProp
        ResourceCountUpTo ResourceGather ResourceGatherNd ResourceScatterAdd ResourceScatterDiv ResourceScatterMax
        ResourceScatterMin ResourceScatterMul ResourceScatterNdAdd ResourceScatterNdMax ResourceScatterNdMin
        ResourceScatterNdSub ResourceScatterNdUpdate ResourceScatterSub ResourceScatterUpdate
        ResourceSparseApplyAdadelta ResourceSparseApplyAdagrad ResourceSparseApplyAdagradDA ResourceSparseApplyAdagradV2
        ResourceSparseApplyCenteredRMSProp ResourceSparseApplyFtrl ResourceSparseApplyFtrlV2
        ResourceSparseApplyKerasMomentum ResourceSparseApplyMomentum ResourceSparseApplyProximalAdagrad
        ResourceSparseApplyProximalGradientDescent ResourceSparseApplyRMSProp ResourceStridedSliceAssign Restore
        RestoreSlice RestoreV2 RngReadAndSkip RngSkip Save SaveSlices SaveV2 ScatterAdd ScatterDiv ScatterMax ScatterMin
        ScatterMul ScatterNdAdd ScatterNdMax ScatterNdMin ScatterNdSub ScatterNdUpdate ScatterSub ScatterUpdate
        SerializeIterator ShardedFilename ShardedFilespec SparseApplyAdadelta SparseApplyAdagrad SparseApplyAdagradDA
        SparseApplyAdagradV2 SparseApplyCenteredRMSProp SparseApplyFtrl SparseApplyFtrlV2 SparseApplyMomentum
        SparseApplyProximalAdagrad SparseApplyProximalGradientDescent SparseApplyRMSProp StatefulRandomBinomial
        StatefulStandardNormal StatefulStandardNormalV2 StatefulTruncatedNormal StatefulUniform StatefulUniformFullInt
        StatefulUniformInt StridedSliceAssign TemporaryVariable VarHandleOp VarIsInitializedOp Variable VariableShape
        VariableV2
        """
}

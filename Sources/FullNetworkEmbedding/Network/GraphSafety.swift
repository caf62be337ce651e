/// A graph is a program that TensorFlow runs with the host's rights. Only operations of this list are let through: they
/// compute tensors from tensors. What reads or writes files, loads libraries, calls Python or other processes, opens
/// connections, keeps state or makes threads is not on it.
enum GraphSafety {
    /// The most bytes that one constant may declare; what a serialized tensor can hold at all.
    static let constantLimit = 1 << 31

    static func check(_ graph: GraphDefinition) throws {
        // A node may call one of the graph's own functions, whose body is checked here as well. TensorFlow refuses to
        // import a function that is named like one of its operations.
        let functions = Set(graph.functionNodes.map(\.function))
        func isAllowed(_ operation: String) -> Bool { allowed.contains(operation) || functions.contains(operation) }
        for node in graph.nodes where !isAllowed(node.operation) {
            throw FNEError(.unsafeGraph, message(node: "node '\(node.name)'", operation: node.operation))
        }
        for body in graph.functionNodes where !isAllowed(body.node.operation) {
            throw FNEError(
                .unsafeGraph,
                message(node: "node '\(body.node.name)' of function '\(body.function)'", operation: body.node.operation))
        }
    }

    /// Constants are bounded whatever the caller allows: a shape of a few bytes can ask for terabytes. Together they may
    /// declare no more than `size`, the bytes of the graph, can hold in the most compact form (eight bytes an encoded
    /// one), and a gigabyte for those that repeat one value.
    static func checkConstants(_ graph: GraphDefinition, size: Int) throws {
        var total = 0
        let totalLimit = min(size, 1 << 40) * 8 + 1 << 30
        for node in graph.nodes + graph.functionNodes.map(\.node) {
            guard let constant = node.constant("value") else { continue }
            var bytes = elementSize(constant.type)
            for dimension in constant.shape ?? [] {
                let (product, overflow) = bytes.multipliedReportingOverflow(by: dimension)
                guard dimension >= 0, !overflow, product <= constantLimit else {
                    throw FNEError(
                        .invalidGraph, "the constant '\(node.name)' declares a shape that is negative or too large")
                }
                bytes = product
            }
            total += bytes
            guard total <= totalLimit else {
                throw FNEError(.invalidGraph, "the constants declare more memory than the graph can fill")
            }
        }
    }

    /// Bytes of an element, by TensorFlow's number of the type (types.proto).
    private static func elementSize(_ type: Int) -> Int {
        switch type {
        case 4, 6, 10, 11, 12: 1 // 8-bit integers and bool
        case 5, 14, 15, 16, 17, 19: 2 // 16-bit numbers
        case 2, 8, 9, 23: 8 // double, complex64, 64-bit integers
        case 7, 18, 20, 21: 16 // strings, complex128, handles
        default: 4
        }
    }

    private static func message(node: String, operation: String) -> String {
        "\(node) is a '\(operation)', which is not on the list of operations that only compute; "
            + "if you trust where this graph comes from, open it with allow_unsafe"
    }

    private static let allowed = Set(
        """
        Abs Acos Acosh Add AddN AddV2 All Angle Any ArgMax ArgMin Asin Asinh Assert Atan Atan2 Atanh
        AvgPool AvgPool3D BatchMatMul BatchMatMulV2 BatchMatMulV3 BatchNormWithGlobalNormalization BatchToSpace
        BatchToSpaceND BiasAdd BiasAddV1 Bincount Bitcast BroadcastArgs BroadcastTo Bucketize Cast Ceil CheckNumerics
        ClipByValue Complex ComplexAbs Concat ConcatOffset ConcatV2 Const ControlTrigger Conv Conv2D
        Conv2DBackpropInput Conv2DBackpropInputV2 Conv3D Conv3DBackpropInputV2 Cos Cosh CropAndResize Cross Cumprod
        Cumsum DepthToSpace DepthwiseConv2dNative Dequantize Diag DiagPart Dilation2D Div DivNoNan Einsum Elu
        EnsureShape Equal Erf Erfc Erfinv Exp ExpandDims Expm1 FakeQuantWithMinMaxArgs FakeQuantWithMinMaxVars
        FakeQuantWithMinMaxVarsPerChannel Fill Floor FloorDiv FloorMod FusedBatchNorm FusedBatchNormV2
        FusedBatchNormV3 FusedPadConv2D FusedResizeAndPadConv2D Gather GatherNd GatherV2 Greater GreaterEqual
        GuaranteeConst Identity IdentityN If Imag InTopK InTopKV2 InvertPermutation Invert IsFinite IsInf IsNan L2Loss
        LRN LeakyRelu LeftShift Less LessEqual Lgamma LinSpace Log Log1p LogSoftmax LogicalAnd LogicalNot LogicalOr
        LowerBound MatMul MatrixBandPart MatrixDiag MatrixDiagPart MatrixDiagPartV2 MatrixDiagPartV3 MatrixDiagV2
        MatrixDiagV3 MatrixSetDiag MatrixTranspose Max MaxPool MaxPool3D MaxPoolV2 MaxPoolWithArgmax Maximum Mean
        Merge Min Minimum MirrorPad Mod Mul MulNoNan Neg NextIteration NoOp NonMaxSuppression
        NonMaxSuppressionV2 NonMaxSuppressionV3 NonMaxSuppressionV4 NonMaxSuppressionV5 NotEqual OneHot OnesLike Pack
        Pad PadV2 ParallelConcat PartitionedCall Placeholder PlaceholderV2 PlaceholderWithDefault Polygamma Pow
        PreventGradient Prod QuantizeAndDequantize QuantizeAndDequantizeV2 QuantizeAndDequantizeV3
        QuantizeAndDequantizeV4 RGBToHSV Range Rank Real RealDiv Reciprocal Relu Relu6 Reshape ResizeArea
        ResizeBicubic ResizeBilinear ResizeNearestNeighbor Reverse ReverseSequence ReverseV2 RightShift Rint Round
        Rsqrt ScatterNd Select SelectV2 Selu Shape ShapeN
        Sigmoid Sign Sin Sinh Size Slice Softmax Softplus Softsign SpaceToBatch SpaceToBatchND SpaceToDepth
        Split SplitV Sqrt Square SquaredDifference Squeeze StatefulPartitionedCall StatelessIf StatelessWhile StopGradient StridedSlice Sub Sum
        Switch Tan Tanh TensorScatterUpdate Tile TopK TopKV2 Transpose TruncateDiv TruncateMod Unpack UpperBound Where
        Xdivy Xlogy ZerosLike Zeta
        Enter Exit LoopCond
        """.split { $0 == " " || $0 == "\n" }.map(String.init))
}

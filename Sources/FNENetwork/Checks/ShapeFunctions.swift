/// Computes the shapes of a node's outputs, and the elements of small tensors of integers, from those of its inputs.
/// The rules are those of TensorFlow's operations (tensorflow/core/ops). What a rule does not know is unknown.
struct ShapeFunctions {
    typealias Tensor = TensorShapes.Tensor
    typealias Outputs = TensorShapes.Outputs

    private let node: GraphDefinition.Node
    private let inputs: [Tensor]

    init(_ node: GraphDefinition.Node, _ inputs: [Tensor]) {
        self.node = node
        self.inputs = inputs
    }

    /// The elements of larger tensors are not followed.
    private static let fewValues = GraphDefinition.Constant.fewIntegers

    private typealias Rule<Result> = (operations: String, rule: @Sendable (Self) -> Result)

    /// The rules for the first output. Further outputs are unknown.
    private static let rulesForOne: [Rule<Tensor?>] = [
        (
            """
            Abs AccumulateNV2 Acos Acosh AddN AdjustContrast AdjustContrastv2 AdjustHue AdjustSaturation
            Asin Asinh Atan Atanh BatchNormWithGlobalNormalization BesselI0 BesselI0e BesselI1 BesselI1e
            BesselJ0 BesselJ1 BesselK0 BesselK0e BesselK1 BesselK1e BesselY0 BesselY1 BiasAdd BiasAddV1 Ceil
            Cholesky ClipByValue Conj Cos Cosh Cumprod Cumsum CumulativeLogsumexp Dawsn Digamma
            DrawBoundingBoxes DrawBoundingBoxesV2 Elu Enter Erf Erfc Erfinv Exit Exp Expint Expm1 FFT FFT2D
            FFT3D Floor FresnelCos FresnelSin FusedBatchNorm FusedBatchNormV2 FusedBatchNormV3 HSVToRGB IFFT
            IFFT2D IFFT3D Inv Invert IsFinite IsInf IsNan LRN LeakyRelu Lgamma Log Log1p LogSoftmax
            LogicalNot MatrixBandPart MatrixInverse MatrixLogarithm MatrixSetDiag MatrixSetDiagV2
            MatrixSetDiagV3 MatrixSquareRoot Ndtri Neg NextIteration OnesLike PlaceholderWithDefault
            PopulationCount RGBToHSV RandomShuffle Reciprocal Relu Relu6 Reverse ReverseSequence ReverseV2
            Rint Roll Round Rsqrt ScatterNdNonAliasingAdd Selu Sigmoid Sign Sin Sinh Softmax Softplus
            Softsign Spence Sqrt Square StatelessShuffle Tan Tanh TensorScatterAdd TensorScatterMax
            TensorScatterMin TensorScatterSub TensorScatterUpdate TensorStridedSliceUpdate ZerosLike
            """, { Tensor(shape: $0.input(0).shape, growth: $0.input(0).growth) }
        ),
        (
            """
            Add AddV2 ApproximateEqual Atan2 Betainc BitwiseAnd BitwiseOr BitwiseXor Complex Div DivNoNan
            Equal FloorDiv FloorMod Greater GreaterEqual Igamma Igammac LeftShift Less LessEqual LogicalAnd
            LogicalOr Maximum Minimum Mod Mul MulNoNan NextAfter NotEqual Pow RealDiv RightShift SelectV2
            SquaredDifference Sub TruncateDiv TruncateMod Xdivy Xlog1py Xlogy
            """, { $0.broadcast }
        ),
        (
            """
            Cast CheckNumerics CheckNumericsV2 EnsureShape FakeQuantWithMinMaxArgs FakeQuantWithMinMaxVars
            FakeQuantWithMinMaxVarsPerChannel GuaranteeConst Identity PreventGradient
            QuantizeAndDequantizeV2 QuantizeAndDequantizeV3 QuantizeAndDequantizeV4 Snapshot StopGradient
            """, { $0.input(0) }
        ),
        ("All Any EuclideanNorm Max Mean Min Prod Sum", { $0.reduced }),
        ("Const", { $0.constant }),
        ("Shape", { $0.shape(of: $0.input(0)) }),
        ("Size", { $0.input(0).shape.map { Tensor(shape: [], values: [product($0)]) } }),
        ("Rank", { $0.input(0).shape.map { Tensor(shape: [], values: [$0.count]) } }),
        ("Reshape", { $0.reshaped }),
        ("Squeeze", { $0.squeezed }),
        ("ExpandDims", { $0.expanded }),
        ("ConjugateTranspose Transpose", { $0.transposed }),
        ("Concat", { $0.concatenated($0.inputs.dropFirst(), axis: $0.number(0)) }),
        ("ConcatV2", { $0.concatenated($0.inputs.dropLast(), axis: $0.number($0.inputs.count - 1)) }),
        ("Pack", { $0.packed }),
        ("Tile", { $0.tiled }),
        ("BroadcastTo", { $0.sized(by: 1) }),
        ("ScatterNd", { $0.sized(by: 2) }),
        ("SparseToDense", { $0.sized(by: 1) }),
        (
            """
            RandomStandardNormal RandomUniform RandomUniformInt StatelessRandomNormal StatelessRandomNormalV2
            StatelessRandomUniform StatelessRandomUniformFullInt StatelessRandomUniformFullIntV2
            StatelessRandomUniformInt StatelessRandomUniformIntV2 StatelessRandomUniformV2 StatelessTruncatedNormal
            StatelessTruncatedNormalV2 TruncatedNormal
            """, { $0.sized(by: 0) }
        ),
        ("DenseBincount Multinomial StatelessMultinomial", { $0.counted }),
        ("HistogramFixedWidth", { $0.number(2).flatMap { $0 >= 0 ? Tensor(shape: [$0]) : nil } }),
        (
            """
            SegmentMaxV2 SegmentMinV2 SegmentProdV2 SegmentSumV2 UnsortedSegmentMax UnsortedSegmentMin
            UnsortedSegmentProd UnsortedSegmentSum
            """, { $0.segments }
        ),
        ("TensorArrayV3", { $0.list(of: 0) }),
        ("TensorListReserve", { $0.list(of: 1) }),
        ("Conv2DBackpropInput", { $0.sized(by: 0) }),
        ("Fill", { $0.filled }),
        ("Range", { $0.range }),
        ("OneHot", { $0.oneHot }),
        ("Diag", { $0.input(0).shape.map { Tensor(shape: $0 + $0) } }),
        ("MatrixDiag", { $0.input(0).shape.flatMap { shape in shape.last.map { Tensor(shape: shape + [$0]) } } }),
        ("MirrorPad Pad PadV2", { $0.padded }),
        ("Slice", { $0.sliced }),
        ("StridedSlice", { $0.stridedSlice }),
        ("Gather GatherV2", { $0.gathered }),
        ("ArgMax ArgMin", { $0.without(axis: $0.number(1)) }),
        ("Conv2D", { $0.convolved { $0[3] } }),
        ("DepthwiseConv2dNative", { $0.convolved { saturating($0[2], $0[3]) } }),
        ("AvgPool MaxPool MaxPoolWithArgmax", { $0.pooled }),
        ("MatMul", { $0.matrixProduct("transpose_a", "transpose_b") }),
        ("BatchMatMul BatchMatMulV2 BatchMatMulV3", { $0.matrixProduct("adj_x", "adj_y") }),
        ("Einsum", { $0.einsum }),
        ("ResizeArea ResizeBicubic ResizeBilinear ResizeNearestNeighbor ScaleAndTranslate", { $0.resized(to: 1) }),
        ("ImageProjectiveTransformV2 ImageProjectiveTransformV3", { $0.resized(to: 2) }),
        ("ExtractImagePatches ExtractVolumePatches", { $0.patches }),
        ("CropAndResize", { $0.cropped }),
        (
            "SpaceToDepth",
            { $0.blocks { [$0[0], $0[1] / $1, $0[2] / $1, saturating($0[3], saturating($1, $1))] } }
        ),
        (
            "DepthToSpace",
            { $0.blocks { [$0[0], saturating($0[1], $1), saturating($0[2], $1), $0[3] / $1 / $1] } }
        ),
        ("SpaceToBatchND", { $0.toBatch }),
        ("BatchToSpaceND", { $0.fromBatch }),
    ]

    /// The rules for all outputs.
    private static let rulesForAll: [Rule<Outputs>] = [
        ("IdentityN", { .each($0.inputs) }),
        ("ShapeN", { rule in .each(rule.inputs.map(rule.shape)) }),
        ("Split", { $0.split($0.input(1), axis: $0.number(0), count: $0.node.integer("num_split")) }),
        ("SplitV", { $0.splitBySizes }),
        ("Switch", { .alike($0.input(0), 2) }),
        ("TopKV2", { .alike($0.topValues, 2) }),
        ("Unpack", { $0.unpacked }),
    ]

    private static let rules: [String: @Sendable (Self) -> Outputs] = {
        var rules: [String: @Sendable (Self) -> Outputs] = [:]
        for (operations, rule) in rulesForOne {
            for name in operations.split(whereSeparator: \.isWhitespace) {
                rules[String(name)] = { .first(rule($0) ?? .unknown) }
            }
        }
        for (operation, rule) in rulesForAll { rules[operation] = rule }
        return rules
    }()

    /// The outputs of the node.
    var outputs: Outputs { Self.rules[node.operation]?(self) ?? .first(.unknown) }

    private func input(_ place: Int) -> Tensor { inputs.indices.contains(place) ? inputs[place] : .unknown }

    /// The only element of an input.
    private func number(_ place: Int) -> Int? {
        guard let values = input(place).values, values.count == 1 else { return nil }
        return values[0]
    }

    // MARK: Values

    private var constant: Tensor? {
        guard let constant = node.constant("value"), let shape = constant.shape else { return nil }
        return Tensor(shape: shape, values: constant.elements)
    }

    private func shape(of tensor: Tensor) -> Tensor {
        tensor.shape.map { Tensor(shape: [$0.count], values: $0) } ?? .unknown
    }

    /// The number, where it is one of the node's type. TensorFlow's numbers wrap around.
    private func fitting(_ result: (Int, Bool)) -> Int? {
        let (number, overflow) = result
        return overflow || (node.type("T") == .int32 && Int32(exactly: number) == nil) ? nil : number
    }

    private func compute(_ a: Int, _ b: Int) -> Int? {
        switch node.operation {
        case "Add", "AddV2": fitting(a.addingReportingOverflow(b))
        case "Sub": fitting(a.subtractingReportingOverflow(b))
        case "Mul": fitting(a.multipliedReportingOverflow(by: b))
        case "FloorDiv", "Div": a >= 0 && b > 0 ? a / b : nil
        case "FloorMod", "Mod": a >= 0 && b > 0 ? a % b : nil
        case "Maximum": max(a, b)
        case "Minimum": min(a, b)
        default: nil
        }
    }

    private var broadcast: Tensor {
        // SelectV2 has three inputs, of which the first is a condition.
        guard inputs.count >= 2 else { return .unknown }
        guard inputs.allSatisfy({ $0.shape != nil }) else {
            return Tensor(growth: inputs.map { $0.shape == nil ? $0.growth : 1 }.max() ?? 1)
        }
        var result: [Int] = []
        for shape in inputs.compactMap(\.shape) {
            guard let both = Self.broadcast(result, shape) else { return .unknown }
            result = both
        }
        var values: [Int]?
        if inputs.count == 2, let a = input(0).values, let b = input(1).values, product(result) <= Self.fewValues,
            a.count == b.count || a.count == 1 || b.count == 1, max(a.count, b.count) == product(result)
        {
            let computed = (0..<product(result)).map { compute(a[a.count == 1 ? 0 : $0], b[b.count == 1 ? 0 : $0]) }
            values = computed.contains(nil) ? nil : computed.compactMap { $0 }
        }
        return Tensor(shape: result, values: values)
    }

    private static func broadcast(_ a: [Int], _ b: [Int]) -> [Int]? {
        let rank = max(a.count, b.count)
        let first = Array(repeating: 1, count: rank - a.count) + a
        let second = Array(repeating: 1, count: rank - b.count) + b
        guard zip(first, second).allSatisfy({ $0 == $1 || $0 == 1 || $1 == 1 }) else { return nil }
        return zip(first, second).map { $0 == 1 ? $1 : $0 }
    }

    // MARK: Axes

    private static func position(_ axis: Int?, rank: Int) -> Int? {
        guard let axis, axis >= -rank, axis < rank else { return nil }
        return axis < 0 ? axis + rank : axis
    }

    private var reduced: Tensor {
        guard let shape = input(0).shape, let axes = input(1).values else { return .unknown }
        let removed = Set(axes.compactMap { Self.position($0, rank: shape.count) })
        guard removed.count == Set(axes).count else { return .unknown }
        let keeps = node.flag("keep_dims")
        let result = shape.enumerated().compactMap { removed.contains($0) ? (keeps ? 1 : nil) : $1 }
        guard node.operation == "Prod", let values = input(0).values, result.isEmpty else {
            return Tensor(shape: result)
        }
        var number: Int? = 1
        for value in values { number = number.flatMap { fitting($0.multipliedReportingOverflow(by: value)) } }
        return Tensor(shape: result, values: number.map { [$0] })
    }

    private func without(axis: Int?) -> Tensor? {
        guard var shape = input(0).shape, let place = Self.position(axis, rank: shape.count) else { return nil }
        shape.remove(at: place)
        return Tensor(shape: shape)
    }

    private var transposed: Tensor? {
        guard let shape = input(0).shape, let order = input(1).values, order.count == shape.count,
            order.allSatisfy(shape.indices.contains)
        else { return Tensor(growth: input(0).growth) }
        return Tensor(shape: order.map { shape[$0] })
    }

    // MARK: Changes of shape

    private var reshaped: Tensor? {
        guard var wanted = input(1).values else { return Tensor(growth: input(0).growth) }
        if let open = wanted.firstIndex(of: -1) {
            let rest = product(wanted.enumerated().compactMap { $0 == open ? nil : $1 })
            guard let shape = input(0).shape, rest > 0 else { return Tensor(growth: input(0).growth) }
            wanted[open] = product(shape) / rest
        }
        guard wanted.allSatisfy({ $0 >= 0 }) else { return nil }
        return Tensor(shape: wanted, values: input(0).values)
    }

    private var squeezed: Tensor? {
        guard let shape = input(0).shape else { return Tensor(growth: input(0).growth) }
        let places = (node.integers("squeeze_dims") ?? []).compactMap { Self.position($0, rank: shape.count) }
        let result = shape.enumerated().filter { places.isEmpty ? $1 != 1 : !places.contains($0) }.map(\.element)
        return Tensor(shape: result, values: input(0).values)
    }

    private var expanded: Tensor? {
        guard var shape = input(0).shape, let place = Self.position(number(1), rank: shape.count + 1) else {
            return Tensor(growth: input(0).growth)
        }
        shape.insert(1, at: place)
        return Tensor(shape: shape, values: input(0).values)
    }

    // MARK: Several tensors

    /// The growth of tensors that are put together, of which one at least is of unknown size.
    private func together(_ tensors: some Collection<Tensor>) -> Tensor {
        Tensor(growth: max(1, tensors.reduce(0) { saturatingSum($0, $1.shape == nil ? $1.growth : 0) }))
    }

    private func saturatingSum(_ a: Int, _ b: Int) -> Int {
        let (sum, overflow) = a.addingReportingOverflow(b)
        return overflow ? .max : sum
    }

    private func concatenated(_ parts: some Collection<Tensor>, axis: Int?) -> Tensor? {
        let shapes = parts.compactMap(\.shape)
        guard shapes.count == parts.count, var result = shapes.first,
            let place = Self.position(axis, rank: result.count),
            shapes.allSatisfy({ $0.count == result.count })
        else { return together(parts) }
        result[place] = shapes.reduce(0) { saturatingSum($0, $1[place]) }
        let values = parts.compactMap(\.values)
        let isKnown = result.count == 1 && values.count == parts.count && result[0] <= Self.fewValues
        return Tensor(shape: result, values: isKnown ? Array(values.joined()) : nil)
    }

    private var packed: Tensor? {
        let shapes = inputs.compactMap(\.shape)
        guard shapes.count == inputs.count, var result = shapes.first,
            let place = Self.position(node.integer("axis") ?? 0, rank: result.count + 1)
        else { return together(inputs) }
        let isVector = result.isEmpty
        result.insert(inputs.count, at: place)
        let values = inputs.compactMap(\.values)
        let isKnown = isVector && values.count == inputs.count && values.count <= Self.fewValues
        return Tensor(shape: result, values: isKnown ? Array(values.joined()) : nil)
    }

    private func split(_ tensor: Tensor, axis: Int?, count: Int?) -> Outputs {
        guard let count, count > 0 else { return .first(.unknown) }
        guard var shape = tensor.shape, let place = Self.position(axis, rank: shape.count) else {
            return .alike(Tensor(growth: tensor.growth), count)
        }
        shape[place] /= count
        return .alike(Tensor(shape: shape), count)
    }

    private var splitBySizes: Outputs {
        guard let shape = input(0).shape, let sizes = input(1).values,
            let place = Self.position(number(2), rank: shape.count)
        else { return .first(.unknown) }
        let rest = shape[place] - sizes.reduce(0) { saturatingSum($0, max($1, 0)) }
        return .each(
            sizes.map { size in
                var part = shape
                part[place] = min(max(size < 0 ? rest : size, 0), shape[place])
                return Tensor(shape: part)
            })
    }

    private var unpacked: Outputs {
        guard let count = node.integer("num"), count > 0 else { return .first(.unknown) }
        guard var shape = input(0).shape, let place = Self.position(node.integer("axis") ?? 0, rank: shape.count) else {
            return .alike(Tensor(growth: input(0).growth), count)
        }
        shape.remove(at: place)
        if let values = input(0).values, shape.isEmpty { return .each(values.map { Tensor(shape: [], values: [$0]) }) }
        return .alike(Tensor(shape: shape), count)
    }

    private var topValues: Tensor {
        guard var shape = input(0).shape, !shape.isEmpty, let count = number(1), count >= 0 else { return .unknown }
        shape[shape.count - 1] = min(shape[shape.count - 1], count)
        return Tensor(shape: shape)
    }

    // MARK: Sizes

    private var tiled: Tensor? {
        guard let multiples = input(1).values, multiples.allSatisfy({ $0 >= 0 }) else { return nil }
        guard let shape = input(0).shape else {
            return Tensor(growth: saturating(input(0).growth, max(1, product(multiples))))
        }
        guard shape.count == multiples.count else { return nil }
        return Tensor(shape: zip(shape, multiples).map(saturating))
    }

    /// A tensor whose shape is an input.
    private func sized(by place: Int) -> Tensor? {
        guard let shape = input(place).values, shape.allSatisfy({ $0 >= 0 }) else { return nil }
        return Tensor(shape: shape)
    }

    /// As many numbers as the second input says, for each row of the first.
    private var counted: Tensor? {
        guard let count = number(1), count >= 0 else { return nil }
        return Tensor(shape: (input(0).shape?.dropLast() ?? []) + [count])
    }

    /// Rows of the first input, put together by the second into as many as the third says.
    private var segments: Tensor? {
        guard let count = number(2), count >= 0 else { return nil }
        guard let shape = input(0).shape, let rank = input(1).shape?.count, rank <= shape.count else {
            return Tensor(shape: [count])
        }
        return Tensor(shape: [count] + shape[rank...])
    }

    /// A list of tensors. Each place takes about as much memory as 32 numbers.
    private func list(of place: Int) -> Tensor? {
        number(place).flatMap { $0 >= 0 ? Tensor(shape: [$0, 32]) : nil }
    }

    private var filled: Tensor? {
        guard let shape = input(0).values, shape.allSatisfy({ $0 >= 0 }) else { return nil }
        let value = product(shape) <= Self.fewValues ? number(1) : nil
        return Tensor(shape: shape, values: value.map { Array(repeating: $0, count: product(shape)) })
    }

    private var range: Tensor? {
        guard let start = number(0), let limit = number(1), let step = number(2), step > 0 else { return nil }
        let (length, overflow) = limit.subtractingReportingOverflow(start)
        guard !overflow else { return nil }
        let count = length <= 0 ? 0 : (length - 1) / step + 1
        return Tensor(shape: [count], values: count <= Self.fewValues ? (0..<count).map { start + $0 * step } : nil)
    }

    private var oneHot: Tensor? {
        guard var shape = input(0).shape, let depth = number(1), depth >= 0,
            let place = Self.position(node.integer("axis") ?? -1, rank: shape.count + 1)
        else { return nil }
        shape.insert(depth, at: place)
        return Tensor(shape: shape)
    }

    private var padded: Tensor? {
        guard let shape = input(0).shape, let paddings = input(1).values, paddings.count == 2 * shape.count,
            paddings.allSatisfy({ $0 >= 0 })
        else { return nil }
        return Tensor(
            shape: shape.enumerated().map { saturatingSum($1, saturatingSum(paddings[2 * $0], paddings[2 * $0 + 1])) })
    }

    private func resized(to place: Int) -> Tensor? {
        guard let shape = input(0).shape, shape.count == 4, let size = input(place).values, size.count == 2,
            size.allSatisfy({ $0 >= 0 })
        else { return nil }
        return Tensor(shape: [shape[0], size[0], size[1], shape[3]])
    }

    private var cropped: Tensor? {
        guard let shape = input(0).shape, shape.count == 4, let boxes = input(1).shape, let count = boxes.first,
            let size = input(3).values, size.count == 2, size.allSatisfy({ $0 >= 0 })
        else { return nil }
        return Tensor(shape: [count, size[0], size[1], shape[3]])
    }

    // MARK: Parts

    private var sliced: Tensor? {
        guard let shape = input(0).shape, let begin = input(1).values, let size = input(2).values,
            begin.count == shape.count, size.count == shape.count
        else { return nil }
        let ranges = shape.indices.map { place -> Range<Int> in
            let start = min(max(begin[place], 0), shape[place])
            let length = size[place] < 0 ? shape[place] - start : min(size[place], shape[place] - start)
            return start..<start + length
        }
        let values = shape.count == 1 ? input(0).values.map { Array($0[ranges[0]]) } : nil
        return Tensor(shape: ranges.map(\.count), values: values)
    }

    private var stridedSlice: Tensor? {
        guard let shape = input(0).shape, let begin = input(1).values, let end = input(2).values,
            let steps = input(3).values, begin.count == end.count, steps.count == end.count
        else { return nil }
        func has(_ mask: String, _ place: Int) -> Bool { ((node.integer(mask) ?? 0) >> place) & 1 == 1 }
        let added = begin.indices.filter { has("new_axis_mask", $0) }.count
        let ellipses = begin.indices.filter { has("ellipsis_mask", $0) }.count
        var result: [Int] = []
        var taken: [Int] = [] // of a vector, the places that stay
        var axis = 0
        for place in begin.indices {
            if has("ellipsis_mask", place) {
                let count = shape.count - (begin.count - added - ellipses)
                guard ellipses == 1, count >= 0, axis + count <= shape.count else { return nil }
                result += shape[axis..<axis + count]
                axis += count
                continue
            }
            if has("new_axis_mask", place) {
                result.append(1)
                continue
            }
            guard axis < shape.count else { return nil }
            let size = shape[axis]
            axis += 1
            if has("shrink_axis_mask", place) {
                guard let index = Self.position(begin[place], rank: size) else { return nil }
                taken = [index]
                continue
            }
            let step = steps[place]
            guard step != 0, step > -Int.max else { return nil }
            func bound(_ number: Int, masked: Bool, at edge: Int) -> Int {
                if masked { return edge }
                let absolute = number < 0 ? number + size : number
                return step > 0 ? min(max(absolute, 0), size) : min(max(absolute, -1), size - 1)
            }
            let first = bound(begin[place], masked: has("begin_mask", place), at: step > 0 ? 0 : size - 1)
            let last = bound(end[place], masked: has("end_mask", place), at: step > 0 ? size : -1)
            let length = step > 0 ? last - first : first - last
            let count = length <= 0 ? 0 : (length - 1) / abs(step) + 1
            result.append(count)
            taken = count <= Self.fewValues ? (0..<count).map { first + $0 * step } : []
        }
        result += shape[axis...]
        let isVector = shape.count == 1 && begin.count == 1 && axis == 1
        let values = isVector ? input(0).values.map { values in taken.map { values[$0] } } : nil
        return Tensor(shape: result, values: values)
    }

    private var gathered: Tensor? {
        guard let shape = input(0).shape, let indices = input(1).shape, (node.integer("batch_dims") ?? 0) == 0,
            let place = Self.position(node.operation == "Gather" ? 0 : number(2), rank: shape.count)
        else { return nil }
        var values: [Int]?
        if shape.count == 1, let from = input(0).values, let places = input(1).values,
            places.allSatisfy(from.indices.contains)
        {
            values = places.map { from[$0] }
        }
        return Tensor(shape: shape[..<place] + indices + shape[(place + 1)...], values: values)
    }

    // MARK: Layers

    /// The length of a map's side after windows went over it; nil where none fits.
    private func windows(_ side: Int, window: Int, axis: Int) -> Int? {
        let stride = list("strides", axis)
        let padding = node.text("padding")
        guard stride > 0, window > 0 else { return nil }
        if padding == "SAME" { return saturatingSum(side, stride - 1) / stride }
        var added = 0
        if padding == "EXPLICIT", let paddings = node.integers("explicit_paddings"), paddings.count == 8 {
            added = saturatingSum(paddings[2 * axis], paddings[2 * axis + 1])
        }
        let covered = saturatingSum(saturating(window - 1, max(1, list("dilations", axis))), 1)
        let length = saturatingSum(side, added)
        return covered <= length ? (length - covered) / stride + 1 : nil
    }

    private func list(_ name: String, _ place: Int) -> Int {
        guard let numbers = node.integers(name), place < numbers.count else { return 1 }
        return numbers[place]
    }

    private var isNHWC: Bool { (node.text("data_format") ?? "NHWC") == "NHWC" }

    private func convolved(channels: ([Int]) -> Int) -> Tensor? {
        guard let shape = input(0).shape, let weights = input(1).shape, shape.count == 4, weights.count == 4, isNHWC,
            let height = windows(shape[1], window: weights[0], axis: 1),
            let width = windows(shape[2], window: weights[1], axis: 2)
        else { return nil }
        return Tensor(shape: [shape[0], height, width, channels(weights)])
    }

    private var pooled: Tensor? {
        guard let shape = input(0).shape, shape.count == 4, isNHWC,
            let height = windows(shape[1], window: list("ksize", 1), axis: 1),
            let width = windows(shape[2], window: list("ksize", 2), axis: 2)
        else { return nil }
        return Tensor(shape: [shape[0], height, width, shape[3]])
    }

    /// Windows of [n, sides..., channels], each as one row of channels.
    private var patches: Tensor? {
        guard let sizes = node.integers("ksizes"), sizes.count >= 3, sizes.allSatisfy({ $0 > 0 }) else { return nil }
        let window = product(sizes)
        guard let shape = input(0).shape, shape.count == sizes.count else {
            return Tensor(growth: saturating(input(0).growth, window))
        }
        let sides = (1..<shape.count - 1).map { axis -> Int in
            let rate = max(1, list("rates", axis))
            let covered = saturatingSum(saturating(sizes[axis] - 1, rate), 1)
            let stride = max(1, list("strides", axis))
            if node.text("padding") == "SAME" { return saturatingSum(shape[axis], stride - 1) / stride }
            return covered <= shape[axis] ? (shape[axis] - covered) / stride + 1 : 0
        }
        return Tensor(shape: [shape[0]] + sides + [saturating(shape[shape.count - 1], window)])
    }

    private func matrixProduct(_ transposesFirst: String, _ transposesSecond: String) -> Tensor? {
        guard let a = input(0).shape, let b = input(1).shape, a.count >= 2, b.count >= 2,
            let batch = Self.broadcast(a.dropLast(2), b.dropLast(2))
        else { return nil }
        let rows = node.flag(transposesFirst) ? a[a.count - 1] : a[a.count - 2]
        let columns = node.flag(transposesSecond) ? b[b.count - 2] : b[b.count - 1]
        return Tensor(shape: batch + [rows, columns])
    }

    /// A sum of products, such as "nij,jk->nik".
    private var einsum: Tensor? {
        let shapes = inputs.compactMap(\.shape)
        guard shapes.count == inputs.count else { return nil }
        return EinsumEquation(node.text("equation") ?? "")?.shape(of: shapes).map { Tensor(shape: $0) }
    }

    // MARK: Blocks

    private func blocks(_ change: ([Int], Int) -> [Int]) -> Tensor? {
        guard let shape = input(0).shape, shape.count == 4, isNHWC, let size = node.integer("block_size"), size > 0
        else {
            return nil
        }
        return Tensor(shape: change(shape, size))
    }

    private var toBatch: Tensor? {
        guard var shape = input(0).shape, let sizes = input(1).values, let paddings = input(2).values, !shape.isEmpty,
            sizes.count < shape.count, paddings.count == 2 * sizes.count, (sizes + paddings).allSatisfy({ $0 >= 0 }),
            !sizes.contains(0)
        else { return nil }
        for (place, size) in sizes.enumerated() {
            let padded = saturatingSum(shape[place + 1], saturatingSum(paddings[2 * place], paddings[2 * place + 1]))
            shape[place + 1] = padded / size
            shape[0] = saturating(shape[0], size)
        }
        return Tensor(shape: shape)
    }

    private var fromBatch: Tensor? {
        guard var shape = input(0).shape, let sizes = input(1).values, let crops = input(2).values, !shape.isEmpty,
            sizes.count < shape.count, crops.count == 2 * sizes.count, (sizes + crops).allSatisfy({ $0 >= 0 }),
            !sizes.contains(0)
        else { return nil }
        for (place, size) in sizes.enumerated() {
            let cropped = saturatingSum(crops[2 * place], crops[2 * place + 1])
            shape[place + 1] = max(0, saturating(shape[place + 1], size) - cropped)
            shape[0] /= size
        }
        return Tensor(shape: shape)
    }
}

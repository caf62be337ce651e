import XCTest

@testable import FNENetwork

/// Shapes that are followed through a graph, and tensors that are too large.
final class TensorShapesTests: XCTestCase {
    /// A graph with a convolution that gives [n, 32, 32, 4], and constants of integers.
    private struct Network {
        var graph = GraphWriter()

        init(_ size: [Int] = [-1, 32, 32, 3]) {
            graph.placeholder("input", size)
            graph.constant("weights", [3, 3, 3, 4])
            graph.node("map", "Conv2D", "input", "weights", attributes: ["padding": Attribute.text("SAME")])
            graph.node("unknown", "Where", "input")
        }

        mutating func integers(_ name: String, _ values: [Int], scalar: Bool = false) {
            let content = Attribute.content(integers: values.map { Int32($0) })
            graph.node(
                name, "Const",
                attributes: ["value": Attribute.tensor(type: 3, scalar ? [] : [values.count], content)])
        }

        func check(_ layer: String, height: Int = 32, width: Int = 32) throws {
            let model = try graph.model(allowUnsafe: true)
            let checks = GraphChecks(
                model, input: try model.input(named: "input"), taps: [model.tensorName(layer)],
                size: [height, width, 3])
            // Shapes that are only followed have no limit.
            _ = try checks.batchStatistics()
            _ = try checks.layerShapes(checks.checkShapes())
        }
    }

    // MARK: What TensorFlow takes for granted

    func testConvolutionsReadMaps() throws {
        var network = Network()
        network.integers("sides", [1, 2])
        network.graph.node("rows", "Mean", "map", "sides")
        for operation in ["Conv2D", "DepthwiseConv2dNative"] {
            network.graph.node(
                operation, operation, "rows", "weights", attributes: ["padding": Attribute.text("SAME")])
            assertFails(.invalidGraph, saying: "'\(operation)'", "shape [1, 4], which is no map") {
                try network.check(operation)
            }
        }
    }

    func testIndicesHaveTheirBatchDimensions() throws {
        var network = Network()
        network.integers("axis", [3], scalar: true)
        for (source, dimensions, fits) in [
            ("map", 4, true), ("map", 5, false), ("unknown", 1, true), ("unknown", 2, false),
        ] {
            let name = "\(source)\(dimensions)"
            network.graph.node("indices_\(name)", "Cast", source)
            network.graph.node(
                name, "GatherV2", "map", "indices_\(name)", "axis",
                attributes: ["batch_dims": Attribute.integer(dimensions)])
            if fits {
                XCTAssertNoThrow(try network.check(name))
            } else {
                assertFails(.invalidGraph, saying: "'\(name)'", "batch_dims \(dimensions)") { try network.check(name) }
            }
        }
    }

    func testMapsHaveNoNegativeSides() throws {
        var network = Network()
        network.integers("sizes", [1, 64, -1, 3])
        network.graph.node("bad", "Conv2DBackpropInput", "sizes", "weights", "map")
        assertFails(.invalidGraph, saying: "'bad'", "[1, 64, ?, 3]", "negative") { try network.check("bad") }
    }

    // MARK: What doubles

    /// Forty nodes that read the one before twice.
    private func doubling(_ operation: String, _ start: String, _ count: Int = 40) -> Network {
        var network = Network()
        network.integers("all", [0, 1, 2, 3])
        network.integers("one", [1])
        network.integers("axis", [0], scalar: true)
        network.integers("twice", [2])
        network.graph.node("sum", "Sum", "map", "all")
        network.graph.node("vector", "Reshape", "sum", "one")
        var last = start
        for number in 1...count {
            let name = "double\(number)"
            switch operation {
            case "Concat": network.graph.node(name, operation, "axis", last, last)
            case "ConcatV2": network.graph.node(name, operation, last, last, "axis")
            case "Tile": network.graph.node(name, operation, last, "twice")
            default: network.graph.node(name, operation, last, last)
            }
            last = name
        }
        return network
    }

    func testDoublingIsBounded() throws {
        for operation in ["Concat", "ConcatV2", "Pack", "Tile"] {
            // 2^28 elements are allowed for any image, and 2^29 are not.
            XCTAssertNoThrow(try doubling(operation, "vector", 28).check("double28"), operation)
            assertFails(.invalidGraph, saying: "'double29' (\(operation))", "at most 268435456 elements", "smaller") {
                try doubling(operation, "vector").check("double40")
            }
        }
        for operation in ["Diag", "MatrixDiag"] {
            assertFails(.invalidGraph, saying: "'double") {
                var network = doubling("ConcatV2", "vector", 20)
                network.graph.node("double", operation, "double20")
                try network.check("double")
            }
        }
        XCTAssertNoThrow(try doubling("AddV2", "vector").check("double40"), "a sum is as large as its parts")
    }

    func testDoublingOfWhatIsUnknownIsBounded() throws {
        for operation in ["Concat", "ConcatV2", "Pack", "Tile"] {
            XCTAssertNoThrow(try doubling(operation, "unknown", 20).check("double20"), operation)
            assertFails(.invalidGraph, saying: "'double21' (\(operation))", "copies of another one") {
                try doubling(operation, "unknown").check("double40")
            }
        }
    }

    func testOnlyWhatRunsIsChecked() {
        XCTAssertNoThrow(try doubling("ConcatV2", "vector").check("map"))
    }

    func testLargeImagesMayHaveLargerTensors() throws {
        func network() -> Network {
            var network = Network([-1, -1, -1, 3])
            network.graph.constant("wide", [1, 1, 4, 2048])
            network.graph.node("deep", "Conv2D", "map", "wide", attributes: ["padding": Attribute.text("SAME")])
            network.graph.constant("wider", [1, 1, 4, 3073])
            network.graph.node("deeper", "Conv2D", "map", "wider", attributes: ["padding": Attribute.text("SAME")])
            return network
        }
        XCTAssertNoThrow(try network().check("deep", height: 2000, width: 2000))
        assertFails(.invalidGraph, saying: "shape [1, 2000, 2000, 3073] per image; at most 12288000000") {
            try network().check("deeper", height: 2000, width: 2000)
        }
        XCTAssertNoThrow(try network().check("deeper", height: 200, width: 200))
    }

    func testTheSumIsBounded() {
        func network(_ count: Int) -> Network {
            var network = Network()
            network.integers("size", [1 << 14, 1 << 14])
            network.integers("zero", [0], scalar: true)
            for number in 1...count { network.graph.node("fill\(number)", "Fill", "size", "zero", "^input") }
            network.graph.append(
                Wire.bytes(1, Wire.node("last", "NoOp", (1...count).map { "^fill\($0)" })))
            return network
        }
        XCTAssertNoThrow(try network(63).check("last"))
        assertFails(.invalidGraph, saying: "'fill64' (Fill) is where the tensors together exceed 17179869184") {
            try network(64).check("last")
        }
    }

    // MARK: Computed sizes

    /// A Tile whose multiples are the third powers of the map's height.
    func testSizesThatAreComputed() {
        var network = Network()
        network.integers("begin", [1])
        network.integers("end", [2])
        network.integers("step", [1])
        network.integers("all", [0, 1, 2, 3])
        network.integers("ones", [1, 1, 1, 1])
        network.integers("one", [1], scalar: true)
        network.graph.node("shape", "Shape", "input")
        network.graph.node(
            "height", "StridedSlice", "shape", "begin", "end", "step",
            attributes: ["shrink_axis_mask": Attribute.integer(1)])
        network.graph.node("square", "Mul", "height", "height")
        network.graph.node("cube", "Mul", "square", "height")
        network.graph.node("sum", "Sum", "map", "all")
        network.graph.node("small", "Reshape", "sum", "ones")
        network.graph.node("sizes", "Pack", "one", "cube", "cube", "one")
        network.graph.node("tile", "Tile", "small", "sizes")
        network.graph.node("broadcast", "BroadcastTo", "small", "sizes")
        network.graph.node("fill", "Fill", "sizes", "one")
        for name in ["tile", "broadcast", "fill"] {
            assertFails(.invalidGraph, saying: "'\(name)'", "shape [1, 32768, 32768, 1]") { try network.check(name) }
        }
    }

    // MARK: Functions

    func testShapesGoThroughFunctions() throws {
        func network(_ operation: String, attribute: String) -> Network {
            var network = Network()
            network.integers("multiples", [1, 512, 512, 1])
            let f = Wire.bytes(10, Wire.text(1, "grow"))
            network.graph.node("call", operation, "map", "multiples", attributes: [attribute: f])
            network.graph.node("again", operation, "call", "multiples", attributes: [attribute: f])
            let argument = { Wire.bytes(2, Wire.text(1, $0)) }
            let signature = Wire.text(1, "grow") + argument("x") + argument("m") + Wire.bytes(3, Wire.text(1, "y"))
            let body =
                Wire.bytes(3, Wire.node("relu", "Relu", ["x"]))
                + Wire.bytes(3, Wire.node("tile", "Tile", ["relu:activations:0", "m"]))
            let returned = Wire.bytes(4, Wire.text(1, "y") + Wire.text(2, "tile:output:0"))
            network.graph.append(Wire.bytes(2, Wire.bytes(1, Wire.bytes(1, signature) + body + returned)))
            return network
        }
        for (operation, attribute) in [
            ("PartitionedCall", "f"), ("StatefulPartitionedCall", "f"), ("grow", "unused"),
        ] {
            let network = network(operation, attribute: attribute)
            // 32 * 512 is 16384, and 16384^2 * 4 is more than 2^28.
            assertFails(.invalidGraph, saying: "'call/tile' (Tile)", "[1, 16384, 16384, 4]") {
                try network.check("call")
            }
        }
    }

    func testComputedListsOfTensorsAreBounded() throws {
        for (operation, inputs) in [("TensorArrayV3", ["size"]), ("TensorListReserve", ["shape", "size"])] {
            for (factor, isGood) in [(1_000, true), (10_000, false)] {
                var network = Network()
                network.integers("shape", [-1])
                network.integers("factor", [factor], scalar: true)
                network.graph.node("size", "Mul", "factor", "factor")
                network.graph.append(Wire.bytes(1, Wire.node("list", operation, inputs)))
                if isGood {
                    XCTAssertNoThrow(try network.check("list"))
                } else {
                    assertFails(.invalidGraph, saying: "'list' (\(operation))") { try network.check("list") }
                }
            }
        }
    }

    // MARK: Each rule

    /// The shape that a node's first output has, or the shapes of all its outputs.
    private func shapes(
        _ operation: String, _ inputs: [TensorShapes.Tensor], _ attributes: KeyValuePairs<String, [UInt8]> = [:]
    ) throws -> [[Int]?] {
        try tensors(operation, inputs, attributes).map(\.shape)
    }

    private func tensors(
        _ operation: String, _ inputs: [TensorShapes.Tensor], _ attributes: KeyValuePairs<String, [UInt8]> = [:]
    ) throws -> [TensorShapes.Tensor] {
        ShapeFunctions(try node(operation, attributes), inputs).outputs.known.map(\.tensor)
    }

    private func node(
        _ operation: String, _ attributes: KeyValuePairs<String, [UInt8]>
    ) throws -> GraphDefinition.Node {
        var graph = GraphWriter()
        graph.node("node", operation, attributes: attributes)
        return try graph.definition().nodes[0]
    }

    private func of(_ shape: Int...) -> TensorShapes.Tensor { TensorShapes.Tensor(shape: shape) }

    private func vector(_ values: Int...) -> TensorShapes.Tensor {
        TensorShapes.Tensor(shape: [values.count], values: values)
    }

    private func scalar(_ value: Int) -> TensorShapes.Tensor { TensorShapes.Tensor(shape: [], values: [value]) }

    private func list(_ numbers: Int...) -> [UInt8] { Wire.bytes(1, numbers.flatMap { Wire.number(3, $0) }) }

    func testShapesOfMaps() throws {
        let map = of(1, 9, 8, 4)
        let two = list(1, 2, 2, 1)
        for (operation, inputs, attributes, expected) in [
            ("Relu", [map], [:], [1, 9, 8, 4]),
            ("Conv2D", [map, of(3, 3, 4, 7)], ["padding": Attribute.text("SAME"), "strides": two], [1, 5, 4, 7]),
            ("Conv2D", [map, of(3, 2, 4, 7)], ["padding": Attribute.text("VALID"), "strides": two], [1, 4, 4, 7]),
            (
                "Conv2D", [map, of(3, 3, 4, 7)],
                ["padding": Attribute.text("VALID"), "dilations": two], [1, 5, 4, 7]
            ),
            (
                "Conv2D", [map, of(3, 3, 4, 7)],
                ["padding": Attribute.text("EXPLICIT"), "explicit_paddings": list(0, 0, 1, 2, 0, 1, 0, 0)],
                [1, 10, 7, 7]
            ),
            ("DepthwiseConv2dNative", [map, of(3, 3, 4, 2)], ["padding": Attribute.text("SAME")], [1, 9, 8, 8]),
            (
                "MaxPool", [map], ["padding": Attribute.text("VALID"), "ksize": list(1, 3, 3, 1), "strides": two],
                [1, 4, 3, 4]
            ),
            ("ResizeBilinear", [map, vector(20, 30)], [:], [1, 20, 30, 4]),
            ("CropAndResize", [map, of(5, 4), of(5), vector(6, 7)], [:], [5, 6, 7, 4]),
            (
                "Pad", [map, TensorShapes.Tensor(shape: [4, 2], values: [0, 0, 1, 2, 3, 4, 0, 0])], [:], [1, 12, 15, 4]
            ),
            ("SpaceToDepth", [of(1, 8, 6, 4)], ["block_size": Attribute.integer(2)], [1, 4, 3, 16]),
            ("DepthToSpace", [of(1, 4, 3, 16)], ["block_size": Attribute.integer(2)], [1, 8, 6, 4]),
            (
                "SpaceToBatchND", [map, vector(2, 2), TensorShapes.Tensor(shape: [2, 2], values: [1, 0, 0, 0])], [:],
                [4, 5, 4, 4]
            ),
            (
                "BatchToSpaceND",
                [of(4, 5, 4, 4), vector(2, 2), TensorShapes.Tensor(shape: [2, 2], values: [1, 0, 0, 0])],
                [:], [1, 9, 8, 4]
            ),
            ("Mean", [map, vector(1, 2)], [:], [1, 4]),
            ("Mean", [map, vector(-3, 2)], ["keep_dims": Attribute.flag(true)], [1, 1, 1, 4]),
            ("Conv2DBackpropInput", [vector(1, 18, 16, 3), of(3, 3, 3, 4), map], [:], [1, 18, 16, 3]),
            ("Roll", [map, vector(1, 2), vector(1, 2)], [:], [1, 9, 8, 4]),
            ("HSVToRGB", [of(1, 9, 8, 3)], [:], [1, 9, 8, 3]),
            ("ScaleAndTranslate", [map, vector(20, 30), of(2), of(2)], [:], [1, 20, 30, 4]),
            ("ImageProjectiveTransformV3", [map, of(1, 8), vector(6, 7), of()], [:], [1, 6, 7, 4]),
            (
                "ExtractImagePatches", [map],
                ["padding": Attribute.text("VALID"), "ksizes": list(1, 3, 2, 1), "strides": two, "rates": two],
                [1, 3, 3, 24]
            ),
            (
                "ExtractImagePatches", [map],
                ["padding": Attribute.text("SAME"), "ksizes": list(1, 3, 2, 1), "strides": two], [1, 5, 4, 24]
            ),
            (
                "ExtractVolumePatches", [of(1, 9, 8, 7, 4)],
                ["padding": Attribute.text("VALID"), "ksizes": list(1, 2, 2, 2, 1), "strides": list(1, 2, 2, 2, 1)],
                [1, 4, 4, 3, 32]
            ),
        ] as [(String, [TensorShapes.Tensor], KeyValuePairs<String, [UInt8]>, [Int])] {
            XCTAssertEqual(try shapes(operation, inputs, attributes).first, expected, operation)
        }
    }

    func testShapesOfOtherTensors() throws {
        for (operation, inputs, attributes, expected) in [
            ("Add", [of(5, 1, 3), of(4, 1)], [:], [5, 4, 3]),
            ("SelectV2", [of(2, 1), of(3), of(2, 3)], [:], [2, 3]),
            ("MatMul", [of(2, 3), of(3, 5)], [:], [2, 5]),
            (
                "MatMul", [of(3, 2), of(5, 3)],
                ["transpose_a": Attribute.flag(true), "transpose_b": Attribute.flag(true)], [2, 5]
            ),
            ("BatchMatMulV2", [of(7, 1, 2, 3), of(6, 3, 5)], [:], [7, 6, 2, 5]),
            ("Einsum", [of(2, 3, 4), of(4, 5)], ["equation": Attribute.text("nij,jk->nik")], [2, 3, 5]),
            ("Transpose", [of(2, 3, 4), vector(2, 0, 1)], [:], [4, 2, 3]),
            ("Reshape", [of(2, 3, 4), vector(-1, 6)], [:], [4, 6]),
            ("Squeeze", [of(1, 3, 1)], [:], [3]),
            ("Squeeze", [of(1, 3, 1)], ["squeeze_dims": list(-1)], [1, 3]),
            ("ExpandDims", [of(2, 3), scalar(-1)], [:], [2, 3, 1]),
            ("ConcatV2", [of(2, 3), of(2, 4), scalar(-1)], [:], [2, 7]),
            ("Concat", [scalar(0), of(2, 3), of(5, 3)], [:], [7, 3]),
            ("Pack", [of(2, 3), of(2, 3)], ["axis": Attribute.integer(1)], [2, 2, 3]),
            ("Tile", [of(2, 3), vector(4, 5)], [:], [8, 15]),
            ("Range", [scalar(1), scalar(10), scalar(4)], [:], [3]),
            ("OneHot", [of(2, 3), scalar(10)], [:], [2, 3, 10]),
            ("Slice", [of(5, 6), vector(1, 2), vector(2, -1)], [:], [2, 4]),
            ("GatherV2", [of(5, 6, 7), of(2, 3), scalar(1)], [:], [5, 2, 3, 7]),
            ("ArgMax", [of(5, 6), scalar(-1)], [:], [5]),
            (
                "StridedSlice", [of(9, 8, 7), vector(1, 0), vector(9, 0), vector(3, 1)],
                ["end_mask": Attribute.integer(2)], [3, 8, 7]
            ),
            (
                "StridedSlice", [of(9, 8, 7), vector(0, 0, 0), vector(0, 0, 3), vector(1, 1, 1)],
                ["ellipsis_mask": Attribute.integer(1), "new_axis_mask": Attribute.integer(2)], [9, 8, 1, 3]
            ),
            ("StridedSlice", [of(9), vector(-1), vector(0), vector(-2)], [:], [4]),
            ("RandomUniform", [vector(2, 3)], [:], [2, 3]),
            ("StatelessTruncatedNormalV2", [vector(2, 3), of(1), of(2), of()], [:], [2, 3]),
            ("Multinomial", [of(2, 5), scalar(7)], [:], [2, 7]),
            ("DenseBincount", [of(9), scalar(7), of(0)], [:], [7]),
            ("HistogramFixedWidth", [of(2, 5), of(2), scalar(7)], [:], [7]),
            ("SparseToDense", [of(5, 2), vector(8, 9), of(5), of()], [:], [8, 9]),
            ("UnsortedSegmentSum", [of(2, 3, 4), of(2), scalar(7)], [:], [7, 3, 4]),
            ("EuclideanNorm", [of(2, 3), vector(1)], [:], [2]),
            ("ConjugateTranspose", [of(2, 3), vector(1, 0)], [:], [3, 2]),
            ("BitwiseAnd", [of(2, 1), of(3)], [:], [2, 3]),
        ] as [(String, [TensorShapes.Tensor], KeyValuePairs<String, [UInt8]>, [Int])] {
            XCTAssertEqual(try shapes(operation, inputs, attributes).first, expected, operation)
        }
        XCTAssertEqual(
            try shapes("Split", [scalar(1), of(2, 6)], ["num_split": Attribute.integer(3)]), [[2, 2]], "of all three")
        XCTAssertEqual(try shapes("SplitV", [of(2, 6), vector(1, -1, 2), scalar(1)]), [[2, 1], [2, 3], [2, 2]])
        XCTAssertEqual(try shapes("Unpack", [of(2, 6)], ["num": Attribute.integer(2)]), [[6]])
    }

    func testValuesOfIntegers() throws {
        for (operation, inputs, attributes, expected) in [
            ("Shape", [of(2, 3)], [:], [2, 3]), ("Size", [of(2, 3)], [:], [6]), ("Rank", [of(2, 3)], [:], [2]),
            ("Add", [vector(1, 2), vector(5)], [:], [6, 7]), ("Sub", [vector(1, 2), scalar(5)], [:], [-4, -3]),
            ("Mul", [vector(3, 4), vector(5, 6)], [:], [15, 24]), ("FloorDiv", [scalar(7), scalar(2)], [:], [3]),
            ("FloorMod", [scalar(7), scalar(4)], [:], [3]), ("Maximum", [scalar(7), scalar(4)], [:], [7]),
            ("Minimum", [scalar(7), scalar(4)], [:], [4]), ("Pack", [scalar(7), scalar(4)], [:], [7, 4]),
            ("ConcatV2", [vector(1, 2), vector(3), scalar(0)], [:], [1, 2, 3]),
            ("Prod", [vector(2, 3, 4), vector(0)], [:], [24]), ("Cast", [vector(2, 3)], [:], [2, 3]),
            ("GatherV2", [vector(5, 6, 7), vector(2, 0), scalar(0)], [:], [7, 5]),
            ("Slice", [vector(5, 6, 7), vector(1), vector(2)], [:], [6, 7]),
            ("StridedSlice", [vector(5, 6, 7), vector(-1), vector(-4), vector(-2)], [:], [7, 5]),
            ("Fill", [vector(2), scalar(9)], [:], [9, 9]),
            ("Range", [scalar(1), scalar(10), scalar(4)], [:], [1, 5, 9]),
        ] as [(String, [TensorShapes.Tensor], KeyValuePairs<String, [UInt8]>, [Int])] {
            XCTAssertEqual(try tensors(operation, inputs, attributes).first?.values, expected, operation)
        }
        XCTAssertNil(
            try tensors("Mul", [scalar(1 << 16), scalar(1 << 16)], ["T": Attribute.int32])[0].values, "it wraps around")
        XCTAssertNil(try tensors("FloorDiv", [scalar(1), scalar(0)])[0].values)
    }

    /// Numbers at the ends of what fits do not trap.
    func testExtremeNumbers() throws {
        let extremes = [Int.min, -1, 0, 1, Int.max]
        for operation in FNENetwork.Operation.rows.map(\.name) {
            for a in extremes {
                for b in extremes {
                    let attributes: KeyValuePairs<String, [UInt8]> = [
                        "strides": list(1, a, b, 1), "ksize": list(1, b, a, 1), "dilations": list(1, a, a, 1),
                        "explicit_paddings": list(0, 0, a, b, a, b, 0, 0), "block_size": Attribute.integer(a),
                        "axis": Attribute.integer(a), "num": Attribute.integer(min(b, 3)),
                        "num_split": Attribute.integer(min(a, 3)), "squeeze_dims": list(a, b),
                        "batch_dims": Attribute.integer(0), "padding": Attribute.text(b > 0 ? "SAME" : "EXPLICIT"),
                    ]
                    let node = try node(operation, attributes)
                    let size = max(0, b)
                    for inputs in [
                        [scalar(a), scalar(b), scalar(a)], [vector(a, b), vector(b, a), vector(a, a), vector(b, b)],
                        [vector(a), vector(b), vector(a), vector(b)], [of(size, 2), vector(a, b), vector(b, a)],
                        [of(1, size, 2, 3), of(size, size, 3, size), vector(a, b)],
                        [of(1, size, 2, 3), vector(0, a, b, 0), vector(a, a, b, b), vector(b, b, a, a)],
                        [of(1, size, 2, 3), vector(a, b), TensorShapes.Tensor(shape: [2, 2], values: [a, b, b, a])],
                        [of(1, size), TensorShapes.Tensor(shape: [2, 2], values: [a, b, b, a]), scalar(a)],
                    ] {
                        for (tensor, _) in ShapeFunctions(node, inputs).outputs.known {
                            XCTAssertFalse(tensor.shape?.contains { $0 < 0 } ?? false, "\(operation) of \(inputs)")
                        }
                    }
                }
            }
        }
    }
}

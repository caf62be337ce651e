import XCTest

@testable import FNENetwork

/// The table of operations.
final class OperationTests: XCTestCase {
    private let rows = FNENetwork.Operation.rows

    func testEachOperationHasOneRow() {
        let names = rows.map(\.name)
        XCTAssertEqual(Dictionary(grouping: names) { $0 }.filter { $0.value.count > 1 }.keys.sorted(), [])
        XCTAssertGreaterThan(names.count, 200)
    }

    func testNamesAreIdentifiersOfASCII() {
        for (name, _) in rows {
            XCTAssertTrue(name.utf8.allSatisfy { $0 < 0x80 && ($0 >= 0x30) }, name)
            XCTAssertTrue(name.first?.isUppercase ?? false, name)
            XCTAssertTrue(name.allSatisfy { $0.isLetter || $0.isNumber }, name)
        }
    }

    func testOperationsAreFoundByName() {
        for (name, operation) in rows {
            let found = FNENetwork.Operation.named(name)
            XCTAssertEqual(found.traits, operation.traits, name)
            XCTAssertEqual(found.layer, operation.layer, name)
            XCTAssertEqual(found.weights, operation.weights, name)
            XCTAssertEqual(found.sizes, operation.sizes, name)
        }
    }

    func testOtherNamesAreUnknown() {
        for name in ["", "conv2d", "Conv2D ", "ReadFile", "PyFunc", "Conv2D\u{0}", "Cönv2D"] {
            let operation = FNENetwork.Operation.named(name)
            XCTAssertEqual(operation.traits, [], name)
            XCTAssertNil(operation.layer, name)
        }
    }

    /// Swift takes U+212A KELVIN SIGN for a K, and TensorFlow does not.
    func testANameOfOtherBytesIsUnknown() throws {
        for (name, other) in [("TopK", "Top\u{212a}"), ("InTopKV2", "InTop\u{212a}V2"), ("TopKV2", "Top\u{212a}V2")] {
            XCTAssertEqual(name, other, "equal to Swift")
            XCTAssertTrue(FNENetwork.Operation.named(name).traits.contains(.computes))
            XCTAssertEqual(FNENetwork.Operation.named(other).traits, [])
            var graph = GraphWriter()
            graph.placeholder("input", [-1, 8, 8, 3])
            graph.node("spy", other, "input", "input")
            assertFails(.invalidGraph, saying: "an operation is named") { try graph.model() }
        }
    }

    /// Where each layer's weights are; a product's are whichever input is constant.
    func testLayers() {
        let expected: [String: (TensorKind, Int?)] = [
            "Conv2D": (.convolution, 1), "Conv3D": (.convolution, 1), "Conv2DBackpropInput": (.convolution, 1),
            "FusedPadConv2D": (.convolution, 2), "FusedResizeAndPadConv2D": (.convolution, 3),
            "DepthwiseConv2dNative": (.depthwise, 1), "MatMul": (.dense, nil), "BatchMatMul": (.dense, nil),
            "BatchMatMulV2": (.dense, nil), "BatchMatMulV3": (.dense, nil), "Einsum": (.dense, nil),
        ]
        for (name, operation) in rows {
            XCTAssertEqual(operation.layer, expected[name]?.0, name)
            XCTAssertEqual(operation.weights, expected[name]?.1, name)
        }
        XCTAssertEqual(rows.count { $0.operation.layer != nil }, expected.count)
    }

    /// The review of all operations of TensorFlow says the same of each.
    func testTheReviewAgrees() throws {
        let file = repositoryRoot + "/Tests/operations/tensorflow-2.21.tsv"
        let lines = try String(contentsOfFile: file, encoding: .utf8).split(separator: "\n")
        XCTAssertGreaterThan(lines.count, 1_900)
        var seen = 0
        for line in lines {
            let columns = line.split(separator: "\t").map(String.init)
            let operation = FNENetwork.Operation.named(columns[0])
            let traits = operation.traits.intersection([.computes, .random, .reports, .unfrozen])
            let expected: FNENetwork.Operation.Traits =
                switch columns[2] {
                case "computes": .computes
                case "random": [.computes, .random]
                case "reports": columns[0] == "Assert" ? [.computes, .reports] : .reports
                case "unfrozen": .unfrozen
                default: []
                }
            XCTAssertEqual(traits, expected, columns[0])
            if !operation.traits.isEmpty { seen += 1 }
        }
        XCTAssertEqual(seen, rows.count, "TensorFlow registers each operation of the list")
    }

    func testTraitsThatImplyOthers() {
        for (name, operation) in rows {
            let traits = operation.traits
            if traits.isDisjoint(with: .computes) {
                XCTAssertTrue(traits == .reports || traits == .unfrozen, name)
            }
            if traits.contains(.keepsBits) { XCTAssertTrue(traits.contains(.keepsTensor), name) }
            if traits.contains(.sizesAreSides) { XCTAssertFalse(operation.sizes.isEmpty, name) }
            XCTAssertTrue(traits.isDisjoint(with: .activation) || traits.isDisjoint(with: .affine), name)
            // A size has no floating type. That of PadV2 stands between two inputs that do, which the rewriting knows.
            if name != "PadV2" {
                for place in operation.sizes {
                    XCTAssertGreaterThanOrEqual(place, operation.follows.count(of: 2), name)
                }
            }
        }
    }

    /// Operations that move, compare, add or multiply values. All others stay float32.
    func testWhatFollowsTheTypeOfItsInputs() {
        func following(_ inputs: FNENetwork.Operation.TypedInputs) -> Set<String> {
            Set(rows.filter { $0.operation.follows == inputs }.map(\.name))
        }
        XCTAssertEqual(
            following(.all),
            [
                "BiasAdd", "BiasAddV1", "Add", "AddV2", "Sub", "Mul", "LRN", "Relu", "Relu6", "Elu", "LeakyRelu",
                "AddN", "Maximum", "Minimum", "Identity", "StopGradient", "Squeeze", "AvgPool", "MaxPool", "PadV2",
            ])
        XCTAssertEqual(
            following(.first),
            [
                "Reshape", "ExpandDims", "Transpose", "Slice", "StridedSlice", "BatchToSpaceND", "SpaceToBatchND",
                "MirrorPad", "Pad",
            ])
        XCTAssertEqual(following(.allButLast), ["ConcatV2"])
    }

    func testWhichInputsArePlaces() {
        for (places, expected) in [
            (.none, [[], [], [], []]), (.input(1), [[], [], [1], [1]]), (.firstHalf, [[], [], [0], [0]]),
        ] as [(FNENetwork.Operation.Places, [[Int]])] {
            XCTAssertEqual((0...3).map { Array(places.numbers(of: $0)) }, expected, "\(places)")
        }
    }

    func testHowManyInputsFollow() {
        for (inputs, counts) in [
            (.none, [0, 0, 0, 0]), (.first, [0, 1, 1, 1]), (.allButLast, [0, 0, 1, 2]), (.all, [0, 1, 2, 3]),
        ] as [(FNENetwork.Operation.TypedInputs, [Int])] {
            XCTAssertEqual((0...3).map(inputs.count), counts, "\(inputs)")
        }
    }
}

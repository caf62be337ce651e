import XCTest

@testable import FNENetwork
@testable import FNESupport

final class ONNXSafetyTests: XCTestCase {
    private func network(
        _ node: String, _ attributes: KeyValuePairs<String, ONNXFile.Value> = [:], domain: String = "", opset: Int = 17,
        _ more: (inout ONNXFile) -> Void = { _ in }
    ) throws -> ONNXNetwork {
        var file = ONNXFile()
        file.opset = opset
        more(&file)
        file.node(node, attributes, domain: domain)
        file.output("y")
        return try file.network()
    }

    func testOperatorsThatOnlyComputeAreAllowed() throws {
        XCTAssertNoThrow(try network("y = Relu x"))
        XCTAssertNoThrow(try network("y = Scaler x", domain: "ai.onnx.ml"))
    }

    func testUnknownOperatorsAndDomainsAreRefusedByName() {
        assertFails(.unsafeGraph, saying: "node of y", "Launch") { try network("y = Launch x") }
        assertFails(.unsafeGraph, saying: "node of y", "my.domain.Relu") {
            try network("y = Relu x", domain: "my.domain")
        }
        assertFails(.unsafeGraph, saying: "ImageDecoder", "image") { try network("y = ImageDecoder x") }
        assertFails(.unsafeGraph, saying: "SequenceConstruct", "lists") { try network("y = SequenceConstruct x") }
        assertFails(.unsafeGraph, saying: "MatMulInteger", "before it was quantized") {
            try network("y = MatMulInteger x x")
        }
    }

    func testFilesThatWereFusedForARuntimeAreRefusedWithTheWayOut() {
        for name in ["FusedConv", "Attention", "FusedMatMul", "SkipLayerNormalization", "QLinearAdd"] {
            assertFails(.unsafeGraph, saying: "com.microsoft.\(name)", "as it was exported, before") {
                try network("y = \(name) x", domain: "com.microsoft")
            }
        }
    }

    func testVersionsOfOperators() {
        XCTAssertNoThrow(try network("y = Relu x", opset: 9))
        assertFails(.invalidGraph, saying: "version 8", "9 to") { try network("y = Relu x", opset: 8) }
        assertFails(.invalidGraph, saying: "version 999") { try network("y = Relu x", opset: 999) }
    }

    func testOperatorsOfFunctionsAreCheckedToo() {
        var file = ONNXFile()
        file.node("y = own x")
        let body = Wire.text(1, "a") + Wire.text(2, "b") + Wire.text(4, "Launch")
        file.more = Wire.bytes(
            25, Wire.text(1, "own") + Wire.text(4, "a") + Wire.text(5, "b") + Wire.bytes(7, body))
        assertFails(.unsafeGraph, saying: "node of 'y'", "Launch") { try file.network() }
    }

    func testSubgraphsAreCheckedToo() {
        var inner = ONNXFile.empty
        inner.node("t = Launch x")
        assertFails(.unsafeGraph, saying: "node of t", "Launch") {
            try network("y = If x", ["then_branch": .graph(inner.graph)])
        }
        var large = ONNXFile.empty
        large.integers("many", [1 << 40])
        large.node("t = ConstantOfShape many")
        assertFails(.invalidGraph, saying: "node of t", "1099511627776") {
            try network("y = If x", ["then_branch": .graph(large.graph)])
        }
        assertFails(.unsafeGraph, saying: "subgraph") { try network("y = Relu x", ["body": .graph(inner.graph)]) }
    }

    func testNetworksInTrainingAreRefused() {
        assertFails(.invalidGraph, saying: "node of y", "random", "eval()") { try network("y = RandomNormalLike x") }
        assertFails(.invalidGraph, saying: "node of y", "by the images of a batch") {
            try network("y = BatchNormalization x v v v v", ["training_mode": .integer(1)]) { $0.constant("v", [3]) }
        }
        assertFails(.invalidGraph, saying: "node of y", "by chance") {
            try network("y = Dropout x - mode") { $0.integers("mode", [1]) }
        }
        XCTAssertNoThrow(try network("y = Dropout x - mode") { $0.integers("mode", [0]) })
        XCTAssertNoThrow( // weights that are standardized
            try network("y = Conv x s") {
                $0.constant("w", [1, 4, 3])
                $0.constant("v", [4])
                $0.integers("shape", [4, 3, 1, 1])
                $0.node("n = BatchNormalization w v v v v", ["training_mode": .integer(1)])
                $0.node("s = Reshape n shape")
            })
    }

    func testSizesHaveLimits() {
        let cases: [(String, [Int])] = [
            ("y = ConstantOfShape size", [1 << 15, 1 << 15]), ("y = Expand x size", [1 << 15, 1 << 15, 8, 8]),
            ("y = Tile x size", [1, 1, 512, 512]), ("y = Reshape x size", [.max, .max]),
            ("y = Pad x size", [0, 0, 0, 0, 0, 0, 9_999, 0]), ("y = Resize x - - size", [1, 3, 1 << 20, 1 << 20]),
        ]
        for (node, size) in cases {
            assertFails(.invalidGraph, saying: "node of y", "size of") {
                try network(node) { $0.integers("size", size) }
            }
        }
        assertFails(.invalidGraph, saying: "node of y") {
            try network("y = Resize x - scales") { $0.constant("scales", [4], [1, 1, 1e20, .infinity]) }
        }
        for name in ["kernel_shape", "strides", "dilations", "pads"] {
            assertFails(.invalidGraph, saying: "node of y", "1000000") {
                try network("y = MaxPool x", [name: .integers([1, 1_000_000])])
            }
        }
        XCTAssertNoThrow(try network("y = Reshape x size") { $0.integers("size", [0, -1]) })
    }
}

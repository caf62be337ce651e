import XCTest

@testable import FNENetwork
@testable import FNESupport

/// Which operators are known to keep the images apart. Each case is one operator on a map of 4 channels, or on what a
/// few further operators make of it. What each does with the images is written in ONNX's own definition of it.
final class ONNXImageAxisTests: XCTestCase {
    /// The rank of "y" where its first axis is the images', after the body has made it of the map "m".
    private func rank(opset: Int = 17, _ body: (inout ONNXFile) -> Void) throws -> Int? {
        var file = ONNXFile()
        file.opset = opset
        file.constant("w", [4, 3, 1, 1])
        file.node("m = Conv x w")
        body(&file)
        file.output("y")
        let network = try file.network()
        let input = try XCTUnwrap(network.topology.number["x"])
        let axis = ONNXImageAxis(network.graph, network.topology, network.shapes, input: input)
        return axis.rank(try XCTUnwrap(network.topology.number["y"]))
    }

    private func rank(
        of node: String, _ attributes: KeyValuePairs<String, ONNXFile.Value> = [:], opset: Int = 17,
        constants: [String: [Int]] = [:],
        lists: [String: [Int]] = [:]
    ) throws -> Int? {
        try rank(opset: opset) { file in
            for (name, shape) in constants.sorted(by: { $0.key < $1.key }) { file.constant(name, shape) }
            for (name, list) in lists.sorted(by: { $0.key < $1.key }) { file.integers(name, list) }
            file.node("y = " + node, attributes)
        }
    }

    func testOperatorsThatKeepTheImages() throws {
        XCTAssertEqual(try rank(of: "Relu m"), 4)
        XCTAssertEqual(try rank(of: "Add m m"), 4)
        XCTAssertEqual(try rank(of: "Mul m c", constants: ["c": [4, 1, 1]]), 4)
        XCTAssertEqual(try rank(of: "Mul c m", constants: ["c": [1, 4, 1, 1]]), 4)
        XCTAssertEqual(try rank(of: "MaxPool m", ["kernel_shape": .integers([2, 2])]), 4)
        XCTAssertEqual(try rank(of: "GlobalAveragePool m"), 4)
        XCTAssertEqual(try rank(of: "Concat m m", ["axis": .integer(1)]), 4)
        XCTAssertEqual(try rank(of: "Concat m m", ["axis": .integer(-1)]), 4)
        XCTAssertEqual(try rank(of: "Flatten m"), 2)
        XCTAssertEqual(try rank(of: "Transpose m", ["perm": .integers([0, 2, 3, 1])]), 4)
        XCTAssertEqual(try rank(of: "Softmax m", ["axis": .integer(1)]), 4)
        XCTAssertEqual(try rank(of: "Reshape m s", lists: ["s": [0, 2, 2, 64]]), 4)
        XCTAssertEqual(try rank(of: "Reshape m s", lists: ["s": [0, -1]]), 2)
        XCTAssertEqual(try rank(of: "ReduceMean m", ["axes": .integers([2, 3]), "keepdims": .integer(0)]), 2)
        XCTAssertEqual(try rank(of: "ReduceMean m a", opset: 18, lists: ["a": [-1, -2]]), 4)
        XCTAssertEqual(try rank(of: "Pad m p", lists: ["p": [0, 0, 1, 1, 0, 0, 1, 1]]), 4)
        XCTAssertEqual(try rank(of: "MatMul m c", constants: ["c": [8, 5]]), 4)
        XCTAssertEqual(try rank(of: "Unsqueeze m a", lists: ["a": [1]]), 5)
    }

    func testOperatorsThatMixImagesOrMayDoSo() throws {
        XCTAssertNil(try rank(of: "Mul m c", constants: ["c": [2, 4, 1, 1]]), "of two images")
        XCTAssertNil(try rank(of: "Mul m c", constants: ["c": [1, 1, 4, 8, 8]]), "makes a new first axis")
        XCTAssertNil(try rank(of: "Concat m m", ["axis": .integer(0)]))
        XCTAssertNil(try rank(of: "Concat m m", ["axis": .integer(-4)]))
        XCTAssertNil(try rank(of: "Concat m c", ["axis": .integer(1)], constants: ["c": [1, 4, 8, 8]]))
        XCTAssertNil(try rank(of: "Flatten m", ["axis": .integer(0)]))
        XCTAssertNil(try rank(of: "Flatten m", ["axis": .integer(2)]))
        XCTAssertNil(try rank(of: "Transpose m", ["perm": .integers([1, 0, 2, 3])]))
        XCTAssertNil(try rank(of: "Transpose m"))
        XCTAssertNil(try rank(of: "Softmax m", ["axis": .integer(0)]))
        XCTAssertNil(try rank(of: "Softmax m", ["axis": .integer(-4)]))
        XCTAssertNil(try rank(of: "Reshape m s", lists: ["s": [-1, 64]]))
        XCTAssertNil(try rank(of: "Reshape m s", lists: ["s": [1, 4, 8, 8]]))
        XCTAssertNil(try rank(of: "Reshape m s", ["allowzero": .integer(1)], lists: ["s": [0, -1]]))
        XCTAssertNil(try rank(of: "ReduceMean m", ["axes": .integers([0, 2])]))
        XCTAssertNil(try rank(of: "ReduceMean m", ["axes": .integers([-4])]))
        XCTAssertNil(try rank(of: "ReduceMean m"), "over all axes")
        XCTAssertNil(try rank(of: "Pad m p", lists: ["p": [1, 0, 0, 0, 0, 0, 0, 0]]))
        XCTAssertNil(try rank(of: "Pad m p", lists: ["p": [0, 0, 0, 0, 1, 0, 0, 0]]))
        XCTAssertNil(try rank(of: "MatMul c m", constants: ["c": [8, 8]]))
        XCTAssertNil(try rank(of: "MatMul m m"))
        XCTAssertNil(try rank(of: "MeanVarianceNormalization m"), "over the images by default")
        XCTAssertNil(try rank(of: "Unsqueeze m a", lists: ["a": [0]]))
        XCTAssertNil(try rank(of: "Squeeze m"), "an axis of one, which may be the images'")
        XCTAssertNil(try rank(of: "CumSum m a", lists: ["a": [0]]))
    }

    func testFurtherOutputs() throws {
        XCTAssertEqual(try rank { $0.node("y z = Split m", ["axis": .integer(1)]) }, 4)
        XCTAssertEqual(try rank { $0.node("z y = Split m", ["axis": .integer(1)]) }, 4)
        XCTAssertNil(try rank { $0.node("y z = Split m") }, "along the images by default")
        XCTAssertNil(try rank { $0.node("z y = MaxPool m", ["kernel_shape": .integers([2, 2])]) }, "places")
    }

    /// The proof does not begin anew after a mixture.
    func testWhatFollowsAMixture() throws {
        XCTAssertNil(
            try rank {
                $0.node("t = Transpose m", ["perm": .integers([1, 0, 2, 3])])
                $0.node("u = Transpose t", ["perm": .integers([1, 0, 2, 3])])
                $0.node("y = Relu u")
            })
    }

    func testPlansAreOfMapsAndVectors() throws {
        var file = ONNXFile()
        file.constant("w", [4, 3, 1, 1])
        file.constant("one", [1, 4, 1, 1])
        file.constant("d", [4, 5])
        file.node("a = Conv x w")
        file.node("b = Conv a one")
        file.node("p = GlobalAveragePool a")
        file.node("f = Flatten p")
        file.node("y = MatMul f d")
        file.node("z = Softplus y")
        file.output("z")
        let network = try file.network()
        let input = try XCTUnwrap(network.topology.number["x"])
        let axis = ONNXImageAxis(network.graph, network.topology, network.shapes, input: input)
        let plans = network.analysis.layers.map { axis.plan($0)?.channelAxes }
        XCTAssertEqual(network.words.count, 3)
        XCTAssertEqual(plans, [1..<2, nil, 1..<2], "one channel may become several")
    }
}

import XCTest

@testable import FNENetwork

/// A tap on a convolution moves to the sum after it where that is a bias and nothing else reads the convolution.
final class MovedTapTests: XCTestCase {
    private var graph = GraphWriter()

    override func setUp() {
        graph = GraphWriter()
        graph.placeholder("input", [-1, 8, 8, 3])
    }

    /// The moved tap of a tensor, where the nodes of `taps` and what they need are computed.
    private func moved(_ name: String = "conv", taps: [String] = ["relu"]) throws -> MovedTap? {
        let model = try graph.model()
        let roots = Set(taps.compactMap { model.graph.index[$0] })
        XCTAssertEqual(roots.count, taps.count, "each tap is in the graph")
        return MovedTap(TensorName(name), in: model, needed: model.topology.ancestors(of: roots))
    }

    /// A convolution to 8 channels, an operation with a bias, and a ReLU.
    private func write(_ sum: String = "BiasAdd", bias shape: [Int] = [8], layer: String = "Conv2D") {
        let weights = layer == "DepthwiseConv2dNative" ? [3, 3, 4, 2] : layer == "MatMul" ? [3, 8] : [3, 3, 3, 8]
        graph.convolution("conv", of: "input", weights, layer)
        graph.node("relu", "Relu", graph.with("sum", sum, "conv", constant: shape))
    }

    // MARK: Moves

    func testATapMovesToTheSumWithTheBias() throws {
        for sum in ["BiasAdd", "BiasAddV1", "Add", "AddV2"] {
            for layer in ["Conv2D", "DepthwiseConv2dNative"] {
                setUp()
                write(sum, layer: layer)
                let tap = try XCTUnwrap(moved(), "\(layer), \(sum)")
                XCTAssertEqual(tap.tensor, TensorName(node: "sum", output: 0))
                XCTAssertEqual(tap.bias, TensorName(node: "sum/constant", output: 0))
            }
        }
    }

    func testTheBiasMayStandFirst() throws {
        graph.convolution("conv", of: "input", [3, 3, 3, 8])
        graph.constant("bias", [8])
        graph.node("relu", "Relu", graph.node("sum", "AddV2", "bias", "conv"))
        let tap = try XCTUnwrap(moved())
        XCTAssertEqual(tap.tensor, TensorName(node: "sum", output: 0))
        XCTAssertEqual(tap.bias, TensorName(node: "bias", output: 0))
    }

    func testTheBiasIsReadAsTheSumReadsIt() throws {
        graph.convolution("conv", of: "input", [3, 3, 3, 8])
        graph.node("read", "Identity", graph.constant("bias", [8]))
        graph.node("relu", "Relu", graph.node("sum", "BiasAdd", "conv", "read"))
        XCTAssertEqual(try moved()?.bias, TensorName(node: "read", output: 0))
    }

    func testReadersThatNoLayerNeedsDoNotCount() throws {
        write()
        graph.node("unused", "Sigmoid", "conv")
        XCTAssertEqual(try moved()?.tensor.node, "sum")
    }

    // MARK: Stays

    func testOtherLayersAndOtherOutputsStay() throws {
        write(layer: "MatMul")
        XCTAssertNil(try moved(), "a product is averaged over nothing")
        setUp()
        write()
        XCTAssertNil(try moved("relu"), "no layer's operation")
        XCTAssertNil(try moved("conv:1"), "another output")
        XCTAssertNil(try moved("none"), "no node")
    }

    func testASecondReaderKeepsTheTap() throws {
        write()
        graph.node("second", "Sigmoid", "conv")
        XCTAssertNil(try moved(taps: ["relu", "second"]))
    }

    func testASumThatIsNotComputedKeepsTheTap() throws {
        write()
        XCTAssertNil(try moved(taps: ["conv"]))
    }

    func testOtherOperationsKeepTheTap() throws {
        for operation in ["Sub", "Mul", "Maximum"] {
            setUp()
            write(operation)
            XCTAssertNil(try moved(), operation)
        }
    }

    func testASumWithItselfKeepsTheTap() throws {
        graph.convolution("conv", of: "input", [3, 3, 3, 8])
        graph.node("relu", "Relu", graph.node("sum", "AddV2", "conv", "conv"))
        XCTAssertNil(try moved())
    }

    func testASumWithATensorKeepsTheTap() throws {
        graph.convolution("conv", of: "input", [3, 3, 3, 8])
        graph.node("relu", "Relu", graph.node("sum", "AddV2", "conv", "input"))
        XCTAssertNil(try moved())
    }

    func testAComputedBiasKeepsTheTap() throws {
        graph.convolution("conv", of: "input", [3, 3, 3, 8])
        graph.node("bias", "Neg", graph.constant("stored", [8]))
        graph.node("relu", "Relu", graph.node("sum", "BiasAdd", "conv", "bias"))
        XCTAssertNil(try moved())
    }

    /// What is added has to be one number per channel: other shapes widen the map, or are no bias.
    func testBiasesOfAnotherShapeKeepTheTap() throws {
        for shape in [[], [1], [7], [16], [1, 8], [8, 8, 8]] {
            setUp()
            write("AddV2", bias: shape)
            XCTAssertNil(try moved(), "\(shape)")
        }
    }

    /// Half precision would round the sum with the bias.
    func testOtherTypesKeepTheTap() throws {
        for (type, moves) in [(DataType.float32, true), (.float16, false), (.bfloat16, false), (.float64, false)] {
            setUp()
            graph.constant("weights", [3, 3, 3, 8])
            graph.node("conv", "Conv2D", "input", "weights", attributes: ["T": Wire.number(6, type.rawValue)])
            graph.node("relu", "Relu", graph.with("sum", "BiasAdd", "conv", constant: [8]))
            XCTAssertEqual(try moved() != nil, moves, "\(type)")
        }
    }

    func testComputedWeightsSayHowManyChannelsThereAre() throws {
        graph.node("conv", "Conv2D", "input", graph.node("weights", "Neg", graph.constant("kernel", [3, 3, 3, 8])))
        graph.node("relu", "Relu", graph.with("sum", "BiasAdd", "conv", constant: [8]))
        XCTAssertNotNil(try moved())
    }

    func testTheWeightsSayHowManyChannelsThereAre() throws {
        write(bias: [4], layer: "DepthwiseConv2dNative")
        XCTAssertNil(try moved(), "4 inputs with 2 outputs each are 8 channels")
        setUp()
        graph.constant("stored", [3, 3, 3, 8])
        graph.node("conv", "Conv2D", "input", graph.node("weights", "SelectV2", "stored", "stored", "stored"))
        graph.node("relu", "Relu", graph.with("sum", "BiasAdd", "conv", constant: [8]))
        XCTAssertNil(try moved(), "weights whose shape is not in the graph")
    }
}

import XCTest

@testable import FNENetwork

/// Convolutions in groups that are written out, in graphs that no program writes. `test_convolution_groups.py` has the
/// usual ones.
final class ConvolutionGroupsTests: XCTestCase {
    /// A graph with two parts of [n, 8, 8, 8], a convolution of 4 channels each, and their concatenation.
    private func layers(axis: Int = 3, _ parts: (inout GraphWriter) -> [String]) throws -> [String] {
        var graph = GraphWriter()
        graph.placeholder("input", [-1, 8, 8, 8])
        for (name, value) in [("axis", axis), ("channels", 3)] { integers(name, [value], scalar: true, in: &graph) }
        let results = parts(&graph).enumerated().map { graph.convolution("conv\($0)", of: $1, [1, 1, 4, 4]) }
        graph.node("concat", "ConcatV2", results[0], results[1], "axis")
        graph.node("relu", "Relu", graph.with("bias", "BiasAdd", "concat", constant: [8]))
        return try graph.model().tensors.filter(\.isDefault).map(\.name)
    }

    private func integers(_ name: String, _ values: [Int64], in graph: inout GraphWriter) {
        let content = Wire.bytes(4, values.withUnsafeBytes { Array($0) })
        graph.node(name, "Const", attributes: ["value": Attribute.tensor(type: 9, [values.count], content)])
    }

    private func integers(_ name: String, _ values: [Int], scalar: Bool, in graph: inout GraphWriter) {
        let content = Attribute.content(integers: values.map { Int32($0) })
        graph.node(
            name, "Const", attributes: ["value": Attribute.tensor(type: 3, scalar ? [] : [values.count], content)])
    }

    private func split(_ graph: inout GraphWriter, count: Int) {
        graph.node("parts", "Split", "channels", "input", attributes: ["num_split": Attribute.integer(count)])
    }

    func testPartsOfASplit() throws {
        XCTAssertEqual(
            try layers {
                split(&$0, count: 2)
                return ["parts", "parts:1"]
            }, ["relu"])
    }

    func testTheOrderDoesNotMatter() throws {
        XCTAssertEqual(
            try layers {
                split(&$0, count: 2)
                return ["parts:1", "parts"]
            }, ["relu"])
    }

    func testEachPartMustBeThereOnce() throws {
        for (count, names) in [(2, ["parts", "parts"]), (3, ["parts", "parts:1"]), (2, ["parts", "parts:7"])] {
            XCTAssertEqual(
                try layers {
                    split(&$0, count: count)
                    return names
                }, ["conv0", "conv1"])
        }
    }

    func testTheConcatenationMustBeOfChannels() throws {
        XCTAssertEqual(
            try layers(axis: 2) {
                split(&$0, count: 2)
                return ["parts", "parts:1"]
            }, ["conv0", "conv1"])
    }

    func testSlicesWithExtremeNumbers() throws {
        for (first, size, second) in [(0, 4, 4), (0, -1, 4), (.max, .max, 4), (.min, 4, 4), (0, .max, .max)]
            as [(
                Int64, Int64, Int64
            )]
        {
            let found = try layers {
                integers("begin0", [0, 0, 0, first], in: &$0)
                integers("begin1", [0, 0, 0, second], in: &$0)
                integers("size0", [-1, -1, -1, size], in: &$0)
                integers("size1", [-1, -1, -1, 4], in: &$0)
                return [
                    $0.node("slice0", "Slice", "input", "begin0", "size0"),
                    $0.node("slice1", "Slice", "input", "begin1", "size1"),
                ]
            }
            XCTAssertEqual(found, (first, size) == (0, 4) ? ["relu"] : ["conv0", "conv1"])
        }
    }

    func testAConvolutionWhoseWeightsAreComputedIsNone() throws {
        var graph = GraphWriter()
        graph.placeholder("input", [-1, 8, 8, 8])
        graph.placeholder("weights", [1, 1, 4, 4])
        for name in ["axis", "channels"] { integers(name, [3], scalar: true, in: &graph) }
        split(&graph, count: 2)
        graph.node("conv0", "Conv2D", "parts", "weights")
        graph.node("conv1", "Conv2D", "parts:1", "weights")
        graph.node("relu", "Relu", graph.node("concat", "ConcatV2", "conv0", "conv1", "axis"))
        XCTAssertEqual(try graph.model().tensors.filter(\.isDefault).map(\.name), ["conv0", "conv1"])
    }

    func testTheTableNamesEachConvolution() throws {
        var graph = GraphWriter()
        graph.placeholder("input", [-1, 8, 8, 8])
        for name in ["axis", "channels"] { integers(name, [3], scalar: true, in: &graph) }
        split(&graph, count: 2)
        let first = graph.convolution("conv0", of: "parts", [1, 1, 4, 3])
        let second = graph.convolution("conv1", of: "parts:1", [1, 1, 4, 5])
        graph.node("relu", "Relu", graph.node("concat", "ConcatV2", first, second, "axis"))
        let model = try graph.model()
        let kinds = model.tensors.filter { $0.kind == .convolution }
        XCTAssertEqual(kinds.map(\.name), ["conv0", "conv1", "relu"])
        XCTAssertEqual(kinds.map(\.channels), [8, 8, 8])
        XCTAssertEqual(
            ["conv0", "conv1"].map { model.analysis.continuesLayer(model.graph.index[$0] ?? -1) }, [false, true])
    }
}

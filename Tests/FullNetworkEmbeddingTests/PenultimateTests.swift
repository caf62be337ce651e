import XCTest

@testable import FNENetwork

/// Tests by small graphs what the selector "penultimate" selects.
final class PenultimateTests: XCTestCase {
    private var graph = GraphWriter()
    private var input = ""

    override func setUp() {
        graph = GraphWriter()
        input = graph.placeholder("input", [-1, 16, 16, 3])
    }

    private func assertPenultimate(
        _ names: [String], file: StaticString = #filePath, line: UInt = #line
    ) throws {
        let model = try graph.model()
        XCTAssertEqual(
            try LayerSelection.resolve(["penultimate"], in: model).map(\.name.text), names, file: file, line: line)
        let marked = model.tensors.filter(\.isPenultimate).map(\.name)
        XCTAssertEqual(Set(marked), Set(names.filter { !$0.contains(":") }), file: file, line: line)
    }

    /// Adds a convolution with a ReLU. Returns the name of the ReLU.
    private func block(_ name: String, of tensor: String, _ inputs: Int = 3, _ outputs: Int = 8) -> String {
        graph.node(name + "/relu", "Relu", graph.convolution(name, of: tensor, [3, 3, inputs, outputs]))
    }

    private func integers(_ name: String, _ values: [Int32]) -> String {
        let content = Attribute.content(integers: values)
        return graph.node(name, "Const", attributes: ["value": Attribute.tensor(type: 3, [values.count], content)])
    }

    private func pooled(_ tensor: String, axes: [Int32] = [1, 2]) -> String {
        graph.node("pool", "Mean", tensor, integers("axes", axes))
    }

    private func joined(_ name: String, _ tensors: [String], axis: Int32 = 3) -> String {
        graph.node(name, "ConcatV2", inputs: tensors + [integers(name + "/axis", [axis])])
    }

    private func classify(_ tensor: String, _ name: String = "fc", _ inputs: Int = 8) {
        graph.node(name + "/softmax", "Softmax", graph.dense(name, of: tensor, [inputs, 10]))
    }

    func testALastConvolution() throws {
        for axes: [Int32] in [[1, 2], [2, 1], [-3, -2]] {
            setUp()
            classify(
                graph.with(
                    "flat", "Reshape", pooled(block("b", of: block("a", of: input), 8), axes: axes),
                    constant: [2]))
            try assertPenultimate(["b/relu"])
        }
        setUp()
        let pool = graph.node("pool", "AvgPool", block("a", of: input))
        classify(graph.node("squeeze", "Squeeze", graph.node("dropped", "Identity", pool)))
        try assertPenultimate(["a/relu"])
    }

    func testALastDenseLayer() throws {
        let hidden = graph.node(
            "hidden/relu", "Relu", graph.dense("hidden", of: pooled(block("a", of: input)), [8, 8]))
        classify(hidden)
        try assertPenultimate(["hidden/relu"])
    }

    func testTheBranchesOfALastBlock() throws {
        for axis: Int32 in [3, -1] {
            setUp()
            let inner = joined("inner", [block("c", of: input), block("a", of: input)], axis: axis)
            let outer = joined("outer", [block("d", of: input), inner, block("b", of: input), inner], axis: axis)
            classify(pooled(outer), "fc", 40)
            let names = try graph.model().tensors.filter(\.isDefault).map(\.name)
            XCTAssertEqual(Set(names), ["a/relu", "b/relu", "c/relu", "d/relu"])
            try assertPenultimate(names)
        }
    }

    func testAClassifierThatIsAConvolution() throws {
        // SqueezeNet: a 1x1 convolution of the map, an average, and a softmax.
        let last = joined("fire", [block("a", of: input), block("b", of: input)])
        let scores = graph.node("scores/relu", "Relu", graph.convolution("scores", of: last, [1, 1, 16, 10]))
        graph.node("softmax", "Softmax", pooled(scores))
        try assertPenultimate(["a/relu", "b/relu"])
    }

    func testAResidualSumIsATensorOfItsOwn() throws {
        let first = block("a", of: input)
        let sum = graph.node("sum", "AddV2", graph.convolution("b", of: first, [3, 3, 8, 8]), first)
        classify(pooled(graph.node("out", "Relu", sum)))
        try assertPenultimate(["out"])
        XCTAssertEqual(
            try LayerSelection.resolve(["last:100%", "penultimate"], in: graph.model()).map(\.name.text),
            ["a/relu", "b", "out"])
        let kinds = try LayerSelection.resolve(["penultimate"], in: graph.model()).map(\.kind)
        XCTAssertEqual(kinds, [.other])
    }

    func testOneStrangeBranchMakesATensorOfTheWhole() throws {
        let first = block("a", of: input)
        let branches = [block("b", of: first, 8), graph.node("strange", "MaxPool", first)]
        classify(pooled(joined("join", branches)), "fc", 16)
        try assertPenultimate(["join"])

        setUp() // not channels, but rows
        classify(pooled(joined("join", [block("a", of: input), block("b", of: input)], axis: 1)))
        try assertPenultimate(["join"])
    }

    func testAnAverageOfOtherAxesIsATensorOfItsOwn() throws {
        classify(pooled(block("a", of: input), axes: [1]))
        try assertPenultimate(["pool"])
    }

    func testAnotherOutputOfANode() throws {
        let split = graph.node("split", "Split", integers("axis", [3]), block("a", of: input))
        classify(pooled(split + ":1"), "fc", 4)
        try assertPenultimate(["split:1"])
    }

    func testTwoClassifiers() throws {
        let first = block("a", of: input)
        classify(pooled(first), "early")
        classify(graph.node("top", "Mean", block("b", of: first, 8), "axes"), "late")
        try assertPenultimate(["a/relu", "b/relu"])
    }

    func testWithoutAClassifier() throws {
        _ = pooled(block("a", of: input))
        assertFails(.unknownTensor, saying: "no classifier", "Name the tensors") {
            try LayerSelection.resolve(["penultimate"], in: graph.model())
        }
        XCTAssertFalse(try graph.model().tensors.contains(where: \.isPenultimate))
    }

    func testATensorOfThatName() throws {
        classify(pooled(block("a", of: input)))
        graph.node("penultimate", "Relu", "a")
        let selected = try LayerSelection.resolve(["penultimate"], in: graph.model())
        XCTAssertEqual(selected.map(\.name.text), ["penultimate"])
    }

    /// Each concatenation doubles the number of ways. They cannot be followed one by one.
    func testConcatenationsOfConcatenations() throws {
        var tensor = block("a", of: input)
        for number in 0..<60 { tensor = joined("join\(number)", [tensor, tensor]) }
        graph.node("softmax", "Softmax", graph.dense("fc", of: pooled(tensor), [8, 10]))
        try assertPenultimate(["a/relu"])
    }

    /// Many classifiers read one large concatenation, each through one of its own. With a walk for each, this test
    /// would take hours.
    func testManyClassifiersOfOneConcatenation() throws {
        let whole = joined("whole", Array(repeating: block("a", of: input), count: 3000))
        for number in 0..<3000 {
            let own = graph.node("own\(number)", "ConcatV2", whole, whole, "whole/axis")
            classify(graph.node("pool\(number)", "AvgPool", own), "fc\(number)", 48_000)
        }
        try assertPenultimate(["a/relu"])
    }

    func testInAList() throws {
        let names = ["a", "b", "c"]
        XCTAssertEqual(
            try LayerSelection.indices(
                ["last:50%", "penultimate"], among: names, isDefault: [true, true, false],
                isPenultimate: [true, false, true]), [1, 0, 2])
        for flags: [Bool]? in [nil, [false, false, false]] {
            assertFails(.unknownTensor, saying: "The network knows it") {
                try LayerSelection.indices(["penultimate"], among: names, isPenultimate: flags)
            }
        }
        XCTAssertEqual(try LayerSelection.indices(["penultimate"], among: ["a", "penultimate"]), [1])
        assertFails(.invalidArgument, saying: "3 names", "1 flags") {
            try LayerSelection.indices(["a"], among: names, isPenultimate: [true])
        }
    }
}

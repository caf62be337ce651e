import XCTest

@testable import FNENetwork

final class ConstantValuesTests: XCTestCase {
    private var graph = GraphWriter()

    override func setUp() {
        graph = GraphWriter()
        graph.placeholder("input", [-1, 8, 8, 3])
    }

    /// A constant "c" of that shape; `values` are fields of its TensorProto.
    private func write(_ shape: [Int], _ values: [UInt8], type: Int = 1) {
        setUp()
        graph.node(
            "c", "Const",
            attributes: ["dtype": Wire.number(6, type), "value": Attribute.tensor(type: type, shape, values)])
    }

    private func values(_ evaluator: FakeEvaluator = FakeEvaluator()) throws -> ConstantValues {
        let model = try graph.model()
        return ConstantValues(model, needed: Set(model.graph.nodes.indices), evaluator)
    }

    private func number(_ name: String) throws -> Int { try XCTUnwrap(graph.definition().index[name]) }

    private func value(_ name: String = "c") throws -> ConstantValues.Value? {
        var constants = try values()
        return try constants.value(number(name))
    }

    /// The values as `withValues` hands them out; nil where it does not call.
    private func handedOut(_ name: String = "c", count: Int, _ evaluator: FakeEvaluator = FakeEvaluator()) throws
        -> [Float]?
    {
        var constants = try values(evaluator)
        var result: [Float]?
        try constants.withValues(number(name)) { start in
            XCTAssertNil(result, "handed out once")
            result = (0..<count).map { start.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
        }
        return result
    }

    private func floats(_ numbers: Float...) -> [UInt8] { numbers.flatMap { Wire.fixed32(5, $0.bitPattern) } }

    private func packed(_ numbers: Float...) -> [UInt8] {
        Wire.bytes(5, numbers.withUnsafeBytes { Array($0) })
    }

    // MARK: Stored

    func testTheFormsOfValues() throws {
        let numbers: [Float] = [1.5, -0.0, .leastNonzeroMagnitude, .infinity, 3e38, 7]
        for (form, fields) in [
            ("tensor_content", Attribute.content(numbers)),
            ("float_val", numbers.flatMap { Wire.fixed32(5, $0.bitPattern) }),
            ("packed float_val", Wire.bytes(5, numbers.withUnsafeBytes { Array($0) })),
        ] {
            write([3, 2], fields)
            let value = try XCTUnwrap(value(), form)
            XCTAssertEqual(value.shape, [3, 2], form)
            XCTAssertEqual(value.values.map(\.bitPattern), numbers.map(\.bitPattern), form)
            XCTAssertEqual(try handedOut(count: 6)?.map(\.bitPattern), numbers.map(\.bitPattern), form)
        }
        write([3], packed(1, 2) + floats(3))
        XCTAssertEqual(try value()?.values, [1, 2, 3], "a repeated field may stand in parts")
    }

    func testTheLastValueStandsForTheRest() throws {
        write([5], floats(1, 2))
        XCTAssertEqual(try value()?.values, [1, 2, 2, 2, 2])
        XCTAssertEqual(try handedOut(count: 5), [1, 2, 2, 2, 2])
        write([2, 3], packed(4))
        XCTAssertEqual(try value()?.values, [4, 4, 4, 4, 4, 4])
        XCTAssertEqual(try value()?.shape, [2, 3])
    }

    /// As TensorFlow's own compression writes zeros.
    func testNoValuesAreZeros() throws {
        for fields in [[], Wire.bytes(4, []), Wire.bytes(5, [])] as [[UInt8]] {
            write([3], fields)
            XCTAssertEqual(try value()?.values.map(\.bitPattern), [0, 0, 0])
            XCTAssertEqual(try handedOut(count: 3), [0, 0, 0])
        }
    }

    func testScalarsAndEmptyConstants() throws {
        write([], floats(8))
        XCTAssertEqual(try value()?.shape, [])
        XCTAssertEqual(try value()?.values, [8])
        write([0, 4], [])
        XCTAssertEqual(try value()?.shape, [0, 4])
        XCTAssertEqual(try value()?.values, [])
    }

    func testWrongSizesAreNoValues() throws {
        for (shape, fields) in [
            ([3], Attribute.content([1, 2])), ([3], Attribute.content([1, 2, 3, 4])),
            ([1], Wire.bytes(4, [0, 0, 0])), ([3], floats(1, 2, 3, 4)), ([0], floats(1)),
        ] as [([Int], [UInt8])] {
            write(shape, fields)
            XCTAssertNil(try value())
            assertFails(.invalidGraph, saying: "'c'", "fit its shape") { try handedOut(count: 1) }
        }
    }

    func testOtherTypesAreNoValues() throws {
        for type in [2, 3, 14] {
            write([2], Attribute.content([1, 2]), type: type)
            XCTAssertNil(try value())
            var constants = try values()
            XCTAssertNil(try constants.shape(number("c")))
        }
    }

    func testATensorIsNoConstant() throws {
        graph.node("relu", "Relu", "input")
        XCTAssertNil(try value("relu"))
        XCTAssertNil(try value("input"))
        var constants = try values()
        XCTAssertNil(try constants.shape(number("relu")))
        assertFails(.invalidGraph, saying: "'relu'") { try handedOut("relu", count: 1) }
    }

    func testShapesNeedNoValues() throws {
        graph.constant("c", [3, 3, 64, 128])
        let evaluator = FakeEvaluator()
        var constants = try values(evaluator)
        XCTAssertEqual(try constants.shape(number("c")), [3, 3, 64, 128])
        XCTAssertEqual(evaluator.questions.count, 0)
    }

    func testIdentitiesHandValuesOn() throws {
        graph.constant("c", [2], [5, 6])
        graph.node("again", "StopGradient", graph.node("read", "Identity", "c"))
        graph.node("top", "Mul", "input", "again")
        let evaluator = FakeEvaluator()
        var constants = try values(evaluator)
        XCTAssertEqual(try constants.value(number("again"))?.values, [5, 6])
        XCTAssertEqual(try constants.shape(number("again")), [2])
        XCTAssertEqual(try handedOut("again", count: 2), [5, 6])
        XCTAssertEqual(evaluator.questions.count, 0, "nothing has to be computed")
    }

    /// Names of every length move the values to every place in a word.
    func testValuesNeedNotBeAligned() throws {
        let numbers: [Float] = [1.25, -2.5, 1e-20]
        var alignments = Set<Int>()
        for length in 1...4 {
            setUp()
            let name = graph.constant(String(repeating: "n", count: length), [3], numbers)
            XCTAssertEqual(try value(name)?.values, numbers)
            XCTAssertEqual(try handedOut(name, count: 3), numbers)
            var constants = try values()
            try constants.withValues(number(name)) { alignments.insert(Int(bitPattern: $0) % 4) }
        }
        XCTAssertEqual(alignments, [0, 1, 2, 3], "without a copy")
    }

    /// Other attributes before the value, and an entry whose value stands before its key.
    func testTheValueIsFoundAmongOtherAttributes() throws {
        graph.node(
            "c", "Const",
            attributes: [
                "other": Attribute.tensor([1], Attribute.content([9])), "dtype": Attribute.float32,
                "value": Attribute.tensor([1], Attribute.content([4])),
            ])
        XCTAssertEqual(try value()?.values, [4])
        XCTAssertEqual(try handedOut(count: 1), [4])
    }

    // MARK: Computed

    /// A convolution whose weights and bias are computed, and constants that no layer reads.
    private func writeComputed() {
        graph.constant("gamma", [2], [1, 2])
        graph.constant("variance", [2], [3, 4])
        graph.constant("kernel", [1, 1, 3, 2], [1, 2, 3, 4, 5, 6])
        graph.node("rsqrt", "Rsqrt", "variance")
        graph.node("scale", "Mul", "gamma", "rsqrt")
        graph.node("weights", "Mul", "kernel", "scale", "^started")
        graph.node("conv", "Conv2D", "input", "weights")
        graph.node("bias", "Neg", graph.constant("mean", [2], [0, 1]))
        graph.node("sum", "BiasAdd", "conv", "bias")
        graph.node("started", "NoOp")
        graph.node("unread", "Neg", "mean")
        graph.node("top", "Mul", "sum", graph.constant("stored", [2], [7, 8]))
    }

    private let answers = [
        "weights": ConstantValues.Value(shape: [1, 1, 3, 2], values: [6, 5, 4, 3, 2, 1]),
        "bias": ConstantValues.Value(shape: [2], values: [-1, -2]),
    ]

    func testComputedConstantsComeFromTheEvaluator() throws {
        writeComputed()
        let evaluator = FakeEvaluator(answers)
        var constants = try values(evaluator)
        XCTAssertEqual(try constants.value(number("stored"))?.values, [7, 8])
        XCTAssertEqual(evaluator.questions.count, 0, "what is stored is read")
        XCTAssertEqual(try constants.value(number("weights"))?.values, [6, 5, 4, 3, 2, 1])
        XCTAssertEqual(try constants.shape(number("weights")), [1, 1, 3, 2])
        XCTAssertEqual(try constants.value(number("bias"))?.values, [-1, -2])
        XCTAssertNil(try constants.value(number("scale")), "only what other nodes read is computed")
        XCTAssertEqual(evaluator.questions.count, 1, "all at once")
        XCTAssertEqual(try handedOut("weights", count: 6, evaluator), [6, 5, 4, 3, 2, 1])
    }

    func testTheEvaluatorIsGivenTheConstantPartOfTheGraph() throws {
        writeComputed()
        let evaluator = FakeEvaluator(answers)
        var constants = try values(evaluator)
        _ = try constants.value(number("bias"))
        let question = try XCTUnwrap(evaluator.questions.first)
        XCTAssertEqual(question.nodes, ["weights", "bias"])
        XCTAssertEqual(
            question.graph.lines,
            [
                "gamma = Const<float32>()", "variance = Const<float32>()", "kernel = Const<float32>()",
                "rsqrt = Rsqrt(variance)", "scale = Mul(gamma, rsqrt)", "weights = Mul(kernel, scale, ^started)",
                "mean = Const<float32>()", "bias = Neg(mean)", "started = NoOp()",
            ])
    }

    func testWhatTheEvaluatorDoesNotKnowIsNoValue() throws {
        writeComputed()
        let evaluator = FakeEvaluator()
        var constants = try values(evaluator)
        XCTAssertNil(try constants.value(number("bias")))
        XCTAssertNil(try constants.shape(number("weights")))
        XCTAssertEqual(evaluator.questions.count, 1)
        assertFails(.invalidGraph, saying: "'bias'") { try handedOut("bias", count: 2) }
    }

    func testOtherTypesAreNotAskedFor() throws {
        graph.constant("c", [2], [1, 2])
        graph.node("half", "Neg", "c", attributes: ["T": Wire.number(6, 19)])
        graph.node("full", "Neg", "c", attributes: ["T": Attribute.float32])
        graph.node("top", "AddN", "input", "half", "full")
        let evaluator = FakeEvaluator()
        var constants = try values(evaluator)
        XCTAssertNil(try constants.value(number("half")))
        XCTAssertEqual(evaluator.questions.map(\.nodes), [["full"]])
    }

    func testNothingToComputeIsNotAsked() throws {
        graph.constant("c", [2], [1, 2])
        graph.node("unread", "Neg", "c")
        let evaluator = FakeEvaluator()
        var constants = try values(evaluator)
        XCTAssertNil(try constants.value(number("unread")))
        XCTAssertEqual(evaluator.questions.count, 0)
    }

    // MARK: Counts

    func testElementCounts() throws {
        XCTAssertEqual(try elementCount([]), 1)
        XCTAssertEqual(try elementCount([3, 4, 5]), 60)
        XCTAssertEqual(try elementCount([7, 0]), 0)
        assertFails(.invalidArgument, saying: "too large") { try elementCount([1 << 40, 1 << 40]) }
        assertFails(.invalidArgument) { try elementCount([-1]) }
    }

    /// What does not run was not checked. It may be too large to compute.
    func testConstantsThatNoNeededNodeReadsAreNotComputed() throws {
        write([2], Attribute.content([1, 2]))
        for name in ["one", "other"] {
            graph.node(name + "/constant", "Neg", "c")
            graph.node(name, "Mul", "input", name + "/constant")
        }
        let model = try graph.model()
        let needed = model.topology.ancestors(of: [try number("one")])
        let evaluator = FakeEvaluator()
        var constants = ConstantValues(model, needed: needed, evaluator)
        _ = try constants.value(number("one/constant"))
        XCTAssertEqual(evaluator.questions.map(\.nodes), [["one/constant"]])
        XCTAssertNil(evaluator.questions[0].graph["other/constant"])
    }
}

import XCTest

@testable import FullNetworkEmbedding

final class KnownBugsTests: XCTestCase {
    /// Fails: the walk starts at the Merge and meets it again through the body, not through the NextIteration.
    func testALoopOfTheOldControlFlowIsTaken() throws {
        for order in [["merge", "conv", "next"], ["conv", "merge", "next"], ["next", "merge", "conv"]] {
            var graph = GraphWriter()
            graph.placeholder("input", [-1, 16, 16, 3])
            graph.constant("weights", [3, 3, 3, 3])
            for name in order {
                switch name {
                case "merge": graph.node("merge", "Merge", "input", "next")
                case "conv": graph.node("conv", "Conv2D", "merge", "weights")
                default: graph.node("next", "NextIteration", "conv")
                }
            }
            do {
                XCTAssertEqual(try graph.model().defaultLayers.map(\.name), ["conv"])
            } catch { XCTFail("\(order): \(error)") }
        }
    }

    func testTensorsOfAGraphThatWasSavedWithImport() throws {
        var graph = GraphWriter()
        let input = graph.placeholder("import/input", [-1, 8, 8, 3])
        graph.node("import/top", "MaxPool", graph.convolution("import/conv", of: input, [3, 3, 3, 8]))
        let model = try graph.model()
        for tensor in model.tensors {
            XCTAssertEqual(try? LayerSelection.resolve([tensor.name], in: model).map(\.name.text), [tensor.name])
            XCTAssertEqual(try? model.input(named: tensor.name).name.text, tensor.name)
        }
        XCTAssertEqual(try? LayerSelection.resolve(["import/c*"], in: model).map(\.name.text), ["import/conv"])
    }

    func testAHeadlessResidualNetworkWithSwish() throws {
        var graph = GraphWriter()
        let input = graph.placeholder("input", [-1, 16, 16, 3])
        let trunk = graph.node("relu", "Relu", graph.convolution("trunk", of: input, [3, 3, 3, 8]))
        let sum = graph.node("sum", "AddV2", graph.convolution("branch", of: trunk, [3, 3, 8, 8]), trunk)
        graph.node("swish", "Mul", sum, graph.node("sigmoid", "Sigmoid", sum))
        XCTAssertEqual(try graph.model().defaultLayers.map(\.name), ["relu", "branch"])
    }

    func testTorchRulesWhereStdIsInfiniteInFloat32() throws {
        let d = try Discretization(rules: .torch)
        for (x, mean, std) in [(-Float.infinity, 0, 5e38), (-Float.greatestFiniteMagnitude, 3.4e38, 5e38)] as [(Float, Double, Double)] {
            var codes: [Int8] = [9]
            try d.apply([x], rows: 1, features: 1, mean: [mean], std: [std], to: &codes)
            XCTAssertEqual(codes[0], d.code(x, mean: mean, std: std), "\(x) \(mean) \(std)")
        }
    }

    func testAFunctionNamedAsAnUnsafeOperation() throws {
        var graph = GraphWriter()
        graph.placeholder("input", [-1, 8, 8, 3])
        graph.node("spy", "ReadFile", "input")
        graph.function("ReadFile", body: [Wire.node("x", "Identity", ["x"])])
        XCTAssertThrowsError(try graph.model())
    }

    func testConstantsOfFunctionsAreBounded() throws {
        var graph = GraphWriter()
        graph.placeholder("input", [-1, 8, 8, 3])
        graph.node("call", "helper", "input")
        graph.function("helper", body: [Wire.node("bomb", "Const", attributes: ["value": Attribute.tensor([1 << 40])])])
        XCTAssertThrowsError(try graph.model())
    }

    func testZZZMerge() throws {
        var body = Array(try Statistics.of(1).saved().dropLast(8))
        let top = 32 + 8 * 26
        body.replaceSubrange(top..<top + 8, with: [0, 0, 0, 0, 0, 0, 0, 0x20])
        var hash: UInt64 = 14_695_981_039_346_656_037
        for byte in body { hash = (hash ^ UInt64(byte)) &* 1_099_511_628_211 }
        body += (0..<8).map { UInt8(truncatingIfNeeded: hash >> (8 * $0)) }
        let loaded = try Statistics.loaded(body)
        print(try loaded.deviations())
        for _ in 0..<3 { try loaded.merge(loaded); print("merged", loaded.count) }
        print(try loaded.deviations())
    }
}

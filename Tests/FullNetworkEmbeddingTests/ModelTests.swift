import XCTest

@testable import FNENetwork
@testable import FNESupport

final class ModelTests: XCTestCase {
    func testTheTableOfTensors() throws {
        let model = try GraphWriter.smallNetwork.model()
        XCTAssertEqual(
            model.tensors.map(\.name),
            [
                "input", "conv", "conv/bias", "conv/relu", "depthwise", "depthwise/norm", "depthwise/relu6", "pool",
                "fc", "logits", "softmax",
            ])
        let relu = model.tensors[3]
        XCTAssertEqual(relu.operation, "Relu")
        XCTAssertEqual(relu.kind, .convolution)
        XCTAssertEqual(relu.rank, 4)
        XCTAssertEqual(relu.channels, 8)
        XCTAssertTrue(relu.isDefault)
        XCTAssertFalse(relu.isClassifier)
        let input = model.tensors[0]
        XCTAssertEqual(input.kind, .input)
        XCTAssertEqual(input.rank, 4)
        XCTAssertEqual(input.channels, 3)
        let logits = model.tensors[9]
        XCTAssertEqual(logits.kind, .dense)
        XCTAssertEqual(logits.rank, 2)
        XCTAssertEqual(logits.channels, 10)
        XCTAssertFalse(logits.isDefault)
        XCTAssertTrue(logits.isClassifier)
        let pool = model.tensors[7]
        XCTAssertEqual(pool.kind, .other)
        XCTAssertNil(pool.rank)
        XCTAssertNil(pool.channels)
    }

    // MARK: Input

    func testTheOnlyPlaceholderIsTheInput() throws {
        let input = try GraphWriter.smallNetwork.model().input(named: nil)
        XCTAssertEqual(input.name.text, "input")
        XCTAssertNil(input.batch)
        XCTAssertEqual(input.height, 32)
        XCTAssertEqual(input.width, 24)
    }

    func testAnInputOfOpenSize() throws {
        var graph = GraphWriter()
        graph.placeholder("images", [-1, -1, 64, 3])
        let input = try graph.model().input(named: "import/images:0")
        XCTAssertEqual(input.name, TensorName(node: "images", output: 0))
        XCTAssertNil(input.height)
        XCTAssertEqual(input.width, 64)
    }

    func testAnyTensorCanBeNamedAsTheInput() throws {
        let input = try GraphWriter.smallNetwork.model().input(named: "conv")
        XCTAssertEqual(input.name.text, "conv")
        XCTAssertNil(input.height)
        assertFails(.unknownTensor, saying: "'inptu'", "'input'") {
            try GraphWriter.smallNetwork.model().input(named: "inptu")
        }
    }

    func testAFixedBatchSize() throws {
        var graph = GraphWriter()
        graph.placeholder("input", [7, 8, 9, 3])
        let input = try graph.model().input(named: nil)
        XCTAssertEqual([input.batch, input.height, input.width], [7, 8, 9])
        assertFails(.unknownTensor, saying: "'input:1'") { try graph.model().input(named: "input:1") }
    }

    func testChannelsFirstIsRefused() throws {
        for (layout, isRefused) in [("NHWC", false), ("NCHW", true), ("NCDHW", true)] {
            var graph = GraphWriter()
            graph.placeholder("input", [-1, 8, 8, 3])
            graph.constant("weights", [3, 3, 3, 8])
            graph.node("conv", "Conv2D", "input", "weights", attributes: ["data_format": Attribute.text(layout)])
            graph.node("relu", "Relu", "input")
            if isRefused {
                assertFails(.unsupportedTensor, saying: "'conv'", layout, "NHWC") { try graph.check("conv") }
            } else {
                XCTAssertNoThrow(try graph.check("conv"))
            }
            XCTAssertNoThrow(try graph.check("relu"), "nodes that no layer needs do not count")
        }
    }

    // MARK: Damage

    func testATruncatedFileIsAnErrorOrASmallerGraph() throws {
        let graph = GraphWriter.smallNetwork
        let names = try graph.definition().nodes.map(\.name)
        for length in 0..<graph.serialized.count {
            let part = Array(graph.serialized[..<length])
            let model = Result { try part.withUnsafeBytes { try Model(copying: $0) } }
            switch model {
            case .success(let model):
                let whole = graph.ends.prefix { $0 <= length }.count
                XCTAssertEqual(graph.ends[whole - 1], length, "cut inside a node")
                let network = try XCTUnwrap(model.network as? GraphDefNetwork)
                XCTAssertEqual(network.graph.nodes.map(\.name), Array(names[..<whole]))
            case .failure(let error as FNEError):
                XCTAssertEqual(error.status, .invalidGraph, error.message)
                XCTAssertFalse(graph.ends.contains(length))
            case .failure(let error):
                XCTFail("\(error)")
            }
        }
    }

    func testDamagedBytesNeverTrap() {
        let whole = GraphWriter.smallNetwork.serialized
        var random = SeededRandom(10)
        var refused = 0
        for i in whole.indices {
            for _ in 0..<2 {
                var damaged = whole
                damaged[i] = UInt8.random(in: 0...255, using: &random)
                do {
                    let model = try damaged.withUnsafeBytes { try Model(copying: $0) }
                    _ = try LayerSelection.resolve(["all"], in: model)
                    _ = try model.input(named: nil)
                } catch is FNEError {
                    refused += 1
                } catch {
                    XCTFail("\(error)")
                }
            }
        }
        XCTAssertGreaterThan(refused, whole.count / 4)
    }

    func testNoise() {
        var random = SeededRandom(11)
        for _ in 0..<500 {
            let size = Int.random(in: 1...60, using: &random)
            let noise = (0..<size).map { _ in UInt8.random(in: 0...255, using: &random) }
            assertFails(.invalidGraph) { try noise.withUnsafeBytes { try Model(copying: $0) } }
        }
    }

    // MARK: Files

    func testFiles() throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("ModelTests-\(getpid())")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        func path(_ name: String, _ content: [UInt8]) throws -> FilePath {
            let file = folder.appendingPathComponent(name)
            try Data(content).write(to: file)
            return FilePath(file.path)
        }
        let model = try Model(file: path("net.pb", GraphWriter.smallNetwork.serialized))
        XCTAssertEqual(model.tensors.count, 11)
        let network = try XCTUnwrap(model.network as? GraphDefNetwork)
        XCTAssertEqual(network.serialized.withBytes { Array($0) }, GraphWriter.smallNetwork.serialized)
        XCTAssertEqual(model.checksum, GraphWriter.smallNetwork.serialized.withUnsafeBytes(sha256))
        assertFails(.fileError, saying: "none.pb", "No such file") {
            try Model(file: FilePath(folder.path + "/none.pb"))
        }
        assertFails(.fileError, saying: folder.path, "is a folder") { try Model(file: FilePath(folder.path)) }
        assertFails(.fileError, saying: "empty.pb", "empty") { try Model(file: path("empty.pb", [])) }
        assertFails(.fileError, saying: "/dev/null", "regular") { try Model(file: "/dev/null") }
        assertFails(.invalidGraph, saying: "page.pb") { try Model(file: path("page.pb", Array("<html>".utf8))) }
        assertFails(.invalidGraph, saying: "empty") {
            try Model(copying: UnsafeRawBufferPointer(start: nil, count: 0))
        }
    }
}

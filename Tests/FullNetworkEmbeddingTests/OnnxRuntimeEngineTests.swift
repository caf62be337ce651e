import XCTest

@testable import FNENetwork
@testable import FNESupport

/// Networks of a few operations on ONNX Runtime, against sums that are written out here.
final class OnnxRuntimeEngineTests: XCTestCase {
    private let height = 3
    private let width = 4
    private let weights: [Float] = [0.5, -1, 2, -0.25, 3, 1] // [2, 3]
    private let bias: [Float] = [0.125, -2]

    override func setUpWithError() throws { try OnnxRuntimeLibrary.load(path: Self.library()) }

    /// The library of the environment that `make venv` makes, or of FNE_ONNXRUNTIME.
    private static func library() throws -> String {
        if let named = ProcessInfo.processInfo.environment["FNE_ONNXRUNTIME"] { return named }
        let packages = repositoryRoot + "/.venv/lib"
        let pythons = try FileManager.default.contentsOfDirectory(atPath: packages)
        let folder = try XCTUnwrap(pythons.first { $0.hasPrefix("python3") }, "make venv, or set FNE_ONNXRUNTIME")
        return "\(packages)/\(folder)/site-packages/onnxruntime"
    }

    /// A convolution of 1 x 1, a Relu, and the average: [n, 3, 4, 3] to [n, 2].
    private func writer(constants: Bool = true) -> OnnxWriter {
        var writer = OnnxWriter()
        if constants { writer.constant("w", [2, 3, 1, 1], weights) }
        writer.constant("b", [2], bias)
        writer.input("images", [nil, height, width, 3])
        writer.node("Transpose", ["images"], "x", ints: [("perm", [0, 3, 1, 2])])
        writer.node("Conv", ["x", "w", "b"], "y")
        writer.node("Relu", ["y"], "z")
        return writer
    }

    private func pooled() -> OnnxWriter {
        var writer = writer()
        writer.node("GlobalAveragePool", ["z"], "p")
        writer.node("Flatten", ["p"], "row", int: ("axis", 1))
        writer.output("row", [nil, 2])
        return writer
    }

    private func network(
        _ file: [UInt8], features: Int = 2, layout: ImageLayout = .channelsLast
    ) throws -> OnnxRuntimeNetwork {
        OnnxRuntimeNetwork(
            model: try file.withUnsafeBytes { try Bytes(copying: $0) },
            layers: [Layer(name: "z", kind: .convolution, rank: 4, features: 0..<features)], height: height,
            width: width, channels: 3, layout: layout)
    }

    private func images(_ count: Int, seed: Int = 0) -> [Float] {
        (0..<count * height * width * 3).map { Float(($0 * 37 + seed * 11) % 101) / 16 - 3 }
    }

    private func expected(_ images: [Float]) -> [Float] {
        let pixels = height * width
        return stride(from: 0, to: images.count, by: pixels * 3).flatMap { image in
            (0..<2).map { channel in
                let sum = (0..<pixels).reduce(0.0) { sum, pixel in
                    let products = (0..<3).map {
                        Double(images[image + pixel * 3 + $0]) * Double(weights[channel * 3 + $0])
                    }
                    return sum + max(products.reduce(0, +) + Double(bias[channel]), 0)
                }
                return Float(sum / Double(pixels))
            }
        }
    }

    private func rows(_ engine: any Engine, _ images: [Float]) throws -> [Float] {
        var images = images
        let count = images.count / (height * width * 3)
        var rows = [Float](repeating: .nan, count: count * engine.featureCount)
        try engine.run(&images, count: count, to: &rows)
        return rows
    }

    private func assertNear(_ rows: [Float], _ wanted: [Float], line: UInt = #line) {
        XCTAssertEqual(rows.count, wanted.count, line: line)
        for (row, value) in zip(rows, wanted) { XCTAssertEqual(row, value, accuracy: 1e-5, line: line) }
    }

    func testRowsOfBatches() throws {
        let opened = try OnnxRuntimeEngine.open(network(pooled().file), EngineOptions())
        XCTAssertEqual(opened.engine.featureCount, 2)
        XCTAssertEqual(opened.arithmetic.engineThreads, 1)
        for count in [1, 2, 5, 1] {
            let images = images(count)
            try assertNear(rows(opened.engine, images), expected(images))
        }
    }

    /// The same network without its Transpose takes planes.
    func testRowsOfPlanes() throws {
        var writer = OnnxWriter()
        writer.constant("w", [2, 3, 1, 1], weights)
        writer.constant("b", [2], bias)
        writer.input("images", [nil, 3, height, width])
        writer.node("Conv", ["images", "w", "b"], "y")
        writer.node("Relu", ["y"], "z")
        writer.node("GlobalAveragePool", ["z"], "p")
        writer.node("Flatten", ["p"], "row", int: ("axis", 1))
        writer.output("row", [nil, 2])
        var network = try network(writer.file, layout: .channelsFirst)
        for batch in [nil, 5] {
            network.batch = batch
            let engine = try OnnxRuntimeEngine.open(network, EngineOptions()).engine
            XCTAssertEqual(engine.layout, .channelsFirst)
            let images = images(3)
            let (pixels, size) = (height * width, height * width * 3)
            let planes = images.indices.map { place in
                let (image, channel, pixel) = (place / size, place % size / pixels, place % pixels)
                return images[image * size + pixel * 3 + channel]
            }
            try assertNear(rows(engine, planes), expected(images))
        }
    }

    func testAnUnfilledBatchIsPadded() throws {
        var network = try network(pooled().file)
        network.batch = 4
        let opened = try OnnxRuntimeEngine.open(network, EngineOptions())
        XCTAssertEqual(opened.batchSize, 4)
        let three = images(3)
        try assertNear(rows(opened.engine, three), expected(three))
        assertFails(.invalidArgument, saying: "takes 4 images") { try rows(opened.engine, images(5)) }
    }

    func testSeveralThreadsAtOnce() throws {
        var options = EngineOptions()
        for threads in [1, 2] {
            options.engineThreads = threads
            let engine = try OnnxRuntimeEngine.open(network(pooled().file), options).engine
            let failures = Locked<[String]>([])
            let workers = (0..<4).compactMap { number in
                Worker {
                    for round in 0..<25 {
                        let images = self.images(1 + round % 3, seed: number)
                        let wanted = self.expected(images)
                        guard let rows = try? self.rows(engine, images),
                            zip(rows, wanted).allSatisfy({ abs($0 - $1) < 1e-5 })
                        else { return failures.with { $0.append("thread \(number), round \(round)") } }
                    }
                }
            }
            XCTAssertEqual(workers.count, 4)
            for worker in workers { worker.join() }
            XCTAssertEqual(failures.current, [])
        }
    }

    func testWeightsByPointer() throws {
        var writer = writer(constants: false)
        writer.external("w", [2, 3, 1, 1], location: "weights of w", byteCount: 24)
        writer.node("GlobalAveragePool", ["z"], "p")
        writer.node("Flatten", ["p"], "row", int: ("axis", 1))
        writer.output("row", [nil, 2])
        var network = try network(writer.file)
        let content = try weights.withUnsafeBytes { try Bytes(copying: $0) }
        network.weights = [ONNXWeights.File(location: "weights of w", content: content)]
        let images = images(2)
        let engine = try OnnxRuntimeEngine.open(network, EngineOptions()).engine
        content.withNumbers(of: Float.self) { $0.update(repeating: .nan, count: 6) } // no pointer is kept
        try assertNear(rows(engine, images), expected(images))
        network.weights = []
        let options = EngineOptions()
        assertFails(.backendError, saying: "opening the network") { try OnnxRuntimeEngine.open(network, options) }
    }

    func testFilesThatOnnxRuntimeRefuses() throws {
        let file = pooled().file
        for size in [0, 1, 10, file.count / 2] {
            assertFails(.backendError, saying: "ONNX Runtime failed while it was opening the network: ") {
                try OnnxRuntimeEngine.open(network(Array(file.prefix(size))), EngineOptions())
            }
        }
        var unknown = writer()
        unknown.node("NoSuchOperation", ["z"], "row")
        unknown.output("row", [nil, 2])
        assertFails(.backendError, saying: "NoSuchOperation") {
            try OnnxRuntimeEngine.open(network(unknown.file), EngineOptions())
        }
    }

    func testNetworksOfAnotherForm() throws {
        var two = pooled()
        two.output("z", [nil, 2, height, width])
        assertFails(.backendError, saying: "2 outputs") {
            try OnnxRuntimeEngine.open(network(two.file), EngineOptions())
        }
        var whole = writer()
        whole.node("Shape", ["z"], "row")
        whole.output("row", type: 7, [nil])
        assertFails(.unsupportedTensor, saying: "not float32") {
            try rows(OnnxRuntimeEngine.open(network(whole.file), EngineOptions()).engine, images(1))
        }
        assertFails(.backendError, saying: "not 3 columns") {
            try rows(OnnxRuntimeEngine.open(network(pooled().file, features: 3), EngineOptions()).engine, images(1))
        }
        var mixed = writer()
        mixed.node("GlobalAveragePool", ["z"], "p")
        mixed.node("Flatten", ["p"], "row", int: ("axis", 0)) // [1, 2 n]
        mixed.output("row", [nil, nil])
        let engine = try OnnxRuntimeEngine.open(network(mixed.file, features: 4), EngineOptions()).engine
        assertFails(.unsupportedTensor, saying: "2 images gave 1 rows") { try rows(engine, images(2)) }
    }

    func testImagesOfAnotherSize() throws {
        var network = try network(pooled().file)
        network.height = 2
        let engine = try OnnxRuntimeEngine.open(network, EngineOptions()).engine
        assertFails(.backendError, saying: "images") {
            var values = images(1)
            var row: [Float] = [0, 0]
            try engine.run(&values, count: 1, to: &row)
        }
    }

    func testOptions() throws {
        let network = try network(pooled().file)
        func refused(_ words: String, _ change: (inout EngineOptions) -> Void) {
            var options = EngineOptions()
            change(&options)
            assertFails(.invalidArgument, saying: words) { try OnnxRuntimeEngine.open(network, options) }
        }
        refused("precision is bfloat16") { $0.precision = .bfloat16 }
        refused("float32_layers is set") { $0.float32Layers = 2 }
        refused("device is 'gpu:1'") { $0.device = .gpu(1) }
        refused("gpu_memory_growth is set") { $0.growsGPUMemory = true }
        refused("engine_threads is 4294967296") { $0.engineThreads = 1 << 32 }
        var options = EngineOptions()
        options.device = .cpu
        options.batchSize = 7
        options.padsBatches = true
        options.streams = 3
        options.engineThreads = 2
        let opened = try OnnxRuntimeEngine.open(network, options)
        XCTAssertEqual(opened.batchSize, 7)
        XCTAssertEqual(opened.streams, 3)
        XCTAssertEqual(opened.arithmetic.engineThreads, 2)
        let images = images(2)
        try assertNear(rows(opened.engine, images), expected(images))
    }

    func testFactsNameTheEngine() throws {
        let engine = try OnnxRuntimeEngine.open(network(pooled().file), EngineOptions()).engine
        let version = try XCTUnwrap(Backend.loaded(.onnxRuntime)).version
        XCTAssertTrue(engine.facts.contains(JSON.Member(name: "onnxruntime", value: .text(version))))
        XCTAssertTrue(engine.facts.contains { $0.name == "processor" })
    }

    func testLevelsOfTheLog() {
        XCTAssertEqual((0...4).map { OnnxRuntimeLog.level($0) }, [.info, .info, .warning, .error, .error])
    }
}

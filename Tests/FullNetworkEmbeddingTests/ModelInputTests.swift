import XCTest

@testable import FNENetwork

/// The placeholder that images are fed to. The Python tests run such graphs.
final class ModelInputTests: XCTestCase {
    private var graph = GraphWriter()

    override func setUp() { graph = GraphWriter() }

    /// Adds a placeholder of a type, by TensorFlow's number.
    private func placeholder(_ name: String, _ type: DataType, _ shape: [Int], _ operation: String = "Placeholder") {
        graph.node(
            name, operation,
            attributes: ["dtype": Wire.number(6, type.rawValue), "shape": Attribute.shape(shape)])
    }

    private func chosen() throws -> String { try graph.model().input(named: nil).name.text }

    func testTheChannelsAndTheType() throws {
        for (type, channels) in [(.uint8, 1), (.float32, 3), (.float16, 1), (.int64, 3)] as [(DataType, Int)] {
            setUp()
            placeholder("input", type, [-1, 8, 9, channels])
            let input = try graph.model().input(named: nil)
            XCTAssertEqual(input.channels, channels)
            XCTAssertEqual(input.type, type)
            XCTAssertEqual(input.typeName, "\(type)")
            XCTAssertEqual([input.height, input.width], [8, 9])
            XCTAssertNil(input.batch)
        }
        setUp()
        placeholder("input", .float32, [-1, 8, 9, -1])
        XCTAssertNil(try graph.model().input(named: nil).channels)
    }

    func testTheOrderOfCandidates() throws {
        placeholder("keep_prob", .float32, []) // of unknown shape, as the graph has no version
        XCTAssertEqual(try chosen(), "keep_prob")
        placeholder("default", .float32, [-1, 8, 8, 3], "PlaceholderWithDefault")
        XCTAssertEqual(try chosen(), "default")
        placeholder("images", .uint8, [-1, 8, 8, 1])
        XCTAssertEqual(try chosen(), "images")
        placeholder("others", .float32, [-1, 8, 8, 3], "PlaceholderV2")
        assertFails(.unknownTensor, saying: "'images' (uint8, [?, 8, 8, 1])", "'others'") { try chosen() }
        XCTAssertEqual(try graph.model().input(named: "others").name.text, "others")
    }

    func testWhatIsNoCandidate() throws {
        graph.append(Wire.bytes(4, Wire.number(1, 22))) // the version from which a scalar is a scalar
        placeholder("phase_train", .bool, [-1, 8, 8, 3])
        placeholder("rate", .float32, [])
        placeholder("meta", .float32, [-1, 7])
        placeholder("first", .float32, [-1, 3, 8, 8])
        placeholder("alpha", .float32, [-1, 8, 8, 4])
        placeholder("signed", .int8, [-1, 8, 8, 3])
        assertFails(
            .unknownTensor, saying: "no placeholder", "'phase_train' (bool, [?, 8, 8, 3])", "'rate' (float32, [])",
            "'signed' (int8, [?, 8, 8, 3])"
        ) { try chosen() }
        placeholder("images", .float64, [-1, 8, 8, 3])
        XCTAssertEqual(try chosen(), "images")
        assertFails(.unsupportedTensor, saying: "'phase_train' is bool", "float32") {
            try graph.model().input(named: "phase_train")
        }
        assertFails(.unsupportedTensor, saying: "'rate' has shape []") { try graph.model().input(named: "rate") }
    }

    func testASinglePlaceholderThatIsNoImage() {
        for (shape, text) in [
            ([-1, 3, 8, 8], "[?, 3, 8, 8]"), ([-1, 784], "[?, 784]"), ([-1, 8, 8, 2], "[?, 8, 8, 2]"),
        ] {
            setUp()
            graph.placeholder("input", shape)
            assertFails(.unsupportedTensor, saying: text, "[batch, height, width, 1]") { try chosen() }
        }
        setUp()
        graph.constant("weights", [3])
        assertFails(.unknownTensor, saying: "no placeholder") { try chosen() }
    }

    /// Other tensors have the type that their attributes tell.
    func testTheTypeOfATensorThatIsNamed() throws {
        placeholder("input", .uint8, [-1, 8, 8, 3])
        let (uint8, half) = (Wire.number(6, 4), Wire.number(6, 19))
        graph.node("cast", "Cast", "input", attributes: ["SrcT": uint8, "DstT": half])
        graph.node("same", "Identity", "cast", attributes: ["T": half])
        graph.node("resized", "ResizeBilinear", "input", attributes: ["T": uint8])
        graph.node("plain", "Relu", "resized")
        graph.node("truth", "LogicalNot", "plain", attributes: ["T": Wire.number(6, 10)])
        let model = try graph.model()
        for (name, type) in [
            ("cast", .float16), ("same", .float16), ("resized", .float32), ("plain", .float32), ("same:1", .float16),
        ] as [(String, DataType)] {
            XCTAssertEqual(try model.input(named: name).type, type, name)
        }
        assertFails(.unsupportedTensor, saying: "'truth' is bool") { try model.input(named: "truth") }
    }
}

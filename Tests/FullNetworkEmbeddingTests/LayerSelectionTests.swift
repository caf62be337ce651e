import Foundation
import XCTest

@testable import FNENetwork

final class LayerSelectionTests: XCTestCase {
    private func names(_ selectors: String..., in graph: GraphWriter = .smallNetwork) throws -> [String] {
        try LayerSelection.resolve(selectors, in: graph.model()).map(\.name.text)
    }

    func testNoSelectorTakesTheDefaultLayers() throws {
        XCTAssertEqual(try names(), ["conv/relu", "depthwise/relu6"])
    }

    func testAllTakesTheClassifierToo() throws {
        XCTAssertEqual(try names("all"), ["conv/relu", "depthwise/relu6", "logits"])
    }

    func testExactNamesInTheOrderGiven() throws {
        XCTAssertEqual(try names("logits", "conv/relu"), ["logits", "conv/relu"])
        XCTAssertEqual(try names("import/logits:0"), ["logits"])
        XCTAssertEqual(try names("depthwise/norm:1"), ["depthwise/norm:1"])
        XCTAssertEqual(try names("pool"), ["pool"], "a tensor that is no layer's output")
        XCTAssertEqual(try names("conv", "conv/bias", "conv/relu"), ["conv", "conv/bias", "conv/relu"])
    }

    func testKindsOfTheSelected() throws {
        let model = try GraphWriter.smallNetwork.model()
        let selected = try LayerSelection.resolve(["all", "pool", "input", "depthwise"], in: model)
        XCTAssertEqual(selected.map(\.kind), [.convolution, .depthwise, .dense, .other, .input, .depthwise])
    }

    func testGlobsTakeLayersAndTheClassifierInGraphOrder() throws {
        XCTAssertEqual(try names("*"), ["conv/relu", "depthwise/relu6", "logits"])
        XCTAssertEqual(try names("*relu*"), ["conv/relu", "depthwise/relu6"])
        XCTAssertEqual(try names("*relu"), ["conv/relu"])
        XCTAssertEqual(try names("*/relu?"), ["depthwise/relu6"])
        XCTAssertEqual(try names("[a-c]*"), ["conv/relu"])
        XCTAssertEqual(try names("[!a-c]*"), ["depthwise/relu6", "logits"])
        XCTAssertEqual(try names("import/conv/*"), ["conv/relu"])
        XCTAssertEqual(try names("log*", "conv*"), ["logits", "conv/relu"])
        assertFails(.unknownTensor, saying: "'x*'") { try names("x*") }
        assertFails(.unknownTensor) { try names("pool*") }
    }

    func testGlobPatterns() {
        func matches(_ pattern: String, _ name: String) -> Bool { LayerSelection.matches(pattern, name) }
        for (pattern, name) in [
            ("", ""), ("*", ""), ("*", "a/b"), ("**", "ab"), ("a*", "a"), ("*c", "abcbc"), ("a*b*c", "a_b_b_c"),
            ("?", "x"), ("conv??", "conv12"), ("conv[0-9]", "conv7"), ("[abc]x", "bx"), ("[!abc]x", "dx"),
            ("[a-cx-z]", "y"), ("[-a]", "-"), ("[a-]", "-"), ("[]a]", "]"), ("a[", "a["), ("a.b", "a.b"), ("?", "é"),
            ("*[12]/relu", "block_2/relu"),
        ] { XCTAssertTrue(matches(pattern, name), "\(pattern) \(name)") }
        for (pattern, name) in [
            ("", "a"), ("a", ""), ("a", "ab"), ("ab", "a"), ("?", ""), ("?", "ab"), ("*c", "abcd"), ("a*b*c", "a_c_b"),
            ("conv?", "conv12"), ("conv[0-9]", "convx"), ("[!abc]x", "ax"), ("[a-c]", "d"), ("[a-c]", ""),
            ("a.b", "axb"), ("A", "a"),
        ] { XCTAssertFalse(matches(pattern, name), "\(pattern) \(name)") }
    }

    func testAGlobThatTriesManyWaysEnds() {
        let pattern = String(repeating: "*a", count: 40) + "b"
        XCTAssertFalse(LayerSelection.matches(pattern, String(repeating: "a", count: 400)))
    }

    func testLastTakesTheCeilingOfTheShare() throws {
        XCTAssertEqual(try names("last:25%", in: .chain(10)), ["conv8", "conv9", "conv10"])
        XCTAssertEqual(try names("last:100%"), ["conv/relu", "depthwise/relu6"])
        XCTAssertEqual(try names("last:1%"), ["depthwise/relu6"])
        for count in [1, 2, 3, 4, 7, 8, 13, 20] {
            let model = try GraphWriter.chain(count).model()
            for percent in 1...100 {
                let selected = try LayerSelection.resolve(["last:\(percent)%"], in: model)
                let expected = (percent * count + 99) / 100
                XCTAssertEqual(selected.map(\.name.text), ((count - expected + 1)...count).map { "conv\($0)" })
            }
        }
        XCTAssertEqual(try names("last:12.5%", in: .chain(16)), ["conv15", "conv16"])
    }

    func testSharesThatAreNone() {
        for share in ["0%", "-5%", "101%", "25", "", "%", "x%", "nan%", "inf%"] {
            let selector = "last:" + share
            assertFails(.invalidArgument, saying: selector, "last:25%") { try names(selector) }
        }
    }

    func testANameMayNotBeGivenTwice() {
        for selectors in [["logits", "logits"], ["logits", "import/logits:0"]] {
            assertFails(.invalidArgument, saying: "twice") {
                try LayerSelection.resolve(selectors, in: GraphWriter.smallNetwork.model())
            }
        }
        XCTAssertNoThrow(try names("depthwise/norm:0", "depthwise/norm:1"), "two outputs of one node")
    }

    func testALayerThatSeveralSelectorsChooseIsTakenOnce() throws {
        XCTAssertEqual(try names("log*", "all"), ["logits", "conv/relu", "depthwise/relu6"])
        XCTAssertEqual(try names("conv/*", "last:100%"), ["conv/relu", "depthwise/relu6"])
        XCTAssertEqual(try names("*", "logits"), ["conv/relu", "depthwise/relu6", "logits"])
    }

    /// The table of cases. The Python tests read it too.
    func testTheTableOfCases() throws {
        struct Case: Decodable {
            let names: [String]
            let `default`: [Bool]?
            let selectors: [String]
            let indices: [Int]?
            let error: String?
        }
        let path = repositoryRoot + "/Tests/selectors.json"
        let cases = try JSONDecoder().decode([Case].self, from: Data(contentsOf: URL(fileURLWithPath: path)))
        XCTAssertGreaterThan(cases.count, 50)
        for (number, entry) in cases.enumerated() {
            func chosen() throws -> [Int] {
                try LayerSelection.indices(entry.selectors, among: entry.names, isDefault: entry.default)
            }
            switch entry.error {
            case nil: XCTAssertEqual(try chosen(), entry.indices, "case \(number): \(entry.selectors)")
            case "unknown": assertFails(.unknownTensor) { try chosen() }
            case "invalid": assertFails(.invalidArgument) { try chosen() }
            default: XCTFail("case \(number) has an error of no kind")
            }
        }
    }

    func testEveryWholePercentOfUpTo200Layers() throws {
        for count in 1...200 {
            let names = (0..<count).map { "layer\($0)" }
            for percent in 1...100 {
                let expected = (percent * count + 99) / 100
                XCTAssertEqual(
                    try LayerSelection.indices(["last:\(percent)%"], among: names), Array(count - expected..<count))
            }
        }
    }

    func testFlagsOfAnotherNumber() {
        assertFails(.invalidArgument, saying: "2 names", "1 flags") {
            try LayerSelection.indices([], among: ["a", "b"], isDefault: [true])
        }
    }

    /// A graph that was saved with the prefix keeps its names as they are.
    func testAGraphWhoseOwnNamesBeginWithImport() throws {
        var graph = GraphWriter()
        let input = graph.placeholder("import/input", [-1, 8, 8, 3])
        graph.node("import/top", "MaxPool", graph.convolution("import/conv", of: input, [3, 3, 3, 8]))
        let model = try graph.model()
        for tensor in model.tensors {
            XCTAssertEqual(try LayerSelection.resolve([tensor.name], in: model).map(\.name.text), [tensor.name])
            XCTAssertEqual(try model.input(named: tensor.name).name.text, tensor.name)
        }
        XCTAssertEqual(try names("import/c*", in: graph), ["import/conv"])
        XCTAssertEqual(try names("import/import/conv:0", in: graph), ["import/conv"])
    }

    func testUnknownNamesListTheNearest() {
        assertFails(.unknownTensor, saying: "'conv/rleu'", "'conv/relu'") { try names("conv/rleu") }
        assertFails(.unknownTensor, saying: "'import/logit:0'", "'logits'") { try names("import/logit:0") }
        assertFails(.unknownTensor) { try names("") }
    }

    func testAGraphWithoutLayers() {
        var graph = GraphWriter()
        graph.node("relu", "Relu", graph.placeholder("input", [-1, 8, 8, 3]))
        for selectors in [[], ["all"], ["last:50%"]] {
            assertFails(.unknownTensor, saying: "no convolution") {
                try LayerSelection.resolve(selectors, in: graph.model())
            }
        }
        XCTAssertEqual(try LayerSelection.resolve(["relu"], in: graph.model()).map(\.name.text), ["relu"])
    }
}

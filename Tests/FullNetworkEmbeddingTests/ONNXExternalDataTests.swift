import Foundation
import XCTest

@testable import FNENetwork
@testable import FNESupport

final class ONNXExternalDataTests: XCTestCase {
    private var folder = URL(fileURLWithPath: "/")

    override func setUpWithError() throws {
        folder = FileManager.default.temporaryDirectory.appendingPathComponent("fne-onnx-\(UUID().uuidString)")
        try FileManager.default.createDirectory(
            at: folder.appendingPathComponent("model/weights"), withIntermediateDirectories: true)
        for name in ["model/w.data", "model/weights/w.data", "outside.data"] { try write(name, [1, 2, 3, 4]) }
    }

    override func tearDownWithError() throws { try FileManager.default.removeItem(at: folder) }

    private func write(_ name: String, _ values: [Float]) throws {
        try values.withUnsafeBytes { try Data($0).write(to: folder.appendingPathComponent(name)) }
    }

    /// Opens a model in the folder "model" whose weights, two numbers, are outside.
    private func open(_ entries: KeyValuePairs<String, String>, as name: String = "model/m.onnx") throws -> ONNXNetwork
    {
        var file = ONNXFile()
        file.outside("w", [2], entries)
        file.node("y = Mul x w")
        file.output("y")
        let path = folder.appendingPathComponent(name)
        try Data(file.bytes).write(to: path)
        return try Self.network(FilePath(path.path))
    }

    private static func network(_ path: FilePath) throws -> ONNXNetwork {
        let model = try Model(file: path)
        return try XCTUnwrap(model.network as? ONNXNetwork)
    }

    private func values(_ entries: KeyValuePairs<String, String>) throws -> [Double]? {
        try open(entries).definition.graph.constants.first?.numbers
    }

    func testWeightsAreReadFromTheModelsFolder() throws {
        XCTAssertEqual(try values(["location": "w.data"]), [1, 2])
        XCTAssertEqual(try values(["location": "w.data", "offset": "8", "length": "8"]), [3, 4])
        XCTAssertEqual(try values(["location": "./weights/w.data", "offset": "4"]), [2, 3])
    }

    func testNoPathLeadsOutOfTheFolder() throws {
        for location in ["../outside.data", "weights/../../outside.data", "/etc/hostname", "", "weights//w.data"] {
            assertFails(.invalidGraph, saying: "'w'", "external data") { try open(["location": location]) }
        }
        assertFails(.invalidGraph, saying: "name no file") { try open(["offset": "0"]) }
    }

    func testNoLinkLeadsOutOfTheFolder() throws {
        let link = folder.appendingPathComponent("model/link.data")
        try FileManager.default.createSymbolicLink(atPath: link.path, withDestinationPath: "../outside.data")
        assertFails(.invalidGraph, saying: "'link.data'", "outside of the model's folder") {
            try open(["location": "link.data"])
        }
        let linked = folder.appendingPathComponent("model/up")
        try FileManager.default.createSymbolicLink(atPath: linked.path, withDestinationPath: "..")
        assertFails(.invalidGraph, saying: "outside of the model's folder") {
            try open(["location": "up/outside.data"])
        }
    }

    /// Caches of downloads keep all files in one folder, and links to them in another.
    func testLinksToTheFolderOfTheFileItselfAreFollowed() throws {
        _ = try open(["location": "w.data"], as: "model/blob")
        let cache = folder.appendingPathComponent("snapshot")
        try FileManager.default.createDirectory(at: cache, withIntermediateDirectories: true)
        for (name, target) in [("m.onnx", "../model/blob"), ("w.data", "../model/w.data")] {
            try FileManager.default.createSymbolicLink(
                atPath: cache.appendingPathComponent(name).path, withDestinationPath: target)
        }
        let network = try Self.network(FilePath(cache.appendingPathComponent("m.onnx").path))
        XCTAssertEqual(network.definition.graph.constants.first?.numbers, [1, 2])
    }

    func testTheRangeMustBeInTheFile() throws {
        for (offset, length) in [("9", "8"), ("99999999999", "8"), ("16", "8")] {
            assertFails(.invalidGraph, saying: "'w.data'", "16 bytes") {
                try open(["location": "w.data", "offset": offset, "length": length])
            }
        }
        assertFails(.invalidGraph, saying: "12 bytes", "needs 8") { try open(["location": "w.data", "length": "12"]) }
        for offset in ["-1", "x", "99999999999999999999999"] {
            assertFails(.invalidGraph, saying: "'\(offset)'", "no size") {
                try open(["location": "w.data", "offset": offset])
            }
        }
    }

    func testAMissingFileIsAnErrorThatNamesIt() throws {
        assertFails(.fileError, saying: "'gone.data'", "m.onnx") { try open(["location": "gone.data"]) }
        assertFails(.fileError, saying: "'weights'") { try open(["location": "weights"]) }
    }

    func testAModelInMemoryHasItsWeightsInIt() throws {
        var file = ONNXFile()
        file.outside("w", [2], ["location": "w.data"])
        file.node("y = Mul x w")
        assertFails(.invalidGraph, saying: "'w.data'", "in memory", "onnx.save") { try file.network() }
    }
}

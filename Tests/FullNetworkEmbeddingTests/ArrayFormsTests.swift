import XCTest

@testable import FNECodes
@testable import FNEEmbedding
@testable import FNENetwork
@testable import FNEPipeline

/// Compares the functions on arrays with those on pointers, which have tests of their own, and with results by hand.
final class ArrayFormsTests: XCTestCase {
    private let rows: [Float] = [1, 2, 3, 4, 5, 9]

    func testStatisticsAndCodes() throws {
        let statistics = try Statistics(featureCount: 2)
        try statistics.update(rows)
        XCTAssertEqual(statistics.count, 3)
        let (mean, std) = try statistics.moments()
        XCTAssertEqual(mean, [3, 5])
        XCTAssertEqual(std[0], (8.0 / 3).squareRoot(), accuracy: 1e-15)
        XCTAssertEqual(try statistics.moments(ddof: 1).std[0], 2, accuracy: 1e-15)
        let again = try statistics.saved().withUnsafeBytes(Statistics.load)
        XCTAssertEqual(try again.saved(), try statistics.saved())
        let codes = try Discretization().codes(of: rows, mean: mean, std: std)
        XCTAssertEqual(codes, [-1, -1, 0, -1, 1, 1])
        let packed = try PackedCodes.packed(codes, features: 2)
        XCTAssertEqual(packed, [3, 3, 2, 2, 3, 0])
        let found = try PackedCodes.nearest(in: packed, to: Array(packed[2..<4]), features: 2, k: 3, metric: .dot)
        XCTAssertEqual(found.map { $0.map(\.index) }, [[0, 1, 2]])
        XCTAssertEqual(found[0].map(\.score), [1, 1, -1])
    }

    func testWhatDoesNotFit() throws {
        let statistics = try Statistics(featureCount: 4)
        assertFails(.shapeMismatch, saying: "6 elements") { try statistics.update(rows) }
        assertFails(.shapeMismatch) { try statistics.update([]) }
        assertFails(.invalidArgument) { try statistics.moments() }
        assertFails(.shapeMismatch) { try Discretization().codes(of: rows, mean: [0, 0, 0, 0], std: [1, 1, 1, 1]) }
        assertFails(.shapeMismatch) { try Discretization().codes(of: rows, mean: [0, 0], std: [1]) }
        assertFails(.shapeMismatch) { try Discretization().codes(of: rows, mean: [], std: []) }
        assertFails(.shapeMismatch) { try PackedCodes.packed([1, 0, -1], features: 2) }
        assertFails(.invalidArgument) { try PackedCodes.packed([1, 0, 2], features: 3) }
        assertFails(.invalidArgument) { try PackedCodes.packed([1], features: 0) }
        assertFails(.shapeMismatch) { try PackedCodes.nearest(in: [1, 2, 3], to: [1, 2], features: 2, k: 1) }
        for k in [0, 2, -1] {
            assertFails(.invalidArgument) { try PackedCodes.nearest(in: [1, 2], to: [1, 2], features: 2, k: k) }
        }
    }

    func testFeaturesOfFiles() throws {
        var options = Extractor.Options()
        options.batchSize = 2
        let layer = Layer(name: "layer", kind: .dense, rank: 2, features: 0..<4)
        let extractor = Extractor(
            engine: FakeEngine(valueCount: 3), layers: [layer], preprocessing: Preprocessing(height: 1, width: 1),
            options: options)
        assertFails(.fileError, saying: "none.png") { try extractor.features(of: ["none.png"]) }
        assertFails(.invalidArgument) { try extractor.features(of: []) }
    }
}

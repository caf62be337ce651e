import XCTest

@testable import FNENetwork

/// Which rows an image has, and which axes are features.
final class LayerShapeTests: XCTestCase {
    private func shape(_ one: [Int], _ three: [Int]) -> [Int]? { LayerShape(one, of: 1, and: three, of: 3)?.dimensions }

    func testShapesThatGrowWithTheImages() {
        XCTAssertEqual(shape([1, 7, 5], [3, 7, 5]), [1, 7, 5])
        XCTAssertEqual(shape([16, 5], [48, 5]), [16, 5])
        XCTAssertEqual(LayerShape([8, 5], of: 4, and: [8, 5], of: 4)?.dimensions, [2, 5])
    }

    func testOtherShapes() {
        XCTAssertNil(shape([7, 5], [7, 5]), "the first dimension is the same for any batch")
        XCTAssertNil(shape([1, 7], [3, 21]), "another dimension grows")
        XCTAssertNil(shape([1, 7], [1, 7]))
        XCTAssertNil(shape([], []))
        XCTAssertNil(shape([0, 7], [0, 7]))
        XCTAssertNil(shape([Int.max, 1], [Int.max - 1, 1]))
        XCTAssertNil(LayerShape([7, 5], of: 4, and: [7, 5], of: 4), "seven rows of four images")
    }

    func testAxesOfFeatures() throws {
        func axes(_ dimensions: [Int], _ channels: Int?) throws -> Int {
            try XCTUnwrap(LayerShape(dimensions: dimensions)).featureAxes(channels: channels)
        }
        XCTAssertEqual(try axes([1, 17, 24], 24), 1)
        XCTAssertEqual(try axes([1, 17, 3, 8], 24), 2)
        XCTAssertEqual(try axes([1, 17, 24, 1], 24), 2)
        XCTAssertEqual(try axes([1, 17, 3, 8], 7), 1)
        XCTAssertEqual(try axes([1, 17, 3, 8], nil), 1)
        XCTAssertEqual(try axes([1, Int.max, Int.max], 24), 1)
        XCTAssertEqual(try axes([24], 24), 1)
    }
}

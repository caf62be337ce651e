import XCTest

@testable import FNENetwork

/// The shapes of sums of products, as numpy.einsum gives them.
final class EinsumEquationTests: XCTestCase {
    private func shape(_ equation: String, _ shapes: [Int]...) -> [Int]? {
        EinsumEquation(equation)?.shape(of: shapes)
    }

    func testShapes() {
        XCTAssertEqual(shape("abc,cde->abde", [2, 3, 4], [4, 5, 6]), [2, 3, 5, 6])
        XCTAssertEqual(shape("BTNH, BSNH -> BNTS", [2, 3, 4, 5], [2, 7, 4, 5]), [2, 4, 3, 7])
        XCTAssertEqual(shape("ab->", [2, 3]), [])
    }

    func testEllipses() {
        XCTAssertEqual(shape("...x,xy->...y", [2, 3, 4], [4, 5]), [2, 3, 5])
        XCTAssertEqual(shape("...x,xy->...y", [4], [4, 5]), [5])
        XCTAssertEqual(shape("...ij,...jk->...ik", [7, 1, 2, 3], [6, 3, 4]), [7, 6, 2, 4])
    }

    func testWhatDoesNotFit() {
        XCTAssertNil(shape("ab,bc", [2, 3], [3, 4]), "the result is not named")
        XCTAssertNil(shape("ab,bc->ad", [2, 3], [3, 4]), "no operand has that axis")
        XCTAssertNil(shape("ab,bc->ac", [2, 3]))
        XCTAssertNil(shape("ab,bc->ac", [2, 3, 4], [3, 4]))
        XCTAssertNil(shape("a...b->ab", [2]))
        XCTAssertNil(shape("", [2]))
    }
}

import XCTest

@testable import FNEEmbedding

final class WideIntegerTests: XCTestCase {
    private func number(_ lanes: Int64...) -> WideInteger { lanes.withUnsafeBufferPointer { WideInteger(lanes: $0) } }

    func testLanesAreDigitsWithASignedTop() {
        XCTAssertEqual(number(5, 7).digits, [5, 7])
        XCTAssertEqual(number(5, 1 << 40).digits, [5, 0, 256], "the top lane is wider than a digit")
        XCTAssertEqual(number(5, 0, 0).digits, [5])
        XCTAssertTrue(number(0, 0).isZero)

        let minusOne = number(0xffff_ffff, -1) // 2^32 - 1 - 2^32
        XCTAssertEqual(minusOne.digits, [1])
        XCTAssertTrue(minusOne.isNegative)

        let minusTwoTo40 = number(0, -256)
        XCTAssertEqual(minusTwoTo40.digits, [0, 256])
        XCTAssertTrue(minusTwoTo40.isNegative)
        XCTAssertEqual(number(0, 0, -(1 << 40)).digits, [0, 0, 0, 256])
    }

    func testBitCount() {
        XCTAssertEqual(WideInteger(0).bitCount, 0)
        XCTAssertEqual(WideInteger(1).bitCount, 1)
        XCTAssertEqual(WideInteger(1 << 32).bitCount, 33)
        XCTAssertEqual(WideInteger(.max).bitCount, 64)
    }

    func testProductsAreThoseOfTheProcessor() {
        var random = SeededRandom(1)
        for _ in 0..<500 {
            let (a, b) = (random.next() >> (random.next() & 63), random.next() >> (random.next() & 63))
            let (high, low) = a.multipliedFullWidth(by: b)
            let product = (WideInteger(a) * WideInteger(b)).shifted(down: 0)
            XCTAssertEqual(product.low, UInt128(high) << 64 | UInt128(low))
            XCTAssertEqual(product.high, 0)
        }
        XCTAssertTrue((number(0xffff_ffff, -1) * WideInteger(3)).isNegative)
        XCTAssertFalse((number(0xffff_ffff, -1) * number(0xffff_ffff, -1)).isNegative)
        XCTAssertFalse((number(0xffff_ffff, -1) * WideInteger(0)).isNegative, "there is one zero")
    }

    func testDifferenceBorrowsThroughZeros() {
        let twoTo96 = number(0, 0, 0, 1)
        XCTAssertEqual(
            WideInteger.difference(twoTo96, WideInteger(1)).digits, [0xffff_ffff, 0xffff_ffff, 0xffff_ffff])
        XCTAssertTrue(WideInteger.difference(twoTo96, twoTo96).isZero)
    }

    func testOrder() {
        XCTAssertTrue(WideInteger.isLess(WideInteger(2), WideInteger(1 << 40)))
        XCTAssertTrue(WideInteger.isLess(number(9, 1), number(8, 2)))
        XCTAssertFalse(WideInteger.isLess(number(9, 1), number(9, 1)))
        XCTAssertFalse(WideInteger.isLess(number(0, 0, 1), number(9, 9)))
    }

    func testShiftSaysWhetherAnythingWasCut() {
        let value = number(0b1000, 0, 1) // 2^64 + 8
        XCTAssertTrue(value.shifted(down: 3) == (0, 1 << 61 | 1, false))
        XCTAssertTrue(value.shifted(down: 4) == (0, 1 << 60, true))
        XCTAssertTrue(value.shifted(down: 64) == (0, 1, true))
        XCTAssertTrue(value.shifted(down: 65) == (0, 0, true))
        XCTAssertTrue(value.shifted(down: -64) == (1, 8 << 64, false))
        XCTAssertTrue(value.shifted(down: -3) == (0, 1 << 67 | 64, false))
    }
}

final class RoundedOnceTests: XCTestCase {
    func testTiesGoToEven() {
        let one: UInt128 = 1 << 53 // the doubles from here on are 2 apart
        XCTAssertEqual(roundedOnce(one, exponent: 0, inexact: false), 0x1p53)
        XCTAssertEqual(roundedOnce(one + 1, exponent: 0, inexact: false), 0x1p53)
        XCTAssertEqual(roundedOnce(one + 1, exponent: 0, inexact: true), 0x1p53 + 2, "a little above the tie")
        XCTAssertEqual(roundedOnce(one + 2, exponent: 0, inexact: true), 0x1p53 + 2)
        XCTAssertEqual(roundedOnce(one + 3, exponent: 0, inexact: false), 0x1p53 + 4)
    }

    func testARoundedUpSignificandMayGrowByABit() {
        XCTAssertEqual(roundedOnce((1 << 54) - 1, exponent: -54, inexact: false), 1)
        XCTAssertEqual(roundedOnce(.max, exponent: -128, inexact: true), 1)
    }

    func testExponents() {
        XCTAssertEqual(roundedOnce(0, exponent: 7, inexact: false), 0)
        XCTAssertEqual(roundedOnce(3, exponent: -300, inexact: false), 0x1.8p-299)
        XCTAssertEqual(roundedOnce(1 << 127, exponent: -20, inexact: false), 0x1p107)
    }

    func testRoundsAsTheProcessorDoes() {
        var random = SeededRandom(2)
        for _ in 0..<2_000 {
            let value = random.next() >> (random.next() & 31)
            XCTAssertEqual(roundedOnce(UInt128(value), exponent: 0, inexact: false), Double(value))
            XCTAssertEqual(roundedOnce(UInt128(value) << 64, exponent: -64, inexact: false), Double(value))
        }
    }
}

import XCTest

@testable import FNEEmbedding

/// Each mean and deviation must be the double that is nearest to the exact value, which `ExactColumn` computes.
final class ExactStatisticsTests: XCTestCase {
    private func check(_ column: [Float], file: StaticString = #filePath, line: UInt = #line) throws {
        let statistics = try Statistics(featureCount: 1)
        try statistics.update(column, rowCount: column.count)
        let exact = ExactColumn(column)
        let mean = try statistics.means()[0]
        XCTAssertTrue(exact.meanIsNearest(mean), "mean \(mean) of \(column.prefix(9))", file: file, line: line)
        for ddof in 0..<min(column.count, 2) {
            let std = try statistics.deviations(ddof: ddof)[0]
            XCTAssertTrue(
                exact.deviationIsNearest(std, ddof: ddof), "std \(std), ddof \(ddof), of \(column.prefix(9))",
                file: file, line: line)
        }
    }

    /// The yardstick tells the nearest double from its neighbours.
    func testTheYardstick() {
        let thirds = ExactColumn([0, 0, 1])
        XCTAssertTrue(thirds.meanIsNearest(1.0 / 3))
        XCTAssertFalse(thirds.meanIsNearest((1.0 / 3).nextUp))
        XCTAssertFalse(thirds.meanIsNearest((1.0 / 3).nextDown))
        XCTAssertFalse(thirds.meanIsNearest(-1.0 / 3))
        let four = ExactColumn([1, 2, 3, 4])
        XCTAssertTrue(four.deviationIsNearest(sqrt(1.25), ddof: 0))
        XCTAssertFalse(four.deviationIsNearest(sqrt(1.25).nextUp, ddof: 0))
        XCTAssertFalse(four.deviationIsNearest(sqrt(1.25).nextDown, ddof: 0))
        XCTAssertFalse(four.deviationIsNearest(sqrt(1.25), ddof: 1))
    }

    func testSmallIntegers() throws {
        var random = SeededRandom(4)
        for count in 1...80 {
            try check((0..<count).map { _ in Float(Int.random(in: -9...9, using: &random)) })
        }
    }

    func testFloatsOfAllSizesTogether() throws {
        var random = SeededRandom(5)
        for count in [2, 3, 5, 17, 64, 65, 130] {
            for _ in 0..<6 { try check((0..<count).map { _ in random.finiteFloat() }) }
        }
    }

    func testFloatsOfEachSize() throws {
        var random = SeededRandom(6)
        for exponent in stride(from: UInt32(0), through: 254, by: 5) {
            try check((0..<11).map { _ in random.finiteFloat(exponents: exponent...min(exponent + 2, 254)) })
        }
        try check([.leastNonzeroMagnitude, 0, 0])
        try check([.leastNonzeroMagnitude, .greatestFiniteMagnitude])
        try check([.greatestFiniteMagnitude, -.greatestFiniteMagnitude, .leastNonzeroMagnitude])
    }

    func testCancellation() throws {
        var random = SeededRandom(7)
        for size in [1, 1e3, 1e6, 1e9, 1e20] as [Float] {
            // The mean is about a million times the deviation.
            try check((0..<70).map { _ in size * (1 + Float(Int.random(in: -9...9, using: &random)) * 0x1p-23) })
        }
        // The sums cancel but for a rest.
        for rest in [Float.leastNonzeroMagnitude, 1e-20, 0.1] {
            let values = (0..<32).map { _ in random.finiteFloat() }
            try check((values + values.map { -$0 } + [rest]).shuffled(using: &random))
        }
    }

    func testDeviationsNextToZero() throws {
        for value in [1, -0.1, 1e30, 0x1p-140] as [Float] {
            for count in [2, 3, 10, 100] { // one value is a single step away
                try check([Float](repeating: value, count: count - 1) + [value.nextUp])
            }
        }
    }

    /// Values next to the middle between two doubles. Bits that are more than a hundred places further down decide.
    func testAlmostTies() throws {
        // (2^100 + 2^47) / 4 is a tie, which goes to 2^98. The doubles from there on are 2^46 apart.
        XCTAssertEqual(try Statistics.of(0x1p100, 0x1p47, 0, 0).means(), [0x1p98])
        XCTAssertEqual(try Statistics.of(0x1p100, 0x1p47, 0x1p-149, 0).means(), [0x1p98 + 0x1p46])
        XCTAssertEqual(try Statistics.of(0x1p100, 0x1p47, -0x1p-149, 0).means(), [0x1p98])
        XCTAssertEqual(try Statistics.of(-0x1p100, -0x1p47, -0x1p-149, 0).means(), [-0x1p98 - 0x1p46])

        // The variance is (2 (2^54)^2 + 2 (2^28)^2 + 2 * 2^2) / 8 = (2^53 + 1)^2, and then a very little more.
        let squares: [Float] = [0x1p54, -0x1p54, 0x1p28, -0x1p28, 2, -2]
        XCTAssertEqual(try Statistics.of((squares + [0, 0]).map { [$0] }).deviations(), [0x1p53])
        XCTAssertEqual(try Statistics.of((squares + [0x1p-149, -0x1p-149]).map { [$0] }).deviations(), [0x1p53 + 2])

        // Two values deviate by half their distance, here (2^100 + 2^47) / 2.
        XCTAssertEqual(try Statistics.of(0x1p100, -0x1p47).deviations(), [0x1p99])
        for nearby in [(-0x1p47 as Float).nextUp, (-0x1p47 as Float).nextDown] {
            try check([0x1p100, -0x1p47, 0x1p100, nearby])
        }
        XCTAssertEqual(
            try Statistics.of(0x1p100, -0x1p47, 0x1p100, (-0x1p47 as Float).nextDown).deviations(), [0x1p99 + 0x1p47])
    }
}

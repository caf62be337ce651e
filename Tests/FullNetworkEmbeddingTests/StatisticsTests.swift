import XCTest

@testable import FNEEmbedding

/// Tests known values. `ExactStatisticsTests` checks by exact arithmetic that every value is the nearest double.
final class StatisticsTests: XCTestCase {
    private let greatest = Float.greatestFiniteMagnitude
    private let least = Float.leastNonzeroMagnitude // 2^-149

    func testMeanAndDeviationOfEachFeature() throws {
        let statistics = try Statistics.of([
            [1, 10, -2],
            [2, 20, 2],
            [3, 60, 2],
            [4, 70, -2],
        ])
        XCTAssertEqual(statistics.count, 4)
        XCTAssertEqual(statistics.featureCount, 3)
        var mean = [Double](repeating: .nan, count: 3)
        var std = mean
        try statistics.moments(mean: &mean, std: &std)
        XCTAssertEqual(mean, [2.5, 40, 0])
        XCTAssertEqual(std, [sqrt(1.25), sqrt(650), 2])
    }

    /// 1...n has mean (n + 1) / 2 and variance (n^2 - 1) / 12, which is a square for these n (a Pell equation).
    func testOneToN() throws {
        for (n, std) in [(7, 2.0), (97, 28), (1_351, 390), (18_817, 5_432)] {
            let statistics = try Statistics(featureCount: 1)
            try statistics.update((1...n).map { Float($0) }, rowCount: n)
            XCTAssertEqual(try statistics.means(), [Double(n + 1) / 2])
            XCTAssertEqual(try statistics.deviations(), [std])
        }
    }

    func testSampleDeviation() throws {
        let statistics = try Statistics.of(1, 2, 3, 4, 5)
        XCTAssertEqual(try statistics.deviations(ddof: 0), [sqrt(2)])
        XCTAssertEqual(try statistics.deviations(ddof: 1), [sqrt(2.5)])
        XCTAssertEqual(try statistics.deviations(ddof: 4), [sqrt(10)])
        assertFails(.invalidArgument, saying: "5 rows", "ddof 5") { try statistics.deviations(ddof: 5) }
        assertFails(.invalidArgument) { try statistics.deviations(ddof: -1) }
    }

    func testNoRowsHaveNoMean() throws {
        let empty = try Statistics(featureCount: 2)
        assertFails(.invalidArgument, saying: "0 rows") { try empty.means() }
        try empty.update([], rowCount: 0)
        XCTAssertEqual(empty.count, 0)
    }

    func testOneRow() throws {
        let statistics = try Statistics.of(0.1)
        XCTAssertEqual(try statistics.means(), [Double(Float(0.1))])
        XCTAssertEqual(try statistics.deviations(), [0])
        assertFails(.invalidArgument) { try statistics.deviations(ddof: 1) }
    }

    func testAConstantFeatureHasExactlyZeroDeviation() throws {
        for value in [0.1, -1 / 3, .leastNonzeroMagnitude, 16_777_215, 3.4e38, 0] as [Float] {
            for count in [1, 2, 3, 64, 65, 1_000] {
                let statistics = try Statistics(featureCount: 1)
                try statistics.update([Float](repeating: value, count: count), rowCount: count)
                assertSameBits(try statistics.means(), [Double(value)])
                assertSameBits(try statistics.deviations(), [0])
            }
        }
    }

    func testNegativeZeroIsZero() throws {
        let statistics = try Statistics.of(-0.0, -0.0)
        assertSameBits(try statistics.means(), [0])
        assertSameBits(try statistics.deviations(), [0])
    }

    func testTheLeastFloat() throws {
        let statistics = try Statistics.of(0, least)
        XCTAssertEqual(try statistics.means(), [0x1p-150])
        XCTAssertEqual(try statistics.deviations(), [0x1p-150])
        XCTAssertEqual(try Statistics.of(-least, least).deviations(), [0x1p-149])
    }

    func testTheGreatestFloat() throws {
        XCTAssertEqual(try Statistics.of(greatest, greatest).means(), [Double(greatest)])
        let opposed = try Statistics.of(greatest, -greatest)
        XCTAssertEqual(try opposed.means(), [0])
        XCTAssertEqual(try opposed.deviations(), [Double(greatest)])
        // The rest after a cancellation keeps all its bits.
        XCTAssertEqual(try Statistics.of(greatest, least, -greatest, 0).means(), [0x1p-151])
        XCTAssertEqual(try Statistics.of(greatest, least, -greatest).means(), [0x1p-149 / 3])
    }

    func testDeviationsThatAreMillionsOfTimesSmallerThanTheMean() throws {
        let statistics = try Statistics.of([[1_048_575, 16_777_213, -1_000_001], [1_048_577, 16_777_215, -999_999]])
        XCTAssertEqual(try statistics.means(), [1_048_576, 16_777_214, -1_000_000])
        XCTAssertEqual(try statistics.deviations(), [1, 1, 1])

        // The same with 0.5, many rows, and a third value: the deviation is that of 0, 0, 1.
        let column: [Float] = (0..<3_000).map { 8_000_000 + ($0 % 3 == 0 ? 0.5 : 0) }
        let many = try Statistics(featureCount: 1)
        try many.update(column, rowCount: column.count)
        XCTAssertEqual(try many.means(), [8_000_000 + 1.0 / 6])
        XCTAssertEqual(try many.deviations()[0], sqrt(2) / 6, accuracy: 1e-16)
    }

    // MARK: Carries

    func testNumbersOfRowsAroundACarry() throws {
        for count in [63, 64, 65, 127, 128, 129, 640] {
            let column = [Float](repeating: greatest, count: count)
            let atOnce = try Statistics(featureCount: 1)
            try atOnce.update(column, rowCount: count)
            let oneByOne = try Statistics(featureCount: 1)
            for value in column { try oneByOne.update([value], rowCount: 1) }
            let inBlocks = try Statistics(featureCount: 1)
            for start in stride(from: 0, to: count, by: 50) {
                let block = Array(column[start..<min(start + 50, count)])
                try inBlocks.update(block, rowCount: block.count)
            }
            for statistics in [atOnce, oneByOne, inBlocks] {
                XCTAssertEqual(try statistics.means(), [Double(greatest)])
                XCTAssertEqual(try statistics.deviations(), [0])
                XCTAssertEqual(try statistics.saved(), try atOnce.saved())
            }
        }
    }

    func testAskingBetweenUpdatesChangesNothing() throws {
        let rows = (0..<200).map { [Float($0) * 0.3, -Float($0)] }
        let asked = try Statistics(featureCount: 2)
        for row in rows {
            try asked.add([row])
            _ = try asked.means()
        }
        XCTAssertEqual(try asked.saved(), try Statistics.of(rows).saved())
    }

    // MARK: Order

    func testEveryOrderSplitAndMergeTreeGivesTheSameBits() throws {
        var random = SeededRandom(3)
        var rows: [[Float]] = (0..<300).map { _ in
            [random.finiteFloat(), random.finiteFloat(exponents: 120...130), Float.random(in: -1...1, using: &random)]
        }
        let whole = try Statistics.of(rows)
        let (mean, std, sample) = (try whole.means(), try whole.deviations(), try whole.deviations(ddof: 1))
        let bytes = try whole.saved()

        for _ in 0..<20 {
            rows.shuffle(using: &random)
            // The parts have random sizes, also 0, and each is added in updates of random sizes.
            var parts: [Statistics] = []
            var rest = rows[...]
            while !rest.isEmpty {
                let part = try Statistics(featureCount: 3)
                var size = min(Int.random(in: 0...120, using: &random), rest.count)
                while size > 0 {
                    let step = Int.random(in: 1...size, using: &random)
                    try part.add(rest.prefix(step))
                    rest = rest.dropFirst(step)
                    size -= step
                }
                parts.append(part)
            }
            // Any two parts are merged until one is left.
            while parts.count > 1 {
                parts.shuffle(using: &random)
                let source = parts.removeLast()
                try parts[0].merge(source)
            }
            XCTAssertEqual(parts[0].count, 300)
            assertSameBits(try parts[0].means(), mean)
            assertSameBits(try parts[0].deviations(), std)
            assertSameBits(try parts[0].deviations(ddof: 1), sample)
            XCTAssertEqual(try parts[0].saved(), bytes)
        }
    }

    func testMergeLeavesTheSourceAsItIs() throws {
        let source = try Statistics.of([[1, 2], [3, 4]])
        let before = try source.saved()
        let target = try Statistics.of([[5, 6]])
        try target.merge(source)
        XCTAssertEqual(try source.saved(), before)
        XCTAssertEqual(target.count, 3)
        XCTAssertEqual(try target.means(), [3, 4])
    }

    func testMergingWithItselfDoubles() throws {
        let statistics = try Statistics.of(1, 4)
        try statistics.merge(statistics)
        XCTAssertEqual(try statistics.saved(), try Statistics.of(1, 4, 1, 4).saved())
        XCTAssertEqual(statistics.count, 4)
        for _ in 0..<30 { try statistics.merge(statistics) }
        XCTAssertEqual(statistics.count, 4 << 30)
        XCTAssertEqual(try statistics.means(), [2.5])
        XCTAssertEqual(try statistics.deviations(), [1.5])
    }

    func testMoreThan2To40RowsAreRefused() throws {
        let statistics = try Statistics.of(greatest)
        for _ in 0..<40 { try statistics.merge(statistics) }
        XCTAssertEqual(statistics.count, 1 << 40)
        assertFails(.invalidArgument, saying: "1099511627776") { try statistics.add([[0]]) }
        assertFails(.invalidArgument) { try statistics.merge(statistics) }
        XCTAssertEqual(try statistics.means(), [Double(greatest)])
        XCTAssertEqual(try statistics.deviations(), [0])
    }

    // MARK: Refusals

    func testFeatureCounts() {
        for count in [0, -1, 1 << 31, .max] {
            assertFails(.invalidArgument, saying: "\(count)") { try Statistics(featureCount: count) }
        }
    }

    func testAMergeOfOtherFeatureCountsIsRefused() throws {
        let target = try Statistics.of([[1, 2]])
        let before = try target.saved()
        assertFails(.shapeMismatch, saying: "3", "2") { try target.merge(Statistics(featureCount: 3)) }
        XCTAssertEqual(try target.saved(), before)
    }

    func testNaNAndInfinityAreRefusedAndNoRowIsAdded() throws {
        let statistics = try Statistics.of([[1, 2, 3]])
        let before = try statistics.saved()
        for (bad, written) in [
            (Float.nan, "NaN"), (.signalingNaN, "NaN"), (.infinity, "infinite"), (-.infinity, "infinite"),
        ] {
            for (row, feature) in [(0, 0), (0, 2), (99, 1), (4_999, 2)] {
                var rows = [[Float]](repeating: [7, 8, 9], count: 5_000)
                rows[row][feature] = bad
                rows[4_999][2] = bad // the error names the first one, not this
                assertFails(.notFinite, saying: "row \(row), feature \(feature) is \(written)") {
                    try statistics.add(rows)
                }
                XCTAssertEqual(try statistics.saved(), before)
                XCTAssertEqual(statistics.count, 1)
            }
        }
    }
}

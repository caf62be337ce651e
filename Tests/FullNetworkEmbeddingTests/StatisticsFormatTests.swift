import XCTest

@testable import FNEEmbedding

/// Tests the saved form of statistics:
///
///     magic[8] | version u32 | lanes per feature u32 | features u64 | rows u64 | lanes i64[...] | checksum u64
final class StatisticsFormatTests: XCTestCase {
    /// Appends the FNV-1a checksum of 64 bits, so that an edited state does not count as damaged.
    private func sealed(_ body: [UInt8]) -> [UInt8] {
        var hash: UInt64 = 14_695_981_039_346_656_037
        for byte in body { hash = (hash ^ UInt64(byte)) &* 1_099_511_628_211 }
        return body + little(hash)
    }

    private func little(_ value: UInt64) -> [UInt8] { (0..<8).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) } }

    /// A state with 8 bytes replaced and a right checksum.
    private func edited(_ state: [UInt8], at offset: Int, _ value: UInt64) -> [UInt8] {
        var body = Array(state.dropLast(8))
        body.replaceSubrange(offset..<offset + 8, with: little(value))
        return sealed(body)
    }

    func testTheHeaderIsAsDocumented() throws {
        let bytes = try Statistics.of([[1, 2, 3], [4, 5, 6]]).saved()
        XCTAssertEqual(bytes.count, 32 + 3 * 216 + 8)
        XCTAssertEqual(Array(bytes[..<8]), Array("FNESTAT\n".utf8))
        XCTAssertEqual(Array(bytes[8..<16]), [1, 0, 0, 0, 27, 0, 0, 0])
        XCTAssertEqual(Array(bytes[16..<32]), little(3) + little(2))
        XCTAssertEqual(bytes, sealed(bytes.dropLast(8)))
    }

    func testTheLanesAreFixedPointNumbers() throws {
        // 1 is 2^149 units of 2^-149, which is bit 21 of digit 4. Its square is 2^298 units, which is bit 10 of digit
        // 9.
        let bytes = try Statistics.of(1).saved()
        var lanes = [UInt64](repeating: 0, count: 27)
        lanes[4] = 1 << 21
        lanes[9 + 9] = 1 << 10
        XCTAssertEqual(Array(bytes[32..<32 + 216]), lanes.flatMap(little))
    }

    func testARoundTripKeepsEverything() throws {
        var random = SeededRandom(8)
        let rows = (0..<100).map { _ in (0..<4).map { _ in random.finiteFloat() } }
        let statistics = try Statistics.of(rows)
        let bytes = try statistics.saved()
        let loaded = try Statistics.loaded(bytes)
        XCTAssertEqual(loaded.count, 100)
        XCTAssertEqual(loaded.featureCount, 4)
        XCTAssertEqual(try loaded.saved(), bytes)
        assertSameBits(try loaded.means(), try statistics.means())
        assertSameBits(try loaded.deviations(ddof: 1), try statistics.deviations(ddof: 1))

        // More rows can be added to the loaded statistics.
        try loaded.add([[1, 2, 3, 4]])
        XCTAssertEqual(try loaded.saved(), try Statistics.of(rows + [[1, 2, 3, 4]]).saved())
    }

    func testStatisticsWithoutRowsCanBeSaved() throws {
        let loaded = try Statistics.loaded(Statistics(featureCount: 2).saved())
        XCTAssertEqual(loaded.count, 0)
        try loaded.add([[1, 2]])
        XCTAssertEqual(try loaded.means(), [1, 2])
    }

    func testASmallBufferIsRefused() throws {
        let statistics = try Statistics.of(1)
        var bytes = [UInt8](repeating: 0, count: statistics.savedSize - 1)
        assertFails(.bufferTooSmall, saying: "256", "255") {
            try bytes.withUnsafeMutableBytes { try statistics.save(to: $0) }
        }
    }

    func testEveryTruncationIsRefused() throws {
        let bytes = try Statistics.of([[1, -2], [0.5, 3e38]]).saved()
        for length in bytes.indices {
            assertFails(.invalidData) { try Statistics.loaded(bytes.prefix(length)) }
        }
        assertFails(.invalidData) { try Statistics.loaded(bytes + [0]) }
    }

    func testEveryFlippedByteIsRefused() throws {
        let bytes = try Statistics.of([[1, -2], [0.5, 3e38]]).saved()
        for i in bytes.indices {
            for mask in [1, 0x80, 0xff] as [UInt8] {
                var damaged = bytes
                damaged[i] ^= mask
                assertFails(.invalidData) { try Statistics.loaded(damaged) }
            }
        }
    }

    func testAnotherVersionIsNamed() throws {
        let bytes = try Statistics.of(1).saved()
        assertFails(.invalidData, saying: "version 2", "reads version 1") {
            try Statistics.loaded(edited(bytes, at: 8, 27 << 32 | 2))
        }
    }

    func testStatesThatNoRowsGiveAreRefused() throws {
        let bytes = try Statistics.of([[1], [3]]).saved()
        let (rows, sum, squares) = (24, 32, 32 + 72)
        XCTAssertNoThrow(try Statistics.loaded(edited(bytes, at: rows, 2)))
        // One row cannot have a sum of 4 and a sum of squares of 10, since n S2 < S1^2.
        assertFails(.invalidData, saying: "impossible at feature 0") {
            try Statistics.loaded(edited(bytes, at: rows, 1))
        }
        assertFails(.invalidData) { try Statistics.loaded(edited(bytes, at: rows, 0)) }
        assertFails(.invalidData, saying: "too many rows") { try Statistics.loaded(edited(bytes, at: rows, 1 << 41)) }
        assertFails(.invalidData, saying: "too many rows") { try Statistics.loaded(edited(bytes, at: rows, .max)) }
        assertFails(.invalidData, saying: "no digits") { try Statistics.loaded(edited(bytes, at: sum, 1 << 32)) }
        assertFails(.invalidData, saying: "no digits") { try Statistics.loaded(edited(bytes, at: sum, .max)) }
        assertFails(.invalidData, saying: "no digits") { try Statistics.loaded(edited(bytes, at: sum + 64, 1 << 63)) }
        assertFails(.invalidData) { try Statistics.loaded(edited(bytes, at: squares + 8 * 17, .max)) }
        // The square of one row cannot exceed that of the largest float. A sum of such states would overflow.
        for rows in 0...2 as ClosedRange<UInt64> {
            let large = edited(edited(bytes, at: 24, rows), at: squares + 8 * 17, 1 << 61)
            assertFails(.invalidData, saying: "impossible") { try Statistics.loaded(large) }
        }
        // The header declares more features than there are bytes, up to a product that overflows.
        for features in [0, 2, 1 << 31, 1 << 61, UInt64.max] {
            assertFails(.invalidData) { try Statistics.loaded(edited(bytes, at: 16, features)) }
        }
    }
}

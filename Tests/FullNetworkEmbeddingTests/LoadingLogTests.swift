import XCTest

@testable import FNENetwork

final class LoadingLogTests: XCTestCase {
    func testLinesInAbseilsFormat() {
        let line = "I0000 00:00:1795541991.848469    2452 cpu_feature_guard.cc:227] This binary [x] is optimized."
        XCTAssertEqual(LoadingLog.parse(line)?.level, .info)
        XCTAssertEqual(LoadingLog.parse(line)?.text, "This binary [x] is optimized.")
        XCTAssertEqual(LoadingLog.parse("W0101 00:00:1.0 1 a.cc:1] b")?.level, .warning)
        XCTAssertEqual(LoadingLog.parse("E0101 00:00:1.0 1 a.cc:1]")?.text, "")
    }

    func testOtherLines() {
        for line in ["", "I", "Initializing [1]", "I000x 00:00] text", "I0000 no bracket", "noise"] {
            XCTAssertNil(LoadingLog.parse(line), line)
        }
    }
}

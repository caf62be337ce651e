import XCTest

@testable import FNESupport

final class LogTests: XCTestCase {
    func testMessagesGoToTheSinkOrNowhere() {
        let lines = Locked<[String]>([])
        Log.setSink { level, message in lines.with { $0.append("\(level): \(message)") } }
        Log.write(.warning, "one")
        Log.write(.error, "two")
        Log.setSink(nil)
        Log.write(.error, "three")
        XCTAssertEqual(lines.current, ["warning: one", "error: two"])
    }
}

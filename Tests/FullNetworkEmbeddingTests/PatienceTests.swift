import XCTest

@testable import FNESupport

final class PatienceTests: XCTestCase {
    private func failing(_ times: Int, _ status: FNEError.Status = .ioError, _ patience: Patience = Patience()) -> (
        tries: Int, error: FNEError?
    ) {
        var tries = 0
        do {
            try patience.trying {
                tries += 1
                if tries <= times { throw FNEError(status, "Input/output error") }
            }
            return (tries, nil)
        } catch {
            return (tries, error as? FNEError)
        }
    }

    func testWhatFailsThroughNoFaultOfTheFileIsTriedAgain() {
        XCTAssertEqual(failing(0).tries, 1)
        let outcome = failing(3)
        XCTAssertEqual(outcome.tries, 4)
        XCTAssertNil(outcome.error)
    }

    func testTheTriesAreBounded() {
        let outcome = failing(100)
        XCTAssertEqual(outcome.tries, Patience.pauses.count + 1)
        XCTAssertEqual(outcome.error?.status, .ioError)
        XCTAssertTrue(outcome.error?.message.contains("Input/output error, also after 6 further tries") ?? false)
        XCTAssertLessThan(Patience.pauses.reduce(0, +), 5, "seconds")
        XCTAssertEqual(Patience.pauses, Patience.pauses.sorted(), "the pauses grow")
    }

    func testOtherErrorsAreNotTriedAgain() {
        for status in FNEError.Status.allCases where status != .ioError {
            let outcome = failing(100, status)
            XCTAssertEqual(outcome.tries, 1)
            XCTAssertEqual(outcome.error, FNEError(status, "Input/output error"))
        }
    }

    func testAnErrorIsJudged() {
        let patience = Patience { FNEError($0.status == .fileError ? .ioError : .fileError, "judged") }
        XCTAssertEqual(failing(2, .fileError, patience).tries, 3)
        XCTAssertEqual(failing(2, .ioError, patience).error, FNEError(.fileError, "judged"))
    }

    func testThePausesEnd() {
        let patience = Patience()
        patience.end()
        XCTAssertEqual(failing(100, .ioError, patience).tries, 1)
        XCTAssertEqual(failing(0, .ioError, patience).tries, 1, "what succeeds at once needs no patience")
        let other = Patience()
        let ending = Worker {
            usleep(100_000)
            other.end()
        }
        XCTAssertLessThan(failing(100, .ioError, other).tries, Patience.pauses.count)
        ending?.join()
    }
}

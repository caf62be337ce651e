import Glibc
import XCTest

@testable import FNESupport

final class FloatEnvironmentTests: XCTestCase {
    override func tearDown() { fesetround(FE_TONEAREST) }

    /// 1/3 as the thread rounds it. The nearest float32 is above 1/3.
    private func third() -> Float {
        let numbers = Locked<(Float, Float)>((1, 3)) // which the compiler does not divide
        return numbers.current.0 / numbers.current.1
    }

    func testCallbacksSeeTheHostsRounding() {
        let nearest = third()
        fesetround(FE_DOWNWARD)
        XCTAssertLessThan(third(), nearest)
        FloatEnvironment.standard {
            XCTAssertEqual(third(), nearest)
            XCTAssertEqual(FloatEnvironment.host { third() }, nearest.nextDown)
            XCTAssertEqual(third(), nearest)
        }
        XCTAssertEqual(fegetround(), FE_DOWNWARD)
    }

    func testAnErrorRestoresToo() {
        struct Failure: Error {}
        fesetround(FE_UPWARD)
        XCTAssertThrowsError(try FloatEnvironment.standard { throw Failure() })
        XCTAssertEqual(fegetround(), FE_UPWARD)
    }

    func testAThreadOfTheLibraryRoundsToNearest() throws {
        let nearest = third()
        fesetround(FE_DOWNWARD)
        let found = Locked<[Float]>([])
        let worker = try XCTUnwrap(
            Worker {
                let own = self.third()
                let inCallback = FloatEnvironment.host { self.third() }
                found.with { $0 = [own, inCallback] }
            })
        worker.join()
        XCTAssertEqual(fegetround(), FE_DOWNWARD)
        XCTAssertEqual(found.current, [nearest, nearest])
    }
}

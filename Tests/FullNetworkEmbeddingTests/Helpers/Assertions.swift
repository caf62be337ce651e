import XCTest

@testable import FNESupport

/// Asserts that the body throws an `FNEError` of that status, whose message holds all of the texts.
func assertFails<Result>(
    _ status: FNEError.Status, saying texts: String..., file: StaticString = #filePath, line: UInt = #line,
    _ body: () throws -> Result
) {
    do {
        _ = try body()
        XCTFail("nothing was thrown; expected \(status)", file: file, line: line)
    } catch let error as FNEError {
        XCTAssertEqual(error.status, status, error.message, file: file, line: line)
        for text in texts where !error.message.contains(text) {
            XCTFail("'\(error.message)' does not say '\(text)'", file: file, line: line)
        }
    } catch {
        XCTFail("\(error) is no FNEError", file: file, line: line)
    }
}

/// Asserts that two arrays have the same bits. It tells 0 from -0, and a NaN from a number.
func assertSameBits(_ a: [Double], _ b: [Double], file: StaticString = #filePath, line: UInt = #line) {
    XCTAssertEqual(a.map(\.bitPattern), b.map(\.bitPattern), "\(a) is not \(b)", file: file, line: line)
}

/// The generator SplitMix64, which gives the same numbers in every run.
struct SeededRandom: RandomNumberGenerator {
    private var state: UInt64

    init(_ seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }

    /// A finite float. Every sign, exponent and significand is equally likely.
    mutating func finiteFloat(exponents: ClosedRange<UInt32> = 0...254) -> Float {
        let sign = UInt32.random(in: 0...1, using: &self) << 31
        let exponent = UInt32.random(in: exponents, using: &self) << 23
        return Float(bitPattern: sign | exponent | UInt32.random(in: 0..<1 << 23, using: &self))
    }
}

/// A value that several threads of a test write to.
final class Locked<Value>: @unchecked Sendable {
    private let lock = NSLock()
    private var value: Value

    init(_ value: Value) { self.value = value }

    @discardableResult
    func with<Result>(_ body: (inout Value) throws -> Result) rethrows -> Result {
        lock.lock()
        defer { lock.unlock() }
        return try body(&value)
    }

    var current: Value { with { $0 } }
}

/// The checkout that these tests belong to.
let repositoryRoot = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    .path

import XCTest

@testable import FNEEmbedding

final class DiscretizationTests: XCTestCase {
    /// The code is 1 where z > upper, -1 where z < lower, and else 0. z is a float64, and 0 where std is 0.
    private func documented(_ x: Float, _ mean: Double, _ std: Double, _ lower: Double, _ upper: Double) -> Int8 {
        let z = std == 0 ? 0 : (Double(x) - mean) / std
        if z > upper { return 1 }
        if z < lower { return -1 }
        return 0
    }

    /// fne 1.x runs `codes[z > lower] = 0; codes[z > upper] = 1` in torch, with z in float32. A NaN is not `<=`.
    private func torch(_ x: Float, _ mean: Double, _ std: Double, _ lower: Double, _ upper: Double) -> Int8 {
        let z = (x - Float(mean)) / Float(std)
        if z.isNaN || z > Float(upper) { return 1 }
        if z <= Float(lower) { return -1 }
        return 0
    }

    private func codes(_ discretization: Discretization, _ x: [Float], mean: Double, std: Double) throws -> [Int8] {
        var codes = [Int8](repeating: 99, count: x.count)
        try discretization.apply(x, rows: x.count, features: 1, mean: [mean], std: [std], to: &codes)
        return codes
    }

    // MARK: Known values

    func testDocumentedRules() throws {
        let x: [Float] = [-1, (-0.25 as Float).nextDown, -0.25, 0, 0.1, Float(0.15).nextDown, 0.15, 1]
        // Float(0.15) is 0.1500000059..., above the threshold.
        XCTAssertEqual(try codes(Discretization(), x, mean: 0, std: 1), [-1, -1, 0, 0, 0, 0, 1, 1])
        XCTAssertEqual(try codes(Discretization(), [3, 3.9, 4.6, 5.2, 7], mean: 5, std: 2), [-1, -1, 0, 0, 1])
    }

    func testTorchRules() throws {
        let x: [Float] = [-1, -0.25, (-0.25 as Float).nextUp, 0, 0.15, Float(0.15).nextUp, 1]
        // -0.25 is -1 here, and the threshold is Float(0.15) itself.
        XCTAssertEqual(try codes(Discretization(rules: .torch), x, mean: 0, std: 1), [-1, -1, 0, 0, 0, 1, 1])
    }

    func testAConstantFeature() throws {
        let x: [Float] = [4, 5, 6, -.infinity, .infinity]
        XCTAssertEqual(try codes(Discretization(), x, mean: 5, std: 0), [0, 0, 0, 0, 0])
        // -1 / 0, 0 / 0 = NaN, 1 / 0
        XCTAssertEqual(try codes(Discretization(rules: .torch), x, mean: 5, std: 0), [-1, 1, 1, -1, 1])
    }

    func testThresholdsThatLeaveOneCode() throws {
        let x: [Float] = [-2, 0, 2]
        XCTAssertEqual(try codes(Discretization(lower: -9, upper: 9), x, mean: 0, std: 1), [0, 0, 0])
        XCTAssertEqual(try codes(Discretization(lower: 9, upper: 9), x, mean: 0, std: 1), [-1, -1, -1])
        XCTAssertEqual(try codes(Discretization(lower: -9, upper: -9), x, mean: 0, std: 1), [1, 1, 1])
        XCTAssertEqual(try codes(Discretization(lower: 0, upper: 0), x, mean: 0, std: 1), [-1, 0, 1])
        XCTAssertEqual(try codes(Discretization(lower: 0.5, upper: 0.5), x, mean: 5, std: 0), [-1, -1, -1])
    }

    func testEachFeatureHasItsOwnStatistics() throws {
        var codes = [Int8](repeating: 99, count: 6)
        try Discretization().apply(
            [1, 1, 1, 12, 12, 12], rows: 2, features: 3, mean: [0, 10, 12], std: [1, 5, 100], to: &codes)
        XCTAssertEqual(codes, [1, -1, 0, 1, 1, 0])
    }

    // MARK: Every cut

    func testCodesAreTheRulesOnBothSidesOfEveryCut() throws {
        var random = SeededRandom(9)
        var features: [(mean: Double, std: Double)] = [
            (0, 0), (5, 0), (0.1, 0), (0, 1), (0, .leastNonzeroMagnitude), (1, 1e-300), (1, 1e-45), (0, 1e-38),
            (0, 3e38), (-3e38, 3e38), (1e300, 1), (-1e300, 1), (1e300, 1e300), (0, 1e30), (1e-45, 1e-45),
            (16_777_217, 1e-3), (Double(Float.greatestFiniteMagnitude), 1), (-0.0, 0),
        ]
        for _ in 0..<300 {
            let mean = Double(random.finiteFloat(exponents: 60...190)) * Double.random(in: 1...2, using: &random)
            let size = Double(random.finiteFloat(exponents: 60...190).magnitude)
            let std = size * Double.random(in: 1...2, using: &random)
            features.append((mean, std))
            features.append((mean, mean.magnitude * Double.random(in: 0...3, using: &random)))
        }
        for (rules, formula) in [(Discretization.Rules.documented, documented), (.torch, torch)] {
            for (lower, upper) in [(-0.25, 0.15), (0, 0), (-1e-9, 1e9), (0.3, 0.7)] {
                let discretization = try Discretization(lower: lower, upper: upper, rules: rules)
                for (mean, std) in features where rules == .documented || Float(mean).isFinite && Float(std).isFinite {
                    let (low, high) = discretization.cuts(mean: mean, std: std)
                    var x: [Float] = [0, -0.0, 1, -1, Float(mean), .infinity, -.infinity]
                    x += [.greatestFiniteMagnitude, -.greatestFiniteMagnitude]
                    x += [.leastNonzeroMagnitude, -.leastNonzeroMagnitude]
                    for cut in [low, high] where !cut.isNaN { x += [cut, cut.nextUp, cut.nextDown] }
                    x += (0..<4).map { _ in Float(mean + std * Double.random(in: -2...2, using: &random)) }
                    x.removeAll(where: \.isNaN)
                    let expected = x.map { formula($0, mean, std, lower, upper) }
                    XCTAssertEqual(
                        try codes(discretization, x, mean: mean, std: std), expected,
                        "\(rules), thresholds \(lower) and \(upper), mean \(mean), std \(std), x \(x)")
                    XCTAssertEqual(x.map { discretization.code($0, mean: mean, std: std) }, expected)
                    XCTAssertEqual(x.map { Int8($0 >= high ? 1 : 0) - Int8($0 <= low ? 1 : 0) }, expected)
                }
            }
        }
    }

    func testTheDefaultCuts() throws {
        let documented = try Discretization().cuts(mean: 0, std: 1)
        XCTAssertEqual(documented.low, (-0.25 as Float).nextDown)
        XCTAssertEqual(documented.high, 0.15)
        let torch = try Discretization(rules: .torch).cuts(mean: 0, std: 1)
        XCTAssertEqual(torch.low, -0.25)
        XCTAssertEqual(torch.high, Float(0.15).nextUp)
        let nowhere = try Discretization().cuts(mean: 0, std: 0)
        XCTAssertTrue(nowhere.low.isNaN)
        XCTAssertTrue(nowhere.high.isNaN)
    }

    // MARK: Refusals

    func testThresholdsMustBeOrderedNumbers() throws {
        assertFails(.invalidArgument, saying: "lower 0.2", "upper 0.1") { try Discretization(lower: 0.2, upper: 0.1) }
        assertFails(.invalidArgument) { try Discretization(lower: .nan) }
        assertFails(.invalidArgument) { try Discretization(upper: .nan) }
        assertFails(.invalidArgument) { try Discretization(upper: .infinity) }
        assertFails(.invalidArgument) { try Discretization(lower: -.infinity) }
        XCTAssertEqual(try Discretization().lower, -0.25)
        XCTAssertEqual(try Discretization().upper, 0.15)
        XCTAssertEqual(try Discretization().rules, .documented)
    }

    func testANaNIsNamed() throws {
        var x = [Float](repeating: 1, count: 3 * 4)
        x[3 * 2 + 1] = .nan
        x[3 * 3 + 2] = .nan
        for rules in [Discretization.Rules.documented, .torch] {
            var codes = [Int8](repeating: 99, count: x.count)
            assertFails(.notFinite, saying: "row 2, feature 1") {
                try Discretization(rules: rules).apply(
                    x, rows: 4, features: 3, mean: [0, 0, 0], std: [1, 1, 1], to: &codes)
            }
        }
    }

    func testStatisticsMustBeFiniteAndStdNotNegative() throws {
        for (mean, std) in [(0, -1), (.nan, 1), (.infinity, 1), (0, .nan), (0, .infinity)] as [(Double, Double)] {
            assertFails(.invalidArgument, saying: "feature 1") {
                var codes: [Int8] = [99, 99]
                try Discretization().apply([1, 1], rows: 1, features: 2, mean: [0, mean], std: [1, std], to: &codes)
            }
            assertFails(.invalidArgument, saying: "feature 1") {
                var z: [Double] = [99, 99]
                try standardize([1, 1], rows: 1, features: 2, mean: [0, mean], std: [1, std], to: &z)
            }
        }
    }

    /// In float32 the code would fall where x grows. -infinity / infinity is NaN and so 1, but 0 / infinity is 0.
    func testTorchRulesNeedStatisticsWithinFloat32() throws {
        for (mean, std) in [(0, 5e38), (3.4e38, 1e300), (1e300, 1), (-1e300, 1)] as [(Double, Double)] {
            var code: Int8 = 99
            assertFails(.invalidArgument, saying: "feature 0", "float32") {
                try Discretization(rules: .torch).apply([1], rows: 1, features: 1, mean: [mean], std: [std], to: &code)
            }
            XCTAssertNoThrow(try Discretization().apply([1], rows: 1, features: 1, mean: [mean], std: [std], to: &code))
        }
    }

    // MARK: Standardization

    func testStandardize() throws {
        var z = [Double](repeating: .nan, count: 6)
        try standardize([1, 2, 7, 5, 0, 8], rows: 2, features: 3, mean: [3, 2, 7], std: [2, 0.5, 0], to: &z)
        XCTAssertEqual(z, [-1, 0, 0, 1, -4, 0])
        assertFails(.notFinite, saying: "row 1, feature 0") {
            try standardize([1, .nan], rows: 2, features: 1, mean: [0], std: [1], to: &z)
        }
        try standardize([.infinity, -.infinity], rows: 2, features: 1, mean: [0], std: [1], to: &z)
        XCTAssertEqual(z[..<2], [.infinity, -.infinity])
    }
}

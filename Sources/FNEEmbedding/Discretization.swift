import CKernels
import FNESupport

/// How standardized features become the codes -1, 0 and 1. A standardized feature is z = (x - mean) / std.
public struct Discretization: Equatable, Sendable {
    /// The rules for values at a threshold, for features whose std is 0, and for the arithmetic.
    public enum Rules: Int32, Sendable, CaseIterable {
        /// The rules of the original function's documentation. z is a float64, and 0 where std is 0. The code is 1
        /// where z > upper, -1 where z < lower, and else 0.
        case documented = 0
        /// The rules of `fne` 1.x. z is a float32, also where std is 0. The code is 1 where z > upper or z is NaN, -1
        /// where z <= lower, and else 0.
        case torch = 1
    }

    /// The code of all features of an image that could not be embedded: -128.
    public static let skippedCode = Int8.min

    /// The threshold below which a standardized feature becomes -1.
    public let lower: Double
    /// The threshold above which a standardized feature becomes 1.
    public let upper: Double
    /// The rules for values at a threshold, and for features whose std is 0.
    public let rules: Rules

    /// The thresholds of the original method, unless others are given.
    ///
    /// - Throws: `.invalidArgument` unless both thresholds are finite and lower is at most upper.
    public init(lower: Double = -0.25, upper: Double = 0.15, rules: Rules = .documented) throws {
        guard lower.isFinite, upper.isFinite, lower <= upper else {
            throw FNEError(
                .invalidArgument,
                "the thresholds are lower \(lower) and upper \(upper). Both must be finite, "
                    + "and lower must not exceed upper")
        }
        self.lower = lower
        self.upper = upper
        self.rules = rules
    }

    /// The code of a value. The cuts are found with this formula.
    func code(_ x: Float, mean: Double, std: Double) -> Int8 {
        switch rules {
        case .documented:
            let z = std == 0 ? 0 : (Double(x) - mean) / std
            return z > upper ? 1 : z < lower ? -1 : 0
        case .torch:
            let z = (x - Float(mean)) / Float(std)
            return z <= Float(lower) ? -1 : z <= Float(upper) ? 0 : 1
        }
    }

    /// The cuts of a feature. Its code is 1 where x >= high, and -1 where x <= low. NaN stands for a cut that no x
    /// reaches. The cuts give exactly the codes of the formula, because a code never falls when x grows.
    func cuts(mean: Double, std: Double) -> (low: Float, high: Float) {
        let high = Self.first(near: mean + upper * std) { code($0, mean: mean, std: std) == 1 }
        let aboveLow = Self.first(near: mean + lower * std) { code($0, mean: mean, std: std) != -1 }
        let low: Float =
            switch aboveLow {
            case nil: .infinity
            case let first?: first == -.infinity ? .nan : first.nextDown
            }
        return (low, high ?? .nan)
    }

    /// The least float for which a condition holds; nil where it holds for none. The condition must hold for all
    /// greater floats too. The infinities count as floats.
    ///
    /// - Parameter guess: a number near the result; the search is short where it is within two floats of it
    private static func first(near guess: Double, _ holds: (Float) -> Bool) -> Float? {
        // Floats get numbers in the order of their size. The numbers are -0x7f800000 to 0x7f800000, and 0 is zero's.
        func float(_ number: Int32) -> Float {
            number >= 0
                ? Float(bitPattern: UInt32(number)) : -Float(bitPattern: UInt32(-number))
        }
        var low: Int32 = -0x7f80_0000
        var high: Int32 = 0x7f80_0000
        guard holds(float(high)) else { return nil }
        let near = Float(guess)
        if near.isFinite {
            let magnitude = Int32(bitPattern: near.magnitude.bitPattern)
            let number = near < 0 ? -magnitude : magnitude
            let (below, above) = (max(number - 2, low), min(number + 2, high))
            if holds(float(above)) { high = above }
            if !holds(float(below)) { low = below + 1 }
        }
        while low < high {
            let middle = Int32((Int64(low) + Int64(high)) >> 1)
            if holds(float(middle)) { high = middle } else { low = middle + 1 }
        }
        return float(low)
    }

    /// Standardizes rows and discretizes them.
    ///
    /// - Parameters:
    ///   - x: float32 [rows, features]
    ///   - mean, std: float64 [features], finite; std is at least 0
    ///   - codes: receives int8 [rows, features]; its content after an error is unspecified
    /// - Throws: `.notFinite` for a NaN in x, with its row and feature; `.invalidArgument` for a bad mean or std.
    public func apply(
        _ x: UnsafePointer<Float>, rows: Int, features: Int, mean: UnsafePointer<Double>, std: UnsafePointer<Double>,
        to codes: UnsafeMutablePointer<Int8>
    ) throws {
        try Discretizer(self, features: features, mean: mean, std: std).apply(x, rows: rows, to: codes)
    }
}

/// A discretization together with the statistics of F features. It can be applied to any number of rows, by any number
/// of threads at once.
public final class Discretizer: Sendable {
    /// F, the number of features in a row.
    public let featureCount: Int
    /// float32 [2, stride]: for each feature the cut at which it becomes -1, then for each the cut at which it becomes
    /// 1.
    private let cuts: Bytes
    /// F, rounded up to whole cache lines.
    private let stride: Int

    /// Finds the cuts of each feature.
    ///
    /// - Parameter mean, std: float64 [features], finite; std is at least 0
    /// - Throws: `.invalidArgument` for a bad mean or std; `.outOfMemory`.
    public init(
        _ discretization: Discretization, features: Int, mean: UnsafePointer<Double>, std: UnsafePointer<Double>
    ) throws {
        try checkStatistics(features: features, mean: mean, std: std)
        if discretization.rules == .torch {
            for feature in 0..<features where !Float(mean[feature]).isFinite || !Float(std[feature]).isFinite {
                throw FNEError(.invalidArgument, "the statistics of feature \(feature) are beyond the range of float32")
            }
        }
        featureCount = features
        stride = try checkedProduct((features + 15) / 16, 16, of: "features")
        cuts = try Bytes(count: checkedProduct(2, stride, MemoryLayout<Float>.size, of: "features"))
        cuts.withNumbers(of: Float.self) { low in
            let high = low + stride
            for feature in 0..<features {
                (low[feature], high[feature]) = discretization.cuts(mean: mean[feature], std: std[feature])
            }
        }
    }

    /// Standardizes rows and discretizes them.
    ///
    /// - Parameters:
    ///   - x: float32 [rows, F]
    ///   - codes: receives int8 [rows, F]; its content after an error is unspecified
    /// - Throws: `.notFinite` for a NaN in x, with its row and feature.
    public func apply(_ x: UnsafePointer<Float>, rows: Int, to codes: UnsafeMutablePointer<Int8>) throws {
        let values = try checkedProduct(rows, featureCount, of: "x")
        let bad = cuts.withNumbers(of: Float.self) { low in
            ck_ternarize(x, rows, featureCount, low, low + stride, codes)
        }
        guard bad == values else { throw notANumber(at: bad, features: featureCount) }
    }
}

/// Standardizes rows: z = (x - mean) / std, in float64. z is 0 where std is 0.
///
/// - Parameters:
///   - x: float32 [rows, features]
///   - mean, std: float64 [features], finite; std is at least 0
///   - z: receives float64 [rows, features]
/// - Throws: `.notFinite` for a NaN in x, with its row and feature; `.invalidArgument` for a bad mean or std.
public func standardize(
    _ x: UnsafePointer<Float>, rows: Int, features: Int, mean: UnsafePointer<Double>, std: UnsafePointer<Double>,
    to z: UnsafeMutablePointer<Double>
) throws {
    try checkStatistics(features: features, mean: mean, std: std)
    let values = try checkedProduct(rows, features, of: "x")
    let bad = ck_first_nan(x, values)
    guard bad == values else { throw notANumber(at: bad, features: features) }
    ck_standardize(x, rows, features, mean, std, z)
}

/// Divides each row by its Euclidean norm: y = x / max(norm, 1e-12).
///
/// - Parameters:
///   - x: float32 [rows, features]
///   - y: receives float32 [rows, features]; may be x
/// - Throws: `.notFinite` for NaN or infinity in x, with its row and feature.
public func l2Normalize(_ x: UnsafePointer<Float>, rows: Int, features: Int, to y: UnsafeMutablePointer<Float>) throws {
    let values = try checkedProduct(rows, features, of: "x")
    let bad = ck_first_not_finite(x, values)
    guard bad == values else {
        throw FNEError(
            .notFinite, "row \(bad / features), feature \(bad % features) is \(x[bad].isNaN ? "NaN" : "infinite")")
    }
    ck_l2_normalize(x, rows, features, y)
}

private func notANumber(at value: Int, features: Int) -> FNEError {
    FNEError(.notFinite, "row \(value / features), feature \(value % features) is NaN")
}

private func checkStatistics(features: Int, mean: UnsafePointer<Double>, std: UnsafePointer<Double>) throws {
    for feature in 0..<features {
        guard mean[feature].isFinite, std[feature].isFinite, std[feature] >= 0 else {
            throw FNEError(
                .invalidArgument,
                "the statistics of feature \(feature) are mean \(mean[feature]) and std \(std[feature]); "
                    + "both must be finite and std at least 0")
        }
    }
}

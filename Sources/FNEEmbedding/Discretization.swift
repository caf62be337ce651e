import CKernels
import FNESupport

/// The discretization of standardized features to -1, 0, 1.
public struct Discretization: Equatable, Sendable {
    /// What holds at the thresholds and where std is 0.
    public enum Rules: Int32, Sendable, CaseIterable {
        /// z in float64, 0 where std is 0; z > upper is 1, z < lower is -1, else 0. The documented function's.
        case documented = 0
        /// z in float32, also where std is 0; z > upper or NaN is 1, z <= lower is -1, else 0. Those of `fne` 1.x.
        case torch = 1
    }

    /// What stands in the codes of an image that could not be embedded.
    public static let skippedCode = Int8.min

    /// Below it is -1, above upper 1, else 0.
    public let lower: Double
    public let upper: Double
    public let rules: Rules

    /// - Throws: `.invalidArgument` unless both are finite and lower is at most upper.
    public init(lower: Double = -0.25, upper: Double = 0.15, rules: Rules = .documented) throws {
        guard lower.isFinite, upper.isFinite, lower <= upper else {
            throw FNEError(
                .invalidArgument, "the thresholds are lower \(lower) and upper \(upper); lower must not exceed upper")
        }
        self.lower = lower
        self.upper = upper
        self.rules = rules
    }

    /// The code of a value: the very formula that the cuts are found with.
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

    /// The cuts of a feature: a code is 1 where x >= high and -1 where x <= low. NaN stands for "nowhere". Exact, since
    /// the code does not fall when x grows.
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

    /// The least float, infinities included, for which a condition holds that holds for all greater ones.
    ///
    /// - Parameter guess: where it is to be expected; a few steps from there are tried before all floats are bisected
    private static func first(near guess: Double, _ holds: (Float) -> Bool) -> Float? {
        // Floats in order of size: the numbers -0x7f800000 to 0x7f800000, 0 being zero.
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

    /// Standardizes and discretizes rows.
    ///
    /// - Parameters:
    ///   - x: float32 [rows, features]
    ///   - mean, std: float64 [features], finite; std at least 0
    ///   - codes: receives int8 [rows, features]; what is in it after an error is unspecified
    /// - Throws: `.notFinite` for a NaN in x, naming row and feature; `.invalidArgument` for a bad mean or std.
    public func apply(
        _ x: UnsafePointer<Float>, rows: Int, features: Int, mean: UnsafePointer<Double>, std: UnsafePointer<Double>,
        to codes: UnsafeMutablePointer<Int8>
    ) throws {
        try Discretizer(self, features: features, mean: mean, std: std).apply(x, rows: rows, to: codes)
    }
}

/// A discretization with the statistics of F features, ready to be applied to any number of rows by any number of
/// threads.
public final class Discretizer: Sendable {
    /// F.
    public let featureCount: Int
    /// float32 [2, stride]: where a feature becomes -1 and where it becomes 1.
    private let cuts: Bytes
    /// F, rounded up to a whole cache line.
    private let stride: Int

    /// - Parameter mean, std: float64 [features], finite; std at least 0
    /// - Throws: `.invalidArgument` for a bad mean or std.
    public init(
        _ discretization: Discretization, features: Int, mean: UnsafePointer<Double>, std: UnsafePointer<Double>
    ) throws {
        try checkStatistics(features: features, mean: mean, std: std)
        if discretization.rules == .torch {
            for feature in 0..<features where !Float(mean[feature]).isFinite || !Float(std[feature]).isFinite {
                throw FNEError(.invalidArgument, "the statistics of feature \(feature) are beyond float32")
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

    /// - Parameters:
    ///   - x: float32 [rows, F]
    ///   - codes: receives int8 [rows, F]; what is in it after an error is unspecified
    /// - Throws: `.notFinite` for a NaN in x, naming row and feature.
    public func apply(_ x: UnsafePointer<Float>, rows: Int, to codes: UnsafeMutablePointer<Int8>) throws {
        let values = try checkedProduct(rows, featureCount, of: "x")
        let bad = cuts.withNumbers(of: Float.self) { low in
            ck_ternarize(x, rows, featureCount, low, low + stride, codes)
        }
        guard bad == values else { throw notANumber(at: bad, features: featureCount) }
    }
}

/// z = (x - mean) / std in float64, 0 where std is 0; of float32 [rows, features].
///
/// - Throws: as `Discretization.apply`.
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

/// Each row over its Euclidean norm, y = x / max(norm, 1e-12); of float32 [rows, features]. y may be x.
///
/// - Throws: `.notFinite` for NaN or infinity in x, naming row and feature.
public func l2Normalize(_ x: UnsafePointer<Float>, rows: Int, features: Int, to y: UnsafeMutablePointer<Float>) throws {
    let values = try checkedProduct(rows, features, of: "x")
    let bad = ck_first_not_finite(x, values)
    guard bad == values else {
        throw FNEError(.notFinite, "row \(bad / features), feature \(bad % features) is \(x[bad].isNaN ? "NaN" : "infinite")")
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

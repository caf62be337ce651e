import CKernels
import FNESupport

/// A mean code m, in a form that packed codes are multiplied with exactly.
///
/// Each value of m is rounded to a multiple of 2^-40. Its bits are then 41 ternary codes of their own, one for each
/// weight from 2^-40 to 1. So a product with m is a weighted sum of dot products of packed codes, which are integers.
/// Neither the order of the additions nor the processor changes it.
struct MeanCode {
    private let planes: Bytes // [weights, 2, words]
    private let words: Int
    /// The number of weights.
    let weights: Int
    /// The smallest weight.
    let unit: Double
    /// What centred comparisons need of m, beside the products of rows with it.
    let numbers: Numbers

    struct Numbers: Sendable {
        /// m.m.
        let square: Double
        /// A code whose squared distance to m is at most this counts as m itself.
        let nearest: Double

        /// The norm of c - m, by c.m and the number of features of c that are not 0. It is 0 where it is so small that
        /// rounding would show in it.
        func norm(_ offset: Double, nonzero: Double) -> Double {
            let squared = dot(nonzero, offset, offset)
            return squared > nearest ? squared.squareRoot() : 0
        }

        /// The dot product of two codes less m, by that of the codes and by their products with m.
        func dot(_ dot: Double, _ a: Double, _ b: Double) -> Double { dot - a - b + square }
    }

    /// - Parameter mean: float32 [features]
    /// - Throws: `.notFinite`; `.invalidArgument` for a value beyond -1 and 1; `.outOfMemory`.
    init(_ mean: UnsafePointer<Float>, features: Int) throws {
        if let place = (0..<features).first(where: { !(abs(mean[$0]) <= 1) }) {
            throw FNEError(
                mean[place].isFinite ? .invalidArgument : .notFinite,
                "the mean of feature \(place) is \(mean[place]); the mean of codes is -1 to 1")
        }
        // Sums of so many values fit into 64 bits. Only codes of 2^22 features and more have fewer weights.
        let bits = min(40, features.leadingZeroBitCount - 2)
        words = (features + 63) / 64
        weights = bits + 1
        unit = Double(sign: .plus, exponent: -bits, significand: 1)
        planes = try Bytes(zeros: checkedProduct(weights, 2 * words, MemoryLayout<UInt64>.size, of: "the mean"))
        var square: UInt128 = 0
        planes.withNumbers(of: UInt64.self) { [words, unit] planes in
            for f in 0..<features {
                var rest = UInt64((Double(abs(mean[f])) / unit).rounded())
                square += UInt128(rest) * UInt128(rest)
                let bit: UInt64 = 1 << UInt64(f % 64)
                while rest != 0 {
                    let plane = planes + rest.trailingZeroBitCount * 2 * words + f / 64
                    plane[0] |= bit
                    if mean[f] < 0 { plane[words] |= bit }
                    rest &= rest - 1
                }
            }
        }
        numbers = Numbers(square: Double(square) * unit * unit, nearest: Double(features) * 0x1p-30)
    }

    /// Lends the codes of the weights, the smallest weight first.
    func withPlanes<Result>(_ body: (UnsafePointer<UInt64>) throws -> Result) rethrows -> Result {
        try planes.withNumbers(of: UInt64.self) { try body($0) }
    }
}

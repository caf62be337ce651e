/// A signed integer of any width, for the exact sums. It has only the operations that the statistics need.
struct WideInteger {
    /// The magnitude in 32-bit digits, lowest first, without leading zeros.
    private(set) var digits: [UInt32]
    private(set) var isNegative: Bool

    private init(digits: [UInt32], isNegative: Bool) {
        self.digits = digits
        while self.digits.last == 0 { self.digits.removeLast() }
        self.isNegative = isNegative && !self.digits.isEmpty
    }

    /// The number that lanes hold. A lane is a digit 0 to 2^32 - 1. The last lane is signed and has 64 bits.
    init(lanes: UnsafeBufferPointer<Int64>) {
        var digits: [UInt32] = []
        digits.reserveCapacity(lanes.count + 1)
        let isNegative = (lanes.last ?? 0) < 0
        var carry: Int64 = 0 // a negated digit borrows from the next one
        for (i, lane) in lanes.enumerated() {
            let value = (isNegative ? 0 &- lane : lane) &+ carry
            digits.append(UInt32(truncatingIfNeeded: value))
            carry = value >> 32
            if i == lanes.count - 1 { digits.append(UInt32(truncatingIfNeeded: carry)) }
        }
        self.init(digits: digits, isNegative: isNegative)
    }

    var isZero: Bool { digits.isEmpty }

    var bitCount: Int { digits.last.map { digits.count * 32 - $0.leadingZeroBitCount } ?? 0 }

    static func * (a: WideInteger, b: WideInteger) -> WideInteger {
        var product = [UInt32](repeating: 0, count: a.digits.count + b.digits.count)
        for (i, x) in a.digits.enumerated() {
            var carry: UInt64 = 0
            for (j, y) in b.digits.enumerated() {
                let sum = UInt64(x) * UInt64(y) + UInt64(product[i + j]) + carry // at most 2^64 - 1
                product[i + j] = UInt32(truncatingIfNeeded: sum)
                carry = sum >> 32
            }
            product[i + b.digits.count] = UInt32(truncatingIfNeeded: carry)
        }
        return WideInteger(digits: product, isNegative: a.isNegative != b.isNegative)
    }

    init(_ value: UInt64) {
        self.init(digits: [UInt32(truncatingIfNeeded: value), UInt32(value >> 32)], isNegative: false)
    }

    /// a - b, for two numbers that are not negative. a must be at least b.
    static func difference(_ a: WideInteger, _ b: WideInteger) -> WideInteger {
        var result = a.digits
        var borrow: Int64 = 0
        for i in result.indices {
            let value = Int64(result[i]) - (i < b.digits.count ? Int64(b.digits[i]) : 0) + borrow
            result[i] = UInt32(truncatingIfNeeded: value)
            borrow = value >> 32
        }
        return WideInteger(digits: result, isNegative: false)
    }

    /// The magnitude divided by 2^shift, rounded down, and whether any bit that is not 0 was cut off. A negative shift
    /// multiplies. The result must fit, so `bitCount - shift` may be at most 256.
    func shifted(down shift: Int) -> (high: UInt128, low: UInt128, inexact: Bool) {
        func digit(_ bit: Int) -> UInt32 { // the 32 bits from a bit's position on
            let wordIndex = bit >> 5 // rounds down, also for negative positions
            let offset = UInt64(bit & 31)
            func word(_ i: Int) -> UInt64 { digits.indices.contains(i) ? UInt64(digits[i]) : 0 }
            return UInt32(truncatingIfNeeded: (word(wordIndex) | word(wordIndex + 1) << 32) >> offset)
        }
        var halves: [UInt128] = [0, 0]
        for i in 0..<8 { halves[i >> 2] |= UInt128(digit(shift + 32 * i)) << UInt128(32 * (i & 3)) }
        var inexact = false
        if shift > 0 {
            for i in 0..<min(shift >> 5, digits.count) where digits[i] != 0 { inexact = true }
            if shift >> 5 < digits.count, digits[shift >> 5] & ((1 << UInt32(shift & 31)) - 1) != 0 { inexact = true }
        }
        return (halves[1], halves[0], inexact)
    }
}

/// mantissa * 2^exponent, rounded once to the nearest double, ties to even. The result must be a normal number.
///
/// - Parameter inexact: whether the exact number has more bits, which are not 0, below the mantissa
func roundedOnce(_ mantissa: UInt128, exponent: Int, inexact: Bool) -> Double {
    guard mantissa != 0 else { return 0 }
    let width = 128 - mantissa.leadingZeroBitCount
    guard width > 53 else { return Double(sign: .plus, exponent: exponent, significand: Double(UInt64(mantissa))) }
    let cut = UInt128(width - 53)
    var kept = UInt64(mantissa >> cut)
    let rest = mantissa & ((1 << cut) - 1)
    let half: UInt128 = 1 << (cut - 1)
    if rest > half || (rest == half && (inexact || kept & 1 == 1)) { kept += 1 }
    return Double(sign: .plus, exponent: exponent + width - 53, significand: Double(kept))
}

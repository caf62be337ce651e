/// A natural number of any size, by which the exact statistics are tested. It shares nothing with the library's
/// `WideInteger`. Its digits and algorithms are others.
struct Natural: Comparable {
    /// The digits, lowest first, without leading zeros.
    private var digits: [UInt16] = []

    init(_ value: UInt64) {
        self.init((0..<4).map { UInt16(truncatingIfNeeded: value >> (16 * UInt64($0))) })
    }

    private init(_ digits: [UInt16]) {
        self.digits = digits
        while self.digits.last == 0 { self.digits.removeLast() }
    }

    static func + (a: Natural, b: Natural) -> Natural {
        var sum: [UInt16] = []
        var carry: UInt32 = 0
        for i in 0...max(a.digits.count, b.digits.count) {
            let digit = carry + UInt32(a.digit(i)) + UInt32(b.digit(i))
            sum.append(UInt16(truncatingIfNeeded: digit))
            carry = digit >> 16
        }
        return Natural(sum)
    }

    /// a - b, where a >= b.
    static func - (a: Natural, b: Natural) -> Natural {
        precondition(a >= b)
        var difference: [UInt16] = []
        var borrow: Int32 = 0
        for i in a.digits.indices {
            var digit = Int32(a.digit(i)) - Int32(b.digit(i)) - borrow
            borrow = digit < 0 ? 1 : 0
            if digit < 0 { digit += 1 << 16 }
            difference.append(UInt16(digit))
        }
        return Natural(difference)
    }

    static func * (a: Natural, b: Natural) -> Natural {
        // Column by column, as on paper.
        var product: [UInt16] = []
        var column: UInt64 = 0
        for k in 0..<(a.digits.count + b.digits.count) {
            for i in max(0, k - b.digits.count + 1)..<min(k + 1, a.digits.count) where k - i < b.digits.count {
                column += UInt64(a.digits[i]) * UInt64(b.digits[k - i])
            }
            product.append(UInt16(truncatingIfNeeded: column))
            column >>= 16
        }
        return Natural(product)
    }

    static func << (a: Natural, places: Int) -> Natural {
        Natural([UInt16](repeating: 0, count: places / 16) + a.digits) * Natural(1 << UInt64(places % 16))
    }

    static func < (a: Natural, b: Natural) -> Bool {
        if a.digits.count != b.digits.count { return a.digits.count < b.digits.count }
        for (x, y) in zip(a.digits.reversed(), b.digits.reversed()) where x != y { return x < y }
        return false
    }

    var isZero: Bool { digits.isEmpty }

    private func digit(_ i: Int) -> UInt16 { i < digits.count ? digits[i] : 0 }
}

/// number * 2^exponent, which is not negative. It holds floats, doubles and the middles between doubles exactly.
struct Dyadic: Comparable {
    let number: Natural
    let exponent: Int

    init(_ number: Natural, _ exponent: Int) {
        self.number = number
        self.exponent = exponent
    }

    static func * (a: Dyadic, b: Dyadic) -> Dyadic { Dyadic(a.number * b.number, a.exponent + b.exponent) }

    static func * (a: Dyadic, b: Natural) -> Dyadic { Dyadic(a.number * b, a.exponent) }

    private func at(_ lower: Int) -> Natural { number << (exponent - lower) }

    static func < (a: Dyadic, b: Dyadic) -> Bool {
        let lower = min(a.exponent, b.exponent)
        return a.at(lower) < b.at(lower)
    }

    static func == (a: Dyadic, b: Dyadic) -> Bool { !(a < b) && !(b < a) }
}

/// The exact sums of a column of floats. They tell which doubles are nearest to the mean and to the standard deviation,
/// without a division or a root. A double is the nearest to a value when the value lies between the middles to the
/// neighbouring doubles.
struct ExactColumn {
    private let count: Natural
    private let sumIsNegative: Bool
    private let sum: Natural // in 2^-149
    private let squares: Natural // in 2^-298
    private let rows: Int

    init(_ values: [Float]) {
        var positive = Natural(0)
        var negative = Natural(0)
        var squares = Natural(0)
        for value in values {
            let units = Self.units(value)
            if value < 0 { negative = negative + units } else { positive = positive + units }
            squares = squares + units * units
        }
        sumIsNegative = positive < negative
        sum = sumIsNegative ? negative - positive : positive - negative
        self.squares = squares
        count = Natural(UInt64(values.count))
        rows = values.count
    }

    /// A finite float's magnitude in units of 2^-149, the least float.
    private static func units(_ value: Float) -> Natural {
        guard value != 0 else { return Natural(0) }
        let significand = UInt64(value.significandBitPattern) | (value.isNormal ? 1 << 23 : 0)
        return Natural(significand) << (value.isNormal ? Int(value.exponentBitPattern) - 1 : 0)
    }

    func meanIsNearest(_ mean: Double) -> Bool {
        if sum.isZero { return mean.bitPattern == 0 }
        guard mean != 0, (mean < 0) == sumIsNegative else { return false }
        let exact = Dyadic(sum, -149) // n times the mean
        let (below, above) = Self.middles(mean.magnitude)
        return Self.isWithin(exact, below * count, above * count, isEven: mean.significandBitPattern & 1 == 0)
    }

    func deviationIsNearest(_ deviation: Double, ddof: Int) -> Bool {
        let spread = count * squares - sum * sum
        if spread.isZero { return deviation.bitPattern == 0 }
        guard deviation > 0 else { return false }
        let exact = Dyadic(spread, -298) // n (n - ddof) times the variance
        let divisor = count * Natural(UInt64(rows - ddof))
        let (below, above) = Self.middles(deviation)
        return Self.isWithin(
            exact, below * below * divisor, above * above * divisor, isEven: deviation.significandBitPattern & 1 == 0)
    }

    /// A tie goes to the double whose last bit is 0.
    private static func isWithin(_ exact: Dyadic, _ below: Dyadic, _ above: Dyadic, isEven: Bool) -> Bool {
        isEven ? below <= exact && exact <= above : below < exact && exact < above
    }

    /// The middles between a positive normal double and its two neighbours.
    private static func middles(_ value: Double) -> (below: Dyadic, above: Dyadic) {
        let significand = value.significandBitPattern | 1 << 52
        let exponent = Int(value.exponentBitPattern) - 1075
        let isPower = value.significandBitPattern == 0 // the doubles below are twice as dense
        return (
            isPower
                ? Dyadic(Natural(4 * significand - 1), exponent - 2)
                : Dyadic(Natural(2 * significand - 1), exponent - 1),
            Dyadic(Natural(2 * significand + 1), exponent - 1)
        )
    }
}

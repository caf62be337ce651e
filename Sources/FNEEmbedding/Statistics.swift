import CKernels
import FNESupport

/// Count, sum and sum of squares of F features, without rounding: mean and standard deviation are the same bits whatever
/// the order of the rows, the batches, the merges and the machine. Used by one thread at a time.
///
/// A sum is held as a fixed-point number that fits every float32 (see CKernels), 216 bytes a feature in all.
public final class Statistics {
    /// F.
    public let featureCount: Int
    /// Rows seen.
    public private(set) var count = 0

    private let lanes: Bytes
    private var rowsSinceCarry = 0

    /// Rows that the sums are sure to hold.
    private static let maximumCount = 1 << 40

    /// - Throws: `.invalidArgument` unless featureCount is 1 to 2^31 - 1; `.outOfMemory`.
    public init(featureCount: Int) throws {
        guard featureCount >= 1, featureCount <= Int(Int32.max) else {
            throw FNEError(.invalidArgument, "feature_count is \(featureCount); it must be 1 to \(Int32.max)")
        }
        self.featureCount = featureCount
        lanes = try Bytes(zeros: featureCount * Int(CK_LANES) * MemoryLayout<Int64>.size)
    }

    private func withLanes<Result>(_ body: (UnsafeMutablePointer<Int64>) throws -> Result) rethrows -> Result {
        try lanes.withNumbers(of: Int64.self, body)
    }

    private var laneCount: Int { featureCount * Int(CK_LANES) }

    /// Adds rows, float32 [rowCount, featureCount]. No row is added when one is refused.
    ///
    /// - Throws: `.notFinite`, naming row and feature.
    public func update(_ rows: UnsafePointer<Float>, rowCount: Int) throws {
        let values = try checkedProduct(rowCount, featureCount, of: "rows")
        let bad = ck_first_not_finite(rows, values)
        guard bad == values else {
            throw FNEError(
                .notFinite,
                "row \(bad / featureCount), feature \(bad % featureCount) is \(rows[bad].isNaN ? "NaN" : "infinite"); statistics need finite numbers")
        }
        try grow(by: rowCount)
        var done = 0
        while done < rowCount {
            if rowsSinceCarry == Int(CK_ROWS_PER_CARRY) { carry() }
            let block = min(rowCount - done, Int(CK_ROWS_PER_CARRY) - rowsSinceCarry)
            add(rows + done * featureCount, count: block)
            rowsSinceCarry += block
            done += block
        }
    }

    /// Adds at most as many rows as may stand between two carries: the features shared out to threads where that is worth
    /// their start.
    private func add(_ rows: UnsafePointer<Float>, count: Int) {
        let parts = min(Int(ck_processor_count()), count * featureCount / Self.valuesWorthAThread, Self.maximumThreads)
        withLanes { lanes in
            guard parts > 1 else {
                ck_exact_add(lanes, rows, count, featureCount, featureCount)
                return
            }
            let input = UncheckedPointers(lanes: lanes, rows: rows)
            let work = { [featureCount] (part: Int) in
                let features = featureCount * part / parts..<featureCount * (part + 1) / parts
                ck_exact_add(
                    input.lanes + features.lowerBound * Int(CK_LANES), input.rows + features.lowerBound, count,
                    featureCount, features.count)
            }
            let workers = (1..<parts).map { part in (part, Worker { work(part) }) }
            work(0)
            for (part, worker) in workers {
                if let worker { worker.join() } else { work(part) } // the system gave no thread
            }
        }
    }

    private struct UncheckedPointers: @unchecked Sendable {
        let lanes: UnsafeMutablePointer<Int64>
        let rows: UnsafePointer<Float>
    }

    /// About a millisecond's work.
    private static let valuesWorthAThread = 1 << 18
    private static let maximumThreads = 16

    /// Adds what `other` has seen. Merging an object with itself doubles it.
    ///
    /// - Throws: `.shapeMismatch` when the feature counts differ.
    public func merge(_ other: Statistics) throws {
        guard other.featureCount == featureCount else {
            throw FNEError(
                .shapeMismatch, "statistics of \(other.featureCount) features cannot be merged into \(featureCount)")
        }
        try grow(by: other.count)
        carry()
        other.carry()
        withLanes { target in
            other.withLanes { source in
                for i in 0..<laneCount { target[i] += source[i] } // two carried numbers fit with room to spare
            }
        }
        carry()
    }

    private func grow(by rows: Int) throws {
        guard rows <= Self.maximumCount - count else {
            throw FNEError(.invalidArgument, "statistics hold at most \(Self.maximumCount) rows")
        }
        count += rows
    }

    private func carry() {
        rowsSinceCarry = 0
        withLanes { ck_exact_carry($0, featureCount) }
    }

    /// Mean and standard deviation of each feature, each rounded once from the exact value: with S1 = sum of x and
    /// S2 = sum of x^2, mean = S1 / n and std = sqrt((n S2 - S1^2) / (n (n - ddof))), the numerator formed in integers.
    ///
    /// - Parameters:
    ///   - mean: receives featureCount doubles; may be nil
    ///   - std: receives featureCount doubles; may be nil. A constant feature has exactly 0.
    ///   - ddof: 0 for the population's deviation, 1 for the sample's
    /// - Throws: `.invalidArgument` when count is not above ddof.
    public func moments(mean: UnsafeMutablePointer<Double>?, std: UnsafeMutablePointer<Double>?, ddof: Int = 0) throws {
        guard ddof >= 0, count > ddof else {
            throw FNEError(.invalidArgument, "\(count) rows were seen; ddof \(ddof) needs more than \(ddof)")
        }
        carry()
        let n = UInt64(count)
        for feature in 0..<featureCount {
            let (sum, squares) = sums(feature)
            mean?[feature] = Self.mean(sum, n)
            guard let std else { continue }
            // By the Cauchy-Schwarz inequality n S2 >= S1^2; equal only when all values are.
            let spread = WideInteger.difference(WideInteger(n) * squares, sum * sum)
            std[feature] = Self.deviation(spread, UInt128(n) * UInt128(n - UInt64(ddof)))
        }
    }

    /// S1 * 2^149 and S2 * 2^298 of a feature.
    private func sums(_ feature: Int) -> (sum: WideInteger, squares: WideInteger) {
        withLanes { lanes in
            let sum = lanes + feature * Int(CK_LANES)
            let squares = sum + Int(CK_SUM_LANES)
            return (
                WideInteger(lanes: UnsafeBufferPointer(start: sum, count: Int(CK_SUM_LANES))),
                WideInteger(lanes: UnsafeBufferPointer(start: squares, count: Int(CK_SQUARE_LANES)))
            )
        }
    }

    /// sum * 2^-149 / n.
    private static func mean(_ sum: WideInteger, _ n: UInt64) -> Double {
        guard !sum.isZero else { return 0 }
        let shift = sum.bitCount - 127 // the quotient keeps 127 - 40 bits at least
        let (_, top, cut) = sum.shifted(down: shift)
        let (quotient, rest) = top.quotientAndRemainder(dividingBy: UInt128(n))
        let magnitude = roundedOnce(quotient, exponent: shift - 149, inexact: cut || rest != 0)
        return sum.isNegative ? -magnitude : magnitude
    }

    /// sqrt(spread * 2^-298 / divisor).
    private static func deviation(_ spread: WideInteger, _ divisor: UInt128) -> Double {
        guard !spread.isZero else { return 0 }
        // A quotient of 124 to 126 bits, so that its root has 62 or 63; the exponent must be even to be halved.
        let divisorBits = 128 - divisor.leadingZeroBitCount
        var shift = spread.bitCount - divisorBits - 125
        if shift & 1 != 0 { shift += 1 }
        let (high, low, cut) = spread.shifted(down: shift)
        let (quotient, rest) = divisor.dividingFullWidth((high, low))
        let root = squareRoot(quotient)
        let inexact = cut || rest != 0 || UInt128(root) * UInt128(root) != quotient
        return roundedOnce(UInt128(root), exponent: (shift - 298) / 2, inexact: inexact)
    }

    /// The root of a number below 2^126, rounded down.
    private static func squareRoot(_ value: UInt128) -> UInt64 {
        var root = UInt64(Double(value).squareRoot()) // right to about 52 bits
        for _ in 0..<2 { root = UInt64((UInt128(root) + value / UInt128(root)) >> 1) } // Newton
        while UInt128(root) * UInt128(root) > value { root -= 1 }
        while UInt128(root + 1) * UInt128(root + 1) <= value { root += 1 }
        return root
    }
}

// MARK: - Saved form

extension Statistics {
    // magic[8] | version u32 | lanes a feature u32 | features u64 | rows u64 | lanes i64[...] | checksum u64
    // Little-endian. The checksum is FNV-1a (64 bits) of all that stands before it.
    private static let magic: [UInt8] = Array("FNESTAT\n".utf8)
    private static let version: UInt32 = 1
    private static let headerSize = 32

    /// Bytes that `save` writes.
    public var savedSize: Int { Self.headerSize + lanes.count + 8 }

    /// Writes `savedSize` bytes; equal states give equal bytes.
    public func save(to bytes: UnsafeMutableRawBufferPointer) throws {
        guard bytes.count >= savedSize else {
            throw FNEError(.bufferTooSmall, "saved statistics need \(savedSize) bytes, the buffer has \(bytes.count)")
        }
        carry()
        bytes.copyBytes(from: Self.magic)
        bytes.storeBytes(of: Self.version.littleEndian, toByteOffset: 8, as: UInt32.self)
        bytes.storeBytes(of: UInt32(CK_LANES).littleEndian, toByteOffset: 12, as: UInt32.self)
        bytes.storeBytes(of: UInt64(featureCount).littleEndian, toByteOffset: 16, as: UInt64.self)
        bytes.storeBytes(of: UInt64(count).littleEndian, toByteOffset: 24, as: UInt64.self)
        withLanes { lanes in
            for i in 0..<laneCount {
                bytes.storeBytes(of: lanes[i].littleEndian, toByteOffset: Self.headerSize + 8 * i, as: Int64.self)
            }
        }
        let sum = fnv1a(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(bytes)[..<(savedSize - 8)]))
        bytes.storeBytes(of: sum.littleEndian, toByteOffset: savedSize - 8, as: UInt64.self)
    }

    /// Reads what `save` wrote.
    ///
    /// - Throws: `.invalidData` for bytes that are damaged or of another version.
    public static func load(_ bytes: UnsafeRawBufferPointer) throws -> Statistics {
        func damaged(_ what: String) -> FNEError { FNEError(.invalidData, "these are no saved statistics: \(what)") }
        func word(_ offset: Int) -> UInt64 {
            UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
        }
        guard bytes.count >= headerSize + 8, bytes.starts(with: magic) else { throw damaged("the header is missing") }
        let form = word(8)
        guard form & 0xffff_ffff == UInt64(version) else {
            throw FNEError(
                .invalidData,
                "saved statistics of version \(form & 0xffff_ffff); this library reads version \(version)")
        }
        let (features, rows) = (word(16), word(24))
        guard form >> 32 == UInt64(CK_LANES), features >= 1, features <= UInt64(Int32.max),
            bytes.count == headerSize + Int(features) * Int(CK_LANES) * 8 + 8
        else { throw damaged("the size does not fit the header") }
        guard word(bytes.count - 8) == fnv1a(UnsafeRawBufferPointer(rebasing: bytes[..<(bytes.count - 8)])) else {
            throw damaged("the checksum is wrong")
        }
        let statistics = try Statistics(featureCount: Int(features))
        try statistics.takeLanes(bytes, rows: rows)
        return statistics
    }

    private func takeLanes(_ bytes: UnsafeRawBufferPointer, rows: UInt64) throws {
        guard rows <= UInt64(Self.maximumCount) else { throw FNEError(.invalidData, "saved statistics of too many rows") }
        try grow(by: Int(rows))
        try withLanes { lanes in
            for i in 0..<laneCount {
                lanes[i] = Int64(
                    littleEndian: bytes.loadUnaligned(fromByteOffset: Self.headerSize + 8 * i, as: Int64.self))
                // A digit, or the signed top of a number, which is far from filling its lane.
                let lane = i % Int(CK_LANES)
                let isTop = lane == Int(CK_SUM_LANES) - 1 || lane == Int(CK_LANES) - 1
                let range: ClosedRange<Int64> = isTop ? -(1 << 61)...(1 << 61) : 0...0xffff_ffff
                guard range.contains(lanes[i]) else { throw FNEError(.invalidData, "saved statistics hold no digits") }
            }
        }
        for feature in 0..<featureCount { try checkPlausible(feature) }
    }

    /// What `get` and `merge` rely on: 0 <= S2 <= n max^2, and n S2 >= S1^2.
    private func checkPlausible(_ feature: Int) throws {
        let (sum, squares) = sums(feature)
        let left = WideInteger(UInt64(count)) * squares
        // The largest float32 is below 2^277 units of the sum, its square below 2^554 units.
        let rowBits = Int.bitWidth - count.leadingZeroBitCount
        guard !squares.isNegative, squares.isZero || (count > 0 && squares.bitCount <= rowBits + 554),
            !WideInteger.isLess(left, sum * sum) else {
            throw FNEError(.invalidData, "saved statistics are impossible at feature \(feature)")
        }
    }
}

extension WideInteger {
    /// Of two numbers that are not negative.
    static func isLess(_ a: WideInteger, _ b: WideInteger) -> Bool {
        if a.digits.count != b.digits.count { return a.digits.count < b.digits.count }
        for (x, y) in zip(a.digits.reversed(), b.digits.reversed()) where x != y { return x < y }
        return false
    }
}

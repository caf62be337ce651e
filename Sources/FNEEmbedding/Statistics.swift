import CKernels
import FNESupport

/// The count, the sum and the sum of squares of F features, kept without rounding. So mean and standard deviation have
/// the same bits, whatever the order of the rows, the batches and the merges, and whatever the machine. One thread at a
/// time may use an object.
///
/// A sum is a fixed-point number that fits every float32 (see CKernels). An object takes 216 bytes per feature.
public final class Statistics {
    /// F, the number of features in a row.
    public let featureCount: Int
    /// The number of rows that were added.
    public private(set) var count = 0

    /// Codes by statistics of fewer images say little. It is `FNE_FEW_IMAGES` in `include/fne.h`.
    package static let fewImages = 10

    /// Writes a warning to the log where codes are made by statistics of too few images.
    package static func warn(ofImages images: Int) {
        guard images < fewImages else { return }
        Log.write(
            .warning,
            "the codes are made by statistics of \(images) images only, and say little: of two images they are "
                + "opposites, of one all are 0. Embed more images, or give statistics of others")
    }

    private let lanes: Bytes
    private var rowsSinceCarry = 0

    /// The most rows. The sums cannot overflow with so many.
    private static let maximumCount = 1 << 40

    /// Statistics of no rows.
    ///
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

    /// Adds rows, float32 [rowCount, featureCount]. After an error no row is added.
    ///
    /// - Throws: `.notFinite` for NaN or infinity, with its row and feature; `.invalidArgument` for more than 2^40
    ///   rows.
    public func update(_ rows: UnsafePointer<Float>, rowCount: Int) throws {
        let values = try checkedProduct(rowCount, featureCount, of: "rows")
        let bad = ck_first_not_finite(rows, values)
        guard bad == values else {
            throw FNEError(
                .notFinite,
                "row \(bad / featureCount), feature \(bad % featureCount) is "
                    + "\(rows[bad].isNaN ? "NaN" : "infinite"); statistics need finite numbers")
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

    /// Adds rows, at most as many as may come between two carries (see CKernels). The features are divided among
    /// threads where that saves more time than their start costs.
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

    /// So many values take about a millisecond.
    private static let valuesWorthAThread = 1 << 18
    private static let maximumThreads = 16

    /// Adds the rows of another object. Merging an object with itself doubles it.
    ///
    /// - Throws: `.shapeMismatch` when the feature counts differ; `.invalidArgument` for more than 2^40 rows.
    public func merge(_ other: Statistics) throws {
        guard other.featureCount == featureCount else {
            throw FNEError(
                .shapeMismatch,
                "statistics of \(other.featureCount) features cannot be merged into statistics of \(featureCount)")
        }
        try grow(by: other.count)
        carry()
        other.carry()
        withLanes { target in
            other.withLanes { source in
                for i in 0..<laneCount { target[i] += source[i] } // two numbers fit after their carries
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

    /// Computes the mean and the standard deviation of each feature. Each is rounded once from the exact value. Let S1
    /// be the sum of x and S2 the sum of x^2. Then mean = S1 / n and std = sqrt((n S2 - S1^2) / (n (n - ddof))). The
    /// numerator is computed in integers.
    ///
    /// - Parameters:
    ///   - mean: receives featureCount doubles; may be nil
    ///   - std: receives featureCount doubles; may be nil. A constant feature gets exactly 0
    ///   - ddof: 0 for the deviation of a population, 1 for that of a sample
    /// - Throws: `.invalidArgument` unless count is above ddof.
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
            // By the Cauchy-Schwarz inequality, n S2 >= S1^2. They are equal only when all values are equal.
            let spread = WideInteger.difference(WideInteger(n) * squares, sum * sum)
            std[feature] = Self.deviation(spread, UInt128(n) * UInt128(n - UInt64(ddof)))
        }
    }

    /// The exact sums of a feature, as the integers S1 * 2^149 and S2 * 2^298.
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

    /// The mean, sum * 2^-149 / n.
    private static func mean(_ sum: WideInteger, _ n: UInt64) -> Double {
        guard !sum.isZero else { return 0 }
        let shift = sum.bitCount - 127 // the quotient keeps at least 127 - 40 bits
        let (_, top, cut) = sum.shifted(down: shift)
        let (quotient, rest) = top.quotientAndRemainder(dividingBy: UInt128(n))
        let magnitude = roundedOnce(quotient, exponent: shift - 149, inexact: cut || rest != 0)
        return sum.isNegative ? -magnitude : magnitude
    }

    /// The standard deviation, sqrt(spread * 2^-298 / divisor).
    private static func deviation(_ spread: WideInteger, _ divisor: UInt128) -> Double {
        guard !spread.isZero else { return 0 }
        // The quotient gets 124 to 126 bits, so that its root has 62 or 63. The exponent must be even to be halved.
        let divisorBits = 128 - divisor.leadingZeroBitCount
        var shift = spread.bitCount - divisorBits - 125
        if shift & 1 != 0 { shift += 1 }
        let (high, low, cut) = spread.shifted(down: shift)
        let (quotient, rest) = divisor.dividingFullWidth((high, low))
        let root = squareRoot(quotient)
        let inexact = cut || rest != 0 || UInt128(root) * UInt128(root) != quotient
        return roundedOnce(UInt128(root), exponent: (shift - 298) / 2, inexact: inexact)
    }

    /// The square root of a number below 2^126, rounded down.
    private static func squareRoot(_ value: UInt128) -> UInt64 {
        var root = UInt64(Double(value).squareRoot()) // about 52 bits are right
        for _ in 0..<2 { root = UInt64((UInt128(root) + value / UInt128(root)) >> 1) } // Newton's method
        while UInt128(root) * UInt128(root) > value { root -= 1 }
        while UInt128(root + 1) * UInt128(root + 1) <= value { root += 1 }
        return root
    }
}

// MARK: - Saved form

extension Statistics {
    // magic[8] | version u32 | lanes per feature u32 | features u64 | rows u64 | lanes i64[...] | checksum u64
    // All numbers are little-endian. The checksum is FNV-1a (64 bits) of all bytes before it.
    private static let magic: [UInt8] = Array("FNESTAT\n".utf8)
    private static let version: UInt32 = 1
    private static let headerSize = 32

    /// The number of bytes that `save` writes.
    public var savedSize: Int { Self.headerSize + lanes.count + 8 }

    /// Writes the object as `savedSize` bytes. Equal states give equal bytes.
    ///
    /// - Throws: `.bufferTooSmall`.
    public func save(to bytes: UnsafeMutableRawBufferPointer) throws {
        guard bytes.count >= savedSize else {
            throw FNEError(
                .bufferTooSmall, "saved statistics need \(savedSize) bytes, but the buffer has only \(bytes.count)")
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

    /// Reads the bytes that `save` wrote.
    ///
    /// - Throws: `.invalidData` for bytes that are damaged or of another version.
    public static func load(_ bytes: UnsafeRawBufferPointer) throws -> Statistics {
        func damaged(_ what: String) -> FNEError {
            FNEError(.invalidData, "these are no saved statistics, or damaged ones: \(what)")
        }
        func word(_ offset: Int) -> UInt64 {
            UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
        }
        guard bytes.count >= headerSize + 8, bytes.starts(with: magic) else { throw damaged("the header is missing") }
        let form = word(8)
        guard form & 0xffff_ffff == UInt64(version) else {
            throw FNEError(
                .invalidData,
                "the saved statistics are of version \(form & 0xffff_ffff), but this library reads version \(version)")
        }
        let (features, rows) = (word(16), word(24))
        guard form >> 32 == UInt64(CK_LANES), features >= 1, features <= UInt64(Int32.max),
            bytes.count == headerSize + Int(features) * Int(CK_LANES) * 8 + 8
        else { throw damaged("their size does not fit their header") }
        guard word(bytes.count - 8) == fnv1a(UnsafeRawBufferPointer(rebasing: bytes[..<(bytes.count - 8)])) else {
            throw damaged("the checksum is wrong")
        }
        let statistics = try Statistics(featureCount: Int(features))
        try statistics.takeLanes(bytes, rows: rows)
        return statistics
    }

    private func takeLanes(_ bytes: UnsafeRawBufferPointer, rows: UInt64) throws {
        guard rows <= UInt64(Self.maximumCount) else {
            throw FNEError(.invalidData, "the saved statistics are damaged: they have too many rows")
        }
        try grow(by: Int(rows))
        try withLanes { lanes in
            for i in 0..<laneCount {
                lanes[i] = Int64(
                    littleEndian: bytes.loadUnaligned(fromByteOffset: Self.headerSize + 8 * i, as: Int64.self))
                // A lane holds a digit, or the signed top of a number, which is far from filling its lane.
                let lane = i % Int(CK_LANES)
                let isTop = lane == Int(CK_SUM_LANES) - 1 || lane == Int(CK_LANES) - 1
                let range: ClosedRange<Int64> = isTop ? -(1 << 61)...(1 << 61) : 0...0xffff_ffff
                guard range.contains(lanes[i]) else {
                    throw FNEError(.invalidData, "the saved statistics are damaged: their lanes hold no digits")
                }
            }
        }
        for feature in 0..<featureCount { try checkPlausible(feature) }
    }

    /// Checks what `get` and `merge` rely on: 0 <= S2 <= n max^2, and n S2 >= S1^2.
    private func checkPlausible(_ feature: Int) throws {
        let (sum, squares) = sums(feature)
        let left = WideInteger(UInt64(count)) * squares
        // The largest float32 is below 2^277 units of the sum, its square below 2^554 units.
        let rowBits = Int.bitWidth - count.leadingZeroBitCount
        guard !squares.isNegative, squares.isZero || (count > 0 && squares.bitCount <= rowBits + 554),
            !WideInteger.isLess(left, sum * sum)
        else {
            throw FNEError(
                .invalidData, "the saved statistics are damaged: their sums are impossible at feature \(feature)")
        }
    }
}

extension WideInteger {
    /// Whether a < b, for two numbers that are not negative.
    static func isLess(_ a: WideInteger, _ b: WideInteger) -> Bool {
        if a.digits.count != b.digits.count { return a.digits.count < b.digits.count }
        for (x, y) in zip(a.digits.reversed(), b.digits.reversed()) where x != y { return x < y }
        return false
    }
}

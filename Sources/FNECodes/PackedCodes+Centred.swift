import CKernels
import FNESupport

// Codes less their mean. Most codes of deep layers are -1, so that all rows have a direction in common. Without it, the
// cosine measures in what the rows differ.
extension PackedCodes {
    /// Computes the mean code: the mean of each feature, computed in float64 and rounded to float32.
    ///
    /// - Parameters:
    ///   - codes: uint64 [rows, words(features)]
    ///   - threads: nil for one per processor, and fewer where there is little work
    ///   - mean: receives float32 [features]
    /// - Throws: `.invalidArgument` where there is no row; `.outOfMemory`.
    public static func mean(
        _ codes: UnsafePointer<UInt64>, rows: Int, features: Int, threads: Int? = nil,
        to mean: UnsafeMutablePointer<Float>
    ) throws {
        guard rows > 0 else { throw FNEError(.invalidArgument, "there are no codes, and so they have no mean") }
        let words = try words(features: features) / 2
        let totals = try Sums<Int64>(features)
        let pointer = InputPointer(pointer: codes)
        let monitor = Monitor()
        try inParts(of: rows, 1, threads, memory: { _ in (try Sums<Int16>(features), try Sums<Int64>(features)) }) {
            range, _, own in
            for first in stride(from: range.lowerBound, to: range.upperBound, by: Int(CK_ROWS_PER_SUM)) {
                let count = min(Int(CK_ROWS_PER_SUM), range.upperBound - first)
                own.0.withSums { ck_sum_codes(pointer.pointer + first * 2 * words, count, words, features, $0) }
                own.1.add(own.0)
            }
            monitor.locked { totals.add(own.1) }
        }
        totals.withSums { sums in
            for f in 0..<features { mean[f] = Float(Double(sums[f]) / Double(rows)) }
        }
    }

    /// Computes the product of each row with a mean code. A search takes these, so that they are computed once for all
    /// searches. They are the same whatever the number of threads and the processor.
    ///
    /// - Parameters:
    ///   - codes: uint64 [rows, words(features)]
    ///   - mean: float32 [features] of -1 to 1
    ///   - threads: nil for one per processor, and fewer where there is little work
    ///   - offsets: receives float64 [rows]
    /// - Throws: `.notFinite` and `.invalidArgument` for the mean; `.outOfMemory`.
    public static func offsets(
        _ codes: UnsafePointer<UInt64>, rows: Int, features: Int, mean: UnsafePointer<Float>, threads: Int? = nil,
        to offsets: UnsafeMutablePointer<Double>
    ) throws {
        try self.offsets(codes, rows: rows, features, MeanCode(mean, features: features), threads, to: offsets)
    }

    static func offsets(
        _ codes: UnsafePointer<UInt64>, rows: Int, _ features: Int, _ mean: MeanCode, _ threads: Int?,
        to offsets: UnsafeMutablePointer<Double>
    ) throws {
        let words = try words(features: features) / 2
        let output = OutputPointer(pointer: offsets)
        try mean.withPlanes { planes in
            let pointers = Pointers(queries: planes, base: codes)
            try inParts(of: rows, mean.weights, threads, memory: { _ in try Sums<Int64>(Counts.rows) }) {
                [weights = mean.weights, unit = mean.unit] range, counts, own in
                own.withSums { sums in
                    counts.forEachBlock(range, queries: weights, words: words, pointers) { rows, bit, both, opposite in
                        for i in 0..<rows.count {
                            let product = (Int64(both[i]) - 2 * Int64(opposite[i])) << Int64(bit)
                            sums[i] = bit == 0 ? product : sums[i] &+ product
                        }
                        guard bit == weights - 1 else { return }
                        for i in 0..<rows.count { output.pointer[rows.lowerBound + i] = Double(sums[i]) * unit }
                    }
                }
            }
        }
    }

    /// Computes the dot products of all pairs of rows of two arrays of packed codes, less a mean code:
    /// (a - m).(b - m).
    ///
    /// - Parameters:
    ///   - mean: float32 [features] of -1 to 1; nil for the mean of b
    ///   - threads: nil for one per processor, and fewer where there is little work
    ///   - products: receives float64 [aRows, bRows]
    /// - Throws: `.notFinite` and `.invalidArgument` for the mean; `.outOfMemory`.
    public static func centredDot(
        _ a: UnsafePointer<UInt64>, rows aRows: Int, _ b: UnsafePointer<UInt64>, rows bRows: Int, features: Int,
        mean: UnsafePointer<Float>? = nil, threads: Int? = nil, to products: UnsafeMutablePointer<Double>
    ) throws {
        let centre = try Centre(b, rows: bRows, features, mean, offsets: nil, threads)
        let (aOffsets, output) = (try centre.offsets(of: a, rows: aRows), OutputPointer(pointer: products))
        let words = try words(features: features) / 2
        try aOffsets.withNumbers(of: Double.self) { ofA in
            try centre.withOffsets { ofB in
                let offsets = OffsetPointers(queries: ofA, base: ofB)
                let pointers = Pointers(queries: a, base: b)
                try inParts(of: bRows, aRows, threads, memory: { _ in }) {
                    [mean = centre.mean.numbers] range, counts, _ in
                    counts.forEachBlock(range, queries: aRows, words: words, pointers) { rows, q, both, opposite in
                        let row = output.pointer + q * bRows
                        for (i, number) in rows.enumerated() {
                            row[number] = mean.dot(
                                dotProduct(both[i], opposite[i]), offsets.queries[q], offsets.base[number])
                        }
                    }
                }
            }
        }
    }

    /// Finds the k best rows of the base for each query, by the cosine of the codes less a mean code:
    /// (q - m).(b - m) / (|q - m| |b - m|). It is 0 where one of the two is m itself. They come as from `search`.
    ///
    /// - Parameters:
    ///   - base: uint64 [baseRows, words(features)]
    ///   - queries: uint64 [queryRows, words(features)]
    ///   - mean: float32 [features] of -1 to 1; nil for the mean of the base
    ///   - baseOffsets: float64 [baseRows], what `offsets` gives for the base and this mean; nil: they are computed
    ///   - threads: nil for one per processor, and fewer where there is little work
    ///   - indices, scores: receive [queryRows, k]
    /// - Throws: `.invalidArgument` unless k is 1 to baseRows; `.notFinite` and `.invalidArgument` for the mean;
    ///   `.outOfMemory`.
    public static func centredSearch(
        _ base: UnsafePointer<UInt64>, rows baseRows: Int, for queries: UnsafePointer<UInt64>, rows queryRows: Int,
        features: Int, k: Int, mean givenMean: UnsafePointer<Float>? = nil, baseOffsets: UnsafePointer<Double>? = nil,
        threads: Int? = nil, indices: UnsafeMutablePointer<UInt64>, scores: UnsafeMutablePointer<Double>
    ) throws {
        let pointers = Pointers(queries: queries, base: base)
        let centre = try Centre(base, rows: baseRows, features, givenMean, offsets: baseOffsets, threads)
        let (mean, ofQueries) = (centre.mean.numbers, try centre.offsets(of: queries, rows: queryRows))
        let norms = try Bytes(count: ofQueries.count)
        try Norms.lend(pointers, queries: queryRows, words: words(features: features) / 2) { nonzero in
            try ofQueries.withNumbers(of: Double.self) { ofQueries in
                try norms.withNumbers(of: Double.self) { norms in
                    for q in 0..<queryRows { norms[q] = mean.norm(ofQueries[q], nonzero: nonzero.queries[q]) }
                    try centre.withOffsets { ofBase in
                        let offsets = OffsetPointers(queries: ofQueries, base: ofBase)
                        let comparison = ByCentredCosine(nonzero: nonzero, mean: mean, offsets: offsets, norms: norms)
                        try search(pointers, (baseRows, queryRows, features, k), threads, comparison, indices, scores)
                    }
                }
            }
        }
    }

    /// Sums of the features' codes, or of a block's rows.
    private final class Sums<Number: FixedWidthInteger & BitwiseCopyable>: @unchecked Sendable {
        private let memory: Bytes
        private let count: Int

        init(_ count: Int) throws {
            self.count = count
            memory = try Bytes(zeros: checkedProduct(count, MemoryLayout<Number>.size, of: "the sums"))
        }

        func withSums(_ body: (UnsafeMutablePointer<Number>) -> Void) { memory.withNumbers(of: Number.self, body) }

        func add<Other>(_ other: Sums<Other>) {
            withSums { sums in other.withSums { others in for i in 0..<count { sums[i] += Number(others[i]) } } }
        }
    }

    /// What a centred comparison needs of the base: the mean code, and the product of each row with it.
    struct Centre {
        let mean: MeanCode
        private let features: Int
        private let threads: Int?
        private let offsets: Offsets

        /// The products of the base with the mean.
        private enum Offsets {
            case given(UnsafePointer<Double>)
            case computed(Bytes)
        }

        /// - Parameters:
        ///   - mean: float32 [features]; nil for the mean of the base
        ///   - offsets: float64 [rows], the products of the base with this mean; nil: they are computed
        init(
            _ base: UnsafePointer<UInt64>, rows: Int, _ features: Int, _ mean: UnsafePointer<Float>?,
            offsets: UnsafePointer<Double>?, _ threads: Int?
        ) throws {
            self.mean = try Self.mean(base, rows: rows, features, mean, threads)
            (self.features, self.threads) = (features, threads)
            guard let offsets else {
                self.offsets = .computed(try Self.offsets(base, rows: rows, features, self.mean, threads))
                return
            }
            self.offsets = .given(offsets)
        }

        private static func mean(
            _ base: UnsafePointer<UInt64>, rows: Int, _ features: Int, _ given: UnsafePointer<Float>?, _ threads: Int?
        ) throws -> MeanCode {
            if let given { return try MeanCode(given, features: features) }
            let own = try Bytes(count: checkedProduct(features, MemoryLayout<Float>.size, of: "the mean"))
            return try own.withNumbers(of: Float.self) { mean in
                try PackedCodes.mean(base, rows: rows, features: features, threads: threads, to: mean)
                return try MeanCode(mean, features: features)
            }
        }

        private static func offsets(
            _ codes: UnsafePointer<UInt64>, rows: Int, _ features: Int, _ mean: MeanCode, _ threads: Int?
        ) throws -> Bytes {
            let result = try Bytes(count: checkedProduct(rows, MemoryLayout<Double>.size, of: "the offsets"))
            try result.withNumbers(of: Double.self) {
                try PackedCodes.offsets(codes, rows: rows, features, mean, threads, to: $0)
            }
            return result
        }

        /// The products of other rows with the mean, float64 [rows].
        func offsets(of codes: UnsafePointer<UInt64>, rows: Int) throws -> Bytes {
            try Self.offsets(codes, rows: rows, features, mean, threads)
        }

        /// Lends the products of the base.
        func withOffsets<Result>(_ body: (UnsafePointer<Double>) throws -> Result) rethrows -> Result {
            switch offsets {
            case .given(let given): try body(given)
            case .computed(let own): try own.withNumbers(of: Double.self) { try body($0) }
            }
        }
    }
}

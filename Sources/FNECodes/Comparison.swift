import CKernels
import FNESupport

/// How a search compares a query with rows of the base. Each kind is a type of its own, so that the compiler makes
/// loops for each. None holds an object, since counting references takes longer than comparing.
protocol Comparison: Sendable {
    /// Computes what serves all queries, for rows of the base.
    func facts(of rows: Range<Int>, into facts: UnsafeMutablePointer<Double>)

    /// Computes the scores of rows of the base for a query. The largest score is best.
    ///
    /// - Parameters:
    ///   - facts: those of the rows
    ///   - both, opposite: for each row, in how many features both are not 0, and in how many of these the signs differ
    func scores(
        query: Int, _ rows: Range<Int>, _ facts: UnsafePointer<Double>, _ both: UnsafePointer<Int32>,
        _ opposite: UnsafePointer<Int32>, into scores: UnsafeMutablePointer<Double>)

    /// Tells whether one of the rows may have at least a score, in less time than the scores take. It may say so where
    /// none has, and never misses one that has.
    func mayReach(
        _ score: Double, query: Int, _ rows: Range<Int>, _ facts: UnsafePointer<Double>, _ both: UnsafePointer<Int32>,
        _ opposite: UnsafePointer<Int32>
    ) -> Bool
}

extension Comparison {
    func mayReach(
        _ score: Double, query: Int, _ rows: Range<Int>, _ facts: UnsafePointer<Double>, _ both: UnsafePointer<Int32>,
        _ opposite: UnsafePointer<Int32>
    ) -> Bool { true }
}

/// The bound that belongs to a score w, which is a dot product d over two norms. It is w |w| times the query's squared
/// norm. A row of the squared norm n has at least this score only where d |d| >= bound n.
///
/// Without rounding this is exact, since x |x| grows with x. A score is rounded three times (a root, a product and a
/// quotient), which counts twice in its square. The comparison rounds six times: d |d|, and the five steps of bound n.
/// Each rounding is wrong by a part in 2^53 at most, so all of them by less than a part in 2^49. The bound is lower by
/// a part in 2^40, so that no row is lost. A score near 0 counts as a negative one, because squares of tiny numbers
/// would be rounded otherwise, or vanish. Where the query has no norm all scores are 0, and the bound is below all.
func reachBound(_ score: Double, squaredNorm: Double) -> Double {
    guard squaredNorm > 0 else { return -.infinity }
    let w = abs(score) < 0x1p-200 ? -0x1p-200 : score
    return (w * abs(w) - 0x1p-40 * w * w) * squaredNorm
}

/// The dot product of two rows, by the counts of what they share.
@inline(__always) func dotProduct(_ both: Int32, _ opposite: Int32) -> Double { Double(both) - 2 * Double(opposite) }

/// The numbers of features that are not 0.
struct Norms: @unchecked Sendable {
    private let base: UnsafePointer<UInt64>
    private let words: Int
    /// Those of the queries.
    let queries: UnsafePointer<Double>

    /// Lends the numbers. Those of the base are counted when they are needed.
    ///
    /// - Throws: `.outOfMemory`; what the body throws.
    static func lend(
        _ pointers: PackedCodes.Pointers, queries rows: Int, words: Int, _ body: (Norms) throws -> Void
    ) throws {
        let counts = try Bytes(count: checkedProduct(rows, MemoryLayout<Double>.size, of: "queries"))
        try counts.withNumbers(of: Double.self) { counts in
            ck_count_codes(pointers.queries, rows, words, counts)
            try body(Norms(base: pointers.base, words: words, queries: counts))
        }
    }

    func count(_ rows: Range<Int>, into counts: UnsafeMutablePointer<Double>) {
        ck_count_codes(base + rows.lowerBound * 2 * words, rows.count, words, counts)
    }
}

/// By the dot product.
struct ByDot: Comparison {
    func facts(of rows: Range<Int>, into facts: UnsafeMutablePointer<Double>) {}

    func scores(
        query: Int, _ rows: Range<Int>, _ facts: UnsafePointer<Double>, _ both: UnsafePointer<Int32>,
        _ opposite: UnsafePointer<Int32>, into scores: UnsafeMutablePointer<Double>
    ) {
        for i in 0..<rows.count { scores[i] = dotProduct(both[i], opposite[i]) }
    }
}

/// By the cosine.
struct ByCosine: Comparison {
    let norms: Norms

    func facts(of rows: Range<Int>, into facts: UnsafeMutablePointer<Double>) { norms.count(rows, into: facts) }

    func scores(
        query: Int, _ rows: Range<Int>, _ facts: UnsafePointer<Double>, _ both: UnsafePointer<Int32>,
        _ opposite: UnsafePointer<Int32>, into scores: UnsafeMutablePointer<Double>
    ) {
        ck_cosines(both, opposite, rows.count, facts, norms.queries[query], scores)
    }

    func mayReach(
        _ score: Double, query: Int, _ rows: Range<Int>, _ facts: UnsafePointer<Double>, _ both: UnsafePointer<Int32>,
        _ opposite: UnsafePointer<Int32>
    ) -> Bool {
        let bound = reachBound(score, squaredNorm: norms.queries[query])
        return ck_cosines_reach(both, opposite, rows.count, facts, bound) != 0
    }
}

/// By the number of features that differ, which is negated, since the smallest is best.
struct ByHamming: Comparison {
    let norms: Norms

    func facts(of rows: Range<Int>, into facts: UnsafeMutablePointer<Double>) { norms.count(rows, into: facts) }

    func scores(
        query: Int, _ rows: Range<Int>, _ facts: UnsafePointer<Double>, _ both: UnsafePointer<Int32>,
        _ opposite: UnsafePointer<Int32>, into scores: UnsafeMutablePointer<Double>
    ) {
        let norm = norms.queries[query]
        for i in 0..<rows.count { scores[i] = 2 * Double(both[i]) - Double(opposite[i]) - norm - facts[i] }
    }
}

/// By the cosine of the codes less their mean.
struct ByCentredCosine: Comparison, @unchecked Sendable {
    let nonzero: Norms
    let mean: MeanCode.Numbers
    let offsets: PackedCodes.OffsetPointers
    /// The norms of the queries less the mean.
    let norms: UnsafePointer<Double>

    func facts(of rows: Range<Int>, into facts: UnsafeMutablePointer<Double>) {
        nonzero.count(rows, into: facts)
        var centre = centre(norm: 0, offset: 0)
        ck_centred_squares(facts, rows.count, offsets.base + rows.lowerBound, &centre)
    }

    func scores(
        query: Int, _ rows: Range<Int>, _ facts: UnsafePointer<Double>, _ both: UnsafePointer<Int32>,
        _ opposite: UnsafePointer<Int32>, into scores: UnsafeMutablePointer<Double>
    ) {
        var centre = centre(norm: norms[query], offset: offsets.queries[query])
        ck_centred_cosines(both, opposite, rows.count, facts, offsets.base + rows.lowerBound, &centre, scores)
    }

    func mayReach(
        _ score: Double, query: Int, _ rows: Range<Int>, _ facts: UnsafePointer<Double>, _ both: UnsafePointer<Int32>,
        _ opposite: UnsafePointer<Int32>
    ) -> Bool {
        var centre = centre(norm: norms[query], offset: offsets.queries[query])
        let bound = reachBound(score, squaredNorm: norms[query] * norms[query])
        return ck_centred_cosines_reach(
            both, opposite, rows.count, facts, offsets.base + rows.lowerBound, &centre, bound) != 0
    }

    private func centre(norm: Double, offset: Double) -> ck_centre {
        ck_centre(square: mean.square, nearest: mean.nearest, norm: norm, offset: offset)
    }
}

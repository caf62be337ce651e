import CKernels
import FNESupport

/// How a search compares a query with a row of the base. Each kind is a type of its own, so that the compiler makes a
/// loop for each.
protocol Comparison: Sendable {
    /// What is computed once for a row of the base, and serves all queries.
    func fact(of row: Int) -> Double

    /// The score. The largest one is best.
    ///
    /// - Parameters:
    ///   - fact: that of the row
    ///   - both, opposite: in how many features both are not 0, and in how many of these the signs differ
    func score(query: Int, row: Int, fact: Double, _ both: Int32, _ opposite: Int32) -> Double
}

/// The numbers of features that are not 0.
struct Norms {
    /// What a comparison reads of them. It holds no object, so that no references are counted in the innermost loop.
    struct Lent: @unchecked Sendable {
        fileprivate let queries: UnsafePointer<Double>
        fileprivate let base: UnsafePointer<UInt64>
        fileprivate let words: Int

        func of(query: Int) -> Double { queries[query] }
        func of(row: Int) -> Double { count(base, row, words) }
    }

    private let base: UnsafePointer<UInt64>
    private let words: Int
    private let queries: Bytes

    /// Counts those of the queries. Those of the base are counted when they are needed.
    init(_ pointers: PackedCodes.Pointers, _ queryRows: Int, words: Int) throws {
        (base, self.words) = (pointers.base, words)
        queries = try Bytes(count: checkedProduct(queryRows, MemoryLayout<Double>.size, of: "queries"))
        queries.withNumbers(of: Double.self) { for q in 0..<queryRows { $0[q] = count(pointers.queries, q, words) } }
    }

    func lend<Result>(_ body: (Lent) throws -> Result) rethrows -> Result {
        try queries.withNumbers(of: Double.self) { try body(Lent(queries: $0, base: base, words: words)) }
    }
}

private func count(_ codes: UnsafePointer<UInt64>, _ row: Int, _ words: Int) -> Double {
    Double(ck_count_bits(codes + row * 2 * words, words))
}

/// By the dot product.
struct ByDot: Comparison {
    func fact(of row: Int) -> Double { 0 }

    func score(query: Int, row: Int, fact: Double, _ both: Int32, _ opposite: Int32) -> Double {
        Double(PackedCodes.dotProduct(both, opposite))
    }
}

/// By the cosine.
struct ByCosine: Comparison {
    let norms: Norms.Lent

    func fact(of row: Int) -> Double { norms.of(row: row) }

    func score(query: Int, row: Int, fact: Double, _ both: Int32, _ opposite: Int32) -> Double {
        let product = norms.of(query: query) * fact
        return product == 0 ? 0 : Double(PackedCodes.dotProduct(both, opposite)) / product.squareRoot()
    }
}

/// By the number of features that differ, which is negated, since the smallest is best.
struct ByHamming: Comparison {
    let norms: Norms.Lent

    func fact(of row: Int) -> Double { norms.of(row: row) }

    func score(query: Int, row: Int, fact: Double, _ both: Int32, _ opposite: Int32) -> Double {
        Double(2 * Int(both) - Int(opposite)) - norms.of(query: query) - fact
    }
}

/// By the cosine of the codes less their mean.
struct ByCentredCosine: Comparison, @unchecked Sendable {
    let nonzero: Norms.Lent
    let mean: MeanCode.Numbers
    let offsets: PackedCodes.OffsetPointers
    /// The norms of the queries less the mean.
    let norms: UnsafePointer<Double>

    func fact(of row: Int) -> Double { mean.norm(offsets.base[row], nonzero: nonzero.of(row: row)) }

    func score(query: Int, row: Int, fact: Double, _ both: Int32, _ opposite: Int32) -> Double {
        let product = norms[query] * fact
        let dot = mean.dot(
            Double(PackedCodes.dotProduct(both, opposite)), offsets.queries[query], offsets.base[row])
        return product == 0 ? 0 : dot / product
    }
}

import FNESupport

// For Swift programs: the functions on pointers, with arrays, and with the sizes checked.
extension PackedCodes {
    /// Packs codes, int8 [n, features] of -1, 0 and 1: uint64 [n, words(features)].
    public static func packed(_ codes: [Int8], features: Int) throws -> [UInt64] {
        let rowWords = try words(features: features)
        let rows = try wholeRows(codes.count, features, "codes")
        let count = try checkedProduct(rows, rowWords, of: "the packed codes")
        return try [UInt64](unsafeUninitializedCapacity: count) { packed, initialized in
            guard let start = packed.baseAddress else { return }
            try pack(codes, rows: rows, features: features, to: start)
            initialized = count
        }
    }

    /// The k best rows of a base for each query, best first, all packed.
    ///
    /// - Throws: `.invalidArgument` unless 1 <= k <= rows of the base; `.shapeMismatch` for what is no whole rows.
    public static func nearest(
        in base: [UInt64], to queries: [UInt64], features: Int, k: Int, metric: Metric = .cosine
    ) throws -> [[(index: Int, score: Double)]] {
        let rowWords = try words(features: features)
        let baseRows = try wholeRows(base.count, rowWords, "base")
        let queryRows = try wholeRows(queries.count, rowWords, "queries")
        guard k >= 1, k <= baseRows else {
            throw FNEError(.invalidArgument, "k is \(k); it must be 1 to \(baseRows), the number of codes searched")
        }
        var indices = [UInt64](repeating: 0, count: queryRows * k)
        var scores = [Double](repeating: 0, count: queryRows * k)
        try search(
            base, rows: baseRows, for: queries, rows: queryRows, features: features, k: k, metric: metric,
            indices: &indices, scores: &scores)
        return (0..<queryRows).map { query in
            (query * k..<(query + 1) * k).map { (Int(indices[$0]), scores[$0]) }
        }
    }
}

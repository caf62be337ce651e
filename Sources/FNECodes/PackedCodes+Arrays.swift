import FNESupport

// Swift programs can use these forms, which take arrays instead of pointers and check their sizes.
extension PackedCodes {
    /// Packs codes. They are int8 [n, features] of -1, 0 and 1, and become uint64 [n, words(features)].
    ///
    /// - Throws: `.shapeMismatch` unless these are whole rows; `.invalidArgument` for another value.
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

    /// Finds the k best rows of a base for each query. Base and queries are packed codes.
    ///
    /// - Returns: for each query, the indices of the best rows and their scores, best first.
    /// - Throws: `.invalidArgument` unless k is 1 to the number of rows of the base; `.shapeMismatch` unless base and
    ///   queries are whole rows.
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

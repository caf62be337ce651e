// What Swift programs call with arrays: the functions on pointers beside it, with the sizes checked. The C interface, whose
// callers own all memory, uses the pointers.

extension Extractor {
    /// The pooled features of image files: float32 [paths.count * rowsPerImage, featureCount], row after row.
    ///
    /// - Throws: as `extract(files:to:rowsDone:reports:)`.
    public func features(of paths: [FilePath], reports: Reports = Reports()) throws -> [Float] {
        let count = try checkedProduct(paths.count, rowsPerImage, featureCount, of: "the features")
        return try [Float](unsafeUninitializedCapacity: count) { rows, initialized in
            rows.initialize(repeating: 0)
            initialized = count
            var rowsDone = 0
            try extract(files: paths, to: Output(features: rows.baseAddress), rowsDone: &rowsDone, reports: reports)
        }
    }
}

extension Statistics {
    /// Adds rows, float32 [n, featureCount].
    ///
    /// - Throws: `.shapeMismatch` unless these are whole rows; `.notFinite`, and then none of them is added.
    public func update(_ rows: [Float]) throws {
        try update(rows, rowCount: wholeRows(rows.count, featureCount, "rows"))
    }

    /// Mean and standard deviation of each feature; the variance is over count - ddof.
    ///
    /// - Throws: `.invalidArgument` unless count > ddof.
    public func moments(ddof: Int = 0) throws -> (mean: [Double], std: [Double]) {
        var mean = [Double](repeating: 0, count: featureCount)
        var std = mean
        try mean.withUnsafeMutableBufferPointer { mean in
            try std.withUnsafeMutableBufferPointer { std in
                try get(mean: mean.baseAddress, std: std.baseAddress, ddof: ddof)
            }
        }
        return (mean, std)
    }

    /// The object as bytes, in the format of docs/numerics.md; equal states give equal bytes.
    public func saved() throws -> [UInt8] {
        try [UInt8](unsafeUninitializedCapacity: savedSize) { bytes, initialized in
            try save(to: UnsafeMutableRawBufferPointer(bytes))
            initialized = savedSize
        }
    }
}

extension Discretization {
    /// Standardizes rows, float32 [n, mean.count], and discretizes them to -1, 0, 1.
    ///
    /// - Throws: `.shapeMismatch` unless these are whole rows and mean and std of one length; as `apply`.
    public func codes(of rows: [Float], mean: [Double], std: [Double]) throws -> [Int8] {
        guard mean.count == std.count else {
            throw FNEError(.shapeMismatch, "mean has \(mean.count) features, std \(std.count)")
        }
        let count = try wholeRows(rows.count, mean.count, "rows")
        return try [Int8](unsafeUninitializedCapacity: rows.count) { codes, initialized in
            guard let start = codes.baseAddress else { return }
            try apply(rows, rows: count, features: mean.count, mean: mean, std: std, to: start)
            initialized = rows.count
        }
    }
}

extension PackedCodes {
    /// Packs codes, int8 [n, features] of -1, 0 and 1: uint64 [n, words(features)].
    public static func packed(_ codes: [Int8], features: Int) throws -> [UInt64] {
        let words = try words(features: features)
        let rows = try wholeRows(codes.count, features, "codes")
        let count = try checkedProduct(rows, words, of: "the packed codes")
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
        let words = try words(features: features)
        let baseRows = try wholeRows(base.count, words, "base")
        let queryRows = try wholeRows(queries.count, words, "queries")
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

private func wholeRows(_ size: Int, _ columns: Int, _ what: String) throws -> Int {
    guard columns > 0, size > 0, size.isMultiple(of: columns) else {
        throw FNEError(.shapeMismatch, "\(what) has \(size) elements, which are no whole rows of \(columns)")
    }
    return size / columns
}

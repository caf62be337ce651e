import FNESupport

// Swift programs can use these forms, which take arrays instead of pointers and check their sizes.
extension Discretization {
    /// Standardizes rows, float32 [n, mean.count], and discretizes them to -1, 0 and 1.
    ///
    /// - Throws: `.shapeMismatch` unless these are whole rows, and mean and std have the same length; as `apply`.
    public func codes(of rows: [Float], mean: [Double], std: [Double]) throws -> [Int8] {
        guard mean.count == std.count else {
            throw FNEError(.shapeMismatch, "mean has \(mean.count) features, but std has \(std.count)")
        }
        let count = try wholeRows(rows.count, mean.count, "rows")
        return try [Int8](unsafeUninitializedCapacity: rows.count) { codes, initialized in
            guard let start = codes.baseAddress else { return }
            try apply(rows, rows: count, features: mean.count, mean: mean, std: std, to: start)
            initialized = rows.count
        }
    }
}

import FNESupport

// Swift programs can use these forms, which take arrays instead of pointers and check their sizes.
extension Statistics {
    /// Adds rows, float32 [n, featureCount].
    ///
    /// - Throws: `.shapeMismatch` unless these are whole rows; `.notFinite`. After an error no row is added.
    public func update(_ rows: [Float]) throws {
        try update(rows, rowCount: wholeRows(rows.count, featureCount, "rows"))
    }

    /// The mean and the standard deviation of each feature. The variance is the sum of squares over count - ddof.
    ///
    /// - Throws: `.invalidArgument` unless count is above ddof.
    public func moments(ddof: Int = 0) throws -> (mean: [Double], std: [Double]) {
        var mean = [Double](repeating: 0, count: featureCount)
        var std = mean
        try mean.withUnsafeMutableBufferPointer { mean in
            try std.withUnsafeMutableBufferPointer { std in
                try moments(mean: mean.baseAddress, std: std.baseAddress, ddof: ddof)
            }
        }
        return (mean, std)
    }

    /// The object as bytes, in the format of docs/numerics.md. Equal states give equal bytes.
    public func saved() throws -> [UInt8] {
        try [UInt8](unsafeUninitializedCapacity: savedSize) { bytes, initialized in
            try save(to: UnsafeMutableRawBufferPointer(bytes))
            initialized = savedSize
        }
    }
}

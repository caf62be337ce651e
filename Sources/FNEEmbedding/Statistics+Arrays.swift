import FNESupport

// For Swift programs: the functions on pointers, with arrays, and with the sizes checked.
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
                try moments(mean: mean.baseAddress, std: std.baseAddress, ddof: ddof)
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

import FNESupport

// Swift programs can use these forms, which take arrays instead of pointers and check their sizes.
extension Extractor {
    /// Computes the features of image files, as float32 [paths.count * rowsPerImage, featureCount], row after row.
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

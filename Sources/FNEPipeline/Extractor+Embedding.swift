import FNEEmbedding
import FNESupport

extension Extractor {
    /// Embeds image files by their own statistics, which are mean and standard deviation of each feature over all
    /// images. The float32 rows stay in memory until the last image is read.
    ///
    /// - Parameters:
    ///   - codes: receives int8 [files.count * rowsPerImage, F]; a skipped image's rows are
    ///     `Discretization.skippedCode`
    ///   - mean, std: receive float64 [F]
    ///   - rowsDone: receives the number of all rows once the codes are final, else 0
    /// - Throws: as `extract(files:to:rowsDone:reports:)`; the first image's error where no image could be embedded.
    public func embed(
        files paths: [FilePath], _ discretization: Discretization, to codes: UnsafeMutablePointer<Int8>,
        mean: UnsafeMutablePointer<Double>, std: UnsafeMutablePointer<Double>, rowsDone: inout Int,
        reports: Reports = Reports()
    ) throws {
        rowsDone = 0
        try Reserve.prepare(128 * paths.count) // the errors, should all images be bad
        let rowSize = rowsPerImage * featureCount
        let waiting = try Bytes(
            count: checkedProduct(paths.count, rowSize, MemoryLayout<Float>.size, of: "images x features"))
        let statistics = try Statistics(featureCount: featureCount)
        var bad: [Int: FNEError] = [:]
        try waiting.withNumbers(of: Float.self) { rows in
            var output = Output(features: rows)
            output.sink = { images, rows in
                for (offset, image) in images.enumerated() where bad[image] == nil {
                    try statistics.update(rows + offset * rowSize, rowCount: self.rowsPerImage)
                }
            }
            var reports = reports
            reports.imageError = { [report = reports.imageError] image, error in
                bad[image] = error
                report?(image, error)
            }
            var extracted = 0
            try extract(files: paths, to: output, rowsDone: &extracted, reports: reports)
            if statistics.count == 0, let first = bad[0] {
                throw first.about("none of the \(paths.count) images could be embedded")
            }
            Statistics.warn(ofImages: paths.count - bad.count)
            try statistics.moments(mean: mean, std: std)
            let discretizer = try Discretizer(discretization, features: featureCount, mean: mean, std: std)
            for image in paths.indices {
                let target = codes + image * rowSize
                if bad[image] == nil {
                    try discretizer.apply(rows + image * rowSize, rows: rowsPerImage, to: target)
                } else {
                    target.update(repeating: Discretization.skippedCode, count: rowSize)
                }
            }
        }
        rowsDone = paths.count * rowsPerImage
    }
}

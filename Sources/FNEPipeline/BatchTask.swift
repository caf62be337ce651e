import FNECodes
import FNEEmbedding
import FNESupport

/// The work of a stream on a loaded batch. The network runs, the rows are checked, and the output is written.
struct BatchTask {
    /// The result of a batch.
    struct Outcome {
        let images: Range<Int>
        /// The images without good rows, in order. With `onError` `.fail`, the first ends the run.
        var badImages: [(image: Int, error: FNEError)] = []
        /// An error that ends the run.
        var error: FNEError?
        /// The rows for the sink; nil where no sink takes them, or where they stand in the caller's memory.
        var rows: Bytes?
    }

    private let extractor: Extractor
    private let output: Extractor.Output
    private let rowsPerImage: Int
    private let name: (Int) -> String?
    /// Memory for rows that the caller does not want, but codes are made of.
    private let scratch: Bytes?
    /// Memory for codes that the caller does not want, but packed codes are made of.
    private let codeScratch: Bytes?

    init(
        _ extractor: Extractor, _ output: Extractor.Output, rowsPerImage: Int, imagesPerBatch: Int,
        name: @escaping (Int) -> String?
    ) throws {
        self.extractor = extractor
        self.output = output
        self.rowsPerImage = rowsPerImage
        self.name = name
        let values = try checkedProduct(
            imagesPerBatch, rowsPerImage, extractor.featureCount, MemoryLayout<Float>.size, of: "batch_size x features")
        scratch = output.features == nil && output.sink == nil ? try Bytes(count: values) : nil
        codeScratch = output.codes == nil && output.packed != nil ? try Bytes(count: values / 4) : nil
    }

    func run(_ batch: BatchLoader.Batch, in buffers: RowBuffers?) -> Outcome {
        var outcome = Outcome(images: batch.first..<batch.first + batch.count)
        do {
            if let buffers {
                let rows = try buffers.take()
                try rows.withNumbers(of: Float.self) { try run(batch, $0, &outcome) }
                outcome.rows = rows
            } else if let features = output.features {
                try run(batch, features + batch.first * rowsPerImage * extractor.featureCount, &outcome)
            } else {
                try scratch?.withNumbers(of: Float.self) { try run(batch, $0, &outcome) }
            }
        } catch {
            outcome.error = error as? FNEError ?? FNEError(.internalError, "\(error)")
        }
        return outcome
    }

    private func run(_ batch: BatchLoader.Batch, _ rows: UnsafeMutablePointer<Float>, _ outcome: inout Outcome) throws {
        outcome.badImages = batch.failures.map { (batch.first + $0.offset, $0.error) }
        if !extractor.skipsBadImages, !outcome.badImages.isEmpty { return }
        try extractor.run(batch.values, count: batch.count * rowsPerImage, to: rows)
        let rowSize = rowsPerImage * extractor.featureCount
        for offset in 0..<batch.count where !batch.failures.contains(where: { $0.offset == offset }) {
            guard let error = extractor.checkRows(rows + offset * rowSize, count: rowsPerImage) else { continue }
            let image = batch.first + offset
            outcome.badImages.append((image, name(image).map { error.about($0) } ?? error))
        }
        outcome.badImages.sort { $0.image < $1.image }
        if !extractor.skipsBadImages, !outcome.badImages.isEmpty { return }
        if let discretizer = output.discretizer {
            if let codes = output.codes {
                try discretize(rows, batch, discretizer, to: codes + batch.first * rowSize, without: outcome.badImages)
            } else {
                try codeScratch?.withNumbers(of: Int8.self) {
                    try discretize(rows, batch, discretizer, to: $0, without: outcome.badImages)
                }
            }
        }
        for (image, _) in outcome.badImages {
            (rows + (image - batch.first) * rowSize).update(repeating: .nan, count: rowSize)
        }
    }

    private func discretize(
        _ rows: UnsafeMutablePointer<Float>, _ batch: BatchLoader.Batch, _ discretizer: Discretizer,
        to codes: UnsafeMutablePointer<Int8>, without bad: [(image: Int, error: FNEError)]
    ) throws {
        let rowSize = rowsPerImage * extractor.featureCount
        for offset in 0..<batch.count {
            let (from, to) = (rows + offset * rowSize, codes + offset * rowSize)
            if bad.contains(where: { $0.image == batch.first + offset }) {
                to.update(repeating: Discretization.skippedCode, count: rowSize)
            } else {
                try discretizer.apply(from, rows: rowsPerImage, to: to)
            }
        }
        guard let packed = output.packed else { return }
        let features = extractor.featureCount
        try PackedCodes.pack(
            codes, rows: batch.count * rowsPerImage, features: features,
            to: packed + batch.first * rowsPerImage * PackedCodes.words(features: features))
    }
}

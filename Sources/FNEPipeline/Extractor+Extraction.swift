import CKernels
import FNEEmbedding
import FNEImage
import FNESupport
import Glibc

extension Extractor {
    /// The functions that a run reports to. All are called on the calling thread.
    public struct Reports {
        /// Is called between batches with the number of images that are done and the number of all images. Returning
        /// false cancels the run.
        public var progress: ((Int, Int) -> Bool)?
        /// Is called with the number and the error of each image that is skipped, or of the one that ends the run.
        public var imageError: ((Int, FNEError) -> Void)?

        /// Reports to none, one or both functions.
        public init(progress: ((Int, Int) -> Bool)? = nil, imageError: ((Int, FNEError) -> Void)? = nil) {
            self.progress = progress
            self.imageError = imageError
        }
    }

    /// The places that a run's rows go to. There must be at least one. The caller owns the memory, which must last
    /// until the run returns.
    public struct Output {
        /// Receives float32 [rows, F]. A skipped image's rows are NaN.
        public var features: UnsafeMutablePointer<Float>?
        /// Receives codes, int8 [rows, F], which the discretizer makes. A skipped image's rows are
        /// `Discretization.skippedCode`.
        public var codes: UnsafeMutablePointer<Int8>?
        /// Receives packed codes (see `PackedCodes`), which the discretizer makes. A skipped image's rows are 0.
        public var packed: UnsafeMutablePointer<UInt64>?
        /// Makes the codes. It is needed for `codes` and `packed`.
        public var discretizer: Discretizer?
        /// Receives batch after batch, on the calling thread: the images, and their rows as float32 [rows, F], which
        /// live during the call. A skipped image's rows are NaN. An error that it throws ends the run. Without
        /// `features`, some batches wait in memory for the sink.
        package var sink: ((Range<Int>, UnsafePointer<Float>) throws -> Void)?

        /// An output to the places that are given.
        public init(
            features: UnsafeMutablePointer<Float>? = nil, codes: UnsafeMutablePointer<Int8>? = nil,
            packed: UnsafeMutablePointer<UInt64>? = nil, discretizer: Discretizer? = nil
        ) {
            self.features = features
            self.codes = codes
            self.packed = packed
            self.discretizer = discretizer
        }
    }

    /// Embeds image files.
    ///
    /// - Parameters:
    ///   - output: has room for paths.count * rowsPerImage rows; the crops of an image are adjacent
    ///   - rowsDone: receives the number of rows that are final, also when the call throws; later rows are unspecified
    /// - Throws: the error of the first bad image, with its name, where `onError` is `.fail`. It is `.notFinite` where
    ///   the network gives NaN or infinity. `.ioError` and `.outOfMemory` always, because the image may be good. Also
    ///   `.cancelled`; `.backendError`; `.forked`; `.shapeMismatch` for a discretizer of another F.
    public func extract(
        files paths: [FilePath], to output: Output, rowsDone: inout Int, reports: Reports = Reports()
    ) throws {
        try extract(fileCount: paths.count, file: { paths[$0] }, to: output, rowsDone: &rowsDone, reports: reports)
    }

    /// Embeds image files whose paths are made when they are needed.
    ///
    /// - Parameters:
    ///   - file: gives the path of the image of that number; several threads call it at once
    ///   - place: gives the words for an image in errors; nil for words such as "image 3 of 7"
    ///   - judge: sees each error of reading a file, and may turn it into an `.ioError`; several threads call it
    ///   - decoded: is called with the number and the format of each image that was decoded; several threads call it
    package func extract(
        fileCount: Int, file: @escaping (Int) -> FilePath, to output: Output, rowsDone: inout Int, reports: Reports,
        place: ((Int) -> String)? = nil, judge: @escaping (FNEError) -> FNEError = { $0 },
        decoded: @escaping (Int, ImageFormat) -> Void = { _, _ in }
    ) throws {
        let patience = Patience(judge: judge)
        try extract(
            fileCount, to: output, &rowsDone, reports, name: { file($0).description }, place: place, patience: patience
        ) { [preprocessing, decoder, engine] i, fed in
            let image = try Image(
                file: file(i), options: preprocessing.imageOptions, patience, decoder: decoder,
                denominator: preprocessing.denominator)
            decoded(i, image.info.format)
            try preprocessing.feed(image, as: engine.layout, to: fed)
        }
    }

    /// Embeds encoded images in memory, as `extract(files:to:rowsDone:reports:)` does. The bytes must last until
    /// the call returns.
    public func extract(
        encoded images: [UnsafeRawBufferPointer], to output: Output, rowsDone: inout Int, reports: Reports = Reports()
    ) throws {
        try extract(images.count, to: output, &rowsDone, reports) { [preprocessing, decoder, engine] i, fed in
            let image = try Image(
                encoded: images[i], options: preprocessing.imageOptions, decoder: decoder,
                denominator: preprocessing.denominator)
            try preprocessing.feed(image, as: engine.layout, to: fed)
        }
    }

    /// Decoded pixels in the caller's memory, uint8 [height, width, 3].
    public struct Pixels {
        /// The first pixel of the first row.
        public let pixels: UnsafePointer<UInt8>
        /// Bytes from one row to the next.
        public let rowStride: Int
        /// The number of rows.
        public let height: Int
        /// The number of pixels in a row.
        public let width: Int
        /// The order of the channels in memory.
        public let channelOrder: ChannelOrder

        /// Pixels that must last until the call they are given to returns.
        public init(
            pixels: UnsafePointer<UInt8>, rowStride: Int, height: Int, width: Int, channelOrder: ChannelOrder
        ) {
            self.pixels = pixels
            self.rowStride = rowStride
            self.height = height
            self.width = width
            self.channelOrder = channelOrder
        }
    }

    /// Embeds decoded pixels, as `extract(files:to:rowsDone:reports:)` does.
    public func extract(
        pixels images: [Pixels], to output: Output, rowsDone: inout Int, reports: Reports = Reports()
    ) throws {
        try extract(images.count, to: output, &rowsDone, reports) { [preprocessing, engine] i, fed in
            try preprocessing.feed(images[i], as: engine.layout, to: fed)
        }
    }

    /// Computes the network's input for an image, in the layout that `extract(tensor:)` takes.
    ///
    /// - Parameter fed: receives float32 [rowsPerImage, height, width, channels]
    /// - Throws: `.imageLimit`, `.invalidArgument`, `.outOfMemory`.
    public func preprocess(_ image: Pixels, to fed: UnsafeMutablePointer<Float>) throws {
        try preprocessing.feed(image, as: .channelsLast, to: fed)
    }

    /// Embeds float32 [count, height, width, channels], as `extract(files:to:rowsDone:reports:)` does. The numbers are
    /// fed to the network as they are. Each image gives one row. A number that the type of the network's input does not
    /// have is an `.invalidArgument`.
    public func extract(
        tensor: UnsafePointer<Float>, count: Int, to output: Output, rowsDone: inout Int, reports: Reports = Reports()
    ) throws {
        let size = preprocessing.cropValueCount
        try extract(count, rowsPerImage: 1, to: output, &rowsDone, reports) { i, fed in
            let bad = ck_first_not_finite(tensor + i * size, size)
            guard bad == size else { // a ReLU could hide the number by making a finite feature of it
                let what = (tensor + i * size)[bad].isNaN ? "NaN" : "infinity"
                throw FNEError(
                    .notFinite, "the network's input is \(what) in element \(bad). Check the numbers, mean and scale")
            }
            try self.checkWholeNumbers(UnsafeBufferPointer(start: tensor + i * size, count: size))
            self.preprocessing.feed(tensor + i * size, as: self.engine.layout, to: fed)
        }
    }

    /// Checks that a network of whole numbers is fed with those. The cast would cut others without a word.
    private func checkWholeNumbers(_ values: UnsafeBufferPointer<Float>) throws {
        guard let range = wholeNumbers,
            let bad = values.firstIndex(where: { !range.contains($0) || $0.rounded() != $0 })
        else { return }
        throw FNEError(
            .invalidArgument,
            "the network reads whole numbers from \(Int(range.lowerBound)) to \(Int(range.upperBound)), but element "
                + "\(bad) of its input is \(values[bad])")
    }

    private func extract(
        _ count: Int, rowsPerImage: Int? = nil, to output: Output, _ rowsDone: inout Int, _ reports: Reports,
        name: @escaping (Int) -> String? = { _ in nil }, place: ((Int) -> String)? = nil, patience: Patience? = nil,
        load: @escaping (Int, UnsafeMutablePointer<Float>) throws -> Void
    ) throws {
        rowsDone = 0
        try checkCall(count, output)
        let perImage = rowsPerImage ?? self.rowsPerImage
        let imagesPerBatch = batchImages(count, rowsPerImage: perImage)
        let streams = min(self.streams, (count - 1) / imagesPerBatch + 1)
        let buffers =
            output.sink == nil || output.features != nil
            ? nil
            : RowBuffers(
                size: try checkedProduct(
                    imagesPerBatch, perImage, featureCount, MemoryLayout<Float>.size, of: "batch_size x features"),
                consumers: streams)
        let loader = try BatchLoader(
            count: count, batchSize: imagesPerBatch, valueCount: perImage * preprocessing.cropValueCount,
            threads: loaderThreads, consumers: streams, load: load)
        let runs = OrderedStreams(
            try (0..<streams).map { _ -> OrderedStreams<BatchTask.Outcome>.Stream in
                let task = try BatchTask(
                    self, output, rowsPerImage: perImage, imagesPerBatch: imagesPerBatch, name: name)
                return {
                    // Memory comes first. So the earliest batch in work always has memory, and the others wait for it.
                    guard buffers?.waitForRoom() ?? true, let batch = loader.take() else { return nil }
                    defer { loader.giveBack(batch) }
                    return (batch.number, task.run(batch, in: buffers))
                }
            })
        defer {
            patience?.end()
            loader.stop()
            buffers?.stop()
            runs.stop()
        }
        while let outcome = runs.next() {
            try Reserve.check()
            for (image, error) in outcome.badImages {
                reports.imageError?(image, error)
                if endsTheRun(error) { throw error.about(place?(image) ?? "image \(image) of \(count)") }
            }
            if let error = outcome.error { throw error }
            try deliver(outcome, to: output, rowsPerImage: perImage, buffers)
            let done = outcome.images.upperBound
            rowsDone = done * perImage
            if let progress = reports.progress, !progress(done, count) {
                throw FNEError(.cancelled, "cancelled after \(done) of \(count) images")
            }
        }
    }

    private func checkCall(_ count: Int, _ output: Output) throws {
        guard getpid() == process else {
            throw FNEError(
                .forked,
                "this extractor was opened before the process forked, and its engine's threads are not in the child. "
                    + "Start workers with spawn, or open the first extractor in the child")
        }
        guard count >= 1 else { throw FNEError(.invalidArgument, "there are no images") }
        let wantsCodes = output.codes != nil || output.packed != nil
        guard wantsCodes || output.features != nil || output.sink != nil else {
            throw FNEError(.invalidArgument, "the output receives nothing. Give it features, codes or packed codes")
        }
        guard !wantsCodes || output.discretizer != nil else {
            throw FNEError(.invalidArgument, "the output has no discretizer, which makes the codes")
        }
        if let discretizer = output.discretizer, discretizer.featureCount != featureCount {
            throw FNEError(
                .shapeMismatch,
                "the statistics are of \(discretizer.featureCount) features, but these layers have \(featureCount)")
        }
    }

    /// Hands a batch's rows to the sink, if there is one.
    private func deliver(
        _ outcome: BatchTask.Outcome, to output: Output, rowsPerImage: Int, _ buffers: RowBuffers?
    ) throws {
        guard let sink = output.sink else { return }
        if let rows = outcome.rows {
            try rows.withNumbers(of: Float.self) { try sink(outcome.images, $0) }
            buffers?.giveBack(rows)
        } else if let features = output.features {
            try sink(outcome.images, features + outcome.images.lowerBound * rowsPerImage * featureCount)
        }
    }

    /// Images per batch. Their rows fill the batch size. There is at least one image.
    private func batchImages(_ count: Int, rowsPerImage: Int) -> Int {
        let full = max(1, batchSize / rowsPerImage)
        return mayShrinkBatches ? min(full, (count - 1) / streams + 1) : full
    }

    /// Runs the network on loaded rows. A run takes at most `batchSize` rows.
    func run(_ values: UnsafeMutablePointer<Float>, count: Int, to rows: UnsafeMutablePointer<Float>) throws {
        for first in stride(from: 0, to: count, by: batchSize) {
            try engine.run(
                values + first * preprocessing.cropValueCount, count: min(batchSize, count - first),
                to: rows + first * featureCount)
        }
    }

    /// The error for an image's rows of which a feature is NaN or infinite; nil where all are finite.
    func checkRows(_ rows: UnsafePointer<Float>, count: Int) -> FNEError? {
        let bad = ck_first_not_finite(rows, count * featureCount)
        guard bad < count * featureCount else { return nil }
        let feature = bad % featureCount
        let layer = layers.first { $0.features.contains(feature) }
        let place =
            layer.map { "feature \(feature - $0.features.lowerBound) of layer '\($0.name)'" } ?? "feature \(feature)"
        return FNEError(
            .notFinite,
            "the network gave \(rows[bad].isNaN ? "NaN" : "infinity") in \(place). Check the preprocessing "
                + "(mean, scale) and the network's weights")
    }
}

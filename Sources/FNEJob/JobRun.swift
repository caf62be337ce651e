import FNECodes
import FNEEmbedding
import FNESupport

/// One run of a job. It begins where the last run stopped.
final class JobRun {
    private(set) var manifest: Manifest
    private let files: JobFiles
    private let list: ImageList
    private let options: Job.Options
    private let source: (any RowSource)?
    private let reports: Job.Reports

    private let features: Int // F
    private let rowsPerImage: Int
    private var checkpoint: Checkpoint
    private var failures: Failures
    /// The failures among the images of the next batch.
    private var announced: [Int: Failures.Failure] = [:]
    private var discretizer: Discretizer?
    private var matrices: Matrices
    private var lastCheckpoint = monotonicSeconds()
    private let codeBuffer: CodeBuffer

    /// The matrices that this run writes to.
    private struct Matrices {
        var features: NumPyFile?
        var codes: NumPyFile?
        var packed: NumPyFile?

        func sync() throws {
            for case let matrix? in [features, codes, packed] { try matrix.file.sync() }
        }
    }

    /// Memory in which a batch's codes are made before they are written. It is kept from batch to batch.
    private final class CodeBuffer {
        private var codes: Bytes?
        private var words: Bytes?

        func codes(_ count: Int) throws -> Bytes { try Self.room(in: &codes, for: count) }

        func words(_ count: Int) throws -> Bytes {
            try Self.room(in: &words, for: checkedProduct(count, MemoryLayout<UInt64>.size, of: "packed codes"))
        }

        private static func room(in kept: inout Bytes?, for count: Int) throws -> Bytes {
            if let kept, kept.count >= count { return kept }
            let larger = try Bytes(count: count)
            kept = larger
            return larger
        }
    }

    var imagesDone: Int { checkpoint.imagesDone }

    init(
        _ files: JobFiles, _ manifest: Manifest, _ list: ImageList, _ options: Job.Options, _ source: (any RowSource)?,
        _ reports: Job.Reports
    ) throws {
        self.files = files
        self.manifest = manifest
        self.list = list
        self.options = options
        self.source = source
        self.reports = reports
        features = try manifest.featureCount()
        rowsPerImage = try manifest.rowsPerImage()
        codeBuffer = CodeBuffer()
        matrices = Matrices()
        let path = files.path(JobFiles.checkpoint)
        if File.exists(path) {
            checkpoint = try Checkpoint(reading: path, images: list.count, features: features)
        } else if manifest.results != nil { // the features are finished, and codes were asked for afterwards
            checkpoint = Checkpoint(statistics: nil)
            checkpoint.imagesDone = list.count
        } else {
            let collects = manifest.codes?.statisticsSHA256 == nil
            checkpoint = Checkpoint(statistics: collects ? try Statistics(featureCount: features) : nil)
        }
        failures = try Failures(files.path(JobFiles.failures), size: checkpoint.failuresSize)
        guard failures.count == checkpoint.failureCount else {
            throw FNEError(
                .invalidData,
                "'\(files.path(JobFiles.failures))' does not fit the checkpoint. Remove the folder and begin again")
        }
    }

    func run() throws {
        try begin()
        do {
            try embed()
            try makeStatistics()
            try makeCodes()
        } catch {
            // The first error is reported. If this checkpoint fails too, the last one stands.
            if checkpoint.imagesDone > 0 { try? save() }
            throw error
        }
        try finish()
    }

    private func begin() throws {
        if checkpoint.imagesDone < list.count {
            guard let source else {
                throw FNEError(
                    .invalidArgument,
                    "\(list.count - checkpoint.imagesDone) images are not embedded yet; open the job and run it with "
                        + "its model")
            }
            try compareEngines(with: source)
        } else if manifest.results != nil {
            try takeFailures()
        }
        if let given = try givenStatistics() { discretizer = try Self.discretizer(given, manifest) }
        try manifest.write(to: files.folder)
        try open()
    }

    /// Checks that the rows of one job come from one engine, since another one may compute other last bits. A merge
    /// takes the engines that computed the shards.
    ///
    /// - Throws: `.jobMismatch`, unless the options accept another engine.
    private func compareEngines(with source: any RowSource) throws {
        let all = source.engines(from: 0)
        guard checkpoint.imagesDone > 0, manifest.engines != all else {
            manifest.engines = all
            return
        }
        let now = source.engines(from: checkpoint.imagesDone)
        guard let last = manifest.engines.last, let next = now.first, last.facts != next.facts else { return }
        let difference = Manifest.difference(next.facts, last.facts) ?? ""
        guard options.acceptsOtherEngine else {
            throw FNEError(
                .jobMismatch,
                "the first \(checkpoint.imagesDone) images were embedded by another engine: \(difference). The last "
                    + "bits of rows could differ. Accept another engine to resume the job, or take another folder")
        }
        manifest.engines += now
    }

    /// Reads the failures of a job whose codes alone are missing. They are in `images.jsonl`.
    private func takeFailures() throws {
        guard failures.count == 0, let results = manifest.results, results.failed > 0 else { return }
        for (image, failure) in try ShardsSource.failures(in: files.folder, results.failed) {
            failures.add(image, .init(status: failure.status.rawValue, reason: failure.message))
        }
    }

    private func givenStatistics() throws -> Statistics? {
        guard let wanted = manifest.codes?.statisticsSHA256 else { return nil }
        guard let path = options.statistics else {
            throw FNEError(.invalidArgument, "the job was begun with a file of statistics. Pass the file again")
        }
        let statistics = try File.read(path) { bytes in
            guard sha256(bytes) == wanted else {
                throw FNEError(.jobMismatch, "this is not the file of statistics that the job was begun with")
            }
            return try Statistics.load(bytes)
        }
        guard statistics.featureCount == features else {
            throw FNEError(
                .shapeMismatch,
                "'\(path)' has statistics of \(statistics.featureCount) features, but the job has \(features) features")
        }
        return statistics
    }

    private static func discretizer(_ statistics: Statistics, _ manifest: Manifest) throws -> Discretizer? {
        guard let codes = manifest.codes else { return nil }
        let count = statistics.featureCount
        var (mean, std) = ([Double](repeating: 0, count: count), [Double](repeating: 0, count: count))
        try statistics.moments(mean: &mean, std: &std)
        return try Discretizer(codes.discretization, features: count, mean: mean, std: std)
    }

    private func open() throws {
        let rows = list.count * rowsPerImage
        if manifest.keepsFeatures {
            matrices.features = try NumPyFile(files.data(JobFiles.features), .float32, [rows, features])
        }
        guard let formats = manifest.codes?.formats else { return }
        if formats.contains(.int8) {
            matrices.codes = try NumPyFile(files.data(JobFiles.codes), .int8, [rows, features])
        }
        if formats.contains(.packed) {
            matrices.packed = try NumPyFile(
                files.data(JobFiles.packedCodes), .uint64, [rows, 2, PackedCodes.words(features: features) / 2])
        }
    }

    private func report(_ phase: Job.Phase, _ done: Int, _ total: Int) throws {
        try Reserve.check()
        guard let progress = reports.progress, !progress(phase, done, total) else { return }
        throw FNEError(.cancelled, "the job was cancelled; it resumes here when it is run again")
    }

    // MARK: Checkpoints

    /// Writes a checkpoint. All that it counts is written first, so that a checkpoint never counts what a crash can
    /// lose.
    private func save() throws {
        try matrices.sync()
        checkpoint.failuresSize = try failures.sync()
        checkpoint.failureCount = failures.count
        try checkpoint.write(to: files.path(JobFiles.checkpoint))
        lastCheckpoint = monotonicSeconds()
    }

    private func saveIfTime() throws {
        if monotonicSeconds() - lastCheckpoint >= Double(options.checkpointSeconds) { try save() }
    }

    // MARK: Phases

    private func embed() throws {
        guard checkpoint.imagesDone < list.count, let source else { return }
        try report(.embedding, checkpoint.imagesDone, list.count)
        try source.rows(
            from: checkpoint.imagesDone,
            failed: { image, error in
                self.announced[image] = .init(status: error.status.rawValue, reason: error.message)
                self.reports.imageError?(image, error)
            },
            sink: { try self.take($0, $1) },
            progress: { done in
                guard let progress = self.reports.progress else { return true }
                return progress(.embedding, done, self.list.count)
            })
        try save()
    }

    /// Takes the rows of a batch. The steps that can fail come first, since they can be repeated. The steps that a
    /// checkpoint counts come after them.
    private func take(_ images: Range<Int>, _ rows: UnsafePointer<Float>) throws {
        try Reserve.check()
        let rowSize = rowsPerImage * features
        let failed = announced
        try matrices.features?.write(rows, count: images.count * rowsPerImage, at: images.lowerBound * rowsPerImage)
        if let discretizer { try writeCodes(images, rows, discretizer) { failed[$0] == nil } }
        if let statistics = checkpoint.statistics {
            var next = images.lowerBound
            while next < images.upperBound {
                let end = (next..<images.upperBound).first { failed[$0] != nil } ?? images.upperBound
                if end > next {
                    try statistics.update(
                        rows + (next - images.lowerBound) * rowSize, rowCount: (end - next) * rowsPerImage)
                }
                next = end + 1
            }
        }
        for (image, failure) in failed.sorted(by: { $0.key < $1.key }) { failures.add(image, failure) }
        announced = [:]
        checkpoint.imagesDone = images.upperBound
        if discretizer != nil { checkpoint.codesDone = images.upperBound }
        try saveIfTime()
    }

    private func makeStatistics() throws {
        guard let statistics = checkpoint.statistics else { return }
        try report(.statistics, 0, 1)
        guard statistics.count > 0 else {
            let first = failures.byImage[0]
            throw FNEError(
                first.flatMap { FNEError.Status(rawValue: $0.status) } ?? .fileError,
                "none of the \(list.count) images could be embedded; '\(list.text(0))': \(first?.reason ?? "")")
        }
        let saved = try Bytes(count: statistics.savedSize)
        try saved.withNumbers(of: UInt8.self) {
            try statistics.save(to: UnsafeMutableRawBufferPointer(start: $0, count: saved.count))
        }
        try saved.withBytes { try File.replace(files.path(JobFiles.statistics), with: $0) }
        var stats = [Double](repeating: 0, count: 2 * features)
        try stats.withUnsafeMutableBufferPointer { stats in
            guard let mean = stats.baseAddress else { return }
            try statistics.moments(mean: mean, std: mean + features)
            try NumPyFile.replace(files.path(JobFiles.stats), .float64, [2, features], UnsafeRawBufferPointer(stats))
        }
        try report(.statistics, 1, 1)
        if discretizer == nil { discretizer = try Self.discretizer(statistics, manifest) }
    }

    private func makeCodes() throws {
        guard manifest.codes != nil, checkpoint.codesDone < list.count else { return }
        if discretizer == nil { // the job's own statistics, of features that were finished before
            let statistics = try File.read(files.path(JobFiles.statistics), Statistics.load)
            discretizer = try Self.discretizer(statistics, manifest)
        }
        guard let discretizer, let source = matrices.features else { return }
        let atOnce = max(1, (1 << 20) / (rowsPerImage * features))
        let buffer = try Bytes(
            count: checkedProduct(atOnce, rowsPerImage, features, MemoryLayout<Float>.size, of: "rows"))
        try buffer.withNumbers(of: Float.self) { rows in
            while checkpoint.codesDone < list.count {
                try report(.codes, checkpoint.codesDone, list.count)
                let images = checkpoint.codesDone..<min(checkpoint.codesDone + atOnce, list.count)
                try source.read(rows, count: images.count * rowsPerImage, at: images.lowerBound * rowsPerImage)
                try writeCodes(images, rows, discretizer) { failures.byImage[$0] == nil }
                checkpoint.codesDone = images.upperBound
                try saveIfTime()
            }
        }
        try save()
        try report(.codes, list.count, list.count)
    }

    /// Makes and writes the codes of images. The rows of failed images are NaN.
    private func writeCodes(
        _ images: Range<Int>, _ rows: UnsafePointer<Float>, _ discretizer: Discretizer, isGood: (Int) -> Bool
    ) throws {
        let rowSize = rowsPerImage * features
        let (first, count) = (images.lowerBound * rowsPerImage, images.count * rowsPerImage)
        try codeBuffer.codes(images.count * rowSize).withNumbers(of: Int8.self) { codes in
            for (offset, image) in images.enumerated() {
                if isGood(image) {
                    try discretizer.apply(rows + offset * rowSize, rows: rowsPerImage, to: codes + offset * rowSize)
                } else {
                    (codes + offset * rowSize).update(repeating: Discretization.skippedCode, count: rowSize)
                }
            }
            try matrices.codes?.write(codes, count: count, at: first)
            guard let packed = matrices.packed else { return }
            try codeBuffer.words(count * PackedCodes.words(features: features)).withNumbers(of: UInt64.self) { words in
                try PackedCodes.pack(codes, rows: count, features: features, to: words)
                try packed.write(words, count: count, at: first)
            }
        }
    }

    private func finish() throws {
        let names =
            (manifest.keepsFeatures ? [JobFiles.features] : [])
            + (manifest.codes.map { codes in
                (codes.formats.contains(.int8) ? [JobFiles.codes] : [])
                    + (codes.formats.contains(.packed) ? [JobFiles.packedCodes] : [])
            } ?? [])
        let steps = names.count + 3
        matrices = Matrices()
        for (step, name) in names.enumerated() {
            try report(.finishing, step, steps)
            try files.finish(name)
        }
        try report(.finishing, names.count, steps)
        try files.writeImages(list, failures)
        try report(.finishing, names.count + 1, steps)
        try files.writeStatus(list.count, failures)
        try report(.finishing, names.count + 2, steps)
        manifest.results = (list.count - failures.count, failures.count)
        manifest.state = manifest.codes == nil ? .features : .finished
        try manifest.write(to: files.folder)
        files.removeTemporary()
        _ = reports.progress?(.finishing, steps, steps) // the job is finished, so the answer cannot cancel it
    }
}

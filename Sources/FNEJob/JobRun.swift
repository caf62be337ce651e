import FNECodes
import FNEEmbedding
import FNESupport

/// One run of a job. It begins where the last run stopped.
final class JobRun {
    private(set) var manifest: Manifest
    let files: JobFiles
    let list: ImageList
    let options: Job.Options
    let source: (any RowSource)?
    let reports: Job.Reports
    private let lock: JobLock

    let features: Int // F
    let rowsPerImage: Int
    var checkpoint: Checkpoint
    var failures: Failures
    /// The failures among the images of the next batch.
    private var announced: [Int: Failures.Failure] = [:]
    private var discretizer: Discretizer?
    private(set) var matrices = Matrices()
    private var imageFiles: ImageFiles?
    private var lastCheckpoint = monotonicSeconds()
    private let codeBuffer = CodeBuffer()
    /// Whether the checkpoint in memory counts nothing that is only half done.
    var mayBeSaved = true

    /// The matrices that this run writes to.
    struct Matrices {
        var features: JobMatrix?
        var codes: JobMatrix?
        var packed: JobMatrix?

        var all: [JobMatrix] { [features, codes, packed].compactMap { $0 } }
        /// Those that hold codes.
        var ofCodes: [JobMatrix] { [codes, packed].compactMap { $0 } }
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

    /// Reads how far the job is.
    init(
        _ files: JobFiles, _ manifest: Manifest, _ list: ImageList, _ options: Job.Options, _ source: (any RowSource)?,
        _ reports: Job.Reports, _ lock: JobLock
    ) throws {
        self.files = files
        self.manifest = manifest
        self.list = list
        self.options = options
        self.source = source
        self.reports = reports
        self.lock = lock
        features = try manifest.featureCount()
        rowsPerImage = try manifest.rowsPerImage()
        let saved = try Checkpoint.latest(files, images: list.count, features: features, notice: reports.say)
        if let saved {
            checkpoint = saved
        } else if manifest.results != nil {
            checkpoint = Self.finished(manifest, list.count)
        } else {
            let collects = manifest.codes?.statisticsSHA256 == nil
            checkpoint = Checkpoint(statistics: collects ? try Statistics(featureCount: features) : nil)
        }
        failures = try Failures(files.path(JobFiles.failures), checkpoint.failures)
    }

    /// The progress of a job that was finished before, and that is continued or repaired now.
    private static func finished(_ manifest: Manifest, _ images: Int) -> Checkpoint {
        var result = Checkpoint(statistics: nil)
        result.imagesDone = images
        let formats = manifest.fileNames(in: .finished).filter { JobFiles.ofCodes.contains($0) }
        result.codesDone = formats.allSatisfy { manifest.files[$0] != nil } ? images : 0
        return result
    }

    /// Does what is left to do.
    ///
    /// - Parameter damage: what is wrong with the files of a job that was finished before; nil where that is not known
    func run(damage: [String: Verification.Damage]? = nil) throws {
        if checkpoint.imagesDone < list.count { _ = try neededSource() }
        if let given = try givenStatistics() { discretizer = try Self.discretizer(given, manifest) }
        if checkpoint.imagesDone == 0 { try begin(embeddingAgain: []) } // a matrix without a manifest is no job
        try open()
        let repair = try JobRepair(self, damage)
        if checkpoint.imagesDone > 0 { try begin(embeddingAgain: repair.imagesToEmbed) }
        do {
            try repair.perform()
            try embed()
            try makeStatistics()
            try makeCodes()
        } catch {
            // The first error is reported. If this checkpoint fails too, the last one stands.
            if checkpoint.imagesDone > 0, mayBeSaved { try? save() }
            throw error
        }
        try finish()
    }

    private func begin(embeddingAgain images: [Range<Int>]) throws {
        try compareEngines(images)
        try manifest.write(to: files.folder)
    }

    /// The source, where images are left to embed.
    func neededSource() throws -> any RowSource {
        guard let source else {
            throw FNEError(
                .invalidArgument,
                "images are not embedded yet, or must be embedded again. \(checkpoint.imagesDone) of \(list.count) are "
                    + "done. Open the job and run it with its model")
        }
        return source
    }

    /// Checks that the rows of one job come from one engine, since another one may compute other last bits. A merge
    /// takes the engines that computed the shards.
    ///
    /// - Parameter again: the images that are embedded again
    /// - Throws: `.jobMismatch`, unless the options accept another engine.
    private func compareEngines(_ again: [Range<Int>]) throws {
        guard let source, manifest.engines != source.engines(from: 0) else { return }
        guard checkpoint.imagesDone > 0, again != [0..<checkpoint.imagesDone] else {
            manifest.engines = source.engines(from: 0)
            return
        }
        let rest = checkpoint.imagesDone < list.count ? [checkpoint.imagesDone..<list.count] : []
        for images in again + rest {
            let now = source.engines(from: images.lowerBound)
            let first = manifest.images.first
            let before = manifest.engine(of: first + (images == rest.last ? images.lowerBound - 1 : images.lowerBound))
            guard let before, let next = now.first?.facts, before != next else { continue }
            guard options.acceptsOtherEngine else {
                throw FNEError(
                    .jobMismatch,
                    "the first \(checkpoint.imagesDone) images were embedded by another engine: "
                        + "\(Manifest.difference(next, before) ?? ""). The last bits of rows could differ. Accept "
                        + "another engine to resume the job, or take another folder")
            }
            manifest.setEngines(now, of: first + images.lowerBound..<first + images.upperBound)
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
        let former = manifest.results == nil ? [:] : manifest.files
        func matrix(_ name: String) throws -> JobMatrix? {
            guard let (element, shape) = try manifest.matrix(name) else { return nil }
            return try JobMatrix(name, files, element, shape, checkpoint.checksums[name] ?? former[name])
        }
        if manifest.keepsFeatures { matrices.features = try matrix(JobFiles.features) }
        let formats = manifest.codes?.formats ?? []
        if formats.contains(.int8) { matrices.codes = try matrix(JobFiles.codes) }
        if formats.contains(.packed) { matrices.packed = try matrix(JobFiles.packedCodes) }
        imageFiles = try ImageFiles(files, count: list.count)
    }

    func report(_ phase: Job.Phase, _ done: Int, _ total: Int) throws {
        try Reserve.check()
        guard let progress = reports.progress, !progress(phase, done, total) else { return }
        throw FNEError(.cancelled, "the job was cancelled; it resumes here when it is run again")
    }

    // MARK: Checkpoints

    /// Writes a checkpoint. All that it counts is written first, so that a checkpoint never counts what a crash can
    /// lose.
    func save() throws {
        try lock.check()
        for matrix in matrices.all {
            try matrix.sync()
            checkpoint.checksums[matrix.name] = matrix.checksum
        }
        checkpoint.failures = try failures.sync()
        try checkpoint.write(files)
        lastCheckpoint = monotonicSeconds()
    }

    private func saveIfTime() throws {
        if monotonicSeconds() - lastCheckpoint >= Double(options.checkpointSeconds) { try save() }
    }

    // MARK: Phases

    private func embed() throws {
        guard checkpoint.imagesDone < list.count else { return }
        let source = try neededSource()
        if discretizer != nil { try makeCodes() } // of the images that are done, in case that their codes were damaged
        try report(.embedding, checkpoint.imagesDone, list.count)
        try source.rows(
            of: checkpoint.imagesDone..<list.count, failed: { self.announce($0, $1) },
            sink: { try self.take($0, $1, from: source) },
            progress: { done in
                guard let progress = self.reports.progress else { return true }
                return progress(.embedding, done, self.list.count)
            })
        try save()
    }

    /// Embeds images again, of which the rows are damaged or missing.
    ///
    /// - Parameters:
    ///   - images: whole batches of images that were done before
    ///   - progress: is called with the number of images that are done again
    func embedAgain(_ images: Range<Int>, _ progress: @escaping (Int) -> Bool) throws {
        let source = try neededSource()
        failures.remove(images)
        try source.rows(
            of: images, failed: { self.announce($0, $1) },
            sink: { images, rows in
                try Reserve.check()
                let failed = self.takeAnnounced()
                let (first, count) = (images.lowerBound * self.rowsPerImage, images.count * self.rowsPerImage)
                if let features = self.matrices.features {
                    try features.replace(rows, count: count, at: first)
                } else if let discretizer = self.discretizer {
                    try self.writeCodes(images, rows, discretizer, isGood: { failed[$0] == nil }) { matrix, codes in
                        try matrix.replace(codes, count: count, at: first)
                    }
                }
                try self.imageFiles?.write(images, source.facts(of: images))
                for (image, failure) in failed.sorted(by: { $0.key < $1.key }) { self.failures.add(image, failure) }
            }, progress: { progress($0 - images.lowerBound) })
    }

    private func announce(_ image: Int, _ error: FNEError) {
        announced[image] = .init(status: error.status.rawValue, reason: error.message)
        if error != GrownSource.removal { reports.imageError?(image, error) }
    }

    private func takeAnnounced() -> [Int: Failures.Failure] {
        defer { announced = [:] }
        return announced
    }

    /// Takes the rows of a batch. The steps that can fail come first, since they can be repeated. The steps that a
    /// checkpoint counts come after them.
    private func take(_ images: Range<Int>, _ rows: UnsafePointer<Float>, from source: any RowSource) throws {
        try Reserve.check()
        let failed = takeAnnounced()
        let before = matrices.all.map(\.checksum)
        do {
            let (first, count) = (images.lowerBound * rowsPerImage, images.count * rowsPerImage)
            try matrices.features?.append(rows, count: count, at: first)
            if let discretizer { try appendCodes(images, rows, discretizer) { failed[$0] == nil } }
            try imageFiles?.write(images, source.facts(of: images))
        } catch {
            for (matrix, checksum) in zip(matrices.all, before) { matrix.goBack(to: checksum) }
            throw error
        }
        if let statistics = checkpoint.statistics {
            mayBeSaved = false
            try statistics.update(rows, images: images, rowsPerImage: rowsPerImage) { failed[$0] == nil }
            mayBeSaved = true
        }
        for (image, failure) in failed.sorted(by: { $0.key < $1.key }) { failures.add(image, failure) }
        checkpoint.imagesDone = images.upperBound
        if discretizer != nil { checkpoint.codesDone = images.upperBound }
        try saveIfTime()
    }

    /// Computes the statistics of the images that are done, from their features.
    func statisticsOfFeatures(_ progress: (Int) -> Bool) throws -> Statistics {
        let result = try Statistics(featureCount: features)
        try matrices.features?.eachRows(of: 0..<checkpoint.imagesDone, rowsPerImage: rowsPerImage) { images, rows in
            try result.update(rows, images: images, rowsPerImage: rowsPerImage) { failures.byImage[$0] == nil }
            guard progress(images.upperBound) else {
                throw FNEError(.cancelled, "the job was cancelled; it resumes when it is run again")
            }
        }
        return result
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
        manifest.files[JobFiles.statistics] = try saved.withNumbers(of: UInt8.self) { start in
            let all = UnsafeMutableRawBufferPointer(start: start, count: saved.count)
            try statistics.save(to: all)
            return try files.replace(JobFiles.statistics, with: UnsafeRawBufferPointer(all))
        }
        let moments = try Bytes(count: checkedProduct(2, features, MemoryLayout<Double>.size, of: "statistics"))
        manifest.files[JobFiles.stats] = try moments.withNumbers(of: Double.self) { mean in
            try statistics.moments(mean: mean, std: mean + features)
            return try NumPyFile.replace(
                files.path(JobFiles.stats), .float64, [2, features],
                UnsafeRawBufferPointer(start: mean, count: moments.count))
        }
        try report(.statistics, 1, 1)
        if manifest.codes != nil { Statistics.warn(ofImages: list.count - failures.count) }
        if discretizer == nil { discretizer = try Self.discretizer(statistics, manifest) }
    }

    /// Makes the codes of the images that are done, as far as they are missing, from their features.
    private func makeCodes() throws {
        guard manifest.codes != nil, checkpoint.codesDone < checkpoint.imagesDone, matrices.features != nil else {
            return
        }
        if discretizer == nil { // the job's own statistics, of features that were finished before
            let statistics = try File.read(files.path(JobFiles.statistics), Statistics.load)
            discretizer = try Self.discretizer(statistics, manifest)
        }
        guard let discretizer else { return }
        if checkpoint.codesDone == 0 {
            for matrix in matrices.ofCodes {
                try files.unfinish(matrix.name)
                matrix.restart()
            }
        }
        let images = checkpoint.codesDone..<checkpoint.imagesDone
        try matrices.features?.eachRows(of: images, rowsPerImage: rowsPerImage) { images, rows in
            try report(.codes, images.lowerBound, list.count)
            try appendCodes(images, rows, discretizer) { failures.byImage[$0] == nil }
            checkpoint.codesDone = images.upperBound
            try saveIfTime()
        }
        try save()
        try report(.codes, checkpoint.codesDone, list.count)
    }

    /// Makes and writes the codes of the images that follow those that have codes.
    private func appendCodes(
        _ images: Range<Int>, _ rows: UnsafePointer<Float>, _ discretizer: Discretizer, isGood: (Int) -> Bool
    ) throws {
        let before = matrices.ofCodes.map(\.checksum)
        do {
            try writeCodes(images, rows, discretizer, isGood: isGood) { matrix, codes in
                try matrix.append(codes, count: images.count * rowsPerImage, at: images.lowerBound * rowsPerImage)
            }
        } catch {
            for (matrix, checksum) in zip(matrices.ofCodes, before) { matrix.goBack(to: checksum) }
            throw error
        }
    }

    /// Makes the codes of images. The rows of failed images are NaN.
    ///
    /// - Parameter write: writes the rows of a matrix
    private func writeCodes(
        _ images: Range<Int>, _ rows: UnsafePointer<Float>, _ discretizer: Discretizer, isGood: (Int) -> Bool,
        write: (JobMatrix, UnsafeRawPointer) throws -> Void
    ) throws {
        let rowSize = rowsPerImage * features
        let count = images.count * rowsPerImage
        try codeBuffer.codes(images.count * rowSize).withNumbers(of: Int8.self) { codes in
            for (offset, image) in images.enumerated() {
                if isGood(image) {
                    try discretizer.apply(rows + offset * rowSize, rows: rowsPerImage, to: codes + offset * rowSize)
                } else {
                    (codes + offset * rowSize).update(repeating: Discretization.skippedCode, count: rowSize)
                }
            }
            if let matrix = matrices.codes { try write(matrix, codes) }
            guard let packed = matrices.packed else { return }
            try codeBuffer.words(count * PackedCodes.words(features: features)).withNumbers(of: UInt64.self) { words in
                try PackedCodes.pack(codes, rows: count, features: features, to: words)
                try write(packed, words)
            }
        }
    }

    private func finish() throws {
        let names = matrices.all.map(\.name) + [JobFiles.imageFiles]
        let steps = names.count + 3
        for matrix in matrices.all { manifest.files[matrix.name] = matrix.closed() }
        matrices = Matrices()
        imageFiles = nil
        for (step, name) in names.enumerated() {
            try report(.finishing, step, steps)
            try files.finish(name)
        }
        try report(.finishing, names.count, steps)
        manifest.files[JobFiles.list] = list.bytes.withUnsafeBytes { FileChecksum($0) }
        manifest.files[JobFiles.images] = try files.writeImages(list, failures)
        try report(.finishing, names.count + 1, steps)
        manifest.files[JobFiles.status] = try files.writeStatus(list.count, failures)
        try report(.finishing, names.count + 2, steps)
        manifest.results = (list.count - failures.count, failures.count)
        manifest.state = manifest.codes == nil ? .features : .finished
        try manifest.write(to: files.folder)
        files.removeTemporary()
        _ = reports.progress?(.finishing, steps, steps) // the job is finished, so the answer cannot cancel it
    }
}

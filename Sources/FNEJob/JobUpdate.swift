import FNEPipeline
import FNESupport

/// Brings the job in a folder up to date with its images. The new job is made in the folder `update.part` inside of the
/// job's, as any other job is, so that it resumes after a kill. Meanwhile the former job can be read. At the end, the
/// files are exchanged.
final class JobUpdate {
    private let files: JobFiles
    private let extractor: Extractor
    private let settings: JSON
    private let options: Job.Options
    private let images: ImageSource
    private let exchange: JobExchange
    private var sources: [ExtractorSource] = []
    /// What this object's runs did.
    private(set) var changes = Intake.Changes()

    /// - Parameters:
    ///   - extractor, settings, options: as those of the job
    ///   - images: the images as they are now
    /// - Throws: `.invalidArgument` for options that an update cannot have; as `manifest`.
    init(
        _ folder: FilePath, _ extractor: Extractor, _ settings: JSON, _ options: Job.Options, _ images: ImageSource
    ) throws {
        files = JobFiles(folder: folder)
        self.extractor = extractor
        self.settings = settings
        self.options = options
        self.images = images
        exchange = JobExchange(files)
        guard options.shard == .whole else { throw Self.cannot("one shard", "Merge the shards, and update the whole") }
        guard options.keepsFeatures else {
            throw Self.cannot("a job without features", "Its codes could not follow the statistics. Make a new job")
        }
        guard extractor.batchStatistics == nil else {
            throw Self.cannot(
                "a job whose rows depend on their batch", "The rows of kept images would be others. Make a new job")
        }
        guard !options.keepsStatistics || options.statistics == nil && options.formats != nil else {
            throw FNEError(
                .invalidArgument,
                "keep_statistics keeps the statistics of the job's codes. Omit it, or ask for codes and omit statistics"
            )
        }
    }

    private static func cannot(_ what: String, _ way: String) -> FNEError {
        FNEError(.invalidArgument, "\(what) cannot be updated. \(way)")
    }

    /// How many images were embedded, by `ImageFormat.rawValue`.
    var taken: [Int] {
        sources.reduce(into: Intake()) { sum, source in
            var part = Intake()
            part.taken = source.taken
            sum.add(part)
        }.taken
    }

    /// The manifest of the job that is updated, which must be of the same model and the same options.
    ///
    /// - Throws: `.jobMismatch`, with the first difference; `.invalidData`, `.fileError`.
    func manifest() throws -> Manifest {
        guard try !exchange.isBegun() else { return try Manifest(in: exchange.update.folder) }
        _ = try former()
        return try Manifest(in: files.folder)
    }

    // MARK: Running

    /// Finishes what was begun before, and then does what is left.
    ///
    /// - Throws: as `Job.run`.
    func run(_ reports: Job.Reports) throws {
        if try exchange.isBegun() {
            let lock = try JobLock(files)
            try withExtendedLifetime(lock) { if try exchange.isBegun() { try exchange.finish() } }
        }
        // A first run that was interrupted is finished, and what is damaged is made good.
        let former = try former()
        try former.run(reports)
        let lock = try JobLock(files)
        _ = try finished()
        defer { files.removeTemporary() } // which the finished job does not need
        if let plan = try pending(reports) { try perform(plan, reports, lock) }
        exchange.update.removeAll() // what is left is of no use
        let plan = try plan(reports)
        if try plan.hasChanges(retryingFailed: options.retriesFailed) || needsCodes() {
            try File.makeFolder(exchange.update.folder)
            try plan.write(exchange.update.path(JobFiles.plan))
            try perform(plan, reports, lock)
        } else {
            changes.add(plan.changes.withoutRetries)
        }
    }

    /// The job as it is, with its own list of images.
    private func former() throws -> Job {
        let manifest = try Manifest(in: files.folder)
        guard manifest.images.count == manifest.images.total else {
            throw Self.cannot("one shard", "Merge the shards, and update the whole")
        }
        guard manifest.keepsFeatures else {
            throw Self.cannot("a job without features", "Its codes could not follow the statistics. Make a new job")
        }
        var own = options
        own.retriesFailed = false // the plan says which images are tried again
        if manifest.state == .features { own.formats = nil } // else codes would be made that are not kept
        own.statistics = try statisticsOfCodes(manifest)
        let list = try list(manifest)
        return try Job(folder: files.folder, own, source(list), list, manifest.images, settings)
    }

    private func list(_ manifest: Manifest) throws -> ImageList {
        let path = files.path(JobFiles.list)
        let list = try ImageList(reading: File.contents(path))
        guard list.count == manifest.images.count, list.sha256 == manifest.images.sha256 else {
            throw FNEError(
                .invalidData,
                "'\(path)' is not the list that the job was made of, so that it is not known which images are new. "
                    + "Take a copy of it, or remove the job's folder and run the job again")
        }
        return list
    }

    private func source(_ list: ImageList) throws -> ExtractorSource {
        let source = try ExtractorSource(
            extractor: extractor, list: list, root: images.root,
            watched: WatchedFolders(of: list, root: images.root, mounts: images.mounts), firstImage: 0)
        sources.append(source)
        return source
    }

    /// The file of the statistics that the job's codes are made with; nil for the job's own.
    private func statisticsOfCodes(_ manifest: Manifest) throws -> FilePath? {
        guard options.statistics == nil, let wanted = manifest.codes?.statisticsSHA256 else {
            return options.statistics
        }
        return try files.keptChecksum() == wanted ? files.path(JobFiles.keptStatistics) : nil
    }

    // MARK: Planning

    /// The plan of an update that was interrupted; nil where there is none that can be used.
    private func pending(_ reports: Job.Reports) throws -> UpdatePlan? {
        let path = exchange.update.path(JobFiles.plan)
        guard try File.exists(path) else { return nil }
        do {
            let plan = try UpdatePlan(reading: path)
            guard try plan.manifest == checksum() else {
                throw FNEError(.invalidData, "the unfinished update is of another state of the job")
            }
            guard plan.keepsStatistics == options.keepsStatistics else {
                throw FNEError(
                    .jobMismatch,
                    "an update that was begun \(plan.keepsStatistics ? "with" : "without") keep_statistics is not "
                        + "finished. Finish it so, or remove '\(exchange.update.folder)' to begin it anew")
            }
            return plan
        } catch let error as FNEError where error.status == .invalidData {
            reports.say("\(error.message). It begins anew")
            return nil
        }
    }

    private func checksum() throws -> String { try File.read(files.path(Manifest.fileName)) { sha256($0) } }

    private func plan(_ reports: Job.Reports) throws -> UpdatePlan {
        let manifest = try finished()
        let former = UpdatePlan.Former(
            manifest: manifest, checksum: try checksum(), list: try list(manifest),
            failed: try Set(ShardsSource.failures(in: files.folder, manifest).keys),
            imageFiles: try? ImageFiles(reading: files, count: manifest.images.count))
        return try UpdatePlan(
            former, images, keepsStatistics: options.keepsStatistics, embedsUnrecorded: options.embedsUnrecorded,
            reports)
    }

    private func finished() throws -> Manifest {
        let manifest = try Manifest(in: files.folder)
        guard manifest.state != .running else {
            throw FNEError(.jobBusy, "another process has run the job in '\(files.folder)' meanwhile. Try again")
        }
        return manifest
    }

    /// Whether codes are missing, or are to be made with other statistics.
    private func needsCodes() throws -> Bool {
        guard options.formats != nil else { return false }
        let manifest = try finished()
        return manifest.codes == nil
            || manifest.codes?.statisticsSHA256 != nil && options.statistics == nil && !options.keepsStatistics
    }

    // MARK: Performing

    private func perform(_ plan: UpdatePlan, _ reports: Job.Reports, _ lock: JobLock) throws {
        let former = try finished()
        let update = exchange.update
        let rows = try GrownSource.FormerRows(files, former)
        let rowSize = try former.featureCount() * former.rowsPerImage()
        let source = try GrownSource(source(plan.list), rows, plan.actions, rowSize: rowSize)
        if !options.acceptsOtherEngine { try source.checkEngines() }
        let images = Manifest.Images(
            first: 0, count: plan.list.count, total: plan.list.count, sha256: plan.list.sha256,
            totalSHA256: plan.list.sha256)
        let statistics = try statistics(former)
        for own in try steps(former, statistics) {
            try Job(folder: update.folder, own, source, plan.list, images, settings, removed: plan.removed).run(reports)
        }
        if options.statistics == nil, let statistics {
            try File.replace(update.path(JobFiles.keptStatistics), with: File.contents(statistics))
        }
        try lock.check()
        try exchange.perform()
        changes.add(plan.changes)
    }

    /// The file of statistics that the new codes are made with; nil for those of the new job.
    private func statistics(_ former: Manifest) throws -> FilePath? {
        guard options.keepsStatistics else { return options.statistics }
        if former.codes?.statisticsSHA256 == nil { return files.path(JobFiles.statistics) }
        return try statisticsOfCodes(former)
    }

    /// The runs that make the new job. A job that has statistics of its own besides those of its codes is made in two:
    /// without codes, and then with them.
    private func steps(_ former: Manifest, _ statistics: FilePath?) throws -> [Job.Options] {
        var last = options
        (last.statistics, last.retriesFailed) = (statistics, false)
        guard statistics != nil, former.files[JobFiles.statistics] != nil else { return [last] }
        let manifest = exchange.update.path(Manifest.fileName)
        if try File.exists(manifest), try Manifest(in: exchange.update.folder).codes != nil { return [last] }
        var first = last
        (first.formats, first.statistics) = (nil, nil)
        return [first, last]
    }
}

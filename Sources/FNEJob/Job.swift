import FNEEmbedding
import FNENetwork
import FNEPipeline
import FNESupport

/// A job embeds many images into a folder. It writes features, statistics and codes. A job that was killed resumes
/// where it stopped, and ends with the same bytes as if it had never stopped. docs/jobs.md describes the folder.
///
/// One thread at a time may use a job.
public final class Job {
    /// The phases of a run, in their order.
    public enum Phase: Int32, Sendable {
        /// Images go through the network, and their features are written.
        case embedding = 0
        /// The statistics are written.
        case statistics = 1
        /// The codes are made of the features.
        case codes = 2
        /// The files get their final names.
        case finishing = 3
        /// What former runs wrote is compared with its checksums. Bytes are counted.
        case verifying = 4
    }

    /// The choices for a job. The values here are the defaults.
    public struct Options: Sendable {
        /// A folder of images, or a file that lists images; nil where `paths` names them.
        public var source: FilePath?
        /// The images, where `source` is nil.
        public var paths: [FilePath] = []
        /// The folder that relative names in a list file or in `paths` are relative to. Nil means the list file's
        /// folder for a list, and the working directory for `paths`.
        public var root: FilePath?
        /// The part of the images that this job embeds.
        public var shard = Shard.whole
        /// Whether the features are kept. Without them only codes are kept, and `statistics` is needed.
        public var keepsFeatures = true
        /// The formats of the codes. Nil makes none now. They can be made by a later run with formats or statistics, or
        /// when shards are merged.
        public var formats: CodeFormats? = .int8
        /// A file of saved statistics that codes are made with; nil for the job's own statistics.
        public var statistics: FilePath?
        /// How features become codes.
        public var discretization: Discretization
        /// Whether the first bad image ends the run. Else bad images are marked.
        public var failsOnBadImage = false
        /// Whether a job may be resumed with another TensorFlow or ONNX Runtime, or on another processor, than it was
        /// begun with, and whether shards of such different engines are merged.
        public var acceptsOtherEngine = false
        /// Whether a job is done with a network whose rows depend on the other images of their batch (see
        /// `Extractor.batchStatistics`). Its manifest then says so.
        public var allowsBatchStatistics = false
        /// Whether images that could not be embedded before are tried again.
        public var retriesFailed = false
        /// Whether a job that the folder holds is brought up to date: new images are appended, changed ones are
        /// embedded again, and removed ones are marked.
        public var updates = false
        /// Whether an update also embeds images again of which the job has no record of their file.
        public var embedsUnrecorded = false
        /// Whether an update keeps the statistics that the codes are made with.
        public var keepsStatistics = false
        /// The seconds between two checkpoints. After a kill, the work since the last checkpoint is done again.
        public var checkpointSeconds = 15
        /// What the model was opened from, for those who open it again. Nil means the file that it was read from.
        public var modelSource: ModelSource?
        /// Is called on the calling thread while a folder is listed, some times a second, with the number of images
        /// that were found. Returning false cancels the opening.
        public var listing: (@Sendable (Int) -> Bool)?

        /// The defaults.
        public init() throws { discretization = try Discretization() }
    }

    /// The functions that a run reports to. All are called on the calling thread.
    public struct Reports {
        /// Is called with the phase, the number that is done of it, and the number of all. It counts images, bytes
        /// in the phase `verifying`, and steps in the phase `finishing`. Returning false cancels the run.
        public var progress: ((Phase, Int, Int) -> Bool)?
        /// Is called with the number and the error of each image that could not be embedded.
        public var imageError: ((Int, FNEError) -> Void)?
        /// Is called with a sentence about something that was found and is made good, such as a damaged file, or that
        /// the user should know, such as an image that has changed. The log gets it too, as a warning.
        public var notice: ((String) -> Void)?

        /// Reports to some of the functions, or to none.
        public init(
            progress: ((Phase, Int, Int) -> Bool)? = nil, imageError: ((Int, FNEError) -> Void)? = nil,
            notice: ((String) -> Void)? = nil
        ) {
            self.progress = progress
            self.imageError = imageError
            self.notice = notice
        }

        func say(_ sentence: String) {
            Log.write(.warning, sentence)
            notice?(sentence)
        }
    }

    /// The states of a job.
    public enum State: Int32, Sendable, CaseIterable {
        /// Images or codes are left to do.
        case running = 0
        /// The features and the statistics are finished, but no codes are made. A shard in this state waits for the
        /// statistics of all shards.
        case features = 1
        /// Nothing is left to do.
        case finished = 2
    }

    /// The folder that the job writes to.
    public let folder: FilePath
    private let files: JobFiles
    private let options: Options
    private var source: (any RowSource)?
    private let list: ImageList?
    /// Brings the job up to date in place of running it; nil where that is not asked for.
    private let update: JobUpdate?
    private var manifest: Manifest
    /// What the job's folder remembers when the job is finished; nil: nothing new.
    private var places: JobPlaces?
    /// What was left out of the folder of images.
    private var leftOut = Intake()
    private var unreadable: [String] = []

    /// Opens a job that embeds images. If the folder already holds this job, it is resumed. Nothing is written before
    /// `run`.
    ///
    /// Two of the extractor's options are set here. Batches are padded, so that a row's bits do not depend on its
    /// place. Bad images are marked (see `Options.failsOnBadImage`).
    ///
    /// - Throws: `.jobMismatch` where the folder holds another job; `.invalidArgument`; `.fileError`; as `Extractor`;
    ///   `.unsupportedTensor` also for a network with `Extractor.batchStatistics`, unless the options allow them;
    ///   `.jobBusy` where an update is exchanging the folder's files, unless the options ask for an update.
    public convenience init(folder: FilePath, model: Model, extractor: Extractor.Options, options: Options) throws {
        var extractor = extractor
        extractor.padsBatches = true
        extractor.onError = options.failsOnBadImage ? .fail : .skip
        let model = try model.feeding(extractor.feeds)
        extractor.feeds = []
        let opened = try Extractor(model, extractor)
        if let found = opened.batchStatistics, !options.allowsBatchStatistics {
            throw FNEError(
                .unsupportedTensor,
                "\(found.sentence). A job takes the network as it is where allow_batch_statistics is set")
        }
        try self.init(folder: folder, extractor: opened, settings: opened.settings(of: model), options: options) {
            JobPlaces(model, from: options.modelSource, $0)
        }
    }

    /// Opens a job with an open extractor.
    ///
    /// - Parameters:
    ///   - extractor: must pad its batches
    ///   - places: what the job's folder remembers of where the images were
    convenience init(
        folder: FilePath, extractor: Extractor, settings: JSON, options: Options,
        places: (ImageSource) -> JobPlaces? = { _ in nil }
    ) throws {
        guard options.updates || !(options.keepsStatistics || options.embedsUnrecorded) else {
            throw FNEError(.invalidArgument, "keep_statistics and embed_unrecorded need update. Set it, too")
        }
        let images = try Self.images(options)
        let remembered = places(images)
        if options.updates, try File.exists(folder.appending(Manifest.fileName)) {
            try self.init(updating: folder, options, JobUpdate(folder, extractor, settings, options, images))
            (leftOut, unreadable, self.places) = (images.intake, images.unreadable, remembered)
            return
        }
        let whole = images.list
        let perBatch = max(1, extractor.batchSize / extractor.rowsPerImage)
        let range = try options.shard.images(of: whole.count, imagesPerBatch: perBatch)
        let list = options.shard == .whole ? whole : whole[range]
        let source = try ExtractorSource(
            extractor: extractor, list: list, root: images.root,
            watched: WatchedFolders(of: list, root: images.root, mounts: images.mounts), firstImage: range.lowerBound)
        let part = Manifest.Images(
            first: range.lowerBound, count: list.count, total: whole.count, sha256: list.sha256,
            totalSHA256: options.shard == .whole ? list.sha256 : whole.sha256)
        try self.init(folder: folder, options, source, list, part, settings)
        (leftOut, unreadable, self.places) = (images.intake, images.unreadable, remembered)
    }

    /// Opens a job that merges finished shards. It writes the same bytes as one job over all images.
    ///
    /// - Throws: `.jobMismatch` where the shards do not fit each other, or are of different engines and
    ///   `Options.acceptsOtherEngine` is not set; `.invalidData`; `.fileError`.
    public convenience init(merging shards: [FilePath], into folder: FilePath, options: Options) throws {
        let source = try ShardsSource(shards, mixesEngines: options.acceptsOtherEngine)
        let (list, first) = (source.list, source.parts[0].manifest)
        let images = Manifest.Images(
            first: 0, count: list.count, total: list.count, sha256: list.sha256, totalSHA256: list.sha256)
        guard images.sha256 == first.images.totalSHA256 else {
            throw FNEError(
                .jobMismatch, "the lists of the shards, put together, are not the list that the shards were made of")
        }
        try self.init(folder: folder, options, source, list, images, first.settings, removed: source.removed)
        places = JobPlaces(
            common: source.parts.map { part in
                do {
                    return try JobPlaces(in: JobFiles(folder: part.folder))
                } catch { // no row depends on it
                    let reason = (error as? FNEError)?.message ?? "\(error)"
                    unreadable.append("what the shard remembers is left out: \(reason)")
                    return JobPlaces()
                }
            })
    }

    /// Opens a job that a folder holds, without its model. If all its images are embedded, `run` can finish it, or make
    /// the codes that the options ask for.
    ///
    /// The files of a finished job must be there, with the sizes and the headers that they were written with. `verify`
    /// also compares their contents.
    ///
    /// - Throws: `.fileError`; `.invalidData`, with the names of the files that are damaged.
    public init(existing folder: FilePath, options: Options) throws {
        self.folder = folder
        files = JobFiles(folder: folder)
        self.options = options
        source = nil
        list = nil
        update = nil
        manifest = try Manifest(in: folder)
        if manifest.state != .running { try Verification(files, manifest).checkSizes() }
    }

    /// Opens a job that is brought up to date.
    private init(updating folder: FilePath, _ options: Options, _ update: JobUpdate) throws {
        self.folder = folder
        files = JobFiles(folder: folder)
        self.options = options
        source = nil
        list = nil
        self.update = update
        manifest = try update.manifest()
    }

    /// Opens a job with the source of its rows.
    ///
    /// - Parameter removed: the images that updates have removed, for a new job
    init(
        folder: FilePath, _ options: Options, _ source: any RowSource, _ list: ImageList, _ images: Manifest.Images,
        _ settings: JSON, removed: [Int] = []
    ) throws {
        self.folder = folder
        files = JobFiles(folder: folder)
        self.options = options
        self.source = source
        self.list = list
        update = nil
        guard options.keepsFeatures || options.statistics != nil else {
            throw FNEError(
                .invalidArgument,
                "without features there is nothing to make statistics of. Pass statistics, or keep features")
        }
        guard options.keepsFeatures || options.formats != nil else {
            throw FNEError(
                .invalidArgument, "without features and without codes nothing would be kept. Ask for one of them")
        }
        var wanted = Manifest(
            state: .running, images: images, settings: settings, engines: source.engines(from: 0),
            keepsFeatures: options.keepsFeatures, codes: try Self.codes(options, images))
        wanted.removed = removed
        manifest = wanted
        if try File.exists(folder.appending(Manifest.fileName)) { manifest = try found(like: wanted) }
        if let network = source as? ExtractorSource, !manifest.removed.isEmpty {
            self.source = try GrownSource(
                network, removed: manifest.removed, of: list.count,
                rowSize: manifest.featureCount() * manifest.rowsPerImage())
        }
    }

    private static func images(_ options: Options) throws -> ImageSource {
        guard let source = options.source else {
            guard !options.paths.isEmpty else {
                throw FNEError(.invalidArgument, "there are no images. Pass a source or paths")
            }
            let empty = options.paths.firstIndex { $0.text.isEmpty }
            if let empty { throw FNEError(.invalidArgument, "the path of image \(empty) is empty") }
            return ImageSource(list: ImageList(options.paths.lazy.map(\.text)), root: options.root ?? FilePath(""))
        }
        guard options.paths.isEmpty else {
            throw FNEError(.invalidArgument, "both a source and paths are given. Pass only one of them")
        }
        return try ImageList.read(
            source, root: options.root, failsOnUnreadable: options.failsOnBadImage, report: options.listing)
    }

    static func codes(_ options: Options, _ images: Manifest.Images) throws -> Manifest.Codes? {
        guard let formats = options.formats, options.statistics != nil || images.count == images.total else {
            return nil
        }
        let saved = try options.statistics.map(File.contents)
        return Manifest.Codes(
            discretization: options.discretization, formats: formats,
            statisticsSHA256: saved.map { $0.withUnsafeBytes(sha256) })
    }

    /// The manifest in the folder, which must be of the same job.
    ///
    /// - Throws: `.jobMismatch`, with the first difference.
    private func found(like wanted: Manifest) throws -> Manifest {
        let found = try Manifest(in: folder)
        func differs(_ what: String, _ way: String = "") -> FNEError {
            FNEError(
                .jobMismatch,
                "the folder '\(folder)' holds another job: \(what). \(way)Take another folder, or remove this one")
        }
        if let difference = Manifest.difference(wanted.settings, found.settings) { throw differs(difference) }
        if wanted.images != found.images {
            throw differs(
                difference(in: wanted.images, found.images), "Set update to take the images as they are now. ")
        }
        if wanted.keepsFeatures != found.keepsFeatures { throw differs("keeps_features is \(found.keepsFeatures)") }
        if found.state != .features, wanted.codes != found.codes {
            throw differs(
                Manifest.difference(wanted.json["codes"] ?? .null, found.json["codes"] ?? .null, "codes") ?? "codes")
        }
        return found
    }

    private func difference(in wanted: Manifest.Images, _ found: Manifest.Images) -> String {
        if let list, let names = try? File.contents(files.path(JobFiles.list)),
            let old = try? ImageList(reading: names),
            let image = (0..<min(list.count, old.count)).first(where: { list.name($0) != old.name($0) })
        {
            return "image \(image) is '\(old.text(image))' there and '\(list.text(image))' here"
        }
        return "it has \(found.count) of \(found.total) images from image \(found.first) on, and this one has "
            + "\(wanted.count) of \(wanted.total) from image \(wanted.first) on"
    }

    // MARK: Facts

    /// The state of the job, as this object knows it.
    public var state: State { manifest.state }

    /// The number of images of this job, which may be a shard of the whole list.
    public var imageCount: Int { manifest.images.count }
    /// The number of images of the whole list.
    public var totalImageCount: Int { manifest.images.total }
    /// The place of the job's first image in the whole list.
    public var firstImage: Int { manifest.images.first }
    /// The number of images that could not be embedded; nil until all were tried.
    public var failedCount: Int? { manifest.results?.failed }
    /// The number of images that are embedded and safe on the disk, or failed.
    ///
    /// - Throws: `.fileError`, `.outOfMemory`.
    public func imagesDone() throws -> Int {
        guard manifest.results == nil else { return imageCount }
        return try Checkpoint.latest(files, images: imageCount, features: featureCount())?.imagesDone ?? 0
    }

    /// What this object has taken of the images, and what it left out of their folder. Images that were embedded by
    /// former runs do not count.
    public var intake: Intake {
        var result = leftOut
        if let source { result.taken = source.taken }
        if let update {
            (result.taken, result.changes) = (update.taken, update.changes)
        } else if options.updates { // there was no job before
            result.changes.new = list?.count ?? 0
        }
        return result
    }

    /// F, the number of features in a row. Throws `.invalidData` for a damaged manifest.
    public func featureCount() throws -> Int { try manifest.featureCount() }
    /// Rows per image. There is 1, or 10 with ten crops. Throws `.invalidData` for a damaged manifest.
    public func rowsPerImage() throws -> Int { try manifest.rowsPerImage() }
    /// The layers of a row, in the order of its columns. Throws `.invalidData` for a damaged manifest.
    public func layers() throws -> [Layer] { try manifest.layers() }

    /// The statistics of the images that could be embedded.
    ///
    /// - Throws: `.fileError` where the job has none yet; `.invalidData` for a damaged file.
    public func statistics() throws -> Statistics {
        try File.read(files.path(JobFiles.statistics), Statistics.load)
    }

    // MARK: Running

    /// Does what is left to do. What former runs wrote is compared with its checksums first. What is damaged is made
    /// again, and `Reports.notice` says so. Nothing is left of a finished job that is whole.
    ///
    /// After an error, the finished work is on the disk, and the next run resumes there.
    ///
    /// - Throws: `.cancelled`; `.fileError`, also for a full disk; `.jobBusy`; `.jobMismatch`; `.invalidData`; with
    ///   `failsOnBadImage` a bad image's error.
    public func run(_ reports: Reports = Reports()) throws {
        try finish(reports)
        places?.write(to: files, reports)
    }

    private func finish(_ reports: Reports) throws {
        if let update {
            sayWhatIsUnreadable(reports)
            try update.run(reports)
            manifest = try Manifest(in: folder)
            return
        }
        if source != nil { try File.makeFolder(folder) }
        let lock = try JobLock(files)
        let isNew = try !File.exists(files.path(Manifest.fileName))
        if isNew {
            guard source != nil else { throw FNEError(.fileError, "the folder '\(folder)' holds no job any more") }
            do {
                try files.mustBeFree()
            } catch { // the folder belongs to somebody else, so no file of ours may stay in it
                File.remove(files.path(JobFiles.lock))
                throw error
            }
        } else {
            manifest = try Manifest(in: folder) // another process may have continued the job since
        }
        sayWhatIsUnreadable(reports)
        let damage = try damageOfFinished(reports)
        if !isNew, !options.updates { try compareImages(reports) }
        let addsCodes = try manifest.state == .features ? Self.codes(options, manifest.images) : nil
        if let addsCodes { manifest.codes = addsCodes }
        let retries = options.retriesFailed && manifest.results?.failed ?? 0 > 0
        if manifest.state != .running, damage?.isEmpty ?? true, addsCodes == nil, !retries {
            files.removeTemporary()
            return
        }
        manifest.state = .running
        let names = try names(isNew: isNew)
        // The failures, should all images be bad, some arrays of all features, and lines that wait to be written.
        try Reserve.prepare(128 * names.count + 64 * featureCount() + 8 << 20)
        let run = try JobRun(files, manifest, names, options, source, reports, lock)
        let record = RunRecord(from: run.imagesDone)
        var outcome = "finished"
        defer {
            manifest = run.manifest
            record.append(to: files.path(JobFiles.runs), until: run.imagesDone, outcome)
        }
        do {
            try run.run(damage: damage)
        } catch {
            outcome = (error as? FNEError)?.message ?? "\(error)"
            throw error
        }
    }

    /// Names what could not be read while the folder was listed. The log gets all of it.
    private func sayWhatIsUnreadable(_ reports: Reports) {
        let mostNamed = 5
        for sentence in unreadable.prefix(mostNamed) { reports.say(sentence) }
        let more = unreadable.dropFirst(mostNamed)
        guard !more.isEmpty else { return }
        for sentence in more { Log.write(.warning, sentence) }
        reports.say("\(more.count) more files and folders cannot be read and are left out")
    }

    /// What is wrong with the files of a finished job; nil for a job that is not finished.
    private func damageOfFinished(_ reports: Reports) throws -> [String: Verification.Damage]? {
        guard manifest.state != .running else { return nil }
        let verification = Verification(files, manifest)
        let total = verification.byteCount
        let damage = try verification.damage { reports.progress?(.verifying, $0, total) ?? true }
        // These are written anew by every run, and the checks that follow speak of the others.
        for name in [JobFiles.list, JobFiles.images, JobFiles.status] {
            if let found = damage[name] { reports.say("'\(files.path(name))' \(found.text). It is written again") }
        }
        return damage
    }

    /// The names of the images, which are written to the folder where they are missing there.
    private func names(isNew: Bool) throws -> ImageList {
        let path = files.path(JobFiles.list)
        let saved = try isNew || !File.exists(path) || File(path, .reading).size() == 0 ? nil : File.contents(path)
        if let list {
            if saved != list.bytes { try File.replace(path, with: list.bytes) }
            return list
        }
        let names = try ImageList(reading: saved ?? [])
        guard names.count == manifest.images.count, names.sha256 == manifest.images.sha256 else {
            throw FNEError(.invalidData, "'\(path)' is not the list that the job was begun with")
        }
        return names
    }

    /// Says which images are not what they were when they were embedded, as their files' sizes and times tell.
    private func compareImages(_ reports: Reports) throws {
        guard let source, let list, try File.exists(files.data(JobFiles.imageFiles)),
            let former = try? ImageFiles(reading: files, count: list.count),
            let changed = try former.changed(until: imagesDone(), source.factsNow)
        else { return }
        reports.say(
            "\(changed.count) of \(list.count) image files have another size or time than when the job embedded them. "
                + "The first is '\(list.text(changed.first))'. The job keeps the rows of the former images. Set update "
                + "to embed the new ones")
    }

    // MARK: Verifying

    /// Compares the files of a finished job with the checksums in its manifest. Where the job has features and
    /// statistics of its own, it also computes the statistics again. They are exact, so they must be the same bytes.
    ///
    /// - Parameter reports: `progress` is called in the phase `verifying`
    /// - Throws: `.invalidData`, with the names of all files that are damaged; `.invalidArgument` for a job that is not
    ///   finished; `.cancelled`, `.fileError`, `.outOfMemory`.
    public func verify(_ reports: Reports = Reports()) throws {
        let manifest = try Manifest(in: folder)
        guard manifest.state != .running else {
            throw FNEError(
                .invalidArgument,
                "the job in '\(folder)' is not finished. A run compares what is there with its checksums, so run it to "
                    + "its end")
        }
        let verification = Verification(files, manifest)
        let features = manifest.keepsFeatures ? manifest.files[JobFiles.features]?.count ?? 0 : 0
        let total = verification.byteCount + features
        let damage = try verification.damage { reports.progress?(.verifying, $0, total) ?? true }
        if let error = verification.error(damage) { throw error }
        try verification.compareStatistics { rows in
            reports.progress?(.verifying, min(verification.byteCount + rows, total), total) ?? true
        }
        _ = reports.progress?(.verifying, total, total)
    }

    /// Checks a part of a file of a finished job. A program that reads a few rows of a large file need not wait for
    /// `verify`.
    ///
    /// - Parameters:
    ///   - file: the name of a file in the manifest's `files`, such as "features.npy"
    ///   - bytes: the part, in bytes of the file. The blocks that it touches are read as a whole.
    /// - Throws: `.invalidData` where the part is damaged; `.invalidArgument` for a file that the manifest does not
    ///   name; `.fileError`, `.outOfMemory`.
    public func verify(file: String, bytes: Range<Int>) throws {
        try Verification(files, Manifest(in: folder)).check(file, bytes)
    }
}

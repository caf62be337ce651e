import FNEEmbedding
import FNENetwork
import FNEPipeline
import FNESupport

/// The embedding of many images into a folder: pooled features, statistics, codes. Killed at any moment it goes on where it
/// stopped, and ends with the same bytes as if nothing had happened. docs/jobs.md describes the folder.
///
/// Used by one thread at a time.
public final class Job {
    /// What a run is doing.
    public enum Phase: Int32, Sendable {
        case embedding = 0
        case statistics = 1
        case codes = 2
        case finishing = 3
    }

    /// What is embedded, and what is kept of it; what stands here are the defaults.
    public struct Options: Sendable {
        /// A folder of images or a list of files; nil takes `paths`.
        public var source: FilePath?
        public var paths: [FilePath] = []
        /// What relative names in a list or in `paths` are relative to; nil: the list file's folder, the working directory.
        public var root: FilePath?
        public var shard = Shard.whole
        /// False: only codes are kept, which needs given statistics.
        public var keepsFeatures = true
        /// Nil: none yet. They are made when the job is run again with formats or statistics, or when shards are merged.
        public var formats: CodeFormats? = .int8
        /// Saved statistics to make codes with; nil: the job's own.
        public var statistics: FilePath?
        public var discretization: Discretization
        /// The first bad image ends the run, instead of being marked.
        public var failsOnBadImage = false
        /// Go on with another TensorFlow or on another processor than the job was begun with.
        public var acceptsOtherEngine = false
        /// Between two checkpoints.
        public var checkpointSeconds = 15

        public init() throws { discretization = try Discretization() }
    }

    /// What a run reports, on the calling thread.
    public struct Reports {
        /// Phase, and what is done of it and in all: images, or in the last phase steps. False cancels.
        public var progress: ((Phase, Int, Int) -> Bool)?
        /// Each image that could not be embedded.
        public var imageError: ((Int, FNEError) -> Void)?

        public init(progress: ((Phase, Int, Int) -> Bool)? = nil, imageError: ((Int, FNEError) -> Void)? = nil) {
            self.progress = progress
            self.imageError = imageError
        }
    }

    /// How far a job is.
    public enum State: Int32, Sendable, CaseIterable {
        /// Images are being embedded, or codes written.
        case running = 0
        /// A shard that waits for the statistics of all: its features and statistics are finished, its codes are not made.
        case features = 1
        case finished = 2
    }

    /// What the job is written to.
    public let folder: FilePath
    private let files: JobFiles
    private let options: Options
    private let source: (any RowSource)?
    private let list: ImageList?
    private var manifest: Manifest

    /// A job that images are embedded by. Nothing is written before `run`.
    ///
    /// The extractor's options are taken with padded batches, and bad images are marked (see `Options.failsOnBadImage`).
    /// - Throws: `.jobMismatch` where the folder holds another job; what `Extractor` throws; `.fileError`.
    public convenience init(folder: FilePath, model: Model, extractor: Extractor.Options, options: Options) throws {
        var extractor = extractor
        extractor.padsBatches = true
        extractor.onError = options.failsOnBadImage ? .fail : .skip
        let opened = try Extractor(model, extractor)
        try self.init(folder: folder, extractor: opened, settings: opened.settings(of: model), options: options)
    }

    /// - Parameter extractor: with padded batches
    convenience init(folder: FilePath, extractor: Extractor, settings: JSON, options: Options) throws {
        let (whole, root) = try Self.images(options)
        let perBatch = max(1, extractor.batchSize / extractor.rowsPerImage)
        let range = try options.shard.images(of: whole.count, imagesPerBatch: perBatch)
        let list = whole[range]
        let source = ExtractorSource(extractor: extractor, list: list, root: root, firstImage: range.lowerBound)
        let images = Manifest.Images(
            first: range.lowerBound, count: list.count, total: whole.count, sha256: list.sha256,
            totalSHA256: options.shard == .whole ? list.sha256 : whole.sha256)
        try self.init(folder: folder, options, source, list, images, settings)
    }

    /// A job that puts finished shards together: the same bytes as one job over all images.
    public convenience init(merging shards: [FilePath], into folder: FilePath, options: Options) throws {
        let source = try ShardsSource(shards)
        let (list, first) = (source.list, source.parts[0].manifest)
        let images = Manifest.Images(
            first: 0, count: list.count, total: list.count, sha256: list.sha256, totalSHA256: list.sha256)
        guard images.sha256 == first.images.totalSHA256 else {
            throw FNEError(.jobMismatch, "the shards' lists together are not the list that they were made of")
        }
        try self.init(folder: folder, options, source, list, images, first.settings)
    }

    /// A job that is there. It can be run where its images are embedded: to finish it, or, when it has no codes yet, to
    /// make them as the options say.
    public init(existing folder: FilePath, options: Options) throws {
        self.folder = folder
        files = JobFiles(folder: folder)
        self.options = options
        source = nil
        list = nil
        manifest = try Manifest(in: folder)
    }

    private init(
        folder: FilePath, _ options: Options, _ source: any RowSource, _ list: ImageList, _ images: Manifest.Images,
        _ settings: JSON
    ) throws {
        self.folder = folder
        files = JobFiles(folder: folder)
        self.options = options
        self.source = source
        self.list = list
        guard options.keepsFeatures || options.statistics != nil else {
            throw FNEError(.invalidArgument, "without features there is nothing to make statistics of; give statistics")
        }
        guard options.keepsFeatures || options.formats != nil else {
            throw FNEError(.invalidArgument, "without features and without codes nothing would be kept; ask for one of them")
        }
        let wanted = Manifest(
            state: .running, images: images, settings: settings, engines: source.engines(from: 0),
            keepsFeatures: options.keepsFeatures, codes: try Self.codes(options, images))
        manifest = wanted
        if File.exists(folder.appending(Manifest.fileName)) { manifest = try found(like: wanted) }
    }

    private static func images(_ options: Options) throws -> (ImageList, FilePath) {
        guard let source = options.source else {
            guard !options.paths.isEmpty else { throw FNEError(.invalidArgument, "there are no images: no source, no paths") }
            let empty = options.paths.firstIndex { $0.text.isEmpty }
            if let empty { throw FNEError(.invalidArgument, "the path of image \(empty) is empty") }
            return (ImageList(options.paths.lazy.map(\.text)), options.root ?? FilePath(""))
        }
        guard options.paths.isEmpty else { throw FNEError(.invalidArgument, "both a source and paths are given") }
        return try ImageList.read(source, root: options.root)
    }

    private static func codes(_ options: Options, _ images: Manifest.Images) throws -> Manifest.Codes? {
        guard let formats = options.formats, options.statistics != nil || images.count == images.total else { return nil }
        let saved = try options.statistics.map(File.contents)
        return Manifest.Codes(
            discretization: options.discretization, formats: formats,
            statisticsSHA256: saved.map { $0.withUnsafeBytes(sha256) })
    }

    /// What the folder holds, where that is the same job; else an error that says what differs.
    private func found(like wanted: Manifest) throws -> Manifest {
        let found = try Manifest(in: folder)
        func differs(_ what: String) -> FNEError {
            FNEError(.jobMismatch, "the folder '\(folder)' holds another job: \(what). Take another folder, or remove this one")
        }
        if let difference = Manifest.difference(wanted.settings, found.settings) { throw differs(difference) }
        if wanted.images != found.images { throw differs(difference(in: wanted.images, found.images)) }
        if wanted.keepsFeatures != found.keepsFeatures { throw differs("keeps_features is \(found.keepsFeatures)") }
        if found.state != .features, wanted.codes != found.codes {
            throw differs(Manifest.difference(wanted.json["codes"] ?? .null, found.json["codes"] ?? .null, "codes") ?? "codes")
        }
        return found
    }

    private func difference(in wanted: Manifest.Images, _ found: Manifest.Images) -> String {
        if let list, let names = try? File.contents(files.path(JobFiles.list)), let old = try? ImageList(reading: names),
            let image = (0..<min(list.count, old.count)).first(where: { list.name($0) != old.name($0) })
        {
            return "image \(image) is '\(old.text(image))' there and '\(list.text(image))' here"
        }
        return "it has \(found.count) of \(found.total) images from \(found.first) on, this one \(wanted.count) of "
            + "\(wanted.total) from \(wanted.first) on"
    }

    // MARK: Facts

    public var state: State { manifest.state }

    /// Of this job, which may be a shard of the whole list.
    public var imageCount: Int { manifest.images.count }
    /// Of the whole list, of which this job may be a shard.
    public var totalImageCount: Int { manifest.images.total }
    /// The place of its first image in the whole list.
    public var firstImage: Int { manifest.images.first }
    /// Images that could not be embedded; known when all were tried.
    public var failedCount: Int? { manifest.results?.failed }
    /// Images that are embedded and safe on the disk, or failed.
    public func imagesDone() throws -> Int {
        guard manifest.results == nil else { return imageCount }
        let path = files.path(JobFiles.checkpoint)
        guard File.exists(path) else { return 0 }
        return try Checkpoint(reading: path, images: imageCount, features: featureCount()).imagesDone
    }

    /// F.
    public func featureCount() throws -> Int { try manifest.featureCount() }
    /// 1, or 10 with ten crops.
    public func rowsPerImage() throws -> Int { try manifest.rowsPerImage() }
    /// The layers of a row, in the order of its columns.
    public func layers() throws -> [Layer] { try manifest.layers() }

    /// The statistics of the images that could be embedded.
    public func statistics() throws -> Statistics {
        try File.read(files.path(JobFiles.statistics), Statistics.load)
    }

    // MARK: Running

    /// Does what is left to do; returns at once when nothing is.
    ///
    /// - Throws: `.cancelled`; `.fileError`, also for a full disk; `.jobBusy`; `.jobMismatch`; with `failsOnBadImage` a bad
    ///   image's error. What was done is on the disk then, and the next run goes on from there.
    public func run(_ reports: Reports = Reports()) throws {
        if source != nil { try File.makeFolder(folder) }
        let lock = try File(files.path(JobFiles.lock), .writing)
        guard try lock.lock() else {
            throw FNEError(.jobBusy, "another process runs the job in '\(folder)'")
        }
        let isNew = !File.exists(files.path(Manifest.fileName))
        if isNew {
            guard source != nil else { throw FNEError(.fileError, "there is no job in '\(folder)' any more") }
            do {
                try files.mustBeFree()
            } catch { // it is another's folder: nothing of ours may stay in it
                File.remove(files.path(JobFiles.lock))
                throw error
            }
        } else {
            manifest = try Manifest(in: folder) // another process may have gone on with it since
            if manifest.state == .features, let codes = try Self.codes(options, manifest.images) {
                manifest.codes = codes
                manifest.state = .running
            }
        }
        guard manifest.state == .running else {
            files.removeTemporary()
            return
        }
        if isNew, let list {
            try File.replace(files.path(JobFiles.list), with: list.bytes)
        }
        let names = try list ?? ImageList(reading: File.contents(files.path(JobFiles.list)))
        guard names.count == manifest.images.count, names.sha256 == manifest.images.sha256 else {
            throw FNEError(.invalidData, "'\(files.path(JobFiles.list))' is not the list that the job was made of")
        }
        let run = try JobRun(files, manifest, names, options, source, reports)
        let record = RunRecord(from: run.imagesDone)
        var outcome = "finished"
        defer {
            manifest = run.manifest
            record.append(to: files.path(JobFiles.runs), until: run.imagesDone, outcome)
        }
        do {
            try run.run()
        } catch {
            outcome = (error as? FNEError)?.message ?? "\(error)"
            throw error
        }
    }
}

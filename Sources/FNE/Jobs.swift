import FullNetworkEmbedding
public import CFNE

/// A job, with its strings as C reads them. The caller must see to it that one thread at a time uses it.
final class JobObject {
    let job: Job
    let layers: [Layer]
    let layerNames: [CText]
    /// What the folder holds; nil before it is asked for, and after a run.
    var contents: JobContents?
    /// The sentence that was asked for last.
    var reason: CText?

    init(_ job: Job) throws {
        self.job = job
        layers = try job.layers()
        layerNames = layers.map { CText($0.name) }
    }
}

// MARK: Options

@c @implementation public func fne_job_options_init(
    _ options: UnsafeMutablePointer<fne_job_options>?, _ struct_size: UInt64
) {
    initialize(options, fne_job_options(), struct_size)
}

/// A caller's pointer for its own callback, whose comment in the header says which threads call it.
struct UncheckedUser: @unchecked Sendable {
    let pointer: UnsafeMutableRawPointer?
    init(_ pointer: UnsafeMutableRawPointer?) { self.pointer = pointer }
}

/// Turns C's options into Swift's. 0 and NULL stand for the defaults.
private func translated(_ pointer: UnsafePointer<fne_job_options>?) throws -> Job.Options {
    let given = try readOptions(pointer, defaults: fne_job_options(), "options")
    var result = try Job.Options()
    result.source = try given.source.map { try file($0, "options->source") }
    if given.path_count > 0 { result.paths = try filePaths(given.paths, given.path_count, "options->paths") }
    result.root = try given.root.map { try file($0, "options->root") }
    result.shard = Shard(index: Int(given.shard_index), count: max(Int(given.shard_count), 1))
    result.keepsFeatures = try !flag(given.drop_features, "drop_features")
    switch given.codes {
    case 0: break
    case FNE_CODES_NONE: result.formats = nil
    case 1...3: result.formats = CodeFormats(rawValue: given.codes)
    default: throw FNEError(.invalidArgument, "codes is \(given.codes), which is none of the values in fne.h")
    }
    result.statistics = try given.statistics.map { try file($0, "options->statistics") }
    result.discretization = try readDiscretization(given.ternarize_options, "options->ternarize_options")
    result.failsOnBadImage = try flag(given.fail_on_bad_image, "fail_on_bad_image")
    result.acceptsOtherEngine = try flag(given.accept_other_engine, "accept_other_engine")
    result.retriesFailed = try flag(given.retry_failed, "retry_failed")
    result.allowsBatchStatistics = try flag(given.allow_batch_statistics, "allow_batch_statistics")
    try mustBeZero(given.reserved, "options")
    guard [0, FNE_UPDATE, FNE_UPDATE_UNRECORDED].contains(given.update) else {
        throw FNEError(.invalidArgument, "update is \(given.update), which is none of the values in fne.h")
    }
    result.updates = given.update != 0
    result.embedsUnrecorded = given.update == FNE_UPDATE_UNRECORDED
    result.keepsStatistics = try flag(given.keep_statistics, "keep_statistics")
    result.modelSource = try modelSource(given)
    if let listing = given.listing {
        let user = UncheckedUser(given.listing_user)
        result.listing = { count in FloatEnvironment.host { listing(user.pointer, UInt64(count)) == 0 } }
    }
    if given.checkpoint_seconds > 0 { result.checkpointSeconds = Int(given.checkpoint_seconds) }
    return result
}

private func modelSource(_ given: fne_job_options) throws -> Job.ModelSource? {
    guard let name = given.model_source else {
        guard given.model_signature == nil, given.model_tag_count == 0 else {
            throw FNEError(.invalidArgument, "model_signature and model_tags need model_source. Set it, too")
        }
        return nil
    }
    var result = Job.ModelSource()
    let source = try file(name, "options->model_source")
    result.name = source.text.isEmpty ? nil : source
    result.signature = try given.model_signature.map { try text($0, "options->model_signature") }
    let tags = try texts(given.model_tags, given.model_tag_count, "options->model_tags")
    result.tags = tags.isEmpty ? nil : tags
    return result
}

// MARK: Opening

@c @implementation public func fne_job_open(
    _ folder: UnsafePointer<CChar>?, _ model: OpaquePointer?,
    _ extractor_options: UnsafePointer<fne_extractor_options>?, _ options: UnsafePointer<fne_job_options>?,
    _ job: UnsafeMutablePointer<OpaquePointer?>?
) -> fne_status {
    status {
        let folder = try file(folder, "folder")
        let job = try required(job, "job")
        let translatedOptions = try translated(options)
        let opened: Job
        if model == nil {
            opened = try Job(existing: folder, options: translatedOptions)
        } else {
            let object: ModelObject = try referenced(model, "model")
            opened = try Job(
                folder: folder, model: object.model, extractor: translated(extractor_options),
                options: translatedOptions)
        }
        job.pointee = try handle(JobObject(opened))
    }
}

@c @implementation public func fne_job_open_merge(
    _ folder: UnsafePointer<CChar>?, _ shards: UnsafePointer<UnsafePointer<CChar>?>?, _ shard_count: UInt64,
    _ options: UnsafePointer<fne_job_options>?, _ job: UnsafeMutablePointer<OpaquePointer?>?
) -> fne_status {
    status {
        let folder = try file(folder, "folder")
        let job = try required(job, "job")
        guard shard_count > 0 else { throw FNEError(.invalidArgument, "shard_count is 0, so there are no shards") }
        let opened = try Job(
            merging: filePaths(shards, shard_count, "shards"), into: folder, options: translated(options))
        job.pointee = try handle(JobObject(opened))
    }
}

@c @implementation public func fne_job_close(_ job: OpaquePointer?) { close(job, JobObject.self) }

// MARK: Running

@c @implementation public func fne_job_reports_init(
    _ reports: UnsafeMutablePointer<fne_job_reports>?, _ struct_size: UInt64
) {
    initialize(reports, fne_job_reports(), struct_size)
}

/// Turns C's reports into Swift's.
private func translated(_ pointer: UnsafePointer<fne_job_reports>?) throws -> Job.Reports {
    let given = try readOptions(pointer, defaults: fne_job_reports(), "reports")
    var reports = Job.Reports()
    let user = given.user
    if let progress = given.progress {
        reports.progress = { phase, done, total in
            FloatEnvironment.host { progress(user, phase.rawValue, UInt64(done), UInt64(total)) } == 0
        }
    }
    if let imageError = given.image_error {
        reports.imageError = { image, error in
            error.message.withCString { message in
                FloatEnvironment.host { imageError(user, UInt64(image), error.status.rawValue, message) }
            }
        }
    }
    if let notice = given.notice {
        reports.notice = { sentence in
            sentence.withCString { sentence in FloatEnvironment.host { notice(user, sentence) } }
        }
    }
    return reports
}

@c @implementation public func fne_job_run(
    _ job: OpaquePointer?, _ reports: UnsafePointer<fne_job_reports>?
) -> fne_status {
    status {
        let object: JobObject = try referenced(job, "job")
        object.contents = nil
        try object.job.run(translated(reports))
    }
}

// MARK: Verifying

@c @implementation public func fne_job_verify(
    _ job: OpaquePointer?, _ reports: UnsafePointer<fne_job_reports>?
) -> fne_status {
    status {
        let object: JobObject = try referenced(job, "job")
        try object.job.verify(translated(reports))
    }
}

@c @implementation public func fne_job_verify_file(
    _ job: OpaquePointer?, _ file: UnsafePointer<CChar>?, _ first_byte: UInt64, _ byte_count: UInt64
) -> fne_status {
    status {
        let object: JobObject = try referenced(job, "job")
        let first = Int(clamping: first_byte)
        let (end, overflow) = first.addingReportingOverflow(Int(clamping: byte_count))
        try object.job.verify(file: text(file, "file"), bytes: first..<(overflow ? .max : end))
    }
}

// MARK: Reading

@c @implementation public func fne_progress_info_init(
    _ info: UnsafeMutablePointer<fne_progress_info>?, _ struct_size: UInt64
) {
    initialize(info, fne_progress_info(), struct_size)
}

@c @implementation public func fne_job_progress_info(
    _ job: OpaquePointer?, _ info: UnsafeMutablePointer<fne_progress_info>?
) -> fne_status {
    status {
        let object: JobObject = try referenced(job, "job")
        let info = try required(info, "info")
        let job = object.job
        let value = fne_progress_info(
            struct_size: 0, state: job.state.rawValue, rows_per_image: UInt32(try job.rowsPerImage()),
            image_count: UInt64(job.imageCount), first_image: UInt64(job.firstImage),
            total_images: UInt64(job.totalImageCount), images_done: UInt64(try job.imagesDone()),
            failed_images: UInt64(job.failedCount ?? 0), feature_count: UInt64(try job.featureCount()),
            layer_count: UInt64(object.layers.count))
        try fill(info, with: value, "info")
    }
}

@c @implementation public func fne_job_layer_info(
    _ job: OpaquePointer?, _ index: UInt64, _ info: UnsafeMutablePointer<fne_layer_info>?
) -> fne_status {
    status {
        let object: JobObject = try referenced(job, "job")
        try fill(required(info, "info"), with: layerInfo(index, object.layers, object.layerNames), "info")
    }
}

@c @implementation public func fne_job_statistics(
    _ job: OpaquePointer?, _ statistics: UnsafeMutablePointer<OpaquePointer?>?
) -> fne_status {
    status {
        let object: JobObject = try referenced(job, "job")
        let statistics = try required(statistics, "statistics")
        statistics.pointee = try handle(object.job.statistics())
    }
}

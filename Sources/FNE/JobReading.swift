import FullNetworkEmbedding
public import CFNE

/// Gives the body what the folder of a job holds. It is opened by the first call, and again after a run.
private func contents<Result>(
    _ job: OpaquePointer?, _ body: (JobObject, JobContents) throws -> Result
) throws -> Result {
    let object: JobObject = try referenced(job, "job")
    let contents = try object.contents ?? JobContents(of: object.job.folder)
    object.contents = contents
    return try body(object, contents)
}

@c @implementation public func fne_job_image_name(
    _ job: OpaquePointer?, _ image: UInt64, _ name: UnsafeMutablePointer<UnsafePointer<CChar>?>?
) -> fne_status {
    status {
        let name = try required(name, "name")
        name.pointee = try contents(job) { _, contents in try contents.name(integer(image, "image")) }
    }
}

@c @implementation public func fne_job_image_reason(
    _ job: OpaquePointer?, _ image: UInt64, _ reason: UnsafeMutablePointer<UnsafePointer<CChar>?>?
) -> fne_status {
    status {
        let reason = try required(reason, "reason")
        try contents(job) { object, contents in
            guard let text = try contents.reason(integer(image, "image")) else {
                reason.pointee = nil
                return
            }
            let kept = CText(text)
            try Reserve.check()
            object.reason = kept
            reason.pointee = kept.pointer
        }
    }
}

@c @implementation public func fne_job_statuses(
    _ job: OpaquePointer?, _ first_image: UInt64, _ image_count: UInt64, _ statuses: UnsafeMutablePointer<Int32>?,
    _ capacity: UInt64
) -> fne_status {
    status {
        let statuses = try required(statuses, "statuses")
        let count = try matrixSize(image_count, 1, "the list of statuses")
        try needCapacity(capacity, count, "statuses")
        try contents(job) { _, contents in
            try contents.readStatuses(integer(first_image, "first_image"), count, into: statuses)
        }
    }
}

/// Reads rows of a matrix into a caller's array.
private func readRows(
    _ job: OpaquePointer?, _ matrix: JobContents.Matrix, _ first: UInt64, _ count: UInt64,
    _ rows: UnsafeMutableRawPointer?, _ capacity: UInt64, _ name: String
) -> fne_status {
    status {
        let rows = try required(rows, name)
        try contents(job) { _, contents in
            let size = try matrixSize(count, UInt64(contents.width(of: matrix)), name)
            try needCapacity(capacity, size, name)
            try contents.read(
                matrix, integer(first, "first_row"), integer(count, "row_count"), into: rows)
        }
    }
}

@c @implementation public func fne_job_features(
    _ job: OpaquePointer?, _ first_row: UInt64, _ row_count: UInt64, _ features: UnsafeMutablePointer<Float>?,
    _ capacity: UInt64
) -> fne_status { readRows(job, .features, first_row, row_count, features, capacity, "features") }

@c @implementation public func fne_job_codes(
    _ job: OpaquePointer?, _ first_row: UInt64, _ row_count: UInt64, _ codes: UnsafeMutablePointer<Int8>?,
    _ capacity: UInt64
) -> fne_status { readRows(job, .codes, first_row, row_count, codes, capacity, "codes") }

@c @implementation public func fne_job_packed_codes(
    _ job: OpaquePointer?, _ first_row: UInt64, _ row_count: UInt64, _ packed: UnsafeMutablePointer<UInt64>?,
    _ capacity: UInt64
) -> fne_status { readRows(job, .packedCodes, first_row, row_count, packed, capacity, "packed") }

@c @implementation public func fne_job_extractor(
    _ job: OpaquePointer?, _ model: OpaquePointer?, _ options: UnsafePointer<fne_extractor_options>?,
    _ extractor: UnsafeMutablePointer<OpaquePointer?>?
) -> fne_status {
    status {
        let object: JobObject = try referenced(job, "job")
        let network: ModelObject? = model == nil ? nil : try referenced(model, "model")
        let extractor = try required(extractor, "extractor")
        let opened = try object.job.extractor(network?.model, translated(options))
        extractor.pointee = try handle(ExtractorObject(opened))
    }
}

import FullNetworkEmbedding
public import CFNE

/// A listing of a folder, with its names as C reads them.
private final class ListingObject {
    let list: ImageNames
    init(_ list: ImageNames) { self.list = list }
}

@c @implementation public func fne_listing_open(
    _ folder: UnsafePointer<CChar>?, _ fail_on_unreadable: Int32, _ progress: fne_listing_fn?,
    _ user: UnsafeMutableRawPointer?, _ listing: UnsafeMutablePointer<OpaquePointer?>?
) -> fne_status {
    status {
        let folder = try file(folder, "folder")
        let listing = try required(listing, "listing")
        let report = progress.map { progress in
            { (count: Int) in FloatEnvironment.host { progress(user, UInt64(count)) == 0 } }
        }
        let names = try ImageNames(
            below: folder, failsOnUnreadable: flag(fail_on_unreadable, "fail_on_unreadable"), report: report)
        listing.pointee = try handle(ListingObject(names))
    }
}

@c @implementation public func fne_listing_close(_ listing: OpaquePointer?) { close(listing, ListingObject.self) }

@c @implementation public func fne_listing_count(
    _ listing: OpaquePointer?, _ count: UnsafeMutablePointer<UInt64>?
) -> fne_status {
    status {
        let object: ListingObject = try referenced(listing, "listing")
        try required(count, "count").pointee = UInt64(object.list.count)
    }
}

@c @implementation public func fne_listing_name(
    _ listing: OpaquePointer?, _ index: UInt64, _ name: UnsafeMutablePointer<UnsafePointer<CChar>?>?
) -> fne_status {
    status {
        let object: ListingObject = try referenced(listing, "listing")
        let name = try required(name, "name")
        let index = try element(index, of: object.list.count, "image")
        name.pointee = object.list.cString(index)
    }
}

@c @implementation public func fne_listing_intake_info(
    _ listing: OpaquePointer?, _ info: UnsafeMutablePointer<fne_intake_info>?
) -> fne_status {
    status {
        let object: ListingObject = try referenced(listing, "listing")
        try write(object.list.intake, to: required(info, "info"))
    }
}

// MARK: Intake

@c @implementation public func fne_intake_info_init(
    _ info: UnsafeMutablePointer<fne_intake_info>?, _ struct_size: UInt64
) {
    initialize(info, fne_intake_info(), struct_size)
}

@c @implementation public func fne_job_intake_info(
    _ job: OpaquePointer?, _ info: UnsafeMutablePointer<fne_intake_info>?
) -> fne_status {
    status {
        let object: JobObject = try referenced(job, "job")
        try write(object.job.intake, to: required(info, "info"))
    }
}

private func write(_ intake: Intake, to info: UnsafeMutablePointer<fne_intake_info>) throws {
    var value = fne_intake_info()
    copy(intake.taken, to: &value.taken)
    copy(intake.leftOut, to: &value.left_out)
    value.taken_count = UInt64(intake.taken.reduce(0, +))
    value.left_out_count = UInt64(intake.leftOut.reduce(0, +))
    let changes = intake.changes
    value.new_count = UInt64(changes.new)
    value.changed_count = UInt64(changes.changed)
    value.retried_count = UInt64(changes.retried)
    value.removed_count = UInt64(changes.removed)
    value.kept_count = UInt64(changes.kept)
    try fill(info, with: value, "info")
}

/// Copies counts to the beginning of an array of C. The rest stays 0.
private func copy<Counts: BitwiseCopyable>(_ counts: [Int], to array: inout Counts) {
    withUnsafeMutableBytes(of: &array) { bytes in
        let numbers = bytes.bindMemory(to: UInt64.self)
        for (index, count) in zip(numbers.indices, counts) { numbers[index] = UInt64(count) }
    }
}

import FNESupport
import Glibc

/// What an update does with each image. An update that was interrupted goes on by its plan, whatever has become of the
/// images since. So the plan is kept in a file, in little-endian numbers:
///
///     "FNEUPD\n\0" | SHA-256 of the former manifest, 64 digits | whether the statistics are kept u64 |
///     new, changed, retried, removed, kept: u64 each | number of images u64 | actions, a byte each |
///     the names, with a zero byte after each | FNV-1a of all bytes before it u64
struct UpdatePlan {
    /// The former images, and the new ones after them.
    let list: ImageList
    let actions: [GrownSource.Action]
    let changes: Intake.Changes
    /// The SHA-256 of the manifest of the job that is updated.
    let manifest: String
    let keepsStatistics: Bool

    private static let magic = Array("FNEUPD\n\0".utf8)

    var removed: [Int] { actions.indices.filter { actions[$0] == .remove } }

    /// Whether any image is new, changed or removed. To try failed images again is not worth an update of its own,
    /// unless that is asked for.
    func hasChanges(retryingFailed: Bool) -> Bool {
        changes.new + changes.changed + changes.removed + (retryingFailed ? changes.retried : 0) > 0
    }

    // MARK: Deciding

    /// The job that is updated, as far as its plan needs it.
    struct Former {
        let manifest: Manifest
        let checksum: String
        let list: ImageList
        /// The images that could not be embedded.
        let failed: Set<Int>
        let imageFiles: ImageFiles?
    }

    /// Compares a finished job with the images as they are now.
    ///
    /// - Parameters:
    ///   - embedsUnrecorded: whether images without a record of their file are embedded again
    ///   - reports: receives a sentence about such images. It can cancel.
    /// - Throws: `.jobMismatch` where none of the job's images is left; `.cancelled`, `.outOfMemory`.
    init(_ former: Former, _ images: ImageSource, keepsStatistics: Bool, embedsUnrecorded: Bool, _ reports: Job.Reports)
        throws
    {
        self.keepsStatistics = keepsStatistics
        manifest = former.checksum
        let count = former.list.count
        try Reserve.prepare(256 * (count + images.list.count) + 2 * (former.list.bytes.count + images.list.bytes.count))
        let (isListed, new) = Self.match(former.list, images.list)
        let wasRemoved = Set(former.manifest.removed)
        guard count == wasRemoved.count || isListed.contains(true) else {
            throw FNEError(
                .jobMismatch,
                "none of the job's \(count) images is among the \(images.list.count) of the source. The first is "
                    + "'\(former.list.text(0))' there and '\(images.list.text(0))' here. Name the source that the job "
                    + "was made of, or take another folder")
        }
        var (actions, changes, unrecorded) = ([GrownSource.Action](), Intake.Changes(), 0)
        for image in 0..<count {
            try Self.goOn(image, count, reports)
            let file = images.root.appending(former.list.name(image))
            if !isListed[image], !(images.isFolder && Self.cannotBeReached(file)) {
                if !wasRemoved.contains(image) { changes.removed += 1 }
                actions.append(.remove)
                continue
            }
            let before = (try? former.imageFiles?.facts(of: image)) ?? .unknown
            let now = ImageFiles.Facts(of: file)
            if wasRemoved.contains(image) {
                changes.new += 1
            } else if former.failed.contains(image) {
                if former.imageFiles == nil || before == now { changes.retried += 1 } else { changes.changed += 1 }
            } else if before.isKnown ? before != now : embedsUnrecorded {
                changes.changed += 1
            } else {
                if !before.isKnown { unrecorded += 1 }
                changes.kept += 1
                actions.append(.keep)
                continue
            }
            actions.append(.embed)
        }
        changes.new += new.count
        actions += repeatElement(.embed, count: new.count)
        list = ImageList(
            (0..<count + new.count).lazy.map { image in
                image < count ? former.list.name(image) : images.list.name(new[image - count])
            })
        (self.actions, self.changes) = (actions, changes)
        try Reserve.check()
        if unrecorded > 0 { reports.say(Self.warning(unrecorded, of: count)) }
    }

    private static func warning(_ unrecorded: Int, of count: Int) -> String {
        "the job has no record of the size and the time of \(unrecorded) of its \(count) image files, so it cannot "
            + "tell whether they have changed. They count as unchanged. Ask for embed_unrecorded to embed them again"
    }

    private static func goOn(_ image: Int, _ count: Int, _ reports: Job.Reports) throws {
        guard image % 4096 == 0 else { return }
        try Reserve.check()
        guard reports.progress?(.embedding, 0, count) ?? true else {
            throw FNEError(.cancelled, "the update was cancelled before it began")
        }
    }

    /// Which of the former names are in the new list, and which of the new names are not in the former. The second
    /// image of a name is matched with the second one.
    private static func match(_ former: ImageList, _ list: ImageList) -> (isListed: [Bool], new: [Int]) {
        var first: [ArraySlice<UInt8>: Int] = [:]
        var following = [Int](repeating: -1, count: former.count)
        for image in (0..<former.count).reversed() {
            following[image] = first.updateValue(image, forKey: former.name(image)) ?? -1
        }
        var (isListed, new) = ([Bool](repeating: false, count: former.count), [Int]())
        for image in 0..<list.count {
            if let found = first[list.name(image)], found >= 0 {
                isListed[found] = true
                first[list.name(image)] = following[found]
            } else {
                new.append(image)
            }
        }
        return (isListed, new)
    }

    /// Whether the system refuses to look for a file, as in a folder that may not be entered. Such a file may be there.
    private static func cannotBeReached(_ file: FilePath) -> Bool {
        file.facts() == nil && errno != ENOENT && errno != ENOTDIR
    }

    // MARK: The file

    func write(_ path: FilePath) throws {
        try Reserve.prepare(2 * (actions.count + list.bytes.count))
        let flags = [keepsStatistics ? 1 : 0]
        let counts = [changes.new, changes.changed, changes.retried, changes.removed, changes.kept, actions.count]
        var bytes = Self.magic + manifest.utf8
        func append(_ number: UInt64) { withUnsafeBytes(of: number.littleEndian) { bytes += $0 } }
        for number in flags + counts { append(UInt64(number)) }
        bytes += actions.lazy.map(\.rawValue)
        bytes += list.bytes
        append(bytes.withUnsafeBytes { fnv1a($0) })
        try Reserve.check()
        try File.replace(path, with: bytes)
    }

    /// Reads what `write` wrote.
    ///
    /// - Throws: `.invalidData` for a damaged plan; `.fileError`, `.outOfMemory`.
    init(reading path: FilePath) throws {
        let bytes = try File.contents(path)
        let (digits, numbers) = (64, 7)
        let start = Self.magic.count + digits + 8 * numbers
        func number(at place: Int) -> UInt64 {
            bytes.withUnsafeBytes { UInt64(littleEndian: $0.loadUnaligned(fromByteOffset: place, as: UInt64.self)) }
        }
        guard bytes.count >= start + 8, bytes.starts(with: Self.magic),
            number(at: bytes.count - 8) == bytes.dropLast(8).withUnsafeBytes({ fnv1a($0) })
        else { throw Self.damaged }
        let values = (0..<numbers).map { Int(clamping: number(at: start - 8 * (numbers - $0))) }
        guard let count = values.last, count >= 1, count <= bytes.count - start - 8,
            values.allSatisfy({ $0 >= 0 && $0 <= count })
        else { throw Self.damaged }
        manifest = String(decoding: bytes[Self.magic.count..<Self.magic.count + digits], as: UTF8.self)
        keepsStatistics = values[0] == 1
        changes = Intake.Changes(
            new: values[1], changed: values[2], retried: values[3], removed: values[4], kept: values[5])
        actions = bytes[start..<start + count].compactMap(GrownSource.Action.init)
        list = try ImageList(reading: Array(bytes[(start + count)...].dropLast(8)))
        guard actions.count == count, list.count == count else { throw Self.damaged }
    }

    private static let damaged = FNEError(.invalidData, "the plan of the update is damaged")
}

extension Intake.Changes {
    /// What an update did that tried nothing again.
    var withoutRetries: Intake.Changes {
        Intake.Changes(new: new, changed: changed, removed: removed, kept: kept + retried)
    }

    /// Takes the changes of an update that came after this one.
    mutating func add(_ later: Intake.Changes) {
        new += later.new
        changed += later.changed
        retried += later.retried
        removed += later.removed
        kept = later.kept
    }
}

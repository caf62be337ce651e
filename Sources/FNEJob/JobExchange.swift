import FNESupport
import Glibc

/// The end of an update. The files of the new job, which is finished in a folder of its own, take the places of the
/// former job's. Before the first file moves, the manifest says that this is under way. The manifest of the new job
/// moves last. So a reader sees the former job, the new one, or an error.
struct JobExchange {
    /// The job that is updated.
    let files: JobFiles
    /// The new job.
    let update: JobFiles

    /// The state in the manifest meanwhile.
    static let state = "updating"

    static let isUnderWay = FNEError(
        .jobBusy,
        "an update of this job is under way, and its files are being exchanged. If no process does this now, then the "
            + "update was interrupted here. Run it again, with update set. It goes on with what is left, and then the "
            + "job can be read")

    init(_ files: JobFiles) {
        self.files = files
        update = JobFiles(folder: files.path(JobFiles.update))
    }

    /// Whether an exchange was begun and is not finished.
    func isBegun() throws -> Bool {
        guard try File.exists(files.path(Manifest.fileName)) else { return false }
        do {
            _ = try Manifest(in: files.folder)
        } catch let error as FNEError where error.status == .jobBusy {
            return true
        } catch let error as FNEError where error.status == .invalidData {
            return false // who reads the manifest next says so
        }
        return false
    }

    /// Begins the exchange, and finishes it.
    func perform() throws {
        try Manifest(in: update.folder).write(to: files.folder, state: Self.state)
        try finish()
    }

    /// Finishes an exchange that was begun. What has moved stays where it is.
    func finish() throws {
        let manifest = try Manifest(in: update.folder)
        let names = manifest.fileNames(in: .finished) + [JobFiles.imageFiles, JobFiles.keptStatistics]
        for name in names where try File.exists(update.path(name)) {
            try File.move(update.path(name), to: files.path(name))
        }
        if try manifest.codes?.statisticsSHA256 == nil || manifest.codes?.statisticsSHA256 != files.keptChecksum() {
            File.remove(files.path(JobFiles.keptStatistics))
        }
        for name in JobFiles.matrices + [JobFiles.statistics, JobFiles.stats] where manifest.files[name] == nil {
            File.remove(files.path(name))
        }
        takeRecords()
        File.remove(update.path(JobFiles.plan)) // which is of the former job, and that ends now
        try File.move(update.path(Manifest.fileName), to: files.path(Manifest.fileName))
        update.removeAll()
    }

    /// Appends the lines about the update's runs to those of the job. They are no part of the results, so errors are
    /// ignored.
    private func takeRecords() {
        guard let lines = try? File.contents(update.path(JobFiles.runs)),
            let file = try? File(files.path(JobFiles.runs), .writing), let size = try? file.size()
        else { return }
        try? file.write(lines, at: size)
        File.remove(update.path(JobFiles.runs))
    }
}

extension JobFiles {
    static let matrices = [features, codes, packedCodes]

    /// The SHA-256 of the statistics that an update has kept; nil where there are none.
    func keptChecksum() throws -> String? {
        let kept = path(Self.keptStatistics)
        return try File.exists(kept) ? try File.read(kept) { sha256($0) } : nil
    }

    /// Removes the folder with all files that a job has. What else is in it stays, and the folder too.
    func removeAll() {
        let names =
            Self.matrices + [
                Self.list, Self.images, Self.status, Self.statistics, Self.stats, Self.imageFiles, Self.keptStatistics,
                Self.runs, Self.plan, Manifest.fileName,
            ]
        for name in names {
            for suffix in ["", ".new", ".part"] { File.remove(path(name + suffix)) }
        }
        removeTemporary()
        _ = folder.systemCall { rmdir($0) }
    }
}

import FNESupport

/// The lock that keeps two processes from running one job. It is on the folder itself, so that it holds even if
/// somebody deletes files in the folder. Some network file systems cannot lock a folder. There the file `lock` alone is
/// locked.
final class JobLock {
    private let file: File
    private let folder: File?

    /// - Throws: `.jobBusy` where another process runs the job; `.fileError`.
    init(_ files: JobFiles) throws {
        func busy() -> FNEError {
            FNEError(.jobBusy, "another process runs the job in '\(files.folder)'. Wait until it ends")
        }
        let opened = try File(files.folder, .folder)
        let isFree = try? opened.lock()
        guard isFree ?? true else { throw busy() }
        folder = isFree == nil ? nil : opened
        file = try File(files.path(JobFiles.lock), .writing)
        guard try file.lock() else { throw busy() }
        try check()
    }

    /// - Throws: `.jobBusy` where the lock was lost, since the file was removed. Then another process may run the job.
    func check() throws {
        guard folder == nil, !file.isAtItsPath else { return }
        throw FNEError(
            .jobBusy,
            "'\(file.path)' was removed while the job ran, and it is what keeps other processes out. Run the job again")
    }
}

import Glibc

/// The error of a system call on a file that has just failed, with the reason that errno gives, such as "No such file
/// or directory".
package func lastSystemError() -> FNEError {
    let number = errno
    return FNEError(speaksOfTheFile(number) ? .fileError : .ioError, String(cString: strerror(number)))
}

/// Whether errno says what is wrong with a file, its name, or its place, so that another try would end the same way.
///
/// Everything else speaks of the machine, a disk, or the network: EIO, EMFILE, ENFILE, ENOMEM, ESTALE, ETIMEDOUT,
/// EAGAIN, EINTR, ENOTCONN, EHOSTDOWN, EREMOTEIO and whatever else a file system in the network thinks of. The list is
/// of the file's errors, because these are few and known. An error that is missing here ends a run, and the run can go
/// on. An error too many here would be taken for a bad image.
private func speaksOfTheFile(_ number: Int32) -> Bool {
    switch number {
    case ENOENT, ENOTDIR, EACCES, EPERM, ELOOP, ENAMETOOLONG, EISDIR, EEXIST: true // what is at the path
    case EINVAL, EILSEQ: true // a name that the file system does not take
    case ENXIO, ENODEV: true // a socket, or a device without a driver
    case EFBIG, EOVERFLOW: true
    case ENOSPC, EDQUOT, EROFS: true // a place for a file that is written
    default: false
    }
}

/// Tries again what failed through no fault of the file (`.ioError`), with growing pauses. A share in the network that
/// stalls, or a moment without free descriptors, is over after some seconds. What lasts longer is for people to mend.
package final class Patience: @unchecked Sendable {
    /// The seconds between two tries. Their sum bounds the time.
    static let pauses = [0.05, 0.1, 0.2, 0.4, 0.8, 1.6]

    private let judge: (FNEError) -> FNEError
    private let monitor = Monitor()
    private var ended = false

    /// - Parameter judge: sees each error first. It may turn an error of the file into one of the machine.
    package init(judge: @escaping (FNEError) -> FNEError = { $0 }) { self.judge = judge }

    /// Ends all pauses. No further try is made. Any thread may call it.
    package func end() { monitor.locked { ended = true } }

    /// Runs the body again until it succeeds, or fails in another way, or the tries are used up.
    package func trying<Result>(_ body: () throws -> Result) throws -> Result {
        for pause in Self.pauses {
            do {
                return try body()
            } catch let error as FNEError {
                let error = judge(error)
                guard error.status == .ioError, rest(pause) else { throw error }
            }
        }
        do {
            return try body()
        } catch let error as FNEError {
            let error = judge(error)
            guard error.status == .ioError else { throw error }
            throw FNEError(
                .ioError,
                "\(error.message), also after \(Self.pauses.count) further tries. The disk, the network or the system "
                    + "fails, and the file may be good. Mend that and try again")
        }
    }

    /// Waits. False when the waiting was ended.
    private func rest(_ seconds: Double) -> Bool {
        let slice = 0.02
        for _ in 0..<Int((seconds / slice).rounded()) {
            guard !monitor.locked({ ended }) else { return false }
            var time = timespec(tv_sec: 0, tv_nsec: Int(slice * 1e9))
            nanosleep(&time, nil)
        }
        return !monitor.locked { ended }
    }
}

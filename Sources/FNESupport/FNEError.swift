/// The release.
public let libraryVersion = "2.0.0"

/// Every error that this module throws: a status whose number never changes, and a sentence that names the file, the
/// tensor or the argument and the way out.
public struct FNEError: Error, Equatable, CustomStringConvertible {
    /// The numbers are those of `fne_status` in `include/fne.h`.
    public enum Status: Int32, Sendable, CaseIterable {
        case invalidArgument = 1
        case bufferTooSmall = 2
        case outOfMemory = 3
        case fileError = 4
        case unsupportedImage = 5
        case damagedImage = 6
        case imageLimit = 7
        case invalidGraph = 8
        case unsafeGraph = 9
        case unknownTensor = 10
        case unsupportedTensor = 11
        case backendUnavailable = 12
        case backendConflict = 13
        case backendError = 14
        case notFinite = 15
        case cancelled = 16
        case forked = 17
        case shapeMismatch = 18
        case invalidData = 19
        case internalError = 20
        case jobMismatch = 21
        case jobBusy = 22
    }

    /// What kind of error: the numbers of fne.h.
    public let status: Status
    /// A sentence that names the file, the tensor or the argument, and the way out.
    public let message: String

    public init(_ status: Status, _ message: String) {
        self.status = status
        self.message = message
    }

    public var description: String { message }

    /// The same error with the thing it is about in front: "photo.jpg: the data end too early".
    package func about(_ subject: String) -> FNEError {
        FNEError(status, subject + ": " + message)
    }
}

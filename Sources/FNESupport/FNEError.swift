/// The version of this release of libfne.
public let libraryVersion = "2.0.0"

/// The error that libfne throws. It has a status, whose number never changes, and a message in words.
public struct FNEError: Error, Equatable, CustomStringConvertible {
    /// The kinds of errors. Their numbers are those of `fne_status` in `include/fne.h`, which describes them in full.
    public enum Status: Int32, Sendable, CaseIterable {
        /// An argument or an option is missing, or out of its range.
        case invalidArgument = 1
        /// The caller's buffer has less room than the result needs.
        case bufferTooSmall = 2
        /// The system gave no memory.
        case outOfMemory = 3
        /// A file or a folder cannot be read or written.
        case fileError = 4
        /// The image is no JPEG, PNG or WebP, or of a kind of these that libfne does not read.
        case unsupportedImage = 5
        /// The image is truncated or corrupt.
        case damagedImage = 6
        /// The image is beyond a limit of `ImageOptions`.
        case imageLimit = 7
        /// The model is no TensorFlow GraphDef, or a damaged one.
        case invalidGraph = 8
        /// The graph has an operation that may do more than compute.
        case unsafeGraph = 9
        /// The graph or the list has no tensor of the name.
        case unknownTensor = 10
        /// The tensor's type, rank or layout cannot be used.
        case unsupportedTensor = 11
        /// TensorFlow's library was not found, or cannot be used.
        case backendUnavailable = 12
        /// The process has loaded another copy of TensorFlow.
        case backendConflict = 13
        /// TensorFlow reported an error.
        case backendError = 14
        /// A number is NaN or infinite.
        case notFinite = 15
        /// A progress callback asked the call to stop.
        case cancelled = 16
        /// The object was made before the process forked, and cannot be used in the child.
        case forked = 17
        /// The sizes of two arguments do not fit each other.
        case shapeMismatch = 18
        /// The saved data are damaged, or of another version.
        case invalidData = 19
        /// libfne has a bug.
        case internalError = 20
        /// The folder holds another job, or the shards do not fit each other.
        case jobMismatch = 21
        /// Another process runs the job.
        case jobBusy = 22
        /// The system failed while it read or wrote a file. The file itself may be good.
        case ioError = 23

        /// Whether the error speaks of the machine and not of the image that it came up with. Another try may do.
        package var isOfTheMachine: Bool { self == .ioError || self == .outOfMemory }
    }

    /// The kind of the error.
    public let status: Status
    /// One or two sentences for people. They name the file, the tensor or the argument, what is wrong, and the way out.
    public let message: String

    /// An error with a message that follows the rules of `message`.
    public init(_ status: Status, _ message: String) {
        self.status = status
        self.message = message
    }

    /// The message.
    public var description: String { message }

    /// The same error, with its subject before the message: "photo.jpg: the data end too early".
    package func about(_ subject: String) -> FNEError {
        FNEError(status, subject + ": " + message)
    }
}

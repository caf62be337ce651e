import FNESupport

/// The names of the images below a folder, for programs that do not embed them by a job.
public final class ImageNames: @unchecked Sendable {
    private let bytes: Bytes // the names, each with a zero byte after it
    private let starts: [Int]
    /// What was left out of the folder.
    public let intake: Intake

    /// Lists a folder, as a job does. The log names what cannot be read.
    ///
    /// - Parameters:
    ///   - failsOnUnreadable: whether a folder or a file that cannot be read is an error. Else it is left out.
    ///   - report: is called some times a second with the number of images found. Returning false cancels.
    /// - Throws: `.fileError`, `.ioError`, `.cancelled`, `.outOfMemory`.
    public init(below folder: FilePath, failsOnUnreadable: Bool = false, report: ((Int) -> Bool)? = nil) throws {
        let listing = try FolderListing(of: folder, failsOnUnreadable: failsOnUnreadable, report: report)
        for sentence in listing.unreadable { Log.write(.warning, sentence) }
        let list = ImageList(listing.names)
        bytes = try list.bytes.withUnsafeBytes { try Bytes(copying: $0) }
        starts = (0..<list.count).map { list.name($0).startIndex }
        intake = listing.intake
        try Reserve.check()
    }

    /// The number of images.
    public var count: Int { starts.count }

    /// An image's path below the folder, which ends with a zero byte. It lives as long as this object.
    public func cString(_ image: Int) -> UnsafePointer<CChar> {
        bytes.withNumbers(of: CChar.self) { UnsafePointer($0 + starts[image]) }
    }
}

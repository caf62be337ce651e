import FNEImage

/// Why a folder's listing leaves something out. The numbers are those of `FNE_LEFT_OUT_*` in `include/fne.h`.
public enum LeftOut: Int, Sendable, CaseIterable {
    /// A file or a folder whose name begins with a dot.
    case hidden = 0
    /// A file whose first bytes are those of no image.
    case noImage = 1
    /// A camera's raw file.
    case raw = 2
    /// A file whose name does not say what it is, and that cannot be read.
    case unreadableFile = 3
    /// A folder that cannot be read, with all that is in it.
    case unreadableFolder = 4
    /// A pipe, a socket or a device.
    case special = 5
    /// A link that leads nowhere, without an image's name.
    case brokenLink = 6
}

/// What was taken of a data set, and what was left out.
public struct Intake: Sendable {
    /// The images that a run has embedded, by `ImageFormat.rawValue`.
    public internal(set) var taken = [Int](repeating: 0, count: ImageFormat.allCases.count)
    /// What was left out of a folder, by `LeftOut.rawValue`.
    public internal(set) var leftOut = [Int](repeating: 0, count: LeftOut.allCases.count)

    /// What an update did; nothing without one.
    public internal(set) var changes = Changes()

    /// What an update did with the images of a job.
    public struct Changes: Sendable, Equatable {
        /// Images that the job did not have, or that came back.
        public internal(set) var new = 0
        /// Images whose files had another size or time than when they were embedded.
        public internal(set) var changed = 0
        /// Images that could not be embedded before, and were tried again.
        public internal(set) var retried = 0
        /// Images that are no longer there.
        public internal(set) var removed = 0
        /// Images whose rows stayed as they were.
        public internal(set) var kept = 0
    }

    mutating func leave(_ reason: LeftOut) { leftOut[reason.rawValue] += 1 }

    mutating func add(_ other: Intake) {
        for index in taken.indices { taken[index] += other.taken[index] }
        for index in leftOut.indices { leftOut[index] += other.leftOut[index] }
    }
}

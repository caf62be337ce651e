import Glibc

/// What tells a file or a folder from all others, whatever path leads to it.
package struct FileIdentity: Hashable, Sendable {
    /// The file system.
    package let device: UInt
    private let number: UInt

    /// The identity of the file that stat describes.
    package init(_ facts: stat) {
        device = UInt(facts.st_dev)
        number = UInt(facts.st_ino)
    }

    /// The identity of the file that a path leads to; nil where there is none.
    package init?(ofFile path: String) {
        var facts = stat()
        guard stat(path, &facts) == 0 else { return nil }
        self.init(facts)
    }

    /// The identity of a folder; nil where there is none, or where the files in it cannot be reached.
    package init?(ofFolder path: FilePath) {
        let folder = path.openFolder()
        guard folder >= 0 else { return nil }
        defer { close(folder) }
        var facts = stat()
        // Looking up a name in the folder needs the right to enter it.
        guard fstatat(folder, ".", &facts, 0) == 0 else { return nil }
        self.init(facts)
    }
}

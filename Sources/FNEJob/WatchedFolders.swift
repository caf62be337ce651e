import FNESupport

/// The folders that must stay while a job runs: the deepest folder that all images are in, and each folder below it
/// where another file system begins. Where one of them is gone, as with a share in the network that was unmounted, an
/// image that cannot be found is no bad image.
struct WatchedFolders {
    private struct Folder {
        let path: FilePath
        /// Nil where the folder is missing from the beginning.
        let identity: FileIdentity?
    }

    private let folders: [Folder]

    /// - Parameters:
    ///   - list: the images' names, at least one
    ///   - root: the folder that relative names are relative to
    ///   - mounts: the further folders
    init(of list: ImageList, root: FilePath, mounts: [FilePath]) {
        // Names that are absolute do not depend on the root, so they have a folder of their own.
        let folders = [true, false].compactMap { absolute in Self.commonFolder(of: list, absolute, root) }
        self.folders = (folders + mounts).map { Folder(path: $0, identity: FileIdentity(ofFolder: $0)) }
    }

    private static func commonFolder(of list: ImageList, _ absolute: Bool, _ root: FilePath) -> FilePath? {
        let slash = UInt8(ascii: "/")
        var common: ArraySlice<UInt8>?
        for image in 0..<list.count {
            let name = list.name(image)
            guard (name.first == slash) == absolute else { continue }
            guard let former = common else {
                common = name[...(name.lastIndex(of: slash) ?? name.startIndex - 1)]
                continue
            }
            if name.starts(with: former) { continue }
            let shared = zip(former, name).prefix { $0 == $1 }.count
            let end = former.prefix(shared).lastIndex(of: slash) ?? former.startIndex - 1
            common = former[..<(end + 1)]
        }
        guard let common else { return nil }
        let folder = common.isEmpty ? root : root.appending(common.count == 1 ? common : common.dropLast())
        return folder.text.isEmpty ? FilePath(".") : folder
    }

    /// The error of an image, or that of the folder that it is missing from.
    func judge(_ error: FNEError) -> FNEError {
        guard error.status == .fileError else { return error }
        for folder in folders {
            let now = FileIdentity(ofFolder: folder.path)
            if let now, folder.identity == nil || folder.identity == now { continue }
            let what =
                now != nil
                ? "is another one than when the run began" : "of the images is missing, or cannot be entered"
            return FNEError(.ioError, "the folder '\(folder.path)' \(what)")
        }
        return error
    }
}

import FullNetworkEmbedding
public import CFNE

@c @implementation public func fne_backend_load(_ path: UnsafePointer<CChar>?) -> fne_status {
    status { try Backend.load(path: path.map { try text($0, "path") }) }
}

/// The only copy of TensorFlow that a process can load, with its strings as C reads them. It exists once it is loaded.
private final class LoadedBackend: @unchecked Sendable {
    let version: CText
    let path: CText

    init?() {
        guard let library = Backend.loaded else { return nil }
        version = CText(library.version)
        path = CText(library.path)
    }

    static let shared = LoadedBackend()
}

@c @implementation public func fne_backend_info(
    _ version: UnsafeMutablePointer<UnsafePointer<CChar>?>?, _ path: UnsafeMutablePointer<UnsafePointer<CChar>?>?
) -> fne_status {
    status {
        let backend = Backend.loaded == nil ? nil : LoadedBackend.shared
        version?.pointee = backend?.version.pointer ?? emptyText.pointer
        path?.pointee = backend?.path.pointer ?? emptyText.pointer
    }
}

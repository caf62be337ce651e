import FullNetworkEmbedding
public import CFNE

@c @implementation public func fne_backend_load(_ path: UnsafePointer<CChar>?) -> fne_status {
    status { try Backend.load(path: path.map { try text($0, "path") }) }
}

@c @implementation public func fne_engine_load(
    _ engine: UnsafePointer<CChar>?, _ path: UnsafePointer<CChar>?
) -> fne_status {
    status { try Backend.load(Backend.Kind(named: text(engine, "engine")), path: path.map { try text($0, "path") }) }
}

/// The only copy of a library that libfne can load, with its strings as C reads them. It exists once it is loaded.
private final class LoadedBackend: @unchecked Sendable {
    let version: CText
    let path: CText

    init?(_ kind: Backend.Kind) {
        guard let library = Backend.loaded(kind) else { return nil }
        version = CText(library.version)
        path = CText(library.path)
    }

    private static let tensorFlow = LoadedBackend(.tensorFlow)
    private static let onnxRuntime = LoadedBackend(.onnxRuntime)

    /// The loaded copy; nil where there is none.
    static func loaded(_ kind: Backend.Kind) -> LoadedBackend? {
        guard Backend.loaded(kind) != nil else { return nil }
        return switch kind {
        case .tensorFlow: tensorFlow
        case .onnxRuntime: onnxRuntime
        }
    }

    /// Hands the strings of a library to C, or "" where it is not loaded.
    static func tell(
        _ kind: Backend.Kind, _ version: UnsafeMutablePointer<UnsafePointer<CChar>?>?,
        _ path: UnsafeMutablePointer<UnsafePointer<CChar>?>?
    ) {
        let backend = loaded(kind)
        version?.pointee = backend?.version.pointer ?? emptyText.pointer
        path?.pointee = backend?.path.pointer ?? emptyText.pointer
    }
}

@c @implementation public func fne_backend_info(
    _ version: UnsafeMutablePointer<UnsafePointer<CChar>?>?, _ path: UnsafeMutablePointer<UnsafePointer<CChar>?>?
) -> fne_status {
    status { LoadedBackend.tell(.tensorFlow, version, path) }
}

@c @implementation public func fne_engine_info(
    _ engine: UnsafePointer<CChar>?, _ version: UnsafeMutablePointer<UnsafePointer<CChar>?>?,
    _ path: UnsafeMutablePointer<UnsafePointer<CChar>?>?
) -> fne_status {
    status { try LoadedBackend.tell(Backend.Kind(named: text(engine, "engine")), version, path) }
}

import FullNetworkEmbedding
public import CFNE

let versionText = libraryVersion
private let version = CText(versionText)
private let buildInfo = CText("libfne \(versionText), \(compilerText), \(imageCodecVersions())")
#if compiler(>=6.4)
private let compilerText = "Swift 6.4 or later"
#elseif compiler(>=6.3)
private let compilerText = "Swift 6.3"
#else
private let compilerText = "Swift"
#endif

private let statusNames: [Int32: CText] = [
    FNE_OK: CText("FNE_OK"),
    FNE_INVALID_ARGUMENT: CText("FNE_INVALID_ARGUMENT"),
    FNE_BUFFER_TOO_SMALL: CText("FNE_BUFFER_TOO_SMALL"),
    FNE_OUT_OF_MEMORY: CText("FNE_OUT_OF_MEMORY"),
    FNE_FILE_ERROR: CText("FNE_FILE_ERROR"),
    FNE_UNSUPPORTED_IMAGE: CText("FNE_UNSUPPORTED_IMAGE"),
    FNE_DAMAGED_IMAGE: CText("FNE_DAMAGED_IMAGE"),
    FNE_IMAGE_LIMIT: CText("FNE_IMAGE_LIMIT"),
    FNE_INVALID_GRAPH: CText("FNE_INVALID_GRAPH"),
    FNE_UNSAFE_GRAPH: CText("FNE_UNSAFE_GRAPH"),
    FNE_UNKNOWN_TENSOR: CText("FNE_UNKNOWN_TENSOR"),
    FNE_UNSUPPORTED_TENSOR: CText("FNE_UNSUPPORTED_TENSOR"),
    FNE_BACKEND_UNAVAILABLE: CText("FNE_BACKEND_UNAVAILABLE"),
    FNE_BACKEND_CONFLICT: CText("FNE_BACKEND_CONFLICT"),
    FNE_BACKEND_ERROR: CText("FNE_BACKEND_ERROR"),
    FNE_NOT_FINITE: CText("FNE_NOT_FINITE"),
    FNE_CANCELLED: CText("FNE_CANCELLED"),
    FNE_FORKED: CText("FNE_FORKED"),
    FNE_SHAPE_MISMATCH: CText("FNE_SHAPE_MISMATCH"),
    FNE_INVALID_DATA: CText("FNE_INVALID_DATA"),
    FNE_INTERNAL_ERROR: CText("FNE_INTERNAL_ERROR"),
    FNE_JOB_MISMATCH: CText("FNE_JOB_MISMATCH"),
    FNE_JOB_BUSY: CText("FNE_JOB_BUSY"),
    FNE_IO_ERROR: CText("FNE_IO_ERROR"),
]
private let unknownStatus = CText("unknown status")

@c @implementation public func fne_version_number() -> UInt32 {
    UInt32(FNE_VERSION_MAJOR * 10_000 + FNE_VERSION_MINOR * 100 + FNE_VERSION_PATCH)
}

@c @implementation public func fne_version_string() -> UnsafePointer<CChar>? { version.pointer }

@c @implementation public func fne_abi_version() -> UInt32 { 2 }

@c @implementation public func fne_build_info() -> UnsafePointer<CChar>? { buildInfo.pointer }

@c @implementation public func fne_status_name(_ status: fne_status) -> UnsafePointer<CChar>? {
    (statusNames[status] ?? unknownStatus).pointer
}

@c @implementation public func fne_last_error() -> UnsafePointer<CChar>? { LastError.text }

@c @implementation public func fne_set_log_callback(_ callback: fne_log_fn?, _ user: UnsafeMutableRawPointer?) {
    guard let callback else {
        Log.setSink(nil)
        return
    }
    Log.setSink { level, message in
        message.withCString { message in FloatEnvironment.host { callback(user, level.rawValue, message) } }
    }
}

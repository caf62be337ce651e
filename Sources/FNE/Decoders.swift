import FullNetworkEmbedding
public import CFNE

/// What a host's decoder gives an image to, as C sees it. One thread uses it, while the decoder is called.
private final class Decoding {
    let rows: DecodedRows
    var message: String?

    init(_ rows: DecodedRows) { self.rows = rows }
}

/// A host's decoder as Swift calls it.
func hostDecoder(_ function: fne_image_decoder_fn, _ user: UnsafeMutableRawPointer?) -> ImageDecoder {
    let user = UncheckedUser(user)
    return ImageDecoder { bytes, refusal, rows in
        let decoding = Decoding(rows)
        let status = withExtendedLifetime(decoding) {
            refusal.message.withCString { words in
                FloatEnvironment.host {
                    function(
                        user.pointer, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), UInt64(bytes.count),
                        words, OpaquePointer(Unmanaged.passUnretained(decoding).toOpaque()))
                }
            }
        }
        guard status != FNE_OK else { return }
        throw FNEError(errorOfDecoder(status), decoding.message ?? refusal.message)
    }
}

/// The error that a decoder's number stands for. Only those of images and of the machine are taken.
private func errorOfDecoder(_ status: fne_status) -> FNEError.Status {
    switch FNEError.Status(rawValue: status) {
    case .damagedImage: .damagedImage
    case .imageLimit: .imageLimit
    case .ioError: .ioError
    case .outOfMemory: .outOfMemory
    default: .unsupportedImage
    }
}

@c @implementation public func fne_decoding_rows(
    _ decoding: OpaquePointer?, _ height: UInt32, _ width: UInt32,
    _ rgb: UnsafeMutablePointer<UnsafeMutablePointer<UInt8>?>?
) -> fne_status {
    status {
        let object: Decoding = try referenced(decoding, "decoding")
        try required(rgb, "rgb").pointee = object.rows.take(height: Int(height), width: Int(width))
    }
}

@c @implementation public func fne_decoding_message(
    _ decoding: OpaquePointer?, _ message: UnsafePointer<CChar>?
) -> fne_status {
    status {
        let object: Decoding = try referenced(decoding, "decoding")
        object.message = String(cString: try required(message, "message"))
    }
}

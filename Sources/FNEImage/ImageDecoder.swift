import FNESupport

/// A decoder that the host program gives, for images that libfne does not read itself. Several threads call it at once.
public struct ImageDecoder: Sendable {
    /// Decodes an image.
    ///
    /// It is called with the image's bytes, which live during the call, with libfne's reason for not reading them, and
    /// with what receives the pixels. It throws the error of an image that it cannot read either, which may be that
    /// reason.
    public typealias Decode = @Sendable (UnsafeRawBufferPointer, FNEError, DecodedRows) throws -> Void

    private let decode: Decode

    /// A decoder that calls a function.
    public init(_ decode: @escaping Decode) { self.decode = decode }

    /// The pixels of an image that libfne refused.
    func pixels(
        of bytes: UnsafeRawBufferPointer, _ refusal: FNEError, _ options: ImageOptions
    ) throws -> (bytes: Bytes, info: ImageInfo) {
        let rows = DecodedRows(options)
        try decode(bytes, refusal, rows)
        guard let pixels = rows.pixels else {
            throw FNEError(.unsupportedImage, "the host's decoder gave no pixels")
        }
        return (
            pixels,
            ImageInfo(
                height: rows.height, width: rows.width, format: ImageFormat(of: bytes), orientation: 1,
                isPartial: false)
        )
    }
}

/// The place that a host's decoder writes a picture to. One thread uses it, while the decoder is called.
public final class DecodedRows {
    private let options: ImageOptions
    private(set) var pixels: Bytes?
    private(set) var height = 0
    private(set) var width = 0

    init(_ options: ImageOptions) { self.options = options }

    /// Takes memory for a picture, uint8 [height, width, 3], which the decoder fills.
    ///
    /// - Throws: `.imageLimit` for a picture beyond the limits; `.invalidArgument` for an empty one, and where the
    ///   memory was taken before; `.outOfMemory`.
    public func take(height: Int, width: Int) throws -> UnsafeMutablePointer<UInt8> {
        guard pixels == nil else { throw FNEError(.invalidArgument, "the decoder asked twice for a picture's memory") }
        guard height > 0, width > 0 else {
            throw FNEError(.invalidArgument, "the decoder asked for a picture of \(width) x \(height) pixels")
        }
        let size = "the image is refused: \(width) x \(height) pixels"
        guard max(height, width) <= options.maxSide else {
            throw FNEError(.imageLimit, "\(size) have a side beyond the limit of \(options.maxSide) (max_side)")
        }
        guard height <= options.maxPixels / width else {
            throw FNEError(.imageLimit, "\(size) are more than the limit of \(options.maxPixels) (max_pixels)")
        }
        let memory = try Bytes(picture: checkedProduct(height, width, 3, of: "the picture"))
        (pixels, self.height, self.width) = (memory, height, width)
        return memory.withNumbers(of: UInt8.self) { $0 } // the object keeps the memory
    }
}

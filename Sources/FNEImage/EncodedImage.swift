import CImageCodecs
import FNESupport

/// Facts about an image, from its header.
public struct ImageInfo: Equatable, Sendable {
    /// The height in pixels, after the EXIF orientation is applied.
    public let height: Int
    /// The width in pixels, after the EXIF orientation is applied.
    public let width: Int
    /// The format of the encoded image.
    public let format: ImageFormat
    /// The EXIF orientation, 1 to 8. 1 means that the picture is shown as it is stored.
    public let orientation: Int
    /// Whether damage, which `ImageOptions.toleratesTruncation` let pass, cost pixels. It is known once the image is
    /// decoded.
    public internal(set) var isPartial: Bool

    /// The height and the width.
    package var size: PixelSize { PixelSize(height: height, width: width) }
}

/// The names and the versions of the libraries that decode images.
public func imageCodecVersions() -> String { String(cString: cic_versions()) }

/// A JPEG, PNG or WebP image in memory whose header has been read. It can be decoded once.
///
/// The pixels are those of OpenCV's `imread(IMREAD_COLOR)`, in RGB order. Those of a reduced picture are of
/// `imread(IMREAD_REDUCED_COLOR_2)`, or 4, or 8. The errors are `.unsupportedImage`,
/// `.damagedImage`, `.imageLimit` and `.outOfMemory`. They do not name the file.
final class EncodedImage {
    /// What the header says.
    let info: ImageInfo
    /// The size of the picture that is decoded. It is the header's, unless the picture is reduced.
    private(set) var size: PixelSize
    private let orientation: Orientation
    private let reader: OpaquePointer
    private let name: String

    /// Reads the header. The bytes must stay unchanged for as long as the object lives.
    ///
    /// - Parameter name: what the image is called in the log
    init(_ bytes: UnsafeRawBufferPointer, _ options: ImageOptions, name: String = "an image in memory") throws {
        let (kind, format) = try Self.codec(of: bytes)
        guard let start = bytes.baseAddress else { throw FNEError(.damagedImage, "the image has no bytes") }
        let orientation = EXIF.orientation(in: bytes, format: format)
        var codecOptions = cic_options(
            max_pixels: UInt64(options.maxPixels), max_side: UInt32(clamping: options.maxSide),
            max_expansion: UInt32(clamping: options.maxExpansion), max_scans: UInt32(clamping: options.maxScans),
            max_chunk_size: UInt64(options.maxChunkBytes), tolerate_truncation: options.toleratesTruncation ? 1 : 0,
            is_turned: orientation == .asStored ? 0 : 1)
        var reader: OpaquePointer?
        var width: UInt32 = 0
        var height: UInt32 = 0
        var message = Message()
        let code = message.filled { text in
            cic_open(
                kind, start.assumingMemoryBound(to: UInt8.self), bytes.count, &codecOptions, &reader, &width, &height,
                text)
        }
        guard code == CIC_OK, let reader else { throw Self.error(code, message.text) }
        self.reader = reader
        self.name = name
        self.orientation = orientation
        info = ImageInfo(
            height: Int(orientation.swapsSides ? width : height), width: Int(orientation.swapsSides ? height : width),
            format: format, orientation: orientation.rawValue, isPartial: false)
        size = info.size
    }

    deinit { cic_close(reader) }

    /// The size of the decoded picture in bytes.
    var byteCount: Int { size.height * size.width * 3 }

    /// Has the picture decoded at a part of its size, where the codec can. That is so for JPEG, whose sides are divided
    /// and rounded up.
    ///
    /// - Parameter denominator: 1, 2, 4 or 8
    func reduce(by denominator: Int) throws {
        guard denominator > 1 else { return }
        let stored = orientation.swapsSides ? size.turned : size
        var (height, width) = (UInt32(clamping: stored.height), UInt32(clamping: stored.width))
        var message = Message()
        let code = message.filled { cic_reduce(reader, UInt32(clamping: denominator), &width, &height, $0) }
        guard code == CIC_OK else { throw Self.error(code, message.text) }
        let reduced = PixelSize(height: Int(height), width: Int(width))
        size = orientation.swapsSides ? reduced.turned : reduced
    }

    /// Decodes the picture and turns it as its EXIF orientation says.
    ///
    /// - Parameter rgb: receives uint8 [height, width, 3] of `size`, which are `byteCount` bytes
    func decode(to rgb: UnsafeMutablePointer<UInt8>) throws -> ImageInfo {
        var decoded = info
        guard orientation != .asStored else {
            decoded.isPartial = try decodeStored(to: rgb, width: size.width)
            return decoded
        }
        let stored = orientation.swapsSides ? size.turned : size
        let memory = try Bytes(picture: byteCount)
        try memory.withNumbers(of: UInt8.self) { pixels in
            decoded.isPartial = try decodeStored(to: pixels, width: stored.width)
            orientation.apply(pixels, height: stored.height, width: stored.width, to: rgb)
        }
        return decoded
    }

    /// Decodes the picture as it is stored. Returns whether damage left only a part of it.
    private func decodeStored(to rgb: UnsafeMutablePointer<UInt8>, width: Int) throws -> Bool {
        var message = Message()
        var warning = Message()
        let code = message.filled { text in
            warning.filled { warningText in cic_read(reader, rgb, width * 3, text, warningText) }
        }
        if !warning.text.isEmpty { Log.write(.warning, "\(name): \(warning.text)") }
        guard code != CIC_PARTIAL else {
            Log.write(
                .warning, "\(name): the image is truncated or damaged; only a part of it was decoded (\(message.text))")
            return true
        }
        guard code == CIC_OK else { throw Self.error(code, message.text) }
        return false
    }

    private static func error(_ code: Int32, _ message: String) -> FNEError {
        switch Int(code) {
        case CIC_UNSUPPORTED:
            FNEError(
                .unsupportedImage,
                "libfne cannot read this kind of image (\(message)). Convert it to a plain JPEG or PNG")
        case CIC_NO_CODEC:
            FNEError(
                .unsupportedImage,
                "this is a WebP image, and \(message). Install libwebp, or set FNE_LIBWEBP to the file or its folder, "
                    + "or convert the image to JPEG or PNG")
        case CIC_LIMIT: FNEError(.imageLimit, "the image is refused: \(message). The image options set the limits")
        case CIC_NO_MEMORY: FNEError(.outOfMemory, "there is not enough memory to decode the image")
        default: FNEError(.damagedImage, "the image is truncated or damaged (\(message))")
        }
    }

    /// Which codec reads the bytes, and the format.
    private static func codec(of bytes: UnsafeRawBufferPointer) throws -> (kind: Int32, format: ImageFormat) {
        let format = ImageFormat(of: bytes)
        switch format {
        case .jpeg: return (Int32(CIC_JPEG), format)
        case .png: return (Int32(CIC_PNG), format)
        case .webp: return (Int32(CIC_WEBP), format)
        default:
            let found = format.words.map { "this is \($0) image" } ?? "this is no JPEG, PNG or WebP image"
            throw FNEError(.unsupportedImage, found + ". Convert it to JPEG or PNG")
        }
    }
}

/// A text buffer for the messages of the codecs.
private struct Message {
    private var bytes = [CChar](repeating: 0, count: Int(CIC_MESSAGE_SIZE))

    mutating func filled(_ body: (UnsafeMutablePointer<CChar>?) -> Int32) -> Int32 {
        bytes.withUnsafeMutableBufferPointer { body($0.baseAddress) }
    }

    var text: String {
        String(decoding: bytes.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}

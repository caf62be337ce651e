import CImageCodecs

public enum ImageFormat: Int32, Sendable {
    case jpeg = 1
    case png = 2
}

/// What an image's header says.
public struct ImageInfo: Equatable, Sendable {
    /// Pixels, after the orientation was applied.
    public let height: Int
    public let width: Int
    public let format: ImageFormat
    /// EXIF orientation, 1 to 8.
    public let orientation: Int
}

/// The codec libraries and their versions.
public func imageCodecVersions() -> String { String(cString: cic_versions()) }

/// What is refused before its memory is taken.
enum ImageLimits {
    /// A file's bytes.
    static let bytes = 1 << 30
    /// Pixels of a picture: 16384 x 16384.
    static let pixels = 1 << 28
    /// Scans of a progressive JPEG; encoders write about ten.
    static let scans = 500
    /// Bytes of one PNG chunk.
    static let chunk = 1 << 26
}

/// A JPEG or PNG in memory whose header has been read: `info`, then `decode` once.
///
/// The pixels are those of OpenCV's `imread(IMREAD_COLOR)` in RGB order. Errors: `.unsupportedImage`, `.damagedImage`,
/// `.imageLimit`, `.outOfMemory`; they do not name the file.
final class EncodedImage {
    let info: ImageInfo
    private let orientation: Orientation
    private let reader: OpaquePointer

    /// The bytes must stay as they are until the object is gone.
    init(_ bytes: UnsafeRawBufferPointer) throws {
        let format = try Self.format(of: bytes)
        guard let start = bytes.baseAddress else { throw FNEError(.damagedImage, "no data") }
        var limits = cic_limits(
            max_pixels: UInt64(ImageLimits.pixels), max_scans: UInt32(ImageLimits.scans),
            max_chunk_size: UInt64(ImageLimits.chunk))
        var reader: OpaquePointer?
        var width: UInt32 = 0
        var height: UInt32 = 0
        var message = Message()
        let code = message.filled { text in
            cic_open(
                format == .jpeg ? Int32(CIC_JPEG) : Int32(CIC_PNG), start.assumingMemoryBound(to: UInt8.self),
                bytes.count, &limits, &reader, &width, &height, text)
        }
        guard code == CIC_OK, let reader else { throw Self.error(code, message.text) }
        self.reader = reader
        orientation = EXIF.orientation(in: bytes, format: format)
        info = ImageInfo(
            height: Int(orientation.swapsSides ? width : height), width: Int(orientation.swapsSides ? height : width),
            format: format, orientation: orientation.rawValue)
    }

    deinit { cic_close(reader) }

    /// Bytes of the decoded picture.
    var byteCount: Int { info.height * info.width * 3 }

    /// Writes RGB, uint8 [height, width, 3], `byteCount` bytes.
    func decode(to rgb: UnsafeMutablePointer<UInt8>) throws {
        guard orientation != .asStored else {
            try decodeStored(to: rgb, width: info.width)
            return
        }
        let (height, width) = orientation.swapsSides ? (info.width, info.height) : (info.height, info.width)
        let stored = try Bytes(count: byteCount)
        try stored.withNumbers(of: UInt8.self) { pixels in
            try decodeStored(to: pixels, width: width)
            orientation.apply(pixels, height: height, width: width, to: rgb)
        }
    }

    private func decodeStored(to rgb: UnsafeMutablePointer<UInt8>, width: Int) throws {
        var message = Message()
        var warning = Message()
        let code = message.filled { text in
            warning.filled { warningText in cic_read(reader, rgb, width * 3, text, warningText) }
        }
        guard code == CIC_OK else { throw Self.error(code, message.text) }
        if !warning.text.isEmpty { Log.write(.warning, "image: \(warning.text)") }
    }

    private static func error(_ code: Int32, _ message: String) -> FNEError {
        switch Int(code) {
        case CIC_UNSUPPORTED: FNEError(.unsupportedImage, "this kind of image cannot be read (\(message))")
        case CIC_LIMIT: FNEError(.imageLimit, "refused: \(message)")
        case CIC_NO_MEMORY: FNEError(.outOfMemory, "out of memory while decoding")
        default: FNEError(.damagedImage, "the image is truncated or damaged (\(message))")
        }
    }

    private static func format(of bytes: UnsafeRawBufferPointer) throws -> ImageFormat {
        func starts(_ signature: [UInt8], at offset: Int = 0) -> Bool {
            bytes.count >= offset + signature.count && bytes[offset..<offset + signature.count].elementsEqual(signature)
        }
        if starts([0xff, 0xd8, 0xff]) { return .jpeg }
        if starts([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]) { return .png }
        let other: String? =
            starts(Array("GIF8".utf8)) ? "a GIF"
            : starts(Array("BM".utf8)) ? "a BMP"
            : starts(Array("RIFF".utf8)) && starts(Array("WEBP".utf8), at: 8) ? "a WebP"
            : starts([0x49, 0x49, 42, 0]) || starts([0x4d, 0x4d, 0, 42]) ? "a TIFF"
            : starts(Array("ftyp".utf8), at: 4) ? "a HEIF or AVIF" : nil
        if let other {
            throw FNEError(.unsupportedImage, "is \(other) image; convert it to JPEG or PNG")
        }
        throw FNEError(.unsupportedImage, "is neither a JPEG nor a PNG image")
    }
}

/// The text buffer that the codecs fill.
private struct Message {
    private var bytes = [CChar](repeating: 0, count: Int(CIC_MESSAGE_SIZE))

    mutating func filled(_ body: (UnsafeMutablePointer<CChar>?) -> Int32) -> Int32 {
        bytes.withUnsafeMutableBufferPointer { body($0.baseAddress) }
    }

    var text: String {
        String(decoding: bytes.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}

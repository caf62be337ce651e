import CImageCodecs
import FNESupport

/// What is read; the numbers are those of `FNE_FORMAT_*`.
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
    /// Pixels were lost to damage that `ImageOptions.toleratesTruncation` let pass. Known once it is decoded.
    public internal(set) var isPartial: Bool
}

/// The codec libraries and their versions.
public func imageCodecVersions() -> String { String(cString: cic_versions()) }

/// A JPEG or PNG in memory whose header has been read: `info`, then `decode` once.
///
/// The pixels are those of OpenCV's `imread(IMREAD_COLOR)` in RGB order. Errors: `.unsupportedImage`, `.damagedImage`,
/// `.imageLimit`, `.outOfMemory`; they do not name the file.
final class EncodedImage {
    let info: ImageInfo
    private let orientation: Orientation
    private let reader: OpaquePointer
    private let name: String

    /// The bytes must stay as they are until the object is gone. `name` is for the log.
    init(_ bytes: UnsafeRawBufferPointer, _ options: ImageOptions, name: String = "an image in memory") throws {
        let format = try Self.format(of: bytes)
        guard let start = bytes.baseAddress else { throw FNEError(.damagedImage, "no data") }
        var codecOptions = cic_options(
            max_pixels: UInt64(options.maxPixels), max_scans: UInt32(clamping: options.maxScans),
            max_chunk_size: UInt64(options.maxChunkBytes), tolerate_truncation: options.toleratesTruncation ? 1 : 0)
        var reader: OpaquePointer?
        var width: UInt32 = 0
        var height: UInt32 = 0
        var message = Message()
        let code = message.filled { text in
            cic_open(
                format == .jpeg ? Int32(CIC_JPEG) : Int32(CIC_PNG), start.assumingMemoryBound(to: UInt8.self),
                bytes.count, &codecOptions, &reader, &width, &height, text)
        }
        guard code == CIC_OK, let reader else { throw Self.error(code, message.text) }
        self.reader = reader
        self.name = name
        orientation = EXIF.orientation(in: bytes, format: format)
        info = ImageInfo(
            height: Int(orientation.swapsSides ? width : height), width: Int(orientation.swapsSides ? height : width),
            format: format, orientation: orientation.rawValue, isPartial: false)
    }

    deinit { cic_close(reader) }

    /// Bytes of the decoded picture.
    var byteCount: Int { info.height * info.width * 3 }

    /// Writes RGB, uint8 [height, width, 3], `byteCount` bytes.
    func decode(to rgb: UnsafeMutablePointer<UInt8>) throws -> ImageInfo {
        var decoded = info
        guard orientation != .asStored else {
            decoded.isPartial = try decodeStored(to: rgb, width: info.width)
            return decoded
        }
        let (height, width) = orientation.swapsSides ? (info.width, info.height) : (info.height, info.width)
        let stored = try Bytes(count: byteCount)
        try stored.withNumbers(of: UInt8.self) { pixels in
            decoded.isPartial = try decodeStored(to: pixels, width: width)
            orientation.apply(pixels, height: height, width: width, to: rgb)
        }
        return decoded
    }

    /// Returns whether only a part could be had.
    private func decodeStored(to rgb: UnsafeMutablePointer<UInt8>, width: Int) throws -> Bool {
        var message = Message()
        var warning = Message()
        let code = message.filled { text in
            warning.filled { warningText in cic_read(reader, rgb, width * 3, text, warningText) }
        }
        if !warning.text.isEmpty { Log.write(.warning, "\(name): \(warning.text)") }
        guard code != CIC_PARTIAL else {
            Log.write(.warning, "\(name): truncated or damaged, a part of the picture is taken (\(message.text))")
            return true
        }
        guard code == CIC_OK else { throw Self.error(code, message.text) }
        return false
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

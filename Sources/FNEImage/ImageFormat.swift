/// The formats of images that libfne tells apart by their first bytes. The numbers are those of `FNE_FORMAT_*` in
/// `include/fne.h`.
public enum ImageFormat: Int32, Sendable, CaseIterable {
    /// None of the following.
    case other = 0
    case jpeg = 1
    case png = 2
    case webp = 3
    case gif = 4
    case bmp = 5
    case tiff = 6
    case avif = 7
    case heif = 8
    case jpeg2000 = 9

    /// How many first bytes of a file say what it is.
    package static let signatureSize = 64

    /// The format of an encoded image.
    ///
    /// - Parameter bytes: the image, or its first `signatureSize` bytes
    package init(of bytes: UnsafeRawBufferPointer) {
        func starts(_ signature: [UInt8], at offset: Int = 0) -> Bool {
            bytes.count >= offset + signature.count && bytes[offset..<offset + signature.count].elementsEqual(signature)
        }
        func starts(_ words: String, at offset: Int = 0) -> Bool { starts(Array(words.utf8), at: offset) }
        if starts([0xff, 0xd8, 0xff]) {
            self = .jpeg
        } else if starts([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]) {
            self = .png
        } else if starts("RIFF"), starts("WEBP", at: 8) {
            self = .webp
        } else if starts("GIF8") {
            self = .gif
        } else if Self.isBMP(bytes) {
            self = .bmp
        } else if ["II*\0", "MM\0*", "II+\0", "MM\0+"].contains(where: { starts($0) }) {
            self = .tiff
        } else if starts("ftyp", at: 4) {
            self = Self.ofMediaFile(bytes)
        } else if starts([0, 0, 0, 12, 0x6a, 0x50, 0x20, 0x20]) || starts([0xff, 0x4f, 0xff, 0x51]) {
            self = .jpeg2000
        } else {
            self = .other
        }
    }

    /// Texts begin with "BM" too. A bitmap also has four zero bytes, and the size of a header that is known.
    private static func isBMP(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard bytes.count >= 18, bytes[0] == UInt8(ascii: "B"), bytes[1] == UInt8(ascii: "M") else { return false }
        return bytes[6..<10].allSatisfy { $0 == 0 } && [12, 16, 40, 52, 56, 64, 108, 124].contains(bytes[14])
            && bytes[15..<18].allSatisfy { $0 == 0 }
    }

    /// Films begin like HEIF, but for their brand. A file of several brands lists them after the first.
    private static func ofMediaFile(_ bytes: UnsafeRawBufferPointer) -> ImageFormat {
        func brand(_ at: Int) -> String { String(decoding: bytes[at..<at + 4], as: UTF8.self) }
        let places = stride(from: 8, through: min(bytes.count, signatureSize) - 4, by: 4)
        guard let first = places.first(where: { _ in true }).map(brand) else { return .other }
        switch first {
        case "avif", "avis": return .avif
        case "heic", "heix", "heim", "heis", "hevc", "hevx", "hevm", "hevs": return .heif
        case "mif1", "msf1": return places.dropFirst().map(brand).contains("avif") ? .avif : .heif
        default: return .other
        }
    }

    /// The format's name with its article, such as "a WebP"; nil for `other`.
    var words: String? {
        switch self {
        case .other: nil
        case .jpeg: "a JPEG"
        case .png: "a PNG"
        case .webp: "a WebP"
        case .gif: "a GIF"
        case .bmp: "a BMP"
        case .tiff: "a TIFF"
        case .avif: "an AVIF"
        case .heif: "a HEIF"
        case .jpeg2000: "a JPEG 2000"
        }
    }

    // MARK: Names of files

    private static let endings = [
        "jpg", "jpeg", "jpe", "jfif", "png", "webp", "gif", "bmp", "dib", "tif", "tiff", "avif", "avifs", "heic",
        "heif", "hif", "jp2", "j2k", "jpx",
    ].map { Array($0.utf8) }

    /// Raw files of cameras have the first bytes of a TIFF, in which most readers find a thumbnail alone.
    private static let rawEndings = [
        "3fr", "arw", "cr2", "dcr", "dng", "erf", "fff", "iiq", "kdc", "mef", "mos", "nef", "nrw", "orf", "pef", "rw2",
        "rwl", "sr2", "srf", "srw",
    ].map { Array($0.utf8) }

    /// Whether a file's name alone says that it is an image, in a folder that is embedded.
    package static func isNamed(by name: UnsafeRawBufferPointer) -> Bool { has(name, endings) }

    /// Whether a file's name says that it is a camera's raw file.
    package static func isRaw(_ name: UnsafeRawBufferPointer) -> Bool { has(name, rawEndings) }

    private static func has(_ name: UnsafeRawBufferPointer, _ endings: [[UInt8]]) -> Bool {
        guard let dot = name.lastIndex(of: UInt8(ascii: ".")), dot > 0 else { return false }
        func lowered(_ byte: UInt8) -> UInt8 {
            (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte) ? byte + 32 : byte
        }
        let ending = name[(dot + 1)...]
        return endings.contains { $0.count == ending.count && zip(ending, $0).allSatisfy { lowered($0) == $1 } }
    }
}

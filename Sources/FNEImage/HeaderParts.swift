import FNESupport

/// Reads the parts of an image file that its header takes. The codecs and `EXIF` then find in memory what they find in
/// the whole file.
struct HeaderParts {
    /// What is read at once from the start of a file. It is enough for most headers.
    private static let firstPart = 1 << 14
    /// What is read at once of a chunk: its head, and the sizes and flags at the start of some. Many chunks that are
    /// shorter than that take one call of the system.
    private static let chunkStart = 512

    private let file: PartlyReadFile
    /// What was read last.
    private var known = 0..<0

    private init(_ file: PartlyReadFile) { self.file = file }

    /// Reads what the header takes. Of a file that is no JPEG, PNG or WebP, that is its first bytes.
    ///
    /// - Throws: `.fileError`; `.ioError`.
    static func read(_ file: PartlyReadFile) throws {
        var parts = HeaderParts(file)
        try parts.read(0..<firstPart)
        guard firstPart < file.count else { return }
        switch file.withBytes(ImageFormat.init(of:)) {
        case .jpeg: try parts.readJPEG()
        case .png: try parts.readPNG()
        case .webp: try parts.readWebP()
        default: break
        }
    }

    private mutating func read(_ part: Range<Int>) throws {
        try file.read(part)
        known = part
    }

    /// Reads up to the start of the first scan, where libjpeg stops.
    private mutating func readJPEG() throws {
        while known.upperBound < file.count {
            let end = known.upperBound
            let hasHeader = file.withBytes { bytes in
                JPEGSegments(UnsafeRawBufferPointer(rebasing: bytes[..<end])).contains {
                    $0.endsHeader && $0.content.upperBound <= end
                }
            }
            if hasHeader { return }
            try file.read(end..<2 * end)
            known = 0..<2 * end
        }
    }

    /// Two numbers that stand at the start of a chunk.
    private mutating func head(at position: Int) throws -> (Int, Int)? {
        if position < known.lowerBound || position + 64 > known.upperBound {
            try read(position..<position + Self.chunkStart)
        }
        return file.withBytes { bytes in
            guard let first = bytes.bigEndian32(at: position), let second = bytes.bigEndian32(at: position + 4) else {
                return nil
            }
            return (first, second)
        }
    }

    /// Reads everything before the image data. After that, it reads the EXIF data and the head of each chunk, for its
    /// length.
    private mutating func readPNG() throws {
        let (imageData, exif, end) = (0x4944_4154, 0x6558_4966, 0x4945_4e44) // IDAT, eXIf, IEND
        var position = 8 // after the signature
        var isAfterData = false
        while position < file.count, let (length, kind) = try head(at: position) {
            let next = position + length + 12 // the head and the CRC
            isAfterData = isAfterData || kind == imageData
            if !isAfterData || kind == exif { try file.read(position..<next) }
            if kind == end { return }
            position = next
        }
    }

    /// Reads the EXIF data and the start of each chunk. The first frame of an animation is made of chunks, too.
    private mutating func readWebP() throws {
        let (frame, frameHeader) = (0x414e_4d46, 16) // ANMF
        var hasFrame = false
        try readChunks(12..<file.count) { parts, kind, content in // after "RIFF", the size and "WEBP"
            guard kind == frame, !hasFrame, content.count > frameHeader else { return }
            hasFrame = true
            try parts.readChunks(content.dropFirst(frameHeader)) { _, _, _ in }
        }
    }

    private mutating func readChunks(
        _ part: Range<Int>, visit: (inout HeaderParts, _ kind: Int, _ content: Range<Int>) throws -> Void
    ) throws {
        let exif = 0x4558_4946
        var position = part.lowerBound
        while position < min(part.upperBound, file.count), let (kind, swapped) = try head(at: position) {
            let length = Int(UInt32(truncatingIfNeeded: swapped).byteSwapped)
            let content = position + 8..<position + 8 + length
            if kind == exif { try file.read(content) }
            try visit(&self, kind, content)
            position = content.upperBound + length % 2
        }
    }
}

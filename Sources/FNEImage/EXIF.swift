/// Finds the orientation in the EXIF data of an encoded image. It looks where OpenCV 5 looks, in the parts of the file
/// that libjpeg and libpng pass on.
enum EXIF {
    /// The orientation that a file asks for. Missing or broken EXIF data mean `asStored`, so that no picture is lost
    /// for its metadata.
    static func orientation(in file: UnsafeRawBufferPointer, format: ImageFormat) -> Orientation {
        let value: Int? =
            switch format {
            case .jpeg: jpegOrientation(file)
            case .png: pngBlock(file).flatMap(orientationValue)
            case .webp: webpBlock(file).flatMap(orientationValue)
            default: nil
            }
        return value.flatMap(Orientation.init(rawValue:)) ?? .asStored
    }

    /// The value in the first APP1 segment that is marked as EXIF and holds an orientation.
    private static func jpegOrientation(_ file: UnsafeRawBufferPointer) -> Int? {
        for segment in JPEGSegments(file) {
            // No EXIF data come after the start of a scan or the end of the image.
            if segment.endsHeader { return nil }
            let (start, end) = (segment.content.lowerBound, segment.content.upperBound)
            if segment.marker == 0xe1, end <= file.count, end - start > 6,
                file[start..<start + 6].elementsEqual([0x45, 0x78, 0x69, 0x66, 0, 0]), // "Exif\0\0"
                let value = orientationValue(UnsafeRawBufferPointer(rebasing: file[start + 6..<end]))
            {
                return value
            }
        }
        return nil
    }

    /// The first eXIf chunk (PNG 3, 11.3.3.5) that libpng takes. It may stand before the image data or after them.
    private static func pngBlock(_ file: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
        var position = 8 // after the signature
        while let length = file.bigEndian32(at: position), let kind = file.bigEndian32(at: position + 4) {
            let start = position + 8
            guard length <= file.count - start else { return nil }
            let end = start + length
            if kind == 0x6558_4966, length >= 4, // eXIf
                [[0x49, 0x49, 42, 0], [0x4d, 0x4d, 0, 42]].contains(where: file[start..<start + 4].elementsEqual),
                file.bigEndian32(at: end) == Int(crc32(file[position + 4..<end]))
            {
                return UnsafeRawBufferPointer(rebasing: file[start..<end])
            }
            if kind == 0x4945_4e44 { return nil } // IEND
            position = end + 4 // and the CRC
        }
        return nil
    }

    /// The first EXIF chunk of a WebP. Some writers put the mark of a JPEG's segment before the data.
    private static func webpBlock(_ file: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
        var position = 12 // after "RIFF", the size and "WEBP"
        while let kind = file.bigEndian32(at: position), let swapped = file.bigEndian32(at: position + 4) {
            let (start, length) = (position + 8, Int(UInt32(swapped).byteSwapped))
            guard length <= file.count - start else { return nil }
            if kind == 0x4558_4946 { // EXIF
                let block = file[start..<start + length]
                let isMarked = block.starts(with: [0x45, 0x78, 0x69, 0x66, 0, 0])
                return UnsafeRawBufferPointer(rebasing: isMarked ? block.dropFirst(6) : block)
            }
            position = start + length + length % 2
        }
        return nil
    }

    /// The checksum of a PNG chunk (PNG 3, annex D).
    private static func crc32(_ bytes: Slice<UnsafeRawBufferPointer>) -> UInt32 {
        ~bytes.reduce(UInt32.max) { sum, byte in
            (0..<8).reduce(sum ^ UInt32(byte)) { sum, _ in sum >> 1 ^ (sum & 1 == 1 ? 0xedb8_8320 : 0) }
        }
    }

    /// The value of tag 0x0112 in the first directory of a TIFF structure. The directory is read in order. Reading ends
    /// where a value that OpenCV reads lies outside of the structure, since OpenCV stops there too.
    private static func orientationValue(_ tiff: UnsafeRawBufferPointer) -> Int? {
        let little = tiff.starts(with: [0x49, 0x49]) // II; all else is MM
        func number16(_ at: Int) -> Int? { tiff.bigEndian16(at: at).map { little ? ($0 & 0xff) << 8 | $0 >> 8 : $0 } }
        func number32(_ at: Int) -> Int? {
            tiff.bigEndian32(at: at).map { little ? Int(UInt32($0).byteSwapped) : $0 }
        }
        guard number16(2) == 42, let directory = number32(4), let count = number16(directory) else { return nil }
        for entry in 0..<count {
            let at = directory + 2 + 12 * entry
            guard let tag = number16(at) else { return nil }
            if tag == 0x0112 { return number16(at + 8) }
            if texts.contains(tag) {
                guard let size = number32(at + 4), let place = size <= 4 ? 8 : number32(at + 8),
                    place + size <= tiff.count
                else { return nil }
            } else if let rationals = rationalCounts[tag] {
                guard let place = number32(at + 8), place + 8 * rationals <= tiff.count else { return nil }
            } else if shorts.contains(tag) {
                guard number16(at + 8) != nil else { return nil }
            }
        }
        return nil
    }

    /// Tags of texts that OpenCV reads on its way: description, make, model, software, date, copyright.
    private static let texts: Set = [0x010e, 0x010f, 0x0110, 0x0131, 0x0132, 0x8298]
    /// How many pairs of 32 bits the values of these tags have: resolutions, white point, chromaticities, YCbCr
    /// coefficients, reference black and white.
    private static let rationalCounts = [0x011a: 1, 0x011b: 1, 0x013e: 2, 0x013f: 6, 0x0211: 3, 0x0214: 6]
    /// Tags of 16-bit values: resolution unit, YCbCr positioning.
    private static let shorts: Set = [0x0128, 0x0213]
}

extension UnsafeRawBufferPointer {
    func bigEndian16(at offset: Int) -> Int? {
        guard offset >= 0, offset <= count - 2 else { return nil }
        return Int(self[offset]) << 8 | Int(self[offset + 1])
    }

    func bigEndian32(at offset: Int) -> Int? {
        guard let high = bigEndian16(at: offset), let low = bigEndian16(at: offset + 2) else { return nil }
        return high << 16 | low
    }
}

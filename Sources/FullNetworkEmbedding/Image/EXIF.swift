/// Finds the orientation in the EXIF data of an encoded image. Broken EXIF data mean "as stored", as in OpenCV: a
/// picture is not lost for its metadata.
enum EXIF {
    static func orientation(in file: UnsafeRawBufferPointer, format: ImageFormat) -> Orientation {
        let block: UnsafeRawBufferPointer? = switch format {
        case .jpeg: jpegBlock(file)
        case .png: pngBlock(file)
        }
        guard let block, let value = orientationValue(block) else { return .asStored }
        return Orientation(rawValue: value) ?? .asStored
    }

    /// The TIFF structure in the first APP1 segment that is marked as EXIF.
    private static func jpegBlock(_ file: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
        var position = 2 // after SOI
        while let marker = file.bigEndian16(at: position) {
            if marker == 0xffff { // fill bytes
                position += 1
                continue
            }
            // Start of scan or end of image: no more headers. Markers without a length do not stand in a header.
            guard marker >> 8 == 0xff, marker != 0xffda, marker != 0xffd9,
                let length = file.bigEndian16(at: position + 2), length >= 2
            else { return nil }
            let start = position + 4
            let end = position + 2 + length
            if marker == 0xffe1, end <= file.count, end - start > 6,
                file[start..<start + 6].elementsEqual([0x45, 0x78, 0x69, 0x66, 0, 0]) // "Exif\0\0"
            {
                return UnsafeRawBufferPointer(rebasing: file[start + 6..<end])
            }
            position = end
        }
        return nil
    }

    /// The eXIf chunk (PNG 3, 11.3.3.5), which may stand before or after the image data.
    private static func pngBlock(_ file: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
        var position = 8 // after the signature
        while let length = file.bigEndian32(at: position), let kind = file.bigEndian32(at: position + 4) {
            let start = position + 8
            guard length <= file.count - start else { return nil }
            if kind == 0x6558_4966 { return UnsafeRawBufferPointer(rebasing: file[start..<start + length]) } // eXIf
            if kind == 0x4945_4e44 { return nil } // IEND
            position = start + length + 4 // and the CRC
        }
        return nil
    }

    /// The value of tag 0x0112 in the first directory of a TIFF structure.
    private static func orientationValue(_ tiff: UnsafeRawBufferPointer) -> Int? {
        guard tiff.count >= 8, tiff[0] == tiff[1], tiff[0] == 0x49 || tiff[0] == 0x4d else { return nil } // II, MM
        let little = tiff[0] == 0x49
        func number16(_ at: Int) -> Int? { tiff.bigEndian16(at: at).map { little ? ($0 & 0xff) << 8 | $0 >> 8 : $0 } }
        func number32(_ at: Int) -> Int? {
            tiff.bigEndian32(at: at).map { little ? Int(UInt32($0).byteSwapped) : $0 }
        }
        guard number16(2) == 42, let directory = number32(4), let count = number16(directory) else { return nil }
        for entry in 0..<count {
            let at = directory + 2 + 12 * entry
            guard let tag = number16(at), let value = number16(at + 8) else { return nil }
            if tag == 0x0112 { return value }
        }
        return nil
    }
}

extension UnsafeRawBufferPointer {
    fileprivate func bigEndian16(at offset: Int) -> Int? {
        guard offset >= 0, offset <= count - 2 else { return nil }
        return Int(self[offset]) << 8 | Int(self[offset + 1])
    }

    fileprivate func bigEndian32(at offset: Int) -> Int? {
        guard let high = bigEndian16(at: offset), let low = bigEndian16(at: offset + 2) else { return nil }
        return high << 16 | low
    }
}

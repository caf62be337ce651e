/// The segments of a JPEG from its start on. Bytes before a marker, fill bytes, FF 00 and markers without a length are
/// skipped, as libjpeg does.
struct JPEGSegments: Sequence, IteratorProtocol {
    /// A marker and what belongs to it.
    struct Segment {
        let marker: UInt8
        /// The bytes after the segment's length. They may reach beyond the file's end.
        let content: Range<Int>

        /// Whether the segment is the start of a scan, or the end of the image.
        var endsHeader: Bool { marker == 0xda || marker == 0xd9 }
    }

    private let file: UnsafeRawBufferPointer
    private var position = 2 // after SOI

    init(_ file: UnsafeRawBufferPointer) { self.file = file }

    mutating func next() -> Segment? {
        while let marker = nextMarker() {
            switch marker {
            case 0xd9: return Segment(marker: marker, content: position..<position)
            case 0x01, 0xd0...0xd7: continue // markers without a length
            default: break
            }
            guard let length = file.bigEndian16(at: position) else { return nil }
            let content = position + 2..<position + Swift.max(length, 2)
            position = content.upperBound
            return Segment(marker: marker, content: content)
        }
        return nil
    }

    /// The next marker at the position or after it. The position moves to the byte after the marker.
    private mutating func nextMarker() -> UInt8? {
        while position < file.count {
            guard let mark = file[position...].firstIndex(of: 0xff),
                let code = file[mark...].firstIndex(where: { $0 != 0xff })
            else { return nil }
            position = code + 1
            if file[code] != 0 { return file[code] }
        }
        return nil
    }
}

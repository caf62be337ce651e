/// Writes the TIFF structure of EXIF data.
struct TIFF {
    let bigEndian: Bool

    func number16(_ value: Int) -> [UInt8] {
        let bytes = [UInt8(value >> 8 & 0xff), UInt8(value & 0xff)]
        return bigEndian ? bytes : bytes.reversed()
    }

    func number32(_ value: Int) -> [UInt8] {
        let halves = [number16(value >> 16 & 0xffff), number16(value & 0xffff)]
        return bigEndian ? halves[0] + halves[1] : halves[1] + halves[0]
    }

    /// The header, with the place of the first directory.
    func header(magic: Int = 42, directory: Int = 8) -> [UInt8] {
        Array((bigEndian ? "MM" : "II").utf8) + number16(magic) + number32(directory)
    }

    /// A header and a directory, with one short number per tag.
    func directory(_ tags: [(tag: Int, value: Int)]) -> [UInt8] {
        var bytes = header() + number16(tags.count)
        for (tag, value) in tags {
            bytes += number16(tag) + number16(3) + number32(1)
            bytes += number16(value) + [0, 0]
        }
        return bytes + number32(0)
    }
}

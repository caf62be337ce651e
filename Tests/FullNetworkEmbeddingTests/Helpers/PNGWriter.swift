/// Writes a small uncompressed PNG (RGB, 8 bits) with or without an eXIf chunk.
enum PNGWriter {
    static func encode(_ rgb: [UInt8], height: Int, width: Int, exif: [UInt8]? = nil) -> [UInt8] {
        precondition(rgb.count == height * width * 3)
        var rows: [UInt8] = []
        for y in 0..<height { rows += [0] + rgb[y * width * 3..<(y + 1) * width * 3] } // filter 0: none
        let header = big32(width) + big32(height) + [8, 2, 0, 0, 0]
        return [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a] + chunk("IHDR", header)
            + (exif.map { chunk("eXIf", $0) } ?? []) + chunk("IDAT", stored(rows)) + chunk("IEND", [])
    }

    static func chunk(_ kind: String, _ content: [UInt8]) -> [UInt8] {
        let body = Array(kind.utf8) + content
        return big32(content.count) + body + big32(Int(crc32(body)))
    }

    /// Data in zlib's format, as one stored block.
    private static func stored(_ bytes: [UInt8]) -> [UInt8] {
        precondition(bytes.count < 65_536)
        let size = UInt16(bytes.count)
        func little(_ value: UInt16) -> [UInt8] { [UInt8(value & 0xff), UInt8(value >> 8)] }
        var (a, b) = (1, 0) // Adler-32
        for byte in bytes {
            a = (a + Int(byte)) % 65_521
            b = (b + a) % 65_521
        }
        return [0x78, 0x01, 1] + little(size) + little(~size) + bytes + big32(b << 16 | a)
    }

    private static func big32(_ value: Int) -> [UInt8] {
        stride(from: 24, through: 0, by: -8).map { UInt8(value >> $0 & 0xff) }
    }

    private static func crc32(_ bytes: [UInt8]) -> UInt32 {
        var crc = UInt32.max
        for byte in bytes {
            crc ^= UInt32(byte)
            for _ in 0..<8 { crc = crc >> 1 ^ (crc & 1 == 1 ? 0xedb8_8320 : 0) }
        }
        return ~crc
    }
}

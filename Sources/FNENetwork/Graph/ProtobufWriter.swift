/// Writes the wire format of protocol buffers. The first argument of its functions is the field's number.
struct ProtobufWriter {
    private(set) var bytes: [UInt8] = []

    mutating func number(_ field: Int, _ value: Int) {
        varint(UInt64(field) << 3)
        varint(UInt64(bitPattern: Int64(value))) // a negative number is its two's complement of 64 bits
    }

    mutating func bytes(_ field: Int, _ content: some Collection<UInt8>) {
        varint(UInt64(field) << 3 | 2)
        varint(UInt64(content.count))
        bytes.append(contentsOf: content)
    }

    mutating func text(_ field: Int, _ content: String) { bytes(field, content.utf8) }

    mutating func message(_ field: Int, _ write: (inout ProtobufWriter) -> Void) {
        var inner = ProtobufWriter()
        write(&inner)
        bytes(field, inner.bytes)
    }

    /// Writes a field as it was read.
    mutating func field(_ field: Int, _ value: ProtobufReader.Value) {
        switch value {
        case .varint(let number):
            varint(UInt64(field) << 3)
            varint(number)
        case .fixed64(let number):
            varint(UInt64(field) << 3 | 1)
            withUnsafeBytes(of: number.littleEndian) { bytes.append(contentsOf: $0) }
        case .bytes(let content): bytes(field, content)
        case .fixed32(let number):
            varint(UInt64(field) << 3 | 5)
            withUnsafeBytes(of: number.littleEndian) { bytes.append(contentsOf: $0) }
        }
    }

    /// Writes the fields that another writer has written.
    mutating func append(_ other: ProtobufWriter) { bytes += other.bytes }

    /// Writes the key and the length of a field. The caller writes the content elsewhere, in so many bytes.
    mutating func header(_ field: Int, length: Int) {
        varint(UInt64(field) << 3 | 2)
        varint(UInt64(length))
    }

    private mutating func varint(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(rest & 0x7f) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(rest))
    }
}

import FNESupport

/// Reads the wire format of protocol buffers (https://protobuf.dev/programming-guides/encoding). It does not own the
/// bytes, which must outlive it. Every read is checked. Damaged bytes throw `.invalidGraph` and never trap.
struct ProtobufReader {
    private let bytes: UnsafeRawBufferPointer
    private var position = 0
    /// What the bytes should be, in words, for messages.
    private let format: String

    init(_ bytes: UnsafeRawBufferPointer, of format: String = "GraphDef") {
        self.bytes = bytes
        self.format = format
    }

    /// A field's value, by its wire type. A varint is an integer of 1 to 10 bytes.
    enum Value {
        case varint(UInt64)
        case fixed32(UInt32)
        case fixed64(UInt64)
        case bytes(UnsafeRawBufferPointer)
    }

    /// The next field's number and value; nil at the end.
    mutating func next() throws -> (field: Int, value: Value)? {
        guard position < bytes.count else { return nil }
        let key = try varint()
        let field = Int(truncatingIfNeeded: key >> 3)
        guard field >= 1, key >> 3 < 1 << 29 else { throw damaged("a field number is out of range") }
        switch key & 7 {
        case 0: return (field, .varint(try varint()))
        case 1: return (field, .fixed64(UInt64(littleEndian: try load(UInt64.self))))
        case 2:
            let length = try varint()
            guard length <= UInt64(bytes.count - position) else { throw damaged("a field is longer than the data") }
            let start = position
            position += Int(length)
            return (field, .bytes(UnsafeRawBufferPointer(rebasing: bytes[start..<position])))
        case 5: return (field, .fixed32(UInt32(littleEndian: try load(UInt32.self))))
        default: throw damaged("a field has an unknown wire type")
        }
    }

    /// The next number of a packed field; nil at the end.
    mutating func nextPacked() throws -> UInt64? { position < bytes.count ? try varint() : nil }

    private mutating func varint() throws -> UInt64 {
        var result: UInt64 = 0
        for shift in stride(from: UInt64(0), to: 70, by: 7) {
            guard position < bytes.count else { throw damaged("a number is cut off by the end of the data") }
            let byte = bytes[position]
            position += 1
            result |= UInt64(byte & 0x7f) << shift
            if byte < 0x80 { return result }
        }
        throw damaged("a number has more than ten bytes")
    }

    private mutating func load<Number: FixedWidthInteger & BitwiseCopyable>(_ type: Number.Type) throws -> Number {
        let size = MemoryLayout<Number>.size
        guard bytes.count - position >= size else { throw damaged("a number is cut off by the end of the data") }
        defer { position += size }
        return bytes.loadUnaligned(fromByteOffset: position, as: Number.self)
    }

    private func damaged(_ what: String) -> FNEError {
        FNEError(.invalidGraph, "this is no \(format), or a damaged one. At byte \(position), \(what)")
    }
}

/// The values of expected types. A field of another type is an error, not an absent field. Another reader may take the
/// same bytes differently, and a check must see what TensorFlow sees.
extension ProtobufReader.Value {
    func varint() throws -> UInt64 {
        guard case .varint(let number) = self else { throw Self.wrongType }
        return number
    }

    func message() throws -> UnsafeRawBufferPointer {
        guard case .bytes(let bytes) = self else { throw Self.wrongType }
        return bytes
    }

    func string() throws -> String { String(decoding: try message(), as: UTF8.self) }

    static var wrongType: FNEError {
        FNEError(.invalidGraph, "this is no GraphDef, or a damaged one. A field has the wrong wire type")
    }
}

/// The fields of a message that may stand only once. Where one is repeated, some readers merge the parts and others
/// take the last. Here it is an error.
struct SingularFields {
    private var seen = Set<Int>()

    /// - Throws: `.invalidGraph` for a field that was taken before.
    mutating func take(_ field: Int) throws {
        guard seen.insert(field).inserted else {
            throw FNEError(.invalidGraph, "the GraphDef is damaged. A field that may stand once stands twice")
        }
    }
}

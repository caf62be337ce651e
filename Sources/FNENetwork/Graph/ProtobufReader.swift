import FNESupport

/// Reads the protocol buffers wire format (https://protobuf.dev/programming-guides/encoding) from memory that it does
/// not own. Every read is checked: damaged bytes throw `.invalidGraph`, never trap.
struct ProtobufReader {
    private let bytes: UnsafeRawBufferPointer
    private var position = 0

    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

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
        guard field >= 1, key >> 3 < 1 << 29 else { throw damaged("a field number out of range") }
        switch key & 7 {
        case 0: return (field, .varint(try varint()))
        case 1: return (field, .fixed64(UInt64(littleEndian: try load(UInt64.self))))
        case 2:
            let length = try varint()
            guard length <= UInt64(bytes.count - position) else { throw damaged("a field longer than the data") }
            let start = position
            position += Int(length)
            return (field, .bytes(UnsafeRawBufferPointer(rebasing: bytes[start..<position])))
        case 5: return (field, .fixed32(UInt32(littleEndian: try load(UInt32.self))))
        default: throw damaged("an unknown wire type")
        }
    }

    /// The next number of a packed field; nil at the end.
    mutating func nextPacked() throws -> UInt64? { position < bytes.count ? try varint() : nil }

    private mutating func varint() throws -> UInt64 {
        var result: UInt64 = 0
        for shift in stride(from: UInt64(0), to: 70, by: 7) {
            guard position < bytes.count else { throw damaged("a number cut off by the end of the data") }
            let byte = bytes[position]
            position += 1
            result |= UInt64(byte & 0x7f) << shift
            if byte < 0x80 { return result }
        }
        throw damaged("a number of more than ten bytes")
    }

    private mutating func load<Number: FixedWidthInteger & BitwiseCopyable>(_ type: Number.Type) throws -> Number {
        let size = MemoryLayout<Number>.size
        guard bytes.count - position >= size else { throw damaged("a number cut off by the end of the data") }
        defer { position += size }
        return bytes.loadUnaligned(fromByteOffset: position, as: Number.self)
    }

    private func damaged(_ what: String) -> FNEError { FNEError(.invalidGraph, "\(what) at byte \(position)") }
}

/// A field of an unexpected type is an error, not an absent field: what another reader of the same bytes makes of it may
/// differ, and a check that reads less than TensorFlow does is none.
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

    static var wrongType: FNEError { FNEError(.invalidGraph, "a field has the wrong wire type") }
}

/// The fields of a message that may stand once. Of a repeated one, readers merge the parts or take the last.
struct SingularFields {
    private var seen = Set<Int>()

    mutating func take(_ field: Int) throws {
        guard seen.insert(field).inserted else { throw FNEError(.invalidGraph, "a field stands twice") }
    }
}

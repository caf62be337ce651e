import FNESupport

/// Reads a message of an ONNX file, field by field. A field that may stand once and stands twice is an error, and so is
/// a field of the wrong type: another reader may take the same bytes differently, and a check must see what ONNX
/// Runtime sees.
struct ONNXMessage {
    /// A field, and the message that it stands in.
    struct Field {
        let number: Int
        let value: ProtobufReader.Value
        let message: String
    }

    private var reader: ProtobufReader
    private let message: String
    private let repeated: Set<Int>
    private var seen: UInt64 = 0

    /// - Parameters:
    ///   - message: what the bytes are, in words, such as "a node"
    ///   - repeated: the fields that may stand more than once
    init(_ bytes: UnsafeRawBufferPointer, _ message: String, repeated: Set<Int> = []) {
        reader = ProtobufReader(bytes, of: "ONNX model")
        self.message = message
        self.repeated = repeated
    }

    /// The next field; nil at the end.
    mutating func next() throws -> Field? {
        guard let (number, value) = try reader.next() else { return nil }
        if number < 64, !repeated.contains(number) {
            guard seen & 1 << UInt64(number) == 0 else {
                throw FNEError(.invalidGraph, "the ONNX model is damaged. Field \(number) of \(message) stands twice")
            }
            seen |= 1 << UInt64(number)
        }
        return Field(number: number, value: value, message: message)
    }
}

extension ONNXMessage.Field {
    func integer() throws -> Int {
        guard case .varint(let number) = value else { throw wrongType }
        return Int(truncatingIfNeeded: number)
    }

    func bytes() throws -> UnsafeRawBufferPointer {
        guard case .bytes(let bytes) = value else { throw wrongType }
        return bytes
    }

    func float() throws -> Float {
        guard case .fixed32(let bits) = value else { throw wrongType }
        return Float(bitPattern: bits)
    }

    /// A name of the graph.
    ///
    /// - Throws: `.invalidGraph` where it is not printable ASCII. Swift compares texts as Unicode does, so that
    ///   different bytes may be equal, and a check must tell names apart as ONNX Runtime does.
    func name(of what: String) throws -> String {
        let bytes = try bytes()
        guard bytes.allSatisfy({ $0 >= 0x20 && $0 < 0x7f }) else {
            throw FNEError(
                .invalidGraph,
                "this is no ONNX model, or a damaged one. The name of \(what) is not of printable ASCII characters. "
                    + "If the model is good, rename it and export the model again")
        }
        guard bytes.count <= Self.longestName else {
            throw FNEError(.invalidGraph, "the name of \(what) has \(bytes.count) bytes. At most 4096 are allowed")
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static let longestName = 4_096

    /// Integers that are written one by one, or packed.
    func append(to integers: inout [Int], atMost limit: Int) throws {
        switch value {
        case .varint(let number): integers.append(Int(truncatingIfNeeded: number))
        case .bytes(let packed):
            var reader = ProtobufReader(packed, of: "ONNX model")
            while integers.count <= limit, let number = try reader.nextPacked() {
                integers.append(Int(truncatingIfNeeded: number))
            }
        default: throw wrongType
        }
        guard integers.count <= limit else {
            throw FNEError(.invalidGraph, "\(message) has a list of more than \(limit) integers")
        }
    }

    var wrongType: FNEError {
        FNEError(
            .invalidGraph,
            "this is no ONNX model, or a damaged one. Field \(number) of \(message) has the wrong wire type")
    }
}

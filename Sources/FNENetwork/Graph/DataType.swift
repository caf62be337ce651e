/// The types of a tensor's elements. The numbers are TensorFlow's (tensorflow/core/framework/types.proto).
enum DataType: Int, Sendable {
    /// The graph names no type, or one that this table lacks.
    case unknown = 0
    case float32 = 1
    case float64 = 2
    case int32 = 3
    case uint8 = 4
    case int16 = 5
    case int8 = 6
    case string = 7
    case complex64 = 8
    case int64 = 9
    case bool = 10
    case qint8 = 11
    case quint8 = 12
    case qint32 = 13
    case bfloat16 = 14
    case qint16 = 15
    case quint16 = 16
    case uint16 = 17
    case complex128 = 18
    case float16 = 19
    case resource = 20
    case variant = 21
    case uint32 = 22
    case uint64 = 23

    /// The type of a number, `unknown` for a number that the table lacks.
    init(number: Int) { self = DataType(rawValue: number) ?? .unknown }

    /// The size of an element in bytes. TensorFlow keeps at least so many bytes of a string or a handle.
    var byteCount: Int {
        switch self {
        case .uint8, .int8, .bool, .qint8, .quint8: 1
        case .int16, .uint16, .qint16, .quint16, .bfloat16, .float16: 2
        case .float32, .int32, .uint32, .qint32, .unknown: 4
        case .float64, .int64, .uint64, .complex64: 8
        case .complex128, .string, .resource, .variant: 16
        }
    }

    /// The first number of little-endian bytes of this type; nil for types that are no plain numbers.
    func number(in bytes: UnsafeRawBufferPointer) -> Double? {
        guard bytes.count >= byteCount else { return nil }
        func load<Number: FixedWidthInteger & BitwiseCopyable>(_ type: Number.Type) -> Number {
            Number(littleEndian: bytes.loadUnaligned(as: Number.self))
        }
        return switch self {
        case .float32: Double(Float(bitPattern: load(UInt32.self)))
        case .float64: Double(bitPattern: load(UInt64.self))
        case .float16, .bfloat16: number(half: load(UInt16.self))
        case .int32: Double(load(Int32.self))
        case .int64: Double(load(Int64.self))
        case .int16: Double(load(Int16.self))
        case .int8: Double(load(Int8.self))
        case .uint8: Double(load(UInt8.self))
        case .uint16: Double(load(UInt16.self))
        case .uint32: Double(load(UInt32.self))
        case .uint64: Double(load(UInt64.self))
        case .bool: load(UInt8.self) == 0 ? 0 : 1
        default: nil
        }
    }

    /// The number that 16 bits stand for in the two types of half precision.
    func number(half bits: UInt16) -> Double? {
        switch self {
        case .bfloat16: Double(Float(bitPattern: UInt32(bits) << 16))
        case .float16: Self.float16(bits)
        default: nil
        }
    }

    /// The number of IEEE 754's binary16.
    private static func float16(_ bits: UInt16) -> Double {
        let exponent = Int(bits >> 10 & 0x1f)
        let fraction = Double(bits & 0x3ff) / 1024
        let sign: Double = bits >> 15 == 0 ? 1 : -1
        if exponent == 0x1f { return fraction == 0 ? sign * .infinity : .nan }
        let power = Double(sign: .plus, exponent: max(exponent, 1) - 15, significand: 1)
        return sign * power * (exponent == 0 ? fraction : 1 + fraction)
    }
}

extension DataType {
    /// Whether it is a type of real numbers.
    var isReal: Bool { [.float32, .float64, .float16, .bfloat16].contains(self) }

    /// The numbers of a type of whole numbers that float32 can tell apart. Nil for real numbers, and for types that
    /// pixels do not fit.
    var wholeNumbers: ClosedRange<Float>? {
        switch self {
        case .uint8: 0...255
        case .int16: -32_768...32_767
        case .uint16: 0...65_535
        case .int32, .int64: -0x1p24...0x1p24
        case .uint32, .uint64: 0...0x1p24
        default: nil
        }
    }

    /// Whether pixels, which are whole numbers from 0 to 255, can be fed as numbers of this type.
    var takesPixels: Bool { isReal || wholeNumbers != nil }
}

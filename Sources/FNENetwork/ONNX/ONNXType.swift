/// The types of a tensor's elements. The numbers are those of ONNX (TensorProto.DataType).
enum ONNXType: Int, Sendable {
    /// The file names no type, or one that this table lacks.
    case unknown = 0
    case float32 = 1
    case uint8 = 2
    case int8 = 3
    case uint16 = 4
    case int16 = 5
    case int32 = 6
    case int64 = 7
    case string = 8
    case bool = 9
    case float16 = 10
    case float64 = 11
    case uint32 = 12
    case uint64 = 13
    case complex64 = 14
    case complex128 = 15
    case bfloat16 = 16
    case float8e4m3fn = 17
    case float8e4m3fnuz = 18
    case float8e5m2 = 19
    case float8e5m2fnuz = 20
    case uint4 = 21
    case int4 = 22
    case float4e2m1 = 23
    case float8e8m0 = 24
    case uint2 = 25
    case int2 = 26

    /// The type of a number, `unknown` for a number that the table lacks.
    init(number: Int) { self = ONNXType(rawValue: number) ?? .unknown }

    /// The size of an element in bits; 0 for texts, whose sizes differ.
    var bitCount: Int {
        switch self {
        case .unknown, .string: 0
        case .uint2, .int2: 2
        case .uint4, .int4, .float4e2m1: 4
        case .uint8, .int8, .bool, .float8e4m3fn, .float8e4m3fnuz, .float8e5m2, .float8e5m2fnuz, .float8e8m0: 8
        case .uint16, .int16, .float16, .bfloat16: 16
        case .float32, .int32, .uint32: 32
        case .float64, .int64, .uint64, .complex64: 64
        case .complex128: 128
        }
    }

    /// The same type in the table of TensorFlow's types.
    var dataType: DataType {
        switch self {
        case .float32: .float32
        case .float64: .float64
        case .float16: .float16
        case .bfloat16: .bfloat16
        case .uint8: .uint8
        case .int8: .int8
        case .uint16: .uint16
        case .int16: .int16
        case .int32: .int32
        case .int64: .int64
        case .uint32: .uint32
        case .uint64: .uint64
        case .bool: .bool
        default: .unknown
        }
    }

    /// Whether it is a type of real numbers other than float32.
    var isOtherReal: Bool { dataType.isReal && self != .float32 }
}

import FNESupport

/// A value that is given to one of a network's inputs beside the image, such as `phase_train=false`. It becomes a
/// constant of the graph.
///
/// As text it is "name=value". The value is a number, true or false, several of them with commas between, or JSON
/// arrays of them. A value that lacks the first axis of the input's shape is given to each image of a batch.
struct Feed {
    /// The tensor, as the user wrote it.
    let name: String
    /// The sizes of the value's axes; empty for one number.
    let shape: [Int]
    /// The numbers in row-major order. A truth value is 0 or 1.
    let numbers: [Double]

    /// The most numbers that a value may have.
    static let limit = 1 << 20

    /// - Throws: `.invalidArgument`.
    init(_ text: String) throws {
        guard let sign = text.utf8.firstIndex(of: UInt8(ascii: "=")), sign > text.startIndex else {
            throw FNEError(
                .invalidArgument, "the feed '\(text)' must be a name, =, and a value, such as phase_train=false")
        }
        name = String(text[..<sign])
        let value = String(text[text.utf8.index(after: sign)...])
        do {
            let word = ["True": "true", "False": "false"][value] ?? value
            let isList = word.utf8.contains(UInt8(ascii: ",")) && word.utf8.first != UInt8(ascii: "[")
            let json = try JSON(reading: Array((isList ? "[\(word)]" : word).utf8))
            (shape, numbers) = try Self.flattened(json)
        } catch {
            throw FNEError(
                .invalidArgument,
                "the feed '\(name)' has the value '\(value.prefix(60))'. It must be a number, true or false, several "
                    + "of them with commas between, or JSON arrays of equal lengths")
        }
    }

    private static func flattened(_ json: JSON) throws -> ([Int], [Double]) {
        switch json {
        case .flag(let flag): return ([], [flag ? 1 : 0])
        case .integer(let number): return ([], [Double(number)])
        case .number(let number): return ([], [number])
        case .array(let items):
            var shape: [Int]?
            var numbers: [Double] = []
            for item in items {
                let (inner, values) = try flattened(item)
                guard shape == nil || shape == inner else { throw FNEError(.invalidArgument, "") }
                shape = inner
                numbers += values
                guard numbers.count <= limit else { throw FNEError(.invalidArgument, "") }
            }
            return ([items.count] + (shape ?? []), numbers)
        default: throw FNEError(.invalidArgument, "")
        }
    }

    /// The numbers as little-endian bytes of a type.
    ///
    /// - Throws: `.invalidArgument` where a number does not fit the type; `.unsupportedTensor` for a type that takes no
    ///   numbers.
    func content(of type: DataType) throws -> [UInt8] {
        try Reserve.prepare(16 * numbers.count * type.byteCount)
        return try numbers.flatMap { number in
            guard let bytes = try type.bytes(of: number) else {
                throw FNEError(.invalidArgument, "the feed '\(name)' has the value \(number), which is no \(type)")
            }
            return bytes
        }
    }
}

extension DataType {
    /// A number as little-endian bytes of this type; nil where the type does not have the number.
    ///
    /// - Throws: `.unsupportedTensor` for types that are no plain numbers.
    fileprivate func bytes(of number: Double) throws -> [UInt8]? {
        func integer<Number: FixedWidthInteger>(_: Number.Type) -> [UInt8]? {
            Number(exactly: number).map { withUnsafeBytes(of: $0.littleEndian, Array.init) }
        }
        switch self {
        case .float32: return withUnsafeBytes(of: Float(number).bitPattern.littleEndian, Array.init)
        case .float64: return withUnsafeBytes(of: number.bitPattern.littleEndian, Array.init)
        case .int32: return integer(Int32.self)
        case .int64: return integer(Int64.self)
        case .int16: return integer(Int16.self)
        case .int8: return integer(Int8.self)
        case .uint8: return integer(UInt8.self)
        case .uint16: return integer(UInt16.self)
        case .uint32: return integer(UInt32.self)
        case .uint64: return integer(UInt64.self)
        case .bool: return number == 0 ? [0] : number == 1 ? [1] : nil
        default: throw FNEError(.unsupportedTensor, "a tensor of type \(self) cannot be fed")
        }
    }
}

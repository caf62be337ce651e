import FNESupport

/// A constant of an ONNX file: its name, type and shape, and where its values stand. Values are read only where they
/// are a few numbers, as sizes and axes are.
struct ONNXTensor: Sendable {
    /// Where the values stand.
    enum Place: Sendable {
        /// In the tensor's message itself, in fields that only a reader of the format can take.
        case message
        /// In a range of the file, little-endian, as the runtime holds them.
        case file(Range<Int>)
        /// In a file beside the model.
        case outside(ONNXExternalData.Region)
    }

    fileprivate(set) var name = ""
    fileprivate(set) var type = ONNXType.unknown
    fileprivate(set) var dimensions: [Int] = []
    fileprivate(set) var place = Place.message
    /// The bytes of the tensor's message in the file.
    fileprivate(set) var range = 0..<0
    /// All values, in row-major order, where they are at most `few` and of a type of whole numbers.
    fileprivate(set) var integers: [Int]?
    /// All values, where they are at most `few` and of a type of real numbers.
    fileprivate(set) var numbers: [Double]?

    /// Constants of more values than this are weights or indices. Their values are skipped.
    static let few = 64
    /// The highest rank.
    private static let rankLimit = 16
    /// The most bytes that one constant may take.
    private static let sizeLimit = 1 << 36

    /// A tensor that no file holds, such as the list of integers of a Constant.
    init(type: ONNXType, dimensions: [Int], integers: [Int]? = nil, numbers: [Double]? = nil) {
        self.type = type
        self.dimensions = dimensions
        self.integers = integers
        self.numbers = numbers
    }

    var count: Int { product(dimensions) }

    /// The size of the values in bytes.
    var byteCount: Int {
        let bits = saturating(count, type.bitCount)
        return bits / 8 + (bits % 8 == 0 ? 0 : 1)
    }
}

/// The parts of a TensorProto, while it is read.
private struct TensorParts {
    var raw: UnsafeRawBufferPointer?
    var floats: [UnsafeRawBufferPointer] = []
    var doubles: [UnsafeRawBufferPointer] = []
    /// The values of unpacked fields of floats.
    var single: [Double] = []
    var integers: [Int] = []
    /// The number of values in fields of integers.
    var integerCount = 0
    /// The number of values in fields of texts.
    var textCount = 0
    var outside: [String: String] = [:]
    var isOutside = false

    var hasTypedValues: Bool { !floats.isEmpty || !doubles.isEmpty || !single.isEmpty || integerCount + textCount > 0 }
}

extension ONNXTensor {
    /// Reads a TensorProto.
    ///
    /// - Parameter start: the place of the bytes in the file
    /// - Throws: `.invalidGraph`.
    init(_ bytes: UnsafeRawBufferPointer, at start: Int, _ outside: ONNXExternalData) throws {
        range = start..<start + bytes.count
        var parts = TensorParts()
        var message = ONNXMessage(bytes, "a tensor", repeated: [1, 4, 5, 6, 7, 10, 11, 13, 16])
        while let field = try message.next() { try read(field, &parts) }
        try checkShape()
        do {
            try locate(parts, bytes, start, outside)
        } catch let error as FNEError {
            throw error.about("the constant '\(name)'")
        }
    }

    private mutating func read(_ field: ONNXMessage.Field, _ parts: inout TensorParts) throws {
        switch field.number {
        case 1: try field.append(to: &dimensions, atMost: Self.rankLimit)
        case 2: type = ONNXType(number: try field.integer())
        case 3: throw FNEError(.invalidGraph, "a constant is written in segments, which ONNX Runtime does not read")
        case 4, 10: try readReals(field, &parts)
        case 5, 7, 11: try Self.readIntegers(field, &parts)
        case 6: parts.textCount += 1
        case 8: name = try field.name(of: "a constant")
        case 9: parts.raw = try field.bytes()
        case 13:
            let (key, value) = try ONNXDefinition.entry(field.bytes(), "external data")
            guard parts.outside.updateValue(value, forKey: key) == nil else {
                throw FNEError(.invalidGraph, "the external data of a constant have '\(key)' twice")
            }
        case 14: parts.isOutside = try field.integer() == 1
        default: break
        }
    }

    private func readReals(_ field: ONNXMessage.Field, _ parts: inout TensorParts) throws {
        switch (field.number, field.value) {
        case (4, .bytes(let packed)): parts.floats.append(packed)
        case (10, .bytes(let packed)): parts.doubles.append(packed)
        case (4, .fixed32(let bits)): parts.single.append(Double(Float(bitPattern: bits)))
        case (10, .fixed64(let bits)): parts.single.append(Double(bitPattern: bits))
        default: throw field.wrongType
        }
    }

    private static func readIntegers(_ field: ONNXMessage.Field, _ parts: inout TensorParts) throws {
        guard case .bytes(let packed) = field.value else {
            parts.integerCount += 1
            if parts.integerCount <= few { parts.integers.append(try field.integer()) }
            return
        }
        var reader = ProtobufReader(packed, of: "ONNX model")
        while let number = try reader.nextPacked() {
            parts.integerCount += 1
            if parts.integerCount <= few { parts.integers.append(Int(truncatingIfNeeded: number)) }
        }
    }

    private func checkShape() throws {
        guard type != .unknown else {
            throw FNEError(.invalidGraph, "the constant '\(name)' has no type, or one that libfne does not know")
        }
        var bits = max(type.bitCount, 8)
        for dimension in dimensions {
            let (product, overflow) = bits.multipliedReportingOverflow(by: dimension)
            guard dimension >= 0, !overflow, product / 8 <= Self.sizeLimit else {
                throw FNEError(
                    .invalidGraph, "the constant '\(name)' declares the shape \(dimensions), which is not possible")
            }
            bits = product
        }
    }

    // MARK: Values

    private mutating func locate(
        _ parts: TensorParts, _ bytes: UnsafeRawBufferPointer, _ start: Int, _ outside: ONNXExternalData
    ) throws {
        if parts.isOutside {
            guard parts.raw == nil, !parts.hasTypedValues else {
                throw FNEError(.invalidGraph, "it has values in the file and outside of it")
            }
            let region = try outside.region(parts.outside, size: byteCount)
            place = .outside(region)
            return region.withBytes { readFew($0) }
        }
        if let raw = parts.raw {
            guard !parts.hasTypedValues, raw.count == byteCount else {
                throw FNEError(
                    .invalidGraph, "it has \(raw.count) bytes of values, but its shape \(dimensions) needs \(byteCount)"
                )
            }
            placeInFile(raw, bytes, start)
        } else if type == .float32, parts.single.isEmpty, parts.floats.count == 1, let floats = parts.floats.first {
            try check(floats.count / 4)
            placeInFile(floats, bytes, start)
        } else {
            try placeTyped(parts)
        }
    }

    private mutating func placeInFile(
        _ values: UnsafeRawBufferPointer, _ bytes: UnsafeRawBufferPointer, _ start: Int
    ) {
        guard let first = values.baseAddress, let base = bytes.baseAddress else { return }
        place = .file(start + (first - base)..<start + (first - base) + values.count)
        readFew(values)
    }

    /// Values in fields of their own. The runtime reads them from the message.
    private mutating func placeTyped(_ parts: TensorParts) throws {
        let reals = parts.floats.reduce(0) { $0 + $1.count / 4 } + parts.doubles.reduce(0) { $0 + $1.count / 8 }
        switch type {
        case .string: try check(parts.textCount)
        case .complex64, .complex128: try check((reals + parts.single.count) / 2)
        case .float32, .float64: try check(reals + parts.single.count)
        default: try check(type.bitCount < 8 ? count : parts.integerCount)
        }
        guard count <= Self.few else { return }
        if type.dataType.isReal, !type.isOtherReal || type == .float64 {
            numbers =
                parts.single + parts.floats.flatMap { Self.numbers($0, .float32) }
                + parts.doubles.flatMap { Self.numbers($0, .float64) }
        } else if type.dataType.isReal {
            numbers = parts.integers.compactMap {
                type.dataType.number(half: UInt16(truncatingIfNeeded: $0))
            }
        } else if type.dataType != .unknown {
            integers = parts.integers
        }
    }

    private func check(_ found: Int) throws {
        guard found == count else {
            throw FNEError(.invalidGraph, "it has \(found) values, but its shape \(dimensions) needs \(count)")
        }
    }

    private mutating func readFew(_ values: UnsafeRawBufferPointer) {
        guard count <= Self.few, type.dataType != .unknown else { return }
        let few = Self.numbers(values, type.dataType)
        if type.dataType.isReal { numbers = few } else { integers = few.map { Int(exactly: $0.rounded()) ?? .max } }
    }

    private static func numbers(_ bytes: UnsafeRawBufferPointer, _ type: DataType) -> [Double] {
        stride(from: 0, to: bytes.count, by: type.byteCount).compactMap {
            type.number(in: UnsafeRawBufferPointer(rebasing: bytes[$0...]))
        }
    }
}

/// A JSON value (RFC 8259). The members of an object keep their order, so that equal values are written as equal bytes.
package enum JSON: Equatable {
    case null
    case flag(Bool)
    case integer(Int)
    case number(Double)
    case text(String)
    case array([JSON])
    case object([Member])

    /// A name and its value in an object.
    package struct Member: Equatable {
        /// The name, without quotation marks and escapes.
        package let name: String
        /// The value that the name stands for.
        package let value: JSON

        /// A member of an object.
        package init(name: String, value: JSON) {
            self.name = name
            self.value = value
        }
    }

    /// The value of an object's member; nil where the object lacks it, or the value is no object.
    package subscript(_ name: String) -> JSON? {
        guard case .object(let members) = self else { return nil }
        return members.first { $0.name.utf8.elementsEqual(name.utf8) }?.value
    }

    /// Whether both are written as the same bytes. Swift's own comparison would take texts for equal that differ in the
    /// form of their characters.
    package static func == (a: JSON, b: JSON) -> Bool { a.written() == b.written() }

    /// The text; nil where the value is none.
    package var text: String? { if case .text(let text) = self { text } else { nil } }

    /// The integer; nil where the value is none.
    package var integer: Int? { if case .integer(let number) = self { number } else { nil } }

    /// The items; nil where the value is no array.
    package var array: [JSON]? { if case .array(let items) = self { items } else { nil } }

    /// An object of names and values that stand in a program as a literal.
    package static func object(_ members: KeyValuePairs<String, JSON>) -> JSON {
        .object(members.map { Member(name: $0.key, value: $0.value) })
    }

    private var isScalar: Bool {
        switch self {
        case .array, .object: false
        default: true
        }
    }

    // MARK: Writing

    /// The value as UTF-8 text for a file of its own. Each member and each item has a line. Arrays of scalars stand in
    /// one line, and so do objects of scalars inside of an array.
    package func written() -> [UInt8] {
        var bytes: [UInt8] = []
        write(to: &bytes, indentation: 0, inArray: false)
        bytes.append(UInt8(ascii: "\n"))
        return bytes
    }

    /// An object of scalars as one line of UTF-8 text, with its line end.
    package func line() -> [UInt8] {
        var bytes: [UInt8] = []
        write(to: &bytes, indentation: 0, inArray: true)
        return bytes + [UInt8(ascii: "\n")]
    }

    private func write(to bytes: inout [UInt8], indentation: Int, inArray: Bool) {
        switch self {
        case .null: bytes += Array("null".utf8)
        case .flag(let flag): bytes += Array((flag ? "true" : "false").utf8)
        case .integer(let number): bytes += Array(String(number).utf8)
        case .number(let number): bytes += Array(number.description.utf8)
        case .text(let text): Self.write(text, to: &bytes)
        case .array(let items):
            let inline = items.allSatisfy(\.isScalar)
            Self.write(items.count, "[", "]", inline, to: &bytes, indentation) { i, bytes in
                items[i].write(to: &bytes, indentation: indentation + 2, inArray: true)
            }
        case .object(let members):
            let inline = inArray && members.allSatisfy(\.value.isScalar)
            Self.write(members.count, "{", "}", inline, to: &bytes, indentation) { i, bytes in
                Self.write(members[i].name, to: &bytes)
                bytes += Array(": ".utf8)
                members[i].value.write(to: &bytes, indentation: indentation + 2, inArray: false)
            }
        }
    }

    private static func write(
        _ count: Int, _ open: Unicode.Scalar, _ close: Unicode.Scalar, _ inline: Bool, to bytes: inout [UInt8],
        _ indentation: Int, item: (Int, inout [UInt8]) -> Void
    ) {
        func lineBreak(_ width: Int) {
            bytes += [UInt8(ascii: "\n")] + [UInt8](repeating: UInt8(ascii: " "), count: width)
        }
        bytes.append(UInt8(ascii: open))
        for i in 0..<count {
            if i > 0 { bytes += Array((inline ? ", " : ",").utf8) }
            if !inline { lineBreak(indentation + 2) }
            item(i, &bytes)
        }
        if !inline, count > 0 { lineBreak(indentation) }
        bytes.append(UInt8(ascii: close))
    }

    /// Writes a string with its quotation marks. Bytes that are not UTF-8 become U+FFFD. Control characters are
    /// escaped, and so are U+2028 and U+2029, which some programs take for ends of lines.
    package static func write(_ text: ArraySlice<UInt8>, to bytes: inout [UInt8]) {
        let (quote, backslash) = (UInt8(ascii: "\""), UInt8(ascii: "\\"))
        let digits = Array("0123456789abcdef".utf8)
        bytes.append(quote)
        defer { bytes.append(quote) }
        guard text.contains(where: { $0 < 0x20 || $0 > 0x7e || $0 == quote || $0 == backslash }) else {
            bytes += text
            return
        }
        for scalar in String(decoding: text, as: UTF8.self).unicodeScalars {
            switch scalar.value {
            case UInt32(quote), UInt32(backslash): bytes += [backslash, UInt8(scalar.value)]
            case 0..<0x20, 0x7f..<0xa0, 0x2028, 0x2029:
                bytes += [backslash, UInt8(ascii: "u")]
                for shift in [12, 8, 4, 0] { bytes.append(digits[Int(scalar.value >> UInt32(shift) & 15)]) }
            default: bytes += scalar.utf8
            }
        }
    }

    /// Writes a string with its quotation marks.
    package static func write(_ text: String, to bytes: inout [UInt8]) { write(Array(text.utf8)[...], to: &bytes) }

    // MARK: Reading

    /// Reads a text that holds one value. Values may be nested 64 deep.
    ///
    /// - Throws: `.invalidData`, with the byte where reading failed.
    package init(reading bytes: [UInt8]) throws {
        try Reserve.prepare(bytes.count * Self.reservePerByte)
        var reader = Reader(bytes: bytes)
        self = try reader.value(depth: 0)
        try Reserve.check()
        reader.skipSpace()
        guard reader.position == bytes.count else { throw reader.error("there is more after the value") }
    }

    /// An array of numbers of one digit takes the most memory for each byte of its text.
    private static let reservePerByte = 128

    private struct Reader {
        let bytes: [UInt8]
        var position = 0

        init(bytes: [UInt8]) { self.bytes = bytes }

        func error(_ what: String) -> FNEError {
            FNEError(.invalidData, "this is no JSON text. At byte \(position), \(what)")
        }

        private var next: UInt8? { position < bytes.count ? bytes[position] : nil }

        mutating func skipSpace() {
            while let byte = next, [0x20, 0x0a, 0x0d, 0x09].contains(byte) { position += 1 }
        }

        private mutating func take(_ character: Unicode.Scalar) -> Bool {
            skipSpace()
            guard next == UInt8(ascii: character) else { return false }
            position += 1
            return true
        }

        private mutating func take(word: String) -> Bool {
            let word = Array(word.utf8)
            guard position + word.count <= bytes.count, Array(bytes[position..<position + word.count]) == word else {
                return false
            }
            position += word.count
            return true
        }

        mutating func value(depth: Int) throws -> JSON {
            guard depth < 64 else { throw error("the values are nested too deeply") }
            skipSpace()
            guard let first = next else { throw error("a value is missing") }
            switch first {
            case UInt8(ascii: "{"): return .object(try members(depth))
            case UInt8(ascii: "["): return .array(try items(depth))
            case UInt8(ascii: "\""): return .text(try string())
            case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try number()
            default: break
            }
            if take(word: "null") { return .null }
            if take(word: "true") { return .flag(true) }
            if take(word: "false") { return .flag(false) }
            throw error("a value is missing")
        }

        private mutating func items(_ depth: Int) throws -> [JSON] {
            position += 1
            var result: [JSON] = []
            if take("]") { return result }
            repeat { result.append(try value(depth: depth + 1)) } while take(",")
            guard take("]") else { throw error("an array does not end") }
            return result
        }

        private mutating func members(_ depth: Int) throws -> [Member] {
            position += 1
            var result: [Member] = []
            if take("}") { return result }
            repeat {
                skipSpace()
                guard next == UInt8(ascii: "\"") else { throw error("a member's name is missing") }
                let name = try string()
                guard take(":") else { throw error("a colon is missing") }
                result.append(Member(name: name, value: try value(depth: depth + 1)))
            } while take(",")
            guard take("}") else { throw error("an object does not end") }
            return result
        }

        private mutating func number() throws -> JSON {
            let start = position
            while let byte = next, byte > 0x20, !Array(",]}".utf8).contains(byte) { position += 1 }
            let text = String(decoding: bytes[start..<position], as: UTF8.self)
            if let integer = Int(text) { return .integer(integer) }
            guard let number = Double(text), number.isFinite else { throw error("'\(text)' is no number") }
            return .number(number)
        }

        private mutating func string() throws -> String {
            position += 1
            var result: [UInt8] = []
            while let byte = next, byte != UInt8(ascii: "\"") {
                position += 1
                guard byte >= 0x20 else { throw error("a string holds a control character") }
                guard byte == UInt8(ascii: "\\") else {
                    result.append(byte)
                    continue
                }
                guard let escaped = next else { break }
                position += 1
                switch escaped {
                case UInt8(ascii: "n"): result.append(0x0a)
                case UInt8(ascii: "t"): result.append(0x09)
                case UInt8(ascii: "r"): result.append(0x0d)
                case UInt8(ascii: "b"): result.append(0x08)
                case UInt8(ascii: "f"): result.append(0x0c)
                case UInt8(ascii: "u"): result += Array(String(try scalar()).utf8)
                default: result.append(escaped)
                }
            }
            guard next == UInt8(ascii: "\"") else { throw error("a string does not end") }
            position += 1
            return String(decoding: result, as: UTF8.self)
        }

        private mutating func unit() throws -> UInt32 {
            guard position + 4 <= bytes.count,
                let unit = UInt32(String(decoding: bytes[position..<position + 4], as: UTF8.self), radix: 16)
            else { throw error("an escape needs four digits") }
            position += 4
            return unit
        }

        private mutating func scalar() throws -> Character {
            let first = try unit()
            if let scalar = Unicode.Scalar(first) { return Character(scalar) }
            guard 0xd800..<0xdc00 ~= first, take(word: "\\u") else { return "\u{fffd}" }
            let second = try unit()
            guard 0xdc00..<0xe000 ~= second,
                let scalar = Unicode.Scalar(0x10000 + (first - 0xd800) << 10 + (second - 0xdc00))
            else { return "\u{fffd}" }
            return Character(scalar)
        }
    }
}

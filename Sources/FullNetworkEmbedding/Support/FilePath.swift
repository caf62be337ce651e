/// A file's path as the system takes it: bytes, which on Linux need not be UTF-8.
public struct FilePath: Sendable, ExpressibleByStringLiteral, CustomStringConvertible {
    private let bytes: [CChar] // ends with 0

    public init(_ text: String) { bytes = Array(text.utf8CString) }

    public init(stringLiteral text: String) { self.init(text) }

    /// Copies a string that ends with 0.
    public init(cString: UnsafePointer<CChar>) {
        var end = cString
        while end.pointee != 0 { end += 1 }
        bytes = Array(UnsafeBufferPointer(start: cString, count: end - cString + 1))
    }

    /// For messages: what is not UTF-8 is shown as U+FFFD.
    public var description: String {
        String(decoding: bytes.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    func withCString<Result>(_ body: (UnsafePointer<CChar>?) throws -> Result) rethrows -> Result {
        try bytes.withUnsafeBufferPointer { try body($0.baseAddress) }
    }
}

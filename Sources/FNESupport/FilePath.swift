/// A file's path as the system takes it. It is made of bytes, which on Linux need not be UTF-8.
public struct FilePath: Sendable, ExpressibleByStringLiteral, CustomStringConvertible {
    private let bytes: [CChar] // ends with 0

    /// A path that is text in UTF-8.
    public init(_ text: String) { bytes = Array(text.utf8CString) }

    /// A path that stands in a program as a literal.
    public init(stringLiteral text: String) { self.init(text) }

    /// Copies a string that ends with 0.
    public init(cString: UnsafePointer<CChar>) {
        var end = cString
        while end.pointee != 0 { end += 1 }
        bytes = Array(UnsafeBufferPointer(start: cString, count: end - cString + 1))
    }

    /// - Parameter bytes: the path without an end; no byte may be 0
    package init(bytes: some Sequence<UInt8>) { self.bytes = bytes.map { CChar(bitPattern: $0) } + [0] }

    /// The path's bytes, without the zero at the end.
    package var text: [UInt8] { bytes.dropLast().map { UInt8(bitPattern: $0) } }

    /// The path for messages. Bytes that are not UTF-8 are shown as U+FFFD.
    public var description: String { String(decoding: text, as: UTF8.self) }

    /// The path of a name below this folder. An absolute name stays as it is.
    package func appending(_ name: some Sequence<UInt8>) -> FilePath {
        let (name, own) = (Array(name), text)
        let slash = UInt8(ascii: "/")
        if name.first == slash || own.isEmpty { return FilePath(bytes: name) }
        return FilePath(bytes: own + (own.last == slash ? [] : [slash]) + name)
    }

    /// The path of a name below this folder. An absolute name stays as it is.
    package func appending(_ name: String) -> FilePath { appending(name.utf8) }

    /// The folder that the file is in; "." for a name without a folder.
    package var parent: FilePath {
        let own = text
        guard let slash = own.lastIndex(of: UInt8(ascii: "/")) else { return FilePath(".") }
        return FilePath(bytes: own[..<max(slash, 1)])
    }

    /// Lends the path to the body as a C string.
    package func withCString<Result>(_ body: (UnsafePointer<CChar>?) throws -> Result) rethrows -> Result {
        try bytes.withUnsafeBufferPointer { try body($0.baseAddress) }
    }

    /// Calls a system function that takes a path and returns -1 on failure.
    package func systemCall(_ body: (UnsafePointer<CChar>) -> Int32) -> Int32 {
        withCString { $0.map(body) ?? -1 }
    }
}

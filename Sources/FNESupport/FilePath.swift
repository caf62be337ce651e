/// A file's path as the system takes it: bytes, which on Linux need not be UTF-8.
public struct FilePath: Sendable, ExpressibleByStringLiteral, CustomStringConvertible {
    private let bytes: [CChar] // ends with 0

    /// Of a path in UTF-8.
    public init(_ text: String) { bytes = Array(text.utf8CString) }

    public init(stringLiteral text: String) { self.init(text) }

    /// Copies a string that ends with 0.
    public init(cString: UnsafePointer<CChar>) {
        var end = cString
        while end.pointee != 0 { end += 1 }
        bytes = Array(UnsafeBufferPointer(start: cString, count: end - cString + 1))
    }

    /// - Parameter bytes: none of them 0
    package init(bytes: some Sequence<UInt8>) { self.bytes = bytes.map { CChar(bitPattern: $0) } + [0] }

    /// Without the zero at the end.
    package var text: [UInt8] { bytes.dropLast().map { UInt8(bitPattern: $0) } }

    /// For messages: what is not UTF-8 is shown as U+FFFD.
    public var description: String { String(decoding: text, as: UTF8.self) }

    /// A path below this one; an absolute one stays as it is.
    package func appending(_ name: some Sequence<UInt8>) -> FilePath {
        let (name, own) = (Array(name), text)
        let slash = UInt8(ascii: "/")
        if name.first == slash || own.isEmpty { return FilePath(bytes: name) }
        return FilePath(bytes: own + (own.last == slash ? [] : [slash]) + name)
    }

    package func appending(_ name: String) -> FilePath { appending(name.utf8) }

    /// The folder that a file is in.
    package var parent: FilePath {
        let own = text
        guard let slash = own.lastIndex(of: UInt8(ascii: "/")) else { return FilePath(".") }
        return FilePath(bytes: own[..<max(slash, 1)])
    }

    package func withCString<Result>(_ body: (UnsafePointer<CChar>?) throws -> Result) rethrows -> Result {
        try bytes.withUnsafeBufferPointer { try body($0.baseAddress) }
    }

    /// Calls a function of the system that returns -1 on failure.
    package func systemCall(_ body: (UnsafePointer<CChar>) -> Int32) -> Int32 {
        withCString { $0.map(body) ?? -1 }
    }
}

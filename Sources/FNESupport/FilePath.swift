import CKernels
import Glibc

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

    /// The path from the root of the file system. Links are not followed.
    ///
    /// - Throws: `.fileError` where the working directory does not exist any more.
    package func absolute() throws -> FilePath {
        let slash = UInt8(ascii: "/")
        var whole = text
        if whole.first != slash {
            guard let here = getcwd(nil, 0) else { throw File.error("cannot find", FilePath(".")) }
            defer { free(here) }
            whole = FilePath(cString: here).text + [slash] + whole
        }
        let parts = whole.split(separator: slash).filter { !$0.elementsEqual(".".utf8) }
        return FilePath(bytes: [slash] + parts.joined(separator: [slash]))
    }

    /// The path as text; nil where its bytes are not UTF-8.
    package var validText: String? { String(validating: text, as: UTF8.self) }

    /// Lends the path to the body as a C string.
    package func withCString<Result>(_ body: (UnsafePointer<CChar>?) throws -> Result) rethrows -> Result {
        try bytes.withUnsafeBufferPointer { try body($0.baseAddress) }
    }

    /// Calls a system function that takes a path and returns -1 on failure.
    package func systemCall(_ body: (UnsafePointer<CChar>) -> Int32) -> Int32 {
        withCString { $0.map(body) ?? -1 }
    }

    /// Opens the file, which is not handed on to programs that are started. A path may be longer than the 4,096 bytes
    /// that the system takes at once.
    ///
    /// - Returns: a descriptor, or -1 with errno.
    package func open(_ flags: Int32) -> Int32 {
        inFolder { openat($0, $1, flags | O_CLOEXEC, 0o666) }
    }

    /// What stat says of the file that the path leads to; nil where it cannot say, with errno. The path may be as long
    /// as that of `open`.
    package func facts() -> stat? {
        var facts = stat()
        return inFolder { fstatat($0, $1, &facts, 0) } == 0 ? facts : nil
    }

    /// Opens a folder to reach what is in it. The right to list it is not needed.
    ///
    /// - Returns: a descriptor, or -1 with errno.
    func openFolder() -> Int32 { inFolder(ck_open_folder) }

    /// Calls a system function with an open folder and the path below it, which is short enough for the system.
    private func inFolder(_ body: (Int32, UnsafePointer<CChar>) -> Int32) -> Int32 {
        let (slash, limit) = (CChar(bitPattern: UInt8(ascii: "/")), Int(PATH_MAX))
        var (folder, rest) = (AT_FDCWD, bytes[...])
        defer {
            let number = errno
            if folder >= 0 { close(folder) }
            errno = number
        }
        while rest.count > limit {
            guard let end = rest.prefix(limit - 1).lastIndex(of: slash) else {
                errno = ENAMETOOLONG
                return -1
            }
            let next = (rest[...end] + [0]).withUnsafeBufferPointer { name in
                name.baseAddress.map { ck_open_folder(folder, $0) } ?? -1
            }
            guard next >= 0 else { return -1 }
            if folder >= 0 { close(folder) }
            folder = next
            rest = rest[(end + 1)...].drop { $0 == slash }
        }
        return rest.withUnsafeBufferPointer { name in name.baseAddress.map { body(folder, $0) } ?? -1 }
    }
}

// The boundary between C and Swift. Here errors become codes, structs of older and newer headers are read and written,
// and counts are checked. include/fne.h documents the exported functions.
import FullNetworkEmbedding
import Glibc
import CFNE

// MARK: Errors

/// Runs the body of an exported function, in the default floating-point environment. Its error becomes the status that
/// is returned, and the thread's message.
func status(_ body: () throws -> Void) -> fne_status {
    do {
        try FloatEnvironment.standard { try Reserve.call(body) }
        return FNE_OK
    } catch let error as FNEError {
        LastError.set(error.message)
        return error.status.rawValue
    } catch {
        LastError.set("\(error)")
        return FNE_INTERNAL_ERROR
    }
}

/// The message of a thread's last failed call.
enum LastError {
    private static let key: pthread_key_t? = {
        var key = pthread_key_t()
        return pthread_key_create(&key) { free($0) } == 0 ? key : nil
    }()

    /// Keeps a message for the calling thread.
    static func set(_ message: String) {
        guard let key else { return }
        let former = pthread_getspecific(key)
        // Unlike strdup, malloc has the reserve.
        let copy = message.withCString { text -> UnsafeMutableRawPointer? in
            let size = strlen(text) + 1
            return malloc(size).map { memcpy($0, text, size) }
        }
        if pthread_setspecific(key, copy) == 0 { free(former) } else { free(copy) }
    }

    /// The calling thread's message; "" where no call has failed. It lives until the thread's next failed call.
    static var text: UnsafePointer<CChar> {
        guard let key, let message = pthread_getspecific(key) else { return emptyText.pointer }
        return UnsafePointer(message.assumingMemoryBound(to: CChar.self))
    }
}

/// A string that C may read for as long as the object lives.
final class CText: @unchecked Sendable {
    let pointer: UnsafePointer<CChar>
    private let bytes: UnsafeMutablePointer<CChar>

    init(_ text: String) {
        let utf8 = text.utf8CString
        bytes = .allocate(capacity: utf8.count)
        for (i, byte) in utf8.enumerated() { bytes[i] = byte }
        pointer = UnsafePointer(bytes)
    }

    deinit { bytes.deallocate() }
}

let emptyText = CText("")

// MARK: Arguments

/// A pointer that must not be NULL.
func required<Pointer>(_ pointer: Pointer?, _ name: String) throws -> Pointer {
    guard let pointer else { throw FNEError(.invalidArgument, "\(name) must not be NULL") }
    return pointer
}

/// A text, which must be UTF-8.
func text(_ pointer: UnsafePointer<CChar>?, _ name: String) throws -> String {
    guard let text = String(validatingCString: try required(pointer, name)) else {
        throw FNEError(.invalidArgument, "\(name) is not a text in UTF-8")
    }
    return text
}

/// The most texts in a list.
private let textLimit: UInt64 = 1 << 20

/// A list of texts. The pointer may be NULL where the list is empty.
func texts(_ pointers: UnsafePointer<UnsafePointer<CChar>?>?, _ count: UInt64, _ name: String) throws -> [String] {
    guard count > 0 else { return [] }
    let pointers = try required(pointers, name)
    guard count <= textLimit else {
        throw FNEError(.invalidArgument, "\(name) has \(count) entries; at most \(textLimit) are allowed")
    }
    try prepare(forTexts: pointers, Int(count), each: 512)
    return try list(Int(count)) { try text(pointers[$0], "\(name)[\($0)]") }
}

/// An array of what C lists.
///
/// - Throws: `.outOfMemory`; what the body throws.
func list<Element>(_ count: Int, _ element: (Int) throws -> Element) throws -> [Element] {
    try Reserve.prepare(checkedProduct(2, count, MemoryLayout<Element>.stride, of: "the list"))
    return try (0..<count).map {
        try Reserve.check()
        return try element($0)
    }
}

/// Sees to it that there is memory for what is made of a list of texts.
///
/// - Parameter each: the bytes that a text takes beside its own
func prepare(forTexts pointers: UnsafePointer<UnsafePointer<CChar>?>, _ count: Int, each: Int) throws {
    let size = (0..<count).reduce(0) { $0 + (pointers[$1].map { strlen($0) } ?? 0) }
    try Reserve.prepare(8 * size + checkedProduct(each, count, of: "the list"))
}

/// A path, which may be any bytes.
func file(_ pointer: UnsafePointer<CChar>?, _ name: String) throws -> FilePath {
    FilePath(cString: try required(pointer, name))
}

/// A flag, which must be 0 or 1.
func flag(_ value: Int32, _ name: String) throws -> Bool {
    guard value == 0 || value == 1 else { throw FNEError(.invalidArgument, "\(name) is \(value); it must be 0 or 1") }
    return value == 1
}

/// A count, which C passes as a uint64_t.
func integer(_ value: UInt64, _ name: String) throws -> Int {
    guard let result = Int(exactly: value) else {
        throw FNEError(.invalidArgument, "\(name) is \(value), which is too large")
    }
    return result
}

/// The number of elements of a matrix. It must not be 0, nor too large for memory.
func matrixSize(_ rows: UInt64, _ columns: UInt64, _ what: String) throws -> Int {
    let (size, overflow) = rows.multipliedReportingOverflow(by: columns)
    guard rows > 0, columns > 0 else {
        throw FNEError(.invalidArgument, "\(what) is empty, with \(rows) x \(columns) elements")
    }
    guard !overflow, size <= UInt64(Int.max) / 16 else {
        throw FNEError(.invalidArgument, "\(what) is too large, with \(rows) x \(columns) elements")
    }
    return Int(size)
}

/// Checks that the caller's buffer has room for so many elements.
func needCapacity(_ capacity: UInt64, _ needed: Int, _ what: String) throws {
    guard capacity >= UInt64(needed) else {
        throw FNEError(.bufferTooSmall, "\(what) needs \(needed) elements, but its capacity is \(capacity)")
    }
}

/// A value of an enumeration.
func choice<Value: RawRepresentable>(_ number: Int32, _ name: String) throws -> Value where Value.RawValue == Int32 {
    guard let value = Value(rawValue: number) else {
        throw FNEError(.invalidArgument, "\(name) is \(number), which is none of the values in fne.h")
    }
    return value
}

// MARK: Structs that grow

/// Reads a caller's struct of options, whose first member is its size. A shorter struct comes from a program that was
/// compiled with an older header. The members that it lacks keep their defaults. A longer struct comes from a newer
/// header. Its further members must be 0, since this library does not know them.
func readOptions<Struct: BitwiseCopyable>(
    _ pointer: UnsafePointer<Struct>?, defaults: Struct, _ name: String
) throws -> Struct {
    guard let pointer else { return defaults }
    let raw = UnsafeRawPointer(pointer)
    let size = try structSize(raw, name)
    let known = min(size, MemoryLayout<Struct>.size)
    for offset in known..<max(size, known) where raw.load(fromByteOffset: offset, as: UInt8.self) != 0 {
        throw FNEError(
            .invalidArgument, "\(name) sets an option that libfne \(versionText) does not know. Use a later version")
    }
    var result = defaults
    withUnsafeMutableBytes(of: &result) { $0.copyMemory(from: UnsafeRawBufferPointer(start: raw, count: known)) }
    return result
}

/// Fills the members of a caller's struct that the caller knows. Its size stays.
func fill<Struct: BitwiseCopyable>(_ pointer: UnsafeMutablePointer<Struct>, with value: Struct, _ name: String) throws {
    let raw = UnsafeMutableRawPointer(pointer)
    let size = try structSize(raw, name)
    let header = MemoryLayout<UInt64>.size
    withUnsafeBytes(of: value) { bytes in
        let count = min(size, bytes.count)
        guard count > header, let start = bytes.baseAddress else { return }
        raw.advanced(by: header).copyMemory(from: start.advanced(by: header), byteCount: count - header)
    }
}

/// Writes one member of a caller's struct, if the struct has it.
func store<Struct, Member: BitwiseCopyable>(
    _ value: Member, at member: KeyPath<Struct, Member>, of pointer: UnsafeMutablePointer<Struct>?
) {
    guard let pointer, let offset = MemoryLayout<Struct>.offset(of: member),
        let size = try? structSize(UnsafeRawPointer(pointer), ""), offset + MemoryLayout<Member>.size <= size
    else { return }
    UnsafeMutableRawPointer(pointer).storeBytes(of: value, toByteOffset: offset, as: Member.self)
}

/// Checks that a caller's struct says its size.
func checkSize<Struct>(_ pointer: UnsafeMutablePointer<Struct>, _ name: String) throws {
    _ = try structSize(UnsafeRawPointer(pointer), name)
}

private func structSize(_ raw: UnsafeRawPointer, _ name: String) throws -> Int {
    let size = raw.load(as: UInt64.self)
    guard isStructSize(size) else {
        throw FNEError(
            .invalidArgument, "\(name)->struct_size is \(size). Set the struct up with its init function")
    }
    return Int(size)
}

/// Writes the defaults and the size of a struct, in as much memory as the caller has for it. NULL and impossible sizes
/// are ignored, because an init function cannot report an error.
func initialize<Struct: BitwiseCopyable>(_ pointer: UnsafeMutablePointer<Struct>?, _ value: Struct, _ size: UInt64) {
    guard let pointer, isStructSize(size) else { return }
    let raw = UnsafeMutableRawPointer(pointer)
    raw.initializeMemory(as: UInt8.self, repeating: 0, count: Int(size))
    withUnsafeBytes(of: value) { bytes in
        guard let start = bytes.baseAddress else { return }
        raw.copyMemory(from: start, byteCount: min(Int(size), bytes.count))
    }
    raw.storeBytes(of: size, as: UInt64.self)
}

/// Whether a compiler can give a struct this size. The first member makes every size a multiple of eight. Another size
/// could cut a pointer in two.
private func isStructSize(_ size: UInt64) -> Bool { size >= 8 && size % 8 == 0 && size <= 65_536 }

/// Checks a reserved member, which must be 0 so that a later version can give it a meaning.
func mustBeZero(_ reserved: some BinaryInteger, _ name: String) throws {
    guard reserved == 0 else { throw FNEError(.invalidArgument, "\(name)->reserved is \(reserved); it must be 0") }
}

// MARK: Handles

/// A handle for C. It keeps the object alive until `close`.
///
/// - Throws: `.outOfMemory` where the object may lie in the reserve, which is not for objects that stay.
func handle(_ object: AnyObject) throws -> OpaquePointer {
    try Reserve.check()
    return OpaquePointer(Unmanaged.passRetained(object).toOpaque())
}

/// The object that a handle stands for.
func referenced<Object: AnyObject>(_ handle: OpaquePointer?, _ name: String) throws -> Object {
    Unmanaged<Object>.fromOpaque(UnsafeRawPointer(try required(handle, name))).takeUnretainedValue()
}

/// Frees the object of a handle. NULL is ignored.
func close<Object: AnyObject>(_ handle: OpaquePointer?, _ type: Object.Type) {
    guard let handle else { return }
    FloatEnvironment.standard { Unmanaged<Object>.fromOpaque(UnsafeRawPointer(handle)).release() }
}

// The boundary between C and Swift: errors become codes, structs of any age are read and written, counts are checked.
import FullNetworkEmbedding
import Glibc
import CFNE

// MARK: Errors

/// Runs an exported function's body; its error becomes the returned status and the thread's message.
func status(_ body: () throws -> Void) -> fne_status {
    do {
        try body()
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

    static func set(_ message: String) {
        guard let key else { return }
        let former = pthread_getspecific(key)
        if pthread_setspecific(key, strdup(message)) == 0 { free(former) }
    }

    static var text: UnsafePointer<CChar> {
        guard let key, let message = pthread_getspecific(key) else { return emptyText.pointer }
        return UnsafePointer(message.assumingMemoryBound(to: CChar.self))
    }
}

/// A string that C may read as long as the object lives.
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

func required<Pointer>(_ pointer: Pointer?, _ name: String) throws -> Pointer {
    guard let pointer else { throw FNEError(.invalidArgument, "\(name) is NULL") }
    return pointer
}

func text(_ pointer: UnsafePointer<CChar>?, _ name: String) throws -> String {
    guard let text = String(validatingCString: try required(pointer, name)) else {
        throw FNEError(.invalidArgument, "\(name) is not UTF-8")
    }
    return text
}

/// The longest list of texts that is taken.
private let textLimit: UInt64 = 1 << 20

/// A list of texts; NULL where it is empty.
func texts(_ pointers: UnsafePointer<UnsafePointer<CChar>?>?, _ count: UInt64, _ name: String) throws -> [String] {
    guard count > 0 else { return [] }
    let pointers = try required(pointers, name)
    guard count <= textLimit else {
        throw FNEError(.invalidArgument, "\(name) has \(count) entries; at most \(textLimit) are taken")
    }
    return try (0..<Int(count)).map { try text(pointers[$0], "\(name)[\($0)]") }
}

/// A path, whatever its bytes.
func file(_ pointer: UnsafePointer<CChar>?, _ name: String) throws -> FilePath {
    FilePath(cString: try required(pointer, name))
}

/// 0 or 1.
func flag(_ value: Int32, _ name: String) throws -> Bool {
    guard value == 0 || value == 1 else { throw FNEError(.invalidArgument, "\(name) is \(value); it must be 0 or 1") }
    return value == 1
}

/// A count that C passes as uint64_t.
func integer(_ value: UInt64, _ name: String) throws -> Int {
    guard let result = Int(exactly: value) else { throw FNEError(.invalidArgument, "\(name) is too large") }
    return result
}

/// a * b; an error where it is 0 or too large for memory.
func matrixSize(_ rows: UInt64, _ columns: UInt64, _ what: String) throws -> Int {
    let (size, overflow) = rows.multipliedReportingOverflow(by: columns)
    guard rows > 0, columns > 0 else { throw FNEError(.invalidArgument, "\(what) is empty (\(rows) x \(columns))") }
    guard !overflow, size <= UInt64(Int.max) / 16 else {
        throw FNEError(.invalidArgument, "\(what) is too large (\(rows) x \(columns))")
    }
    return Int(size)
}

func needCapacity(_ capacity: UInt64, _ needed: Int, _ what: String) throws {
    guard capacity >= UInt64(needed) else {
        throw FNEError(.bufferTooSmall, "\(what) needs \(needed) elements, its capacity is \(capacity)")
    }
}

/// One of the values of an enumeration.
func choice<Value: RawRepresentable>(_ number: Int32, _ name: String) throws -> Value where Value.RawValue == Int32 {
    guard let value = Value(rawValue: number) else {
        throw FNEError(.invalidArgument, "\(name) is \(number), which is none of its values")
    }
    return value
}

// MARK: Structs that grow

/// A caller's option struct, whose first member is its size. A shorter one comes from a program compiled against an
/// older header: the members that it lacks keep their defaults. A longer one may not ask for what is unknown here.
func readOptions<Struct: BitwiseCopyable>(
    _ pointer: UnsafePointer<Struct>?, defaults: Struct, _ name: String
) throws -> Struct {
    guard let pointer else { return defaults }
    let raw = UnsafeRawPointer(pointer)
    let size = try structSize(raw, name)
    let known = min(size, MemoryLayout<Struct>.size)
    for offset in known..<max(size, known) where raw.load(fromByteOffset: offset, as: UInt8.self) != 0 {
        throw FNEError(
            .invalidArgument, "\(name) sets an option that this version of libfne (\(versionText)) does not know")
    }
    var result = defaults
    withUnsafeMutableBytes(of: &result) { $0.copyMemory(from: UnsafeRawBufferPointer(start: raw, count: known)) }
    return result
}

/// Fills a caller's struct, as much of it as the caller knows; its size stays.
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

/// Writes one member of a caller's struct, if the caller has it.
func store<Struct, Member: BitwiseCopyable>(
    _ value: Member, at member: KeyPath<Struct, Member>, of pointer: UnsafeMutablePointer<Struct>?
) {
    guard let pointer, let offset = MemoryLayout<Struct>.offset(of: member),
        let size = try? structSize(UnsafeRawPointer(pointer), ""), offset + MemoryLayout<Member>.size <= size
    else { return }
    UnsafeMutableRawPointer(pointer).storeBytes(of: value, toByteOffset: offset, as: Member.self)
}

/// Throws unless a caller's struct says its size.
func checkSize<Struct>(_ pointer: UnsafeMutablePointer<Struct>, _ name: String) throws {
    _ = try structSize(UnsafeRawPointer(pointer), name)
}

private func structSize(_ raw: UnsafeRawPointer, _ name: String) throws -> Int {
    let size = raw.load(as: UInt64.self)
    guard isStructSize(size) else {
        throw FNEError(
            .invalidArgument, "\(name)->struct_size is \(size); set the struct up with its init function")
    }
    return Int(size)
}

/// Writes a struct's defaults and its size, as much of it as the caller has memory for; NULL and senseless sizes are
/// ignored.
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

/// Whether a compiler can have come to this size: the first member makes it a multiple of eight. Another one could cut a
/// pointer in two.
private func isStructSize(_ size: UInt64) -> Bool { size >= 8 && size % 8 == 0 && size <= 65_536 }

func mustBeZero(_ reserved: some BinaryInteger, _ name: String) throws {
    guard reserved == 0 else { throw FNEError(.invalidArgument, "\(name)->reserved is \(reserved); it must be 0") }
}

// MARK: Handles

/// Objects that C holds are retained Swift objects.
func handle(_ object: AnyObject) -> OpaquePointer { OpaquePointer(Unmanaged.passRetained(object).toOpaque()) }

/// The object that a handle stands for.
func referenced<Object: AnyObject>(_ handle: OpaquePointer?, _ name: String) throws -> Object {
    Unmanaged<Object>.fromOpaque(UnsafeRawPointer(try required(handle, name))).takeUnretainedValue()
}

func close<Object: AnyObject>(_ handle: OpaquePointer?, _ type: Object.Type) {
    guard let handle else { return }
    Unmanaged<Object>.fromOpaque(UnsafeRawPointer(handle)).release()
}

import CKernels

/// Decoded pixels: RGB, uint8 [height, width, 3], dense.
public final class Image: @unchecked Sendable {
    public let height: Int
    public let width: Int
    private let bytes: Bytes

    /// Decodes a JPEG or PNG file.
    ///
    /// - Throws: `FNEError` of status `.fileError`, `.unsupportedImage`, `.damagedImage`, `.imageLimit` or
    ///   `.outOfMemory`, naming the file.
    public convenience init(file path: String) throws {
        try self.init(Self.open(path) { try Self.pixels(EncodedImage($0)) })
    }

    /// Decodes a JPEG or PNG in memory.
    public convenience init(encoded: UnsafeRawBufferPointer) throws {
        try self.init(Self.open(encoded) { try Self.pixels(EncodedImage($0)) })
    }

    private init(_ decoded: (bytes: Bytes, info: ImageInfo)) {
        (bytes, height, width) = (decoded.bytes, decoded.info.height, decoded.info.width)
    }

    private static func pixels(_ image: EncodedImage) throws -> (bytes: Bytes, info: ImageInfo) {
        let bytes = try Bytes(count: image.byteCount)
        try bytes.withNumbers(of: UInt8.self) { try image.decode(to: $0) }
        return (bytes, image.info)
    }

    /// height * width * 3 bytes.
    public func withPixels<Result>(_ body: (UnsafePointer<UInt8>) throws -> Result) rethrows -> Result {
        try bytes.withNumbers(of: UInt8.self) { try body(UnsafePointer($0)) }
    }

    // MARK: Without an object

    /// Reads a file's header. Throws as `init(file:)`.
    public static func probe(file path: String) throws -> ImageInfo { try open(path) { try EncodedImage($0).info } }

    /// Reads the header of an encoded image in memory.
    public static func probe(encoded: UnsafeRawBufferPointer) throws -> ImageInfo {
        try open(encoded) { try EncodedImage($0).info }
    }

    /// Decodes into a caller's memory of `capacity` bytes; returns what was decoded.
    public static func decode(
        encoded: UnsafeRawBufferPointer, to rgb: UnsafeMutablePointer<UInt8>, capacity: Int
    ) throws -> ImageInfo {
        try open(encoded) { try decode(EncodedImage($0), to: rgb, capacity: capacity) }
    }

    /// As `decode(encoded:to:capacity:)`, of a file.
    public static func decode(
        file path: String, to rgb: UnsafeMutablePointer<UInt8>, capacity: Int
    ) throws -> ImageInfo {
        try open(path) { try decode(EncodedImage($0), to: rgb, capacity: capacity) }
    }

    private static func decode(
        _ image: EncodedImage, to rgb: UnsafeMutablePointer<UInt8>, capacity: Int
    ) throws -> ImageInfo {
        guard capacity >= image.byteCount else {
            throw FNEError(
                .bufferTooSmall,
                "the picture is \(image.info.height) x \(image.info.width) and needs \(image.byteCount) bytes, "
                    + "the buffer has \(capacity)")
        }
        try image.decode(to: rgb)
        return image.info
    }

    // MARK: Sources

    /// Lends a file's bytes to the body; errors name the file.
    private static func open<Result>(_ path: String, _ body: (UnsafeRawBufferPointer) throws -> Result) throws -> Result {
        do {
            return try Bytes(file: path, limit: ImageLimits.bytes, over: .imageLimit).withBytes(body)
        } catch let error as FNEError {
            throw error.about(path)
        }
    }

    private static func open<Result>(
        _ encoded: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer) throws -> Result
    ) throws -> Result {
        guard encoded.count <= ImageLimits.bytes else {
            throw FNEError(.imageLimit, "\(encoded.count) bytes are more than the limit of \(ImageLimits.bytes)")
        }
        return try body(encoded)
    }
}

/// Resizes uint8 [height, width, 3] to [newHeight, newWidth, 3] as OpenCV's `resize(INTER_LINEAR)`.
///
/// - Parameters:
///   - stride: bytes from a row to the next
///   - resized: newHeight * newWidth * 3 bytes
/// - Throws: `.invalidArgument` for a size of 0 or beyond the limit of pixels; `.outOfMemory`.
public func resizeBilinear(
    _ rgb: UnsafePointer<UInt8>, stride: Int, height: Int, width: Int, to resized: UnsafeMutablePointer<UInt8>,
    newHeight: Int, newWidth: Int
) throws {
    for (name, size) in [("height", height), ("width", width), ("new height", newHeight), ("new width", newWidth)] {
        guard size >= 1, size <= ImageLimits.pixels else {
            throw FNEError(.invalidArgument, "\(name) is \(size); it must be 1 to \(ImageLimits.pixels)")
        }
    }
    guard ck_resize_bilinear(rgb, stride, height, width, resized, newHeight, newWidth) == 0 else {
        throw FNEError(.outOfMemory, "out of memory while resizing")
    }
}

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
        do {
            let file = try Bytes(file: path, limit: ImageLimits.bytes, over: .imageLimit)
            try self.init(encoded: file.readOnly)
        } catch let error as FNEError {
            throw error.about(path)
        }
    }

    /// Decodes a JPEG or PNG in memory.
    public init(encoded: UnsafeRawBufferPointer) throws {
        guard encoded.count <= ImageLimits.bytes else {
            throw FNEError(.imageLimit, "\(encoded.count) bytes are more than the limit of \(ImageLimits.bytes)")
        }
        let image = try EncodedImage(encoded)
        height = image.info.height
        width = image.info.width
        bytes = try Bytes(count: image.byteCount)
        if let start = bytes.memory.baseAddress { try image.decode(to: start.assumingMemoryBound(to: UInt8.self)) }
    }

    public var pixels: UnsafeRawBufferPointer { bytes.readOnly }

    /// Reads a file's header. Throws as `init(file:)`.
    public static func probe(file path: String) throws -> ImageInfo {
        do {
            return try probe(encoded: try Bytes(file: path, limit: ImageLimits.bytes, over: .imageLimit).readOnly)
        } catch let error as FNEError {
            throw error.about(path)
        }
    }

    /// Reads the header of an encoded image in memory.
    public static func probe(encoded: UnsafeRawBufferPointer) throws -> ImageInfo { try EncodedImage(encoded).info }

    /// Decodes into a caller's memory of `capacity` bytes; returns what was decoded.
    public static func decode(
        encoded: UnsafeRawBufferPointer, to rgb: UnsafeMutablePointer<UInt8>, capacity: Int
    ) throws -> ImageInfo {
        let image = try EncodedImage(encoded)
        guard capacity >= image.byteCount else {
            throw FNEError(
                .bufferTooSmall,
                "the picture is \(image.info.height) x \(image.info.width) and needs \(image.byteCount) bytes, "
                    + "the buffer has \(capacity)")
        }
        try image.decode(to: rgb)
        return image.info
    }

    /// As `decode(encoded:to:capacity:)`, of a file.
    public static func decode(
        file path: String, to rgb: UnsafeMutablePointer<UInt8>, capacity: Int
    ) throws -> ImageInfo {
        do {
            let file = try Bytes(file: path, limit: ImageLimits.bytes, over: .imageLimit)
            return try decode(encoded: file.readOnly, to: rgb, capacity: capacity)
        } catch let error as FNEError {
            throw error.about(path)
        }
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

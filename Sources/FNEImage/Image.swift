import FNESupport

/// A decoded image. Its pixels are RGB, uint8 [height, width, 3], without gaps between the rows. It never changes, so
/// several threads may use it at once.
public final class Image: @unchecked Sendable {
    /// What the header says, and whether the image is whole.
    public let info: ImageInfo
    /// The height in pixels.
    public var height: Int { decoded.size.height }
    /// The width in pixels.
    public var width: Int { decoded.size.width }
    private let decoded: Pixels

    /// The pixels in memory. Their size is the header's, unless the picture was reduced.
    private struct Pixels {
        let bytes: Bytes
        let size: PixelSize
    }

    /// Decodes a JPEG, PNG or WebP file.
    ///
    /// - Throws: `.fileError`, `.ioError`, `.unsupportedImage`, `.damagedImage`, `.imageLimit` or `.outOfMemory`. These
    ///   errors name the file. `.invalidArgument` for options out of their range.
    public convenience init(file path: FilePath, options: ImageOptions = ImageOptions()) throws {
        try self.init(file: path, options: options, Patience())
    }

    /// Decodes a file, as `init(file:options:)` does, with the caller's patience.
    ///
    /// - Parameters:
    ///   - decoder: reads what libfne does not read itself
    ///   - denominator: says for a picture of that size how many times smaller it may be decoded: 1, 2, 4 or 8
    package convenience init(
        file path: FilePath, options: ImageOptions, _ patience: Patience, decoder: ImageDecoder? = nil,
        denominator: Denominator = { _ in 1 }
    ) throws {
        try self.init(
            Self.lend(path, options, patience) {
                try Self.pixels($0, options, decoder, denominator, name: path.description)
            })
    }

    package typealias Denominator = (PixelSize) -> Int

    /// Decodes a JPEG, PNG or WebP in memory. The bytes are not needed afterwards.
    ///
    /// - Throws: as `init(file:)`, without the file's name.
    public convenience init(encoded: UnsafeRawBufferPointer, options: ImageOptions = ImageOptions()) throws {
        try self.init(Self.open(encoded, options) { try Self.pixels($0) { _ in 1 } })
    }

    /// Decodes an image in memory, as `init(encoded:options:)` does.
    ///
    /// - Parameters:
    ///   - decoder: reads what libfne does not read itself
    ///   - denominator: as for files
    package convenience init(
        encoded: UnsafeRawBufferPointer, options: ImageOptions, decoder: ImageDecoder?,
        denominator: Denominator = { _ in 1 }
    ) throws {
        try Self.check(encoded, options)
        try self.init(Self.pixels(encoded, options, decoder, denominator))
    }

    private init(_ made: (decoded: Pixels, info: ImageInfo)) { (decoded, info) = made }

    private static func pixels(
        _ image: EncodedImage, _ denominator: Denominator
    ) throws -> (decoded: Pixels, info: ImageInfo) {
        try image.reduce(by: denominator(image.info.size))
        let bytes = try Bytes(picture: image.byteCount)
        let info = try bytes.withNumbers(of: UInt8.self) { try image.decode(to: $0) }
        return (Pixels(bytes: bytes, size: image.size), info)
    }

    private static func pixels(
        _ encoded: UnsafeRawBufferPointer, _ options: ImageOptions, _ decoder: ImageDecoder?,
        _ denominator: Denominator, name: String = "an image in memory"
    ) throws -> (decoded: Pixels, info: ImageInfo) {
        do {
            return try pixels(EncodedImage(encoded, options, name: name), denominator)
        } catch let refusal as FNEError where refusal.status == .unsupportedImage {
            guard let decoder else { throw refusal }
            let (bytes, info) = try decoder.pixels(of: encoded, refusal, options)
            return (Pixels(bytes: bytes, size: info.size), info)
        }
    }

    /// Lends the pixels to the body, as height * width * 3 bytes.
    public func withPixels<Result>(_ body: (UnsafePointer<UInt8>) throws -> Result) rethrows -> Result {
        try decoded.bytes.withNumbers(of: UInt8.self) { try body(UnsafePointer($0)) }
    }

    // MARK: Without an object

    /// Reads a file's header alone. No more of the file is read than that takes, unless the header is damaged.
    ///
    /// - Throws: as `init(file:)`.
    public static func probe(file path: FilePath, options: ImageOptions = ImageOptions()) throws -> ImageInfo {
        try options.check()
        do {
            let file = try headerParts(of: path, options)
            return try file.withBytes { try EncodedImage($0, options, name: path.description).info }
        } catch let error as FNEError where error.status == .damagedImage {
            return try open(path, options) { $0.info } // what is damaged is for the whole file to say
        } catch let error as FNEError {
            throw error.about(path.description)
        }
    }

    private static func headerParts(of path: FilePath, _ options: ImageOptions) throws -> PartlyReadFile {
        try namingTheLimit {
            try Patience().trying {
                let file = try PartlyReadFile(path, limit: options.maxBytes, over: .imageLimit)
                try HeaderParts.read(file)
                return file
            }
        }
    }

    /// Reads the header alone of an encoded image in memory.
    ///
    /// - Throws: as `init(encoded:)`.
    public static func probe(
        encoded: UnsafeRawBufferPointer, options: ImageOptions = ImageOptions()
    ) throws -> ImageInfo {
        try open(encoded, options, \.info)
    }

    /// Decodes an image in memory into the caller's buffer.
    ///
    /// - Parameters:
    ///   - rgb: receives uint8 [height, width, 3]
    ///   - capacity: the size of the buffer in bytes
    /// - Returns: the facts about the image.
    /// - Throws: as `init(encoded:)`; `.bufferTooSmall`.
    public static func decode(
        encoded: UnsafeRawBufferPointer, options: ImageOptions = ImageOptions(), to rgb: UnsafeMutablePointer<UInt8>,
        capacity: Int
    ) throws -> ImageInfo {
        try open(encoded, options) { try decode($0, to: rgb, capacity: capacity) }
    }

    /// Decodes a file into the caller's buffer, as `decode(encoded:options:to:capacity:)` does.
    public static func decode(
        file path: FilePath, options: ImageOptions = ImageOptions(), to rgb: UnsafeMutablePointer<UInt8>, capacity: Int
    ) throws -> ImageInfo {
        try open(path, options) { try decode($0, to: rgb, capacity: capacity) }
    }

    private static func decode(
        _ image: EncodedImage, to rgb: UnsafeMutablePointer<UInt8>, capacity: Int
    ) throws -> ImageInfo {
        guard capacity >= image.byteCount else {
            throw FNEError(
                .bufferTooSmall,
                "the picture is \(image.info.height) x \(image.info.width) and needs \(image.byteCount) bytes, but the "
                    + "buffer has only \(capacity)")
        }
        return try image.decode(to: rgb)
    }

    // MARK: Sources

    /// Lends an image file to the body. Errors name the file.
    private static func open<Result>(
        _ path: FilePath, _ options: ImageOptions, _ patience: Patience = Patience(),
        _ body: (EncodedImage) throws -> Result
    ) throws -> Result {
        try lend(path, options, patience) { try body(EncodedImage($0, options, name: path.description)) }
    }

    /// Lends a file's bytes to the body. Errors name the file.
    private static func lend<Result>(
        _ path: FilePath, _ options: ImageOptions, _ patience: Patience,
        _ body: (UnsafeRawBufferPointer) throws -> Result
    ) throws -> Result {
        try options.check()
        do {
            return try bytes(of: path, options, patience).withBytes(body)
        } catch let error as FNEError {
            throw error.about(path.description)
        }
    }

    private static func bytes(of path: FilePath, _ options: ImageOptions, _ patience: Patience) throws -> Bytes {
        try namingTheLimit {
            try patience.trying { try Bytes(file: path, limit: options.maxBytes, over: .imageLimit) }
        }
    }

    /// Adds the option's name to the error of a file that is too long.
    private static func namingTheLimit<Result>(_ body: () throws -> Result) throws -> Result {
        do {
            return try body()
        } catch let error as FNEError where error.status == .imageLimit {
            throw FNEError(.imageLimit, error.message + " (max_bytes)")
        }
    }

    private static func open<Result>(
        _ encoded: UnsafeRawBufferPointer, _ options: ImageOptions, _ body: (EncodedImage) throws -> Result
    ) throws -> Result {
        try check(encoded, options)
        return try body(EncodedImage(encoded, options))
    }

    private static func check(_ encoded: UnsafeRawBufferPointer, _ options: ImageOptions) throws {
        try options.check()
        guard encoded.count <= options.maxBytes else {
            throw FNEError(
                .imageLimit, "\(encoded.count) bytes are more than the limit of \(options.maxBytes) (max_bytes)")
        }
    }
}

import FNESupport

/// What is read of images, and what is refused before its memory is taken.
public struct ImageOptions: Equatable, Sendable {
    /// Of an encoded image.
    public var maxBytes = 1 << 30
    /// Height times width, also of a picture that is enlarged to keep its aspect. 16384 x 16384.
    public var maxPixels = 1 << 28
    /// Of a progressive JPEG, each of which costs a pass over the whole picture. Encoders write about ten.
    public var maxScans = 100
    /// Of one PNG chunk. Image data are read in pieces, and text and colour profiles skipped without being decompressed:
    /// these are not limited.
    public var maxChunkBytes = 1 << 26
    /// Take what can be had of a truncated or damaged picture instead of throwing; the log tells.
    public var toleratesTruncation = false

    public init() {}

    /// Throws `.invalidArgument` for a limit out of its range.
    package func check() throws {
        for (name, value, largest) in [
            ("max_bytes", maxBytes, 1 << 40), ("max_pixels", maxPixels, 1 << 40), ("max_scans", maxScans, 1 << 30),
            ("max_chunk_bytes", maxChunkBytes, 1 << 40),
        ] where value < 1 || value > largest {
            throw FNEError(.invalidArgument, "\(name) is \(value); it must be 1 to \(largest)")
        }
    }
}

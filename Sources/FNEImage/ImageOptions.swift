import FNESupport

/// Limits for images, and how damaged images are treated. An image beyond a limit is refused before it takes memory.
public struct ImageOptions: Equatable, Sendable {
    /// The most bytes of an encoded image. The default is 1 GiB.
    public var maxBytes = 1 << 30
    /// The most pixels, height times width. The limit also holds for a picture that is enlarged to keep its aspect. The
    /// default is that of 16384 x 16384 pixels.
    public var maxPixels = 1 << 28
    /// The most scans of a progressive JPEG. Each scan costs a pass over the whole picture. Encoders write about ten.
    public var maxScans = 100
    /// The most bytes of one PNG chunk. Image data are not limited, since they are read in pieces. Nor are texts and
    /// colour profiles, since they are skipped without being decompressed. The default is 64 MiB.
    public var maxChunkBytes = 1 << 26
    /// Whether a truncated or damaged image is decoded as far as possible, with a warning in the log, instead of being
    /// an error.
    public var toleratesTruncation = false

    /// The defaults. No real photograph exceeds them.
    public init() {}

    /// Checks the limits.
    ///
    /// - Throws: `.invalidArgument` for a limit out of its range.
    package func check() throws {
        for (name, value, largest) in [
            ("max_bytes", maxBytes, 1 << 40), ("max_pixels", maxPixels, 1 << 40), ("max_scans", maxScans, 1 << 30),
            ("max_chunk_bytes", maxChunkBytes, 1 << 40),
        ] where value < 1 || value > largest {
            throw FNEError(.invalidArgument, "\(name) is \(value); it must be 1 to \(largest)")
        }
    }
}

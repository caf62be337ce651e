import FNESupport

/// Limits for images, and how damaged images are treated. An image beyond a limit is refused before it takes memory.
public struct ImageOptions: Equatable, Sendable {
    /// The most bytes of an encoded image. The default is 1 GiB.
    public var maxBytes = 1 << 30
    /// The most pixels, height times width. The limit also holds for a picture that is enlarged to keep its aspect. The
    /// default is that of 16384 x 16384 pixels.
    public var maxPixels = 1 << 28
    /// The most pixels of a side. The default, 65,535, is the most that a JPEG can have.
    public var maxSide = 65_535
    /// The most bytes that decoding goes through, for each byte of the encoded image. A file below 1 MiB may take as
    /// much as one of 1 MiB. These bytes count:
    ///
    /// - 3 for each pixel, and 3 more if the picture is turned or mirrored by its EXIF orientation
    /// - of a PNG, the image data before they are deflated, and 3 more for each pixel if it is interlaced
    /// - of a JPEG, for each scan, 8 for each block of 64 coefficients, and 1 for every two coefficients in it, four
    ///   times as many with arithmetic coding
    /// - of a JPEG in several scans, 2 for each coefficient, which wait in memory
    public var maxExpansion = 275
    /// The most scans of a progressive JPEG. Each scan costs a pass over the whole picture. Encoders write about ten.
    public var maxScans = 100
    /// The most bytes of one PNG chunk. Image data are not limited, since they are read in pieces. Nor are texts and
    /// colour profiles, since they are skipped without being decompressed. The default is 64 MiB.
    public var maxChunkBytes = 1 << 26
    /// Whether a truncated or damaged image is decoded as far as possible, with a warning in the log, instead of being
    /// an error.
    public var toleratesTruncation = false

    /// The defaults. No photograph exceeds them. A large page that is all but blank may exceed `maxExpansion`.
    public init() {}

    /// Checks the limits.
    ///
    /// - Throws: `.invalidArgument` for a limit out of its range.
    package func check() throws {
        for (name, value, largest) in [
            ("max_bytes", maxBytes, 1 << 40), ("max_pixels", maxPixels, 1 << 40), ("max_scans", maxScans, 1 << 30),
            ("max_chunk_bytes", maxChunkBytes, 1 << 40), ("max_side", maxSide, (1 << 31) - 1),
            ("max_expansion", maxExpansion, 1 << 30),
        ] where value < 1 || value > largest {
            throw FNEError(.invalidArgument, "\(name) is \(value); it must be 1 to \(largest)")
        }
    }
}

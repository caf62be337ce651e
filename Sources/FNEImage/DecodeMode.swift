/// How much of a picture is decoded before it is resized.
public enum DecodeMode: Int32, Sendable {
    /// All of its pixels.
    case full = 0
    /// As few as a good resize needs. A JPEG is decoded at the smallest of the scales 1/8, 1/4, 1/2 and 1 that leaves
    /// at least twice the size that the picture is resized to, in both directions. Pictures of other formats are
    /// decoded as a whole. All pictures are resized with a mean of all the pixels that a new one covers.
    case scaled = 1
}

extension DecodeMode {
    /// How many times smaller the sides of a picture may be decoded: 1, 2, 4 or 8.
    ///
    /// - Parameter size: the size that the picture is resized to
    package func denominator(of picture: PixelSize, resizedTo size: PixelSize) -> Int {
        guard self == .scaled else { return 1 }
        return [8, 4, 2].first { denominator in
            // The decoder rounds up. No sum overflows, since sides are below 2^31.
            (picture.height + denominator - 1) / denominator >= 2 * size.height
                && (picture.width + denominator - 1) / denominator >= 2 * size.width
        } ?? 1
    }

    /// How a decoded picture is resized. Of a picture that was decoded at a scale, `bilinear` would leave out pixels
    /// that stand for many, so `antialiased` takes its place.
    package func interpolation(_ wanted: Interpolation) -> Interpolation {
        self == .scaled && wanted == .bilinear ? .antialiased : wanted
    }
}

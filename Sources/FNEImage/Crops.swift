/// How many parts of a picture are embedded, each as a row of its own.
public enum Crops: Int, Sendable {
    case centre = 1
    /// The four corners and the centre, then those of the mirrored picture, in the order of torchvision's TenCrop.
    case ten = 10
}

/// A part of a picture.
package struct Crop: Equatable {
    package let top: Int
    package let left: Int
    /// Whether its columns are to be read from right to left.
    package let isMirrored: Bool
}

extension Crops {
    /// - Parameters:
    ///   - size: of each part; no side is longer than the picture's
    package func places(in picture: PixelSize, size: PixelSize) -> [Crop] {
        let (bottom, right) = (picture.height - size.height, picture.width - size.width)
        let centre = (Self.half(bottom), Self.half(right))
        guard self == .ten else { return [Crop(top: centre.0, left: centre.1, isMirrored: false)] }
        let places = [(0, 0), (0, right), (bottom, 0), (bottom, right), centre]
        return places.map { Crop(top: $0.0, left: $0.1, isMirrored: false) }
            + places.map { Crop(top: $0.0, left: right - $0.1, isMirrored: true) }
    }

    /// Half a number, to even: torchvision rounds the centre's place with Python's `round`.
    private static func half(_ number: Int) -> Int {
        let half = number / 2
        return number % 2 == 1 && half % 2 == 1 ? half + 1 : half
    }
}

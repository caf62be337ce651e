/// How many parts of a picture are embedded. Each part gives a row of its own.
public enum Crops: Int, Sendable {
    /// The middle of the picture.
    case centre = 1
    /// The four corners and the centre, then the same of the mirrored picture. The order is that of torchvision's
    /// TenCrop.
    case ten = 10
}

/// The place of a part in a picture.
package struct Crop: Equatable {
    /// The part's first row in the picture.
    package let top: Int
    /// The part's first column in the picture.
    package let left: Int
    /// Whether the part's columns are read from right to left.
    package let isMirrored: Bool

    /// A place that is not checked.
    package init(top: Int, left: Int, isMirrored: Bool) {
        self.top = top
        self.left = left
        self.isMirrored = isMirrored
    }
}

extension Crops {
    /// The places of the parts in a picture.
    ///
    /// - Parameter size: the size of each part; no side is longer than the picture's
    package func places(in picture: PixelSize, size: PixelSize) -> [Crop] {
        let (bottom, right) = (picture.height - size.height, picture.width - size.width)
        let centre = (Self.half(bottom), Self.half(right))
        guard self == .ten else { return [Crop(top: centre.0, left: centre.1, isMirrored: false)] }
        let places = [(0, 0), (0, right), (bottom, 0), (bottom, right), centre]
        return places.map { Crop(top: $0.0, left: $0.1, isMirrored: false) }
            + places.map { Crop(top: $0.0, left: right - $0.1, isMirrored: true) }
    }

    /// Half of a number. A fraction is rounded to the even number, because torchvision rounds the centre's place with
    /// Python's `round`.
    private static func half(_ number: Int) -> Int {
        let half = number / 2
        return number % 2 == 1 && half % 2 == 1 ? half + 1 : half
    }
}

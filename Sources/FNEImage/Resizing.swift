import CKernels
import FNESupport

/// How a resized picture's samples are computed. A sample is one channel of one pixel.
public enum Interpolation: Int32, Sendable {
    /// OpenCV's INTER_LINEAR. A new sample is a mean of two old samples per axis, however much the picture shrinks.
    case bilinear = 0
    /// Pillow's BILINEAR. Where a picture shrinks, a new sample is a weighted mean of all the old samples that it
    /// covers.
    case antialiased = 1
    /// Pillow's BICUBIC. It reads twice as far as `antialiased`, and keeps edges sharper.
    case bicubic = 2
}

/// Whether a resized picture keeps its aspect, the ratio of its sides.
public enum ResizeMode: Int32, Sendable {
    /// The picture gets the size that was asked for, whatever its aspect.
    case stretch = 0
    /// The picture keeps its aspect. It gets the smallest size that covers the one that was asked for.
    case shortestSide = 1
}

/// A picture's height and width in pixels.
package struct PixelSize: Equatable, Sendable {
    /// The number of rows.
    package var height: Int
    /// The number of columns.
    package var width: Int

    /// A size that is not checked.
    package init(height: Int, width: Int) {
        self.height = height
        self.width = width
    }

    /// The size of the same picture after a quarter turn.
    var turned: PixelSize { PixelSize(height: width, width: height) }
}

extension ResizeMode {
    /// The size that a picture is resized to. With `shortestSide`, one side becomes the target's. The other side
    /// follows from the aspect and is rounded down, as in torchvision's Resize.
    package func size(of picture: PixelSize, toward target: PixelSize) -> PixelSize {
        guard self == .shortestSide else { return target }
        // No product overflows, since sides are below 2^31 and targets below 2^15.
        if target.height * picture.width >= target.width * picture.height {
            return PixelSize(height: target.height, width: target.height * picture.width / picture.height)
        }
        return PixelSize(height: target.width * picture.height / picture.width, width: target.width)
    }
}

/// The longest side in pixels that a picture may have before and after it is resized.
let longestSide = 1 << 28

/// A part of a picture. It lies inside.
package struct PicturePart: Equatable, Sendable {
    /// The part's first row in the picture.
    package let top: Int
    /// The part's first column in the picture.
    package let left: Int
    /// The size of the part.
    package let size: PixelSize

    /// A part that is not checked.
    package init(top: Int, left: Int, size: PixelSize) {
        self.top = top
        self.left = left
        self.size = size
    }
}

/// Resizes uint8 [height, width, 3] to [newHeight, newWidth, 3].
///
/// - Parameters:
///   - stride: bytes from one row of `rgb` to the next
///   - resized: receives newHeight * newWidth * 3 bytes
/// - Throws: `.invalidArgument` for a size of 0 or beyond 2^28; `.outOfMemory`.
public func resizePixels(
    _ rgb: UnsafePointer<UInt8>, stride: Int, height: Int, width: Int, to resized: UnsafeMutablePointer<UInt8>,
    newHeight: Int, newWidth: Int, interpolation: Interpolation = .bilinear
) throws {
    let whole = PicturePart(top: 0, left: 0, size: PixelSize(height: newHeight, width: newWidth))
    try resizePixels(
        rgb, stride: stride, height: height, width: width, to: resized, newHeight: newHeight, newWidth: newWidth,
        part: whole, interpolation: interpolation)
}

/// Resizes a picture, of which one part alone is computed. Its samples are those of the whole resized picture.
///
/// - Parameter resized: receives uint8 [part's height, part's width, 3]
/// - Throws: as the function above.
package func resizePixels(
    _ rgb: UnsafePointer<UInt8>, stride: Int, height: Int, width: Int, to resized: UnsafeMutablePointer<UInt8>,
    newHeight: Int, newWidth: Int, part: PicturePart, interpolation: Interpolation
) throws {
    for (name, size) in [("height", height), ("width", width), ("new height", newHeight), ("new width", newWidth)] {
        guard size >= 1, size <= longestSide else {
            throw FNEError(.invalidArgument, "\(name) is \(size); it must be 1 to \(longestSide)")
        }
    }
    let resize =
        switch interpolation {
        case .bilinear: ck_resize_bilinear
        case .antialiased: ck_resize_antialiased
        case .bicubic: ck_resize_bicubic
        }
    var wanted = ck_part(top: part.top, left: part.left, height: part.size.height, width: part.size.width)
    guard resize(rgb, stride, height, width, resized, newHeight, newWidth, &wanted) == 0 else {
        throw FNEError(.outOfMemory, "there is not enough memory to resize the image")
    }
}

import CKernels
import FNESupport

/// How a new pixel is made of the old ones.
public enum Interpolation: Int32, Sendable {
    /// OpenCV's INTER_LINEAR: two samples a side, however much the picture shrinks.
    case bilinear = 0
    /// Pillow's BILINEAR: where it shrinks, a weighted mean of all the samples that a new one covers.
    case antialiased = 1
}

/// What becomes of an image's aspect.
public enum ResizeMode: Int32, Sendable {
    /// To the size asked for, whatever the picture's aspect.
    case stretch = 0
    /// With its aspect, to the smallest picture that covers the size asked for.
    case shortestSide = 1
}

/// A picture's height and width in pixels.
package struct PixelSize: Equatable, Sendable {
    package var height: Int
    package var width: Int

    package init(height: Int, width: Int) {
        self.height = height
        self.width = width
    }
}

extension ResizeMode {
    /// What a picture is resized to. The side that decides becomes the target's; the other is rounded down, as
    /// torchvision's Resize does.
    package func size(of picture: PixelSize, toward target: PixelSize) -> PixelSize {
        guard self == .shortestSide else { return target }
        // Sides are below 2^31 and targets below 2^15: no product overflows.
        if target.height * picture.width >= target.width * picture.height {
            return PixelSize(height: target.height, width: target.height * picture.width / picture.height)
        }
        return PixelSize(height: target.width * picture.height / picture.width, width: target.width)
    }
}

/// The longest side that is resized, before and after.
let longestSide = 1 << 28

/// Resizes uint8 [height, width, 3] to [newHeight, newWidth, 3].
///
/// - Parameters:
///   - stride: bytes from a row to the next
///   - resized: newHeight * newWidth * 3 bytes
/// - Throws: `.invalidArgument` for a size of 0 or beyond 2^28; `.outOfMemory`.
public func resizePixels(
    _ rgb: UnsafePointer<UInt8>, stride: Int, height: Int, width: Int, to resized: UnsafeMutablePointer<UInt8>,
    newHeight: Int, newWidth: Int, interpolation: Interpolation = .bilinear
) throws {
    for (name, size) in [("height", height), ("width", width), ("new height", newHeight), ("new width", newWidth)] {
        guard size >= 1, size <= longestSide else {
            throw FNEError(.invalidArgument, "\(name) is \(size); it must be 1 to \(longestSide)")
        }
    }
    let resize = interpolation == .antialiased ? ck_resize_antialiased : ck_resize_bilinear
    guard resize(rgb, stride, height, width, resized, newHeight, newWidth) == 0 else {
        throw FNEError(.outOfMemory, "out of memory while resizing")
    }
}

import CKernels
import FNEImage
import FNESupport
import Glibc

/// The order of a pixel's three channels.
public enum ChannelOrder: Int32, Sendable {
    case rgb = 0
    case bgr = 1
}

/// From pixels of any size to what a network is fed with: resized, cropped, turned into floats.
package struct Preprocessing: Sendable {
    /// Of each crop, which is the network's input.
    let input: PixelSize
    /// What pictures are resized to before they are cropped; no side is shorter than the input's.
    package var target: PixelSize
    package var mode = ResizeMode.stretch
    package var interpolation = Interpolation.bilinear
    var crops = Crops.centre
    package var channelOrder = ChannelOrder.rgb
    /// Fed = (pixel - mean) * scale, in the order fed.
    package var mean: (Float, Float, Float) = (0, 0, 0)
    package var scale: (Float, Float, Float) = (1, 1, 1)
    package var imageOptions = ImageOptions()

    /// Stretched to the input's size.
    init(height: Int, width: Int) {
        input = PixelSize(height: height, width: width)
        target = input
    }

    /// Floats of one crop.
    var cropValueCount: Int { input.height * input.width * 3 }
    /// Floats of one image.
    var valueCount: Int { crops.rawValue * cropValueCount }

    /// Pixels uint8 [height, width, 3], rows `stride` bytes apart, to float32 [crops, input height, input width, 3].
    func feed(
        _ pixels: UnsafePointer<UInt8>, stride: Int, height: Int, width: Int, order: ChannelOrder,
        to fed: UnsafeMutablePointer<Float>
    ) throws {
        let size = mode.size(of: PixelSize(height: height, width: width), toward: target)
        guard size != PixelSize(height: height, width: width) else {
            convert(pixels, stride: stride, size, order: order, to: fed)
            return
        }
        guard mode == .stretch || size.height <= imageOptions.maxPixels / size.width else {
            throw FNEError(
                .imageLimit,
                "the picture of \(height) x \(width) would be resized to \(size.height) x \(size.width) to keep its "
                    + "aspect, which is more than the limit of \(imageOptions.maxPixels) pixels; stretch it instead")
        }
        let resized = try Bytes(count: size.height * size.width * 3)
        try resized.withNumbers(of: UInt8.self) { dense in
            try resizePixels(
                pixels, stride: stride, height: height, width: width, to: dense, newHeight: size.height,
                newWidth: size.width, interpolation: interpolation)
            convert(dense, stride: size.width * 3, size, order: order, to: fed)
        }
    }

    private func convert(
        _ pixels: UnsafePointer<UInt8>, stride: Int, _ size: PixelSize, order: ChannelOrder,
        to fed: UnsafeMutablePointer<Float>
    ) {
        for (number, crop) in crops.places(in: size, size: input).enumerated() {
            withUnsafeBytes(of: mean) { mean in
                withUnsafeBytes(of: scale) { scale in
                    ck_pixels_to_float(
                        pixels + crop.top * stride + crop.left * 3, stride, input.height, input.width,
                        order == channelOrder ? 0 : 1, crop.isMirrored ? 1 : 0,
                        mean.assumingMemoryBound(to: Float.self).baseAddress,
                        scale.assumingMemoryBound(to: Float.self).baseAddress, fed + number * cropValueCount)
                }
            }
        }
    }

    func feed(_ image: Extractor.Pixels, to fed: UnsafeMutablePointer<Float>) throws {
        try feed(
            image.pixels, stride: image.rowStride, height: image.height, width: image.width, order: image.channelOrder,
            to: fed)
    }

    func feed(_ image: Image, to fed: UnsafeMutablePointer<Float>) throws {
        try image.withPixels { pixels in
            try feed(pixels, stride: image.width * 3, height: image.height, width: image.width, order: .rgb, to: fed)
        }
    }
}

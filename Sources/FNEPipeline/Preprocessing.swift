import CKernels
import FNEImage
import FNESupport
import Glibc

/// The order of a pixel's three channels.
public enum ChannelOrder: Int32, Sendable {
    /// Red, green, blue.
    case rgb = 0
    /// Blue, green, red.
    case bgr = 1
}

/// Makes a network's input of pixels. Pictures of any size are resized, cropped and turned into floats.
package struct Preprocessing: Sendable {
    /// The size of the network's input, which is that of each crop.
    let input: PixelSize
    /// The size that pictures are resized to before they are cropped. No side is shorter than the input's.
    package var target: PixelSize
    /// Whether resized pictures keep their aspect.
    package var mode = ResizeMode.stretch
    /// How resized pictures are computed.
    package var interpolation = Interpolation.bilinear
    /// The parts of a picture that are fed.
    var crops = Crops.centre
    /// The order of the channels that are fed.
    package var channelOrder = ChannelOrder.rgb
    /// The network is fed with (pixel - mean) * scale. The numbers are for the channels in the order in which they are
    /// fed.
    package var mean: (Float, Float, Float) = (0, 0, 0)
    /// The factors after `mean` was subtracted.
    package var scale: (Float, Float, Float) = (1, 1, 1)
    /// The limits for images, which also bound enlarged pictures.
    package var imageOptions = ImageOptions()

    /// Preprocessing that stretches pictures to the input's size.
    init(height: Int, width: Int) {
        input = PixelSize(height: height, width: width)
        target = input
    }

    /// Floats per crop.
    var cropValueCount: Int { input.height * input.width * 3 }

    /// Makes the network's input for one picture.
    ///
    /// - Parameters:
    ///   - pixels: uint8 [height, width, 3], whose rows are `stride` bytes apart
    ///   - order: the order of the channels in `pixels`
    ///   - fed: receives float32 [crops, input height, input width, 3]
    /// - Throws: `.imageLimit` where the picture would become too large to keep its aspect; as `resizePixels`.
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
                    + "aspect, which is more than the limit of \(imageOptions.maxPixels) pixels. Stretch it instead")
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

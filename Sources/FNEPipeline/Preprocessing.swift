import CKernels
import FNEImage
import FNENetwork
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
    /// How much of a picture is decoded.
    package var decode = DecodeMode.full
    /// The parts of a picture that are fed.
    var crops = Crops.centre
    /// The numbers per pixel that are fed: 3, or 1 for grey.
    var channels = 3
    /// The order of the channels that are fed.
    package var channelOrder = ChannelOrder.rgb
    /// The network is fed with (pixel - mean) * scale. The numbers are for the channels in the order in which they are
    /// fed. The first is for grey.
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
    var cropValueCount: Int { input.height * input.width * channels }

    /// How many times smaller a picture of that size may be decoded: 1, 2, 4 or 8.
    func denominator(of picture: PixelSize) -> Int {
        decode.denominator(of: picture, resizedTo: mode.size(of: picture, toward: target))
    }

    /// Makes the network's input for one picture.
    ///
    /// - Parameters:
    ///   - pixels: uint8 [height, width, 3], whose rows are `stride` bytes apart
    ///   - picture: the size of the whole picture, of which the pixels may be a reduced form; nil for theirs
    ///   - order: the order of the channels in `pixels`
    ///   - layout: the order of a crop's numbers in `fed`
    ///   - fed: receives float32 [crops, input height, input width, channels], or with the channels before the height
    /// - Throws: `.imageLimit` where the picture would become too large to keep its aspect; as `resizePixels`.
    func feed(
        _ pixels: UnsafePointer<UInt8>, stride: Int, height: Int, width: Int, of picture: PixelSize? = nil,
        order: ChannelOrder, as layout: ImageLayout, to fed: UnsafeMutablePointer<Float>
    ) throws {
        let size = mode.size(of: picture ?? PixelSize(height: height, width: width), toward: target)
        let places = Array(crops.places(in: size, size: input).enumerated())
        guard size != PixelSize(height: height, width: width) else {
            for (number, crop) in places {
                convert(pixels, stride: stride, crop, order: order, as: layout, to: fed + number * cropValueCount)
            }
            return
        }
        guard mode == .stretch || size.height <= imageOptions.maxPixels / size.width else {
            throw FNEError(
                .imageLimit,
                "the picture of \(height) x \(width) would be resized to \(size.height) x \(size.width) to keep its "
                    + "aspect, which is more than the limit of \(imageOptions.maxPixels) pixels (max_pixels). Stretch "
                    + "it instead")
        }
        // A long picture that keeps its aspect can become a thousand times as large as its crops. Then each crop is
        // computed by itself, and memory does not grow with the aspect.
        let part = Self.part(around: places.map(\.element), size: input)
        let isLong = part.size.height * part.size.width > places.count * input.height * input.width
        let groups = isLong ? places.map { [$0] } : [places]
        for group in groups {
            let part = isLong ? Self.part(around: group.map(\.element), size: input) : part
            let resized = try Bytes(count: part.size.height * part.size.width * 3)
            try resized.withNumbers(of: UInt8.self) { dense in
                try resizePixels(
                    pixels, stride: stride, height: height, width: width, to: dense, newHeight: size.height,
                    newWidth: size.width, part: part, interpolation: interpolation)
                for (number, crop) in group {
                    let place = Crop(top: crop.top - part.top, left: crop.left - part.left, isMirrored: crop.isMirrored)
                    convert(
                        dense, stride: part.size.width * 3, place, order: order, as: layout,
                        to: fed + number * cropValueCount)
                }
            }
        }
    }

    /// The smallest part of a picture that holds all the crops, of which there is at least one.
    private static func part(around crops: [Crop], size: PixelSize) -> PicturePart {
        let (tops, lefts) = (crops.map(\.top), crops.map(\.left))
        let (top, left) = (tops.min() ?? 0, lefts.min() ?? 0)
        let bottom = (tops.max() ?? 0) + size.height
        let right = (lefts.max() ?? 0) + size.width
        return PicturePart(top: top, left: left, size: PixelSize(height: bottom - top, width: right - left))
    }

    /// Makes the network's input of one crop.
    private func convert(
        _ pixels: UnsafePointer<UInt8>, stride: Int, _ crop: Crop, order: ChannelOrder, as layout: ImageLayout,
        to fed: UnsafeMutablePointer<Float>
    ) {
        let (start, mirror) = (pixels + crop.top * stride + crop.left * 3, Int32(crop.isMirrored ? 1 : 0))
        guard channels == 3 else { // one channel is the same in both layouts
            ck_pixels_to_grey(
                start, stride, input.height, input.width, order == .rgb ? 0 : 1, mirror, mean.0, scale.0, fed)
            return
        }
        let convert = layout == .channelsLast ? ck_pixels_to_float : ck_pixels_to_planes
        withUnsafeBytes(of: mean) { mean in
            withUnsafeBytes(of: scale) { scale in
                convert(
                    start, stride, input.height, input.width, order == channelOrder ? 0 : 1, mirror,
                    mean.assumingMemoryBound(to: Float.self).baseAddress,
                    scale.assumingMemoryBound(to: Float.self).baseAddress, fed)
            }
        }
    }

    func feed(_ image: Extractor.Pixels, as layout: ImageLayout, to fed: UnsafeMutablePointer<Float>) throws {
        try feed(
            image.pixels, stride: image.rowStride, height: image.height, width: image.width, order: image.channelOrder,
            as: layout, to: fed)
    }

    func feed(_ image: Image, as layout: ImageLayout, to fed: UnsafeMutablePointer<Float>) throws {
        try image.withPixels { pixels in
            try feed(
                pixels, stride: image.width * 3, height: image.height, width: image.width, of: image.info.size,
                order: .rgb, as: layout, to: fed)
        }
    }

    /// Feeds numbers as they are.
    ///
    /// - Parameters:
    ///   - numbers: float32 [input height, input width, channels]
    ///   - fed: receives them in the layout
    func feed(_ numbers: UnsafePointer<Float>, as layout: ImageLayout, to fed: UnsafeMutablePointer<Float>) {
        guard layout == .channelsFirst, channels == 3 else {
            return fed.update(from: numbers, count: cropValueCount)
        }
        ck_split_channels(numbers, input.height * input.width, fed)
    }
}

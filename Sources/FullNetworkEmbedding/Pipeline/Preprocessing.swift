import CKernels
import Glibc

public enum ChannelOrder: Int32, Sendable {
    case rgb = 0
    case bgr = 1
}

/// From pixels of any size to what a network is fed with.
struct Preprocessing: Sendable {
    let height: Int
    let width: Int
    let channelOrder: ChannelOrder
    /// Fed = (pixel - mean) * scale, in the order fed.
    let mean: (Float, Float, Float)
    let scale: (Float, Float, Float)

    /// Floats of one image.
    var valueCount: Int { height * width * 3 }

    /// Pixels uint8 [height, width, 3], rows `stride` bytes apart, stretched to the input size and turned into floats.
    func feed(
        _ pixels: UnsafePointer<UInt8>, stride: Int, height: Int, width: Int, order: ChannelOrder,
        to fed: UnsafeMutablePointer<Float>
    ) throws {
        let resized = try Bytes(count: valueCount)
        try resized.withNumbers(of: UInt8.self) { dense in
            try self.resize(pixels, stride: stride, height: height, width: width, to: dense)
            self.convert(dense, order: order, to: fed)
        }
    }

    private func resize(
        _ pixels: UnsafePointer<UInt8>, stride: Int, height: Int, width: Int, to dense: UnsafeMutablePointer<UInt8>
    ) throws {
        if height == self.height && width == self.width {
            for row in 0..<height { memcpy(dense + row * width * 3, pixels + row * stride, width * 3) }
        } else {
            try resizeBilinear(
                pixels, stride: stride, height: height, width: width, to: dense, newHeight: self.height,
                newWidth: self.width)
        }
    }

    private func convert(_ dense: UnsafePointer<UInt8>, order: ChannelOrder, to fed: UnsafeMutablePointer<Float>) {
        withUnsafeBytes(of: mean) { mean in
            withUnsafeBytes(of: scale) { scale in
                ck_pixels_to_float(
                    dense, self.height * self.width, order == channelOrder ? 0 : 1,
                    mean.assumingMemoryBound(to: Float.self).baseAddress,
                    scale.assumingMemoryBound(to: Float.self).baseAddress, fed)
            }
        }
    }

    func feed(_ image: Image, to fed: UnsafeMutablePointer<Float>) throws {
        try image.withPixels { pixels in
            try feed(pixels, stride: image.width * 3, height: image.height, width: image.width, order: .rgb, to: fed)
        }
    }
}

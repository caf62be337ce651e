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
        guard let dense = resized.memory.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return }
        if height == self.height && width == self.width {
            for row in 0..<height { memcpy(dense + row * width * 3, pixels + row * stride, width * 3) }
        } else {
            try resizeBilinear(
                pixels, stride: stride, height: height, width: width, to: dense, newHeight: self.height,
                newWidth: self.width)
        }
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
        guard let pixels = image.pixels.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return }
        try feed(pixels, stride: image.width * 3, height: image.height, width: image.width, order: .rgb, to: fed)
    }
}

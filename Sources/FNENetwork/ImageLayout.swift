/// The order of an image's numbers in memory.
package enum ImageLayout: Sendable {
    /// [height, width, channels], as networks of TensorFlow read.
    case channelsLast
    /// [channels, height, width], as most ONNX networks read. Each channel is a plane.
    case channelsFirst

    /// The sizes of an image's axes, in their order.
    func shape(height: Int, width: Int, channels: Int) -> [Int] {
        self == .channelsLast ? [height, width, channels] : [channels, height, width]
    }
}

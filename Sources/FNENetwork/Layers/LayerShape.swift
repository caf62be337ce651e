/// The shape of a layer's tensor for one image. Most layers have a row per image, and their first dimension is 1. Some
/// work on [n * tokens, C], or on [n * windows, tokens, C]. Their first dimension is the rows of an image.
package struct LayerShape: Sendable, Equatable {
    /// At least one dimension.
    package let dimensions: [Int]

    /// The rows of an image.
    package var rows: Int { dimensions.first ?? 0 }

    /// The rank.
    package var rank: Int { dimensions.count }

    init?(dimensions: [Int]) {
        guard let rows = dimensions.first, rows > 0 else { return nil }
        self.dimensions = dimensions
    }

    /// The shape that two batches show; nil where the tensor does not grow with the batch by its first dimension alone.
    init?(_ shape: [Int], of count: Int, and further: [Int], of furtherCount: Int) {
        guard let rows = shape.first, let furtherRows = further.first, count > 0, rows % count == 0,
            furtherRows == saturating(rows / count, furtherCount), shape.dropFirst() == further.dropFirst()
        else { return nil }
        self.init(dimensions: [rows / count] + shape.dropFirst())
    }

    /// How many of the last axes are the features. There are several where a dense layer's output is split, such as
    /// [n, tokens, heads, features of a head].
    ///
    /// - Parameter channels: the features by the layer's weights; nil where they are not known
    func featureAxes(channels: Int?) -> Int { Self.featureAxes(of: dimensions, channels: channels) }

    /// The same for a shape whose images need not be on the first axis.
    static func featureAxes(of shape: [Int], channels: Int?) -> Int {
        guard let channels, shape.last != channels else { return 1 }
        var together = 1
        for (count, size) in shape.dropFirst().reversed().enumerated() {
            together = saturating(together, size)
            if together == channels, size > 0 { return count + 1 }
            if together > channels { break }
        }
        return 1
    }
}

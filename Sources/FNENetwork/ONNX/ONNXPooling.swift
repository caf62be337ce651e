/// How a value of an ONNX network becomes the features [n, C] of n images. Only runs of the network show which plan is
/// right: `plans` lists those that fit the shapes, and the one is taken whose rows do not change with the other images
/// of a batch.
struct ONNXPooling: Sendable, Equatable {
    /// How the rows of an image stand on the axis that grows with the images.
    enum Rows: Sendable, Equatable {
        /// An image has one.
        case one
        /// An image's rows follow each other: [n * rows, ..].
        case together
        /// The images take turns: [rows * n, ..].
        case interleaved
    }

    /// The shape for one image.
    let shape: [Int]
    /// The axis that grows with the images.
    let imageAxis: Int
    let rows: Rows
    /// The axes that are the features. They come after the images' axis.
    let channelAxes: Range<Int>
    var tokens = Tokens()

    /// The axes that are neither the images' nor the features'. With several rows per image, the rows are one more.
    private var restCount: Int { shape.count - 1 - channelAxes.count + (rows == .one ? 0 : 1) }

    /// Whether the value has tokens: one axis beside those of the images and the features. Maps and windows have more,
    /// which are averaged, whatever `tokens` says.
    var takesTokens: Bool { restCount == 1 }

    /// The number of tokens; 1 where there are none.
    var tokenCount: Int { shape.indices.reduce(1) { channelAxes.contains($1) ? $0 : saturating($0, shape[$1]) } }

    /// F, the number of features.
    var featureCount: Int {
        let channels = product(Array(shape[channelAxes]))
        return takesTokens && tokens.pooling == .firstAndRest ? saturating(2, channels) : channels
    }

    /// The plans that fit the shapes of a layer's value for one image and for several. There is none where no axis, or
    /// more than one, grows with the images.
    static func plans(
        for layer: ONNXLayers.Layer, shape: [Int], and further: [Int], of count: Int
    ) -> [ONNXPooling] {
        let grown = zip(shape, further).enumerated().filter { $1.0 != $1.1 }.map(\.offset)
        guard shape.count == further.count, grown.count == 1, let axis = grown.first, shape[axis] > 0,
            further[axis] == saturating(shape[axis], count), let channels = channelAxes(of: layer, shape),
            axis < channels.lowerBound
        else { return [] }
        let rows: [Rows] = shape[axis] == 1 ? [.one] : [.together, .interleaved]
        return rows.map { ONNXPooling(shape: shape, imageAxis: axis, rows: $0, channelAxes: channels) }
    }

    /// The plan for a value of a network that takes one image, so that all rows are the image's. An axis of one is
    /// taken for the images'. Nil for a value without features.
    static func plan(for layer: ONNXLayers.Layer, shape: [Int]) -> ONNXPooling? {
        guard !shape.contains(0), let channels = channelAxes(of: layer, shape), channels.lowerBound > 0 else {
            return nil
        }
        let axis = shape[..<channels.lowerBound].firstIndex(of: 1)
        return ONNXPooling(
            shape: shape, imageAxis: axis ?? 0, rows: axis == nil ? .together : .one, channelAxes: channels)
    }

    private static func channelAxes(of layer: ONNXLayers.Layer, _ shape: [Int]) -> Range<Int>? {
        guard shape.count >= 2 else { return nil }
        guard layer.channelsLast else { return 1..<2 }
        let features = layer.kind == .dense ? LayerShape.featureAxes(of: shape, channels: layer.channels) : 1
        return shape.count - features..<shape.count
    }
}

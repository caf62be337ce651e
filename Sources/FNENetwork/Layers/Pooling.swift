import FNESupport

/// How a layer's tensor becomes the features of a row.
///
/// - [n, C] is taken as it is.
/// - [n, tokens, C] becomes what `TokenPooling` says.
/// - [n, .., C] with more axes in between, such as a map, is averaged over all of these.
/// - Where an image has several rows, these are averaged too. Rows of [n * tokens, C] are tokens. Windows such as
///   [n * windows, tokens, C] are no tokens: all of their axes are averaged, whatever `TokenPooling` says.
struct Pooling {
    /// The layer's name, for messages.
    let layer: String
    /// The rows that an image has.
    let rows: Int
    /// The shape for one image, with all features on the last axis.
    let shape: [Int]
    /// How many last axes of the tensor are the features.
    let featureAxes: Int
    let tokens: Tokens

    /// - Throws: `.unsupportedTensor`, `.invalidArgument`.
    init(_ layer: LayerSelection.Selected, _ shape: LayerShape, _ tokens: Tokens) throws {
        self.layer = layer.name.text
        self.tokens = tokens
        rows = shape.rows
        featureAxes = layer.kind == .dense ? shape.featureAxes(channels: layer.channels) : 1
        let channels = product(shape.dimensions.suffix(featureAxes))
        self.shape = shape.dimensions.dropLast(featureAxes) + [channels]
        guard self.shape.count >= 2, !self.shape.contains(0), self.shape.allSatisfy({ $0 <= Int(Int32.max) }) else {
            throw FNEError(
                .unsupportedTensor,
                "the tensor '\(self.layer)' has shape \(describe(shape.dimensions)) for one image; it must be "
                    + "[n, features], [n, tokens, channels] or [n, height, width, channels]")
        }
        try checkTokens()
    }

    private func checkTokens() throws {
        let count = shape.count == 2 ? rows : shape[1]
        guard tokens.pooling.takesRest, takesTokens, count <= tokens.prefix else { return }
        throw Tokens.noneLeft(of: layer, count, tokens)
    }

    /// C.
    var channels: Int { shape.last ?? 0 }

    /// Whether the tensor is [n, tokens, C].
    var isTokens: Bool { shape.count == 3 && rows == 1 }

    /// Whether `TokenPooling` says what is taken of the layer.
    private var takesTokens: Bool { isTokens || (shape.count == 2 && rows > 1) }

    /// The number of features in a row.
    var featureCount: Int { takesTokens && tokens.pooling == .firstAndRest ? saturating(2, channels) : channels }
}

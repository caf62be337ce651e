import FNESupport

/// What is taken of a layer [n, tokens, C], as transformers have them. The numbers are those of `FNE_TOKENS_*` in
/// `include/fne.h`.
public enum TokenPooling: Int32, Sendable, CaseIterable {
    /// The mean of all tokens, C features.
    case mean = 0
    /// The first token, which often is a class token, C features.
    case first = 1
    /// The mean of the tokens that are no prefix tokens, C features.
    case rest = 2
    /// The first token and then the mean of the rest, 2 C features.
    case firstAndRest = 3

    /// The name in a job's manifest.
    package var name: String {
        switch self {
        case .mean: "mean"
        case .first: "first"
        case .rest: "rest"
        case .firstAndRest: "first+rest"
        }
    }

    /// Whether prefix tokens are told from the rest.
    package var takesRest: Bool { self == .rest || self == .firstAndRest }
}

/// How tokens become features.
package struct Tokens: Sendable, Equatable {
    package var pooling = TokenPooling.mean
    /// The number of tokens that stand before the image's own. They are class and register tokens.
    package var prefix = 1

    /// The mean of all tokens.
    package init() {}

    /// The error for a layer whose tokens are all prefix tokens.
    static func noneLeft(of layer: String, _ count: Int, _ tokens: Tokens) -> FNEError {
        FNEError(
            .invalidArgument,
            "the layer '\(layer)' has \(count) tokens, and token_pooling is '\(tokens.pooling.name)' with "
                + "prefix_tokens \(tokens.prefix), so that none are left. Leave the layer out, or take another pooling")
    }
}

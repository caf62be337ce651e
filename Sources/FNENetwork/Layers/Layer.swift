/// A layer of the network, and its place in a row of features.
public struct Layer: Sendable {
    /// The name of the layer's tensor, without "import/" and ":0".
    public let name: String
    /// The kind of the layer.
    public let kind: TensorKind
    /// The rank of the tensor. A tensor of rank 2 is taken as it is. One of rank 4 is averaged over height and width,
    /// and one of rank 3 over tokens, unless `TokenPooling` says otherwise.
    public let rank: Int
    /// The columns of the row that hold the layer's features.
    public let features: Range<Int>

    /// A layer with its place in the row.
    package init(name: String, kind: TensorKind, rank: Int, features: Range<Int>) {
        self.name = name
        self.kind = kind
        self.rank = rank
        self.features = features
    }
}

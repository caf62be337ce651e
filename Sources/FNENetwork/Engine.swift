import FNESupport

/// What runs a prepared network. The pipeline knows this protocol and `EngineFactory`, and nothing of any engine.
package protocol Engine: Sendable {
    /// Runs a batch. May be called from several threads at once.
    ///
    /// - Parameters:
    ///   - input: float32 [count, height, width, 3], aligned to 64 bytes
    ///   - rows: receives float32 [count, featureCount]
    func run(_ input: UnsafeMutablePointer<Float>, count: Int, to rows: UnsafeMutablePointer<Float>) throws

    var featureCount: Int { get }

    /// What computes, as far as the last bits of a row can depend on it: members of a JSON object, which a job's manifest
    /// holds and compares.
    var facts: [JSON.Member] { get }
}

/// A layer's place in the row.
public struct Layer: Sendable {
    /// Of the tensor, without "import/" and ":0".
    public let name: String
    public let kind: TensorKind
    /// 4: averaged over height and width; 2: taken as it is.
    public let rank: Int
    public let features: Range<Int>

    package init(name: String, kind: TensorKind, rank: Int, features: Range<Int>) {
        self.name = name
        self.kind = kind
        self.rank = rank
        self.features = features
    }
}

/// How the network computes, as far as results depend on it.
package struct Arithmetic: Sendable {
    package var precision = Precision.float32
    package var float32Layers = 0
    package var engineThreads = 1

    package init() {}
}

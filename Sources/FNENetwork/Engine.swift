import FNESupport

/// An engine runs a prepared network. The pipeline knows this protocol and `EngineFactory`, but no engine.
package protocol Engine: Sendable {
    /// Runs a batch. Several threads may call this at once.
    ///
    /// - Parameters:
    ///   - input: the float32 of `count` images, each in `layout`. Memory that is aligned to 64 bytes, as that of a
    ///     batch is, can be taken without a copy.
    ///   - rows: receives float32 [count, featureCount]
    func run(_ input: UnsafeMutablePointer<Float>, count: Int, to rows: UnsafeMutablePointer<Float>) throws

    /// The order of the numbers of an image that is fed.
    var layout: ImageLayout { get }

    /// F, the number of features in a row.
    var featureCount: Int { get }

    /// Facts about the engine and the machine that the last bits of a row can depend on. A job's manifest holds them as
    /// members of a JSON object, and compares them when the job is resumed.
    var facts: [JSON.Member] { get }
}

/// The choices in computing that results depend on.
package struct Arithmetic: Sendable {
    /// The type that layers multiply in.
    package var precision = Precision.float32
    /// With bfloat16, how many first layers stay float32.
    package var float32Layers = 0
    /// Threads per operation of the network. They decide the order of some sums.
    package var engineThreads = 1

    /// float32 on one thread per operation.
    package init() {}
}

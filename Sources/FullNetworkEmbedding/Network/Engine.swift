/// What runs a prepared network. The pipeline knows this protocol alone.
protocol Engine: Sendable {
    /// Runs a batch.
    ///
    /// - Parameters:
    ///   - input: float32 [count, height, width, 3], aligned to 64 bytes
    ///   - rows: receives float32 [count, featureCount]
    /// May be called from several threads at once.
    func run(_ input: UnsafeMutablePointer<Float>, count: Int, to rows: UnsafeMutablePointer<Float>) throws

    var featureCount: Int { get }
}

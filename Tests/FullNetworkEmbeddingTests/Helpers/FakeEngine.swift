@testable import FNENetwork
@testable import FNESupport

/// Takes the place of TensorFlow. The features of an image are its first three numbers and the sum of all. The engine
/// remembers the batches and the images that it was given.
final class FakeEngine: Engine {
    let featureCount = 4
    let facts = [JSON.Member(name: "engine", value: .text("fake"))]
    let layout: ImageLayout
    let valueCount: Int
    /// Is called with each image's row before it is returned. It may change the row, or throw.
    let tamper: @Sendable (_ row: inout [Float]) throws -> Void

    let batches = Locked<[Int]>([])
    let addresses = Locked(Set<UInt>())
    let images = Locked<[[Float]]>([])

    init(
        valueCount: Int, layout: ImageLayout = .channelsLast,
        tamper: @escaping @Sendable (inout [Float]) throws -> Void = { _ in }
    ) {
        self.layout = layout
        self.valueCount = valueCount
        self.tamper = tamper
    }

    func run(_ input: UnsafeMutablePointer<Float>, count: Int, to rows: UnsafeMutablePointer<Float>) throws {
        batches.with { $0.append(count) }
        addresses.with { _ = $0.insert(UInt(bitPattern: input)) }
        for i in 0..<count {
            let values = UnsafeBufferPointer(start: input + i * valueCount, count: valueCount)
            images.with { $0.append(Array(values)) }
            var row = [values[0], values[1], values[2], values.reduce(0, +)]
            try tamper(&row)
            for (k, value) in row.enumerated() { rows[i * featureCount + k] = value }
        }
    }
}

import FNESupport

/// Images of noise, by which a network shows which rows of a layer belong to which image. They differ in contrast and
/// brightness.
struct ProofImages {
    /// How many there are.
    static let count = 3
    /// The features of an image may differ from those that it has alone by this part of the images' difference.
    private static let tolerance: Float = 0.01
    /// Features that differ by no more than this part of the largest one differ by rounding alone.
    private static let rounding: Float = 1e-5

    /// The numbers of an image: height x width x channels.
    let size: Int

    /// A batch of some of the images, float32.
    ///
    /// - Parameter images: their numbers, below `count`
    /// - Throws: `.outOfMemory`, `.invalidArgument`.
    func batch(_ images: [Int]) throws -> Bytes {
        let batch = try Bytes(
            count: checkedProduct(images.count, size, MemoryLayout<Float>.size, of: "batch_size x height x width"))
        batch.withNumbers(of: Float.self) { values in
            for (place, image) in images.enumerated() { fill(values + place * size, image) }
        }
        return batch
    }

    /// Writes one of the images, with values of 0 to 255.
    private func fill(_ pixels: UnsafeMutablePointer<Float>, _ image: Int) {
        var state = UInt64(image + 1) &* 0x9e37_79b9_7f4a_7c15
        let (darkest, contrast): (Float, Float) = [(0, 255), (20, 60), (150, 100)][image % Self.count]
        for place in 0..<size {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            pixels[place] = darkest + contrast * Float(state >> 40) / Float(1 << 24)
        }
    }

    /// What the features of the images show.
    enum Verdict {
        /// An image has the same features in a batch as alone.
        case apart
        /// So it has, but all images have the same features.
        case equal
        /// The features change with the other images.
        case mixed
    }

    /// - Parameters:
    ///   - together: the features of each image in a batch of all
    ///   - alone: those that each has without the others
    static func verdict(together: [[Float]], alone: [[Float]]) -> Verdict {
        let error = zip(together, alone).map { distance($0, $1) }.reduce(0, larger)
        let difference = zip(alone, alone.dropFirst()).map { distance($0, $1) }.reduce(0, larger)
        // Maps of attention have the same average for every image, since their rows sum to one.
        let largest = alone.joined().map(abs).reduce(0, larger)
        if error <= rounding * largest, difference <= rounding * largest { return .equal }
        return error <= tolerance * difference ? .apart : .mixed
    }

    /// The largest difference of two rows; NaN where one is not finite.
    private static func distance(_ a: [Float], _ b: [Float]) -> Float {
        zip(a, b).map { abs($0 - $1) }.reduce(0, larger)
    }

    private static func larger(_ a: Float, _ b: Float) -> Float { a.isNaN || a >= b ? a : b }
}

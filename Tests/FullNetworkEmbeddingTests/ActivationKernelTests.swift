import CKernels
import XCTest

/// Compares the mean over maps, local response normalization and rounding to bfloat16 with float64.
final class ActivationKernelTests: XCTestCase {
    override func tearDown() { ck_pin_variant(nil) }

    private let variants = ["baseline", "avx2", "avx512", "vpopcntdq"]

    private func widened(_ half: UInt16) -> Float { Float(bitPattern: UInt32(half) << 16) }

    /// The nearest bfloat16, ties to even. It is found by a search among the neighbours.
    private func nearest(_ value: Float) -> UInt16 {
        let low = UInt16(value.bitPattern >> 16)
        return [low, low &+ 1].min { a, b in
            let (x, y) = (abs(Double(widened(a)) - Double(value)), abs(Double(widened(b)) - Double(value)))
            return x < y || (x == y && a % 2 == 0 && b % 2 != 0)
        } ?? low
    }

    func testMapMean() {
        var random = SeededRandom(11)
        for channels in [1, 7, 15, 16, 17, 33, 128, 131, 257] {
            let (n, height, width) = (2, 5, 9)
            let count = n * height * width * channels
            let halves = (0..<count).map { _ in
                UInt16(truncatingIfNeeded: random.finiteFloat(exponents: 110...135).bitPattern >> 16)
            }
            let floats = halves.map(widened)
            var expected = [Double](repeating: 0, count: n * channels)
            var scale = expected
            for i in 0..<count {
                let place = i / (height * width * channels) * channels + i % channels
                expected[place] += Double(floats[i]) / Double(height * width)
                scale[place] += abs(Double(floats[i])) / Double(height * width)
            }
            var first: [UInt32]?
            for name in variants where ck_pin_variant(name) == 0 {
                var (mean, meanOfHalves) = (
                    [Float](repeating: .nan, count: n * channels), [Float](repeating: .nan, count: n * channels)
                )
                XCTAssertEqual(ck_map_mean(floats, n, height, width, channels, &mean), 0)
                XCTAssertEqual(ck_map_mean_bf16(halves, n, height, width, channels, &meanOfHalves), 0)
                XCTAssertEqual(
                    mean.map(\.bitPattern), meanOfHalves.map(\.bitPattern), "the same numbers, the same sums")
                for i in expected.indices {
                    XCTAssertEqual(Double(mean[i]), expected[i], accuracy: 1e-6 * scale[i], "\(name), \(channels)")
                }
                XCTAssertEqual(first ?? mean.map(\.bitPattern), mean.map(\.bitPattern), "\(name), \(channels)")
                first = mean.map(\.bitPattern)
            }
        }
    }

    func testLocalResponseNormalization() {
        var random = SeededRandom(12)
        for (channels, radius, beta) in [
            (1, 0, 0.75), (5, 2, 0.75), (16, 2, 0.75), (37, 5, 0.75), (20, 2, 0.5), (18, 40, 1.3),
        ] {
            var options = ck_lrn(radius: radius, bias: 1.5, alpha: 0.01, beta: Float(beta))
            let halves = (0..<3 * channels).map { _ in nearest(random.finiteFloat(exponents: 120...131)) }
            let x = halves.map(widened)
            let expected = x.indices.map { i -> Double in
                let (row, channel) = (i / channels, i % channels)
                let window = max(channel - radius, 0)...min(channel + radius, channels - 1)
                let squares = window.reduce(0.0) { $0 + pow(Double(x[row * channels + $1]), 2) }
                return Double(x[i]) * pow(1.5 + Double(options.alpha) * squares, -Double(options.beta))
            }
            var first: [Float]?
            for name in variants where ck_pin_variant(name) == 0 {
                var (y, half) = ([Float](repeating: .nan, count: x.count), [UInt16](repeating: 0, count: x.count))
                XCTAssertEqual(ck_lrn_f32(x, 3, channels, &options, &y), 0)
                XCTAssertEqual(ck_lrn_bf16(halves, 3, channels, &options, &half), 0)
                for i in x.indices {
                    XCTAssertEqual(Double(y[i]), expected[i], accuracy: 2e-6 * abs(expected[i]), "\(name) \(channels)")
                    XCTAssertEqual(half[i], nearest(y[i]), "\(name) \(channels)")
                }
                XCTAssertEqual(first ?? y, y)
                first = y
            }
        }
    }

    /// Of maps whose channels come first, with the same bits as of the others.
    func testLocalResponseNormalizationOfPlanes() {
        var random = SeededRandom(13)
        for (channels, radius, beta, positions) in [
            (1, 0, 0.75, 16), (5, 2, 0.75, 1), (16, 2, 0.75, 37), (37, 5, 0.75, 1_100), (20, 2, 0.5, 3),
            (18, 40, 1.3, 40),
        ] {
            var options = ck_lrn(radius: radius, bias: 1.5, alpha: 0.01, beta: Float(beta))
            let size = channels * positions
            let planes = (0..<2 * size).map { _ in random.finiteFloat(exponents: 120...131) }
            let places = (0..<2 * size).map { i in // of [maps, channels, positions] in [maps, positions, channels]
                i / size * size + i % positions * channels + i % size / positions
            }
            var pixels = [Float](repeating: 0, count: 2 * size)
            for (i, place) in places.enumerated() { pixels[place] = planes[i] }
            for name in variants where ck_pin_variant(name) == 0 {
                var (expected, y) = (pixels, [Float](repeating: .nan, count: 2 * size))
                XCTAssertEqual(ck_lrn_f32(pixels, 2 * positions, channels, &options, &expected), 0)
                ck_lrn_planes(planes, 2, channels, positions, &options, &y)
                XCTAssertEqual(y, places.map { expected[$0] }, "\(name) \(channels)")
            }
        }
    }

    func testSumsOfHalves() {
        var random = SeededRandom(15)
        for count in [0, 1, 15, 16, 17, 1_000] {
            var a = (0..<count).map { _ in nearest(random.finiteFloat(exponents: 120...131)) }
            var b = (0..<count).map { _ in nearest(random.finiteFloat(exponents: 120...131)) }
            if count > 20 { // infinities and a NaN, in a vector and in the rest
                for i in [3, count - 2] { (a[i], b[i], a[i + 1], b[i + 1]) = (0x7f80, 0xff80, 0xff80, 0x3f80) }
            }
            for relu in [false, true] {
                for name in variants where ck_pin_variant(name) == 0 {
                    var y = [UInt16](repeating: 0x1234, count: count)
                    ck_add_bf16(a, b, count, relu ? 1 : 0, &y)
                    for i in 0..<count {
                        let sum = widened(a[i]) + widened(b[i])
                        if sum.isNaN {
                            XCTAssertTrue(widened(y[i]).isNaN, "\(name) \(i)")
                        } else {
                            XCTAssertEqual(
                                y[i], sum < 0 && relu ? 0 : sum.isInfinite ? UInt16(sum.bitPattern >> 16) : nearest(sum)
                            )
                        }
                    }
                    var inPlace = a
                    inPlace.withUnsafeMutableBufferPointer {
                        ck_add_bf16(UnsafePointer($0.baseAddress), b, count, relu ? 1 : 0, $0.baseAddress)
                    }
                    XCTAssertEqual(inPlace, y, name)
                }
            }
        }
    }

    func testRoundingToNearest() {
        var random = SeededRandom(13)
        var values = (0..<2_000).map { _ in random.finiteFloat(exponents: 0...253) }
        values += [0, -0.0, 1, 1.001953125, 1.005859375, -1.001953125, .leastNonzeroMagnitude] // with two ties
        var halves = [UInt16](repeating: 0, count: values.count)
        ck_round_bf16_nearest(values, values.count, &halves)
        for (value, half) in zip(values, halves) { XCTAssertEqual(half, nearest(value), "\(value)") }
        let special: [Float] = [.infinity, -.infinity, .greatestFiniteMagnitude, .nan, Float(bitPattern: 0x7f80_0001)]
        ck_round_bf16_nearest(special, special.count, &halves)
        XCTAssertEqual(Array(halves[..<3]), [0x7f80, 0xff80, 0x7f80])
        XCTAssertTrue(widened(halves[3]).isNaN && widened(halves[4]).isNaN)
    }

    func testBalancedRounding() {
        var random = SeededRandom(14)
        for (inputs, channels) in [(1, 1), (2, 5), (9, 16), (9, 17), (100, 40), (1_152, 3)] {
            let weights = (0..<inputs * channels).map { i in
                Float.random(in: -1...1, using: &random) * Float.random(in: 0.001...1, using: &random)
                    + (i % channels == 0 ? 0.5 : 0)
            }
            let scale = (0..<channels).map { _ in Double.random(in: 0.25...4, using: &random) }
            for channelsFirst in [false, true] {
                for scaled in [false, true] {
                    var rounded = [UInt16](repeating: 0, count: weights.count)
                    XCTAssertEqual(
                        ck_round_bf16(weights, inputs, channels, channelsFirst ? 1 : 0, scaled ? scale : nil, &rounded),
                        0)
                    for channel in 0..<channels {
                        var (missing, alone, step) = (0.0, 0.0, 0.0)
                        for input in 0..<inputs {
                            let i = channelsFirst ? channel * inputs + input : input * channels + channel
                            let exact = scaled ? Float(Double(weights[i]) * scale[channel]) : weights[i]
                            let result = widened(rounded[i])
                            // One of the two neighbours, or the number itself.
                            let unit = max(Double(exact.ulp) * 65_536, Double(result.ulp) * 65_536)
                            XCTAssertLessThan(abs(Double(result) - Double(exact)), unit)
                            missing += Double(exact) - Double(result)
                            alone += Double(exact) - Double(widened(nearest(exact)))
                            step = max(step, unit)
                        }
                        XCTAssertLessThanOrEqual(abs(missing), abs(alone), "never worse than one by one")
                        if inputs >= 100 {
                            XCTAssertLessThanOrEqual(abs(missing), step / 2, "within half of the largest step")
                        }
                    }
                }
            }
        }
    }

    func testWeightsThatAreNotFiniteAreRoundedOneByOne() {
        let weights: [Float] = [1.001, .infinity, 2.003, 3.0007, .nan, 5.0003]
        var (rounded, alone) = ([UInt16](repeating: 0, count: 6), [UInt16](repeating: 0, count: 6))
        XCTAssertEqual(ck_round_bf16(weights, 6, 1, 0, nil, &rounded), 0)
        ck_round_bf16_nearest(weights, 6, &alone)
        XCTAssertEqual(rounded, alone)
    }
}

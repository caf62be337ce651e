import CKernels
import XCTest

/// Every variant of the loops gives the bits of plain Swift loops.
final class KernelVariantTests: XCTestCase {
    override func tearDown() { ck_pin_variant(nil) }

    /// Runs a test with each variant that this processor has.
    private func forEachVariant(_ body: (String) -> Void) {
        var ran = 0
        for name in ["baseline", "avx2", "avx512", "vpopcntdq"] where ck_pin_variant(name) == 0 {
            XCTAssertEqual(String(cString: ck_variant()), name)
            body(name)
            ran += 1
        }
        XCTAssertGreaterThan(ran, 0)
    }

    func testPinning() {
        XCTAssertEqual(ck_pin_variant("sse9"), 1)
        XCTAssertEqual(ck_pin_variant("baseline"), 0)
        XCTAssertEqual(ck_pin_variant("sse9"), 1)
        XCTAssertEqual(String(cString: ck_variant()), "baseline", "an unknown name changes nothing")
    }

    func testTernarize() {
        var random = SeededRandom(1)
        for features in [1, 7, 31, 64, 100, 4_096, 4_100, 9_001] {
            let rows = 3
            let low = (0..<features).map { _ in random.finiteFloat(exponents: 120...130) }
            let high = low.map { $0.nextUp.nextUp }
            // Around the cuts, and far from them.
            let x = (0..<rows * features).map { i -> Float in
                let cut = low[i % features]
                return [cut.nextDown, cut, cut.nextUp, cut.nextUp.nextUp, -.infinity, .infinity, 0][
                    Int.random(in: 0..<7, using: &random)]
            }
            let expected = x.enumerated().map { i, x -> Int8 in
                x >= high[i % features] ? 1 : x <= low[i % features] ? -1 : 0
            }
            forEachVariant { name in
                var codes = [Int8](repeating: 99, count: x.count + 1)
                XCTAssertEqual(ck_ternarize(x, rows, features, low, high, &codes), x.count)
                XCTAssertEqual(Array(codes.dropLast()), expected, "\(name), \(features)")
                XCTAssertEqual(codes.last, 99, "nothing behind the end is written")
            }
            for bad in [0, features - 1, features, 2 * features + features / 2] {
                var damaged = x
                damaged[bad] = .nan
                damaged[x.count - 1] = .nan
                forEachVariant { name in
                    var codes = [Int8](repeating: 99, count: x.count)
                    XCTAssertEqual(ck_ternarize(damaged, rows, features, low, high, &codes), bad, name)
                }
            }
        }
    }

    func testSearches() {
        for count in [1, 15, 16, 17, 4_095, 4_096, 4_097, 10_000] {
            for bad in [0, count / 2, count - 1] {
                for value in [Float.nan, -.nan, .infinity, -.infinity] {
                    var values = [Float](repeating: .greatestFiniteMagnitude, count: count)
                    values[bad] = value
                    forEachVariant { name in
                        XCTAssertEqual(ck_first_not_finite(values, count), bad, name)
                        XCTAssertEqual(ck_first_nan(values, count), value.isNaN ? bad : count, name)
                    }
                }
            }
        }
    }

    func testStandardize() {
        var random = SeededRandom(2)
        let features = 37
        let x = (0..<5 * features).map { _ in random.finiteFloat(exponents: 100...150) }
        let mean = (0..<features).map { _ in Double(random.finiteFloat(exponents: 100...150)) * 1.1 }
        let std = (0..<features).map { $0 % 5 == 0 ? 0 : Double.random(in: 1e-9...1e9, using: &random) }
        let expected = x.enumerated().map { i, x in
            std[i % features] == 0 ? 0 : (Double(x) - mean[i % features]) / std[i % features]
        }
        forEachVariant { _ in
            var z = [Double](repeating: .nan, count: x.count)
            ck_standardize(x, 5, features, mean, std, &z)
            assertSameBits(z, expected)
        }
    }

    func testMultiply() {
        var random = SeededRandom(3)
        for (count, columns) in [(1, 1), (7, 8), (100, 31), (64, 512), (37, 45)] {
            let x = (0..<count).map { _ in Double.random(in: -1...1, using: &random) }
            let matrix = (0..<count * columns).map { _ in Double.random(in: -1...1, using: &random) }
            let expected = (0..<columns).map { j in
                (0..<count).reduce(0) { sum, i in sum + x[i] * matrix[i * columns + j] }
            }
            forEachVariant { _ in
                var y = [Double](repeating: .nan, count: columns)
                ck_multiply(x, count, matrix, columns, &y)
                assertSameBits(y, expected)
            }
        }
    }

    func testPixelsToFloat() {
        var random = SeededRandom(3)
        let (mean, scale): ([Float], [Float]) = ([103.939, 116.779, 123.68], [0.017, 1 / 127.5, 3])
        for (height, width) in [(1, 1), (2, 15), (3, 16), (2, 17), (2, 512), (3, 700)] {
            let stride = width * 3 + 5
            let pixels = (0..<height * stride).map { _ in UInt8.random(in: 0...255, using: &random) }
            for swap in [0, 1] {
                for mirror in [0, 1] {
                    var expected: [Float] = []
                    for y in 0..<height {
                        for x in 0..<width {
                            for c in 0..<3 {
                                let column = mirror == 1 ? width - 1 - x : x
                                let pixel = pixels[y * stride + 3 * column + (swap == 1 ? 2 - c : c)]
                                expected.append((Float(pixel) - mean[c]) * scale[c])
                            }
                        }
                    }
                    forEachVariant { name in
                        var fed = [Float](repeating: .nan, count: expected.count)
                        ck_pixels_to_float(pixels, stride, height, width, Int32(swap), Int32(mirror), mean, scale, &fed)
                        XCTAssertEqual(
                            fed.map(\.bitPattern), expected.map(\.bitPattern), "\(name) \(width) \(swap) \(mirror)")
                    }
                }
            }
        }
    }

    func testPixelsToPlanes() {
        var random = SeededRandom(6)
        let (mean, scale): ([Float], [Float]) = ([103.939, 116.779, 123.68], [0.017, 1 / 127.5, 3])
        for (height, width) in [(1, 1), (2, 15), (3, 16), (2, 17), (2, 512), (3, 513), (1, 1_100)] {
            let stride = width * 3 + 5
            let pixels = (0..<height * stride).map { _ in UInt8.random(in: 0...255, using: &random) }
            for way in 0..<4 {
                let (swaps, mirrors) = (way & 1 == 1, way >> 1 == 1)
                var expected: [Float] = []
                for c in 0..<3 {
                    for y in 0..<height {
                        for x in 0..<width {
                            let place = y * stride + 3 * (mirrors ? width - 1 - x : x)
                            expected.append((Float(pixels[place + (swaps ? 2 - c : c)]) - mean[c]) * scale[c])
                        }
                    }
                }
                forEachVariant { name in
                    var fed = [Float](repeating: .nan, count: expected.count + 1)
                    ck_pixels_to_planes(
                        pixels, stride, height, width, Int32(way & 1), Int32(way >> 1), mean, scale, &fed)
                    XCTAssertEqual(fed.dropLast().map(\.bitPattern), expected.map(\.bitPattern), "\(name) \(way)")
                    XCTAssertTrue(fed[expected.count].isNaN, "nothing after the end is written")
                }
            }
        }
    }

    func testSplitChannels() {
        var random = SeededRandom(7)
        for count in [1, 2, 15, 16, 17, 33, 224, 1_001] {
            let pixels = (0..<3 * count).map { _ in random.finiteFloat(exponents: 0...254) } + [.infinity]
            let expected = (0..<3 * count).map { pixels[$0 % count * 3 + $0 / count] }
            forEachVariant { name in
                var planes = [Float](repeating: .nan, count: expected.count + 1)
                ck_split_channels(pixels, count, &planes)
                XCTAssertEqual(planes.dropLast().map(\.bitPattern), expected.map(\.bitPattern), "\(name) \(count)")
                XCTAssertTrue(planes[expected.count].isNaN, "nothing after the end is written")
            }
        }
    }

    func testPixelsToGrey() {
        var random = SeededRandom(5)
        let (mean, scale): (Float, Float) = (103.939, 1 / 127.5)
        for (height, width) in [(1, 1), (2, 15), (3, 16), (2, 511), (2, 1_537), (1, 3_100)] {
            let stride = width * 3 + 5
            let pixels = (0..<height * stride).map { _ in UInt8.random(in: 0...255, using: &random) }
            for way in 0..<4 {
                let (swaps, mirrors) = (way & 1 == 1, way >> 1 == 1)
                var expected: [Float] = []
                for y in 0..<height {
                    for x in 0..<width {
                        let place = y * stride + 3 * (mirrors ? width - 1 - x : x)
                        let colour = (0..<3).map { Int(pixels[place + (swaps ? 2 - $0 : $0)]) }
                        let grey = (9_798 * colour[0] + 19_235 * colour[1] + 3_735 * colour[2] + 16_384) / 32_768
                        expected.append((Float(grey) - mean) * scale)
                    }
                }
                forEachVariant { name in
                    var fed = [Float](repeating: .nan, count: expected.count)
                    ck_pixels_to_grey(
                        pixels, stride, height, width, Int32(way & 1), Int32(way >> 1), mean, scale, &fed)
                    XCTAssertEqual(fed.map(\.bitPattern), expected.map(\.bitPattern), "\(name) \(width) \(way)")
                }
            }
        }
    }

    /// Compares the variants of the resizes with the plain one, at many sizes. ResizeTests and the Python tests compare
    /// with OpenCV and Pillow.
    func testResizes() {
        var random = SeededRandom(4)
        let sides = [1, 2, 3, 4, 5, 7, 8, 9, 16, 31, 50, 97]
        for _ in 0..<300 {
            let (height, width) = (sides.randomElement(using: &random) ?? 1, sides.randomElement(using: &random) ?? 1)
            let (newHeight, newWidth) = (
                sides.randomElement(using: &random) ?? 1, sides.randomElement(using: &random) ?? 1
            )
            // There is exactly as much memory as there are pixels, so that AddressSanitizer sees reads past the end.
            let pixels = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: height * width * 3)
            defer { pixels.deallocate() }
            for i in pixels.indices { pixels[i] = UInt8.random(in: 0...255, using: &random) }
            for resize in [ck_resize_bilinear, ck_resize_antialiased, ck_resize_bicubic] {
                var expected: [UInt8]?
                forEachVariant { name in
                    var resized = [UInt8](repeating: 7, count: newHeight * newWidth * 3)
                    XCTAssertEqual(
                        resize(pixels.baseAddress, width * 3, height, width, &resized, newHeight, newWidth, nil), 0)
                    if let expected {
                        XCTAssertEqual(resized, expected, "\(name): \(height) x \(width) to \(newHeight) x \(newWidth)")
                    } else {
                        expected = resized
                    }
                }
            }
        }
    }
}

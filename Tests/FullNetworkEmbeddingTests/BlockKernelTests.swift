import CKernels
import XCTest

/// Compares blocks of convolutions with loops in float64.
final class BlockKernelTests: XCTestCase {
    override func tearDown() { ck_pin_variant(nil) }

    private let variants = ["avx2", "avx512", "vpopcntdq"]

    /// The numbers of a block, and what its three layers make of x.
    private struct Case {
        var height = 9, width = 11, inputs = 5, channels = 48, outputs = 7
        var side = 3, stride = 1
        var top = 1, bottom = 1, left = 1, right = 1
        var expands = true
        var low: [Float] = [0, 0, -.infinity], high: [Float] = [6, .infinity, .infinity]

        var newHeight: Int { (height + top + bottom - side) / stride + 1 }
        var newWidth: Int { (width + left + right - side) / stride + 1 }
    }

    private struct Numbers {
        var x: [Float]
        /// Weights and bias of each layer.
        let weights: [[Float]], biases: [[Float]]

        init(_ c: Case, images n: Int) {
            var random = SeededRandom(UInt64(c.channels * 31 + c.width))
            func numbers(_ count: Int, _ range: ClosedRange<Float>) -> [Float] {
                (0..<count).map { _ in Float.random(in: range, using: &random) }
            }
            x = numbers(n * c.height * c.width * c.inputs, -3...3)
            weights = [
                numbers(c.inputs * c.channels, -0.5...0.5), numbers(c.side * c.side * c.channels, -0.5...0.5),
                numbers(c.channels * c.outputs, -0.3...0.3),
            ]
            biases = [numbers(c.channels, -1...1), numbers(c.channels, -1...1), numbers(c.outputs, -1...1)]
        }
    }

    /// The result, and the means of the three maps, of one image.
    private typealias Result = (map: [Double], means: [[Double]])

    private func expected(_ c: Case, _ numbers: Numbers, image: Int) -> Result {
        let x = numbers.x.dropFirst(image * c.height * c.width * c.inputs).map(Double.init)
        func limited(_ value: Double, _ layer: Int) -> Double {
            min(max(value, Double(c.low[layer])), Double(c.high[layer]))
        }
        func pointwise(_ x: [Double], _ positions: Int, _ inputs: Int, _ outputs: Int, _ layer: Int) -> [Double] {
            var y = [Double](repeating: 0, count: positions * outputs)
            for p in 0..<positions {
                for o in 0..<outputs {
                    var sum = Double(numbers.biases[layer][o])
                    for i in 0..<inputs { sum += x[p * inputs + i] * Double(numbers.weights[layer][i * outputs + o]) }
                    y[p * outputs + o] = limited(sum, layer)
                }
            }
            return y
        }
        func mean(_ map: [Double], _ channels: Int) -> [Double] {
            var sums = [Double](repeating: 0, count: channels)
            for (place, value) in map.enumerated() { sums[place % channels] += value }
            return sums.map { $0 / Double(map.count / channels) }
        }
        let expanded =
            c.expands
            ? pointwise(x, c.height * c.width, c.inputs, c.channels, 0) : Array(x.prefix(c.height * c.width * c.inputs))
        var filtered = [Double](repeating: 0, count: c.newHeight * c.newWidth * c.channels)
        for row in 0..<c.newHeight {
            for column in 0..<c.newWidth {
                for channel in 0..<c.channels {
                    var sum = Double(numbers.biases[1][channel])
                    for i in 0..<c.side {
                        for j in 0..<c.side {
                            let (y, x) = (row * c.stride + i - c.top, column * c.stride + j - c.left)
                            guard (0..<c.height).contains(y), (0..<c.width).contains(x) else { continue }
                            sum +=
                                expanded[(y * c.width + x) * c.channels + channel]
                                * Double(numbers.weights[1][(i * c.side + j) * c.channels + channel])
                        }
                    }
                    filtered[(row * c.newWidth + column) * c.channels + channel] = limited(sum, 1)
                }
            }
        }
        let map = pointwise(filtered, c.newHeight * c.newWidth, c.channels, c.outputs, 2)
        return (
            map,
            [
                c.expands ? mean(expanded, c.channels) : [Double](repeating: 0, count: c.channels),
                mean(filtered, c.channels), mean(map, c.outputs),
            ]
        )
    }

    private func computed(_ c: Case, _ numbers: Numbers, images n: Int) -> (map: [Float], means: [[Float]]) {
        var map = [Float](repeating: .nan, count: n * c.newHeight * c.newWidth * c.outputs + 1)
        let sizes = [c.channels, c.channels, c.outputs]
        let means = sizes.map { size -> UnsafeMutablePointer<Float> in
            let memory = UnsafeMutablePointer<Float>.allocate(capacity: n * size)
            memory.initialize(repeating: .nan, count: n * size)
            return memory
        }
        defer { for mean in means { mean.deallocate() } }
        // The pointers are good as long as their arrays, which are lent one inside of the other.
        func lend(_ layer: Int, _ given: [ck_convolution], _ body: ([ck_convolution]) -> Void) {
            guard layer < 3 else { return body(given) }
            numbers.weights[layer].withUnsafeBufferPointer { weights in
                numbers.biases[layer].withUnsafeBufferPointer { bias in
                    let convolution = ck_convolution(
                        weights: layer == 0 && !c.expands ? nil : weights.baseAddress, bias: bias.baseAddress,
                        low: c.low[layer], high: c.high[layer])
                    lend(layer + 1, given + [convolution], body)
                }
            }
        }
        lend(0, []) { convolutions in
            var block = ck_block(
                height: c.height, width: c.width, inputs: c.inputs, channels: c.channels, outputs: c.outputs,
                side: c.side, stride: c.stride, top: c.top, left: c.left, right: c.right, new_height: c.newHeight,
                new_width: c.newWidth, expansion: convolutions[0], depthwise: convolutions[1],
                projection: convolutions[2])
            XCTAssertEqual(ck_run_block(&block, numbers.x, n, &map, means.map { $0 }), 0)
        }
        XCTAssertTrue(map.removeLast().isNaN, "nothing after the end is written")
        return (map, zip(means, sizes).map { Array(UnsafeBufferPointer(start: $0, count: n * $1)) })
    }

    private let cases: [(String, Case)] = [
        ("an inverted residual", Case()),
        ("a stride of 2", Case(height: 15, width: 14, stride: 2, top: 0, left: 0, right: 0)),
        (
            "rows that the filter leaves out",
            Case(height: 10, width: 10, stride: 2, top: 0, bottom: 0, left: 0, right: 0)
        ),
        ("5 x 5", Case(channels: 16, side: 5, top: 2, bottom: 2, left: 2, right: 2)),
        ("5 x 5, a stride of 2", Case(height: 12, width: 9, channels: 80, side: 5, stride: 2, left: 2, right: 2)),
        ("a separable convolution", Case(inputs: 32, channels: 32, outputs: 64, expands: false)),
        ("its stride of 2", Case(inputs: 64, channels: 64, outputs: 48, stride: 2, expands: false)),
        ("one position", Case(height: 1, width: 1, channels: 112)),
        ("one row", Case(height: 1, width: 29, channels: 16, outputs: 33)),
        ("one column", Case(height: 29, width: 1, channels: 64, outputs: 16)),
        ("several bands", Case(height: 40, width: 30, inputs: 16, channels: 96, outputs: 24)),
        ("rows of 7 in one band", Case(height: 7, width: 7, inputs: 20, channels: 240, outputs: 40)),
        ("wide padding", Case(height: 4, width: 5, channels: 16, top: 5, bottom: 4, left: 6, right: 7)),
    ]

    func testAgainstFloat64() throws {
        for (name, c) in cases {
            let numbers = Numbers(c, images: 2)
            var bits: [UInt32]?
            for variant in variants where ck_pin_variant(variant) == 0 {
                XCTAssertNotEqual(ck_has_blocks(), 0)
                let found = computed(c, numbers, images: 2)
                for image in 0..<2 {
                    let expected = expected(c, numbers, image: image)
                    assertNear(found.map, expected.map, image, "\(name), \(variant), map")
                    for (layer, mean) in expected.means.enumerated() {
                        assertNear(found.means[layer], mean, image, "\(name), \(variant), mean \(layer)")
                    }
                }
                let all = (found.map + found.means.joined()).map(\.bitPattern)
                XCTAssertEqual(bits ?? all, all, "\(name): every variant gives the same bits")
                bits = all
            }
        }
    }

    private func assertNear(_ found: [Float], _ expected: [Double], _ image: Int, _ name: String) {
        let part = found.dropFirst(image * expected.count).prefix(expected.count)
        XCTAssertEqual(part.count, expected.count, name)
        let worst = zip(part, expected).map { abs(Double($0) - $1) }.max() ?? .infinity
        XCTAssertLessThan(worst, 1e-5, name)
    }

    /// A NaN must reach the row, where it is an error. A limit must not turn it into a number.
    func testANaNStays() throws {
        let c = Case()
        var numbers = Numbers(c, images: 1)
        numbers.x[7] = .nan
        for variant in variants where ck_pin_variant(variant) == 0 {
            let found = computed(c, numbers, images: 1)
            for (layer, mean) in found.means.enumerated() {
                XCTAssertTrue(mean.allSatisfy(\.isNaN), "\(variant), layer \(layer)")
            }
        }
    }

    func testAProcessorWithoutTheInstructionsHasNone() {
        XCTAssertEqual(ck_pin_variant("baseline"), 0)
        XCTAssertEqual(ck_has_blocks(), 0)
    }
}

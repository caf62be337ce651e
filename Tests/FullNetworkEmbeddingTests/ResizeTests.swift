import CKernels
import XCTest

@testable import FNEImage
@testable import FNENetwork
@testable import FNEPipeline

/// Tests resizing with values by hand. The Python tests compare it with OpenCV itself.
final class ResizeTests: XCTestCase {
    /// Resizes a picture with one grey value per pixel. Each channel is shifted by a constant. All must give the same.
    private func resized(_ grey: [[Int]], to size: (height: Int, width: Int), padding: Int = 0) throws -> [[Int]] {
        let stride = grey[0].count * 3 + padding
        let rgb = grey.flatMap { row in
            row.flatMap { [UInt8($0), UInt8($0 + 1), UInt8($0 + 5)] } + [UInt8](repeating: 0xee, count: padding)
        }
        var out = [UInt8](repeating: 0xdd, count: size.height * size.width * 3)
        XCTAssertEqual(
            ck_resize_bilinear(rgb, stride, grey.count, grey[0].count, &out, size.height, size.width, nil), 0)
        for i in Swift.stride(from: 0, to: out.count, by: 3) {
            XCTAssertEqual([out[i + 1], out[i + 2]], [out[i] + 1, out[i] + 5])
        }
        return (0..<size.height).map { y in (0..<size.width).map { x in Int(out[(y * size.width + x) * 3]) } }
    }

    func testHalvingIsTheRoundedMeanOfFour() throws {
        XCTAssertEqual(try resized([[10, 20], [30, 41]], to: (1, 1)), [[25]]) // 25.25
        XCTAssertEqual(try resized([[1, 2], [2, 2]], to: (1, 1)), [[2]]) // 1.75
        XCTAssertEqual(try resized([[0, 1], [1, 0]], to: (1, 1)), [[1]]) // 0.5
        XCTAssertEqual(try resized([[0, 0], [0, 1]], to: (1, 1)), [[0]]) // 0.25

        var random = SeededRandom(12)
        let picture = (0..<6).map { _ in (0..<8).map { _ in Int.random(in: 0...250, using: &random) } }
        let expected = (0..<3).map { y in
            (0..<4).map { x in
                let (upper, lower) = (picture[2 * y], picture[2 * y + 1])
                let sum = upper[2 * x] + upper[2 * x + 1] + lower[2 * x] + lower[2 * x + 1]
                return Int((Double(sum) / 4).rounded(.toNearestOrAwayFromZero))
            }
        }
        XCTAssertEqual(try resized(picture, to: (3, 4)), expected)
        XCTAssertEqual(try resized(picture, to: (3, 4), padding: 7), expected)
    }

    func testTheSameSizeChangesNothing() throws {
        var random = SeededRandom(13)
        for (height, width) in [(1, 1), (1, 7), (7, 1), (5, 6)] {
            let picture = (0..<height).map { _ in (0..<width).map { _ in Int.random(in: 0...250, using: &random) } }
            XCTAssertEqual(try resized(picture, to: (height, width)), picture)
            XCTAssertEqual(try resized(picture, to: (height, width), padding: 5), picture)
        }
    }

    func testOnePixelFillsAnySize() throws {
        for grey in [0, 1, 127, 250] {
            for (height, width) in [(1, 1), (1, 9), (9, 1), (7, 5), (64, 33)] {
                let filled = [[Int]](repeating: [Int](repeating: grey, count: width), count: height)
                XCTAssertEqual(try resized([[grey]], to: (height, width)), filled)
            }
        }
    }

    func testAConstantPictureStaysConstant() throws {
        for grey in 0...250 {
            let picture = [[Int]](repeating: [Int](repeating: grey, count: 5), count: 3)
            let larger = [[Int]](repeating: [Int](repeating: grey, count: 4), count: 7)
            XCTAssertEqual(try resized(picture, to: (7, 4)), larger)
        }
    }

    /// Sample i of n lies at (i + 0.5) * size / n - 0.5 of the source.
    func testByHand() throws {
        // 2 to 4: -0.25 (the border), 0.25, 0.75, 1.25 (the border).
        XCTAssertEqual(try resized([[0, 100]], to: (1, 4)), [[0, 25, 75, 100]])
        XCTAssertEqual(try resized([[0], [100]], to: (4, 1)), [[0], [25], [75], [100]])
        XCTAssertEqual(try resized([[10, 20]], to: (1, 4)), [[10, 13, 18, 20]]) // 12.5 and 17.5
        // 3 to 2: 0.25 and 1.75.
        XCTAssertEqual(try resized([[0, 100, 200]], to: (1, 2)), [[25, 175]])
        XCTAssertEqual(try resized([[0], [100], [200]], to: (2, 1)), [[25], [175]])
        // 4 to 1: 1.5, which takes only two of the four samples.
        XCTAssertEqual(try resized([[200, 10, 30, 200]], to: (1, 1)), [[20]])
        // Both ways: 0.75 * 0.25 * 160 = 30 and so on.
        XCTAssertEqual(
            try resized([[0, 160], [0, 0]], to: (4, 4)),
            [[0, 40, 120, 160], [0, 30, 90, 120], [0, 10, 30, 40], [0, 0, 0, 0]])
    }

    func testSizes() {
        var out = [UInt8](repeating: 0, count: 3)
        for (height, width, newHeight, newWidth, name) in [
            (0, 1, 1, 1, "height"), (1, 0, 1, 1, "width"), (1, 1, 0, 1, "new height"), (1, 1, 1, 0, "new width"),
            (1, 1, 1, 1 << 29, "new width"), (-1, 1, 1, 1, "height"),
        ] {
            assertFails(.invalidArgument, saying: name) {
                try resizePixels(
                    [1, 2, 3], stride: 3, height: height, width: width, to: &out, newHeight: newHeight,
                    newWidth: newWidth)
            }
        }
    }
}

final class PreprocessingTests: XCTestCase {
    private func fed(
        _ pixels: [UInt8], height: Int, width: Int, stride: Int? = nil, order: ChannelOrder = .rgb,
        by preprocessing: Preprocessing
    ) throws -> [Float] {
        var fed = [Float](repeating: .nan, count: preprocessing.crops.rawValue * preprocessing.cropValueCount)
        try preprocessing.feed(
            pixels, stride: stride ?? width * 3, height: height, width: width, order: order, as: .channelsLast, to: &fed
        )
        return fed
    }

    func testMeanAndScaleOfEachChannel() throws {
        var preprocessing = Preprocessing(height: 1, width: 2)
        preprocessing.mean = (1, 2, 3)
        preprocessing.scale = (0.5, 1, 2)
        XCTAssertEqual(
            try fed([11, 12, 13, 255, 0, 128], height: 1, width: 2, by: preprocessing), [5, 10, 20, 127, -2, 250])
    }

    func testChannelOrder() throws {
        let mean: (Float, Float, Float) = (100, 10, 1) // in the order of the fed channels
        var rgb = Preprocessing(height: 1, width: 1)
        rgb.mean = mean
        var bgr = rgb
        bgr.channelOrder = .bgr
        XCTAssertEqual(try fed([1, 2, 3], height: 1, width: 1, by: rgb), [-99, -8, 2])
        XCTAssertEqual(try fed([1, 2, 3], height: 1, width: 1, by: bgr), [-97, -8, 0])
        XCTAssertEqual(try fed([3, 2, 1], height: 1, width: 1, order: .bgr, by: rgb), [-99, -8, 2])
        XCTAssertEqual(try fed([3, 2, 1], height: 1, width: 1, order: .bgr, by: bgr), [-97, -8, 0])
    }

    func testGrey() throws {
        var grey = Preprocessing(height: 1, width: 2)
        grey.channels = 1
        grey.mean = (1, 99, 99)
        grey.scale = (2, 99, 99)
        // 0.299 R + 0.587 G + 0.114 B
        let pixels: [UInt8] = [255, 0, 0, 10, 20, 30]
        XCTAssertEqual(try fed(pixels, height: 1, width: 2, by: grey), [150, 34])
        grey.channelOrder = .bgr
        XCTAssertEqual(try fed(pixels, height: 1, width: 2, by: grey), [150, 34], "it has no effect")
        XCTAssertEqual(try fed(pixels, height: 1, width: 2, order: .bgr, by: grey), [56, 42])
    }

    func testRowsMayLieApart() throws {
        let same = Preprocessing(height: 2, width: 1)
        XCTAssertEqual(
            try fed([1, 2, 3, 99, 4, 5, 6, 99], height: 2, width: 1, stride: 4, by: same), [1, 2, 3, 4, 5, 6])
        let smaller = Preprocessing(height: 1, width: 1)
        XCTAssertEqual(
            try fed([10, 20, 30, 99, 20, 40, 50, 99], height: 2, width: 1, stride: 4, by: smaller), [15, 30, 40])
    }

    func testPicturesAreStretched() throws {
        let preprocessing = Preprocessing(height: 1, width: 4)
        XCTAssertEqual(
            try fed([0, 0, 0, 100, 100, 100], height: 1, width: 2, by: preprocessing),
            [0, 0, 0, 25, 25, 25, 75, 75, 75, 100, 100, 100])
    }
}

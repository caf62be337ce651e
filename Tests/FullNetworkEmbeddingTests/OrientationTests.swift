import XCTest

@testable import FNEImage

final class OrientationTests: XCTestCase {
    /// A pixel's three bytes from its letter, all different.
    private func pixels(_ picture: String) -> [UInt8] {
        picture.utf8.filter { $0 != 0x20 }.flatMap { [$0, $0 + 100, 255 - $0] }
    }

    func testAllEight() {
        //  a b c
        //  d e f
        let stored = pixels("abc def")
        for (value, shown) in [
            (1, "abc def"), // as stored
            (2, "cba fed"), // left and right change places
            (3, "fed cba"), // turned by 180 degrees
            (4, "def abc"), // top and bottom change places
            (5, "ad be cf"), // rows become columns
            (6, "da eb fc"), // turned right: the first row becomes the right column
            (7, "fc eb da"), // columns become rows from the other corner
            (8, "cf be ad"), // turned left: the first row becomes the left column, from below
        ] {
            guard let orientation = Orientation(rawValue: value) else { return XCTFail("no orientation \(value)") }
            var turned = [UInt8](repeating: 0, count: 18)
            orientation.apply(stored, height: 2, width: 3, to: &turned)
            XCTAssertEqual(turned, pixels(shown), "orientation \(value)")
            XCTAssertEqual(orientation.swapsSides, value >= 5)
        }
        XCTAssertNil(Orientation(rawValue: 0))
        XCTAssertNil(Orientation(rawValue: 9))
    }

    /// Where a shown pixel stands in the stored picture (EXIF 2.32, 4.6.4).
    private func place(_ value: Int, _ row: Int, _ column: Int, height: Int, width: Int) -> (y: Int, x: Int) {
        switch value {
        case 2: (row, width - 1 - column)
        case 3: (height - 1 - row, width - 1 - column)
        case 4: (height - 1 - row, column)
        case 5: (column, row)
        case 6: (height - 1 - column, row)
        case 7: (height - 1 - column, width - 1 - row)
        case 8: (column, width - 1 - row)
        default: (row, column)
        }
    }

    /// Tiles have 64 pixels a side. The memory after the picture must stay as it is.
    func testSidesAroundThoseOfTiles() throws {
        for (height, width) in [(1, 1), (1, 200), (200, 1), (63, 65), (64, 64), (65, 63), (130, 129), (2, 64)] {
            let stored = (0..<height * width * 3).map { UInt8(truncatingIfNeeded: $0 &* 40_503 >> 3) }
            for value in 1...8 {
                let orientation = try XCTUnwrap(Orientation(rawValue: value))
                let (rows, columns) = value >= 5 ? (width, height) : (height, width)
                var shown = [UInt8](repeating: 77, count: stored.count + 16)
                orientation.apply(stored, height: height, width: width, to: &shown)
                var expected = [UInt8](repeating: 77, count: stored.count + 16)
                for row in 0..<rows {
                    for column in 0..<columns {
                        let (y, x) = place(value, row, column, height: height, width: width)
                        for c in 0..<3 { expected[3 * (row * columns + column) + c] = stored[3 * (y * width + x) + c] }
                    }
                }
                XCTAssertEqual(shown, expected, "\(height) x \(width), orientation \(value)")
            }
        }
    }

    func testADecodedPictureIsTurned() throws {
        for (value, height, width, shown) in [(1, 2, 3, "abc def"), (6, 3, 2, "da eb fc"), (8, 3, 2, "cf be ad")] {
            let exif = TIFF(bigEndian: true).directory([(0x0112, value)])
            let file = PNGWriter.encode(pixels("abc def"), height: 2, width: 3, exif: exif)
            let image = try file.withUnsafeBytes { try Image(encoded: $0) }
            XCTAssertEqual(image.height, height)
            XCTAssertEqual(image.width, width)
            XCTAssertEqual(image.withPixels { Array(UnsafeBufferPointer(start: $0, count: 18)) }, pixels(shown))
            XCTAssertEqual(
                try file.withUnsafeBytes { try Image.probe(encoded: $0) },
                ImageInfo(height: height, width: width, format: .png, orientation: value, isPartial: false))
        }
    }
}

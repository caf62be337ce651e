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

import XCTest

@testable import FullNetworkEmbedding

/// Decoding as such is compared with OpenCV in the Python tests; here is what the Swift interface adds.
final class ImageTests: XCTestCase {
    private let rgb: [UInt8] = [255, 0, 0, 0, 255, 0, 0, 0, 255, 1, 2, 3, 4, 5, 6, 7, 8, 9]

    func testDecodeInMemory() throws {
        let file = PNGWriter.encode(rgb, height: 3, width: 2)
        try file.withUnsafeBytes { file in
            let image = try Image(encoded: file)
            XCTAssertEqual(image.height, 3)
            XCTAssertEqual(image.width, 2)
            XCTAssertEqual(image.withPixels { Array(UnsafeBufferPointer(start: $0, count: 18)) }, rgb)
            XCTAssertEqual(
                try Image.probe(encoded: file), ImageInfo(height: 3, width: 2, format: .png, orientation: 1, isPartial: false))

            var own = [UInt8](repeating: 0, count: 18)
            XCTAssertEqual(try Image.decode(encoded: file, to: &own, capacity: 18).width, 2)
            XCTAssertEqual(own, rgb)
            assertFails(.bufferTooSmall, saying: "3 x 2", "18", "17") {
                try Image.decode(encoded: file, to: &own, capacity: 17)
            }
        }
    }

    func testFilesAreNamed() throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("ImageTests-\(getpid())")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let path = folder.appendingPathComponent("bild ü.png").path
        try Data(PNGWriter.encode(rgb, height: 3, width: 2)).write(to: URL(fileURLWithPath: path))
        XCTAssertEqual(try Image(file: FilePath(path)).height, 3)
        XCTAssertEqual(try Image.probe(file: FilePath(path)).width, 2)
        var own = [UInt8](repeating: 0, count: 18)
        XCTAssertEqual(try Image.decode(file: FilePath(path), to: &own, capacity: 18).format, .png)
        XCTAssertEqual(own, rgb)
        assertFails(.fileError, saying: "missing.png", "No such file") { try Image(file: FilePath(folder.path + "/missing.png")) }
        assertFails(.fileError, saying: folder.path, "folder") { try Image.probe(file: FilePath(folder.path)) }
    }

    func testOtherFormatsAreNamed() {
        for (start, text) in [
            (Array("GIF89a".utf8), "GIF"), (Array("BM".utf8), "BMP"), (Array("RIFF\0\0\0\0WEBP".utf8), "WebP"),
            ([0x49, 0x49, 42, 0], "TIFF"), ([0x4d, 0x4d, 0, 42], "TIFF"),
            ([0, 0, 0, 24] + Array("ftypheic".utf8), "HEIF"),
            (Array("hello".utf8), "neither"), ([], "neither"),
        ] as [([UInt8], String)] {
            assertFails(.unsupportedImage, saying: text) { try start.withUnsafeBytes { try Image(encoded: $0) } }
        }
    }

    func testEveryTruncationIsAnError() {
        let file = PNGWriter.encode(rgb, height: 3, width: 2)
        let end = file.count - PNGWriter.chunk("IEND", []).count
        for length in 8..<end {
            assertFails(.damagedImage) { try Array(file[..<length]).withUnsafeBytes { try Image(encoded: $0) } }
        }
    }

    func testHugePicturesAreRefusedByTheirHeader() {
        for (height, width) in [(16_385, 16_384), (1, 1 << 30), (0x7fff_ffff, 0x7fff_ffff)] {
            var file = PNGWriter.encode(rgb, height: 3, width: 2)
            let number = TIFF(bigEndian: true)
            let header = number.number32(width) + number.number32(height) + [8, 2, 0, 0, 0]
            file.replaceSubrange(8..<33, with: PNGWriter.chunk("IHDR", header))
            assertFails(.imageLimit) { try file.withUnsafeBytes { try Image.probe(encoded: $0) } }
        }
    }
}

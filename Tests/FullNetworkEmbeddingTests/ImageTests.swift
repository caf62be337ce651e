import Glibc
import XCTest

@testable import FNEImage
@testable import FNESupport

/// Tests what the Swift interface adds to decoding. The Python tests compare the decoded pixels with OpenCV's.
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
                try Image.probe(encoded: file),
                ImageInfo(height: 3, width: 2, format: .png, orientation: 1, isPartial: false))

            var own = [UInt8](repeating: 0, count: 18)
            XCTAssertEqual(try Image.decode(encoded: file, to: &own, capacity: 18).width, 2)
            XCTAssertEqual(own, rgb)
            assertFails(.bufferTooSmall, saying: "3 x 2", "18", "17") {
                try Image.decode(encoded: file, to: &own, capacity: 17)
            }
        }
    }

    /// The memory of a large picture begins with a page of 2 MiB, so that the system can give it such pages.
    func testLargePicturesLieInLargePages() throws {
        for (size, isLarge) in [((4 << 20) - 1, false), (4 << 20, true), (36_000_000, true)] {
            try Bytes(picture: size).withNumbers(of: UInt8.self) { pixels in
                XCTAssertEqual(UInt(bitPattern: pixels) % (2 << 20) == 0, isLarge)
                XCTAssertEqual(UInt(bitPattern: pixels) % 64, 0)
                memset(pixels, 7, size)
                XCTAssertEqual(pixels[size - 1], 7)
            }
        }
        assertFails(.outOfMemory, saying: "cannot allocate") { try Bytes(picture: .max - (8 << 20)) }
        assertFails(.outOfMemory, saying: "cannot allocate") { try Bytes(picture: -1) }
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
        assertFails(.fileError, saying: "missing.png", "No such file") {
            try Image(file: FilePath(folder.path + "/missing.png"))
        }
        assertFails(.fileError, saying: folder.path, "folder") { try Image.probe(file: FilePath(folder.path)) }
    }

    func testOtherFormatsAreNamed() {
        for (start, text) in [
            (Array("GIF89a".utf8), "GIF"), (Array("BM\0\0\0\0\0\0\0\0\u{36}\0\0\0\u{28}\0\0\0".utf8), "BMP"),
            (Array("BM".utf8), "no JPEG, PNG or WebP"), (Array("....ftypqt  ".utf8), "no JPEG, PNG or WebP"),
            ([0x49, 0x49, 42, 0], "TIFF"), ([0x4d, 0x4d, 0, 42], "TIFF"),
            ([0, 0, 0, 24] + Array("ftypheic".utf8), "HEIF"),
            (Array("hello".utf8), "no JPEG, PNG or WebP"), ([], "no JPEG, PNG or WebP"),
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

    func testLimitsAreOptions() throws {
        let file = PNGWriter.encode(rgb, height: 3, width: 2)
        func decoded(_ change: (inout ImageOptions) -> Void) throws -> Int {
            var options = ImageOptions()
            change(&options)
            return try file.withUnsafeBytes { try Image(encoded: $0, options: options).height }
        }
        XCTAssertEqual(try decoded { $0.maxPixels = 6 }, 3)
        assertFails(.imageLimit, saying: "2 x 3 pixels", "limit of 5") { try decoded { $0.maxPixels = 5 } }
        XCTAssertEqual(try decoded { $0.maxBytes = file.count }, 3)
        assertFails(.imageLimit, saying: "\(file.count) bytes", "max_bytes") {
            try decoded { $0.maxBytes = file.count - 1 }
        }
        XCTAssertEqual(try decoded { $0.maxSide = 3 }, 3)
        assertFails(.imageLimit, saying: "2 x 3 pixels", "limit of 2 (max_side)") { try decoded { $0.maxSide = 2 } }
        for (name, change) in [
            ("max_pixels", { $0.maxPixels = 0 }), ("max_bytes", { $0.maxBytes = -1 }),
            ("max_scans", { $0.maxScans = 0 }), ("max_chunk_bytes", { $0.maxChunkBytes = 1 << 41 }),
            ("max_side", { $0.maxSide = 1 << 31 }), ("max_expansion", { $0.maxExpansion = 0 }),
        ] as [(String, (inout ImageOptions) -> Void)] {
            assertFails(.invalidArgument, saying: name) { try decoded(change) }
        }
    }

    func testWhatCanBeHadOfATruncatedPicture() throws {
        let height = 4_000
        let rgb = (0..<height * 6).map { UInt8(truncatingIfNeeded: $0 &* 37 ^ ($0 >> 3)) }
        let file = PNGWriter.encode(rgb, height: height, width: 2)
        var options = ImageOptions()
        options.toleratesTruncation = true
        let whole = try file.withUnsafeBytes { try Image(encoded: $0, options: options) }
        XCTAssertFalse(whole.info.isPartial)
        let half = Array(file.prefix(file.count / 2))
        let image = try half.withUnsafeBytes { try Image(encoded: $0, options: options) }
        XCTAssertTrue(image.info.isPartial)
        let pixels = image.withPixels { Array(UnsafeBufferPointer(start: $0, count: rgb.count)) }
        let same = zip(pixels, rgb).prefix { $0 == $1 }.count
        XCTAssertGreaterThan(same, 60)
        XCTAssertTrue(pixels[(same + 6)...].allSatisfy { $0 == 0 }, "what is missing is black")
        assertFails(.damagedImage) {
            try Array(file.prefix(50)).withUnsafeBytes { try Image(encoded: $0, options: options) }
        }
    }

    func testPathsNeedNotBeUTF8() {
        let path: [CChar] = [0x2f, 0x6e, 0x6f, CChar(bitPattern: 0xe9), 0x2e, 0x6a, 0x70, 0x67, 0]
        XCTAssertEqual(FilePath(cString: path).description, "/no\u{fffd}.jpg")
        assertFails(.fileError, saying: "/no\u{fffd}.jpg", "No such file") { try Image(file: FilePath(cString: path)) }
    }
}

import XCTest

@testable import FNEImage

final class EXIFTests: XCTestCase {
    private let both = [TIFF(bigEndian: false), TIFF(bigEndian: true)]

    private func orientation(_ file: [UInt8], _ format: ImageFormat) -> Int {
        file.withUnsafeBytes { EXIF.orientation(in: $0, format: format).rawValue }
    }

    private func segment(_ marker: UInt8, _ content: [UInt8]) -> [UInt8] {
        [0xff, marker] + TIFF(bigEndian: true).number16(content.count + 2) + content
    }

    private func app1(_ tiff: [UInt8]) -> [UInt8] { segment(0xe1, Array("Exif\0\0".utf8) + tiff) }

    private func jpeg(_ segments: [UInt8]...) -> [UInt8] { [0xff, 0xd8] + segments.joined() + [0xff, 0xda, 0, 2] }

    private func png(_ exif: [UInt8]) -> [UInt8] {
        PNGWriter.encode([1, 2, 3], height: 1, width: 1, exif: exif)
    }

    func testBothByteOrdersInBothFormats() {
        for tiff in both {
            for value in 1...8 {
                let block = tiff.directory([(0x010f, 7), (0x0112, value), (0x011a, 3)])
                XCTAssertEqual(orientation(jpeg(app1(block)), .jpeg), value)
                XCTAssertEqual(orientation(png(block), .png), value)
            }
        }
    }

    func testOtherSegmentsMayStandBefore() {
        let exif = app1(both[0].directory([(0x0112, 6)]))
        let jfif = segment(0xe0, Array("JFIF\0".utf8))
        let xmp = segment(0xe1, Array("http://ns.adobe.com/xap/1.0/\0<x/>".utf8))
        XCTAssertEqual(orientation(jpeg(jfif, exif), .jpeg), 6)
        XCTAssertEqual(orientation(jpeg(jfif, xmp, exif), .jpeg), 6)
        XCTAssertEqual(orientation(jpeg([0xff, 0xff], exif), .jpeg), 6, "fill bytes")
        XCTAssertEqual(orientation(jpeg(exif, app1(both[0].directory([(0x0112, 3)]))), .jpeg), 6, "the first counts")
    }

    func testAPNGMayHoldItBehindTheImage() {
        let plain = PNGWriter.encode([1, 2, 3], height: 1, width: 1)
        let end = PNGWriter.chunk("IEND", [])
        let exif = PNGWriter.chunk("eXIf", both[1].directory([(0x0112, 5)]))
        XCTAssertEqual(orientation(plain, .png), 1)
        XCTAssertEqual(orientation(plain.dropLast(end.count) + exif + end, .png), 5)
        XCTAssertEqual(orientation(plain + exif, .png), 1, "behind the end")
    }

    func testNoOrientation() {
        XCTAssertEqual(orientation(jpeg(), .jpeg), 1)
        XCTAssertEqual(orientation([], .jpeg), 1)
        XCTAssertEqual(orientation([], .png), 1)
        for tiff in both {
            XCTAssertEqual(orientation(jpeg(app1(tiff.directory([]))), .jpeg), 1)
            XCTAssertEqual(orientation(jpeg(app1(tiff.directory([(0x0111, 6), (0x0113, 6)]))), .jpeg), 1)
        }
        let late = jpeg() + app1(both[0].directory([(0x0112, 6)])) // after the start of scan
        XCTAssertEqual(orientation(late, .jpeg), 1)
    }

    func testBrokenDataMeanAsStored() {
        for tiff in both {
            let body = Array(tiff.directory([(0x0112, 6)])[8...])
            for value in [0, 9, 255, 65_535] {
                XCTAssertEqual(orientation(jpeg(app1(tiff.directory([(0x0112, value)]))), .jpeg), 1, "\(value)")
            }
            XCTAssertEqual(orientation(jpeg(app1(tiff.header(magic: 43) + body)), .jpeg), 1)
            for directory in [9, 1_000, 0x7fff_ffff, 0xffff_fffe, 0xffff_ffff] {
                XCTAssertEqual(orientation(jpeg(app1(tiff.header(directory: directory) + body)), .jpeg), 1)
            }
            let endless = tiff.header() + tiff.number16(0xffff) + tiff.number16(0x0100)
            XCTAssertEqual(orientation(jpeg(app1(endless)), .jpeg), 1, "a directory longer than the data")
        }
        let mixed = Array("IM".utf8) + both[0].directory([(0x0112, 6)])[2...]
        XCTAssertEqual(orientation(jpeg(app1(mixed)), .jpeg), 1)
        XCTAssertEqual(orientation(jpeg([0xff, 0xe1, 0, 1]), .jpeg), 1, "a segment shorter than its own length")
        XCTAssertEqual(orientation(jpeg([0x12, 0x34]), .jpeg), 1, "no marker")
    }

    func testTruncatedDataNeverTrap() {
        for tiff in both {
            let block = tiff.directory([(0x010f, 7), (0x0112, 6)])
            for length in block.indices {
                let value = orientation(jpeg(app1(Array(block[..<length]))), .jpeg)
                // The value's last byte is the tenth of the second entry.
                XCTAssertEqual(value, length >= 8 + 2 + 12 + 10 ? 6 : 1, "\(length) bytes")
            }
            for (file, format) in [(jpeg(app1(block)), ImageFormat.jpeg), (png(block), .png)] {
                for length in file.indices {
                    XCTAssertTrue([1, 6].contains(orientation(Array(file[..<length]), format)))
                }
            }
        }
    }
}

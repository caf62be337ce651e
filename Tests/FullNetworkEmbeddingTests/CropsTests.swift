import XCTest

@testable import FNEImage

/// Tests sizes and places by the documented rules of torchvision's Resize, CenterCrop and TenCrop. The Python tests
/// compare the pixels.
final class CropsTests: XCTestCase {
    private func size(_ height: Int, _ width: Int) -> PixelSize { PixelSize(height: height, width: width) }

    func testStretchingForgetsTheAspect() {
        XCTAssertEqual(ResizeMode.stretch.size(of: size(10, 999), toward: size(224, 224)), size(224, 224))
    }

    func testTheShortestSideDecides() {
        let mode = ResizeMode.shortestSide
        XCTAssertEqual(mode.size(of: size(375, 500), toward: size(256, 256)), size(256, 341)) // 341.33
        XCTAssertEqual(mode.size(of: size(500, 375), toward: size(256, 256)), size(341, 256))
        XCTAssertEqual(mode.size(of: size(100, 100), toward: size(256, 256)), size(256, 256))
        // With an oblong target, the side that is harder to cover decides.
        XCTAssertEqual(mode.size(of: size(100, 200), toward: size(50, 200)), size(100, 200))
        XCTAssertEqual(mode.size(of: size(100, 200), toward: size(100, 20)), size(100, 200))
        XCTAssertEqual(mode.size(of: size(1, 65_500), toward: size(224, 224)), size(224, 224 * 65_500))
    }

    func testItAlwaysCoversTheTarget() {
        var random = SeededRandom(5)
        for _ in 0..<2_000 {
            let picture = size(.random(in: 1...5_000, using: &random), .random(in: 1...5_000, using: &random))
            let target = size(.random(in: 1...400, using: &random), .random(in: 1...400, using: &random))
            let result = ResizeMode.shortestSide.size(of: picture, toward: target)
            XCTAssertTrue(result.height == target.height || result.width == target.width)
            XCTAssertTrue(result.height >= target.height && result.width >= target.width, "\(picture) \(target)")
        }
    }

    func testTheCentreIsRoundedToEven() {
        func place(_ picture: Int, _ crop: Int) -> Int {
            Crops.centre.places(in: size(picture, crop), size: size(crop, crop))[0].top
        }
        XCTAssertEqual(place(256, 224), 16)
        XCTAssertEqual(place(257, 224), 16) // 16.5
        XCTAssertEqual(place(259, 224), 18) // 17.5
        XCTAssertEqual(place(225, 224), 0) // 0.5
        XCTAssertEqual(place(227, 224), 2) // 1.5
        XCTAssertEqual(place(224, 224), 0)
    }

    func testTenCrops() {
        let crops = Crops.ten.places(in: size(10, 13), size: size(4, 8))
        XCTAssertEqual(crops.map(\.top), [0, 0, 6, 6, 3, 0, 0, 6, 6, 3])
        // The columns are 0, 5, 0, 5, 2 from the left. Column 0 of the mirrored picture is column 12.
        XCTAssertEqual(crops.map(\.left), [0, 5, 0, 5, 2, 5, 0, 5, 0, 3])
        XCTAssertEqual(crops.map(\.isMirrored), [Bool](repeating: false, count: 5) + [Bool](repeating: true, count: 5))
    }
}

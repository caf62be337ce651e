import XCTest

@testable import FNENetwork
@testable import FNESupport

final class TensorNameTests: XCTestCase {
    func testNames() {
        for (written, node, output, text) in [
            ("conv", "conv", 0, "conv"), ("conv:0", "conv", 0, "conv"), ("conv:1", "conv", 1, "conv:1"),
            ("import/conv", "conv", 0, "conv"), ("import/conv:0", "conv", 0, "conv"),
            ("import/block/conv:12", "block/conv", 12, "block/conv:12"),
            ("block/import/conv", "block/import/conv", 0, "block/import/conv"),
            ("conv:", "conv:", 0, "conv:"), ("conv:x", "conv:x", 0, "conv:x"), ("conv:-1", "conv:-1", 0, "conv:-1"),
            ("last:25%", "last:25%", 0, "last:25%"), ("", "", 0, ""),
            ("conv:99999999999999999999", "conv:99999999999999999999", 0, "conv:99999999999999999999"),
        ] {
            let name = TensorName(userWritten: written)
            XCTAssertEqual(name.node, node, written)
            XCTAssertEqual(name.output, output, written)
            XCTAssertEqual(name.text, text, written)
        }
    }

    func testInsideAGraphImportIsPartOfTheName() {
        XCTAssertEqual(TensorName("import/conv:1"), TensorName(node: "import/conv", output: 1))
        XCTAssertEqual(TensorName("conv"), TensorName("conv:0"))
    }

    func testNearestNames() {
        let names = ["block1/conv1", "block1/conv2", "block2/conv1", "fc", "softmax"]
        XCTAssertEqual(nearestNames(to: "block1/conv1", among: names, count: 1), ["block1/conv1"])
        XCTAssertEqual(nearestNames(to: "BLOCK1_CONV2", among: names, count: 1), ["block1/conv2"])
        XCTAssertEqual(nearestNames(to: "softmx", among: names, count: 2), ["softmax", "fc"])
        XCTAssertEqual(nearestNames(to: "x", among: []), [])
        XCTAssertEqual(nearestNames(to: "", among: names, count: 2), ["fc", "softmax"])
        XCTAssertEqual(nearestNames(to: "block", among: names).count, 5)
    }
}

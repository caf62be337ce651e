import XCTest

@testable import FNENetwork

final class DataTypeTests: XCTestCase {
    /// Each type of TensorFlow 2.21 (tensorflow/core/framework/types.proto) that the table has, its number and its size
    /// in a tensor.
    func testNumbersAndSizes() {
        for (type, number, size) in [
            (.float32, 1, 4), (.float64, 2, 8), (.int32, 3, 4), (.uint8, 4, 1), (.int16, 5, 2), (.int8, 6, 1),
            (.string, 7, 16), (.complex64, 8, 8), (.int64, 9, 8), (.bool, 10, 1), (.qint8, 11, 1), (.quint8, 12, 1),
            (.qint32, 13, 4), (.bfloat16, 14, 2), (.qint16, 15, 2), (.quint16, 16, 2), (.uint16, 17, 2),
            (.complex128, 18, 16), (.float16, 19, 2), (.resource, 20, 16), (.variant, 21, 16), (.uint32, 22, 4),
            (.uint64, 23, 8),
        ] as [(DataType, Int, Int)] {
            XCTAssertEqual(type.rawValue, number, "\(type)")
            XCTAssertEqual(DataType(number: number), type)
            XCTAssertEqual(type.byteCount, size, "\(type)")
        }
    }

    func testWhatTakesPixels() {
        let whole: [DataType: ClosedRange<Float>] = [
            .uint8: 0...255, .int16: -32_768...32_767, .uint16: 0...65_535, .int32: -16_777_216...16_777_216,
            .int64: -16_777_216...16_777_216, .uint32: 0...16_777_216, .uint64: 0...16_777_216,
        ]
        for number in 0...23 {
            let type = DataType(number: number)
            XCTAssertEqual(type.wholeNumbers, whole[type], "\(type)")
            XCTAssertEqual(type.isReal, [.float32, .float64, .float16, .bfloat16].contains(type), "\(type)")
            XCTAssertEqual(type.takesPixels, type.isReal || whole[type] != nil, "\(type)")
        }
    }

    func testOtherNumbersAreUnknown() {
        for number in [0, 24, 101, -1, Int.max, Int.min] { // 101: float32 by reference
            XCTAssertEqual(DataType(number: number), .unknown, "\(number)")
        }
        XCTAssertEqual(DataType.unknown.byteCount, 4)
    }
}

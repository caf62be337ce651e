import XCTest

@testable import FNENetwork

final class ProtobufReaderTests: XCTestCase {
    /// The fields of a message in words.
    private func fields(_ bytes: [UInt8]) throws -> [String] {
        try bytes.withUnsafeBytes { memory in
            var reader = ProtobufReader(memory)
            var fields: [String] = []
            while let (field, value) = try reader.next() {
                switch value {
                case .varint(let number): fields.append("\(field): varint \(number)")
                case .fixed32(let number): fields.append("\(field): fixed32 \(number)")
                case .fixed64(let number): fields.append("\(field): fixed64 \(number)")
                case .bytes(let content): fields.append("\(field): bytes \(Array(content))")
                }
            }
            return fields
        }
    }

    func testTheExamplesOfTheSpecification() throws {
        // https://protobuf.dev/programming-guides/encoding
        XCTAssertEqual(try fields([0x08, 0x96, 0x01]), ["1: varint 150"])
        XCTAssertEqual(
            try fields([0x12, 0x07, 0x74, 0x65, 0x73, 0x74, 0x69, 0x6e, 0x67]),
            ["2: bytes [116, 101, 115, 116, 105, 110, 103]"])
        XCTAssertEqual(try fields([0x1a, 0x03, 0x08, 0x96, 0x01]), ["3: bytes [8, 150, 1]"])
    }

    func testEveryWireType() throws {
        XCTAssertEqual(try fields([]), [])
        XCTAssertEqual(try fields([0x0d, 1, 2, 3, 4]), ["1: fixed32 67305985"])
        XCTAssertEqual(try fields([0x09, 1, 0, 0, 0, 0, 0, 0, 0x80]), ["1: fixed64 9223372036854775809"])
        XCTAssertEqual(try fields([0x0a, 0, 0x10, 7]), ["1: bytes []", "2: varint 7"])
        XCTAssertEqual(try fields([0xf8, 0xff, 0xff, 0xff, 0x0f, 1]), ["536870911: varint 1"], "the greatest field")
    }

    func testVarintsOfEveryLength() throws {
        for bits in 0..<64 {
            let value = UInt64(1) << UInt64(bits)
            XCTAssertEqual(try fields(Wire.number(1, Int(bitPattern: UInt(value)))), ["1: varint \(value)"])
        }
        XCTAssertEqual(try fields(Wire.number(1, -1)), ["1: varint \(UInt64.max)"])
    }

    func testDamageIsNamedAndPlaced() {
        assertFails(.invalidGraph, saying: "cut off", "byte 1") { try fields([0x08]) }
        assertFails(.invalidGraph, saying: "cut off", "byte 2") { try fields([0x08, 0x80]) }
        assertFails(.invalidGraph, saying: "more than ten bytes") {
            try fields([0x08] + [UInt8](repeating: 0x80, count: 11))
        }
        assertFails(.invalidGraph, saying: "longer than the data") { try fields([0x0a, 2, 0]) }
        assertFails(.invalidGraph, saying: "longer than the data") { try fields([0x0a] + Wire.varint(-1)) }
        assertFails(.invalidGraph, saying: "longer than the data") { try fields([0x0a] + Wire.varint(.max)) }
        assertFails(.invalidGraph, saying: "cut off") { try fields([0x0d, 1, 2, 3]) }
        assertFails(.invalidGraph, saying: "cut off") { try fields([0x09, 1, 2, 3, 4, 5, 6, 7]) }
        assertFails(.invalidGraph, saying: "field number") { try fields([0x00, 1]) }
        assertFails(.invalidGraph, saying: "field number") { try fields(Wire.varint(1 << 32) + [1]) }
        for wireType in [3, 4, 6, 7] as [UInt8] { // groups, and types that do not exist
            assertFails(.invalidGraph, saying: "wire type") { try fields([0x08 | wireType, 1]) }
        }
    }

    func testAFieldOfAnotherTypeIsAnError() throws {
        try [UInt8]("ab".utf8).withUnsafeBytes { memory in
            let (number, text) = (ProtobufReader.Value.varint(7), ProtobufReader.Value.bytes(memory))
            XCTAssertEqual(try number.varint(), 7)
            XCTAssertEqual(try text.string(), "ab")
            XCTAssertEqual(Array(try text.message()), Array(memory))
            assertFails(.invalidGraph, saying: "wire type") { try number.string() }
            assertFails(.invalidGraph, saying: "wire type") { try number.message() }
            assertFails(.invalidGraph, saying: "wire type") { try text.varint() }
            assertFails(.invalidGraph, saying: "wire type") { try ProtobufReader.Value.fixed64(7).varint() }
        }
    }

    func testAFieldThatStandsTwice() throws {
        var fields = SingularFields()
        try fields.take(1)
        try fields.take(2)
        assertFails(.invalidGraph, saying: "twice") { try fields.take(1) }
    }

    /// The ConfigProto that `TF_SetConfig` takes. -1 is written as 64 bits.
    func testTheSessionConfiguration() throws {
        func written(_ configuration: SessionConfiguration) throws -> [String] { try fields(configuration.serialized) }
        let inCaller = "5: varint \(UInt64.max)"
        for threads in [3, 300] {
            XCTAssertEqual(
                try written(.init(threads: threads)).prefix(3), ["2: varint \(threads)", inCaller, "7: varint 1"])
        }
        // graph_options {rewrite_options {disable_meta_optimizer: true}}
        XCTAssertEqual(
            Array(SessionConfiguration(threads: 1, optimization: .none).serialized.suffix(7)),
            [0x52, 5, 0x52, 3, 0x98, 0x01, 1])
        // rewrite_options {meta_optimizer_iterations: ONE, optimizers: ...}, of which the last is "remap"
        let chosen = SessionConfiguration(threads: 1).serialized
        XCTAssertTrue(chosen.indices.contains { chosen[$0...].starts(with: [0x60, 1, 0x80, 0x02, 1, 0xa2, 0x06, 9]) })
        XCTAssertEqual(Array(chosen.suffix(8)), [0xa2, 0x06, 5] + Array("remap".utf8))
        // graph_options {rewrite_options {}}
        XCTAssertEqual(
            Array(SessionConfiguration(threads: 1, optimization: .allPasses).serialized.suffix(4)), [0x52, 2, 0x52, 0])
        // device_count {"GPU": 0}
        XCTAssertEqual(
            Array(SessionConfiguration(threads: 1, device: .cpu).serialized.prefix(9)),
            [0x0a, 7, 0x0a, 3, 0x47, 0x50, 0x55, 0x10, 0])
        // gpu_options {allow_growth: true, visible_device_list: "1"}
        let gpu = SessionConfiguration(threads: 1, device: .gpu(1), growsGPUMemory: true).serialized
        XCTAssertTrue(gpu.indices.contains { gpu[$0...].starts(with: [0x32, 5, 0x20, 1, 0x2a, 1, 0x31]) })
    }
}

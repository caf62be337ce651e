import Foundation
import XCTest

@testable import FNEJob
@testable import FNESupport

/// Compares the library's JSON with Foundation's.
final class JSONTests: XCTestCase {
    private let value = JSON.object([
        "a": .array([.integer(1), .number(-0.25), .number(1e300), .integer(-7), .null, .flag(true), .flag(false)]),
        "b \"\\\n\u{1} ä日😀": .text("x\u{7f}/\t"), "empty": .array([]), "none": .object([]),
        "deep": .array([.object(["x": .integer(1), "y": .array([.array([])])]), .object(["z": .text("")])]),
    ])

    /// Swift takes these texts for equal. They are different names of files.
    func testTextsAreComparedAsBytes() {
        let (composed, decomposed) = ("caf\u{e9}", "cafe\u{301}")
        XCTAssertEqual(composed, decomposed)
        XCTAssertNotEqual(JSON.text(composed), JSON.text(decomposed))
        XCTAssertEqual(JSON.text(composed), JSON.text(composed))
        let object = JSON.object([JSON.Member(name: composed, value: .integer(1))])
        XCTAssertNil(object[decomposed])
        XCTAssertEqual(object[composed], .integer(1))
        XCTAssertNotEqual(object, JSON.object([JSON.Member(name: decomposed, value: .integer(1))]))
    }

    func testWhatIsWrittenFoundationReads() throws {
        let bytes = value.written()
        let read = try XCTUnwrap(JSONSerialization.jsonObject(with: Data(bytes)) as? [String: Any])
        XCTAssertEqual(read.count, 5)
        XCTAssertEqual(read["b \"\\\n\u{1} ä日😀"] as? String, "x\u{7f}/\t")
        let numbers = try XCTUnwrap(read["a"] as? [Any])
        XCTAssertEqual(numbers.count, 7)
        XCTAssertEqual(numbers[1] as? Double, -0.25)
        XCTAssertEqual(numbers[2] as? Double, 1e300)
        XCTAssertEqual(try JSON(reading: bytes), value)
        XCTAssertEqual(try JSON(reading: JSON.object(["a": .integer(1)]).line()), .object(["a": .integer(1)]))
    }

    func testWhatFoundationWritesIsRead() throws {
        let object: [String: Any] = [
            "name": "ü\u{2028}\"\\/\u{8}", "numbers": [1.5, -3, 0], "no": NSNull(), "yes": true,
        ]
        for options: JSONSerialization.WritingOptions in [[], [.prettyPrinted, .sortedKeys]] {
            let json = try JSON(reading: Array(JSONSerialization.data(withJSONObject: object, options: options)))
            XCTAssertEqual(json["name"]?.text, "ü\u{2028}\"\\/\u{8}")
            XCTAssertEqual(json["numbers"]?.array, [.number(1.5), .integer(-3), .integer(0)])
            XCTAssertEqual(json["no"], .null)
            XCTAssertNil(json["other"])
        }
        XCTAssertEqual(try JSON(reading: Array(#"  "\u0041\ud83d\ude00\ud800\/" "#.utf8)), .text("A😀\u{fffd}/"))
    }

    func testBytesThatAreNoTextBecomeReplacements() {
        var bytes: [UInt8] = []
        JSON.write([0x61, 0xff, 0xc3, 0xa4, 0xc3, 0xed, 0xa0, 0x80, 0xf0, 0x9f, 0x98, 0x80, 0xf0, 0x9f], to: &bytes)
        let (one, three) = ("\u{fffd}", "\u{fffd}\u{fffd}\u{fffd}")
        XCTAssertEqual(String(validating: bytes, as: UTF8.self), "\"a\(one)ä\(one)\(three)😀\(one)\"")
    }

    func testControlCharactersAndEndsOfLinesAreEscaped() {
        var bytes: [UInt8] = []
        JSON.write("\u{1}\t\n\u{7f}\u{85}\u{9f}\u{a0}\u{2027}\u{2028}\u{2029}", to: &bytes)
        let escaped = #"\u0001\u0009\u000a\u007f\u0085\u009f"# + "\u{a0}\u{2027}" + #"\u2028\u2029"#
        XCTAssertEqual(String(validating: bytes, as: UTF8.self), "\"\(escaped)\"")
    }

    func testWhatIsNoJSON() {
        let bad = [
            "", " ", "{", "[1,", "[1 2]", "{\"a\"}", "{\"a\":}", "{a:1}", "\"", "\"\\", "\"\\u12\"", "nul", "1 2", "1e",
            "--1", "+1",
            "\"\n\"", "Infinity", "1e999", "]", String(repeating: "[", count: 100),
        ]
        for text in bad { assertFails(.invalidData, saying: "no JSON") { try JSON(reading: Array(text.utf8)) } }
    }

    func testDifferencesAreNamed() throws {
        let a = try JSON(reading: Array(#"{"x": {"y": [1, 2]}, "z": 3}"#.utf8))
        for (text, expected) in [
            (#"{"x": {"y": [1, 2]}, "z": 3}"#, nil), (#"{"x": {"y": [1, 5]}, "z": 3}"#, "x.y[1] is 5 there and 2 here"),
            (#"{"x": {"y": [1]}, "z": 3}"#, "x.y has 1 items there and 2 here"),
            (#"{"x": {"y": [1, 2]}}"#, "z is null there and 3 here"),
            (#"{"x": {"y": [1, 2]}, "z": 3, "more": 1}"#, "more is missing"),
        ] {
            XCTAssertEqual(Manifest.difference(a, try JSON(reading: Array(text.utf8))), expected)
        }
    }
}

import XCTest

@testable import FNENetwork

/// Sizes that a graph asks for by constants.
final class GraphSizesTests: XCTestCase {
    // MARK: Constants

    func testConstantsAreBoundedWhateverIsAllowed() throws {
        func graph(_ shape: [Int], type: Int = 1) -> GraphWriter {
            var graph = GraphWriter()
            graph.node("bomb", "Const", attributes: ["value": Attribute.tensor(type: type, shape)])
            graph.placeholder("input", [-1, 8, 8, 3])
            return graph
        }
        for shape in [[1 << 29 | 1], [1 << 20, 1 << 20], [1 << 40, 1 << 40], [.max, .max], [-1], [1, -7], [.min]] {
            assertFails(.invalidGraph, saying: "'bomb'") { try graph(shape).checkAll() }
        }
        XCTAssertNoThrow(try graph([]).checkAll())
        XCTAssertNoThrow(try graph([0, 7]).checkAll())
        XCTAssertNoThrow(try graph([1 << 20]).checkAll())
    }

    /// A gigabyte, and eight bytes for each of the file's, are the limit of all constants together.
    func testConstantsAreBoundedTogether() throws {
        func graph(_ sizes: [Int], type: Int) -> GraphWriter {
            var graph = GraphWriter()
            for (i, size) in sizes.enumerated() {
                graph.node("c\(i)", "Const", attributes: ["value": Attribute.tensor(type: type, [size])])
            }
            return graph
        }
        let (float32, float64, int8, int16) = (1, 2, 6, 5)
        for (type, size) in [(float32, 1 << 28), (float64, 1 << 27), (int8, 1 << 30), (int16, 1 << 29)] {
            XCTAssertNoThrow(try graph([size], type: type).checkAll())
            XCTAssertNoThrow(try graph([size / 2, size / 2], type: type).checkAll())
            assertFails(.invalidGraph, saying: "more memory") { try graph([size + 1_000], type: type).checkAll() }
            assertFails(.invalidGraph, saying: "more memory") { try graph([size, 1_000], type: type).checkAll() }
            assertFails(.invalidGraph, saying: "more memory") { try graph([size / 2, size, 7], type: type).checkAll() }
        }
    }

    func testConstantsOfFunctionsAreBounded() {
        var graph = GraphWriter()
        graph.placeholder("input", [-1, 8, 8, 3])
        graph.node("call", "helper", "input")
        let bomb = Wire.node("bomb", "Const", attributes: ["value": Attribute.tensor([1 << 40])])
        graph.function("helper", body: [bomb])
        assertFails(.invalidGraph, saying: "'bomb'") { try graph.checkAll() }
    }

    // MARK: Sizes

    private func resizing(to content: [UInt8], shape: [Int], through part: String? = nil) -> GraphWriter {
        var graph = GraphWriter()
        let input = graph.placeholder("input", [-1, 8, 8, 3])
        graph.node("size", "Const", attributes: ["value": Attribute.tensor(type: 3, shape, content)])
        if let part { graph.node("part", part, "size") }
        graph.node("resize", "ResizeBilinear", input, part == nil ? "size" : "part")
        return graph
    }

    func testSizesAreBounded() throws {
        for (height, width) in [(Int32(224), Int32(224)), (16_384, 16_384), (-1, 5), (0, 0)] {
            XCTAssertNoThrow(try resizing(to: Attribute.content(integers: [height, width]), shape: [2]).checkAll())
        }
        for numbers in [[6, Int32.max], [Int32.max, 1], [16_385, 1], [Int32.min, 2]] as [[Int32]] {
            assertFails(.invalidGraph, saying: "'resize' (ResizeBilinear)", "\(numbers[0]) x \(numbers[1])") {
                try resizing(to: Attribute.content(integers: numbers), shape: [2]).checkAll()
            }
        }
        // The same number in the three ways that a file may write it, and behind an Identity.
        let repeated = Wire.number(7, 6) + Wire.number(7, Int(Int32.max))
        let packed = Wire.bytes(7, Wire.varint(6) + Wire.varint(Int(Int32.max)))
        for content in [repeated, packed] {
            assertFails(.invalidGraph, saying: "'resize'") { try resizing(to: content, shape: [2]).checkAll() }
        }
        assertFails(.invalidGraph, saying: "'resize'") {
            try resizing(to: packed, shape: [2], through: "Identity").checkAll()
        }
    }

    func testSizesInFunctionsAreBounded() {
        var graph = GraphWriter()
        graph.placeholder("input", [-1, 8, 8, 3])
        graph.node("call", "helper", "input")
        let size = Wire.node(
            "size", "Const", attributes: ["value": Attribute.tensor(type: 3, [1], Attribute.content(integers: [.max]))])
        graph.function("helper", body: [size, Wire.node("tile", "Tile", ["x", "size:output:0"])])
        assertFails(.invalidGraph, saying: "'tile' (Tile)") { try graph.checkAll() }
    }

    // MARK: Every operation of the table

    /// An operation with four inputs of which one is a size.
    private func check(_ operation: String, place: Int, _ numbers: [Int32], through parts: [String] = []) throws {
        var graph = GraphWriter()
        graph.placeholder("x", [1])
        let value = Attribute.tensor(type: 3, [numbers.count], Attribute.content(integers: numbers))
        var size = graph.node("size", "Const", attributes: ["value": value])
        for (number, part) in parts.enumerated() { size = graph.node("part\(number)", part, size) }
        let inputs = (0..<4).map { $0 == place ? size : "x" }
        graph.append(Wire.bytes(1, Wire.node("asks", operation, inputs)))
        try GraphSizes.check(graph.definition(), size: 1 << 20)
    }

    func testEachSizeOfTheTableIsChecked() throws {
        for (name, operation) in FNENetwork.Operation.rows where !operation.sizes.isEmpty {
            for place in 0..<4 {
                if operation.sizes.contains(place) {
                    assertFails(.invalidGraph, saying: "'asks' (\(name))") {
                        try check(name, place: place, [1 << 28 + 1])
                    }
                } else if !operation.places.numbers(of: 4).contains(place) {
                    XCTAssertNoThrow(try check(name, place: place, [1 << 28 + 1]), "\(name), input \(place) is no size")
                }
            }
        }
        XCTAssertNoThrow(try check("Relu", place: 0, [.max]))
    }

    /// The largest place counts, among however many, and in each way that a file may write them.
    func testPlacesAreBounded() throws {
        func check(_ operation: String, place: Int, _ content: [UInt8], type: Int = 3, count: Int) throws {
            var graph = GraphWriter()
            graph.placeholder("x", [1])
            graph.node("places", "Const", attributes: ["value": Attribute.tensor(type: type, [count], content)])
            graph.node("part", "Identity", "places")
            let inputs = (0..<4).map { $0 == place ? "part" : "x" }
            graph.append(Wire.bytes(1, Wire.node("asks", operation, inputs)))
            try GraphSizes.check(graph.definition(), size: 1 << 20)
        }
        for (name, operation) in FNENetwork.Operation.rows {
            for place in operation.places.numbers(of: 4) {
                for count in [1, 100] {
                    let places = (0..<count).map { $0 == count - 1 ? Int32(1 << 28 + 1) : Int32($0 + 1_000) }
                    let long: [Int32] = places.flatMap { [$0, 0] } // as integers of 64 bits
                    for (content, type) in [
                        (Attribute.content(integers: places), 3), (Attribute.content(integers: long), 9),
                        (places.flatMap { Wire.number(7, Int($0)) }, 3),
                        (Wire.bytes(7, places.flatMap { Wire.varint(Int($0)) }), 3),
                    ] {
                        assertFails(.invalidGraph, saying: "'asks' (\(name))", "the place 268435457") {
                            try check(name, place: place, content, type: type, count: count)
                        }
                    }
                }
                let good = (0..<100).map { Int32(1 << 28 - $0) }
                XCTAssertNoThrow(try check(name, place: place, Attribute.content(integers: good), count: 100))
            }
        }
        XCTAssertEqual(
            FNENetwork.Operation.rows.count { !$0.operation.places.numbers(of: 4).isEmpty }, 10, "these were tried")
    }

    func testTensorsOfAListAreBounded() throws {
        func check(_ name: String, _ shape: [Int]) throws {
            var graph = GraphWriter()
            graph.node("list", "TensorArrayV3", attributes: [name: Attribute.shape(shape)])
            try GraphSizes.check(graph.definition(), size: 1 << 20)
        }
        for name in ["element_shape", "element_shape_except0"] {
            for shape in [[], [-1, 1 << 28], [1 << 14, 1 << 14, 0, -1]] { XCTAssertNoThrow(try check(name, shape)) }
            for shape in [[1 << 28 + 1], [1 << 14, -1, 1 << 15], [.max, .max]] {
                assertFails(.invalidGraph, saying: "'list' (TensorArrayV3)", describe(shape)) {
                    try check(name, shape)
                }
            }
        }
    }

    func testSidesHaveALimitOfTheirOwn() throws {
        XCTAssertNoThrow(try check("Fill", place: 0, [16_385]))
        XCTAssertNoThrow(try check("Pad", place: 1, [16_384]))
        assertFails(.invalidGraph, saying: "of 16385; at most 16384") { try check("Pad", place: 1, [16_385]) }
    }

    func testTheProductOfASizeIsBounded() throws {
        XCTAssertNoThrow(try check("Fill", place: 0, [1 << 14, 1 << 14]))
        XCTAssertNoThrow(try check("Fill", place: 0, [1 << 14, 1, 0, -1, 1 << 14]), "0, 1 and -1 make no size larger")
        for numbers in [[1 << 14, 1 << 14 + 1], [1 << 14, -2, 1 << 14], [.max, .max, .max], [.min, .min, .min]]
            as [[Int32]]
        {
            assertFails(.invalidGraph, saying: "at most 268435456") { try check("Fill", place: 0, numbers) }
        }
    }

    func testSizesArePutTogetherFromParts() throws {
        for part in ["Identity", "Cast", "Squeeze", "ExpandDims", "Pack"] {
            assertFails(.invalidGraph, saying: "'asks'") { try check("Fill", place: 0, [.max], through: [part, part]) }
        }
        // A size that the graph computes cannot be seen.
        XCTAssertNoThrow(try check("Fill", place: 0, [.max], through: ["Neg"]))
    }

    func testLargeNumbersOf64Bits() {
        var graph = GraphWriter()
        let numbers = Wire.number(10, 1 << 40) + Wire.number(10, 1 << 40)
        graph.node("size", "Const", attributes: ["value": Attribute.tensor(type: 9, [2], numbers)])
        graph.node("asks", "Fill", "size", "size")
        assertFails(.invalidGraph, saying: "1099511627776 x 1099511627776") {
            try GraphSizes.check(graph.definition(), size: 1 << 20)
        }
    }
}

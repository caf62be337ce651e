import XCTest

@testable import FNENetwork
@testable import FNESupport

/// A graph that a rewriting has written, read back.
struct WrittenGraph {
    let serialized: [UInt8]
    let definition: GraphDefinition

    init(_ bytes: Bytes) throws {
        serialized = bytes.withBytes { Array($0) }
        definition = try serialized.withUnsafeBytes { try GraphDefinition($0) }
    }

    /// Each node as "name = Operation<type>(inputs)", in the file's order. The type is the attribute T or dtype; of a
    /// cast, both of its types.
    var lines: [String] { definition.nodes.map(Self.line) }

    /// The line of one node, without its name.
    subscript(name: String) -> String? {
        definition.index[name].map { String(Self.line(definition.nodes[$0]).dropFirst("\(name) = ".count)) }
    }

    private static func line(_ node: GraphDefinition.Node) -> String {
        let types = ["T", "dtype", "SrcT", "DstT"].compactMap { node.type($0).map { "\($0)" } }
        let type = types.isEmpty ? "" : "<\(types.joined(separator: " to "))>"
        return "\(node.name) = \(node.operation)\(type)(\(node.inputs.map(\.text).joined(separator: ", ")))"
    }

    func node(_ name: String, file: StaticString = #filePath, line: UInt = #line) throws -> GraphDefinition.Node {
        let number = try XCTUnwrap(definition.index[name], "there is no node '\(name)'", file: file, line: line)
        return definition.nodes[number]
    }

    /// A node's NodeDef.
    func message(_ name: String) throws -> [UInt8] { try Array(serialized[node(name).range]) }

    /// A constant's tensor_content as bfloat16 numbers.
    func bfloat16s(_ name: String, file: StaticString = #filePath, line: UInt = #line) throws -> [Double] {
        BFloat16.numbers(try content(name, file, line))
    }

    /// A constant's tensor_content as float32 numbers.
    func floats(_ name: String, file: StaticString = #filePath, line: UInt = #line) throws -> [Float] {
        try content(name, file, line).withUnsafeBytes { bytes in
            (0..<bytes.count / 4).map { bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
        }
    }

    private func content(_ name: String, _ file: StaticString, _ line: UInt) throws -> [UInt8] {
        for attribute in try Self.parts(5, of: message(name))
        where try Self.parts(1, of: attribute) == [Array("value".utf8)] {
            return try Self.only(4, of: Self.only(8, of: Self.only(2, of: attribute)))
        }
        XCTFail("'\(name)' has no values", file: file, line: line)
        return []
    }

    private static func only(_ field: Int, of message: [UInt8]) throws -> [UInt8] {
        try XCTUnwrap(parts(field, of: message).first)
    }

    /// The contents of a message's fields of that number.
    private static func parts(_ field: Int, of message: [UInt8]) throws -> [[UInt8]] {
        try message.withUnsafeBytes { bytes in
            var reader = ProtobufReader(bytes)
            var found: [[UInt8]] = []
            while let (number, value) = try reader.next() {
                if number == field { found.append(try Array(value.message())) }
            }
            return found
        }
    }
}

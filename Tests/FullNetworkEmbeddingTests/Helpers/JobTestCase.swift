import Foundation
import XCTest

@testable import FNEJob
@testable import FNENetwork
@testable import FNEPipeline
@testable import FNESupport

/// A folder with eleven images and a bad one, and jobs that embed them with a fake engine.
class JobTestCase: XCTestCase {
    var folder = ""

    override func setUpWithError() throws {
        folder = NSTemporaryDirectory() + "fne-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: folder + "/images/sub", withIntermediateDirectories: true)
        for number in 0..<11 {
            // A PNG of one pixel with 8 bits of grey, which zlib stores as a block.
            try Data(png(grey: UInt8(10 + 20 * number))).write(
                to: URL(fileURLWithPath: "\(folder)/images/sub/\(100 + number).png"))
        }
        try Data("no picture".utf8).write(to: URL(fileURLWithPath: folder + "/images/bad.jpg"))
    }

    override func tearDown() { try? FileManager.default.removeItem(atPath: folder) }

    private func png(grey: UInt8) -> [UInt8] {
        func chunk(_ name: String, _ content: [UInt8]) -> [UInt8] {
            let body = Array(name.utf8) + content
            return big(content.count) + body + big(Int(crc(body)))
        }
        func big(_ number: Int) -> [UInt8] { [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: number >> $0) } }
        func crc(_ bytes: [UInt8]) -> UInt32 {
            ~bytes.reduce(~UInt32(0)) { sum, byte in
                (0..<8).reduce(sum ^ UInt32(byte)) { value, _ in value & 1 == 1 ? 0xedb8_8320 ^ value >> 1 : value >> 1
                }
            }
        }
        let raw: [UInt8] = [0, grey]
        let (a, b) = raw.reduce((1, 0)) { sums, byte in
            ((sums.0 + Int(byte)) % 65_521, (sums.1 + sums.0 + Int(byte)) % 65_521)
        }
        let stored: [UInt8] = [0x78, 1, 1, 2, 0, 0xfd, 0xff] + raw + big(b << 16 | a)
        return [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a] + chunk("IHDR", big(1) + big(1) + [8, 0, 0, 0, 0])
            + chunk("IDAT", stored) + chunk("IEND", [])
    }

    func extractor(streams: Int = 2) throws -> Extractor {
        var options = Extractor.Options()
        options.batchSize = 2
        options.streams = streams
        options.loaderThreads = 2
        options.onError = .skip
        options.padsBatches = true
        let layer = Layer(name: "layer", kind: .dense, rank: 2, features: 0..<4)
        return Extractor(
            engine: FakeEngine(valueCount: 3), layers: [layer], preprocessing: Preprocessing(height: 1, width: 1),
            options: options)
    }

    var settings: JSON {
        .object([
            "batch_size": .integer(2), "rows_per_image": .integer(1), "features": .integer(4),
            "layers": .array([
                .object([
                    "name": .text("layer"), "kind": .text("dense"), "rank": .integer(2), "first_feature": .integer(0),
                    "features": .integer(4),
                ])
            ]),
        ])
    }

    func job(_ name: String, streams: Int = 2, _ change: (inout Job.Options) -> Void = { _ in }) throws -> Job {
        var options = try Job.Options()
        options.source = FilePath(folder + "/images")
        options.formats = [.int8, .packed]
        change(&options)
        return try Job(
            folder: FilePath("\(folder)/\(name)"), extractor: extractor(streams: streams), settings: settings,
            options: options)
    }

    func contents(_ name: String) throws -> [String: Data] {
        var result: [String: Data] = [:]
        for file in try FileManager.default.contentsOfDirectory(atPath: "\(folder)/\(name)")
        where file != "runs.jsonl" && !file.hasPrefix("image_files.npy") {
            result[file] = try Data(contentsOf: URL(fileURLWithPath: "\(folder)/\(name)/\(file)"))
        }
        return result
    }

    func numbers<Number: BitwiseCopyable>(_ data: Data?, as type: Number.Type) throws -> [Number] {
        try XCTUnwrap(data).dropFirst(NumPyFile.headerSize).withUnsafeBytes { Array($0.bindMemory(to: type)) }
    }
}

import CKernels
import Foundation
import XCTest

@testable import FNEJob
@testable import FNENetwork
@testable import FNEPipeline
@testable import FNESupport

/// Tests jobs with a fake engine. Tests/python/test_jobs.py runs them with TensorFlow, and kills them.
final class JobTests: JobTestCase {
    func testValues() throws {
        var (failed, phases): ([Int], [Job.Phase]) = ([], [])
        let job = try job("job")
        XCTAssertEqual(job.state, .running)
        XCTAssertEqual(try job.imagesDone(), 0)
        try job.run(
            .init(
                progress: { phase, _, _ in
                    phases.append(phase)
                    return true
                }, imageError: { image, _ in failed.append(image) }))
        XCTAssertEqual(failed, [0])
        XCTAssertEqual(Set(phases).count, 4)
        XCTAssertEqual(job.state, .finished)
        XCTAssertEqual(job.failedCount, 1)
        let files = try contents("job")
        let features = try numbers(files["features.npy"], as: Float.self)
        XCTAssertTrue(features[..<4].allSatisfy(\.isNaN))
        let greys = (0..<11).map { Float(10 + 20 * $0) }
        XCTAssertEqual(Array(features[4...]), greys.flatMap { [$0, $0, $0, 3 * $0] })
        let mean = Double(greys.reduce(0, +)) / 11
        let std = (greys.map { pow(Double($0) - mean, 2) }.reduce(0, +) / 11).squareRoot()
        let stats = try numbers(files["stats.npy"], as: Double.self)
        XCTAssertEqual(stats[0], mean, accuracy: 1e-12)
        XCTAssertEqual(stats[4], std, accuracy: 1e-12)
        let codes = try numbers(files["codes.npy"], as: Int8.self)
        let expected = greys.map { grey -> Int8 in
            let z = (Double(grey) - mean) / std
            return z > 0.15 ? 1 : z < -0.25 ? -1 : 0
        }
        XCTAssertEqual(codes, [Int8](repeating: -128, count: 4) + expected.flatMap { [$0, $0, $0, $0] })
        let words = try numbers(files["codes_packed.npy"], as: UInt64.self)
        XCTAssertEqual(words, [0, 0] + expected.flatMap { [$0 == 0 ? 0 : 15, $0 == -1 ? 15 : 0] as [UInt64] })
        XCTAssertEqual(try numbers(files["status.npy"], as: Int32.self), [5] + [Int32](repeating: 0, count: 11))
        XCTAssertEqual(Set(files.keys).count, 9)
    }

    func testStoppedAtEveryReport() throws {
        let whole = try job("whole")
        var reports = 0
        try whole.run(
            .init(progress: { _, _, _ in
                reports += 1
                return true
            }))
        let expected = try contents("whole")
        XCTAssertGreaterThan(reports, 15)
        // The last report comes when all is done, so it cannot stop the run.
        try job("last").run(.init(progress: { phase, done, total in phase != .finishing || done < total }))
        XCTAssertEqual(try contents("last"), expected)
        for stop in 0..<reports - 1 {
            var left = stop
            assertFails(.cancelled) {
                try job("stopped", streams: 1 + stop % 3) { $0.checkpointSeconds = stop % 2 }.run(
                    .init(progress: { _, _, _ in
                        left -= 1
                        return left >= 0
                    }))
            }
            try job("stopped").run()
            XCTAssertEqual(try contents("stopped"), expected, "stopped at report \(stop)")
            try FileManager.default.removeItem(atPath: folder + "/stopped")
        }
    }

    func testShards() throws {
        try job("whole").run()
        for index in 0..<3 {
            let shard = try job("shard\(index)") { $0.shard = Shard(index: index, count: 3) }
            try shard.run()
            XCTAssertEqual(shard.state, .features)
        }
        var options = try Job.Options()
        options.formats = [.int8, .packed]
        let shards = [2, 0, 1].map { FilePath("\(folder)/shard\($0)") }
        try Job(merging: shards, into: FilePath(folder + "/merged"), options: options).run()
        XCTAssertEqual(try contents("merged"), try contents("whole"))
        assertFails(.jobMismatch, saying: "in none of the shards") {
            try Job(merging: Array(shards.dropLast()), into: FilePath(folder + "/other"), options: options)
        }
    }

    /// Different processors computed the shards. The merge names both, and resumes where it was stopped.
    func testMergeOfDifferentEnginesStoppedAtEveryReport() throws {
        for index in 0..<2 {
            let name = "shard\(index)"
            try job(name) { $0.shard = Shard(index: index, count: 2) }.run()
            var manifest = try Manifest(in: FilePath("\(folder)/\(name)"))
            let first = try XCTUnwrap(manifest.engines.first)
            guard index == 1 else { continue }
            manifest.engines = [.init(firstImage: first.firstImage, facts: .object(["processor": .text("another")]))]
            try manifest.write(to: FilePath("\(folder)/\(name)"))
        }
        var options = try Job.Options()
        options.formats = [.int8, .packed]
        let shards = [0, 1].map { FilePath("\(folder)/shard\($0)") }
        assertFails(.jobMismatch, saying: "different engines") {
            try Job(merging: shards, into: FilePath(folder + "/whole"), options: options)
        }
        options.acceptsOtherEngine = true
        var reports = 0
        try Job(merging: shards, into: FilePath(folder + "/whole"), options: options).run(
            .init(progress: { _, _, _ in
                reports += 1
                return true
            }))
        let expected = try contents("whole")
        XCTAssertEqual(try Manifest(in: FilePath(folder + "/whole")).engines.map(\.firstImage), [0, 6])
        for stop in 0..<reports - 1 {
            var left = stop
            let target = FilePath(folder + "/stopped")
            assertFails(.cancelled) {
                try Job(merging: shards, into: target, options: options).run(
                    .init(progress: { _, _, _ in
                        left -= 1
                        return left >= 0
                    }))
            }
            try Job(merging: shards, into: target, options: options).run()
            XCTAssertEqual(try contents("stopped"), expected, "stopped at report \(stop)")
            try FileManager.default.removeItem(atPath: folder + "/stopped")
        }
    }

    /// A run that was killed, or failed, before it wrote its manifest leaves a folder that can be run.
    func testBeginningsOfAJob() throws {
        try job("whole").run()
        let expected = try contents("whole")
        for names in [
            ["lock"], ["lock", "images.list.new"],
            ["lock", "images.list", "failures.part", "runs.jsonl", "manifest.json.new"],
        ] {
            try FileManager.default.createDirectory(atPath: folder + "/begun", withIntermediateDirectories: true)
            for name in names { try Data("left over".utf8).write(to: URL(fileURLWithPath: "\(folder)/begun/\(name)")) }
            try job("begun").run()
            XCTAssertEqual(try contents("begun").filter { !$0.key.hasSuffix(".new") }, expected, "\(names)")
            try FileManager.default.removeItem(atPath: folder + "/begun")
        }
        try Data("none".utf8).write(to: URL(fileURLWithPath: folder + "/wrong"))
        assertFails(.invalidData) { try job("begun") { $0.statistics = FilePath(folder + "/wrong") }.run() }
        try job("begun").run()
        XCTAssertEqual(try contents("begun"), expected)
        try Data("a user's".utf8).write(to: URL(fileURLWithPath: folder + "/images/notes"))
        assertFails(.invalidArgument, saying: "and no job") {
            var options = try Job.Options()
            options.source = FilePath(folder + "/images")
            try Job(folder: FilePath(folder + "/images"), extractor: extractor(), settings: settings, options: options)
                .run()
        }
    }

    func testNothingToKeepIsRefused() throws {
        try job("job").run()
        assertFails(.invalidArgument, saying: "nothing would be kept") {
            try job("other") {
                $0.keepsFeatures = false
                $0.statistics = FilePath(folder + "/job/statistics.fne")
                $0.formats = nil
            }
        }
    }

    func testShardsAreWholeBatches() throws {
        for (total, perBatch, count) in [(27, 4, 3), (1, 1, 1), (100, 7, 15), (12, 2, 5)] {
            var next = 0
            for index in 0..<count {
                let range = try Shard(index: index, count: count).images(of: total, imagesPerBatch: perBatch)
                XCTAssertEqual(range.lowerBound, next)
                XCTAssertTrue(range.upperBound == total || range.upperBound % perBatch == 0)
                next = range.upperBound
            }
            XCTAssertEqual(next, total)
        }
        for shard in [
            Shard(index: -1, count: 3), Shard(index: 3, count: 3), Shard(index: 0, count: 0), Shard(index: 0, count: 9),
        ] {
            assertFails(.invalidArgument) { try shard.images(of: 12, imagesPerBatch: 4) }
        }
    }

    func testLock() throws {
        let (first, second) = (try job("job"), try job("job"))
        var status: FNEError.Status?
        try first.run(
            .init(progress: { _, done, _ in
                if done == 2 { do { try second.run() } catch { status = (error as? FNEError)?.status } }
                return true
            }))
        XCTAssertEqual(status, .jobBusy)
        try second.run() // nothing is left
        XCTAssertEqual(second.state, .finished)
    }

    func testChecksums() {
        // FIPS 180-4's examples, and lengths around a block's.
        func hash(_ text: String) -> String { Array(text.utf8).withUnsafeBytes(sha256) }
        XCTAssertEqual(hash(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
        XCTAssertEqual(hash("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
        XCTAssertEqual(
            hash("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1")
        XCTAssertEqual(
            hash(String(repeating: "a", count: 1_000_000)),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0")
    }

    func testPacking() {
        var random = SeededRandom(31)
        for features in [1, 7, 8, 63, 64, 65, 130, 1_000] {
            let choices: [Int8] = [-1, 0, 1, -128]
            let codes = (0..<features).map { _ in choices[Int.random(in: 0..<4, using: &random)] }
            let words = (features + 63) / 64
            var (nonzero, negative) = ([UInt64](repeating: .max, count: words), [UInt64](repeating: .max, count: words))
            ck_pack(codes, features, &nonzero, &negative)
            for f in 0..<words * 64 {
                let code = f < features && codes[f] != -128 ? codes[f] : 0
                XCTAssertEqual(nonzero[f / 64] >> (f % 64) & 1, code == 0 ? 0 : 1)
                XCTAssertEqual(negative[f / 64] >> (f % 64) & 1, code == -1 ? 1 : 0)
            }
            var unpacked = [Int8](repeating: 5, count: features)
            ck_unpack(nonzero, negative, features, &unpacked)
            XCTAssertEqual(unpacked, codes.map { $0 == -128 ? 0 : $0 })
        }
    }
}

import Foundation
import XCTest

@testable import FNEJob
@testable import FNENetwork
@testable import FNEPipeline
@testable import FNESupport

/// Damages the files of jobs. Each time, a further run must give the right bytes, or a clear error.
final class JobDamageTests: JobTestCase {
    /// The kinds of damage. Each changes a file's bytes, and gives nil for a file that it removes.
    private var kinds: [(name: String, damage: (Data) -> Data?)] {
        [
            ("removed", { _ in nil }),
            ("emptied", { _ in Data() }),
            ("cut", { $0.prefix($0.count / 2) }),
            ("with a flipped bit in the middle", { JobDamageTests.flipped($0, at: $0.count / 2) }),
            ("with a flipped last bit", { JobDamageTests.flipped($0, at: $0.count - 1) }),
            ("zeroed", { Data(count: $0.count) }),
            ("longer", { $0 + Data("more".utf8) }),
        ]
    }

    private static func flipped(_ data: Data, at place: Int) -> Data {
        var result = Data(data)
        if place >= 0, place < result.count { result[place] ^= 1 }
        return result
    }

    private func damage(_ job: String, _ file: String, _ change: (Data) -> Data?) throws {
        let path = "\(folder)/\(job)/\(file)"
        let data = try Data(contentsOf: URL(fileURLWithPath: path))
        if let changed = change(data) {
            try changed.write(to: URL(fileURLWithPath: path))
        } else {
            try FileManager.default.removeItem(atPath: path)
        }
    }

    private func copy(_ job: String, to copy: String) throws {
        try? FileManager.default.removeItem(atPath: "\(folder)/\(copy)")
        try FileManager.default.copyItem(atPath: "\(folder)/\(job)", toPath: "\(folder)/\(copy)")
    }

    /// The options of jobs of each kind.
    private var jobs: [(name: String, options: (inout Job.Options) -> Void)] {
        let statistics = FilePath(folder + "/given.fne")
        return [
            ("own", { _ in }),
            ("features", { $0.formats = nil }),
            ("given", { $0.statistics = statistics }),
            (
                "packed",
                {
                    $0.statistics = statistics
                    $0.keepsFeatures = false
                    $0.formats = .packed
                }
            ),
        ]
    }

    private func makeGivenStatistics() throws {
        try job("first").run()
        try FileManager.default.copyItem(atPath: folder + "/first/statistics.fne", toPath: folder + "/given.fne")
    }

    func testDamageToFinishedJobs() throws {
        try makeGivenStatistics()
        for (name, options) in jobs {
            try job("whole", options).run()
            let expected = try contents("whole")
            try Job(existing: FilePath(folder + "/whole"), options: Job.Options()).verify()
            for file in expected.keys.sorted() {
                for (kind, change) in kinds {
                    let what = "\(name): \(file) \(kind)"
                    try copy("whole", to: "damaged")
                    try damage("damaged", file, change)
                    guard try contents("damaged") != expected else { continue }
                    // A reader notices it.
                    XCTAssertThrowsError(
                        try Job(existing: FilePath(folder + "/damaged"), options: Job.Options()).verify(), what
                    ) { error in
                        XCTAssertEqual((error as? FNEError)?.message.contains(file), true, "\(what): \(error)")
                    }
                    // A further run repairs it and says so, or names the manifest.
                    var notices: [String] = []
                    do {
                        try job("damaged", options).run(.init(notice: { notices.append($0) }))
                        XCTAssertEqual(try contents("damaged"), expected, what)
                        XCTAssertTrue(notices.contains { $0.contains(file) }, "\(what): \(notices)")
                        try Job(existing: FilePath(folder + "/damaged"), options: Job.Options()).verify()
                    } catch let error as FNEError {
                        XCTAssertEqual(file, "manifest.json", "\(what): \(error)")
                    }
                }
            }
            try FileManager.default.removeItem(atPath: folder + "/whole")
        }
    }

    func testDamageToStoppedJobs() throws {
        try makeGivenStatistics()
        for (name, options) in jobs {
            try? FileManager.default.removeItem(atPath: folder + "/whole")
            var reports = 0
            try job("whole", options).run(
                .init(progress: { _, _, _ in
                    reports += 1
                    return true
                }))
            let expected = try contents("whole")
            for stop in stride(from: 1, to: reports - 1, by: 5) {
                try? FileManager.default.removeItem(atPath: folder + "/stopped")
                var left = stop
                assertFails(.cancelled) {
                    try job("stopped") {
                        options(&$0)
                        $0.checkpointSeconds = 0
                    }.run(
                        .init(progress: { _, _, _ in
                            left -= 1
                            return left >= 0
                        }))
                }
                for file in try FileManager.default.contentsOfDirectory(atPath: folder + "/stopped").sorted() {
                    for (kind, change) in kinds {
                        let what = "\(name), stopped at report \(stop): \(file) \(kind)"
                        try copy("stopped", to: "damaged")
                        try damage("damaged", file, change)
                        do {
                            try job("damaged", options).run()
                            XCTAssertEqual(try contents("damaged"), expected, what)
                        } catch let error as FNEError {
                            XCTAssertEqual(file, "manifest.json", "\(what): \(error)")
                        }
                    }
                }
            }
        }
    }

    /// A merge takes no byte of a damaged shard.
    func testDamageToShards() throws {
        for index in 0..<2 { try job("shard\(index)") { $0.shard = Shard(index: index, count: 2) }.run() }
        let shards = ["damaged", "shard1"].map { FilePath("\(folder)/\($0)") }
        for file in try contents("shard0").keys.sorted() {
            for (kind, change) in kinds {
                try copy("shard0", to: "damaged")
                try damage("damaged", file, change)
                guard try contents("damaged") != contents("shard0") else { continue }
                do {
                    try Job(merging: shards, into: FilePath(folder + "/merged"), options: Job.Options()).run()
                    XCTAssertFalse(["features.npy", "images.jsonl", "images.list"].contains(file), "\(file) \(kind)")
                    var options = try Job.Options()
                    options.formats = .int8
                    try job("whole") { $0.formats = .int8 }.run()
                    XCTAssertEqual(try contents("merged"), try contents("whole"), "\(file) \(kind)")
                } catch let error as FNEError {
                    XCTAssertTrue([.invalidData, .fileError, .jobMismatch].contains(error.status), "\(error)")
                    XCTAssertTrue(error.message.contains("damaged"), "\(file) \(kind): \(error)")
                }
                try? FileManager.default.removeItem(atPath: folder + "/merged")
            }
        }
    }

    /// A run that is stopped while it repairs can be run again.
    func testStoppedRepairs() throws {
        try job("whole").run()
        let expected = try contents("whole")
        for file in ["features.npy", "codes.npy", "images.jsonl", "statistics.fne"] {
            for stop in 0..<40 {
                try copy("whole", to: "damaged")
                try damage("damaged", file) { JobDamageTests.flipped($0, at: $0.count / 2) }
                var left = stop
                let first = try job("damaged") { $0.checkpointSeconds = stop % 2 }
                do {
                    try first.run(
                        .init(progress: { _, _, _ in
                            left -= 1
                            return left >= 0
                        }))
                } catch let error as FNEError { XCTAssertEqual(error.status, .cancelled) }
                try job("damaged").run()
                XCTAssertEqual(try contents("damaged"), expected, "\(file), stopped at report \(stop)")
            }
        }
    }

    func testFailedImagesAreTriedAgain() throws {
        let good = try Data(contentsOf: URL(fileURLWithPath: folder + "/images/sub/103.png"))
        let bad = URL(fileURLWithPath: folder + "/images/bad.jpg")
        let later = URL(fileURLWithPath: folder + "/images/sub/104.png")
        let formerly = try Data(contentsOf: later)
        try good.write(to: bad)
        try job("expected").run()
        try Data("no picture".utf8).write(to: bad)
        try Data("no picture".utf8).write(to: later)
        for stop in [nil, 3, 5, 9] {
            try Data("no picture".utf8).write(to: bad)
            try Data("no picture".utf8).write(to: later)
            try? FileManager.default.removeItem(atPath: folder + "/job")
            var left = stop ?? .max
            try? job("job") { $0.checkpointSeconds = 0 }.run(
                .init(progress: { _, _, _ in
                    left -= 1
                    return left >= 0
                }))
            try good.write(to: bad)
            try formerly.write(to: later)
            let again = try job("job")
            try again.run()
            if stop == nil { XCTAssertEqual(again.failedCount, 2) } // it is finished, and not asked to try again
            let retried = try job("job") { $0.retriesFailed = true }
            try retried.run()
            XCTAssertEqual(retried.failedCount, 0)
            XCTAssertEqual(try contents("job"), try contents("expected"), "stopped at report \(stop ?? -1)")
        }
    }

    func testChangedImagesAreNoticed() throws {
        try job("job").run()
        var notices: [String] = []
        try job("job").run(.init(notice: { notices.append($0) }))
        XCTAssertEqual(notices, [])
        let image = URL(fileURLWithPath: folder + "/images/sub/105.png")
        try (Data(contentsOf: image) + Data("more".utf8)).write(to: image)
        try job("job").run(.init(notice: { notices.append($0) }))
        XCTAssertEqual(notices.count, 1)
        XCTAssertEqual(notices.first?.hasPrefix("1 of 12 image files"), true, "\(notices)")
        XCTAssertEqual(notices.first?.contains("'sub/105.png'"), true, "\(notices)")
    }

    /// Without the file `lock`, a second run must still not begin.
    func testRemovedLock() throws {
        let (first, second) = (try job("job"), try job("job"))
        var status: FNEError.Status?
        try first.run(
            .init(progress: { _, done, _ in
                if done == 2 {
                    try? FileManager.default.removeItem(atPath: self.folder + "/job/lock")
                    do { try second.run() } catch { status = (error as? FNEError)?.status }
                }
                return true
            }))
        XCTAssertEqual(status, .jobBusy)
    }

    /// The states in the manifest are those of SHA-256 after each block, and a check finds exactly the damaged blocks.
    func testBlocks() throws {
        let size = 5 * 65_536 + 77
        let content = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 2_654_435_761 >> 13) }
        let path = FilePath(folder + "/blocks")
        try File.replace(path, with: content)
        let checksum = content.withUnsafeBytes { FileChecksum($0) }
        XCTAssertEqual(checksum.states.count, 5)
        XCTAssertEqual(checksum.sha256, content.withUnsafeBytes(sha256))
        var inPieces = FileChecksum(expecting: size)
        for start in stride(from: 0, to: size, by: 1_003) {
            content[start..<min(start + 1_003, size)].withUnsafeBytes { inPieces.update($0) }
        }
        inPieces.close()
        XCTAssertEqual(inPieces, checksum)
        let read = try XCTUnwrap(FileChecksum(JSON(reading: checksum.json.written())))
        XCTAssertEqual(read, checksum)
        XCTAssertEqual(try read.damage(in: File(path, .reading)), [])
        for (place, block) in [(0, 0), (65_535, 0), (65_536, 1), (3 * 65_536 + 5, 3), (size - 1, 5)] {
            var damaged = content
            damaged[place] ^= 4
            try File.replace(path, with: damaged)
            let expected = block * 65_536..<min((block + 1) * 65_536, size)
            XCTAssertEqual(try read.damage(in: File(path, .reading)), [expected])
            XCTAssertEqual(try read.damage(in: File(path, .reading), place..<place + 1), [expected])
            XCTAssertEqual(try read.damage(in: File(path, .reading), 2 * 65_536..<3 * 65_536), [])
        }
        try File.replace(path, with: Array(content[..<(2 * 65_536 + 1)]))
        XCTAssertEqual(try read.damage(in: File(path, .reading)), [2 * 65_536..<size])
        var cancelled = false
        assertFails(.cancelled) {
            _ = try read.damage(in: File(path, .reading)) { _ in
                defer { cancelled = true }
                return cancelled
            }
        }
    }
}

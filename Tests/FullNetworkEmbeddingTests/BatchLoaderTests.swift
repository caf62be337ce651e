import XCTest

@testable import FNEPipeline
@testable import FNESupport

final class BatchLoaderTests: XCTestCase {
    /// The two values that image i becomes.
    private func values(_ image: Int) -> [Float] { [Float(image), -Float(image) - 0.5] }

    private func loader(
        count: Int, batchSize: Int, threads: Int, load: @escaping (Int) throws -> [Float]
    ) throws -> BatchLoader {
        try BatchLoader(count: count, batchSize: batchSize, valueCount: 2, threads: threads, consumers: 1) {
            image, target in
            for (k, value) in try load(image).enumerated() { target[k] = value }
        }
    }

    /// Takes the batches one after the other. Gives each back before the next is taken.
    private func forEachBatch(_ loader: BatchLoader, _ body: (BatchLoader.Batch) -> Void) {
        while let batch = loader.take() {
            body(batch)
            loader.giveBack(batch)
        }
    }

    func testBatchesInOrderForEveryBatchSizeAndNumberOfThreads() throws {
        for count in [1, 2, 3, 7, 20] {
            for batchSize in 1...count + 1 {
                for threads in [1, 2, 3, 8] {
                    let loader = try loader(count: count, batchSize: batchSize, threads: threads, load: values)
                    defer { loader.stop() }
                    var seen: [Float] = []
                    var firsts: [Int] = []
                    forEachBatch(loader) { batch in
                        firsts.append(batch.first)
                        XCTAssertEqual(batch.count, min(batchSize, count - batch.first))
                        XCTAssertTrue(batch.failures.isEmpty)
                        seen += UnsafeBufferPointer(start: batch.values, count: batch.count * 2)
                    }
                    XCTAssertEqual(firsts, Array(stride(from: 0, to: count, by: batchSize)))
                    XCTAssertEqual(seen, (0..<count).flatMap(values))
                    XCTAssertNil(loader.take(), "there is nothing behind the last")
                }
            }
        }
    }

    func testEachImageIsLoadedOnce() throws {
        let loads = Locked([Int](repeating: 0, count: 50))
        let loader = try loader(count: 50, batchSize: 4, threads: 8) { image in
            loads.with { $0[image] += 1 }
            return [0, 0]
        }
        defer { loader.stop() }
        forEachBatch(loader) { _ in }
        XCTAssertEqual(loads.current, [Int](repeating: 1, count: 50))
    }

    /// The images that are in work end, and no further one is begun. Each has an error, so that no consumer waits.
    func testNothingIsLoadedAfterAnErrorOfTheMachine() throws {
        for status in [FNEError.Status.ioError, .outOfMemory] {
            for threads in 1...4 {
                let loads = Locked(0)
                let loader = try loader(count: 400, batchSize: 4, threads: threads) { image in
                    loads.with { $0 += 1 }
                    if image >= 5 { throw FNEError(status, "image \(image)") }
                    return [7, 7]
                }
                defer { loader.stop() }
                var (good, batches) = (0, 0)
                forEachBatch(loader) { batch in
                    good += batch.count - batch.failures.count
                    batches += 1
                    XCTAssertTrue(batch.failures.allSatisfy { $0.error.status == status })
                }
                XCTAssertEqual(good, 5)
                XCTAssertEqual(batches, 100)
                XCTAssertLessThanOrEqual(loads.current, 5 + threads)
            }
        }
    }

    func testFailuresAreToldWithTheirPlace() throws {
        for threads in 1...8 {
            let loader = try loader(count: 11, batchSize: 4, threads: threads) { image in
                if [1, 3, 9].contains(image) { throw FNEError(.damagedImage, "image \(image)") }
                if image == 5 { throw CocoaError(.featureUnsupported) } // is no FNEError
                return [7, 7]
            }
            defer { loader.stop() }
            var failures: [[Int]] = []
            var statuses: [FNEError.Status] = []
            forEachBatch(loader) { batch in
                failures.append(batch.failures.map(\.offset))
                statuses += batch.failures.map(\.error.status)
                for row in 0..<batch.count where !batch.failures.contains(where: { $0.offset == row }) {
                    XCTAssertEqual([batch.values[2 * row], batch.values[2 * row + 1]], [7, 7])
                }
            }
            XCTAssertEqual(failures, [[1, 3], [1], [1]])
            XCTAssertEqual(statuses, [.damagedImage, .damagedImage, .internalError, .damagedImage])
        }
    }

    /// However many images there are, the loader holds three batches and runs no further ahead of the consumer.
    func testMemoryIsARingOfThreeBatches() throws {
        let asked = Locked(0)
        let addresses = Locked(Set<UInt>())
        let tooFar = Locked(0)
        let loader = try BatchLoader(count: 200, batchSize: 5, valueCount: 2, threads: 4, consumers: 1) {
            image, target in
            // After the batches that were given back, three may be loaded.
            let limit = (asked.current + 3) * 5
            if image >= limit { tooFar.with { $0 += 1 } }
            addresses.with { $0.insert(UInt(bitPattern: target)) }
            target[0] = Float(image)
            target[1] = 0
        }
        defer { loader.stop() }
        var images: [Float] = []
        while true {
            asked.with { $0 += 1 }
            guard let batch = loader.take() else { break }
            images += (0..<batch.count).map { batch.values[2 * $0] }
            loader.giveBack(batch)
        }
        XCTAssertEqual(images, (0..<200).map { Float($0) })
        XCTAssertEqual(tooFar.current, 0)
        XCTAssertEqual(addresses.current.count, 15)
    }

    func testABatchStaysAsItIsUntilItIsGivenBack() throws {
        let later = Locked(0)
        let loader = try loader(count: 30, batchSize: 2, threads: 4) { image in
            if image >= 6 { later.with { $0 += 1 } }
            return self.values(image)
        }
        defer { loader.stop() }
        let batch = try XCTUnwrap(loader.take())
        XCTAssertEqual(later.current, 0, "the ring is full with images 0 to 5")
        XCTAssertEqual(Array(UnsafeBufferPointer(start: batch.values, count: 4)), values(0) + values(1))
    }

    func testMemoryIsAlignedForTensorFlow() throws {
        let loader = try loader(count: 7, batchSize: 3, threads: 2, load: values)
        defer { loader.stop() }
        forEachBatch(loader) { batch in XCTAssertEqual(UInt(bitPattern: batch.values) % 64, 0) }
    }

    func testStopBeforeTheEnd() throws {
        for taken in 0...3 {
            let loads = Locked(0)
            let loader = try loader(count: 1_000, batchSize: 2, threads: 8) { _ in
                loads.with { $0 += 1 }
                return [0, 0]
            }
            for _ in 0..<taken { loader.take().map(loader.giveBack) }
            loader.stop()
            let after = loads.current
            XCTAssertLessThanOrEqual(after, (taken + 3) * 2)
            loader.stop() // a second call does nothing
            XCTAssertEqual(loads.current, after)
        }
    }

    func testSizesThatOverflowAreRefused() {
        assertFails(.invalidArgument, saying: "batch_size") {
            try BatchLoader(count: 10, batchSize: 10, valueCount: 1 << 60, threads: 1, consumers: 1) { _, _ in }
        }
        assertFails(.outOfMemory) {
            try BatchLoader(count: 10, batchSize: 10, valueCount: 1 << 55, threads: 1, consumers: 1) { _, _ in }
        }
    }

    func testSeveralConsumersGetEveryBatchOnce() throws {
        for (consumers, threads) in [(2, 1), (3, 4), (8, 2)] {
            let loader = try BatchLoader(
                count: 100, batchSize: 3, valueCount: 2, threads: threads, consumers: consumers
            ) { image, target in
                target[0] = Float(image)
                target[1] = -1
            }
            defer { loader.stop() }
            let seen = Locked<[Int: [Float]]>([:])
            let unchecked = UncheckedSendable(loader)
            DispatchQueue.concurrentPerform(iterations: consumers) { _ in
                while let batch = unchecked.value.take() {
                    let images = (0..<batch.count).map { batch.values[2 * $0] }
                    seen.with { $0[batch.number] = images }
                    unchecked.value.giveBack(batch)
                }
            }
            XCTAssertEqual(seen.current.count, 34)
            XCTAssertEqual((0..<34).flatMap { seen.current[$0] ?? [] }, (0..<100).map { Float($0) })
        }
    }

    func testStopFreesAConsumerThatWaits() throws {
        let loader = try loader(count: 10, batchSize: 1, threads: 1) { _ in [0, 0] }
        let held = (0..<3).compactMap { _ in loader.take() } // these are the whole ring, so nothing more can be loaded
        XCTAssertEqual(held.count, 3)
        let waiting = UncheckedSendable(loader)
        let ended = expectation(description: "take returned")
        Thread.detachNewThread {
            XCTAssertNil(waiting.value.take())
            ended.fulfill()
        }
        usleep(20_000)
        loader.stop()
        wait(for: [ended], timeout: 10)
    }
}

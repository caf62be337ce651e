import Glibc

/// Loads images into a ring of batches on several threads, in order, ahead of the consumer but by no more than the ring
/// holds: memory does not grow with the number of images.
final class BatchLoader {
    /// A batch of the ring, lent to the consumer by `next`.
    struct Batch {
        let first: Int
        let count: Int
        let values: UnsafeMutablePointer<Float>
        /// Errors of single images, by their number in the batch.
        let failures: [(offset: Int, error: FNEError)]
    }

    private struct Slot {
        let memory: Bytes
        let values: UnsafeMutablePointer<Float>
        var pending: Int
        var failures: [(offset: Int, error: FNEError)] = []
    }

    private let count: Int
    private let batchSize: Int
    private let valueCount: Int
    private let load: (Int, UnsafeMutablePointer<Float>) throws -> Void

    private let monitor = Monitor()
    private var slots: [Slot] = []
    private var workers: [Worker] = []
    private var nextImage = 0
    private var nextBatch = 0 // of the consumer; batches before it were given back
    private var stopped = false

    /// - Parameters:
    ///   - count: images in all
    ///   - valueCount: floats of one image
    ///   - threads: at least 1; with 1 image, or when the system gives no thread, the consumer loads by itself
    ///   - load: writes image i's floats; called from several threads
    init(
        count: Int, batchSize: Int, valueCount: Int, threads: Int,
        load: @escaping (Int, UnsafeMutablePointer<Float>) throws -> Void
    ) throws {
        self.count = count
        self.batchSize = min(batchSize, count)
        self.valueCount = valueCount
        self.load = load
        let batches = (count - 1) / self.batchSize + 1
        for number in 0..<min(batches, Self.ringSize) {
            let bytes = try checkedProduct(
                self.batchSize, valueCount, MemoryLayout<Float>.size, of: "batch_size x height x width")
            let memory = try Bytes(count: bytes)
            // The slots live as long as the loader, which joins its threads before it goes.
            let values = memory.withNumbers(of: Float.self) { $0 }
            slots.append(Slot(memory: memory, values: values, pending: size(ofBatch: number)))
        }
        guard count > 1 else { return }
        for _ in 0..<min(threads, count) {
            guard let worker = Worker({ [unowned(unsafe) self] in self.work() }) else { break }
            workers.append(worker)
        }
    }

    /// One batch in the network, one ready, one being filled.
    private static let ringSize = 3

    deinit { stop() }

    /// Ends the threads; each finishes the image that it is loading. The consumer's last batch stays valid.
    func stop() {
        monitor.locked {
            stopped = true
            monitor.notifyAll()
        }
        for worker in workers { worker.join() }
        workers = []
    }

    private func size(ofBatch number: Int) -> Int { min(batchSize, count - number * batchSize) }

    /// The next batch, once it is complete; nil after the last. It is the consumer's until the next call.
    func next() -> Batch? {
        monitor.locked {
            if nextBatch > 0 { release(nextBatch - 1) }
            let number = nextBatch
            guard number * batchSize < count else { return nil }
            nextBatch += 1
            monitor.notifyAll()
            let slot = number % slots.count
            while slots[slot].pending > 0 {
                if workers.isEmpty { loadOne() } else { monitor.wait() }
            }
            return Batch(
                first: number * batchSize, count: size(ofBatch: number), values: slots[slot].values,
                failures: slots[slot].failures.sorted { $0.offset < $1.offset })
        }
    }

    /// Makes a batch's slot free for the batch that uses it next.
    private func release(_ number: Int) {
        let following = number + slots.count
        guard following * batchSize < count else { return }
        slots[number % slots.count].pending = size(ofBatch: following)
        slots[number % slots.count].failures = []
    }

    private func work() {
        monitor.locked {
            while true {
                // The consumer holds batch nextBatch - 1; the slots after it are free to be filled.
                let ahead = max(nextBatch - 1, 0) + slots.count
                if stopped || nextImage >= count { return }
                if nextImage / batchSize >= ahead { monitor.wait() } else { loadOne() }
            }
        }
    }

    /// Loads the next image. Called with the lock, which it gives up while loading.
    private func loadOne() {
        let image = nextImage
        nextImage += 1
        let slot = image / batchSize % slots.count
        let offset = image % batchSize
        let target = slots[slot].values + offset * valueCount
        var failure: FNEError?
        monitor.unlocked {
            do {
                try load(image, target)
            } catch {
                failure = error as? FNEError ?? FNEError(.internalError, "\(error)")
                target.update(repeating: 0, count: valueCount) // what the network sees in the row that is not used
            }
        }
        if let failure { slots[slot].failures.append((offset, failure)) }
        slots[slot].pending -= 1
        if slots[slot].pending == 0 { monitor.notifyAll() }
    }
}

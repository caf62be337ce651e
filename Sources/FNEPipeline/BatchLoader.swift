import FNESupport
import Glibc

/// Loads images into a ring of batches on several threads, in order, ahead of the consumers but by no more than the ring
/// holds: memory does not grow with the number of images.
final class BatchLoader {
    /// A batch of the ring, lent to a consumer from `take` to `giveBack`.
    struct Batch {
        let number: Int
        /// The first image, and how many.
        let first: Int
        let count: Int
        let values: UnsafeMutablePointer<Float>
        /// Errors of single images, by their number in the batch.
        let failures: [(offset: Int, error: FNEError)]
    }

    private struct Slot {
        let memory: Bytes
        let values: UnsafeMutablePointer<Float>
        /// The batch that is in the slot or will be filled into it.
        var batch: Int
        /// Images of it that are not loaded yet.
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
    private var nextBatch = 0 // the next one that a consumer takes
    private var stopped = false

    /// - Parameters:
    ///   - count: images in all
    ///   - valueCount: floats of one image
    ///   - threads: at least 1; with 1 image, or when the system gives no thread, the consumers load by themselves
    ///   - consumers: threads that take batches
    ///   - load: writes image i's floats; called from several threads
    init(
        count: Int, batchSize: Int, valueCount: Int, threads: Int, consumers: Int,
        load: @escaping (Int, UnsafeMutablePointer<Float>) throws -> Void
    ) throws {
        self.count = count
        self.batchSize = min(batchSize, count)
        self.valueCount = valueCount
        self.load = load
        let batches = (count - 1) / self.batchSize + 1
        // One for each consumer, one ready, one being filled.
        for number in 0..<min(batches, consumers + 2) {
            let bytes = try checkedProduct(
                self.batchSize, valueCount, MemoryLayout<Float>.size, of: "batch_size x height x width")
            let memory = try Bytes(count: bytes)
            // The slots live as long as the loader, which joins its threads before it goes.
            let values = memory.withNumbers(of: Float.self) { $0 }
            slots.append(Slot(memory: memory, values: values, batch: number, pending: size(ofBatch: number)))
        }
        guard count > 1 else { return }
        for _ in 0..<min(threads, count) {
            guard let worker = Worker({ [unowned(unsafe) self] in self.work() }) else { break }
            workers.append(worker)
        }
    }

    deinit { stop() }

    /// Ends the threads; each finishes the image that it is loading. Batches that were taken stay valid; no further one
    /// is given.
    func stop() {
        monitor.locked {
            stopped = true
            monitor.notifyAll()
        }
        for worker in workers { worker.join() }
        workers = []
    }

    private func size(ofBatch number: Int) -> Int { min(batchSize, count - number * batchSize) }

    /// The next batch, once it is complete; nil after the last and when the loader was stopped.
    func take() -> Batch? {
        monitor.locked {
            let number = nextBatch
            guard number * batchSize < count else { return nil }
            nextBatch += 1
            let slot = number % slots.count
            while slots[slot].batch != number || slots[slot].pending > 0 {
                if stopped { return nil }
                if workers.isEmpty, canLoad { loadOne() } else { monitor.wait() }
            }
            return Batch(
                number: number, first: number * batchSize, count: size(ofBatch: number), values: slots[slot].values,
                failures: slots[slot].failures.sorted { $0.offset < $1.offset })
        }
    }

    /// Makes the batch's memory free for a later one.
    func giveBack(_ batch: Batch) {
        monitor.locked {
            let following = batch.number + slots.count
            guard following * batchSize < count else { return }
            let slot = batch.number % slots.count
            slots[slot].batch = following
            slots[slot].pending = size(ofBatch: following)
            slots[slot].failures = []
            monitor.notifyAll()
        }
    }

    /// Whether there is an image that is not loaded and a slot for it.
    private var canLoad: Bool {
        let batch = nextImage / batchSize
        return nextImage < count && slots[batch % slots.count].batch == batch
    }

    private func work() {
        monitor.locked {
            while !stopped, nextImage < count {
                if canLoad { loadOne() } else { monitor.wait() }
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

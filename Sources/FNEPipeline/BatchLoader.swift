import FNESupport
import Glibc

/// Loads images into a ring of batches, in order and on several threads. The threads run ahead of the consumers, but no
/// further than the ring is long. So the memory does not grow with the number of images.
final class BatchLoader {
    /// A batch of the ring. It is lent to a consumer from `take` to `giveBack`.
    struct Batch {
        let number: Int
        /// The number of the first image.
        let first: Int
        /// How many images the batch has.
        let count: Int
        /// The images' floats, one image after the other. They are unspecified for an image with an error.
        let values: UnsafeMutablePointer<Float>
        /// The errors of single images, by their places in the batch.
        let failures: [(offset: Int, error: FNEError)]
    }

    /// A place in the ring.
    private struct Slot {
        let memory: Bytes
        let values: UnsafeMutablePointer<Float>
        /// The number of the batch that is in the slot, or comes into it next.
        var batch: Int
        /// How many images of the batch are not loaded yet.
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
    private var nextBatch = 0 // the next batch that a consumer takes
    /// An error of the machine. The images after it are not loaded any more, because they end the same way.
    private var breakdown: FNEError?
    private var stopped = false

    /// - Parameters:
    ///   - count: the number of images
    ///   - batchSize: images per batch
    ///   - valueCount: floats per image
    ///   - threads: threads that load, at least 1. With 1 image, or when the system gives no thread, the consumers load
    ///   - consumers: threads that take batches
    ///   - load: writes the floats of the image of that number; several threads call it at once
    /// - Throws: `.outOfMemory`, `.invalidArgument`.
    init(
        count: Int, batchSize: Int, valueCount: Int, threads: Int, consumers: Int,
        load: @escaping (Int, UnsafeMutablePointer<Float>) throws -> Void
    ) throws {
        self.count = count
        self.batchSize = min(batchSize, count)
        self.valueCount = valueCount
        self.load = load
        let batches = (count - 1) / self.batchSize + 1
        // Each consumer has a batch. One batch is ready, and one is being filled.
        for number in 0..<min(batches, consumers + 2) {
            let bytes = try checkedProduct(
                self.batchSize, valueCount, MemoryLayout<Float>.size, of: "batch_size x height x width")
            let memory = try Bytes(count: bytes)
            // The pointer stays valid. The slots live as long as the loader, which joins its threads before it goes.
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

    /// Ends the threads, and waits until each has finished the image that it is loading. Batches that were taken stay
    /// valid. No further batch is given.
    func stop() {
        monitor.locked {
            stopped = true
            monitor.notifyAll()
        }
        for worker in workers { worker.join() }
        workers = []
    }

    private func size(ofBatch number: Int) -> Int { min(batchSize, count - number * batchSize) }

    /// Waits for the next batch and returns it. Nil after the last batch, and when the loader was stopped.
    func take() -> Batch? {
        monitor.locked {
            let number = nextBatch
            guard !stopped, number * batchSize < count else { return nil }
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

    /// Frees the batch's memory for a later batch.
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

    /// Whether there is a next image to load, and a slot for it.
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

    /// Loads the next image. Call it with the lock, which it gives up while it loads.
    private func loadOne() {
        let image = nextImage
        nextImage += 1
        let slot = image / batchSize % slots.count
        let offset = image % batchSize
        let target = slots[slot].values + offset * valueCount
        var failure = breakdown
        if failure == nil {
            monitor.unlocked {
                do {
                    try load(image, target)
                } catch {
                    failure = error as? FNEError ?? FNEError(.internalError, "\(error)")
                }
            }
            if let failure, failure.status.isOfTheMachine { breakdown = failure }
        }
        if let failure { slots[slot].failures.append((offset, failure)) }
        slots[slot].pending -= 1
        if slots[slot].pending == 0 { monitor.notifyAll() }
    }
}

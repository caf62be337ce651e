import FNESupport

/// Memory for the rows of batches that wait for the consumer: taken as it is needed, up to a limit.
final class RowBuffers {
    private let size: Int
    private let limit: Int
    private let monitor = Monitor()
    private var free: [Bytes] = []
    private var lent = 0
    private var stopped = false

    /// What may wait while the consumer writes to a disk.
    private static let bytes = 32 << 20

    /// - Parameters:
    ///   - size: bytes of a batch's rows
    ///   - consumers: threads that take memory
    init(size: Int, consumers: Int) {
        self.size = size
        limit = max(consumers + 2, min(Self.bytes / max(size, 1), 1_024))
    }

    /// Waits until there is room for one more batch, which is kept for the caller. False when stopped.
    func waitForRoom() -> Bool {
        monitor.locked {
            while lent >= limit, !stopped { monitor.wait() }
            lent += 1
            return !stopped
        }
    }

    /// The memory that the caller waited for.
    func take() throws -> Bytes {
        try monitor.locked { free.popLast() } ?? Bytes(count: size)
    }

    func giveBack(_ rows: Bytes) {
        monitor.locked {
            free.append(rows)
            lent -= 1
            monitor.notifyAll()
        }
    }

    func stop() {
        monitor.locked {
            stopped = true
            monitor.notifyAll()
        }
    }
}

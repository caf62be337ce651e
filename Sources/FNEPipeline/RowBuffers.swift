import FNESupport

/// Memory for the rows of batches that wait for the consumer. It is taken as it is needed, up to a limit.
final class RowBuffers {
    private let size: Int
    private let limit: Int
    private let monitor = Monitor()
    private var free: [Bytes] = []
    private var lent = 0
    private var stopped = false

    /// The bytes that may wait while the consumer writes to a disk: 32 MiB.
    private static let bytes = 32 << 20

    /// - Parameters:
    ///   - size: the size of a batch's rows in bytes
    ///   - consumers: threads that take memory
    init(size: Int, consumers: Int) {
        self.size = size
        limit = max(consumers + 2, min(Self.bytes / max(size, 1), 1_024))
    }

    /// Waits until there is room for one more batch, and keeps it for the caller. False when the buffers were stopped.
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

    /// Gives memory back, so that another batch can have it.
    func giveBack(_ rows: Bytes) {
        monitor.locked {
            free.append(rows)
            lent -= 1
            monitor.notifyAll()
        }
    }

    /// Ends all waiting for room.
    func stop() {
        monitor.locked {
            stopped = true
            monitor.notifyAll()
        }
    }
}

import FNESupport

/// Numbered pieces of work that several threads do. One consumer takes the results in the order of the numbers.
final class OrderedStreams<Result> {
    /// Does the next piece of work. Nil when no piece is left. One thread calls it again and again.
    typealias Stream = () -> (number: Int, result: Result)?

    private let monitor = Monitor()
    private var inline: Stream?
    private var workers: [Worker] = []
    private var running: Int
    private var finished: [Int: Result] = [:]
    private var nextNumber = 0
    private var stopped = false

    /// - Parameter streams: one per thread, at least one. A single stream runs inside of `next`, on the consumer's
    ///   thread. So does the first stream where the system gives no thread.
    init(_ streams: [Stream]) {
        running = 0
        guard streams.count > 1 else {
            inline = streams.first
            return
        }
        for stream in streams {
            monitor.locked { running += 1 }
            guard let worker = Worker({ [unowned(unsafe) self] in self.work(stream) }) else {
                monitor.locked { running -= 1 }
                break
            }
            workers.append(worker)
        }
        if workers.isEmpty { inline = streams.first }
    }

    deinit { stop() }

    private func work(_ stream: Stream) {
        while !monitor.locked({ stopped }), let (number, result) = stream() {
            monitor.locked {
                finished[number] = result
                monitor.notifyAll()
            }
        }
        monitor.locked {
            running -= 1
            monitor.notifyAll()
        }
    }

    /// Waits for the next result and returns it; nil after the last.
    func next() -> Result? {
        if let inline { return inline()?.result }
        return monitor.locked {
            while true {
                if let result = finished.removeValue(forKey: nextNumber) {
                    nextNumber += 1
                    return result
                }
                if running == 0 { return nil }
                monitor.wait()
            }
        }
    }

    /// Waits until each thread has finished its piece. Everything that the streams wait for must be stopped before.
    func stop() {
        monitor.locked { stopped = true }
        for worker in workers { worker.join() }
        workers = []
    }
}

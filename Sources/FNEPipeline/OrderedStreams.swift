import FNESupport

/// Numbered pieces of work done by several threads, their results handed to one consumer in the order of the numbers.
final class OrderedStreams<Result> {
    /// Does the next piece; nil when there is none left. Called again and again by one thread.
    typealias Stream = () -> (number: Int, result: Result)?

    private let monitor = Monitor()
    private var inline: Stream?
    private var workers: [Worker] = []
    private var running: Int
    private var finished: [Int: Result] = [:]
    private var nextNumber = 0
    private var stopped = false

    /// - Parameter streams: one for each thread, at least one. A single one runs inside of `next`, on the consumer's
    ///   thread; so does the first where the system gives no thread.
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

    /// The next result; nil after the last.
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

    /// Waits until each thread has finished its piece. What the streams wait for must have been stopped before.
    func stop() {
        monitor.locked { stopped = true }
        for worker in workers { worker.join() }
        workers = []
    }
}

import CKernels
import CMemory
import Glibc

/// A POSIX mutex with one condition. The library uses neither Swift concurrency nor Dispatch, because their thread
/// pools do not survive a fork.
package final class Monitor: @unchecked Sendable {
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let condition: UnsafeMutablePointer<pthread_cond_t>

    /// A monitor that is not locked.
    package init() {
        mutex = .allocate(capacity: 1)
        condition = .allocate(capacity: 1)
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(condition, nil)
    }

    deinit {
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        condition.deallocate()
        mutex.deallocate()
    }

    /// Runs the body while no other thread is in `locked`. The lock is not recursive.
    package func locked<Result>(_ body: () throws -> Result) rethrows -> Result {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return try body()
    }

    /// Gives the lock up while the body runs. Call it inside `locked`.
    package func unlocked(_ body: () -> Void) {
        pthread_mutex_unlock(mutex)
        defer { pthread_mutex_lock(mutex) }
        body()
    }

    /// Gives the lock up until `notifyAll`, then takes it again. Call it inside `locked`, in a loop that tests what it
    /// waits for, because a thread may wake up without a reason.
    package func wait() { pthread_cond_wait(condition, mutex) }

    /// Wakes all threads that are in `wait`.
    package func notifyAll() { pthread_cond_broadcast(condition) }

    // MARK: Fork

    nonisolated(unsafe) private static var heldAcrossFork: [Monitor] = []
    private static let registry = Monitor()
    private static let handlers: Void = {
        pthread_atfork(
            { for monitor in Monitor.heldAcrossFork { pthread_mutex_lock(monitor.mutex) } },
            { for monitor in Monitor.heldAcrossFork.reversed() { pthread_mutex_unlock(monitor.mutex) } },
            { for monitor in Monitor.heldAcrossFork.reversed() { pthread_mutex_unlock(monitor.mutex) } })
    }()

    /// Makes every later fork wait until no thread is inside the monitor, so that the child finds it free. The monitor
    /// must live as long as the process.
    package static func holdAcrossFork(_ monitor: Monitor) {
        registry.locked {
            guard !heldAcrossFork.contains(where: { $0 === monitor }) else { return }
            heldAcrossFork.append(monitor)
        }
        _ = handlers
    }
}

/// A joinable thread that runs one closure, in the default floating-point environment. It blocks all signals, so that a
/// signal for the host program, such as Ctrl-C in Python, reaches one of the host's own threads. It ends before the
/// call does that started it.
package struct Worker {
    private var thread: pthread_t

    private final class Body {
        let run: () -> Void
        /// The call that the thread works for (see `Reserve`).
        let call = cm_current()
        init(_ run: @escaping () -> Void) { self.run = run }
    }

    /// Starts a thread; nil when the system gives no further one.
    package init?(_ run: @escaping () -> Void) {
        var all = sigset_t()
        var before = sigset_t()
        sigfillset(&all)
        pthread_sigmask(SIG_BLOCK, &all, &before)
        defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
        let body = Unmanaged.passRetained(Body(run))
        var started = pthread_t()
        let failed = pthread_create(
            &started, nil,
            { argument in
                guard let argument else { return nil }
                ck_set_default_float_environment()
                let body = Unmanaged<Body>.fromOpaque(argument).takeRetainedValue()
                cm_join(body.call)
                body.run()
                return nil
            }, body.toOpaque())
        guard failed == 0 else {
            body.release()
            return nil
        }
        thread = started
    }

    /// Waits until the closure has returned. Call it once.
    package func join() { pthread_join(thread, nil) }
}

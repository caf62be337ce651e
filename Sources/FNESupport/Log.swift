/// Where messages go that are no errors: to one function set by the host program, or nowhere.
public enum Log {
    /// The numbers are those of `FNE_LOG_*`.
    public enum Level: Int32, Sendable {
        case info = 0
        case warning = 1
        case error = 2
    }

    private static let monitor = Monitor()
    nonisolated(unsafe) private static var sink: ((Level, String) -> Void)?

    /// Sets the receiver; nil drops all messages. Returns when no thread is in the former receiver, which is never
    /// called by two threads at once.
    public static func setSink(_ newSink: ((Level, String) -> Void)?) {
        Monitor.holdAcrossFork(monitor)
        monitor.locked { sink = newSink }
    }

    package static func write(_ level: Level, _ message: @autoclosure () -> String) {
        monitor.locked {
            if let sink { sink(level, message()) }
        }
    }
}

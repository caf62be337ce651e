/// The log. It takes the messages that are no errors to one function of the host program, or nowhere.
public enum Log {
    /// How important a message is. The numbers are those of `FNE_LOG_*` in `include/fne.h`.
    public enum Level: Int32, Sendable {
        case info = 0
        case warning = 1
        case error = 2
    }

    private static let monitor = Monitor()
    nonisolated(unsafe) private static var sink: ((Level, String) -> Void)?

    /// Sets the receiver; nil drops all messages. Two threads never call a receiver at once. When this returns, no
    /// thread is in the former receiver any more.
    public static func setSink(_ newSink: ((Level, String) -> Void)?) {
        Monitor.holdAcrossFork(monitor)
        monitor.locked { sink = newSink }
    }

    /// Sends a message to the receiver. Without a receiver, the message is not even made.
    package static func write(_ level: Level, _ message: @autoclosure () -> String) {
        monitor.locked {
            if let sink { sink(level, message()) }
        }
    }
}

/// What an extractor's defaults are chosen for. What is asked for by name comes first.
public enum Goal: Int32, Sendable {
    /// Many images in a call: several small batches are in the network at once, each on a thread of its own.
    case throughput = 0
    /// One image in a call, as a camera or a web service has them: all processors work on the one image.
    case latency = 1
}

import CTensorFlow
import CTensorFlowOperations
import FNESupport
import Glibc

/// The TensorFlow C library. It is loaded at run time, at most once per process, because two copies in one process
/// break each other. It is never unloaded.
final class TensorFlowLibrary: @unchecked Sendable {
    /// TensorFlow's version, such as "2.21.0".
    let version: String
    /// The file that the library was loaded from.
    let path: String
    let api: ctf_api
    /// Whether graphs may hold libfne's own operations. It is set before the library is handed out.
    private(set) var hasOwnOperations = false
    private let handle: UnsafeMutableRawPointer
    private let process = getpid()
    /// Whether the process that loaded the library is this one. A forked child has no threads of TensorFlow's, and
    /// locks may be held there for ever.
    var isOfThisProcess: Bool { process == getpid() }

    private var threads: Int?

    private static let monitor = Monitor()
    nonisolated(unsafe) private static var loaded: TensorFlowLibrary?

    /// The copy that is loaded; nil where none is.
    static var current: TensorFlowLibrary? { monitor.locked { loaded } }

    /// The number of threads per operation. All sessions share one pool of threads, and the first session decides its
    /// size. Before there is a session it is the number that is asked for.
    func operationThreads(asked: Int) -> Int { Self.monitor.locked { threads ?? asked } }

    /// A session with so many threads per operation was opened.
    func sessionOpened(threads: Int) {
        Self.monitor.locked { if self.threads == nil { self.threads = threads } }
    }

    /// Loads TensorFlow, or returns the copy that is loaded.
    ///
    /// - Parameter path: a library file, or a folder that holds one. With nil, the environment variable
    ///   `FNE_TENSORFLOW`, a copy in the process, and the system's library path are searched.
    /// - Throws: `.backendUnavailable`, with the places that were tried; `.backendConflict` when another copy is in the
    ///   process; `.forked` in a child of a process that had loaded TensorFlow; `.outOfMemory` where a limit leaves too
    ///   little address space.
    @discardableResult
    static func load(path: String? = nil) throws -> TensorFlowLibrary {
        Monitor.holdAcrossFork(monitor)
        let (library, lines) = try loadOnce(path)
        for line in lines { Log.write(line.level, line.text) }
        return library
    }

    /// The library. If this call loaded it, the lines for the log come with it.
    private static func loadOnce(_ path: String?) throws -> (TensorFlowLibrary, [LoadingLog.Line]) {
        try monitor.locked {
            let wanted = path ?? getenv("FNE_TENSORFLOW").map { String(cString: $0) }.flatMap { $0.isEmpty ? nil : $0 }
            if let loaded {
                guard loaded.isOfThisProcess else {
                    throw FNEError(
                        .forked,
                        "TensorFlow was loaded before the process forked, and its threads are not in the child. Start "
                            + "workers with spawn, or load TensorFlow in the child only")
                }
                if let path { try loaded.mustBe(path) }
                return (loaded, [])
            }
            try Reserve.prepare(8 << 20) // the lines that TensorFlow writes meanwhile
            let (result, said) = LoadingLog.capture { try open(wanted) }
            let library = try result.get()
            loaded = library
            return (library, [(.info, "TensorFlow \(library.version) from \(library.path)")] + said)
        }
    }

    /// The file names of the C library in the Python wheel and in the C distribution.
    private static let fileNames = ["libtensorflow_cc.so.2", "libtensorflow.so.2", "libtensorflow.so"]

    private static func open(_ wanted: String?) throws -> TensorFlowLibrary {
        // TensorFlow reads these variables once. The user's own values stay. TensorFlow's wheels use
        // the library oneDNN by themselves only on processors with AVX-512 VNNI. It is faster on those with AVX2 too
        // (docs/numerics.md).
        setenv("TF_CPP_MIN_LOG_LEVEL", "3", 0)
        #if arch(x86_64)
        setenv("TF_ENABLE_ONEDNN_OPTS", "1", 0)
        // The thread that calls oneDNN takes a part of each operation itself. Otherwise it wakes as many threads as
        // there are processors, and waits. It saves up to a millisecond of MobileNet V2's.
        setenv("TF_ONEDNN_THREADPOOL_USE_CALLER_THREAD", "1", 0)
        #endif
        if let present = openPresent() {
            try AddressSpace.check(for: nil)
            let library = try TensorFlowLibrary(handle: present)
            if let wanted { try library.mustBe(wanted) }
            library.registerOperations()
            return library
        }
        var tried: [String] = []
        for candidate in wanted.map(candidates) ?? fileNames {
            try AddressSpace.check(for: candidate)
            // Its functions are bound when they are first called. To bind all 150,000 takes a third of the load.
            if let handle = dlopen(candidate, RTLD_LAZY | RTLD_LOCAL) {
                let library = try TensorFlowLibrary(handle: handle)
                library.registerOperations()
                return library
            }
            tried.append(dlerror().map { String(cString: $0) } ?? candidate)
        }
        throw FNEError(
            .backendUnavailable,
            "TensorFlow's C library was not found (tried: \(tried.joined(separator: "; "))). Install it with "
                + "'pip install tensorflow-cpu' or from tensorflow.org/install/lang_c. Then set FNE_TENSORFLOW to the "
                + "file (libtensorflow_cc.so.2 of the wheel, or libtensorflow.so.2) or to its folder")
    }

    /// A copy that another part of the process has loaded, such as Python's tensorflow; nil where there is none.
    private static func openPresent() -> UnsafeMutableRawPointer? {
        for name in fileNames {
            if let handle = dlopen(name, RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD) { return handle }
        }
        return nil
    }

    /// The files that a path may mean: the file itself, or the library files of a folder.
    private static func candidates(_ path: String) -> [String] {
        var facts = stat()
        guard stat(path, &facts) == 0, facts.st_mode & S_IFMT == S_IFDIR else {
            return [path.contains("/") ? path : "./" + path]
        }
        return fileNames.map { path + "/" + $0 }
    }

    private init(handle: UnsafeMutableRawPointer) throws {
        var api = ctf_api()
        path = ctf_library_path(handle).map { String(cString: $0) } ?? ""
        if let missing = ctf_bind(handle, &api) {
            throw FNEError(
                .backendUnavailable,
                "'\(path)' has no function \(String(cString: missing)), so it is not TensorFlow 2's C library")
        }
        self.api = api
        self.handle = handle
        version = api.Version().map { String(cString: $0) } ?? ""
    }

    /// Registers libfne's own operations, before the library is in use. They stay in the process, so this comes after
    /// all checks.
    private func registerOperations() { hasOwnOperations = cto_register(handle) == nil }

    /// Checks that a path names this copy.
    ///
    /// - Throws: `.backendUnavailable` where no library is at the path, `.backendConflict` where it is another copy.
    private func mustBe(_ wanted: String) throws {
        let own = FileIdentity(ofFile: path)
        let named = Self.candidates(wanted).compactMap(FileIdentity.init(ofFile:))
        guard !named.isEmpty else {
            throw FNEError(.backendUnavailable, "no TensorFlow library is at '\(wanted)'")
        }
        guard let own, named.contains(own) else {
            throw FNEError(
                .backendConflict,
                "TensorFlow \(version) is loaded from '\(path)'. '\(wanted)' is another copy, and a process can use "
                    + "only one. Name the loaded copy, or load '\(wanted)' first")
        }
    }
}

extension TensorFlowLibrary {
    /// Calls functions of TensorFlow that report errors in a TF_Status.
    ///
    /// - Parameter doing: what the call does, for the message
    /// - Throws: `.backendError`, with TensorFlow's own words.
    func checked<Result>(_ doing: String, _ body: (OpaquePointer) -> Result) throws -> Result {
        guard let status = api.NewStatus() else { throw FNEError(.outOfMemory, "TensorFlow gave no status object") }
        defer { api.DeleteStatus(status) }
        let result = body(status)
        guard api.GetCode(status) == CTF_CODE_OK else {
            let words = api.Message(status).map { String(cString: $0) } ?? ""
            throw FNEError(.backendError, "TensorFlow failed while \(doing): \(words)")
        }
        return result
    }
}

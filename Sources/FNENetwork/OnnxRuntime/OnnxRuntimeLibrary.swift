import COnnxRuntime
import COnnxRuntimeOperations
import FNESupport
import Glibc

/// ONNX Runtime's library. libfne loads it at run time, at most once per process, and never unloads it. Other parts of
/// the process may use copies of their own, such as Python's onnxruntime. They do not meet, because each copy hides its
/// symbols.
final class OnnxRuntimeLibrary: @unchecked Sendable {
    /// ONNX Runtime's version, such as "1.32.0".
    let version: String
    /// The file that the library was loaded from.
    let path: String
    let api: cort_api
    /// The environment of all sessions, which carries the log.
    let environment: OpaquePointer
    /// Says that a tensor's memory is the caller's own.
    let callersMemory: OpaquePointer
    /// libfne's own operators.
    let operators: OpaquePointer
    private let process = getpid()
    /// Whether the process that loaded the library is this one. A forked child has no threads of ONNX Runtime's, and
    /// locks may be held there for ever.
    var isOfThisProcess: Bool { process == getpid() }

    private static let monitor = Monitor()
    nonisolated(unsafe) private static var loaded: OnnxRuntimeLibrary?

    /// The copy that is loaded; nil where none is.
    static var current: OnnxRuntimeLibrary? { monitor.locked { loaded } }

    /// Loads ONNX Runtime, or returns the copy that is loaded.
    ///
    /// - Parameter path: a library file, or a folder that holds one. With nil, the environment variable
    ///   `FNE_ONNXRUNTIME`, a copy in the process, and the system's library path are searched.
    /// - Throws: `.backendUnavailable`, with the places that were tried; `.backendConflict` when libfne has loaded
    ///   another copy; `.forked` in a child of a process that had loaded ONNX Runtime; `.backendError`.
    @discardableResult
    static func load(path: String? = nil) throws -> OnnxRuntimeLibrary {
        Monitor.holdAcrossFork(monitor)
        let (library, isNew) = try loadOnce(path)
        if isNew { Log.write(.info, "ONNX Runtime \(library.version) from \(library.path)") }
        return library
    }

    private static func loadOnce(_ path: String?) throws -> (OnnxRuntimeLibrary, isNew: Bool) {
        try monitor.locked {
            if let loaded {
                guard loaded.isOfThisProcess else {
                    throw FNEError(
                        .forked,
                        "ONNX Runtime was loaded before the process forked, and its threads are not in the child. "
                            + "Start workers with spawn, or load ONNX Runtime in the child only")
                }
                if let path { try loaded.mustBe(path) }
                return (loaded, false)
            }
            let named = path ?? getenv("FNE_ONNXRUNTIME").map { String(cString: $0) }.flatMap { $0.isEmpty ? nil : $0 }
            // ONNX Runtime reads it when an environment is made. Without it, releases since 1.29 write a database below
            // ~/.cache and start a thread that sends what they collect, before telemetry can be switched off.
            setenv("ORT_DISABLE_TELEMETRY", "1", 0)
            let library = try named.map(open(named:)) ?? openFound()
            loaded = library
            return (library, true)
        }
    }

    /// The file names of the library where a linker finds it.
    private static let fileNames = ["libonnxruntime.so.1", "libonnxruntime.so"]

    /// Opens the library that a path names.
    private static func open(named path: String) throws -> OnnxRuntimeLibrary {
        let files = try candidates(path)
        return try open(files, places: files.isEmpty ? [path + "/libonnxruntime.so*"] : [])
    }

    /// Opens the copy that another part of the process has loaded, or else that of the system's library path.
    private static func openFound() throws -> OnnxRuntimeLibrary {
        for name in fileNames {
            if let handle = dlopen(name, RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD) {
                return try OnnxRuntimeLibrary(handle: handle, of: name)
            }
        }
        return try open(fileNames, places: [])
    }

    /// Opens the first of the files that can be loaded.
    ///
    /// - Parameter places: what was tried before, for the message
    private static func open(_ files: [String], places: [String]) throws -> OnnxRuntimeLibrary {
        var tried = places
        for file in files {
            guard cort_is_cut(file) == 0 else {
                tried.append("'\(file)' is incomplete")
                continue
            }
            if let handle = dlopen(file, RTLD_NOW | RTLD_LOCAL) {
                return try OnnxRuntimeLibrary(handle: handle, of: file)
            }
            tried.append(dlerror().map { String(cString: $0) } ?? file)
        }
        throw FNEError(
            .backendUnavailable,
            "ONNX Runtime's library was not found (tried: \(tried.joined(separator: "; "))). Install it with "
                + "'pip install onnxruntime'. Then set FNE_ONNXRUNTIME to the file (capi/libonnxruntime.so.* of the "
                + "wheel) or to its folder")
    }

    /// The files that a path may mean: the file itself, or the library files of a folder. Python's wheel has the file
    /// in its folder `capi`, under a name that ends with the version.
    private static func candidates(_ path: String) throws -> [String] {
        guard isFolder(path) else { return [path.contains("/") ? path : "./" + path] }
        return try [path, path + "/capi"].flatMap { folder in
            let plain = fileNames.map { folder + "/" + $0 }.filter { FileIdentity(ofFile: $0) != nil }
            return try plain + versioned(in: folder).filter { !plain.contains($0) }
        }
    }

    /// The library files of a folder whose names end with a version. The newest is first, by the order of their bytes.
    private static func versioned(in folder: String) throws -> [String] {
        var files: [String] = []
        try Reserve.prepare(1 << 20)
        withUnsafeMutablePointer(to: &files) { files in
            cort_each_library(
                folder,
                { files, path in
                    guard let files, let path else { return }
                    let found = files.assumingMemoryBound(to: [String].self)
                    if found.pointee.count < 64 { found.pointee.append(String(cString: path)) }
                }, files)
        }
        return files.sorted(by: >)
    }

    private static func isFolder(_ path: String) -> Bool {
        var facts = stat()
        return stat(path, &facts) == 0 && facts.st_mode & S_IFMT == S_IFDIR
    }

    /// - Parameter file: the name that the library was opened by
    private init(handle: UnsafeMutableRawPointer, of file: String) throws {
        var api = cort_api()
        var version: UnsafePointer<CChar>?
        let found = cort_bind(handle, &api, &version)
        path = cort_library_path(handle).map { String(cString: $0) } ?? file
        self.version = version.map { String(cString: $0) } ?? ""
        guard found != CORT_NO_ENTRY else {
            throw FNEError(.backendUnavailable, "'\(file)' has no function OrtGetApiBase, so it is not ONNX Runtime")
        }
        guard found == CORT_BOUND else {
            throw FNEError(
                .backendUnavailable,
                "'\(path)' is ONNX Runtime \(self.version), which is too old. Install 1.19 or newer, with 'pip install "
                    + "-U onnxruntime'")
        }
        let environment = try api.made("starting", "environment") {
            api.CreateEnvWithCustomLogger(OnnxRuntimeLog.receive, nil, Int32(CORT_LOG_WARNING), "fne", $0)
        }
        try api.checked("switching telemetry off") { api.DisableTelemetryEvents(environment) }
        callersMemory = try api.made("starting", "memory information") {
            api.CreateCpuMemoryInfo(Int32(CORT_DEVICE_ALLOCATOR), Int32(CORT_DEFAULT_MEMORY), $0)
        }
        operators = try api.made("adding operators", "domain") { corto_make_domain(&api, $0) }
        self.environment = environment
        self.api = api
    }

    /// Checks that a path names this copy.
    ///
    /// - Throws: `.backendUnavailable` where no library is at the path, `.backendConflict` where it is another copy.
    private func mustBe(_ wanted: String) throws {
        let named = try Self.candidates(wanted).compactMap(FileIdentity.init(ofFile:))
        guard !named.isEmpty else {
            throw FNEError(.backendUnavailable, "no ONNX Runtime library is at '\(wanted)'")
        }
        guard let own = FileIdentity(ofFile: path), named.contains(own) else {
            throw FNEError(
                .backendConflict,
                "ONNX Runtime \(version) is loaded from '\(path)'. '\(wanted)' is another copy, and libfne uses one "
                    + "per process. Name the loaded copy, or load '\(wanted)' first")
        }
    }
}

extension cort_api {
    /// Calls a function of ONNX Runtime that reports errors in a status.
    ///
    /// - Parameter doing: what the call does, for the message
    /// - Throws: `.backendError`, with ONNX Runtime's own words; `.outOfMemory` where these speak of memory.
    func checked(_ doing: String, _ body: () -> OpaquePointer?) throws {
        guard let status = body() else { return }
        defer { ReleaseStatus(status) }
        let message = GetErrorMessage(status)
        let words = message.map { String(cString: $0) } ?? ""
        let isOfMemory =
            message.map { strstr($0, "std::bad_alloc") != nil || strstr($0, "Failed to allocate memory") != nil }
            ?? false
        throw FNEError(
            isOfMemory ? .outOfMemory : .backendError, "ONNX Runtime failed while it was \(doing): \(words)")
    }

    /// Calls a function that makes an object.
    ///
    /// - Throws: as `checked`; `.backendError` where there is no object.
    func made(
        _ doing: String, _ what: String, _ body: (UnsafeMutablePointer<OpaquePointer?>) -> OpaquePointer?
    ) throws -> OpaquePointer {
        var object: OpaquePointer?
        try checked(doing) { body(&object) }
        guard let object else { throw FNEError(.backendError, "ONNX Runtime gave no \(what)") }
        return object
    }
}

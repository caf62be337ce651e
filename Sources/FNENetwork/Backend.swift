import FNESupport

/// The engine's library, which is TensorFlow. It is loaded at run time, and once per process.
public enum Backend {
    /// The library that is loaded.
    public struct Info: Sendable {
        /// TensorFlow's version, such as "2.21.0".
        public let version: String
        /// The file that the library was loaded from.
        public let path: String
    }

    /// Loads TensorFlow, or keeps the copy that is loaded. Any thread may call this.
    ///
    /// - Parameter path: a library file, or a folder that holds one. With nil, the environment variable
    ///   `FNE_TENSORFLOW`, a copy in the process, and the system's library path are searched.
    /// - Throws: `.backendUnavailable`, with the places that were tried; `.backendConflict` when another copy is in the
    ///   process; `.forked` in a child of a process that had loaded TensorFlow; `.outOfMemory` where a limit leaves too
    ///   little address space.
    public static func load(path: String? = nil) throws { try TensorFlowLibrary.load(path: path) }

    /// The library that is loaded; nil where none is.
    public static var loaded: Info? { TensorFlowLibrary.current.map { Info(version: $0.version, path: $0.path) } }
}

import FNESupport

/// The libraries that run networks. Each is loaded at run time, and once per process.
public enum Backend {
    /// A library that runs networks.
    public enum Kind: String, CaseIterable, Sendable {
        /// TensorFlow's C library runs frozen graphs.
        case tensorFlow = "tensorflow"
        /// ONNX Runtime runs ONNX files.
        case onnxRuntime = "onnxruntime"

        /// The library that a text names.
        ///
        /// - Throws: `.invalidArgument` for any other text.
        public init(named text: String) throws {
            guard let kind = Kind(rawValue: text) else {
                let names = Kind.allCases.map { "'\($0.rawValue)'" }.joined(separator: " or ")
                throw FNEError(.invalidArgument, "engine is '\(text)'; it must be \(names)")
            }
            self = kind
        }
    }

    /// The library that is loaded.
    public struct Info: Sendable {
        /// The library's version, such as "2.21.0".
        public let version: String
        /// The file that the library was loaded from.
        public let path: String
    }

    /// Loads a library, or keeps the copy that is loaded. Any thread may call this.
    ///
    /// - Parameters:
    ///   - kind: which library
    ///   - path: a library file, or a folder that holds one. With nil, the environment variable `FNE_TENSORFLOW` or
    ///     `FNE_ONNXRUNTIME`, a copy in the process, and the system's library path are searched.
    /// - Throws: `.backendUnavailable`, with the places that were tried; `.backendConflict` when another copy is in the
    ///   process, of ONNX Runtime only where libfne has loaded it; `.forked` in a child of a process that had loaded
    ///   the library; `.outOfMemory` where a limit leaves TensorFlow too little address space; `.backendError` where
    ///   ONNX Runtime does not start.
    public static func load(_ kind: Kind = .tensorFlow, path: String? = nil) throws {
        switch kind {
        case .tensorFlow: try TensorFlowLibrary.load(path: path)
        case .onnxRuntime: try OnnxRuntimeLibrary.load(path: path)
        }
    }

    /// TensorFlow as it is loaded; nil where it is not.
    public static var loaded: Info? { loaded(.tensorFlow) }

    /// A library as it is loaded; nil where it is not.
    public static func loaded(_ kind: Kind) -> Info? {
        switch kind {
        case .tensorFlow: TensorFlowLibrary.current.map { Info(version: $0.version, path: $0.path) }
        case .onnxRuntime: OnnxRuntimeLibrary.current.map { Info(version: $0.version, path: $0.path) }
        }
    }
}

import COnnxRuntime
import FNESupport

/// What ONNX Runtime logs goes to libfne's log, from warnings on. Any thread of ONNX Runtime's may write.
enum OnnxRuntimeLog {
    static let receive: cort_log = { _, severity, _, _, _, message in
        guard let message else { return }
        Log.write(level(severity), "ONNX Runtime: \(String(cString: message))")
    }

    /// ONNX Runtime's severities are 0 verbose, 1 information, 2 warning, 3 error and 4 fatal.
    static func level(_ severity: Int32) -> Log.Level {
        switch severity {
        case ...1: .info
        case 2: .warning
        default: .error
        }
    }
}

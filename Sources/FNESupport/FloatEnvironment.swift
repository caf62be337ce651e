import CKernels

/// The floating-point environment of the calling thread. A host program may round otherwise, take denormal numbers for
/// 0, or ask for a signal at a division by 0. The library computes in the environment that a process starts with.
package enum FloatEnvironment {
    /// Runs the body in the default environment. The thread then has the environment that it had, exception flags
    /// included.
    package static func standard<Result>(_ body: () throws -> Result) rethrows -> Result {
        try withUnsafeTemporaryAllocation(of: ck_float_environment.self, capacity: 1) { saved in
            ck_enter_float_environment(saved.baseAddress)
            defer { ck_leave_float_environment(saved.baseAddress) }
            return try body()
        }
    }

    /// Runs a function of the host program, inside of `standard`, in the host's environment. On a thread of the
    /// library's own it runs in the default one.
    package static func host<Result>(_ callback: () -> Result) -> Result {
        let saved = ck_enter_host_float_environment()
        defer { ck_leave_host_float_environment(saved) }
        return callback()
    }
}

import CMemory

/// The memory that Swift's arrays, strings and dictionaries are made of where the system gives none. They cannot report
/// a failed allocation, which would end the process. Inside of libfne.so they get memory of a reserve instead (see
/// CMemory), and the call that they belong to is told so here, where it can throw.
///
/// The reserve is small. So code that builds many objects calls `check` as it goes, and code that builds large ones
/// says so first, with `prepare`. Large blocks of numbers are `Bytes`, which need no reserve.
package enum Reserve {
    /// Runs a call into the library, which the threads that it starts belong to.
    package static func call<Result>(_ body: () throws -> Result) throws -> Result {
        var scope = cm_scope()
        return try withUnsafeMutablePointer(to: &scope) { scope in
            guard cm_enter(scope) else { throw exhausted }
            defer { cm_leave(scope) }
            return try body()
        }
    }

    /// Sees to it that arrays, strings and dictionaries can take so many bytes from now on.
    ///
    /// - Throws: `.outOfMemory` where the system does not give them; as `check`.
    package static func prepare(_ bytes: Int) throws {
        guard cm_prepare(max(bytes, 0)) else { throw exhausted }
    }

    /// Checks that the system gave all memory that the call has asked for.
    ///
    /// - Throws: `.outOfMemory`.
    package static func check() throws {
        if cm_failed() { throw exhausted }
    }

    private static var exhausted: FNEError {
        FNEError(.outOfMemory, "the system gave no memory. Free some, or allow the process more, and try again")
    }
}

import CKernels
import CTensorFlow
import FNESupport

/// The address space that the engines need. Where a limit (RLIMIT_AS, which `ulimit -v` sets) leaves less, they or the
/// C library end the process. So it is looked for before.
enum AddressSpace {
    /// What TensorFlow 2.21 takes beside its own code until the default network has run. A small network takes half.
    private static let base = 512 << 20
    /// What the threads of one processor take, one that loads and one that runs the network. The C library sets 64 MiB
    /// aside for each.
    private static let perProcessor = 128 << 20
    private static let mostProcessors = 64
    /// What ONNX Runtime 1.32 takes to open a small network is 4 MiB. The rest is for its arenas.
    private static let session = 64 << 20
    /// The network is read, its weights are brought into a form of the runtime's own, and both are there for a while.
    private static let copies = 3

    /// Checks that the process may take what TensorFlow needs.
    ///
    /// - Parameter library: the file that will be loaded; nil where it is loaded, or not known
    /// - Throws: `.outOfMemory`, with the limit, the need and the way out.
    static func check(for library: String?) throws {
        let code = library.map { ctf_loaded_size($0) } ?? 0
        try check(
            "TensorFlow", needs: code + UInt64(base + perProcessor * min(Int(ck_processor_count()), mostProcessors)))
    }

    /// Checks that the process may take what ONNX Runtime needs to open a network. Release 1.32 ends the process where
    /// some of its steps get no memory.
    ///
    /// - Parameter size: the bytes of the network, its weights included
    /// - Throws: `.outOfMemory`, as above.
    static func check(forSessionOn size: Int) throws {
        let (needed, isTooLarge) = saturating(size, copies).addingReportingOverflow(session)
        try check("ONNX Runtime", needs: isTooLarge ? .max : UInt64(clamping: needed))
    }

    private static func check(_ name: String, needs needed: UInt64) throws {
        var (limit, taken): (UInt64, UInt64) = (0, 0)
        guard ctf_address_space(&limit, &taken) != 0 else { return }
        let left = limit > taken ? limit - taken : 0
        guard left < needed else { return }
        throw FNEError(
            .outOfMemory,
            "the process may take \(limit >> 20) MiB of address space (RLIMIT_AS, 'ulimit -v'), and "
                + "\(left >> 20) MiB of it are left. \(name) needs about \(needed >> 20) MiB, and ends the process "
                + "where it gets none. Raise the limit, or lift it with 'ulimit -v unlimited'")
    }
}

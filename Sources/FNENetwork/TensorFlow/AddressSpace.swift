import CKernels
import CTensorFlow
import FNESupport

/// The address space that TensorFlow needs. Where a limit (RLIMIT_AS, which `ulimit -v` sets) leaves less, TensorFlow
/// or the C library ends the process. So it is looked for before.
enum AddressSpace {
    /// What TensorFlow 2.21 takes beside its own code until the default network has run. A small network takes half.
    private static let base = 512 << 20
    /// What the threads of one processor take, one that loads and one that runs the network. The C library sets 64 MiB
    /// aside for each.
    private static let perProcessor = 128 << 20
    private static let mostProcessors = 64

    /// Checks that the process may take what TensorFlow needs.
    ///
    /// - Parameter library: the file that will be loaded; nil where it is loaded, or not known
    /// - Throws: `.outOfMemory`, with the limit, the need and the way out.
    static func check(for library: String?) throws {
        var (limit, taken): (UInt64, UInt64) = (0, 0)
        guard ctf_address_space(&limit, &taken) != 0 else { return }
        let code = library.map { ctf_loaded_size($0) } ?? 0
        let needed = code + UInt64(base + perProcessor * min(Int(ck_processor_count()), mostProcessors))
        let left = limit > taken ? limit - taken : 0
        guard left < needed else { return }
        throw FNEError(
            .outOfMemory,
            "the process may take \(limit >> 20) MiB of address space (RLIMIT_AS, 'ulimit -v'), and "
                + "\(left >> 20) MiB of it are left. TensorFlow needs about \(needed >> 20) MiB, and ends the process "
                + "where it gets none. Raise the limit, or lift it with 'ulimit -v unlimited'")
    }
}

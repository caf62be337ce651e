/// TensorFlow's ConfigProto (tensorflow/core/protobuf/config.proto), written field by field: the C API takes it
/// serialized only.
struct SessionConfiguration {
    /// Threads of one operation, in a pool that all sessions of the process share: the first session decides its size.
    var threads: Int

    var serialized: [UInt8] {
        field(2, threads) // intra_op_parallelism_threads
            + field(5, -1) // inter_op_parallelism_threads: a run's operations run on the thread that called
            + field(7, 1) // allow_soft_placement: graphs that name a GPU run on what is there
    }

    private func field(_ number: Int, _ value: Int) -> [UInt8] { varint(number << 3) + varint(value) }

    /// Negative numbers are sent as 64 bits of two's complement.
    private func varint(_ value: Int) -> [UInt8] {
        var rest = UInt64(bitPattern: Int64(value))
        var bytes: [UInt8] = []
        while rest >= 0x80 {
            bytes.append(UInt8(rest & 0x7f) | 0x80)
            rest >>= 7
        }
        return bytes + [UInt8(rest)]
    }
}

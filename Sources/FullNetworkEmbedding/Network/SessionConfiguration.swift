/// TensorFlow's ConfigProto (tensorflow/core/protobuf/config.proto), written field by field: the C API takes it
/// serialized only.
struct SessionConfiguration {
    var threads: Int

    var serialized: [UInt8] {
        field(2, threads)        // intra_op_parallelism_threads
            + field(5, 1)        // inter_op_parallelism_threads: the graph is a chain, wide operations split themselves
            + field(7, 1)        // allow_soft_placement: graphs that name a GPU run on what is there
    }

    private func field(_ number: Int, _ value: Int) -> [UInt8] { varint(number << 3) + varint(value) }

    private func varint(_ value: Int) -> [UInt8] {
        var rest = UInt64(max(value, 0))
        var bytes: [UInt8] = []
        while rest >= 0x80 {
            bytes.append(UInt8(rest & 0x7f) | 0x80)
            rest >>= 7
        }
        return bytes + [UInt8(rest)]
    }
}

import FullNetworkEmbedding
public import CFNE

@c @implementation public func fne_compact_open_memory(
    _ bytes: UnsafePointer<UInt8>?, _ size: UInt64, _ compact: UnsafeMutablePointer<OpaquePointer?>?
) -> fne_status {
    status {
        let compact = try required(compact, "compact")
        compact.pointee = try handle(CompactCoder(buffer(bytes, size, "bytes")))
    }
}

@c @implementation public func fne_compact_close(_ compact: OpaquePointer?) { close(compact, CompactCoder.self) }

@c @implementation public func fne_compact_sizes(
    _ compact: OpaquePointer?, _ feature_count: UnsafeMutablePointer<UInt64>?,
    _ dimensions: UnsafeMutablePointer<UInt64>?
) -> fne_status {
    status {
        let object: CompactCoder = try referenced(compact, "compact")
        feature_count?.pointee = UInt64(object.featureCount)
        dimensions?.pointee = UInt64(object.dimensions)
    }
}

@c @implementation public func fne_compact_transform(
    _ compact: OpaquePointer?, _ rows: UnsafePointer<Float>?, _ row_count: UInt64, _ feature_count: UInt64,
    _ threads: UInt32, _ packed: UnsafeMutablePointer<UInt64>?, _ capacity: UInt64
) -> fne_status {
    status {
        let object: CompactCoder = try referenced(compact, "compact")
        guard feature_count == UInt64(object.featureCount) else {
            throw FNEError(
                .shapeMismatch,
                "rows of \(feature_count) features were given to compact codes of \(object.featureCount) features")
        }
        let (rows, packed) = try (required(rows, "rows"), required(packed, "packed"))
        _ = try matrixSize(row_count, feature_count, "rows")
        try needCapacity(capacity, packedSize(row_count, UInt64(object.dimensions), "packed"), "packed")
        try object.transform(rows, rows: Int(row_count), threads: threadCount(threads), to: packed)
    }
}

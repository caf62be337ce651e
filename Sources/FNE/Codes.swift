import FullNetworkEmbedding
public import CFNE

/// The number of 64-bit words of so many rows of packed codes.
private func packedSize(_ rows: UInt64, _ features: UInt64, _ what: String) throws -> Int {
    try matrixSize(rows, UInt64(PackedCodes.words(features: integer(features, "feature_count"))), what)
}

@c @implementation public func fne_packed_words(_ feature_count: UInt64, _ words: UnsafeMutablePointer<UInt64>?)
    -> fne_status
{
    status {
        let words = try required(words, "words")
        words.pointee = UInt64(try PackedCodes.words(features: integer(feature_count, "feature_count")))
    }
}

@c @implementation public func fne_pack(
    _ codes: UnsafePointer<Int8>?, _ row_count: UInt64, _ feature_count: UInt64,
    _ packed: UnsafeMutablePointer<UInt64>?,
    _ capacity: UInt64
) -> fne_status {
    status {
        let (codes, packed) = try (required(codes, "codes"), required(packed, "packed"))
        _ = try matrixSize(row_count, feature_count, "codes")
        try needCapacity(capacity, packedSize(row_count, feature_count, "packed"), "packed")
        try PackedCodes.pack(codes, rows: Int(row_count), features: Int(feature_count), to: packed)
    }
}

@c @implementation public func fne_unpack(
    _ packed: UnsafePointer<UInt64>?, _ row_count: UInt64, _ feature_count: UInt64,
    _ codes: UnsafeMutablePointer<Int8>?,
    _ capacity: UInt64
) -> fne_status {
    status {
        let (packed, codes) = try (required(packed, "packed"), required(codes, "codes"))
        _ = try packedSize(row_count, feature_count, "packed")
        try needCapacity(capacity, matrixSize(row_count, feature_count, "codes"), "codes")
        PackedCodes.unpack(packed, rows: Int(row_count), features: Int(feature_count), to: codes)
    }
}

@c @implementation public func fne_packed_dot(
    _ a: UnsafePointer<UInt64>?, _ a_count: UInt64, _ b: UnsafePointer<UInt64>?, _ b_count: UInt64,
    _ feature_count: UInt64,
    _ threads: UInt32, _ products: UnsafeMutablePointer<Int32>?, _ capacity: UInt64
) -> fne_status {
    status {
        let (a, b, products) = try (required(a, "a"), required(b, "b"), required(products, "products"))
        _ = try (packedSize(a_count, feature_count, "a"), packedSize(b_count, feature_count, "b"))
        try needCapacity(capacity, matrixSize(a_count, b_count, "products"), "products")
        try PackedCodes.dot(
            a, rows: Int(a_count), b, rows: Int(b_count), features: Int(feature_count), threads: threadCount(threads),
            to: products)
    }
}

@c @implementation public func fne_packed_search(
    _ base: UnsafePointer<UInt64>?, _ base_count: UInt64, _ queries: UnsafePointer<UInt64>?, _ query_count: UInt64,
    _ feature_count: UInt64, _ k: UInt64, _ metric: Int32, _ threads: UInt32, _ indices: UnsafeMutablePointer<UInt64>?,
    _ scores: UnsafeMutablePointer<Double>?, _ capacity: UInt64
) -> fne_status {
    status {
        let (base, queries) = try (required(base, "base"), required(queries, "queries"))
        let (indices, scores) = try (required(indices, "indices"), required(scores, "scores"))
        _ = try (packedSize(base_count, feature_count, "base"), packedSize(query_count, feature_count, "queries"))
        guard k >= 1, k <= base_count else {
            throw FNEError(.invalidArgument, "k is \(k); it must be 1 to \(base_count), the number of codes searched")
        }
        try needCapacity(capacity, matrixSize(query_count, k, "indices and scores"), "indices and scores")
        try PackedCodes.search(
            base, rows: Int(base_count), for: queries, rows: Int(query_count), features: Int(feature_count), k: Int(k),
            metric: choice(metric, "metric"), threads: threadCount(threads), indices: indices, scores: scores)
    }
}

/// A number of threads. 0 lets libfne choose.
private func threadCount(_ threads: UInt32) throws -> Int? {
    guard threads <= 1_024 else { throw FNEError(.invalidArgument, "threads is \(threads); it must be 0 to 1024") }
    return threads == 0 ? nil : Int(threads)
}

import FullNetworkEmbedding
public import CFNE

/// The number of 64-bit words of so many rows of packed codes.
func packedSize(_ rows: UInt64, _ features: UInt64, _ what: String) throws -> Int {
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
        try checkSearch(base_count, query_count, feature_count, k, capacity)
        try PackedCodes.search(
            base, rows: Int(base_count), for: queries, rows: Int(query_count), features: Int(feature_count), k: Int(k),
            metric: choice(metric, "metric"), threads: threadCount(threads), indices: indices, scores: scores)
    }
}

@c @implementation public func fne_packed_mean(
    _ codes: UnsafePointer<UInt64>?, _ row_count: UInt64, _ feature_count: UInt64, _ threads: UInt32,
    _ mean: UnsafeMutablePointer<Float>?, _ capacity: UInt64
) -> fne_status {
    status {
        let (codes, mean) = try (required(codes, "codes"), required(mean, "mean"))
        _ = try packedSize(row_count, feature_count, "codes")
        try needCapacity(capacity, Int(feature_count), "mean")
        try PackedCodes.mean(
            codes, rows: Int(row_count), features: Int(feature_count), threads: threadCount(threads), to: mean)
    }
}

@c @implementation public func fne_packed_offsets(
    _ codes: UnsafePointer<UInt64>?, _ row_count: UInt64, _ feature_count: UInt64, _ mean: UnsafePointer<Float>?,
    _ threads: UInt32, _ offsets: UnsafeMutablePointer<Double>?, _ capacity: UInt64
) -> fne_status {
    status {
        let (codes, mean) = try (required(codes, "codes"), required(mean, "mean"))
        let offsets = try required(offsets, "offsets")
        _ = try packedSize(row_count, feature_count, "codes")
        try needCapacity(capacity, Int(row_count), "offsets")
        try PackedCodes.offsets(
            codes, rows: Int(row_count), features: Int(feature_count), mean: mean, threads: threadCount(threads),
            to: offsets)
    }
}

@c @implementation public func fne_packed_dot_centred(
    _ a: UnsafePointer<UInt64>?, _ a_count: UInt64, _ b: UnsafePointer<UInt64>?, _ b_count: UInt64,
    _ feature_count: UInt64, _ mean: UnsafePointer<Float>?, _ threads: UInt32,
    _ products: UnsafeMutablePointer<Double>?, _ capacity: UInt64
) -> fne_status {
    status {
        let (a, b, products) = try (required(a, "a"), required(b, "b"), required(products, "products"))
        _ = try (packedSize(a_count, feature_count, "a"), packedSize(b_count, feature_count, "b"))
        try needCapacity(capacity, matrixSize(a_count, b_count, "products"), "products")
        try PackedCodes.centredDot(
            a, rows: Int(a_count), b, rows: Int(b_count), features: Int(feature_count), mean: mean,
            threads: threadCount(threads), to: products)
    }
}

@c @implementation public func fne_packed_search_centred(
    _ base: UnsafePointer<UInt64>?, _ base_count: UInt64, _ queries: UnsafePointer<UInt64>?, _ query_count: UInt64,
    _ feature_count: UInt64, _ k: UInt64, _ mean: UnsafePointer<Float>?, _ offsets: UnsafePointer<Double>?,
    _ threads: UInt32, _ indices: UnsafeMutablePointer<UInt64>?, _ scores: UnsafeMutablePointer<Double>?,
    _ capacity: UInt64
) -> fne_status {
    status {
        let (base, queries) = try (required(base, "base"), required(queries, "queries"))
        let (indices, scores) = try (required(indices, "indices"), required(scores, "scores"))
        guard mean != nil || offsets == nil else {
            throw FNEError(.invalidArgument, "offsets are given without the mean that they belong to")
        }
        try checkSearch(base_count, query_count, feature_count, k, capacity)
        try PackedCodes.centredSearch(
            base, rows: Int(base_count), for: queries, rows: Int(query_count), features: Int(feature_count), k: Int(k),
            mean: mean, baseOffsets: offsets, threads: threadCount(threads), indices: indices, scores: scores)
    }
}

/// Checks the numbers that a search is given.
private func checkSearch(
    _ base: UInt64, _ queries: UInt64, _ features: UInt64, _ k: UInt64, _ capacity: UInt64
) throws {
    _ = try (packedSize(base, features, "base"), packedSize(queries, features, "queries"))
    guard k >= 1, k <= base else {
        throw FNEError(.invalidArgument, "k is \(k); it must be 1 to \(base), the number of codes searched")
    }
    try needCapacity(capacity, matrixSize(queries, k, "indices and scores"), "indices and scores")
}

/// A number of threads. 0 lets libfne choose.
func threadCount(_ threads: UInt32) throws -> Int? {
    guard threads <= 1_024 else { throw FNEError(.invalidArgument, "threads is \(threads); it must be 0 to 1024") }
    return threads == 0 ? nil : Int(threads)
}

import FullNetworkEmbedding
public import CFNE

@c @implementation public func fne_standardize(
    _ x: UnsafePointer<Float>?, _ row_count: UInt64, _ feature_count: UInt64, _ mean: UnsafePointer<Double>?,
    _ std: UnsafePointer<Double>?, _ z: UnsafeMutablePointer<Double>?, _ capacity: UInt64
) -> fne_status {
    status {
        let (x, mean, std, z) = try (
            required(x, "x"), required(mean, "mean"), required(std, "std"), required(z, "z")
        )
        try needCapacity(capacity, matrixSize(row_count, feature_count, "x"), "z")
        try standardize(x, rows: Int(row_count), features: Int(feature_count), mean: mean, std: std, to: z)
    }
}

private func defaultOptions() -> fne_ternarize_options {
    fne_ternarize_options(struct_size: 0, lower: -0.25, upper: 0.15, rules: FNE_RULES_DOCUMENTED, reserved: 0)
}

@c @implementation public func fne_ternarize_options_init(
    _ options: UnsafeMutablePointer<fne_ternarize_options>?, _ struct_size: UInt64
) {
    initialize(options, defaultOptions(), struct_size)
}

@c @implementation public func fne_ternarize(
    _ x: UnsafePointer<Float>?, _ row_count: UInt64, _ feature_count: UInt64, _ mean: UnsafePointer<Double>?,
    _ std: UnsafePointer<Double>?, _ options: UnsafePointer<fne_ternarize_options>?,
    _ codes: UnsafeMutablePointer<Int8>?, _ capacity: UInt64
) -> fne_status {
    status {
        let (x, mean, std, codes) = try (
            required(x, "x"), required(mean, "mean"), required(std, "std"), required(codes, "codes")
        )
        try needCapacity(capacity, matrixSize(row_count, feature_count, "x"), "codes")
        try readDiscretization(options, "options").apply(
            x, rows: Int(row_count), features: Int(feature_count), mean: mean, std: std, to: codes)
    }
}

@c @implementation public func fne_l2_normalize(
    _ x: UnsafePointer<Float>?, _ row_count: UInt64, _ feature_count: UInt64, _ y: UnsafeMutablePointer<Float>?,
    _ capacity: UInt64
) -> fne_status {
    status {
        let (x, y) = try (required(x, "x"), required(y, "y"))
        try needCapacity(capacity, matrixSize(row_count, feature_count, "x"), "y")
        try l2Normalize(x, rows: Int(row_count), features: Int(feature_count), to: y)
    }
}

/// Turns C's options into Swift's.
func readDiscretization(_ options: UnsafePointer<fne_ternarize_options>?, _ name: String) throws -> Discretization {
    let given = try readOptions(options, defaults: defaultOptions(), name)
    try mustBeZero(given.reserved, name)
    return try Discretization(lower: given.lower, upper: given.upper, rules: choice(given.rules, "rules"))
}

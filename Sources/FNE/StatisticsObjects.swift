import FullNetworkEmbedding
public import CFNE

@c @implementation public func fne_statistics_open(
    _ feature_count: UInt64, _ statistics: UnsafeMutablePointer<OpaquePointer?>?
) -> fne_status {
    status {
        let statistics = try required(statistics, "statistics")
        statistics.pointee = try handle(Statistics(featureCount: integer(feature_count, "feature_count")))
    }
}

@c @implementation public func fne_statistics_close(_ statistics: OpaquePointer?) {
    close(statistics, Statistics.self)
}

@c @implementation public func fne_statistics_update(
    _ statistics: OpaquePointer?, _ rows: UnsafePointer<Float>?, _ row_count: UInt64, _ feature_count: UInt64
) -> fne_status {
    status {
        let object: Statistics = try referenced(statistics, "statistics")
        guard feature_count == UInt64(object.featureCount) else {
            throw FNEError(
                .shapeMismatch,
                "rows of \(feature_count) features were given to statistics of \(object.featureCount) features")
        }
        guard row_count > 0 else { return }
        _ = try matrixSize(row_count, feature_count, "rows")
        try object.update(required(rows, "rows"), rowCount: integer(row_count, "row_count"))
    }
}

@c @implementation public func fne_statistics_merge(
    _ statistics: OpaquePointer?, _ source: OpaquePointer?
) -> fne_status {
    status {
        let target: Statistics = try referenced(statistics, "statistics")
        try target.merge(referenced(source, "source"))
    }
}

@c @implementation public func fne_statistics_count(
    _ statistics: OpaquePointer?, _ rows: UnsafeMutablePointer<UInt64>?,
    _ feature_count: UnsafeMutablePointer<UInt64>?
) -> fne_status {
    status {
        let object: Statistics = try referenced(statistics, "statistics")
        rows?.pointee = UInt64(object.count)
        feature_count?.pointee = UInt64(object.featureCount)
    }
}

@c @implementation public func fne_statistics_moments(
    _ statistics: OpaquePointer?, _ mean: UnsafeMutablePointer<Double>?, _ std: UnsafeMutablePointer<Double>?,
    _ capacity: UInt64, _ ddof: UInt32
) -> fne_status {
    status {
        let object: Statistics = try referenced(statistics, "statistics")
        if mean != nil || std != nil { try needCapacity(capacity, object.featureCount, "mean and std") }
        try object.moments(mean: mean, std: std, ddof: Int(ddof))
    }
}

@c @implementation public func fne_statistics_size(
    _ statistics: OpaquePointer?, _ size: UnsafeMutablePointer<UInt64>?
) -> fne_status {
    status {
        let object: Statistics = try referenced(statistics, "statistics")
        try required(size, "size").pointee = UInt64(object.savedSize)
    }
}

@c @implementation public func fne_statistics_save(
    _ statistics: OpaquePointer?, _ bytes: UnsafeMutablePointer<UInt8>?, _ capacity: UInt64
) -> fne_status {
    status {
        let object: Statistics = try referenced(statistics, "statistics")
        let start = try required(bytes, "bytes")
        try needCapacity(capacity, object.savedSize, "bytes")
        try object.save(to: UnsafeMutableRawBufferPointer(start: start, count: object.savedSize))
    }
}

@c @implementation public func fne_statistics_load(
    _ bytes: UnsafePointer<UInt8>?, _ size: UInt64, _ statistics: UnsafeMutablePointer<OpaquePointer?>?
) -> fne_status {
    status {
        let statistics = try required(statistics, "statistics")
        statistics.pointee = try handle(Statistics.load(buffer(bytes, size, "bytes")))
    }
}

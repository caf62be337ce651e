@testable import FNEEmbedding

extension Statistics {
    /// The statistics of rows of the same length.
    static func of(_ rows: [[Float]]) throws -> Statistics {
        let statistics = try Statistics(featureCount: rows[0].count)
        try statistics.add(rows)
        return statistics
    }

    /// The statistics of one feature.
    static func of(_ column: Float...) throws -> Statistics { try of(column.map { [$0] }) }

    /// Adds rows in one call of `update`.
    func add(_ rows: some Collection<[Float]>) throws { try update(rows.flatMap { $0 }, rowCount: rows.count) }

    func means() throws -> [Double] {
        var mean = [Double](repeating: .nan, count: featureCount)
        try moments(mean: &mean, std: nil)
        return mean
    }

    func deviations(ddof: Int = 0) throws -> [Double] {
        var std = [Double](repeating: .nan, count: featureCount)
        try moments(mean: nil, std: &std, ddof: ddof)
        return std
    }

    func saved() throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: savedSize)
        try bytes.withUnsafeMutableBytes { try save(to: $0) }
        return bytes
    }

    static func loaded(_ bytes: some Collection<UInt8>) throws -> Statistics {
        try Array(bytes).withUnsafeBytes { try load($0) }
    }
}

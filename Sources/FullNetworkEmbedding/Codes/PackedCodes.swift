import CKernels

/// Ternary codes as two bits a feature: uint64 [rows, 2, (F + 63) / 64], the plane of what is not 0 and the plane of what is -1; bit
/// f % 64 of word f / 64 stands for feature f, and the bits behind the last feature are 0.
public enum PackedCodes {
    /// Words of a row: of both planes.
    public static func words(features: Int) throws -> Int {
        guard features >= 1, features <= Int(Int32.max) else {
            throw FNEError(.invalidArgument, "feature_count is \(features); it must be 1 to \(Int32.max)")
        }
        return 2 * planeWords(features)
    }

    private static func planeWords(_ features: Int) -> Int { (features + 63) / 64 }

    /// Packs int8 [rows, features] of -1, 0, 1; -128, a skipped image's, becomes 0.
    ///
    /// - Throws: `.invalidArgument` for another value, naming row and feature.
    public static func pack(
        _ codes: UnsafePointer<Int8>, rows: Int, features: Int, to packed: UnsafeMutablePointer<UInt64>
    ) throws {
        let count = planeWords(features)
        for row in 0..<rows {
            let (from, to) = (codes + row * features, packed + row * 2 * count)
            let feature = ck_first_bad_code(from, features)
            guard feature == features else {
                throw FNEError(
                    .invalidArgument, "row \(row), feature \(feature) is \(from[feature]); codes are -1, 0 and 1")
            }
            ck_pack(from, features, to, to + count)
        }
    }

    /// Unpacks to int8 [rows, features].
    public static func unpack(
        _ packed: UnsafePointer<UInt64>, rows: Int, features: Int, to codes: UnsafeMutablePointer<Int8>
    ) {
        let count = planeWords(features)
        for row in 0..<rows {
            let from = packed + row * 2 * count
            ck_unpack(from, from + count, features, codes + row * features)
        }
    }

    /// The dot products of all pairs, int32 [aRows, bRows].
    ///
    /// - Parameter threads: nil: one a processor
    public static func dot(
        _ a: UnsafePointer<UInt64>, rows aRows: Int, _ b: UnsafePointer<UInt64>, rows bRows: Int, features: Int,
        threads: Int? = nil, to products: UnsafeMutablePointer<Int32>
    ) throws {
        let pointers = Pointers(queries: a, base: b)
        let output = OutputPointer(pointer: products)
        try inParts(of: bRows, aRows, threads) { [words = planeWords(features)] range, counts in
            counts.forEachBlock(range, queries: aRows, words: words, pointers) { rows, q, both, opposite in
                let row = output.pointer + q * bRows + rows.lowerBound
                for i in 0..<rows.count { row[i] = both[i] - 2 * opposite[i] }
            }
        }
    }

    /// What is searched by.
    public enum Metric: Int32, Sendable {
        /// Largest first.
        case dot = 0
        /// dot / sqrt(nonzero features of one * of the other); 0 where one has none. Largest first.
        case cosine = 1
        /// How many features differ. Smallest first.
        case hamming = 2
    }

    /// The k best rows of the base for each query, best first, of equal ones the first first.
    ///
    /// - Parameters:
    ///   - indices, scores: receive [queryRows, k]
    ///   - threads: nil: one a processor
    /// - Throws: `.invalidArgument` unless 1 <= k <= baseRows.
    public static func search(
        _ base: UnsafePointer<UInt64>, rows baseRows: Int, for queries: UnsafePointer<UInt64>, rows queryRows: Int,
        features: Int, k: Int, metric: Metric, threads: Int? = nil, indices: UnsafeMutablePointer<UInt64>,
        scores: UnsafeMutablePointer<Double>
    ) throws {
        guard k >= 1, k <= baseRows else {
            throw FNEError(.invalidArgument, "k is \(k); it must be 1 to \(baseRows), the number of codes searched")
        }
        let words = planeWords(features)
        let norms = (0..<queryRows).map { ck_count_bits(queries + $0 * 2 * words, words) }
        let pointers = Pointers(queries: queries, base: base)
        let best = Collected((0..<queryRows).map { _ in Best(k) })
        try inParts(of: baseRows, queryRows, threads) { range, counts in
            var own = (0..<queryRows).map { _ in Best(k) }
            var (first, baseNorms): (Int, [UInt64]) = (-1, [])
            counts.forEachBlock(range, queries: queryRows, words: words, pointers) { rows, q, both, opposite in
                if metric != .dot, first != rows.lowerBound {
                    first = rows.lowerBound
                    baseNorms = rows.map { ck_count_bits(pointers.base + $0 * 2 * words, words) }
                }
                for (i, row) in rows.enumerated() {
                    let score: Double
                    switch metric {
                    case .dot: score = Double(both[i] - 2 * opposite[i])
                    case .cosine:
                        let product = Double(norms[q]) * Double(baseNorms[i])
                        score = product == 0 ? 0 : Double(both[i] - 2 * opposite[i]) / product.squareRoot()
                    case .hamming: score = -Double(Int(norms[q] + baseNorms[i]) - 2 * Int(both[i]) + Int(opposite[i]))
                    }
                    own[q].offer(score, row)
                }
            }
            best.merge(own)
        }
        for (q, found) in best.values.enumerated() {
            for (place, entry) in found.sorted.enumerated() {
                indices[q * k + place] = UInt64(entry.index)
                scores[q * k + place] = metric == .hamming ? -entry.score : entry.score
            }
        }
    }

    // MARK: - Parts

    private struct Pointers: @unchecked Sendable {
        let queries: UnsafePointer<UInt64>
        let base: UnsafePointer<UInt64>
    }

    private struct OutputPointer: @unchecked Sendable {
        let pointer: UnsafeMutablePointer<Int32>
    }

    /// The k best of what was offered: a heap with the worst on top.
    private struct Best {
        struct Entry {
            let score: Double
            let index: Int

            func isWorse(than other: Entry) -> Bool {
                score < other.score || (score == other.score && index > other.index)
            }
        }

        private let limit: Int
        private var heap: [Entry] = []

        init(_ limit: Int) {
            self.limit = limit
            heap.reserveCapacity(limit)
        }

        var sorted: [Entry] { heap.sorted { $1.isWorse(than: $0) } }

        mutating func offer(_ score: Double, _ index: Int) { offer(Entry(score: score, index: index)) }

        mutating func merge(_ other: Best) { for entry in other.heap { offer(entry) } }

        private mutating func offer(_ entry: Entry) {
            if heap.count < limit {
                heap.append(entry)
                var child = heap.count - 1
                while child > 0, heap[child].isWorse(than: heap[(child - 1) / 2]) {
                    heap.swapAt(child, (child - 1) / 2)
                    child = (child - 1) / 2
                }
                return
            }
            guard heap[0].isWorse(than: entry) else { return }
            heap[0] = entry
            var parent = 0
            while 2 * parent + 1 < heap.count {
                var child = 2 * parent + 1
                if child + 1 < heap.count, heap[child + 1].isWorse(than: heap[child]) { child += 1 }
                guard heap[child].isWorse(than: heap[parent]) else { break }
                heap.swapAt(parent, child)
                parent = child
            }
        }
    }

    private final class Collected: @unchecked Sendable {
        private let monitor = Monitor()
        private(set) var values: [Best]

        init(_ values: [Best]) { self.values = values }

        func merge(_ other: [Best]) { monitor.locked { for i in values.indices { values[i].merge(other[i]) } } }
    }

    /// A thread's memory for the counts of a block of the base.
    private final class Counts {
        private let both: Bytes
        private let opposite: Bytes

        /// Rows of a block, whose counts stay in the caches.
        static let rows = 64

        init(queries: Int) throws {
            let size = try checkedProduct(queries, Self.rows, MemoryLayout<Int32>.size, of: "queries")
            (both, opposite) = (try Bytes(count: size), try Bytes(count: size))
        }

        /// Counts block after block; the body is told the rows, the query, and the counts of these rows.
        func forEachBlock(
            _ range: Range<Int>, queries: Int, words: Int, _ pointers: Pointers,
            _ body: (Range<Int>, Int, UnsafePointer<Int32>, UnsafePointer<Int32>) -> Void
        ) {
            both.withNumbers(of: Int32.self) { both in
                opposite.withNumbers(of: Int32.self) { opposite in
                    for start in stride(from: range.lowerBound, to: range.upperBound, by: Self.rows) {
                        let rows = start..<min(start + Self.rows, range.upperBound)
                        ck_packed_counts(
                            pointers.queries, queries, pointers.base + start * 2 * words, rows.count, words, Self.rows, both,
                            opposite)
                        for q in 0..<queries { body(rows, q, both + q * Self.rows, opposite + q * Self.rows) }
                    }
                }
            }
        }
    }

    private static let rowsWorthAThread = 1 << 14

    /// Shares rows out to threads, whole blocks each.
    private static func inParts(
        of rows: Int, _ queries: Int, _ threads: Int?, _ body: @escaping (Range<Int>, Counts) -> Void
    ) throws {
        let blocks = (rows + Counts.rows - 1) / Counts.rows
        let most = threads ?? min(Int(ck_processor_count()), max(1, rows * max(queries, 1) / rowsWorthAThread))
        let parts = max(1, min(most, blocks))
        let counts = try (0..<parts).map { _ in try Counts(queries: queries) }
        func range(_ part: Int) -> Range<Int> {
            blocks * part / parts * Counts.rows..<min(blocks * (part + 1) / parts * Counts.rows, rows)
        }
        let workers = (1..<parts).map { part in (part, Worker { body(range(part), counts[part]) }) }
        body(range(0), counts[0])
        for (part, worker) in workers {
            if let worker { worker.join() } else { body(range(part), counts[part]) } // the system gave no thread
        }
    }
}

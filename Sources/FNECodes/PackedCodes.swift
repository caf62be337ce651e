import CKernels
import FNESupport

/// Ternary codes (-1, 0 and 1) packed into two bits per feature, as uint64 [rows, 2, (F + 63) / 64]. A row has two
/// planes of bits. The first plane says which codes are not 0, and the second which are -1. Bit f % 64 of word f / 64
/// stands for feature f. The bits after the last feature are 0.
public enum PackedCodes {
    /// The number of 64-bit words per row, in both planes together.
    ///
    /// - Throws: `.invalidArgument` unless features is 1 to 2^31 - 1.
    public static func words(features: Int) throws -> Int {
        guard features >= 1, features <= Int(Int32.max) else {
            throw FNEError(.invalidArgument, "feature_count is \(features); it must be 1 to \(Int32.max)")
        }
        return 2 * planeWords(features)
    }

    private static func planeWords(_ features: Int) -> Int { (features + 63) / 64 }

    /// Packs codes. The code -128 of a skipped image becomes 0.
    ///
    /// - Parameters:
    ///   - codes: int8 [rows, features] of -1, 0, 1 and -128
    ///   - packed: receives uint64 [rows, words(features)]
    /// - Throws: `.invalidArgument` for another value. The error names the row and the feature.
    public static func pack(
        _ codes: UnsafePointer<Int8>, rows: Int, features: Int, to packed: UnsafeMutablePointer<UInt64>
    ) throws {
        let count = planeWords(features)
        for row in 0..<rows {
            let (from, to) = (codes + row * features, packed + row * 2 * count)
            let feature = ck_first_bad_code(from, features)
            guard feature == features else {
                throw FNEError(
                    .invalidArgument, "row \(row), feature \(feature) is \(from[feature]); codes must be -1, 0 or 1")
            }
            ck_pack(from, features, to, to + count)
        }
    }

    /// Unpacks codes.
    ///
    /// - Parameters:
    ///   - packed: uint64 [rows, words(features)]
    ///   - codes: receives int8 [rows, features]
    public static func unpack(
        _ packed: UnsafePointer<UInt64>, rows: Int, features: Int, to codes: UnsafeMutablePointer<Int8>
    ) {
        let count = planeWords(features)
        for row in 0..<rows {
            let from = packed + row * 2 * count
            ck_unpack(from, from + count, features, codes + row * features)
        }
    }

    /// Computes the dot products of all pairs of rows of two arrays of packed codes.
    ///
    /// - Parameters:
    ///   - threads: nil for one per processor, and fewer where there is little work
    ///   - products: receives int32 [aRows, bRows]
    /// - Throws: `.outOfMemory`.
    public static func dot(
        _ a: UnsafePointer<UInt64>, rows aRows: Int, _ b: UnsafePointer<UInt64>, rows bRows: Int, features: Int,
        threads: Int? = nil, to products: UnsafeMutablePointer<Int32>
    ) throws {
        let pointers = Pointers(queries: a, base: b)
        let output = OutputPointer(pointer: products)
        try inParts(of: bRows, aRows, threads, memory: { _ in }) { [words = planeWords(features)] range, counts, _ in
            counts.forEachBlock(range, queries: aRows, words: words, pointers) { rows, q, both, opposite in
                let row = output.pointer + q * bRows + rows.lowerBound
                for i in 0..<rows.count { row[i] = both[i] - 2 * opposite[i] }
            }
        }
    }

    /// The score that rows are compared by.
    public enum Metric: Int32, Sendable {
        /// The dot product. The largest score is best.
        case dot = 0
        /// The dot product over the square root of a product, that of the two rows' numbers of codes that are not 0. It
        /// is 0 where a row has only zeros. The largest score is best.
        case cosine = 1
        /// The number of features that differ. The smallest score is best.
        case hamming = 2
        /// The cosine of the two rows less a mean code. It is 0 where a row is the mean itself. The largest score is
        /// best.
        case centred = 3
    }

    /// Finds the k best rows of the base for each query. They come best first. Of rows with equal scores, the one of
    /// the smaller index comes first.
    ///
    /// - Parameters:
    ///   - base: uint64 [baseRows, words(features)]
    ///   - queries: uint64 [queryRows, words(features)]
    ///   - metric: with `.centred` the mean of the base is computed first
    ///   - threads: nil for one per processor, and fewer where there is little work
    ///   - indices, scores: receive [queryRows, k]
    /// - Throws: `.invalidArgument` unless k is 1 to baseRows; `.outOfMemory`.
    public static func search(
        _ base: UnsafePointer<UInt64>, rows baseRows: Int, for queries: UnsafePointer<UInt64>, rows queryRows: Int,
        features: Int, k: Int, metric: Metric, threads: Int? = nil, indices: UnsafeMutablePointer<UInt64>,
        scores: UnsafeMutablePointer<Double>
    ) throws {
        let pointers = Pointers(queries: queries, base: base)
        let counts = (baseRows, queryRows, features, k)
        func found(_ comparison: some Comparison) throws {
            try search(pointers, counts, threads, comparison, indices, scores)
        }
        func withNorms(_ body: (Norms) throws -> Void) throws {
            try Norms.lend(pointers, queries: queryRows, words: words(features: features) / 2, body)
        }
        switch metric {
        case .dot: try found(ByDot())
        case .cosine: try withNorms { try found(ByCosine(norms: $0)) }
        case .hamming:
            try withNorms { try found(ByHamming(norms: $0)) }
            for place in 0..<queryRows * k { scores[place] = 0 - scores[place] }
        case .centred:
            try centredSearch(
                base, rows: baseRows, for: queries, rows: queryRows, features: features, k: k, threads: threads,
                indices: indices, scores: scores)
        }
    }

    /// Finds the k best rows by any comparison.
    static func search(
        _ pointers: Pointers, _ counts: (base: Int, queries: Int, features: Int, k: Int), _ threads: Int?,
        _ comparison: some Comparison, _ indices: UnsafeMutablePointer<UInt64>, _ scores: UnsafeMutablePointer<Double>
    ) throws {
        let (baseRows, queryRows, features, k) = counts
        guard k >= 1, k <= baseRows else {
            throw FNEError(.invalidArgument, "k is \(k); it must be 1 to \(baseRows), the number of codes searched")
        }
        let best = try Best(queries: queryRows, k)
        let monitor = Monitor()
        try inParts(of: baseRows, queryRows, threads, memory: { try Best(queries: queryRows, min(k, $0.count)) }) {
            [words = planeWords(features)] range, counts, own in
            var (first, facts) = (-1, [Double](repeating: 0, count: Counts.rows))
            var found = facts
            counts.forEachBlock(range, queries: queryRows, words: words, pointers) { rows, q, both, opposite in
                if first != rows.lowerBound {
                    first = rows.lowerBound
                    comparison.facts(of: rows, into: &facts)
                }
                // Few blocks have a row that is among the best so far. The others need no scores.
                if let worst = own.worst(of: q), !comparison.mayReach(worst, query: q, rows, facts, both, opposite) {
                    return
                }
                comparison.scores(query: q, rows, facts, both, opposite, into: &found)
                own.offer(to: q, rows, found)
            }
            monitor.locked { best.merge(own) }
        }
        for q in 0..<queryRows {
            best.takeBestFirst(of: q) { place, entry in
                indices[q * k + place] = UInt64(entry.index)
                scores[q * k + place] = entry.score
            }
        }
    }
    // MARK: - Parts

    struct Pointers: @unchecked Sendable {
        let queries: UnsafePointer<UInt64>
        let base: UnsafePointer<UInt64>
    }

    struct InputPointer: @unchecked Sendable {
        let pointer: UnsafePointer<UInt64>
    }

    struct OutputPointer<Number>: @unchecked Sendable {
        let pointer: UnsafeMutablePointer<Number>
    }

    struct OffsetPointers: @unchecked Sendable {
        let queries: UnsafePointer<Double>
        let base: UnsafePointer<Double>
    }

    /// The k best rows that were offered for each query. Each query has a heap with its worst row on top. The memory
    /// for all heaps is taken at once.
    private final class Best: @unchecked Sendable {
        struct Entry {
            let score: Double
            let index: Int

            func isWorse(than other: Entry) -> Bool {
                score < other.score || (score == other.score && index > other.index)
            }
        }

        private let limit: Int
        private let entries: Bytes // [queries, limit]
        private let counts: Bytes

        init(queries: Int, _ limit: Int) throws {
            self.limit = limit
            entries = try Bytes(count: checkedProduct(queries, limit, MemoryLayout<Entry>.stride, of: "queries x k"))
            counts = try Bytes(zeros: checkedProduct(queries, MemoryLayout<Int>.stride, of: "queries"))
        }

        private func withHeap(_ query: Int, _ body: (UnsafeMutablePointer<Entry>, inout Int) -> Void) {
            entries.withNumbers(of: Entry.self) { entries in
                counts.withNumbers(of: Int.self) { body(entries + query * limit, &$0[query]) }
            }
        }

        /// The worst score that is kept for a query; nil while there is room for more rows.
        func worst(of query: Int) -> Double? {
            var worst: Double?
            withHeap(query) { heap, count in if count == limit { worst = heap[0].score } }
            return worst
        }

        /// Offers rows to a query.
        func offer(to query: Int, _ rows: Range<Int>, _ scores: UnsafePointer<Double>) {
            withHeap(query) { heap, count in
                for i in 0..<rows.count where count < limit || scores[i] >= heap[0].score {
                    Self.add(Entry(score: scores[i], index: rows.lowerBound + i), to: heap, &count, limit)
                }
            }
        }

        func merge(_ other: Best) {
            for query in 0..<counts.count / MemoryLayout<Int>.stride {
                other.withHeap(query) { theirs, number in
                    withHeap(query) { heap, count in
                        for i in 0..<number { Self.add(theirs[i], to: heap, &count, limit) }
                    }
                }
            }
        }

        /// Empties a query's heap. The body receives each entry with its rank, the worst entry first.
        func takeBestFirst(of query: Int, _ body: (Int, Entry) -> Void) {
            withHeap(query) { heap, count in
                while count > 0 {
                    count -= 1
                    body(count, heap[0])
                    heap[0] = heap[count]
                    Self.sink(heap, count)
                }
            }
        }

        private static func add(_ entry: Entry, to heap: UnsafeMutablePointer<Entry>, _ count: inout Int, _ limit: Int)
        {
            if count < limit {
                (heap + count).initialize(to: entry)
                var child = count
                count += 1
                while child > 0, heap[child].isWorse(than: heap[(child - 1) / 2]) {
                    swap(&heap[child], &heap[(child - 1) / 2])
                    child = (child - 1) / 2
                }
            } else if heap[0].isWorse(than: entry) {
                heap[0] = entry
                sink(heap, count)
            }
        }

        /// Moves the entry on top down to its place.
        private static func sink(_ heap: UnsafeMutablePointer<Entry>, _ count: Int) {
            var parent = 0
            while 2 * parent + 1 < count {
                var child = 2 * parent + 1
                if child + 1 < count, heap[child + 1].isWorse(than: heap[child]) { child += 1 }
                guard heap[child].isWorse(than: heap[parent]) else { break }
                swap(&heap[parent], &heap[child])
                parent = child
            }
        }
    }

    /// A thread's memory for the counts of one block of the base.
    final class Counts: @unchecked Sendable {
        private let both: Bytes
        private let opposite: Bytes

        /// Rows per block. The counts of so many rows stay in the caches.
        static let rows = 64

        init(queries: Int) throws {
            let size = try checkedProduct(queries, Self.rows, MemoryLayout<Int32>.size, of: "queries")
            (both, opposite) = (try Bytes(count: size), try Bytes(count: size))
        }

        /// Counts block after block. The body receives the rows of the block, the query, and the counts for these rows:
        /// how many features are not 0 in both, and in how many of these the signs differ.
        func forEachBlock(
            _ range: Range<Int>, queries: Int, words: Int, _ pointers: Pointers,
            _ body: (Range<Int>, Int, UnsafePointer<Int32>, UnsafePointer<Int32>) -> Void
        ) {
            both.withNumbers(of: Int32.self) { both in
                opposite.withNumbers(of: Int32.self) { opposite in
                    for start in stride(from: range.lowerBound, to: range.upperBound, by: Self.rows) {
                        let rows = start..<min(start + Self.rows, range.upperBound)
                        ck_packed_counts(
                            pointers.queries, queries, pointers.base + start * 2 * words, rows.count, words, Self.rows,
                            both,
                            opposite)
                        for q in 0..<queries { body(rows, q, both + q * Self.rows, opposite + q * Self.rows) }
                    }
                }
            }
        }
    }

    /// So many pairs of rows take longer than a thread takes to start.
    private static let rowsWorthAThread = 1 << 14

    /// Divides rows among threads, in whole blocks, and gives each thread room for the counts of a block.
    static func inParts<Memory: Sendable>(
        of rows: Int, _ queries: Int, _ threads: Int?, memory: (Range<Int>) throws -> Memory,
        _ body: @escaping (Range<Int>, Counts, Memory) -> Void
    ) throws {
        let most = threads ?? min(Int(ck_processor_count()), max(1, rows * max(queries, 1) / rowsWorthAThread))
        try inParts(of: rows, most: most, memory: { (try Counts(queries: queries), try memory($0)) }) {
            body($0, $1.0, $1.1)
        }
    }

    /// Divides rows among threads, in whole blocks. The memory of all threads is taken before the first one begins, so
    /// that no thread can fail.
    static func inParts<Memory: Sendable>(
        of rows: Int, most: Int, memory: (Range<Int>) throws -> Memory, _ body: @escaping (Range<Int>, Memory) -> Void
    ) throws {
        let blocks = (rows + Counts.rows - 1) / Counts.rows
        let parts = max(1, min(most, blocks))
        func range(_ part: Int) -> Range<Int> {
            blocks * part / parts * Counts.rows..<min(blocks * (part + 1) / parts * Counts.rows, rows)
        }
        let memory = try (0..<parts).map { try memory(range($0)) }
        func run(_ part: Int) { body(range(part), memory[part]) }
        let workers = (1..<parts).map { part in (part, Worker { run(part) }) }
        run(0)
        for (part, worker) in workers {
            if let worker { worker.join() } else { run(part) } // the system gave no thread
        }
    }
}

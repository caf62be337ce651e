import CKernels
import FNESupport

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
        try inParts(of: bRows, aRows, threads, memory: { _ in }) { [words = planeWords(features)] range, counts, _ in
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
        let best = try Best(queries: queryRows, k)
        let monitor = Monitor()
        try inParts(of: baseRows, queryRows, threads, memory: { try Best(queries: queryRows, min(k, $0.count)) }) { range, counts, own in
            var (first, baseNorms): (Int, [UInt64]) = (-1, [])
            counts.forEachBlock(range, queries: queryRows, words: words, pointers) { rows, q, both, opposite in
                if metric != .dot, first != rows.lowerBound {
                    first = rows.lowerBound
                    baseNorms = rows.map { ck_count_bits(pointers.base + $0 * 2 * words, words) }
                }
                own.offer(to: q, rows) { i in
                    switch metric {
                    case .dot: return Double(both[i] - 2 * opposite[i])
                    case .cosine:
                        let product = Double(norms[q]) * Double(baseNorms[i])
                        return product == 0 ? 0 : Double(both[i] - 2 * opposite[i]) / product.squareRoot()
                    case .hamming: return -Double(Int(norms[q] + baseNorms[i]) - 2 * Int(both[i]) + Int(opposite[i]))
                    }
                }
            }
            monitor.locked { best.merge(own) }
        }
        for q in 0..<queryRows {
            best.takeBestFirst(of: q) { place, entry in
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

    /// For each query the k best of what was offered: heaps with the worst on top, in memory that is taken at once.
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

        /// Offers rows with their scores, by their places in the range.
        func offer(to query: Int, _ rows: Range<Int>, score: (Int) -> Double) {
            withHeap(query) { heap, count in
                for i in 0..<rows.count {
                    Self.add(Entry(score: score(i), index: rows.lowerBound + i), to: heap, &count, limit)
                }
            }
        }

        func merge(_ other: Best) {
            for query in 0..<counts.count / MemoryLayout<Int>.stride {
                other.withHeap(query) { theirs, number in
                    withHeap(query) { heap, count in for i in 0..<number { Self.add(theirs[i], to: heap, &count, limit) } }
                }
            }
        }

        /// Empties a heap.
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

        private static func add(_ entry: Entry, to heap: UnsafeMutablePointer<Entry>, _ count: inout Int, _ limit: Int) {
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

        /// Moves the top down to where it belongs.
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

    /// Shares rows out to threads, whole blocks each. What a thread works in is taken before any of them begins.
    private static func inParts<Memory: Sendable>(
        of rows: Int, _ queries: Int, _ threads: Int?, memory: (Range<Int>) throws -> Memory,
        _ body: @escaping (Range<Int>, Counts, Memory) -> Void
    ) throws {
        let blocks = (rows + Counts.rows - 1) / Counts.rows
        let most = threads ?? min(Int(ck_processor_count()), max(1, rows * max(queries, 1) / rowsWorthAThread))
        let parts = max(1, min(most, blocks))
        let counts = try (0..<parts).map { _ in try Counts(queries: queries) }
        func range(_ part: Int) -> Range<Int> {
            blocks * part / parts * Counts.rows..<min(blocks * (part + 1) / parts * Counts.rows, rows)
        }
        let memory = try (0..<parts).map { try memory(range($0)) }
        func run(_ part: Int) { body(range(part), counts[part], memory[part]) }
        let workers = (1..<parts).map { part in (part, Worker { run(part) }) }
        run(0)
        for (part, worker) in workers {
            if let worker { worker.join() } else { run(part) } // the system gave no thread
        }
    }
}

import XCTest

@testable import FNECodes

/// Tests packed codes on several threads. Tests/python/test_codes.py compares every kernel with NumPy.
final class PackedCodesTests: XCTestCase {
    private func random(_ rows: Int, _ features: Int, _ seed: UInt64) throws -> (codes: [Int8], words: [UInt64]) {
        var random = SeededRandom(seed)
        let codes = (0..<rows * features).map { _ in Int8.random(in: -1...1, using: &random) }
        var words = [UInt64](repeating: 0, count: rows * (try PackedCodes.words(features: features)))
        try PackedCodes.pack(codes, rows: rows, features: features, to: &words)
        return (codes, words)
    }

    private func dot(_ a: [Int8], _ i: Int, _ b: [Int8], _ j: Int, _ features: Int) -> Int32 {
        (0..<features).reduce(0) { $0 + Int32(a[i * features + $1]) * Int32(b[j * features + $1]) }
    }

    func testDotProducts() throws {
        for (n, m, features) in [(1, 1, 1), (3, 130, 65), (5, 64, 200), (2, 65, 64)] {
            let (a, b) = (try random(n, features, 1), try random(m, features, 2))
            for threads in [1, 2, 5] {
                var products = [Int32](repeating: 99, count: n * m)
                try PackedCodes.dot(
                    a.words, rows: n, b.words, rows: m, features: features, threads: threads, to: &products)
                for i in 0..<n {
                    for j in 0..<m { XCTAssertEqual(products[i * m + j], dot(a.codes, i, b.codes, j, features)) }
                }
            }
        }
    }

    func testSearch() throws {
        let (n, q, features, k) = (700, 3, 90, 20)
        let (base, queries) = (try random(n, features, 3), try random(q, features, 4))
        for threads in [1, 2, 6] {
            var (indices, scores) = ([UInt64](repeating: 0, count: q * k), [Double](repeating: 0, count: q * k))
            try PackedCodes.search(
                base.words, rows: n, for: queries.words, rows: q, features: features, k: k, metric: .dot,
                threads: threads,
                indices: &indices, scores: &scores)
            for query in 0..<q {
                let all = (0..<n).map { (score: dot(queries.codes, query, base.codes, $0, features), index: $0) }
                let best = all.sorted { ($0.score, $1.index) > ($1.score, $0.index) }.prefix(k)
                XCTAssertEqual(indices[query * k..<(query + 1) * k].map(Int.init), best.map(\.index))
                XCTAssertEqual(scores[query * k..<(query + 1) * k].map { Int32($0) }, best.map(\.score))
            }
        }
    }

    func testCentredSearch() throws {
        let (n, q, features, k) = (700, 3, 90, 20)
        let (base, queries) = (try random(n, features, 3), try random(q, features, 4))
        let mean = (0..<features).map { f in
            Double(Float((0..<n).reduce(0.0) { $0 + Double(base.codes[$1 * features + f]) } / Double(n)))
        }
        func centred(_ codes: [Int8], _ row: Int) -> [Double] {
            (0..<features).map { Double(codes[row * features + $0]) - mean[$0] }
        }
        func product(_ a: [Double], _ b: [Double]) -> Double { zip(a, b).reduce(0) { $0 + $1.0 * $1.1 } }
        let rows = (0..<n).map { centred(base.codes, $0) }
        for threads in [1, 2, 6] {
            var (indices, scores) = ([UInt64](repeating: 0, count: q * k), [Double](repeating: 0, count: q * k))
            try PackedCodes.search(
                base.words, rows: n, for: queries.words, rows: q, features: features, k: k, metric: .centred,
                threads: threads, indices: &indices, scores: &scores)
            for query in 0..<q {
                let asked = centred(queries.codes, query)
                let cosines = rows.map { product(asked, $0) / (product(asked, asked) * product($0, $0)).squareRoot() }
                let best = cosines.sorted(by: >)
                for place in 0..<k {
                    let (index, score) = (Int(indices[query * k + place]), scores[query * k + place])
                    XCTAssertEqual(score, cosines[index], accuracy: 1e-12)
                    XCTAssertEqual(score, best[place], accuracy: 1e-12)
                }
            }
        }
    }

    func testWhatIsRefused() throws {
        var words = [UInt64](repeating: 0, count: 4)
        assertFails(.invalidArgument, saying: "row 1, feature 0 is 2") {
            try PackedCodes.pack([1, 0, 2, 0], rows: 2, features: 2, to: &words)
        }
        assertFails(.invalidArgument) { try PackedCodes.words(features: 0) }
        var (indices, scores): ([UInt64], [Double]) = ([0], [0])
        for k in [0, 3] {
            assertFails(.invalidArgument, saying: "k is \(k)") {
                try PackedCodes.search(
                    words, rows: 2, for: words, rows: 1, features: 2, k: k, metric: .dot, indices: &indices,
                    scores: &scores)
            }
        }
    }
}

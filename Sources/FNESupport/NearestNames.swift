/// The names that a misspelt name may have meant, nearest first.
func nearestNames(to name: String, among names: [String], count: Int = 5) -> [String] {
    let wanted = Array(name.lowercased().utf8.prefix(200))
    func distance(_ other: String) -> Int {
        let bytes = Array(other.lowercased().utf8.prefix(200))
        // Levenshtein's distance, one row at a time.
        var row = Array(0...wanted.count)
        for (i, byte) in bytes.enumerated() {
            var diagonal = row[0]
            row[0] = i + 1
            for j in wanted.indices {
                let substituted = diagonal + (wanted[j] == byte ? 0 : 1)
                diagonal = row[j + 1]
                row[j + 1] = min(substituted, min(row[j], diagonal) + 1)
            }
        }
        return row[wanted.count]
    }
    return names.map { ($0, distance($0)) }
        .sorted { $0.1 < $1.1 }
        .prefix(count)
        .map { $0.0 }
}

/// A sentence for an error about a name that is not there.
package func nearestNamesSentence(to name: String, among names: [String]) -> String {
    guard !names.isEmpty else { return "The list of names is empty" }
    return "The nearest names are " + nearestNames(to: name, among: names).map { "'\($0)'" }.joined(separator: ", ")
}

/// The equation of an Einsum, such as "abc,cde->abde": a label for each axis of its operands and of its result. An
/// ellipsis, which stands for any number of axes, is a label too.
struct EinsumEquation {
    /// The labels of the operands' axes.
    let operands: [[UInt8]]
    /// The labels of the result's axes.
    let result: [UInt8]

    /// The label that an ellipsis has here.
    static let ellipsis = UInt8(ascii: ".")

    /// Nil where the text does not name the result's axes.
    init?(_ text: String) {
        let sides = text.utf8.filter { $0 != UInt8(ascii: " ") && $0 != UInt8(ascii: "-") }
            .split(separator: UInt8(ascii: ">"), omittingEmptySubsequences: false)
        guard sides.count == 2 else { return nil }
        operands = sides[0].split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false).map(Self.labels)
        result = Self.labels(sides[1])
    }

    private static func labels(_ side: some Collection<UInt8>) -> [UInt8] {
        var labels: [UInt8] = []
        for label in side where label != ellipsis || labels.last != ellipsis { labels.append(label) }
        return labels
    }

    /// The axes that a label stands for in two operands. Those of an ellipsis are widened from 1, from the last one on.
    private static func together(_ a: [Int], _ b: [Int]) -> [Int] {
        let (short, long) = a.count < b.count ? (a, b) : (b, a)
        let widened = zip(short.reversed(), long.reversed()).map(max)
        return long.dropLast(short.count) + widened.reversed()
    }

    /// The shape of the result; nil where the operands do not fit the equation.
    func shape(of shapes: [[Int]]) -> [Int]? {
        guard shapes.count == operands.count else { return nil }
        var sizes: [UInt8: [Int]] = [:]
        for (operand, shape) in zip(operands, shapes) {
            let more = shape.count - operand.count + 1 // the axes of an ellipsis
            guard operand.contains(Self.ellipsis) ? more >= 0 : more == 1 else { return nil }
            var rest = shape[...]
            for label in operand {
                let count = label == Self.ellipsis ? more : 1
                sizes[label] = Self.together(sizes[label] ?? [], Array(rest.prefix(count)))
                rest = rest.dropFirst(count)
            }
        }
        let known = result.compactMap { sizes[$0] }
        return known.count == result.count ? Array(known.joined()) : nil
    }
}

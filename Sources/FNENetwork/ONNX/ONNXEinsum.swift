/// The equation of an Einsum, as far as it tells a dense layer.
enum ONNXEinsum {
    /// Whether an equation multiplies the last axis of the first input by a matrix, such as "bij,jk->bik". Then it also
    /// says which axis of the matrix has the channels.
    static func channelAxis(_ equation: String) -> Int? {
        let text = equation.utf8.filter { $0 != UInt8(ascii: " ") }
        let sides = text.split(separator: UInt8(ascii: ">"), omittingEmptySubsequences: false)
        guard sides.count == 2, sides[0].last == UInt8(ascii: "-") else { return nil }
        let inputs = sides[0].dropLast().split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false)
        guard inputs.count == 2, inputs[1].count == 2, let summed = inputs[0].last, let channels = sides[1].last,
            inputs[0].dropLast().elementsEqual(sides[1].dropLast()), !inputs[0].contains(channels)
        else { return nil }
        if inputs[1].elementsEqual([summed, channels]) { return 1 }
        return inputs[1].elementsEqual([channels, summed]) ? 0 : nil
    }
}

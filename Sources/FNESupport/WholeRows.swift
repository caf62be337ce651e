/// The number of rows in an array of `size` elements, with so many columns per row.
///
/// - Parameter what: the array's name, for the message
/// - Throws: `.shapeMismatch` unless the array holds whole rows, and at least one.
package func wholeRows(_ size: Int, _ columns: Int, _ what: String) throws -> Int {
    guard columns > 0, size > 0, size.isMultiple(of: columns) else {
        throw FNEError(
            .shapeMismatch, "\(what) has \(size) elements. The number must be a multiple of \(columns), and not 0")
    }
    return size / columns
}

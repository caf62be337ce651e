/// How many rows of so many columns there are.
package func wholeRows(_ size: Int, _ columns: Int, _ what: String) throws -> Int {
    guard columns > 0, size > 0, size.isMultiple(of: columns) else {
        throw FNEError(.shapeMismatch, "\(what) has \(size) elements, which are no whole rows of \(columns)")
    }
    return size / columns
}

/// How a stored picture is turned for display. The numbers are the values of the EXIF tag 0x0112 (EXIF 2.32, 4.6.4).
enum Orientation: Int, Sendable {
    case asStored = 1
    case mirrored = 2
    case turnedHalf = 3
    case flipped = 4
    case transposed = 5
    case turnedRight = 6
    case transversed = 7
    case turnedLeft = 8

    /// Whether the picture's height and width change places.
    var swapsSides: Bool { rawValue >= 5 }

    /// Copies stored pixels to the places where they are shown.
    ///
    /// - Parameters:
    ///   - stored: RGB [height, width, 3]
    ///   - shown: RGB [width, height, 3] where `swapsSides`, else [height, width, 3]
    func apply(_ stored: UnsafePointer<UInt8>, height: Int, width: Int, to shown: UnsafeMutablePointer<UInt8>) {
        let shownWidth = swapsSides ? height : width
        for y in 0..<height {
            for x in 0..<width {
                let (row, column) =
                    switch self {
                    case .asStored: (y, x)
                    case .mirrored: (y, width - 1 - x)
                    case .turnedHalf: (height - 1 - y, width - 1 - x)
                    case .flipped: (height - 1 - y, x)
                    case .transposed: (x, y)
                    case .turnedRight: (x, height - 1 - y)
                    case .transversed: (width - 1 - x, height - 1 - y)
                    case .turnedLeft: (width - 1 - x, y)
                    }
                let from = stored + 3 * (y * width + x)
                let to = shown + 3 * (row * shownWidth + column)
                to[0] = from[0]
                to[1] = from[1]
                to[2] = from[2]
            }
        }
    }
}

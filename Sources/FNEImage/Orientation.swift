import CKernels

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
        guard height > 0, width > 0 else { return }
        let turn = swapsSides ? ck_transpose_pixels : ck_mirror_pixels
        turn(stored, height, width, readsBackwards ? 1 : 0, readsUpwards ? 1 : 0, shown)
    }

    /// Whether the stored rows are read from right to left.
    private var readsBackwards: Bool { [.mirrored, .turnedHalf, .transversed, .turnedLeft].contains(self) }

    /// Whether the stored columns are read from the last row to the first.
    private var readsUpwards: Bool { [.turnedHalf, .flipped, .turnedRight, .transversed].contains(self) }
}

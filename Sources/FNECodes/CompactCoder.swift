import CKernels
import FNESupport

/// How features become compact codes. The main directions of the features are turned into D dimensions, in each of
/// which a code is -1, 0 or 1. docs/codes.md says how the numbers are found and how they are saved.
///
/// Any number of threads may use an object at once.
public final class CompactCoder: Sendable {
    /// F, the number of features in a row.
    public var featureCount: Int { sizes.features }
    /// D, the number of codes that a row gets.
    public var dimensions: Int { sizes.dimensions }

    private let sizes: CompactSizes
    private let numbers: Bytes // as in the saved form: mean, basis, variances, rotation, cuts

    /// Reads what was saved.
    ///
    /// - Throws: `.invalidData` for bytes that are damaged or of another version; `.outOfMemory`.
    public init(_ saved: UnsafeRawBufferPointer) throws {
        sizes = try CompactSizes(saved)
        numbers = try Bytes(count: sizes.numbers * MemoryLayout<Double>.size)
        try numbers.withNumbers(of: Double.self) { [sizes] numbers in
            for i in 0..<sizes.numbers {
                let bits = saved.loadUnaligned(fromByteOffset: CompactSizes.header + 8 * i, as: UInt64.self)
                numbers[i] = Double(bitPattern: UInt64(littleEndian: bits))
            }
            try sizes.check(numbers)
        }
    }

    /// Makes the packed codes of rows. They are the same whatever the number of threads and the processor.
    ///
    /// - Parameters:
    ///   - x: float32 [rows, featureCount]
    ///   - threads: nil for one per processor, and fewer where there is little work
    ///   - packed: receives uint64 [rows, PackedCodes.words(features: dimensions)]. It is unspecified after an error.
    /// - Throws: `.notFinite` for NaN or infinity in x, with its row and feature; `.outOfMemory`.
    public func transform(
        _ x: UnsafePointer<Float>, rows: Int, threads: Int? = nil, to packed: UnsafeMutablePointer<UInt64>
    ) throws {
        let bad = ck_first_not_finite(x, try checkedProduct(rows, featureCount, of: "rows"))
        guard bad == rows * featureCount else {
            throw FNEError(
                .notFinite,
                "row \(bad / featureCount), feature \(bad % featureCount) is \(x[bad].isNaN ? "NaN" : "infinite")")
        }
        let words = try PackedCodes.words(features: dimensions)
        let (input, output) = (Input(pointer: x), PackedCodes.OutputPointer(pointer: packed))
        let most = threads ?? min(Int(ck_processor_count()), rows / Self.rowsWorthAThread)
        try PackedCodes.inParts(of: rows, most: most, memory: { [sizes] _ in try Room(sizes) }) { [self] range, room in
            for row in range {
                code(input.pointer + row * featureCount, room, to: output.pointer + row * words)
            }
        }
    }

    /// Makes the code of a row.
    private func code(_ x: UnsafePointer<Float>, _ room: Room, to packed: UnsafeMutablePointer<UInt64>) {
        let (features, components, dimensions) = (sizes.features, sizes.components, sizes.dimensions)
        numbers.withNumbers(of: Double.self) { mean in
            room.withNumbers { centred, projected, turned, codes in
                for f in 0..<features { centred[f] = Double(x[f]) - mean[f] }
                ck_multiply(centred, features, mean + sizes.basis, components, projected)
                ck_multiply(projected, components, mean + sizes.rotation, dimensions, turned)
                let cuts = mean + sizes.cuts
                for d in 0..<dimensions { codes[d] = turned[d] > cuts[d] ? 1 : turned[d] < -cuts[d] ? -1 : 0 }
                ck_pack(codes, dimensions, packed, packed + (dimensions + 63) / 64)
            }
        }
    }

    /// So many rows take longer than a thread takes to start.
    private static let rowsWorthAThread = 64

    private struct Input: @unchecked Sendable {
        let pointer: UnsafePointer<Float>
    }

    /// A thread's memory for one row.
    private struct Room: Sendable {
        private let numbers: Bytes
        private let codes: Bytes
        private let sizes: CompactSizes

        init(_ sizes: CompactSizes) throws {
            let count = sizes.features + sizes.components + sizes.dimensions
            numbers = try Bytes(count: count * MemoryLayout<Double>.size)
            codes = try Bytes(count: sizes.dimensions)
            self.sizes = sizes
        }

        func withNumbers(
            _ body: (
                UnsafeMutablePointer<Double>, UnsafeMutablePointer<Double>, UnsafeMutablePointer<Double>,
                UnsafeMutablePointer<Int8>
            ) -> Void
        ) {
            numbers.withNumbers(of: Double.self) { centred in
                let projected = centred + sizes.features
                codes.withNumbers(of: Int8.self) { body(centred, projected, projected + sizes.components, $0) }
            }
        }
    }
}

/// The sizes of a saved coder, and where its numbers are.
struct CompactSizes {
    // magic[8] | version u32 | 0 u32 | F u64 | C u64 | D u64 | images u64 | bytes of the text u64
    // | mean f64[F] | basis f64[F, C] | variances f64[C] | rotation f64[C, D] | cuts f64[D] | text | checksum[64]
    // All numbers are little-endian. The checksum is the SHA-256 of all bytes before it, in hexadecimal digits.
    static let header = 56
    private static let checksum = 64
    private static let magic: [UInt8] = Array("FNECOMP\n".utf8)
    private static let version: UInt32 = 1
    private static let mostFeatures: UInt64 = 1 << 20
    private static let mostDimensions: UInt64 = 1 << 16

    let features: Int
    let components: Int
    let dimensions: Int

    var basis: Int { features }
    private var variances: Int { basis + features * components }
    var rotation: Int { variances + components }
    var cuts: Int { rotation + components * dimensions }
    /// How many numbers there are.
    var numbers: Int { cuts + dimensions }

    /// Reads the sizes, and checks them and the checksum.
    init(_ saved: UnsafeRawBufferPointer) throws {
        func word(_ offset: Int) -> UInt64 {
            UInt64(littleEndian: saved.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
        }
        guard saved.count >= Self.header + Self.checksum, saved.starts(with: Self.magic) else {
            throw Self.damaged("the header is missing")
        }
        guard word(8) == UInt64(Self.version) else {
            throw FNEError(
                .invalidData,
                "the saved compact codes are of version \(word(8) & 0xffff_ffff), but this library reads version "
                    + "\(Self.version)")
        }
        let (features, components, dimensions, text) = (word(16), word(24), word(32), word(48))
        guard (1...Self.mostFeatures).contains(features), (1...Self.mostDimensions).contains(dimensions),
            (1...min(features, dimensions)).contains(components), text <= UInt64(saved.count)
        else { throw Self.damaged("their sizes are impossible") }
        (self.features, self.components, self.dimensions) = (Int(features), Int(components), Int(dimensions))
        guard saved.count == Self.header + 8 * numbers + Int(text) + Self.checksum else {
            throw Self.damaged("their size does not fit their header")
        }
        let end = saved.count - Self.checksum
        guard saved[end...].elementsEqual(sha256(UnsafeRawBufferPointer(rebasing: saved[..<end])).utf8) else {
            throw Self.damaged("the checksum is wrong")
        }
    }

    /// Checks that no sum can overflow, and that each cut divides.
    func check(_ numbers: UnsafePointer<Double>) throws {
        func each(_ range: Range<Int>, is what: (Double) -> Bool, _ name: String) throws {
            guard range.allSatisfy({ what(numbers[$0]) }) else { throw Self.damaged("their \(name) is impossible") }
        }
        let largest = Double(Float.greatestFiniteMagnitude)
        try each(0..<basis, is: { abs($0) <= largest }, "mean")
        try each(basis..<variances, is: { abs($0) <= 2 }, "basis")
        try each(variances..<rotation, is: { $0 > 0 && $0.isFinite }, "variance")
        try each(rotation..<cuts, is: { abs($0) <= 2 }, "rotation")
        try each(cuts..<self.numbers, is: { $0 > 0 && $0.isFinite }, "cut")
    }

    private static func damaged(_ what: String) -> FNEError {
        FNEError(.invalidData, "these are no saved compact codes, or damaged ones: \(what)")
    }
}

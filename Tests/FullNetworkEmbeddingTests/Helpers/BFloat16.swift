/// bfloat16 in Double arithmetic: eight significant bits.
enum BFloat16 {
    /// From little-endian bytes.
    static func numbers(_ bytes: [UInt8]) -> [Double] {
        stride(from: 0, to: bytes.count - 1, by: 2).map {
            Double(Float(bitPattern: UInt32(bytes[$0]) << 16 | UInt32(bytes[$0 + 1]) << 24))
        }
    }

    /// From one number to the next, near x.
    static func step(at x: Double) -> Double {
        x == 0 ? 0 : Double(sign: .plus, exponent: x.exponent - 7, significand: 1)
    }

    /// To nearest, ties to even.
    static func nearest(_ x: Double) -> Double {
        x == 0 ? 0 : (x / step(at: x)).rounded(.toNearestOrEven) * step(at: x)
    }
}

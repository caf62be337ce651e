import FNESupport

/// The large constants of a model that is written. The model only says in which file and at which place they are, and
/// the runtime gets the files in memory (`AddExternalInitializersFromFilesInMemory` of its C API). It reads them into
/// its own form when a session is opened. So they need not be copied into the ONNX file first, which may also not grow
/// beyond 2 GiB. They must live until the session is open.
package struct ONNXWeights {
    /// A file in memory, by the name that the model has for it.
    package struct File: Sendable {
        /// The location that the model names. Offsets in it are offsets in `content`.
        package let location: String
        package let content: Bytes

        package init(location: String, content: Bytes) {
            self.location = location
            self.content = content
        }
    }

    /// The runtime reads constants where they are. So they begin at multiples of this.
    private static let alignment = 64
    private static let packedLocation = "fne0"

    /// The files beside the network, which are handed on as they are.
    private var files: [File] = []
    private var known: [ObjectIdentifier: String] = [:]
    /// Constants that begin at other places, as those inside of an ONNX file do. They are copied.
    private var packed: [(source: Bytes, range: Range<Int>, offset: Int)] = []
    private var packedSize = 0

    /// The place for a constant in a file.
    mutating func place(_ range: Range<Int>, of source: Bytes) -> (location: String, offset: Int) {
        guard range.lowerBound % Self.alignment != 0 else { return (location(of: source), range.lowerBound) }
        let rest = packedSize % Self.alignment
        let offset = packedSize + (rest == 0 ? 0 : Self.alignment - rest)
        packed.append((source, range, offset))
        packedSize = offset + range.count
        return (Self.packedLocation, offset)
    }

    private mutating func location(of source: Bytes) -> String {
        if let location = known[ObjectIdentifier(source)] { return location }
        let location = "fne\(files.count + 1)"
        known[ObjectIdentifier(source)] = location
        files.append(File(location: location, content: source))
        return location
    }

    /// All files.
    ///
    /// - Throws: `.outOfMemory`.
    func made() throws -> [File] {
        guard !packed.isEmpty else { return files }
        let content = try Bytes(count: packedSize)
        content.withNumbers(of: UInt8.self) { start in
            for (source, range, offset) in packed {
                source.withBytes { bytes in
                    UnsafeMutableRawBufferPointer(start: start + offset, count: range.count)
                        .copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[range]))
                }
            }
        }
        return files + [File(location: Self.packedLocation, content: content)]
    }
}

import FNESupport

/// A finished file that is checked while it is read. Each block is compared with the manifest before a byte of it is
/// given out.
final class CheckedFile {
    private let file: File
    private let checksum: FileChecksum
    /// The last block that was read. Reading goes forward, so that each block is read once.
    private let block: Bytes
    private var number = -1

    init(_ files: JobFiles, _ manifest: Manifest, _ name: String) throws {
        file = try File(files.path(name), .reading)
        guard let checksum = manifest.files[name] else {
            throw FNEError(.invalidData, "the manifest in '\(files.folder)' has no checksum of '\(name)'")
        }
        self.checksum = checksum
        block = try Bytes(count: min(checksum.blockSize, checksum.count))
    }

    func read(_ bytes: UnsafeMutableRawBufferPointer, at offset: Int) throws {
        var done = 0
        while done < bytes.count {
            let place = offset + done
            try load(place / checksum.blockSize)
            let start = place - number * checksum.blockSize
            let count = min(block.count - start, bytes.count - done)
            guard count > 0 else { throw FNEError(.invalidData, "'\(file.path)' ends too early") }
            block.withBytes { block in
                UnsafeMutableRawBufferPointer(rebasing: bytes[done...]).copyMemory(
                    from: UnsafeRawBufferPointer(rebasing: block[start..<start + count]))
            }
            done += count
        }
    }

    private func load(_ wanted: Int) throws {
        guard wanted != number else { return }
        let isRight = try block.withNumbers(of: UInt8.self) { start in
            try checksum.load(wanted, of: file, to: UnsafeMutableRawBufferPointer(start: start, count: block.count))
        }
        guard isRight else {
            let first = wanted * checksum.blockSize
            throw FNEError(
                .invalidData,
                "'\(file.path)' was changed after the job wrote it, in the block from byte \(first) on. Run that job "
                    + "again, which repairs it")
        }
        number = wanted
    }
}

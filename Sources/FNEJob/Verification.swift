import FNECodes
import FNEEmbedding
import FNESupport

/// Compares the files of a finished job with what its manifest says of them.
struct Verification {
    /// What is wrong with a file.
    enum Damage {
        case missing
        /// It has another size or a damaged header. The text says which, for "'codes.npy' has 3 bytes, but ...".
        case form(String)
        /// These bytes are not what they were.
        case content([Range<Int>])

        var text: String {
            switch self {
            case .missing: return "is missing"
            case .form(let text): return text
            case .content(let ranges):
                let bytes = ranges.reduce(0) { $0 + $1.count }
                let first = ranges.first?.lowerBound ?? 0
                return "is not what the job wrote, in \(bytes) bytes from byte \(first) on"
            }
        }
    }

    private let files: JobFiles
    private let manifest: Manifest

    init(_ files: JobFiles, _ manifest: Manifest) {
        self.files = files
        self.manifest = manifest
    }

    private var names: [String] { manifest.fileNames(in: .finished).filter { manifest.files[$0] != nil } }

    /// The number of bytes that the checksums cover.
    var byteCount: Int { names.reduce(0) { $0 + (manifest.files[$1]?.count ?? 0) } }

    /// Checks that all files are there, with their sizes and their headers.
    ///
    /// - Throws: `.invalidData`, which names the files that are damaged; `.fileError`.
    func checkSizes() throws {
        var found: [(String, Damage)] = []
        for name in names { if let damage = try form(of: name) { found.append((name, damage)) } }
        if let error = Self.error(files, found) { throw error }
    }

    /// Compares all bytes.
    ///
    /// - Parameter progress: is called with the number of bytes that were compared; false cancels
    /// - Returns: the files that are damaged
    /// - Throws: `.cancelled`, `.fileError`.
    func damage(progress: (Int) -> Bool) throws -> [String: Damage] {
        var result: [String: Damage] = [:]
        var done = 0
        for name in names {
            result[name] = try form(of: name) ?? content(of: name) { progress(done + $0) }
            done += manifest.files[name]?.count ?? 0
        }
        return result
    }

    /// The error that names damaged files; nil where there are none.
    static func error(_ files: JobFiles, _ damage: [(String, Damage)]) -> FNEError? {
        guard !damage.isEmpty else { return nil }
        let list = damage.map { "'\($0)' \($1.text)" }.joined(separator: "; ")
        return FNEError(
            .invalidData,
            "the job in '\(files.folder)' is damaged: \(list). Run the job again with its images and its model, which "
                + "repairs it")
    }

    /// The error that names damaged files in the order of the manifest; nil where there are none.
    func error(_ damage: [String: Damage]) -> FNEError? {
        Self.error(files, names.compactMap { name in damage[name].map { (name, $0) } })
    }

    private func form(of name: String) throws -> Damage? {
        guard let checksum = manifest.files[name] else { return nil }
        let path = try files.data(name)
        guard try File.exists(path) else { return .missing }
        let file = try File(path, .reading)
        if let (element, shape) = try manifest.matrix(name) {
            return try NumPyFile.difference(of: file, element, shape).map { .form($0) }
        }
        let size = try file.size()
        return size == checksum.count ? nil : .form("has \(size) bytes, but the job wrote \(checksum.count)")
    }

    private func content(of name: String, _ progress: (Int) -> Bool) throws -> Damage? {
        guard let checksum = manifest.files[name] else { return nil }
        let ranges = try checksum.damage(in: File(files.data(name), .reading), progress: progress)
        return ranges.isEmpty ? nil : .content(ranges)
    }

    /// Computes the statistics again from the features, and compares them with the saved ones.
    ///
    /// - Parameter progress: is called with the number of bytes that were read; false cancels
    /// - Throws: `.invalidData` where they differ; `.cancelled`, `.fileError`, `.outOfMemory`.
    func compareStatistics(progress: (Int) -> Bool) throws {
        let names = [JobFiles.statistics, JobFiles.features]
        guard names.allSatisfy({ manifest.files[$0] != nil }), let (element, shape) = try manifest.matrix(names[1])
        else { return }
        let features = try NumPyFile(reading: files.path(JobFiles.features), element, shape)
        let failed = try Set(ShardsSource.failures(in: files.folder, manifest).keys)
        let (perImage, width) = (try manifest.rowsPerImage(), try manifest.featureCount())
        let statistics = try Statistics(featureCount: width)
        try features.eachRows(of: 0..<manifest.images.count, rowsPerImage: perImage) { images, rows in
            try statistics.update(rows, images: images, rowsPerImage: perImage) { !failed.contains($0) }
            guard progress(images.upperBound * perImage * features.rowSize) else {
                throw FNEError(.cancelled, "the check was cancelled")
            }
        }
        let saved = try Bytes(count: statistics.savedSize)
        try saved.withNumbers(of: UInt8.self) { start in
            let all = UnsafeMutableRawBufferPointer(start: start, count: saved.count)
            try statistics.save(to: all)
            guard sha256(UnsafeRawBufferPointer(all)) == manifest.files[JobFiles.statistics]?.sha256 else {
                throw FNEError(
                    .invalidData,
                    "the statistics in '\(files.path(JobFiles.statistics))' are not those of the features. Run the job "
                        + "again in another folder")
            }
        }
    }

    /// Whether a file is there, and is what the job wrote.
    func isRight(_ name: String) -> Bool {
        (try? check(name, 0..<(manifest.files[name]?.count ?? 0))) != nil
    }

    /// Checks a part of a file's bytes.
    ///
    /// - Throws: `.invalidData` where it is damaged; `.invalidArgument` for a file without a checksum; `.fileError`.
    func check(_ name: String, _ range: Range<Int>) throws {
        guard let checksum = manifest.files[name] else {
            throw FNEError(
                .invalidArgument,
                "the job in '\(files.folder)' has no checksum of '\(name)'. It has those of "
                    + names.joined(separator: ", "))
        }
        var damage = try form(of: name)
        if damage == nil {
            let ranges = try checksum.damage(in: File(files.data(name), .reading), range)
            damage = ranges.isEmpty ? nil : .content(ranges)
        }
        if let error = Self.error(files, damage.map { [(name, $0)] } ?? []) { throw error }
    }
}

extension Manifest {
    /// The type and the shape of a matrix; nil for a file that is none.
    func matrix(_ name: String) throws -> (NumPyFile.Element, [Int])? {
        let (rows, features) = (try rowCount(), try featureCount())
        switch name {
        case JobFiles.features: return (.float32, [rows, features])
        case JobFiles.codes: return (.int8, [rows, features])
        case JobFiles.packedCodes: return (.uint64, [rows, 2, try PackedCodes.words(features: features) / 2])
        case JobFiles.status: return (.int32, [images.count])
        case JobFiles.stats: return (.float64, [2, features])
        default: return nil
        }
    }
}

extension Statistics {
    /// Adds the rows of images, float32 [images * rows per image, F], without those of bad images.
    func update(_ rows: UnsafePointer<Float>, images: Range<Int>, rowsPerImage: Int, isGood: (Int) -> Bool) throws {
        let rowSize = rowsPerImage * featureCount
        var next = images.lowerBound
        while next < images.upperBound {
            let end = (next..<images.upperBound).first { !isGood($0) } ?? images.upperBound
            if end > next {
                try update(rows + (next - images.lowerBound) * rowSize, rowCount: (end - next) * rowsPerImage)
            }
            next = end + 1
        }
    }
}

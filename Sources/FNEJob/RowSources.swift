import FNEPipeline
import FNESupport

/// The source of a job's rows, which is the network, or shards that were embedded before.
protocol RowSource {
    /// The engines that compute the rows, from an image of the job on.
    func engines(from image: Int) -> [Manifest.EngineRecord]

    /// Gives the rows of all images from one image on, in order and in whole batches.
    ///
    /// - Parameters:
    ///   - failed: is called with an image that could not be embedded, before `sink` gets its rows
    ///   - sink: receives images and their rows, float32 [images * rows per image, F], NaN for an image that failed
    ///   - progress: is called with the number of images that are done; false cancels
    /// - Throws: `.cancelled`; what the closures throw; the errors of the source.
    func rows(
        from first: Int, failed: @escaping (Int, FNEError) throws -> Void,
        sink: @escaping (Range<Int>, UnsafePointer<Float>) throws -> Void, progress: @escaping (Int) -> Bool
    ) throws
}

/// A source that sends images through the network.
struct ExtractorSource: RowSource {
    let extractor: Extractor
    let list: ImageList
    /// The folder that relative names are relative to.
    let root: FilePath
    /// The place of the first image in the whole list.
    let firstImage: Int

    func engines(from image: Int) -> [Manifest.EngineRecord] {
        [Manifest.EngineRecord(firstImage: firstImage + image, facts: extractor.engineFacts)]
    }

    func rows(
        from first: Int, failed: @escaping (Int, FNEError) throws -> Void,
        sink: @escaping (Range<Int>, UnsafePointer<Float>) throws -> Void, progress: @escaping (Int) -> Bool
    ) throws {
        func file(_ image: Int) -> FilePath { root.appending(list.name(first + image)) }
        var stopped: (any Error)?
        var output = Extractor.Output()
        output.sink = { images, rows in
            if let stopped { throw stopped }
            try sink(images.lowerBound + first..<images.upperBound + first, rows)
        }
        var rowsDone = 0
        try extractor.extract(
            fileCount: list.count - first, file: file, to: output, rowsDone: &rowsDone,
            reports: Extractor.Reports(
                progress: { done, _ in progress(first + done) },
                imageError: { image, error in
                    // The results must not depend on the folder, and the list names the file already.
                    let prefix = "\(file(image)): "
                    let message =
                        error.message.hasPrefix(prefix) ? String(error.message.dropFirst(prefix.count)) : error.message
                    do {
                        try failed(first + image, FNEError(error.status, message))
                    } catch {
                        stopped = stopped ?? error
                    }
                }), place: { "image \(first + $0) of \(list.count)" })
    }
}

/// A source that reads the rows of finished shards, in the order of their images.
struct ShardsSource: RowSource {
    /// A shard.
    struct Part {
        let folder: FilePath
        let manifest: Manifest
        let list: ImageList
    }

    let parts: [Part]
    let rowSize: Int // floats per image
    let imagesAtOnce: Int

    /// - Throws: `.jobMismatch` unless they are all the shards of one list, made with the same settings.
    init(_ folders: [FilePath]) throws {
        let parts = try folders.map { folder -> Part in
            let manifest = try Manifest(in: folder)
            guard manifest.state != .running, manifest.keepsFeatures else {
                let reason = manifest.keepsFeatures ? "is not finished; run it to its end" : "has no features to merge"
                throw FNEError(.jobMismatch, "the shard '\(folder)' \(reason)")
            }
            let list = try ImageList(reading: File.contents(folder.appending(JobFiles.list)))
            guard list.count == manifest.images.count, list.sha256 == manifest.images.sha256 else {
                throw FNEError(
                    .invalidData, "'\(folder.appending(JobFiles.list))' is not the list that the shard was made of")
            }
            return Part(folder: folder, manifest: manifest, list: list)
        }.sorted { $0.manifest.images.first < $1.manifest.images.first }
        guard let start = parts.first else {
            throw FNEError(.invalidArgument, "there are no shards; pass at least one folder")
        }
        var next = 0
        for part in parts {
            if let found = Manifest.difference(start.manifest.settings, part.manifest.settings) {
                throw FNEError(
                    .jobMismatch, "the shards '\(start.folder)' and '\(part.folder)' differ: \(found)")
            }
            let images = part.manifest.images
            guard images.totalSHA256 == start.manifest.images.totalSHA256, images.total == start.manifest.images.total
            else {
                throw FNEError(
                    .jobMismatch, "the shards '\(start.folder)' and '\(part.folder)' were made of different lists")
            }
            guard images.first == next else {
                throw FNEError(
                    .jobMismatch,
                    images.first > next
                        ? "images \(next) to \(images.first - 1) are in none of the shards"
                        : "image \(images.first) is in two shards; the second is '\(part.folder)'")
            }
            next += images.count
        }
        guard next == start.manifest.images.total else {
            throw FNEError(
                .jobMismatch, "images \(next) to \(start.manifest.images.total - 1) are in none of the shards")
        }
        self.parts = parts
        rowSize = try start.manifest.featureCount() * start.manifest.rowsPerImage()
        let perBatch = try start.manifest.imagesPerBatch()
        imagesAtOnce = max(1, (1 << 20) / (rowSize * perBatch)) * perBatch
    }

    /// The names of all shards in one list.
    var list: ImageList {
        ImageList(parts.lazy.flatMap { part in (0..<part.list.count).lazy.map { part.list.name($0) } })
    }

    func engines(from image: Int) -> [Manifest.EngineRecord] {
        var result: [Manifest.EngineRecord] = []
        for engine in parts.flatMap(\.manifest.engines) where engine.facts != result.last?.facts {
            result.append(engine)
        }
        let begun = result.lastIndex { $0.firstImage <= image } ?? 0
        return [.init(firstImage: image, facts: result[begun].facts)] + result[(begun + 1)...]
    }

    func rows(
        from first: Int, failed: @escaping (Int, FNEError) throws -> Void,
        sink: @escaping (Range<Int>, UnsafePointer<Float>) throws -> Void, progress: @escaping (Int) -> Bool
    ) throws {
        let buffer = try Bytes(count: checkedProduct(imagesAtOnce, rowSize, MemoryLayout<Float>.size, of: "rows"))
        try buffer.withNumbers(of: Float.self) { rows in
            for part in parts {
                let images = part.manifest.images.first..<part.manifest.images.first + part.manifest.images.count
                guard first < images.upperBound else { continue }
                let features = try File(part.folder.appending(JobFiles.features), .reading)
                let failures = try Self.failures(in: part.folder, part.manifest.results?.failed ?? 0)
                for start in stride(from: max(first, images.lowerBound), to: images.upperBound, by: imagesAtOnce) {
                    let range = start..<min(start + imagesAtOnce, images.upperBound)
                    let size = rowSize * MemoryLayout<Float>.size
                    try features.read(
                        UnsafeMutableRawBufferPointer(start: rows, count: range.count * size),
                        at: NumPyFile.headerSize + (start - images.lowerBound) * size)
                    for image in range {
                        if let failure = failures[image - images.lowerBound] { try failed(image, failure) }
                    }
                    try sink(range, rows)
                    guard progress(range.upperBound) else {
                        throw FNEError(.cancelled, "the job was cancelled after \(range.upperBound) images")
                    }
                }
            }
        }
    }

    /// The failures of a finished job by image, from `images.jsonl`.
    ///
    /// - Parameter count: how many there must be
    /// - Throws: `.invalidData`, `.fileError`.
    static func failures(in folder: FilePath, _ count: Int) throws -> [Int: FNEError] {
        guard count > 0 else { return [:] }
        let path = folder.appending(JobFiles.images)
        var result: [Int: FNEError] = [:]
        for (image, line) in try File.contents(path).split(separator: UInt8(ascii: "\n")).enumerated()
        where line.suffix(JobFiles.goodEnd.count) != JobFiles.goodEnd[...] {
            let json = try JSON(reading: Array(line))
            guard
                let status = json["status"]?.integer.flatMap({
                    FNEError.Status(rawValue: Int32(truncatingIfNeeded: $0))
                }),
                let reason = json["reason"]?.text
            else { throw FNEError(.invalidData, "'\(path)' is damaged in line \(image + 1)") }
            result[image] = FNEError(status, reason)
        }
        guard result.count == count else {
            throw FNEError(.invalidData, "'\(path)' has another number of failures than the manifest")
        }
        return result
    }
}

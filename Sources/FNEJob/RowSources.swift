import FNEImage
import FNEPipeline
import FNESupport

/// The source of a job's rows, which is the network, or shards that were embedded before.
protocol RowSource {
    /// The engines that compute the rows, from an image of the job on.
    func engines(from image: Int) -> [Manifest.EngineRecord]

    /// What is known of images' files at the time when they were embedded.
    func facts(of images: Range<Int>) -> [ImageFiles.Facts]

    /// What an image's file is now; unknown where the source does not read the images.
    func factsNow(of image: Int) -> ImageFiles.Facts

    /// How many images this object has embedded, by `ImageFormat.rawValue`.
    var taken: [Int] { get }

    /// Gives the rows of images, in order.
    ///
    /// - Parameters:
    ///   - images: whole batches
    ///   - failed: is called with an image that could not be embedded, before `sink` gets its rows
    ///   - sink: receives images and their rows, float32 [images * rows per image, F], NaN for an image that failed
    ///   - progress: is called with the number of the image after those that are done; false cancels
    /// - Throws: `.cancelled`; what the closures throw; the errors of the source.
    func rows(
        of images: Range<Int>, failed: @escaping (Int, FNEError) throws -> Void,
        sink: @escaping (Range<Int>, UnsafePointer<Float>) throws -> Void, progress: @escaping (Int) -> Bool
    ) throws
}

/// A source that sends images through the network.
final class ExtractorSource: RowSource {
    private let extractor: Extractor
    private let list: ImageList
    /// The folder that relative names are relative to.
    private let root: FilePath
    private let watched: WatchedFolders
    /// The place of the first image in the whole list.
    private let firstImage: Int
    /// The facts of the files that were read, int64 [N, 2]. Each image's are written by the thread that loads it.
    private let read: Bytes
    /// The formats of the images that were read, uint8 [N], written by the same threads. `unknown` where one failed.
    private let formats: Bytes
    private static let unknown: UInt8 = 255
    /// How many images were embedded, by `ImageFormat.rawValue`.
    private(set) var taken = Intake().taken

    init(
        extractor: Extractor, list: ImageList, root: FilePath, watched: WatchedFolders, firstImage: Int
    ) throws {
        self.extractor = extractor
        self.list = list
        self.root = root
        self.watched = watched
        self.firstImage = firstImage
        read = try Bytes(zeros: checkedProduct(list.count, MemoryLayout<ImageFiles.Facts>.stride, of: "images"))
        formats = try Bytes(zeros: list.count)
    }

    private func file(_ image: Int) -> FilePath { root.appending(list.name(image)) }

    func facts(of images: Range<Int>) -> [ImageFiles.Facts] {
        read.withNumbers(of: ImageFiles.Facts.self) { facts in images.map { facts[$0] } }
    }

    func factsNow(of image: Int) -> ImageFiles.Facts { ImageFiles.Facts(of: file(image)) }

    func engines(from image: Int) -> [Manifest.EngineRecord] {
        [Manifest.EngineRecord(firstImage: firstImage + image, facts: extractor.engineFacts)]
    }

    func rows(
        of images: Range<Int>, failed: @escaping (Int, FNEError) throws -> Void,
        sink: @escaping (Range<Int>, UnsafePointer<Float>) throws -> Void, progress: @escaping (Int) -> Bool
    ) throws {
        let first = images.lowerBound
        try embed(
            images, failed: failed, sink: { try sink($0.lowerBound + first..<$0.upperBound + first, $1) },
            progress: { progress(first + $0) })
    }

    /// Embeds images, which need not follow each other.
    ///
    /// - Parameters:
    ///   - images: their numbers in the job
    ///   - failed: is called with an image's number before `sink` gets its rows
    ///   - sink: receives places in `images`, and the rows of these images
    ///   - progress: is called with the number of places that are done; false cancels
    func embed<Numbers: RandomAccessCollection<Int>>(
        _ images: Numbers, failed: @escaping (Int, FNEError) throws -> Void,
        sink: @escaping (Range<Int>, UnsafePointer<Float>) throws -> Void, progress: @escaping (Int) -> Bool
    ) throws where Numbers.Index == Int {
        let start = images.startIndex
        func number(_ place: Int) -> Int { images[start + place] }
        var stopped: (any Error)?
        var output = Extractor.Output()
        output.sink = { [self] places, rows in
            if let stopped { throw stopped }
            try sink(places, rows)
            count(places.lazy.map(number))
        }
        var rowsDone = 0
        let total = list.count
        try extractor.extract(
            fileCount: images.count,
            file: { [self] place in
                // The facts come before the bytes. So a file that changes in between is noticed later.
                let image = number(place)
                let file = file(image)
                read.withNumbers(of: ImageFiles.Facts.self) { $0[image] = ImageFiles.Facts(of: file) }
                return file
            }, to: output, rowsDone: &rowsDone,
            reports: Extractor.Reports(
                progress: { done, _ in progress(done) },
                imageError: { [self] place, error in
                    let image = number(place)
                    formats.withNumbers(of: UInt8.self) { $0[image] = Self.unknown }
                    // The results must not depend on the folder, and the list names the file already.
                    let (prefix, words) = ("\(file(image)): ".utf8, error.message.utf8)
                    let message =
                        words.starts(with: prefix)
                        ? String(words.dropFirst(prefix.count)) ?? error.message : error.message
                    do {
                        try failed(image, FNEError(error.status, message))
                    } catch {
                        stopped = stopped ?? error
                    }
                }), place: { "image \(number($0)) of \(total)" }, judge: watched.judge,
            decoded: { [self] place, format in
                let image = number(place)
                formats.withNumbers(of: UInt8.self) { $0[image] = UInt8(clamping: format.rawValue) }
            })
    }

    private func count(_ images: some Sequence<Int>) {
        formats.withNumbers(of: UInt8.self) { formats in
            for image in images where Int(formats[image]) < taken.count { taken[Int(formats[image])] += 1 }
        }
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

    /// - Parameter mixesEngines: whether the shards may be of different engines
    /// - Throws: `.jobMismatch` unless they are all the shards of one list, made with the same settings.
    init(_ folders: [FilePath], mixesEngines: Bool) throws {
        let parts = try folders.map { folder -> Part in
            let manifest = try Manifest(in: folder)
            guard manifest.state != .running, manifest.keepsFeatures else {
                let reason = manifest.keepsFeatures ? "is not finished; run it to its end" : "has no features to merge"
                throw FNEError(.jobMismatch, "the shard '\(folder)' \(reason)")
            }
            let list = try ImageList(reading: File.contents(folder.appending(JobFiles.list)))
            try Verification(JobFiles(folder: folder), manifest).checkSizes()
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
        if !mixesEngines { try Self.checkEngines(parts) }
        self.parts = parts
        rowSize = try start.manifest.featureCount() * start.manifest.rowsPerImage()
        let perBatch = try start.manifest.imagesPerBatch()
        imagesAtOnce = max(1, (1 << 20) / (rowSize * perBatch)) * perBatch
    }

    /// Checks that one engine embedded all shards.
    ///
    /// - Throws: `.jobMismatch`, with the first difference.
    private static func checkEngines(_ parts: [Part]) throws {
        let engines = parts.flatMap { part in part.manifest.engines.map { (part, $0.facts) } }
        guard let (first, facts) = engines.first, let (second, others) = engines.first(where: { $0.1 != facts }) else {
            return
        }
        let isOne = first.manifest.images == second.manifest.images
        let shards =
            isOne ? "the shard '\(first.folder)' was" : "the shards '\(first.folder)' and '\(second.folder)' were"
        throw FNEError(
            .jobMismatch,
            "\(shards) embedded by different engines: \(Manifest.difference(facts, others) ?? ""). Their rows could "
                + "differ in their last bits. Set accept_other_engine to merge them, and the manifest names each engine"
        )
    }

    /// The images that updates have removed from the shards.
    var removed: [Int] { parts.flatMap { part in part.manifest.removed.map { part.manifest.images.first + $0 } } }

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

    func facts(of images: Range<Int>) -> [ImageFiles.Facts] {
        parts.flatMap { part -> [ImageFiles.Facts] in
            let (first, count) = (part.manifest.images.first, part.manifest.images.count)
            let wanted = (first..<first + count).clamped(to: images)
            let files = try? ImageFiles(reading: JobFiles(folder: part.folder), count: count)
            return wanted.map { image in (try? files?.facts(of: image - first)) ?? .unknown }
        }
    }

    func factsNow(of image: Int) -> ImageFiles.Facts { .unknown }

    /// Shards were embedded before.
    var taken: [Int] { Intake().taken }

    func rows(
        of images: Range<Int>, failed: @escaping (Int, FNEError) throws -> Void,
        sink: @escaping (Range<Int>, UnsafePointer<Float>) throws -> Void, progress: @escaping (Int) -> Bool
    ) throws {
        let buffer = try Bytes(count: checkedProduct(imagesAtOnce, rowSize, MemoryLayout<Float>.size, of: "rows"))
        try buffer.withNumbers(of: Float.self) { rows in
            for part in parts {
                let first = part.manifest.images.first
                let wanted = (first..<first + part.manifest.images.count).clamped(to: images)
                guard !wanted.isEmpty else { continue }
                let features = try CheckedFile(JobFiles(folder: part.folder), part.manifest, JobFiles.features)
                let failures = try Self.failures(in: part.folder, part.manifest)
                for start in stride(from: wanted.lowerBound, to: wanted.upperBound, by: imagesAtOnce) {
                    let range = start..<min(start + imagesAtOnce, wanted.upperBound)
                    let size = rowSize * MemoryLayout<Float>.size
                    try features.read(
                        UnsafeMutableRawBufferPointer(start: rows, count: range.count * size),
                        at: NumPyFile.headerSize + (start - first) * size)
                    for image in range {
                        if let failure = failures[image - first] { try failed(image, failure) }
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
    /// - Throws: `.invalidData`, `.fileError`.
    static func failures(in folder: FilePath, _ manifest: Manifest) throws -> [Int: FNEError] {
        let count = manifest.results?.failed ?? 0
        guard count > 0 else { return [:] }
        let path = folder.appending(JobFiles.images)
        let contents = try File.contents(path)
        guard contents.withUnsafeBytes(sha256) == manifest.files[JobFiles.images]?.sha256 else {
            throw FNEError(.invalidData, "'\(path)' is not what the job wrote. Run that job again, which repairs it")
        }
        var result: [Int: FNEError] = [:]
        for (image, line) in contents.split(separator: UInt8(ascii: "\n")).enumerated()
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

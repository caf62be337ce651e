import FNEPipeline
import FNESupport

/// The source of a job that was updated, or is being updated. The rows of images that are kept come from the former
/// job. The others go through the network, apart from the images that were removed.
final class GrownSource: RowSource {
    /// What becomes of an image.
    enum Action: UInt8 {
        case keep = 0
        case embed = 1
        case remove = 2
    }

    /// The error of an image that an update has removed.
    static let removal = FNEError(.fileError, "removed by an update")

    private let network: ExtractorSource
    private let former: FormerRows?
    private let actions: [Action]
    /// The numbers of the images that go through the network, in order.
    private let embedded: [Int]
    /// Floats per image.
    private let rowSize: Int
    private let imagesAtOnce: Int

    /// The rows of a finished job, of which the first images are the same.
    struct FormerRows {
        let manifest: Manifest
        let features: CheckedFile
        let imageFiles: ImageFiles?

        /// - Throws: `.fileError`, `.invalidData`.
        init(_ files: JobFiles, _ manifest: Manifest) throws {
            self.manifest = manifest
            features = try CheckedFile(files, manifest, JobFiles.features)
            imageFiles = try? ImageFiles(reading: files, count: manifest.images.count)
        }
    }

    /// - Parameters:
    ///   - network: of all images of the job
    ///   - former: is needed where images are kept
    ///   - actions: one for each image
    init(_ network: ExtractorSource, _ former: FormerRows?, _ actions: [Action], rowSize: Int) throws {
        self.network = network
        self.former = former
        self.actions = actions
        self.rowSize = rowSize
        try Reserve.prepare(actions.count * MemoryLayout<Int>.stride)
        embedded = actions.indices.filter { actions[$0] == .embed }
        try Reserve.check()
        imagesAtOnce = max(1, (1 << 20) / max(rowSize, 1))
    }

    /// The source of a job's images, of which some were removed.
    convenience init(_ network: ExtractorSource, removed: [Int], of count: Int, rowSize: Int) throws {
        try Reserve.prepare(count)
        var actions = [Action](repeating: .embed, count: count)
        for image in removed { actions[image] = .remove }
        try self.init(network, nil, actions, rowSize: rowSize)
    }

    var taken: [Int] { network.taken }

    /// Checks that one engine computes all rows.
    ///
    /// - Throws: `.jobMismatch`, with the first difference.
    func checkEngines() throws {
        guard let former, !embedded.isEmpty, let now = network.engines(from: 0).first?.facts else { return }
        for engine in former.manifest.engines {
            guard let difference = Manifest.difference(now, engine.facts) else { continue }
            throw FNEError(
                .jobMismatch,
                "the job was embedded by another engine: \(difference). The last bits of rows could differ. Accept "
                    + "another engine to update the job, or take another folder")
        }
    }

    func engines(from image: Int) -> [Manifest.EngineRecord] {
        let now = network.engines(from: image)
        guard let former, let facts = now.first?.facts, former.manifest.engines.contains(where: { $0.facts != facts })
        else { return now }
        var result: [Manifest.EngineRecord] = []
        for next in image..<actions.count {
            let engine = actions[next] == .embed ? facts : former.manifest.engine(of: next) ?? facts
            if engine != result.last?.facts { result.append(.init(firstImage: next, facts: engine)) }
        }
        return result
    }

    func facts(of images: Range<Int>) -> [ImageFiles.Facts] {
        zip(images, network.facts(of: images)).map { image, read in
            switch actions[image] {
            case .embed: read
            case .keep: (try? former?.imageFiles?.facts(of: image)) ?? .unknown
            case .remove: .unknown
            }
        }
    }

    func factsNow(of image: Int) -> ImageFiles.Facts {
        actions[image] == .remove ? .unknown : network.factsNow(of: image)
    }

    func rows(
        of images: Range<Int>, failed: @escaping (Int, FNEError) throws -> Void,
        sink: @escaping (Range<Int>, UnsafePointer<Float>) throws -> Void, progress: @escaping (Int) -> Bool
    ) throws {
        let chosen = embedded[embedded.place(of: images.lowerBound)..<embedded.place(of: images.upperBound)]
        let kept = KeptRows(self, failed: failed, sink: sink, progress: progress)
        var next = images.lowerBound // the first image whose rows are not handed on
        try kept.give(next..<(chosen.first ?? images.upperBound))
        next = chosen.first ?? images.upperBound
        guard !chosen.isEmpty else { return }
        // The network speaks of all failures of a batch at once, and the sink takes those of its own images.
        var failures: [Int: FNEError] = [:]
        try network.embed(
            chosen, failed: { failures[$0] = $1 },
            sink: { [rowSize] places, rows in
                for run in chosen.runs(places) {
                    let first = chosen[chosen.startIndex + run.lowerBound]
                    try kept.give(next..<first)
                    next = first + run.count
                    for image in first..<next {
                        if let error = failures.removeValue(forKey: image) { try failed(image, error) }
                    }
                    try sink(first..<next, rows + (run.lowerBound - places.lowerBound) * rowSize)
                }
            }, progress: { _ in progress(next) })
        try kept.give(next..<images.upperBound)
    }

    /// Hands on the rows of images that do not go through the network.
    private struct KeptRows {
        let source: GrownSource
        let failed: (Int, FNEError) throws -> Void
        let sink: (Range<Int>, UnsafePointer<Float>) throws -> Void
        let progress: (Int) -> Bool

        init(
            _ source: GrownSource, failed: @escaping (Int, FNEError) throws -> Void,
            sink: @escaping (Range<Int>, UnsafePointer<Float>) throws -> Void, progress: @escaping (Int) -> Bool
        ) {
            self.source = source
            self.failed = failed
            self.sink = sink
            self.progress = progress
        }

        func give(_ images: Range<Int>) throws {
            guard !images.isEmpty else { return }
            let atOnce = min(images.count, source.imagesAtOnce)
            let buffer = try Bytes(count: checkedProduct(atOnce, source.rowSize, MemoryLayout<Float>.size, of: "rows"))
            try buffer.withNumbers(of: Float.self) { rows in
                for first in stride(from: images.lowerBound, to: images.upperBound, by: atOnce) {
                    let part = first..<min(first + atOnce, images.upperBound)
                    for run in part.runs(where: { source.actions[$0] == .keep }) {
                        try source.read(run, to: rows + (run.lowerBound - first) * source.rowSize)
                    }
                    for image in part where source.actions[image] == .remove {
                        let row = rows + (image - first) * source.rowSize
                        row.update(repeating: .nan, count: source.rowSize)
                        try failed(image, GrownSource.removal)
                    }
                    try sink(part, rows)
                    guard progress(part.upperBound) else {
                        throw FNEError(.cancelled, "the update was cancelled; it goes on here when it is run again")
                    }
                }
            }
        }
    }

    private func read(_ images: Range<Int>, to rows: UnsafeMutablePointer<Float>) throws {
        guard let former else { return }
        let size = rowSize * MemoryLayout<Float>.size
        try former.features.read(
            UnsafeMutableRawBufferPointer(start: rows, count: images.count * size),
            at: NumPyFile.headerSize + images.lowerBound * size)
    }
}

extension [Int] {
    /// The place of the first number that is not below another one. The numbers must be in order.
    fileprivate func place(of number: Int) -> Int {
        var (low, high) = (0, count)
        while low < high {
            let middle = low + (high - low) / 2
            if self[middle] < number { low = middle + 1 } else { high = middle }
        }
        return low
    }
}

extension ArraySlice<Int> {
    /// The places, counted from the slice's start, in runs of numbers that follow each other.
    fileprivate func runs(_ places: Range<Int>) -> [Range<Int>] {
        var result: [Range<Int>] = []
        for place in places {
            if let last = result.last, self[startIndex + place] == self[startIndex + place - 1] + 1 {
                result[result.count - 1] = last.lowerBound..<place + 1
            } else {
                result.append(place..<place + 1)
            }
        }
        return result
    }
}

extension Range<Int> {
    /// The numbers for which a condition holds, in ranges of numbers that follow each other.
    fileprivate func runs(where holds: (Int) -> Bool) -> [Range<Int>] {
        filter(holds).map { $0..<$0 + 1 }.joined()
    }
}

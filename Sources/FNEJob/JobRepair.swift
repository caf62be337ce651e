import FNEEmbedding
import FNESupport

/// What a run cannot use of the work of former runs, since it is damaged, and how it is made good. Images are embedded
/// again where nothing else has their rows. Everything else follows from the features.
struct JobRepair {
    private let job: JobRun
    /// Whole batches of images that are embedded again, in order.
    private(set) var imagesToEmbed: [Range<Int>] = []
    private var remakesStatistics = false
    private var remakesCodes = false
    private var isNeeded: Bool { !imagesToEmbed.isEmpty || remakesStatistics || remakesCodes }

    /// Compares what the run builds on with its checksums, and says what is damaged.
    ///
    /// - Parameter damage: what is wrong with the files of a finished job; nil where that is not known yet
    /// - Throws: `.cancelled`, `.fileError`.
    init(_ job: JobRun, _ damage: [String: Verification.Damage]?) throws {
        self.job = job
        guard job.imagesDone > 0 else { return }
        let wasFinished = job.manifest.results != nil
        let verification = Verification(job.files, job.manifest)
        var images = Batches(try job.manifest.imagesPerBatch(), below: job.imagesDone)

        try findDamagedRows(damage, &images)
        if wasFinished, job.checkpoint.failures == Failures.Extent() {
            let isDamaged = damage.map { $0[JobFiles.images] != nil }
            try takeFailures(verification, isDamaged: isDamaged, &images)
        } else if job.failures.isDamaged {
            let first = (job.failures.byImage.keys.max() ?? -1) + 1
            say(
                "'\(job.files.path(JobFiles.failures))' is damaged, so it is not known which images have "
                    + "failed. Those from image \(first) on are embedded again")
            images.insert(first..<job.imagesDone)
        }
        if job.options.retriesFailed {
            for image in job.failures.byImage.keys { images.insert(image..<image + 1) }
        }
        if wasFinished, job.checkpoint.statistics == nil {
            for name in [JobFiles.statistics, JobFiles.stats] where job.manifest.files[name] != nil {
                let isDamaged = damage.map { $0[name] != nil } ?? !verification.isRight(name)
                if isDamaged, job.manifest.keepsFeatures {
                    say("'\(job.files.path(name))' is damaged. It is computed again from the features")
                    remakesStatistics = true
                }
            }
        }
        imagesToEmbed = images.ranges
    }

    private func say(_ sentence: String) { job.reports.say(sentence) }

    // MARK: Finding

    private mutating func findDamagedRows(_ damage: [String: Verification.Damage]?, _ images: inout Batches) throws {
        let total = job.matrices.all.reduce(0) { $0 + $1.byteCount }
        var done = 0
        for matrix in job.matrices.all {
            let rows: [Range<Int>]
            switch damage?[matrix.name] {
            case .content(let bytes): rows = matrix.rows(of: bytes)
            case nil where damage != nil: rows = []
            default:
                rows = try matrix.damagedRows { bytes in
                    job.reports.progress?(.verifying, done + bytes, total) ?? true
                }
            }
            done += matrix.byteCount
            if !rows.isEmpty {
                try take(rows, of: matrix, &images)
            } else if let form = damage?[matrix.name] { // opening the file has mended it
                say("'\(try job.files.data(matrix.name))' \(form.text). It is mended, and its rows are whole")
            }
        }
    }

    private mutating func take(_ rows: [Range<Int>], of matrix: JobMatrix, _ images: inout Batches) throws {
        let path = try job.files.data(matrix.name)
        guard matrix === job.matrices.features || job.matrices.features == nil else {
            say("'\(path)' is damaged. The codes are made again from the features")
            remakesCodes = true
            return
        }
        let count = rows.reduce(0) { $0 + $1.count }
        let first = rows.first?.lowerBound ?? 0
        say("'\(path)' is damaged in \(count) rows from row \(first) on. Their images are embedded again")
        for rows in rows {
            let last = max(rows.lowerBound, rows.upperBound - 1) / job.rowsPerImage
            images.insert(rows.lowerBound / job.rowsPerImage..<last + 1)
        }
    }

    /// Reads the failures of a job that was finished. They are in `images.jsonl`. If that is damaged, `status.npy`
    /// tells which images have failed, and they are embedded again, to learn the reasons.
    private func takeFailures(_ verification: Verification, isDamaged: Bool?, _ images: inout Batches) throws {
        guard let results = job.manifest.results, results.failed > 0 else { return }
        if !(isDamaged ?? !verification.isRight(JobFiles.images)) {
            for (image, failure) in try ShardsSource.failures(in: job.files.folder, job.manifest) {
                job.failures.add(image, .init(status: failure.status.rawValue, reason: failure.message))
            }
            return
        }
        let path = job.files.path(JobFiles.images)
        guard verification.isRight(JobFiles.status) else {
            say("'\(path)' is damaged, and so is '\(JobFiles.status)'. All images are embedded again")
            return images.insert(0..<job.imagesDone)
        }
        say("'\(path)' is damaged. The images that have failed are tried again, to learn the reasons")
        let statuses = try NumPyFile(reading: job.files.path(JobFiles.status), .int32, [job.imagesDone])
        for image in 0..<job.imagesDone {
            var status: Int32 = 0
            try withUnsafeMutableBytes(of: &status) { bytes in
                guard let start = bytes.baseAddress else { return }
                try statuses.read(start, count: 1, at: image)
            }
            if status != 0 { images.insert(image..<image + 1) }
        }
    }

    // MARK: Repairing

    /// Makes good what is damaged. Until that is done, the last checkpoint stands.
    func perform() throws {
        guard isNeeded else { return }
        job.mayBeSaved = false
        var (statistics, codes) = (remakesStatistics, remakesCodes)
        if !imagesToEmbed.isEmpty {
            try embed()
            statistics = job.manifest.fileNames(in: .features).contains(JobFiles.statistics)
            codes = job.matrices.features != nil
        }
        if statistics {
            let imageSize = job.rowsPerImage * job.features * MemoryLayout<Float>.size
            job.checkpoint.statistics = try job.statisticsOfFeatures { images in
                job.reports.progress?(.verifying, images * imageSize, job.imagesDone * imageSize) ?? true
            }
        }
        if codes { job.checkpoint.codesDone = 0 }
        job.mayBeSaved = true
        try job.save()
    }

    private func embed() throws {
        let changed = job.matrices.features.map { [$0] } ?? job.matrices.ofCodes
        for matrix in changed { try job.files.unfinish(matrix.name) }
        let total = imagesToEmbed.reduce(0) { $0 + $1.count }
        var done = 0
        for images in imagesToEmbed {
            try job.embedAgain(images) { [done] again in
                job.reports.progress?(.embedding, done + again, total) ?? true
            }
            done += images.count
        }
        for matrix in changed { try matrix.count(until: job.imagesDone * job.rowsPerImage) }
    }
}

/// Sets of whole batches of images.
private struct Batches {
    private let size: Int
    private let end: Int
    private var numbers: Set<Int> = []

    /// - Parameters:
    ///   - size: the images of a batch
    ///   - end: the number of images; the last batch may be smaller
    init(_ size: Int, below end: Int) {
        self.size = size
        self.end = end
    }

    /// Adds the batches of images.
    mutating func insert(_ images: Range<Int>) {
        let images = images.clamped(to: 0..<end)
        guard !images.isEmpty else { return }
        numbers.formUnion(images.lowerBound / size...(images.upperBound - 1) / size)
    }

    /// The images of the batches. Batches that follow each other are one range.
    var ranges: [Range<Int>] {
        numbers.sorted().map { $0 * size..<min(($0 + 1) * size, end) }.joined()
    }
}

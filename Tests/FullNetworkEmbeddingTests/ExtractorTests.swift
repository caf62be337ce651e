import XCTest

@testable import FNEEmbedding
@testable import FNEImage
@testable import FNENetwork
@testable import FNEPipeline
@testable import FNESupport

/// Tests the pipeline with a fake engine. A picture has one colour. The network is fed with 2 x 2 pixels. Its rows are
/// (r, g, b, 4 (r + g + b)).
final class ExtractorTests: XCTestCase {
    private let layers = [
        Layer(name: "first", kind: .convolution, rank: 4, features: 0..<2),
        Layer(name: "second", kind: .dense, rank: 2, features: 2..<4),
    ]

    private func extractor(
        batchSize: Int = 4, threads: Int = 3, onError: Extractor.OnError = .fail,
        engine: FakeEngine = FakeEngine(valueCount: 12)
    ) -> Extractor {
        var options = Extractor.Options()
        options.batchSize = batchSize
        options.loaderThreads = threads
        options.onError = onError
        return Extractor(
            engine: engine, layers: layers,
            preprocessing: Preprocessing(height: 2, width: 2),
            options: options)
    }

    private func colour(_ image: Int) -> [UInt8] {
        [UInt8(image % 256), UInt8(image * 7 % 256), UInt8(255 - image % 256)]
    }

    private func row(_ image: Int) -> [Float] {
        let colour = colour(image).map { Float($0) }
        return colour + [4 * colour.reduce(0, +)]
    }

    private func rows(_ images: some Sequence<Int>) -> [Float] { images.flatMap(row) }

    private struct Outcome {
        var features: [Float]
        var rowsDone = 99
        var error: FNEError?
    }

    /// Extracts pictures 0..<count of one colour, of 1 x 1 to 3 x 3 pixels. The `broken` ones have no height.
    private func run(
        _ extractor: Extractor, count: Int, broken: Set<Int> = [], reports: Extractor.Reports = .init()
    ) -> Outcome {
        let pixels = (0..<count).flatMap { image in [[UInt8]](repeating: colour(image), count: 9).joined() }
        var outcome = Outcome(features: [Float](repeating: -1, count: count * 4))
        pixels.withUnsafeBufferPointer { memory in
            guard let start = memory.baseAddress else { return }
            let images = (0..<count).map { image in
                let side = 1 + image % 3
                return Extractor.Pixels(
                    pixels: start + image * 27, rowStride: side * 3, height: broken.contains(image) ? 0 : side,
                    width: side, channelOrder: .rgb)
            }
            do {
                try extractor.extract(
                    pixels: images, to: &outcome.features, rowsDone: &outcome.rowsDone, reports: reports)
            } catch {
                outcome.error = error as? FNEError ?? FNEError(.internalError, "\(error)")
            }
        }
        return outcome
    }

    // MARK: Order

    func testRowsAreInOrderForEveryBatchSizeAndNumberOfThreads() {
        for count in [1, 2, 9] {
            for batchSize in 1...count + 1 {
                for threads in 1...8 {
                    let engine = FakeEngine(valueCount: 12)
                    let outcome = run(extractor(batchSize: batchSize, threads: threads, engine: engine), count: count)
                    XCTAssertNil(outcome.error)
                    XCTAssertEqual(outcome.features, rows(0..<count), "\(count), \(batchSize), \(threads)")
                    XCTAssertEqual(outcome.rowsDone, count)
                    // All batches but the last are full. Nothing is padded.
                    let rest = count % batchSize
                    let batches = [Int](repeating: batchSize, count: count / batchSize) + (rest > 0 ? [rest] : [])
                    XCTAssertEqual(engine.batches.current, batches)
                }
            }
        }
    }

    func testTheEngineSeesThreeBuffersHoweverManyImages() {
        let engine = FakeEngine(valueCount: 12)
        let outcome = run(extractor(batchSize: 5, threads: 4, engine: engine), count: 250)
        XCTAssertEqual(outcome.features, rows(0..<250))
        XCTAssertEqual(engine.batches.current.count, 50)
        XCTAssertEqual(engine.addresses.current.count, 3)
    }

    func testSeveralThreadsMayExtractAtOnce() {
        let extractor = extractor(batchSize: 3, threads: 2)
        let outcomes = Locked([Int: Outcome]())
        let test = UncheckedSendable(self)
        DispatchQueue.concurrentPerform(iterations: 8) { thread in
            let outcome = test.value.run(extractor, count: 10 + thread)
            outcomes.with { $0[thread] = outcome }
        }
        for thread in 0..<8 {
            XCTAssertNil(outcomes.current[thread]?.error)
            XCTAssertEqual(outcomes.current[thread]?.features, rows(0..<10 + thread))
        }
    }

    func testNoImages() {
        var rowsDone = 99
        assertFails(.invalidArgument, saying: "no images") {
            var features: [Float] = [-1]
            try extractor().extract(pixels: [], to: &features, rowsDone: &rowsDone)
        }
        XCTAssertEqual(rowsDone, 0)
    }

    // MARK: Bad images

    func testTheFirstBadImageEndsTheCall() {
        for threads in 1...8 {
            var reported: [Int] = []
            let outcome = run(
                extractor(threads: threads), count: 15, broken: [6, 7, 13],
                reports: .init(imageError: { image, _ in reported.append(image) }))
            XCTAssertEqual(reported, [6])
            XCTAssertEqual(outcome.error?.status, .invalidArgument)
            XCTAssertTrue(outcome.error?.message.hasPrefix("image 6 of 15: height is 0") ?? false, "\(outcome)")
            XCTAssertEqual(outcome.rowsDone, 4)
            XCTAssertEqual(Array(outcome.features[..<16]), rows(0..<4))
        }
    }

    func testABadImageIsSkippedAndReported() {
        for threads in 1...8 {
            var reported: [(Int, FNEError)] = []
            let thread = pthread_self()
            let reports = Extractor.Reports(imageError: { image, error in
                reported.append((image, error))
                XCTAssertEqual(pthread_self(), thread, "on the calling thread")
            })
            let outcome = run(
                extractor(threads: threads, onError: .skip), count: 15, broken: [0, 6, 7, 14], reports: reports)
            XCTAssertNil(outcome.error)
            XCTAssertEqual(outcome.rowsDone, 15)
            XCTAssertEqual(reported.map(\.0), [0, 6, 7, 14])
            XCTAssertEqual(reported.map(\.1.status), [FNEError.Status](repeating: .invalidArgument, count: 4))
            for image in 0..<15 {
                let got = outcome.features[image * 4..<image * 4 + 4]
                if [0, 6, 7, 14].contains(image) {
                    XCTAssertTrue(got.allSatisfy(\.isNaN), "image \(image)")
                } else {
                    XCTAssertEqual(Array(got), row(image))
                }
            }
        }
    }

    func testAllImagesMayBeBad() {
        var reported: [Int] = []
        let engine = FakeEngine(valueCount: 12)
        let outcome = run(
            extractor(onError: .skip, engine: engine), count: 5, broken: Set(0..<5),
            reports: .init(imageError: { image, _ in reported.append(image) }))
        XCTAssertNil(outcome.error)
        XCTAssertEqual(reported, [0, 1, 2, 3, 4])
        XCTAssertTrue(outcome.features.allSatisfy(\.isNaN))
        XCTAssertEqual(engine.batches.current, [], "there is nothing to compute")
    }

    /// The network sees a bad image as zeros, never what an earlier batch left there, and no batch without a good one.
    func testWhatTheNetworkSeesOfBadImages() {
        let seen = Locked<[[Float]]>([])
        let engine = FakeEngine(valueCount: 12) { row in seen.with { [row] in $0.append(row) } }
        let outcome = run(
            extractor(batchSize: 2, threads: 1, onError: .skip, engine: engine), count: 18,
            broken: Set(0..<18).subtracting([0, 1, 2, 3, 4, 5, 6, 7, 13, 17]))
        XCTAssertNil(outcome.error)
        XCTAssertEqual(engine.batches.current, [2, 2, 2, 2, 2, 2])
        XCTAssertEqual(
            seen.current, (0..<8).map(row) + [[0, 0, 0, 0], row(13), [0, 0, 0, 0], row(17)])
    }

    func testAnErrorOfTheMachineEndsTheCallAlsoWhereBadImagesAreSkipped() throws {
        for status in [FNEError.Status.ioError, .outOfMemory] {
            var (rowsDone, reported): (Int, [Int]) = (99, [])
            var features = [Float](repeating: -1, count: 40)
            let extractor = extractor(batchSize: 2, threads: 1, onError: .skip)
            let tries = Locked(0)
            assertFails(status, saying: "image 5 of 10: /nowhere/5: the disk is away") {
                try features.withUnsafeMutableBufferPointer { features in
                    try extractor.extract(
                        fileCount: 10, file: { FilePath("/nowhere/\($0)") },
                        to: Extractor.Output(features: features.baseAddress), rowsDone: &rowsDone,
                        reports: .init(imageError: { image, _ in reported.append(image) }),
                        judge: { error in
                            tries.with { $0 += 1 }
                            return tries.current <= 5 ? error : FNEError(status, "the disk is away")
                        })
                }
            }
            XCTAssertEqual(reported, [0, 1, 2, 3, 4, 5])
            XCTAssertEqual(tries.current, status == .ioError ? 12 : 6, "the last is tried six times more")
            XCTAssertEqual(rowsDone, 4)
            XCTAssertTrue(features[..<16].allSatisfy(\.isNaN))
        }
    }

    // MARK: Bad activations

    /// Image 6 gets a bad value in feature 3, the second of layer "second".
    private func badEngine(_ bad: Float) -> FakeEngine {
        FakeEngine(valueCount: 12) { row in if row[0] == 6 { row[3] = bad } }
    }

    func testAnActivationThatIsNotFiniteIsNamed() {
        for bad in [Float.nan, .infinity, -.infinity] {
            let outcome = run(extractor(engine: badEngine(bad)), count: 15)
            XCTAssertEqual(outcome.error?.status, .notFinite)
            for text in ["image 6 of 15", "feature 1 of layer 'second'", "preprocessing"] {
                XCTAssertTrue(outcome.error?.message.contains(text) ?? false, "\(outcome)")
            }
            XCTAssertEqual(outcome.rowsDone, 4)
        }
    }

    func testAnActivationThatIsNotFiniteIsSkipped() {
        var reported: [(Int, FNEError)] = []
        let outcome = run(
            extractor(onError: .skip, engine: badEngine(.infinity)), count: 15, broken: [4, 7],
            reports: .init(imageError: { reported.append(($0, $1)) }))
        XCTAssertNil(outcome.error)
        XCTAssertEqual(reported.map(\.0), [4, 6, 7], "in order, whatever was bad about them")
        XCTAssertEqual(reported.map(\.1.status), [.invalidArgument, .notFinite, .invalidArgument])
        XCTAssertTrue(outcome.features[24..<28].allSatisfy(\.isNaN))
        XCTAssertEqual(Array(outcome.features[20..<24]), row(5))
        XCTAssertEqual(Array(outcome.features[32...]), rows(8..<15))
    }

    func testAnErrorOfTheEngineEndsTheCall() {
        for onError in [Extractor.OnError.fail, .skip] {
            let engine = FakeEngine(valueCount: 12) { row in
                if row[0] == 9 { throw FNEError(.backendError, "running the network: no memory") }
            }
            let outcome = run(extractor(onError: onError, engine: engine), count: 15)
            XCTAssertEqual(outcome.error, FNEError(.backendError, "running the network: no memory"))
            XCTAssertEqual(outcome.rowsDone, 8)
            XCTAssertEqual(Array(outcome.features[..<32]), rows(0..<8))
        }
    }

    // MARK: Progress

    func testProgress() {
        var calls: [[Int]] = []
        let thread = pthread_self()
        let reports = Extractor.Reports(progress: { done, total in
            calls.append([done, total])
            XCTAssertEqual(pthread_self(), thread)
            return true
        })
        XCTAssertNil(run(extractor(), count: 10, reports: reports).error)
        XCTAssertEqual(calls, [[4, 10], [8, 10], [10, 10]])
    }

    func testProgressCancels() {
        for threads in 1...8 {
            let engine = FakeEngine(valueCount: 12)
            let outcome = run(
                extractor(threads: threads, engine: engine), count: 100,
                reports: .init(progress: { done, _ in done < 8 }))
            XCTAssertEqual(outcome.error?.status, .cancelled)
            XCTAssertTrue(outcome.error?.message.contains("8 of 100") ?? false)
            XCTAssertEqual(outcome.rowsDone, 8)
            XCTAssertEqual(Array(outcome.features[..<32]), rows(0..<8), "these rows are final")
            XCTAssertTrue(outcome.features[32...].allSatisfy { $0 == -1 }, "the others were not touched")
            XCTAssertEqual(engine.batches.current, [4, 4])
        }
    }

    func testAnExtractorGoesOnAfterAFailedCall() {
        let extractor = extractor()
        XCTAssertNotNil(run(extractor, count: 9, broken: [2]).error)
        XCTAssertNotNil(run(extractor, count: 9, reports: .init(progress: { _, _ in false })).error)
        XCTAssertEqual(run(extractor, count: 9).features, rows(0..<9))
    }

    // MARK: Crops

    /// Ten rows per image, in runs of at most four. All pixels of a picture of 3 x 2 are its number. Crops are 1 x 1.
    func testTenCropsAreTenRows() throws {
        let engine = FakeEngine(valueCount: 3)
        var preprocessing = Preprocessing(height: 1, width: 1)
        preprocessing.target = PixelSize(height: 3, width: 2)
        preprocessing.crops = .ten
        var options = Extractor.Options()
        options.batchSize = 4
        let extractor = Extractor(engine: engine, layers: [], preprocessing: preprocessing, options: options)
        XCTAssertEqual(extractor.rowsPerImage, 10)

        let pictures = (0..<3).map { image in (0..<6).flatMap { [UInt8](repeating: UInt8(40 * image + $0), count: 3) } }
        let memory = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: 3 * 18)
        defer { memory.deallocate() }
        _ = memory.initialize(from: pictures.joined())
        let start = try XCTUnwrap(memory.baseAddress)
        let pixels = (0..<3).map { image in
            Extractor.Pixels(pixels: start + 18 * image, rowStride: 6, height: 3, width: 2, channelOrder: .rgb)
        }
        var features = [Float](repeating: -1, count: 3 * 10 * 4)
        var rowsDone = 0
        var seen: [Int] = []
        try extractor.extract(
            pixels: pixels, to: &features, rowsDone: &rowsDone,
            reports: .init(progress: { done, _ in
                seen.append(done)
                return true
            }))
        // The pixels are 0 1 / 2 3 / 4 5. The corners are 0, 1, 4, 5. The centre is at row 1 and column 0.5, to even 0.
        let expected = [0, 1, 4, 5, 2, 1, 0, 5, 4, 3]
        for image in 0..<3 {
            let firsts = (0..<10).map { features[(image * 10 + $0) * 4] }
            XCTAssertEqual(firsts, expected.map { Float(40 * image + $0) })
        }
        XCTAssertEqual(rowsDone, 30)
        XCTAssertEqual(seen, [1, 2, 3])
        XCTAssertEqual(engine.batches.current, [4, 4, 2, 4, 4, 2, 4, 4, 2])
    }

    func testAPictureThatIsTooLongToKeepItsAspect() {
        var preprocessing = Preprocessing(height: 200, width: 200)
        preprocessing.mode = .shortestSide
        preprocessing.imageOptions.maxPixels = 1_000_000
        let pixels = [UInt8](repeating: 7, count: 3 * 30)
        var fed = [Float](repeating: 0, count: preprocessing.crops.rawValue * preprocessing.cropValueCount)
        assertFails(.imageLimit, saying: "1 x 30", "200 x 6000", "Stretch") {
            try preprocessing.feed(pixels, stride: 90, height: 1, width: 30, order: .rgb, as: .channelsLast, to: &fed)
        }
    }

    // MARK: Other sources

    func testATensorIsFedAsItIs() throws {
        let input = (0..<5 * 12).map { Float($0) * 0.25 - 3 }
        var features = [Float](repeating: -1, count: 20)
        var rowsDone = 0
        try extractor(batchSize: 2).extract(tensor: input, count: 5, to: &features, rowsDone: &rowsDone)
        let expected = (0..<5).flatMap { i -> [Float] in
            let values = input[i * 12..<i * 12 + 12]
            return Array(values.prefix(3)) + [values.reduce(0, +)]
        }
        XCTAssertEqual(features, expected)
        XCTAssertEqual(rowsDone, 5)
    }

    // MARK: Layouts

    /// Images as planes: [height, width, channels] to [channels, height, width].
    private func planes(_ images: [[Float]], channels: Int) -> [[Float]] {
        images.map { image in
            (0..<channels).flatMap { c in stride(from: c, to: image.count, by: channels).map { image[$0] } }
        }
    }

    /// An extractor of one layout that takes ten crops of 4 x 5 of pictures, resized to `size` before.
    private func cropping(
        _ layout: ImageLayout, _ order: ChannelOrder, channels: Int, from size: PixelSize
    ) -> (Extractor, FakeEngine) {
        var preprocessing = Preprocessing(height: 4, width: 5)
        preprocessing.target = size
        preprocessing.crops = .ten
        preprocessing.channels = channels
        preprocessing.channelOrder = order
        (preprocessing.mean, preprocessing.scale) = ((10, 20, 30), (0.5, 0.25, 2))
        let engine = FakeEngine(valueCount: 4 * 5 * channels, layout: layout)
        return (
            Extractor(engine: engine, layers: layers, preprocessing: preprocessing, options: Extractor.Options()),
            engine
        )
    }

    private let picture: [UInt8] = (0..<144).map { (place: Int) in UInt8((place * 37 + 11) % 256) } // 6 x 8

    private func withPicture(_ body: (Extractor.Pixels) throws -> Void) throws {
        try picture.withUnsafeBufferPointer {
            try body(
                Extractor.Pixels(
                    pixels: try XCTUnwrap($0.baseAddress), rowStride: 24, height: 6, width: 8, channelOrder: .rgb))
        }
    }

    func testAnEngineOfPlanesIsFedWithPlanesOfTheSameValues() throws {
        let png = PNGWriter.encode(picture, height: 6, width: 8)
        var (features, rowsDone) = ([Float](repeating: 0, count: 40), 0)
        for channels in [1, 3] {
            for order in [ChannelOrder.rgb, .bgr] {
                for size in [PixelSize(height: 6, width: 8), PixelSize(height: 5, width: 7)] {
                    let (last, lastEngine) = cropping(.channelsLast, order, channels: channels, from: size)
                    let (first, firstEngine) = cropping(.channelsFirst, order, channels: channels, from: size)
                    for extractor in [last, first] {
                        try withPicture { try extractor.extract(pixels: [$0], to: &features, rowsDone: &rowsDone) }
                        try png.withUnsafeBytes {
                            try extractor.extract(encoded: [$0], to: &features, rowsDone: &rowsDone)
                        }
                    }
                    let images = lastEngine.images.current
                    XCTAssertEqual(images.count, 20)
                    XCTAssertEqual(firstEngine.images.current, planes(images, channels: channels))
                    XCTAssertEqual(firstEngine.images.current == images, channels == 1)
                }
            }
        }
    }

    func testTheInputThatUsersSeeHasTheChannelsLast() throws {
        for layout in [ImageLayout.channelsLast, .channelsFirst] {
            let (extractor, _) = cropping(layout, .rgb, channels: 3, from: PixelSize(height: 6, width: 8))
            var fed = [Float](repeating: .nan, count: 10 * 60)
            try withPicture { try extractor.preprocess($0, to: &fed) }
            // The first pixel of the first crop.
            let expected = zip(picture, zip([10, 20, 30] as [Float], [0.5, 0.25, 2] as [Float])).map {
                (Float($0) - $1.0) * $1.1
            }
            XCTAssertEqual(Array(fed.prefix(3)), expected)
        }
    }

    func testATensorIsFedAsPlanes() throws {
        for channels in [1, 3] {
            var preprocessing = Preprocessing(height: 3, width: 7)
            preprocessing.channels = channels
            let engine = FakeEngine(valueCount: 21 * channels, layout: .channelsFirst)
            let extractor = Extractor(
                engine: engine, layers: layers, preprocessing: preprocessing, options: Extractor.Options())
            let images = (0..<5).map { image in (0..<21 * channels).map { Float(image * 100 + $0) } }
            var (features, rowsDone) = ([Float](repeating: 0, count: 20), 0)
            try extractor.extract(tensor: images.flatMap { $0 }, count: 5, to: &features, rowsDone: &rowsDone)
            XCTAssertEqual(engine.images.current, planes(images, channels: channels))
        }
    }

    private func png(_ image: Int) -> [UInt8] {
        PNGWriter.encode([[UInt8]](repeating: colour(image), count: 4).flatMap { $0 }, height: 2, width: 2)
    }

    func testEncodedImages() throws {
        var files = (0..<6).map(png)
        files[2] = Array("GIF89a".utf8)
        files[4] = Array(files[4].prefix(files[4].count / 2))
        let memory = files.map { file in
            let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: file.count, alignment: 1)
            copy.copyBytes(from: file)
            return UnsafeRawBufferPointer(copy)
        }
        defer { for block in memory { block.deallocate() } }
        var features = [Float](repeating: -1, count: 24)
        var rowsDone = 0
        var statuses: [Int: FNEError.Status] = [:]
        try extractor(onError: .skip).extract(
            encoded: memory, to: &features, rowsDone: &rowsDone,
            reports: .init(imageError: { statuses[$0] = $1.status }))
        XCTAssertEqual(statuses, [2: .unsupportedImage, 4: .damagedImage])
        XCTAssertEqual(Array(features[..<8]), rows(0..<2))
        XCTAssertTrue(features[8..<12].allSatisfy(\.isNaN))
        XCTAssertEqual(Array(features[12..<16]), row(3))
        XCTAssertEqual(Array(features[20...]), row(5))
        assertFails(.unsupportedImage, saying: "image 2 of 6", "GIF") {
            try extractor().extract(encoded: memory, to: &features, rowsDone: &rowsDone)
        }
    }

    func testFilesAreNamed() throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("ExtractorTests-\(getpid())")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        var paths = (0..<7).map { folder.appendingPathComponent("\($0).png").path }
        for (image, path) in paths.enumerated() { try Data(png(image)).write(to: URL(fileURLWithPath: path)) }
        var features = [Float](repeating: -1, count: 28)
        var rowsDone = 0
        try extractor().extract(files: paths.map { FilePath($0) }, to: &features, rowsDone: &rowsDone)
        XCTAssertEqual(features, rows(0..<7))

        // The error for a network that gives NaN names the file too.
        assertFails(.notFinite, saying: "image 6 of 7", "6.png", "layer 'second'") {
            try extractor(engine: badEngine(.nan)).extract(
                files: paths.map { FilePath($0) }, to: &features, rowsDone: &rowsDone)
        }
        paths[5] = folder.path + "/missing.png"
        assertFails(.fileError, saying: "image 5 of 7", "missing.png", "No such file") {
            try extractor().extract(files: paths.map { FilePath($0) }, to: &features, rowsDone: &rowsDone)
        }
        XCTAssertEqual(rowsDone, 4)
    }

    func testWhatAnExtractorTells() {
        let extractor = extractor(batchSize: 9)
        XCTAssertEqual(extractor.featureCount, 4)
        XCTAssertEqual(extractor.layers.map(\.name), ["first", "second"])
        XCTAssertEqual(extractor.batchSize, 9)
        XCTAssertEqual(extractor.height, 2)
        XCTAssertEqual(extractor.width, 2)
        XCTAssertEqual(extractor.layers[1].features, 2..<4)
        XCTAssertNil(Extractor.Options().batchSize, "as the graph says")
        XCTAssertEqual(EngineDefaults.batchSize, 4)
    }

    // MARK: Streams

    private func streaming(
        _ streams: Int, batchSize: Int? = 3, onError: Extractor.OnError = .fail, _ engine: FakeEngine
    )
        -> Extractor
    {
        var options = Extractor.Options()
        options.batchSize = batchSize
        options.loaderThreads = 2
        options.streams = streams
        options.onError = onError
        return Extractor(
            engine: engine, layers: layers, preprocessing: Preprocessing(height: 2, width: 2), options: options)
    }

    func testRowsAreInOrderForEveryNumberOfStreams() {
        for streams in 1...8 {
            for count in [1, 2, 7, 40] {
                let engine = FakeEngine(valueCount: 12)
                var reported: [Int] = []
                let outcome = run(
                    streaming(streams, engine), count: count,
                    reports: .init(progress: { done, _ in
                        reported.append(done)
                        return true
                    }))
                XCTAssertNil(outcome.error)
                XCTAssertEqual(outcome.features, rows(0..<count))
                XCTAssertEqual(outcome.rowsDone, count)
                XCTAssertEqual(reported, stride(from: 3, to: count, by: 3) + [count], "in order, whoever is first")
                XCTAssertEqual(engine.batches.current.reduce(0, +), count)
                XCTAssertLessThanOrEqual(engine.addresses.current.count, streams + 2)
            }
        }
    }

    func testStreamsRunBesideEachOther() {
        // Each of four runs waits until all four have begun.
        let begun = Locked(0)
        let engine = FakeEngine(valueCount: 12) { _ in
            begun.with { $0 += 1 }
            for _ in 0..<10_000 where begun.current < 4 { usleep(1_000) }
        }
        let outcome = run(streaming(4, batchSize: 1, engine), count: 4)
        XCTAssertNil(outcome.error)
        XCTAssertEqual(begun.current, 4)
    }

    func testTheFirstErrorInOrderEndsTheCallWhateverTheStreamsDo() {
        for streams in 2...6 {
            // The first bad batch is slow. Later ones have failed long before it.
            let engine = FakeEngine(valueCount: 12) { row in
                if row[0] == 7 { usleep(20_000) }
                if row[0] >= 7 { throw FNEError(.backendError, "run of \(row[0])") }
            }
            let outcome = run(streaming(streams, batchSize: 1, engine), count: 30)
            XCTAssertEqual(outcome.error, FNEError(.backendError, "run of 7.0"))
            XCTAssertEqual(outcome.rowsDone, 7)
            XCTAssertEqual(Array(outcome.features[..<28]), rows(0..<7))
        }
    }

    func testBadImagesOfSeveralStreamsAreReportedInOrder() {
        let bad: Set = [1, 2, 13, 14, 29]
        for streams in 1...4 {
            var reported: [Int] = []
            let outcome = run(
                streaming(streams, onError: .skip, FakeEngine(valueCount: 12)), count: 30, broken: bad,
                reports: .init(imageError: { image, _ in reported.append(image) }))
            XCTAssertNil(outcome.error)
            XCTAssertEqual(reported, bad.sorted())
            for image in 0..<30 where !bad.contains(image) {
                XCTAssertEqual(Array(outcome.features[image * 4..<image * 4 + 4]), row(image))
            }
        }
    }

    func testCancellingStopsTheStreams() {
        let engine = FakeEngine(valueCount: 12)
        let outcome = run(
            streaming(3, engine), count: 3_000, reports: .init(progress: { done, _ in done < 30 }))
        XCTAssertEqual(outcome.error?.status, .cancelled)
        XCTAssertEqual(outcome.rowsDone, 30)
        XCTAssertEqual(Array(outcome.features[..<120]), rows(0..<30))
        XCTAssertLessThan(engine.batches.current.count, 1_000)
    }

    func testWithoutABatchSizeFewImagesAreSpreadOverTheStreams() {
        for (count, batches) in [(1, [1]), (3, [1, 1, 1]), (4, [2, 2]), (8, [3, 3, 2]), (13, [4, 4, 4, 1])] {
            let engine = FakeEngine(valueCount: 12)
            let outcome = run(streaming(3, batchSize: nil, engine), count: count)
            XCTAssertEqual(outcome.features, rows(0..<count))
            XCTAssertEqual(engine.batches.current.sorted(by: >), batches)
        }
    }

    // MARK: Codes

    /// z = x - 100, with thresholds at -0.25 and 0.15. No float row is kept.
    func testCodesWithoutFeatures() throws {
        let discretizer = try Discretizer(
            Discretization(), features: 4, mean: [100, 100, 100, 1_000], std: [1, 1, 1, 1])
        for onError in [Extractor.OnError.fail, .skip] {
            let bad: Set = onError == .skip ? [5, 101] : []
            let engine = FakeEngine(valueCount: 3)
            var options = Extractor.Options()
            options.batchSize = 4
            options.streams = 3
            options.onError = onError
            let extractor = Extractor(
                engine: engine, layers: layers, preprocessing: Preprocessing(height: 1, width: 1), options: options)
            let values = (0..<150 * 3).map { Float($0 / 3) + (bad.contains($0 / 3) ? .nan : 0) }
            var codes = [Int8](repeating: 99, count: 600)
            var features = [Float](repeating: -1, count: 600)
            for alsoFeatures in [false, true] {
                var rowsDone = 0
                var skipped: [Int] = []
                try codes.withUnsafeMutableBufferPointer { codes in
                    try features.withUnsafeMutableBufferPointer { features in
                        try extractor.extract(
                            tensor: values, count: 150,
                            to: .init(
                                features: alsoFeatures ? features.baseAddress : nil, codes: codes.baseAddress,
                                discretizer: discretizer),
                            rowsDone: &rowsDone, reports: .init(imageError: { image, _ in skipped.append(image) }))
                    }
                }
                XCTAssertEqual(rowsDone, 150)
                XCTAssertEqual(skipped, bad.sorted())
                for image in 0..<150 {
                    func code(_ x: Int, _ mean: Int) -> Int8 { Int8((x - mean).signum()) }
                    let expected: [Int8] =
                        bad.contains(image)
                        ? [-128, -128, -128, -128]
                        : [code(image, 100), code(image, 100), code(image, 100), code(3 * image, 1_000)]
                    XCTAssertEqual(Array(codes[image * 4..<image * 4 + 4]), expected, "image \(image)")
                }
            }
            XCTAssertEqual(features[4], 1)
            XCTAssertEqual(features[20].isNaN, onError == .skip)
        }
    }

    func testStatisticsOfOtherFeaturesAreRefused() throws {
        let discretizer = try Discretizer(Discretization(), features: 3, mean: [0, 0, 0], std: [1, 1, 1])
        var codes = [Int8](repeating: 99, count: 4)
        assertFails(.shapeMismatch, saying: "3 features", "4") {
            try codes.withUnsafeMutableBufferPointer {
                var rowsDone = 0
                try extractor().extract(
                    tensor: [Float](repeating: 0, count: 12), count: 1,
                    to: .init(codes: $0.baseAddress, discretizer: discretizer), rowsDone: &rowsDone)
            }
        }
        XCTAssertEqual(codes, [99, 99, 99, 99])
    }
}

/// Collects rows in an array.
extension Extractor {
    fileprivate func extract(
        pixels: [Pixels], to features: inout [Float], rowsDone: inout Int, reports: Reports = Reports()
    ) throws {
        try features.withUnsafeMutableBufferPointer {
            try extract(pixels: pixels, to: Output(features: $0.baseAddress), rowsDone: &rowsDone, reports: reports)
        }
    }

    fileprivate func extract(
        encoded: [UnsafeRawBufferPointer], to features: inout [Float], rowsDone: inout Int, reports: Reports = Reports()
    ) throws {
        try features.withUnsafeMutableBufferPointer {
            try extract(encoded: encoded, to: Output(features: $0.baseAddress), rowsDone: &rowsDone, reports: reports)
        }
    }

    fileprivate func extract(files: [FilePath], to features: inout [Float], rowsDone: inout Int) throws {
        try features.withUnsafeMutableBufferPointer {
            try extract(files: files, to: Output(features: $0.baseAddress), rowsDone: &rowsDone)
        }
    }

    fileprivate func extract(
        tensor: UnsafePointer<Float>, count: Int, to features: inout [Float], rowsDone: inout Int
    ) throws {
        try features.withUnsafeMutableBufferPointer {
            try extract(tensor: tensor, count: count, to: Output(features: $0.baseAddress), rowsDone: &rowsDone)
        }
    }
}

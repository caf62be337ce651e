import FullNetworkEmbedding
public import CFNE

/// An extractor, with its strings as C reads them.
final class ExtractorObject: Sendable {
    let extractor: Extractor
    let layerNames: [CText]
    let inputName: CText
    let batchWarning: CText?
    let engine: CText

    init(_ extractor: Extractor) {
        self.extractor = extractor
        layerNames = extractor.layers.map { CText($0.name) }
        inputName = CText(extractor.inputName)
        batchWarning = extractor.batchStatistics.map { CText($0.sentence) }
        engine = CText(extractor.engineDescription)
    }
}

private func defaultOptions() -> fne_extractor_options {
    var options = fne_extractor_options()
    options.scale = (1, 1, 1)
    options.float32_layers = -1
    return options
}

@c @implementation public func fne_extractor_options_init(
    _ options: UnsafeMutablePointer<fne_extractor_options>?, _ struct_size: UInt64
) {
    initialize(options, defaultOptions(), struct_size)
}

@c @implementation public func fne_extractor_open(
    _ model: OpaquePointer?, _ options: UnsafePointer<fne_extractor_options>?,
    _ extractor: UnsafeMutablePointer<OpaquePointer?>?
) -> fne_status {
    status {
        let object: ModelObject = try referenced(model, "model")
        let extractor = try required(extractor, "extractor")
        let opened = try Extractor(object.model, translated(options))
        extractor.pointee = try handle(ExtractorObject(opened))
    }
}

/// Turns C's options into Swift's. 0 and NULL stand for the defaults.
func translated(_ pointer: UnsafePointer<fne_extractor_options>?) throws -> Extractor.Options {
    let given = try readOptions(pointer, defaults: defaultOptions(), "options")
    func optional(_ value: UInt32) -> Int? { value == 0 ? nil : Int(value) }
    var result = Extractor.Options()
    result.inputTensor = try given.input_tensor.map { try text($0, "options->input_tensor") }
    result.layers = try texts(given.layers, given.layer_count, "options->layers")
    result.feeds = try texts(given.feeds, given.feed_count, "options->feeds")
    result.height = optional(given.height)
    result.width = optional(given.width)
    result.channelOrder = try choice(given.channel_order, "channel_order")
    result.channels = optional(given.channels)
    try mustBeZero(given.reserved, "options")
    try mustBeZero(given.reserved_goal, "options")
    try mustBeZero(given.reserved_decode, "options")
    result.goal = try choice(given.goal, "goal")
    result.mean = given.mean
    result.scale = given.scale
    result.batchSize = optional(given.batch_size)
    result.loaderThreads = optional(given.loader_threads)
    result.engineThreads = optional(given.engine_threads)
    result.streams = optional(given.streams)
    if let device = given.device { result.device = try Device(text(device, "options->device")) }
    result.growsGPUMemory = try flag(given.gpu_memory_growth, "gpu_memory_growth")
    result.padsBatches = try flag(given.pad_batches, "pad_batches")
    result.precision = try choice(given.precision, "precision")
    guard given.float32_layers >= -1 else {
        throw FNEError(
            .invalidArgument,
            "float32_layers is \(given.float32_layers); it must be at least 0, or -1 for the default of 2")
    }
    result.float32Layers = given.float32_layers == -1 ? nil : Int(given.float32_layers)
    result.onError = try choice(given.on_error, "on_error")
    result.resizeMode = try choice(given.resize_mode, "resize_mode")
    result.interpolation = try choice(given.interpolation, "interpolation")
    result.decode = try choice(given.decode, "decode")
    guard let crops = Crops(rawValue: max(Int(given.crops), 1)) else {
        throw FNEError(.invalidArgument, "crops is \(given.crops); it must be 1 or 10")
    }
    result.crops = crops
    result.resizeHeight = optional(given.resize_height)
    result.resizeWidth = optional(given.resize_width)
    result.imageOptions = try translated(given.image_options)
    result.decoder = given.decoder.map { hostDecoder($0, given.decoder_user) }
    result.tokenPooling = try choice(given.token_pooling, "token_pooling")
    result.prefixTokens = max(Int(given.prefix_tokens), 1)
    return result
}

@c @implementation public func fne_extractor_close(_ extractor: OpaquePointer?) {
    close(extractor, ExtractorObject.self)
}

@c @implementation public func fne_extractor_feature_count(
    _ extractor: OpaquePointer?, _ count: UnsafeMutablePointer<UInt64>?
) -> fne_status {
    status {
        let object: ExtractorObject = try referenced(extractor, "extractor")
        try required(count, "count").pointee = UInt64(object.extractor.featureCount)
    }
}

@c @implementation public func fne_extractor_layer_count(
    _ extractor: OpaquePointer?, _ count: UnsafeMutablePointer<UInt64>?
) -> fne_status {
    status {
        let object: ExtractorObject = try referenced(extractor, "extractor")
        try required(count, "count").pointee = UInt64(object.extractor.layers.count)
    }
}

@c @implementation public func fne_layer_info_init(_ info: UnsafeMutablePointer<fne_layer_info>?, _ struct_size: UInt64)
{
    initialize(info, fne_layer_info(), struct_size)
}

@c @implementation public func fne_extractor_layer_info(
    _ extractor: OpaquePointer?, _ index: UInt64, _ info: UnsafeMutablePointer<fne_layer_info>?
) -> fne_status {
    status {
        let object: ExtractorObject = try referenced(extractor, "extractor")
        let value = try layerInfo(index, object.extractor.layers, object.layerNames)
        try fill(required(info, "info"), with: value, "info")
    }
}

/// A layer and its place in the row, as C reads them.
func layerInfo(_ index: UInt64, _ layers: [Layer], _ names: [CText]) throws -> fne_layer_info {
    let index = try element(index, of: layers.count, "layer")
    let layer = layers[index]
    return fne_layer_info(
        struct_size: 0, name: names[index].pointer, kind: layer.kind.rawValue, rank: Int32(layer.rank),
        first_feature: UInt64(layer.features.lowerBound), feature_count: UInt64(layer.features.count))
}

@c @implementation public func fne_input_info_init(_ info: UnsafeMutablePointer<fne_input_info>?, _ struct_size: UInt64)
{
    initialize(info, fne_input_info(), struct_size)
}

@c @implementation public func fne_extractor_input_info(
    _ extractor: OpaquePointer?, _ info: UnsafeMutablePointer<fne_input_info>?
) -> fne_status {
    status {
        let object: ExtractorObject = try referenced(extractor, "extractor")
        let value = fne_input_info(
            struct_size: 0, name: object.inputName.pointer, height: UInt32(object.extractor.height),
            width: UInt32(object.extractor.width), batch_size: UInt32(object.extractor.batchSize),
            rows_per_image: UInt32(object.extractor.rowsPerImage), streams: UInt32(object.extractor.streams),
            channels: UInt32(object.extractor.channels), batch_warning: object.batchWarning?.pointer,
            whole_numbers: object.extractor.readsWholeNumbers ? 1 : 0, reserved: 0)
        try fill(required(info, "info"), with: value, "info")
    }
}

@c @implementation public func fne_extractor_engine(
    _ extractor: OpaquePointer?, _ facts: UnsafeMutablePointer<UnsafePointer<CChar>?>?
) -> fne_status {
    status {
        let object: ExtractorObject = try referenced(extractor, "extractor")
        try required(facts, "facts").pointee = object.engine.pointer
    }
}

// MARK: Extraction

@c @implementation public func fne_extract_run_init(
    _ run: UnsafeMutablePointer<fne_extract_run>?, _ struct_size: UInt64
) {
    initialize(run, fne_extract_run(), struct_size)
}

@c @implementation public func fne_extract_files(
    _ extractor: OpaquePointer?, _ paths: UnsafePointer<UnsafePointer<CChar>?>?, _ count: UInt64,
    _ features: UnsafeMutablePointer<Float>?, _ capacity: UInt64, _ run: UnsafeMutablePointer<fne_extract_run>?
) -> fne_status {
    extract(extractor, count, features, capacity, run) { extractor, count in
        let files = try filePaths(paths, UInt64(count))
        return { try extractor.extract(files: files, to: $0, rowsDone: &$1, reports: $2) }
    }
}

/// A list of paths in C's memory.
func filePaths(_ paths: UnsafePointer<UnsafePointer<CChar>?>?, _ count: UInt64, _ name: String = "paths") throws
    -> [FilePath]
{
    let paths = try required(paths, name)
    let count = try integer(count, "count")
    try prepare(forTexts: paths, count, each: 64)
    return try list(count) { try file(paths[$0], "\(name)[\($0)]") }
}

@c @implementation public func fne_embed_files(
    _ extractor: OpaquePointer?, _ paths: UnsafePointer<UnsafePointer<CChar>?>?, _ count: UInt64,
    _ codes: UnsafeMutablePointer<Int8>?, _ codes_capacity: UInt64, _ mean: UnsafeMutablePointer<Double>?,
    _ std: UnsafeMutablePointer<Double>?, _ statistics_capacity: UInt64, _ run: UnsafeMutablePointer<fne_extract_run>?
) -> fne_status {
    status {
        let object: ExtractorObject = try referenced(extractor, "extractor")
        let extractor = object.extractor
        let (codes, mean, std) = try (required(codes, "codes"), required(mean, "mean"), required(std, "std"))
        guard count > 0 else { throw FNEError(.invalidArgument, "count is 0, so there are no images") }
        let size = try matrixSize(count, UInt64(extractor.featureCount * extractor.rowsPerImage), "codes")
        try needCapacity(codes_capacity, size, "codes")
        try needCapacity(statistics_capacity, extractor.featureCount, "mean and std")
        let given = try readOptions(UnsafePointer(run), defaults: fne_extract_run(), "run")
        guard given.codes == nil, given.packed == nil, given.mean == nil, given.std == nil else {
            throw FNEError(
                .invalidArgument, "run sets codes, packed, mean or std. Pass them as arguments of fne_embed_files")
        }
        let files = try filePaths(paths, count)
        let discretization = try readDiscretization(given.ternarize_options, "run->ternarize_options")
        let reports = try runReports(of: given, count: files.count, skips: extractor.skipsBadImages)
        var rowsDone = 0
        defer { store(UInt64(rowsDone), at: \.rows_done, of: run) }
        try extractor.embed(
            files: files, discretization, to: codes, mean: mean, std: std, rowsDone: &rowsDone, reports: reports)
    }
}

@c @implementation public func fne_extract_encoded(
    _ extractor: OpaquePointer?, _ images: UnsafePointer<fne_encoded_image>?, _ count: UInt64,
    _ features: UnsafeMutablePointer<Float>?, _ capacity: UInt64, _ run: UnsafeMutablePointer<fne_extract_run>?
) -> fne_status {
    extract(extractor, count, features, capacity, run) { extractor, count in
        let images = try required(images, "images")
        let encoded = try list(count) { try buffer(images[$0].bytes, images[$0].size, "images[\($0)].bytes") }
        return { try extractor.extract(encoded: encoded, to: $0, rowsDone: &$1, reports: $2) }
    }
}

@c @implementation public func fne_extract_pixels(
    _ extractor: OpaquePointer?, _ images: UnsafePointer<fne_pixel_image>?, _ count: UInt64,
    _ features: UnsafeMutablePointer<Float>?, _ capacity: UInt64, _ run: UnsafeMutablePointer<fne_extract_run>?
) -> fne_status {
    extract(extractor, count, features, capacity, run) { extractor, count in
        let images = try required(images, "images")
        let pixels = try list(count) { try translated(images[$0], "images[\($0)]") }
        return { try extractor.extract(pixels: pixels, to: $0, rowsDone: &$1, reports: $2) }
    }
}

private func translated(_ image: fne_pixel_image, _ name: String) throws -> Extractor.Pixels {
    let pixels = try required(image.pixels, "\(name).pixels")
    try mustBeZero(image.reserved, name)
    guard image.height <= 1 << 28, image.width <= 1 << 28 else {
        throw FNEError(.invalidArgument, "\(name) is \(image.height) x \(image.width); its sides may be at most 2^28")
    }
    _ = try matrixSize(UInt64(image.height), UInt64(image.width) * 3, name)
    let width = Int(image.width) * 3
    let stride = image.row_stride == 0 ? width : try integer(image.row_stride, "\(name).row_stride")
    _ = try matrixSize(UInt64(image.height), UInt64(stride), name)
    guard stride >= width else {
        throw FNEError(
            .invalidArgument,
            "\(name).row_stride is \(stride), but rows of \(image.width) pixels have \(width) bytes")
    }
    return Extractor.Pixels(
        pixels: pixels, rowStride: stride, height: Int(image.height), width: Int(image.width),
        channelOrder: try choice(image.channel_order, "\(name).channel_order"))
}

@c @implementation public func fne_extract_tensor(
    _ extractor: OpaquePointer?, _ input: UnsafePointer<Float>?, _ input_size: UInt64, _ count: UInt64,
    _ features: UnsafeMutablePointer<Float>?, _ capacity: UInt64, _ run: UnsafeMutablePointer<fne_extract_run>?
) -> fne_status {
    extract(extractor, count, features, capacity, run, rowsPerImage: 1) { extractor, count in
        let input = try required(input, "input")
        let needed = try matrixSize(UInt64(count), UInt64(extractor.imageSize), "input")
        guard input_size == UInt64(needed) else {
            throw FNEError(
                .shapeMismatch,
                "input has \(input_size) elements, but \(count) images of \(extractor.height) x \(extractor.width) x "
                    + "\(extractor.channels) have \(needed)")
        }
        return { try extractor.extract(tensor: input, count: count, to: $0, rowsDone: &$1, reports: $2) }
    }
}

@c @implementation public func fne_extractor_preprocess(
    _ extractor: OpaquePointer?, _ image: UnsafePointer<fne_pixel_image>?, _ fed: UnsafeMutablePointer<Float>?,
    _ capacity: UInt64
) -> fne_status {
    status {
        let object: ExtractorObject = try referenced(extractor, "extractor")
        let extractor = object.extractor
        let pixels = try translated(required(image, "image").pointee, "image")
        let fed = try required(fed, "fed")
        try needCapacity(capacity, extractor.rowsPerImage * extractor.imageSize, "fed")
        try extractor.preprocess(pixels, to: fed)
    }
}

/// Writes rows to an output, counts the rows that are final, and reports.
private typealias Extraction = (Extractor.Output, inout Int, Extractor.Reports) throws -> Void

/// The shared part of the four functions that extract: the output, the reports and the statuses. `prepare` checks the
/// images before anything is written.
private func extract(
    _ extractorHandle: OpaquePointer?, _ count: UInt64, _ features: UnsafeMutablePointer<Float>?, _ capacity: UInt64,
    _ runPointer: UnsafeMutablePointer<fne_extract_run>?, rowsPerImage: Int? = nil,
    _ prepare: (Extractor, Int) throws -> Extraction
) -> fne_status {
    status {
        let object: ExtractorObject = try referenced(extractorHandle, "extractor")
        let extractor = object.extractor
        guard count > 0 else { throw FNEError(.invalidArgument, "count is 0, so there are no images") }
        let rowSize = extractor.featureCount * (rowsPerImage ?? extractor.rowsPerImage)
        let run = try readOptions(UnsafePointer(runPointer), defaults: fne_extract_run(), "run")
        let output = try runOutput(
            features, capacity, run, size: matrixSize(count, UInt64(rowSize), "features"),
            featureCount: extractor.featureCount)
        let count = try integer(count, "count")
        let extraction = try prepare(extractor, count)
        let reports = try runReports(of: run, count: count, skips: extractor.skipsBadImages)
        var rowsDone = 0
        defer { store(UInt64(rowsDone), at: \.rows_done, of: runPointer) }
        try extraction(output, &rowsDone, reports)
    }
}

/// The reports of a run to C. All statuses first become FNE_OK.
private func runReports(of run: fne_extract_run, count: Int, skips: Bool) throws -> Extractor.Reports {
    let (user, statuses) = (run.user, run.statuses)
    if statuses != nil { try needCapacity(run.statuses_capacity, count, "run->statuses") }
    statuses?.update(repeating: FNE_OK, count: count)
    var reports = Extractor.Reports()
    if let progress = run.progress {
        reports.progress = { done, total in
            FloatEnvironment.host { progress(user, UInt64(done), UInt64(total)) } == 0
        }
    }
    reports.imageError = { [imageError = run.image_error] image, error in
        statuses?[image] = error.status.rawValue
        guard skips, !error.status.isOfTheMachine, let imageError else { return } // that ends the call
        error.message.withCString { message in
            FloatEnvironment.host { imageError(user, UInt64(image), error.status.rawValue, message) }
        }
    }
    return reports
}

/// The output of a run, which is features, codes, or both.
private func runOutput(
    _ features: UnsafeMutablePointer<Float>?, _ capacity: UInt64, _ run: fne_extract_run, size: Int, featureCount: Int
) throws -> Extractor.Output {
    var output = Extractor.Output()
    if let features {
        try needCapacity(capacity, size, "features")
        output.features = features
    }
    guard run.codes != nil || run.packed != nil else {
        guard features != nil else {
            throw FNEError(.invalidArgument, "features, run->codes and run->packed are all NULL. Pass at least one")
        }
        return output
    }
    if run.codes != nil { try needCapacity(run.codes_capacity, size, "run->codes") }
    if run.packed != nil {
        let words = try matrixSize(
            UInt64(size / featureCount), UInt64(PackedCodes.words(features: featureCount)), "run->packed")
        try needCapacity(run.packed_capacity, words, "run->packed")
    }
    let (mean, std) = try (required(run.mean, "run->mean"), required(run.std, "run->std"))
    guard run.statistics_size == UInt64(featureCount) else {
        throw FNEError(
            .shapeMismatch,
            "run->statistics_size is \(run.statistics_size); these layers have \(featureCount) features")
    }
    output.codes = run.codes
    output.packed = run.packed
    output.discretizer = try Discretizer(
        readDiscretization(run.ternarize_options, "run->ternarize_options"), features: featureCount, mean: mean,
        std: std)
    return output
}

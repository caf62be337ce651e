import FullNetworkEmbedding
public import CFNE

// MARK: Options

@c @implementation public func fne_image_options_init(
    _ options: UnsafeMutablePointer<fne_image_options>?, _ struct_size: UInt64
) {
    let defaults = ImageOptions()
    var value = fne_image_options()
    value.max_bytes = UInt64(defaults.maxBytes)
    value.max_pixels = UInt64(defaults.maxPixels)
    value.max_chunk_bytes = UInt64(defaults.maxChunkBytes)
    value.max_scans = UInt32(defaults.maxScans)
    value.max_side = UInt32(defaults.maxSide)
    value.max_expansion = UInt32(defaults.maxExpansion)
    initialize(options, value, struct_size)
}

/// Turns C's options into Swift's. 0 stands for a default.
func translated(_ pointer: UnsafePointer<fne_image_options>?) throws -> ImageOptions {
    let given = try readOptions(pointer, defaults: fne_image_options(), "image options")
    var result = ImageOptions()
    for (value, name, member) in [
        (given.max_bytes, "max_bytes", \ImageOptions.maxBytes), (given.max_pixels, "max_pixels", \.maxPixels),
        (given.max_chunk_bytes, "max_chunk_bytes", \.maxChunkBytes),
        (UInt64(given.max_scans), "max_scans", \.maxScans), (UInt64(given.max_side), "max_side", \.maxSide),
        (UInt64(given.max_expansion), "max_expansion", \.maxExpansion),
    ] where value != 0 {
        result[keyPath: member] = try integer(value, name)
    }
    result.toleratesTruncation = try flag(given.tolerate_truncation, "tolerate_truncation")
    return result
}

// MARK: Reading

@c @implementation public func fne_image_info_init(_ info: UnsafeMutablePointer<fne_image_info>?, _ struct_size: UInt64)
{
    initialize(info, fne_image_info(), struct_size)
}

@c @implementation public func fne_image_probe(
    _ path: UnsafePointer<CChar>?, _ options: UnsafePointer<fne_image_options>?,
    _ info: UnsafeMutablePointer<fne_image_info>?
) -> fne_status {
    status {
        let info = try required(info, "info")
        try write(Image.probe(file: file(path, "path"), options: translated(options)), to: info)
    }
}

@c @implementation public func fne_image_probe_memory(
    _ bytes: UnsafePointer<UInt8>?, _ size: UInt64, _ options: UnsafePointer<fne_image_options>?,
    _ info: UnsafeMutablePointer<fne_image_info>?
) -> fne_status {
    status {
        let info = try required(info, "info")
        try write(Image.probe(encoded: buffer(bytes, size, "bytes"), options: translated(options)), to: info)
    }
}

@c @implementation public func fne_image_decode(
    _ path: UnsafePointer<CChar>?, _ options: UnsafePointer<fne_image_options>?, _ rgb: UnsafeMutablePointer<UInt8>?,
    _ capacity: UInt64, _ info: UnsafeMutablePointer<fne_image_info>?
) -> fne_status {
    status {
        let rgb = try required(rgb, "rgb")
        try info.map { try checkSize($0, "info") }
        let decoded = try Image.decode(
            file: file(path, "path"), options: translated(options), to: rgb, capacity: Int(clamping: capacity))
        if let info { try write(decoded, to: info) }
    }
}

@c @implementation public func fne_image_decode_memory(
    _ bytes: UnsafePointer<UInt8>?, _ size: UInt64, _ options: UnsafePointer<fne_image_options>?,
    _ rgb: UnsafeMutablePointer<UInt8>?, _ capacity: UInt64, _ info: UnsafeMutablePointer<fne_image_info>?
) -> fne_status {
    status {
        let rgb = try required(rgb, "rgb")
        try info.map { try checkSize($0, "info") }
        let decoded = try Image.decode(
            encoded: buffer(bytes, size, "bytes"), options: translated(options), to: rgb,
            capacity: Int(clamping: capacity))
        if let info { try write(decoded, to: info) }
    }
}

/// The bytes of an encoded image, a model or saved statistics, in C's memory.
func buffer(_ bytes: UnsafePointer<UInt8>?, _ size: UInt64, _ name: String) throws -> UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(start: try required(bytes, name), count: try integer(size, "size"))
}

private func write(_ image: ImageInfo, to info: UnsafeMutablePointer<fne_image_info>) throws {
    let value = fne_image_info(
        struct_size: 0, height: UInt32(image.height), width: UInt32(image.width), format: image.format.rawValue,
        orientation: Int32(image.orientation), is_partial: image.isPartial ? 1 : 0, reserved: 0)
    try fill(info, with: value, "info")
}

// MARK: Resizing

@c @implementation public func fne_image_resize(
    _ rgb: UnsafePointer<UInt8>?, _ height: UInt32, _ width: UInt32, _ interpolation: Int32,
    _ resized: UnsafeMutablePointer<UInt8>?, _ new_height: UInt32, _ new_width: UInt32, _ capacity: UInt64
) -> fne_status {
    status {
        let rgb = try required(rgb, "rgb")
        let resized = try required(resized, "resized")
        try needCapacity(capacity, matrixSize(UInt64(new_height) * 3, UInt64(new_width), "the new size"), "resized")
        try resizePixels(
            rgb, stride: Int(width) * 3, height: Int(height), width: Int(width), to: resized,
            newHeight: Int(new_height), newWidth: Int(new_width), interpolation: choice(interpolation, "interpolation"))
    }
}

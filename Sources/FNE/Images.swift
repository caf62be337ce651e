import FullNetworkEmbedding
public import CFNE

@c @implementation public func fne_image_info_init(_ info: UnsafeMutablePointer<fne_image_info>?, _ struct_size: UInt64) {
    initialize(info, fne_image_info(), struct_size)
}

@c @implementation public func fne_image_probe(
    _ path: UnsafePointer<CChar>?, _ info: UnsafeMutablePointer<fne_image_info>?
) -> fne_status {
    status {
        let info = try required(info, "info")
        try write(Image.probe(file: text(path, "path")), to: info)
    }
}

@c @implementation public func fne_image_probe_memory(
    _ bytes: UnsafePointer<UInt8>?, _ size: UInt64, _ info: UnsafeMutablePointer<fne_image_info>?
) -> fne_status {
    status {
        let info = try required(info, "info")
        try write(Image.probe(encoded: buffer(bytes, size, "bytes")), to: info)
    }
}

@c @implementation public func fne_image_decode(
    _ path: UnsafePointer<CChar>?, _ rgb: UnsafeMutablePointer<UInt8>?, _ capacity: UInt64,
    _ info: UnsafeMutablePointer<fne_image_info>?
) -> fne_status {
    status {
        let rgb = try required(rgb, "rgb")
        try info.map { try checkSize($0, "info") }
        let decoded = try Image.decode(file: text(path, "path"), to: rgb, capacity: integer(capacity, "capacity"))
        if let info { try write(decoded, to: info) }
    }
}

@c @implementation public func fne_image_decode_memory(
    _ bytes: UnsafePointer<UInt8>?, _ size: UInt64, _ rgb: UnsafeMutablePointer<UInt8>?, _ capacity: UInt64,
    _ info: UnsafeMutablePointer<fne_image_info>?
) -> fne_status {
    status {
        let rgb = try required(rgb, "rgb")
        try info.map { try checkSize($0, "info") }
        let decoded = try Image.decode(
            encoded: buffer(bytes, size, "bytes"), to: rgb, capacity: integer(capacity, "capacity"))
        if let info { try write(decoded, to: info) }
    }
}

@c @implementation public func fne_image_resize(
    _ rgb: UnsafePointer<UInt8>?, _ height: UInt32, _ width: UInt32, _ resized: UnsafeMutablePointer<UInt8>?,
    _ new_height: UInt32, _ new_width: UInt32, _ capacity: UInt64
) -> fne_status {
    status {
        let rgb = try required(rgb, "rgb")
        let resized = try required(resized, "resized")
        try needCapacity(capacity, matrixSize(UInt64(new_height) * 3, UInt64(new_width), "the new size"), "resized")
        try resizeBilinear(
            rgb, stride: Int(width) * 3, height: Int(height), width: Int(width), to: resized,
            newHeight: Int(new_height), newWidth: Int(new_width))
    }
}

/// Bytes of an encoded image or a model.
func buffer(_ bytes: UnsafePointer<UInt8>?, _ size: UInt64, _ name: String) throws -> UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(start: try required(bytes, name), count: try integer(size, "size"))
}

private func write(_ image: ImageInfo, to info: UnsafeMutablePointer<fne_image_info>) throws {
    let value = fne_image_info(
        struct_size: 0, height: UInt32(image.height), width: UInt32(image.width), format: image.format.rawValue,
        orientation: Int32(image.orientation))
    try fill(info, with: value, "info")
}

import FullNetworkEmbedding
public import CFNE

/// Saved codes, with the layers' names as C reads them.
private final class PackedFileObject {
    let file: PackedFile
    let layers: [Layer]
    let names: [CText]

    init(_ file: PackedFile) {
        self.file = file
        layers = file.layers ?? []
        names = layers.map { CText($0.name) }
    }
}

/// The layers that C lists, one struct after the other. All have the size that the first one says.
private func layers(_ pointer: UnsafePointer<fne_layer_info>?, _ count: UInt64) throws -> [Layer]? {
    guard count > 0 else { return nil }
    let first = try required(pointer, "layers")
    guard count <= 1 << 20 else { throw FNEError(.invalidArgument, "layer_count is \(count), which is too large") }
    _ = try readOptions(first, defaults: fne_layer_info(), "layers")
    let step = Int(first.pointee.struct_size)
    return try list(Int(count)) { index in
        let place = UnsafeRawPointer(first) + index * step
        let info = place.assumingMemoryBound(to: fne_layer_info.self)
        guard place.load(as: UInt64.self) == first.pointee.struct_size else {
            throw FNEError(.invalidArgument, "layers[\(index)] has another struct_size than layers[0]")
        }
        return try layer(readOptions(info, defaults: fne_layer_info(), "layers[\(index)]"), "layers[\(index)]")
    }
}

private func layer(_ info: fne_layer_info, _ name: String) throws -> Layer {
    let first = try integer(info.first_feature, "\(name).first_feature")
    let count = try integer(info.feature_count, "\(name).feature_count")
    guard first <= Int(Int32.max), 1...Int(Int32.max) ~= count else {
        throw FNEError(.invalidArgument, "\(name) has \(count) columns from \(first) on, which no code has")
    }
    return try Layer(
        name: text(info.name, "\(name).name"), kind: choice(info.kind, "\(name).kind"), rank: Int(info.rank),
        features: first..<first + count)
}

@c @implementation public func fne_packed_save(
    _ path: UnsafePointer<CChar>?, _ packed: UnsafePointer<UInt64>?, _ row_count: UInt64, _ feature_count: UInt64,
    _ layer_infos: UnsafePointer<fne_layer_info>?, _ layer_count: UInt64
) -> fne_status {
    status {
        let path = try file(path, "path")
        let features = try integer(feature_count, "feature_count")
        if row_count > 0 {
            _ = try (required(packed, "packed"), packedSize(row_count, feature_count, "packed"))
        }
        try PackedFile.save(
            packed, rows: Int(row_count), features: features, layers: layers(layer_infos, layer_count), to: path)
    }
}

@c @implementation public func fne_codes_open(
    _ path: UnsafePointer<CChar>?, _ opened: UnsafeMutablePointer<OpaquePointer?>?
) -> fne_status {
    status {
        let path = try file(path, "path")
        let opened = try required(opened, "codes")
        opened.pointee = try handle(PackedFileObject(PackedFile(path)))
    }
}

@c @implementation public func fne_codes_close(_ codes: OpaquePointer?) { close(codes, PackedFileObject.self) }

@c @implementation public func fne_codes_sizes(
    _ codes: OpaquePointer?, _ row_count: UnsafeMutablePointer<UInt64>?, _ feature_count: UnsafeMutablePointer<UInt64>?,
    _ layer_count: UnsafeMutablePointer<UInt64>?
) -> fne_status {
    status {
        let object: PackedFileObject = try referenced(codes, "codes")
        row_count?.pointee = UInt64(object.file.rows)
        feature_count?.pointee = UInt64(object.file.features)
        layer_count?.pointee = UInt64(object.layers.count)
    }
}

@c @implementation public func fne_codes_layer_info(
    _ codes: OpaquePointer?, _ index: UInt64, _ info: UnsafeMutablePointer<fne_layer_info>?
) -> fne_status {
    status {
        let object: PackedFileObject = try referenced(codes, "codes")
        try fill(required(info, "info"), with: layerInfo(index, object.layers, object.names), "info")
    }
}

@c @implementation public func fne_codes_read(
    _ codes: OpaquePointer?, _ first_row: UInt64, _ row_count: UInt64, _ packed: UnsafeMutablePointer<UInt64>?,
    _ capacity: UInt64
) -> fne_status {
    status {
        let object: PackedFileObject = try referenced(codes, "codes")
        let packed = try required(packed, "packed")
        try needCapacity(capacity, packedSize(row_count, UInt64(object.file.features), "packed"), "packed")
        try object.file.read(integer(first_row, "first_row"), Int(row_count), into: packed)
    }
}

import FullNetworkEmbedding
public import CFNE

/// A model, with its strings as C reads them.
final class ModelObject: Sendable {
    let model: Model
    let names: [CText]
    let operations: [CText]
    let modules: [CText?]
    let engine: CText
    let notes: [CText]

    init(_ model: Model) {
        self.model = model
        names = model.tensors.map { CText($0.name) }
        operations = model.tensors.map { CText($0.operation) }
        modules = model.tensors.map { $0.module.map { CText($0) } }
        engine = CText(model.engine.rawValue)
        notes = model.notes.map { CText($0) }
    }
}

@c @implementation public func fne_model_options_init(
    _ options: UnsafeMutablePointer<fne_model_options>?, _ struct_size: UInt64
) {
    initialize(options, fne_model_options(), struct_size)
}

private func translated(
    _ pointer: UnsafePointer<fne_model_options>?
) throws -> (allowsUnsafe: Bool, feeds: [String]) {
    let options = try readOptions(pointer, defaults: fne_model_options(), "options")
    try mustBeZero(options.reserved, "options")
    return (
        try flag(options.allow_unsafe, "allow_unsafe"), try texts(options.feeds, options.feed_count, "options->feeds")
    )
}

@c @implementation public func fne_model_open(
    _ path: UnsafePointer<CChar>?, _ options: UnsafePointer<fne_model_options>?,
    _ model: UnsafeMutablePointer<OpaquePointer?>?
) -> fne_status {
    status {
        let model = try required(model, "model")
        let (allowsUnsafe, feeds) = try translated(options)
        let opened = try Model(file: file(path, "path"), allowUnsafe: allowsUnsafe, feeds: feeds)
        model.pointee = try handle(ModelObject(opened))
    }
}

@c @implementation public func fne_model_open_memory(
    _ bytes: UnsafePointer<UInt8>?, _ size: UInt64, _ options: UnsafePointer<fne_model_options>?,
    _ model: UnsafeMutablePointer<OpaquePointer?>?
) -> fne_status {
    status {
        let model = try required(model, "model")
        let (allowsUnsafe, feeds) = try translated(options)
        let opened = try Model(copying: buffer(bytes, size, "bytes"), allowUnsafe: allowsUnsafe, feeds: feeds)
        model.pointee = try handle(ModelObject(opened))
    }
}

@c @implementation public func fne_model_engine(
    _ model: OpaquePointer?, _ engine: UnsafeMutablePointer<UnsafePointer<CChar>?>?
) -> fne_status {
    status {
        let object: ModelObject = try referenced(model, "model")
        let engine = try required(engine, "engine")
        engine.pointee = object.engine.pointer
    }
}

@c @implementation public func fne_model_sha256(
    _ model: OpaquePointer?, _ digits: UnsafeMutablePointer<CChar>?
) -> fne_status {
    status {
        let object: ModelObject = try referenced(model, "model")
        let digits = try required(digits, "digits")
        for (place, digit) in object.model.checksum.utf8CString.enumerated() { digits[place] = digit }
    }
}

@c @implementation public func fne_model_close(_ model: OpaquePointer?) { close(model, ModelObject.self) }

@c @implementation public func fne_tensor_info_init(
    _ info: UnsafeMutablePointer<fne_tensor_info>?, _ struct_size: UInt64
) {
    initialize(info, fne_tensor_info(), struct_size)
}

@c @implementation public func fne_model_tensor_count(
    _ model: OpaquePointer?, _ count: UnsafeMutablePointer<UInt64>?
) -> fne_status {
    status {
        let object: ModelObject = try referenced(model, "model")
        try required(count, "count").pointee = UInt64(object.model.tensors.count)
    }
}

@c @implementation public func fne_model_tensor_info(
    _ model: OpaquePointer?, _ index: UInt64, _ info: UnsafeMutablePointer<fne_tensor_info>?
) -> fne_status {
    status {
        let object: ModelObject = try referenced(model, "model")
        let info = try required(info, "info")
        let index = try element(index, of: object.model.tensors.count, "tensor")
        let tensor = object.model.tensors[index]
        let value = fne_tensor_info(
            struct_size: 0, name: object.names[index].pointer, operation: object.operations[index].pointer,
            kind: tensor.kind.rawValue, rank: Int32(tensor.rank ?? -1), channels: Int64(tensor.channels ?? -1),
            is_default: tensor.isDefault ? 1 : 0, is_classifier: tensor.isClassifier ? 1 : 0,
            is_classifier_input: tensor.isClassifierInput ? 1 : 0, is_penultimate: tensor.isPenultimate ? 1 : 0,
            module: object.modules[index]?.pointer)
        try fill(info, with: value, "info")
    }
}

@c @implementation public func fne_model_note_count(
    _ model: OpaquePointer?, _ count: UnsafeMutablePointer<UInt64>?
) -> fne_status {
    status {
        let object: ModelObject = try referenced(model, "model")
        try required(count, "count").pointee = UInt64(object.notes.count)
    }
}

@c @implementation public func fne_model_note(
    _ model: OpaquePointer?, _ index: UInt64, _ note: UnsafeMutablePointer<UnsafePointer<CChar>?>?
) -> fne_status {
    status {
        let object: ModelObject = try referenced(model, "model")
        let note = try required(note, "note")
        note.pointee = object.notes[try element(index, of: object.notes.count, "note")].pointer
    }
}

@c @implementation public func fne_model_input_info(
    _ model: OpaquePointer?, _ input_tensor: UnsafePointer<CChar>?, _ info: UnsafeMutablePointer<fne_input_info>?
) -> fne_status {
    status {
        let object: ModelObject = try referenced(model, "model")
        try Reserve.prepare(object.model.structureSize * Model.reservePerByte)
        let input = try object.model.input(named: input_tensor.map { try text($0, "input_tensor") })
        let place = object.model.tensors.firstIndex { $0.name == input.name.text }
        let value = fne_input_info(
            struct_size: 0, name: place.map { object.names[$0].pointer }, height: side(input.height),
            width: side(input.width), batch_size: side(input.batch), rows_per_image: 0, streams: 0,
            channels: side(input.channels), batch_warning: nil, whole_numbers: input.wholeNumbers == nil ? 0 : 1,
            reserved: 0)
        try fill(required(info, "info"), with: value, "info")
    }
}

/// A size as C reads it: 0 where the network leaves it open. Sizes beyond what C can say are as good as the largest,
/// since no image has them.
private func side(_ size: Int?) -> UInt32 { UInt32(clamping: size ?? 0) }

@c @implementation public func fne_model_shapes(
    _ model: OpaquePointer?, _ input_tensor: UnsafePointer<CChar>?, _ height: UInt32, _ width: UInt32,
    _ ranks: UnsafeMutablePointer<Int32>?, _ dimensions: UnsafeMutablePointer<Int64>?, _ capacity: UInt64
) -> fne_status {
    status {
        let object: ModelObject = try referenced(model, "model")
        let (ranks, dimensions) = try (required(ranks, "ranks"), required(dimensions, "dimensions"))
        try needCapacity(capacity, object.model.tensors.count, "ranks and dimensions")
        let shapes = try object.model.shapes(
            input: input_tensor.map { try text($0, "input_tensor") }, height: height == 0 ? nil : Int(height),
            width: width == 0 ? nil : Int(width))
        let most = Int(FNE_SHAPE_RANK)
        for (tensor, shape) in shapes.enumerated() {
            let row = dimensions + tensor * most
            row.update(repeating: 0, count: most)
            ranks[tensor] = -1
            guard let shape, shape.rank <= most else { continue }
            ranks[tensor] = Int32(shape.rank)
            for (axis, size) in shape.dimensions.enumerated() { row[axis] = Int64(size) }
        }
    }
}

@c @implementation public func fne_select_layers(
    _ selectors: UnsafePointer<UnsafePointer<CChar>?>?, _ selector_count: UInt64,
    _ names: UnsafePointer<UnsafePointer<CChar>?>?, _ roles: UnsafePointer<UInt8>?, _ name_count: UInt64,
    _ indices: UnsafeMutablePointer<UInt64>?, _ capacity: UInt64, _ count: UnsafeMutablePointer<UInt64>?
) -> fne_status {
    status {
        let count = try required(count, "count")
        let names = try texts(names, name_count, "names")
        let given = roles.map { roles in names.indices.map { Int32(roles[$0]) } }
        if let wrong = given?.firstIndex(where: { $0 & ~(FNE_ROLE_DEFAULT | FNE_ROLE_PENULTIMATE) != 0 }) {
            throw FNEError(.invalidArgument, "the role of name \(wrong) is \(given?[wrong] ?? 0); it must be 0 to 3")
        }
        func having(_ role: Int32) -> [Bool]? { given?.map { $0 & role != 0 } }
        let chosen = try LayerSelection.indices(
            texts(selectors, selector_count, "selectors"), among: names, isDefault: having(FNE_ROLE_DEFAULT),
            isPenultimate: having(FNE_ROLE_PENULTIMATE))
        try needCapacity(capacity, chosen.count, "indices")
        let indices = try required(indices, "indices")
        for (place, index) in chosen.enumerated() { indices[place] = UInt64(index) }
        count.pointee = UInt64(chosen.count)
    }
}

/// An index that must lie within a table.
func element(_ index: UInt64, of count: Int, _ what: String) throws -> Int {
    guard index < UInt64(count) else {
        throw FNEError(.invalidArgument, "there is no \(what) \(index); the index must be below \(count)")
    }
    return Int(index)
}

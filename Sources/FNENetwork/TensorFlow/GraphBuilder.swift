import CTensorFlow
import FNESupport
import Glibc

/// Adds operations to a TensorFlow graph.
struct GraphBuilder {
    let library: TensorFlowLibrary
    let graph: OpaquePointer
    var usesOwnOperations = false

    // MARK: Parts of the network

    /// Checks that the values of a tensor are numbers that become features.
    ///
    /// - Parameter layer: its name, for the message
    /// - Throws: `.unsupportedTensor`.
    func checkType(_ tensor: TF_Output, layer: String) throws {
        let type = library.api.OperationOutputType(tensor)
        guard type == CTF_FLOAT || type == CTF_BFLOAT16 else {
            throw FNEError(.unsupportedTensor, "the tensor '\(layer)' is not float32. Name a float32 tensor")
        }
    }

    /// Adds the pooling of a layer, which `Pooling` describes.
    ///
    /// - Parameter number: the layer's place in the row
    /// - Returns: the tensor [n, features].
    /// - Throws: `.unsupportedTensor`.
    func pooled(_ tensor: TF_Output, _ pooling: Pooling, number: Int) throws -> TF_Output {
        try checkType(tensor, layer: pooling.layer)
        let name = "fne/pool\(number)"
        let shape = pooling.shape
        var tensor = tensor
        if pooling.featureAxes > 1 { tensor = try reshaped(tensor, [-1] + shape.dropFirst(), name + "/flat") }
        if shape.count > 2 {
            tensor = pooling.isTokens ? try tokens(tensor, pooling, name) : try mean(tensor, rank: shape.count, name)
        }
        if pooling.rows > 1 {
            let rows = try reshaped(tensor, [-1, pooling.rows, pooling.channels], name + "/rows")
            let isTokens = shape.count == 2
            tensor = isTokens ? try tokens(rows, pooling, name + "/image") : try mean(rows, rank: 3, name + "/image")
        }
        return try asFloat(tensor, name + "/float32")
    }

    /// The features of a tensor [n, tokens, C].
    private func tokens(_ tensor: TF_Output, _ pooling: Pooling, _ name: String) throws -> TF_Output {
        switch pooling.tokens.pooling {
        case .mean: try mean(tensor, rank: 3, name)
        case .first: try first(tensor, name)
        case .rest: try mean(rest(tensor, pooling.tokens.prefix, name), rank: 3, name)
        case .firstAndRest:
            try concatenated(
                [first(tensor, name), mean(rest(tensor, pooling.tokens.prefix, name), rank: 3, name)],
                name + "/first_and_rest")
        }
    }

    /// The first token as float32 [n, C].
    private func first(_ tensor: TF_Output, _ name: String) throws -> TF_Output {
        let places = try (constant(0, name: name + "/token"), constant(1, name: name + "/token_axis"))
        let type = library.api.OperationOutputType(tensor)
        let token = try operation("GatherV2", name + "/first", [tensor, places.0, places.1]) {
            library.api.SetAttrType($0, "Tparams", type)
            library.api.SetAttrType($0, "Tindices", Int32(CTF_INT32))
            library.api.SetAttrType($0, "Taxis", Int32(CTF_INT32))
        }
        return try asFloat(token, name + "/first/float32")
    }

    /// The tokens after the first few.
    private func rest(_ tensor: TF_Output, _ prefix: Int, _ name: String) throws -> TF_Output {
        let begin = try constant([0, Int32(clamping: prefix), 0], name: name + "/begin")
        let size = try constant([-1, -1, -1], name: name + "/size")
        let type = library.api.OperationOutputType(tensor)
        return try operation("Slice", name + "/rest", [tensor, begin, size]) {
            library.api.SetAttrType($0, "T", type)
            library.api.SetAttrType($0, "Index", Int32(CTF_INT32))
        }
    }

    /// The mean over all axes but the first and the last, float32 [n, C].
    ///
    /// - Parameter rank: at least 3
    private func mean(_ tensor: TF_Output, rank: Int, _ name: String) throws -> TF_Output {
        let type = library.api.OperationOutputType(tensor)
        if usesOwnOperations, rank <= 4 {
            let map = rank == 4 ? tensor : try expanded(tensor, name + "/map")
            return try operation("FneMapMean", name, [map]) { library.api.SetAttrType($0, "T", type) }
        }
        let map = try asFloat(tensor, name + "/mean/float32")
        let axes = try constant((1..<Int32(clamping: rank - 1)).map { $0 }, name: name + "/axes")
        return try operation("Mean", name, [map, axes]) { setFloat($0, "T") }
    }

    /// A tensor [n, tokens, C] as a map [n, 1, tokens, C].
    private func expanded(_ tensor: TF_Output, _ name: String) throws -> TF_Output {
        let axis = try constant(1, name: name + "/axis")
        let type = library.api.OperationOutputType(tensor)
        return try operation("ExpandDims", name, [tensor, axis]) { library.api.SetAttrType($0, "T", type) }
    }

    private func reshaped(_ tensor: TF_Output, _ shape: [Int], _ name: String) throws -> TF_Output {
        let shape = try constant(shape.map { Int32(clamping: $0) }, name: name + "/shape")
        let type = library.api.OperationOutputType(tensor)
        return try operation("Reshape", name, [tensor, shape]) { library.api.SetAttrType($0, "T", type) }
    }

    /// Adds the shape of a tensor, int32 [rank].
    func shape(of tensor: TF_Output, _ name: String) throws -> TF_Output {
        let type = library.api.OperationOutputType(tensor)
        return try operation("Shape", name, [tensor]) { library.api.SetAttrType($0, "T", type) }
    }

    /// Adds the difference a - b of [n, C] and [C].
    func difference(_ a: TF_Output, _ b: TF_Output, _ name: String) throws -> TF_Output {
        try operation("Sub", name, [a, b]) { setFloat($0, "T") }
    }

    private func asFloat(_ tensor: TF_Output, _ name: String) throws -> TF_Output {
        let type = library.api.OperationOutputType(tensor)
        guard type != CTF_FLOAT else { return tensor }
        return try operation("Cast", name, [tensor]) {
            library.api.SetAttrType($0, "SrcT", type)
            library.api.SetAttrType($0, "DstT", Int32(CTF_FLOAT))
        }
    }

    /// Joins the layers' tensors [n, C] into the rows [n, F].
    func concatenated(_ parts: [TF_Output], _ name: String = "fne/features") throws -> TF_Output {
        if parts.count == 1, let only = parts.first { // the layer may be the fed input, which cannot be fetched
            return try operation("Identity", name, [only]) { setFloat($0, "T") }
        }
        let axis = try constant(1, name: name + "/axis")
        return try operation("ConcatV2", name) { description in
            library.api.AddInputList(description, parts, Int32(parts.count))
            library.api.AddInput(description, axis)
            setFloat(description, "T")
        }
    }

    func placeholder(_ name: String, shape: [Int64]) throws -> TF_Output {
        try operation("Placeholder", name) { description in
            setFloat(description, "dtype")
            library.api.SetAttrShape(description, "shape", shape, Int32(shape.count))
        }
    }

    /// A tensor of the imported graph.
    ///
    /// - Throws: `.unknownTensor`.
    func output(_ name: TensorName, prefix: String) throws -> TF_Output {
        guard let found = library.api.GraphOperationByName(graph, prefix + "/" + name.node) else {
            throw FNEError(.unknownTensor, "the graph has no tensor '\(name.text)'")
        }
        let count = Int(library.api.OperationNumOutputs(found))
        guard name.output < count else {
            throw FNEError(
                .unknownTensor, "the operation '\(name.node)' has \(count) outputs; there is no '\(name.text)'")
        }
        return TF_Output(oper: found, index: Int32(name.output))
    }

    // MARK: Operations

    private func setFloat(_ description: OpaquePointer, _ attribute: String) {
        library.api.SetAttrType(description, attribute, Int32(CTF_FLOAT))
    }

    private func operation(
        _ kind: String, _ name: String, _ inputs: [TF_Output] = [], _ attributes: (OpaquePointer) throws -> Void
    ) throws -> TF_Output {
        guard let description = library.api.NewOperation(graph, kind, name) else {
            throw FNEError(.outOfMemory, "TensorFlow gave no operation")
        }
        for input in inputs { library.api.AddInput(description, input) }
        try attributes(description)
        let made = try library.checked("adding \(name)") { library.api.FinishOperation(description, $0) }
        guard let made else { throw FNEError(.backendError, "TensorFlow added no operation for \(name)") }
        return TF_Output(oper: made, index: 0)
    }

    /// Adds a constant vector of int32.
    private func constant(_ values: [Int32], name: String) throws -> TF_Output {
        try constant(values, shape: [Int64(values.count)], name: name)
    }

    /// Adds a constant scalar int32.
    private func constant(_ value: Int32, name: String) throws -> TF_Output {
        try constant([value], shape: [], name: name)
    }

    private func constant(_ values: [Int32], shape: [Int64], name: String) throws -> TF_Output {
        let size = values.count * MemoryLayout<Int32>.size
        guard let tensor = library.api.AllocateTensor(Int32(CTF_INT32), shape, Int32(shape.count), size),
            let memory = library.api.TensorData(tensor)
        else { throw FNEError(.outOfMemory, "TensorFlow gave no tensor") }
        defer { library.api.DeleteTensor(tensor) }
        values.withUnsafeBytes { bytes in
            if let start = bytes.baseAddress { memcpy(memory, start, size) }
        }
        return try operation("Const", name) { description in
            library.api.SetAttrType(description, "dtype", Int32(CTF_INT32))
            try library.checked("adding \(name)") { library.api.SetAttrTensor(description, "value", tensor, $0) }
        }
    }
}

import CTensorFlow
import FNESupport

/// The pooling of layers.
extension GraphBuilder {
    /// Checks that the values of a tensor are numbers that become features.
    ///
    /// - Parameter layer: its name, for the message
    /// - Throws: `.unsupportedTensor`.
    func checkType(_ tensor: TF_Output, layer: String) throws {
        let type = dataType(of: tensor)
        guard type.isReal else {
            throw FNEError(
                .unsupportedTensor,
                "the tensor '\(layer)' is \(type). Name a tensor of real numbers, such as a float32 one")
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
        return try cast(tensor, to: .float32, name + "/float32")
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
        return try cast(token, to: .float32, name + "/first/float32")
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
        // Sums are float32. Those of half precision would be too large for their type.
        let values =
            usesOwnOperations && type == CTF_BFLOAT16 ? tensor : try cast(tensor, to: .float32, name + "/mean/float32")
        if usesOwnOperations, rank <= 4 {
            let map = rank == 4 ? values : try expanded(values, name + "/map")
            return try operation("FneMapMean", name, [map]) {
                library.api.SetAttrType($0, "T", library.api.OperationOutputType(map))
            }
        }
        let axes = try constant((1..<Int32(clamping: rank - 1)).map { $0 }, name: name + "/axes")
        return try operation("Mean", name, [values, axes]) { setFloat($0, "T") }
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
}

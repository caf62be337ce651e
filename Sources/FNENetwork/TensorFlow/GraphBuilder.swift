import CTensorFlow
import FNESupport
import Glibc

/// Adds operations to a TensorFlow graph.
struct GraphBuilder {
    let library: TensorFlowLibrary
    let graph: OpaquePointer
    var usesOwnOperations = false

    // MARK: Parts of the network

    /// Adds the difference a - b of [n, C] and [C].
    func difference(_ a: TF_Output, _ b: TF_Output, _ name: String) throws -> TF_Output {
        try operation("Sub", name, [a, b]) { setFloat($0, "T") }
    }

    /// Adds a cast to a type. A tensor of that type stays as it is.
    func cast(_ tensor: TF_Output, to type: DataType, _ name: String) throws -> TF_Output {
        let source = dataType(of: tensor)
        guard source != type else { return tensor }
        return try operation("Cast", name, [tensor]) {
            library.api.SetAttrType($0, "SrcT", Int32(source.rawValue))
            library.api.SetAttrType($0, "DstT", Int32(type.rawValue))
        }
    }

    func dataType(of tensor: TF_Output) -> DataType {
        DataType(number: Int(library.api.OperationOutputType(tensor)))
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

    /// Adds a value that is repeated for each row of a batch: [n] + its shape.
    func repeated(_ value: GraphSimplification.PerImage, rowsOf batch: TF_Output, _ name: String) throws -> TF_Output {
        let one = try constant(value.content, of: Int32(value.type.rawValue), value.shape, name: name + "/value")
        let sizes = try operation("Shape", name + "/sizes", [batch]) { _ in }
        let (zero, first) = (try constant([0], name: name + "/zero"), try constant([1], name: name + "/one"))
        let rows = try operation("Slice", name + "/rows", [sizes, zero, first]) { _ in }
        let inner = try constant(value.shape.map { Int32(clamping: $0) }, name: name + "/inner")
        let axis = try constant(0, name: name + "/axis")
        let shape = try operation("ConcatV2", name + "/shape") { description in
            library.api.AddInputList(description, [rows, inner], 2)
            library.api.AddInput(description, axis)
        }
        return try operation("BroadcastTo", name, [one, shape]) { _ in }
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

    func setFloat(_ description: OpaquePointer, _ attribute: String) {
        library.api.SetAttrType(description, attribute, Int32(CTF_FLOAT))
    }

    func operation(
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
    func constant(_ values: [Int32], name: String) throws -> TF_Output {
        try constant(values, shape: [Int64(values.count)], name: name)
    }

    /// Adds a constant scalar int32.
    func constant(_ value: Int32, name: String) throws -> TF_Output {
        try constant([value], shape: [], name: name)
    }

    private func constant(_ values: [Int32], shape: [Int64], name: String) throws -> TF_Output {
        try constant(
            values.withUnsafeBytes(Array.init), of: Int32(CTF_INT32), shape.map { Int(clamping: $0) }, name: name)
    }

    /// Adds a constant of little-endian numbers.
    private func constant(_ content: [UInt8], of type: Int32, _ shape: [Int], name: String) throws -> TF_Output {
        let sizes = shape.map(Int64.init)
        guard let tensor = library.api.AllocateTensor(type, sizes, Int32(shape.count), content.count),
            let memory = library.api.TensorData(tensor)
        else { throw FNEError(.outOfMemory, "TensorFlow gave no tensor") }
        defer { library.api.DeleteTensor(tensor) }
        content.withUnsafeBytes { bytes in
            if let start = bytes.baseAddress { memcpy(memory, start, bytes.count) }
        }
        return try operation("Const", name) { description in
            library.api.SetAttrType(description, "dtype", type)
            try library.checked("adding \(name)") { library.api.SetAttrTensor(description, "value", tensor, $0) }
        }
    }
}

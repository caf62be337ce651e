extension Operation {
    /// The number of an output that a function's body names. There an input is "node:values:0", by the name of one of
    /// the outputs of the node's operation.
    ///
    /// - Parameters:
    ///   - operation: the name of the operation
    ///   - output: the name of the output, such as "values"
    ///   - place: its number among the tensors of that name
    /// - Returns: nil where the operation is not known, or has no such output.
    static func output(of operation: String, named output: String, _ place: Int) -> Int? {
        guard let names = severalOutputs[operation] else { return named(operation).traits.isEmpty ? nil : place }
        return place == 0 ? names.firstIndex(of: output) : nil
    }

    /// The names of the outputs of operations that have several. All others have one, which may be a list. Outputs of
    /// which each is a list have no names here.
    private static let severalOutputs: [String: [String]] = [
        "CombinedNonMaxSuppression": ["nmsed_boxes", "nmsed_scores", "nmsed_classes", "valid_detections"],
        "Eig": ["e", "v"],
        "FusedBatchNorm": ["y", "batch_mean", "batch_variance", "reserve_space_1", "reserve_space_2"],
        "FusedBatchNormV2": ["y", "batch_mean", "batch_variance", "reserve_space_1", "reserve_space_2"],
        "FusedBatchNormV3": [
            "y", "batch_mean", "batch_variance", "reserve_space_1", "reserve_space_2", "reserve_space_3",
        ],
        "ListDiff": ["out", "idx"],
        "LogMatrixDeterminant": ["sign", "log_abs_determinant"],
        "Lu": ["lu", "p"],
        "MaxPoolWithArgmax": ["output", "argmax"],
        "Merge": ["output", "value_index"],
        "NonMaxSuppressionV4": ["selected_indices", "valid_outputs"],
        "NonMaxSuppressionV5": ["selected_indices", "selected_scores", "valid_outputs"],
        "Qr": ["q", "r"],
        "SelfAdjointEigV2": ["e", "v"],
        "SoftmaxCrossEntropyWithLogits": ["loss", "backprop"],
        "SparseAdd": ["sum_indices", "sum_values", "sum_shape"],
        "SparseConcat": ["output_indices", "output_values", "output_shape"],
        "SparseReduceMaxSparse": ["output_indices", "output_values", "output_shape"],
        "SparseReduceSumSparse": ["output_indices", "output_values", "output_shape"],
        "SparseFillEmptyRows": ["output_indices", "output_values", "empty_row_indicator", "reverse_index_map"],
        "SparseReorder": ["output_indices", "output_values"],
        "SparseReshape": ["output_indices", "output_shape"],
        "SparseSlice": ["output_indices", "output_values", "output_shape"],
        "SparseSoftmaxCrossEntropyWithLogits": ["loss", "backprop"],
        "SparseSparseMaximum": ["output_indices", "output_values"],
        "SparseSparseMinimum": ["output_indices", "output_values"],
        "SparseSplit": [],
        "StatelessRandomGetKeyCounter": ["key", "counter"],
        "StatelessRandomGetKeyCounterAlg": ["key", "counter", "alg"],
        "Svd": ["s", "u", "v"],
        "Switch": ["output_false", "output_true"],
        "TensorArrayConcatV3": ["value", "lengths"],
        "TensorArrayV3": ["handle", "flow"],
        "TensorListConcat": ["tensor", "lengths"],
        "TensorListConcatV2": ["tensor", "lengths"],
        "TensorListPopBack": ["output_handle", "tensor"],
        "TopK": ["values", "indices"],
        "TopKV2": ["values", "indices"],
        "Unique": ["y", "idx"],
        "UniqueV2": ["y", "idx"],
        "UniqueWithCounts": ["y", "idx", "count"],
        "UniqueWithCountsV2": ["y", "idx", "count"],
    ]
}

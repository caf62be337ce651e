#include "CTensorFlowOperations.h"

#include "CKernels.h"
#include "tensorflow_api.h"

#include <stdio.h>
#include <stdlib.h>

// ---- kernels

static void map_mean(void *kernel, TF_OpKernelContext *context) {
    (void)kernel;
    run run;
    if (begin(&run, context, 0) == 0) {
        const int64_t *d = run.dims;
        const int64_t shape[2] = {d[0], d[3]};
        if (run.rank != 4 || d[1] < 1 || d[2] < 1 || d[3] < 1) {
            fails(&run, INVALID_ARGUMENT, "a map must be [n, height, width, channels] with at least one position");
        } else if (allocate(&run, context, FLOAT, shape, 2) == 0) {
            const void *maps = tf.TensorData(run.input);
            float *mean = tf.TensorData(run.output);
            size_t n = (size_t)d[0], height = (size_t)d[1], width = (size_t)d[2], channels = (size_t)d[3];
            int failed = run.type == FLOAT ? ck_map_mean(maps, n, height, width, channels, mean)
                                           : ck_map_mean_bf16(maps, n, height, width, channels, mean);
            if (failed) fails(&run, RESOURCE_EXHAUSTED, "out of memory");
        }
    }
    finish(&run, context);
}

static void *create_lrn(TF_OpKernelConstruction *construction) {
    TF_Status *status = tf.NewStatus();
    ck_lrn *options = new_options(sizeof *options, status);
    int64_t radius = 0;
    if (options != NULL) {
        tf.OpKernelConstruction_GetAttrInt64(construction, "depth_radius", &radius, status);
        if (tf.GetCode(status) == OK)
            tf.OpKernelConstruction_GetAttrFloat(construction, "bias", &options->bias, status);
        if (tf.GetCode(status) == OK)
            tf.OpKernelConstruction_GetAttrFloat(construction, "alpha", &options->alpha, status);
        if (tf.GetCode(status) == OK)
            tf.OpKernelConstruction_GetAttrFloat(construction, "beta", &options->beta, status);
        if (tf.GetCode(status) == OK && (radius < 0 || radius > 65536)) {
            tf.SetStatus(status, INVALID_ARGUMENT, "depth_radius is out of range");
        }
        options->radius = (size_t)radius;
    }
    if (tf.GetCode(status) != OK) tf.OpKernelConstruction_Failure(construction, status);
    tf.DeleteStatus(status);
    return options;
}

static void lrn(void *kernel, TF_OpKernelContext *context) {
    run run;
    if (begin(&run, context, 0) == 0 && run.rank < 1) fails(&run, INVALID_ARGUMENT, "the input has no channels");
    if (tf.GetCode(run.status) == OK && allocate(&run, context, run.type, run.dims, run.rank) == 0) {
        size_t positions = 1, channels = (size_t)run.dims[run.rank - 1];
        for (int i = 0; i + 1 < run.rank; ++i) positions *= (size_t)run.dims[i];
        const void *x = tf.TensorData(run.input);
        void *y = tf.TensorData(run.output);
        int failed = run.type == FLOAT ? ck_lrn_f32(x, positions, channels, kernel, y)
                                       : ck_lrn_bf16(x, positions, channels, kernel, y);
        if (failed) fails(&run, RESOURCE_EXHAUSTED, "out of memory");
    }
    finish(&run, context);
}

// For each axis of the result, the distance of neighbours in a tensor that is broadcast to the result.
static void strides_in(const run *run, int rank, int64_t *strides) {
    int64_t stride = 1;
    for (int i = rank - 1, k = run->rank - 1; i >= 0; --i, --k) {
        strides[i] = k < 0 || run->dims[k] == 1 ? 0 : stride;
        if (k >= 0) stride *= run->dims[k];
    }
}

// Adds row by row along the result's last axis. An operand that is repeated along it is first written out.
static void add_broadcast(const run *a, const run *b, int relu, const int64_t *shape, int rank, uint16_t *y,
                          uint16_t *spread) {
    int64_t steps[2][MAX_RANK], rows = 1, row[MAX_RANK] = {0};
    const size_t count = (size_t)shape[rank - 1];
    const uint16_t *values[2] = {tf.TensorData(a->input), tf.TensorData(b->input)};
    strides_in(a, rank, steps[0]);
    strides_in(b, rank, steps[1]);
    for (int i = 0; i + 1 < rank; ++i) rows *= shape[i];
    for (int64_t r = 0; r < rows; ++r, y += count) {
        const uint16_t *operand[2];
        for (int side = 0; side < 2; ++side) {
            operand[side] = values[side];
            for (int i = 0; i + 1 < rank; ++i) operand[side] += row[i] * steps[side][i];
            if (steps[side][rank - 1] == 0) {
                uint16_t *place = spread + (size_t)side * count;
                for (size_t k = 0; k < count; ++k) place[k] = *operand[side];
                operand[side] = place;
            }
        }
        ck_add_bf16(operand[0], operand[1], count, relu, y);
        for (int i = rank - 2; i >= 0 && ++row[i] == shape[i]; --i) row[i] = 0;
    }
}

static void *create_add(TF_OpKernelConstruction *construction) {
    TF_Status *status = tf.NewStatus();
    unsigned char *relu = new_options(sizeof *relu, status);
    if (relu != NULL) tf.OpKernelConstruction_GetAttrBool(construction, "relu", relu, status);
    if (tf.GetCode(status) != OK) tf.OpKernelConstruction_Failure(construction, status);
    tf.DeleteStatus(status);
    return relu;
}

static void add(void *kernel, TF_OpKernelContext *context) {
    run a, b;
    int64_t shape[MAX_RANK];
    const int relu = *(unsigned char *)kernel;
    if (begin(&a, context, 0) != 0) return finish(&a, context);
    if (begin(&b, context, 1) == 0) {
        const int rank = a.rank > b.rank ? a.rank : b.rank;
        int same = a.rank == b.rank, fits = 1;
        size_t count = 1;
        for (int i = 1; i <= rank; ++i) {
            const int64_t left = i <= a.rank ? a.dims[a.rank - i] : 1, right = i <= b.rank ? b.dims[b.rank - i] : 1;
            same &= left == right;
            fits &= left == right || left == 1 || right == 1;
            shape[rank - i] = left == 1 ? right : left;
            count *= (size_t)shape[rank - i];
        }
        if (!fits) {
            fails(&b, INVALID_ARGUMENT, "the shapes of the two summands do not fit each other");
        } else if (allocate(&b, context, BFLOAT16, shape, rank) == 0 && count > 0) {
            uint16_t *y = tf.TensorData(b.output);
            if (same) {
                ck_add_bf16(tf.TensorData(a.input), tf.TensorData(b.input), count, relu, y);
            } else {
                uint16_t *spread = malloc(2 * (size_t)shape[rank - 1] * sizeof *spread);
                if (spread == NULL) {
                    fails(&b, RESOURCE_EXHAUSTED, "out of memory");
                } else {
                    add_broadcast(&a, &b, relu, shape, rank, y, spread);
                }
                free(spread);
            }
        }
    }
    finish(&b, context);
    finish(&a, context);
}

// ---- shapes

static void same_shape(TF_ShapeInferenceContext *context, TF_Status *status) {
    TF_ShapeHandle *shape = tf.NewShapeHandle();
    tf.ShapeInferenceContextGetInput(context, 0, shape, status);
    if (tf.GetCode(status) == OK) tf.ShapeInferenceContextSetOutput(context, 0, shape, status);
    tf.DeleteShapeHandle(shape);
}

// The shape [n, height, width, channels] becomes [n, channels].
static void mean_shape(TF_ShapeInferenceContext *context, TF_Status *status) {
    TF_ShapeHandle *map = tf.NewShapeHandle(), *n = tf.NewShapeHandle(), *channels = tf.NewShapeHandle();
    tf.ShapeInferenceContextGetInput(context, 0, map, status);
    if (tf.GetCode(status) == OK) tf.ShapeInferenceContextWithRank(context, map, 4, map, status);
    if (tf.GetCode(status) == OK) tf.ShapeInferenceContextSubshape(context, map, 0, 1, n, status);
    if (tf.GetCode(status) == OK) tf.ShapeInferenceContextSubshape(context, map, 3, 4, channels, status);
    if (tf.GetCode(status) == OK) tf.ShapeInferenceContextConcatenateShapes(context, n, channels, n, status);
    if (tf.GetCode(status) == OK) tf.ShapeInferenceContextSetOutput(context, 0, n, status);
    tf.DeleteShapeHandle(map);
    tf.DeleteShapeHandle(n);
    tf.DeleteShapeHandle(channels);
}

static int64_t dimension(TF_ShapeInferenceContext *context, TF_ShapeHandle *shape, int64_t axis) {
    TF_DimensionHandle *handle = tf.NewDimensionHandle();
    tf.ShapeInferenceContextDim(context, shape, axis, handle);
    const int64_t value = tf.DimensionHandleValueKnown(handle) ? tf.DimensionHandleValue(handle) : -1;
    tf.DeleteDimensionHandle(handle);
    return value;
}

// The shape that both summands are broadcast to, as far as it is known.
static void broadcast_shape(TF_ShapeInferenceContext *context, TF_Status *status) {
    TF_ShapeHandle *a = tf.NewShapeHandle(), *b = tf.NewShapeHandle(), *shape = NULL, *axis = tf.NewShapeHandle();
    tf.ShapeInferenceContextGetInput(context, 0, a, status);
    if (tf.GetCode(status) == OK) tf.ShapeInferenceContextGetInput(context, 1, b, status);
    if (tf.GetCode(status) == OK) {
        if (!tf.ShapeInferenceContextRankKnown(context, a) || !tf.ShapeInferenceContextRankKnown(context, b)) {
            tf.ShapeInferenceContextSetUnknownShape(context, status);
        } else {
            const int64_t ranks[2] = {tf.ShapeInferenceContextRank(context, a),
                                      tf.ShapeInferenceContextRank(context, b)};
            shape = tf.ShapeInferenceContextScalar(context);
            for (int64_t k = ranks[0] > ranks[1] ? ranks[0] : ranks[1]; k >= 1 && tf.GetCode(status) == OK; --k) {
                // This is the k-th axis from the end.
                const int64_t i = ranks[0] - k, j = ranks[1] - k;
                const int64_t left = i < 0 ? 1 : dimension(context, a, i), right = j < 0 ? 1 : dimension(context, b, j);
                // An axis of unknown size may be the one that is repeated.
                const int from_b = j >= 0 && (left == 1 || (left < 0 && right > 1));
                tf.ShapeInferenceContextSubshape(context, from_b ? b : a, from_b ? j : i, (from_b ? j : i) + 1, axis,
                                                 status);
                if (tf.GetCode(status) == OK) {
                    tf.ShapeInferenceContextConcatenateShapes(context, shape, axis, shape, status);
                }
            }
            if (tf.GetCode(status) == OK) tf.ShapeInferenceContextSetOutput(context, 0, shape, status);
            tf.DeleteShapeHandle(shape);
        }
    }
    tf.DeleteShapeHandle(a);
    tf.DeleteShapeHandle(b);
    tf.DeleteShapeHandle(axis);
}

// ---- registration

static void destroy_nothing(void *kernel) { (void)kernel; }

// Whether TensorFlow has kernels for an operation.
static int is_registered(const char *operation, TF_Status *status) {
    TF_Buffer *kernels = tf.GetRegisteredKernelsForOp(operation, status);
    int found = tf.GetCode(status) == OK && kernels != NULL && kernels->length > 0;
    if (kernels != NULL) tf.DeleteBuffer(kernels);
    tf.SetStatus(status, OK, "");
    return found;
}

const char *cto_register(void *library) {
    static char problem[256];
    const char *missing = bind_tensorflow(library);
    if (missing != NULL) {
        snprintf(problem, sizeof problem, "TensorFlow has no function %s", missing);
        return problem;
    }
    TF_Status *status = tf.NewStatus();
    // TensorFlow ends the process where a name is registered twice.
    if (is_registered("FneMapMean", status)) {
        int are_all = is_registered("FneLRN", status) && is_registered("FneAdd", status) &&
                      is_registered("FneDepthwiseBlock", status);
        tf.DeleteStatus(status);
        return are_all ? NULL : "another copy of libfne has registered a part of the operations";
    }
    TF_OpDefinitionBuilder *mean = tf.NewOpDefinitionBuilder("FneMapMean");
    tf.OpDefinitionBuilderAddAttr(mean, "T: {float, bfloat16}");
    tf.OpDefinitionBuilderAddInput(mean, "map: T");
    tf.OpDefinitionBuilderAddOutput(mean, "mean: float");
    tf.OpDefinitionBuilderSetShapeInferenceFunction(mean, mean_shape);
    tf.RegisterOpDefinition(mean, status);
    if (tf.GetCode(status) == OK) {
        TF_OpDefinitionBuilder *normalization = tf.NewOpDefinitionBuilder("FneLRN");
        tf.OpDefinitionBuilderAddAttr(normalization, "T: {float, bfloat16} = DT_FLOAT");
        tf.OpDefinitionBuilderAddAttr(normalization, "depth_radius: int = 5");
        tf.OpDefinitionBuilderAddAttr(normalization, "bias: float = 1.0");
        tf.OpDefinitionBuilderAddAttr(normalization, "alpha: float = 1.0");
        tf.OpDefinitionBuilderAddAttr(normalization, "beta: float = 0.5");
        tf.OpDefinitionBuilderAddInput(normalization, "input: T");
        tf.OpDefinitionBuilderAddOutput(normalization, "output: T");
        tf.OpDefinitionBuilderSetShapeInferenceFunction(normalization, same_shape);
        tf.RegisterOpDefinition(normalization, status);
    }
    if (tf.GetCode(status) == OK) {
        TF_OpDefinitionBuilder *sum = tf.NewOpDefinitionBuilder("FneAdd");
        tf.OpDefinitionBuilderAddAttr(sum, "T: {bfloat16}");
        tf.OpDefinitionBuilderAddAttr(sum, "relu: bool = false");
        tf.OpDefinitionBuilderAddInput(sum, "x: T");
        tf.OpDefinitionBuilderAddInput(sum, "y: T");
        tf.OpDefinitionBuilderAddOutput(sum, "z: T");
        tf.OpDefinitionBuilderSetShapeInferenceFunction(sum, broadcast_shape);
        tf.RegisterOpDefinition(sum, status);
    }
    const int types[] = {BFLOAT16, FLOAT};
    register_kernels("FneMapMean", types, 2, NULL, map_mean, destroy_nothing, status);
    register_kernels("FneLRN", types, 2, create_lrn, lrn, free, status);
    register_kernels("FneAdd", types, 1, create_add, add, free, status);
    if (tf.GetCode(status) == OK) register_block(status);
    const char *result = NULL;
    if (tf.GetCode(status) != OK) {
        snprintf(problem, sizeof problem, "%s", tf.Message(status));
        result = problem;
    }
    tf.DeleteStatus(status);
    return result;
}

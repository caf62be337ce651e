// FneDepthwiseBlock, which computes blocks of convolutions without keeping the maps between them.
#include "CKernels.h"
#include "tensorflow_api.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

enum { EXPANSION, DEPTHWISE, PROJECTION, LAYERS };

// The attributes of a block.
typedef struct {
    unsigned char expands;
    unsigned char same; // whether zeros are put around the map as TensorFlow's SAME does
    int64_t stride;
    int64_t padding[4];     // top, bottom, left, right
    int64_t limits[LAYERS]; // of each layer's results: 0 none, 1 at least 0, 2 from 0 to 6
} block_options;

static const struct {
    const char *name;
    size_t offset;
    int64_t most;
} integers[] = {
    {"stride", offsetof(block_options, stride), 2},
    {"top", offsetof(block_options, padding[0]), CK_BLOCK_ZEROS},
    {"bottom", offsetof(block_options, padding[1]), CK_BLOCK_ZEROS},
    {"left", offsetof(block_options, padding[2]), CK_BLOCK_ZEROS},
    {"right", offsetof(block_options, padding[3]), CK_BLOCK_ZEROS},
    {"expansion_limit", offsetof(block_options, limits[EXPANSION]), 2},
    {"depthwise_limit", offsetof(block_options, limits[DEPTHWISE]), 2},
    {"projection_limit", offsetof(block_options, limits[PROJECTION]), 2},
};

enum { INTEGERS = sizeof integers / sizeof *integers };

static void *create_block(TF_OpKernelConstruction *construction) {
    TF_Status *status = tf.NewStatus();
    block_options *options = new_options(sizeof *options, status);
    if (options != NULL) tf.OpKernelConstruction_GetAttrBool(construction, "expands", &options->expands, status);
    if (tf.GetCode(status) == OK) tf.OpKernelConstruction_GetAttrBool(construction, "same", &options->same, status);
    for (int i = 0; options != NULL && i < INTEGERS && tf.GetCode(status) == OK; ++i) {
        int64_t *value = (int64_t *)((char *)options + integers[i].offset);
        tf.OpKernelConstruction_GetAttrInt64(construction, integers[i].name, value, status);
        if (tf.GetCode(status) == OK && (*value < 0 || *value > integers[i].most)) {
            tf.SetStatus(status, INVALID_ARGUMENT, "an attribute of a block is out of range");
        }
    }
    if (options != NULL && tf.GetCode(status) == OK && options->stride < 1) {
        tf.SetStatus(status, INVALID_ARGUMENT, "the stride of a block must be 1 or 2");
    }
    if (tf.GetCode(status) != OK) tf.OpKernelConstruction_Failure(construction, status);
    tf.DeleteStatus(status);
    return options;
}

// The inputs of a block: x, and then the weights and the bias of each layer.
enum { WEIGHTS = 1, INPUTS = WEIGHTS + 2 * LAYERS };

// Whether an input is float, and has a rank and no empty axis after the first.
static int has_rank(const run *run, int rank) {
    for (int i = 1; i < run->rank; ++i) {
        if (run->dims[i] < 1) return 0;
    }
    return run->rank == rank && run->type == FLOAT;
}

static ck_convolution convolution(const run *weights, int64_t limit) {
    return (ck_convolution){
        .weights = tf.TensorData(weights[0].input),
        .bias = tf.TensorData(weights[1].input),
        .low = limit == 0 ? -INFINITY : 0,
        .high = limit == 2 ? 6 : INFINITY,
    };
}

// An axis of a map: the zeros before and after it, and the places that a filter has there, 0 where it does not fit.
typedef struct {
    int64_t before;
    int64_t after;
    int64_t places;
} axis;

static axis axis_of(const block_options *options, int64_t size, const int64_t padding[2], int64_t side) {
    axis result = {padding[0], padding[1], 0};
    if (options->same) {
        // There are ceil(size / stride) places, and an odd zero is at the end.
        const int64_t covered = ((size + options->stride - 1) / options->stride - 1) * options->stride + side;
        const int64_t zeros = covered > size ? covered - size : 0;
        result = (axis){zeros / 2, zeros - zeros / 2, 0};
    }
    const int64_t padded = size + result.before + result.after;
    if (padded >= side) result.places = (padded - side) / options->stride + 1;
    return result;
}

// Whether the numbers of a block can be counted. Its maps and its scratch memory have a few times as many as these.
static int is_countable(const int64_t *x, int64_t channels, int64_t outputs) {
    return (double)(x[0] + 1) * (double)(x[1] + 256) * (double)(x[2] + 256) * (double)(channels + outputs + 64) < 1e15;
}

// Describes the block that the inputs make. Returns NULL, or what does not fit.
static const char *describe(const block_options *options, const run *in, ck_block *block) {
    const run *expansion = in + WEIGHTS, *depthwise = expansion + 2, *projection = depthwise + 2;
    if (!has_rank(in, 4)) return "x must be float [n, height, width, channels]";
    for (int i = WEIGHTS; i < INPUTS; i += 2) {
        if (i == WEIGHTS && !options->expands) continue;
        if (!has_rank(in + i, 4) || !has_rank(in + i + 1, 1)) return "weights have four axes, and a bias has one";
    }
    const int64_t *x = in->dims, *taps = depthwise->dims, *last = projection->dims, channels = taps[2];
    if (taps[0] != taps[1] || (taps[0] != 3 && taps[0] != CK_BLOCK_SIDE) || taps[3] != 1 ||
        channels % CK_BLOCK_UNIT != 0 || depthwise[1].dims[0] != channels)
        return "the depthwise weights are not [3 or 5, the same, channels, 1]";
    if (last[0] != 1 || last[1] != 1 || last[2] != channels || projection[1].dims[0] != last[3])
        return "the projection's weights are not [1, 1, channels, outputs]";
    if (options->expands && (expansion->dims[0] != 1 || expansion->dims[1] != 1 || expansion->dims[2] != x[3] ||
                             expansion->dims[3] != channels || expansion[1].dims[0] != channels))
        return "the expansion's weights are not [1, 1, inputs, channels]";
    if (!options->expands && x[3] != channels) return "the depthwise convolution has other channels than x";
    const axis rows = axis_of(options, x[1], options->padding, taps[0]);
    const axis columns = axis_of(options, x[2], options->padding + 2, taps[0]);
    if (rows.places < 1 || columns.places < 1) return "the filter is larger than the map";
    if (!is_countable(x, channels, last[3])) return "the map is too large";
    *block = (ck_block){
        .height = (size_t)x[1],
        .width = (size_t)x[2],
        .inputs = (size_t)x[3],
        .channels = (size_t)channels,
        .outputs = (size_t)last[3],
        .side = (size_t)taps[0],
        .stride = (size_t)options->stride,
        .top = (size_t)rows.before,
        .left = (size_t)columns.before,
        .right = (size_t)columns.after,
        .new_height = (size_t)rows.places,
        .new_width = (size_t)columns.places,
        .depthwise = convolution(depthwise, options->limits[DEPTHWISE]),
        .projection = convolution(projection, options->limits[PROJECTION]),
    };
    if (options->expands) block->expansion = convolution(expansion, options->limits[EXPANSION]);
    return NULL;
}

// Allocates the map and the means. Returns 1 where that fails.
static int allocate_outputs(TF_OpKernelContext *context, run *in, const ck_block *block, TF_Tensor *outputs[]) {
    const int64_t n = in->dims[0];
    const int64_t shapes[1 + LAYERS][4] = {
        {n, (int64_t)block->new_height, (int64_t)block->new_width, (int64_t)block->outputs},
        {n, (int64_t)block->channels},
        {n, (int64_t)block->channels},
        {n, (int64_t)block->outputs},
    };
    for (int i = 0; i <= LAYERS; ++i) {
        const int rank = i == 0 ? 4 : 2;
        size_t bytes = sizeof(float);
        for (int k = 0; k < rank; ++k) bytes *= (size_t)shapes[i][k];
        outputs[i] = tf.AllocateOutput(context, i, FLOAT, shapes[i], rank, bytes, in->status);
        if (tf.GetCode(in->status) != OK) return 1;
    }
    return 0;
}

static void compute(const block_options *options, TF_OpKernelContext *context, run *in) {
    ck_block block;
    TF_Tensor *outputs[1 + LAYERS] = {NULL};
    const char *problem = ck_has_blocks() ? describe(options, in, &block) : "the processor has no AVX2 and FMA";
    if (problem != NULL) {
        fails(in, INVALID_ARGUMENT, problem);
    } else if (allocate_outputs(context, in, &block, outputs) == 0) {
        float *means[LAYERS];
        for (int i = 0; i < LAYERS; ++i) means[i] = tf.TensorData(outputs[i + 1]);
        if (ck_run_block(&block, tf.TensorData(in->input), (size_t)in->dims[0], tf.TensorData(outputs[0]), means)) {
            fails(in, RESOURCE_EXHAUSTED, "out of memory");
        }
    }
    for (int i = 0; i <= LAYERS; ++i) {
        if (outputs[i] != NULL) tf.DeleteTensor(outputs[i]);
    }
}

static void depthwise_block(void *kernel, TF_OpKernelContext *context) {
    run in[INPUTS];
    int begun = 0, failed = 0;
    for (; begun < INPUTS && !failed; ++begun) failed = begin(&in[begun], context, begun);
    if (!failed) compute(kernel, context, in);
    while (begun > 0) finish(&in[--begun], context);
}

// The sizes of the map depend on attributes, which TensorFlow's C API does not tell here.
static void unknown_shapes(TF_ShapeInferenceContext *context, TF_Status *status) {
    tf.ShapeInferenceContextSetUnknownShape(context, status);
}

void register_block(TF_Status *status) {
    TF_OpDefinitionBuilder *block = tf.NewOpDefinitionBuilder("FneDepthwiseBlock");
    tf.OpDefinitionBuilderAddAttr(block, "T: {float} = DT_FLOAT");
    tf.OpDefinitionBuilderAddAttr(block, "expands: bool");
    tf.OpDefinitionBuilderAddAttr(block, "same: bool = false");
    for (int i = 0; i < INTEGERS; ++i) {
        char text[64];
        snprintf(text, sizeof text, "%s: int = 0", integers[i].name);
        tf.OpDefinitionBuilderAddAttr(block, text);
    }
    static const char *const inputs[INPUTS] = {
        "x: T",          "expansion: T",       "expansion_bias: T", "depthwise: T", "depthwise_bias: T",
        "projection: T", "projection_bias: T",
    };
    static const char *const outputs[1 + LAYERS] = {
        "map: T",
        "expansion_mean: T",
        "depthwise_mean: T",
        "projection_mean: T",
    };
    for (int i = 0; i < INPUTS; ++i) tf.OpDefinitionBuilderAddInput(block, inputs[i]);
    for (int i = 0; i <= LAYERS; ++i) tf.OpDefinitionBuilderAddOutput(block, outputs[i]);
    tf.OpDefinitionBuilderSetShapeInferenceFunction(block, unknown_shapes);
    tf.RegisterOpDefinition(block, status);
    const int type = FLOAT;
    register_kernels("FneDepthwiseBlock", &type, 1, create_block, depthwise_block, free, status);
}

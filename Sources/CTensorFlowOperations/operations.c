#define _GNU_SOURCE
#include "CTensorFlowOperations.h"

#include "CKernels.h"

#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct TF_Status TF_Status;
typedef struct TF_Tensor TF_Tensor;
typedef struct TF_OpDefinitionBuilder TF_OpDefinitionBuilder;
typedef struct TF_ShapeInferenceContext TF_ShapeInferenceContext;
typedef struct TF_ShapeHandle TF_ShapeHandle;
typedef struct TF_DimensionHandle TF_DimensionHandle;
typedef struct TF_KernelBuilder TF_KernelBuilder;
typedef struct TF_OpKernelConstruction TF_OpKernelConstruction;
typedef struct TF_OpKernelContext TF_OpKernelContext;

enum { FLOAT = 1, BFLOAT16 = 14 };                                // TF_DataType
enum { OK = 0, INVALID_ARGUMENT = 3, RESOURCE_EXHAUSTED = 8 };    // TF_Code

static struct {
    TF_Status *(*NewStatus)(void);
    void (*DeleteStatus)(TF_Status *);
    void (*SetStatus)(TF_Status *, int code, const char *message);
    int (*GetCode)(const TF_Status *);
    const char *(*Message)(const TF_Status *);
    void *(*TensorData)(const TF_Tensor *);
    int (*NumDims)(const TF_Tensor *);
    int64_t (*Dim)(const TF_Tensor *, int);
    int (*TensorType)(const TF_Tensor *);
    void (*DeleteTensor)(TF_Tensor *);

    TF_OpDefinitionBuilder *(*NewOpDefinitionBuilder)(const char *name);
    void (*OpDefinitionBuilderAddInput)(TF_OpDefinitionBuilder *, const char *);
    void (*OpDefinitionBuilderAddOutput)(TF_OpDefinitionBuilder *, const char *);
    void (*OpDefinitionBuilderAddAttr)(TF_OpDefinitionBuilder *, const char *);
    void (*OpDefinitionBuilderSetShapeInferenceFunction)(TF_OpDefinitionBuilder *,
                                                         void (*)(TF_ShapeInferenceContext *, TF_Status *));
    void (*RegisterOpDefinition)(TF_OpDefinitionBuilder *, TF_Status *);

    TF_ShapeHandle *(*NewShapeHandle)(void);
    void (*DeleteShapeHandle)(TF_ShapeHandle *);
    void (*ShapeInferenceContextGetInput)(TF_ShapeInferenceContext *, int, TF_ShapeHandle *, TF_Status *);
    void (*ShapeInferenceContextSetOutput)(TF_ShapeInferenceContext *, int, TF_ShapeHandle *, TF_Status *);
    void (*ShapeInferenceContextWithRank)(TF_ShapeInferenceContext *, TF_ShapeHandle *, int64_t rank,
                                          TF_ShapeHandle *result, TF_Status *);
    void (*ShapeInferenceContextSubshape)(TF_ShapeInferenceContext *, TF_ShapeHandle *, int64_t start, int64_t end,
                                          TF_ShapeHandle *result, TF_Status *);
    void (*ShapeInferenceContextConcatenateShapes)(TF_ShapeInferenceContext *, TF_ShapeHandle *first,
                                                   TF_ShapeHandle *second, TF_ShapeHandle *result, TF_Status *);

    TF_KernelBuilder *(*NewKernelBuilder)(const char *op, const char *device, void *(*create)(TF_OpKernelConstruction *),
                                          void (*compute)(void *, TF_OpKernelContext *), void (*destroy)(void *));
    void (*KernelBuilder_TypeConstraint)(TF_KernelBuilder *, const char *attribute, int type, TF_Status *);
    void (*RegisterKernelBuilder)(const char *name, TF_KernelBuilder *, TF_Status *);
    void (*OpKernelConstruction_GetAttrFloat)(TF_OpKernelConstruction *, const char *, float *, TF_Status *);
    void (*OpKernelConstruction_GetAttrInt64)(TF_OpKernelConstruction *, const char *, int64_t *, TF_Status *);
    void (*OpKernelConstruction_Failure)(TF_OpKernelConstruction *, TF_Status *);
    void (*GetInput)(TF_OpKernelContext *, int, TF_Tensor **, TF_Status *);
    TF_Tensor *(*AllocateOutput)(TF_OpKernelContext *, int, int type, const int64_t *dims, int rank, size_t bytes,
                                 TF_Status *);
    void (*OpKernelContext_Failure)(TF_OpKernelContext *, TF_Status *);
} tf;

static const char *bind(void *library) {
#define BIND(member)                                  \
    do {                                              \
        void *symbol = dlsym(library, "TF_" #member); \
        if (symbol == NULL) return "TF_" #member;     \
        memcpy(&tf.member, &symbol, sizeof symbol);   \
    } while (0)
    BIND(NewStatus);
    BIND(DeleteStatus);
    BIND(SetStatus);
    BIND(GetCode);
    BIND(Message);
    BIND(TensorData);
    BIND(NumDims);
    BIND(Dim);
    BIND(TensorType);
    BIND(DeleteTensor);
    BIND(NewOpDefinitionBuilder);
    BIND(OpDefinitionBuilderAddInput);
    BIND(OpDefinitionBuilderAddOutput);
    BIND(OpDefinitionBuilderAddAttr);
    BIND(OpDefinitionBuilderSetShapeInferenceFunction);
    BIND(RegisterOpDefinition);
    BIND(NewShapeHandle);
    BIND(DeleteShapeHandle);
    BIND(ShapeInferenceContextGetInput);
    BIND(ShapeInferenceContextSetOutput);
    BIND(ShapeInferenceContextWithRank);
    BIND(ShapeInferenceContextSubshape);
    BIND(ShapeInferenceContextConcatenateShapes);
    BIND(NewKernelBuilder);
    BIND(KernelBuilder_TypeConstraint);
    BIND(RegisterKernelBuilder);
    BIND(OpKernelConstruction_GetAttrFloat);
    BIND(OpKernelConstruction_GetAttrInt64);
    BIND(OpKernelConstruction_Failure);
    BIND(GetInput);
    BIND(AllocateOutput);
    BIND(OpKernelContext_Failure);
#undef BIND
    return NULL;
}

// ---- kernels

enum { MAX_RANK = 8 };

// What a kernel works on; freed by finish.
typedef struct {
    TF_Status *status;
    TF_Tensor *input;
    TF_Tensor *output;
    int64_t dims[MAX_RANK];
    int rank;
    int type;
} run;

static int fails(run *run, int code, const char *message) {
    tf.SetStatus(run->status, code, message);
    return 1;
}

// The input and its shape. Returns 1 for what the kernels cannot work on.
static int begin(run *run, TF_OpKernelContext *context) {
    memset(run, 0, sizeof *run);
    run->status = tf.NewStatus();
    tf.GetInput(context, 0, &run->input, run->status);
    if (tf.GetCode(run->status) != OK) return 1;
    run->rank = tf.NumDims(run->input);
    run->type = tf.TensorType(run->input);
    if (run->rank < 1 || run->rank > MAX_RANK) return fails(run, INVALID_ARGUMENT, "the input's rank is out of range");
    if (run->type != FLOAT && run->type != BFLOAT16) return fails(run, INVALID_ARGUMENT, "the input is neither float nor bfloat16");
    for (int i = 0; i < run->rank; ++i) run->dims[i] = tf.Dim(run->input, i);
    return 0;
}

static int allocate(run *run, TF_OpKernelContext *context, int type, const int64_t *dims, int rank) {
    size_t count = 1;
    for (int i = 0; i < rank; ++i) count *= (size_t)dims[i];
    run->output = tf.AllocateOutput(context, 0, type, dims, rank, count * (type == FLOAT ? 4 : 2), run->status);
    return tf.GetCode(run->status) != OK;
}

static void finish(run *run, TF_OpKernelContext *context) {
    if (tf.GetCode(run->status) != OK) tf.OpKernelContext_Failure(context, run->status);
    if (run->input != NULL) tf.DeleteTensor(run->input);
    if (run->output != NULL) tf.DeleteTensor(run->output);
    tf.DeleteStatus(run->status);
}

static void map_mean(void *kernel, TF_OpKernelContext *context) {
    (void)kernel;
    run run;
    if (begin(&run, context) == 0) {
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
    ck_lrn *options = calloc(1, sizeof *options);
    TF_Status *status = tf.NewStatus();
    int64_t radius = 0;
    if (options == NULL) {
        tf.SetStatus(status, RESOURCE_EXHAUSTED, "out of memory");
    } else {
        tf.OpKernelConstruction_GetAttrInt64(construction, "depth_radius", &radius, status);
        if (tf.GetCode(status) == OK) tf.OpKernelConstruction_GetAttrFloat(construction, "bias", &options->bias, status);
        if (tf.GetCode(status) == OK) tf.OpKernelConstruction_GetAttrFloat(construction, "alpha", &options->alpha, status);
        if (tf.GetCode(status) == OK) tf.OpKernelConstruction_GetAttrFloat(construction, "beta", &options->beta, status);
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
    if (begin(&run, context) == 0 && allocate(&run, context, run.type, run.dims, run.rank) == 0) {
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

// ---- shapes

static void same_shape(TF_ShapeInferenceContext *context, TF_Status *status) {
    TF_ShapeHandle *shape = tf.NewShapeHandle();
    tf.ShapeInferenceContextGetInput(context, 0, shape, status);
    if (tf.GetCode(status) == OK) tf.ShapeInferenceContextSetOutput(context, 0, shape, status);
    tf.DeleteShapeHandle(shape);
}

// [n, height, width, channels] to [n, channels].
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

// ---- registration

static void register_kernels(const char *name, void *(*create)(TF_OpKernelConstruction *),
                             void (*compute)(void *, TF_OpKernelContext *), void (*destroy)(void *), TF_Status *status) {
    const int types[] = {FLOAT, BFLOAT16};
    for (int i = 0; i < 2 && tf.GetCode(status) == OK; ++i) {
        TF_KernelBuilder *builder = tf.NewKernelBuilder(name, "CPU", create, compute, destroy);
        tf.KernelBuilder_TypeConstraint(builder, "T", types[i], status);
        if (tf.GetCode(status) == OK) tf.RegisterKernelBuilder(name, builder, status);
    }
}

static void destroy_nothing(void *kernel) { (void)kernel; }

const char *cto_register(void *library) {
    static char problem[256];
    const char *missing = bind(library);
    if (missing != NULL) {
        snprintf(problem, sizeof problem, "there is no function %s", missing);
        return problem;
    }
    TF_Status *status = tf.NewStatus();
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
    register_kernels("FneMapMean", NULL, map_mean, destroy_nothing, status);
    register_kernels("FneLRN", create_lrn, lrn, free, status);
    const char *result = NULL;
    if (tf.GetCode(status) != OK) {
        snprintf(problem, sizeof problem, "%s", tf.Message(status));
        result = problem;
    }
    tf.DeleteStatus(status);
    return result;
}

#define _GNU_SOURCE
#include "tensorflow_api.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

tensorflow_functions tf;

const char *bind_tensorflow(void *library) {
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
    BIND(ShapeInferenceContextScalar);
    BIND(ShapeInferenceContextGetInput);
    BIND(ShapeInferenceContextSetOutput);
    BIND(ShapeInferenceContextWithRank);
    BIND(ShapeInferenceContextSubshape);
    BIND(ShapeInferenceContextConcatenateShapes);
    BIND(ShapeInferenceContextRank);
    BIND(ShapeInferenceContextRankKnown);
    BIND(ShapeInferenceContextDim);
    BIND(ShapeInferenceContextSetUnknownShape);
    BIND(NewDimensionHandle);
    BIND(DeleteDimensionHandle);
    BIND(DimensionHandleValueKnown);
    BIND(DimensionHandleValue);
    BIND(NewKernelBuilder);
    BIND(KernelBuilder_TypeConstraint);
    BIND(RegisterKernelBuilder);
    BIND(OpKernelConstruction_GetAttrBool);
    BIND(OpKernelConstruction_GetAttrFloat);
    BIND(OpKernelConstruction_GetAttrInt64);
    BIND(OpKernelConstruction_Failure);
    BIND(GetInput);
    BIND(AllocateOutput);
    BIND(OpKernelContext_Failure);
    BIND(GetRegisteredKernelsForOp);
    BIND(DeleteBuffer);
#undef BIND
    return NULL;
}

int fails(run *run, int code, const char *message) {
    tf.SetStatus(run->status, code, message);
    return 1;
}

int begin(run *run, TF_OpKernelContext *context, int input) {
    memset(run, 0, sizeof *run);
    run->status = tf.NewStatus();
    tf.GetInput(context, input, &run->input, run->status);
    if (tf.GetCode(run->status) != OK) return 1;
    run->rank = tf.NumDims(run->input);
    run->type = tf.TensorType(run->input);
    if (run->rank < 0 || run->rank > MAX_RANK) return fails(run, INVALID_ARGUMENT, "the input has over 8 dimensions");
    if (run->type != FLOAT && run->type != BFLOAT16)
        return fails(run, INVALID_ARGUMENT, "the input is neither float nor bfloat16");
    for (int i = 0; i < run->rank; ++i) run->dims[i] = tf.Dim(run->input, i);
    return 0;
}

int allocate(run *run, TF_OpKernelContext *context, int type, const int64_t *dims, int rank) {
    size_t count = 1;
    for (int i = 0; i < rank; ++i) count *= (size_t)dims[i];
    run->output = tf.AllocateOutput(context, 0, type, dims, rank, count * (type == FLOAT ? 4 : 2), run->status);
    return tf.GetCode(run->status) != OK;
}

void finish(run *run, TF_OpKernelContext *context) {
    if (tf.GetCode(run->status) != OK) tf.OpKernelContext_Failure(context, run->status);
    if (run->input != NULL) tf.DeleteTensor(run->input);
    if (run->output != NULL) tf.DeleteTensor(run->output);
    tf.DeleteStatus(run->status);
}

void *new_options(size_t size, TF_Status *status) {
    void *options = calloc(1, size);
    if (options == NULL) tf.SetStatus(status, RESOURCE_EXHAUSTED, "out of memory");
    return options;
}

void register_kernels(const char *name, const int *types, int count, void *(*create)(TF_OpKernelConstruction *),
                      void (*compute)(void *, TF_OpKernelContext *), void (*destroy)(void *), TF_Status *status) {
    for (int i = 0; i < count && tf.GetCode(status) == OK; ++i) {
        TF_KernelBuilder *builder = tf.NewKernelBuilder(name, "CPU", create, compute, destroy);
        tf.KernelBuilder_TypeConstraint(builder, "T", types[i], status);
        if (tf.GetCode(status) == OK) tf.RegisterKernelBuilder(name, builder, status);
    }
}

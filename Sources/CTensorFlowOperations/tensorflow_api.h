// TensorFlow's C API for kernels, and what libfne's kernels share. Only the files of this room include it.
#ifndef TENSORFLOW_API_H
#define TENSORFLOW_API_H

#include <stddef.h>
#include <stdint.h>

typedef struct TF_Status TF_Status;
typedef struct TF_Tensor TF_Tensor;
typedef struct TF_OpDefinitionBuilder TF_OpDefinitionBuilder;
typedef struct TF_ShapeInferenceContext TF_ShapeInferenceContext;
typedef struct TF_ShapeHandle TF_ShapeHandle;
typedef struct TF_DimensionHandle TF_DimensionHandle;
typedef struct TF_KernelBuilder TF_KernelBuilder;
typedef struct TF_OpKernelConstruction TF_OpKernelConstruction;
typedef struct TF_OpKernelContext TF_OpKernelContext;
typedef struct TF_Buffer {
    const void *data;
    size_t length;
    void (*data_deallocator)(void *data, size_t length);
} TF_Buffer;

enum { FLOAT = 1, BFLOAT16 = 14 };                             // TF_DataType
enum { OK = 0, INVALID_ARGUMENT = 3, RESOURCE_EXHAUSTED = 8 }; // TF_Code

typedef struct {
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
    TF_ShapeHandle *(*ShapeInferenceContextScalar)(TF_ShapeInferenceContext *);
    void (*ShapeInferenceContextGetInput)(TF_ShapeInferenceContext *, int, TF_ShapeHandle *, TF_Status *);
    void (*ShapeInferenceContextSetOutput)(TF_ShapeInferenceContext *, int, TF_ShapeHandle *, TF_Status *);
    void (*ShapeInferenceContextWithRank)(TF_ShapeInferenceContext *, TF_ShapeHandle *, int64_t rank,
                                          TF_ShapeHandle *result, TF_Status *);
    void (*ShapeInferenceContextSubshape)(TF_ShapeInferenceContext *, TF_ShapeHandle *, int64_t start, int64_t end,
                                          TF_ShapeHandle *result, TF_Status *);
    void (*ShapeInferenceContextConcatenateShapes)(TF_ShapeInferenceContext *, TF_ShapeHandle *first,
                                                   TF_ShapeHandle *second, TF_ShapeHandle *result, TF_Status *);
    int64_t (*ShapeInferenceContextRank)(TF_ShapeInferenceContext *, TF_ShapeHandle *);
    int (*ShapeInferenceContextRankKnown)(TF_ShapeInferenceContext *, TF_ShapeHandle *);
    void (*ShapeInferenceContextDim)(TF_ShapeInferenceContext *, TF_ShapeHandle *, int64_t, TF_DimensionHandle *);
    void (*ShapeInferenceContextSetUnknownShape)(TF_ShapeInferenceContext *, TF_Status *);
    TF_DimensionHandle *(*NewDimensionHandle)(void);
    void (*DeleteDimensionHandle)(TF_DimensionHandle *);
    int (*DimensionHandleValueKnown)(TF_DimensionHandle *);
    int64_t (*DimensionHandleValue)(TF_DimensionHandle *);

    TF_KernelBuilder *(*NewKernelBuilder)(const char *op, const char *device,
                                          void *(*create)(TF_OpKernelConstruction *),
                                          void (*compute)(void *, TF_OpKernelContext *), void (*destroy)(void *));
    void (*KernelBuilder_TypeConstraint)(TF_KernelBuilder *, const char *attribute, int type, TF_Status *);
    void (*RegisterKernelBuilder)(const char *name, TF_KernelBuilder *, TF_Status *);
    void (*OpKernelConstruction_GetAttrBool)(TF_OpKernelConstruction *, const char *, unsigned char *, TF_Status *);
    void (*OpKernelConstruction_GetAttrFloat)(TF_OpKernelConstruction *, const char *, float *, TF_Status *);
    void (*OpKernelConstruction_GetAttrInt64)(TF_OpKernelConstruction *, const char *, int64_t *, TF_Status *);
    void (*OpKernelConstruction_Failure)(TF_OpKernelConstruction *, TF_Status *);
    void (*GetInput)(TF_OpKernelContext *, int, TF_Tensor **, TF_Status *);
    TF_Tensor *(*AllocateOutput)(TF_OpKernelContext *, int, int type, const int64_t *dims, int rank, size_t bytes,
                                 TF_Status *);
    void (*OpKernelContext_Failure)(TF_OpKernelContext *, TF_Status *);

    TF_Buffer *(*GetRegisteredKernelsForOp)(const char *op, TF_Status *);
    void (*DeleteBuffer)(TF_Buffer *);
} tensorflow_functions;

// The functions, once bind_tensorflow has found them.
extern tensorflow_functions tf;

// Finds the functions in a library. Returns the name of a missing one, or NULL.
const char *bind_tensorflow(void *library);

// ---- runs of kernels

enum { MAX_RANK = 8 };

// The objects of one run of a kernel. finish frees them.
typedef struct {
    TF_Status *status;
    TF_Tensor *input;
    TF_Tensor *output;
    int64_t dims[MAX_RANK];
    int rank;
    int type;
} run;

// Sets an error. Returns 1.
int fails(run *run, int code, const char *message);

// Gets an input and its shape. Returns 1 for an input that the kernels cannot compute. The run must be finished then,
// too.
int begin(run *run, TF_OpKernelContext *context, int input);

// Allocates the first output. Returns 1 where that fails.
int allocate(run *run, TF_OpKernelContext *context, int type, const int64_t *dims, int rank);

// Tells TensorFlow of an error, and frees the run's objects.
void finish(run *run, TF_OpKernelContext *context);

// The options of a kernel, zeroed, of so many bytes. Returns NULL when memory is short, with an error in the status.
void *new_options(size_t size, TF_Status *status);

// ---- operations

// Registers a kernel for each of some types of the attribute T.
void register_kernels(const char *name, const int *types, int count, void *(*create)(TF_OpKernelConstruction *),
                      void (*compute)(void *, TF_OpKernelContext *), void (*destroy)(void *), TF_Status *status);

// Registers FneDepthwiseBlock.
void register_block(TF_Status *status);

#endif

#include "COnnxRuntimeOperations.h"

#include "CKernels.h"

#include <stdlib.h>

// What ONNX Runtime asks of an operator. Later releases append to this, and read only what its version has. A pointer
// that is NULL stands for what is not offered.
struct OrtCustomOp {
    uint32_t version;
    void *(*CreateKernel)(const OrtCustomOp *, const void *api, const OrtKernelInfo *);
    const char *(*GetName)(const OrtCustomOp *);
    const char *(*GetExecutionProviderType)(const OrtCustomOp *);
    int (*GetInputType)(const OrtCustomOp *, size_t index);
    size_t (*GetInputTypeCount)(const OrtCustomOp *);
    int (*GetOutputType)(const OrtCustomOp *, size_t index);
    size_t (*GetOutputTypeCount)(const OrtCustomOp *);
    void (*KernelCompute)(void *kernel, OrtKernelContext *);
    void (*KernelDestroy)(void *kernel);
    int (*GetInputCharacteristic)(const OrtCustomOp *, size_t index);
    int (*GetOutputCharacteristic)(const OrtCustomOp *, size_t index);
    int (*GetInputMemoryType)(const OrtCustomOp *, size_t index);
    int (*GetVariadicInputMinArity)(const OrtCustomOp *);
    int (*GetVariadicInputHomogeneity)(const OrtCustomOp *);
    int (*GetVariadicOutputMinArity)(const OrtCustomOp *);
    int (*GetVariadicOutputHomogeneity)(const OrtCustomOp *);
    OrtStatus *(*CreateKernelV2)(const OrtCustomOp *, const void *api, const OrtKernelInfo *, void **kernel);
    OrtStatus *(*KernelComputeV2)(void *kernel, OrtKernelContext *);
    OrtStatus *(*InferOutputShapeFn)(const OrtCustomOp *, void *context);
    int (*GetStartVersion)(const OrtCustomOp *);
    int (*GetEndVersion)(const OrtCustomOp *);
    size_t (*GetMayInplace)(int **inputs, int **outputs);
    void (*ReleaseMayInplace)(int *inputs, int *outputs);
    size_t (*GetAliasMap)(int **inputs, int **outputs);
    void (*ReleaseAliasMap)(int *inputs, int *outputs);
};

static cort_api ort;

enum { MAX_RANK = 8, MAX_RADIUS = 65536 };

// ---- what is the same for all operators: one tensor of float32 becomes another

static size_t one(const OrtCustomOp *op) {
    (void)op;
    return 1;
}

static int type_of(const OrtCustomOp *op, size_t index) {
    (void)op;
    (void)index;
    return CORT_FLOAT;
}

// 0 stands for an input that must be there, and for the memory of the CPU.
static int plain(const OrtCustomOp *op, size_t index) {
    (void)op;
    (void)index;
    return 0;
}

static int none(const OrtCustomOp *op) {
    (void)op;
    return 0;
}

static int version(const OrtCustomOp *op) {
    (void)op;
    return CORTO_VERSION;
}

// NULL stands for the CPU.
static const char *provider(const OrtCustomOp *op) {
    (void)op;
    return NULL;
}

static OrtStatus *dims_of(const OrtValue *tensor, int64_t dims[MAX_RANK], size_t *rank) {
    OrtTensorTypeAndShapeInfo *facts;
    OrtStatus *status = ort.GetTensorTypeAndShape(tensor, &facts);
    if (status != NULL) return status;
    status = ort.GetDimensionsCount(facts, rank);
    if (status == NULL && *rank > MAX_RANK)
        status = ort.CreateStatus(CORT_INVALID_ARGUMENT, "the input has over 8 dimensions");
    if (status == NULL) status = ort.GetDimensions(facts, dims, *rank);
    ort.ReleaseTensorTypeAndShapeInfo(facts);
    return status;
}

// ---- FneLRN

static const char *lrn_name(const OrtCustomOp *op) {
    (void)op;
    return "FneLRN";
}

// An attribute; the default where the node has none.
static float real(const OrtKernelInfo *info, const char *name, float value) {
    float found;
    OrtStatus *status = ort.KernelInfoGetAttribute_float(info, name, &found);
    if (status == NULL) return found;
    ort.ReleaseStatus(status);
    return value;
}

static OrtStatus *create_lrn(const OrtCustomOp *op, const void *api, const OrtKernelInfo *info, void **kernel) {
    (void)op;
    (void)api;
    int64_t size;
    OrtStatus *status = ort.KernelInfoGetAttribute_int64(info, "size", &size);
    if (status != NULL) return status;
    if (size < 1 || size % 2 == 0 || size / 2 > MAX_RADIUS)
        return ort.CreateStatus(CORT_INVALID_ARGUMENT, "the size of FneLRN must be odd, and at most 131073");
    ck_lrn *options = malloc(sizeof *options);
    if (options == NULL) return ort.CreateStatus(CORT_FAIL, "std::bad_alloc");
    options->radius = (size_t)(size / 2);
    options->alpha = real(info, "alpha", 0.0001f) / (float)size;
    options->beta = real(info, "beta", 0.75f);
    options->bias = real(info, "bias", 1);
    *kernel = options;
    return NULL;
}

static OrtStatus *lrn(void *kernel, OrtKernelContext *context) {
    const OrtValue *input;
    OrtValue *output;
    void *x, *y;
    int64_t dims[MAX_RANK];
    size_t rank = 0, positions = 1;
    OrtStatus *status = ort.KernelContext_GetInput(context, 0, &input);
    if (status == NULL) status = dims_of(input, dims, &rank);
    if (status == NULL && rank < 3)
        status = ort.CreateStatus(CORT_INVALID_ARGUMENT, "the input of LRN must be [n, channels, ..]");
    // The kernel only reads the input, whose pointer this function alone gives.
    if (status == NULL) status = ort.GetTensorMutableData((OrtValue *)input, &x);
    if (status == NULL) status = ort.KernelContext_GetOutput(context, 0, dims, rank, &output);
    if (status == NULL) status = ort.GetTensorMutableData(output, &y);
    if (status != NULL) return status;
    for (size_t i = 2; i < rank; ++i) positions *= (size_t)dims[i];
    ck_lrn_planes(x, (size_t)dims[0], (size_t)dims[1], positions, kernel, y);
    return NULL;
}

static const OrtCustomOp lrn_operator = {
    .version = CORT_API_VERSION,
    .GetName = lrn_name,
    .GetExecutionProviderType = provider,
    .GetInputType = type_of,
    .GetInputTypeCount = one,
    .GetOutputType = type_of,
    .GetOutputTypeCount = one,
    .KernelDestroy = free,
    .GetInputCharacteristic = plain,
    .GetOutputCharacteristic = plain,
    .GetInputMemoryType = plain,
    .GetVariadicInputMinArity = none,
    .GetVariadicInputHomogeneity = none,
    .GetVariadicOutputMinArity = none,
    .GetVariadicOutputHomogeneity = none,
    .CreateKernelV2 = create_lrn,
    .KernelComputeV2 = lrn,
    .GetStartVersion = version,
    .GetEndVersion = version,
};

OrtStatus *corto_make_domain(const cort_api *api, OrtCustomOpDomain **domain) {
    ort = *api;
    OrtCustomOpDomain *made;
    OrtStatus *status = ort.CreateCustomOpDomain(CORTO_DOMAIN, &made);
    if (status != NULL) return status;
    status = ort.CustomOpDomain_Add(made, &lrn_operator);
    if (status != NULL) {
        ort.ReleaseCustomOpDomain(made);
        return status;
    }
    *domain = made;
    return NULL;
}

// The part of ONNX Runtime's C API that libfne calls. It is a table of function pointers, which is filled from a
// library that is opened at run time. libfne is never linked with ONNX Runtime.
//
// ONNX Runtime hands out one long table of functions for a version of its API. Later versions only append to it. So a
// function has the same place in every release, and COnnxRuntime.c names the places. `scripts/onnxruntime-api` compares
// them with a header of ONNX Runtime.
#ifndef CONNXRUNTIME_H
#define CONNXRUNTIME_H

#include <stddef.h>
#include <stdint.h>

typedef struct OrtStatus OrtStatus;
typedef struct OrtEnv OrtEnv;
typedef struct OrtSession OrtSession;
typedef struct OrtSessionOptions OrtSessionOptions;
typedef struct OrtRunOptions OrtRunOptions;
typedef struct OrtMemoryInfo OrtMemoryInfo;
typedef struct OrtValue OrtValue;
typedef struct OrtTensorTypeAndShapeInfo OrtTensorTypeAndShapeInfo;
typedef struct OrtAllocator OrtAllocator;
typedef struct OrtCustomOp OrtCustomOp;
typedef struct OrtCustomOpDomain OrtCustomOpDomain;
typedef struct OrtKernelInfo OrtKernelInfo;
typedef struct OrtKernelContext OrtKernelContext;

// The version of the API that is asked for. ONNX Runtime 1.18 was the first to have it.
enum { CORT_API_VERSION = 18 };

// ONNX Runtime's enums have the size of an int. These are the values that are used here.
enum { CORT_FLOAT = 1 };
enum { CORT_FAIL = 1, CORT_INVALID_ARGUMENT = 2 };
enum { CORT_LOG_INFO = 1, CORT_LOG_WARNING = 2 };
enum { CORT_SEQUENTIAL = 0 };
enum { CORT_ALL_OPTIMIZATIONS = 99 };
enum { CORT_DEVICE_ALLOCATOR = 0, CORT_DEFAULT_MEMORY = 0 };

typedef void (*cort_log)(void *argument, int severity, const char *category, const char *log, const char *place,
                         const char *message);

// A function that returns a status returns NULL on success.
typedef struct cort_api {
    OrtStatus *(*CreateStatus)(int code, const char *message);
    int (*GetErrorCode)(const OrtStatus *);
    const char *(*GetErrorMessage)(const OrtStatus *);
    void (*ReleaseStatus)(OrtStatus *);

    OrtStatus *(*CreateEnvWithCustomLogger)(cort_log log, void *argument, int severity, const char *name, OrtEnv **);
    OrtStatus *(*DisableTelemetryEvents)(const OrtEnv *);

    OrtStatus *(*CreateSessionOptions)(OrtSessionOptions **);
    void (*ReleaseSessionOptions)(OrtSessionOptions *);
    OrtStatus *(*SetSessionExecutionMode)(OrtSessionOptions *, int mode);
    OrtStatus *(*SetSessionGraphOptimizationLevel)(OrtSessionOptions *, int level);
    OrtStatus *(*SetIntraOpNumThreads)(OrtSessionOptions *, int count);
    OrtStatus *(*SetInterOpNumThreads)(OrtSessionOptions *, int count);
    OrtStatus *(*AddSessionConfigEntry)(OrtSessionOptions *, const char *key, const char *value);
    OrtStatus *(*AddExternalInitializersFromFilesInMemory)(OrtSessionOptions *, const char *const *names,
                                                           char *const *contents, const size_t *sizes, size_t count);

    OrtStatus *(*CreateCustomOpDomain)(const char *name, OrtCustomOpDomain **);
    OrtStatus *(*CustomOpDomain_Add)(OrtCustomOpDomain *, const OrtCustomOp *);
    void (*ReleaseCustomOpDomain)(OrtCustomOpDomain *);
    OrtStatus *(*AddCustomOpDomain)(OrtSessionOptions *, OrtCustomOpDomain *);
    OrtStatus *(*KernelInfoGetAttribute_float)(const OrtKernelInfo *, const char *name, float *);
    OrtStatus *(*KernelInfoGetAttribute_int64)(const OrtKernelInfo *, const char *name, int64_t *);
    OrtStatus *(*KernelContext_GetInput)(const OrtKernelContext *, size_t index, const OrtValue **);
    OrtStatus *(*KernelContext_GetOutput)(OrtKernelContext *, size_t index, const int64_t *dims, size_t dim_count,
                                          OrtValue **);

    OrtStatus *(*CreateSessionFromArray)(const OrtEnv *, const void *model, size_t size, const OrtSessionOptions *,
                                         OrtSession **);
    void (*ReleaseSession)(OrtSession *);
    OrtStatus *(*SessionGetInputCount)(const OrtSession *, size_t *);
    OrtStatus *(*SessionGetOutputCount)(const OrtSession *, size_t *);
    OrtStatus *(*SessionGetInputName)(const OrtSession *, size_t index, OrtAllocator *, char **);
    OrtStatus *(*SessionGetOutputName)(const OrtSession *, size_t index, OrtAllocator *, char **);
    OrtStatus *(*Run)(OrtSession *, const OrtRunOptions *, const char *const *input_names,
                      const OrtValue *const *inputs, size_t input_count, const char *const *output_names,
                      size_t output_count, OrtValue **outputs);

    OrtStatus *(*GetAllocatorWithDefaultOptions)(OrtAllocator **);
    OrtStatus *(*AllocatorFree)(OrtAllocator *, void *);
    OrtStatus *(*CreateCpuMemoryInfo)(int allocator, int memory, OrtMemoryInfo **);
    void (*ReleaseMemoryInfo)(OrtMemoryInfo *);

    OrtStatus *(*CreateTensorWithDataAsOrtValue)(const OrtMemoryInfo *, void *data, size_t size, const int64_t *dims,
                                                 size_t dim_count, int type, OrtValue **);
    void (*ReleaseValue)(OrtValue *);
    OrtStatus *(*GetTensorMutableData)(OrtValue *, void **);
    OrtStatus *(*GetTensorTypeAndShape)(const OrtValue *, OrtTensorTypeAndShapeInfo **);
    void (*ReleaseTensorTypeAndShapeInfo)(OrtTensorTypeAndShapeInfo *);
    OrtStatus *(*GetTensorElementType)(const OrtTensorTypeAndShapeInfo *, int *);
    OrtStatus *(*GetDimensionsCount)(const OrtTensorTypeAndShapeInfo *, size_t *);
    OrtStatus *(*GetDimensions)(const OrtTensorTypeAndShapeInfo *, int64_t *dims, size_t count);
} cort_api;

// What cort_bind found.
enum { CORT_BOUND = 0, CORT_NO_ENTRY = 1, CORT_TOO_OLD = 2 };

// Fills *api with the functions of a library that dlopen returned, and *version with the text of its version, which
// lives as long as the library. CORT_NO_ENTRY: it is not ONNX Runtime. CORT_TOO_OLD: it lacks CORT_API_VERSION, and
// only *version is filled.
int cort_bind(void *library, cort_api *api, const char **version);

// Whether a file is a library whose end is missing. To load it would end the process with a bus error.
int cort_is_cut(const char *path);

// The path of the file that holds a library's OrtGetApiBase, or NULL. The string lives while the library is loaded.
const char *cort_library_path(void *library);

// The entries of a folder whose names begin with "libonnxruntime.so.", such as libonnxruntime.so.1.32.0 of the Python
// wheel. Calls found with the path of each. Paths that are too long for the system are left out.
void cort_each_library(const char *folder, void (*found)(void *argument, const char *path), void *argument);

#endif

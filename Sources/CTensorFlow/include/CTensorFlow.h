// The part of the TensorFlow C API (tensorflow/c/c_api.h, stable since 1.x) that libfne calls. It is a table of
// function pointers, which is filled from a library that is opened at run time. libfne is never linked with TensorFlow.
#ifndef CTENSORFLOW_H
#define CTENSORFLOW_H

#include <stddef.h>
#include <stdint.h>

typedef struct TF_Status TF_Status;
typedef struct TF_Graph TF_Graph;
typedef struct TF_Operation TF_Operation;
typedef struct TF_OperationDescription TF_OperationDescription;
typedef struct TF_ImportGraphDefOptions TF_ImportGraphDefOptions;
typedef struct TF_Session TF_Session;
typedef struct TF_SessionOptions TF_SessionOptions;
typedef struct TF_Tensor TF_Tensor;
typedef struct TF_DeviceList TF_DeviceList;

typedef struct TF_Buffer {
    const void *data;
    size_t length;
    void (*data_deallocator)(void *data, size_t length);
} TF_Buffer;

typedef struct TF_Output {
    TF_Operation *oper;
    int index;
} TF_Output;

// TF_DataType and TF_Code are C enums of the size of an int. These are the values that are used here.
enum { CTF_FLOAT = 1, CTF_INT32 = 3, CTF_BFLOAT16 = 14 };
enum { CTF_CODE_OK = 0 };

typedef void (*ctf_tensor_deallocator)(void *data, size_t length, void *argument);

typedef struct ctf_api {
    const char *(*Version)(void);
    TF_Status *(*NewStatus)(void);
    void (*DeleteStatus)(TF_Status *);
    int (*GetCode)(const TF_Status *);
    const char *(*Message)(const TF_Status *);

    TF_Tensor *(*NewTensor)(int type, const int64_t *dims, int num_dims, void *data, size_t length,
                            ctf_tensor_deallocator deallocator, void *argument);
    TF_Tensor *(*AllocateTensor)(int type, const int64_t *dims, int num_dims, size_t length);
    void (*DeleteTensor)(TF_Tensor *);
    void *(*TensorData)(const TF_Tensor *);
    int (*NumDims)(const TF_Tensor *);
    int64_t (*Dim)(const TF_Tensor *, int index);
    int (*TensorType)(const TF_Tensor *);

    TF_Graph *(*NewGraph)(void);
    void (*DeleteGraph)(TF_Graph *);
    TF_ImportGraphDefOptions *(*NewImportGraphDefOptions)(void);
    void (*DeleteImportGraphDefOptions)(TF_ImportGraphDefOptions *);
    void (*ImportGraphDefOptionsSetPrefix)(TF_ImportGraphDefOptions *, const char *prefix);
    void (*ImportGraphDefOptionsAddInputMapping)(TF_ImportGraphDefOptions *, const char *name, int index, TF_Output to);
    void (*GraphImportGraphDef)(TF_Graph *, const TF_Buffer *graph_def, const TF_ImportGraphDefOptions *, TF_Status *);

    TF_Operation *(*GraphOperationByName)(TF_Graph *, const char *name);
    int (*OperationNumOutputs)(TF_Operation *);
    int (*OperationOutputType)(TF_Output);
    int (*GraphGetTensorNumDims)(TF_Graph *, TF_Output, TF_Status *);
    void (*GraphGetTensorShape)(TF_Graph *, TF_Output, int64_t *dims, int num_dims, TF_Status *);

    TF_OperationDescription *(*NewOperation)(TF_Graph *, const char *operation, const char *name);
    void (*AddInput)(TF_OperationDescription *, TF_Output);
    void (*AddInputList)(TF_OperationDescription *, const TF_Output *, int count);
    void (*SetAttrType)(TF_OperationDescription *, const char *name, int type);
    void (*SetAttrShape)(TF_OperationDescription *, const char *name, const int64_t *dims, int num_dims);
    void (*SetAttrTensor)(TF_OperationDescription *, const char *name, TF_Tensor *, TF_Status *);
    TF_Operation *(*FinishOperation)(TF_OperationDescription *, TF_Status *);

    TF_SessionOptions *(*NewSessionOptions)(void);
    void (*DeleteSessionOptions)(TF_SessionOptions *);
    void (*SetConfig)(TF_SessionOptions *, const void *config_proto, size_t length, TF_Status *);
    TF_Session *(*NewSession)(TF_Graph *, const TF_SessionOptions *, TF_Status *);
    void (*CloseSession)(TF_Session *, TF_Status *);
    void (*DeleteSession)(TF_Session *, TF_Status *);
    void (*SessionRun)(TF_Session *, const TF_Buffer *run_options, const TF_Output *inputs,
                       TF_Tensor *const *input_values, int input_count, const TF_Output *outputs,
                       TF_Tensor **output_values, int output_count, const TF_Operation *const *targets,
                       int target_count, TF_Buffer *run_metadata, TF_Status *);
    TF_DeviceList *(*SessionListDevices)(TF_Session *, TF_Status *);
    int (*DeviceListCount)(const TF_DeviceList *);
    const char *(*DeviceListType)(const TF_DeviceList *, int index, TF_Status *);
    void (*DeleteDeviceList)(TF_DeviceList *);
} ctf_api;

// Fills *api with the functions of a library that dlopen returned. Returns NULL on success, else the name of the first
// function that the library lacks.
const char *ctf_bind(void *library, ctf_api *api);

// The path of the file that holds a library's TF_Version, or NULL. The string lives as long as the library is loaded.
const char *ctf_library_path(void *library);

// The address space in bytes that a library takes when it is loaded, from its file; 0 where that is no such file.
uint64_t ctf_loaded_size(const char *path);

// The address space in bytes that the process may take in all (RLIMIT_AS), and what it has taken. Returns 0 where there
// is no limit.
int ctf_address_space(uint64_t *limit, uint64_t *taken);

// TensorFlow writes to the standard error while it is loaded, before it heeds any log level. Between these two calls,
// all that the process writes there goes to an anonymous file. The first returns that file, or -1 when nothing is
// redirected. The second gives the standard error back and leaves the file open.
int ctf_begin_capture(int *saved_standard_error);
void ctf_end_capture(int saved_standard_error);

#endif

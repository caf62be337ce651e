#define _GNU_SOURCE
#include "CTensorFlow.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

const char *ctf_bind(void *library, ctf_api *api) {
    // POSIX lets a void * from dlsym become a function pointer. memcpy does it without a compiler's warning.
#define BIND(member)                                  \
    do {                                              \
        void *symbol = dlsym(library, "TF_" #member); \
        if (symbol == NULL) return "TF_" #member;     \
        memcpy(&api->member, &symbol, sizeof symbol); \
    } while (0)
    BIND(Version);
    BIND(NewStatus);
    BIND(DeleteStatus);
    BIND(GetCode);
    BIND(Message);
    BIND(NewTensor);
    BIND(AllocateTensor);
    BIND(DeleteTensor);
    BIND(TensorData);
    BIND(NumDims);
    BIND(Dim);
    BIND(TensorType);
    BIND(NewGraph);
    BIND(DeleteGraph);
    BIND(NewImportGraphDefOptions);
    BIND(DeleteImportGraphDefOptions);
    BIND(ImportGraphDefOptionsSetPrefix);
    BIND(ImportGraphDefOptionsAddInputMapping);
    BIND(GraphImportGraphDef);
    BIND(GraphOperationByName);
    BIND(OperationNumOutputs);
    BIND(OperationOutputType);
    BIND(GraphGetTensorNumDims);
    BIND(GraphGetTensorShape);
    BIND(NewOperation);
    BIND(AddInput);
    BIND(AddInputList);
    BIND(SetAttrType);
    BIND(SetAttrShape);
    BIND(SetAttrTensor);
    BIND(FinishOperation);
    BIND(NewSessionOptions);
    BIND(DeleteSessionOptions);
    BIND(SetConfig);
    BIND(NewSession);
    BIND(CloseSession);
    BIND(DeleteSession);
    BIND(SessionRun);
    BIND(SessionListDevices);
    BIND(DeviceListCount);
    BIND(DeviceListType);
    BIND(DeleteDeviceList);
#undef BIND
    return NULL;
}

const char *ctf_library_path(void *library) {
    Dl_info info;
    void *symbol = dlsym(library, "TF_Version");
    if (symbol == NULL || dladdr(symbol, &info) == 0) return NULL;
    return info.dli_fname;
}

int ctf_begin_capture(int *saved_standard_error) {
    int file = memfd_create("fne-tensorflow-log", MFD_CLOEXEC);
    int saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (file >= 0 && saved >= 0 && dup2(file, STDERR_FILENO) >= 0) {
        *saved_standard_error = saved;
        return file;
    }
    if (file >= 0) close(file);
    if (saved >= 0) close(saved);
    return -1;
}

void ctf_end_capture(int saved_standard_error) {
    fflush(stderr);
    dup2(saved_standard_error, STDERR_FILENO);
    close(saved_standard_error);
}

#define _GNU_SOURCE
#include "CTensorFlow.h"

#include <dlfcn.h>
#include <string.h>

const char *ctf_bind(void *library, ctf_api *api) {
    // POSIX lets a void * from dlsym become a function pointer; memcpy says so without a warning.
#define BIND(member)                                        \
    do {                                                    \
        void *symbol = dlsym(library, "TF_" #member);       \
        if (symbol == NULL) return "TF_" #member;           \
        memcpy(&api->member, &symbol, sizeof symbol);       \
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
    BIND(SetAttrString);
    BIND(SetAttrIntList);
    BIND(SetAttrTensor);
    BIND(FinishOperation);
    BIND(NewSessionOptions);
    BIND(DeleteSessionOptions);
    BIND(SetConfig);
    BIND(NewSession);
    BIND(CloseSession);
    BIND(DeleteSession);
    BIND(SessionRun);
#undef BIND
    return NULL;
}

const char *ctf_library_path(void *library) {
    Dl_info info;
    void *symbol = dlsym(library, "TF_Version");
    if (symbol == NULL || dladdr(symbol, &info) == 0) return NULL;
    return info.dli_fname;
}

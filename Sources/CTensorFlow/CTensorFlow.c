#define _GNU_SOURCE
#include "CTensorFlow.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
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

uint64_t ctf_loaded_size(const char *path) {
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return 0;
    ElfW(Ehdr) header;
    uint64_t end = 0;
    if (pread(file, &header, sizeof header, 0) == sizeof header && memcmp(header.e_ident, ELFMAG, SELFMAG) == 0 &&
        header.e_phentsize == sizeof(ElfW(Phdr))) {
        for (int i = 0; i < header.e_phnum; ++i) {
            ElfW(Phdr) part;
            off_t place = (off_t)(header.e_phoff + i * sizeof part);
            if (pread(file, &part, sizeof part, place) != sizeof part) break;
            if (part.p_type == PT_LOAD && part.p_vaddr + part.p_memsz > end) end = part.p_vaddr + part.p_memsz;
        }
    }
    close(file);
    return end;
}

int ctf_address_space(uint64_t *limit, uint64_t *taken) {
    struct rlimit given;
    if (getrlimit(RLIMIT_AS, &given) != 0 || given.rlim_cur == RLIM_INFINITY) return 0;
    char text[64];
    int file = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (file < 0) return 0;
    ssize_t size = read(file, text, sizeof text - 1);
    close(file);
    if (size <= 0) return 0;
    text[size] = 0;
    *limit = given.rlim_cur;
    *taken = strtoull(text, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE);
    return 1;
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

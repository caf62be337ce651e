#define _GNU_SOURCE
#include "COnnxRuntime.h"

#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// What OrtGetApiBase returns.
struct api_base {
    const void *(*GetApi)(uint32_t version);
    const char *(*GetVersionString)(void);
};

int cort_bind(void *library, cort_api *api, const char **version) {
    void *entry = dlsym(library, "OrtGetApiBase");
    if (entry == NULL) return CORT_NO_ENTRY;
    // POSIX lets a void * from dlsym become a function pointer. memcpy does it without a compiler's warning.
    const struct api_base *(*get_base)(void);
    memcpy(&get_base, &entry, sizeof entry);
    const struct api_base *base = get_base();
    if (base == NULL) return CORT_NO_ENTRY;
    *version = base->GetVersionString();
    const char *table = base->GetApi(CORT_API_VERSION);
    if (table == NULL) return CORT_TOO_OLD;
    // Each entry of the table is a pointer to a function. The number is its place.
#define BIND(place, member) memcpy(&api->member, table + (place) * sizeof(void *), sizeof(void *))
    BIND(0, CreateStatus);
    BIND(1, GetErrorCode);
    BIND(2, GetErrorMessage);
    BIND(4, CreateEnvWithCustomLogger);
    BIND(6, DisableTelemetryEvents);
    BIND(8, CreateSessionFromArray);
    BIND(9, Run);
    BIND(10, CreateSessionOptions);
    BIND(13, SetSessionExecutionMode);
    BIND(23, SetSessionGraphOptimizationLevel);
    BIND(24, SetIntraOpNumThreads);
    BIND(25, SetInterOpNumThreads);
    BIND(26, CreateCustomOpDomain);
    BIND(27, CustomOpDomain_Add);
    BIND(28, AddCustomOpDomain);
    BIND(30, SessionGetInputCount);
    BIND(31, SessionGetOutputCount);
    BIND(36, SessionGetInputName);
    BIND(37, SessionGetOutputName);
    BIND(49, CreateTensorWithDataAsOrtValue);
    BIND(51, GetTensorMutableData);
    BIND(60, GetTensorElementType);
    BIND(61, GetDimensionsCount);
    BIND(62, GetDimensions);
    BIND(65, GetTensorTypeAndShape);
    BIND(69, CreateCpuMemoryInfo);
    BIND(76, AllocatorFree);
    BIND(78, GetAllocatorWithDefaultOptions);
    BIND(85, KernelInfoGetAttribute_float);
    BIND(86, KernelInfoGetAttribute_int64);
    BIND(90, KernelContext_GetInput);
    BIND(91, KernelContext_GetOutput);
    BIND(93, ReleaseStatus);
    BIND(94, ReleaseMemoryInfo);
    BIND(95, ReleaseSession);
    BIND(96, ReleaseValue);
    BIND(99, ReleaseTensorTypeAndShapeInfo);
    BIND(100, ReleaseSessionOptions);
    BIND(101, ReleaseCustomOpDomain);
    BIND(130, AddSessionConfigEntry);
    BIND(279, AddExternalInitializersFromFilesInMemory);
#undef BIND
    return CORT_BOUND;
}

int cort_is_cut(const char *path) {
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0) return 0;
    struct stat facts;
    ElfW(Ehdr) header;
    int cut = 0;
    if (fstat(file, &facts) == 0 && pread(file, &header, sizeof header, 0) == sizeof header &&
        memcmp(header.e_ident, ELFMAG, SELFMAG) == 0 && header.e_phentsize == sizeof(ElfW(Phdr))) {
        for (int i = 0; i < header.e_phnum && !cut; ++i) {
            ElfW(Phdr) part;
            off_t place = (off_t)(header.e_phoff + i * sizeof part);
            cut = pread(file, &part, sizeof part, place) != sizeof part ||
                  (part.p_type == PT_LOAD && part.p_offset + part.p_filesz > (uint64_t)facts.st_size);
        }
    }
    close(file);
    return cut;
}

const char *cort_library_path(void *library) {
    Dl_info info;
    void *symbol = dlsym(library, "OrtGetApiBase");
    if (symbol == NULL || dladdr(symbol, &info) == 0) return NULL;
    return info.dli_fname;
}

void cort_each_library(const char *folder, void (*found)(void *argument, const char *path), void *argument) {
    static const char prefix[] = "libonnxruntime.so.";
    DIR *entries = opendir(folder);
    if (entries == NULL) return;
    for (struct dirent *entry; (entry = readdir(entries)) != NULL;) {
        char path[PATH_MAX];
        if (strncmp(entry->d_name, prefix, sizeof prefix - 1) != 0) continue;
        int size = snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (size > 0 && (size_t)size < sizeof path) found(argument, path);
    }
    closedir(entries);
}

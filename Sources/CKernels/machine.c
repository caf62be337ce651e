#define _GNU_SOURCE
#include "CKernels.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

int ck_processor_count(void) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (int)online : 1;
}

int ck_reserve(int file, int64_t size) {
    int failed;
    do {
        failed = fallocate(file, 0, 0, (off_t)size);
    } while (failed != 0 && errno == EINTR);
    if (failed != 0 && (errno == EOPNOTSUPP || errno == ENOSYS)) failed = ftruncate(file, (off_t)size);
    return failed;
}

int ck_open_folder(int above, const char *path) { return openat(above, path, O_PATH | O_DIRECTORY | O_CLOEXEC); }

int ck_bfloat16_support(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512bf16")) return 2;
    return __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512dq");
#else
    return 1;
#endif
}

#if defined(__x86_64__)

static char features[256] = "x86_64";

static void find_features(void) {
    __builtin_cpu_init();
#define FEATURE(name) \
    if (__builtin_cpu_supports(name)) strcat(features, " " name)
    FEATURE("sse4.1");
    FEATURE("avx");
    FEATURE("avx2");
    FEATURE("fma");
    FEATURE("avx512f");
    FEATURE("avx512bw");
    FEATURE("avx512vnni");
    FEATURE("avx512bf16");
    FEATURE("avx512fp16");
    FEATURE("avxvnni");
    FEATURE("amx-bf16");
    FEATURE("amx-int8");
#undef FEATURE
}

const char *ck_processor_features(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, find_features);
    return features;
}

#elif defined(__aarch64__)
const char *ck_processor_features(void) { return "aarch64"; }
#else
const char *ck_processor_features(void) { return "other"; }
#endif

float ck_hypotf(float x, float y) { return (float)sqrt((double)x * x + (double)y * y); }

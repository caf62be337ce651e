// Chooses the variant of the loops when the library is loaded. It is the widest that the processor can run.
#include "CKernels.h"
#include "loops.h"

#include <stdatomic.h>
#include <string.h>

static _Atomic(const ck_loops *) current = &ck_loops_baseline;

static int runs(const ck_loops *loops) {
#if defined(__x86_64__)
    if (loops != &ck_loops_baseline && !__builtin_cpu_supports("fma")) return 0;
    if (loops == &ck_loops_vpopcntdq && !__builtin_cpu_supports("avx512vpopcntdq")) return 0;
    if (loops == &ck_loops_avx512 || loops == &ck_loops_vpopcntdq) {
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    }
    if (loops == &ck_loops_avx2) return __builtin_cpu_supports("avx2");
#endif
    return loops == &ck_loops_baseline;
}

static const ck_loops *const variants[] = {
#if defined(__x86_64__)
    &ck_loops_vpopcntdq,
    &ck_loops_avx512,
    &ck_loops_avx2,
#endif
    &ck_loops_baseline,
};

enum { VARIANTS = sizeof variants / sizeof *variants };

__attribute__((constructor)) static void choose(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
#endif
    ck_pin_variant(NULL);
}

const ck_loops *ck_current_loops(void) { return atomic_load_explicit(&current, memory_order_relaxed); }

const char *ck_variant(void) { return ck_current_loops()->name; }

int ck_pin_variant(const char *name) {
    for (size_t i = 0; i < VARIANTS; ++i) {
        if ((name == NULL || strcmp(name, variants[i]->name) == 0) && runs(variants[i])) {
            atomic_store_explicit(&current, variants[i], memory_order_relaxed);
            return 0;
        }
    }
    return 1;
}

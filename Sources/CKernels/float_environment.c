// The floating-point environment of a thread: rounding, denormal numbers, and which exceptions raise a signal.
#include "CKernels.h"

// The library computes in the environment that a process starts with. On x86-64 that has two parts, as fesetround and
// feenableexcept change both: MXCSR of the SSE unit, and the x87 unit, which few things still use.
#if defined(__x86_64__)

enum { DEFAULT_MXCSR = 0x1f80, DEFAULT_X87_CONTROL = 0x37f, X87_FLAGS = 0xbf };

static void read_x87(uint16_t *control, uint16_t *status) {
    __asm__ volatile("fnstcw %0\n\tfnstsw %1" : "=m"(*control), "=m"(*status) : : "memory");
}

static void save(ck_float_environment *environment) {
    __asm__ volatile("stmxcsr %0" : "=m"(environment->mxcsr) : : "memory");
    read_x87(&environment->x87_control, &environment->x87_status);
}

static void load(const ck_float_environment *environment) {
    uint16_t control, status;
    read_x87(&control, &status);
    // There is no instruction that sets the flags alone. The one that sets all is slow, and hardly ever needed.
    if (control != environment->x87_control || ((status ^ environment->x87_status) & X87_FLAGS) != 0) {
        uint16_t all[14];
        __asm__ volatile("fnstenv %0" : "=m"(all) : : "memory");
        all[0] = environment->x87_control;
        all[2] = (uint16_t)((all[2] & ~X87_FLAGS) | (environment->x87_status & X87_FLAGS));
        __asm__ volatile("fldenv %0" : : "m"(all) : "memory");
    }
    __asm__ volatile("ldmxcsr %0" : : "m"(environment->mxcsr) : "memory");
}

void ck_set_default_float_environment(void) {
    uint32_t mxcsr = DEFAULT_MXCSR;
    uint16_t wanted = DEFAULT_X87_CONTROL, control, status;
    read_x87(&control, &status);
    // With the flags cleared first, no exception that was pending is raised here.
    if (control != wanted) __asm__ volatile("fnclex\n\tfldcw %0" : : "m"(wanted) : "memory");
    __asm__ volatile("ldmxcsr %0" : : "m"(mxcsr) : "memory");
}

#elif defined(__aarch64__)

static void save(ck_float_environment *environment) {
    __asm__ volatile("mrs %0, fpcr\n\tmrs %1, fpsr" : "=r"(environment->fpcr), "=r"(environment->fpsr) : : "memory");
}

static void load(const ck_float_environment *environment) {
    __asm__ volatile("msr fpcr, %0\n\tmsr fpsr, %1" : : "r"(environment->fpcr), "r"(environment->fpsr) : "memory");
}

void ck_set_default_float_environment(void) {
    __asm__ volatile("msr fpcr, %0\n\tmsr fpsr, %0" : : "r"((uint64_t)0) : "memory");
}

#else

static void save(ck_float_environment *environment) { fegetenv(&environment->all); }
static void load(const ck_float_environment *environment) { fesetenv(&environment->all); }
void ck_set_default_float_environment(void) { fesetenv(FE_DFL_ENV); }

#endif

// The environment that the thread's innermost call of the library found. NULL outside of calls.
static _Thread_local ck_float_environment *host;

void ck_enter_float_environment(ck_float_environment *saved) {
    save(saved);
    ck_set_default_float_environment();
    saved->outer = host;
    host = saved;
}

void ck_leave_float_environment(const ck_float_environment *saved) {
    host = saved->outer;
    load(saved);
}

ck_float_environment *ck_enter_host_float_environment(void) {
    ck_float_environment *saved = host;
    if (saved != NULL) load(saved);
    return saved;
}

void ck_leave_host_float_environment(ck_float_environment *saved) {
    if (saved == NULL) return;
    save(saved);
    ck_set_default_float_environment();
}

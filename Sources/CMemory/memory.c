#define _GNU_SOURCE
#include "CMemory.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

// ---- the system's functions

// The linker binds these to the functions of their names without __real_. Without --wrap nothing defines them.
#define SYSTEM __attribute__((weak)) extern
SYSTEM void *__real_malloc(size_t size);
SYSTEM void *__real_calloc(size_t count, size_t size);
SYSTEM void *__real_realloc(void *memory, size_t size);
SYSTEM void __real_free(void *memory);
SYSTEM size_t __real_malloc_usable_size(void *memory);
SYSTEM int __real_posix_memalign(void **memory, size_t alignment, size_t size);
SYSTEM void __real__ZdlPvm(void *memory, size_t size);                         // operator delete(void *, size_t)
SYSTEM void __real__ZdlPvmSt11align_val_t(void *memory, size_t, size_t align); // the same with an alignment
SYSTEM void *_ZnwmRKSt9nothrow_t(size_t size, const void *nothrow);            // operator new(size_t, nothrow)
SYSTEM void *_ZnwmSt11align_val_tRKSt9nothrow_t(size_t size, size_t align, const void *nothrow);

static bool is_wrapped(void) { return __real_malloc != NULL; }

// ---- blocks

// Before the memory that is handed out stand 16 bytes. They say where the block begins and how large it is.
typedef struct {
    struct cm_region *region;
    uint32_t offset; // of the memory, from where the block begins
    uint32_t kind;   // the block's size
} block;

enum { HEADER = sizeof(block), UNIT = 64, KINDS = 4 * 40 };
_Static_assert(HEADER == 16, "memory behind the header is aligned to 16");

// Sizes grow by a quarter: 64, 80, 96, 112, 128, 160, 192 ... A free block serves requests of its own kind alone.
static size_t size_of(uint32_t kind) { return (size_t)(4 + kind % 4) << (4 + kind / 4); }

static uint32_t kind_for(size_t size) {
    uint32_t doublings = 0;
    while (doublings < KINDS / 4 - 1 && (size_t)8 << (4 + doublings) < size) ++doublings;
    uint32_t kind = 4 * doublings;
    while (kind < KINDS && size_of(kind) < size) ++kind;
    return kind;
}

typedef struct __attribute__((aligned(UNIT))) cm_region {
    char *start;
    size_t size;
    size_t used; // bytes from the start on that blocks lie in, also free ones
    size_t live; // blocks that are in use
    bool is_closed;
    struct cm_region *next; // of those that have given memory
    bool is_listed;
    void *free[KINDS]; // the first free block of each kind, which begins with the place of the next
} cm_region;

// ---- the reserve

static char always_there[8 << 20] __attribute__((aligned(UNIT)));
static cm_region base = {.start = always_there, .size = sizeof always_there};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static cm_region *listed;
// All memory of the reserve that is in use lies between these. free() asks no further while the reserve is untouched.
static uintptr_t lowest = UINTPTR_MAX, highest;

static pthread_key_t key;
static bool has_key;

static void before_fork(void) { pthread_mutex_lock(&lock); }
static void after_fork(void) { pthread_mutex_unlock(&lock); }

__attribute__((constructor)) static void set_up(void) {
    if (!is_wrapped()) return;
    has_key = pthread_key_create(&key, NULL) == 0;
    pthread_atfork(before_fork, after_fork, after_fork);
}

static void list(cm_region *region) {
    if (region->is_listed) return;
    region->is_listed = true;
    region->next = listed;
    listed = region;
    uintptr_t start = (uintptr_t)region->start;
    if (start < lowest) __atomic_store_n(&lowest, start, __ATOMIC_RELAXED);
    if (start + region->size > highest) __atomic_store_n(&highest, start + region->size, __ATOMIC_RELAXED);
}

static void unlist(cm_region *region) {
    for (cm_region **place = &listed; *place != NULL; place = &(*place)->next) {
        if (*place != region) continue;
        *place = region->next;
        region->is_listed = false;
        break;
    }
    if (listed != NULL) return;
    __atomic_store_n(&lowest, UINTPTR_MAX, __ATOMIC_RELAXED);
    __atomic_store_n(&highest, 0, __ATOMIC_RELAXED);
}

static void drop(cm_region *region, size_t size) { munmap(region, sizeof *region + size); }

// Takes a block. NULL where the region has no room.
static void *take(cm_region *region, size_t size, size_t alignment) {
    size_t spare = alignment > HEADER ? alignment : 0;
    if (size > region->size || spare > region->size) return NULL;
    uint32_t kind = kind_for(HEADER + size + spare);
    if (kind >= KINDS) return NULL;
    char *start = region->free[kind];
    if (start != NULL) {
        memcpy(&region->free[kind], start, sizeof(void *));
    } else {
        if (size_of(kind) > region->size - region->used) return NULL;
        start = region->start + region->used;
        region->used += size_of(kind);
    }
    char *memory = start + HEADER;
    if (spare > 0) memory += (alignment - (uintptr_t)memory % alignment) % alignment;
    block *header = (block *)(memory - HEADER);
    *header = (block){.region = region, .offset = (uint32_t)(memory - start), .kind = kind};
    ++region->live;
    list(region);
    return memory;
}

static void give_back(void *memory) {
    block header = *(block *)((char *)memory - HEADER);
    cm_region *region = header.region;
    char *start = (char *)memory - header.offset;
    --region->live;
    if (region->live == 0) { // nothing is in use: the region is as new
        region->used = 0;
        memset(region->free, 0, sizeof region->free);
        unlist(region);
        if (region->is_closed) drop(region, region->size);
    } else if (start + size_of(header.kind) == region->start + region->used) {
        region->used -= size_of(header.kind);
    } else {
        memcpy(start, &region->free[header.kind], sizeof(void *));
        region->free[header.kind] = start;
    }
}

// Whether memory is the reserve's.
static bool is_ours(const void *memory) {
    uintptr_t place = (uintptr_t)memory;
    if (__builtin_expect(place < __atomic_load_n(&lowest, __ATOMIC_RELAXED) ||
                             place >= __atomic_load_n(&highest, __ATOMIC_RELAXED),
                         1))
        return false;
    bool found = false;
    pthread_mutex_lock(&lock);
    for (const cm_region *region = listed; region != NULL && !found; region = region->next)
        found = place >= (uintptr_t)region->start && place < (uintptr_t)region->start + region->size;
    pthread_mutex_unlock(&lock);
    return found;
}

static void release(void *memory) {
    pthread_mutex_lock(&lock);
    give_back(memory);
    pthread_mutex_unlock(&lock);
}

static size_t usable_size(const void *memory) {
    const block *header = (const block *)((const char *)memory - HEADER);
    return size_of(header->kind) - header->offset;
}

__attribute__((noinline, cold)) static void *reserved(size_t size, size_t alignment) {
    cm_scope *scope = cm_current();
    void *memory = NULL;
    pthread_mutex_lock(&lock);
    if (scope != NULL) __atomic_store_n(&scope->failed, true, __ATOMIC_RELAXED);
    if (scope != NULL && scope->region != NULL) {
        cm_region *region = scope->region;
        if (region->start == NULL) {
            region->start = (char *)region + sizeof *region;
            region->size = scope->size;
        }
        memory = take(region, size, alignment);
    }
    if (memory == NULL) memory = take(&base, size, alignment);
    pthread_mutex_unlock(&lock);
    if (memory == NULL) errno = ENOMEM;
    return memory;
}

// ---- what the library's own malloc and its kin are

void *__wrap_malloc(size_t size) {
    void *memory = __real_malloc(size);
    return __builtin_expect(memory != NULL, 1) ? memory : reserved(size, HEADER);
}

void *__wrap_calloc(size_t count, size_t size) {
    void *memory = __real_calloc(count, size);
    if (__builtin_expect(memory != NULL, 1)) return memory;
    size_t whole;
    if (__builtin_mul_overflow(count, size, &whole)) return NULL;
    memory = reserved(whole, HEADER);
    return memory == NULL ? NULL : memset(memory, 0, whole);
}

void *__wrap_realloc(void *memory, size_t size) {
    if (memory == NULL) return __wrap_malloc(size);
    bool ours = is_ours(memory);
    if (!ours) {
        void *grown = __real_realloc(memory, size);
        if (grown != NULL || size == 0) return grown;
    }
    void *copy = ours ? __wrap_malloc(size) : reserved(size, HEADER);
    if (copy == NULL) return NULL;
    size_t old = ours ? usable_size(memory) : __real_malloc_usable_size(memory);
    memcpy(copy, memory, old < size ? old : size);
    if (ours) release(memory);
    else __real_free(memory);
    return copy;
}

void __wrap_free(void *memory) {
    if (__builtin_expect(is_ours(memory), 0)) release(memory);
    else __real_free(memory);
}

size_t __wrap_malloc_usable_size(void *memory) {
    return __builtin_expect(is_ours(memory), 0) ? usable_size(memory) : __real_malloc_usable_size(memory);
}

int __wrap_posix_memalign(void **memory, size_t alignment, size_t size) {
    int failed = __real_posix_memalign(memory, alignment, size);
    if (__builtin_expect(failed != ENOMEM, 1)) return failed;
    void *instead = reserved(size, alignment);
    if (instead == NULL) return ENOMEM;
    *memory = instead;
    return 0;
}

// The Swift runtime is in C++. Its operator new cannot throw, as the runtime is compiled without exceptions.

static const char nothrow; // std::nothrow has no content

void *__wrap__Znwm(size_t size) {
    void *memory = _ZnwmRKSt9nothrow_t(size, &nothrow);
    return __builtin_expect(memory != NULL, 1) ? memory : reserved(size, HEADER);
}

void *__wrap__ZnwmSt11align_val_t(size_t size, size_t alignment) {
    void *memory = _ZnwmSt11align_val_tRKSt9nothrow_t(size, alignment, &nothrow);
    return __builtin_expect(memory != NULL, 1) ? memory : reserved(size, alignment);
}

void __wrap__ZdlPvm(void *memory, size_t size) {
    if (__builtin_expect(is_ours(memory), 0)) release(memory);
    else __real__ZdlPvm(memory, size);
}

void __wrap__ZdlPvmSt11align_val_t(void *memory, size_t size, size_t alignment) {
    if (__builtin_expect(is_ours(memory), 0)) release(memory);
    else __real__ZdlPvmSt11align_val_t(memory, size, alignment);
}

// ---- calls

cm_scope *cm_current(void) { return has_key ? pthread_getspecific(key) : NULL; }

void cm_join(cm_scope *scope) {
    if (has_key) pthread_setspecific(key, scope);
}

bool cm_enter(cm_scope *scope) {
    *scope = (cm_scope){.outer = cm_current()};
    return !has_key || pthread_setspecific(key, scope) == 0;
}

// Ends a call's use of its region. Without a failure the region is as the system gave it, and is not even looked at.
static void close_region(cm_region *region, size_t size, bool failed) {
    bool in_use = false;
    if (failed) {
        pthread_mutex_lock(&lock);
        in_use = region->live > 0;
        region->is_closed = true;
        pthread_mutex_unlock(&lock);
    }
    if (!in_use) drop(region, size);
}

void cm_leave(cm_scope *scope) {
    if (!has_key) return;
    pthread_setspecific(key, scope->outer);
    cm_region *region = scope->region;
    if (region != NULL) close_region(region, scope->size, scope->failed);
}

bool cm_failed(void) {
    const cm_scope *scope = cm_current();
    return scope != NULL && __atomic_load_n(&scope->failed, __ATOMIC_RELAXED);
}

// The block that serves everyone has room for so much, for several calls at once.
enum { SMALL = 2 << 20 };

bool cm_prepare(size_t size) {
    cm_scope *scope = cm_current();
    if (scope == NULL) return true;
    if (__atomic_load_n(&scope->failed, __ATOMIC_RELAXED)) return false;
    if (size <= SMALL || (scope->region != NULL && scope->size >= size)) return true;
    size_t rounded, whole;
    if (__builtin_add_overflow(size, (size_t)0xffff, &rounded)) return false;
    rounded &= ~(size_t)0xffff;
    if (__builtin_add_overflow(rounded, sizeof(cm_region), &whole)) return false;
    // Pages that are not touched cost address space alone.
    cm_region *region = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (region == MAP_FAILED) {
        __atomic_store_n(&scope->failed, true, __ATOMIC_RELAXED);
        return false;
    }
    pthread_mutex_lock(&lock);
    cm_region *former = scope->region;
    size_t former_size = scope->size;
    scope->region = region;
    scope->size = rounded;
    bool failed = scope->failed;
    pthread_mutex_unlock(&lock);
    if (former != NULL) close_region(former, former_size, failed);
    return true;
}

static void *aligned_memory(size_t alignment, size_t size) {
    void *memory = NULL;
    int failed = is_wrapped() ? __real_posix_memalign(&memory, alignment, size)
                              : posix_memalign(&memory, alignment, size);
    return failed == 0 ? memory : NULL;
}

void *cm_system_memory(size_t size) { return aligned_memory(UNIT, size); }

// Smaller memory often comes from what was freed before, and its pages are there already.
enum { HUGE_PAGE = 2 << 20, SMALLEST_LARGE = 4 << 20 };

void *cm_picture_memory(size_t size) {
    if (size < SMALLEST_LARGE) return cm_system_memory(size);
    void *memory = aligned_memory(HUGE_PAGE, size);
    if (memory == NULL) return cm_system_memory(size);
    // A system that knows no such pages refuses, and gives small ones. The rest after the last whole page is small too.
    madvise(memory, size - size % HUGE_PAGE, MADV_HUGEPAGE);
    return memory;
}

/* The library's malloc and its reserve (Sources/CMemory), with a system that often gives nothing. Threads take, grow
 * and free memory, some of it for each other, and look whether their bytes are as they left them. It is compiled with
 * Sources/CMemory/memory.c, whose calls of the system come to the functions failing_* below. */
#define _GNU_SOURCE
#include "CMemory.h"

#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void __wrap_free(void *memory);
size_t __wrap_malloc_usable_size(void *memory);
int __wrap_posix_memalign(void **memory, size_t alignment, size_t size);

#define REQUIRE(condition)                                                             \
    do {                                                                               \
        if (!(condition)) {                                                            \
            fprintf(stderr, "reserve.c:%d: %s does not hold\n", __LINE__, #condition); \
            exit(1);                                                                   \
        }                                                                              \
    } while (0)

/* ---- a system that gives nothing in so many of 8 cases */

static int failures = 0;
static _Thread_local uint64_t seed = 1;

static uint64_t next(void) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return seed >> 33;
}

static int fails(void) { return (int)(next() % 8) < __atomic_load_n(&failures, __ATOMIC_RELAXED); }

void *failing_malloc(size_t size) { return fails() ? NULL : malloc(size); }
void *failing_calloc(size_t count, size_t size) { return fails() ? NULL : calloc(count, size); }
void *failing_realloc(void *memory, size_t size) { return fails() ? NULL : realloc(memory, size); }
void failing_free(void *memory) { free(memory); }
size_t failing_malloc_usable_size(void *memory) { return malloc_usable_size(memory); }
int failing_posix_memalign(void **memory, size_t alignment, size_t size) {
    return fails() ? 12 /* ENOMEM */ : posix_memalign(memory, alignment, size);
}

/* ---- threads */

typedef struct {
    unsigned char *memory;
    size_t size;
    unsigned char value;
} piece;

enum { PIECES = 60, THREADS = 6, ROUNDS = 20000 };

/* Pieces that a thread leaves for another one. */
static piece left[THREADS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void check_and_free(piece *p) {
    for (size_t i = 0; i < p->size; ++i) REQUIRE(p->memory[i] == p->value);
    if (p->memory != NULL) REQUIRE(__wrap_malloc_usable_size(p->memory) >= p->size);
    __wrap_free(p->memory);
    *p = (piece){NULL, 0, 0};
}

static piece taken(void) {
    piece p = {NULL, 1 + next() % (next() % 16 == 0 ? 20000 : 300), (unsigned char)next()};
    switch (next() % 3) {
    case 0: p.memory = __wrap_malloc(p.size); break;
    case 1:
        p.memory = __wrap_calloc(p.size, 1);
        for (size_t i = 0; p.memory != NULL && i < p.size; ++i) REQUIRE(p.memory[i] == 0);
        break;
    default: {
        size_t alignment = (size_t)16 << next() % 5;
        if (__wrap_posix_memalign((void **)&p.memory, alignment, p.size) != 0) p.memory = NULL;
        REQUIRE((uintptr_t)p.memory % alignment == 0);
    }
    }
    REQUIRE((uintptr_t)p.memory % 16 == 0);
    if (p.memory == NULL) p.size = 0;
    if (p.size > 0) memset(p.memory, p.value, p.size);
    return p;
}

static void grow(piece *p) {
    size_t size = 1 + next() % 2000;
    unsigned char *memory = __wrap_realloc(p->memory, size);
    if (memory == NULL) return;
    for (size_t i = 0; i < p->size && i < size; ++i) REQUIRE(memory[i] == p->value);
    memset(memory, p->value, size);
    p->memory = memory;
    p->size = size;
}

static void *work(void *argument) {
    size_t number = (size_t)(uintptr_t)argument;
    seed = 77 + number;
    cm_scope scope;
    if (number % 2 == 0) REQUIRE(cm_enter(&scope) && cm_prepare(4 << 20));
    piece pieces[PIECES] = {{NULL, 0, 0}};
    for (int round = 0; round < ROUNDS; ++round) {
        piece *p = &pieces[next() % PIECES];
        switch (next() % 4) {
        case 0: grow(p); break;
        case 1:
            pthread_mutex_lock(&lock);
            check_and_free(&left[number]);
            piece mine = *p;
            *p = left[(number + 1) % THREADS];
            left[(number + 1) % THREADS] = mine;
            pthread_mutex_unlock(&lock);
            break;
        default: check_and_free(p); *p = taken();
        }
    }
    for (int i = 0; i < PIECES; ++i) check_and_free(&pieces[i]);
    if (number % 2 == 0) cm_leave(&scope);
    return NULL;
}

static void run_threads(void) {
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; ++i) REQUIRE(pthread_create(&threads[i], NULL, work, (void *)(uintptr_t)i) == 0);
    for (size_t i = 0; i < THREADS; ++i) pthread_join(threads[i], NULL);
    for (size_t i = 0; i < THREADS; ++i) check_and_free(&left[i]);
}

/* ---- what the calls are told */

static void *join_and_fail(void *scope) {
    cm_join(scope);
    __wrap_free(__wrap_malloc(100));
    return NULL;
}

static void calls(void) {
    cm_scope outer, inner;
    REQUIRE(cm_current() == NULL && !cm_failed());
    REQUIRE(cm_enter(&outer) && cm_current() == &outer);
    failures = 0;
    __wrap_free(__wrap_malloc(100));
    REQUIRE(!cm_failed());
    REQUIRE(cm_enter(&inner) && cm_prepare(1 << 22));
    failures = 8;
    REQUIRE(cm_system_memory(100) == NULL && !cm_failed()); /* the reserve is not for what can do without */
    char *large = __wrap_malloc(3 << 20), *small = __wrap_malloc(10);
    REQUIRE(large != NULL && small != NULL && cm_failed() && !cm_prepare(10));
    memset(large, 7, 3 << 20);
    REQUIRE(__wrap_malloc((size_t)1 << 40) == NULL);
    cm_leave(&inner);
    REQUIRE(cm_current() == &outer && !cm_failed() && cm_prepare(10));
    for (size_t i = 0; i < 3 << 20; ++i) REQUIRE(large[i] == 7); /* what is in use outlives the call */
    __wrap_free(large);
    __wrap_free(small);
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, join_and_fail, &outer) == 0);
    pthread_join(thread, NULL);
    REQUIRE(cm_failed());
    cm_leave(&outer);
    /* The block that serves everyone is as new when nothing of it is in use. */
    for (int i = 0; i < 100; ++i) {
        char *most = __wrap_malloc(5 << 20);
        REQUIRE(most != NULL && __wrap_malloc(5 << 20) == NULL);
        __wrap_free(most);
    }
    failures = 0;
}

static void *fork_again(void *unused) {
    (void)unused;
    for (int i = 0; i < 30; ++i) {
        pid_t child = fork();
        if (child == 0) {
            alarm(20); /* a lock that a fork left held would wait for ever */
            for (int j = 0; j < 100; ++j) __wrap_free(__wrap_malloc(50));
            _exit(0);
        }
        int status = 0;
        REQUIRE(child > 0 && waitpid(child, &status, 0) == child && status == 0);
    }
    return NULL;
}

int main(void) {
    calls();
    for (failures = 0; failures <= 8; failures += 4) run_threads();
    failures = 4;
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, fork_again, NULL) == 0);
    run_threads();
    pthread_join(thread, NULL);
    puts("ok");
    return 0;
}

/* Preloaded into a process, lets system calls, threads and allocations fail. The process says which with
 * faults_begin(). Files count where they are below a given folder, by whoever they are used. Threads, allocations and
 * the clock count where libfne asks for them. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* ---- what fails */

enum {
    OPEN = 1 << 0,    /* open, openat, opendir */
    READ = 1 << 1,    /* read, pread */
    WRITE = 1 << 2,   /* write, pwrite */
    SYNC = 1 << 3,    /* fsync, fdatasync */
    RENAME = 1 << 4,  /* rename */
    RESIZE = 1 << 5,  /* ftruncate, fallocate */
    MKDIR = 1 << 6,   /* mkdir */
    LIST = 1 << 7,    /* readdir */
    STAT = 1 << 8,    /* stat, lstat, fstat, fstatat */
    UNLINK = 1 << 9,  /* unlink */
    LOCK = 1 << 10,   /* flock */
    CLOSE = 1 << 11,  /* close, which closes all the same */
    MAP = 1 << 12,    /* mmap of a file */
    THREAD = 1 << 13, /* pthread_create */
    MEMORY = 1 << 14, /* malloc, calloc, realloc, posix_memalign of 4096 bytes or more */
    ACCESS = 1 << 15, /* access */
};

enum { GROUPS = 16 };

/* Instead of an errno. */
enum { SHORT = -1, KILL = -2, COPY = -3 };

static struct {
    int armed;
    unsigned groups;
    long first, times;         /* which calls fail: from the first one on, so many; times 0: by chance */
    unsigned long long random; /* the state of the generator */
    unsigned long long chance; /* of 2^32 */
    int error;                 /* an errno, SHORT, KILL or COPY */
    char folders[2048];        /* with colons between them */
    char only[256];            /* only files count whose paths end so */
    char copied[2][1024];      /* COPY: from, to */
    long calls, failed;
    long of_group[GROUPS];
    char said[4096];
} faults;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static uintptr_t code_begin, code_end; /* libfne's */

static int find_code(struct dl_phdr_info *info, size_t size, void *data) {
    (void)size, (void)data;
    if (strstr(info->dlpi_name, "libfne") == NULL) return 0;
    for (int i = 0; i < info->dlpi_phnum; ++i) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        if (part->p_type != PT_LOAD || (part->p_flags & PF_X) == 0) continue;
        code_begin = info->dlpi_addr + part->p_vaddr;
        code_end = code_begin + part->p_memsz;
    }
    return 1;
}

void faults_begin(unsigned groups, long first, long times, unsigned long long seed, double chance, int error,
                  const char *folders, const char *only, const char *from, const char *to) {
    dl_iterate_phdr(find_code, NULL);
    pthread_mutex_lock(&mutex);
    memset(&faults, 0, sizeof faults);
    faults.groups = groups;
    faults.first = first;
    faults.times = times;
    faults.random = seed;
    faults.chance = (unsigned long long)(chance * 4294967296.0);
    faults.error = error;
    snprintf(faults.folders, sizeof faults.folders, "%s", folders);
    snprintf(faults.only, sizeof faults.only, "%s", only);
    snprintf(faults.copied[0], sizeof faults.copied[0], "%s", from);
    snprintf(faults.copied[1], sizeof faults.copied[1], "%s", to);
    faults.armed = 1;
    pthread_mutex_unlock(&mutex);
}

/* Ends it. Returns a line for each of the first calls that failed. Sets how many calls of each group could have failed,
 * and how many did. */
const char *faults_end(long calls[GROUPS], long *failed) {
    pthread_mutex_lock(&mutex);
    faults.armed = 0;
    memcpy(calls, faults.of_group, sizeof faults.of_group);
    *failed = faults.failed;
    pthread_mutex_unlock(&mutex);
    return faults.said;
}

/* Copies the folder as it is now, as a process that is killed now would leave it. */
static void copy(void) {
    char *const arguments[] = {"sh", "-c", "rm -rf \"$1\"; cp -r \"$0\" \"$1\"", faults.copied[0], faults.copied[1],
                               NULL};
    char *const environment[] = {"PATH=/usr/bin:/bin", NULL};
    pid_t child;
    int status;
    if (posix_spawnp(&child, "sh", NULL, NULL, arguments, environment) == 0) waitpid(child, &status, 0);
}

/* Whether this call fails. KILL and COPY are done here, unless the caller has to do a half before. */
static int fails(unsigned group, const char *function, const char *path) {
    if (!__atomic_load_n(&faults.armed, __ATOMIC_RELAXED) || (faults.groups & group) == 0) return 0;
    int result = 0;
    pthread_mutex_lock(&mutex);
    if (faults.armed) {
        long call = faults.calls++;
        ++faults.of_group[__builtin_ctz(group)];
        faults.random = faults.random * 6364136223846793005u + 1442695040888963407u;
        if (faults.times == 0) result = faults.random >> 32 < faults.chance;
        else result = call >= faults.first && call - faults.first < faults.times;
        if (result) {
            size_t used = strlen(faults.said);
            ++faults.failed;
            snprintf(faults.said + used, sizeof faults.said - used, "%s %ld %s\n", function, call, path);
        }
    }
    pthread_mutex_unlock(&mutex);
    return result;
}

static int act(void) {
    if (faults.error == KILL) kill(getpid(), SIGKILL);
    if (faults.error == COPY) copy();
    if (faults.error < 0) return 0;
    errno = faults.error;
    return 1;
}

static int is_watched(const char *path) {
    size_t length = strlen(path), end_length = strlen(faults.only);
    if (length < end_length || strcmp(path + length - end_length, faults.only) != 0) return 0;
    for (const char *folder = faults.folders; *folder != 0;) {
        const char *end = strchr(folder, ':');
        size_t size = end == NULL ? strlen(folder) : (size_t)(end - folder);
        if (strncmp(path, folder, size) == 0 && (path[size] == '/' || path[size] == 0)) return 1;
        folder += size + (end != NULL);
    }
    return 0;
}

static int path_fails(unsigned group, const char *function, const char *path) {
    if (!faults.armed || (faults.groups & group) == 0 || path == NULL || !is_watched(path)) return 0;
    return fails(group, function, path);
}

static int file_fails(unsigned group, const char *function, int file) {
    if (!faults.armed || (faults.groups & group) == 0) return 0;
    char link[64], path[1024];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size <= 0) return 0;
    path[size] = 0;
    return is_watched(path) && fails(group, function, path);
}

static int own_fails(unsigned group, const char *function, void *caller) {
    if (!faults.armed || (faults.groups & group) == 0) return 0;
    if ((uintptr_t)caller < code_begin || (uintptr_t)caller >= code_end) return 0;
    return fails(group, function, "");
}

/* ---- the functions */

#define REAL(name)                 \
    static __typeof__(&name) real; \
    if (real == NULL) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)
/* Another name for it. Its types have other names too, although they are the same on 64 bits. */
#define SAME(other, name) __asm__(".globl " #other "\n.set " #other ", " #name)

int open(const char *path, int flags, ...) {
    REAL(open);
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    return path_fails(OPEN, "open", path) && act() ? -1 : real(path, flags, mode);
}
SAME(open64, open);

int openat(int folder, const char *path, int flags, ...) {
    REAL(openat);
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    int failed = path[0] == '/' ? path_fails(OPEN, "openat", path) : file_fails(OPEN, "openat", folder);
    return failed && act() ? -1 : real(folder, path, flags, mode);
}
SAME(openat64, openat);

DIR *opendir(const char *path) {
    REAL(opendir);
    return path_fails(OPEN, "opendir", path) && act() ? NULL : real(path);
}

struct dirent *readdir(DIR *folder) {
    REAL(readdir);
    return file_fails(LIST, "readdir", dirfd(folder)) && act() ? NULL : real(folder);
}
SAME(readdir64, readdir);

/* Does half of it where the call is to be short, or is to be killed or copied in its middle. */
#define PART(group, name, half, whole)                     \
    REAL(name);                                            \
    if (!file_fails(group, #name, file)) return whole;     \
    if (faults.error == SHORT) return half;                \
    if (faults.error < 0 && (group) == WRITE) (void)!half; \
    return act() ? -1 : whole

ssize_t read(int file, void *bytes, size_t size) {
    PART(READ, read, real(file, bytes, size - size / 2), real(file, bytes, size));
}
ssize_t pread(int file, void *bytes, size_t size, off_t at) {
    PART(READ, pread, real(file, bytes, size - size / 2, at), real(file, bytes, size, at));
}
SAME(pread64, pread);
ssize_t write(int file, const void *bytes, size_t size) {
    REAL(write);
    if (!file_fails(WRITE, "write", file)) return real(file, bytes, size);
    if (faults.error == SHORT) return real(file, bytes, size - size / 2);
    if (faults.error == KILL) (void)!real(file, bytes, size / 2);
    return act() ? -1 : real(file, bytes, size);
}
ssize_t pwrite(int file, const void *bytes, size_t size, off_t at) {
    PART(WRITE, pwrite, real(file, bytes, size - size / 2, at), real(file, bytes, size, at));
}
SAME(pwrite64, pwrite);

int fsync(int file) {
    REAL(fsync);
    return file_fails(SYNC, "fsync", file) && act() ? -1 : real(file);
}
int fdatasync(int file) {
    REAL(fdatasync);
    return file_fails(SYNC, "fdatasync", file) && act() ? -1 : real(file);
}
int rename(const char *from, const char *to) {
    REAL(rename);
    return path_fails(RENAME, "rename", to) && act() ? -1 : real(from, to);
}
int ftruncate(int file, off_t size) {
    REAL(ftruncate);
    return file_fails(RESIZE, "ftruncate", file) && act() ? -1 : real(file, size);
}
SAME(ftruncate64, ftruncate);
int fallocate(int file, int mode, off_t from, off_t size) {
    REAL(fallocate);
    return file_fails(RESIZE, "fallocate", file) && act() ? -1 : real(file, mode, from, size);
}
SAME(fallocate64, fallocate);
int mkdir(const char *path, mode_t mode) {
    REAL(mkdir);
    return path_fails(MKDIR, "mkdir", path) && act() ? -1 : real(path, mode);
}
int unlink(const char *path) {
    REAL(unlink);
    return path_fails(UNLINK, "unlink", path) && act() ? -1 : real(path);
}
int flock(int file, int operation) {
    REAL(flock);
    return file_fails(LOCK, "flock", file) && act() ? -1 : real(file, operation);
}
int close(int file) {
    REAL(close);
    int failed = file_fails(CLOSE, "close", file) && faults.error > 0, result = real(file);
    if (!failed) return result;
    errno = faults.error;
    return -1;
}

int stat(const char *path, struct stat *facts) {
    REAL(stat);
    return path_fails(STAT, "stat", path) && act() ? -1 : real(path, facts);
}
SAME(stat64, stat);
int lstat(const char *path, struct stat *facts) {
    REAL(lstat);
    return path_fails(STAT, "lstat", path) && act() ? -1 : real(path, facts);
}
SAME(lstat64, lstat);
int fstat(int file, struct stat *facts) {
    REAL(fstat);
    return file_fails(STAT, "fstat", file) && act() ? -1 : real(file, facts);
}
SAME(fstat64, fstat);
int fstatat(int folder, const char *path, struct stat *facts, int flags) {
    REAL(fstatat);
    int failed = path[0] == '/' ? path_fails(STAT, "fstatat", path) : file_fails(STAT, "fstatat", folder);
    return failed && act() ? -1 : real(folder, path, facts, flags);
}
SAME(fstatat64, fstatat);
int access(const char *path, int mode) {
    REAL(access);
    return path_fails(ACCESS, "access", path) && act() ? -1 : real(path, mode);
}

void *mmap(void *address, size_t size, int protection, int flags, int file, off_t at) {
    REAL(mmap);
    if (file >= 0 && file_fails(MAP, "mmap", file) && act()) return MAP_FAILED;
    return real(address, size, protection, flags, file, at);
}
SAME(mmap64, mmap);

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument) {
    REAL(pthread_create);
    if (own_fails(THREAD, "pthread_create", __builtin_return_address(0))) return EAGAIN;
    return real(thread, attributes, run, argument);
}

/* The C library's own names for its allocator: looking the usual ones up would allocate. */
extern void *__libc_malloc(size_t size), *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *memory, size_t size), *__libc_memalign(size_t alignment, size_t size);

static int memory_fails(size_t size, const char *function, void *caller) {
    if (size < 4096 || !own_fails(MEMORY, function, caller)) return 0;
    errno = ENOMEM;
    return 1;
}
void *malloc(size_t size) {
    return memory_fails(size, "malloc", __builtin_return_address(0)) ? NULL : __libc_malloc(size);
}
void *calloc(size_t count, size_t size) {
    return memory_fails(count * size, "calloc", __builtin_return_address(0)) ? NULL : __libc_calloc(count, size);
}
void *realloc(void *memory, size_t size) {
    return memory_fails(size, "realloc", __builtin_return_address(0)) ? NULL : __libc_realloc(memory, size);
}
int posix_memalign(void **memory, size_t alignment, size_t size) {
    if (memory_fails(size, "posix_memalign", __builtin_return_address(0))) return ENOMEM;
    *memory = __libc_memalign(alignment, size);
    return *memory == NULL ? ENOMEM : 0;
}

/* libfne's clock runs fast, so that a short job writes many checkpoints. */
int clock_gettime(clockid_t clock, struct timespec *now) {
    REAL(clock_gettime);
    static long calls;
    uintptr_t caller = (uintptr_t)__builtin_return_address(0);
    int result = real(clock, now);
    if (faults.armed && clock == CLOCK_MONOTONIC && caller >= code_begin && caller < code_end)
        now->tv_sec += __atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED);
    return result;
}

/* A library for LD_PRELOAD. A call on a file whose path holds a word fails a number of times, as the test asks through
 * fail(), which it finds in its own process. calls() counts the calls on such files, failed or not. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static char wanted_word[256], wanted_call[16];
static int wanted_error;
static long failures_left, call_count;

/** Arms the library.
 * \param word   a part of the paths; "" switches it off
 * \param call   "open", "fstat", "read" (and pread) or "readdir"
 * \param error  what errno becomes. With 0, the call takes 10 ms instead.
 * \param times  how many calls fail */
void fail(const char *word, const char *call, int error, long times) {
    snprintf(wanted_word, sizeof wanted_word, "%s", word);
    snprintf(wanted_call, sizeof wanted_call, "%s", call);
    wanted_error = error;
    __atomic_store_n(&call_count, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&failures_left, times, __ATOMIC_SEQ_CST);
}

long calls(void) { return __atomic_load_n(&call_count, __ATOMIC_SEQ_CST); }

static int fails_now(const char *call, const char *path) {
    if (wanted_word[0] == 0 || strcmp(call, wanted_call) != 0 || strstr(path, wanted_word) == NULL) return 0;
    __atomic_fetch_add(&call_count, 1, __ATOMIC_SEQ_CST);
    if (__atomic_fetch_sub(&failures_left, 1, __ATOMIC_SEQ_CST) <= 0) return 0;
    if (wanted_error == 0) {
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
        return 0;
    }
    errno = wanted_error;
    return 1;
}

static int file_fails_now(const char *call, int file) {
    if (wanted_word[0] == 0) return 0;
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return fails_now(call, path);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define MODE(flags, mode)                  \
    int mode = 0;                          \
    if ((flags) & (O_CREAT | O_TMPFILE)) { \
        va_list rest;                      \
        va_start(rest, flags);             \
        mode = va_arg(rest, int);          \
        va_end(rest);                      \
    }

int open(const char *path, int flags, ...) {
    MODE(flags, mode)
    return fails_now("open", path) ? -1 : REAL(open)(path, flags, mode);
}
int open64(const char *path, int flags, ...) {
    MODE(flags, mode)
    return fails_now("open", path) ? -1 : REAL(open64)(path, flags, mode);
}
int openat(int folder, const char *path, int flags, ...) {
    MODE(flags, mode)
    return fails_now("open", path) ? -1 : REAL(openat)(folder, path, flags, mode);
}
int openat64(int folder, const char *path, int flags, ...) {
    MODE(flags, mode)
    return fails_now("open", path) ? -1 : REAL(openat64)(folder, path, flags, mode);
}
int fstat(int file, struct stat *facts) { return file_fails_now("fstat", file) ? -1 : REAL(fstat)(file, facts); }
int fstat64(int file, struct stat64 *facts) { return file_fails_now("fstat", file) ? -1 : REAL(fstat64)(file, facts); }
ssize_t read(int file, void *bytes, size_t size) {
    return file_fails_now("read", file) ? -1 : REAL(read)(file, bytes, size);
}
ssize_t pread(int file, void *bytes, size_t size, off_t at) {
    return file_fails_now("read", file) ? -1 : REAL(pread)(file, bytes, size, at);
}
ssize_t pread64(int file, void *bytes, size_t size, off64_t at) {
    return file_fails_now("read", file) ? -1 : REAL(pread64)(file, bytes, size, at);
}
struct dirent *readdir(DIR *folder) { return file_fails_now("readdir", dirfd(folder)) ? NULL : REAL(readdir)(folder); }
struct dirent64 *readdir64(DIR *folder) {
    return file_fails_now("readdir", dirfd(folder)) ? NULL : REAL(readdir64)(folder);
}

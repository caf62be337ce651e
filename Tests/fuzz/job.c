/* Takes the input as a job's folder: its manifest (two bytes of length first), its checkpoint, its failures. Opens the
 * job, reads it and runs what is left of it, and puts it together as a shard. Files cannot grow beyond a megabyte. */
#define _GNU_SOURCE
#include <fne.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64], merged[80];
static const char *const names[] = {"manifest.json",    "images.list",           "checkpoint",   "failures.part",
                                    "features.npy",     "features.npy.part",     "codes.npy",    "codes.npy.part",
                                    "codes_packed.npy", "codes_packed.npy.part", "images.jsonl", "status.npy",
                                    "stats.npy",        "statistics.fne",        "runs.jsonl",   "lock"};

static void put(const char *name, const uint8_t *bytes, size_t size) {
    char path[160];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (file < 0 || write(file, bytes, size) != (ssize_t)size) abort();
    close(file);
}

static void clear(const char *where) {
    char path[160];
    for (size_t i = 0; i < sizeof names / sizeof *names; ++i) {
        snprintf(path, sizeof path, "%s/%s", where, names[i]);
        unlink(path);
    }
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc;
    (void)argv;
    snprintf(folder, sizeof folder, "/dev/shm/fne-fuzz-XXXXXX");
    if (mkdtemp(folder) == NULL) {
        snprintf(folder, sizeof folder, "/tmp/fne-fuzz-XXXXXX");
        if (mkdtemp(folder) == NULL) exit(2);
    }
    snprintf(merged, sizeof merged, "%s/merged", folder);
    signal(SIGXFSZ, SIG_IGN);
    return 0;
}

/* The checksum at the end would keep every mutated checkpoint out: it is made right. */
static void seal(uint8_t *bytes, size_t size) {
    uint64_t sum = 0xcbf29ce484222325;
    if (size < 8) return;
    for (size_t i = 0; i + 8 < size; ++i) sum = (sum ^ bytes[i]) * 0x100000001b3;
    for (int i = 0; i < 8; ++i) bytes[size - 8 + i] = (uint8_t)(sum >> (8 * i));
}

static void use(fne_job *job) {
    fne_progress_info info;
    fne_progress_info_init(&info, sizeof info);
    int known = fne_job_progress_info(job, &info) == FNE_OK;
    if (info.images_done > info.image_count) abort();
    for (uint64_t i = 0; known && i <= info.layer_count && i < 100; ++i) {
        fne_layer_info layer;
        fne_layer_info_init(&layer, sizeof layer);
        if ((fne_job_layer_info(job, i, &layer) == FNE_OK) != (i < info.layer_count)) abort();
    }
    if (known && info.feature_count < 4096 && info.image_count < 4096) fne_job_run(job, NULL);
    fne_statistics *statistics = NULL;
    if (fne_job_statistics(job, &statistics) == FNE_OK) fne_statistics_close(statistics);
    fne_job_close(job);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const struct rlimit limit = {1 << 20, 1 << 20};
    if (size < 4) return -1;
    size_t first = data[0] | (size_t)data[1] << 8, second = data[2] | (size_t)data[3] << 8;
    data += 4;
    size -= 4;
    if (first > size) first = size;
    put("manifest.json", data, first);
    if (second > size - first) second = size - first;
    if (second > 0) {
        uint8_t *checkpoint = malloc(second);
        memcpy(checkpoint, data + first, second);
        seal(checkpoint, second);
        put("checkpoint", checkpoint, second);
        free(checkpoint);
    }
    put("failures.part", data + first + second, size - first - second);
    put("images.list", (const uint8_t *)"a.jpg\0b.jpg\0c.jpg", 18);
    struct rlimit old;
    getrlimit(RLIMIT_FSIZE, &old);
    struct rlimit now = {limit.rlim_cur, old.rlim_max};
    setrlimit(RLIMIT_FSIZE, &now);
    fne_job *job = NULL;
    if (fne_job_open(folder, NULL, NULL, NULL, &job) == FNE_OK) use(job);
    const char *shards[] = {folder};
    job = NULL;
    if (fne_job_open_merge(merged, shards, 1, NULL, &job) == FNE_OK) use(job);
    setrlimit(RLIMIT_FSIZE, &old);
    clear(merged);
    rmdir(merged);
    clear(folder);
    return 0;
}

/* Calls every function of fne.h that computes, in a floating-point environment that the host has changed. Writes what
 * they give to a file. The environment must be the host's again after each call and in each callback, with its
 * exception flags.
 *
 *     float_environment MODE GRAPH SMALL OUT IMAGE...
 *
 * MODE is one of those below. GRAPH is a network for images of 48 x 64 pixels. SMALL has denormal features.
 * OUT is a folder. A codec remarks on the first image. The file OUT/results has a line with a name and a size, and then
 * the bytes, for each result. */
#define _GNU_SOURCE
#include <fne.h>

#include "compact.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- the environment */

typedef struct {
    uint32_t control; /* MXCSR or FPCR, with the exception flags in MXCSR */
    uint32_t other;   /* the control and status words of the x87 unit, or FPSR */
} state;

#if defined(__x86_64__)
static state current(void) {
    state now;
    uint16_t control, status;
    __asm__ volatile("stmxcsr %0\n\tfnstcw %1\n\tfnstsw %2" : "=m"(now.control), "=m"(control), "=m"(status));
    now.other = (uint32_t)control << 16 | status;
    return now;
}

static int set(const char *mode) {
    static const struct {
        const char *name;
        uint32_t mxcsr;
        uint16_t x87;
    } modes[] = {
        {"nearest", 0x1f80, 0x037f}, {"down", 0x3f80, 0x077f}, {"up", 0x5f80, 0x0b7f},      {"zero", 0x7f80, 0x0f7f},
        {"ftz", 0x9f80, 0x037f},     {"daz", 0x1fc0, 0x037f},  {"ftz+daz", 0x9fc0, 0x037f}, {"traps", 0x0000, 0x0340},
    };
    for (size_t i = 0; i < sizeof modes / sizeof *modes; ++i) {
        if (strcmp(mode, modes[i].name) != 0) continue;
        __asm__ volatile("fnclex\n\tfldcw %0\n\tldmxcsr %1" : : "m"(modes[i].x87), "m"(modes[i].mxcsr));
        return 1;
    }
    return 0;
}
#elif defined(__aarch64__)
static state current(void) {
    uint64_t control, flags;
    __asm__ volatile("mrs %0, fpcr\n\tmrs %1, fpsr" : "=r"(control), "=r"(flags));
    return (state){(uint32_t)control, (uint32_t)flags};
}

static int set(const char *mode) {
    static const struct {
        const char *name;
        uint64_t control;
    } modes[] = {
        {"nearest", 0},   {"down", 2 << 22}, {"up", 1 << 22},      {"zero", 3 << 22},
        {"ftz", 1 << 24}, {"daz", 1 << 24},  {"ftz+daz", 1 << 24}, {"traps", 0x9f00},
    };
    for (size_t i = 0; i < sizeof modes / sizeof *modes; ++i) {
        if (strcmp(mode, modes[i].name) != 0) continue;
        __asm__ volatile("msr fpcr, %0\n\tmsr fpsr, %1" : : "r"(modes[i].control), "r"((uint64_t)0));
        return 1;
    }
    return 0;
}
#endif

static state host;
static pthread_t host_thread;

static void expect_host(const char *where) {
    state now = current();
    if (memcmp(&now, &host, sizeof now) == 0) return;
    fprintf(stderr, "%s: the environment is %x %x instead of %x %x\n", where, now.control, now.other, host.control,
            host.other);
    exit(1);
}

/* ---- results */

static FILE *results;

static void record(const char *name, const void *bytes, size_t size) {
    fprintf(results, "%s %zu\n", name, size);
    if (fwrite(bytes, 1, size, results) != size) exit(2);
}

static void succeed(fne_status status, const char *call) {
    expect_host(call);
    if (status == FNE_OK) return;
    fprintf(stderr, "%s: %s: %s\n", call, fne_status_name(status), fne_last_error());
    exit(1);
}
#define CALL(call) succeed(call, #call)
#define CLOSE(call) (call, expect_host(#call))

static int progress_calls, image_errors, log_lines, notices;

static int32_t on_progress(void *user, uint64_t done, uint64_t total) {
    (void)user, (void)done, (void)total;
    expect_host("a progress function");
    ++progress_calls;
    return 0;
}

static int32_t on_job_progress(void *user, int32_t phase, uint64_t done, uint64_t total) {
    (void)phase;
    return on_progress(user, done, total);
}

/* It paints all that libfne does not read grey, but not texts. It runs on threads of the library's own. */
static fne_status on_decoding(void *user, const uint8_t *bytes, uint64_t size, const char *refusal,
                              fne_decoding *decoding) {
    (void)user, (void)refusal;
    if (size == 0 || bytes[0] != 'G') {
        return fne_decoding_message(decoding, "no GIF") == FNE_OK ? FNE_UNSUPPORTED_IMAGE : FNE_IO_ERROR;
    }
    uint8_t *rgb = NULL;
    fne_status status = fne_decoding_rows(decoding, 48, 64, &rgb);
    if (status == FNE_OK) memset(rgb, 128, 48 * 64 * 3);
    return status;
}

static void on_image_error(void *user, uint64_t index, fne_status status, const char *message) {
    (void)user, (void)index, (void)status, (void)message;
    expect_host("an image error function");
    ++image_errors;
}

static void on_notice(void *user, const char *message) {
    (void)user, (void)message;
    expect_host("a notice function");
    ++notices;
}

static void on_log(void *user, int32_t level, const char *message) {
    (void)user, (void)level, (void)message;
    if (!pthread_equal(pthread_self(), host_thread)) return;
    expect_host("a log function");
    ++log_lines;
}

static void record_file(const char *folder, const char *name) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        fprintf(stderr, "%s is missing\n", path);
        exit(1);
    }
    static char bytes[1 << 20];
    record(name, bytes, fread(bytes, 1, sizeof bytes, file));
    fclose(file);
}

static void damage(const char *folder, const char *name) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "r+b");
    if (file == NULL || fseek(file, 200, SEEK_SET) != 0 || fputc('x', file) == EOF || fclose(file) != 0) exit(2);
}

/* ---- functions */

enum { ROWS = 40, FEATURES = 250 };

/* A number that is cheap to make and the same everywhere: a float32 of random bits whose exponent is within a range. */
static float number(uint32_t exponent, uint32_t exponents) {
    static uint64_t seed = 1;
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    uint32_t high = (uint32_t)(seed >> 32);
    uint32_t bits = (high & 0x807fffff) | (exponent + (high >> 23 & 0xff) % exponents) << 23;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void embedding(const char *kind, uint32_t exponent, uint32_t exponents) {
    static float x[ROWS * FEATURES], y[ROWS * FEATURES];
    static double z[ROWS * FEATURES], mean[FEATURES], std[FEATURES];
    static int8_t codes[ROWS * FEATURES];
    char name[64];
    for (size_t i = 0; i < ROWS * FEATURES; ++i) x[i] = number(exponent, exponents);
#define RECORD(what) (snprintf(name, sizeof name, "%s of %s", #what, kind), record(name, what, sizeof what))
    fne_statistics *statistics = NULL, *loaded = NULL;
    CALL(fne_statistics_open(FEATURES, &statistics));
    CALL(fne_statistics_update(statistics, x, ROWS, FEATURES));
    uint64_t size = 0, rows = 0, features = 0;
    CALL(fne_statistics_size(statistics, &size));
    static uint8_t saved[40 + 216 * FEATURES];
    CALL(fne_statistics_save(statistics, saved, sizeof saved));
    RECORD(saved);
    CALL(fne_statistics_load(saved, size, &loaded));
    CALL(fne_statistics_merge(loaded, statistics));
    CALL(fne_statistics_count(loaded, &rows, &features));
    CALL(fne_statistics_moments(loaded, mean, std, FEATURES, 1));
    RECORD(mean);
    RECORD(std);
    CLOSE(fne_statistics_close(loaded));
    CLOSE(fne_statistics_close(statistics));

    CALL(fne_standardize(x, ROWS, FEATURES, mean, std, z, ROWS * FEATURES));
    RECORD(z);
    fne_ternarize_options options;
    fne_ternarize_options_init(&options, sizeof options);
    for (options.rules = FNE_RULES_DOCUMENTED; options.rules <= FNE_RULES_TORCH; ++options.rules) {
        CALL(fne_ternarize(x, ROWS, FEATURES, mean, std, &options, codes, sizeof codes));
        RECORD(codes);
    }
    CALL(fne_l2_normalize(x, ROWS, FEATURES, y, ROWS * FEATURES));
    RECORD(y);

    static uint64_t packed[ROWS * 2 * ((FEATURES + 63) / 64)];
    static int8_t unpacked[ROWS * FEATURES];
    static int32_t products[ROWS * ROWS];
    static uint64_t indices[ROWS * 7];
    static double scores[ROWS * 7];
    uint64_t words = 0;
    CALL(fne_packed_words(FEATURES, &words));
    CALL(fne_pack(codes, ROWS, FEATURES, packed, sizeof packed / sizeof *packed));
    RECORD(packed);
    CALL(fne_unpack(packed, ROWS, FEATURES, unpacked, sizeof unpacked));
    RECORD(unpacked);
    CALL(fne_packed_dot(packed, ROWS, packed, ROWS, FEATURES, 2, products, ROWS * ROWS));
    RECORD(products);
    for (int32_t metric = FNE_METRIC_DOT; metric <= FNE_METRIC_CENTRED; ++metric) {
        CALL(fne_packed_search(packed, ROWS, packed, ROWS, FEATURES, 7, metric, 2, indices, scores, ROWS * 7));
        RECORD(indices);
        RECORD(scores);
    }
    static float mean_code[FEATURES];
    static double offsets[ROWS], centred[ROWS * ROWS];
    CALL(fne_packed_mean(packed, ROWS, FEATURES, 2, mean_code, FEATURES));
    RECORD(mean_code);
    CALL(fne_packed_offsets(packed, ROWS, FEATURES, mean_code, 2, offsets, ROWS));
    RECORD(offsets);
    CALL(fne_packed_dot_centred(packed, ROWS, packed, ROWS, FEATURES, mean_code, 2, centred, ROWS * ROWS));
    RECORD(centred);
    CALL(fne_packed_search_centred(packed, ROWS, packed, ROWS, FEATURES, 7, mean_code, offsets, 2, indices, scores,
                                   ROWS * 7));
    RECORD(indices);
    RECORD(scores);

    enum { PAIRS = ROWS * FEATURES / 2 };
    static uint64_t compact_codes[PAIRS * 2];
    fne_compact *compact = NULL;
    uint64_t compact_features = 0, dimensions = 0;
    CALL(fne_compact_open_memory(compact_bytes, sizeof compact_bytes, &compact));
    CALL(fne_compact_sizes(compact, &compact_features, &dimensions));
    CALL(fne_compact_transform(compact, x, PAIRS, compact_features, 2, compact_codes, PAIRS * 2));
    RECORD(compact_codes);
    CLOSE(fne_compact_close(compact));
}

static void images(const char *path) {
    fne_image_info info;
    fne_image_info_init(&info, sizeof info);
    CALL(fne_image_probe(path, NULL, &info));
    static uint8_t file[1 << 22], rgb[1 << 24], resized[90 * 70 * 3];
    FILE *opened = fopen(path, "rb");
    uint64_t size = opened == NULL ? 0 : fread(file, 1, sizeof file, opened);
    if (opened != NULL) fclose(opened);
    CALL(fne_image_probe_memory(file, size, NULL, &info));
    CALL(fne_image_decode_memory(file, size, NULL, rgb, sizeof rgb, &info));
    CALL(fne_image_decode(path, NULL, rgb, sizeof rgb, &info));
    record("decoded", rgb, (size_t)info.height * info.width * 3);
    for (int32_t way = FNE_INTERPOLATION_BILINEAR; way <= FNE_INTERPOLATION_ANTIALIASED; ++way) {
        CALL(fne_image_resize(rgb, info.height, info.width, way, resized, 90, 70, sizeof resized));
        record("resized", resized, sizeof resized);
    }
}

static void model_facts(const fne_model *model) {
    uint64_t count = 0, layer = 0;
    CALL(fne_model_tensor_count(model, &count));
    fne_tensor_info info;
    fne_tensor_info_init(&info, sizeof info);
    CALL(fne_model_tensor_info(model, count - 1, &info));
    const char *note;
    CALL(fne_model_note_count(model, &count));
    while (count > 0) CALL(fne_model_note(model, --count, &note));
    fne_input_info read;
    fne_input_info_init(&read, sizeof read);
    CALL(fne_model_input_info(model, NULL, &read));
    CALL(fne_model_engine(model, &note));
    char digits[65];
    CALL(fne_model_sha256(model, digits));
    record("sha256", digits, sizeof digits);
    int32_t ranks[64];
    int64_t shapes[64][FNE_SHAPE_RANK];
    CALL(fne_model_shapes(model, NULL, 0, 0, ranks, shapes[0], 64));
    record("shapes", shapes, count * sizeof shapes[0]);
    static const char *const names[] = {"a", "b", "c"}, *const selectors[] = {"last:25%"};
    uint64_t indices[3] = {0};
    CALL(fne_select_layers(selectors, 1, names, NULL, 3, indices, 3, &layer));
    record("selected", indices, layer * sizeof *indices);
}

static void network(const char *kind, const char *path, uint32_t streams, const char *const *files, uint64_t count) {
    static uint8_t graph[1 << 24];
    FILE *opened = fopen(path, "rb");
    uint64_t size = opened == NULL ? 0 : fread(graph, 1, sizeof graph, opened);
    if (opened != NULL) fclose(opened);
    fne_model *model = NULL, *copy = NULL;
    CALL(fne_model_open(path, NULL, &model));
    CALL(fne_model_open_memory(graph, size, NULL, &copy));
    model_facts(copy);
    CLOSE(fne_model_close(copy));

    fne_extractor *extractor = NULL;
    fne_extractor_options options;
    fne_extractor_options_init(&options, sizeof options);
    options.height = 48;
    options.width = 64;
    options.batch_size = 2;
    options.streams = streams;
    options.engine_threads = 1;
    options.decoder = on_decoding;
    options.loader_threads = 2;
    options.on_error = FNE_ON_ERROR_SKIP;
    CALL(fne_extractor_open(model, &options, &extractor));
    uint64_t features = 0, layers = 0;
    CALL(fne_extractor_feature_count(extractor, &features));
    CALL(fne_extractor_layer_count(extractor, &layers));
    fne_layer_info layer;
    fne_layer_info_init(&layer, sizeof layer);
    CALL(fne_extractor_layer_info(extractor, layers - 1, &layer));
    fne_input_info input;
    fne_input_info_init(&input, sizeof input);
    CALL(fne_extractor_input_info(extractor, &input));
    const char *engine = NULL;
    CALL(fne_extractor_engine(extractor, &engine));

    fne_extract_run run;
    fne_extract_run_init(&run, sizeof run);
    run.progress = on_progress;
    run.image_error = on_image_error;
    uint64_t values = count * features;
    float *rows = calloc(values, sizeof *rows);
    int8_t *codes = calloc(values, 1);
    double *mean = calloc(features, sizeof *mean), *std = calloc(features, sizeof *std);
    char name[64];
#define RECORD_ROWS(what, where, bytes) \
    (snprintf(name, sizeof name, "%s of %s", what, kind), record(name, where, bytes))
    CALL(fne_extract_files(extractor, files, count, rows, values, &run));
    RECORD_ROWS("files", rows, values * sizeof *rows);
    CALL(fne_embed_files(extractor, files, count, codes, values, mean, std, features, &run));
    RECORD_ROWS("codes", codes, values);
    RECORD_ROWS("mean", mean, features * sizeof *mean);
    RECORD_ROWS("std", std, features * sizeof *std);

    static uint8_t file[1 << 22], rgb[1 << 24];
    opened = fopen(files[0], "rb");
    fne_encoded_image encoded = {file, opened == NULL ? 0 : fread(file, 1, sizeof file, opened)};
    if (opened != NULL) fclose(opened);
    CALL(fne_extract_encoded(extractor, &encoded, 1, rows, values, NULL));
    RECORD_ROWS("encoded", rows, features * sizeof *rows);
    fne_image_info info;
    fne_image_info_init(&info, sizeof info);
    CALL(fne_image_decode(files[0], NULL, rgb, sizeof rgb, &info));
    fne_pixel_image pixels = {rgb, 0, info.height, info.width, FNE_CHANNELS_RGB, 0};
    CALL(fne_extract_pixels(extractor, &pixels, 1, rows, values, NULL));
    RECORD_ROWS("pixels", rows, features * sizeof *rows);
    static float fed[48 * 64 * 3];
    CALL(fne_extractor_preprocess(extractor, &pixels, fed, 48 * 64 * 3));
    RECORD_ROWS("preprocessed", fed, sizeof fed);
    CALL(fne_extract_tensor(extractor, fed, 48 * 64 * 3, 1, rows, values, NULL));
    RECORD_ROWS("tensor", rows, features * sizeof *rows);
    free(std);
    free(mean);
    free(codes);
    free(rows);
    CLOSE(fne_extractor_close(extractor));
    CLOSE(fne_model_close(model));
}

static void job_contents(const fne_job *job, const fne_model *model, const fne_progress_info *info) {
    fne_extractor *extractor = NULL;
    CALL(fne_job_extractor(job, model, NULL, &extractor));
    CLOSE(fne_extractor_close(extractor));
    CALL(fne_job_extractor(job, NULL, NULL, &extractor));
    CLOSE(fne_extractor_close(extractor));
    const char *text = NULL;
    int32_t statuses[1];
    CALL(fne_job_image_name(job, 0, &text));
    CALL(fne_job_image_reason(job, 0, &text));
    CALL(fne_job_statuses(job, 0, 1, statuses, 1));
    const uint64_t features = info->feature_count, words = 2 * ((features + 63) / 64);
    float *rows = malloc(features * sizeof *rows);
    int8_t *codes = malloc(features);
    uint64_t *packed = malloc(words * sizeof *packed);
    if (rows == NULL || codes == NULL || packed == NULL) abort();
    CALL(fne_job_features(job, 0, 1, rows, features));
    if (info->state == FNE_JOB_FINISHED) {
        CALL(fne_job_codes(job, 0, 1, codes, features));
        CALL(fne_job_packed_codes(job, 0, 1, packed, words));
    }
    free(packed);
    free(codes);
    free(rows);
}

/* Codes in a file, written and read again. */
static void saved_codes(const char *folder) {
    static const int8_t codes[3] = {1, 0, -1};
    uint64_t packed[2] = {0}, again[2] = {0}, rows = 0, features = 0, layers = 0;
    fne_layer_info layer;
    fne_layer_info_init(&layer, sizeof layer);
    layer.name = "layer";
    layer.feature_count = 3;
    CALL(fne_pack(codes, 1, 3, packed, 2));
    char path[4096];
    snprintf(path, sizeof path, "%s/saved.npy", folder);
    fne_codes *file = NULL;
    CALL(fne_packed_save(path, packed, 1, 3, &layer, 1));
    CALL(fne_codes_open(path, &file));
    CALL(fne_codes_sizes(file, &rows, &features, &layers));
    CALL(fne_codes_layer_info(file, 0, &layer));
    CALL(fne_codes_read(file, 0, rows, again, 2));
    CLOSE(fne_codes_close(file));
    record("saved codes", again, sizeof again);
}

static void job_facts(fne_job *job, const fne_model *model, const fne_job_reports *reports) {
    CALL(fne_job_run(job, reports));
    CALL(fne_job_verify(job, reports));
    CALL(fne_job_verify_file(job, "features.npy", 128, 4));
    fne_progress_info info;
    fne_progress_info_init(&info, sizeof info);
    CALL(fne_job_progress_info(job, &info));
    fne_intake_info intake;
    fne_intake_info_init(&intake, sizeof intake);
    CALL(fne_job_intake_info(job, &intake));
    fne_layer_info layer;
    fne_layer_info_init(&layer, sizeof layer);
    CALL(fne_job_layer_info(job, 0, &layer));
    fne_statistics *statistics = NULL;
    CALL(fne_job_statistics(job, &statistics));
    CLOSE(fne_statistics_close(statistics));
    job_contents(job, model, &info);
    CLOSE(fne_job_close(job));
}

static void jobs(const char *path, const char *out, const char *const *files, uint64_t count) {
    fne_model *model = NULL;
    CALL(fne_model_open(path, NULL, &model));
    fne_extractor_options options;
    fne_extractor_options_init(&options, sizeof options);
    options.height = 48;
    options.width = 64;
    options.batch_size = 2;
    options.engine_threads = 1;
    options.decoder = on_decoding;
    fne_job_options job_options;
    fne_job_options_init(&job_options, sizeof job_options);
    job_options.paths = files;
    job_options.path_count = count;
    job_options.shard_count = 2;
    fne_job_reports reports;
    fne_job_reports_init(&reports, sizeof reports);
    reports.progress = on_job_progress;
    reports.image_error = on_image_error;
    reports.notice = on_notice;
    char folders[3][4096];
    fne_job *job = NULL;
    for (uint32_t shard = 0; shard < 2; ++shard) {
        snprintf(folders[shard], sizeof folders[shard], "%s/shard%u", out, (unsigned)shard);
        job_options.shard_index = shard;
        CALL(fne_job_open(folders[shard], model, &options, &job_options, &job));
        job_facts(job, model, &reports);
    }
    snprintf(folders[2], sizeof folders[2], "%s/merged", out);
    fne_job_options_init(&job_options, sizeof job_options);
    job_options.codes = FNE_CODES_INT8 | FNE_CODES_PACKED;
    const char *const shards[] = {folders[0], folders[1]};
    for (int again = 0; again < 2; ++again) { /* the second time the codes are damaged, and a notice says so */
        CALL(fne_job_open_merge(folders[2], shards, 2, &job_options, &job));
        job_facts(job, model, &reports);
        if (again == 0) damage(folders[2], "codes.npy");
    }
    CLOSE(fne_model_close(model));
    static const char *const names[] = {"features.npy", "codes.npy", "codes_packed.npy", "stats.npy", "statistics.fne"};
    for (size_t i = 0; i < sizeof names / sizeof *names; ++i) record_file(folders[2], names[i]);
    saved_codes(out);
}

static int32_t on_listing(void *user, uint64_t found) { return on_progress(user, found, found); }

static void listing(const char *folder) {
    fne_listing *listed = NULL;
    CALL(fne_listing_open(folder, 0, on_listing, NULL, &listed));
    uint64_t count = 0;
    CALL(fne_listing_count(listed, &count));
    const char *name = NULL;
    if (count > 0) CALL(fne_listing_name(listed, 0, &name));
    fne_intake_info intake;
    fne_intake_info_init(&intake, sizeof intake);
    CALL(fne_listing_intake_info(listed, &intake));
    CLOSE(fne_listing_close(listed));
}

int main(int argc, char **argv) {
    if (argc < 6) return 2;
    char path[4096];
    snprintf(path, sizeof path, "%s/results", argv[4]);
    results = fopen(path, "wb");
    const char *const *files = (const char *const *)argv + 5;
    uint64_t count = (uint64_t)argc - 5;
    /* A file that is no image makes the extractions and the jobs report an error. */
    const char **with_bad = calloc(count + 1, sizeof *with_bad);
    if (results == NULL || with_bad == NULL) return 2;
    memcpy(with_bad, files, count * sizeof *with_bad);
    with_bad[count] = argv[2];

    if (!set(argv[1])) return 2;
    host = current();
    host_thread = pthread_self();
    fne_set_log_callback(on_log, NULL);
    expect_host("fne_set_log_callback");
    embedding("ordinary numbers", 120, 16);
    embedding("denormal numbers", 0, 1);
    embedding("small numbers", 0, 30);
    embedding("all numbers", 0, 255);
    images(files[0]);
    CALL(fne_backend_load(NULL));
    const char *version = NULL;
    CALL(fne_backend_info(&version, NULL));
    CALL(fne_engine_load("onnxruntime", NULL));
    CALL(fne_engine_info("onnxruntime", &version, NULL));
    network("one stream", argv[2], 1, with_bad, count + 1);
    network("two streams", argv[2], 2, with_bad, count + 1);
    network("denormal features", argv[3], 1, with_bad, count + 1);
    network("denormal features, two streams", argv[3], 2, with_bad, count + 1);
    jobs(argv[2], argv[4], with_bad, count + 1);
    listing(argv[4]);
    expect_host("the end");
    set("nearest");
    printf("%d %d %d %d\n", progress_calls, image_errors, log_lines, notices);
    free(with_bad);
    return fclose(results) == 0 ? 0 : 1;
}

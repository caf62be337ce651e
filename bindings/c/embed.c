/* Embeds images with libfne:
 *
 *     embed model.pb input_tensor HEIGHTxWIDTH out.npy image...
 *
 * model.pb is a frozen TensorFlow GraphDef. All its convolutional and dense layers are taken, without the classifier's
 * output. Pictures are fed as RGB, 0 to 255. out.npy receives the codes, int8 [images, features] of -1, 0 and 1.
 * out.stats.npy beside it receives the mean and the standard deviation of each feature, float64 [2, features].
 *
 * Build, from the project's folder after `make build`:
 *
 *     gcc -O2 -Ibuild/include bindings/c/embed.c -Lbuild/lib -lfne -Wl,-rpath,"$PWD/build/lib" -o build/embed
 *
 * libfne looks for TensorFlow's library on the system's library path and where FNE_TENSORFLOW says, for example
 *
 *     FNE_TENSORFLOW=.venv/lib/python3.11/site-packages/tensorflow build/embed ...
 */
#include <fne.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Says what libfne says, and leaves. */
static void check(fne_status status) {
    if (status == FNE_OK) return;
    fprintf(stderr, "embed: %s: %s\n", fne_status_name(status), fne_last_error());
    exit(1);
}

static void *allocate(uint64_t count, size_t size) {
    void *memory = count > SIZE_MAX / size ? NULL : malloc(count * size);
    if (memory == NULL) {
        fprintf(stderr, "embed: out of memory\n");
        exit(1);
    }
    return memory;
}

/* Writes a matrix as a NumPy file, version 1.0: magic, header length, a dictionary padded to 64 bytes, the numbers. */
static void save(const char *path, const char *type, const void *numbers, size_t size, uint64_t rows,
                 uint64_t columns) {
    char header[128];
    int length = snprintf(header, sizeof header,
                          "{'descr': '%s', 'fortran_order': False, 'shape': (%" PRIu64 ", %" PRIu64 "), }", type, rows,
                          columns);
    memset(header + length, ' ', sizeof header - (size_t)length);
    header[117] = '\n'; /* 10 bytes stand before the dictionary: 128 in all */
    FILE *file = fopen(path, "wb");
    if (file == NULL || fwrite("\x93NUMPY\x01\x00\x76\x00", 1, 10, file) != 10 || fwrite(header, 1, 118, file) != 118 ||
        fwrite(numbers, size, rows * columns, file) != rows * columns || fclose(file) != 0) {
        fprintf(stderr, "embed: cannot write %s\n", path);
        exit(1);
    }
}

int main(int argc, char **argv) {
    unsigned height, width;
    char rest;
    if (argc < 6 || sscanf(argv[3], "%5ux%5u%c", &height, &width, &rest) != 2) {
        fprintf(stderr, "usage: embed model.pb input_tensor HEIGHTxWIDTH out.npy image...\n");
        return 2;
    }
    const char *out = argv[4];
    const char *const *images = (const char *const *)argv + 5;
    uint64_t count = (uint64_t)argc - 5;

    fne_model *model = NULL;
    check(fne_model_open(argv[1], NULL, &model));

    fne_extractor_options options;
    fne_extractor_options_init(&options, sizeof options);
    options.input_tensor = argv[2];
    options.height = height;
    options.width = width;
    fne_extractor *extractor = NULL;
    check(fne_extractor_open(model, &options, &extractor));
    fne_model_close(model); /* the extractor keeps what it needs */

    uint64_t features = 0;
    check(fne_extractor_feature_count(extractor, &features));
    float *pooled = allocate(count * features, sizeof *pooled);
    check(fne_extract_files(extractor, images, count, pooled, count * features, NULL));
    fne_extractor_close(extractor);

    fne_statistics *statistics = NULL;
    check(fne_statistics_open(features, &statistics));
    check(fne_statistics_update(statistics, pooled, count, features));
    double *mean = allocate(2 * features, sizeof *mean), *std = mean + features;
    check(fne_statistics_moments(statistics, mean, std, features, 0));
    fne_statistics_close(statistics);

    int8_t *codes = allocate(count * features, sizeof *codes);
    check(fne_ternarize(pooled, count, features, mean, std, NULL, codes, count * features));

    save(out, "|i1", codes, sizeof *codes, count, features);
    char stats[4096];
    size_t stem = strlen(out);
    if (stem > 4 && strcmp(out + stem - 4, ".npy") == 0) stem -= 4;
    snprintf(stats, sizeof stats, "%.*s.stats.npy", (int)stem, out);
    save(stats, "<f8", mean, sizeof *mean, 2, features);
    printf("%" PRIu64 " images, %" PRIu64 " features: %s, %s\n", count, features, out, stats);

    free(codes);
    free(mean);
    free(pooled);
    return 0;
}

/* One image at a time from C, for latency.py: `latency NETWORK PHOTOGRAPH SIDE pixels|JPEG FRAMES THREADS`. It measures
 * once for each line that it reads, and answers with the milliseconds of each call. */
#include <fne.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

static void check(fne_status status) {
    if (status == FNE_OK) return;
    fprintf(stderr, "latency: %s\n", fne_last_error());
    exit(1);
}

static void *memory(uint64_t size) {
    void *made = malloc(size);
    if (made == NULL) exit(1);
    return made;
}

static double milliseconds(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return 1e3 * time.tv_sec + 1e-6 * time.tv_nsec;
}

static uint8_t *read_file(const char *path, uint64_t *size) {
    FILE *file = fopen(path, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0) exit(1);
    *size = (uint64_t)ftell(file);
    rewind(file);
    uint8_t *bytes = memory(*size);
    if (fread(bytes, 1, *size, file) != *size) exit(1);
    fclose(file);
    return bytes;
}

int main(int argc, char **argv) {
    if (argc != 7) return 2;
    fne_extractor_options options;
    fne_extractor_options_init(&options, sizeof options);
    options.height = options.width = (uint32_t)atoi(argv[3]);
    options.goal = FNE_GOAL_LATENCY;
    options.engine_threads = (uint32_t)atoi(argv[6]);
    fne_model *model = NULL;
    fne_extractor *extractor = NULL;
    check(fne_model_open(argv[1], NULL, &model));
    check(fne_extractor_open(model, &options, &extractor));
    uint64_t features = 0, size = 0;
    check(fne_extractor_feature_count(extractor, &features));
    float *row = memory(features * sizeof *row);

    uint8_t *bytes = read_file(argv[2], &size);
    fne_image_info info;
    fne_image_info_init(&info, sizeof info);
    check(fne_image_probe_memory(bytes, size, NULL, &info));
    const uint64_t whole = (uint64_t)info.height * info.width * 3, small = (uint64_t)options.height * options.width * 3;
    uint8_t *decoded = memory(whole), *pixels = memory(small);
    check(fne_image_decode_memory(bytes, size, NULL, decoded, whole, NULL));
    check(fne_image_resize(decoded, info.height, info.width, FNE_INTERPOLATION_BILINEAR, pixels, options.height,
                           options.width, small));
    const fne_encoded_image encoded = {.bytes = bytes, .size = size};
    const fne_pixel_image frame = {
        .pixels = pixels, .height = options.height, .width = options.width, .channel_order = FNE_CHANNELS_BGR};
    const int from_pixels = strcmp(argv[4], "pixels") == 0, frames = atoi(argv[5]);
    double *calls = memory((uint64_t)frames * sizeof *calls);
    puts("ready");
    fflush(stdout);
    while (getchar() != EOF) {
        struct rusage before, after;
        double processor = 0;
        for (int i = -5; i < frames; ++i) {
            if (i == 0) {
                getrusage(RUSAGE_SELF, &before);
                processor = milliseconds(CLOCK_PROCESS_CPUTIME_ID);
            }
            const double start = milliseconds(CLOCK_MONOTONIC);
            if (from_pixels) check(fne_extract_pixels(extractor, &frame, 1, row, features, NULL));
            else check(fne_extract_encoded(extractor, &encoded, 1, row, features, NULL));
            if (i >= 0) calls[i] = milliseconds(CLOCK_MONOTONIC) - start;
        }
        processor = milliseconds(CLOCK_PROCESS_CPUTIME_ID) - processor;
        getrusage(RUSAGE_SELF, &after);
        printf("{\"processor\": %f, \"faults\": %f, \"calls\": [", processor / frames,
               (double)(after.ru_minflt - before.ru_minflt) / frames);
        for (int i = 0; i < frames; ++i) printf("%s%f", i == 0 ? "" : ", ", calls[i]);
        puts("]}");
        fflush(stdout);
    }
    free(calls);
    free(pixels);
    free(decoded);
    free(bytes);
    free(row);
    fne_extractor_close(extractor);
    fne_model_close(model);
    return 0;
}

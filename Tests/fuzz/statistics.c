/* Loads the input as saved statistics; what is taken must be usable, and save to the same bytes. */
#include <fne.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition) \
    if (!(condition)) abort()

/* The checksum at the end (docs/numerics.md) would keep every mutated input out: it is made right. */
static void seal(uint8_t *bytes, size_t size) {
    uint64_t sum = 0xcbf29ce484222325;
    for (size_t i = 0; i + 8 < size; ++i) sum = (sum ^ bytes[i]) * 0x100000001b3;
    for (int i = 0; i < 8; ++i) bytes[size - 8 + i] = (uint8_t)(sum >> (8 * i));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 8) return -1;
    uint8_t *bytes = malloc(size);
    memcpy(bytes, data, size);
    if (data[size - 1] % 8 != 0) seal(bytes, size);
    fne_statistics *statistics = NULL;
    if (fne_statistics_load(bytes, size, &statistics) == FNE_OK) {
        uint64_t rows = 0, features = 0, saved = 0;
        CHECK(fne_statistics_count(statistics, &rows, &features) == FNE_OK && features > 0);
        CHECK(fne_statistics_size(statistics, &saved) == FNE_OK && saved == size);
        uint8_t *again = malloc(saved);
        CHECK(fne_statistics_save(statistics, again, saved) == FNE_OK && memcmp(again, bytes, size) == 0);
        free(again);
        double *mean = malloc(2 * features * sizeof *mean);
        fne_status got = fne_statistics_moments(statistics, mean, mean + features, features, 0);
        CHECK((got == FNE_OK) == (rows > 0));
        for (uint64_t i = 0; got == FNE_OK && i < features; ++i) {
            CHECK(isfinite(mean[i]) && isfinite(mean[features + i]) && mean[features + i] >= 0);
        }
        float *row = calloc(features, sizeof *row);
        fne_statistics_update(statistics, row, 1, features);
        fne_statistics_merge(statistics, statistics);
        fne_statistics_moments(statistics, mean, mean + features, features, 1);
        free(row);
        free(mean);
        fne_statistics_close(statistics);
    }
    free(bytes);
    return 0;
}

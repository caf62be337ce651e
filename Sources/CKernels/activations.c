#include "CKernels.h"
#include "loops.h"

#include <stdlib.h>

enum { SPARE = 16 }; // values after a row that the loops may touch

int ck_map_mean(const float *maps, size_t n, size_t height, size_t width, size_t channels, float *mean) {
    float *sums = malloc((channels + SPARE) * sizeof *sums);
    if (sums == NULL) return 1;
    for (size_t i = 0; i < n; ++i, maps += height * width * channels, mean += channels) {
        ck_current_loops()->map_mean(maps, height, width, channels, sums, mean);
    }
    free(sums);
    return 0;
}

int ck_map_mean_bf16(const uint16_t *maps, size_t n, size_t height, size_t width, size_t channels, float *mean) {
    float *sums = malloc((channels + SPARE) * sizeof *sums);
    if (sums == NULL) return 1;
    for (size_t i = 0; i < n; ++i, maps += height * width * channels, mean += channels) {
        ck_current_loops()->map_mean_bf16(maps, height, width, channels, sums, mean);
    }
    free(sums);
    return 0;
}

int ck_lrn_f32(const float *x, size_t positions, size_t channels, const ck_lrn *options, float *y) {
    float *squares = malloc((channels + 2 * options->radius + SPARE) * sizeof *squares);
    if (squares == NULL) return 1;
    ck_current_loops()->lrn(x, positions, channels, options, squares, y);
    free(squares);
    return 0;
}

int ck_lrn_bf16(const uint16_t *x, size_t positions, size_t channels, const ck_lrn *options, uint16_t *y) {
    float *squares = malloc((channels + 2 * options->radius + SPARE) * sizeof *squares);
    if (squares == NULL) return 1;
    ck_current_loops()->lrn_bf16(x, positions, channels, options, squares, y);
    free(squares);
    return 0;
}

void ck_lrn_planes(const float *x, size_t maps, size_t channels, size_t positions, const ck_lrn *options, float *y) {
    const size_t size = channels * positions;
    for (size_t i = 0; i < maps; ++i, x += size, y += size) {
        ck_current_loops()->lrn_planes(x, positions, channels, options, y);
    }
}

void ck_add_bf16(const uint16_t *a, const uint16_t *b, size_t count, int relu, uint16_t *y) {
    ck_current_loops()->add_bf16(a, b, count, relu, y);
}

#include "CKernels.h"
#include "loops.h"

#include <stdlib.h>

enum { SPARE = 16 }; // what the loops may touch behind a row

#define MAP_MEAN(name, type, loop)                                                                          \
    int name(const type *maps, size_t n, size_t height, size_t width, size_t channels, float *mean) {       \
        float *sums = malloc((channels + SPARE) * sizeof *sums);                                            \
        if (sums == NULL) return 1;                                                                         \
        for (size_t i = 0; i < n; ++i) {                                                                    \
            ck_current_loops()->loop(maps + i * height * width * channels, height, width, channels, sums,   \
                                     mean + i * channels);                                                  \
        }                                                                                                   \
        free(sums);                                                                                         \
        return 0;                                                                                           \
    }

MAP_MEAN(ck_map_mean, float, map_mean)
MAP_MEAN(ck_map_mean_bf16, uint16_t, map_mean_bf16)

#define LRN(name, type, loop)                                                                                  \
    int name(const type *x, size_t positions, size_t channels, const ck_lrn *options, type *y) {              \
        float *squares = malloc((channels + 2 * options->radius + SPARE) * sizeof *squares);                  \
        if (squares == NULL) return 1;                                                                         \
        ck_current_loops()->loop(x, positions, channels, options, squares, y);                                 \
        free(squares);                                                                                         \
        return 0;                                                                                              \
    }

LRN(ck_lrn_f32, float, lrn)
LRN(ck_lrn_bf16, uint16_t, lrn_bf16)

void ck_add_bf16(const uint16_t *a, const uint16_t *b, size_t count, int relu, uint16_t *y) {
    ck_current_loops()->add_bf16(a, b, count, relu, y);
}

#include "CKernels.h"

#include <string.h>

#pragma STDC FP_CONTRACT OFF

static uint32_t bits_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

enum { BLOCK = 4096 };

// Whole blocks are tested without a branch a value; the block that fails is searched.
#define FIRST_THAT(name, test)                                      \
    size_t name(const float *values, size_t count) {                \
        for (size_t start = 0; start < count; start += BLOCK) {     \
            size_t end = count - start < BLOCK ? count : start + BLOCK; \
            uint32_t found = 0;                                     \
            for (size_t i = start; i < end; ++i) found |= test;     \
            if (!found) continue;                                   \
            for (size_t i = start; i < end; ++i) {                  \
                if (test) return i;                                 \
            }                                                       \
        }                                                           \
        return count;                                               \
    }

FIRST_THAT(ck_first_not_finite, ((bits_of(values[i]) & 0x7fffffffu) >= 0x7f800000u))
FIRST_THAT(ck_first_nan, ((bits_of(values[i]) & 0x7fffffffu) > 0x7f800000u))

void ck_standardize(const float *x, size_t rows, size_t features, const double *mean, const double *std, double *z) {
    for (size_t row = 0; row < rows; ++row, x += features, z += features) {
        for (size_t f = 0; f < features; ++f) {
            double deviation = (double)x[f] - mean[f];
            z[f] = std[f] == 0 ? 0 : deviation / std[f];
        }
    }
}

void ck_ternarize(const float *x, size_t rows, size_t features, const float *low, const float *high, int8_t *codes) {
    for (size_t row = 0; row < rows; ++row, x += features, codes += features) {
        for (size_t f = 0; f < features; ++f) codes[f] = (int8_t)((x[f] >= high[f]) - (x[f] <= low[f]));
    }
}

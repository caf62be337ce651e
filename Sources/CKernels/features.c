#include "CKernels.h"
#include "loops.h"

#include <math.h>

size_t ck_first_not_finite(const float *values, size_t count) {
    return ck_current_loops()->first_not_finite(values, count);
}

size_t ck_first_nan(const float *values, size_t count) { return ck_current_loops()->first_nan(values, count); }

void ck_standardize(const float *x, size_t rows, size_t features, const double *mean, const double *std, double *z) {
    ck_current_loops()->standardize(x, rows, features, mean, std, z);
}

size_t ck_ternarize(const float *x, size_t rows, size_t features, const float *low, const float *high, int8_t *codes) {
    return ck_current_loops()->ternarize(x, rows, features, low, high, codes);
}

void ck_multiply(const double *x, size_t count, const double *matrix, size_t columns, double *y) {
    ck_current_loops()->multiply(x, count, matrix, columns, y);
}

void ck_l2_normalize(const float *x, size_t rows, size_t features, float *y) {
    for (size_t row = 0; row < rows; ++row, x += features, y += features) {
        // There are eight sums, so that the additions need not wait for each other.
        double sums[8] = {0}, sum = 0;
        size_t f = 0;
        for (; f + 8 <= features; f += 8) {
            for (int k = 0; k < 8; ++k) sums[k] += (double)x[f + (size_t)k] * x[f + (size_t)k];
        }
        for (; f < features; ++f) sum += (double)x[f] * x[f];
        for (int k = 0; k < 8; ++k) sum += sums[k];
        const double norm = fmax(sqrt(sum), 1e-12);
        for (f = 0; f < features; ++f) y[f] = (float)(x[f] / norm);
    }
}

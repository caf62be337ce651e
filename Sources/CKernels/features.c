#include "CKernels.h"
#include "loops.h"

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

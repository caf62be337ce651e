// The hot loops of libfne. They check nothing: sizes and pointers are the callers' matter.
// Floating-point contraction is off, so that every build and every variant gives the same bits.
#ifndef CKERNELS_H
#define CKERNELS_H

#include <stddef.h>
#include <stdint.h>

// ---- images

// Resizes uint8 [height, width, 3], rows stride bytes apart, to dense [new_height, new_width, 3], bilinearly, with the
// positions and the fixed-point arithmetic of OpenCV's INTER_LINEAR. Returns 0, or 1 when memory is short.
int ck_resize_bilinear(const uint8_t *rgb, size_t stride, size_t height, size_t width, uint8_t *resized,
                       size_t new_height, size_t new_width);

// The same with the positions, weights and rounding of Pillow's BILINEAR: where it shrinks, each new sample is a weighted
// mean of all the samples that it covers.
int ck_resize_antialiased(const uint8_t *rgb, size_t stride, size_t height, size_t width, uint8_t *resized,
                          size_t new_height, size_t new_width);

// fed[y, x, c] = (pixels[y, mirror ? width - 1 - x : x, swap ? 2 - c : c] - mean[c]) * scale[c]; rows of pixels are
// stride bytes apart, fed is dense.
void ck_pixels_to_float(const uint8_t *pixels, size_t stride, size_t height, size_t width, int swap, int mirror,
                        const float mean[3], const float scale[3], float *fed);

// ---- features

// The index of the first NaN or infinity, or count.
size_t ck_first_not_finite(const float *values, size_t count);

// The index of the first NaN, or count.
size_t ck_first_nan(const float *values, size_t count);

// z = (x - mean) / std in double; 0 where std is 0. Rows of features values.
void ck_standardize(const float *x, size_t rows, size_t features, const double *mean, const double *std, double *z);

// codes = (x >= high) - (x <= low), feature by feature. Returns the index of the first NaN of x, where it stops, or
// rows * features.
size_t ck_ternarize(const float *x, size_t rows, size_t features, const float *low, const float *high, int8_t *codes);

// ---- exact sums
//
// A sum is a fixed-point number of 32-bit digits in 64-bit lanes, so that many additions fit before carries must be
// passed on: digit d weighs 2^(32 d + origin). All finite float32 and their squares fit without rounding.

enum {
    CK_SUM_LANES = 9,      // origin 2^-149, the smallest float32
    CK_SQUARE_LANES = 18,  // origin 2^-298
    CK_LANES = CK_SUM_LANES + CK_SQUARE_LANES,
    CK_ROWS_PER_CARRY = 64 // rows that may be added between two calls of ck_exact_carry
};

// Adds finite rows to lanes, int64 [features, CK_LANES]: first the sum's, then the square's.
void ck_exact_add(int64_t *lanes, const float *x, size_t rows, size_t features);

// Passes carries on: every lane but a number's last becomes a digit 0 to 2^32 - 1. Equal numbers then have equal lanes.
void ck_exact_carry(int64_t *lanes, size_t features);

// ---- the machine

// The instruction set of the loops in use: "baseline", and on x86-64 "avx2" or "avx512".
const char *ck_variant(void);

// For tests: makes the loops of that name run from now on, NULL the widest ones. Returns 1 and changes nothing where the
// name is unknown or the processor lacks the instructions.
int ck_pin_variant(const char *name);

// The number of processors that this process may run on: what its affinity mask allows, as taskset and batch systems
// set it.
int ck_processor_count(void);

#endif

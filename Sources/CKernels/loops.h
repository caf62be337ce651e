// The innermost loops. Each is compiled once per instruction set (see variants.h). Every variant gives the same bits,
// because operations are not reordered, and fused in block.h alone, where each fused one is spelled out.
#ifndef CK_LOOPS_H
#define CK_LOOPS_H

#include "CKernels.h"

#include <stddef.h>
#include <stdint.h>

// Two neighbouring source samples of a destination sample, and their weights in 1/2048.
typedef struct {
    int32_t first;
    int32_t second;
    int16_t weight[2];
} ck_tap;

// The source samples whose weighted sum a destination sample is. The weights are in 1/2^22.
typedef struct {
    size_t first;
    size_t count;
    int32_t *weights;
} ck_span;

enum { CK_TRIANGLE_BITS = 22, CK_TRIANGLE_ONE = 1 << CK_TRIANGLE_BITS };

// Values of mean and scale repeat every three samples. 48 of them are whole vectors on every machine.
enum { CK_PATTERN = 48 };

// The number of queries that share a pass over a row.
enum { CK_QUERIES = 4 };

// The ways in which a variant counts bits.
#define CK_POPCOUNT_WORDS 0
#define CK_POPCOUNT_AVX2 1
#define CK_POPCOUNT_AVX512 2
#define CK_POPCOUNT_VPOPCNTDQ 3

typedef struct {
    const char *name;

    size_t (*first_not_finite)(const float *values, size_t count);
    size_t (*first_nan)(const float *values, size_t count);
    void (*standardize)(const float *x, size_t rows, size_t features, const double *mean, const double *std, double *z);
    size_t (*ternarize)(const float *x, size_t rows, size_t features, const float *low, const float *high,
                        int8_t *codes);

    // y = x M, as ck_multiply.
    void (*multiply)(const double *x, size_t count, const double *matrix, size_t columns, double *y);

    // Averages a map [height, width, channels] to mean [channels]. sums is scratch memory of channels + 16 floats.
    void (*map_mean)(const float *map, size_t height, size_t width, size_t channels, float *sums, float *mean);
    void (*map_mean_bf16)(const uint16_t *map, size_t height, size_t width, size_t channels, float *sums, float *mean);
    // Local response normalization of [positions, channels]. squares is scratch memory of channels + 2 radius + 16
    // floats.
    void (*lrn)(const float *x, size_t positions, size_t channels, const ck_lrn *options, float *squares, float *y);
    void (*lrn_bf16)(const uint16_t *x, size_t positions, size_t channels, const ck_lrn *options, float *squares,
                     uint16_t *y);
    void (*lrn_planes)(const float *x, size_t positions, size_t channels, const ck_lrn *options, float *y);
    // As ck_run_block, for one image. The outputs are a multiple of CK_BLOCK_UNIT. scratch is of so many floats as
    // block_scratch says, which are zeros or of another run of the same block, and is aligned to a vector. NULL where
    // the variant has no blocks.
    void (*block)(const ck_block *block, const float *x, float *scratch, float *y, float *const means[CK_BLOCK_LAYERS]);
    size_t (*block_scratch)(const ck_block *block);
    // y = a + b. With relu it is at least 0. y may be a or b.
    void (*add_bf16)(const uint16_t *a, const uint16_t *b, size_t count, int relu, uint16_t *y);

    // Compares count queries (1 to CK_QUERIES) with rows of packed codes, as ck_packed_counts does. The numbers of
    // query q begin at q * stride.
    void (*packed_counts)(const uint64_t *queries, size_t count, const uint64_t *base, size_t rows, size_t words,
                          size_t stride, int32_t *both, int32_t *opposite);

    // Counts the codes that are not 0 in each row of packed codes.
    void (*count_codes)(const uint64_t *packed, size_t rows, size_t words, double *counts);

    // Adds the codes of rows of packed codes to the sums of the features.
    void (*sum_codes)(const uint64_t *packed, size_t rows, size_t words, size_t features, int16_t *sums);

    // As the functions of the same names, such as ck_cosines.
    void (*cosines)(const int32_t *both, const int32_t *opposite, size_t rows, const double *counts, double count,
                    double *scores);
    void (*centred_squares)(double *squares, size_t rows, const double *offsets, const ck_centre *centre);
    void (*centred_cosines)(const int32_t *both, const int32_t *opposite, size_t rows, const double *squares,
                            const double *offsets, const ck_centre *centre, double *scores);
    int (*cosines_reach)(const int32_t *both, const int32_t *opposite, size_t rows, const double *counts, double bound);
    int (*centred_cosines_reach)(const int32_t *both, const int32_t *opposite, size_t rows, const double *squares,
                                 const double *offsets, const ck_centre *centre, double bound);

    // Resizes a row of RGB over its width. The weighted sums, in 1/2048, are divided by 16, so that they fit int16.
    // size is the row's number of pixels.
    void (*resize_row)(const uint8_t *row, size_t size, const ck_tap *taps, size_t count, int16_t *out);
    void (*blend_rows)(const int16_t *a, const int16_t *b, int16_t u, int16_t v, size_t count, uint8_t *out);
    void (*halve_row)(const uint8_t *a, const uint8_t *b, size_t count, uint8_t *out);
    void (*shrink_row)(const uint8_t *row, const ck_span *spans, size_t count, uint8_t *out);
    void (*shrink_columns)(const uint8_t *rows, size_t samples, const ck_span *line, int32_t *sums, uint8_t *out);
    void (*to_float)(const uint8_t *samples, size_t count, const float *mean, const float *scale, float *fed);

    // Writes the three samples of each pixel to a plane each, as to_float computes them. count is of pixels.
    void (*to_planes)(const uint8_t *pixels, size_t count, const float mean[3], const float scale[3],
                      float *const planes[3]);
    void (*split_channels)(const float *pixels, size_t count, float *const planes[3]);
} ck_loops;

extern const ck_loops ck_loops_baseline;
#if defined(__x86_64__)
extern const ck_loops ck_loops_avx2;
extern const ck_loops ck_loops_avx512;
extern const ck_loops ck_loops_vpopcntdq;
#endif

// The variant in use.
const ck_loops *ck_current_loops(void);

#endif

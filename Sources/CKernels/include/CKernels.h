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

// The same with the positions, weights and rounding of Pillow's BILINEAR: where it shrinks, each new sample is a
// weighted mean of all the samples that it covers.
int ck_resize_antialiased(const uint8_t *rgb, size_t stride, size_t height, size_t width, uint8_t *resized,
                          size_t new_height, size_t new_width);

// fed[y, x, c] = (pixels[y, mirror ? width - 1 - x : x, swap ? 2 - c : c] - mean[c]) * scale[c]; rows of pixels are
// stride bytes apart, fed is dense.
void ck_pixels_to_float(const uint8_t *pixels, size_t stride, size_t height, size_t width, int swap, int mirror,
                        const float mean[3], const float scale[3], float *fed);

// ---- activations

// The mean over height and width of n maps [height, width, channels], float32 or bfloat16 as its 16 bits, as
// float32 [n, channels]. Returns 0, or 1 when memory is short.
int ck_map_mean(const float *maps, size_t n, size_t height, size_t width, size_t channels, float *mean);
int ck_map_mean_bf16(const uint16_t *maps, size_t n, size_t height, size_t width, size_t channels, float *mean);

typedef struct {
    size_t radius; // channels on each side
    float bias;
    float alpha;
    float beta;
} ck_lrn;

// Local response normalization across channels (TensorFlow's LRN): y = x * (bias + alpha * sum x^2)^-beta, of positions
// times channels values. Returns 0, or 1 when memory is short.
int ck_lrn_f32(const float *x, size_t positions, size_t channels, const ck_lrn *options, float *y);
int ck_lrn_bf16(const uint16_t *x, size_t positions, size_t channels, const ck_lrn *options, uint16_t *y);

// a + b in float32, with relu at least 0, rounded to nearest. y may be a or b.
void ck_add_bf16(const uint16_t *a, const uint16_t *b, size_t count, int relu, uint16_t *y);

// ---- weights

// Rounds weights to bfloat16 so that each channel's sum over its inputs is kept as well as can be: every value to one
// of its two neighbours, the nearer one but for those near the middle that are turned to make up for what the others
// lost. weights are float32 [inputs, channels], with channels_first [channels, inputs], and need not be aligned; scale
// may be NULL, else each channel is multiplied by its factor first. Returns 0, or 1 when memory is short.
int ck_round_bf16(const void *weights, size_t inputs, size_t channels, int channels_first, const double *scale,
                  uint16_t *rounded);

// Each to the nearest, ties to even.
void ck_round_bf16_nearest(const float *values, size_t count, uint16_t *rounded);

// ---- features

// The index of the first NaN or infinity, or count.
size_t ck_first_not_finite(const float *values, size_t count);

// The index of the first NaN, or count.
size_t ck_first_nan(const float *values, size_t count);

// z = (x - mean) / std in double; 0 where std is 0. Rows of features values.
void ck_standardize(const float *x, size_t rows, size_t features, const double *mean, const double *std, double *z);

// Each row over its Euclidean norm: y = x / max(norm, 1e-12), the norm in double. y may be x.
void ck_l2_normalize(const float *x, size_t rows, size_t features, float *y);

// codes = (x >= high) - (x <= low), feature by feature. Returns the index of the first NaN of x, where it stops, or
// rows * features.
size_t ck_ternarize(const float *x, size_t rows, size_t features, const float *low, const float *high, int8_t *codes);

// ---- codes

// Codes -1, 0, 1 as bit planes of (features + 63) / 64 words: bit f % 64 of word f / 64 of nonzero says that code f is
// not 0, the same of negative that it is -1. The bits after the last feature are 0. -128 is taken as 0.
void ck_pack(const int8_t *codes, size_t features, uint64_t *nonzero, uint64_t *negative);
// The place of the first that is none of -1, 0, 1 and -128; count where there is none.
size_t ck_first_bad_code(const int8_t *codes, size_t count);
void ck_unpack(const uint64_t *nonzero, const uint64_t *negative, size_t features, int8_t *codes);

// Of queries and rows of packed codes, [.., 2, words] each: how many features are set in both, and how many of these
// have opposite signs: int32 [query_count, stride], of which the first rows are written. Their difference, both - 2
// opposite, is the dot product.
void ck_packed_counts(const uint64_t *queries, size_t query_count, const uint64_t *base, size_t rows, size_t words,
                      size_t stride, int32_t *both, int32_t *opposite);

// How many features are set in a plane.
uint64_t ck_count_bits(const uint64_t *plane, size_t words);

// ---- exact sums
//
// A sum is a fixed-point number of 32-bit digits in 64-bit lanes, so that many additions fit before carries must be
// passed on: digit d weighs 2^(32 d + origin). All finite float32 and their squares fit without rounding.

enum {
    CK_SUM_LANES = 9,     // origin 2^-149, the smallest float32
    CK_SQUARE_LANES = 18, // origin 2^-298
    CK_LANES = CK_SUM_LANES + CK_SQUARE_LANES,
    CK_ROWS_PER_CARRY = 64 // rows that may be added between two calls of ck_exact_carry
};

// Adds finite rows, stride values apart, to lanes, int64 [features, CK_LANES]: first the sum's, then the square's.
void ck_exact_add(int64_t *lanes, const float *x, size_t rows, size_t stride, size_t features);

// Passes carries on: every lane but a number's last becomes a digit 0 to 2^32 - 1. Equal numbers then have equal lanes.
void ck_exact_carry(int64_t *lanes, size_t features);

// ---- the machine

// Whether the processor computes with bfloat16: 0 TensorFlow refuses to, 1 by way of float32, 2 itself.
int ck_bfloat16_support(void);

// The instruction set of the loops in use: "baseline", and on x86-64 "avx2", "avx512" or "vpopcntdq".
const char *ck_variant(void);

// For tests: makes the loops of that name run from now on, NULL the widest ones. Returns 1 and changes nothing where
// the name is unknown or the processor lacks the instructions.
int ck_pin_variant(const char *name);

// What the arithmetic of the processor can depend on, such as "x86_64 avx2 fma avx512f". Lives as long as the process.
const char *ck_processor_features(void);

// Makes a file at least so long, and takes the room for it from the disk now where the file system can. Returns 0, or
// -1 and errno.
int ck_reserve(int file, int64_t size);

// sqrt(x^2 + y^2). The Swift runtime refers to hypotf, though nothing here calls it; glibc 2.35 has a new version of
// that, which would keep libfne.so from older systems. The Makefile links this one in its place.
float ck_hypotf(float x, float y);

// SHA-256 (FIPS 180-4).
void ck_sha256(const void *bytes, size_t size, uint8_t digest[32]);

// The number of processors that this process may run on: what its affinity mask allows, as taskset and batch systems
// set it.
int ck_processor_count(void);

#endif

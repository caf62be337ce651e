// The hot loops of libfne. They check nothing. The callers must pass right sizes and pointers.
// Multiplications and additions are never fused, so that every build and every variant gives the same bits. In
// ck_run_block alone they are, and each fused one is spelled out.
#ifndef CKERNELS_H
#define CKERNELS_H

#include <stddef.h>
#include <stdint.h>
#if !defined(__x86_64__) && !defined(__aarch64__)
#include <fenv.h>
#endif

// ---- images

// A part of a picture: the place of its first pixel, and its size.
typedef struct {
    size_t top;
    size_t left;
    size_t height;
    size_t width;
} ck_part;

// Resizes uint8 [height, width, 3], whose rows are stride bytes apart, to [new_height, new_width, 3], of which it
// computes one part, without gaps. NULL is the whole. It is bilinear, with the positions and the fixed-point arithmetic
// of OpenCV's INTER_LINEAR. Returns 0, or 1 when memory is short.
int ck_resize_bilinear(const uint8_t *rgb, size_t stride, size_t height, size_t width, uint8_t *resized,
                       size_t new_height, size_t new_width, const ck_part *part);

// Does the same with the positions, weights and rounding of Pillow's BILINEAR. Where the picture shrinks, each new
// sample is a weighted mean of all the old samples that it covers.
int ck_resize_antialiased(const uint8_t *rgb, size_t stride, size_t height, size_t width, uint8_t *resized,
                          size_t new_height, size_t new_width, const ck_part *part);

// Does the same with Pillow's BICUBIC.
int ck_resize_bicubic(const uint8_t *rgb, size_t stride, size_t height, size_t width, uint8_t *resized,
                      size_t new_height, size_t new_width, const ck_part *part);

// Turns uint8 [height, width, 3] by a quarter, to [width, height, 3]: turned[y, x] = rgb[flip ? height - 1 - x : x,
// mirror ? width - 1 - y : y]. No side is 0.
void ck_transpose_pixels(const uint8_t *rgb, size_t height, size_t width, int mirror, int flip, uint8_t *turned);

// mirrored[y, x] = rgb[flip ? height - 1 - y : y, mirror ? width - 1 - x : x], both uint8 [height, width, 3].
void ck_mirror_pixels(const uint8_t *rgb, size_t height, size_t width, int mirror, int flip, uint8_t *mirrored);

// fed[y, x, c] = (pixels[y, mirror ? width - 1 - x : x, swap ? 2 - c : c] - mean[c]) * scale[c]. The rows of pixels are
// stride bytes apart. Those of fed have no gaps.
void ck_pixels_to_float(const uint8_t *pixels, size_t stride, size_t height, size_t width, int swap, int mirror,
                        const float mean[3], const float scale[3], float *fed);

// Does the same with the grey of each pixel, as OpenCV's cvtColor computes it: fed[y, x] = (grey - mean) * scale. With
// swap, the pixels are blue, green, red.
void ck_pixels_to_grey(const uint8_t *pixels, size_t stride, size_t height, size_t width, int swap, int mirror,
                       float mean, float scale, float *fed);

// Does the same as ck_pixels_to_float, with the same bits, as planes: fed[c, y, x].
void ck_pixels_to_planes(const uint8_t *pixels, size_t stride, size_t height, size_t width, int swap, int mirror,
                         const float mean[3], const float scale[3], float *fed);

// planes[c, i] = pixels[i, c]. pixels is [count, 3].
void ck_split_channels(const float *pixels, size_t count, float *planes);

// ---- activations

// Averages n maps [height, width, channels] over height and width, to float32 [n, channels]. The maps are float32, or
// bfloat16 as its 16 bits. Returns 0, or 1 when memory is short.
int ck_map_mean(const float *maps, size_t n, size_t height, size_t width, size_t channels, float *mean);
int ck_map_mean_bf16(const uint16_t *maps, size_t n, size_t height, size_t width, size_t channels, float *mean);

// A convolution with a bias, whose results are limited to low...high. Weights are in TensorFlow's order: [inputs,
// channels] of a convolution of 1 x 1, and [side, side, channels] of a depthwise one.
typedef struct {
    const float *weights;
    const float *bias; // [channels]
    float low;
    float high;
} ck_convolution;

enum {
    CK_BLOCK_SIDE = 5,   // the largest depthwise convolution
    CK_BLOCK_LAYERS = 3, // expansion, depthwise and projection
    CK_BLOCK_UNIT = 16,  // the channels are a multiple of it
    CK_BLOCK_ZEROS = 64, // the most rows or columns of zeros on a side
};

// A depthwise convolution between two convolutions of 1 x 1: the inverted residual block of MobileNet V2 (Sandler et
// al., 2018). Without an expansion, whose weights are NULL then, it is the separable convolution of MobileNet V1.
typedef struct {
    size_t height; // of x
    size_t width;
    size_t inputs;     // channels of x
    size_t channels;   // of the depthwise convolution, a multiple of CK_BLOCK_UNIT; inputs, without an expansion
    size_t outputs;    // channels of y
    size_t side;       // of the depthwise convolution, 3 or CK_BLOCK_SIDE
    size_t stride;     // 1 or 2
    size_t top;        // rows of zeros before the expanded map
    size_t left;       // columns of zeros before it
    size_t right;      // columns of zeros after it
    size_t new_height; // of y
    size_t new_width;
    ck_convolution expansion;
    ck_convolution depthwise;
    ck_convolution projection;
} ck_block;

// Whether the processor has the instructions for ck_run_block. They are AVX2 and FMA.
int ck_has_blocks(void);

// Computes a block of n images: y [n, new_height, new_width, outputs] of x [n, height, width, inputs]. The other maps
// are not kept. means are the averages of the maps of the three layers, whose rows, or bands of rows, are summed first:
// [n, channels], [n, channels] and [n, outputs]. The first are zeros without an expansion. Returns 0, or 1 when memory
// is short.
int ck_run_block(const ck_block *block, const float *x, size_t n, float *y, float *const means[CK_BLOCK_LAYERS]);

typedef struct {
    size_t radius; // channels on each side
    float bias;
    float alpha;
    float beta;
} ck_lrn;

// Local response normalization across channels, which is TensorFlow's LRN: y = x * (bias + alpha * sum x^2)^-beta. The
// sum is over the channels within the radius. x and y are [positions, channels]. Returns 0, or 1 when memory is short.
int ck_lrn_f32(const float *x, size_t positions, size_t channels, const ck_lrn *options, float *y);
int ck_lrn_bf16(const uint16_t *x, size_t positions, size_t channels, const ck_lrn *options, uint16_t *y);

// Does the same for maps [maps, channels, positions], with the same bits. y must not be x.
void ck_lrn_planes(const float *x, size_t maps, size_t channels, size_t positions, const ck_lrn *options, float *y);

// y = a + b, computed in float32 and rounded to nearest. With relu it is at least 0. y may be a or b.
void ck_add_bf16(const uint16_t *a, const uint16_t *b, size_t count, int relu, uint16_t *y);

// ---- weights

// Rounds weights to bfloat16 so that each channel's sum over its inputs is kept as well as possible. Each value becomes
// one of its two neighbours, mostly the nearer one. Some values near the middle become the other one, to make up for
// what the sum lost. weights are float32 [inputs, channels], or [channels, inputs] with channels_first, and need not be
// aligned. Unless scale is NULL, each channel is first multiplied by its factor. Returns 0, or 1 when memory is short.
int ck_round_bf16(const void *weights, size_t inputs, size_t channels, int channels_first, const double *scale,
                  uint16_t *rounded);

// Rounds each value to the nearest bfloat16, ties to even.
void ck_round_bf16_nearest(const float *values, size_t count, uint16_t *rounded);

// ---- features

// Returns the index of the first NaN or infinity, or count where there is none.
size_t ck_first_not_finite(const float *values, size_t count);

// Returns the index of the first NaN, or count where there is none.
size_t ck_first_nan(const float *values, size_t count);

// z = (x - mean) / std, computed in double. z is 0 where std is 0. x and z are [rows, features].
void ck_standardize(const float *x, size_t rows, size_t features, const double *mean, const double *std, double *z);

// Divides each row by its Euclidean norm: y = x / max(norm, 1e-12). The norm is computed in double. y may be x.
void ck_l2_normalize(const float *x, size_t rows, size_t features, float *y);

// codes = (x >= high) - (x <= low), with a low and a high per feature. It stops at the first NaN of x and returns its
// index. Returns rows * features where there is none.
size_t ck_ternarize(const float *x, size_t rows, size_t features, const float *low, const float *high, int8_t *codes);

// ---- codes

// Packs the codes -1, 0 and 1 of a row into two planes of bits, of (features + 63) / 64 words each. Bit f % 64 of word
// f / 64 stands for feature f. In nonzero it says that the code is not 0, in negative that it is -1. The bits after the
// last feature are 0. The code -128 is taken as 0.
void ck_pack(const int8_t *codes, size_t features, uint64_t *nonzero, uint64_t *negative);
// Returns the index of the first code other than -1, 0, 1 and -128, or count where there is none.
size_t ck_first_bad_code(const int8_t *codes, size_t count);
// Unpacks a row that ck_pack packed.
void ck_unpack(const uint64_t *nonzero, const uint64_t *negative, size_t features, int8_t *codes);

// Sums the codes of each feature over rows of packed codes, [rows, 2, words]. So many rows fit into the sums.
enum { CK_ROWS_PER_SUM = INT16_MAX };
void ck_sum_codes(const uint64_t *packed, size_t rows, size_t words, size_t features, int16_t *sums);

// Compares each query with each row of the base. Both are packed codes, [.., 2, words]. both counts the features that
// are not 0 in the two, and opposite counts those of them whose signs differ. So both - 2 * opposite is the dot
// product. The two arrays are int32 [query_count, stride], of which the first `rows` columns are written.
void ck_packed_counts(const uint64_t *queries, size_t query_count, const uint64_t *base, size_t rows, size_t words,
                      size_t stride, int32_t *both, int32_t *opposite);

// Counts the codes that are not 0 in each row of packed codes, [rows, 2, words].
void ck_count_codes(const uint64_t *packed, size_t rows, size_t words, double *counts);

// The scores of rows, by what ck_packed_counts found for a query. The cosine is the dot product over the root of
// count * counts[i], the numbers of codes that are not 0. It is 0 where one of these is 0.
void ck_cosines(const int32_t *both, const int32_t *opposite, size_t rows, const double *counts, double count,
                double *scores);

// What centred scores need of a mean code m, and of a query: its norm less m, and its product with m.
typedef struct {
    double square;  // m.m
    double nearest; // a squared norm that is at most this counts as 0
    double norm;
    double offset;
} ck_centre;

// Makes the squared norms of rows less m of the numbers of codes that are not 0, in their place. offsets are the rows'
// products with m. square = count - offset - offset + m.m, and 0 where that is at most `nearest`.
void ck_centred_squares(double *squares, size_t rows, const double *offsets, const ck_centre *centre);

// The cosine of rows less m: (dot - offset - offsets[i] + m.m) / (norm * sqrt(squares[i])). It is 0 where a norm is 0.
void ck_centred_cosines(const int32_t *both, const int32_t *opposite, size_t rows, const double *squares,
                        const double *offsets, const ck_centre *centre, double *scores);

// Tell whether one of some rows may have at least a score, without a root and without a quotient. The bound is what the
// squares of dot products over the rows' squared norms are compared with, with the signs of the products. Rows without
// a norm reach where the bound is not above 0, and products that are NaN reach.
int ck_cosines_reach(const int32_t *both, const int32_t *opposite, size_t rows, const double *counts, double bound);
int ck_centred_cosines_reach(const int32_t *both, const int32_t *opposite, size_t rows, const double *squares,
                             const double *offsets, const ck_centre *centre, double bound);

// ---- products
//
// y = x M: y[j] is the sum of x[i] * matrix[i * columns + j], with i from 0 on. The order of the additions is part of
// the result.
void ck_multiply(const double *x, size_t count, const double *matrix, size_t columns, double *y);

// ---- exact sums
//
// A sum is a fixed-point number of 32-bit digits. Digit d weighs 2^(32 d + origin). Each digit is in a 64-bit lane, so
// that many numbers can be added before carries must be passed on. All finite float32 and their squares fit without
// rounding.

enum {
    CK_SUM_LANES = 9,     // origin -149, since 2^-149 is the smallest float32
    CK_SQUARE_LANES = 18, // origin -298
    CK_LANES = CK_SUM_LANES + CK_SQUARE_LANES,
    CK_ROWS_PER_CARRY = 64 // rows that may be added between two calls of ck_exact_carry
};

// Adds rows of finite numbers, stride values apart, to lanes, int64 [features, CK_LANES]. A feature's lanes are those
// of the sum, then those of the sum of squares.
void ck_exact_add(int64_t *lanes, const float *x, size_t rows, size_t stride, size_t features);

// Passes the carries on. Every lane but the last of a number becomes a digit 0 to 2^32 - 1. Equal numbers then have
// equal lanes.
void ck_exact_carry(int64_t *lanes, size_t features);

// ---- the floating-point environment
//
// A host program may have changed how its threads round, what they do with denormal numbers, and which exceptions raise
// a signal. A call of the library therefore enters the default environment, and leaves it when it returns. The host's
// exception flags are saved and come back with the rest.

typedef struct ck_float_environment {
#if defined(__x86_64__)
    uint32_t mxcsr;
    uint16_t x87_control;
    uint16_t x87_status;
#elif defined(__aarch64__)
    uint64_t fpcr;
    uint64_t fpsr;
#else
    fenv_t all;
#endif
    struct ck_float_environment *outer; // that of the call within whose callback this one came
} ck_float_environment;

// Saves the calling thread's environment, and sets the default. The struct must stay where it is until the thread
// leaves.
void ck_enter_float_environment(ck_float_environment *saved);
void ck_leave_float_environment(const ck_float_environment *saved);

// Sets the host's environment for a callback. Returns NULL, and changes nothing, on a thread that has entered none.
// Afterwards the default is set again. What the callback has changed is kept for the host.
ck_float_environment *ck_enter_host_float_environment(void);
void ck_leave_host_float_environment(ck_float_environment *saved);

// Sets the default, for a thread of the library's own. It begins with the environment of the thread that started it.
void ck_set_default_float_environment(void);

// ---- the machine

// Returns how well the processor computes with bfloat16. With 0, TensorFlow refuses to. With 1, it computes by way of
// float32. With 2, the processor has instructions for it.
int ck_bfloat16_support(void);

// The name of the loops in use. It is "baseline", or on x86-64 also "avx2", "avx512" or "vpopcntdq".
const char *ck_variant(void);

// Makes the loops of that name run from now on, or with NULL the widest ones. Tests use it. Returns 0, or 1 without a
// change where the name is unknown or the processor lacks the instructions.
int ck_pin_variant(const char *name);

// The processor's abilities that arithmetic can depend on, such as "x86_64 avx2 fma avx512f". The string lives as long
// as the process.
const char *ck_processor_features(void);

// Makes a file at least `size` bytes long. The room is taken from the disk now, where the file system can. Returns 0,
// or -1 with errno set.
int ck_reserve(int file, int64_t size);

// Opens a folder to name files below it, which needs no right to list it. `above` is an open folder, or AT_FDCWD. Swift
// does not see the flag O_PATH. Returns a descriptor, or -1 with errno set.
int ck_open_folder(int above, const char *path);

// sqrt(x^2 + y^2). The Swift runtime refers to hypotf, though nothing calls it. glibc 2.35 has a new version of it,
// which would keep libfne.so from running on older systems. So the Makefile links this function instead.
float ck_hypotf(float x, float y);

// Computes the checksum SHA-256 (FIPS 180-4).
void ck_sha256(const void *bytes, size_t size, uint8_t digest[32]);

// The state of SHA-256 before the first byte.
#define CK_SHA256_START {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19}

// Takes whole blocks of 64 bytes into the state.
void ck_sha256_blocks(uint32_t state[8], const void *bytes, size_t blocks);

// Writes the checksum. The state has taken all whole blocks of `size` bytes, and `rest` are the size % 64 bytes after
// them. The state stays as it is, so that more bytes can follow.
void ck_sha256_end(const uint32_t state[8], const void *rest, uint64_t size, uint8_t digest[32]);

// 1 keeps SHA-256 from the processor's instructions for it. Tests use it.
extern int ck_sha256_is_portable;

// The number of processors that this process may run on. Programs such as taskset, and batch systems, limit it by the
// affinity mask.
int ck_processor_count(void);

#endif

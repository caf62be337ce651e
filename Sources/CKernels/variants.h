// The loops themselves. The file of a variant defines CK_VARIANT, the name of the table, and CK_VARIANT_NAME, its name
// in words. It enables the instruction set and includes this file.
#include "loops.h"

#include <math.h>
#include <string.h>

#pragma STDC FP_CONTRACT OFF

static inline uint32_t bits_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

// ---- vectors
//
// Vectors have sixteen float32 on every machine. So the order of the additions is the same, whatever the registers are.

// The warning is about vectors that are passed to functions. These are inlined, so no vector passes through a call.
#pragma clang diagnostic ignored "-Wpsabi"
#define INLINE static inline __attribute__((always_inline))

typedef float ck_vector __attribute__((vector_size(64)));
typedef uint32_t ck_words __attribute__((vector_size(64)));
typedef int32_t ck_masks __attribute__((vector_size(64)));
typedef int8_t ck_bytes __attribute__((vector_size(16)));
typedef uint16_t ck_halves __attribute__((vector_size(32)));

enum { LANES = 16 };

INLINE ck_vector load_f32(const float *p) {
    ck_vector v;
    memcpy(&v, p, sizeof v);
    return v;
}

INLINE void store_f32(float *p, ck_vector v) { memcpy(p, &v, sizeof v); }

// ---- features

enum { BLOCK = 4096 };

// The index of the first value whose bits, without the sign, are `least` or more. Whole blocks are tested without a
// branch per value. Then the block with such a value is searched.
INLINE size_t first_with_bits(const float *values, size_t count, const uint32_t least) {
    for (size_t start = 0; start < count; start += BLOCK) {
        size_t end = count - start < BLOCK ? count : start + BLOCK;
        uint32_t found = 0;
        for (size_t i = start; i < end; ++i) found |= (bits_of(values[i]) & 0x7fffffffu) >= least;
        if (!found) continue;
        for (size_t i = start; i < end; ++i) {
            if ((bits_of(values[i]) & 0x7fffffffu) >= least) return i;
        }
    }
    return count;
}

enum { BITS_OF_INFINITY = 0x7f800000 }; // the bits of NaN are greater

static size_t first_not_finite(const float *values, size_t count) {
    return first_with_bits(values, count, BITS_OF_INFINITY);
}

static size_t first_nan(const float *values, size_t count) {
    return first_with_bits(values, count, BITS_OF_INFINITY + 1);
}

static void standardize(const float *x, size_t rows, size_t features, const double *mean, const double *std,
                        double *z) {
    for (size_t row = 0; row < rows; ++row, x += features, z += features) {
        for (size_t f = 0; f < features; ++f) {
            double deviation = (double)x[f] - mean[f];
            z[f] = std[f] == 0 ? 0 : deviation / std[f];
        }
    }
}

// Computes the codes of some neighbouring rows, a vector of features at a time. The cuts are loaded once for all these
// rows. Returns the number of features that are done. nan receives whether there was a NaN.
INLINE size_t ternarize_vectors(const float *restrict x, size_t features, const float *restrict low,
                                const float *restrict high, int8_t *restrict codes, uint32_t *nan, const int rows) {
    ck_masks unordered = {0};
    size_t f = 0;
    for (; f + LANES <= features; f += LANES) {
        const ck_vector l = load_f32(low + f), h = load_f32(high + f);
        _Pragma("clang loop unroll(full)") for (int row = 0; row < rows; ++row) {
            const ck_vector v = load_f32(x + (size_t)row * features + f);
            const ck_bytes code = __builtin_convertvector((v <= l) - (v >= h), ck_bytes); // true is -1
            memcpy(codes + (size_t)row * features + f, &code, sizeof code);
            unordered |= v != v;
        }
    }
    for (int i = 0; i < LANES; ++i) *nan |= (uint32_t)unordered[i];
    return f;
}

INLINE int ternarize_rows(const float *x, size_t features, const float *low, const float *high, int8_t *codes,
                          const int rows) {
    uint32_t nan = 0;
    const size_t done = ternarize_vectors(x, features, low, high, codes, &nan, rows);
    for (int row = 0; row < rows; ++row, x += features, codes += features) {
        for (size_t f = done; f < features; ++f) {
            codes[f] = (int8_t)((x[f] >= high[f]) - (x[f] <= low[f]));
            nan |= x[f] != x[f];
        }
    }
    return nan != 0;
}

enum { ROWS_AT_ONCE = 4 };

static size_t ternarize(const float *x, size_t rows, size_t features, const float *low, const float *high,
                        int8_t *codes) {
    size_t row = 0;
    for (; row + ROWS_AT_ONCE <= rows; row += ROWS_AT_ONCE) {
        const float *block = x + row * features;
        if (ternarize_rows(block, features, low, high, codes + row * features, ROWS_AT_ONCE)) {
            return row * features + first_nan(block, ROWS_AT_ONCE * features);
        }
    }
    for (; row < rows; ++row) {
        if (ternarize_rows(x + row * features, features, low, high, codes + row * features, 1)) {
            return row * features + first_nan(x + row * features, features);
        }
    }
    return rows * features;
}

// ---- products

typedef double ck_doubles __attribute__((vector_size(64)));

enum { DOUBLES = 8, SUMS_AT_ONCE = 4 };

// Computes neighbouring columns of a product, a few vectors of them. Their sums stay in registers.
INLINE void multiply_vectors(const double *restrict x, size_t count, const double *restrict matrix, size_t columns,
                             double *restrict y, const int vectors) {
    ck_doubles sums[SUMS_AT_ONCE] = {{0}};
    for (size_t i = 0; i < count; ++i, matrix += columns) {
        _Pragma("clang loop unroll(full)") for (int k = 0; k < vectors; ++k) {
            ck_doubles row;
            memcpy(&row, matrix + k * DOUBLES, sizeof row);
            sums[k] += x[i] * row;
        }
    }
    memcpy(y, sums, (size_t)vectors * sizeof *sums);
}

static void multiply(const double *x, size_t count, const double *matrix, size_t columns, double *y) {
    enum { WIDE = SUMS_AT_ONCE * DOUBLES };
    size_t j = 0;
    for (; j + WIDE <= columns; j += WIDE) multiply_vectors(x, count, matrix + j, columns, y + j, SUMS_AT_ONCE);
    for (; j + DOUBLES <= columns; j += DOUBLES) multiply_vectors(x, count, matrix + j, columns, y + j, 1);
    for (; j < columns; ++j) {
        double sum = 0;
        for (size_t i = 0; i < count; ++i) sum += x[i] * matrix[i * columns + j];
        y[j] = sum;
    }
}

// ---- activations

// A bfloat16 is the upper half of a float32.
INLINE ck_vector load_bf16(const uint16_t *p) {
    ck_halves halves;
    memcpy(&halves, p, sizeof halves);
    ck_words words = __builtin_convertvector(halves, ck_words) << 16;
    ck_vector v;
    memcpy(&v, &words, sizeof v);
    return v;
}

// Stores values rounded to nearest, ties to even. A NaN keeps its upper half and becomes quiet. Rounding could make an
// infinity of it.
INLINE void store_bf16(uint16_t *p, ck_vector v) {
    ck_words words;
    memcpy(&words, &v, sizeof words);
    ck_words rounded = (words + 0x7fff + ((words >> 16) & 1)) >> 16;
    ck_words quiet = (words >> 16) | 0x40;
    ck_words is_nan = (ck_words)(v != v);
    ck_halves halves = __builtin_convertvector((is_nan & quiet) | (~is_nan & rounded), ck_halves);
    memcpy(p, &halves, sizeof halves);
}

static inline float value_f32(float value) { return value; }

static inline float value_bf16(uint16_t value) {
    uint32_t bits = (uint32_t)value << 16;
    float result;
    memcpy(&result, &bits, sizeof result);
    return result;
}

static inline float rounded_f32(float value) { return value; }

static inline uint16_t rounded_bf16(float value) {
    uint32_t bits = bits_of(value);
    if (value != value) return (uint16_t)((bits >> 16) | 0x40);
    return (uint16_t)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

enum { MOST_VECTORS = 8 }; // vectors of channels whose sums are in registers at once

#define VALUE float
#define OF_VALUE(name) name##_f32
#include "maps.h"
#undef VALUE
#undef OF_VALUE

#define VALUE uint16_t
#define OF_VALUE(name) name##_bf16
#include "maps.h"
#undef VALUE
#undef OF_VALUE

// The library is compiled by clang. GCC has no vectors that the conditional operator takes.
#if defined(CK_BLOCK_VECTORS) && defined(__clang__)
#define CK_BLOCKS
#define UNROLL _Pragma("clang loop unroll(full)")
#include "block.h"
#endif

// The maximum of each value and 0. A NaN stays.
INLINE ck_vector at_least_zero(ck_vector v) {
    ck_words bits;
    memcpy(&bits, &v, sizeof bits);
    bits &= ~(ck_words)(v < 0);
    memcpy(&v, &bits, sizeof v);
    return v;
}

static void add_bf16(const uint16_t *a, const uint16_t *b, size_t count, int relu, uint16_t *y) {
    size_t i = 0;
    if (relu) {
        for (; i + LANES <= count; i += LANES) store_bf16(y + i, at_least_zero(load_bf16(a + i) + load_bf16(b + i)));
    } else {
        for (; i + LANES <= count; i += LANES) store_bf16(y + i, load_bf16(a + i) + load_bf16(b + i));
    }
    for (; i < count; ++i) {
        const float sum = value_bf16(a[i]) + value_bf16(b[i]);
        y[i] = rounded_bf16(relu && sum < 0 ? 0 : sum);
    }
}

// ---- codes

// Counting bits. The ways are POPCNT of whole words, tables of half bytes in registers of 32 or 64 bytes, and
// VPOPCNTDQ.
#if CK_POPCOUNT == CK_POPCOUNT_VPOPCNTDQ || CK_POPCOUNT == CK_POPCOUNT_AVX512

typedef __m512i ck_bits;
enum { BITS_WORDS = 8 };
INLINE ck_bits load_bits(const uint64_t *p, size_t left) {
    return left >= 8 ? _mm512_loadu_si512(p) : _mm512_maskz_loadu_epi64((__mmask8)((1u << left) - 1), p);
}
INLINE ck_bits both_bits(ck_bits a, ck_bits b) { return _mm512_and_si512(a, b); }
INLINE ck_bits opposite_bits(ck_bits both, ck_bits s, ck_bits t) { return _mm512_ternarylogic_epi64(both, s, t, 0x60); }
INLINE int64_t total(ck_bits counts) { return _mm512_reduce_add_epi64(counts); }
INLINE ck_bits raised(ck_bits counts) { return _mm512_slli_epi64(counts, 32); }
INLINE ck_bits added(ck_bits a, ck_bits b) { return _mm512_add_epi64(a, b); }
#define NO_BITS _mm512_setzero_si512()

#if CK_POPCOUNT == CK_POPCOUNT_VPOPCNTDQ
INLINE ck_bits count_bits(ck_bits counts, ck_bits x) { return _mm512_add_epi64(counts, _mm512_popcnt_epi64(x)); }
#else
INLINE ck_bits count_bits(ck_bits counts, ck_bits x) {
    const __m512i table = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
    const __m512i half = _mm512_set1_epi8(15);
    const __m512i low = _mm512_shuffle_epi8(table, _mm512_and_si512(x, half));
    const __m512i high = _mm512_shuffle_epi8(table, _mm512_and_si512(_mm512_srli_epi16(x, 4), half));
    return _mm512_add_epi64(counts, _mm512_sad_epu8(_mm512_add_epi8(low, high), _mm512_setzero_si512()));
}
#endif

#elif CK_POPCOUNT == CK_POPCOUNT_AVX2

typedef __m256i ck_bits;
enum { BITS_WORDS = 4 };
INLINE ck_bits load_bits(const uint64_t *p, size_t left) {
    if (left >= 4) return _mm256_loadu_si256((const __m256i *)p);
    const __m256i mask = _mm256_cmpgt_epi64(_mm256_set1_epi64x((long long)left), _mm256_setr_epi64x(0, 1, 2, 3));
    return _mm256_maskload_epi64((const long long *)p, mask);
}
INLINE ck_bits count_bits(ck_bits counts, ck_bits x) {
    const __m256i table = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1, 2, 1, 2, 2, 3, 1, 2,
                                           2, 3, 2, 3, 3, 4);
    const __m256i half = _mm256_set1_epi8(15);
    const __m256i low = _mm256_shuffle_epi8(table, _mm256_and_si256(x, half));
    const __m256i high = _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(x, 4), half));
    return _mm256_add_epi64(counts, _mm256_sad_epu8(_mm256_add_epi8(low, high), _mm256_setzero_si256()));
}
INLINE ck_bits both_bits(ck_bits a, ck_bits b) { return _mm256_and_si256(a, b); }
INLINE ck_bits opposite_bits(ck_bits both, ck_bits s, ck_bits t) {
    return _mm256_and_si256(both, _mm256_xor_si256(s, t));
}
INLINE int64_t total(ck_bits counts) {
    const __m128i sum = _mm_add_epi64(_mm256_castsi256_si128(counts), _mm256_extracti128_si256(counts, 1));
    return _mm_cvtsi128_si64(sum) + _mm_extract_epi64(sum, 1);
}
INLINE ck_bits raised(ck_bits counts) { return _mm256_slli_epi64(counts, 32); }
INLINE ck_bits added(ck_bits a, ck_bits b) { return _mm256_add_epi64(a, b); }
#define NO_BITS _mm256_setzero_si256()

#else

typedef uint64_t ck_bits;
enum { BITS_WORDS = 1 };
INLINE ck_bits load_bits(const uint64_t *p, size_t left) {
    (void)left;
    return *p;
}
INLINE ck_bits count_bits(ck_bits counts, ck_bits x) { return counts + (uint64_t)__builtin_popcountll(x); }
INLINE ck_bits both_bits(ck_bits a, ck_bits b) { return a & b; }
INLINE ck_bits opposite_bits(ck_bits both, ck_bits s, ck_bits t) { return both & (s ^ t); }
INLINE int64_t total(ck_bits counts) { return (int64_t)counts; }
INLINE ck_bits raised(ck_bits counts) { return counts << 32; }
INLINE ck_bits added(ck_bits a, ck_bits b) { return a + b; }
#define NO_BITS 0

#endif

// The totals of as many rows as a vector has words. Word r is the total of counts[r]. The rows are added to one another
// crosswise, which takes a third of the steps of so many sums within a vector.
INLINE ck_bits totals_of_each(const ck_bits counts[BITS_WORDS]) {
#if CK_POPCOUNT == CK_POPCOUNT_VPOPCNTDQ || CK_POPCOUNT == CK_POPCOUNT_AVX512
    __m512i pairs[4], fours[2];
    _Pragma("clang loop unroll(full)") for (int k = 0; k < 4; ++k) {
        pairs[k] = _mm512_add_epi64(_mm512_unpacklo_epi64(counts[2 * k], counts[2 * k + 1]),
                                    _mm512_unpackhi_epi64(counts[2 * k], counts[2 * k + 1]));
    }
    _Pragma("clang loop unroll(full)") for (int k = 0; k < 2; ++k) {
        fours[k] = _mm512_add_epi64(_mm512_shuffle_i64x2(pairs[2 * k], pairs[2 * k + 1], 0x88),
                                    _mm512_shuffle_i64x2(pairs[2 * k], pairs[2 * k + 1], 0xdd));
    }
    return _mm512_add_epi64(_mm512_shuffle_i64x2(fours[0], fours[1], 0x88),
                            _mm512_shuffle_i64x2(fours[0], fours[1], 0xdd));
#elif CK_POPCOUNT == CK_POPCOUNT_AVX2
    __m256i pairs[2];
    _Pragma("clang loop unroll(full)") for (int k = 0; k < 2; ++k) {
        pairs[k] = _mm256_add_epi64(_mm256_unpacklo_epi64(counts[2 * k], counts[2 * k + 1]),
                                    _mm256_unpackhi_epi64(counts[2 * k], counts[2 * k + 1]));
    }
    return _mm256_add_epi64(_mm256_permute2x128_si256(pairs[0], pairs[1], 0x20),
                            _mm256_permute2x128_si256(pairs[0], pairs[1], 0x31));
#else
    return counts[0];
#endif
}

// The totals of two counts. Both are below 2^31, so that they are added up at once, as halves of 64 bits.
INLINE void totals(ck_bits shared, ck_bits differing, int32_t *both, int32_t *opposite) {
    const int64_t sums = total(added(shared, raised(differing)));
    *both = (int32_t)(sums & 0x7fffffff);
    *opposite = (int32_t)(sums >> 32);
}

// Compares some queries with rows. A row is loaded once for all of them.
INLINE void packed_counts_of(const uint64_t *queries, const uint64_t *base, size_t rows, size_t words, size_t stride,
                             int32_t *both, int32_t *opposite, const int count) {
    for (size_t row = 0; row < rows; ++row, base += 2 * words) {
        ck_bits shared[CK_QUERIES], differing[CK_QUERIES];
        for (int q = 0; q < count; ++q) shared[q] = differing[q] = NO_BITS;
        for (size_t w = 0; w < words; w += BITS_WORDS) {
            const size_t left = words - w;
            const ck_bits nonzero = load_bits(base + w, left), negative = load_bits(base + words + w, left);
            _Pragma("clang loop unroll(full)") for (int q = 0; q < count; ++q) {
                const uint64_t *query = queries + 2 * words * (size_t)q + w;
                const ck_bits a = both_bits(nonzero, load_bits(query, left));
                shared[q] = count_bits(shared[q], a);
                differing[q] = count_bits(differing[q], opposite_bits(a, negative, load_bits(query + words, left)));
            }
        }
        for (int q = 0; q < count; ++q) {
            const size_t at = (size_t)q * stride + row;
            totals(shared[q], differing[q], both + at, opposite + at);
        }
    }
}

// The same as lrn_f32 for [channels, positions], with the same bits. A part of the positions stays in the first-level
// cache while all channels pass.
static void lrn_planes(const float *x, size_t positions, size_t channels, const ck_lrn *options, float *y) {
    enum { PART = 512 };
    const size_t radius = options->radius;
    const float bias = options->bias, alpha = options->alpha, beta = options->beta;
    const int roots = beta == 0.75f;
    for (size_t start = 0; start < positions; start += PART) {
        const size_t end = positions - start < PART ? positions : start + PART;
        for (size_t c = 0; c < channels; ++c) {
            const size_t first = c < radius ? 0 : c - radius;
            const size_t window = (channels - c > radius ? c + radius + 1 : channels) - first;
            const float *plane = x + c * positions;
            float *result = y + c * positions;
            size_t i = start;
            for (; roots && i + LANES <= end; i += LANES) {
                const float *p = x + first * positions + i;
                ck_vector sum = {0};
                for (size_t k = 0; k < window; ++k, p += positions) sum += load_f32(p) * load_f32(p);
                ck_vector root = __builtin_elementwise_sqrt(bias + alpha * sum);
                store_f32(result + i, load_f32(plane + i) / (root * __builtin_elementwise_sqrt(root)));
            }
            for (; i < end; ++i) {
                const float *p = x + first * positions + i;
                float sum = 0;
                for (size_t k = 0; k < window; ++k, p += positions) sum += *p * *p;
                const float u = bias + alpha * sum, root = sqrtf(u);
                result[i] = roots ? plane[i] / (root * sqrtf(root)) : plane[i] * powf(u, -beta);
            }
        }
    }
}

// Compares one query with rows. Its speed is that of the memory, so the planes of a row are read one after the other.
// Read side by side, they are two streams in one page, which processors do not foresee, and it has half the speed. The
// bits that are set in both rows wait in the first-level cache.
static void packed_counts_of_one(const uint64_t *query, const uint64_t *base, size_t rows, size_t words, int32_t *both,
                                 int32_t *opposite) {
    enum { CHUNK = 512 };
    uint64_t waiting[CHUNK];
    for (size_t row = 0; row < rows; ++row, base += 2 * words) {
        ck_bits shared = NO_BITS, differing = NO_BITS;
        for (size_t start = 0; start < words; start += CHUNK) {
            const size_t end = words - start < CHUNK ? words : start + CHUNK;
            for (size_t w = start; w < end; w += BITS_WORDS) {
                const ck_bits a = both_bits(load_bits(base + w, end - w), load_bits(query + w, end - w));
                shared = count_bits(shared, a);
                memcpy(waiting + (w - start), &a, sizeof a);
            }
            for (size_t w = start; w < end; w += BITS_WORDS) {
                ck_bits a;
                memcpy(&a, waiting + (w - start), sizeof a);
                differing = count_bits(differing, opposite_bits(a, load_bits(base + words + w, end - w),
                                                                load_bits(query + words + w, end - w)));
            }
        }
        totals(shared, differing, both + row, opposite + row);
    }
}

enum { SHORT_WORDS = 8, SHORT_PARTS = SHORT_WORDS / BITS_WORDS };

// Compares some rows of 512 features, at most as many as a vector has words.
INLINE void packed_counts_of_some(const ck_bits nonzero[SHORT_PARTS], const ck_bits negative[SHORT_PARTS],
                                  const uint64_t *base, const size_t rows, int32_t *both, int32_t *opposite) {
    ck_bits counts[BITS_WORDS];
    for (size_t row = 0; row < BITS_WORDS; ++row) counts[row] = NO_BITS;
    for (size_t row = 0; row < rows; ++row, base += 2 * SHORT_WORDS) {
        ck_bits shared = NO_BITS, differing = NO_BITS;
        _Pragma("clang loop unroll(full)") for (int k = 0; k < SHORT_PARTS; ++k) {
            const uint64_t *part = base + k * BITS_WORDS;
            const ck_bits a = both_bits(load_bits(part, BITS_WORDS), nonzero[k]);
            shared = count_bits(shared, a);
            differing = count_bits(differing, opposite_bits(a, load_bits(part + SHORT_WORDS, BITS_WORDS), negative[k]));
        }
        counts[row] = added(shared, raised(differing)); // as in totals
    }
    const ck_bits found = totals_of_each(counts);
    uint64_t sums[BITS_WORDS];
    memcpy(sums, &found, sizeof found);
    for (size_t row = 0; row < rows; ++row) both[row] = (int32_t)(sums[row] & 0x7fffffff);
    for (size_t row = 0; row < rows; ++row) opposite[row] = (int32_t)(sums[row] >> 32);
}

// Compares one query with rows of 512 features, such as compact codes. The query stays in registers, and a row is two
// neighbouring cache lines.
static void packed_counts_of_short(const uint64_t *query, const uint64_t *base, size_t rows, int32_t *both,
                                   int32_t *opposite) {
    ck_bits nonzero[SHORT_PARTS], negative[SHORT_PARTS];
    for (int k = 0; k < SHORT_PARTS; ++k) {
        nonzero[k] = load_bits(query + k * BITS_WORDS, BITS_WORDS);
        negative[k] = load_bits(query + SHORT_WORDS + k * BITS_WORDS, BITS_WORDS);
    }
    size_t row = 0;
    for (; row + BITS_WORDS <= rows; row += BITS_WORDS) {
        packed_counts_of_some(nonzero, negative, base + 2 * SHORT_WORDS * row, BITS_WORDS, both + row, opposite + row);
    }
    packed_counts_of_some(nonzero, negative, base + 2 * SHORT_WORDS * row, rows - row, both + row, opposite + row);
}

static void packed_counts(const uint64_t *queries, size_t count, const uint64_t *base, size_t rows, size_t words,
                          size_t stride, int32_t *both, int32_t *opposite) {
    switch (count) {
    case 1:
        if (words == SHORT_WORDS) {
            packed_counts_of_short(queries, base, rows, both, opposite);
        } else {
            packed_counts_of_one(queries, base, rows, words, both, opposite);
        }
        break;
    case 2: packed_counts_of(queries, base, rows, words, stride, both, opposite, 2); break;
    case 3: packed_counts_of(queries, base, rows, words, stride, both, opposite, 3); break;
    default: packed_counts_of(queries, base, rows, words, stride, both, opposite, CK_QUERIES);
    }
}

INLINE void count_codes_of_some(const uint64_t *packed, const size_t rows, const size_t words, double *counts) {
    ck_bits bits[BITS_WORDS];
    for (size_t row = 0; row < BITS_WORDS; ++row) bits[row] = NO_BITS;
    for (size_t row = 0; row < rows; ++row, packed += 2 * words) {
        for (size_t w = 0; w < words; w += BITS_WORDS)
            bits[row] = count_bits(bits[row], load_bits(packed + w, words - w));
    }
    const ck_bits found = totals_of_each(bits);
    int64_t sums[BITS_WORDS];
    memcpy(sums, &found, sizeof found);
    for (size_t row = 0; row < rows; ++row) counts[row] = (double)sums[row];
}

INLINE void count_codes_of(const uint64_t *packed, size_t rows, const size_t words, double *counts) {
    size_t row = 0;
    for (; row + BITS_WORDS <= rows; row += BITS_WORDS)
        count_codes_of_some(packed + 2 * words * row, BITS_WORDS, words, counts + row);
    count_codes_of_some(packed + 2 * words * row, rows - row, words, counts + row);
}

static void count_codes(const uint64_t *packed, size_t rows, size_t words, double *counts) {
    if (words == SHORT_WORDS) {
        count_codes_of(packed, rows, SHORT_WORDS, counts);
    } else {
        count_codes_of(packed, rows, words, counts);
    }
}

// Scores. Rows are taken eight at a time. The last ones, which may be fewer, are copied to a place where eight fit.

typedef int32_t ck_integers __attribute__((vector_size(32)));
typedef int64_t ck_choices __attribute__((vector_size(64)));

INLINE ck_doubles load_f64(const double *p) {
    ck_doubles v;
    memcpy(&v, p, sizeof v);
    return v;
}

INLINE ck_doubles load_dots(const int32_t *both, const int32_t *opposite) {
    ck_integers b, o;
    memcpy(&b, both, sizeof b);
    memcpy(&o, opposite, sizeof o);
    return __builtin_convertvector(b, ck_doubles) - 2.0 * __builtin_convertvector(o, ck_doubles);
}

INLINE ck_doubles roots(ck_doubles v) {
#if CK_POPCOUNT == CK_POPCOUNT_VPOPCNTDQ || CK_POPCOUNT == CK_POPCOUNT_AVX512
    const __m512d root = _mm512_sqrt_pd((__m512d)v);
    memcpy(&v, &root, sizeof v);
#elif CK_POPCOUNT == CK_POPCOUNT_AVX2
    __m256d halves[2];
    memcpy(halves, &v, sizeof v);
    for (int k = 0; k < 2; ++k) halves[k] = _mm256_sqrt_pd(halves[k]);
    memcpy(&v, halves, sizeof v);
#else
    for (int k = 0; k < DOUBLES; ++k) v[k] = sqrt(v[k]);
#endif
    return v;
}

// The values where the choice is true, else 0.
INLINE ck_doubles chosen(ck_doubles v, ck_choices where) {
    ck_choices bits;
    memcpy(&bits, &v, sizeof bits);
    bits &= where;
    memcpy(&v, &bits, sizeof v);
    return v;
}

// The quotients; 0 where the divisor is 0.
INLINE ck_doubles quotients(ck_doubles a, ck_doubles divisor) {
    const ck_choices zero = divisor == 0;
    return chosen(a / (divisor - __builtin_convertvector(zero, ck_doubles)), ~zero);
}

INLINE void cosines_of_some(const int32_t *both, const int32_t *opposite, const size_t left, const double *counts,
                            double count, double *scores) {
    int32_t b[DOUBLES] = {0}, o[DOUBLES] = {0};
    double c[DOUBLES] = {0};
    memcpy(b, both, left * sizeof *b);
    memcpy(o, opposite, left * sizeof *o);
    memcpy(c, counts, left * sizeof *c);
    const ck_doubles found = quotients(load_dots(b, o), roots(count * load_f64(c)));
    memcpy(scores, &found, left * sizeof *scores);
}

static void cosines(const int32_t *both, const int32_t *opposite, size_t rows, const double *counts, double count,
                    double *scores) {
    size_t i = 0;
    for (; i + DOUBLES <= rows; i += DOUBLES)
        cosines_of_some(both + i, opposite + i, DOUBLES, counts + i, count, scores + i);
    if (i < rows) cosines_of_some(both + i, opposite + i, rows - i, counts + i, count, scores + i);
}

INLINE void centred_squares_of_some(double *squares, const size_t left, const double *offsets,
                                    const ck_centre *centre) {
    double n[DOUBLES] = {0}, o[DOUBLES] = {0};
    memcpy(n, squares, left * sizeof *n);
    memcpy(o, offsets, left * sizeof *o);
    const ck_doubles squared = load_f64(n) - load_f64(o) - load_f64(o) + centre->square;
    const ck_doubles found = chosen(squared, squared > centre->nearest);
    memcpy(squares, &found, left * sizeof *squares);
}

static void centred_squares(double *squares, size_t rows, const double *offsets, const ck_centre *centre) {
    size_t i = 0;
    for (; i + DOUBLES <= rows; i += DOUBLES) centred_squares_of_some(squares + i, DOUBLES, offsets + i, centre);
    if (i < rows) centred_squares_of_some(squares + i, rows - i, offsets + i, centre);
}

// The dot products of rows less a mean code.
INLINE ck_doubles centred_dots(const int32_t *both, const int32_t *opposite, const double *offsets,
                               const ck_centre *centre) {
    return load_dots(both, opposite) - centre->offset - load_f64(offsets) + centre->square;
}

INLINE void centred_cosines_of_some(const int32_t *both, const int32_t *opposite, const size_t left,
                                    const double *squares, const double *offsets, const ck_centre *centre,
                                    double *scores) {
    int32_t b[DOUBLES] = {0}, o[DOUBLES] = {0};
    double n[DOUBLES] = {0}, s[DOUBLES] = {0};
    memcpy(b, both, left * sizeof *b);
    memcpy(o, opposite, left * sizeof *o);
    memcpy(n, squares, left * sizeof *n);
    memcpy(s, offsets, left * sizeof *s);
    const ck_doubles found = quotients(centred_dots(b, o, s, centre), centre->norm * roots(load_f64(n)));
    memcpy(scores, &found, left * sizeof *scores);
}

static void centred_cosines(const int32_t *both, const int32_t *opposite, size_t rows, const double *squares,
                            const double *offsets, const ck_centre *centre, double *scores) {
    size_t i = 0;
    for (; i + DOUBLES <= rows; i += DOUBLES)
        centred_cosines_of_some(both + i, opposite + i, DOUBLES, squares + i, offsets + i, centre, scores + i);
    if (i < rows)
        centred_cosines_of_some(both + i, opposite + i, rows - i, squares + i, offsets + i, centre, scores + i);
}

// Where a row may reach a score: the dot product times its magnitude is not below the bound times the squared norm. A
// row without a norm has the dot product 0 and counts as if its norm were 1. NaN is not below, so that it reaches.
INLINE ck_choices reaching(ck_doubles dots, ck_doubles squares, double bound) {
    const ck_choices zero = squares == 0, magnitude = (ck_choices){0} + INT64_MAX;
    const ck_doubles product = chosen(dots, ~zero) * chosen(dots, ~zero & magnitude);
    return ~(product < bound * (squares - __builtin_convertvector(zero, ck_doubles)));
}

// Tells whether a choice is true for one of the first `left`.
INLINE int any_of(ck_choices where, const size_t left) {
    int64_t found = 0;
    for (size_t k = 0; k < left; ++k) found |= where[k];
    return found != 0;
}

static int cosines_reach(const int32_t *both, const int32_t *opposite, size_t rows, const double *counts,
                         double bound) {
    ck_choices found = {0};
    size_t i = 0;
    for (; i + DOUBLES <= rows; i += DOUBLES)
        found |= reaching(load_dots(both + i, opposite + i), load_f64(counts + i), bound);
    if (any_of(found, DOUBLES) || i == rows) return any_of(found, DOUBLES);
    int32_t b[DOUBLES] = {0}, o[DOUBLES] = {0};
    double n[DOUBLES] = {0};
    memcpy(b, both + i, (rows - i) * sizeof *b);
    memcpy(o, opposite + i, (rows - i) * sizeof *o);
    memcpy(n, counts + i, (rows - i) * sizeof *n);
    return any_of(reaching(load_dots(b, o), load_f64(n), bound), rows - i);
}

static int centred_cosines_reach(const int32_t *both, const int32_t *opposite, size_t rows, const double *squares,
                                 const double *offsets, const ck_centre *centre, double bound) {
    ck_choices found = {0};
    size_t i = 0;
    for (; i + DOUBLES <= rows; i += DOUBLES)
        found |= reaching(centred_dots(both + i, opposite + i, offsets + i, centre), load_f64(squares + i), bound);
    if (any_of(found, DOUBLES) || i == rows) return any_of(found, DOUBLES);
    int32_t b[DOUBLES] = {0}, o[DOUBLES] = {0};
    double n[DOUBLES] = {0}, s[DOUBLES] = {0};
    memcpy(b, both + i, (rows - i) * sizeof *b);
    memcpy(o, opposite + i, (rows - i) * sizeof *o);
    memcpy(n, squares + i, (rows - i) * sizeof *n);
    memcpy(s, offsets + i, (rows - i) * sizeof *s);
    return any_of(reaching(centred_dots(b, o, s, centre), load_f64(n), bound), rows - i);
}

// Rows are counted in bits: 15 rows give counts of four digits, and 17 such counts sums of eight digits. These are
// added to the features' sums. Features by the hundred share each step, as the digits are planes of bits.
enum { COUNTED_ROWS = 15, COUNT_BITS = 4, SUMMED_ROWS = 17 * COUNTED_ROWS, SUM_BITS = 8 };

// Adds a bit to each count. Digit b of the count of bit f is bit f of digits[b].
INLINE void add_bits(ck_bits digits[COUNT_BITS], ck_bits carry) {
    _Pragma("clang loop unroll(full)") for (int b = 0; b < COUNT_BITS; ++b) {
        const ck_bits sum = digits[b] ^ carry;
        carry = digits[b] & carry;
        digits[b] = sum;
    }
}

INLINE void add_counts(ck_bits sums[SUM_BITS], const ck_bits counts[COUNT_BITS]) {
    ck_bits carry = NO_BITS;
    _Pragma("clang loop unroll(full)") for (int b = 0; b < SUM_BITS; ++b) {
        const ck_bits count = b < COUNT_BITS ? counts[b] : NO_BITS, half = sums[b] ^ count;
        const ck_bits next = (sums[b] & count) | (half & carry);
        sums[b] = half ^ carry;
        carry = next;
    }
}

// Counts in how many rows the bits of some words are set, at most as many words as a vector has.
INLINE void count_rows(const uint64_t *packed, size_t rows, size_t words, const size_t left, ck_bits nonzero[SUM_BITS],
                       ck_bits negative[SUM_BITS]) {
    for (int b = 0; b < SUM_BITS; ++b) nonzero[b] = negative[b] = NO_BITS;
    for (size_t row = 0; row < rows;) {
        const size_t end = rows - row < COUNTED_ROWS ? rows : row + COUNTED_ROWS;
        ck_bits set[COUNT_BITS], minus[COUNT_BITS];
        for (int b = 0; b < COUNT_BITS; ++b) set[b] = minus[b] = NO_BITS;
        for (; row < end; ++row, packed += 2 * words) {
            const ck_bits codes = load_bits(packed, left);
            add_bits(set, codes);
            add_bits(minus, load_bits(packed + words, left) & codes);
        }
        add_counts(nonzero, set);
        add_counts(negative, minus);
    }
}

static void sum_codes(const uint64_t *packed, size_t rows, size_t words, size_t features, int16_t *sums) {
    for (size_t start = 0; start < rows; start += SUMMED_ROWS, packed += 2 * words * SUMMED_ROWS) {
        const size_t count = rows - start < SUMMED_ROWS ? rows - start : SUMMED_ROWS;
        for (size_t w = 0; w < words; w += BITS_WORDS) {
            ck_bits found[2][SUM_BITS];
            uint64_t digits[2][SUM_BITS][BITS_WORDS];
            count_rows(packed + w, count, words, words - w, found[0], found[1]);
            memcpy(digits, found, sizeof found);
            const size_t first = 64 * w, end = features - first < 64 * BITS_WORDS ? features - first : 64 * BITS_WORDS;
            for (size_t f = 0; f < end; ++f) {
                int sum = 0;
                _Pragma("clang loop unroll(full)") for (int b = 0; b < SUM_BITS; ++b) {
                    sum += (int)(digits[0][b][f / 64] >> f % 64 & 1) << b;
                    sum -= (int)(digits[1][b][f / 64] >> f % 64 & 1) << (b + 1);
                }
                sums[first + f] = (int16_t)(sums[first + f] + sum);
            }
        }
    }
}

// ---- images

#if defined(CK_SHUFFLES)

// Computes two pixels at a time. Their 2 x 3 samples are pairs of 16 bits, which pmaddwd multiplies and adds.
static void resize_row(const uint8_t *row, size_t size, const ck_tap *taps, size_t count, int16_t *out) {
    const __m128i pairs = _mm_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1);
    size_t i = 0;
    // Loads and stores are of eight bytes where six are wanted. So the end is done sample by sample.
    for (; i + 3 <= count && taps[i + 1].second == taps[i + 1].first + 1 && taps[i].second == taps[i].first + 1 &&
           3 * (size_t)taps[i + 1].first + 8 <= 3 * size;
         i += 2) {
        int32_t weights[2];
        memcpy(&weights[0], taps[i].weight, 4);
        memcpy(&weights[1], taps[i + 1].weight, 4);
        __m128i a = _mm_shuffle_epi8(_mm_loadl_epi64((const __m128i *)(row + 3 * (size_t)taps[i].first)), pairs);
        __m128i b = _mm_shuffle_epi8(_mm_loadl_epi64((const __m128i *)(row + 3 * (size_t)taps[i + 1].first)), pairs);
        a = _mm_srai_epi32(_mm_madd_epi16(a, _mm_set1_epi32(weights[0])), 4);
        b = _mm_srai_epi32(_mm_madd_epi16(b, _mm_set1_epi32(weights[1])), 4);
        __m128i both = _mm_packs_epi32(a, b);
        _mm_storel_epi64((__m128i *)(out + 3 * i), both);
        _mm_storel_epi64((__m128i *)(out + 3 * i + 3), _mm_unpackhi_epi64(both, both));
    }
    for (; i < count; ++i) {
        const uint8_t *a = row + 3 * (size_t)taps[i].first, *b = row + 3 * (size_t)taps[i].second;
        int32_t u = taps[i].weight[0], v = taps[i].weight[1];
        for (int c = 0; c < 3; ++c) out[3 * i + c] = (int16_t)((a[c] * u + b[c] * v) >> 4);
    }
}

#else

static void resize_row(const uint8_t *row, size_t size, const ck_tap *taps, size_t count, int16_t *out) {
    (void)size;
    for (size_t i = 0; i < count; ++i, out += 3) {
        const uint8_t *a = row + 3 * (size_t)taps[i].first, *b = row + 3 * (size_t)taps[i].second;
        int32_t u = taps[i].weight[0], v = taps[i].weight[1];
        out[0] = (int16_t)((a[0] * u + b[0] * v) >> 4);
        out[1] = (int16_t)((a[1] * u + b[1] * v) >> 4);
        out[2] = (int16_t)((a[2] * u + b[2] * v) >> 4);
    }
}

#endif

static void blend_rows(const int16_t *restrict a, const int16_t *restrict b, int16_t u, int16_t v, size_t count,
                       uint8_t *restrict out) {
    for (size_t i = 0; i < count; ++i) {
        int16_t upper = (int16_t)((a[i] * u) >> 16), lower = (int16_t)((b[i] * v) >> 16);
        out[i] = (uint8_t)((int16_t)(upper + lower + 2) >> 2);
    }
}

static void halve_row(const uint8_t *restrict a, const uint8_t *restrict b, size_t count, uint8_t *restrict out) {
    for (size_t x = 0; x < count; ++x, a += 6, b += 6, out += 3) {
        for (int c = 0; c < 3; ++c) out[c] = (uint8_t)((a[c] + a[c + 3] + b[c] + b[c + 3] + 2) >> 2);
    }
}

static inline uint8_t from_fixed(int32_t sum) {
    int32_t value = sum >> CK_TRIANGLE_BITS;
    return value < 0 ? 0 : value > 255 ? 255 : (uint8_t)value;
}

static void shrink_row(const uint8_t *row, const ck_span *spans, size_t count, uint8_t *out) {
    for (size_t i = 0; i < count; ++i, out += 3) {
        const uint8_t *sample = row + 3 * spans[i].first;
        int32_t red = CK_TRIANGLE_ONE / 2, green = red, blue = red;
        for (size_t k = 0; k < spans[i].count; ++k, sample += 3) {
            int32_t weight = spans[i].weights[k];
            red += sample[0] * weight;
            green += sample[1] * weight;
            blue += sample[2] * weight;
        }
        out[0] = from_fixed(red);
        out[1] = from_fixed(green);
        out[2] = from_fixed(blue);
    }
}

static void shrink_columns(const uint8_t *rows, size_t samples, const ck_span *line, int32_t *restrict sums,
                           uint8_t *restrict out) {
    for (size_t i = 0; i < samples; ++i) sums[i] = CK_TRIANGLE_ONE / 2;
    for (size_t k = 0; k < line->count; ++k) {
        const uint8_t *row = rows + samples * (line->first + k);
        int32_t weight = line->weights[k];
        for (size_t i = 0; i < samples; ++i) sums[i] += row[i] * weight;
    }
    for (size_t i = 0; i < samples; ++i) out[i] = from_fixed(sums[i]);
}

static void to_float(const uint8_t *restrict samples, size_t count, const float *mean, const float *scale,
                     float *restrict fed) {
    size_t i = 0;
    for (; i + CK_PATTERN <= count; i += CK_PATTERN) {
        for (size_t k = 0; k < CK_PATTERN; ++k) fed[i + k] = ((float)samples[i + k] - mean[k]) * scale[k];
    }
    for (size_t k = 0; i < count; ++i, ++k) fed[i] = ((float)samples[i] - mean[k]) * scale[k];
}

static void to_planes(const uint8_t *restrict pixels, size_t count, const float mean[3], const float scale[3],
                      float *const planes[3]) {
    float *restrict first = planes[0], *restrict second = planes[1], *restrict third = planes[2];
    const float means[3] = {mean[0], mean[1], mean[2]}, scales[3] = {scale[0], scale[1], scale[2]};
    for (size_t i = 0; i < count; ++i) {
        first[i] = ((float)pixels[3 * i] - means[0]) * scales[0];
        second[i] = ((float)pixels[3 * i + 1] - means[1]) * scales[1];
        third[i] = ((float)pixels[3 * i + 2] - means[2]) * scales[2];
    }
}

static void split_channels(const float *restrict pixels, size_t count, float *const planes[3]) {
    float *restrict first = planes[0], *restrict second = planes[1], *restrict third = planes[2];
    for (size_t i = 0; i < count; ++i) {
        first[i] = pixels[3 * i];
        second[i] = pixels[3 * i + 1];
        third[i] = pixels[3 * i + 2];
    }
}

const ck_loops CK_VARIANT = {
    .name = CK_VARIANT_NAME,
    .first_not_finite = first_not_finite,
    .first_nan = first_nan,
    .standardize = standardize,
    .multiply = multiply,
    .ternarize = ternarize,
    .map_mean = map_mean_f32,
    .map_mean_bf16 = map_mean_bf16,
    .lrn = lrn_f32,
    .lrn_bf16 = lrn_bf16,
    .lrn_planes = lrn_planes,
#if defined(CK_BLOCKS)
    .block = block_image,
    .block_scratch = block_scratch_size,
#endif
    .add_bf16 = add_bf16,
    .packed_counts = packed_counts,
    .count_codes = count_codes,
    .sum_codes = sum_codes,
    .cosines = cosines,
    .centred_squares = centred_squares,
    .centred_cosines = centred_cosines,
    .cosines_reach = cosines_reach,
    .centred_cosines_reach = centred_cosines_reach,
    .resize_row = resize_row,
    .blend_rows = blend_rows,
    .halve_row = halve_row,
    .shrink_row = shrink_row,
    .shrink_columns = shrink_columns,
    .to_float = to_float,
    .to_planes = to_planes,
    .split_channels = split_channels,
};

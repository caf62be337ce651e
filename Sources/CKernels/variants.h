// The loops themselves. A file of a variant defines CK_VARIANT, the table's name, and CK_VARIANT_NAME, opens the
// instruction set, and includes this.
#include "loops.h"

#include <string.h>

#pragma STDC FP_CONTRACT OFF

static inline uint32_t bits_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

// ---- features

enum { BLOCK = 4096 };

// Whole blocks are tested without a branch a value; the block that fails is searched.
#define FIRST_THAT(name, test)                                          \
    static size_t name(const float *values, size_t count) {             \
        for (size_t start = 0; start < count; start += BLOCK) {         \
            size_t end = count - start < BLOCK ? count : start + BLOCK; \
            uint32_t found = 0;                                         \
            for (size_t i = start; i < end; ++i) found |= test;         \
            if (!found) continue;                                       \
            for (size_t i = start; i < end; ++i) {                      \
                if (test) return i;                                     \
            }                                                           \
        }                                                               \
        return count;                                                   \
    }

FIRST_THAT(first_not_finite, ((bits_of(values[i]) & 0x7fffffffu) >= 0x7f800000u))
FIRST_THAT(first_nan, ((bits_of(values[i]) & 0x7fffffffu) > 0x7f800000u))

static void standardize(const float *x, size_t rows, size_t features, const double *mean, const double *std,
                        double *z) {
    for (size_t row = 0; row < rows; ++row, x += features, z += features) {
        for (size_t f = 0; f < features; ++f) {
            double deviation = (double)x[f] - mean[f];
            z[f] = std[f] == 0 ? 0 : deviation / std[f];
        }
    }
}

static size_t ternarize(const float *x, size_t rows, size_t features, const float *low, const float *high,
                        int8_t *codes) {
    for (size_t row = 0; row < rows; ++row) {
        const float *restrict values = x + row * features;
        int8_t *restrict out = codes + row * features;
        for (size_t start = 0; start < features; start += BLOCK) {
            size_t end = features - start < BLOCK ? features : start + BLOCK;
            uint32_t nan = 0;
            for (size_t f = start; f < end; ++f) {
                out[f] = (int8_t)((values[f] >= high[f]) - (values[f] <= low[f]));
                nan |= values[f] != values[f];
            }
            if (nan) return row * features + start + first_nan(values + start, end - start);
        }
    }
    return rows * features;
}

// ---- images

#if defined(CK_SHUFFLES)

// Two pixels at a time: their 2 x 3 samples as pairs of 16 bits, multiplied and summed by pmaddwd.
static void resize_row(const uint8_t *row, size_t size, const ck_tap *taps, size_t count, int16_t *out) {
    const __m128i pairs = _mm_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1);
    size_t i = 0;
    // Loads are of eight bytes, stores of eight where six are wanted: the ends are done sample by sample.
    for (; i + 3 <= count && taps[i + 1].second == taps[i + 1].first + 1
           && taps[i].second == taps[i].first + 1 && 3 * (size_t)taps[i + 1].first + 8 <= 3 * size; i += 2) {
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

const ck_loops CK_VARIANT = {
    CK_VARIANT_NAME, first_not_finite, first_nan,  standardize,    ternarize, resize_row,
    blend_rows,      halve_row,        shrink_row, shrink_columns, to_float,
};

#include "CKernels.h"
#include "loops.h"

#include <string.h>

enum { GROUP = 8 }; // codes that are taken at once, as the bytes of a word

// Gathers the lowest bits of eight bytes into one byte. The first byte's bit becomes bit 0.
static uint64_t gathered(uint64_t bytes) { return ((bytes & 0x0101010101010101u) * 0x0102040810204080u) >> 56; }

size_t ck_first_bad_code(const int8_t *codes, size_t count) {
    enum { BLOCK = 4096 };
    for (size_t start = 0; start < count; start += BLOCK) {
        const size_t end = count - start < BLOCK ? count : start + BLOCK;
        uint8_t bad = 0; // there is no branch, so that many codes are tested at once
        for (size_t i = start; i < end; ++i)
            bad |= (uint8_t)((uint8_t)(codes[i] + 1) > 2) & (uint8_t)(codes[i] != INT8_MIN);
        for (size_t i = start; bad && i < end; ++i) {
            if ((codes[i] < -1 || codes[i] > 1) && codes[i] != INT8_MIN) return i;
        }
    }
    return count;
}

void ck_pack(const int8_t *codes, size_t features, uint64_t *nonzero, uint64_t *negative) {
    for (size_t word = 0, f = 0; f < features; ++word) {
        uint64_t set = 0, minus = 0;
        for (int bit = 0; bit < 64 && f < features; bit += GROUP, f += GROUP) {
            uint64_t bytes = 0;
            if (features - f >= GROUP) {
                memcpy(&bytes, codes + f, GROUP);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
                bytes = __builtin_bswap64(bytes);
#endif
            } else {
                for (size_t k = 0; k < features - f; ++k) bytes |= (uint64_t)(uint8_t)codes[f + k] << 8 * k;
            }
            // 1 and -1 are odd. -1 and -128 have their top bit set.
            set |= gathered(bytes) << bit;
            minus |= gathered(bytes >> 7) << bit;
        }
        nonzero[word] = set;
        negative[word] = minus & set;
    }
}

// Spreads the eight bits of a byte over the bytes of a word. The lowest bit becomes the first byte.
static uint64_t spread(uint64_t bits) {
    const uint64_t one_each = ((bits & 0xff) * 0x0101010101010101u) & 0x8040201008040201u;
    return (one_each + 0x7f7f7f7f7f7f7f7fu) >> 7 & 0x0101010101010101u;
}

void ck_unpack(const uint64_t *nonzero, const uint64_t *negative, size_t features, int8_t *codes) {
    for (size_t f = 0; f < features; f += GROUP) {
        const uint64_t set = nonzero[f / 64] >> f % 64, minus = negative[f / 64] >> f % 64 & set;
        uint64_t bytes = spread(set) + spread(minus) * 0xfe; // a byte is 1, or 1 + 0xfe, which is -1
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        bytes = __builtin_bswap64(bytes);
#endif
        memcpy(codes + f, &bytes, features - f < GROUP ? features - f : GROUP);
    }
}

void ck_sum_codes(const uint64_t *packed, size_t rows, size_t words, size_t features, int16_t *sums) {
    memset(sums, 0, features * sizeof *sums);
    ck_current_loops()->sum_codes(packed, rows, words, features, sums);
}

void ck_packed_counts(const uint64_t *queries, size_t query_count, const uint64_t *base, size_t rows, size_t words,
                      size_t stride, int32_t *both, int32_t *opposite) {
    for (size_t q = 0; q < query_count; q += CK_QUERIES) {
        const size_t count = query_count - q < CK_QUERIES ? query_count - q : CK_QUERIES;
        ck_current_loops()->packed_counts(queries + 2 * words * q, count, base, rows, words, stride, both + q * stride,
                                          opposite + q * stride);
    }
}

void ck_count_codes(const uint64_t *packed, size_t rows, size_t words, double *counts) {
    ck_current_loops()->count_codes(packed, rows, words, counts);
}

void ck_cosines(const int32_t *both, const int32_t *opposite, size_t rows, const double *counts, double count,
                double *scores) {
    ck_current_loops()->cosines(both, opposite, rows, counts, count, scores);
}

void ck_centred_squares(double *squares, size_t rows, const double *offsets, const ck_centre *centre) {
    ck_current_loops()->centred_squares(squares, rows, offsets, centre);
}

void ck_centred_cosines(const int32_t *both, const int32_t *opposite, size_t rows, const double *squares,
                        const double *offsets, const ck_centre *centre, double *scores) {
    ck_current_loops()->centred_cosines(both, opposite, rows, squares, offsets, centre, scores);
}

int ck_cosines_reach(const int32_t *both, const int32_t *opposite, size_t rows, const double *counts, double bound) {
    return ck_current_loops()->cosines_reach(both, opposite, rows, counts, bound);
}

int ck_centred_cosines_reach(const int32_t *both, const int32_t *opposite, size_t rows, const double *squares,
                             const double *offsets, const ck_centre *centre, double bound) {
    return ck_current_loops()->centred_cosines_reach(both, opposite, rows, squares, offsets, centre, bound);
}

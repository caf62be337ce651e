#include "CKernels.h"

#include <string.h>

// A float32 is m * 2^(p - 149), with m of 24 bits and p = 0 to 253. Its square is m^2 * 2^(2p - 298). m^2 has 48 bits
// and is added as two halves of 24 bits. A half is shifted by at most 31 places and so stays below 2^55. A lane takes
// at most two halves per row, so that 64 rows stay below 2^62.

static inline void add(int64_t *lanes, float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint32_t exponent = (bits >> 23) & 0xff;
    uint64_t m = (bits & 0x7fffff) | (exponent != 0 ? 0x800000 : 0);
    uint32_t p = exponent != 0 ? exponent - 1 : 0;

    int64_t sign = -(int64_t)(bits >> 31); // 0 or -1
    int64_t term = (int64_t)(m << (p & 31));
    lanes[p >> 5] += (term ^ sign) - sign;

    uint64_t square = m * m;
    int64_t *squares = lanes + CK_SUM_LANES;
    uint32_t low = 2 * p, high = 2 * p + 24;
    squares[low >> 5] += (int64_t)((square & 0xffffff) << (low & 31));
    squares[high >> 5] += (int64_t)((square >> 24) << (high & 31));
}

enum { FEATURES_PER_BLOCK = 32 }; // a block's lanes stay in the first-level cache during all rows

void ck_exact_add(int64_t *lanes, const float *x, size_t rows, size_t stride, size_t features) {
    for (size_t start = 0; start < features; start += FEATURES_PER_BLOCK) {
        size_t end = features - start < FEATURES_PER_BLOCK ? features : start + FEATURES_PER_BLOCK;
        for (size_t row = 0; row < rows; ++row) {
            const float *values = x + row * stride;
            for (size_t f = start; f < end; ++f) add(lanes + f * CK_LANES, values[f]);
        }
    }
}

static void carry(int64_t *lanes, size_t count) {
    for (size_t i = 0; i + 1 < count; ++i) {
        int64_t over = lanes[i] >> 32; // rounds down, also for negative lanes
        lanes[i] &= 0xffffffff;
        lanes[i + 1] += over;
    }
}

void ck_exact_carry(int64_t *lanes, size_t features) {
    for (size_t f = 0; f < features; ++f, lanes += CK_LANES) {
        carry(lanes, CK_SUM_LANES);
        carry(lanes + CK_SUM_LANES, CK_SQUARE_LANES);
    }
}

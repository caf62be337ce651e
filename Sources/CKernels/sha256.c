#include "CKernels.h"
#include "sha256.h"

#include <string.h>

#if defined(__aarch64__)
#include <sys/auxv.h>
#elif defined(__x86_64__)
#include <cpuid.h>
#endif

// SHA-256 as FIPS 180-4 defines it. The names are those of the standard's formulas.

const uint32_t ck_sha256_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t rotated(uint32_t x, int bits) { return x >> bits | x << (32 - bits); }

// One round of the standard. Its words are not moved to their next names: the names move instead, from call to call.
static inline void round_of(uint32_t a, uint32_t b, uint32_t c, uint32_t *d, uint32_t e, uint32_t f, uint32_t g,
                            uint32_t *h, uint32_t added) {
    const uint32_t choice = (e & f) ^ (~e & g), majority = (a & b) ^ (a & c) ^ (b & c);
    const uint32_t first = *h + (rotated(e, 6) ^ rotated(e, 11) ^ rotated(e, 25)) + choice + added;
    *d += first;
    *h = first + (rotated(a, 2) ^ rotated(a, 13) ^ rotated(a, 22)) + majority;
}

static void take_block(uint32_t state[8], const uint8_t *block) {
    uint32_t w[64];
    for (int i = 0; i < 16; ++i) {
        w[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 | (uint32_t)block[4 * i + 2] << 8 |
               block[4 * i + 3];
    }
    for (int i = 16; i < 64; ++i) {
        const uint32_t a = w[i - 15], b = w[i - 2];
        w[i] = w[i - 16] + (rotated(a, 7) ^ rotated(a, 18) ^ a >> 3) + w[i - 7] +
               (rotated(b, 17) ^ rotated(b, 19) ^ b >> 10);
    }
    for (int i = 0; i < 64; ++i) w[i] += ck_sha256_constants[i];
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
    for (int i = 0; i < 64; i += 8) {
        round_of(a, b, c, &d, e, f, g, &h, w[i]);
        round_of(h, a, b, &c, d, e, f, &g, w[i + 1]);
        round_of(g, h, a, &b, c, d, e, &f, w[i + 2]);
        round_of(f, g, h, &a, b, c, d, &e, w[i + 3]);
        round_of(e, f, g, &h, a, b, c, &d, w[i + 4]);
        round_of(d, e, f, &g, h, a, b, &c, w[i + 5]);
        round_of(c, d, e, &f, g, h, a, &b, w[i + 6]);
        round_of(b, c, d, &e, f, g, h, &a, w[i + 7]);
    }
    const uint32_t result[8] = {a, b, c, d, e, f, g, h};
    for (int i = 0; i < 8; ++i) state[i] += result[i];
}

static void take_blocks_portably(uint32_t state[8], const uint8_t *bytes, size_t blocks) {
    for (; blocks > 0; --blocks, bytes += 64) take_block(state, bytes);
}

// Whether the processor has instructions for SHA-256.
static int has_instructions(void) {
#if defined(__x86_64__)
    unsigned a, b, c, d;
    const int sse = __get_cpuid(1, &a, &b, &c, &d) && c & bit_SSE4_1 && c & bit_SSSE3;
    return sse && __get_cpuid_count(7, 0, &a, &b, &c, &d) && b >> 29 & 1;
#elif defined(__aarch64__)
    return getauxval(AT_HWCAP) >> 6 & 1; // HWCAP_SHA2
#else
    return 0;
#endif
}

typedef void take_blocks(uint32_t state[8], const uint8_t *bytes, size_t blocks);

static take_blocks *with_instructions;

__attribute__((constructor)) static void choose(void) {
#if defined(__x86_64__) || defined(__aarch64__)
    if (has_instructions()) with_instructions = ck_sha256_take_blocks;
#endif
}

void ck_sha256_blocks(uint32_t state[8], const void *bytes, size_t blocks) {
    take_blocks *take = with_instructions != NULL && !ck_sha256_is_portable ? with_instructions : take_blocks_portably;
    take(state, bytes, blocks);
}

int ck_sha256_is_portable;

void ck_sha256(const void *bytes, size_t size, uint8_t digest[32]) {
    uint32_t state[8] = CK_SHA256_START;
    const size_t whole = size / 64, left = size % 64;
    ck_sha256_blocks(state, bytes, whole);
    ck_sha256_end(state, left > 0 ? (const uint8_t *)bytes + 64 * whole : NULL, size, digest);
}

void ck_sha256_end(const uint32_t state[8], const void *rest, uint64_t size, uint8_t digest[32]) {
    uint32_t last[8];
    memcpy(last, state, sizeof last);
    uint8_t end[128] = {0};
    const size_t left = size % 64;
    if (left > 0) memcpy(end, rest, left);
    end[left] = 0x80;
    const size_t length = left < 56 ? 64 : 128;
    for (int i = 0; i < 8; ++i) end[length - 1 - (size_t)i] = (uint8_t)(size * 8 >> 8 * i);
    ck_sha256_blocks(last, end, length / 64);
    for (int i = 0; i < 32; ++i) digest[i] = (uint8_t)(last[i / 4] >> (24 - 8 * (i % 4)));
}

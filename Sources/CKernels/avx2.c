#if defined(__x86_64__)
#include <immintrin.h>

#define CK_VARIANT ck_loops_avx2
#define CK_VARIANT_NAME "avx2"
#define CK_SHUFFLES
#define CK_BLOCK_VECTORS 1
#define CK_BLOCK_TILE 6
#define CK_POPCOUNT CK_POPCOUNT_AVX2

#include "loops.h"
#include <string.h>

#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#include "variants.h"
#pragma clang attribute pop
#endif

// The loops for AVX-512 with an instruction that counts bits.
#if defined(__x86_64__)
#include <immintrin.h>

#define CK_VARIANT ck_loops_vpopcntdq
#define CK_VARIANT_NAME "vpopcntdq"
#define CK_SHUFFLES
#define CK_BLOCK_VECTORS 3
#define CK_BLOCK_TILE 24
#define CK_POPCOUNT CK_POPCOUNT_VPOPCNTDQ

#include "loops.h"
#include <string.h>

#pragma clang attribute push(__attribute__((target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512vpopcntdq"))), \
                             apply_to = function)
#include "variants.h"
#pragma clang attribute pop
#endif

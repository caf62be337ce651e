// What the kernels take from clang and GCC 12 has not. Included before every file that GCC compiles.
typedef float gcc_vector __attribute__((vector_size(64)));

static inline __attribute__((always_inline, unused)) gcc_vector gcc_square_roots(gcc_vector v) {
    for (int i = 0; i < 16; ++i) v[i] = __builtin_sqrtf(v[i]);
    return v;
}

#define __builtin_elementwise_sqrt gcc_square_roots

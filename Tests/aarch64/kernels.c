// Runs the kernels on generated numbers and prints a SHA-256 of what each gives.
//
//     kernels about     which variants this processor has, and what else the program says of it
//     kernels VARIANT   the digests, one a line; ends with 1 where a kernel differs from a plain loop
//
// golden.py makes the same numbers and computes the same digests with OpenCV, Pillow, NumPy, ml_dtypes and hashlib.
// The bits of a NaN that comes out of an addition are the processor's choice, so each NaN counts as the same.
#include "CKernels.h"
#include "CTensorFlow.h"
#include "CTensorFlowOperations.h"

#include <dlfcn.h>
#include <fenv.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const variants[] = {"baseline", "avx2", "avx512", "vpopcntdq"};

static int failures = 0;

static void expect(int holds, const char *what) {
    if (holds) return;
    fprintf(stderr, "WRONG: %s\n", what);
    failures = 1;
}

#define SIZE_OF(list) (sizeof(list) / sizeof *(list))

// ---- memory

static void *room(size_t size) {
    void *memory = calloc(size + 1, 1);
    if (memory == NULL) exit(2);
    return memory;
}

static uint8_t *taken;
static size_t taken_size, taken_room;

// Adds to what the next line is the digest of.
static void take(const void *bytes, size_t size) {
    if (taken_size + size > taken_room) {
        taken_room = 2 * (taken_size + size);
        taken = realloc(taken, taken_room);
        if (taken == NULL) exit(2);
    }
    if (size > 0) memcpy(taken + taken_size, bytes, size);
    taken_size += size;
}

static void line(const char *name) {
    uint8_t digest[32];
    ck_sha256(taken, taken_size, digest);
    printf("%s ", name);
    for (int i = 0; i < 32; ++i) printf("%02x", digest[i]);
    printf("\n");
    taken_size = 0;
}

// ---- numbers

// SplitMix64: the number at a place of a sequence.
static uint64_t number(uint64_t seed, uint64_t place) {
    uint64_t z = seed * 0xd1342543de82ef95u + (place + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static uint8_t *bytes_of(uint64_t seed, size_t count) {
    uint8_t *bytes = room(count);
    for (size_t i = 0; i < count; ++i) bytes[i] = (uint8_t)(number(seed, i) >> 56);
    return bytes;
}

static uint32_t float_bits(uint64_t seed, size_t place, unsigned low, unsigned high) {
    const uint64_t random = number(seed, place);
    return ((uint32_t)random & 0x807fffffu) | (uint32_t)(low + (random >> 40) % (high - low + 1)) << 23;
}

static float *floats_of(uint64_t seed, size_t count, unsigned low, unsigned high) {
    float *values = room(4 * count);
    for (size_t i = 0; i < count; ++i) {
        const uint32_t bits = float_bits(seed, i, low, high);
        memcpy(values + i, &bits, 4);
    }
    return values;
}

static uint16_t *halves_of(uint64_t seed, size_t count, unsigned low, unsigned high) {
    uint16_t *halves = room(2 * count);
    for (size_t i = 0; i < count; ++i) halves[i] = (uint16_t)(float_bits(seed, i, low, high) >> 16);
    return halves;
}

static int8_t *codes_of(uint64_t seed, size_t count) {
    int8_t *codes = room(count);
    for (size_t i = 0; i < count; ++i) codes[i] = (int8_t)((int)(number(seed, i) >> 40) % 3 - 1);
    return codes;
}

static void same_nans(uint16_t *halves, size_t count) {
    for (size_t i = 0; i < count; ++i) {
        if ((halves[i] & 0x7fff) > 0x7f80) halves[i] = 0x7fc0;
    }
}

static float widened(uint16_t half) {
    const uint32_t bits = (uint32_t)half << 16;
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

// ---- images

static const size_t sides[][4] = {
    {1, 1, 1, 1},   {1, 1, 5, 3},   {7, 5, 7, 5},     {8, 12, 4, 6},   {33, 47, 16, 23}, {66, 94, 33, 47},
    {2, 3, 40, 64}, {50, 9, 13, 9}, {31, 97, 224, 8}, {97, 31, 8, 50}, {64, 64, 63, 65}, {240, 320, 37, 41},
};

typedef int resize_kernel(const uint8_t *, size_t, size_t, size_t, uint8_t *, size_t, size_t, const ck_part *);

static void resize(const char *name, resize_kernel *kernel) {
    for (size_t i = 0; i < SIZE_OF(sides); ++i) {
        const size_t height = sides[i][0], width = sides[i][1], new_height = sides[i][2], new_width = sides[i][3];
        const size_t stride = 3 * width + 5;
        uint8_t *pixels = bytes_of(100 + i, stride * height), *resized = room(3 * new_height * new_width);
        expect(kernel(pixels, stride, height, width, resized, new_height, new_width, NULL) == 0, name);
        take(resized, 3 * new_height * new_width);
        free(pixels);
        free(resized);
    }
    line(name);
}

// Spans of more than 4096 weights, whose rounding errors are carried on: Pillow does not.
static void many_weights(void) {
    enum { HEIGHT = 6001, WIDTH = 5 };
    uint8_t *pixels = bytes_of(150, 3 * HEIGHT * WIDTH), resized[3 * 2 * 4];
    expect(ck_resize_antialiased(pixels, 3 * WIDTH, HEIGHT, WIDTH, resized, 2, 4, NULL) == 0, "resize-many-weights");
    take(resized, sizeof resized);
    memset(pixels, 77, 3 * HEIGHT * WIDTH);
    expect(ck_resize_antialiased(pixels, 3 * WIDTH, HEIGHT, WIDTH, resized, 1, 1, NULL) == 0, "resize-many-weights");
    expect(resized[0] == 77 && resized[1] == 77 && resized[2] == 77, "resize-many-weights: the brightness");
    free(pixels);
    line("resize-many-weights");
}

static void turning(void) {
    static const size_t sizes[][2] = {{1, 1}, {1, 70}, {70, 1}, {63, 65}, {64, 64}, {130, 129}};
    for (size_t i = 0; i < SIZE_OF(sizes); ++i) {
        const size_t height = sizes[i][0], width = sizes[i][1], size = 3 * height * width;
        uint8_t *pixels = bytes_of(160 + i, size), *turned = room(size);
        for (int way = 0; way < 4; ++way) {
            ck_transpose_pixels(pixels, height, width, way & 1, way >> 1, turned);
            take(turned, size);
            ck_mirror_pixels(pixels, height, width, way & 1, way >> 1, turned);
            take(turned, size);
        }
        free(pixels);
        free(turned);
    }
    line("turning");
}

typedef void colour_kernel(const uint8_t *, size_t, size_t, size_t, int, int, const float *, const float *, float *);

static void pixels_to_float(const char *name, colour_kernel *kernel) {
    static const size_t sizes[][2] = {{1, 1}, {2, 15}, {3, 16}, {2, 17}, {2, 512}, {3, 700}};
    const float mean[3] = {103.939f, 116.779f, 123.68f}, scale[3] = {0.017f, 1 / 127.5f, 3};
    for (size_t i = 0; i < SIZE_OF(sizes); ++i) {
        const size_t height = sizes[i][0], width = sizes[i][1], stride = 3 * width + 7;
        uint8_t *pixels = bytes_of(200 + i, stride * height);
        float *fed = room(12 * height * width);
        for (int way = 0; way < 4; ++way) {
            kernel(pixels, stride, height, width, way & 1, way >> 1, mean, scale, fed);
            take(fed, 12 * height * width);
        }
        free(pixels);
        free(fed);
    }
    line(name);
}

static void split_channels(void) {
    static const size_t counts[] = {1, 2, 15, 16, 17, 33, 224, 1001};
    for (size_t i = 0; i < SIZE_OF(counts); ++i) {
        float *pixels = floats_of(270 + i, 3 * counts[i], 0, 254), *planes = room(12 * counts[i]);
        ck_split_channels(pixels, counts[i], planes);
        take(planes, 12 * counts[i]);
        free(pixels);
        free(planes);
    }
    line("split-channels");
}

static void pixels_to_grey(void) {
    static const size_t sizes[][2] = {{1, 1}, {2, 15}, {3, 16}, {2, 511}, {2, 1537}};
    for (size_t i = 0; i < SIZE_OF(sizes); ++i) {
        const size_t height = sizes[i][0], width = sizes[i][1], stride = 3 * width + 7;
        uint8_t *pixels = bytes_of(250 + i, stride * height);
        float *fed = room(4 * height * width);
        for (int way = 0; way < 4; ++way) {
            ck_pixels_to_grey(pixels, stride, height, width, way & 1, way >> 1, 103.939f, 1 / 127.5f, fed);
            take(fed, 4 * height * width);
        }
        free(pixels);
        free(fed);
    }
    line("pixels-to-grey");
}

// ---- activations

static const size_t channel_counts[] = {1, 7, 15, 16, 17, 33, 128, 131, 257, 400};

static void map_mean(void) {
    const size_t n = 2, height = 5, width = 9;
    for (int half = 0; half < 2; ++half) {
        for (size_t i = 0; i < SIZE_OF(channel_counts); ++i) {
            const size_t channels = channel_counts[i], count = n * height * width * channels;
            float *mean = room(4 * n * channels);
            void *maps = half ? (void *)halves_of(300 + i, count, 110, 135)
                              : (void *)floats_of(300 + i, count, 110, 135);
            int failed = half ? ck_map_mean_bf16(maps, n, height, width, channels, mean)
                              : ck_map_mean(maps, n, height, width, channels, mean);
            expect(!failed, "map-mean");
            take(mean, 4 * n * channels);
            free(mean);
            free(maps);
        }
        line(half ? "map-mean-bf16" : "map-mean-f32");
    }
}

// With the channels first, the bits are the same.
static void lrn_planes(const float *x, size_t positions, size_t channels, const ck_lrn *options, const float *y) {
    const size_t count = positions * channels;
    float *planes = room(4 * count), *normalized = room(4 * count);
    for (size_t i = 0; i < count; ++i) planes[i % channels * positions + i / channels] = x[i];
    ck_lrn_planes(planes, 1, channels, positions, options, normalized);
    for (size_t i = 0; i < count; ++i)
        expect(memcmp(&normalized[i % channels * positions + i / channels], &y[i], 4) == 0, "lrn of planes");
    free(planes);
    free(normalized);
}

static void lrn(const char *name, const char *half_name, const float *betas, size_t beta_count) {
    static const size_t radii[] = {0, 2, 5, 40};
    const size_t positions = 9;
    for (int half = 0; half < 2; ++half) {
        for (size_t i = 0; i < SIZE_OF(channel_counts); ++i) {
            for (size_t k = 0; k < SIZE_OF(radii); ++k) {
                const size_t channels = channel_counts[i], count = positions * channels;
                const ck_lrn options = {radii[k], 1.3f, 0.0123f, betas[(i + k) % beta_count]};
                void *x = half ? (void *)halves_of(400 + i, count, 118, 133)
                               : (void *)floats_of(400 + i, count, 118, 133);
                void *y = room(4 * count);
                int failed = half ? ck_lrn_bf16(x, positions, channels, &options, y)
                                  : ck_lrn_f32(x, positions, channels, &options, y);
                expect(!failed, "lrn");
                take(y, (half ? 2 : 4) * count);
                if (!half) lrn_planes(x, positions, channels, &options, y);
                free(x);
                free(y);
            }
        }
        line(half ? half_name : name);
    }
}

static const uint16_t special[] = {
    0x0000, 0x8000, 0x0001, 0x8001, 0x007f, 0x807f, 0x0080, 0x8080, 0x3f80, 0xbf80, 0x3f81, 0xbf81, 0x4049,
    0xc049, 0x3b80, 0xbb80, 0x7f00, 0xff00, 0x7f7f, 0xff7f, 0x7f80, 0xff80, 0x7fc0, 0xffc0, 0x7f81, 0xffff,
};

static void add_bf16(void) {
    static const size_t counts[] = {0, 1, 15, 16, 17, 1000};
    enum { PAIRS = SIZE_OF(special) * SIZE_OF(special) };
    for (int relu = 0; relu < 2; ++relu) {
        for (size_t i = 0; i < SIZE_OF(counts); ++i) {
            const size_t count = counts[i];
            uint16_t *a = halves_of(500 + i, count, 120, 131), *b = halves_of(600 + i, count, 120, 131);
            ck_add_bf16(a, b, count, relu, a);
            take(a, 2 * count);
            free(a);
            free(b);
        }
        uint16_t a[PAIRS], b[PAIRS];
        for (size_t i = 0; i < PAIRS; ++i) {
            a[i] = special[i / SIZE_OF(special)];
            b[i] = special[i % SIZE_OF(special)];
        }
        ck_add_bf16(a, b, PAIRS, relu, a);
        same_nans(a, PAIRS);
        take(a, sizeof a);
    }
    line("add-bf16");
}

// ---- weights

static void round_nearest(void) {
    enum { COUNT = 5000 };
    float *values = floats_of(700, COUNT, 0, 255);
    uint16_t *halves = room(2 * COUNT);
    ck_round_bf16_nearest(values, COUNT, halves);
    same_nans(halves, COUNT);
    take(halves, 2 * COUNT);
    free(values);
    free(halves);
    // Each bfloat16, and what lies between it and the next: below the middle, on it, above it.
    static float near[4 << 16];
    static uint16_t rounded[4 << 16];
    for (uint32_t i = 0; i < 4 << 16; ++i) {
        static const uint32_t ends[] = {0, 0x7fff, 0x8000, 0x8001};
        const uint32_t bits = (i >> 2) << 16 | ends[i & 3];
        memcpy(near + i, &bits, 4);
    }
    ck_round_bf16_nearest(near, 4 << 16, rounded);
    same_nans(rounded, 4 << 16);
    take(rounded, sizeof rounded);
    line("round-bf16-nearest");
}

// No other implementation rounds so; what is promised is looked at: each value goes to one of its two neighbours, and a
// channel's sum comes within one step of them.
static void round_balanced(void) {
    static const size_t sizes[][2] = {{1, 1}, {2, 5}, {9, 16}, {9, 17}, {100, 40}, {1152, 3}};
    for (size_t i = 0; i < SIZE_OF(sizes); ++i) {
        const size_t inputs = sizes[i][0], channels = sizes[i][1], count = inputs * channels;
        float *weights = floats_of(800 + i, count, 117, 126);
        char *unaligned = room(4 * count + 1);
        memcpy(unaligned + 1, weights, 4 * count);
        double *scale = room(8 * channels);
        uint16_t *rounded = room(2 * count);
        for (size_t c = 0; c < channels; ++c) scale[c] = 0.25 + (double)(number(900 + i, c) >> 12) * 0x1p-52 * 4;
        for (int way = 0; way < 4; ++way) {
            const int channels_first = way & 1, scaled = way >> 1;
            int failed = ck_round_bf16(unaligned + 1, inputs, channels, channels_first, scaled ? scale : NULL, rounded);
            expect(!failed, "round-bf16-balanced");
            take(rounded, 2 * count);
            for (size_t c = 0; c < channels; ++c) {
                double missing = 0, largest = 0;
                for (size_t k = 0; k < inputs; ++k) {
                    const size_t at = channels_first ? c * inputs + k : k * channels + c;
                    const double exact = scaled ? (double)(float)((double)weights[at] * scale[c]) : (double)weights[at];
                    const double error = exact - (double)widened(rounded[at]);
                    const double step = ldexp(1, ilogb(fabs(exact)) - 7);
                    expect(fabs(error) < step, "round-bf16-balanced: a value that is no neighbour");
                    missing += error;
                    if (step > largest) largest = step;
                }
                expect(inputs < 100 || fabs(missing) <= largest, "round-bf16-balanced: a sum that is not kept");
            }
        }
        free(weights);
        free(unaligned);
        free(scale);
        free(rounded);
    }
    line("round-bf16-balanced");
}

// ---- features

static void searches(void) {
    static const size_t counts[] = {1, 15, 16, 17, 4095, 4096, 4097, 10000};
    static const uint32_t bad[] = {0x7fc00000, 0xffc00000, 0x7f800001, 0x7f800000, 0xff800000, 0x7f7fffff, 0x00000001};
    for (size_t i = 0; i < SIZE_OF(counts); ++i) {
        for (size_t k = 0; k < SIZE_OF(bad); ++k) {
            const size_t count = counts[i], at = number(1000 + k, i) % count;
            float *values = floats_of(1100 + i, count, 0, 254);
            memcpy(values + at, bad + k, 4);
            const size_t found[2] = {ck_first_not_finite(values, count), ck_first_nan(values, count)};
            expect(found[0] == (k < 5 ? at : count), "first-not-finite");
            expect(found[1] == (k < 3 ? at : count), "first-nan");
            free(values);
            const uint64_t as_words[2] = {found[0], found[1]};
            take(as_words, sizeof as_words);
        }
    }
    line("first-not-finite-first-nan");
}

static void standardize(void) {
    enum { ROWS = 5, FEATURES = 137 };
    float *x = floats_of(1200, ROWS * FEATURES, 100, 150), *means = floats_of(1201, FEATURES, 100, 150);
    double mean[FEATURES], deviation[FEATURES], z[ROWS * FEATURES];
    for (size_t f = 0; f < FEATURES; ++f) {
        mean[f] = (double)means[f] * 1.1;
        deviation[f] = f % 5 == 0 ? 0 : (double)(number(1202, f) >> 11) * 0x1p-30;
    }
    ck_standardize(x, ROWS, FEATURES, mean, deviation, z);
    take(z, sizeof z);
    line("standardize");
    free(x);
    free(means);
}

static void l2_normalize(void) {
    static const size_t sizes[] = {1, 7, 8, 9, 100, 1001};
    for (size_t i = 0; i < SIZE_OF(sizes); ++i) {
        const size_t rows = 3, features = sizes[i];
        float *x = floats_of(1300 + i, rows * features, 100, 150);
        memset(x + features, 0, 4 * features); // a row of zeros
        ck_l2_normalize(x, rows, features, x);
        take(x, 4 * rows * features);
        free(x);
    }
    line("l2-normalize");
}

static void multiply(void) {
    static const size_t sizes[][2] = {{1, 1}, {7, 8}, {100, 31}, {64, 512}, {37, 45}};
    for (size_t i = 0; i < SIZE_OF(sizes); ++i) {
        const size_t count = sizes[i][0], columns = sizes[i][1];
        float *numbers = floats_of(1350 + i, count * (columns + 1), 120, 130);
        double *x = room(8 * count), *matrix = room(8 * count * columns), *y = room(8 * columns);
        for (size_t k = 0; k < count; ++k) x[k] = numbers[k] / 3.0;
        for (size_t k = 0; k < count * columns; ++k) matrix[k] = numbers[count + k] / 7.0;
        ck_multiply(x, count, matrix, columns, y);
        for (size_t j = 0; j < columns; ++j) {
            double sum = 0;
            for (size_t k = 0; k < count; ++k) {
                const volatile double product = x[k] * matrix[k * columns + j]; // so that it is rounded
                sum += product;
            }
            expect(y[j] == sum, "multiply");
        }
        take(y, 8 * columns);
        free(numbers);
        free(x);
        free(matrix);
        free(y);
    }
    line("multiply");
}

static void ternarize(void) {
    static const size_t sizes[] = {1, 7, 31, 64, 100, 4100, 9001};
    for (size_t i = 0; i < SIZE_OF(sizes); ++i) {
        const size_t rows = 7, features = sizes[i], count = rows * features;
        float *low = floats_of(1400 + i, features, 120, 130), *high = room(4 * features), *x = room(4 * count);
        int8_t *codes = room(count);
        for (size_t f = 0; f < features; ++f) high[f] = nextafterf(nextafterf(low[f], INFINITY), INFINITY);
        for (size_t k = 0; k < count; ++k) {
            const float cut = low[k % features], below = nextafterf(cut, -INFINITY), above = nextafterf(cut, INFINITY);
            const float choices[] = {below, cut, above, high[k % features], -INFINITY, INFINITY, 0, -cut};
            x[k] = choices[number(1500 + i, k) >> 61];
        }
        expect(ck_ternarize(x, rows, features, low, high, codes) == count, "ternarize: the count");
        for (size_t k = 0; k < count; ++k) {
            const int code = x[k] >= high[k % features] ? 1 : x[k] <= low[k % features] ? -1 : 0;
            expect(codes[k] == code, "ternarize: a code");
        }
        take(codes, count);
        const size_t bad = number(1600, i) % count;
        x[bad] = NAN;
        x[count - 1] = NAN;
        expect(ck_ternarize(x, rows, features, low, high, codes) == bad, "ternarize: the first NaN");
        free(low);
        free(high);
        free(x);
        free(codes);
    }
    line("ternarize");
}

// ---- codes

static void packed(void) {
    static const size_t sizes[] = {1, 5, 8, 63, 64, 65, 130, 500, 513, 5000, 40000};
    enum { QUERIES = 7, ROWS = 9, STRIDE = ROWS + 2 };
    for (size_t i = 0; i < SIZE_OF(sizes); ++i) {
        const size_t features = sizes[i], words = (features + 63) / 64;
        int8_t *codes = codes_of(1700 + i, (QUERIES + ROWS) * features), *again = room(features);
        uint64_t *planes = room(8 * 2 * words * (QUERIES + ROWS));
        for (size_t k = 0; k < QUERIES + ROWS; ++k) {
            uint64_t *nonzero = planes + 2 * words * k;
            ck_pack(codes + features * k, features, nonzero, nonzero + words);
            ck_unpack(nonzero, nonzero + words, features, again);
            expect(memcmp(again, codes + features * k, features) == 0, "unpack");
            uint64_t set = 0;
            for (size_t f = 0; f < features; ++f) set += codes[features * k + f] != 0;
            double counted = 0;
            ck_count_codes(nonzero, 1, words, &counted);
            expect(counted == (double)set, "count-codes");
        }
        int16_t *sums = room(sizeof *sums * features);
        ck_sum_codes(planes, QUERIES + ROWS, words, features, sums);
        for (size_t f = 0; f < features; ++f) {
            int sum = 0;
            for (size_t k = 0; k < QUERIES + ROWS; ++k) sum += codes[features * k + f];
            expect(sums[f] == sum, "sum-codes");
        }
        take(planes, 8 * 2 * words * (QUERIES + ROWS));
        const uint64_t *base = planes + 2 * words * QUERIES;
        for (size_t queries = 1; queries <= QUERIES; ++queries) { // one, two, three and four at once, and the rest
            int32_t both[QUERIES * STRIDE] = {0}, opposite[QUERIES * STRIDE] = {0};
            ck_packed_counts(planes, queries, base, ROWS, words, STRIDE, both, opposite);
            for (size_t q = 0; q < queries; ++q) {
                for (size_t row = 0; row < ROWS; ++row) {
                    const int8_t *a = codes + features * q, *b = codes + features * (QUERIES + row);
                    int32_t shared = 0, differing = 0;
                    for (size_t f = 0; f < features; ++f) {
                        shared += a[f] != 0 && b[f] != 0;
                        differing += a[f] * b[f] == -1;
                    }
                    const size_t at = q * STRIDE + row;
                    expect(both[at] == shared && opposite[at] == differing, "packed-counts");
                }
            }
            take(both, sizeof both);
            take(opposite, sizeof opposite);
        }
        free(codes);
        free(again);
        free(planes);
    }
    line("pack-and-packed-counts");
    const int8_t lowest[3] = {-128, 127, -127}; // -128 is taken as 0, odd values by their sign
    uint64_t nonzero, negative;
    ck_pack(lowest, 3, &nonzero, &negative);
    expect(nonzero == 6 && negative == 4, "pack: -128");
}

// ---- exact sums

static void scores(void) {
    enum { ROWS = 21 };
    const ck_centre centre = {.square = 1.7, .nearest = 0.5, .norm = 3.1, .offset = 0.3};
    int32_t both[ROWS], opposite[ROWS];
    double counts[ROWS], squares[ROWS], offsets[ROWS], plain[ROWS], centred[ROWS];
    for (size_t i = 0; i < ROWS; ++i) {
        both[i] = (int32_t)(i % 5 == 0 ? 0 : i), opposite[i] = both[i] / 3;
        counts[i] = i % 5 == 0 ? 0 : (double)(2 * i);
        offsets[i] = i % 5 == 0 ? 0.9 : (double)i / 7;
    }
    for (size_t rows = 1; rows <= ROWS; rows += 5) {
        for (size_t i = 0; i < rows; ++i) squares[i] = counts[i];
        ck_cosines(both, opposite, rows, counts, 11, plain);
        ck_centred_squares(squares, rows, offsets, &centre);
        ck_centred_cosines(both, opposite, rows, squares, offsets, &centre, centred);
        for (size_t i = 0; i < rows; ++i) {
            const double dot = both[i] - 2.0 * opposite[i], squared = counts[i] - offsets[i] - offsets[i] + 1.7;
            expect(plain[i] == (counts[i] == 0 ? 0 : dot / sqrt(11 * counts[i])), "cosines");
            expect(squares[i] == (squared > 0.5 ? squared : 0), "centred-squares");
            const double difference = dot - 0.3 - offsets[i] + 1.7;
            expect(centred[i] == (squares[i] == 0 ? 0 : difference / (3.1 * sqrt(squares[i]))), "centred-cosines");
        }
        for (double bound = -30; bound <= 30; bound += 0.25) {
            int one = 0, other = 0; // whether a row reaches the bound
            for (size_t i = 0; i < rows; ++i) {
                const double dot = both[i] - 2.0 * opposite[i], difference = dot - 0.3 - offsets[i] + 1.7;
                one |= counts[i] == 0 ? bound <= 0 : dot * fabs(dot) >= bound * counts[i];
                other |= squares[i] == 0 ? bound <= 0 : difference * fabs(difference) >= bound * squares[i];
            }
            expect(ck_cosines_reach(both, opposite, rows, counts, bound) == one, "cosines-reach");
            expect(ck_centred_cosines_reach(both, opposite, rows, squares, offsets, &centre, bound) == other,
                   "centred-cosines-reach");
        }
        take(plain, 8 * rows);
        take(centred, 8 * rows);
    }
    line("scores");
}

static void exact_sums(void) {
    static const size_t sizes[][2] = {{1, 1}, {64, 3}, {200, 33}, {130, 65}};
    for (size_t i = 0; i < SIZE_OF(sizes); ++i) {
        const size_t rows = sizes[i][0], features = sizes[i][1], stride = features + 3;
        float *x = floats_of(1800 + i, rows * stride, 0, 254);
        int64_t *lanes = room(8 * CK_LANES * features);
        for (size_t row = 0; row < rows; row += CK_ROWS_PER_CARRY) {
            const size_t count = rows - row < CK_ROWS_PER_CARRY ? rows - row : CK_ROWS_PER_CARRY;
            ck_exact_add(lanes, x + row * stride, count, stride, features);
            ck_exact_carry(lanes, features);
        }
        take(lanes, 8 * CK_LANES * features);
        free(x);
        free(lanes);
    }
    line("exact-sums");
}

// ---- the rest

static void sha256(const char *name) {
    // FIPS 180-4's examples.
    static const struct {
        const char *text, *digest;
    } published[] = {
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
        {"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmn"
         "hijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
         "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"},
        {NULL, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"}, // a million times "a"
    };
    uint8_t digest[32];
    char hex[65];
    for (size_t i = 0; i < SIZE_OF(published); ++i) {
        const size_t size = published[i].text != NULL ? strlen(published[i].text) : 1000000;
        char *text = room(size);
        if (published[i].text != NULL) memcpy(text, published[i].text, size);
        else memset(text, 'a', size);
        ck_sha256(text, size, digest);
        for (int k = 0; k < 32; ++k) snprintf(hex + 2 * k, 3, "%02x", digest[k]);
        expect(strcmp(hex, published[i].digest) == 0, "sha256: FIPS 180-4");
        free(text);
    }
    uint8_t *bytes = bytes_of(1900, 10007);
    for (size_t size = 0; size <= 200; ++size) {
        ck_sha256(bytes, size, digest);
        take(digest, 32);
    }
    ck_sha256(bytes, 10007, digest);
    take(digest, 32);
    free(bytes);
    line(name);
}

static void hypotenuse(void) {
    float *x = floats_of(2000, 1000, 1, 254), *y = floats_of(2001, 1000, 1, 254);
    for (size_t i = 0; i < 1000; ++i) x[i] = ck_hypotf(x[i], y[i]);
    take(x, 4000);
    free(x);
    free(y);
    line("hypotf");
}

// Takes denormal numbers for 0 from now on, in operands and in results.
static void flush_denormals(void) {
#if defined(__x86_64__)
    uint32_t mxcsr = 0x9fc0;
    __asm__ volatile("ldmxcsr %0" : : "m"(mxcsr));
#elif defined(__aarch64__)
    __asm__ volatile("msr fpcr, %0" : : "r"((uint64_t)1 << 24));
#endif
}

static void float_environment(void) {
    volatile float denormal = 1e-39f, one = 1, three = 3;
    const float third = one / three;
    ck_float_environment saved, inner;
    flush_denormals();
    expect(denormal * one == 0, "denormal numbers of a host that flushes them");
    ck_enter_float_environment(&saved);
    float product = denormal * one;
    ck_leave_float_environment(&saved);
    expect(denormal * one == 0, "denormal numbers after a call");
    fesetenv(FE_DFL_ENV);
    expect(product == denormal, "denormal numbers in a call");

    fesetround(FE_DOWNWARD);
    feraiseexcept(FE_DIVBYZERO);
    expect(one / three < third, "the rounding of a host");
    feclearexcept(FE_INEXACT);
    ck_enter_float_environment(&saved);
    expect(one / three == third, "the rounding in a call");
    ck_float_environment *host = ck_enter_host_float_environment();
    expect(fegetround() == FE_DOWNWARD, "the rounding in a callback");
    ck_enter_float_environment(&inner);
    expect(fegetround() == FE_TONEAREST, "the rounding in a call within a callback");
    ck_leave_float_environment(&inner);
    expect(fegetround() == FE_DOWNWARD, "the rounding after that call");
    ck_leave_host_float_environment(host);
    expect(fegetround() == FE_TONEAREST, "the rounding after a callback");
    ck_leave_float_environment(&saved);
    expect(fegetround() == FE_DOWNWARD, "the rounding after a call");
    expect(fetestexcept(FE_ALL_EXCEPT) == FE_DIVBYZERO, "the exception flags after a call");
    expect(ck_enter_host_float_environment() == NULL, "a callback outside of calls");
    ck_set_default_float_environment();
    expect(one / three == third, "the rounding of a thread of the library's own");
    fesetenv(FE_DFL_ENV);
}

static void machine(void) {
    expect(ck_processor_count() >= 1, "the number of processors");
    FILE *file = tmpfile();
    expect(file != NULL && ck_reserve(fileno(file), 100000) == 0, "reserve");
    if (file != NULL) {
        expect(fseek(file, 0, SEEK_END) == 0 && ftell(file) == 100000, "reserve: the size");
        fclose(file);
    }
    // This program is no TensorFlow: both say which function is missing first.
    void *own = dlopen(NULL, RTLD_NOW);
    ctf_api api;
    const char *missing = ctf_bind(own, &api), *problem = cto_register(own);
    expect(missing != NULL && strcmp(missing, "TF_Version") == 0, "ctf_bind");
    expect(problem != NULL && strcmp(problem, "TensorFlow has no function TF_NewStatus") == 0, "cto_register");
    expect(ctf_library_path(own) == NULL, "ctf_library_path");
}

static int about(void) {
    const char *chosen = ck_variant();
    printf("%s: ", ck_processor_features());
    for (size_t i = 0; i < SIZE_OF(variants); ++i) {
        if (ck_pin_variant(variants[i]) == 0) printf("%s ", ck_variant());
    }
    printf("(%s is taken), bfloat16 %d\n", chosen, ck_bfloat16_support());
    return 0;
}

int main(int count, char **arguments) {
    if (count != 2) return 2;
    if (strcmp(arguments[1], "about") == 0) return about();
    if (ck_pin_variant(arguments[1]) != 0) {
        fprintf(stderr, "there is no variant %s here\n", arguments[1]);
        return 3;
    }
    sha256("sha256");
    ck_sha256_is_portable = 1;
    sha256("sha256-portable");
    ck_sha256_is_portable = 0;
    resize("resize-bilinear", ck_resize_bilinear);
    resize("resize-antialiased", ck_resize_antialiased);
    resize("resize-bicubic", ck_resize_bicubic);
    many_weights();
    turning();
    pixels_to_float("pixels-to-float", ck_pixels_to_float);
    pixels_to_float("pixels-to-planes", ck_pixels_to_planes);
    split_channels();
    pixels_to_grey();
    map_mean();
    const float rooted[] = {0.75f}, powers[] = {0.5f, 1.3f, 1};
    lrn("lrn-f32", "lrn-bf16", rooted, SIZE_OF(rooted));
    lrn("lrn-by-powf-f32", "lrn-by-powf-bf16", powers, SIZE_OF(powers));
    add_bf16();
    round_nearest();
    round_balanced();
    searches();
    standardize();
    l2_normalize();
    multiply();
    ternarize();
    packed();
    scores();
    exact_sums();
    hypotenuse();
    float_environment();
    machine();
    expect(strcmp(ck_variant(), arguments[1]) == 0, "the variant has changed");
    free(taken);
    return failures;
}

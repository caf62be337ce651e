// The loops over activation maps, for one type of values. variants.h includes this once per type. It defines VALUE,
// which is the type, and OF_VALUE(name), which gives the names of functions their ending, as in load_f32 and load_bf16.

// Adds a row of positions to the totals of some vectors of channels. The row's sums stay in registers.
INLINE void OF_VALUE(add_row)(const VALUE *p, size_t width, size_t channels, float *total, const int vectors) {
    ck_vector sums[MOST_VECTORS];
    for (int i = 0; i < vectors; ++i) sums[i] = (ck_vector){0};
    for (size_t x = 0; x < width; ++x, p += channels) {
        _Pragma("clang loop unroll(full)") for (int i = 0; i < vectors; ++i) sums[i] += OF_VALUE(load)(p + LANES * i);
    }
    for (int i = 0; i < vectors; ++i) store_f32(total + LANES * i, load_f32(total + LANES * i) + sums[i]);
}

// Does the same. The compiler makes a function of its own for each number of vectors.
static void OF_VALUE(add_vectors)(const VALUE *p, size_t width, size_t channels, float *total, size_t vectors) {
    switch (vectors) {
    case 1: OF_VALUE(add_row)(p, width, channels, total, 1); break;
    case 2: OF_VALUE(add_row)(p, width, channels, total, 2); break;
    case 3: OF_VALUE(add_row)(p, width, channels, total, 3); break;
    case 4: OF_VALUE(add_row)(p, width, channels, total, 4); break;
    case 5: OF_VALUE(add_row)(p, width, channels, total, 5); break;
    case 6: OF_VALUE(add_row)(p, width, channels, total, 6); break;
    case 7: OF_VALUE(add_row)(p, width, channels, total, 7); break;
    default: OF_VALUE(add_row)(p, width, channels, total, MOST_VECTORS);
    }
}

// Adds the values of each row first, and then the rows' sums. So rounding errors grow with width + height instead of
// width * height.
static void OF_VALUE(map_mean)(const VALUE *map, size_t height, size_t width, size_t channels, float *sums,
                               float *mean) {
    const size_t vectors = channels / LANES, groups = (vectors + MOST_VECTORS - 1) / MOST_VECTORS;
    const size_t rest = channels % LANES;
    float *last = sums + channels; // sums of the last LANES channels, where the channels are no whole vectors
    memset(sums, 0, (channels + LANES) * sizeof *sums);
    for (size_t y = 0; y < height; ++y, map += width * channels) {
        for (size_t group = groups, k = 0, left = vectors; group > 0; --group) {
            size_t count = (left + group - 1) / group;
            OF_VALUE(add_vectors)(map + k, width, channels, sums + k, count);
            k += LANES * count;
            left -= count;
        }
        if (rest != 0 && vectors > 0) OF_VALUE(add_row)(map + channels - LANES, width, channels, last, 1);
        for (size_t k = 0; vectors == 0 && k < channels; ++k) {
            float row = 0;
            for (size_t x = 0; x < width; ++x) row += OF_VALUE(value)(map[x * channels + k]);
            sums[k] += row;
        }
    }
    const float positions = (float)(height * width);
    for (size_t k = 0; k < channels; ++k) mean[k] = sums[k] / positions;
    for (size_t k = channels - rest; vectors > 0 && k < channels; ++k) {
        mean[k] = last[k + LANES - channels] / positions;
    }
}

// y = x * (bias + alpha * sum of x^2 over the channels within the radius)^-beta. The published networks have beta 0.75.
// For that, u^-0.75 = 1 / (sqrt(u) * sqrt(sqrt(u))) is faster.
static void OF_VALUE(lrn)(const VALUE *x, size_t positions, size_t channels, const ck_lrn *options, float *squares,
                          VALUE *y) {
    const size_t radius = options->radius;
    const float bias = options->bias, alpha = options->alpha, beta = options->beta;
    const int roots = beta == 0.75f;
    memset(squares, 0, (channels + 2 * radius + LANES) * sizeof *squares);
    for (size_t i = 0; i < positions; ++i, x += channels, y += channels) {
        size_t k = 0;
        for (; k + LANES <= channels; k += LANES) {
            ck_vector v = OF_VALUE(load)(x + k);
            store_f32(squares + radius + k, v * v);
        }
        for (; k < channels; ++k) squares[radius + k] = OF_VALUE(value)(x[k]) * OF_VALUE(value)(x[k]);
        for (k = 0; roots && k + LANES <= channels; k += LANES) {
            ck_vector sum = load_f32(squares + k);
            for (size_t r = 1; r <= 2 * radius; ++r) sum += load_f32(squares + k + r);
            ck_vector root = __builtin_elementwise_sqrt(bias + alpha * sum);
            OF_VALUE(store)(y + k, OF_VALUE(load)(x + k) / (root * __builtin_elementwise_sqrt(root)));
        }
        for (; k < channels; ++k) {
            float sum = squares[k];
            for (size_t r = 1; r <= 2 * radius; ++r) sum += squares[k + r];
            const float u = bias + alpha * sum, root = sqrtf(u);
            y[k] = OF_VALUE(rounded)(roots ? OF_VALUE(value)(x[k]) / (root * sqrtf(root))
                                           : OF_VALUE(value)(x[k]) * powf(u, -beta));
        }
    }
}

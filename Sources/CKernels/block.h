// The block of convolutions, which ck_run_block documents. variants.h includes this where CK_BLOCK_VECTORS is defined,
// the vectors of channels of a tile. CK_BLOCK_TILE is the vectors of sums that a tile keeps in registers.
//
// Each sum begins with the bias and adds its products in one order, with one rounding each. So every variant gives the
// same bits.

// The same vectors as a type that scalars are converted to, and that the conditional operator takes.
typedef float ck_lanes __attribute__((ext_vector_type(16)));

enum {
    PANEL = CK_BLOCK_VECTORS * LANES, // channels of a panel of the ring
    NEIGHBOURS = 4,                   // positions of a depthwise convolution that are computed together
    MOST_TAPS = CK_BLOCK_SIDE * CK_BLOCK_SIDE,
};

INLINE ck_vector spread(float value) { return (ck_vector)(ck_lanes)value; }

// The limits of a layer's values, in each lane.
typedef struct {
    ck_lanes low;
    ck_lanes high;
} limits;

INLINE limits limits_of(const ck_convolution *layer) { return (limits){(ck_lanes)layer->low, (ck_lanes)layer->high}; }

// A NaN stays. The compiler makes one instruction of each limit.
INLINE ck_vector limited(ck_vector v, limits limits) {
    ck_lanes x = (ck_lanes)v;
    x = limits.low > x ? limits.low : x;
    x = limits.high < x ? limits.high : x;
    return (ck_vector)x;
}

// A product of rows of positions with weights, for a few vectors of channels.
typedef struct {
    const ck_convolution *layer;
    const float *weights; // of the first input and the first of the channels
    const float *bias;
    size_t inputs;
    size_t stride; // from the weights of an input to those of the next
    size_t step;   // from a position of the result to the next
} product;

// Computes some positions, and adds their values to sums.
INLINE void multiply_tile(const product *p, const float *x, float *y, float *sums, const int positions,
                          const int vectors) {
    ck_vector tile[CK_BLOCK_TILE];
    const float *weights = p->weights;
    const size_t inputs = p->inputs, stride = p->stride, step = p->step;
    const limits limits = limits_of(p->layer);
    UNROLL for (int i = 0; i < positions * vectors; ++i) tile[i] = load_f32(p->bias + i % vectors * LANES);
    for (size_t k = 0; k < inputs; ++k, weights += stride) {
        ck_vector row[CK_BLOCK_VECTORS];
        UNROLL for (int i = 0; i < vectors; ++i) row[i] = load_f32(weights + i * LANES);
        UNROLL for (int at = 0; at < positions; ++at) {
            const ck_vector value = spread(x[(size_t)at * inputs + k]);
            UNROLL for (int i = 0; i < vectors; ++i) {
                tile[at * vectors + i] = __builtin_elementwise_fma(value, row[i], tile[at * vectors + i]);
            }
        }
    }
    UNROLL for (int i = 0; i < vectors; ++i) {
        ck_vector sum = load_f32(sums + i * LANES);
        UNROLL for (int at = 0; at < positions; ++at) {
            const ck_vector value = limited(tile[at * vectors + i], limits);
            store_f32(y + (size_t)at * step + i * LANES, value);
            sum += value;
        }
        store_f32(sums + i * LANES, sum);
    }
}

// Computes a number of tiles. Returns the positions that they have together.
INLINE size_t multiply_tiles(const product *p, const float *x, size_t tiles, float *y, float *sums, const int positions,
                             const int vectors) {
    for (size_t i = 0; i < tiles; ++i, x += positions * p->inputs, y += positions * p->step) {
        multiply_tile(p, x, y, sums, positions, vectors);
    }
    return tiles * positions;
}

// The number of tiles of the most positions, after which whole tiles of few positions are left, if that can be.
INLINE size_t tiles_of_most(size_t width, const int most, const int few) {
    size_t tiles = width / most;
    while (tiles > 0 && (width - tiles * most) % few != 0) --tiles;
    return tiles > 0 ? tiles : width / most;
}

// Rows of 7, 14 and 28 positions are whole tiles of 7, where a tile may have so many.
INLINE void multiply_positions(const product *p, const float *x, size_t width, float *y, float *sums,
                               const int vectors) {
    const int full = CK_BLOCK_TILE / vectors, few = 4;
    size_t at;
    if (full > 7 && width % full != 0 && width % 7 == 0) {
        at = multiply_tiles(p, x, width / 7, y, sums, 7, vectors);
    } else {
        at = multiply_tiles(p, x, tiles_of_most(width, full, few), y, sums, full, vectors);
    }
    const float *rest = x + at * p->inputs;
    at += multiply_tiles(p, rest, (width - at) / few, y + at * p->step, sums, few, vectors);
    multiply_tiles(p, x + at * p->inputs, width - at, y + at * p->step, sums, 1, vectors);
}

// Computes a row of positions. total gets the row's sum added.
static void multiply_row(const product *p, const float *x, size_t width, size_t vectors, float *y, float *total) {
    float sums[PANEL] = {0};
    switch (vectors) {
#if CK_BLOCK_VECTORS > 1
    case 3: multiply_positions(p, x, width, y, sums, 3); break;
    case 2: multiply_positions(p, x, width, y, sums, 2); break;
#endif
    default: multiply_positions(p, x, width, y, sums, 1);
    }
    for (size_t i = 0; i < vectors * LANES; ++i) total[i] += sums[i];
}

// Computes neighbours of one vector of channels from rows of a panel.
INLINE ck_vector filter_neighbours(const float *const *rows, size_t first, const ck_vector *taps, ck_vector bias,
                                   limits limits, size_t step, float *y, ck_vector sum, const int count, const int side,
                                   const int stride) {
    ck_vector results[NEIGHBOURS];
    UNROLL for (int i = 0; i < count; ++i) results[i] = bias;
    UNROLL for (int row = 0; row < side; ++row) {
        const float *p = rows[row] + first * PANEL;
        UNROLL for (int column = 0; column < (count - 1) * stride + side; ++column) {
            const ck_vector value = load_f32(p + column * PANEL);
            UNROLL for (int i = 0; i < count; ++i) {
                const int tap = column - i * stride;
                if (tap < 0 || tap >= side) continue;
                results[i] = __builtin_elementwise_fma(value, taps[row * side + tap], results[i]);
            }
        }
    }
    UNROLL for (int i = 0; i < count; ++i) {
        const ck_vector value = limited(results[i], limits);
        store_f32(y + (size_t)i * step, value);
        sum += value;
    }
    return sum;
}

INLINE void filter_positions(const float *const *rows, const ck_block *b, size_t channel, float *y, float *total,
                             const int side, const int stride) {
    ck_vector taps[MOST_TAPS], sum = {0};
    const float *weights = b->depthwise.weights + channel;
    UNROLL for (int i = 0; i < side * side; ++i) taps[i] = load_f32(weights + (size_t)i * b->channels);
    const ck_vector bias = load_f32(b->depthwise.bias + channel);
    const limits limits = limits_of(&b->depthwise);
    const size_t width = b->new_width, step = b->channels;
    size_t at = 0;
    for (; at + NEIGHBOURS <= width; at += NEIGHBOURS) {
        sum = filter_neighbours(rows, at * stride, taps, bias, limits, step, y + at * step, sum, NEIGHBOURS, side,
                                stride);
    }
    for (; at < width; ++at) {
        sum = filter_neighbours(rows, at * stride, taps, bias, limits, step, y + at * step, sum, 1, side, stride);
    }
    store_f32(total, load_f32(total) + sum);
}

// Computes a row of the depthwise convolution for one vector of channels.
static void filter_row(const float *const *rows, const ck_block *b, size_t channel, float *y, float *total) {
    switch (b->side * 2 + b->stride) {
    case 7: filter_positions(rows, b, channel, y, total, 3, 1); break;
    case 8: filter_positions(rows, b, channel, y, total, 3, 2); break;
    case 11: filter_positions(rows, b, channel, y, total, 5, 1); break;
    default: filter_positions(rows, b, channel, y, total, 5, 2);
    }
}

// The scratch memory of a block, which computes a band of rows of the result at a time.
typedef struct {
    float *ring;     // the rows of the expanded map that a band needs: [slots, panels, padded width, PANEL]
    float *nothing;  // a row of zeros
    float *filtered; // the depthwise convolution of a band: [band, new_width, channels]
    float *sums[CK_BLOCK_LAYERS]; // over the maps of the layers
    size_t band;
    size_t slots;
    size_t panels;
    size_t row; // floats of a row of a panel
} block_scratch;

enum { BAND_FLOATS = 64 << 10 }; // of a band's scratch memory, so that it stays in a core's cache

static size_t block_row_size(const ck_block *b) { return (b->width + b->left + b->right + b->side) * PANEL; }

static size_t block_panels(const ck_block *b) {
    return (b->channels / LANES + CK_BLOCK_VECTORS - 1) / CK_BLOCK_VECTORS;
}

static size_t block_slots(const ck_block *b, size_t band) { return (band - 1) * b->stride + b->side; }

// The rows of a band. With more rows, weights are read less often. The number is the same in every variant, since the
// order of the additions to a mean depends on it.
static size_t block_band(const ck_block *b) {
    const size_t width = b->width + b->left + b->right + b->side;
    size_t band = 1;
    while (band < b->new_height &&
           ((block_slots(b, band + 1) + 1) * width + (band + 1) * b->new_width) * b->channels <= BAND_FLOATS) {
        ++band;
    }
    return band;
}

static size_t block_scratch_size(const ck_block *b) {
    const size_t band = block_band(b), rows = block_slots(b, band) * block_panels(b) + 1;
    return block_row_size(b) * rows + band * b->new_width * b->channels + 2 * b->channels + b->outputs;
}

static block_scratch block_divide(const ck_block *b, float *memory) {
    block_scratch s = {.band = block_band(b), .panels = block_panels(b), .row = block_row_size(b)};
    s.slots = block_slots(b, s.band);
    s.ring = memory;
    s.nothing = s.ring + s.row * s.slots * s.panels;
    s.filtered = s.nothing + s.row;
    s.sums[0] = s.filtered + s.band * b->new_width * b->channels;
    s.sums[1] = s.sums[0] + b->channels;
    s.sums[2] = s.sums[1] + b->channels;
    memset(s.sums[0], 0, (2 * b->channels + b->outputs) * sizeof(float));
    return s;
}

// The vectors of channels of a panel, and the first of its channels. Panels have nearly as many vectors each.
static size_t block_panel(const ck_block *b, const block_scratch *s, size_t panel, size_t *channel) {
    const size_t vectors = b->channels / LANES, each = vectors / s->panels, more = vectors % s->panels;
    *channel = (panel * each + (panel < more ? panel : more)) * LANES;
    return each + (panel < more);
}

static float *block_row(const block_scratch *s, size_t row, size_t panel) {
    return s->ring + (row % s->slots * s->panels + panel) * s->row;
}

// Puts a row of a panel of the expanded map into the ring.
static void block_expand(const ck_block *b, const block_scratch *s, const float *x, size_t row, size_t panel) {
    size_t channel, vectors = block_panel(b, s, panel, &channel);
    float *y = block_row(s, row, panel) + b->left * PANEL;
    x += row * b->width * b->inputs;
    if (b->expansion.weights != NULL) {
        const product p = {
            .layer = &b->expansion,
            .weights = b->expansion.weights + channel,
            .bias = b->expansion.bias + channel,
            .inputs = b->inputs,
            .stride = b->channels,
            .step = PANEL,
        };
        multiply_row(&p, x, b->width, vectors, y, s->sums[0] + channel);
    } else {
        for (size_t at = 0; at < b->width; ++at, x += b->inputs, y += PANEL) {
            memcpy(y, x + channel, vectors * LANES * sizeof *y);
        }
    }
}

// Computes a row of a panel of the depthwise convolution.
static void block_filter(const ck_block *b, const block_scratch *s, size_t row, float *y, size_t panel) {
    size_t channel, vectors = block_panel(b, s, panel, &channel);
    for (size_t i = 0; i < vectors; ++i, channel += LANES) {
        const float *rows[CK_BLOCK_SIDE];
        for (size_t k = 0; k < b->side; ++k) {
            const size_t padded = row * b->stride + k;
            const int inside = padded >= b->top && padded - b->top < b->height;
            rows[k] = (inside ? block_row(s, padded - b->top, panel) : s->nothing) + i * LANES;
        }
        filter_row(rows, b, channel, y + channel, s->sums[1] + channel);
    }
}

// Computes some rows of the result, of so many positions together.
static void block_project(const ck_block *b, const block_scratch *s, size_t positions, float *y) {
    const size_t vectors = b->outputs / LANES;
    for (size_t first = 0; first < vectors; first += CK_BLOCK_VECTORS) {
        const size_t left = vectors - first, channel = first * LANES;
        const product p = {
            .layer = &b->projection,
            .weights = b->projection.weights + channel,
            .bias = b->projection.bias + channel,
            .inputs = b->channels,
            .stride = b->outputs,
            .step = b->outputs,
        };
        multiply_row(&p, s->filtered, positions, left < CK_BLOCK_VECTORS ? left : CK_BLOCK_VECTORS, y + channel,
                     s->sums[2] + channel);
    }
}

// The end of the rows of the expanded map that the rows of the result before `row` need.
static size_t block_needed(const ck_block *b, size_t row) {
    const size_t padded = (row - 1) * b->stride + b->side, end = padded > b->top ? padded - b->top : 0;
    return end < b->height ? end : b->height;
}

// Computes one image. What no layer writes of the scratch memory must be zeros, which pad the map. The expanded map and
// that of the depthwise convolution never leave the cache.
static void block_image(const ck_block *b, const float *x, float *memory, float *y, float *const means[]) {
    const block_scratch s = block_divide(b, memory);
    const size_t row_size = b->new_width * b->channels;
    size_t expanded = 0;
    for (size_t first = 0; first < b->new_height; first += s.band) {
        const size_t left = b->new_height - first, count = left < s.band ? left : s.band;
        const size_t end = block_needed(b, first + count);
        for (size_t panel = 0; panel < s.panels; ++panel) {
            for (size_t row = expanded; row < end; ++row) block_expand(b, &s, x, row, panel);
            for (size_t i = 0; i < count; ++i) block_filter(b, &s, first + i, s.filtered + i * row_size, panel);
        }
        if (end > expanded) expanded = end;
        block_project(b, &s, count * b->new_width, y + first * b->new_width * b->outputs);
    }
    // Rows that no row of the result needs count in the mean.
    for (; expanded < b->height; ++expanded) {
        for (size_t panel = 0; panel < s.panels; ++panel) block_expand(b, &s, x, expanded, panel);
    }
    const float positions = (float)(b->height * b->width), left = (float)(b->new_height * b->new_width);
    for (size_t i = 0; i < b->channels; ++i) means[0][i] = s.sums[0][i] / positions;
    for (size_t i = 0; i < b->channels; ++i) means[1][i] = s.sums[1][i] / left;
    for (size_t i = 0; i < b->outputs; ++i) means[2][i] = s.sums[2][i] / left;
}

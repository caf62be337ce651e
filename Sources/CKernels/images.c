#include "CKernels.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>

#pragma STDC FP_CONTRACT OFF

// OpenCV's INTER_LINEAR on uint8 (modules/imgproc/src/resize.cpp): positions in float, weights of 11 bits, a horizontal
// pass in int32, and a vertical pass that keeps 16 bits of each product.
enum { WEIGHT_BITS = 11, WEIGHT_ONE = 1 << WEIGHT_BITS };

typedef struct {
    int32_t first;     // index of the first of two source samples
    int32_t second;
    int16_t weight[2]; // of the two, in 1/2048
} tap;

// The source samples of each of new_size destination samples. clamped says how the border is treated: OpenCV moves the
// horizontal position onto the border sample, but only clips the two row numbers of a vertical one.
static void place_taps(tap *taps, size_t size, size_t new_size, int clamped) {
    double inverse = (double)new_size / (double)size;
    double step = 1.0 / inverse;
    int32_t last = (int32_t)size - 1;
    for (size_t i = 0; i < new_size; ++i) {
        float position = (float)(((double)i + 0.5) * step - 0.5);
        int32_t index = (int32_t)floorf(position);
        float fraction = position - (float)index;
        if (clamped && index < 0) {
            index = 0;
            fraction = 0;
        }
        if (clamped && index >= last) {
            index = last;
            fraction = 0;
        }
        taps[i].weight[0] = (int16_t)lrintf((1.0f - fraction) * WEIGHT_ONE);
        taps[i].weight[1] = (int16_t)lrintf(fraction * WEIGHT_ONE);
        int32_t next = index + 1;
        taps[i].first = index < 0 ? 0 : index > last ? last : index;
        taps[i].second = next < 0 ? 0 : next > last ? last : next;
    }
}

static void resize_row(const uint8_t *row, const tap *taps, size_t count, int32_t *out) {
    for (size_t i = 0; i < count; ++i, out += 3) {
        const uint8_t *a = row + 3 * (size_t)taps[i].first;
        const uint8_t *b = row + 3 * (size_t)taps[i].second;
        int32_t u = taps[i].weight[0], v = taps[i].weight[1];
        out[0] = a[0] * u + b[0] * v;
        out[1] = a[1] * u + b[1] * v;
        out[2] = a[2] * u + b[2] * v;
    }
}

static void blend_rows(const int32_t *restrict a, const int32_t *restrict b, int32_t u, int32_t v, size_t count,
                       uint8_t *restrict out) {
    for (size_t i = 0; i < count; ++i) {
        out[i] = (uint8_t)((((u * (a[i] >> 4)) >> 16) + ((v * (b[i] >> 4)) >> 16) + 2) >> 2);
    }
}

static void halve(const uint8_t *rgb, size_t stride, uint8_t *resized, size_t new_height, size_t new_width) {
    for (size_t y = 0; y < new_height; ++y) {
        const uint8_t *a = rgb + stride * (2 * y), *b = a + stride;
        for (size_t x = 0; x < new_width; ++x, a += 6, b += 6, resized += 3) {
            for (int c = 0; c < 3; ++c) resized[c] = (uint8_t)((a[c] + a[c + 3] + b[c] + b[c + 3] + 2) >> 2);
        }
    }
}

int ck_resize_bilinear(const uint8_t *rgb, size_t stride, size_t height, size_t width, uint8_t *resized,
                       size_t new_height, size_t new_width) {
    if (height == 2 * new_height && width == 2 * new_width) {
        halve(rgb, stride, resized, new_height, new_width);
        return 0;
    }
    size_t samples = 3 * new_width;
    tap *columns = malloc((new_width + new_height) * sizeof *columns);
    int32_t *buffers = malloc(2 * samples * sizeof *buffers);
    if (columns == NULL || buffers == NULL) {
        free(columns);
        free(buffers);
        return 1;
    }
    tap *lines = columns + new_width;
    place_taps(columns, width, new_width, 1);
    place_taps(lines, height, new_height, 0);
    int32_t *rows[2] = {buffers, buffers + samples};
    int32_t held[2] = {-1, -1}; // which source row each buffer holds
    for (size_t y = 0; y < new_height; ++y) {
        int32_t wanted[2] = {lines[y].first, lines[y].second};
        if (held[1] == wanted[0] && held[0] != wanted[0]) { // moving down: the second row becomes the first
            int32_t *row = rows[0];
            rows[0] = rows[1];
            rows[1] = row;
            int32_t number = held[0];
            held[0] = held[1];
            held[1] = number;
        }
        for (int k = 0; k < 2; ++k) {
            if (held[k] == wanted[k]) continue;
            resize_row(rgb + stride * (size_t)wanted[k], columns, new_width, rows[k]);
            held[k] = wanted[k];
        }
        blend_rows(rows[0], rows[1], lines[y].weight[0], lines[y].weight[1], samples, resized + samples * y);
    }
    free(columns);
    free(buffers);
    return 0;
}

// ---- antialiased

// Pillow's BILINEAR (src/libImaging/Resample.c): a triangle over all the source samples that a destination sample covers,
// its weights normalized in double and rounded to 22 bits; a horizontal, then a vertical pass, each rounded to uint8.
enum { TRIANGLE_BITS = 22, TRIANGLE_ONE = 1 << TRIANGLE_BITS };

typedef struct {
    size_t first;  // source sample
    size_t count;
    int32_t *weights;
} span;

// Rounding each of very many weights would lose their sum, and so the brightness.
enum { MANY_WEIGHTS = 4096 };

static void round_weights(double *exact, size_t count, double sum, int32_t *weights) {
    const double share = 1 / sum;
    double carried = 0;
    for (size_t k = 0; k < count; ++k) {
        double weight = exact[k] * share * TRIANGLE_ONE + carried;
        weights[k] = (int32_t)floor(weight + 0.5);
        if (count > MANY_WEIGHTS) carried = weight - weights[k];
    }
}

static size_t triangle_size(size_t size, size_t new_size) {
    double scale = (double)size / (double)new_size;
    return (size_t)ceil(scale < 1 ? 1 : scale) * 2 + 1;
}

// The spans of new_size destination samples; weights and exact have room for each and one.
static void place_spans(span *spans, size_t size, size_t new_size, int32_t *weights, double *exact) {
    double scale = (double)size / (double)new_size;
    double support = scale < 1 ? 1 : scale, inverse = 1 / support; // products, not quotients: Pillow's very roundings
    size_t room = triangle_size(size, new_size);
    for (size_t i = 0; i < new_size; ++i) {
        double centre = ((double)i + 0.5) * scale;
        double low = centre - support + 0.5, high = centre + support + 0.5;
        size_t first = low < 0 ? 0 : (size_t)low;
        size_t end = high > (double)size ? size : (size_t)high;
        double sum = 0;
        for (size_t k = first; k < end; ++k) {
            double distance = fabs(((double)k - centre + 0.5) * inverse);
            exact[k - first] = distance < 1 ? 1 - distance : 0;
            sum += exact[k - first];
        }
        spans[i] = (span){first, end - first, weights + i * room};
        round_weights(exact, end - first, sum, spans[i].weights);
    }
}

static uint8_t from_fixed(int32_t sum) {
    int32_t value = sum >> TRIANGLE_BITS;
    return value < 0 ? 0 : value > 255 ? 255 : (uint8_t)value;
}

static void shrink_row(const uint8_t *row, const span *spans, size_t count, uint8_t *out) {
    for (size_t i = 0; i < count; ++i, out += 3) {
        const uint8_t *sample = row + 3 * spans[i].first;
        int32_t red = TRIANGLE_ONE / 2, green = red, blue = red;
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

static void shrink_columns(const uint8_t *rows, size_t samples, const span *line, int32_t *restrict sums,
                           uint8_t *restrict out) {
    for (size_t i = 0; i < samples; ++i) sums[i] = TRIANGLE_ONE / 2;
    for (size_t k = 0; k < line->count; ++k) {
        const uint8_t *row = rows + samples * (line->first + k);
        int32_t weight = line->weights[k];
        for (size_t i = 0; i < samples; ++i) sums[i] += row[i] * weight;
    }
    for (size_t i = 0; i < samples; ++i) out[i] = from_fixed(sums[i]);
}

int ck_resize_antialiased(const uint8_t *rgb, size_t stride, size_t height, size_t width, uint8_t *resized,
                          size_t new_height, size_t new_width) {
    size_t samples = 3 * new_width;
    size_t column_room = triangle_size(width, new_width), line_room = triangle_size(height, new_height);
    span *columns = malloc((new_width + new_height) * sizeof *columns);
    int32_t *weights = malloc((new_width * column_room + new_height * line_room) * sizeof *weights);
    double *exact = malloc((column_room > line_room ? column_room : line_room) * sizeof *exact);
    uint8_t *rows = malloc(samples * height);
    int32_t *sums = malloc(samples * sizeof *sums);
    int failed = columns == NULL || weights == NULL || exact == NULL || rows == NULL || sums == NULL;
    if (!failed) {
        span *lines = columns + new_width;
        place_spans(columns, width, new_width, weights, exact);
        place_spans(lines, height, new_height, weights + new_width * column_room, exact);
        for (size_t y = 0; y < height; ++y) shrink_row(rgb + stride * y, columns, new_width, rows + samples * y);
        for (size_t y = 0; y < new_height; ++y) {
            shrink_columns(rows, samples, lines + y, sums, resized + samples * y);
        }
    }
    free(columns);
    free(weights);
    free(exact);
    free(rows);
    free(sums);
    return failed;
}

// ---- to numbers

void ck_pixels_to_float(const uint8_t *pixels, size_t stride, size_t height, size_t width, int swap, int mirror,
                        const float mean[3], const float scale[3], float *fed) {
    const int first = swap ? 2 : 0, third = swap ? 0 : 2;
    const float m0 = mean[0], m1 = mean[1], m2 = mean[2], s0 = scale[0], s1 = scale[1], s2 = scale[2];
    const ptrdiff_t step = mirror ? -3 : 3;
    for (size_t y = 0; y < height; ++y) {
        const uint8_t *pixel = pixels + stride * y + (mirror ? 3 * (width - 1) : 0);
        for (size_t x = 0; x < width; ++x, pixel += step, fed += 3) {
            fed[0] = ((float)pixel[first] - m0) * s0;
            fed[1] = ((float)pixel[1] - m1) * s1;
            fed[2] = ((float)pixel[third] - m2) * s2;
        }
    }
}

#include "CKernels.h"
#include "loops.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#pragma STDC FP_CONTRACT OFF

// This is OpenCV's INTER_LINEAR on uint8 (modules/imgproc/src/resize.cpp). Positions are floats, and weights have 11
// bits. The horizontal pass is in int32. The vertical pass keeps 16 bits of each product.
enum { WEIGHT_BITS = 11, WEIGHT_ONE = 1 << WEIGHT_BITS };

static ck_part part_or_whole(const ck_part *part, size_t height, size_t width) {
    return part != NULL ? *part : (ck_part){0, 0, height, width};
}

// Finds the source samples of count of new_size destination samples, from the one numbered `from` on. clamped says how
// the border is treated. OpenCV moves a horizontal position onto the border sample. Of a vertical position, it only
// clips the two row numbers.
static void place_taps(ck_tap *taps, size_t size, size_t new_size, size_t from, size_t count, int clamped) {
    double inverse = (double)new_size / (double)size;
    double step = 1.0 / inverse;
    int32_t last = (int32_t)size - 1;
    for (size_t i = 0; i < count; ++i) {
        float position = (float)(((double)(from + i) + 0.5) * step - 0.5);
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

int ck_resize_bilinear(const uint8_t *rgb, size_t stride, size_t height, size_t width, uint8_t *resized,
                       size_t new_height, size_t new_width, const ck_part *wanted_part) {
    const ck_loops *loops = ck_current_loops();
    const ck_part part = part_or_whole(wanted_part, new_height, new_width);
    size_t samples = 3 * part.width;
    if (height == 2 * new_height && width == 2 * new_width) {
        for (size_t y = 0; y < part.height; ++y) {
            const uint8_t *row = rgb + stride * (2 * (part.top + y)) + 3 * (2 * part.left);
            loops->halve_row(row, row + stride, part.width, resized + samples * y);
        }
        return 0;
    }
    ck_tap *columns = malloc((part.width + part.height) * sizeof *columns);
    int16_t *buffers = malloc(2 * samples * sizeof *buffers);
    if (columns == NULL || buffers == NULL) {
        free(columns);
        free(buffers);
        return 1;
    }
    ck_tap *lines = columns + part.width;
    place_taps(columns, width, new_width, part.left, part.width, 1);
    place_taps(lines, height, new_height, part.top, part.height, 0);
    int16_t *rows[2] = {buffers, buffers + samples};
    int32_t held[2] = {-1, -1}; // the source row that each buffer holds
    for (size_t y = 0; y < part.height; ++y) {
        int32_t wanted[2] = {lines[y].first, lines[y].second};
        if (held[1] == wanted[0] && held[0] != wanted[0]) { // moving down, the second row becomes the first
            int16_t *row = rows[0];
            rows[0] = rows[1];
            rows[1] = row;
            int32_t number = held[0];
            held[0] = held[1];
            held[1] = number;
        }
        for (int k = 0; k < 2; ++k) {
            if (held[k] == wanted[k]) continue;
            loops->resize_row(rgb + stride * (size_t)wanted[k], width, columns, part.width, rows[k]);
            held[k] = wanted[k];
        }
        loops->blend_rows(rows[0], rows[1], lines[y].weight[0], lines[y].weight[1], samples, resized + samples * y);
    }
    free(columns);
    free(buffers);
    return 0;
}

// ---- antialiased

// These are Pillow's BILINEAR and BICUBIC (src/libImaging/Resample.c). A destination sample is a weighted mean of all
// the source samples that it covers. The weights form a triangle, or the cubic of Keys (1981) with a = -0.5. They are
// normalized in double and rounded to 22 bits. A horizontal pass comes before a vertical one, and each is rounded to
// uint8. Where there are very many weights, rounding each by itself would lose their sum, and so the brightness. Then
// the rounding error is carried from weight to weight.
enum { MANY_WEIGHTS = 4096 };

static void round_weights(double *exact, size_t count, double sum, int32_t *weights) {
    const double share = 1 / sum;
    double carried = 0;
    for (size_t k = 0; k < count; ++k) {
        double weight = exact[k] * share * CK_TRIANGLE_ONE + carried;
        weights[k] = (int32_t)(weight < 0 ? weight - 0.5 : weight + 0.5); // halves away from zero, as in Pillow
        if (count > MANY_WEIGHTS) carried = weight - weights[k];
    }
}

typedef struct {
    double radius;                     // of the curve, in samples of the smaller picture
    double (*weight)(double distance); // of a sample at this distance, 0 or more, in the same unit
} ck_curve;

static double triangle(double distance) { return distance < 1 ? 1 - distance : 0; }

static double cubic(double x) {
    const double a = -0.5;
    if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

static const ck_curve TRIANGLE = {1, triangle}, CUBIC = {2, cubic};

static size_t curve_size(const ck_curve *curve, size_t size, size_t new_size) {
    double scale = (double)size / (double)new_size;
    return (size_t)ceil(curve->radius * (scale < 1 ? 1 : scale)) * 2 + 1;
}

// Finds the spans of count of new_size destination samples, from the one numbered `from` on. weights has room for the
// weights of all of them, exact for those of one.
static void place_spans(const ck_curve *curve, ck_span *spans, size_t size, size_t new_size, size_t from, size_t count,
                        int32_t *weights, double *exact) {
    double scale = (double)size / (double)new_size;
    double stretch = scale < 1 ? 1 : scale, inverse = 1 / stretch; // products, not quotients, round as in Pillow
    double support = curve->radius * stretch;
    size_t room = curve_size(curve, size, new_size);
    for (size_t i = 0; i < count; ++i) {
        double centre = ((double)(from + i) + 0.5) * scale;
        double low = centre - support + 0.5, high = centre + support + 0.5;
        size_t first = low < 0 ? 0 : (size_t)low;
        size_t end = high > (double)size ? size : (size_t)high;
        double sum = 0;
        for (size_t k = first; k < end; ++k) {
            exact[k - first] = curve->weight(fabs(((double)k - centre + 0.5) * inverse));
            sum += exact[k - first];
        }
        spans[i] = (ck_span){first, end - first, weights + i * room};
        round_weights(exact, end - first, sum, spans[i].weights);
    }
}

static int resize_by_curve(const ck_curve *curve, const uint8_t *rgb, size_t stride, size_t height, size_t width,
                           uint8_t *resized, size_t new_height, size_t new_width, const ck_part *wanted_part) {
    const ck_loops *loops = ck_current_loops();
    const ck_part part = part_or_whole(wanted_part, new_height, new_width);
    size_t samples = 3 * part.width;
    size_t column_room = curve_size(curve, width, new_width), line_room = curve_size(curve, height, new_height);
    // The rows that were made narrow wait in a window, which moves down over the picture. A high and narrow picture
    // would need much memory for all of them. With room for twice what a line covers, rows seldom have to move.
    const size_t window = 2 * line_room < height ? 2 * line_room : height;
    ck_span *columns = malloc((part.width + part.height) * sizeof *columns);
    int32_t *weights = malloc((part.width * column_room + part.height * line_room) * sizeof *weights);
    double *exact = malloc((column_room > line_room ? column_room : line_room) * sizeof *exact);
    uint8_t *rows = malloc(samples * window);
    int32_t *sums = malloc(samples * sizeof *sums);
    int failed = columns == NULL || weights == NULL || exact == NULL || rows == NULL || sums == NULL;
    if (!failed) {
        ck_span *lines = columns + part.width;
        place_spans(curve, columns, width, new_width, part.left, part.width, weights, exact);
        place_spans(curve, lines, height, new_height, part.top, part.height, weights + part.width * column_room, exact);
        size_t first = lines[0].first, end = first; // the source rows in the window
        for (size_t y = 0; y < part.height; ++y) {
            const size_t needed = lines[y].first + lines[y].count;
            if (needed - first > window) {
                const size_t kept = end > lines[y].first ? end - lines[y].first : 0;
                memmove(rows, rows + samples * (end - kept - first), samples * kept);
                first = lines[y].first;
                end = first + kept;
            }
            for (; end < needed; ++end) {
                loops->shrink_row(rgb + stride * end, columns, part.width, rows + samples * (end - first));
            }
            const ck_span line = {lines[y].first - first, lines[y].count, lines[y].weights};
            loops->shrink_columns(rows, samples, &line, sums, resized + samples * y);
        }
    }
    free(columns);
    free(weights);
    free(exact);
    free(rows);
    free(sums);
    return failed;
}

int ck_resize_antialiased(const uint8_t *rgb, size_t stride, size_t height, size_t width, uint8_t *resized,
                          size_t new_height, size_t new_width, const ck_part *part) {
    return resize_by_curve(&TRIANGLE, rgb, stride, height, width, resized, new_height, new_width, part);
}

int ck_resize_bicubic(const uint8_t *rgb, size_t stride, size_t height, size_t width, uint8_t *resized,
                      size_t new_height, size_t new_width, const ck_part *part) {
    return resize_by_curve(&CUBIC, rgb, stride, height, width, resized, new_height, new_width, part);
}

// ---- to numbers

// Samples that change their order pass through a buffer of whole patterns.
enum { BUFFER = 32 * CK_PATTERN };

static void reorder(const uint8_t *pixel, ptrdiff_t step, size_t count, int swap, uint8_t *samples) {
    const int first = swap ? 2 : 0, third = swap ? 0 : 2;
    for (size_t x = 0; x < count; ++x, pixel += step, samples += 3) {
        samples[0] = pixel[first];
        samples[1] = pixel[1];
        samples[2] = pixel[third];
    }
}

// OpenCV's weights of red, green and blue have 15 bits, and sum to 2^15. The grey of a grey pixel is its value.
static void to_grey(const uint8_t *pixel, ptrdiff_t step, size_t count, int swap, uint8_t *samples) {
    const int red = swap ? 2 : 0, blue = swap ? 0 : 2;
    for (size_t x = 0; x < count; ++x, pixel += step) {
        samples[x] = (uint8_t)((9798u * pixel[red] + 19235u * pixel[1] + 3735u * pixel[blue] + (1u << 14)) >> 15);
    }
}

void ck_pixels_to_float(const uint8_t *pixels, size_t stride, size_t height, size_t width, int swap, int mirror,
                        const float mean[3], const float scale[3], float *fed) {
    const ck_loops *loops = ck_current_loops();
    float means[CK_PATTERN], scales[CK_PATTERN];
    for (size_t k = 0; k < CK_PATTERN; ++k) {
        means[k] = mean[k % 3];
        scales[k] = scale[k % 3];
    }
    uint8_t samples[BUFFER];
    const ptrdiff_t step = mirror ? -3 : 3;
    for (size_t y = 0; y < height; ++y, pixels += stride, fed += 3 * width) {
        if (!swap && !mirror) {
            loops->to_float(pixels, 3 * width, means, scales, fed);
            continue;
        }
        const uint8_t *start = mirror ? pixels + 3 * (width - 1) : pixels;
        for (size_t x = 0; x < width; x += BUFFER / 3) {
            size_t count = width - x < BUFFER / 3 ? width - x : BUFFER / 3;
            reorder(start + step * (ptrdiff_t)x, step, count, swap, samples);
            loops->to_float(samples, 3 * count, means, scales, fed + 3 * x);
        }
    }
}

void ck_pixels_to_planes(const uint8_t *pixels, size_t stride, size_t height, size_t width, int swap, int mirror,
                         const float mean[3], const float scale[3], float *fed) {
    const ck_loops *loops = ck_current_loops();
    // By the order of the samples in a pixel. Swapped channels are planes that change places.
    const size_t first = swap ? 2 : 0, third = swap ? 0 : 2, plane = height * width;
    const float means[3] = {mean[first], mean[1], mean[third]}, scales[3] = {scale[first], scale[1], scale[third]};
    uint8_t samples[BUFFER];
    for (size_t y = 0; y < height; ++y, pixels += stride, fed += width) {
        float *const planes[3] = {fed + first * plane, fed + plane, fed + third * plane};
        if (!mirror) {
            loops->to_planes(pixels, width, means, scales, planes);
            continue;
        }
        for (size_t x = 0; x < width; x += BUFFER / 3) {
            const size_t count = width - x < BUFFER / 3 ? width - x : BUFFER / 3;
            float *const parts[3] = {planes[0] + x, planes[1] + x, planes[2] + x};
            reorder(pixels + 3 * (width - 1 - x), -3, count, 0, samples);
            loops->to_planes(samples, count, means, scales, parts);
        }
    }
}

void ck_split_channels(const float *pixels, size_t count, float *planes) {
    float *const each[3] = {planes, planes + count, planes + 2 * count};
    ck_current_loops()->split_channels(pixels, count, each);
}

void ck_pixels_to_grey(const uint8_t *pixels, size_t stride, size_t height, size_t width, int swap, int mirror,
                       float mean, float scale, float *fed) {
    const ck_loops *loops = ck_current_loops();
    float means[CK_PATTERN], scales[CK_PATTERN];
    for (size_t k = 0; k < CK_PATTERN; ++k) {
        means[k] = mean;
        scales[k] = scale;
    }
    uint8_t samples[BUFFER];
    const ptrdiff_t step = mirror ? -3 : 3;
    for (size_t y = 0; y < height; ++y, pixels += stride, fed += width) {
        const uint8_t *start = mirror ? pixels + 3 * (width - 1) : pixels;
        for (size_t x = 0; x < width; x += BUFFER) {
            size_t count = width - x < BUFFER ? width - x : BUFFER;
            to_grey(start + step * (ptrdiff_t)x, step, count, swap, samples);
            loops->to_float(samples, count, means, scales, fed + x);
        }
    }
}

#include "CKernels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#pragma STDC FP_CONTRACT OFF

static float widened(uint16_t half) {
    uint32_t bits = (uint32_t)half << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint16_t nearest(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if (value != value) return (uint16_t)((bits >> 16) | 0x40);
    return (uint16_t)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

// The next bfloat16 above or below a finite one.
static uint16_t neighbour(uint16_t half, int upwards) {
    if ((half & 0x7fff) == 0) return upwards ? 0x0001 : 0x8001;
    int negative = half >> 15;
    return (uint16_t)(negative == upwards ? half - 1 : half + 1);
}

enum { BUCKETS = 65 }; // they sort values by how near they are to the middle between two bfloat16; 64 is the middle

static int bucket_of(float error, float step) {
    int bucket = (int)(error / step * 128); // step and error have the same sign, and error is at most half of step
    return bucket < 0 ? 0 : bucket >= BUCKETS ? BUCKETS - 1 : bucket;
}

static void round_balanced(const float *values, size_t count, uint16_t *rounded) {
    double missing = 0; // the amount that the sum lost
    for (size_t i = 0; i < count; ++i) {
        rounded[i] = nearest(values[i]);
        missing += (double)values[i] - (double)widened(rounded[i]);
    }
    if (!isfinite(missing) || missing == 0) return;
    const int upwards = missing > 0;

    // Values near the middle cost least when they are rounded the other way.
    double gains[BUCKETS] = {0};
    for (size_t i = 0; i < count; ++i) {
        const uint16_t half = rounded[i];
        const float error = values[i] - widened(half);
        if (upwards ? error <= 0 : error >= 0) continue;
        const float step = widened(neighbour(half, upwards)) - widened(half);
        gains[bucket_of(error, step)] += step;
    }
    int last = BUCKETS; // all values in higher buckets are turned, and in this one as many as help
    double turned = 0;
    while (last > 0 && fabs(turned) < fabs(missing)) turned += gains[--last];
    double left = missing - (turned - (last < BUCKETS ? gains[last] : 0));

    for (size_t i = 0; i < count; ++i) {
        const uint16_t half = rounded[i];
        const float error = values[i] - widened(half);
        if (upwards ? error <= 0 : error >= 0) continue;
        const uint16_t other = neighbour(half, upwards);
        const float step = widened(other) - widened(half);
        const int bucket = bucket_of(error, step);
        if (bucket < last) continue;
        if (bucket == last) {
            if (fabs(left - step) >= fabs(left)) continue;
            left -= step;
        }
        rounded[i] = other;
    }
}

// A float that need not be aligned.
static float value_at(const char *values, size_t index) {
    float value;
    memcpy(&value, values + index * sizeof value, sizeof value);
    return value;
}

enum { GROUP = 16 }; // channels that are gathered at a time, which are a cache line of each row

int ck_round_bf16(const void *weights, size_t inputs, size_t channels, int channels_first, const double *scale,
                  uint16_t *rounded) {
    const char *values = weights;
    float *gathered = malloc(GROUP * inputs * sizeof *gathered);
    uint16_t *halves = malloc(inputs * sizeof *halves);
    if (gathered == NULL || halves == NULL) {
        free(gathered);
        free(halves);
        return 1;
    }
    const size_t input_step = channels_first ? 1 : channels, channel_step = channels_first ? inputs : 1;
    for (size_t first = 0; first < channels; first += GROUP) {
        const size_t count = channels - first < GROUP ? channels - first : GROUP;
        for (size_t i = 0; i < inputs; ++i) {
            for (size_t c = 0; c < count; ++c) {
                float value = value_at(values, i * input_step + (first + c) * channel_step);
                gathered[c * inputs + i] = scale == NULL ? value : (float)((double)value * scale[first + c]);
            }
        }
        for (size_t c = 0; c < count; ++c) {
            round_balanced(gathered + c * inputs, inputs, halves);
            for (size_t i = 0; i < inputs; ++i) rounded[i * input_step + (first + c) * channel_step] = halves[i];
        }
    }
    free(gathered);
    free(halves);
    return 0;
}

void ck_round_bf16_nearest(const float *values, size_t count, uint16_t *rounded) {
    for (size_t i = 0; i < count; ++i) rounded[i] = nearest(values[i]);
}

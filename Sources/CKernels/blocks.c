#include "CKernels.h"
#include "loops.h"

#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 64 }; // bytes of a vector

int ck_has_blocks(void) { return ck_current_loops()->block != NULL; }

static size_t whole(size_t channels) { return (channels + CK_BLOCK_UNIT - 1) / CK_BLOCK_UNIT * CK_BLOCK_UNIT; }

static float *aligned(void *memory) {
    const uintptr_t address = (uintptr_t)memory;
    return (float *)((address + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT);
}

// Widens the projection of a block to whole vectors, with zeros. memory has room for [channels + 1, wide].
static void widen(ck_block *block, size_t wide, float *memory) {
    const ck_convolution given = block->projection;
    const size_t narrow = block->outputs;
    memset(memory, 0, (block->channels + 1) * wide * sizeof *memory);
    for (size_t i = 0; i < block->channels; ++i) {
        memcpy(memory + i * wide, given.weights + i * narrow, narrow * sizeof *memory);
    }
    float *bias = memory + block->channels * wide;
    memcpy(bias, given.bias, narrow * sizeof *bias);
    block->projection.weights = memory;
    block->projection.bias = bias;
    block->outputs = wide;
}

// As ck_run_block, for outputs that are no whole vectors. Each image is computed with more outputs, which are cut off.
static void run_widened(ck_block block, const float *x, size_t n, float *memory, float *scratch, float *y,
                        float *const means[CK_BLOCK_LAYERS]) {
    const size_t narrow = block.outputs, wide = whole(narrow), positions = block.new_height * block.new_width;
    widen(&block, wide, memory);
    float *map = memory + (block.channels + 1) * wide, *mean = map + positions * wide;
    for (size_t i = 0; i < n; ++i, x += block.height * block.width * block.inputs) {
        float *const own[CK_BLOCK_LAYERS] = {means[0] + i * block.channels, means[1] + i * block.channels, mean};
        ck_current_loops()->block(&block, x, scratch, map, own);
        for (size_t at = 0; at < positions; ++at, y += narrow) memcpy(y, map + at * wide, narrow * sizeof *y);
        memcpy(means[2] + i * narrow, mean, narrow * sizeof *mean);
    }
}

int ck_run_block(const ck_block *block, const float *x, size_t n, float *y, float *const means[CK_BLOCK_LAYERS]) {
    const size_t positions = block->new_height * block->new_width, wide = whole(block->outputs);
    const size_t scratch = whole(ck_current_loops()->block_scratch(block) + wide - block->outputs);
    const size_t more = wide == block->outputs ? 0 : (block->channels + 2 + positions) * wide;
    void *memory = malloc((scratch + more) * sizeof *y + ALIGNMENT);
    if (memory == NULL) return 1;
    float *start = aligned(memory);
    memset(start, 0, scratch * sizeof *start);
    if (more > 0) {
        run_widened(*block, x, n, start + scratch, start, y, means);
    } else {
        for (size_t i = 0; i < n; ++i, x += block->height * block->width * block->inputs) {
            float *const own[CK_BLOCK_LAYERS] = {means[0] + i * block->channels, means[1] + i * block->channels,
                                                 means[2] + i * block->outputs};
            ck_current_loops()->block(block, x, start, y, own);
            y += positions * block->outputs;
        }
    }
    free(memory);
    return 0;
}

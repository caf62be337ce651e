#include "CKernels.h"

#include <string.h>

// A picture of many megapixels is far larger than the caches, and a new row takes a pixel from each old row. So the
// picture is turned tile by tile. The padding keeps the rows of a tile out of each other's way in the cache.
enum { PIXEL = 3, TILE = 64, TILE_STRIDE = PIXEL * TILE + 4 };

// Copies pixels of a tile, which are step bytes apart, to a row. Four bytes are copied at once, which is one
// instruction, not two. The next pixel replaces the fourth. After a tile's last pixel, it is read from the padding.
static void gather(const uint8_t *pixel, ptrdiff_t step, size_t count, uint8_t *row) {
    for (size_t i = 0; i + 1 < count; ++i, pixel += step, row += PIXEL) memcpy(row, pixel, PIXEL + 1);
    memcpy(row, pixel, PIXEL);
}

// Of a tile that has `rows` rows and `columns` columns after it was turned.
static void turn_tile(const uint8_t *tile, size_t rows, size_t columns, int mirror, int flip, uint8_t *turned,
                      size_t stride) {
    const ptrdiff_t across = mirror ? -PIXEL : PIXEL, down = flip ? -TILE_STRIDE : TILE_STRIDE;
    const uint8_t *first = tile + (mirror ? PIXEL * (rows - 1) : 0) + (flip ? TILE_STRIDE * (columns - 1) : 0);
    for (size_t row = 0; row < rows; ++row, first += across, turned += stride) gather(first, down, columns, turned);
}

static size_t tile_size(size_t rest) { return rest < TILE ? rest : TILE; }

void ck_transpose_pixels(const uint8_t *rgb, size_t height, size_t width, int mirror, int flip, uint8_t *turned) {
    uint8_t tile[TILE * TILE_STRIDE];
    const size_t stride = PIXEL * width, turned_stride = PIXEL * height;
    for (size_t left = 0; left < height; left += TILE) {
        const size_t columns = tile_size(height - left);
        for (size_t top = 0; top < width; top += TILE) {
            const size_t rows = tile_size(width - top);
            const uint8_t *from = rgb + stride * (flip ? height - left - columns : left);
            from += PIXEL * (mirror ? width - top - rows : top);
            for (size_t k = 0; k < columns; ++k) memcpy(tile + TILE_STRIDE * k, from + stride * k, PIXEL * rows);
            turn_tile(tile, rows, columns, mirror, flip, turned + turned_stride * top + PIXEL * left, turned_stride);
        }
    }
}

void ck_mirror_pixels(const uint8_t *rgb, size_t height, size_t width, int mirror, int flip, uint8_t *mirrored) {
    const size_t stride = PIXEL * width;
    for (size_t y = 0; y < height; ++y, mirrored += stride) {
        const uint8_t *row = rgb + stride * (flip ? height - 1 - y : y);
        if (!mirror) {
            memcpy(mirrored, row, stride);
            continue;
        }
        for (size_t x = 0; x < width; ++x) memcpy(mirrored + PIXEL * x, row + PIXEL * (width - 1 - x), PIXEL);
    }
}

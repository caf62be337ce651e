#include "reader.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>

typedef struct {
    cic_reader base;
    png_structp png;
    png_infop info;
    const uint8_t *bytes;
    size_t size;
    size_t position;
    png_bytep *rows; // of an interlaced picture
} png_reader;

static void on_error(png_structp png, png_const_charp text) {
    png_reader *reader = png_get_error_ptr(png);
    if (reader->base.code == CIC_OK) {
        reader->base.code = strstr(text, "memory") != NULL ? CIC_NO_MEMORY
                          : strstr(text, "limit") != NULL  ? CIC_LIMIT
                                                           : CIC_DAMAGED;
        snprintf(reader->base.message, CIC_MESSAGE_SIZE, "%s", text);
    }
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp text) {
    png_reader *reader = png_get_error_ptr(png);
    if (reader->base.warning[0] == '\0') snprintf(reader->base.warning, CIC_MESSAGE_SIZE, "%s", text);
}

static void take_bytes(png_structp png, png_bytep out, size_t count) {
    png_reader *reader = png_get_io_ptr(png);
    if (count > reader->size - reader->position) png_error(png, "the data end too early");
    memcpy(out, reader->bytes + reader->position, count);
    reader->position += count;
}

static int read_rows(cic_reader *base, uint8_t *rgb, size_t stride) {
    png_reader *reader = (png_reader *)base;
    if (setjmp(png_jmpbuf(reader->png)) != 0) return base->code;
    png_set_expand(reader->png);     // palettes to RGB, grey of 1, 2, 4 bits to 8
    png_set_strip_16(reader->png);   // the high byte
    png_set_gray_to_rgb(reader->png);
    png_set_strip_alpha(reader->png);
    png_set_interlace_handling(reader->png);
    png_read_update_info(reader->png, reader->info);
    png_uint_32 height = png_get_image_height(reader->png, reader->info);
    if (png_get_rowbytes(reader->png, reader->info) > stride) png_error(reader->png, "rows longer than expected");
    reader->rows = malloc(height * sizeof *reader->rows);
    if (reader->rows == NULL) png_error(reader->png, "out of memory");
    for (png_uint_32 y = 0; y < height; ++y) reader->rows[y] = rgb + stride * y;
    png_read_image(reader->png, reader->rows);
    png_read_end(reader->png, NULL);
    return CIC_OK;
}

static void close_reader(cic_reader *base) {
    png_reader *reader = (png_reader *)base;
    png_destroy_read_struct(&reader->png, &reader->info, NULL);
    free(reader->rows);
    free(reader);
}

cic_reader *cic_png_open(const uint8_t *bytes, size_t size, const cic_limits *limits, uint32_t *width,
                         uint32_t *height) {
    png_reader *reader = calloc(1, sizeof *reader);
    if (reader == NULL) return NULL;
    reader->base.read = read_rows;
    reader->base.close = close_reader;
    reader->bytes = bytes;
    reader->size = size;
    reader->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, reader, on_error, on_warning);
    reader->info = reader->png != NULL ? png_create_info_struct(reader->png) : NULL;
    if (reader->info == NULL) {
        close_reader(&reader->base);
        return NULL;
    }
    if (setjmp(png_jmpbuf(reader->png)) != 0) return &reader->base;
    // Text and profiles are not decompressed: a small file can hold gigabytes of them.
    static const png_byte skipped[] = "tEXt\0zTXt\0iTXt\0iCCP\0sPLT\0hIST";
    png_set_keep_unknown_chunks(reader->png, PNG_HANDLE_CHUNK_NEVER, skipped, sizeof skipped / 5);
    png_set_user_limits(reader->png, 0x7fffffff, 0x7fffffff); // ours, in pixels, is checked by the caller
    png_set_chunk_malloc_max(reader->png, limits->max_chunk_size);
    png_set_read_fn(reader->png, reader, take_bytes);
    png_read_info(reader->png, reader->info);
    *width = png_get_image_width(reader->png, reader->info);
    *height = png_get_image_height(reader->png, reader->info);
    return &reader->base;
}

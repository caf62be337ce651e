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
    png_uint_32 rows_read;
    int is_last_row; // whether the last call for a row is running
    int is_complete; // whether that row was decoded, so that what comes now is surplus
    size_t surplus;  // bytes of image data that were read since
} png_reader;

// libpng inflates what follows the last row, up to the end of the image data, although it is lost. Some encoders write
// a few bytes too many. Each byte can stand for a thousand.
enum { MAX_SURPLUS = 1 << 14 };

static void on_error(png_structp png, png_const_charp text) {
    png_reader *reader = png_get_error_ptr(png);
    if (reader->base.code == CIC_OK || reader->base.code == CIC_PARTIAL) {
        reader->base.code = strstr(text, "memory") != NULL  ? CIC_NO_MEMORY
                            : strstr(text, "limit") != NULL ? CIC_LIMIT
                                                            : CIC_DAMAGED;
        snprintf(reader->base.message, CIC_MESSAGE_SIZE, "%s", text);
    }
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp text) {
    png_reader *reader = png_get_error_ptr(png);
    if (reader->base.tolerant && strstr(text, "CRC") != NULL && reader->base.code == CIC_OK) {
        reader->base.code = CIC_PARTIAL;
        snprintf(reader->base.message, CIC_MESSAGE_SIZE, "%s", text);
    } else if (reader->base.warning[0] == '\0') {
        snprintf(reader->base.warning, CIC_MESSAGE_SIZE, "%s", text);
    }
}

static void take_bytes(png_structp png, png_bytep out, size_t count) {
    png_reader *reader = png_get_io_ptr(png);
    if (count > reader->size - reader->position) png_error(png, "the image data end too early");
    if (reader->is_complete) {
        reader->surplus += count;
        if (reader->surplus > MAX_SURPLUS) png_error(png, "more than 16384 bytes of image data after the last row");
    }
    memcpy(out, reader->bytes + reader->position, count);
    reader->position += count;
}

// libpng calls this with each row once it is inflated.
static void on_row(png_structp png, png_row_infop row, png_bytep samples) {
    (void)row, (void)samples;
    png_reader *reader = png_get_user_transform_ptr(png);
    if (reader->is_last_row) reader->is_complete = 1;
}

// The image data before they are deflated. libpng goes over the pixels of an interlaced picture in several passes,
// which takes about as long as another picture.
static uint64_t header_work(cic_reader *base) {
    png_reader *reader = (png_reader *)base;
    const uint64_t height = png_get_image_height(reader->png, reader->info);
    const uint64_t width = png_get_image_width(reader->png, reader->info);
    const uint64_t inflated = height * (1 + (uint64_t)png_get_rowbytes(reader->png, reader->info));
    const int interlaced = png_get_interlace_type(reader->png, reader->info) != PNG_INTERLACE_NONE;
    return inflated + (interlaced ? CIC_RGB * width * height : 0);
}

static int read_rows(cic_reader *base, uint8_t *rgb, size_t stride) {
    png_reader *reader = (png_reader *)base;
    if (setjmp(png_jmpbuf(reader->png)) != 0) {
        return base->tolerant && base->code == CIC_DAMAGED && reader->rows_read > 0 ? CIC_PARTIAL : base->code;
    }
    png_set_expand(reader->png);   // makes RGB of palettes, and 8 bits of grey of 1, 2 or 4 bits
    png_set_strip_16(reader->png); // keeps the high byte
    png_set_gray_to_rgb(reader->png);
    png_set_strip_alpha(reader->png);
    png_set_read_user_transform_fn(reader->png, on_row);
    png_set_user_transform_info(reader->png, reader, 0, 0);
    int passes = png_set_interlace_handling(reader->png);
    png_read_update_info(reader->png, reader->info);
    png_uint_32 height = png_get_image_height(reader->png, reader->info);
    size_t row_size = png_get_rowbytes(reader->png, reader->info);
    if (row_size > stride) png_error(reader->png, "the rows are longer than expected");
    if (base->tolerant) {
        for (png_uint_32 y = 0; y < height; ++y) memset(rgb + stride * y, 0, row_size);
    }
    for (int pass = 0; pass < passes; ++pass) {
        for (png_uint_32 y = 0; y < height; ++y) {
            if (pass == passes - 1 && y == height - 1) {
                reader->is_last_row = 1;
                reader->is_complete = passes > 1 && y % 2 == 0; // the last pass has the odd rows alone
            }
            // Each pass of an interlaced picture fills the pixels that later passes refine.
            png_read_row(reader->png, NULL, rgb + stride * y);
            reader->rows_read += 1;
        }
    }
    reader->is_complete = 0;
    png_read_end(reader->png, NULL);
    return base->code;
}

static void close_reader(cic_reader *base) {
    png_reader *reader = (png_reader *)base;
    png_destroy_read_struct(&reader->png, &reader->info, NULL);
    free(reader);
}

// The chunks of texts, profiles and hints. They are skipped without being decompressed, because a small file can hold
// gigabytes of them.
static const png_byte skipped[] = "tEXt\0zTXt\0iTXt\0iCCP\0sPLT\0hIST";
enum { SKIPPED_COUNT = sizeof skipped / 5, CHUNK_HEADER = 8, CHUNK_CHECKSUM = 4 };

static int is_skipped(const uint8_t *name) {
    for (size_t i = 0; i < SKIPPED_COUNT; ++i) {
        if (memcmp(name, skipped + 5 * i, 4) == 0) return 1;
    }
    return 0;
}

// Refuses a chunk that is longer than the limit and that libpng would hold in memory as a whole.
static void check_chunks(png_reader *reader, uint64_t limit) {
    size_t at = 8; // after the signature
    while (reader->size - at >= CHUNK_HEADER) {
        const uint8_t *chunk = reader->bytes + at;
        size_t length = png_get_uint_32(chunk);
        if (length > limit && memcmp(chunk + 4, "IDAT", 4) != 0 && !is_skipped(chunk + 4)) {
            reader->base.code = CIC_LIMIT;
            snprintf(reader->base.message, CIC_MESSAGE_SIZE,
                     "a chunk of %zu bytes is more than the limit of %llu (max_chunk_bytes)", length,
                     (unsigned long long)limit);
            return;
        }
        if (memcmp(chunk + 4, "IEND", 4) == 0) return;
        if (length > reader->size - at - CHUNK_HEADER) return; // libpng will notice that the end is missing
        at += CHUNK_HEADER + length;
        at += reader->size - at < CHUNK_CHECKSUM ? reader->size - at : CHUNK_CHECKSUM;
    }
}

cic_reader *cic_png_open(const uint8_t *bytes, size_t size, const cic_options *options, uint32_t *width,
                         uint32_t *height) {
    png_reader *reader = calloc(1, sizeof *reader);
    if (reader == NULL) return NULL;
    reader->base.read = read_rows;
    reader->base.work = header_work;
    reader->base.close = close_reader;
    reader->base.tolerant = options->tolerate_truncation;
    reader->bytes = bytes;
    reader->size = size;
    reader->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, reader, on_error, on_warning);
    reader->info = reader->png != NULL ? png_create_info_struct(reader->png) : NULL;
    if (reader->info == NULL) {
        close_reader(&reader->base);
        return NULL;
    }
    if (setjmp(png_jmpbuf(reader->png)) != 0) return &reader->base;
    check_chunks(reader, options->max_chunk_size);
    if (reader->base.code != CIC_OK) return &reader->base;
    png_set_keep_unknown_chunks(reader->png, PNG_HANDLE_CHUNK_NEVER, skipped, SKIPPED_COUNT);
    png_set_user_limits(reader->png, 0x7fffffff, 0x7fffffff); // the caller checks libfne's limit, in pixels
    png_set_chunk_malloc_max(reader->png, options->max_chunk_size);
    if (reader->base.tolerant) {
        png_set_crc_action(reader->png, PNG_CRC_WARN_USE, PNG_CRC_DEFAULT);
        png_set_compression_buffer_size(reader->png, 64); // bytes read at once, which are lost where the data end
    }
    png_set_read_fn(reader->png, reader, take_bytes);
    png_read_info(reader->png, reader->info);
    *width = png_get_image_width(reader->png, reader->info);
    *height = png_get_image_height(reader->png, reader->info);
    return &reader->base;
}

#include "reader.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <jpeglib.h>
#include <png.h>

// Files below this size may take the work of a file of this size. Blank pages are such files.
static const uint64_t SMALL_FILE = 1 << 20;

static uint64_t limit_of_work(uint64_t size, uint64_t expansion) {
    uint64_t counted = size > SMALL_FILE ? size : SMALL_FILE;
    return counted > UINT64_MAX / expansion ? UINT64_MAX : counted * expansion;
}

int cic_count_work(cic_reader *reader, uint64_t bytes) {
    reader->work_done += bytes;
    if (reader->work_done <= reader->max_work) return 1;
    reader->code = CIC_LIMIT;
    snprintf(reader->message, CIC_MESSAGE_SIZE,
             "decoding goes through %llu bytes, more than the limit of %llu for a file of %zu bytes (max_expansion)",
             (unsigned long long)reader->work_done, (unsigned long long)reader->max_work, reader->size);
    return 0;
}

// Refuses a picture that is too large or too dear by its header. Returns whether it may be read.
static int is_allowed(cic_reader *reader, const cic_options *options, uint32_t width, uint32_t height) {
    uint32_t side = width > height ? width : height;
    uint64_t pixels = (uint64_t)width * height;
    if (side > options->max_side) {
        snprintf(reader->message, CIC_MESSAGE_SIZE, "%u x %u pixels have a side beyond the limit of %u (max_side)",
                 width, height, options->max_side);
    } else if (pixels > options->max_pixels) {
        snprintf(reader->message, CIC_MESSAGE_SIZE, "%u x %u pixels are more than the limit of %llu (max_pixels)",
                 width, height, (unsigned long long)options->max_pixels);
    } else {
        return cic_count_work(reader, CIC_RGB * pixels * (options->is_turned ? 2 : 1) + reader->work(reader));
    }
    reader->code = CIC_LIMIT;
    return 0;
}

int cic_open(int kind, const uint8_t *bytes, size_t size, const cic_options *options, cic_reader **reader,
             uint32_t *width, uint32_t *height, char message[CIC_MESSAGE_SIZE]) {
    *reader = NULL;
    cic_reader *opened = kind == CIC_JPEG  ? cic_jpeg_open(bytes, size, options, width, height)
                         : kind == CIC_PNG ? cic_png_open(bytes, size, options, width, height)
                                           : cic_webp_open(bytes, size, options, width, height);
    if (opened == NULL) {
        snprintf(message, CIC_MESSAGE_SIZE, "out of memory");
        return CIC_NO_MEMORY;
    }
    opened->size = size;
    opened->max_work = limit_of_work(size, options->max_expansion);
    int read = opened->code == CIC_OK || opened->code == CIC_PARTIAL;
    if (!read || !is_allowed(opened, options, *width, *height)) {
        int code = opened->code;
        memcpy(message, opened->message, CIC_MESSAGE_SIZE);
        opened->close(opened);
        return code;
    }
    *reader = opened;
    return CIC_OK;
}

int cic_reduce(cic_reader *reader, uint32_t denominator, uint32_t *width, uint32_t *height,
               char message[CIC_MESSAGE_SIZE]) {
    if (reader->reduce == NULL) return CIC_OK;
    int code = reader->reduce(reader, denominator, width, height);
    memcpy(message, reader->message, CIC_MESSAGE_SIZE);
    return code;
}

int cic_read(cic_reader *reader, uint8_t *rgb, size_t stride, char message[CIC_MESSAGE_SIZE],
             char warning[CIC_MESSAGE_SIZE]) {
    int code = reader->read(reader, rgb, stride);
    memcpy(message, reader->message, CIC_MESSAGE_SIZE);
    memcpy(warning, reader->warning, CIC_MESSAGE_SIZE);
    return code;
}

void cic_close(cic_reader *reader) {
    if (reader != NULL) reader->close(reader);
}

#define TEXT(value) #value
#define TEXT_OF(macro) TEXT(macro)

#ifdef LIBJPEG_TURBO_VERSION
#define LINKED "libjpeg-turbo " TEXT_OF(LIBJPEG_TURBO_VERSION) ", libpng " PNG_LIBPNG_VER_STRING
#else
#define LINKED "libjpeg " TEXT_OF(JPEG_LIB_VERSION) ", libpng " PNG_LIBPNG_VER_STRING
#endif

static pthread_once_t once = PTHREAD_ONCE_INIT;
static char versions[128];

static void write_versions(void) {
    int webp = cic_webp_version();
    if (webp != 0) {
        snprintf(versions, sizeof versions, LINKED ", libwebp %d.%d.%d", webp >> 16, webp >> 8 & 255, webp & 255);
    } else {
        snprintf(versions, sizeof versions, LINKED ", without libwebp");
    }
}

const char *cic_versions(void) {
    pthread_once(&once, write_versions);
    return versions;
}

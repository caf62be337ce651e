#include "reader.h"

#include <stdio.h>
#include <string.h>

#include <jpeglib.h>
#include <png.h>

int cic_open(int kind, const uint8_t *bytes, size_t size, const cic_options *options, cic_reader **reader,
             uint32_t *width, uint32_t *height, char message[CIC_MESSAGE_SIZE]) {
    *reader = NULL;
    cic_reader *opened = kind == CIC_JPEG ? cic_jpeg_open(bytes, size, options, width, height)
                                          : cic_png_open(bytes, size, options, width, height);
    if (opened == NULL) {
        snprintf(message, CIC_MESSAGE_SIZE, "out of memory");
        return CIC_NO_MEMORY;
    }
    int read = opened->code == CIC_OK || opened->code == CIC_PARTIAL;
    if (read && (uint64_t)*width * *height > options->max_pixels) {
        read = 0;
        opened->code = CIC_LIMIT;
        snprintf(opened->message, CIC_MESSAGE_SIZE, "%u x %u pixels are more than the limit of %llu", *width, *height,
                 (unsigned long long)options->max_pixels);
    }
    if (!read) {
        int code = opened->code;
        memcpy(message, opened->message, CIC_MESSAGE_SIZE);
        opened->close(opened);
        return code;
    }
    *reader = opened;
    return CIC_OK;
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

const char *cic_versions(void) {
#ifdef LIBJPEG_TURBO_VERSION
    return "libjpeg-turbo " TEXT_OF(LIBJPEG_TURBO_VERSION) ", libpng " PNG_LIBPNG_VER_STRING;
#else
    return "libjpeg " TEXT_OF(JPEG_LIB_VERSION) ", libpng " PNG_LIBPNG_VER_STRING;
#endif
}

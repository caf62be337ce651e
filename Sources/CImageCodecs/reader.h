#ifndef CIC_READER_H
#define CIC_READER_H

#include "CImageCodecs.h"

// The members that both decoders share. Each decoder's struct begins with them.
struct cic_reader {
    int (*read)(struct cic_reader *reader, uint8_t *rgb, size_t stride);
    void (*close)(struct cic_reader *reader);
    int code;     // the code of the error, or CIC_OK
    int tolerant; // whether to go on after damage
    char message[CIC_MESSAGE_SIZE];
    char warning[CIC_MESSAGE_SIZE];
};

// Both make a reader whose code and message say whether the header could be read. They return NULL when memory is
// short.
cic_reader *cic_jpeg_open(const uint8_t *bytes, size_t size, const cic_options *options, uint32_t *width,
                          uint32_t *height);
cic_reader *cic_png_open(const uint8_t *bytes, size_t size, const cic_options *options, uint32_t *width,
                         uint32_t *height);

#endif

#ifndef CIC_READER_H
#define CIC_READER_H

#include "CImageCodecs.h"

// What both decoders share. Each embeds it as its first member.
struct cic_reader {
    int (*read)(struct cic_reader *reader, uint8_t *rgb, size_t stride);
    void (*close)(struct cic_reader *reader);
    int code;     // what the error that jumped out means
    int tolerant; // go on after damage
    char message[CIC_MESSAGE_SIZE];
    char warning[CIC_MESSAGE_SIZE];
};

// Each makes a reader whose code and message say how reading the header went; NULL when memory is short.
cic_reader *cic_jpeg_open(const uint8_t *bytes, size_t size, const cic_options *options, uint32_t *width,
                          uint32_t *height);
cic_reader *cic_png_open(const uint8_t *bytes, size_t size, const cic_options *options, uint32_t *width,
                         uint32_t *height);

#endif

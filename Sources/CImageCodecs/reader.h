#ifndef CIC_READER_H
#define CIC_READER_H

#include "CImageCodecs.h"

// The members that both decoders share. Each decoder's struct begins with them.
struct cic_reader {
    int (*read)(struct cic_reader *reader, uint8_t *rgb, size_t stride);
    // Has read give the picture at 1/denominator, and tells the new sides. NULL where the codec cannot.
    int (*reduce)(struct cic_reader *reader, uint32_t denominator, uint32_t *width, uint32_t *height);
    // How many bytes decoding goes through besides the picture, as far as the header tells.
    uint64_t (*work)(struct cic_reader *reader);
    void (*close)(struct cic_reader *reader);
    int code;     // the code of the error, or CIC_OK
    int tolerant; // whether to go on after damage
    size_t size;  // bytes of the encoded image
    uint64_t work_done, max_work;
    char message[CIC_MESSAGE_SIZE];
    char warning[CIC_MESSAGE_SIZE];
};

static const uint64_t CIC_RGB = 3; // bytes of a pixel

// Counts bytes that decoding is about to go through. Returns 0, and sets code and message, where they are more than
// the limit. Small files can ask for much work, so the limit grows with the file.
int cic_count_work(cic_reader *reader, uint64_t bytes);

// Each makes a reader whose code and message say whether the header could be read. It returns NULL when memory is
// short.
cic_reader *cic_jpeg_open(const uint8_t *bytes, size_t size, const cic_options *options, uint32_t *width,
                          uint32_t *height);
cic_reader *cic_png_open(const uint8_t *bytes, size_t size, const cic_options *options, uint32_t *width,
                         uint32_t *height);
cic_reader *cic_webp_open(const uint8_t *bytes, size_t size, const cic_options *options, uint32_t *width,
                          uint32_t *height);

// libwebp's version as 0xMMmmrr, or 0 where it was not found. The first call looks for it.
int cic_webp_version(void);

#endif

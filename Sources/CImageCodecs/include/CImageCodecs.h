// Decodes JPEG and PNG images with libjpeg and libpng, and WebP with libwebp, which is looked for at run time. All
// functions return a code. The first two libraries handle errors by longjmp, which stays inside this module. The
// decoders give the pixels of OpenCV's imread(IMREAD_COLOR) as RGB,
// uint8, before any EXIF orientation is applied.
#ifndef CIMAGECODECS_H
#define CIMAGECODECS_H

#include <stddef.h>
#include <stdint.h>

enum {
    CIC_OK = 0,
    CIC_UNSUPPORTED = 1, // a kind of JPEG or PNG that the library does not read
    CIC_DAMAGED = 2,     // truncated or corrupt data
    CIC_LIMIT = 3,       // the image is beyond a limit
    CIC_NO_MEMORY = 4,
    CIC_PARTIAL = 5, // damage was tolerated, and a part of the picture was decoded
    CIC_NO_CODEC = 6 // the library that reads this kind was not found; message says where it was looked for
};

// The kinds of encoded images.
enum { CIC_JPEG = 1, CIC_PNG = 2, CIC_WEBP = 3 };

enum { CIC_MESSAGE_SIZE = 256 };

typedef struct cic_options {
    uint64_t max_pixels;         // width * height
    uint32_t max_side;           // width, and height
    uint32_t max_expansion;      // bytes that decoding goes through, for each byte of the encoded image
    uint32_t max_scans;          // scans of a progressive JPEG
    uint64_t max_chunk_size;     // bytes of one PNG chunk that is held in memory
    int32_t tolerate_truncation; // 1 decodes a truncated or damaged picture as far as possible
    int32_t is_turned;           // 1 where the caller turns the decoded picture, which doubles its memory
} cic_options;

typedef struct cic_reader cic_reader;

// Reads the header. The bytes must stay until cic_close. On failure *reader is NULL, and message says why.
int cic_open(int kind, const uint8_t *bytes, size_t size, const cic_options *options, cic_reader **reader,
             uint32_t *width, uint32_t *height, char message[CIC_MESSAGE_SIZE]);

// Has cic_read give the picture at 1/denominator of its size, where the codec can, which is the case for JPEG. The
// denominator is 1, 2, 4 or 8. width and height receive the new sides, which are rounded up. They stay as they are for
// other kinds. Call it before cic_read.
int cic_reduce(cic_reader *reader, uint32_t denominator, uint32_t *width, uint32_t *height,
               char message[CIC_MESSAGE_SIZE]);

// Decodes all rows to rgb, stride bytes apart. Call it once. CIC_PARTIAL comes only where damage is tolerated and a
// part could be decoded. Then message says what is wrong, and the rest of the picture is what the codec made of it, or
// black. warning receives the codec's first complaint that is no damage, or "".
int cic_read(cic_reader *reader, uint8_t *rgb, size_t stride, char message[CIC_MESSAGE_SIZE],
             char warning[CIC_MESSAGE_SIZE]);

// Frees the reader; NULL does nothing.
void cic_close(cic_reader *reader);

// The names and versions of the libraries: of libjpeg and libpng as this was compiled, and of libwebp as it was found.
const char *cic_versions(void);

#endif

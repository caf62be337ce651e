/* Decodes the input through the C interface, strictly and taking what can be had, into memory of the very size. FORMAT
 * is FNE_FORMAT_JPEG, FNE_FORMAT_PNG or FNE_FORMAT_WEBP. The input starts with that format's signature, whatever the
 * fuzzer does. */
#include <fne.h>

#include <stdlib.h>
#include <string.h>

#if FORMAT == FNE_FORMAT_PNG
static const uint8_t signature[] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
#elif FORMAT == FNE_FORMAT_WEBP
static const uint8_t signature[] = {'R', 'I', 'F', 'F', 0, 0, 0, 0, 'W', 'E', 'B', 'P'};
#else
static const uint8_t signature[] = {0xff, 0xd8, 0xff};
#endif

static void decode(const uint8_t *bytes, size_t size, int tolerate) {
    fne_image_options options;
    fne_image_options_init(&options, sizeof options);
    options.max_pixels = 1 << 20;
    options.max_chunk_bytes = 1 << 20;
    options.max_scans = 20;
    options.max_side = 1 << 14;
    options.max_expansion = 8; /* 8 MiB of work, for inputs of some kilobytes */
    options.tolerate_truncation = tolerate;
    fne_image_info info;
    fne_image_info_init(&info, sizeof info);
    if (fne_image_probe_memory(bytes, size, &options, &info) != FNE_OK) return;
    size_t needed = (size_t)info.height * info.width * 3;
    if (needed == 0 || needed > 3 << 20) abort();
    uint8_t *rgb = malloc(needed);
    uint32_t height = info.height, width = info.width;
    if (fne_image_decode_memory(bytes, size, &options, rgb, needed - 1, NULL) != FNE_BUFFER_TOO_SMALL) abort();
    if (fne_image_decode_memory(bytes, size, &options, rgb, needed, &info) == FNE_OK) {
        if (info.height != height || info.width != width || (info.is_partial && !tolerate)) abort();
        uint8_t resized[7 * 5 * 3];
        for (int interpolation = 0; interpolation < 2; ++interpolation) {
            if (fne_image_resize(rgb, height, width, interpolation, resized, 7, 5, sizeof resized) != FNE_OK) abort();
        }
    }
    free(rgb);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < sizeof signature) return -1;
    uint8_t *bytes = malloc(size); /* of the very size: reading past it is noticed */
    memcpy(bytes, data, size);
    memcpy(bytes, signature, sizeof signature);
#if FORMAT == FNE_FORMAT_WEBP
    for (int i = 0; i < 4; ++i) bytes[4 + i] = (uint8_t)((size - 8) >> 8 * i); /* the file is as long as it says */
#endif
    decode(bytes, size, 0);
    decode(bytes, size, 1);
    free(bytes);
    return 0;
}

#if FORMAT == FNE_FORMAT_PNG
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t capacity);

static uint32_t crc(const uint8_t *bytes, size_t size) { /* PNG 3, annex D */
    uint32_t value = 0xffffffff;
    for (size_t i = 0; i < size; ++i) {
        value ^= bytes[i];
        for (int bit = 0; bit < 8; ++bit) value = value >> 1 ^ (value & 1 ? 0xedb88320 : 0);
    }
    return ~value;
}

/* Mutates, and in three of four inputs makes the checksums right again: else hardly one would get past them. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t capacity, unsigned seed) {
    size = LLVMFuzzerMutate(data, size, capacity);
    for (size_t at = 8; seed % 4 != 0 && at + 12 <= size;) {
        size_t length = (size_t)data[at] << 24 | data[at + 1] << 16 | data[at + 2] << 8 | data[at + 3];
        if (length > size - at - 12) break;
        uint32_t sum = crc(data + at + 4, length + 4);
        for (int i = 0; i < 4; ++i) data[at + 8 + length + i] = (uint8_t)(sum >> (24 - 8 * i));
        at += 12 + length;
    }
    return size;
}
#endif

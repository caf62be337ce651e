// Decodes JPEGs and PNGs and prints a SHA-256 of each picture's RGB.
//
//     decode FILE...
#include "CImageCodecs.h"
#include "CKernels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int decode(const char *path) {
    static uint8_t bytes[1 << 20];
    FILE *file = fopen(path, "rb");
    if (file == NULL) return 1;
    const size_t size = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    const cic_options options = {
        .max_pixels = 1 << 20, .max_side = 1 << 16, .max_expansion = 256, .max_scans = 100, .max_chunk_size = 1 << 20};
    const int kind = bytes[0] == 0xff ? CIC_JPEG : CIC_PNG;
    char message[CIC_MESSAGE_SIZE], warning[CIC_MESSAGE_SIZE];
    cic_reader *reader;
    uint32_t width, height;
    if (cic_open(kind, bytes, size, &options, &reader, &width, &height, message) != CIC_OK) {
        fprintf(stderr, "%s: %s\n", path, message);
        return 1;
    }
    const size_t stride = 3 * (size_t)width;
    uint8_t *rgb = malloc(stride * height), digest[32];
    const int code = rgb == NULL ? CIC_NO_MEMORY : cic_read(reader, rgb, stride, message, warning);
    cic_close(reader);
    if (code == CIC_OK) {
        ck_sha256(rgb, stride * height, digest);
        const char *slash = strrchr(path, '/');
        printf("%s ", slash != NULL ? slash + 1 : path);
        for (int i = 0; i < 32; ++i) printf("%02x", digest[i]);
        printf("\n");
    } else {
        fprintf(stderr, "%s: %s\n", path, message);
    }
    free(rgb);
    return code != CIC_OK;
}

int main(int count, char **arguments) {
    int failed = count < 2;
    if (count == 2 && strcmp(arguments[1], "about") == 0) return printf("%s\n", cic_versions()) < 0;
    for (int i = 1; i < count; ++i) failed |= decode(arguments[i]);
    return failed;
}

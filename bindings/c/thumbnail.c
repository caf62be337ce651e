/* Reads a JPEG or PNG and writes a smaller picture, antialiased, as a PPM file:
 *
 *     thumbnail image SIDE out.ppm
 *
 * The picture keeps its aspect, and its longer side becomes SIDE pixels. TensorFlow is not needed. What can be had of a
 * damaged picture is taken, with a warning.
 *
 * Build, from the project's folder after `make build`:
 *
 *     gcc -O2 -Ibuild/include bindings/c/thumbnail.c -Lbuild/lib -lfne -Wl,-rpath,"$PWD/build/lib" -o build/thumbnail
 */
#include <fne.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* Says what libfne says; returns whether all is well. */
static int good(fne_status status) {
    if (status != FNE_OK) fprintf(stderr, "thumbnail: %s: %s\n", fne_status_name(status), fne_last_error());
    return status == FNE_OK;
}

static uint32_t scaled(uint32_t side, uint32_t to, uint32_t longer) {
    uint64_t result = ((uint64_t)side * to + longer / 2) / longer;
    return result > 0 ? (uint32_t)result : 1;
}

static int save(const char *path, const uint8_t *rgb, uint32_t height, uint32_t width) {
    FILE *file = fopen(path, "wb");
    uint64_t size = (uint64_t)height * width * 3;
    int saved = file != NULL && fprintf(file, "P6\n%" PRIu32 " %" PRIu32 "\n255\n", width, height) > 0 &&
                fwrite(rgb, 1, size, file) == size;
    if (file != NULL && fclose(file) != 0) saved = 0;
    if (!saved) fprintf(stderr, "thumbnail: cannot write %s\n", path);
    return saved;
}

int main(int argc, char **argv) {
    unsigned long side = argc == 4 ? strtoul(argv[2], NULL, 10) : 0;
    if (side < 1 || side > 65535) {
        fprintf(stderr, "usage: thumbnail image SIDE out.ppm\n");
        return 2;
    }
    fne_image_options options;
    fne_image_options_init(&options, sizeof options);
    options.tolerate_truncation = 1;
    fne_image_info info;
    fne_image_info_init(&info, sizeof info);
    if (!good(fne_image_probe(argv[1], &options, &info))) return 1;

    uint32_t longer = info.height > info.width ? info.height : info.width;
    uint32_t height = scaled(info.height, (uint32_t)side, longer), width = scaled(info.width, (uint32_t)side, longer);
    uint64_t size = (uint64_t)info.height * info.width * 3, new_size = (uint64_t)height * width * 3;
    uint8_t *picture = malloc(size), *thumbnail = malloc(new_size);
    int done = 0;
    if (picture == NULL || thumbnail == NULL) {
        fprintf(stderr, "thumbnail: out of memory\n");
    } else if (good(fne_image_decode(argv[1], &options, picture, size, &info)) &&
               good(fne_image_resize(picture, info.height, info.width, FNE_INTERPOLATION_ANTIALIASED, thumbnail, height,
                                     width, new_size))) {
        if (info.is_partial) fprintf(stderr, "thumbnail: %s is damaged, a part of it is missing\n", argv[1]);
        done = save(argv[3], thumbnail, height, width);
    }
    free(picture);
    free(thumbnail);
    return done ? 0 : 1;
}

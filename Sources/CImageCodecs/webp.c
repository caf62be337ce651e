#define _GNU_SOURCE
#include "reader.h"

#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

// The functions of libwebp's simple and incremental decoders, whose interface has not changed since libwebp.so.6.
typedef struct {
    int (*GetDecoderVersion)(void);
    int (*GetInfo)(const uint8_t *bytes, size_t size, int *width, int *height);
    void *(*INewRGB)(int colours, uint8_t *out, size_t size, int stride);
    int (*IUpdate)(void *decoder, const uint8_t *bytes, size_t size);
    uint8_t *(*IDecGetRGB)(const void *decoder, int *last_y, int *width, int *height, int *stride);
    void (*IDelete)(void *decoder);
} webp_api;

enum { MODE_RGB = 0 };
enum { STATUS_OK = 0, STATUS_OUT_OF_MEMORY = 1, STATUS_UNSUPPORTED = 4, STATUS_SUSPENDED = 5, STATUS_SHORT = 7 };

static pthread_once_t once = PTHREAD_ONCE_INIT;
static webp_api api;
static int is_loaded;
static char why[CIC_MESSAGE_SIZE]; // libwebp is missing

static int bind_all(void *library) {
    // POSIX lets a void * from dlsym become a function pointer. memcpy does it without a compiler's warning.
#define BIND(member)                                   \
    do {                                               \
        void *symbol = dlsym(library, "WebP" #member); \
        if (symbol == NULL) return 0;                  \
        memcpy(&api.member, &symbol, sizeof symbol);   \
    } while (0)
    BIND(GetDecoderVersion);
    BIND(GetInfo);
    BIND(INewRGB);
    BIND(IUpdate);
    BIND(IDecGetRGB);
    BIND(IDelete);
#undef BIND
    return 1;
}

static void try_file(const char *file) {
    void *library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        const char *reason = dlerror();
        snprintf(why, sizeof why, "libwebp was not found (%s)", reason != NULL ? reason : file);
    } else if (bind_all(library)) {
        is_loaded = 1;
    } else {
        snprintf(why, sizeof why, "'%s' is not libwebp, or too old", file);
        dlclose(library);
    }
}

static void load(void) {
    static const char *const names[] = {"libwebp.so.7", "libwebp.so.6", "libwebp.so"};
    const char *wanted = getenv("FNE_LIBWEBP");
    struct stat facts;
    int is_named = wanted != NULL && wanted[0] != '\0';
    if (is_named && (stat(wanted, &facts) != 0 || !S_ISDIR(facts.st_mode))) {
        try_file(wanted);
        return;
    }
    for (size_t i = 0; i < sizeof names / sizeof *names && !is_loaded; ++i) {
        char file[PATH_MAX];
        snprintf(file, sizeof file, "%s%s%s", is_named ? wanted : "", is_named ? "/" : "", names[i]);
        try_file(file);
    }
}

static int find_library(void) {
    pthread_once(&once, load);
    return is_loaded;
}

int cic_webp_version(void) { return find_library() ? api.GetDecoderVersion() : 0; }

typedef struct {
    cic_reader base;
    const uint8_t *bytes; // the file, or the first frame of an animation
    size_t size;
    uint32_t left, top, width, height; // of the frame in the picture
    uint32_t canvas_height;            // of the picture
    int is_part;                       // whether the frame may leave some of the picture empty
    int is_lossless;
    int is_cut; // whether the file is shorter than it says
} webp_reader;

enum { FILE_HEADER = 12, CHUNK_HEADER = 8, EXTENDED_SIZE = 10, FRAME_HEADER = 16, IS_ANIMATED = 2 };

static uint32_t number24(const uint8_t *at) { return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16; }

static size_t number32(const uint8_t *at) { return number24(at) | (size_t)at[3] << 24; }

// The content of the first chunk of that name, as far as it is there. NULL where there is none.
static const uint8_t *find_chunk(const uint8_t *bytes, size_t size, const char *name, size_t *length) {
    size_t at = 0;
    while (size - at >= CHUNK_HEADER) {
        const uint8_t *chunk = bytes + at;
        size_t stated = number32(chunk + 4), there = size - at - CHUNK_HEADER;
        if (memcmp(chunk, name, 4) == 0) {
            *length = stated < there ? stated : there;
            return chunk + CHUNK_HEADER;
        }
        if (stated >= there) return NULL;
        at += CHUNK_HEADER + stated + stated % 2;
        if (at > size) return NULL;
    }
    return NULL;
}

static int damaged(webp_reader *reader, const char *words) {
    reader->base.code = CIC_DAMAGED;
    snprintf(reader->base.message, CIC_MESSAGE_SIZE, "%s", words);
    return 0;
}

// Looks for the first frame of an animation, and for the size of the whole picture. libwebp decodes a frame like a
// file.
static int find_frame(webp_reader *reader, uint32_t *width, uint32_t *height) {
    const uint8_t *chunks = reader->bytes + FILE_HEADER;
    size_t size = reader->size - FILE_HEADER, length = 0;
    const uint8_t *extended = find_chunk(chunks, size, "VP8X", &length);
    if (extended == NULL || length < EXTENDED_SIZE || !(extended[0] & IS_ANIMATED)) return 1;
    *width = number24(extended + 4) + 1;
    *height = number24(extended + 7) + 1;
    const uint8_t *frame = find_chunk(chunks, size, "ANMF", &length);
    if (frame == NULL || length <= FRAME_HEADER) return damaged(reader, "the animation has no frame");
    reader->left = 2 * number24(frame);
    reader->top = 2 * number24(frame + 3);
    reader->bytes = frame + FRAME_HEADER;
    reader->size = length - FRAME_HEADER;
    reader->is_part = 1;
    return 1;
}

static int read_header(webp_reader *reader, uint32_t *width, uint32_t *height) {
    if (reader->size >= FILE_HEADER) reader->is_cut = number32(reader->bytes + 4) > reader->size - CHUNK_HEADER;
    if (reader->size < FILE_HEADER || !find_frame(reader, width, height)) {
        return reader->base.code != CIC_OK ? 0 : damaged(reader, "the header is truncated");
    }
    int frame_width = 0, frame_height = 0;
    if (!api.GetInfo(reader->bytes, reader->size, &frame_width, &frame_height) || frame_width < 1 || frame_height < 1) {
        return damaged(reader, "the header is truncated or wrong");
    }
    reader->width = (uint32_t)frame_width;
    reader->height = (uint32_t)frame_height;
    if (!reader->is_part) {
        *width = reader->width;
        *height = reader->height;
    } else if (reader->left + reader->width > *width || reader->top + reader->height > *height) {
        return damaged(reader, "the first frame is larger than the picture");
    }
    size_t length, start = reader->is_part ? 0 : FILE_HEADER;
    reader->is_lossless = find_chunk(reader->bytes + start, reader->size - start, "VP8L", &length) != NULL;
    return 1;
}

// The pixels of a lossless picture wait in memory with four bytes each.
static uint64_t header_work(cic_reader *base) {
    webp_reader *reader = (webp_reader *)base;
    return reader->is_lossless ? 4 * (uint64_t)reader->width * reader->height : 0;
}

static int code_of(int status) {
    switch (status) {
    case STATUS_OUT_OF_MEMORY: return CIC_NO_MEMORY;
    case STATUS_UNSUPPORTED: return CIC_UNSUPPORTED;
    default: return CIC_DAMAGED;
    }
}

static int read_rows(cic_reader *base, uint8_t *rgb, size_t stride) {
    webp_reader *reader = (webp_reader *)base;
    if (reader->is_cut && !base->tolerant) { // a byte too few may not be missed, but the rest of the file is gone too
        damaged(reader, "the file ends too early");
        return base->code;
    }
    if (stride > INT_MAX) {
        base->code = CIC_LIMIT;
        snprintf(base->message, CIC_MESSAGE_SIZE, "the rows are longer than libwebp writes them");
        return base->code;
    }
    if (base->tolerant || reader->is_part) memset(rgb, 0, stride * reader->canvas_height);
    uint8_t *start = rgb + stride * reader->top + CIC_RGB * reader->left;
    void *decoder = api.INewRGB(MODE_RGB, start, stride * (reader->height - 1) + CIC_RGB * reader->width, (int)stride);
    if (decoder == NULL) return base->code = CIC_NO_MEMORY;
    int status = api.IUpdate(decoder, reader->bytes, reader->size);
    if (status != STATUS_OK) {
        int last_y = 0, is_short = status == STATUS_SUSPENDED || status == STATUS_SHORT;
        api.IDecGetRGB(decoder, &last_y, NULL, NULL, NULL);
        base->code = code_of(status);
        if (is_short) {
            snprintf(base->message, CIC_MESSAGE_SIZE, "the image data end too early");
        } else {
            snprintf(base->message, CIC_MESSAGE_SIZE, "libwebp's status is %d", status);
        }
        if (base->code == CIC_DAMAGED && base->tolerant && last_y > 0) base->code = CIC_PARTIAL;
    }
    api.IDelete(decoder);
    return base->code;
}

static void close_reader(cic_reader *base) { free(base); }

cic_reader *cic_webp_open(const uint8_t *bytes, size_t size, const cic_options *options, uint32_t *width,
                          uint32_t *height) {
    webp_reader *reader = calloc(1, sizeof *reader);
    if (reader == NULL) return NULL;
    reader->base.read = read_rows;
    reader->base.work = header_work;
    reader->base.close = close_reader;
    reader->base.tolerant = options->tolerate_truncation;
    reader->bytes = bytes;
    reader->size = size;
    if (!find_library()) {
        reader->base.code = CIC_NO_CODEC;
        snprintf(reader->base.message, CIC_MESSAGE_SIZE, "%s", why);
    } else if (read_header(reader, width, height)) {
        reader->canvas_height = *height;
    }
    return &reader->base;
}

#include "reader.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>

typedef struct {
    cic_reader base;
    struct jpeg_decompress_struct info;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    uint32_t max_scans;
    int scans_counted; // those whose work was counted
    jmp_buf escape;
} jpeg_reader;

static int code_of(int jpeg_message) {
    switch (jpeg_message) {
    case JERR_OUT_OF_MEMORY: return CIC_NO_MEMORY;
    case JERR_SOF_UNSUPPORTED:
    case JERR_BAD_PRECISION:
    case JERR_ARITH_NOTIMPL:
    case JERR_NOT_COMPILED:
    case JERR_NOTIMPL:
    case JERR_CONVERSION_NOTIMPL:
    case JERR_CCIR601_NOTIMPL:
    case JERR_FRACT_SAMPLE_NOTIMPL:
    case JERR_COMPONENT_COUNT: return CIC_UNSUPPORTED;
    case JERR_IMAGE_TOO_BIG: return CIC_LIMIT;
    default: return CIC_DAMAGED;
    }
}

static void on_error(j_common_ptr info) {
    jpeg_reader *reader = info->client_data;
    char text[JMSG_LENGTH_MAX];
    info->err->format_message(info, text);
    reader->base.code = code_of(info->err->msg_code);
    snprintf(reader->base.message, CIC_MESSAGE_SIZE, "%s", text);
    longjmp(reader->escape, 1);
}

static int is_damage(int jpeg_message) {
    switch (jpeg_message) {
    case JWRN_JPEG_EOF:
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_ARITH_BAD_CODE:
    case JWRN_MUST_RESYNC:
    case JWRN_BOGUS_PROGRESSION: return 1;
    default: return 0;
    }
}

// Whether the data end before the first row of blocks is complete. Then no part of the picture can be decoded.
static int ends_at_once(j_common_ptr info) {
    j_decompress_ptr decompress = (j_decompress_ptr)info;
    return info->err->msg_code == JWRN_JPEG_EOF && decompress->input_scan_number <= 1 &&
           decompress->input_iMCU_row == 0;
}

// Takes libjpeg's warnings. One that means lost pixels ends the decoding, unless damage is tolerated. Then libjpeg
// fills the place with grey and goes on.
static void on_message(j_common_ptr info, int level) {
    if (level >= 0) return; // these are traces
    jpeg_reader *reader = info->client_data;
    int damage = is_damage(info->err->msg_code);
    if (damage && (!reader->base.tolerant || ends_at_once(info))) on_error(info);
    char *kept = damage ? reader->base.message : reader->base.warning;
    if (damage) reader->base.code = CIC_PARTIAL;
    if (kept[0] == '\0') {
        char text[JMSG_LENGTH_MAX];
        info->err->format_message(info, text);
        snprintf(kept, CIC_MESSAGE_SIZE, "%s", text);
    }
}

// A block costs as much time as 16 of its coefficients, and these cost four times as much with arithmetic coding. A
// file need not have a bit for either. Two coefficients count as a byte. These figures were measured.
enum { BLOCK_WORK = 16, ARITHMETIC_WORK = 4 };

static uint64_t blocks_of(const jpeg_component_info *component) {
    return (uint64_t)component->width_in_blocks * component->height_in_blocks;
}

// The work of the scan whose header was read last.
static uint64_t scan_work(j_decompress_ptr info) {
    uint64_t blocks = 0;
    for (int i = 0; i < info->comps_in_scan; ++i) blocks += blocks_of(info->cur_comp_info[i]);
    int all = !info->progressive_mode || info->Se < info->Ss;
    uint64_t coefficients = all ? DCTSIZE2 : (uint64_t)(info->Se - info->Ss + 1);
    return blocks * (coefficients + BLOCK_WORK) * (info->arith_code ? ARITHMETIC_WORK : 1) / 2;
}

// The first scan, and the coefficients, which libjpeg holds in memory where there is more than one scan.
static uint64_t header_work(cic_reader *base) {
    j_decompress_ptr info = &((jpeg_reader *)base)->info;
    uint64_t held = 0;
    if (jpeg_has_multiple_scans(info)) {
        for (int i = 0; i < info->num_components; ++i) held += blocks_of(&info->comp_info[i]) * sizeof(JBLOCK);
    }
    return held + scan_work(info);
}

// Counts the scans of a progressive JPEG and their work. Each is a pass over the picture, and takes a few bytes only.
static void on_progress(j_common_ptr info) {
    jpeg_reader *reader = info->client_data;
    if (!info->is_decompressor) return;
    j_decompress_ptr decompress = (j_decompress_ptr)info;
    int scan = decompress->input_scan_number;
    if (scan <= reader->scans_counted) return;
    reader->scans_counted = scan;
    if ((uint32_t)scan > reader->max_scans) {
        reader->base.code = CIC_LIMIT;
        snprintf(reader->base.message, CIC_MESSAGE_SIZE, "more than %u scans (max_scans)", reader->max_scans);
        longjmp(reader->escape, 1);
    }
    if (!cic_count_work(&reader->base, scan_work(decompress))) longjmp(reader->escape, 1);
}

static int reduce(cic_reader *base, uint32_t denominator, uint32_t *width, uint32_t *height) {
    jpeg_reader *reader = (jpeg_reader *)base;
    if (setjmp(reader->escape) != 0) return base->code;
    reader->info.scale_num = 1;
    reader->info.scale_denom = denominator;
    jpeg_calc_output_dimensions(&reader->info);
    *width = reader->info.output_width;
    *height = reader->info.output_height;
    return CIC_OK;
}

static int read_rows(cic_reader *base, uint8_t *rgb, size_t stride) {
    jpeg_reader *reader = (jpeg_reader *)base;
    j_decompress_ptr info = &reader->info;
    if (setjmp(reader->escape) != 0) {
        // libjpeg could not go on. Damage after the first rows leaves a partial picture. All else stays an error.
        return base->tolerant && base->code == CIC_DAMAGED && info->output_scanline > 0 ? CIC_PARTIAL : base->code;
    }
    if (base->tolerant) {
        jpeg_calc_output_dimensions(info);
        const size_t row_size = (size_t)info->output_width * 3;
        for (JDIMENSION y = 0; y < info->output_height; ++y) memset(rgb + stride * y, 0, row_size);
    }
    int cmyk = info->num_components == 4;
    info->out_color_space = cmyk ? JCS_CMYK : JCS_RGB;
    jpeg_start_decompress(info);
    JSAMPARRAY inks = NULL;
    if (cmyk) {
        inks = (*info->mem->alloc_sarray)((j_common_ptr)info, JPOOL_IMAGE, info->output_width * 4, 1);
    }
    while (info->output_scanline < info->output_height) {
        uint8_t *out = rgb + stride * info->output_scanline;
        JSAMPROW row = cmyk ? inks[0] : out;
        jpeg_read_scanlines(info, &row, 1); // gives one row or jumps, since a source in memory never suspends
        if (!cmyk) continue;
        // This is OpenCV's conversion of Adobe's inverted CMYK. Each colour is k less the ink's share of k.
        const uint8_t *ink = inks[0];
        for (JDIMENSION x = 0; x < info->output_width; ++x, ink += 4, out += 3) {
            int black = ink[3];
            for (int c = 0; c < 3; ++c) out[c] = (uint8_t)(black - (((255 - ink[c]) * black) >> 8));
        }
    }
    jpeg_finish_decompress(info); // reads to the end marker, and so notices a missing one
    return base->code;
}

static void close_reader(cic_reader *base) {
    jpeg_reader *reader = (jpeg_reader *)base;
    if (setjmp(reader->escape) == 0) jpeg_destroy_decompress(&reader->info);
    free(reader);
}

cic_reader *cic_jpeg_open(const uint8_t *bytes, size_t size, const cic_options *options, uint32_t *width,
                          uint32_t *height) {
    jpeg_reader *reader = calloc(1, sizeof *reader);
    if (reader == NULL) return NULL;
    reader->base.read = read_rows;
    reader->base.reduce = reduce;
    reader->base.work = header_work;
    reader->base.close = close_reader;
    reader->base.tolerant = options->tolerate_truncation;
    reader->max_scans = options->max_scans;
    reader->scans_counted = 1;
    reader->info.err = jpeg_std_error(&reader->errors);
    reader->errors.error_exit = on_error;
    reader->errors.emit_message = on_message;
    reader->info.client_data = reader;
    if (setjmp(reader->escape) != 0) return &reader->base;
    jpeg_create_decompress(&reader->info); // keeps err and client_data
    reader->progress.progress_monitor = on_progress;
    reader->info.progress = &reader->progress;
    jpeg_mem_src(&reader->info, bytes, size);
    jpeg_read_header(&reader->info, TRUE);
    if (reader->info.num_components != 1 && reader->info.num_components != 3 && reader->info.num_components != 4) {
        reader->base.code = CIC_UNSUPPORTED;
        snprintf(reader->base.message, CIC_MESSAGE_SIZE, "%d colour components", reader->info.num_components);
        return &reader->base;
    }
    *width = reader->info.image_width;
    *height = reader->info.image_height;
    return &reader->base;
}

/* Writes a JPEG of kinds that neither Pillow nor OpenCV writes. Reads interleaved samples of 8 bits from stdin: one
 * component is grey, three are RGB, four are CMYK, any other number has no colours; libjpeg converts to the stored
 * colour space. Refusals are libjpeg's, on stderr, with exit status 1. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

static const char usage[] =
    "usage: write_jpeg WIDTH HEIGHT COMPONENTS [OPTION...] < samples > image.jpg\n"
    "  stored=GRAYSCALE|RGB|YCbCr|CMYK|YCCK   colour space in the file (libjpeg's choice)\n"
    "  quality=1..100                         (90; below 25 it takes tables of 16 bits, which baseline has not)\n"
    "  sampling=2x1,1x2,...                   horizontal x vertical factor of each component\n"
    "  progressive                            libjpeg's standard scans\n"
    "  scans='0,1,2; 0: 1-5 0 2; 0: 1-5 2 1'  own scans: components[: first-last coefficient, bits from, bits to]\n"
    "  arithmetic                             instead of Huffman coding\n"
    "  restart=N                              a restart marker every N MCUs\n"
    "  jfif=0|1 adobe=0|1                     whether the file has the marker (as the colour space demands)\n";

enum { MAX_SCANS = 2000 };
static jpeg_scan_info scans[MAX_SCANS];

static void refuse(const char *what, const char *argument) {
    fprintf(stderr, "write_jpeg: %s: %s\n%s", what, argument, usage);
    exit(2);
}

/* What follows "name=" in an argument; NULL when the argument is another. */
static const char *value(const char *argument, const char *name) {
    size_t length = strlen(name);
    return strncmp(argument, name, length) == 0 && argument[length] == '=' ? argument + length + 1 : NULL;
}

static J_COLOR_SPACE colour_space(const char *name) {
    static const struct {
        const char *name;
        J_COLOR_SPACE space;
    } known[] = {
        {"GRAYSCALE", JCS_GRAYSCALE}, {"RGB", JCS_RGB}, {"YCbCr", JCS_YCbCr}, {"CMYK", JCS_CMYK}, {"YCCK", JCS_YCCK}};
    for (size_t i = 0; i < sizeof known / sizeof *known; ++i) {
        if (strcmp(name, known[i].name) == 0) return known[i].space;
    }
    refuse("no such colour space", name);
    return JCS_UNKNOWN;
}

static void set_sampling(j_compress_ptr info, const char *text) {
    for (int c = 0; c < info->num_components; ++c) {
        int length = 0;
        if (sscanf(text, "%dx%d%n", &info->comp_info[c].h_samp_factor, &info->comp_info[c].v_samp_factor, &length) != 2)
            refuse("no factors for each component", text);
        text += length;
        if (*text == ',') ++text;
    }
    if (*text != '\0') refuse("more factors than components", text);
}

static void set_scans(j_compress_ptr info, const char *text) {
    int count = 0;
    while (*text != '\0') {
        if (count == MAX_SCANS) refuse("too many scans", text);
        jpeg_scan_info scan = {0, {0}, 0, DCTSIZE2 - 1, 0, 0};
        int length = 0;
        while (scan.comps_in_scan < MAX_COMPS_IN_SCAN &&
               sscanf(text, " %d%n", &scan.component_index[scan.comps_in_scan], &length) == 1) {
            ++scan.comps_in_scan;
            text += length;
            if (*text != ',') break;
            ++text;
        }
        length = 0;
        if (*text == ':' && sscanf(text, ": %d-%d %d %d%n", &scan.Ss, &scan.Se, &scan.Ah, &scan.Al, &length) != 4)
            refuse("not a scan", text);
        text += length;
        if (*text == ';') ++text;
        else if (*text != '\0') refuse("not a scan", text);
        scans[count++] = scan;
    }
    info->scan_info = scans;
    info->num_scans = count;
}

int main(int argc, char **argv) {
    if (argc < 4) {
        fputs(usage, stderr);
        return 2;
    }
    struct jpeg_compress_struct info;
    struct jpeg_error_mgr errors;
    info.err = jpeg_std_error(&errors);
    jpeg_create_compress(&info);
    jpeg_stdio_dest(&info, stdout);
    info.image_width = (JDIMENSION)atoi(argv[1]);
    info.image_height = (JDIMENSION)atoi(argv[2]);
    info.input_components = atoi(argv[3]);
    info.in_color_space = info.input_components == 1   ? JCS_GRAYSCALE
                          : info.input_components == 3 ? JCS_RGB
                          : info.input_components == 4 ? JCS_CMYK
                                                       : JCS_UNKNOWN;
    jpeg_set_defaults(&info);
    jpeg_set_quality(&info, 90, FALSE);
    for (int i = 4; i < argc; ++i) { /* first of all: it sets the components and the markers anew */
        const char *text = value(argv[i], "stored");
        if (text != NULL) jpeg_set_colorspace(&info, colour_space(text));
    }
    for (int i = 4; i < argc; ++i) {
        const char *text;
        if (value(argv[i], "stored") != NULL) continue;
        if ((text = value(argv[i], "quality")) != NULL) jpeg_set_quality(&info, atoi(text), FALSE);
        else if ((text = value(argv[i], "sampling")) != NULL) set_sampling(&info, text);
        else if (strcmp(argv[i], "progressive") == 0) jpeg_simple_progression(&info);
        else if ((text = value(argv[i], "scans")) != NULL) set_scans(&info, text);
        else if (strcmp(argv[i], "arithmetic") == 0) info.arith_code = TRUE;
        else if ((text = value(argv[i], "restart")) != NULL) info.restart_interval = (unsigned)atoi(text);
        else if ((text = value(argv[i], "jfif")) != NULL) info.write_JFIF_header = atoi(text) != 0;
        else if ((text = value(argv[i], "adobe")) != NULL) info.write_Adobe_marker = atoi(text) != 0;
        else refuse("unknown option", argv[i]);
    }
    jpeg_start_compress(&info, TRUE);
    JSAMPARRAY row = (*info.mem->alloc_sarray)((j_common_ptr)&info, JPOOL_IMAGE,
                                               info.image_width * (JDIMENSION)info.input_components, 1);
    while (info.next_scanline < info.image_height) {
        if (fread(row[0], (size_t)info.input_components, info.image_width, stdin) != info.image_width) {
            fprintf(stderr, "write_jpeg: the samples end in row %u\n", info.next_scanline);
            return 2;
        }
        jpeg_write_scanlines(&info, row, 1);
    }
    jpeg_finish_compress(&info);
    jpeg_destroy_compress(&info);
    return fclose(stdout) == 0 ? 0 : 1;
}

/* Calls every function of fne.h as it must not be called. Each must return a status and write nothing; none may crash.
 * Prints the number of checks. Argument: a GraphDef file that opens without TensorFlow. */
#include <fne.h>

#include "compact.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int checks;

static void expect(fne_status got, fne_status wanted, const char *call, int line) {
    ++checks;
    if (got == wanted) return;
    fprintf(stderr, "line %d: %s: %s instead of %s: %s\n", line, call, fne_status_name(got), fne_status_name(wanted),
            fne_last_error());
    exit(1);
}
#define EXPECT(call, wanted) expect(call, wanted, #call, __LINE__)
#define HOLDS(condition) expect((condition) ? FNE_OK : FNE_INTERNAL_ERROR, FNE_OK, #condition, __LINE__)

int main(int argc, char **argv) {
    if (argc != 2) return 2;

    /* Closing NULL, filling NULL. */
    fne_model_close(NULL);
    fne_extractor_close(NULL);
    fne_statistics_close(NULL);
    fne_compact_close(NULL);
    fne_image_options_init(NULL, 64);
    fne_image_info_init(NULL, 64);
    fne_model_options_init(NULL, 64);
    fne_tensor_info_init(NULL, 64);
    fne_extractor_options_init(NULL, 64);
    fne_layer_info_init(NULL, 64);
    fne_input_info_init(NULL, 64);
    fne_extract_run_init(NULL, 64);
    fne_ternarize_options_init(NULL, 64);
    fne_job_close(NULL);
    fne_job_options_init(NULL, 64);
    fne_job_reports_init(NULL, 64);
    fne_progress_info_init(NULL, 64);
    fne_intake_info_init(NULL, 64);
    fne_listing_close(NULL);
    fne_codes_close(NULL);

    /* Images. */
    uint8_t pixels[12] = {0};
    fne_image_info info;
    EXPECT(fne_image_probe(NULL, NULL, NULL), FNE_INVALID_ARGUMENT);
    memset(&info, 0, sizeof info); /* struct_size 0 */
    EXPECT(fne_image_probe_memory(pixels, 12, NULL, &info), FNE_UNSUPPORTED_IMAGE);
    fne_image_info_init(&info, sizeof info);
    HOLDS(info.struct_size == sizeof info);
    EXPECT(fne_image_probe(NULL, NULL, &info), FNE_INVALID_ARGUMENT);
    EXPECT(fne_image_probe("", NULL, &info), FNE_FILE_ERROR);
    EXPECT(fne_image_probe("/", NULL, &info), FNE_FILE_ERROR);
    EXPECT(fne_image_probe_memory(NULL, 5, NULL, &info), FNE_INVALID_ARGUMENT);
    EXPECT(fne_image_probe_memory(pixels, 0, NULL, &info), FNE_UNSUPPORTED_IMAGE);
    EXPECT(fne_image_probe_memory(pixels, UINT64_MAX, NULL, &info), FNE_INVALID_ARGUMENT);
    EXPECT(fne_image_decode(NULL, NULL, pixels, 12, NULL), FNE_INVALID_ARGUMENT);
    EXPECT(fne_image_decode("/nowhere.jpg", NULL, pixels, 12, NULL), FNE_FILE_ERROR);
    EXPECT(fne_image_decode("/nowhere.jpg", NULL, NULL, 12, NULL), FNE_INVALID_ARGUMENT);
    EXPECT(fne_image_decode_memory(NULL, 12, NULL, pixels, 12, NULL), FNE_INVALID_ARGUMENT);
    fne_image_options image_options;
    fne_image_options_init(&image_options, sizeof image_options);
    HOLDS(image_options.max_pixels == 1 << 28 && image_options.max_scans == 100);
    HOLDS(image_options.max_side == 65535 && image_options.max_expansion == 275);
    image_options.max_pixels = UINT64_MAX;
    EXPECT(fne_image_decode_memory(pixels, 12, &image_options, pixels, 12, NULL), FNE_INVALID_ARGUMENT);
    image_options.max_pixels = (uint64_t)1 << 41;
    EXPECT(fne_image_decode_memory(pixels, 12, &image_options, pixels, 12, NULL), FNE_INVALID_ARGUMENT);
    image_options.max_pixels = 0; /* the default */
    EXPECT(fne_image_decode_memory(pixels, 12, &image_options, pixels, 12, NULL), FNE_UNSUPPORTED_IMAGE);
    image_options.max_side = (uint32_t)1 << 31;
    EXPECT(fne_image_decode_memory(pixels, 12, &image_options, pixels, 12, NULL), FNE_INVALID_ARGUMENT);
    image_options.max_side = 0;
    image_options.max_expansion = ((uint32_t)1 << 30) + 1;
    EXPECT(fne_image_decode_memory(pixels, 12, &image_options, pixels, 12, NULL), FNE_INVALID_ARGUMENT);
    image_options.max_expansion = 0;
    image_options.max_bytes = 11;
    EXPECT(fne_image_decode_memory(pixels, 12, &image_options, pixels, 12, NULL), FNE_IMAGE_LIMIT);
    image_options.tolerate_truncation = 2;
    EXPECT(fne_image_probe_memory(pixels, 12, &image_options, &info), FNE_INVALID_ARGUMENT);
    image_options.struct_size = 0;
    EXPECT(fne_image_probe_memory(pixels, 12, &image_options, &info), FNE_INVALID_ARGUMENT);
    EXPECT(fne_image_resize(NULL, 2, 2, 0, pixels, 2, 2, 12), FNE_INVALID_ARGUMENT);
    EXPECT(fne_image_resize(pixels, 2, 2, 0, NULL, 2, 2, 12), FNE_INVALID_ARGUMENT);
    EXPECT(fne_image_resize(pixels, 0, 2, 0, pixels, 2, 2, 12), FNE_INVALID_ARGUMENT);
    EXPECT(fne_image_resize(pixels, 2, 2, 0, pixels, 0, 2, 12), FNE_INVALID_ARGUMENT);
    EXPECT(fne_image_resize(pixels, 2, 2, 0, pixels, 2, 2, 11), FNE_BUFFER_TOO_SMALL);
    EXPECT(fne_image_resize(pixels, 2, 2, 3, pixels, 2, 2, 12), FNE_INVALID_ARGUMENT);
    EXPECT(fne_image_resize(pixels, 2, 2, 0, pixels, UINT32_MAX, UINT32_MAX, UINT64_MAX), FNE_INVALID_ARGUMENT);

    /* Models. */
    fne_model *model = (fne_model *)&info; /* must stay */
    fne_model_options model_options;
    fne_model_options_init(&model_options, sizeof model_options);
    EXPECT(fne_model_open(argv[1], NULL, NULL), FNE_INVALID_ARGUMENT);
    EXPECT(fne_model_open(NULL, NULL, &model), FNE_INVALID_ARGUMENT);
    EXPECT(fne_model_open("/nowhere.pb", NULL, &model), FNE_FILE_ERROR);
    EXPECT(fne_model_open_memory(NULL, 5, NULL, &model), FNE_INVALID_ARGUMENT);
    EXPECT(fne_model_open_memory(pixels, 0, NULL, &model), FNE_INVALID_GRAPH);
    EXPECT(fne_model_open_memory((const uint8_t *)"hello graph", 11, NULL, &model), FNE_INVALID_GRAPH);
    model_options.allow_unsafe = 7;
    EXPECT(fne_model_open(argv[1], &model_options, &model), FNE_INVALID_ARGUMENT);
    model_options.allow_unsafe = 0;
    model_options.struct_size = 0;
    EXPECT(fne_model_open(argv[1], &model_options, &model), FNE_INVALID_ARGUMENT);
    HOLDS(model == (fne_model *)&info);

    /* A struct of a newer header: what it adds must be 0. */
    struct {
        fne_model_options known;
        uint64_t newer;
    } longer;
    memset(&longer, 0, sizeof longer);
    longer.known.struct_size = sizeof longer;
    EXPECT(fne_model_open(argv[1], &longer.known, &model), FNE_OK);
    fne_model_close(model);
    longer.newer = 1;
    EXPECT(fne_model_open(argv[1], &longer.known, &model), FNE_INVALID_ARGUMENT);
    /* A struct of an older one: what it lacks keeps the default. */
    model_options.struct_size = 12; /* no compiler's: a pointer could be cut in two */
    EXPECT(fne_model_open(argv[1], &model_options, &model), FNE_INVALID_ARGUMENT);
    model_options.struct_size = 8;
    model_options.allow_unsafe = 7;
    EXPECT(fne_model_open(argv[1], &model_options, &model), FNE_OK);

    uint64_t count = 99;
    fne_tensor_info tensor;
    fne_tensor_info_init(&tensor, sizeof tensor);
    EXPECT(fne_model_tensor_count(NULL, &count), FNE_INVALID_ARGUMENT);
    EXPECT(fne_model_tensor_count(model, NULL), FNE_INVALID_ARGUMENT);
    HOLDS(count == 99);
    EXPECT(fne_model_tensor_count(model, &count), FNE_OK);
    EXPECT(fne_model_tensor_info(model, count, &tensor), FNE_INVALID_ARGUMENT);
    EXPECT(fne_model_tensor_info(model, UINT64_MAX, &tensor), FNE_INVALID_ARGUMENT);
    EXPECT(fne_model_tensor_info(model, 0, NULL), FNE_INVALID_ARGUMENT);
    int32_t *ranks = calloc(count, sizeof *ranks);
    int64_t *shapes = calloc(count * FNE_SHAPE_RANK, sizeof *shapes);
    HOLDS(ranks != NULL && shapes != NULL);
    EXPECT(fne_model_shapes(NULL, NULL, 0, 0, ranks, shapes, count), FNE_INVALID_ARGUMENT);
    EXPECT(fne_model_shapes(model, NULL, 0, 0, NULL, shapes, count), FNE_INVALID_ARGUMENT);
    EXPECT(fne_model_shapes(model, NULL, 0, 0, ranks, NULL, count), FNE_INVALID_ARGUMENT);
    EXPECT(fne_model_shapes(model, NULL, 0, 0, ranks, shapes, count - 1), FNE_BUFFER_TOO_SMALL);
    EXPECT(fne_model_shapes(model, "nothing", 0, 0, ranks, shapes, count), FNE_UNKNOWN_TENSOR);
    EXPECT(fne_model_shapes(model, "\xff", 0, 0, ranks, shapes, count), FNE_INVALID_ARGUMENT);
    EXPECT(fne_model_shapes(model, NULL, UINT32_MAX, 1, ranks, shapes, count), FNE_INVALID_ARGUMENT);
    HOLDS(ranks[0] == 0 && shapes[0] == 0);
    EXPECT(fne_model_shapes(model, NULL, 0, 0, ranks, shapes, count), FNE_OK);
    HOLDS(ranks[0] == 4 && shapes[0] == 1 && shapes[3] == 3);
    free(ranks);
    free(shapes);
    tensor.struct_size = 0;
    EXPECT(fne_model_tensor_info(model, 0, &tensor), FNE_INVALID_ARGUMENT);
    tensor.struct_size = 16; /* only the name fits: nothing behind it is touched */
    tensor.rank = 77;
    EXPECT(fne_model_tensor_info(model, 0, &tensor), FNE_OK);
    HOLDS(tensor.rank == 77 && strlen(tensor.name) > 0 && tensor.struct_size == 16);
    const char *note = "kept";
    EXPECT(fne_model_note_count(NULL, &count), FNE_INVALID_ARGUMENT);
    EXPECT(fne_model_note_count(model, NULL), FNE_INVALID_ARGUMENT);
    EXPECT(fne_model_note_count(model, &count), FNE_OK);
    EXPECT(fne_model_note(model, count, &note), FNE_INVALID_ARGUMENT);
    EXPECT(fne_model_note(model, 0, NULL), FNE_INVALID_ARGUMENT);
    EXPECT(fne_model_note(NULL, 0, &note), FNE_INVALID_ARGUMENT);
    fne_input_info read;
    fne_input_info_init(&read, sizeof read);
    EXPECT(fne_model_input_info(NULL, NULL, &read), FNE_INVALID_ARGUMENT);
    EXPECT(fne_model_input_info(model, NULL, NULL), FNE_INVALID_ARGUMENT);
    EXPECT(fne_model_input_info(model, "no such tensor", &read), FNE_UNKNOWN_TENSOR);
    EXPECT(fne_model_input_info(model, "\xff", &read), FNE_INVALID_ARGUMENT);
    EXPECT(fne_model_input_info(model, NULL, &read), FNE_OK);
    HOLDS(read.name != NULL && read.streams == 0 && read.batch_warning == NULL && read.whole_numbers == 0);
    const char *engine;
    char digits[65];
    EXPECT(fne_model_engine(model, NULL), FNE_INVALID_ARGUMENT);
    EXPECT(fne_model_engine(NULL, &engine), FNE_INVALID_ARGUMENT);
    EXPECT(fne_model_sha256(model, NULL), FNE_INVALID_ARGUMENT);
    EXPECT(fne_model_sha256(NULL, digits), FNE_INVALID_ARGUMENT);
    HOLDS(strcmp(note, "kept") == 0);

    /* Values for inputs beside the image. */
    fne_model *fed = NULL;
    fne_model_options_init(&model_options, sizeof model_options);
    model_options.feed_count = 1;
    EXPECT(fne_model_open(argv[1], &model_options, &fed), FNE_INVALID_ARGUMENT); /* feeds is NULL */
    const char *const feeds[] = {NULL, "nothing", "nothing=1"};
    model_options.feeds = feeds;
    EXPECT(fne_model_open(argv[1], &model_options, &fed), FNE_INVALID_ARGUMENT);
    model_options.feeds = feeds + 1;
    EXPECT(fne_model_open(argv[1], &model_options, &fed), FNE_INVALID_ARGUMENT);
    model_options.feeds = feeds + 2;
    EXPECT(fne_model_open(argv[1], &model_options, &fed), FNE_UNKNOWN_TENSOR);
    model_options.feed_count = UINT64_MAX;
    EXPECT(fne_model_open(argv[1], &model_options, &fed), FNE_INVALID_ARGUMENT);
    HOLDS(fed == NULL);

    /* Selectors. */
    const char *const names[] = {"conv1", "conv2", "dense"};
    const char *const selectors[] = {"dense", "conv*"};
    const uint8_t is_default[] = {1, 1, 0};
    uint64_t indices[3] = {9, 9, 9};
    count = 99;
    EXPECT(fne_select_layers(selectors, 2, names, is_default, 3, indices, 2, &count), FNE_BUFFER_TOO_SMALL);
    EXPECT(fne_select_layers(selectors, 2, names, is_default, 3, NULL, 3, &count), FNE_INVALID_ARGUMENT);
    EXPECT(fne_select_layers(selectors, 2, names, is_default, 3, indices, 3, NULL), FNE_INVALID_ARGUMENT);
    EXPECT(fne_select_layers(NULL, 2, names, is_default, 3, indices, 3, &count), FNE_INVALID_ARGUMENT);
    EXPECT(fne_select_layers(selectors, 2, NULL, is_default, 3, indices, 3, &count), FNE_INVALID_ARGUMENT);
    EXPECT(fne_select_layers(selectors, UINT64_MAX, names, is_default, 3, indices, 3, &count), FNE_INVALID_ARGUMENT);
    EXPECT(fne_select_layers(selectors, 2, names, is_default, UINT64_MAX, indices, 3, &count), FNE_INVALID_ARGUMENT);
    EXPECT(fne_select_layers(selectors, 2, NULL, NULL, 0, indices, 3, &count), FNE_UNKNOWN_TENSOR);
    HOLDS(count == 99 && indices[0] == 9);
    EXPECT(fne_select_layers(selectors, 2, names, is_default, 3, indices, 3, &count), FNE_OK);
    HOLDS(count == 3 && indices[0] == 2 && indices[1] == 0 && indices[2] == 1);
    EXPECT(fne_select_layers(NULL, 0, names, is_default, 3, indices, 3, &count), FNE_OK);
    HOLDS(count == 2 && indices[0] == 0 && indices[1] == 1);
    const char *const penultimate[] = {"penultimate"};
    const uint8_t roles[] = {FNE_ROLE_DEFAULT, FNE_ROLE_DEFAULT | FNE_ROLE_PENULTIMATE, FNE_ROLE_PENULTIMATE};
    const uint8_t no_roles[] = {1, 2, 4};
    EXPECT(fne_select_layers(penultimate, 1, names, roles, 3, indices, 3, &count), FNE_OK);
    HOLDS(count == 2 && indices[0] == 1 && indices[1] == 2);
    EXPECT(fne_select_layers(penultimate, 1, names, is_default, 3, indices, 3, &count), FNE_UNKNOWN_TENSOR);
    EXPECT(fne_select_layers(penultimate, 1, names, NULL, 3, indices, 3, &count), FNE_UNKNOWN_TENSOR);
    EXPECT(fne_select_layers(penultimate, 1, names, no_roles, 3, indices, 3, &count), FNE_INVALID_ARGUMENT);

    /* Extractors: all of this is refused before TensorFlow is needed. */
    fne_extractor *extractor = NULL;
    fne_extractor_options options;
    fne_extractor_options_init(&options, sizeof options);
    HOLDS(options.scale[0] == 1 && options.scale[2] == 1 && options.mean[1] == 0);
    EXPECT(fne_extractor_open(NULL, &options, &extractor), FNE_INVALID_ARGUMENT);
    EXPECT(fne_extractor_open(model, &options, NULL), FNE_INVALID_ARGUMENT);
    options.channel_order = 9;
    EXPECT(fne_extractor_open(model, &options, &extractor), FNE_INVALID_ARGUMENT);
    options.channel_order = 0;
    options.on_error = -1;
    EXPECT(fne_extractor_open(model, &options, &extractor), FNE_INVALID_ARGUMENT);
    options.on_error = 0;
    options.resize_mode = 2;
    EXPECT(fne_extractor_open(model, &options, &extractor), FNE_INVALID_ARGUMENT);
    options.resize_mode = 0;
    options.interpolation = -1;
    EXPECT(fne_extractor_open(model, &options, &extractor), FNE_INVALID_ARGUMENT);
    options.interpolation = 0;
    options.precision = 2;
    EXPECT(fne_extractor_open(model, &options, &extractor), FNE_INVALID_ARGUMENT);
    options.precision = 0;
    options.device = "tpu";
    EXPECT(fne_extractor_open(model, &options, &extractor), FNE_INVALID_ARGUMENT);
    options.device = "\xff";
    EXPECT(fne_extractor_open(model, &options, &extractor), FNE_INVALID_ARGUMENT);
    options.device = NULL;
    options.gpu_memory_growth = 2;
    EXPECT(fne_extractor_open(model, &options, &extractor), FNE_INVALID_ARGUMENT);
    options.gpu_memory_growth = 0;
    options.pad_batches = 2;
    EXPECT(fne_extractor_open(model, &options, &extractor), FNE_INVALID_ARGUMENT);
    options.pad_batches = 0;
    options.channels = 2;
    EXPECT(fne_extractor_open(model, &options, &extractor), FNE_INVALID_ARGUMENT);
    options.channels = 0;
    options.reserved = 1;
    EXPECT(fne_extractor_open(model, &options, &extractor), FNE_INVALID_ARGUMENT);
    options.reserved = 0;
    options.goal = 2;
    EXPECT(fne_extractor_open(model, &options, &extractor), FNE_INVALID_ARGUMENT);
    options.goal = FNE_GOAL_LATENCY;
    options.reserved_goal = 1;
    EXPECT(fne_extractor_open(model, &options, &extractor), FNE_INVALID_ARGUMENT);
    options.goal = FNE_GOAL_THROUGHPUT;
    options.reserved_goal = 0;
    options.decode = 2;
    EXPECT(fne_extractor_open(model, &options, &extractor), FNE_INVALID_ARGUMENT);
    options.decode = FNE_DECODE_SCALED;
    options.reserved_decode = 1;
    EXPECT(fne_extractor_open(model, &options, &extractor), FNE_INVALID_ARGUMENT);
    options.decode = FNE_DECODE_FULL;
    options.reserved_decode = 0;
    options.token_pooling = 4;
    EXPECT(fne_extractor_open(model, &options, &extractor), FNE_INVALID_ARGUMENT);
    options.token_pooling = -1;
    EXPECT(fne_extractor_open(model, &options, &extractor), FNE_INVALID_ARGUMENT);
    options.token_pooling = 0;
    options.prefix_tokens = 65537;
    EXPECT(fne_extractor_open(model, &options, &extractor), FNE_INVALID_ARGUMENT);
    options.prefix_tokens = 0;
    options.streams = 4000;
    EXPECT(fne_extractor_open(model, &options, &extractor), FNE_INVALID_ARGUMENT);
    options.streams = 0;
    HOLDS(options.float32_layers == -1);
    options.crops = 5;
    EXPECT(fne_extractor_open(model, &options, &extractor), FNE_INVALID_ARGUMENT);
    options.crops = 10;
    options.resize_height = 1;
    EXPECT(fne_extractor_open(model, &options, &extractor), FNE_INVALID_ARGUMENT);
    options.crops = 0;
    options.resize_height = 0;
    options.scale[1] = 0;
    EXPECT(fne_extractor_open(model, &options, &extractor), FNE_INVALID_ARGUMENT);
    options.scale[1] = 1;
    options.image_options = &image_options; /* whose struct_size is 0 */
    EXPECT(fne_extractor_open(model, &options, &extractor), FNE_INVALID_ARGUMENT);
    options.image_options = NULL;
    options.layer_count = 1; /* and layers NULL */
    EXPECT(fne_extractor_open(model, &options, &extractor), FNE_INVALID_ARGUMENT);
    const char *layers[] = {NULL};
    options.layers = layers;
    EXPECT(fne_extractor_open(model, &options, &extractor), FNE_INVALID_ARGUMENT);
    layers[0] = "no such tensor";
    EXPECT(fne_extractor_open(model, &options, &extractor), FNE_UNKNOWN_TENSOR);
    layers[0] = "last:0%";
    EXPECT(fne_extractor_open(model, &options, &extractor), FNE_INVALID_ARGUMENT);
    options.layer_count = UINT64_MAX;
    EXPECT(fne_extractor_open(model, &options, &extractor), FNE_INVALID_ARGUMENT);
    HOLDS(extractor == NULL);
    EXPECT(fne_extractor_feature_count(NULL, &count), FNE_INVALID_ARGUMENT);
    EXPECT(fne_extractor_layer_count(NULL, &count), FNE_INVALID_ARGUMENT);
    EXPECT(fne_extractor_layer_info(NULL, 0, NULL), FNE_INVALID_ARGUMENT);
    EXPECT(fne_extractor_input_info(NULL, NULL), FNE_INVALID_ARGUMENT);
    EXPECT(fne_extractor_engine(NULL, NULL), FNE_INVALID_ARGUMENT);
    float numbers[4] = {1, 2, 3, 4};
    EXPECT(fne_extract_files(NULL, NULL, 1, numbers, 4, NULL), FNE_INVALID_ARGUMENT);
    EXPECT(fne_extract_encoded(NULL, NULL, 1, numbers, 4, NULL), FNE_INVALID_ARGUMENT);
    EXPECT(fne_extract_pixels(NULL, NULL, 1, numbers, 4, NULL), FNE_INVALID_ARGUMENT);
    EXPECT(fne_extractor_preprocess(NULL, NULL, numbers, 4), FNE_INVALID_ARGUMENT);
    EXPECT(fne_extract_tensor(NULL, NULL, 0, 1, numbers, 4, NULL), FNE_INVALID_ARGUMENT);
    double column[1];
    int8_t code[1];
    EXPECT(fne_embed_files(NULL, NULL, 1, code, 1, column, column, 1, NULL), FNE_INVALID_ARGUMENT);

    /* Packed codes. */
    uint64_t words[8], found[1];
    int32_t product[1];
    double score[1];
    EXPECT(fne_packed_words(0, words), FNE_INVALID_ARGUMENT);
    EXPECT(fne_packed_words(UINT64_MAX, words), FNE_INVALID_ARGUMENT);
    EXPECT(fne_packed_words(5, NULL), FNE_INVALID_ARGUMENT);
    EXPECT(fne_packed_words(65, words), FNE_OK);
    HOLDS(words[0] == 4);
    int8_t few[4] = {1, 0, -1, 1};
    EXPECT(fne_pack(NULL, 1, 4, words, 8), FNE_INVALID_ARGUMENT);
    EXPECT(fne_pack(few, 1, 4, NULL, 8), FNE_INVALID_ARGUMENT);
    EXPECT(fne_pack(few, 1, 4, words, 1), FNE_BUFFER_TOO_SMALL);
    EXPECT(fne_pack(few, 0, 4, words, 8), FNE_INVALID_ARGUMENT);
    EXPECT(fne_pack(few, UINT64_MAX, UINT64_MAX, words, UINT64_MAX), FNE_INVALID_ARGUMENT);
    EXPECT(fne_pack(few, 2, 2, words, 8), FNE_OK);
    fne_codes *kept = NULL;
    fne_layer_info columns[2];
    fne_layer_info_init(&columns[0], sizeof columns[0]);
    fne_layer_info_init(&columns[1], sizeof columns[1]);
    EXPECT(fne_packed_save(NULL, words, 2, 2, NULL, 0), FNE_INVALID_ARGUMENT);
    EXPECT(fne_packed_save("/nowhere/codes", NULL, 2, 2, NULL, 0), FNE_INVALID_ARGUMENT);
    EXPECT(fne_packed_save("/nowhere/codes", words, 2, 0, NULL, 0), FNE_INVALID_ARGUMENT);
    EXPECT(fne_packed_save("/nowhere/codes", words, UINT64_MAX, 2, NULL, 0), FNE_INVALID_ARGUMENT);
    EXPECT(fne_packed_save("/nowhere/codes", words, 2, 2, NULL, 1), FNE_INVALID_ARGUMENT);
    EXPECT(fne_packed_save("/nowhere/codes", words, 2, 2, columns, UINT64_MAX), FNE_INVALID_ARGUMENT);
    EXPECT(fne_packed_save("/nowhere/codes", words, 2, 2, columns, 2), FNE_INVALID_ARGUMENT);
    columns[0].name = columns[1].name = "a";
    columns[0].feature_count = columns[1].feature_count = 1;
    columns[1].first_feature = UINT64_MAX;
    EXPECT(fne_packed_save("/nowhere/codes", words, 2, 2, columns, 2), FNE_INVALID_ARGUMENT);
    columns[1].first_feature = 2;
    EXPECT(fne_packed_save("/nowhere/codes", words, 2, 2, columns, 2), FNE_INVALID_ARGUMENT);
    columns[1].first_feature = 1;
    columns[1].struct_size = 16;
    EXPECT(fne_packed_save("/nowhere/codes", words, 2, 2, columns, 2), FNE_INVALID_ARGUMENT);
    columns[0].struct_size = 7;
    EXPECT(fne_packed_save("/nowhere/codes", words, 2, 2, columns, 2), FNE_INVALID_ARGUMENT);
    EXPECT(fne_packed_save("/nowhere/codes", words, 2, 2, NULL, 0), FNE_FILE_ERROR);
    EXPECT(fne_codes_open(NULL, &kept), FNE_INVALID_ARGUMENT);
    EXPECT(fne_codes_open("/nowhere/codes", NULL), FNE_INVALID_ARGUMENT);
    EXPECT(fne_codes_open("/nowhere/codes", &kept), FNE_FILE_ERROR);
    EXPECT(fne_codes_sizes(NULL, words, words, words), FNE_INVALID_ARGUMENT);
    EXPECT(fne_codes_layer_info(NULL, 0, columns), FNE_INVALID_ARGUMENT);
    EXPECT(fne_codes_read(NULL, 0, 1, words, 8), FNE_INVALID_ARGUMENT);
    HOLDS(kept == NULL);
    EXPECT(fne_unpack(NULL, 2, 2, few, 4), FNE_INVALID_ARGUMENT);
    EXPECT(fne_unpack(words, 2, 2, few, 3), FNE_BUFFER_TOO_SMALL);
    EXPECT(fne_unpack(words, 2, 2, few, 4), FNE_OK);
    HOLDS(few[0] == 1 && few[1] == 0 && few[2] == -1 && few[3] == 1);
    EXPECT(fne_packed_dot(words, 1, NULL, 1, 2, 0, product, 1), FNE_INVALID_ARGUMENT);
    EXPECT(fne_packed_dot(words, 1, words, 2, 2, 0, product, 1), FNE_BUFFER_TOO_SMALL);
    EXPECT(fne_packed_dot(words, 1, words, 1, 2, 2000, product, 1), FNE_INVALID_ARGUMENT);
    EXPECT(fne_packed_dot(words, 1, words + 2, 1, 2, 1, product, 1), FNE_OK);
    HOLDS(product[0] == -1);
    EXPECT(fne_packed_search(words, 2, words, 1, 2, 3, FNE_METRIC_DOT, 0, found, score, 3), FNE_INVALID_ARGUMENT);
    EXPECT(fne_packed_search(words, 2, words, 1, 2, 0, FNE_METRIC_DOT, 0, found, score, 1), FNE_INVALID_ARGUMENT);
    EXPECT(fne_packed_search(words, 2, words, 1, 2, 2, FNE_METRIC_DOT, 0, found, score, 1), FNE_BUFFER_TOO_SMALL);
    EXPECT(fne_packed_search(words, 2, words, 1, 2, 1, 7, 0, found, score, 1), FNE_INVALID_ARGUMENT);
    EXPECT(fne_packed_search(words, 2, words, 1, 2, 1, FNE_METRIC_DOT, 0, NULL, score, 1), FNE_INVALID_ARGUMENT);
    EXPECT(fne_packed_search(words, 2, words, 1, 2, 1, FNE_METRIC_HAMMING, 0, found, score, 1), FNE_OK);
    HOLDS(found[0] == 0 && score[0] == 0);
    float mean_code[2] = {0, 0}, wrong_mean[2] = {NAN, 2};
    double offsets[2], product_less_mean[1];
    EXPECT(fne_packed_mean(NULL, 2, 2, 0, mean_code, 2), FNE_INVALID_ARGUMENT);
    EXPECT(fne_packed_mean(words, 2, 2, 0, NULL, 2), FNE_INVALID_ARGUMENT);
    EXPECT(fne_packed_mean(words, 0, 2, 0, mean_code, 2), FNE_INVALID_ARGUMENT);
    EXPECT(fne_packed_mean(words, UINT64_MAX, UINT64_MAX, 0, mean_code, UINT64_MAX), FNE_INVALID_ARGUMENT);
    EXPECT(fne_packed_mean(words, 2, 2, 2000, mean_code, 2), FNE_INVALID_ARGUMENT);
    EXPECT(fne_packed_mean(words, 2, 2, 0, mean_code, 1), FNE_BUFFER_TOO_SMALL);
    EXPECT(fne_packed_mean(words, 2, 2, 0, mean_code, 2), FNE_OK);
    HOLDS(mean_code[0] == 0 && mean_code[1] == 0.5f);
    EXPECT(fne_packed_offsets(words, 2, 2, NULL, 0, offsets, 2), FNE_INVALID_ARGUMENT);
    EXPECT(fne_packed_offsets(words, 2, 2, mean_code, 0, NULL, 2), FNE_INVALID_ARGUMENT);
    EXPECT(fne_packed_offsets(words, 2, 2, mean_code, 0, offsets, 1), FNE_BUFFER_TOO_SMALL);
    EXPECT(fne_packed_offsets(words, UINT64_MAX, 2, mean_code, 0, offsets, UINT64_MAX), FNE_INVALID_ARGUMENT);
    EXPECT(fne_packed_offsets(words, 2, 2, wrong_mean, 0, offsets, 2), FNE_NOT_FINITE);
    EXPECT(fne_packed_offsets(words, 2, 1, wrong_mean + 1, 0, offsets, 2), FNE_INVALID_ARGUMENT);
    EXPECT(fne_packed_offsets(words, 2, 2, mean_code, 0, offsets, 2), FNE_OK);
    HOLDS(offsets[0] == 0 && offsets[1] == 0.5);
    EXPECT(fne_packed_dot_centred(words, 1, NULL, 1, 2, mean_code, 0, product_less_mean, 1), FNE_INVALID_ARGUMENT);
    EXPECT(fne_packed_dot_centred(words, 1, words, 2, 2, mean_code, 0, product_less_mean, 1), FNE_BUFFER_TOO_SMALL);
    EXPECT(fne_packed_dot_centred(words, 1, words, 1, 2, wrong_mean, 0, product_less_mean, 1), FNE_NOT_FINITE);
    EXPECT(fne_packed_dot_centred(words, 1, words + 2, 1, 2, mean_code, 1, product_less_mean, 1), FNE_OK);
    HOLDS(product_less_mean[0] == -1.25);
    EXPECT(fne_packed_search_centred(words, 2, words, 1, 2, 3, mean_code, NULL, 0, found, score, 3),
           FNE_INVALID_ARGUMENT);
    EXPECT(fne_packed_search_centred(words, 2, words, 1, 2, 1, NULL, offsets, 0, found, score, 1),
           FNE_INVALID_ARGUMENT);
    EXPECT(fne_packed_search_centred(words, 2, words, 1, 2, 2, mean_code, NULL, 0, found, score, 1),
           FNE_BUFFER_TOO_SMALL);
    EXPECT(fne_packed_search_centred(words, 2, words, 1, 2, 1, wrong_mean, NULL, 0, found, score, 1), FNE_NOT_FINITE);
    EXPECT(fne_packed_search_centred(words, 2, words, 1, 2, 1, mean_code, offsets, 0, NULL, score, 1),
           FNE_INVALID_ARGUMENT);
    EXPECT(fne_packed_search_centred(words, 2, words + 2, 1, 2, 1, mean_code, offsets, 0, found, score, 1), FNE_OK);
    HOLDS(found[0] == 1 && score[0] > 0.999999);
    EXPECT(fne_packed_search(words, 2, words + 2, 1, 2, 1, FNE_METRIC_CENTRED, 0, found, score, 1), FNE_OK);
    HOLDS(found[0] == 1 && score[0] > 0.999999);

    /* Jobs. */
    fne_job *job = NULL;
    fne_job_options job_options;
    fne_job_options_init(&job_options, sizeof job_options);
    EXPECT(fne_job_open(NULL, model, NULL, &job_options, &job), FNE_INVALID_ARGUMENT);
    EXPECT(fne_job_open("/nowhere/job", model, NULL, &job_options, NULL), FNE_INVALID_ARGUMENT);
    EXPECT(fne_job_open("/nowhere/job", NULL, NULL, NULL, &job), FNE_FILE_ERROR);
    job_options.codes = 4;
    EXPECT(fne_job_open("/nowhere/job", NULL, NULL, &job_options, &job), FNE_INVALID_ARGUMENT);
    job_options.codes = FNE_CODES_NONE;
    EXPECT(fne_job_open("/nowhere/job", NULL, NULL, &job_options, &job), FNE_FILE_ERROR);
    job_options.path_count = 1; /* and paths NULL */
    EXPECT(fne_job_open("/nowhere/job", NULL, NULL, &job_options, &job), FNE_INVALID_ARGUMENT);
    const char *no_paths[] = {NULL};
    job_options.paths = no_paths;
    EXPECT(fne_job_open("/nowhere/job", NULL, NULL, &job_options, &job), FNE_INVALID_ARGUMENT);
    job_options.path_count = UINT64_MAX;
    EXPECT(fne_job_open("/nowhere/job", NULL, NULL, &job_options, &job), FNE_INVALID_ARGUMENT);
    job_options.path_count = 0;
    job_options.drop_features = 2;
    EXPECT(fne_job_open("/nowhere/job", NULL, NULL, &job_options, &job), FNE_INVALID_ARGUMENT);
    job_options.drop_features = 0;
    job_options.retry_failed = 2;
    EXPECT(fne_job_open("/nowhere/job", NULL, NULL, &job_options, &job), FNE_INVALID_ARGUMENT);
    job_options.retry_failed = 0;
    job_options.update = 3;
    EXPECT(fne_job_open("/nowhere/job", NULL, NULL, &job_options, &job), FNE_INVALID_ARGUMENT);
    job_options.update = FNE_UPDATE_UNRECORDED;
    job_options.keep_statistics = 2;
    EXPECT(fne_job_open("/nowhere/job", NULL, NULL, &job_options, &job), FNE_INVALID_ARGUMENT);
    job_options.update = job_options.keep_statistics = 0;
    EXPECT(fne_job_open_merge("/nowhere/job", NULL, 1, &job_options, &job), FNE_INVALID_ARGUMENT);
    EXPECT(fne_job_open_merge("/nowhere/job", no_paths, 1, &job_options, &job), FNE_INVALID_ARGUMENT);
    EXPECT(fne_job_open_merge("/nowhere/job", no_paths, 0, &job_options, &job), FNE_INVALID_ARGUMENT);
    no_paths[0] = "/nowhere/shard";
    EXPECT(fne_job_open_merge("/nowhere/job", no_paths, 1, &job_options, &job), FNE_FILE_ERROR);
    EXPECT(fne_job_run(NULL, NULL), FNE_INVALID_ARGUMENT);
    EXPECT(fne_job_verify(NULL, NULL), FNE_INVALID_ARGUMENT);
    EXPECT(fne_job_verify_file(NULL, NULL, UINT64_MAX, UINT64_MAX), FNE_INVALID_ARGUMENT);
    EXPECT(fne_job_progress_info(NULL, NULL), FNE_INVALID_ARGUMENT);
    EXPECT(fne_job_intake_info(NULL, NULL), FNE_INVALID_ARGUMENT);
    EXPECT(fne_job_layer_info(NULL, 0, NULL), FNE_INVALID_ARGUMENT);
    EXPECT(fne_job_statistics(NULL, NULL), FNE_INVALID_ARGUMENT);
    EXPECT(fne_job_image_name(NULL, UINT64_MAX, NULL), FNE_INVALID_ARGUMENT);
    EXPECT(fne_job_image_reason(NULL, UINT64_MAX, NULL), FNE_INVALID_ARGUMENT);
    EXPECT(fne_job_statuses(NULL, 0, UINT64_MAX, NULL, 0), FNE_INVALID_ARGUMENT);
    EXPECT(fne_job_features(NULL, 0, UINT64_MAX, NULL, 0), FNE_INVALID_ARGUMENT);
    EXPECT(fne_job_codes(NULL, 0, UINT64_MAX, NULL, 0), FNE_INVALID_ARGUMENT);
    EXPECT(fne_job_packed_codes(NULL, 0, UINT64_MAX, NULL, 0), FNE_INVALID_ARGUMENT);
    EXPECT(fne_job_extractor(NULL, NULL, NULL, NULL), FNE_INVALID_ARGUMENT);
    HOLDS(job == NULL);
    fne_model_close(model);

    /* Listings and decoders. */
    fne_listing *listing = NULL;
    EXPECT(fne_listing_open(NULL, 0, NULL, NULL, &listing), FNE_INVALID_ARGUMENT);
    EXPECT(fne_listing_open("/nowhere", 0, NULL, NULL, &listing), FNE_FILE_ERROR);
    EXPECT(fne_listing_open("/nowhere", 0, NULL, NULL, NULL), FNE_INVALID_ARGUMENT);
    EXPECT(fne_listing_open("/nowhere", 2, NULL, NULL, &listing), FNE_INVALID_ARGUMENT);
    EXPECT(fne_listing_count(NULL, &count), FNE_INVALID_ARGUMENT);
    EXPECT(fne_listing_name(NULL, 0, NULL), FNE_INVALID_ARGUMENT);
    EXPECT(fne_listing_intake_info(NULL, NULL), FNE_INVALID_ARGUMENT);
    HOLDS(listing == NULL);
    uint8_t *rows = NULL;
    EXPECT(fne_decoding_rows(NULL, 1, 1, &rows), FNE_INVALID_ARGUMENT);
    EXPECT(fne_decoding_message(NULL, "words"), FNE_INVALID_ARGUMENT);
    HOLDS(rows == NULL);

    /* Statistics. */
    fne_statistics *statistics = NULL, *other = NULL;
    double mean[2] = {-1, -1}, std[2] = {-1, -1};
    uint8_t saved[512];
    EXPECT(fne_statistics_open(2, NULL), FNE_INVALID_ARGUMENT);
    EXPECT(fne_statistics_open(0, &statistics), FNE_INVALID_ARGUMENT);
    EXPECT(fne_statistics_open(UINT64_MAX, &statistics), FNE_INVALID_ARGUMENT);
    EXPECT(fne_statistics_open(2, &statistics), FNE_OK);
    EXPECT(fne_statistics_open(3, &other), FNE_OK);
    EXPECT(fne_statistics_update(NULL, numbers, 2, 2), FNE_INVALID_ARGUMENT);
    EXPECT(fne_statistics_update(statistics, NULL, 2, 2), FNE_INVALID_ARGUMENT);
    EXPECT(fne_statistics_update(statistics, numbers, 2, 3), FNE_SHAPE_MISMATCH);
    EXPECT(fne_statistics_update(statistics, numbers, UINT64_MAX, 2), FNE_INVALID_ARGUMENT);
    EXPECT(fne_statistics_update(statistics, NULL, 0, 2), FNE_OK);
    EXPECT(fne_statistics_merge(statistics, other), FNE_SHAPE_MISMATCH);
    EXPECT(fne_statistics_merge(statistics, NULL), FNE_INVALID_ARGUMENT);
    EXPECT(fne_statistics_moments(statistics, mean, std, 2, 0), FNE_INVALID_ARGUMENT); /* no rows yet */
    EXPECT(fne_statistics_update(statistics, numbers, 2, 2), FNE_OK);
    EXPECT(fne_statistics_moments(statistics, mean, std, 1, 0), FNE_BUFFER_TOO_SMALL);
    EXPECT(fne_statistics_moments(statistics, mean, std, 2, 2), FNE_INVALID_ARGUMENT);
    EXPECT(fne_statistics_moments(NULL, mean, std, 2, 0), FNE_INVALID_ARGUMENT);
    HOLDS(mean[0] == -1 && std[1] == -1);
    EXPECT(fne_statistics_moments(statistics, mean, std, 2, 0), FNE_OK);
    HOLDS(mean[0] == 2 && mean[1] == 3 && std[0] == 1 && std[1] == 1);
    EXPECT(fne_statistics_moments(statistics, NULL, std, 1, 0), FNE_BUFFER_TOO_SMALL); /* one array needs room, too */
    EXPECT(fne_statistics_moments(statistics, mean, NULL, 1, 0), FNE_BUFFER_TOO_SMALL);
    EXPECT(fne_statistics_moments(statistics, NULL, NULL, 0, 0), FNE_OK);
    EXPECT(fne_statistics_moments(statistics, NULL, NULL, 0, 2), FNE_INVALID_ARGUMENT);
    EXPECT(fne_statistics_count(NULL, &count, &count), FNE_INVALID_ARGUMENT);
    EXPECT(fne_statistics_count(statistics, NULL, NULL), FNE_OK);
    EXPECT(fne_statistics_size(statistics, NULL), FNE_INVALID_ARGUMENT);
    EXPECT(fne_statistics_size(statistics, &count), FNE_OK);
    HOLDS(count <= sizeof saved);
    EXPECT(fne_statistics_save(statistics, NULL, count), FNE_INVALID_ARGUMENT);
    EXPECT(fne_statistics_save(statistics, saved, count - 1), FNE_BUFFER_TOO_SMALL);
    EXPECT(fne_statistics_save(statistics, saved, count), FNE_OK);
    fne_statistics_close(other);
    other = NULL;
    EXPECT(fne_statistics_load(saved, count - 1, &other), FNE_INVALID_DATA);
    EXPECT(fne_statistics_load(saved, 0, &other), FNE_INVALID_DATA);
    EXPECT(fne_statistics_load(NULL, count, &other), FNE_INVALID_ARGUMENT);
    EXPECT(fne_statistics_load(saved, count, NULL), FNE_INVALID_ARGUMENT);
    saved[40] ^= 1;
    EXPECT(fne_statistics_load(saved, count, &other), FNE_INVALID_DATA);
    HOLDS(other == NULL);
    fne_statistics_close(statistics);

    /* Compact codes. */
    fne_compact *compact = NULL;
    uint8_t damaged[sizeof compact_bytes];
    const float points[4] = {1, 0, 0, 1};
    uint64_t coded[4] = {9, 9, 9, 9}, dimensions = 0;
    memcpy(damaged, compact_bytes, sizeof damaged);
    damaged[60] ^= 1;
    EXPECT(fne_compact_open_memory(damaged, sizeof damaged, &compact), FNE_INVALID_DATA);
    EXPECT(fne_compact_open_memory(compact_bytes, sizeof compact_bytes - 1, &compact), FNE_INVALID_DATA);
    EXPECT(fne_compact_open_memory(compact_bytes, 0, &compact), FNE_INVALID_DATA);
    EXPECT(fne_compact_open_memory(compact_bytes, UINT64_MAX, &compact), FNE_INVALID_ARGUMENT);
    EXPECT(fne_compact_open_memory(NULL, 8, &compact), FNE_INVALID_ARGUMENT);
    EXPECT(fne_compact_open_memory(compact_bytes, sizeof compact_bytes, NULL), FNE_INVALID_ARGUMENT);
    HOLDS(compact == NULL);
    EXPECT(fne_compact_open_memory(compact_bytes, sizeof compact_bytes, &compact), FNE_OK);
    EXPECT(fne_compact_sizes(NULL, &count, &dimensions), FNE_INVALID_ARGUMENT);
    EXPECT(fne_compact_sizes(compact, NULL, NULL), FNE_OK);
    EXPECT(fne_compact_sizes(compact, &count, &dimensions), FNE_OK);
    HOLDS(count == 2 && dimensions == 2);
    EXPECT(fne_compact_transform(NULL, points, 2, 2, 0, coded, 4), FNE_INVALID_ARGUMENT);
    EXPECT(fne_compact_transform(compact, NULL, 2, 2, 0, coded, 4), FNE_INVALID_ARGUMENT);
    EXPECT(fne_compact_transform(compact, points, 2, 2, 0, NULL, 4), FNE_INVALID_ARGUMENT);
    EXPECT(fne_compact_transform(compact, points, 0, 2, 0, coded, 4), FNE_INVALID_ARGUMENT);
    EXPECT(fne_compact_transform(compact, points, UINT64_MAX, 2, 0, coded, 4), FNE_INVALID_ARGUMENT);
    EXPECT(fne_compact_transform(compact, points, 2, 2, 2000, coded, 4), FNE_INVALID_ARGUMENT);
    EXPECT(fne_compact_transform(compact, points, 4, 1, 0, coded, 4), FNE_SHAPE_MISMATCH);
    EXPECT(fne_compact_transform(compact, points, 2, 2, 0, coded, 3), FNE_BUFFER_TOO_SMALL);
    HOLDS(coded[0] == 9 && coded[3] == 9);
    EXPECT(fne_compact_transform(compact, points, 2, 2, 0, coded, 4), FNE_OK);
    /* (.9, .2) becomes (.38, .84), and that (-.7, .6). (-.1, 1.2) becomes (-1.02, .64), and that (-.9, -.8). */
    HOLDS(coded[0] == 3 && coded[1] == 1 && coded[2] == 3 && coded[3] == 3);
    fne_compact_close(compact);

    /* Embedding. */
    double z[4];
    int8_t codes[4] = {9, 9, 9, 9};
    fne_ternarize_options rules;
    fne_ternarize_options_init(&rules, sizeof rules);
    HOLDS(rules.lower == -0.25 && rules.upper == 0.15);
    EXPECT(fne_standardize(NULL, 2, 2, mean, std, z, 4), FNE_INVALID_ARGUMENT);
    EXPECT(fne_standardize(numbers, 0, 2, mean, std, z, 4), FNE_INVALID_ARGUMENT);
    EXPECT(fne_standardize(numbers, 2, 2, mean, std, z, 3), FNE_BUFFER_TOO_SMALL);
    EXPECT(fne_standardize(numbers, UINT64_MAX, UINT64_MAX, mean, std, z, UINT64_MAX), FNE_INVALID_ARGUMENT);
    EXPECT(fne_ternarize(numbers, 2, 2, NULL, std, NULL, codes, 4), FNE_INVALID_ARGUMENT);
    EXPECT(fne_ternarize(numbers, 2, 2, mean, std, NULL, NULL, 4), FNE_INVALID_ARGUMENT);
    EXPECT(fne_ternarize(numbers, 2, 2, mean, std, NULL, codes, 3), FNE_BUFFER_TOO_SMALL);
    EXPECT(fne_l2_normalize(NULL, 2, 2, numbers, 4), FNE_INVALID_ARGUMENT);
    EXPECT(fne_l2_normalize(numbers, 2, 2, NULL, 4), FNE_INVALID_ARGUMENT);
    EXPECT(fne_l2_normalize(numbers, 0, 2, numbers, 4), FNE_INVALID_ARGUMENT);
    EXPECT(fne_l2_normalize(numbers, 2, 2, numbers, 3), FNE_BUFFER_TOO_SMALL);
    rules.lower = 1;
    EXPECT(fne_ternarize(numbers, 2, 2, mean, std, &rules, codes, 4), FNE_INVALID_ARGUMENT);
    rules.lower = -0.25;
    rules.rules = 5;
    EXPECT(fne_ternarize(numbers, 2, 2, mean, std, &rules, codes, 4), FNE_INVALID_ARGUMENT);
    std[0] = -1;
    EXPECT(fne_ternarize(numbers, 2, 2, mean, std, NULL, codes, 4), FNE_INVALID_ARGUMENT);
    std[0] = 1;
    HOLDS(codes[0] == 9 && codes[3] == 9);
    EXPECT(fne_ternarize(numbers, 2, 2, mean, std, NULL, codes, 4), FNE_OK);
    HOLDS(codes[0] == -1 && codes[1] == -1 && codes[2] == 1 && codes[3] == 1);
    numbers[3] = (float)(0.0 * (1e308 * 10)); /* NaN */
    EXPECT(fne_ternarize(numbers, 2, 2, mean, std, NULL, codes, 4), FNE_NOT_FINITE);
    HOLDS(strstr(fne_last_error(), "row 1, feature 1") != NULL);

    /* Backend. */
    const char *version = NULL;
    EXPECT(fne_backend_load("/nowhere/libtensorflow.so.2"), FNE_BACKEND_UNAVAILABLE);
    HOLDS(strstr(fne_last_error(), "/nowhere/libtensorflow.so.2") != NULL);
    EXPECT(fne_backend_info(&version, NULL), FNE_OK);
    HOLDS(strcmp(version, "") == 0);
    EXPECT(fne_backend_info(NULL, NULL), FNE_OK);
    EXPECT(fne_engine_load(NULL, NULL), FNE_INVALID_ARGUMENT);
    EXPECT(fne_engine_load("onnx", NULL), FNE_INVALID_ARGUMENT);
    HOLDS(strstr(fne_last_error(), "'tensorflow' or 'onnxruntime'") != NULL);
    EXPECT(fne_engine_load("tensorflow", "/nowhere/libtensorflow.so.2"), FNE_BACKEND_UNAVAILABLE);
    EXPECT(fne_engine_load("onnxruntime", "/nowhere/libonnxruntime.so.1"), FNE_BACKEND_UNAVAILABLE);
    HOLDS(strstr(fne_last_error(), "/nowhere/libonnxruntime.so.1") != NULL);
    EXPECT(fne_engine_load("onnxruntime", "/etc"), FNE_BACKEND_UNAVAILABLE);
    EXPECT(fne_engine_load("onnxruntime", "/etc/hostname"), FNE_BACKEND_UNAVAILABLE);
    EXPECT(fne_engine_load("onnxruntime", "\xff"), FNE_INVALID_ARGUMENT);
    EXPECT(fne_engine_info(NULL, &version, NULL), FNE_INVALID_ARGUMENT);
    EXPECT(fne_engine_info("", &version, NULL), FNE_INVALID_ARGUMENT);
    version = NULL;
    EXPECT(fne_engine_info("onnxruntime", &version, NULL), FNE_OK);
    HOLDS(version != NULL && strcmp(version, "") == 0);
    EXPECT(fne_engine_info("tensorflow", NULL, NULL), FNE_OK);

    HOLDS(strcmp(fne_status_name(FNE_FILE_ERROR), "FNE_FILE_ERROR") == 0);
    HOLDS(strcmp(fne_status_name(12345), "unknown status") == 0);
    printf("%d checks\n", checks);
    return 0;
}

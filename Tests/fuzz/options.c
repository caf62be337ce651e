/* Takes the input as option structs of any age and as layer selectors, in memory of the size that struct_size says.
 * FNE_FUZZ_GRAPH names a GraphDef; there is no TensorFlow, so an extractor never opens. */
#include <fne.h>

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static fne_model *model;

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc;
    (void)argv;
    const char *path = getenv("FNE_FUZZ_GRAPH");
    if (path == NULL || fne_model_open(path, NULL, &model) != FNE_OK) {
        fprintf(stderr, "FNE_FUZZ_GRAPH: %s\n", path == NULL ? "is not set" : fne_last_error());
        exit(2);
    }
    return 0;
}

/* A struct of struct_size bytes from the input; its size stands in the first eight. Freed by the caller. */
static void *sized(const uint8_t **data, size_t *size) {
    uint64_t length = 0;
    if (*size < 10) return NULL;
    length = 8 + 8 * (*data)[0] + (*data)[1] % 8; /* mostly a size that a compiler can have come to */
    *data += 2;
    *size -= 2;
    uint8_t *bytes = calloc(1, length);
    size_t known = length - 8 < *size ? length - 8 : *size;
    memcpy(bytes, &length, 8);
    memcpy(bytes + 8, *data, known);
    *data += known;
    *size -= known;
    return bytes;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint8_t tiny[12] = {0xff, 0xd8, 0xff};
    fne_image_options *images = sized(&data, &size);
    fne_image_info *info = sized(&data, &size);
    if (images != NULL && info != NULL) fne_image_probe_memory(tiny, sizeof tiny, images, info);

    fne_ternarize_options *ternarize = sized(&data, &size);
    if (ternarize != NULL) {
        float x[4] = {-1, 0, 1, 2};
        double mean[2] = {0, 0.5}, std[2] = {1, 0};
        int8_t codes[4];
        fne_ternarize(x, 2, 2, mean, std, ternarize, codes, 4);
    }
    fne_tensor_info *tensor = sized(&data, &size);
    if (tensor != NULL) {
        fne_status wanted = tensor->struct_size % 8 == 0 ? FNE_OK : FNE_INVALID_ARGUMENT;
        if (fne_model_tensor_info(model, 0, tensor) != wanted) abort();
    }
    fne_model_options *opening = sized(&data, &size);
    fne_model *other = NULL;
    char text[33] = {0};
    memcpy(text, data, size < 32 ? size : 32);
    const char *const feeds[4] = {text, "input=1", "input", text};
    /* Pointers must be real ones. */
#define SET_FEEDS(options, type)                                                                                       \
    do {                                                                                                               \
        if (options->struct_size >= offsetof(type, feeds) + sizeof options->feeds) options->feeds = feeds;             \
        if (options->struct_size >= offsetof(type, feed_count) + sizeof options->feed_count) options->feed_count %= 5; \
    } while (0)
    if (opening != NULL) SET_FEEDS(opening, fne_model_options);
    if (opening != NULL && fne_model_open_memory(data, size, opening, &other) == FNE_OK) fne_model_close(other);

    fne_extractor_options *options = sized(&data, &size);
    if (options != NULL) {
        char selector[4][33] = {{0}};
        const char *layers[4];
        for (int i = 0; i < 4; ++i) {
            size_t length = size < 32 ? size : 32;
            memcpy(selector[i], data, length);
            layers[i] = selector[i];
            data += length;
            size -= length;
        }
        size_t known = options->struct_size;
        uint8_t *raw = (uint8_t *)options;
        /* Pointers must be real ones; as much of each as the struct has. */
#define SET(member, value) \
    if (known >= offsetof(fne_extractor_options, member) + sizeof options->member) options->member = value
        SET(input_tensor, raw[8] % 2 ? NULL : selector[3]);
        SET(layers, layers);
        SET(layer_count, options->layer_count % 5);
        SET(image_options, raw[9] % 2 ? NULL : images);
        SET(device, raw[10] % 2 ? NULL : selector[2]);
        SET_FEEDS(options, fne_extractor_options);
        fne_extractor *extractor = NULL;
        if (known >= offsetof(fne_extractor_options, height) &&
            fne_extractor_open(model, options, &extractor) == FNE_OK) {
            abort();
        }
    }
    fne_job_options *job = sized(&data, &size);
    if (job != NULL) {
        size_t known = job->struct_size;
        uint8_t *raw = (uint8_t *)job;
        const char *paths[2] = {"a.jpg", NULL};
#define SET_JOB(member, value) \
    if (known >= offsetof(fne_job_options, member) + sizeof job->member) job->member = value
        SET_JOB(source, raw[8] % 2 ? NULL : "/nowhere");
        SET_JOB(paths, paths);
        SET_JOB(path_count, job->path_count % 3);
        SET_JOB(root, NULL);
        SET_JOB(statistics, NULL);
        SET_JOB(ternarize_options, raw[9] % 2 ? NULL : ternarize);
        SET_JOB(model_source, raw[10] % 2 ? NULL : "/nowhere/model");
        SET_JOB(model_signature, raw[11] % 2 ? NULL : "\xff serving");
        SET_JOB(model_tags, paths);
        SET_JOB(model_tag_count, job->model_tag_count % 3);
        fne_job *opened = NULL;
        if (fne_job_open("/nowhere/job", NULL, NULL, job, &opened) == FNE_OK) abort();
        if (fne_job_open_merge("/nowhere/job", paths, 1, job, &opened) == FNE_OK) abort();
    }
    free(job);
    free(images);
    free(info);
    free(ternarize);
    free(tensor);
    free(opening);
    free(options);
    return 0;
}

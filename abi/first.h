/* The declarations of the first fne.h of this ABI. */
#ifndef FNE_H
#define FNE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define FNE_API __attribute__((visibility("default")))
#else
#define FNE_API
#endif

typedef int32_t fne_status;

#define FNE_OK 0
#define FNE_INVALID_ARGUMENT 1
#define FNE_BUFFER_TOO_SMALL 2
#define FNE_OUT_OF_MEMORY 3
#define FNE_FILE_ERROR 4
#define FNE_UNSUPPORTED_IMAGE 5
#define FNE_DAMAGED_IMAGE 6
#define FNE_IMAGE_LIMIT 7
#define FNE_INVALID_GRAPH 8
#define FNE_UNSAFE_GRAPH 9
#define FNE_UNKNOWN_TENSOR 10
#define FNE_UNSUPPORTED_TENSOR 11
#define FNE_BACKEND_UNAVAILABLE 12
#define FNE_BACKEND_CONFLICT 13
#define FNE_BACKEND_ERROR 14
#define FNE_NOT_FINITE 15
#define FNE_CANCELLED 16
#define FNE_FORKED 17
#define FNE_SHAPE_MISMATCH 18
#define FNE_INVALID_DATA 19
#define FNE_INTERNAL_ERROR 20
#define FNE_JOB_MISMATCH 21
#define FNE_JOB_BUSY 22
#define FNE_IO_ERROR 23

#define FNE_VERSION_MAJOR 2
#define FNE_VERSION_MINOR 0
#define FNE_VERSION_PATCH 0

#define FNE_STRINGIFY_ARGUMENT(argument) #argument
#define FNE_STRINGIFY(macro) FNE_STRINGIFY_ARGUMENT(macro)

#define FNE_VERSION_STRING \
    FNE_STRINGIFY(FNE_VERSION_MAJOR) "." FNE_STRINGIFY(FNE_VERSION_MINOR) "." FNE_STRINGIFY(FNE_VERSION_PATCH)

FNE_API uint32_t fne_version_number(void);

FNE_API const char *fne_version_string(void);

FNE_API uint32_t fne_abi_version(void);

FNE_API const char *fne_build_info(void);

FNE_API const char *fne_status_name(fne_status status);

FNE_API const char *fne_last_error(void);

#define FNE_LOG_INFO 0
#define FNE_LOG_WARNING 1
#define FNE_LOG_ERROR 2

typedef void (*fne_log_fn)(void *user, int32_t level, const char *message);

FNE_API void fne_set_log_callback(fne_log_fn callback, void *user);

FNE_API fne_status fne_backend_load(const char *path);

FNE_API fne_status fne_backend_info(const char **version, const char **path);

FNE_API fne_status fne_engine_load(const char *engine, const char *path);

FNE_API fne_status fne_engine_info(const char *engine, const char **version, const char **path);

#define FNE_FORMAT_OTHER 0
#define FNE_FORMAT_JPEG 1
#define FNE_FORMAT_PNG 2
#define FNE_FORMAT_WEBP 3
#define FNE_FORMAT_GIF 4
#define FNE_FORMAT_BMP 5
#define FNE_FORMAT_TIFF 6
#define FNE_FORMAT_AVIF 7
#define FNE_FORMAT_HEIF 8
#define FNE_FORMAT_JPEG2000 9

typedef struct fne_image_options {
    uint64_t struct_size;
    uint64_t max_bytes;
    uint64_t max_pixels;
    uint64_t max_chunk_bytes;
    uint32_t max_scans;
    int32_t tolerate_truncation;
    uint32_t max_side;
    uint32_t max_expansion;
} fne_image_options;

FNE_API void fne_image_options_init(fne_image_options *options, uint64_t struct_size);

typedef struct fne_image_info {
    uint64_t struct_size;
    uint32_t height;
    uint32_t width;
    int32_t format;
    int32_t orientation;
    int32_t is_partial;
    int32_t reserved;
} fne_image_info;

FNE_API void fne_image_info_init(fne_image_info *info, uint64_t struct_size);

FNE_API fne_status fne_image_probe(const char *path, const fne_image_options *options, fne_image_info *info);

FNE_API fne_status fne_image_probe_memory(const uint8_t *bytes, uint64_t size, const fne_image_options *options,
                                          fne_image_info *info);

FNE_API fne_status fne_image_decode(const char *path, const fne_image_options *options, uint8_t *rgb, uint64_t capacity,
                                    fne_image_info *info);

FNE_API fne_status fne_image_decode_memory(const uint8_t *bytes, uint64_t size, const fne_image_options *options,
                                           uint8_t *rgb, uint64_t capacity, fne_image_info *info);

typedef struct fne_decoding fne_decoding;

typedef fne_status (*fne_image_decoder_fn)(void *user, const uint8_t *bytes, uint64_t size, const char *refusal,
                                           fne_decoding *decoding);

FNE_API fne_status fne_decoding_rows(fne_decoding *decoding, uint32_t height, uint32_t width, uint8_t **rgb);

FNE_API fne_status fne_decoding_message(fne_decoding *decoding, const char *message);

#define FNE_INTERPOLATION_BILINEAR 0

#define FNE_INTERPOLATION_ANTIALIASED 1

#define FNE_INTERPOLATION_BICUBIC 2

FNE_API fne_status fne_image_resize(const uint8_t *rgb, uint32_t height, uint32_t width, int32_t interpolation,
                                    uint8_t *resized, uint32_t new_height, uint32_t new_width, uint64_t capacity);

typedef struct fne_model fne_model;

typedef struct fne_model_options {
    uint64_t struct_size;
    int32_t allow_unsafe;
    int32_t reserved;
    const char *const *feeds;
    uint64_t feed_count;
} fne_model_options;

FNE_API void fne_model_options_init(fne_model_options *options, uint64_t struct_size);

FNE_API fne_status fne_model_open(const char *path, const fne_model_options *options, fne_model **model);

FNE_API fne_status fne_model_open_memory(const uint8_t *bytes, uint64_t size, const fne_model_options *options,
                                         fne_model **model);

FNE_API fne_status fne_model_engine(const fne_model *model, const char **engine);

FNE_API fne_status fne_model_sha256(const fne_model *model, char *digits);

FNE_API void fne_model_close(fne_model *model);

#define FNE_KIND_OTHER 0
#define FNE_KIND_CONVOLUTION 1
#define FNE_KIND_DEPTHWISE 2
#define FNE_KIND_DENSE 3
#define FNE_KIND_INPUT 4

typedef struct fne_tensor_info {
    uint64_t struct_size;
    const char *name;
    const char *operation;
    int32_t kind;
    int32_t rank;
    int64_t channels;
    int32_t is_default;
    int32_t is_classifier;
    int32_t is_classifier_input;
    int32_t is_penultimate;
    const char *module;
} fne_tensor_info;

FNE_API void fne_tensor_info_init(fne_tensor_info *info, uint64_t struct_size);

FNE_API fne_status fne_model_tensor_count(const fne_model *model, uint64_t *count);

FNE_API fne_status fne_model_tensor_info(const fne_model *model, uint64_t index, fne_tensor_info *info);

FNE_API fne_status fne_model_note_count(const fne_model *model, uint64_t *count);

FNE_API fne_status fne_model_note(const fne_model *model, uint64_t index, const char **note);

#define FNE_SHAPE_RANK 8

FNE_API fne_status fne_model_shapes(const fne_model *model, const char *input_tensor, uint32_t height, uint32_t width,
                                    int32_t *ranks, int64_t *dimensions, uint64_t capacity);

#define FNE_ROLE_DEFAULT 1
#define FNE_ROLE_PENULTIMATE 2

FNE_API fne_status fne_select_layers(const char *const *selectors, uint64_t selector_count, const char *const *names,
                                     const uint8_t *roles, uint64_t name_count, uint64_t *indices, uint64_t capacity,
                                     uint64_t *count);

typedef struct fne_extractor fne_extractor;

#define FNE_CHANNELS_RGB 0
#define FNE_CHANNELS_BGR 1

#define FNE_RESIZE_STRETCH 0
#define FNE_RESIZE_SHORTEST_SIDE 1

#define FNE_ON_ERROR_FAIL 0
#define FNE_ON_ERROR_SKIP 1

#define FNE_PRECISION_FLOAT32 0

#define FNE_PRECISION_BFLOAT16 1

#define FNE_TOKENS_MEAN 0
#define FNE_TOKENS_FIRST 1
#define FNE_TOKENS_REST 2
#define FNE_TOKENS_FIRST_AND_REST 3

#define FNE_GOAL_THROUGHPUT 0

#define FNE_GOAL_LATENCY 1

#define FNE_DECODE_FULL 0

#define FNE_DECODE_SCALED 1

typedef struct fne_extractor_options {
    uint64_t struct_size;
    const char *input_tensor;
    const char *const *layers;
    uint64_t layer_count;
    uint32_t height;
    uint32_t width;
    int32_t channel_order;
    float mean[3];
    float scale[3];
    uint32_t batch_size;
    uint32_t loader_threads;
    uint32_t engine_threads;
    int32_t on_error;
    int32_t resize_mode;
    int32_t interpolation;
    uint32_t crops;
    uint32_t resize_height;
    uint32_t resize_width;
    uint32_t streams;
    const fne_image_options *image_options;
    int32_t precision;
    int32_t float32_layers;
    const char *device;
    int32_t gpu_memory_growth;
    int32_t pad_batches;
    const char *const *feeds;
    uint64_t feed_count;
    uint32_t channels;
    uint32_t reserved;
    int32_t token_pooling;
    uint32_t prefix_tokens;
    fne_image_decoder_fn decoder;
    void *decoder_user;
    int32_t goal;
    uint32_t reserved_goal;
    int32_t decode;
    uint32_t reserved_decode;
} fne_extractor_options;

FNE_API void fne_extractor_options_init(fne_extractor_options *options, uint64_t struct_size);

FNE_API fne_status fne_extractor_open(const fne_model *model, const fne_extractor_options *options,
                                      fne_extractor **extractor);

FNE_API void fne_extractor_close(fne_extractor *extractor);

FNE_API fne_status fne_extractor_feature_count(const fne_extractor *extractor, uint64_t *count);

FNE_API fne_status fne_extractor_layer_count(const fne_extractor *extractor, uint64_t *count);

typedef struct fne_layer_info {
    uint64_t struct_size;
    const char *name;
    int32_t kind;
    int32_t rank;
    uint64_t first_feature;
    uint64_t feature_count;
} fne_layer_info;

FNE_API void fne_layer_info_init(fne_layer_info *info, uint64_t struct_size);

FNE_API fne_status fne_extractor_layer_info(const fne_extractor *extractor, uint64_t index, fne_layer_info *info);

typedef struct fne_input_info {
    uint64_t struct_size;
    const char *name;
    uint32_t height;
    uint32_t width;
    uint32_t batch_size;
    uint32_t rows_per_image;
    uint32_t streams;
    uint32_t channels;
    const char *batch_warning;
    int32_t whole_numbers;
    int32_t reserved;
} fne_input_info;

FNE_API void fne_input_info_init(fne_input_info *info, uint64_t struct_size);

FNE_API fne_status fne_extractor_input_info(const fne_extractor *extractor, fne_input_info *info);

FNE_API fne_status fne_extractor_engine(const fne_extractor *extractor, const char **facts);

FNE_API fne_status fne_model_input_info(const fne_model *model, const char *input_tensor, fne_input_info *info);

typedef int32_t (*fne_progress_fn)(void *user, uint64_t done, uint64_t total);

typedef void (*fne_image_error_fn)(void *user, uint64_t index, fne_status status, const char *message);

#define FNE_SKIPPED_CODE (-128)

typedef struct fne_extract_run {
    uint64_t struct_size;
    fne_progress_fn progress;
    fne_image_error_fn image_error;
    void *user;
    fne_status *statuses;
    uint64_t statuses_capacity;
    int8_t *codes;
    uint64_t codes_capacity;
    const double *mean;
    const double *std;
    uint64_t statistics_size;
    const struct fne_ternarize_options *ternarize_options;
    uint64_t *packed;
    uint64_t packed_capacity;
    uint64_t rows_done;
} fne_extract_run;

FNE_API void fne_extract_run_init(fne_extract_run *run, uint64_t struct_size);

FNE_API fne_status fne_extract_files(const fne_extractor *extractor, const char *const *paths, uint64_t count,
                                     float *features, uint64_t capacity, fne_extract_run *run);

FNE_API fne_status fne_embed_files(const fne_extractor *extractor, const char *const *paths, uint64_t count,
                                   int8_t *codes, uint64_t codes_capacity, double *mean, double *std,
                                   uint64_t statistics_capacity, fne_extract_run *run);

typedef struct fne_encoded_image {
    const uint8_t *bytes;
    uint64_t size;
} fne_encoded_image;

FNE_API fne_status fne_extract_encoded(const fne_extractor *extractor, const fne_encoded_image *images, uint64_t count,
                                       float *features, uint64_t capacity, fne_extract_run *run);

typedef struct fne_pixel_image {
    const uint8_t *pixels;
    uint64_t row_stride;
    uint32_t height;
    uint32_t width;
    int32_t channel_order;
    int32_t reserved;
} fne_pixel_image;

FNE_API fne_status fne_extract_pixels(const fne_extractor *extractor, const fne_pixel_image *images, uint64_t count,
                                      float *features, uint64_t capacity, fne_extract_run *run);

FNE_API fne_status fne_extract_tensor(const fne_extractor *extractor, const float *input, uint64_t input_size,
                                      uint64_t count, float *features, uint64_t capacity, fne_extract_run *run);

FNE_API fne_status fne_extractor_preprocess(const fne_extractor *extractor, const fne_pixel_image *image, float *fed,
                                            uint64_t capacity);

#define FNE_FEW_IMAGES 10

typedef struct fne_statistics fne_statistics;

FNE_API fne_status fne_statistics_open(uint64_t feature_count, fne_statistics **statistics);

FNE_API void fne_statistics_close(fne_statistics *statistics);

FNE_API fne_status fne_statistics_update(fne_statistics *statistics, const float *rows, uint64_t row_count,
                                         uint64_t feature_count);

FNE_API fne_status fne_statistics_merge(fne_statistics *statistics, const fne_statistics *source);

FNE_API fne_status fne_statistics_count(const fne_statistics *statistics, uint64_t *rows, uint64_t *feature_count);

FNE_API fne_status fne_statistics_moments(const fne_statistics *statistics, double *mean, double *std,
                                          uint64_t capacity, uint32_t ddof);

FNE_API fne_status fne_statistics_size(const fne_statistics *statistics, uint64_t *size);

FNE_API fne_status fne_statistics_save(const fne_statistics *statistics, uint8_t *bytes, uint64_t capacity);

FNE_API fne_status fne_statistics_load(const uint8_t *bytes, uint64_t size, fne_statistics **statistics);

FNE_API fne_status fne_standardize(const float *x, uint64_t row_count, uint64_t feature_count, const double *mean,
                                   const double *std, double *z, uint64_t capacity);

#define FNE_RULES_DOCUMENTED 0

#define FNE_RULES_TORCH 1

typedef struct fne_ternarize_options {
    uint64_t struct_size;
    double lower;
    double upper;
    int32_t rules;
    int32_t reserved;
} fne_ternarize_options;

FNE_API void fne_ternarize_options_init(fne_ternarize_options *options, uint64_t struct_size);

FNE_API fne_status fne_ternarize(const float *x, uint64_t row_count, uint64_t feature_count, const double *mean,
                                 const double *std, const fne_ternarize_options *options, int8_t *codes,
                                 uint64_t capacity);

FNE_API fne_status fne_l2_normalize(const float *x, uint64_t row_count, uint64_t feature_count, float *y,
                                    uint64_t capacity);

FNE_API fne_status fne_packed_words(uint64_t feature_count, uint64_t *words);

FNE_API fne_status fne_pack(const int8_t *codes, uint64_t row_count, uint64_t feature_count, uint64_t *packed,
                            uint64_t capacity);

FNE_API fne_status fne_unpack(const uint64_t *packed, uint64_t row_count, uint64_t feature_count, int8_t *codes,
                              uint64_t capacity);

FNE_API fne_status fne_packed_dot(const uint64_t *a, uint64_t a_count, const uint64_t *b, uint64_t b_count,
                                  uint64_t feature_count, uint32_t threads, int32_t *products, uint64_t capacity);

#define FNE_METRIC_DOT 0

#define FNE_METRIC_COSINE 1
#define FNE_METRIC_HAMMING 2

#define FNE_METRIC_CENTRED 3

FNE_API fne_status fne_packed_search(const uint64_t *base, uint64_t base_count, const uint64_t *queries,
                                     uint64_t query_count, uint64_t feature_count, uint64_t k, int32_t metric,
                                     uint32_t threads, uint64_t *indices, double *scores, uint64_t capacity);

FNE_API fne_status fne_packed_mean(const uint64_t *codes, uint64_t row_count, uint64_t feature_count, uint32_t threads,
                                   float *mean, uint64_t capacity);

FNE_API fne_status fne_packed_offsets(const uint64_t *codes, uint64_t row_count, uint64_t feature_count,
                                      const float *mean, uint32_t threads, double *offsets, uint64_t capacity);

FNE_API fne_status fne_packed_dot_centred(const uint64_t *a, uint64_t a_count, const uint64_t *b, uint64_t b_count,
                                          uint64_t feature_count, const float *mean, uint32_t threads, double *products,
                                          uint64_t capacity);

FNE_API fne_status fne_packed_search_centred(const uint64_t *base, uint64_t base_count, const uint64_t *queries,
                                             uint64_t query_count, uint64_t feature_count, uint64_t k,
                                             const float *mean, const double *offsets, uint32_t threads,
                                             uint64_t *indices, double *scores, uint64_t capacity);

FNE_API fne_status fne_packed_save(const char *path, const uint64_t *packed, uint64_t row_count, uint64_t feature_count,
                                   const fne_layer_info *layers, uint64_t layer_count);

typedef struct fne_codes fne_codes;

FNE_API fne_status fne_codes_open(const char *path, fne_codes **codes);

FNE_API void fne_codes_close(fne_codes *codes);

FNE_API fne_status fne_codes_sizes(const fne_codes *codes, uint64_t *row_count, uint64_t *feature_count,
                                   uint64_t *layer_count);

FNE_API fne_status fne_codes_layer_info(const fne_codes *codes, uint64_t index, fne_layer_info *info);

FNE_API fne_status fne_codes_read(const fne_codes *codes, uint64_t first_row, uint64_t row_count, uint64_t *packed,
                                  uint64_t capacity);

typedef struct fne_compact fne_compact;

FNE_API fne_status fne_compact_open_memory(const uint8_t *bytes, uint64_t size, fne_compact **compact);

FNE_API void fne_compact_close(fne_compact *compact);

FNE_API fne_status fne_compact_sizes(const fne_compact *compact, uint64_t *feature_count, uint64_t *dimensions);

FNE_API fne_status fne_compact_transform(const fne_compact *compact, const float *rows, uint64_t row_count,
                                         uint64_t feature_count, uint32_t threads, uint64_t *packed, uint64_t capacity);

typedef struct fne_job fne_job;

#define FNE_CODES_INT8 1
#define FNE_CODES_PACKED 2
#define FNE_CODES_NONE (-1)

#define FNE_UPDATE 1
#define FNE_UPDATE_UNRECORDED 2

typedef int32_t (*fne_listing_fn)(void *user, uint64_t found);

typedef struct fne_job_options {
    uint64_t struct_size;
    const char *source;
    const char *const *paths;
    uint64_t path_count;
    const char *root;
    uint32_t shard_index;
    uint32_t shard_count;
    int32_t drop_features;
    int32_t codes;
    const char *statistics;
    const fne_ternarize_options *ternarize_options;
    int32_t fail_on_bad_image;
    int32_t accept_other_engine;
    uint32_t checkpoint_seconds;
    int32_t retry_failed;
    fne_listing_fn listing;
    void *listing_user;
    int32_t allow_batch_statistics;
    int32_t reserved;
    int32_t update;
    int32_t keep_statistics;
    const char *model_source;
    const char *model_signature;
    const char *const *model_tags;
    uint64_t model_tag_count;
} fne_job_options;

FNE_API void fne_job_options_init(fne_job_options *options, uint64_t struct_size);

FNE_API fne_status fne_job_open(const char *folder, const fne_model *model,
                                const fne_extractor_options *extractor_options, const fne_job_options *options,
                                fne_job **job);

FNE_API fne_status fne_job_open_merge(const char *folder, const char *const *shards, uint64_t shard_count,
                                      const fne_job_options *options, fne_job **job);

FNE_API void fne_job_close(fne_job *job);

#define FNE_PHASE_EMBEDDING 0
#define FNE_PHASE_STATISTICS 1
#define FNE_PHASE_CODES 2
#define FNE_PHASE_FINISHING 3
#define FNE_PHASE_VERIFYING 4

typedef int32_t (*fne_job_progress_fn)(void *user, int32_t phase, uint64_t done, uint64_t total);

typedef void (*fne_job_notice_fn)(void *user, const char *message);

typedef struct fne_job_reports {
    uint64_t struct_size;
    fne_job_progress_fn progress;
    fne_image_error_fn image_error;
    fne_job_notice_fn notice;
    void *user;
} fne_job_reports;

FNE_API void fne_job_reports_init(fne_job_reports *reports, uint64_t struct_size);

FNE_API fne_status fne_job_run(fne_job *job, const fne_job_reports *reports);

FNE_API fne_status fne_job_verify(const fne_job *job, const fne_job_reports *reports);

FNE_API fne_status fne_job_verify_file(const fne_job *job, const char *file, uint64_t first_byte, uint64_t byte_count);

#define FNE_JOB_RUNNING 0
#define FNE_JOB_FEATURES 1
#define FNE_JOB_FINISHED 2

typedef struct fne_progress_info {
    uint64_t struct_size;
    int32_t state;
    uint32_t rows_per_image;
    uint64_t image_count;
    uint64_t first_image;
    uint64_t total_images;
    uint64_t images_done;
    uint64_t failed_images;
    uint64_t feature_count;
    uint64_t layer_count;
} fne_progress_info;

FNE_API void fne_progress_info_init(fne_progress_info *info, uint64_t struct_size);

FNE_API fne_status fne_job_progress_info(const fne_job *job, fne_progress_info *info);

#define FNE_LEFT_OUT_HIDDEN 0
#define FNE_LEFT_OUT_NO_IMAGE 1
#define FNE_LEFT_OUT_RAW 2
#define FNE_LEFT_OUT_UNREADABLE_FILE 3
#define FNE_LEFT_OUT_UNREADABLE_FOLDER 4
#define FNE_LEFT_OUT_SPECIAL 5
#define FNE_LEFT_OUT_BROKEN_LINK 6

typedef struct fne_intake_info {
    uint64_t struct_size;
    uint64_t taken[16];
    uint64_t left_out[16];
    uint64_t taken_count;
    uint64_t left_out_count;
    uint64_t new_count;
    uint64_t changed_count;
    uint64_t retried_count;
    uint64_t removed_count;
    uint64_t kept_count;
} fne_intake_info;

FNE_API void fne_intake_info_init(fne_intake_info *info, uint64_t struct_size);

FNE_API fne_status fne_job_intake_info(const fne_job *job, fne_intake_info *info);

typedef struct fne_listing fne_listing;

FNE_API fne_status fne_listing_open(const char *folder, int32_t fail_on_unreadable, fne_listing_fn progress, void *user,
                                    fne_listing **listing);

FNE_API void fne_listing_close(fne_listing *listing);

FNE_API fne_status fne_listing_count(const fne_listing *listing, uint64_t *count);

FNE_API fne_status fne_listing_name(const fne_listing *listing, uint64_t index, const char **name);

FNE_API fne_status fne_listing_intake_info(const fne_listing *listing, fne_intake_info *info);

FNE_API fne_status fne_job_layer_info(const fne_job *job, uint64_t index, fne_layer_info *info);

FNE_API fne_status fne_job_statistics(const fne_job *job, fne_statistics **statistics);

FNE_API fne_status fne_job_image_name(const fne_job *job, uint64_t image, const char **name);

FNE_API fne_status fne_job_image_reason(const fne_job *job, uint64_t image, const char **reason);

FNE_API fne_status fne_job_statuses(const fne_job *job, uint64_t first_image, uint64_t image_count, int32_t *statuses,
                                    uint64_t capacity);

FNE_API fne_status fne_job_features(const fne_job *job, uint64_t first_row, uint64_t row_count, float *features,
                                    uint64_t capacity);

FNE_API fne_status fne_job_codes(const fne_job *job, uint64_t first_row, uint64_t row_count, int8_t *codes,
                                 uint64_t capacity);

FNE_API fne_status fne_job_packed_codes(const fne_job *job, uint64_t first_row, uint64_t row_count, uint64_t *packed,
                                        uint64_t capacity);

FNE_API fne_status fne_job_extractor(const fne_job *job, const fne_model *model, const fne_extractor_options *options,
                                     fne_extractor **extractor);

#ifdef __cplusplus
}
#endif

#endif

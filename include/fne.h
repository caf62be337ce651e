/*
 * fne.h - the C interface of libfne, the Full-Network Embedding of images.
 *
 * Copyright (C) 2026 the libfne authors. Licence: GPL-3.0-or-later, see LICENSE.
 *
 * The Full-Network Embedding (Garcia-Gasulla et al., "An out-of-the-box full-network embedding for convolutional
 * neural networks", ICBK 2018, arXiv:1705.07706) runs an image through a pre-trained network, takes the activations of
 * its convolutional and dense layers, averages the convolutional ones over space, standardizes each feature over a data
 * set, and discretizes it to -1, 0 or 1.
 *
 *     files or pixels --> fne_extract_*  --> float32 [n, F] --> fne_statistics_* (mean, std)
 *                                                           --> fne_ternarize    (int8 [n, F])
 *     a folder or a list of files --> fne_job_run --> all of these in a folder, restartable
 *
 * CONVENTIONS, for every function unless its own comment says otherwise
 *
 * Status     A function that can fail returns an fne_status: FNE_OK is 0, everything else is an error, and the numbers
 *            never change their meaning. fne_last_error() then holds a sentence that names the file, the tensor or the
 *            argument, and the way out. A failed call leaves its out-parameters as they were.
 * Objects    Library objects are made by an *_open function and freed by the *_close of the same name. Closing NULL
 *            does nothing. Objects that depend on each other may be closed in any order.
 * Memory     Every array belongs to the caller, who passes its capacity, counted in elements. The library keeps no
 *            pointer into a caller's memory after it returns. Matrices are dense and row-major.
 * Structs    A struct that begins with struct_size is filled by its *_init function, which is told sizeof the struct.
 *            Such structs only grow, at their end, so a program compiled against an older header keeps working. Members
 *            named reserved are 0. Where a size, a count or a limit is 0, its default is taken.
 * Strings    UTF-8, ended by a zero byte. Paths of images and models are taken as the bytes that the system has for
 *            them, also where these are not UTF-8. A string that the library returns says how long it lives.
 * Threads    Functions may be called from any thread. A model or an extractor may be used by several threads at once;
 *            a statistics object by one thread at a time. fne_last_error() belongs to its thread.
 * Fork       In a child that was forked after an extractor was opened, calls on that extractor return FNE_FORKED;
 *            images, statistics and codes work there, and so does the engine if the child is the first to load it.
 * Since      Every function exists since 2.0.0 unless its comment says otherwise.
 */
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

/* ------------------------------------------------------------------------------------------------------- status */

typedef int32_t fne_status;

#define FNE_OK 0
#define FNE_INVALID_ARGUMENT 1     /* a NULL pointer, a zero size, an option out of its range */
#define FNE_BUFFER_TOO_SMALL 2     /* a capacity is smaller than the result; the message says what is needed */
#define FNE_OUT_OF_MEMORY 3
#define FNE_FILE_ERROR 4           /* a file is missing, is a folder, is empty, or cannot be read */
#define FNE_UNSUPPORTED_IMAGE 5    /* neither JPEG nor PNG, or a kind of these that the codecs do not read */
#define FNE_DAMAGED_IMAGE 6        /* truncated or corrupt image data */
#define FNE_IMAGE_LIMIT 7          /* an image beyond the size limits; refused before its memory is taken */
#define FNE_INVALID_GRAPH 8        /* not a TensorFlow GraphDef, or a damaged one */
#define FNE_UNSAFE_GRAPH 9         /* the graph holds an operation that is not on the list of allowed ones */
#define FNE_UNKNOWN_TENSOR 10      /* no such tensor; the message lists the nearest names */
#define FNE_UNSUPPORTED_TENSOR 11  /* a tensor of a rank, type or layout that cannot be embedded */
#define FNE_BACKEND_UNAVAILABLE 12 /* TensorFlow's library was not found; the message lists the paths tried */
#define FNE_BACKEND_CONFLICT 13    /* another copy of TensorFlow is in this process already */
#define FNE_BACKEND_ERROR 14       /* TensorFlow refused or failed; its own words are in the message */
#define FNE_NOT_FINITE 15          /* NaN or infinity where a finite number is needed; names row and feature */
#define FNE_CANCELLED 16           /* a progress function asked to stop */
#define FNE_FORKED 17              /* an extractor that was opened before fork() was used in the child */
#define FNE_SHAPE_MISMATCH 18      /* two objects or arrays of different feature counts */
#define FNE_INVALID_DATA 19        /* saved bytes that are damaged or of an unknown version */
#define FNE_INTERNAL_ERROR 20      /* a defect of libfne; please report it */
#define FNE_JOB_MISMATCH 21        /* a job's folder holds a job of another model, other options or other images */
#define FNE_JOB_BUSY 22            /* another process runs the job in this folder */

/* ------------------------------------------------------------------------------------------------------ library */

/* The release as a number, major * 10000 + minor * 100 + patch: 20000 is 2.0.0. */
FNE_API uint32_t fne_version_number(void);

/* The release as a string, such as "2.0.0". Lives as long as the process. */
FNE_API const char *fne_version_string(void);

/* The number of the binary interface, equal to the number in the library's SONAME (libfne.so.2). */
FNE_API uint32_t fne_abi_version(void);

/* One line on how the library was built: version, compiler, image codecs. Lives as long as the process. */
FNE_API const char *fne_build_info(void);

/* The name of a status, such as "FNE_FILE_ERROR"; "unknown status" for other numbers. Lives as long as the process. */
FNE_API const char *fne_status_name(fne_status status);

/* What went wrong in the calling thread's last failed call; "" when none has failed. Lives until the thread's next
 * failed call. */
FNE_API const char *fne_last_error(void);

#define FNE_LOG_INFO 0
#define FNE_LOG_WARNING 1
#define FNE_LOG_ERROR 2

/* Receives one message without a line end. It may be called from any thread, also from the library's own ones, and must
 * not call the library. The message lives during the call. */
typedef void (*fne_log_fn)(void *user, int32_t level, const char *message);

/* Sets the function that receives the library's log, for the whole process; NULL (the state at start) drops it: what
 * the codecs remark about pictures that are taken all the same, which TensorFlow was loaded, and what TensorFlow logs
 * while it is loaded. Returns after no thread is in the function that was set before.
 * TensorFlow writes its log to the standard error and has no function that hands it over. libfne holds the standard error
 * of the process back during the load, and keeps TensorFlow quiet afterwards (it sets TF_CPP_MIN_LOG_LEVEL=3, unless the
 * variable has a value already); TensorFlow's errors arrive through fne_last_error(). */
FNE_API void fne_set_log_callback(fne_log_fn callback, void *user);

/* ------------------------------------------------------------------------------------------------------ backend */

/* Loads TensorFlow's C library, once for the process; further calls with the same copy do nothing.
 *
 * path   A library file (libtensorflow.so.2, or libtensorflow_cc.so.2 of the Python wheel), or a folder that holds one.
 *        NULL searches, in this order: the file or folder in the environment variable FNE_TENSORFLOW, a copy that is in
 *        the process already, the system's library path.
 *
 * Loading sets two environment variables that TensorFlow reads then, unless they have a value: TF_CPP_MIN_LOG_LEVEL=3,
 * and on x86-64 TF_ENABLE_ONEDNN_OPTS=1. setenv is not safe beside threads that read the environment: load early.
 *
 * Errors: FNE_BACKEND_UNAVAILABLE with the list of paths tried; FNE_BACKEND_CONFLICT when path names another copy than
 * the loaded one (two copies in a process break each other). fne_extractor_open loads by itself as path NULL does. */
FNE_API fne_status fne_backend_load(const char *path);

/* What is loaded: both strings are "" while no TensorFlow is loaded, and live as long as the process.
 * version   e.g. "2.21.0"; may be NULL.
 * path      the file; may be NULL. */
FNE_API fne_status fne_backend_info(const char **version, const char **path);

/* ------------------------------------------------------------------------------------------------------- images */

#define FNE_FORMAT_JPEG 1
#define FNE_FORMAT_PNG 2

/* What is refused before its memory is taken (FNE_IMAGE_LIMIT), and what is done with damage. */
typedef struct fne_image_options {
    uint64_t struct_size;
    uint64_t max_bytes;          /* of an encoded image; default 2^30 */
    uint64_t max_pixels;         /* height times width, also when it is resized with its aspect; default 2^28 */
    uint64_t max_chunk_bytes;    /* of a PNG chunk; default 2^26. Image data are read in pieces, and text and colour profiles
                                    skipped without being decompressed: these are not limited. */
    uint32_t max_scans;          /* of a progressive JPEG, each of which costs a pass over the picture; default 100 */
    int32_t tolerate_truncation; /* 1: take what can be had of a truncated or damaged image; the log tells, and is_partial.
                                    What is missing is grey or black. 0 (default): such an image is FNE_DAMAGED_IMAGE. */
} fne_image_options;

/* Fills *options with the defaults and struct_size, the caller's sizeof. */
FNE_API void fne_image_options_init(fne_image_options *options, uint64_t struct_size);

typedef struct fne_image_info {
    uint64_t struct_size;
    uint32_t height;      /* pixels, after the orientation was applied */
    uint32_t width;       /* pixels, after the orientation was applied */
    int32_t format;       /* FNE_FORMAT_* */
    int32_t orientation;  /* EXIF, 1 to 8; 1 where the file has none or a broken one */
    int32_t is_partial;   /* of a decoded image: 1 when damage was met that tolerate_truncation let pass */
    int32_t reserved;
} fne_image_info;

/* Fills *info with zeros and struct_size, the caller's sizeof. */
FNE_API void fne_image_info_init(fne_image_info *info, uint64_t struct_size);

/* Reads an image's header.
 *
 * options  may be NULL: the defaults
 * info     its struct_size must be set
 *
 * Errors: FNE_FILE_ERROR, FNE_UNSUPPORTED_IMAGE, FNE_DAMAGED_IMAGE, FNE_IMAGE_LIMIT. */
FNE_API fne_status fne_image_probe(const char *path, const fne_image_options *options, fne_image_info *info);

/* The same of an encoded image in memory, size in bytes. */
FNE_API fne_status fne_image_probe_memory(const uint8_t *bytes, uint64_t size, const fne_image_options *options,
                                          fne_image_info *info);

/* Decodes a JPEG or PNG to RGB, uint8 [height, width, 3], oriented as its EXIF data ask: the pixels that OpenCV's
 * imread(IMREAD_COLOR) gives, in RGB order. Alpha is dropped, 16 bits a sample are cut to 8, gamma is ignored.
 *
 * options   may be NULL: the defaults
 * rgb       receives the pixels
 * capacity  of rgb in bytes; height * width * 3 as fne_image_probe tells are needed
 * info      may be NULL; else its struct_size must be set
 *
 * Errors: as fne_image_probe, and FNE_BUFFER_TOO_SMALL. After an error the pixels are not to be used. */
FNE_API fne_status fne_image_decode(const char *path, const fne_image_options *options, uint8_t *rgb, uint64_t capacity,
                                    fne_image_info *info);

/* The same of an encoded image in memory, size in bytes. */
FNE_API fne_status fne_image_decode_memory(const uint8_t *bytes, uint64_t size, const fne_image_options *options,
                                           uint8_t *rgb, uint64_t capacity, fne_image_info *info);

/* The sampling positions and the fixed-point rounding of OpenCV's resize(INTER_LINEAR), which takes the mean of 2x2
 * pixels for an exact halving. Strong shrinking leaves most pixels out. */
#define FNE_INTERPOLATION_BILINEAR 0
/* Those of Pillow's resize(BILINEAR): where it shrinks, a weighted mean of all the pixels that a new one covers. */
#define FNE_INTERPOLATION_ANTIALIASED 1

/* Resizes uint8 [height, width, 3] to [new_height, new_width, 3].
 * interpolation is FNE_INTERPOLATION_*, capacity is that of resized, in bytes. */
FNE_API fne_status fne_image_resize(const uint8_t *rgb, uint32_t height, uint32_t width, int32_t interpolation,
                                    uint8_t *resized, uint32_t new_height, uint32_t new_width, uint64_t capacity);

/* -------------------------------------------------------------------------------------------------------- model */

/* A frozen TensorFlow GraphDef: its bytes, and a table of its tensors. Needs no TensorFlow. */
typedef struct fne_model fne_model;

typedef struct fne_model_options {
    uint64_t struct_size;
    int32_t allow_unsafe; /* 1: take operations that are not on the list of allowed ones. A graph is a program: with
                             this it may read and write files. 0 (default): refuse such a graph. */
    int32_t reserved;     /* 0 */
} fne_model_options;

/* Fills *options with the defaults and struct_size, the caller's sizeof. */
FNE_API void fne_model_options_init(fne_model_options *options, uint64_t struct_size);

/* Reads and checks a GraphDef file.
 * options  may be NULL: the defaults.
 * model    receives the model; fne_model_close frees it.
 * Errors: FNE_FILE_ERROR, FNE_INVALID_GRAPH, FNE_UNSAFE_GRAPH (naming node and operation). */
FNE_API fne_status fne_model_open(const char *path, const fne_model_options *options, fne_model **model);

/* The same of a serialized GraphDef in memory, size in bytes; the bytes are copied. */
FNE_API fne_status fne_model_open_memory(const uint8_t *bytes, uint64_t size, const fne_model_options *options,
                                         fne_model **model);

FNE_API void fne_model_close(fne_model *model);

#define FNE_KIND_OTHER 0
#define FNE_KIND_CONVOLUTION 1
#define FNE_KIND_DEPTHWISE 2
#define FNE_KIND_DENSE 3
#define FNE_KIND_INPUT 4

typedef struct fne_tensor_info {
    uint64_t struct_size;
    const char *name;      /* without "import/" and without ":0"; lives until the model is closed */
    const char *operation; /* TensorFlow's operation, such as "Conv2D"; lives as long */
    int32_t kind;          /* FNE_KIND_*: of the layer that this tensor is the output of, else of the operation */
    int32_t rank;          /* number of dimensions; -1 where the graph does not say it outright */
    int64_t channels;      /* last dimension; -1 where the graph does not say it outright */
    int32_t is_default;    /* 1: taken when no layer is selected */
    int32_t is_classifier; /* 1: output of a classifier's last layer; left out unless it is named */
    int32_t is_classifier_input; /* 1: what such a layer reads, in front of changes of shape: often the pooled last map */
    int32_t reserved;            /* 0 */
} fne_tensor_info;

/* Fills *info with zeros and struct_size, the caller's sizeof. */
FNE_API void fne_tensor_info_init(fne_tensor_info *info, uint64_t struct_size);

/* How many tensors the table holds: the first output of every node that is no constant, in graph order. */
FNE_API fne_status fne_model_tensor_count(const fne_model *model, uint64_t *count);

/* Describes tensor index, 0 <= index < count. info->struct_size must be set.
 * A layer's output is the tensor after its bias, normalization and activation. Default layers are the convolutions,
 * depthwise convolutions and dense layers, less the classifier's last layer; they are found from the graph's structure,
 * never from names. */
FNE_API fne_status fne_model_tensor_info(const fne_model *model, uint64_t index, fne_tensor_info *info);

/* ---------------------------------------------------------------------------------------------------- extractor */

/* A model prepared for a fixed input size and a list of layers: it turns images into pooled float32 features. */
typedef struct fne_extractor fne_extractor;

#define FNE_CHANNELS_RGB 0
#define FNE_CHANNELS_BGR 1

#define FNE_RESIZE_STRETCH 0       /* to the size asked for, whatever the image's aspect: as the original function */
#define FNE_RESIZE_SHORTEST_SIDE 1 /* with its aspect, to the smallest image that covers the size asked for */

#define FNE_ON_ERROR_FAIL 0 /* the first bad image ends the call with its error */
#define FNE_ON_ERROR_SKIP 1 /* a bad image's row is filled with NaN, its status is recorded, the call goes on */

/* What the network computes with. */
#define FNE_PRECISION_FLOAT32 0
/* Convolutions and dense layers multiply bfloat16 and sum float32: 1.5 to 2 times as fast on processors with AVX-512 BF16 or
 * AMX, and 98.6 to 99.8 % of the ternary values are float32's (docs/numerics.md). FNE_INVALID_ARGUMENT without AVX-512. */
#define FNE_PRECISION_BFLOAT16 1

typedef struct fne_extractor_options {
    uint64_t struct_size;
    const char *input_tensor;   /* NULL: the graph's only placeholder. With or without "import/" and ":0". */
    const char *const *layers;  /* selectors: a tensor's name; a glob over the default layers' and the classifier's
                                   names (* any run, ? one character, [abc]); "all" (the default layers and the
                                   classifier's); "last:25%" (the last ceil(0.25 L) of the L default layers). The rows
                                   hold the layers in this order; a glob, "all" and "last" in graph order. */
    uint64_t layer_count;       /* 0: all default layers */
    uint32_t height;            /* input pixels; 0: as the graph's placeholder says */
    uint32_t width;
    int32_t channel_order;      /* FNE_CHANNELS_*: what the network is fed with */
    float mean[3];              /* value fed = (pixel - mean) * scale, in float32; for each channel in the order fed; */
    float scale[3];             /* pixels are 0 to 255. Defaults: mean 0, scale 1. A scale of 0 is an error. */
    uint32_t batch_size;        /* rows a run of the network; 0: as the graph's placeholder says, else 4, and fewer where a
                                   call has too few images to keep all streams busy */
    uint32_t loader_threads;    /* threads that read, decode and resize; 0: one a processor, at most 16 */
    uint32_t engine_threads;    /* threads that TensorFlow spreads one operation over; 0: 1. The first extractor of a
                                   process decides. */
    int32_t on_error;           /* FNE_ON_ERROR_* */
    int32_t resize_mode;        /* FNE_RESIZE_* */
    int32_t interpolation;      /* FNE_INTERPOLATION_* */
    uint32_t crops;             /* parts of each image that are embedded, each a row of its own: 0 or 1, the centre; 10, the
                                   four corners, the centre, and these five of the mirrored image (TenCrop order) */
    uint32_t resize_height;     /* what images are resized to before they are cropped to height and width; 0: height and */
    uint32_t resize_width;      /* width, with ten crops 8/7 of them (256 for 224). No smaller than height and width. */
    uint32_t streams;           /* batches that are in the network at once, each on a thread of its own; 0: one a
                                   processor, or the processors divided by engine_threads, at most 64 */
    const fne_image_options *image_options; /* NULL: the defaults */
    int32_t precision;          /* FNE_PRECISION_* */
    int32_t float32_layers;     /* with bfloat16, how many layers, from the first on, stay float32; -1: 2 */
    const char *device;         /* "cpu", "gpu" or "gpu:1"; NULL: TensorFlow's first GPU, if it has one, else the CPU. The
                                   defaults on a GPU: batch_size 32, streams 2. */
    int32_t gpu_memory_growth;  /* 1: take the GPU's memory as it is needed, instead of nearly all of it at once. The first
                                   session of a process decides. */
    int32_t pad_batches;        /* 1: fill a batch with too few images up with zeros, so that the network always sees
                                   batch_size rows: a row's bits then do not depend on how many images a call has */
} fne_extractor_options;

/* Fills *options with the defaults and struct_size, the caller's sizeof. */
FNE_API void fne_extractor_options_init(fne_extractor_options *options, uint64_t struct_size);

/* Imports the model's graph into TensorFlow and adds the pooling and the concatenation to it: one run for a batch gives
 * one float32 [n, F] matrix. A tensor [n, H, W, C] is averaged over H and W, a tensor [n, C] is taken as it is.
 * What options points to is copied. The model may be closed afterwards.
 * Errors: FNE_UNKNOWN_TENSOR (lists the nearest names), FNE_UNSUPPORTED_TENSOR, FNE_BACKEND_UNAVAILABLE,
 * FNE_BACKEND_ERROR, FNE_INVALID_ARGUMENT. */
FNE_API fne_status fne_extractor_open(const fne_model *model, const fne_extractor_options *options,
                                      fne_extractor **extractor);

FNE_API void fne_extractor_close(fne_extractor *extractor);

/* F, the number of features of a row. */
FNE_API fne_status fne_extractor_feature_count(const fne_extractor *extractor, uint64_t *count);

/* The number of layers of a row. */
FNE_API fne_status fne_extractor_layer_count(const fne_extractor *extractor, uint64_t *count);

typedef struct fne_layer_info {
    uint64_t struct_size;
    const char *name;       /* tensor; lives until the extractor is closed */
    int32_t kind;           /* FNE_KIND_* */
    int32_t rank;           /* 4: averaged over height and width; 2: taken as it is */
    uint64_t first_feature; /* the layer's columns are first_feature to first_feature + feature_count - 1 */
    uint64_t feature_count;
} fne_layer_info;

/* Fills *info with zeros and struct_size, the caller's sizeof. */
FNE_API void fne_layer_info_init(fne_layer_info *info, uint64_t struct_size);

/* Describes layer index, 0 <= index < count, in the order of the row's columns. info->struct_size must be set. */
FNE_API fne_status fne_extractor_layer_info(const fne_extractor *extractor, uint64_t index, fne_layer_info *info);

typedef struct fne_input_info {
    uint64_t struct_size;
    const char *name;      /* tensor; lives until the extractor is closed */
    uint32_t height;       /* pixels that images are resized to */
    uint32_t width;
    uint32_t batch_size;
    uint32_t rows_per_image; /* 1, or 10 with ten crops */
    uint32_t streams;        /* batches that are in the network at once */
    uint32_t reserved;       /* 0 */
} fne_input_info;

/* Fills *info with zeros and struct_size, the caller's sizeof. */
FNE_API void fne_input_info_init(fne_input_info *info, uint64_t struct_size);

/* What the extractor feeds. info->struct_size must be set. */
FNE_API fne_status fne_extractor_input_info(const fne_extractor *extractor, fne_input_info *info);

/* Called between batches on the calling thread; another value than 0 cancels the call (FNE_CANCELLED). */
typedef int32_t (*fne_progress_fn)(void *user, uint64_t done, uint64_t total);

/* Called on the calling thread for each image that is skipped (FNE_ON_ERROR_SKIP), in their order. The message lives during the call. */
typedef void (*fne_image_error_fn)(void *user, uint64_t index, fne_status status, const char *message);

/* What the rows of a skipped image hold in fne_extract_run.codes. */
#define FNE_SKIPPED_CODE (-128)

typedef struct fne_extract_run {
    uint64_t struct_size;
    fne_progress_fn progress;       /* may be NULL */
    fne_image_error_fn image_error; /* may be NULL */
    void *user;                     /* handed to both */
    fne_status *statuses;           /* receives one status an image: the error of a skipped one or of the one that
                                       ended the call, else FNE_OK; may be NULL */
    uint64_t statuses_capacity;     /* of statuses, in elements */
    int8_t *codes;                  /* receives int8 of features' shape: each row as fne_ternarize makes it of mean and std,
                                       FNE_SKIPPED_CODE in a skipped image's rows. features may then be NULL, and no
                                       float row is kept. NULL: no codes. */
    uint64_t codes_capacity;        /* of codes, in elements */
    const double *mean;             /* float64 [statistics_size], as fne_ternarize takes them; needed for codes */
    const double *std;
    uint64_t statistics_size;       /* must be F */
    const struct fne_ternarize_options *ternarize_options; /* NULL: the defaults */
    uint64_t *packed;               /* receives the codes packed, as fne_pack makes them, 0 in a skipped image's rows; needs mean and
                                       std. codes may then be NULL: no int8 matrix is kept. NULL: none. */
    uint64_t packed_capacity;       /* of packed, in elements */
    uint64_t rows_done;             /* out: the first rows_done rows are final, also when the call fails; the rows of
                                       rows_done / rows_per_image images */
} fne_extract_run;

/* Fills *run with zeros and struct_size, the caller's sizeof. */
FNE_API void fne_extract_run_init(fne_extract_run *run, uint64_t struct_size);

/* Embeds image files: row i of features, float32 [count, F], becomes the pooled activations of image i. With ten crops,
 * features is [count * 10, F] and rows 10 i to 10 i + 9 are image i's.
 * Images are decoded as fne_image_decode does, resized as fne_image_resize does, cropped, and turned into float32 as the
 * options say. Loader threads work while the network runs. However many images there are, the library's own memory is
 * that of streams + 2 batches.
 *
 * paths     count strings; count is at least 1
 * features  may be NULL where run->codes is not; a caller's memory of any kind, also a mapped file
 * capacity  of features in elements; count * rows_per_image * F are needed
 * run       may be NULL
 *
 * Errors: those of fne_image_decode (the message names the image, unless on_error is FNE_ON_ERROR_SKIP),
 * FNE_NOT_FINITE (names image, layer and feature), FNE_CANCELLED, FNE_BACKEND_ERROR, FNE_FORKED. */
FNE_API fne_status fne_extract_files(const fne_extractor *extractor, const char *const *paths, uint64_t count,
                                     float *features, uint64_t capacity, fne_extract_run *run);

/* Embeds image files and computes their own statistics: codes, int8 [count * rows_per_image, F], by the mean and the standard
 * deviation over the images' rows. The float32 rows wait in memory until all images are read; for sets that are larger than
 * memory see fne_job_open.
 *
 * codes, codes_capacity  receives the codes; FNE_SKIPPED_CODE in a skipped image's rows
 * mean, std              receive float64 [F]; statistics_capacity is that of each, in elements
 * run                    may be NULL; of its members progress, image_error, user, statuses and ternarize_options are taken,
 *                        codes, mean and std must be NULL
 *
 * Errors: as fne_extract_files. With FNE_ON_ERROR_SKIP the first image's error where no image is good. */
FNE_API fne_status fne_embed_files(const fne_extractor *extractor, const char *const *paths, uint64_t count, int8_t *codes,
                                   uint64_t codes_capacity, double *mean, double *std, uint64_t statistics_capacity,
                                   fne_extract_run *run);

/* An encoded image in memory. This struct never changes. */
typedef struct fne_encoded_image {
    const uint8_t *bytes;
    uint64_t size; /* bytes */
} fne_encoded_image;

/* As fne_extract_files, of JPEG or PNG data in memory. */
FNE_API fne_status fne_extract_encoded(const fne_extractor *extractor, const fne_encoded_image *images, uint64_t count,
                                       float *features, uint64_t capacity, fne_extract_run *run);

/* Decoded pixels in memory, uint8 [height, width, 3]. This struct never changes. */
typedef struct fne_pixel_image {
    const uint8_t *pixels;
    uint64_t row_stride;   /* bytes from a row to the next, at least width * 3; 0: width * 3 */
    uint32_t height;
    uint32_t width;
    int32_t channel_order; /* FNE_CHANNELS_* of these pixels */
    int32_t reserved;      /* 0 */
} fne_pixel_image;

/* As fne_extract_files, of decoded pixels. */
FNE_API fne_status fne_extract_pixels(const fne_extractor *extractor, const fne_pixel_image *images, uint64_t count,
                                      float *features, uint64_t capacity, fne_extract_run *run);

/* As fne_extract_files, of float32 [count, height, width, 3] that is fed to the network as it is (height and width are
 * the extractor's; crops, channel order, mean and scale of the options are not applied): one row for each of count.
 * input_size is in elements. */
FNE_API fne_status fne_extract_tensor(const fne_extractor *extractor, const float *input, uint64_t input_size,
                                      uint64_t count, float *features, uint64_t capacity, fne_extract_run *run);

/* What the network would be fed with for an image: float32 [rows_per_image, height, width, 3], resized, cropped and turned
 * into numbers as the options say. fne_extract_tensor takes it. capacity is that of fed, in elements.
 * Errors: FNE_IMAGE_LIMIT, FNE_BUFFER_TOO_SMALL, FNE_INVALID_ARGUMENT. */
FNE_API fne_status fne_extractor_preprocess(const fne_extractor *extractor, const fne_pixel_image *image, float *fed,
                                            uint64_t capacity);

/* --------------------------------------------------------------------------------------------------- statistics */

/* The count, the sum and the sum of squares of each of F features, kept without rounding: mean and standard deviation
 * are the same bits whatever the order of the rows, the batches, the merges and the machine. */
typedef struct fne_statistics fne_statistics;

/* feature_count is F, 1 to 2^31 - 1. fne_statistics_close frees the object. */
FNE_API fne_status fne_statistics_open(uint64_t feature_count, fne_statistics **statistics);

FNE_API void fne_statistics_close(fne_statistics *statistics);

/* Adds row_count rows, float32 [row_count, feature_count]. feature_count must be the object's F.
 * Errors: FNE_SHAPE_MISMATCH, FNE_NOT_FINITE (names row and feature); no row of the call is added then. */
FNE_API fne_status fne_statistics_update(fne_statistics *statistics, const float *rows, uint64_t row_count,
                                         uint64_t feature_count);

/* Adds what source has seen to statistics; source stays as it is. Errors: FNE_SHAPE_MISMATCH. */
FNE_API fne_status fne_statistics_merge(fne_statistics *statistics, const fne_statistics *source);

/* The number of rows seen, and F. Either pointer may be NULL. */
FNE_API fne_status fne_statistics_count(const fne_statistics *statistics, uint64_t *rows, uint64_t *feature_count);

/* Mean and standard deviation of each feature, float64 [F], each rounded once from the exact value.
 * mean, std   either may be NULL
 * capacity    of each, in elements
 * ddof        delta degrees of freedom: the variance is the sum of squared deviations over (rows - ddof); 0 is the
 *             population's, 1 the sample's
 * Errors: FNE_INVALID_ARGUMENT when rows <= ddof. A constant feature has exactly 0. */
FNE_API fne_status fne_statistics_get(const fne_statistics *statistics, double *mean, double *std, uint64_t capacity,
                                      uint32_t ddof);

/* The number of bytes that fne_statistics_save writes. */
FNE_API fne_status fne_statistics_size(const fne_statistics *statistics, uint64_t *size);

/* Writes the object to bytes, in the versioned format of docs/numerics.md; equal states give equal bytes. */
FNE_API fne_status fne_statistics_save(const fne_statistics *statistics, uint8_t *bytes, uint64_t capacity);

/* Reads what fne_statistics_save wrote. Errors: FNE_INVALID_DATA. */
FNE_API fne_status fne_statistics_load(const uint8_t *bytes, uint64_t size, fne_statistics **statistics);

/* ---------------------------------------------------------------------------------------------------- embedding */

/* Standardizes: z = (x - mean) / std, computed in float64; 0 where std is 0.
 * x         float32 [row_count, feature_count]
 * mean, std float64 [feature_count], finite; std at least 0
 * z         receives float64 [row_count, feature_count]; capacity in elements
 * Errors: FNE_NOT_FINITE (names row and feature) for a NaN in x. */
FNE_API fne_status fne_standardize(const float *x, uint64_t row_count, uint64_t feature_count, const double *mean,
                                   const double *std, double *z, uint64_t capacity);

/* z > upper is 1, z < lower is -1, else 0, with z as in fne_standardize. The documented function's rules. */
#define FNE_RULES_DOCUMENTED 0
/* The rules of the fne 1.x package (PyTorch): z = (x - mean) / std in float32, also where std is 0; z > upper or NaN
 * is 1, z <= lower is -1, else 0, thresholds rounded to float32. */
#define FNE_RULES_TORCH 1

typedef struct fne_ternarize_options {
    uint64_t struct_size;
    double lower;  /* default -0.25 */
    double upper;  /* default 0.15; at least lower */
    int32_t rules; /* FNE_RULES_* */
    int32_t reserved;
} fne_ternarize_options;

/* Fills *options with the defaults and struct_size, the caller's sizeof. */
FNE_API void fne_ternarize_options_init(fne_ternarize_options *options, uint64_t struct_size);

/* Standardizes and discretizes to -1, 0, 1.
 * options  may be NULL: the defaults
 * codes    receives int8 [row_count, feature_count], unspecified after an error; capacity in elements
 * Errors: as fne_standardize. */
FNE_API fne_status fne_ternarize(const float *x, uint64_t row_count, uint64_t feature_count, const double *mean,
                                 const double *std, const fne_ternarize_options *options, int8_t *codes,
                                 uint64_t capacity);

/* Divides each row by its Euclidean (L2) norm, computed in float64: y = x / max(norm, 1e-12), as the fne 1.x package's L2Norm.
 * x         float32 [row_count, feature_count]
 * y         receives float32 [row_count, feature_count], may be x; capacity in elements
 * Errors: FNE_NOT_FINITE (names row and feature) for NaN or infinity in x. */
FNE_API fne_status fne_l2_normalize(const float *x, uint64_t row_count, uint64_t feature_count, float *y, uint64_t capacity);

/* -------------------------------------------------------------------------------------------------------- codes */

/* Ternary codes as two bits a feature: uint64 [rows, 2, W], W = (F + 63) / 64. Bit f % 64 of word f / 64 of the first plane says
 * that code f is not 0, of the second that it is -1; the bits behind the last feature are 0. docs/codes.md. */

/* The words of a row: 2 W. */
FNE_API fne_status fne_packed_words(uint64_t feature_count, uint64_t *words);

/* Packs int8 [row_count, feature_count] of -1, 0 and 1; FNE_SKIPPED_CODE becomes 0.
 * packed  receives row_count * 2 W words; capacity in elements
 * Errors: FNE_INVALID_ARGUMENT for another value, naming row and feature. */
FNE_API fne_status fne_pack(const int8_t *codes, uint64_t row_count, uint64_t feature_count, uint64_t *packed,
                            uint64_t capacity);

/* Unpacks to int8 [row_count, feature_count]; capacity in elements. */
FNE_API fne_status fne_unpack(const uint64_t *packed, uint64_t row_count, uint64_t feature_count, int8_t *codes,
                              uint64_t capacity);

/* The dot products of all rows of a with all rows of b: a block of the Gram matrix, int32 [a_count, b_count].
 * threads   0: one a processor
 * capacity  of products, in elements */
FNE_API fne_status fne_packed_dot(const uint64_t *a, uint64_t a_count, const uint64_t *b, uint64_t b_count,
                                  uint64_t feature_count, uint32_t threads, int32_t *products, uint64_t capacity);

#define FNE_METRIC_DOT 0     /* the largest first */
#define FNE_METRIC_COSINE 1  /* dot over the root of the numbers of features that are not 0; 0 where there are none. Largest first */
#define FNE_METRIC_HAMMING 2 /* the number of features that differ, the smallest first */

/* The k best rows of a base for each query, best first, of equal ones the first of the base first: the same whatever the number of
 * threads. The base is read once for all queries.
 * metric           FNE_METRIC_*
 * threads          0: one a processor
 * indices, scores  receive [query_count, k]; capacity of each, in elements
 * Errors: FNE_INVALID_ARGUMENT unless 1 <= k <= base_count. */
FNE_API fne_status fne_packed_search(const uint64_t *base, uint64_t base_count, const uint64_t *queries, uint64_t query_count,
                                     uint64_t feature_count, uint64_t k, int32_t metric, uint32_t threads, uint64_t *indices,
                                     double *scores, uint64_t capacity);

/* --------------------------------------------------------------------------------------------------------- jobs */

/* The embedding of many images into a folder, which holds the features, the statistics, the codes and each image's name and
 * status in open formats (docs/jobs.md). A job that was killed at any moment goes on where it stopped when it is opened and
 * run again, and ends with the same bytes as an uninterrupted one. Used by one thread at a time. */
typedef struct fne_job fne_job;

#define FNE_CODES_INT8 1   /* codes.npy, int8 [rows, F] */
#define FNE_CODES_PACKED 2 /* codes_packed.npy, uint64 [rows, 2, (F + 63) / 64]: bit f % 64 of word f / 64 of the first plane says
                              that code f is not 0, of the second that it is -1 */
#define FNE_CODES_NONE (-1)

typedef struct fne_job_options {
    uint64_t struct_size;
    const char *source;          /* a folder, whose JPEG and PNG files are taken in the order of their paths' bytes; or a file that
                                    lists names, one a line or each ended by a zero byte. NULL: paths */
    const char *const *paths;
    uint64_t path_count;
    const char *root;            /* what relative names in a list and in paths are relative to; NULL: the list file's folder, the
                                    working directory */
    uint32_t shard_index;        /* which part of the images, 0 to shard_count - 1; parts are whole batches */
    uint32_t shard_count;        /* 0: 1. Where it is more, codes are made when the shards are merged, or by given statistics. */
    int32_t drop_features;       /* 1: keep codes only, which needs statistics */
    int32_t codes;               /* FNE_CODES_*, or several of them added; 0: FNE_CODES_INT8; FNE_CODES_NONE: none yet */
    const char *statistics;      /* a file of saved statistics that codes are made with, such as a training set's
                                    statistics.fne; NULL: the job's own */
    const fne_ternarize_options *ternarize_options; /* NULL: the defaults */
    int32_t fail_on_bad_image;   /* 1: the first bad image ends the run; 0: it is marked in status.npy and images.jsonl */
    int32_t accept_other_engine; /* 1: go on with another TensorFlow, or on another kind of processor, than the job was begun
                                    with; the manifest then names both. 0: FNE_JOB_MISMATCH */
    uint32_t checkpoint_seconds; /* what a killed job loses at most; 0: 15 */
    int32_t reserved;            /* 0 */
} fne_job_options;

/* Fills *options with the defaults and struct_size, the caller's sizeof. */
FNE_API void fne_job_options_init(fne_job_options *options, uint64_t struct_size);

/* Opens a job; nothing is written before fne_job_run.
 *
 * folder             what is written to; it is made where it does not exist. One that holds the same job is gone on with.
 * model              NULL: the job that is in the folder, to read it, or to run what is left of it but for the network
 * extractor_options  may be NULL: the defaults. Batches are padded, and on_error is not taken (see fail_on_bad_image).
 * options            may be NULL: the defaults, where model is NULL
 * job                receives the job; fne_job_close frees it
 *
 * Errors: those of fne_extractor_open; FNE_FILE_ERROR; FNE_JOB_MISMATCH where the folder holds a job of another model, other
 * options or other images, saying what differs; FNE_INVALID_DATA for a damaged manifest. */
FNE_API fne_status fne_job_open(const char *folder, const fne_model *model, const fne_extractor_options *extractor_options,
                                const fne_job_options *options, fne_job **job);

/* A job that puts shards together: all the shards of one list, run with the same model and options, in any order. Its folder
 * gets the same bytes as that of one job over all images. Of the options, drop_features, codes, statistics, ternarize_options
 * and checkpoint_seconds are taken.
 * Errors: FNE_JOB_MISMATCH where shards are missing, unfinished or differ. */
FNE_API fne_status fne_job_open_merge(const char *folder, const char *const *shards, uint64_t shard_count,
                                      const fne_job_options *options, fne_job **job);

FNE_API void fne_job_close(fne_job *job);

#define FNE_PHASE_EMBEDDING 0 /* counted in images */
#define FNE_PHASE_STATISTICS 1
#define FNE_PHASE_CODES 2     /* counted in images */
#define FNE_PHASE_FINISHING 3

/* Called on the thread that runs the job; another value than 0 cancels (FNE_CANCELLED). What was done is on the disk then. */
typedef int32_t (*fne_job_progress_fn)(void *user, int32_t phase, uint64_t done, uint64_t total);

typedef struct fne_job_reports {
    uint64_t struct_size;
    fne_job_progress_fn progress;   /* may be NULL */
    fne_image_error_fn image_error; /* called for each image that cannot be embedded; may be NULL */
    void *user;                     /* handed to both */
} fne_job_reports;

/* Fills *reports with zeros and struct_size, the caller's sizeof. */
FNE_API void fne_job_reports_init(fne_job_reports *reports, uint64_t struct_size);

/* Does what is left of the job; nothing is left of a finished one.
 * reports may be NULL.
 * Errors: FNE_FILE_ERROR, also for a full disk; FNE_JOB_BUSY; FNE_JOB_MISMATCH for another engine; FNE_CANCELLED;
 * FNE_INVALID_ARGUMENT where images are left and the job was opened without a model; where no image is good, the error of the
 * first. After each of them the job goes on from its last checkpoint when it is run again. */
FNE_API fne_status fne_job_run(fne_job *job, const fne_job_reports *reports);

#define FNE_JOB_RUNNING 0  /* not finished, or not begun */
#define FNE_JOB_FEATURES 1 /* features and statistics are there, codes are not yet */
#define FNE_JOB_FINISHED 2

typedef struct fne_job_info {
    uint64_t struct_size;
    int32_t state;          /* FNE_JOB_* */
    uint32_t rows_per_image; /* 1, or 10 with ten crops */
    uint64_t image_count;
    uint64_t first_image;   /* of a shard in the whole list */
    uint64_t total_images;  /* of the whole list */
    uint64_t images_done;   /* embedded or failed, and safe on the disk */
    uint64_t failed_images; /* of a job that has tried all of them, else 0 */
    uint64_t feature_count;
    uint64_t layer_count;
} fne_job_info;

/* Fills *info with zeros and struct_size, the caller's sizeof. */
FNE_API void fne_job_info_init(fne_job_info *info, uint64_t struct_size);

/* How far the job is. info->struct_size must be set. */
FNE_API fne_status fne_job_get_info(const fne_job *job, fne_job_info *info);

/* As fne_extractor_layer_info; the name lives until the job is closed. */
FNE_API fne_status fne_job_layer_info(const fne_job *job, uint64_t index, fne_layer_info *info);

/* The job's own statistics, once its features are there; fne_statistics_close frees the object.
 * Errors: FNE_FILE_ERROR where there are none, FNE_INVALID_DATA. */
FNE_API fne_status fne_job_statistics(const fne_job *job, fne_statistics **statistics);

#ifdef __cplusplus
}
#endif

#endif /* FNE_H */

/** \file
 * The C interface of libfne, the Full-Network Embedding of images.
 *
 * Copyright (C) 2026 the libfne authors. Licence: GPL-3.0-or-later, see LICENSE.
 */

/** \mainpage The C interface of libfne
 *
 * libfne computes the Full-Network Embedding of images. Garcia-Gasulla et al. describe the method in "An out-of-the-box
 * full-network embedding for convolutional neural networks", ICBK 2018, arXiv:1705.07706:
 *
 * 1. Each image runs through a pre-trained network.
 * 2. The activations of the network's convolutional and dense layers become one row of F numbers, the features.
 *    Activations of convolutional layers are averaged over space.
 * 3. Each feature is standardized over a data set: its mean is subtracted, and the difference is divided by its
 *    standard deviation.
 * 4. Each standardized feature is discretized to -1, 0 or 1. These numbers are the codes.
 *
 * The functions fit together like this:
 *
 *     files or pixels --> fne_extract_*  --> float32 [n, F] --> fne_statistics_* (mean, std)
 *                                                           --> fne_ternarize    (int8 [n, F])
 *     a folder or a list of files --> fne_job_run --> all of these in a folder, restartable
 *
 * \par A complete program
 * This program reads a frozen TensorFlow GraphDef and images, and prints the code of each image as one line of `-`, `0`
 * and `+`.
 *
 * \code{.c}
 * #include <fne.h>
 * #include <stdio.h>
 * #include <stdlib.h>
 *
 * int main(int argc, char **argv) {
 *     if (argc < 3) {
 *         fprintf(stderr, "usage: codes network.pb image...\n");
 *         return 2;
 *     }
 *     const char *const *images = (const char *const *)argv + 2;
 *     uint64_t count = (uint64_t)argc - 2, features = 0;
 *     fne_model *model = NULL;
 *     fne_extractor *extractor = NULL;
 *     int8_t *codes = NULL;
 *     double *mean = NULL, *std = NULL;
 *
 *     fne_extractor_options options;
 *     fne_extractor_options_init(&options, sizeof options);
 *     options.height = options.width = 224; // the input size of the network, in pixels
 *
 *     fne_status status = fne_model_open(argv[1], NULL, &model);
 *     if (status == FNE_OK) status = fne_extractor_open(model, &options, &extractor);
 *     if (status == FNE_OK) status = fne_extractor_feature_count(extractor, &features);
 *     if (status == FNE_OK) {
 *         codes = malloc(count * features);
 *         mean = malloc(features * sizeof *mean);
 *         std = malloc(features * sizeof *std);
 *         if (codes == NULL || mean == NULL || std == NULL)
 *             status = FNE_OUT_OF_MEMORY;
 *         else
 *             status = fne_embed_files(extractor, images, count, codes, count * features, mean, std, features, NULL);
 *     }
 *     if (status != FNE_OK) fprintf(stderr, "codes: %s: %s\n", fne_status_name(status), fne_last_error());
 *     for (uint64_t i = 0; status == FNE_OK && i < count; ++i) {
 *         for (uint64_t f = 0; f < features; ++f) putchar("-0+"[codes[i * features + f] + 1]);
 *         putchar('\n');
 *     }
 *
 *     free(std);
 *     free(mean);
 *     free(codes);
 *     fne_extractor_close(extractor);
 *     fne_model_close(model);
 *     return status == FNE_OK ? 0 : 1;
 * }
 * \endcode
 *
 * Compile it with `gcc -std=c99 codes.c $(pkg-config --cflags --libs fne)`. libfne searches the system's library path
 * for TensorFlow, or takes what the environment variable FNE_TENSORFLOW names (see fne_backend_load()).
 *
 * The following paragraphs hold for every function, unless its own comment says otherwise.
 *
 * \par Status
 * A function that can fail returns an fne_status. FNE_OK is 0. Every other number is an error, and no number ever
 * changes its meaning. After an error, fne_last_error() returns a sentence that names the file, the tensor or the
 * argument, and says what can be done.
 *
 * \par Errors
 * A failed call leaves its out-parameters as they were. Each function's comment lists its own errors. Four more are
 * said only here:
 * - FNE_INVALID_ARGUMENT, from any function. An argument is NULL where the comment does not allow it. A size is 0 or
 *   larger than memory. An option is none of its values, or out of its range. A struct_size is not set. A reserved
 *   member is not 0.
 * - FNE_OUT_OF_MEMORY, from any function that takes memory. What the call was to make does not exist, and the objects
 *   that it was given are as they were. The next call works if there is memory again. docs/c.md says where a process
 *   can still end for want of memory.
 * - FNE_IO_ERROR, from any function that reads or writes a file: the disk, a share in the network, or the system failed
 *   (EIO, ESTALE, ETIMEDOUT, EMFILE and others). A whole file is read again up to six times, within about three
 *   seconds, before this is the error.
 * - FNE_INTERNAL_ERROR, from any function. It is a defect of libfne.
 *
 * \par Objects
 * An open function makes an object, and the close function of its type frees it. fne_statistics_load(),
 * fne_job_statistics() and fne_job_extractor() make objects, too. Closing NULL does nothing. Objects that depend on
 * each other may be closed in any order.
 *
 * \par Memory
 * The caller owns every array, and passes its capacity, counted in elements. The library keeps no pointer into the
 * caller's memory after a call returns. It gives the caller no memory to free: objects have their close functions, and
 * strings belong to objects. Matrices are dense and row-major. An array that a function writes to must not overlap one
 * that it reads.
 *
 * \par Structs
 * A struct that begins with struct_size is set up by its init function, which is told sizeof the struct. The init
 * function does nothing where the struct is NULL, or where the size is not a multiple of 8 from 8 to 65536. Members
 * named reserved are 0. A size, a count or a limit of 0 stands for its default.
 *
 * \par Older and newer programs
 * Structs with a struct_size only grow, at their end, so a program that was compiled against an older header keeps
 * working. Members that its struct lacks have their defaults. A newer program may pass a longer struct than this
 * library knows. In a struct of options, what the library does not know must be 0, else the call fails with
 * FNE_INVALID_ARGUMENT. In a struct that the library fills, what it does not know stays as it is. The file
 * abi/layout.txt lists each struct's size and offsets, for declarations in other languages.
 *
 * \par Infos
 * Facts about an object are read with a function fne_OBJECT_FACT_info(). It fills a struct fne_FACT_info, which the
 * caller has set up with fne_FACT_info_init(). For example, fne_extractor_layer_info() fills an fne_layer_info. The
 * arguments are the object, an index where the object has several such facts, and the struct. An index beyond the last
 * one is FNE_INVALID_ARGUMENT.
 *
 * \par Strings
 * Strings are UTF-8 and end with a zero byte. Paths of images, models, lists and jobs may be any bytes that the system
 * takes, even where these are not UTF-8. Messages show such bytes as U+FFFD. Where the library returns a string, the
 * comment says how long it lives.
 *
 * \par Threads
 * Any thread may call any function. Functions that take no object may run on any number of threads at once. Any number
 * of threads may use an fne_model or an fne_extractor at once. Only one thread at a time may use an fne_statistics or
 * an fne_job, even where it is const. An object may be closed when no call on it is running any more. fne_last_error()
 * is about its own thread. A runtime that moves code between threads must keep a call and the question for its error on
 * one thread (in Go, with runtime.LockOSThread).
 *
 * \par Callbacks
 * A callback must return: no exception and no longjmp may leave it. Its comment says on which thread it is called.
 *
 * \par Floating-point environment
 * A host program may have changed how its threads round (fesetround), what they do with denormal numbers, and which
 * exceptions raise a signal (feenableexcept). No result depends on that. Every function computes in the environment
 * that a process starts with, and so do the threads of the library. When a function returns, the thread has the
 * environment that it had, with the exception flags as they were. A callback on the calling thread runs in the caller's
 * environment, and what it changes there stays. docs/numerics.md tells of TensorFlow's own threads.
 *
 * \par Fork
 * An engine, TensorFlow or ONNX Runtime, cannot be used in a child that was forked after its library was loaded. There
 * everything that needs it returns FNE_FORKED: fne_backend_load(), fne_engine_load(), fne_extractor_open(),
 * fne_job_open() with a model, and all functions that embed. Images, models, statistics and codes work in the child. An
 * engine works too, if the child is the first to load it.
 *
 * \par Since
 * Everything exists since 2.0, unless its comment says otherwise.
 */
#ifndef FNE_H
#define FNE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** \def FNE_API
 * Marks the functions that the library exports. */
#if defined(__GNUC__)
#define FNE_API __attribute__((visibility("default")))
#else
#define FNE_API
#endif

/* ------------------------------------------------------------------------------------------------------- status */

/** \defgroup status Status
 * What functions return.
 * \{ */

/** FNE_OK, or the number of an error. */
typedef int32_t fne_status;

#define FNE_OK 0                   /**< done */
#define FNE_INVALID_ARGUMENT 1     /**< a NULL pointer, a size of 0, an option out of its range */
#define FNE_BUFFER_TOO_SMALL 2     /**< a capacity is smaller than the result. The message says what is needed. */
#define FNE_OUT_OF_MEMORY 3        /**< the system gave no memory */
#define FNE_FILE_ERROR 4           /**< a file is missing, is a folder, is empty, or cannot be read or written */
#define FNE_UNSUPPORTED_IMAGE 5    /**< no JPEG, PNG or WebP, or a kind of these that the codecs do not read */
#define FNE_DAMAGED_IMAGE 6        /**< truncated or corrupt image data */
#define FNE_IMAGE_LIMIT 7          /**< an image beyond the size limits, refused before memory is taken for it */
#define FNE_INVALID_GRAPH 8        /**< no GraphDef and no ONNX file, damaged, not frozen, or of impossible sizes */
#define FNE_UNSAFE_GRAPH 9         /**< the graph holds an operation that is not on the list of allowed ones */
#define FNE_UNKNOWN_TENSOR 10      /**< there is no such tensor. The message lists the nearest names. */
#define FNE_UNSUPPORTED_TENSOR 11  /**< a tensor of a rank, type or layout that cannot be embedded */
#define FNE_BACKEND_UNAVAILABLE 12 /**< an engine's library was not found. The message lists the paths tried. */
#define FNE_BACKEND_CONFLICT 13    /**< another copy of an engine is in this process already */
#define FNE_BACKEND_ERROR 14       /**< the engine refused or failed. The message holds its own words. */
#define FNE_NOT_FINITE 15          /**< NaN or infinity where a finite number is needed. The message names the place. */
#define FNE_CANCELLED 16           /**< a progress function asked to stop */
#define FNE_FORKED 17              /**< an engine was loaded before fork(), and was needed in the child */
#define FNE_SHAPE_MISMATCH 18      /**< two objects or arrays have different numbers of features */
#define FNE_INVALID_DATA 19        /**< saved bytes are damaged, or of an unknown version */
#define FNE_INTERNAL_ERROR 20      /**< a defect of libfne. Please report it. */
#define FNE_JOB_MISMATCH 21        /**< a job's folder holds a job of another model, other options or other images */
#define FNE_JOB_BUSY 22            /**< another process, or another object of this one, runs the job in this folder */
#define FNE_IO_ERROR 23            /**< a disk, a share in the network or the system failed. The file may be good. */

/** \} */

/* ------------------------------------------------------------------------------------------------------ library */

/** \defgroup library Library
 * Versions, messages and the log. Any number of threads may call these functions at once.
 * \{ */

#define FNE_VERSION_MAJOR 2 /**< first number of the header's release */
#define FNE_VERSION_MINOR 0 /**< second number of the header's release */
#define FNE_VERSION_PATCH 0 /**< third number of the header's release */

/** \cond INTERNAL */
#define FNE_STRINGIFY_ARGUMENT(argument) #argument
#define FNE_STRINGIFY(macro) FNE_STRINGIFY_ARGUMENT(macro)
/** \endcond */

/** The header's release as a string, such as "2.0.0". The library's own is fne_version_string(). */
#define FNE_VERSION_STRING \
    FNE_STRINGIFY(FNE_VERSION_MAJOR) "." FNE_STRINGIFY(FNE_VERSION_MINOR) "." FNE_STRINGIFY(FNE_VERSION_PATCH)

/** The library's release as a number.
 * \return major * 10000 + minor * 100 + patch, so 20000 is 2.0.0
 * \since 2.0 */
FNE_API uint32_t fne_version_number(void);

/** The library's release as a string.
 * \return such as "2.0.0". The string lives as long as the process.
 * \since 2.0 */
FNE_API const char *fne_version_string(void);

/** The number of the binary interface.
 * \return the number in the library's SONAME (libfne.so.2), which is 2
 * \since 2.0 */
FNE_API uint32_t fne_abi_version(void);

/** How the library was built.
 * \return one line with version, compiler and image codecs. The string lives as long as the process.
 * \since 2.0 */
FNE_API const char *fne_build_info(void);

/** The name of a status.
 * \param[in] status  any number
 * \return such as "FNE_FILE_ERROR", or "unknown status" for other numbers. The string lives as long as the process.
 * \since 2.0 */
FNE_API const char *fne_status_name(fne_status status);

/** What went wrong in the calling thread's last failed call. A call that succeeds leaves it as it is.
 * \return a sentence, or "" when no call of the thread has failed. The string lives until the thread's next failed
 *         call, or until the thread ends.
 * \since 2.0 */
FNE_API const char *fne_last_error(void);

#define FNE_LOG_INFO 0    /**< good to know, such as which TensorFlow was loaded */
#define FNE_LOG_WARNING 1 /**< such as a picture that is taken although something is wrong with it */
#define FNE_LOG_ERROR 2   /**< what TensorFlow logs as an error while it is loaded, or ONNX Runtime at any time */

/** Receives one message of the log. Any thread may call it, also one of the library's own, but only one at a time. It
 * must neither call the library nor fork.
 * \param[in] user     what was given to fne_set_log_callback()
 * \param[in] level    FNE_LOG_INFO, FNE_LOG_WARNING or FNE_LOG_ERROR
 * \param[in] message  without a line end. The string lives during the call. */
typedef void (*fne_log_fn)(void *user, int32_t level, const char *message);

/** Sets the function that receives the library's log, for the whole process. The log tells what the codecs remark about
 * pictures that are taken all the same, which TensorFlow was loaded, and what TensorFlow logs while it is loaded. When
 * this function returns, no thread is in the callback that was set before.
 *
 * TensorFlow writes its log to the standard error, and has no function that hands it over. libfne therefore holds back
 * the standard error of the process during the load. Afterwards it keeps TensorFlow quiet: it sets
 * TF_CPP_MIN_LOG_LEVEL=3, unless the variable has a value already. TensorFlow's errors arrive through fne_last_error().
 *
 * \param[in] callback  the function. NULL drops the log, as at the start of the process.
 * \param[in] user      handed to the callback
 * \since 2.0 */
FNE_API void fne_set_log_callback(fne_log_fn callback, void *user);

/** \} */

/* ------------------------------------------------------------------------------------------------------ backend */

/** \defgroup backend Backend
 * The libraries that run networks, TensorFlow and ONNX Runtime. They are found and loaded at run time. Any number of
 * threads may call these functions at once. TensorFlow runs GraphDefs, and ONNX
 * Runtime runs ONNX files.
 * \{ */

/** Loads TensorFlow's C library, once for the process. Further calls with the same copy do nothing.
 * fne_extractor_open() loads it by itself, as a call with NULL does.
 *
 * \note Loading sets two environment variables that TensorFlow reads, unless they have a value: TF_CPP_MIN_LOG_LEVEL=3,
 * and on x86-64 TF_ENABLE_ONEDNN_OPTS=1. setenv is not safe while other threads read the environment, so load early.
 *
 * \param[in] path  A library file (libtensorflow.so.2, or libtensorflow_cc.so.2 of the Python wheel), or a folder that
 *                  holds one, in UTF-8. With NULL, the first of these is taken: what is loaded already, the file or
 *                  folder in the environment variable FNE_TENSORFLOW, a copy that is in the process already, a copy on
 *                  the system's library path.
 * \return FNE_OK or an error
 * \retval FNE_BACKEND_UNAVAILABLE  there is no such library, or it is not TensorFlow 2's. The message lists the paths
 *                                  tried.
 * \retval FNE_BACKEND_CONFLICT     path, or FNE_TENSORFLOW, names another copy than the one in the process. Two copies
 *                                  in one process break each other.
 * \retval FNE_FORKED               TensorFlow was loaded before this process was forked
 * \retval FNE_OUT_OF_MEMORY        a limit (RLIMIT_AS, which ulimit -v sets) leaves less address space than TensorFlow
 *                                  needs, which would end the process. The message has the numbers.
 * \since 2.0 */
FNE_API fne_status fne_backend_load(const char *path);

/** Which TensorFlow libfne has loaded. Both strings are "" while it has loaded none. They live as long as the process.
 * \param[out] version  receives the version, such as "2.21.0". May be NULL.
 * \param[out] path     receives the library file. May be NULL.
 * \return FNE_OK
 * \since 2.0 */
FNE_API fne_status fne_backend_info(const char **version, const char **path);

/** Loads the library of an engine, once for the process. Further calls with the same copy do nothing.
 *
 * ONNX Runtime's log goes to the function of fne_set_log_callback(), from warnings on. Other copies of ONNX Runtime may
 * be in the process, such as Python's onnxruntime. They do not meet.
 *
 * \note ONNX Runtime sends telemetry since release 1.29. So loading it sets the environment variable
 * ORT_DISABLE_TELEMETRY=1, unless it has a value. setenv is not safe while other threads read the environment, so load
 * early. For TensorFlow's variables see fne_backend_load().
 *
 * \param[in] engine  "tensorflow", as fne_backend_load(), or "onnxruntime"
 * \param[in] path    A library file, or a folder that holds one, in UTF-8. For ONNX Runtime that is
 *                    libonnxruntime.so.1, or libonnxruntime.so.* in the folder capi of the Python wheel. With NULL, the
 *                    first of these is taken: what is loaded already, the file or folder in the environment variable
 *                    FNE_TENSORFLOW or FNE_ONNXRUNTIME, a copy that is in the process already, a copy on the system's
 *                    library path.
 * \return FNE_OK or an error
 * \retval FNE_INVALID_ARGUMENT     engine is none of the two
 * \retval FNE_BACKEND_UNAVAILABLE  there is no such library, it is another one, or it is too old: TensorFlow 2 and ONNX
 *                                  Runtime 1.19 are the oldest. The message lists the paths tried.
 * \retval FNE_BACKEND_CONFLICT     path names another copy than the one that libfne has loaded. Of TensorFlow, no other
 *                                  copy may be in the process at all.
 * \retval FNE_BACKEND_ERROR        ONNX Runtime does not start. The message holds its own words.
 * \retval FNE_FORKED               the library was loaded before this process was forked
 * \retval FNE_OUT_OF_MEMORY        a limit (RLIMIT_AS, which ulimit -v sets) leaves less address space than TensorFlow
 *                                  needs. The message has the numbers.
 * \since 2.0 */
FNE_API fne_status fne_engine_load(const char *engine, const char *path);

/** Which library of an engine libfne has loaded. Both strings are "" while it has loaded none. They live as long as the
 * process.
 * \param[in] engine    "tensorflow" or "onnxruntime"
 * \param[out] version  receives the version, such as "1.32.0". May be NULL.
 * \param[out] path     receives the library file. May be NULL.
 * \return FNE_OK or an error
 * \retval FNE_INVALID_ARGUMENT  engine is none of the two
 * \since 2.0 */
FNE_API fne_status fne_engine_info(const char *engine, const char **version, const char **path);

/** \} */

/* ------------------------------------------------------------------------------------------------------- images */

/** \defgroup images Images
 * JPEG, PNG and WebP, read as OpenCV's imread reads them, and resized. Any number of threads may call these functions
 * at once.
 *
 * WebP is read by libwebp, which is looked for when the first WebP is read. It is libwebp.so.7 or libwebp.so.6 on the
 * system's library path. The environment variable FNE_LIBWEBP may name another file, or its folder. Without libwebp a
 * WebP is FNE_UNSUPPORTED_IMAGE. Of an animation, the first frame is taken.
 * \{ */

#define FNE_FORMAT_OTHER 0    /**< none of the following */
#define FNE_FORMAT_JPEG 1     /**< a JPEG */
#define FNE_FORMAT_PNG 2      /**< a PNG */
#define FNE_FORMAT_WEBP 3     /**< a WebP */
#define FNE_FORMAT_GIF 4      /**< a GIF, which needs a decoder of the host (fne_image_decoder_fn), as all below */
#define FNE_FORMAT_BMP 5      /**< a BMP */
#define FNE_FORMAT_TIFF 6     /**< a TIFF */
#define FNE_FORMAT_AVIF 7     /**< an AVIF */
#define FNE_FORMAT_HEIF 8     /**< a HEIF, such as the HEIC of telephones */
#define FNE_FORMAT_JPEG2000 9 /**< a JPEG 2000 */

/** Which images are refused before memory is taken for them (FNE_IMAGE_LIMIT), and what happens to damaged ones. 0
 * stands for the default of a limit. The message of a refusal names the number, the limit and the option.
 *
 * No photograph exceeds the defaults. They bound what a small file can cost: decoding a file below 1 MiB goes through
 * 275 MiB at most. max_expansion counts these bytes:
 * - 3 for each pixel, and 3 more where the EXIF orientation turns or mirrors the image
 * - of a PNG, the image data before they were deflated, and 3 more for each pixel of an interlaced one
 * - of a JPEG, for each scan, 8 for each block of 64 coefficients, and 1 for every two coefficients in it, four times
 *   as many with arithmetic coding
 * - of a JPEG in several scans, which a progressive one is, 2 for each coefficient, since these wait in memory
 * - of a lossless WebP, 4 for each pixel
 *
 * Large pages that are all but blank can be beyond it. docs/numerics.md says which sizes are read. */
typedef struct fne_image_options {
    uint64_t struct_size;        /**< set by fne_image_options_init() */
    uint64_t max_bytes;          /**< limit of an encoded image's size in bytes, 1 to 2^40. The default is 2^30. */
    uint64_t max_pixels;         /**< limit of height times width, 1 to 2^40. It also holds for the size that an image
                                      gets when it is resized with its aspect. The default is 2^28. */
    uint64_t max_chunk_bytes;    /**< limit of a PNG chunk's size in bytes, 1 to 2^40. The default is 2^26. It does not
                                      limit image data, which are read in pieces, nor text and colour profiles, which
                                      are skipped without being decompressed. */
    uint32_t max_scans;          /**< limit of the scans of a progressive JPEG, each of which costs a pass over the
                                      picture, 1 to 2^30. The default is 100. */
    int32_t tolerate_truncation; /**< 1: take what can be had of a truncated or damaged image. The missing part is grey
                                      or black. The log tells of it, and so does is_partial. 0 (default): such an image
                                      is FNE_DAMAGED_IMAGE. */
    uint32_t max_side;           /**< limit of height, and of width, 1 to 2^31 - 1. The default is 65535. */
    uint32_t max_expansion;      /**< limit of the bytes that decoding goes through, for each byte of the encoded image,
                                      1 to 2^30. An image below 2^20 bytes counts as one of 2^20. The default is 275.
                                      What counts is said above. */
} fne_image_options;

/** Fills a struct with the defaults.
 * \param[out] options     the struct, whose struct_size is set, too
 * \param[in] struct_size  sizeof(fne_image_options)
 * \since 2.0 */
FNE_API void fne_image_options_init(fne_image_options *options, uint64_t struct_size);

/** What is known of an image. */
typedef struct fne_image_info {
    uint64_t struct_size; /**< set by fne_image_info_init() */
    uint32_t height;      /**< in pixels, after the orientation was applied */
    uint32_t width;       /**< in pixels, after the orientation was applied */
    int32_t format;       /**< FNE_FORMAT_JPEG, FNE_FORMAT_PNG or FNE_FORMAT_WEBP */
    int32_t orientation;  /**< the EXIF orientation, 1 to 8. It is 1 where the file has none or a broken one. */
    int32_t is_partial;   /**< of a decoded image: 1 where it is damaged and tolerate_truncation let it pass */
    int32_t reserved;     /**< 0 */
} fne_image_info;

/** Fills a struct with zeros.
 * \param[out] info        the struct, whose struct_size is set
 * \param[in] struct_size  sizeof(fne_image_info)
 * \since 2.0 */
FNE_API void fne_image_info_init(fne_image_info *info, uint64_t struct_size);

/** Reads an image's header. No more of the file is read than that takes. Of a JPEG, that is what stands before the data
 * of the first scan. Of a PNG, it is what stands before the image data, and the head of each chunk after them, since
 * EXIF data may follow. Of a WebP, it is the head of each chunk. Where a header is damaged, the whole file is read.
 *
 * \param[in] path      the file
 * \param[in] options   NULL stands for the defaults
 * \param[in,out] info  receives the facts, with an is_partial of 0. Its struct_size must be set.
 * \return FNE_OK or an error
 * \retval FNE_FILE_ERROR         the file is missing, no regular file, empty, or cannot be read
 * \retval FNE_UNSUPPORTED_IMAGE  neither JPEG nor PNG nor WebP, or a kind that the codecs do not read
 * \retval FNE_DAMAGED_IMAGE      the header is truncated or corrupt
 * \retval FNE_IMAGE_LIMIT        the image is beyond max_bytes, max_pixels, max_side, max_expansion or max_chunk_bytes
 * \since 2.0 */
FNE_API fne_status fne_image_probe(const char *path, const fne_image_options *options, fne_image_info *info);

/** As fne_image_probe(), for an encoded image in memory.
 *
 * \param[in] bytes     the image
 * \param[in] size      its size in bytes. A size of 0 is FNE_UNSUPPORTED_IMAGE.
 * \param[in] options   NULL stands for the defaults
 * \param[in,out] info  receives the facts. Its struct_size must be set.
 * \return FNE_OK, FNE_UNSUPPORTED_IMAGE, FNE_DAMAGED_IMAGE or FNE_IMAGE_LIMIT
 * \since 2.0 */
FNE_API fne_status fne_image_probe_memory(const uint8_t *bytes, uint64_t size, const fne_image_options *options,
                                          fne_image_info *info);

/** Decodes a JPEG, PNG or WebP to RGB, uint8 [height, width, 3], oriented as its EXIF data ask. The pixels are those of
 * OpenCV's imread(IMREAD_COLOR), in RGB order. Alpha is dropped, samples of 16 bits are cut to 8, and gamma is ignored.
 *
 * \param[in] path      the file
 * \param[in] options   NULL stands for the defaults
 * \param[out] rgb      receives the pixels. They must not be used after an error.
 * \param[in] capacity  of rgb in bytes. height * width * 3 are needed, with the sides that fne_image_probe() tells.
 * \param[in,out] info  receives the facts. May be NULL, else its struct_size must be set.
 * \return FNE_OK, an error of fne_image_probe(), or
 * \retval FNE_BUFFER_TOO_SMALL  capacity is too small
 * \retval FNE_DAMAGED_IMAGE     also for damage after the header
 * \retval FNE_IMAGE_LIMIT       also beyond max_scans, and beyond max_expansion in a later scan
 * \since 2.0 */
FNE_API fne_status fne_image_decode(const char *path, const fne_image_options *options, uint8_t *rgb, uint64_t capacity,
                                    fne_image_info *info);

/** As fne_image_decode(), for an encoded image in memory.
 *
 * \param[in] bytes     the image
 * \param[in] size      its size in bytes. A size of 0 is FNE_UNSUPPORTED_IMAGE.
 * \param[in] options   NULL stands for the defaults
 * \param[out] rgb      receives the pixels. They must not be used after an error.
 * \param[in] capacity  of rgb in bytes
 * \param[in,out] info  receives the facts. May be NULL, else its struct_size must be set.
 * \return FNE_OK, FNE_BUFFER_TOO_SMALL, FNE_UNSUPPORTED_IMAGE, FNE_DAMAGED_IMAGE or FNE_IMAGE_LIMIT
 * \since 2.0 */
FNE_API fne_status fne_image_decode_memory(const uint8_t *bytes, uint64_t size, const fne_image_options *options,
                                           uint8_t *rgb, uint64_t capacity, fne_image_info *info);

/** What a decoder of the host gives an image to. It lives while the decoder is called. */
typedef struct fne_decoding fne_decoding;

/** Decodes an image that libfne does not read itself, such as a GIF, for an extractor or a job
 * (fne_extractor_options::decoder). It is called on the threads that load images, several at once, beside the network.
 * It takes memory for the pixels with fne_decoding_rows(), and fills it.
 *
 * \param[in] user      the options' decoder_user
 * \param[in] bytes     the encoded image, which lives during the call
 * \param[in] size      its size in bytes
 * \param[in] refusal   why libfne does not read it. The string lives during the call.
 * \param[in] decoding  receives the pixels, or the words of an error
 * \return FNE_OK. FNE_UNSUPPORTED_IMAGE, FNE_DAMAGED_IMAGE and FNE_IMAGE_LIMIT say that the image is bad. FNE_IO_ERROR
 *         and FNE_OUT_OF_MEMORY say that the machine failed, and end the call or the run. Any other number is taken for
 *         FNE_UNSUPPORTED_IMAGE. The message is that of fne_decoding_message(), else the refusal. */
typedef fne_status (*fne_image_decoder_fn)(void *user, const uint8_t *bytes, uint64_t size, const char *refusal,
                                           fne_decoding *decoding);

/** Takes memory for a decoded image, which belongs to the library. Call it once, inside of a decoder. The decoder has
 * applied the orientation.
 *
 * \param[in] decoding  what the decoder was given
 * \param[in] height    in pixels, at least 1
 * \param[in] width     in pixels, at least 1
 * \param[out] rgb      receives the memory, uint8 [height, width, 3] in RGB order without gaps. It is not cleared, and
 *                      must not be used after the decoder has returned.
 * \return FNE_OK, or FNE_IMAGE_LIMIT beyond max_side or max_pixels. The decoder may return the error.
 * \since 2.0 */
FNE_API fne_status fne_decoding_rows(fne_decoding *decoding, uint32_t height, uint32_t width, uint8_t **rgb);

/** Says what is wrong with an image that a decoder cannot read. Call it inside of a decoder.
 *
 * \param[in] decoding  what the decoder was given
 * \param[in] message   a sentence in UTF-8, which is copied. It need not name the file.
 * \return FNE_OK or FNE_INVALID_ARGUMENT
 * \since 2.0 */
FNE_API fne_status fne_decoding_message(fne_decoding *decoding, const char *message);

/** The sampling positions and the fixed-point rounding of OpenCV's resize(INTER_LINEAR). For an exact halving, that is
 * the mean of 2x2 pixels. Strong shrinking leaves most pixels out. */
#define FNE_INTERPOLATION_BILINEAR 0
/** The arithmetic of Pillow's resize(BILINEAR). Where it shrinks, a new pixel is a weighted mean of all the pixels that
 * it covers. */
#define FNE_INTERPOLATION_ANTIALIASED 1
/** The arithmetic of Pillow's resize(BICUBIC). It reads twice as far as FNE_INTERPOLATION_ANTIALIASED, and keeps edges
 * sharper. */
#define FNE_INTERPOLATION_BICUBIC 2

/** Resizes uint8 [height, width, 3] to [new_height, new_width, 3].
 *
 * \param[in] rgb            the pixels, in any order of channels
 * \param[in] height         of rgb in pixels, 1 to 2^28
 * \param[in] width          of rgb in pixels, 1 to 2^28
 * \param[in] interpolation  FNE_INTERPOLATION_BILINEAR to FNE_INTERPOLATION_BICUBIC
 * \param[out] resized       receives the new pixels
 * \param[in] new_height     of resized in pixels, 1 to 2^28
 * \param[in] new_width      of resized in pixels, 1 to 2^28
 * \param[in] capacity       of resized in bytes. new_height * new_width * 3 are needed.
 * \return FNE_OK or FNE_BUFFER_TOO_SMALL
 * \since 2.0 */
FNE_API fne_status fne_image_resize(const uint8_t *rgb, uint32_t height, uint32_t width, int32_t interpolation,
                                    uint8_t *resized, uint32_t new_height, uint32_t new_width, uint64_t capacity);

/** \} */

/* -------------------------------------------------------------------------------------------------------- model */

/** \defgroup model Model
 * A frozen network and the table of its tensors. A model never changes, so any number of threads may use it at once.
 * \{ */

/** A network, which is a frozen TensorFlow GraphDef or an ONNX file, and a table of its tensors. Models need neither
 * TensorFlow nor ONNX Runtime. */
typedef struct fne_model fne_model;

/** Which graphs are let through. */
typedef struct fne_model_options {
    uint64_t struct_size; /**< set by fne_model_options_init() */
    int32_t allow_unsafe; /**< 1: take operations that are not on the list of allowed ones. A graph is a program, and
                               with this it may read and write files. 0 (default): refuse such a graph. */
    int32_t reserved;     /**< 0 */
    const char *const *feeds; /**< feed_count values for the network's inputs beside the image, each as "name=value",
                                   such as "phase_train=false". A value is a number, true or false, several of them
                                   with commas between, or JSON arrays of them. It becomes a constant of the graph, and
                                   what follows from it is simplified. A value that lacks the first axis of the input's
                                   shape is given to each image of a batch. */
    uint64_t feed_count;      /**< number of feeds, at most 2^20. 0 (default): none. */
} fne_model_options;

/** Fills a struct with the defaults.
 * \param[out] options     the struct, whose struct_size is set, too
 * \param[in] struct_size  sizeof(fne_model_options)
 * \since 2.0 */
FNE_API void fne_model_options_init(fne_model_options *options, uint64_t struct_size);

/** Reads a network: a frozen TensorFlow GraphDef, or an ONNX file. Which one it is, the content of the file says.
 *
 * In a GraphDef the bodies of functions are put in place of their calls, a condition that is known is followed, and
 * what only reports is left out. What it does is checked when an extractor is opened, for the layers that it takes.
 *
 * An ONNX file has operator sets 9 to 28, and one input, for images. Its weights may be in files beside it, which are
 * read from its own folder alone. Its operators are checked here.
 *
 * \param[in] path     the file
 * \param[in] options  NULL stands for the defaults
 * \param[out] model   receives the model, which fne_model_close() frees
 * \return FNE_OK or an error
 * \retval FNE_FILE_ERROR     the file is missing, no regular file, empty, or cannot be read
 * \retval FNE_INVALID_GRAPH      not a GraphDef and no ONNX file, or a damaged one
 * \retval FNE_UNSAFE_GRAPH       an ONNX file with an operator that is not on the list. The message names it.
 * \retval FNE_INVALID_ARGUMENT   a feed that cannot be read, or has another shape or type than the input, or any feed
 *                                for an ONNX file
 * \retval FNE_UNKNOWN_TENSOR     a feed of an input that the graph lacks
 * \since 2.0 */
FNE_API fne_status fne_model_open(const char *path, const fne_model_options *options, fne_model **model);

/** As fne_model_open(), for a serialized GraphDef or ONNX model in memory. Its weights must be in it.
 *
 * \param[in] bytes    the network, which is copied
 * \param[in] size     its size in bytes. A size of 0 is FNE_INVALID_GRAPH.
 * \param[in] options  NULL stands for the defaults
 * \param[out] model   receives the model, which fne_model_close() frees
 * \return FNE_OK or an error, as fne_model_open() gives
 * \since 2.0 */
FNE_API fne_status fne_model_open_memory(const uint8_t *bytes, uint64_t size, const fne_model_options *options,
                                         fne_model **model);

/** The library that runs a model.
 * \param[in] model    the model
 * \param[out] engine  receives "tensorflow" for a GraphDef and "onnxruntime" for an ONNX file. The text lives until the
 *                     model is closed.
 * \return FNE_OK
 * \since 2.0 */
FNE_API fne_status fne_model_engine(const fne_model *model, const char **engine);

/** The SHA-256 of a model's bytes, as a job's manifest has it. The bytes of the files beside an ONNX file follow its
 * own, in the order of their names.
 * \param[in] model    the model
 * \param[out] digits  receives 64 hexadecimal digits and a zero: 65 bytes
 * \return FNE_OK
 * \since 2.0 */
FNE_API fne_status fne_model_sha256(const fne_model *model, char *digits);

/** Frees a model. Extractors and jobs that were opened with it stay.
 * \param[in] model  may be NULL
 * \since 2.0 */
FNE_API void fne_model_close(fne_model *model);

#define FNE_KIND_OTHER 0       /**< none of these */
#define FNE_KIND_CONVOLUTION 1 /**< a convolution */
#define FNE_KIND_DEPTHWISE 2   /**< a depthwise convolution */
#define FNE_KIND_DENSE 3       /**< a dense layer */
#define FNE_KIND_INPUT 4       /**< a placeholder */

/** A row of a model's table. */
typedef struct fne_tensor_info {
    uint64_t struct_size;        /**< set by fne_tensor_info_init() */
    const char *name;            /**< without "import/" and without ":0". The string lives until the model is closed. */
    const char *operation;       /**< the operation, such as TensorFlow's "Conv2D" or ONNX's "Conv". It lives as long as
                                      name. */
    int32_t kind;                /**< FNE_KIND_OTHER to FNE_KIND_INPUT: the kind of the layer whose output this tensor
                                      is, or else of the operation */
    int32_t rank;                /**< the number of dimensions, or -1 where the graph does not say it outright */
    int64_t channels;            /**< the last dimension, or -1 where the graph does not say it outright */
    int32_t is_default;          /**< 1: the tensor is taken when no layer is selected */
    int32_t is_classifier;       /**< 1: the tensor is the output of a classifier's last layer. It is left out unless it
                                      is named. */
    int32_t is_classifier_input; /**< 1: a classifier's last layer reads this tensor, perhaps through changes of shape.
                                      It is often the last map, pooled. */
    int32_t is_penultimate;      /**< 1: the selector "penultimate" selects this tensor */
    const char *module; /**< the path of the layer's module in PyTorch, such as "features.0", where an ONNX file
                             keeps it. Selectors take it as they take the name. NULL for other tensors. It
                             lives until the model is closed. */
} fne_tensor_info;

/** Fills a struct with zeros.
 * \param[out] info        the struct, whose struct_size is set
 * \param[in] struct_size  sizeof(fne_tensor_info)
 * \since 2.0 */
FNE_API void fne_tensor_info_init(fne_tensor_info *info, uint64_t struct_size);

/** How many tensors the table holds. These are the first outputs of all nodes that are no constants, in graph order.
 * \param[in] model   the model
 * \param[out] count  receives the number
 * \return FNE_OK
 * \since 2.0 */
FNE_API fne_status fne_model_tensor_count(const fne_model *model, uint64_t *count);

/** Describes a tensor. A layer's output is the tensor after its bias, normalization and activation. Default layers are
 * the convolutions, depthwise convolutions and dense layers, without the classifier's last layer. They are found from
 * the graph's structure, never from names.
 *
 * \param[in] model     the model
 * \param[in] index     0 to count - 1
 * \param[in,out] info  receives the facts. Its struct_size must be set.
 * \return FNE_OK, or FNE_INVALID_ARGUMENT for an index beyond the table
 * \since 2.0 */
FNE_API fne_status fne_model_tensor_info(const fne_model *model, uint64_t index, fne_tensor_info *info);

/** How many notes there are on a model. A note is a sentence that its user should know, such as which layers cannot be
 * taken because they stand in a loop. An extractor that takes the default layers logs them as warnings.
 * \param[in] model   the model
 * \param[out] count  receives the number
 * \return FNE_OK
 * \since 2.0 */
FNE_API fne_status fne_model_note_count(const fne_model *model, uint64_t *count);

/** A note on a model.
 * \param[in] model  the model
 * \param[in] index  the number of the note, below the count
 * \param[out] note  receives the sentence, which lives until the model is closed
 * \return FNE_OK
 * \since 2.0 */
FNE_API fne_status fne_model_note(const fne_model *model, uint64_t index, const char **note);

/** The largest rank that fne_model_shapes() gives. */
#define FNE_SHAPE_RANK 8

/** Gives the shapes of the model's tensors for an image size. They follow from the graph, without TensorFlow. Those of
 * an ONNX file are computed by ONNX Runtime, on one image and on several, and maps are [n, channels, height, width]
 * where the file has them so.
 *
 * \param[in] model         the model
 * \param[in] input_tensor  the tensor that images are fed to, with or without "import/" and ":0". NULL: the graph's
 *                          only placeholder that can take images.
 * \param[in] height        of the images in pixels, 1 to 16384. 0: as the graph's placeholder says.
 * \param[in] width         as height
 * \param[out] ranks        receives for each tensor of the table its rank. It is -1 where the shape does not follow
 *                          from the graph, where the first dimension does not grow with the number of images, and
 *                          where there are more than FNE_SHAPE_RANK dimensions.
 * \param[out] dimensions   receives [tensors, FNE_SHAPE_RANK]: for each tensor its dimensions, and then zeros. The
 *                          first dimension is counted per image: 1 stands for n, and 16 for 16 n.
 * \param[in] capacity      the number of tensors that ranks and dimensions hold, at least fne_model_tensor_count()
 * \return FNE_OK or an error
 * \retval FNE_INVALID_ARGUMENT    also where a size is not known, or differs from the graph's own
 * \retval FNE_UNKNOWN_TENSOR      there is no such input, or more than one could be meant
 * \retval FNE_UNSUPPORTED_TENSOR  images cannot be fed to the input
 * \retval FNE_BUFFER_TOO_SMALL    the capacity is too small. Nothing is written.
 * \retval FNE_BACKEND_UNAVAILABLE  the network is an ONNX file, and ONNX Runtime is not found
 * \retval FNE_BACKEND_ERROR       ONNX Runtime cannot run the network
 * \since 2.0 */
FNE_API fne_status fne_model_shapes(const fne_model *model, const char *input_tensor, uint32_t height, uint32_t width,
                                    int32_t *ranks, int64_t *dimensions, uint64_t capacity);

#define FNE_ROLE_DEFAULT 1     /**< a default layer */
#define FNE_ROLE_PENULTIMATE 2 /**< a layer that the selector "penultimate" selects */

/** Selects layers from a list of names, such as those of a job, by the selectors that fne_extractor_options::layers
 * takes.
 *
 * A selector is tried in this order:
 *
 * 1. It may be the exact name of a layer. The name may have a leading "import/" and a trailing ":0" in addition.
 * 2. "all" selects every layer of the list.
 * 3. "last:25%" selects the last ceil(0.25 L) of the L default layers.
 * 4. "penultimate" selects the layers whose role says so. For a network these are what classifiers read, see
 *    fne_extractor_options::layers.
 * 5. Anything else is a glob with *, ?, [abc], [a-c] or [!abc].
 *
 * The indices come in the order of the selectors. Those of one selector come in the order of the list. A layer that
 * several selectors select stands once, at its first place.
 *
 * \param[in] selectors       UTF-8 strings. NULL where there are none.
 * \param[in] selector_count  number of selectors, at most 2^20. 0 selects all default layers.
 * \param[in] names           the layers' names in UTF-8, in the order of their columns
 * \param[in] roles           for each name 0, FNE_ROLE_DEFAULT, FNE_ROLE_PENULTIMATE or their sum. NULL: all are
 *                            default layers, and what classifiers read is not known.
 * \param[in] name_count      number of names, at most 2^20
 * \param[out] indices        receives indices into names, none twice
 * \param[in] capacity        of indices, in elements. name_count is always enough.
 * \param[out] count          receives the number of indices, at least 1
 * \return FNE_OK or an error
 * \retval FNE_UNKNOWN_TENSOR    a selector selects nothing. The message lists the nearest names.
 * \retval FNE_INVALID_ARGUMENT  also where an exact name is given twice, or a share is not above 0 and up to 100
 * \retval FNE_BUFFER_TOO_SMALL  the capacity is too small. Nothing is written.
 * \since 2.0 */
FNE_API fne_status fne_select_layers(const char *const *selectors, uint64_t selector_count, const char *const *names,
                                     const uint8_t *roles, uint64_t name_count, uint64_t *indices, uint64_t capacity,
                                     uint64_t *count);

/** \} */

/* ---------------------------------------------------------------------------------------------------- extractor */

/** \defgroup extractor Extractor
 * From images to pooled activations and codes. Any number of threads may use an extractor at once.
 * \{ */

/** A model prepared for a fixed input size and a list of layers. It turns images into pooled float32 features. */
typedef struct fne_extractor fne_extractor;

#define FNE_CHANNELS_RGB 0 /**< red first */
#define FNE_CHANNELS_BGR 1 /**< blue first */

#define FNE_RESIZE_STRETCH 0       /**< to the size asked for, whatever the aspect, as the original function does */
#define FNE_RESIZE_SHORTEST_SIDE 1 /**< with its aspect, to the smallest image that covers the size asked for */

#define FNE_ON_ERROR_FAIL 0 /**< the first bad image ends the call with its error */
#define FNE_ON_ERROR_SKIP 1 /**< a bad image's row is filled with NaN, its status is recorded, and the call goes on */

/** The network computes with float32. */
#define FNE_PRECISION_FLOAT32 0
/** Convolutions and dense layers multiply bfloat16 and sum float32. This is 1.4 to 1.8 times as fast on processors with
 * AVX-512 BF16 or AMX. 98.6 to 99.8 % of the ternary values are the same as with float32 (docs/numerics.md). It is
 * FNE_INVALID_ARGUMENT on processors without AVX-512. */
#define FNE_PRECISION_BFLOAT16 1

#define FNE_TOKENS_MEAN 0           /**< the mean of all tokens */
#define FNE_TOKENS_FIRST 1          /**< the first token, which often is a class token */
#define FNE_TOKENS_REST 2           /**< the mean of the tokens after the first prefix_tokens */
#define FNE_TOKENS_FIRST_AND_REST 3 /**< the first token, then the mean of FNE_TOKENS_REST: twice the features */

/** Many images in a call. The defaults are small batches, several of which are in the network at once, each on a thread
 * of its own. */
#define FNE_GOAL_THROUGHPUT 0
/** One image in a call, such as the frames of a camera or the requests of a service. batch_size and streams are 1 by
 * default, and engine_threads is the number of processors, at most 16. On ONNX Runtime the threads spin between the
 * operations of a run, and sleep between runs. On TensorFlow the first extractor of a process decides on the threads.
 * The log tells where it was one of another goal. */
#define FNE_GOAL_LATENCY 1

/** All pixels of an image are decoded. */
#define FNE_DECODE_FULL 0
/** Large photographs are decoded at a part of their size. From a baseline JPEG of 12 megapixels to an input of 224 x
 * 224 that is 2.5 times as fast, and 5 times for one that is turned. A JPEG is decoded at the smallest of the scales
 * 1/8, 1/4, 1/2 and 1 that leaves at least twice the size that the image is resized to, in both directions. Other
 * formats are decoded as a whole. Then every image is resized with a mean of all the pixels that a new one covers:
 * FNE_INTERPOLATION_BILINEAR becomes FNE_INTERPOLATION_ANTIALIASED. This holds for small images and for
 * fne_extract_pixels(), too. The limits of fne_image_options are those of the whole image. Rows are not those of
 * FNE_DECODE_FULL (docs/numerics.md). */
#define FNE_DECODE_SCALED 1

/** How images become rows. */
typedef struct fne_extractor_options {
    uint64_t struct_size;      /**< set by fne_extractor_options_init() */
    const char *input_tensor;  /**< the tensor that is fed, with or without "import/" and ":0". NULL: the graph's only
                                    placeholder that can take images: [n, H, W, 3] or [n, H, W, 1] of real numbers,
                                    uint8, or whole numbers of 16 to 64 bits. One with a default value counts where
                                    there is no other, and after that one of unknown rank. Where the graph reads whole
                                    numbers, these are the pixels. */
    const char *const *layers; /**< layer_count selectors. A selector is the name of a tensor, a glob, "all",
                                    "penultimate" or "last:25%". A glob selects among the names of the default layers
                                    and the classifier's (`*` any run, `?` one character, `[abc]`, `[a-c]`, `[!abc]`).
                                    "all" selects the default layers and the classifier's. "last:25%" selects the last
                                    ceil(0.25 L) of the L default layers. "penultimate" selects what classifiers read:
                                    the default layers whose outputs it is, such as the branches of the last block, or
                                    else the tensor itself, averaged over height and width as any layer. The rows hold
                                    the layers in the order of the selectors, and those of one selector in graph order.
                                    A layer that several selectors select stands once. Its exact name may be given once
                                    only. */
    uint64_t layer_count;      /**< number of layers, at most 2^20. 0: all default layers. */
    uint32_t height;           /**< height of the input in pixels, 1 to 16384. 0: as the graph's placeholder says. */
    uint32_t width;            /**< width of the input, as height */
    int32_t channel_order;     /**< what the network is fed with: FNE_CHANNELS_RGB or FNE_CHANNELS_BGR */
    float mean[3];             /**< value fed = (pixel - mean) * scale, in float32, for each channel in the order fed.
                                    Pixels are 0 to 255. Must be finite. The default is 0. */
    float scale[3];            /**< see mean. Must be finite and not 0. The default is 1. */
    uint32_t batch_size;       /**< rows per run of the network, at most 65536. 0: as the graph's placeholder says, else
                                    4, or 2 in float32 where a layer's map has at least 4 MiB per image and the graph
                                    at most 32 MiB, and fewer where a call has too few images to keep all streams
                                    busy. */
    uint32_t loader_threads;   /**< threads that read, decode and resize, at most 1024. 0: one per processor, at most
                                    16. */
    uint32_t engine_threads;   /**< threads that the engine spreads one operation over, at most 1024. 0: 1, or as goal
                                    says. On TensorFlow the first extractor of a process decides. The log tells where
                                    another number is asked for. */
    int32_t on_error;          /**< FNE_ON_ERROR_FAIL or FNE_ON_ERROR_SKIP */
    int32_t resize_mode;       /**< FNE_RESIZE_STRETCH or FNE_RESIZE_SHORTEST_SIDE */
    int32_t interpolation;     /**< FNE_INTERPOLATION_BILINEAR to FNE_INTERPOLATION_BICUBIC */
    uint32_t crops;            /**< parts of each image that are embedded, each as a row of its own. 0 or 1: the centre.
                                    10: the four corners, the centre, and these five of the mirrored image (TenCrop
                                    order). */
    uint32_t resize_height;    /**< height in pixels that images are resized to before they are cropped to height and
                                    width, from height to 32768. 0: height, with ten crops 8/7 of it (256 for 224). */
    uint32_t resize_width;     /**< the same for the width */
    uint32_t streams;          /**< batches that are in the network at once, each on a thread of its own, at most 1024.
                                    0: one per processor, or the processors divided by engine_threads, at most 64. */
    const fne_image_options *image_options; /**< NULL stands for the defaults */
    int32_t precision;                      /**< FNE_PRECISION_FLOAT32 or FNE_PRECISION_BFLOAT16 */
    int32_t float32_layers;    /**< with bfloat16, the number of layers, from the first on, that stay float32, -1 or
                                    more. -1 (default): 2. */
    const char *device;        /**< "cpu", "gpu" or "gpu:1". NULL: TensorFlow's first GPU, if it has one, else the CPU.
                                    On a GPU the default batch_size is 32 and the default of streams is 2. */
    int32_t gpu_memory_growth; /**< 1: take the GPU's memory as it is needed, instead of nearly all of it at once. The
                                    first session of a process decides. */
    int32_t pad_batches;       /**< 1: fill a batch that has too few images up with zeros, so that the network always
                                    sees batch_size rows. A row's bits then do not depend on how many images a call has,
                                    unless fne_input_info::batch_warning says otherwise.
                                    A call for a single frame then costs as much as a whole batch, which is by default
                                    two to four times as much. Set goal to FNE_GOAL_LATENCY, or batch_size to 1, for
                                    single frames. 0 (default): batches may be shorter. */
    const char *const *feeds;  /**< feed_count values for inputs beside the image, in addition to those of the model
                                    (fne_model_options) */
    uint64_t feed_count;       /**< number of feeds, at most 2^20. 0 (default): none. */
    uint32_t channels;      /**< numbers per pixel that the network is fed with: 3, or 1 for grey. The grey of a pixel
                                 is that of OpenCV's cvtColor, of the resized image. channel_order has no effect on
                                 it, and mean[0] and scale[0] apply. 0: as the graph's placeholder says, else 3. */
    uint32_t reserved;      /**< 0 */
    int32_t token_pooling;  /**< what is taken of a layer [n, tokens, C]: FNE_TOKENS_MEAN (default) to
                                 FNE_TOKENS_FIRST_AND_REST. Other layers do not depend on it. */
    uint32_t prefix_tokens; /**< tokens that stand before the image's own, such as class and register tokens, at most
                                 65536. FNE_TOKENS_REST and FNE_TOKENS_FIRST_AND_REST leave them out of the mean.
                                 0: 1. */
    fne_image_decoder_fn decoder; /**< decodes what libfne does not read itself. It must be callable until the extractor
                                       or the job is closed. NULL (default): such images are FNE_UNSUPPORTED_IMAGE. */
    void *decoder_user;           /**< handed to decoder */
    int32_t goal;                 /**< what batch_size, streams and engine_threads are for where they are 0:
                                       FNE_GOAL_THROUGHPUT (default) or FNE_GOAL_LATENCY */
    uint32_t reserved_goal;       /**< 0 */
    int32_t decode;               /**< FNE_DECODE_FULL (default) or FNE_DECODE_SCALED */
    uint32_t reserved_decode;     /**< 0 */
} fne_extractor_options;

/** Fills a struct with the defaults.
 * \param[out] options     the struct, whose struct_size is set, too
 * \param[in] struct_size  sizeof(fne_extractor_options)
 * \since 2.0 */
FNE_API void fne_extractor_options_init(fne_extractor_options *options, uint64_t struct_size);

/** Opens the engine that runs the model, and loads its library if it is not loaded yet. That is TensorFlow for a
 * GraphDef, and ONNX Runtime for an ONNX file. Pooling and concatenation are added to the graph, so that one run for a
 * batch gives one float32 [n, F] matrix. A tensor [n, H, W, C], or [n, C, H, W] of an ONNX file, is
 * averaged over H and W. A tensor [n, C] is taken as it is. Of a tensor [n, tokens, C], token_pooling says what is
 * taken. Other tensors [n, .., C] are averaged over all axes in between. Tensors of float64, float16 and bfloat16 are
 * cast to float32 before they are summed. float32 is fed, and cast to the type of the graph's input.
 *
 * A layer may have several rows per image, as [n * tokens, C] and [n * windows, tokens, C] do in transformers. The
 * features of an image are the mean of its rows. Rows of [n * tokens, C] are tokens, for which token_pooling holds.
 * Windows have none. Where the graph does not show that a layer has one row per image, this function runs the network
 * on a few images of noise. It must find that the rows of an image follow each other, and do not depend on the other
 * images. An ONNX network is run so too, unless its operators show it. Its layers may also have the images on another
 * axis, as [tokens, n, C].
 *
 * On ONNX Runtime precision is FNE_PRECISION_FLOAT32, the device is the CPU, batch_size is 2 by default, and there are
 * no feeds.
 *
 * \param[in] model       the model, which may be closed afterwards
 * \param[in] options     NULL stands for the defaults. What it points to is copied.
 * \param[out] extractor  receives the extractor, which fne_extractor_close() frees
 * \return FNE_OK or an error
 * \retval FNE_INVALID_ARGUMENT     also where height, width, channels or batch_size differs from the graph's own, where
 *                                  neither says the height or the width, where the input is of whole numbers and mean
 *                                  is not 0 or scale not 1, where an exact name is given twice, where a feed cannot be
 *                                  taken or an input beside the image has no value, where there is no such GPU,
 *                                  or where ONNX Runtime cannot follow an option
 * \retval FNE_UNKNOWN_TENSOR       there is no such input or layer (the message lists the nearest names), or no layer
 *                                  at all, or input_tensor is NULL and not exactly one placeholder can take images (the
 *                                  message lists them)
 * \retval FNE_UNSUPPORTED_TENSOR   the input is neither [n, H, W, 3] nor [n, H, W, 1], or of a type that cannot hold
 *                                  pixels, a layer is not of real numbers, the rows of a layer cannot be told apart by
 *                                  image, the graph works in the layout NCHW, or F is above 2^31 - 1
 * \retval FNE_INVALID_GRAPH        the part of the graph that the layers need asks for impossible sizes, is not frozen,
 *                                  or its weights do not fit their shape
 * \retval FNE_UNSAFE_GRAPH         in that part an operation is not on the list. The message names the node and the
 *                                  operation.
 * \retval FNE_BACKEND_UNAVAILABLE  as fne_engine_load()
 * \retval FNE_BACKEND_CONFLICT     as fne_engine_load()
 * \retval FNE_BACKEND_ERROR        the engine refuses the network or the device
 * \retval FNE_FORKED               as fne_engine_load()
 * \since 2.0 */
FNE_API fne_status fne_extractor_open(const fne_model *model, const fne_extractor_options *options,
                                      fne_extractor **extractor);

/** Frees an extractor.
 * \param[in] extractor  may be NULL
 * \since 2.0 */
FNE_API void fne_extractor_close(fne_extractor *extractor);

/** F, the number of features of a row.
 * \param[in] extractor  the extractor
 * \param[out] count     receives F
 * \return FNE_OK
 * \since 2.0 */
FNE_API fne_status fne_extractor_feature_count(const fne_extractor *extractor, uint64_t *count);

/** The number of layers of a row.
 * \param[in] extractor  the extractor
 * \param[out] count     receives the number
 * \return FNE_OK
 * \since 2.0 */
FNE_API fne_status fne_extractor_layer_count(const fne_extractor *extractor, uint64_t *count);

/** A layer's place in the row. */
typedef struct fne_layer_info {
    uint64_t struct_size;   /**< set by fne_layer_info_init() */
    const char *name;       /**< the layer's tensor. The string lives until the extractor is closed. */
    int32_t kind;           /**< FNE_KIND_OTHER to FNE_KIND_INPUT */
    int32_t rank;           /**< the tensor's. 2: taken as it is. 3: as token_pooling says. 4: averaged over height and
                                 width. */
    uint64_t first_feature; /**< the layer's columns are first_feature to first_feature + feature_count - 1 */
    uint64_t feature_count; /**< the number of the layer's columns */
} fne_layer_info;

/** Fills a struct with zeros.
 * \param[out] info        the struct, whose struct_size is set
 * \param[in] struct_size  sizeof(fne_layer_info)
 * \since 2.0 */
FNE_API void fne_layer_info_init(fne_layer_info *info, uint64_t struct_size);

/** Describes a layer, in the order of the row's columns.
 *
 * \param[in] extractor  the extractor
 * \param[in] index      0 to count - 1
 * \param[in,out] info   receives the facts. Its struct_size must be set.
 * \return FNE_OK, or FNE_INVALID_ARGUMENT for an index beyond the layers
 * \since 2.0 */
FNE_API fne_status fne_extractor_layer_info(const fne_extractor *extractor, uint64_t index, fne_layer_info *info);

/** What an extractor feeds: its options, with the defaults that were taken. */
typedef struct fne_input_info {
    uint64_t struct_size;      /**< set by fne_input_info_init() */
    const char *name;          /**< the tensor that is fed. The string lives until the extractor is closed. */
    uint32_t height;           /**< of the network's input, in pixels */
    uint32_t width;            /**< of the network's input, in pixels */
    uint32_t batch_size;       /**< rows per run of the network, at most */
    uint32_t rows_per_image;   /**< 1, or 10 with ten crops */
    uint32_t streams;          /**< batches that are in the network at once */
    uint32_t channels;         /**< numbers per pixel: 3, or 1 for grey */
    const char *batch_warning; /**< a sentence that names what makes a row depend on the other images of its batch, such
                                    as batch normalization in training mode. The log gets it too, as a warning, when the
                                    extractor is opened. The string lives until the extractor is closed. NULL where
                                    nothing is known to do so, and where batch_size is 1. */
    int32_t whole_numbers;     /**< 1: the network reads whole numbers, such as uint8. It is fed with the pixels as they
                                    are, so that mean must be 0 and scale 1. */
    int32_t reserved;          /**< 0 */
} fne_input_info;

/** Fills a struct with zeros.
 * \param[out] info        the struct, whose struct_size is set
 * \param[in] struct_size  sizeof(fne_input_info)
 * \since 2.0 */
FNE_API void fne_input_info_init(fne_input_info *info, uint64_t struct_size);

/** Describes what the extractor feeds.
 * \param[in] extractor  the extractor
 * \param[in,out] info   receives the facts. Its struct_size must be set.
 * \return FNE_OK
 * \since 2.0 */
FNE_API fne_status fne_extractor_input_info(const fne_extractor *extractor, fne_input_info *info);

/** Tells what the last bits of a row can depend on beside the model and the options: the engine and its version, the
 * device, the processor's features, the variables that change the engine's arithmetic, and libfne's version. The
 * manifest of a job records the same under "engines". Rows of two extractors that differ in it may differ in their last
 * bits, so do not mix them in one data set.
 * \param[in] extractor  the extractor
 * \param[out] facts     receives a JSON object on one line. It lives until the extractor is closed.
 * \return FNE_OK
 * \since 2.0 */
FNE_API fne_status fne_extractor_engine(const fne_extractor *extractor, const char **facts);

/** Describes what a model reads, before an extractor is opened. Sizes that the network leaves open are 0, and so are
 * rows_per_image and streams. batch_size is the only one that the network takes, or 0. There is no batch_warning. The
 * name lives until the model is closed. It is NULL for a tensor that is not in the model's table.
 *
 * \param[in] model         the model
 * \param[in] input_tensor  as in fne_extractor_options. NULL: the network's only input that can take images.
 * \param[in,out] info      receives the facts. Its struct_size must be set.
 * \return FNE_OK or an error
 * \retval FNE_UNKNOWN_TENSOR      there is no such input, or more than one could be meant
 * \retval FNE_UNSUPPORTED_TENSOR  images cannot be fed to the input
 * \since 2.0 */
FNE_API fne_status fne_model_input_info(const fne_model *model, const char *input_tensor, fne_input_info *info);

/** Called on the calling thread after each batch, also after the last one.
 * \param[in] user   the run's user
 * \param[in] done   images that are done
 * \param[in] total  images of the call
 * \return 0 to go on, another value to cancel the call (FNE_CANCELLED) */
typedef int32_t (*fne_progress_fn)(void *user, uint64_t done, uint64_t total);

/** Called on the calling thread, in order, for each image that is skipped (FNE_ON_ERROR_SKIP) or that a job cannot
 * embed.
 * \param[in] user     the run's user, or the reports'
 * \param[in] index    of the image in the call, or in the job
 * \param[in] status   the image's error
 * \param[in] message  the error's sentence. The string lives during the call. */
typedef void (*fne_image_error_fn)(void *user, uint64_t index, fne_status status, const char *message);

/** What the rows of a skipped image hold in int8 codes. */
#define FNE_SKIPPED_CODE (-128)

/** What a call reports, and what it makes beside the features. */
typedef struct fne_extract_run {
    uint64_t struct_size;           /**< set by fne_extract_run_init() */
    fne_progress_fn progress;       /**< may be NULL */
    fne_image_error_fn image_error; /**< may be NULL */
    void *user;                     /**< handed to both */
    fne_status *statuses;           /**< receives one status per image. It is the error of an image that was skipped or
                                         that ended the call. For all others it is FNE_OK, also where the call did not
                                         come to them. May be NULL. */
    uint64_t statuses_capacity;     /**< of statuses, in elements */
    int8_t *codes;                  /**< receives int8 codes of features' shape. Each row is what fne_ternarize() makes
                                         of it with mean and std. A skipped image's rows hold FNE_SKIPPED_CODE. features
                                         may then be NULL, and no float row is kept. NULL: no codes. */
    uint64_t codes_capacity;        /**< of codes, in elements */
    const double *mean;             /**< float64 [statistics_size], as fne_ternarize() takes it. Needed for codes and
                                         packed. */
    const double *std;              /**< as mean */
    uint64_t statistics_size;       /**< of mean and of std, in elements. It must be F. */
    const struct fne_ternarize_options *ternarize_options; /**< NULL stands for the defaults */
    uint64_t *packed;         /**< receives the codes packed, as fne_pack() makes them. A skipped image's rows
                                   hold 0. Needs mean and std. codes may then be NULL, and no int8 matrix is kept.
                                   NULL: no packed codes. */
    uint64_t packed_capacity; /**< of packed, in elements */
    uint64_t rows_done;       /**< out: the first rows_done rows are final, also when the call fails. They belong
                                   to rows_done / rows_per_image images, or in fne_extract_tensor() to rows_done.
                                   It stays as it was where the arguments are refused. */
} fne_extract_run;

/** Fills a struct with zeros.
 * \param[out] run         the struct, whose struct_size is set
 * \param[in] struct_size  sizeof(fne_extract_run)
 * \since 2.0 */
FNE_API void fne_extract_run_init(fne_extract_run *run, uint64_t struct_size);

/** Embeds image files. Row i of features becomes the pooled activations of image i. With ten crops, image i has ten
 * rows, from row 10 * i on.
 *
 * Images are decoded as fne_image_decode() does, resized as fne_image_resize() does, cropped, and turned into float32
 * as the options say. Loader threads work while the network runs. However many images there are, the library's own
 * memory is that of streams + 2 batches.
 *
 * With FNE_ON_ERROR_SKIP the errors of single images are recorded, FNE_NOT_FINITE among them. The call then returns
 * FNE_OK even where no image is good. FNE_IO_ERROR and FNE_OUT_OF_MEMORY always end the call, because the image may be
 * good.
 *
 * \param[in] extractor  the extractor
 * \param[in] paths      count paths
 * \param[in] count      images, at least 1
 * \param[out] features  receives float32 [count * rows_per_image, F]. The memory may be of any kind, also a mapped
 *                       file. After an error, the rows after rows_done are unspecified. May be NULL where run has codes
 *                       or packed.
 * \param[in] capacity   of features in elements. count * rows_per_image * F are needed.
 * \param[in,out] run    may be NULL
 * \return FNE_OK, an error of fne_image_decode() (the message names the image), or
 * \retval FNE_BUFFER_TOO_SMALL    the capacity of features, or of one of the run's arrays, is too small
 * \retval FNE_SHAPE_MISMATCH      the run's statistics_size is not F
 * \retval FNE_NOT_FINITE          the network gave NaN or infinity. The message names image, layer and feature.
 * \retval FNE_UNSUPPORTED_TENSOR  a layer's first dimension turns out not to be that of the images
 * \retval FNE_CANCELLED           the progress function asked for it
 * \retval FNE_BACKEND_ERROR       the engine failed
 * \retval FNE_FORKED              the extractor was opened before this process was forked
 * \since 2.0 */
FNE_API fne_status fne_extract_files(const fne_extractor *extractor, const char *const *paths, uint64_t count,
                                     float *features, uint64_t capacity, fne_extract_run *run);

/** Embeds image files and computes their own statistics. The codes are made with the mean and the population's standard
 * deviation over the images' rows. The float32 rows wait in memory until all images are read. For sets that are larger
 * than memory see fne_job_open().
 *
 * \param[in] extractor            the extractor
 * \param[in] paths                count paths
 * \param[in] count                images, at least 1
 * \param[out] codes               receives int8 [count * rows_per_image, F]. A skipped image's rows hold
 *                                 FNE_SKIPPED_CODE.
 * \param[in] codes_capacity       of codes, in elements
 * \param[out] mean                receives float64 [F]
 * \param[out] std                 receives float64 [F]. After an error, codes, mean and std are unspecified.
 * \param[in] statistics_capacity  of mean and of std, in elements
 * \param[in,out] run              may be NULL. Of its members progress, image_error, user, statuses and
 *                                 ternarize_options are taken. codes, packed, mean and std must be NULL. rows_done is
 *                                 all rows or 0.
 * \return FNE_OK or an error as fne_extract_files() returns it. With FNE_ON_ERROR_SKIP it is the first image's error
 *         where no image is good.
 * \since 2.0 */
FNE_API fne_status fne_embed_files(const fne_extractor *extractor, const char *const *paths, uint64_t count,
                                   int8_t *codes, uint64_t codes_capacity, double *mean, double *std,
                                   uint64_t statistics_capacity, fne_extract_run *run);

/** An encoded image in memory. This struct never changes. */
typedef struct fne_encoded_image {
    const uint8_t *bytes; /**< a JPEG or PNG */
    uint64_t size;        /**< its size in bytes */
} fne_encoded_image;

/** As fne_extract_files(), for JPEG or PNG data in memory.
 *
 * \param[in] extractor  the extractor
 * \param[in] images     count images. Where the bytes of one are NULL, the call is FNE_INVALID_ARGUMENT before anything
 *                       is embedded.
 * \param[in] count      images, at least 1
 * \param[out] features  receives float32 [count * rows_per_image, F]. May be NULL where run has codes or packed.
 * \param[in] capacity   of features in elements
 * \param[in,out] run    may be NULL
 * \return FNE_OK or an error as fne_extract_files() returns it, except FNE_FILE_ERROR
 * \since 2.0 */
FNE_API fne_status fne_extract_encoded(const fne_extractor *extractor, const fne_encoded_image *images, uint64_t count,
                                       float *features, uint64_t capacity, fne_extract_run *run);

/** Decoded pixels in memory, uint8 [height, width, 3]. This struct never changes. */
typedef struct fne_pixel_image {
    const uint8_t *pixels; /**< the first row's first byte */
    uint64_t row_stride;   /**< bytes from one row to the next, at least width * 3. 0: width * 3. */
    uint32_t height;       /**< number of rows, 1 to 2^28 */
    uint32_t width;        /**< pixels per row, 1 to 2^28 */
    int32_t channel_order; /**< of these pixels: FNE_CHANNELS_RGB or FNE_CHANNELS_BGR */
    int32_t reserved;      /**< 0 */
} fne_pixel_image;

/** As fne_extract_files(), for decoded pixels. Of the image options, max_pixels limits what an image is resized to with
 * FNE_RESIZE_SHORTEST_SIDE.
 *
 * \param[in] extractor  the extractor
 * \param[in] images     count images. Where one breaks a rule of fne_pixel_image, the call is FNE_INVALID_ARGUMENT
 *                       before anything is embedded.
 * \param[in] count      images, at least 1
 * \param[out] features  receives float32 [count * rows_per_image, F]. May be NULL where run has codes or packed.
 * \param[in] capacity   of features in elements
 * \param[in,out] run    may be NULL
 * \return FNE_OK or an error as fne_extract_files() returns it. Of the errors of images only FNE_IMAGE_LIMIT can occur.
 * \since 2.0 */
FNE_API fne_status fne_extract_pixels(const fne_extractor *extractor, const fne_pixel_image *images, uint64_t count,
                                      float *features, uint64_t capacity, fne_extract_run *run);

/** As fne_extract_files(), for numbers that are fed to the network as they are. The options' crops, channel order, mean
 * and scale are not applied, and each of the count inputs is one row.
 *
 * \param[in] extractor   the extractor
 * \param[in] input       float32 [count, height, width, channels], as fne_extractor_input_info() tells
 * \param[in] input_size  of input in elements
 * \param[in] count       rows, at least 1
 * \param[out] features   receives float32 [count, F]. May be NULL where run has codes or packed.
 * \param[in] capacity    of features in elements
 * \param[in,out] run     may be NULL
 * \return FNE_OK or an error as fne_extract_files() returns it, except those of files and images, or
 * \retval FNE_NOT_FINITE        also for NaN or infinity in input
 * \retval FNE_SHAPE_MISMATCH    also where input_size is not count * height * width * channels
 * \retval FNE_INVALID_ARGUMENT  also where the network reads whole numbers and a number of a row is not whole, or does
 *                               not fit their type, such as 0 to 255. The message names the row.
 * \since 2.0 */
FNE_API fne_status fne_extract_tensor(const fne_extractor *extractor, const float *input, uint64_t input_size,
                                      uint64_t count, float *features, uint64_t capacity, fne_extract_run *run);

/** What the network would be fed with for an image: its pixels, resized, cropped and turned into numbers as the options
 * say. fne_extract_tensor() takes the result. TensorFlow is not used, so this also works where an extraction is
 * FNE_FORKED.
 *
 * \param[in] extractor  the extractor
 * \param[in] image      the pixels
 * \param[out] fed       receives float32 [rows_per_image, height, width, channels]
 * \param[in] capacity   of fed in elements
 * \return FNE_OK, FNE_BUFFER_TOO_SMALL, or FNE_IMAGE_LIMIT as fne_extract_pixels()
 * \since 2.0 */
FNE_API fne_status fne_extractor_preprocess(const fne_extractor *extractor, const fne_pixel_image *image, float *fed,
                                            uint64_t capacity);

/** \} */

/* --------------------------------------------------------------------------------------------------- statistics */

/** \defgroup statistics Statistics
 * Exact sums. Only one thread at a time may use an object, also by functions that take it const, as they tidy it up
 * inside.
 * \{ */

#define FNE_FEW_IMAGES 10 /**< The log warns of codes by statistics of fewer images: of two, codes are opposites. */

/** The count, the sum and the sum of squares of each of F features, kept without rounding. Mean and standard deviation
 * are therefore the same bits whatever the order of the rows, the batches, the merges and the machine. An object takes
 * 216 bytes per feature, and at most 2^40 rows. */
typedef struct fne_statistics fne_statistics;

/** Makes an object that has seen no rows.
 *
 * \param[in] feature_count  F, 1 to 2^31 - 1
 * \param[out] statistics    receives the object, which fne_statistics_close() frees
 * \return FNE_OK
 * \since 2.0 */
FNE_API fne_status fne_statistics_open(uint64_t feature_count, fne_statistics **statistics);

/** Frees an object.
 * \param[in] statistics  may be NULL
 * \since 2.0 */
FNE_API void fne_statistics_close(fne_statistics *statistics);

/** Adds rows. Where there are many features, threads of the library's own share the work. They end with the call.
 *
 * \param[in,out] statistics  the object. After an error it has taken none of the rows.
 * \param[in] rows            float32 [row_count, feature_count]. May be NULL where row_count is 0.
 * \param[in] row_count       number of rows. 0 does nothing.
 * \param[in] feature_count   must be the object's F
 * \return FNE_OK or an error
 * \retval FNE_SHAPE_MISMATCH    feature_count is not F
 * \retval FNE_NOT_FINITE        NaN or infinity. The message names row and feature.
 * \retval FNE_INVALID_ARGUMENT  also for more than 2^40 rows in all
 * \since 2.0 */
FNE_API fne_status fne_statistics_update(fne_statistics *statistics, const float *rows, uint64_t row_count,
                                         uint64_t feature_count);

/** Adds what another object has seen.
 *
 * \param[in,out] statistics  the object
 * \param[in] source          the other object, which keeps what it has seen. No other thread may use it meanwhile. It
 *                            may be the object itself, which doubles it.
 * \return FNE_OK or an error
 * \retval FNE_SHAPE_MISMATCH    the feature counts differ
 * \retval FNE_INVALID_ARGUMENT  also for more than 2^40 rows in all
 * \since 2.0 */
FNE_API fne_status fne_statistics_merge(fne_statistics *statistics, const fne_statistics *source);

/** What an object has seen.
 *
 * \param[in] statistics      the object
 * \param[out] rows           receives the number of rows seen. May be NULL.
 * \param[out] feature_count  receives F. May be NULL.
 * \return FNE_OK
 * \since 2.0 */
FNE_API fne_status fne_statistics_count(const fne_statistics *statistics, uint64_t *rows, uint64_t *feature_count);

/** Mean and standard deviation of each feature, each rounded once from the exact value. The standard deviation of a
 * constant feature is exactly 0.
 *
 * \param[in] statistics  the object
 * \param[out] mean       receives float64 [F]. May be NULL.
 * \param[out] std        receives float64 [F]. May be NULL.
 * \param[in] capacity    of each, in elements. It does not matter where both are NULL.
 * \param[in] ddof        delta degrees of freedom. The variance is the sum of squared deviations over (rows - ddof), so
 *                        0 is the population's and 1 the sample's.
 * \return FNE_OK, FNE_BUFFER_TOO_SMALL, or FNE_INVALID_ARGUMENT also where rows <= ddof
 * \since 2.0 */
FNE_API fne_status fne_statistics_moments(const fne_statistics *statistics, double *mean, double *std,
                                          uint64_t capacity, uint32_t ddof);

/** The number of bytes that fne_statistics_save() writes: 216 F + 40.
 * \param[in] statistics  the object
 * \param[out] size       receives the number
 * \return FNE_OK
 * \since 2.0 */
FNE_API fne_status fne_statistics_size(const fne_statistics *statistics, uint64_t *size);

/** Writes the object to bytes, in the versioned format of docs/numerics.md. Equal states give equal bytes.
 *
 * \param[in] statistics  the object
 * \param[out] bytes      receives as many bytes as fne_statistics_size() tells
 * \param[in] capacity    of bytes
 * \return FNE_OK or FNE_BUFFER_TOO_SMALL
 * \since 2.0 */
FNE_API fne_status fne_statistics_save(const fne_statistics *statistics, uint8_t *bytes, uint64_t capacity);

/** Reads what fne_statistics_save() wrote.
 *
 * \param[in] bytes        what was saved
 * \param[in] size         its size in bytes
 * \param[out] statistics  receives the object, which fne_statistics_close() frees
 * \return FNE_OK or FNE_INVALID_DATA
 * \since 2.0 */
FNE_API fne_status fne_statistics_load(const uint8_t *bytes, uint64_t size, fne_statistics **statistics);

/** \} */

/* ---------------------------------------------------------------------------------------------------- embedding */

/** \defgroup embedding Embedding
 * From features to codes. Any number of threads may call these functions at once.
 * \{ */

/** Standardizes: z = (x - mean) / std, computed in float64. z is 0 where std is 0.
 *
 * \param[in] x              float32 [row_count, feature_count]. May hold infinities.
 * \param[in] row_count      rows, at least 1
 * \param[in] feature_count  features, at least 1
 * \param[in] mean           float64 [feature_count], finite
 * \param[in] std            float64 [feature_count], finite, at least 0
 * \param[out] z             receives float64 [row_count, feature_count]
 * \param[in] capacity       of z in elements
 * \return FNE_OK or an error
 * \retval FNE_BUFFER_TOO_SMALL  the capacity of z is too small
 * \retval FNE_NOT_FINITE        a NaN in x. The message names row and feature.
 * \retval FNE_INVALID_ARGUMENT  also for a mean or std out of its range
 * \since 2.0 */
FNE_API fne_status fne_standardize(const float *x, uint64_t row_count, uint64_t feature_count, const double *mean,
                                   const double *std, double *z, uint64_t capacity);

/** The documented function's rules. A code is 1 where z > upper, -1 where z < lower, else 0, with z as in
 * fne_standardize(). */
#define FNE_RULES_DOCUMENTED 0
/** The rules of the fne 1.x package (PyTorch). z = (x - mean) / std is computed in float32, also where std is 0, and
 * the thresholds are rounded to float32. A code is 1 where z > upper or z is NaN (0/0), -1 where z <= lower, else 0. */
#define FNE_RULES_TORCH 1

/** Where codes change. */
typedef struct fne_ternarize_options {
    uint64_t struct_size; /**< set by fne_ternarize_options_init() */
    double lower;         /**< the lower threshold, finite. The default is -0.25. */
    double upper;         /**< the upper threshold, finite, at least lower. The default is 0.15. */
    int32_t rules;        /**< FNE_RULES_DOCUMENTED or FNE_RULES_TORCH */
    int32_t reserved;     /**< 0 */
} fne_ternarize_options;

/** Fills a struct with the defaults.
 * \param[out] options     the struct, whose struct_size is set, too
 * \param[in] struct_size  sizeof(fne_ternarize_options)
 * \since 2.0 */
FNE_API void fne_ternarize_options_init(fne_ternarize_options *options, uint64_t struct_size);

/** Standardizes and discretizes to -1, 0 and 1.
 *
 * \param[in] x              float32 [row_count, feature_count]. May hold infinities.
 * \param[in] row_count      rows, at least 1
 * \param[in] feature_count  features, at least 1
 * \param[in] mean           float64 [feature_count], finite. With FNE_RULES_TORCH also within the range of float32.
 * \param[in] std            float64 [feature_count], as mean, and at least 0
 * \param[in] options        NULL stands for the defaults
 * \param[out] codes         receives int8 [row_count, feature_count], which is unspecified after an error
 * \param[in] capacity       of codes in elements
 * \return FNE_OK or an error
 * \retval FNE_BUFFER_TOO_SMALL  the capacity of codes is too small
 * \retval FNE_NOT_FINITE        a NaN in x, by either rules. The message names row and feature.
 * \retval FNE_INVALID_ARGUMENT  also for a mean or std out of its range
 * \since 2.0 */
FNE_API fne_status fne_ternarize(const float *x, uint64_t row_count, uint64_t feature_count, const double *mean,
                                 const double *std, const fne_ternarize_options *options, int8_t *codes,
                                 uint64_t capacity);

/** Divides each row by its Euclidean (L2) norm, computed in float64: y = x / max(norm, 1e-12), as the fne 1.x package's
 * L2Norm.
 *
 * \param[in] x              float32 [row_count, feature_count]
 * \param[in] row_count      rows, at least 1
 * \param[in] feature_count  features, at least 1
 * \param[out] y             receives float32 [row_count, feature_count]. May be x.
 * \param[in] capacity       of y in elements
 * \return FNE_OK or an error
 * \retval FNE_BUFFER_TOO_SMALL  the capacity of y is too small
 * \retval FNE_NOT_FINITE        NaN or infinity in x. The message names row and feature.
 * \since 2.0 */
FNE_API fne_status fne_l2_normalize(const float *x, uint64_t row_count, uint64_t feature_count, float *y,
                                    uint64_t capacity);

/** \} */

/* -------------------------------------------------------------------------------------------------------- codes */

/** \defgroup codes Packed codes
 * Ternary codes as two bits per feature: uint64 [rows, 2, W], where W is (F + 63) / 64 words. A row has two planes of W
 * words. Bit f % 64 of word f / 64 of the first plane says that code f is not 0. The same bit of the second plane says
 * that code f is -1. The bits after the last feature are 0, and so are those of the second plane where the first plane
 * has 0. This is not checked. See docs/codes.md. Any number of threads may call these functions at once.
 * \{ */

/** The words of a row: 2 W.
 * \param[in] feature_count  F, 1 to 2^31 - 1
 * \param[out] words         receives the number
 * \return FNE_OK
 * \since 2.0 */
FNE_API fne_status fne_packed_words(uint64_t feature_count, uint64_t *words);

/** Packs codes.
 *
 * \param[in] codes          int8 [row_count, feature_count] of -1, 0 and 1. FNE_SKIPPED_CODE becomes 0.
 * \param[in] row_count      rows, at least 1
 * \param[in] feature_count  features, 1 to 2^31 - 1
 * \param[out] packed        receives row_count * 2 W words, which are unspecified after an error
 * \param[in] capacity       of packed in elements
 * \return FNE_OK, FNE_BUFFER_TOO_SMALL, or FNE_INVALID_ARGUMENT also for another value, whose row and feature the
 *         message names
 * \since 2.0 */
FNE_API fne_status fne_pack(const int8_t *codes, uint64_t row_count, uint64_t feature_count, uint64_t *packed,
                            uint64_t capacity);

/** Unpacks codes.
 *
 * \param[in] packed         row_count * 2 W words
 * \param[in] row_count      rows, at least 1
 * \param[in] feature_count  features, 1 to 2^31 - 1
 * \param[out] codes         receives int8 [row_count, feature_count]
 * \param[in] capacity       of codes in elements
 * \return FNE_OK or FNE_BUFFER_TOO_SMALL
 * \since 2.0 */
FNE_API fne_status fne_unpack(const uint64_t *packed, uint64_t row_count, uint64_t feature_count, int8_t *codes,
                              uint64_t capacity);

/** The dot products of all rows of a with all rows of b, which are a block of the Gram matrix. The result is the same
 * whatever the number of threads.
 *
 * \param[in] a              a_count * 2 W words. May be b.
 * \param[in] a_count        rows of a, at least 1
 * \param[in] b              b_count * 2 W words
 * \param[in] b_count        rows of b, at least 1
 * \param[in] feature_count  features of both, 1 to 2^31 - 1
 * \param[in] threads        at most 1024. 0: one per processor, and fewer for little work.
 * \param[out] products      receives int32 [a_count, b_count]
 * \param[in] capacity       of products in elements
 * \return FNE_OK or FNE_BUFFER_TOO_SMALL
 * \since 2.0 */
FNE_API fne_status fne_packed_dot(const uint64_t *a, uint64_t a_count, const uint64_t *b, uint64_t b_count,
                                  uint64_t feature_count, uint32_t threads, int32_t *products, uint64_t capacity);

#define FNE_METRIC_DOT 0 /**< the dot product. The largest comes first. */
/** The cosine, dot product / sqrt(m * n). m and n are the numbers of features of the two rows that are not 0. The
 * cosine is 0 where one of them is 0. The largest comes first. */
#define FNE_METRIC_COSINE 1
#define FNE_METRIC_HAMMING 2 /**< the number of features that differ. The smallest comes first. */
/** The cosine of the codes less a mean code m: (q - m).(b - m) / (|q - m| |b - m|). It is 0 where one of the two rows
 * is m, which a row counts as whose squared distance to m is at most F / 2^30. The largest comes first. */
#define FNE_METRIC_CENTRED 3

/** The k best rows of a base for each query, the best first. Of rows that are equally good, the first of the base comes
 * first. The result is the same whatever the number of threads. The base is read once for all queries.
 *
 * \param[in] base           base_count * 2 W words
 * \param[in] base_count     rows of the base, at least 1
 * \param[in] queries        query_count * 2 W words. They may lie in the base.
 * \param[in] query_count    queries, at least 1
 * \param[in] feature_count  features of both, 1 to 2^31 - 1
 * \param[in] k              1 to base_count
 * \param[in] metric         FNE_METRIC_*. With FNE_METRIC_CENTRED the mean of the base is computed first, as by
 *                           fne_packed_search_centred() without a mean.
 * \param[in] threads        at most 1024. 0: one per processor, and fewer for little work.
 * \param[out] indices       receives uint64 [query_count, k], rows of the base
 * \param[out] scores        receives float64 [query_count, k]
 * \param[in] capacity       of each, in elements
 * \return FNE_OK or an error
 * \retval FNE_BUFFER_TOO_SMALL  the capacity of indices and scores is too small
 * \retval FNE_OUT_OF_MEMORY     the working memory cannot be had: 16 * k * query_count bytes per thread, and once more
 * \since 2.0 */
FNE_API fne_status fne_packed_search(const uint64_t *base, uint64_t base_count, const uint64_t *queries,
                                     uint64_t query_count, uint64_t feature_count, uint64_t k, int32_t metric,
                                     uint32_t threads, uint64_t *indices, double *scores, uint64_t capacity);

/** The mean of packed codes: for each feature the mean of its codes, computed in float64 and rounded to float32.
 *
 * \param[in] codes          row_count * 2 W words
 * \param[in] row_count      rows, at least 1
 * \param[in] feature_count  features, 1 to 2^31 - 1
 * \param[in] threads        at most 1024. 0: one per processor, and fewer for little work.
 * \param[out] mean          receives float32 [feature_count]
 * \param[in] capacity       of mean in elements
 * \return FNE_OK or an error
 * \retval FNE_BUFFER_TOO_SMALL  the capacity of mean is too small
 * \retval FNE_OUT_OF_MEMORY     the working memory cannot be had: 10 * feature_count bytes per thread
 * \since 2.0 */
FNE_API fne_status fne_packed_mean(const uint64_t *codes, uint64_t row_count, uint64_t feature_count, uint32_t threads,
                                   float *mean, uint64_t capacity);

/** The products of packed codes with a mean code m: c.m for each row. Keep those of a base, one number per row, for
 * fne_packed_search_centred(). They are the same whatever the number of threads and the processor. The values of m are
 * rounded to multiples of 2^-40, and to coarser ones with 2^22 features and more.
 *
 * \param[in] codes          row_count * 2 W words
 * \param[in] row_count      rows, at least 1
 * \param[in] feature_count  features, 1 to 2^31 - 1
 * \param[in] mean           float32 [feature_count], each from -1 to 1
 * \param[in] threads        at most 1024. 0: one per processor, and fewer for little work.
 * \param[out] offsets       receives float64 [row_count]
 * \param[in] capacity       of offsets in elements
 * \return FNE_OK or an error
 * \retval FNE_BUFFER_TOO_SMALL  the capacity of offsets is too small
 * \retval FNE_NOT_FINITE        NaN or infinity in mean. The message names the feature.
 * \retval FNE_INVALID_ARGUMENT  also where a value of mean is below -1 or above 1
 * \retval FNE_OUT_OF_MEMORY     the working memory cannot be had
 * \since 2.0 */
FNE_API fne_status fne_packed_offsets(const uint64_t *codes, uint64_t row_count, uint64_t feature_count,
                                      const float *mean, uint32_t threads, double *offsets, uint64_t capacity);

/** The dot products of all rows of a with all rows of b, less a mean code m: (a - m).(b - m). The result is the same
 * whatever the number of threads.
 *
 * \param[in] a              a_count * 2 W words. May be b.
 * \param[in] a_count        rows of a, at least 1
 * \param[in] b              b_count * 2 W words
 * \param[in] b_count        rows of b, at least 1
 * \param[in] feature_count  features of both, 1 to 2^31 - 1
 * \param[in] mean           float32 [feature_count], each from -1 to 1. NULL: the mean of b.
 * \param[in] threads        at most 1024. 0: one per processor, and fewer for little work.
 * \param[out] products      receives float64 [a_count, b_count]
 * \param[in] capacity       of products in elements
 * \return FNE_OK or an error
 * \retval FNE_BUFFER_TOO_SMALL  the capacity of products is too small
 * \retval FNE_NOT_FINITE        NaN or infinity in mean. The message names the feature.
 * \retval FNE_INVALID_ARGUMENT  also where a value of mean is below -1 or above 1
 * \retval FNE_OUT_OF_MEMORY     the working memory cannot be had
 * \since 2.0 */
FNE_API fne_status fne_packed_dot_centred(const uint64_t *a, uint64_t a_count, const uint64_t *b, uint64_t b_count,
                                          uint64_t feature_count, const float *mean, uint32_t threads, double *products,
                                          uint64_t capacity);

/** The k best rows of a base for each query by FNE_METRIC_CENTRED, with a mean and with numbers that were computed
 * before. The order, the threads and the base are as for fne_packed_search().
 *
 * \param[in] base           base_count * 2 W words
 * \param[in] base_count     rows of the base, at least 1
 * \param[in] queries        query_count * 2 W words. They may lie in the base.
 * \param[in] query_count    queries, at least 1
 * \param[in] feature_count  features of both, 1 to 2^31 - 1
 * \param[in] k              1 to base_count
 * \param[in] mean           float32 [feature_count], each from -1 to 1, such as fne_packed_mean() of the base. NULL:
 *                           the mean of the base, which is computed now.
 * \param[in] offsets        float64 [base_count], what fne_packed_offsets() gave for this base and this mean, else the
 *                           scores are wrong. NULL: they are computed now, and take 8 * base_count bytes. Must be NULL
 *                           where mean is NULL.
 * \param[in] threads        at most 1024. 0: one per processor, and fewer for little work.
 * \param[out] indices       receives uint64 [query_count, k], rows of the base
 * \param[out] scores        receives float64 [query_count, k]
 * \param[in] capacity       of each, in elements
 * \return FNE_OK or an error
 * \retval FNE_BUFFER_TOO_SMALL  the capacity of indices and scores is too small
 * \retval FNE_NOT_FINITE        NaN or infinity in mean. The message names the feature.
 * \retval FNE_INVALID_ARGUMENT  also where a value of mean is below -1 or above 1
 * \retval FNE_OUT_OF_MEMORY     the working memory cannot be had
 * \since 2.0 */
FNE_API fne_status fne_packed_search_centred(const uint64_t *base, uint64_t base_count, const uint64_t *queries,
                                             uint64_t query_count, uint64_t feature_count, uint64_t k,
                                             const float *mean, const double *offsets, uint32_t threads,
                                             uint64_t *indices, double *scores, uint64_t capacity);

/** Saves packed codes for another program. PATH.npy has the words, and PATH.json what they mean (docs/codes.md). Each
 * file is replaced as a whole. The Python package reads and writes the same files (PackedCodes).
 *
 * \param[in] path           the .npy file. Where the name has another ending, ".npy" is added.
 * \param[in] packed         row_count * 2 W words. May be NULL where row_count is 0.
 * \param[in] row_count      rows
 * \param[in] feature_count  features, 1 to 2^31 - 1
 * \param[in] layers         the layers of the columns, such as fne_job_layer_info() gives, layer_count structs. NULL:
 *                           they are not known.
 * \param[in] layer_count    number of layers, at most 2^20
 * \return FNE_OK or an error
 * \retval FNE_INVALID_ARGUMENT  also where a layer has columns that the codes do not have
 * \retval FNE_FILE_ERROR        a file cannot be written
 * \since 2.0 */
FNE_API fne_status fne_packed_save(const char *path, const uint64_t *packed, uint64_t row_count, uint64_t feature_count,
                                   const fne_layer_info *layers, uint64_t layer_count);

/** Saved packed codes, opened for reading. Any number of threads may use an object at once. */
typedef struct fne_codes fne_codes;

/** Opens what fne_packed_save() or the Python package saved. Nothing in the files is believed.
 *
 * \param[in] path    the .npy file. Where the name has another ending, ".npy" is added.
 * \param[out] codes  receives the object, which fne_codes_close() frees
 * \return FNE_OK or an error
 * \retval FNE_FILE_ERROR    a file is missing or cannot be read
 * \retval FNE_INVALID_DATA  a file is damaged, or of another version
 * \since 2.0 */
FNE_API fne_status fne_codes_open(const char *path, fne_codes **codes);

/** Frees the object.
 * \param[in] codes  NULL is ignored
 * \since 2.0 */
FNE_API void fne_codes_close(fne_codes *codes);

/** What saved codes are.
 *
 * \param[in] codes           the object
 * \param[out] row_count      receives the number of rows. May be NULL.
 * \param[out] feature_count  receives F. May be NULL.
 * \param[out] layer_count    receives the number of layers, 0 where they are not known. May be NULL.
 * \return FNE_OK
 * \since 2.0 */
FNE_API fne_status fne_codes_sizes(const fne_codes *codes, uint64_t *row_count, uint64_t *feature_count,
                                   uint64_t *layer_count);

/** Facts about a layer of saved codes.
 * \param[in] codes     the object
 * \param[in] index     0 to the number of layers - 1
 * \param[in,out] info  receives the facts. Its struct_size must be set. The name lives until the codes are closed.
 * \return FNE_OK
 * \since 2.0 */
FNE_API fne_status fne_codes_layer_info(const fne_codes *codes, uint64_t index, fne_layer_info *info);

/** Reads rows of saved codes.
 *
 * \param[in] codes      the object
 * \param[in] first_row  the first row
 * \param[in] row_count  number of rows, at least 1
 * \param[out] packed    receives row_count * 2 W words
 * \param[in] capacity   of packed in elements
 * \return FNE_OK or an error
 * \retval FNE_BUFFER_TOO_SMALL  the capacity of packed is too small
 * \retval FNE_INVALID_DATA      the file was cut off meanwhile
 * \since 2.0 */
FNE_API fne_status fne_codes_read(const fne_codes *codes, uint64_t first_row, uint64_t row_count, uint64_t *packed,
                                  uint64_t capacity);

/** How features become compact codes: their main directions, turned into D dimensions, and three values for each. They
 * are fitted by the Python package, which saves them in the format of docs/codes.md. Any number of threads may use an
 * object at once. */
typedef struct fne_compact fne_compact;

/** Reads saved compact codes.
 *
 * \param[in] bytes     what was saved, the whole file. It is copied.
 * \param[in] size      its size in bytes
 * \param[out] compact  receives the object, which fne_compact_close() frees
 * \return FNE_OK or an error
 * \retval FNE_INVALID_DATA  the bytes are damaged, or of another version
 * \since 2.0 */
FNE_API fne_status fne_compact_open_memory(const uint8_t *bytes, uint64_t size, fne_compact **compact);

/** Frees an object. No other thread may be using it.
 * \param[in] compact  may be NULL
 * \since 2.0 */
FNE_API void fne_compact_close(fne_compact *compact);

/** The sizes of rows and of their codes.
 *
 * \param[in] compact         the object
 * \param[out] feature_count  receives F, the number of features of a row. May be NULL.
 * \param[out] dimensions     receives D, the number of codes that a row gets. May be NULL.
 * \return FNE_OK
 * \since 2.0 */
FNE_API fne_status fne_compact_sizes(const fne_compact *compact, uint64_t *feature_count, uint64_t *dimensions);

/** Makes compact codes of features. They are packed codes of D features, as fne_pack() makes them. Their bits are the
 * same whatever the number of threads and the processor.
 *
 * \param[in] compact        the object
 * \param[in] rows           float32 [row_count, feature_count]
 * \param[in] row_count      rows, at least 1
 * \param[in] feature_count  must be the object's F
 * \param[in] threads        at most 1024. 0: one per processor, and fewer for little work. They end with the call.
 * \param[out] packed        receives row_count * 2 W words, where W is (D + 63) / 64. They are unspecified after an
 *                           error.
 * \param[in] capacity       of packed in elements
 * \return FNE_OK or an error
 * \retval FNE_SHAPE_MISMATCH    feature_count is not F
 * \retval FNE_NOT_FINITE        NaN or infinity. The message names row and feature.
 * \retval FNE_BUFFER_TOO_SMALL  the capacity of packed is too small
 * \retval FNE_OUT_OF_MEMORY     the working memory cannot be had
 * \since 2.0 */
FNE_API fne_status fne_compact_transform(const fne_compact *compact, const float *rows, uint64_t row_count,
                                         uint64_t feature_count, uint32_t threads, uint64_t *packed, uint64_t capacity);

/** \} */

/* --------------------------------------------------------------------------------------------------------- jobs */

/** \defgroup jobs Jobs
 * A job embeds a data set into a folder. Only one thread at a time may use a job, and only one process at a time may
 * run the job of a folder.
 * \{ */

/** The embedding of many images into a folder. The folder holds the features, the statistics, the codes, and each
 * image's name and status, in open formats (docs/jobs.md). A job may be killed at any moment. When it is opened and run
 * again, it resumes where it stopped, and ends with the same bytes as an uninterrupted one. */
typedef struct fne_job fne_job;

#define FNE_CODES_INT8 1    /**< codes.npy, int8 [rows, F] */
#define FNE_CODES_PACKED 2  /**< codes_packed.npy, uint64 [rows, 2, (F + 63) / 64], as fne_pack() makes them */
#define FNE_CODES_NONE (-1) /**< no codes yet */

#define FNE_UPDATE 1            /**< images are embedded again whose files have another size or time */
#define FNE_UPDATE_UNRECORDED 2 /**< so are images without a record of their file */

/** Called on the thread that opens a job while a folder is listed, some times a second.
 * \param[in] user   the options' listing_user
 * \param[in] found  images that were found up to now
 * \return 0 to go on, another value to cancel the opening (FNE_CANCELLED) */
typedef int32_t (*fne_listing_fn)(void *user, uint64_t found);

/** What is embedded, and what is kept. */
typedef struct fne_job_options {
    uint64_t struct_size;     /**< set by fne_job_options_init() */
    const char *source;       /**< a folder or a list file. Of a folder, the images are taken that
                                   fne_listing_open() finds. A list file holds names, one per line, or each ended
                                   by a zero byte. NULL: paths are taken. */
    const char *const *paths; /**< path_count files, none of them "". There must be none where source is given. */
    uint64_t path_count;      /**< number of paths */
    const char *root;         /**< the folder that relative names are relative to. NULL: the list file's folder for a
                                   list, the working directory for paths. Must be NULL where source is a folder. */
    uint32_t shard_index;     /**< which part of the images is embedded, 0 to shard_count - 1. Parts are whole
                                   batches, and none is empty. */
    uint32_t shard_count;     /**< number of parts, at most 2^20. 0: 1. Where it is more than 1, codes are made when
                                   the shards are merged, or with given statistics. */
    int32_t drop_features;    /**< 1: keep codes only, which needs statistics */
    int32_t codes;            /**< FNE_CODES_INT8, FNE_CODES_PACKED or their sum. 0: FNE_CODES_INT8. FNE_CODES_NONE:
                                   none yet. */
    const char *statistics;   /**< a file of saved statistics that codes are made with, such as a training set's
                                   statistics.fne. NULL: the job's own. */
    const fne_ternarize_options *ternarize_options; /**< NULL stands for the defaults */
    int32_t fail_on_bad_image;   /**< 1: the first bad image ends the run, and a folder below the source that cannot be
                                      read is an error of fne_job_open(). 0: bad images are marked in status.npy and
                                      images.jsonl, and such folders are left out with a notice. */
    int32_t accept_other_engine; /**< 1: resume the job with another TensorFlow or ONNX Runtime, or on another kind of
                                      processor, than it was begun with, or merge shards of such different engines.
                                      The manifest then names each. 0: that is FNE_JOB_MISMATCH. */
    uint32_t checkpoint_seconds; /**< how many seconds of work a killed job loses at most. 0: 15. */
    int32_t retry_failed;        /**< 1: images that could not be embedded by former runs are tried again, also in a
                                      finished job */
    fne_listing_fn listing;      /**< called while fne_job_open() lists a folder. May be NULL. */
    void *listing_user;          /**< handed to listing */
    int32_t allow_batch_statistics; /**< 1: take a network whose rows depend on the other images of their batch (see
                                         fne_input_info::batch_warning). The manifest then says so. 0: that is
                                         FNE_UNSUPPORTED_TENSOR. */
    int32_t reserved;               /**< 0 */
    int32_t update;                 /**< FNE_UPDATE or FNE_UPDATE_UNRECORDED: bring the job that the folder holds up to
                                         date with its images (see fne_job_run()). Of a folder without a job it is a
                                         new one. 0: a job of other images is FNE_JOB_MISMATCH. */
    int32_t keep_statistics;        /**< 1: an update makes codes with the statistics that the job's codes have now, and
                                         keeps these in codes_statistics.fne. 0: with those of all images, or with
                                         the given ones. */
    const char *model_source;       /**< what the model was opened from, for programs that open the job later: an
                                         absolute path, or a name that such programs know. "": it was in memory only.
                                         NULL: the file that fne_model_open() read. The finished job's folder keeps it
                                         in places.json, with the folder of the images. */
    const char *model_signature;    /**< the signature that was taken of a SavedModel, or NULL */
    const char *const *model_tags;  /**< model_tag_count tags of the part that was taken of a SavedModel */
    uint64_t model_tag_count;       /**< number of tags. 0: the only part. */
} fne_job_options;

/** Fills a struct with the defaults.
 * \param[out] options     the struct, whose struct_size is set, too
 * \param[in] struct_size  sizeof(fne_job_options)
 * \since 2.0 */
FNE_API void fne_job_options_init(fne_job_options *options, uint64_t struct_size);

/** Opens a job. Nothing is written before fne_job_run().
 *
 * With a model, the job is a new one, or the one that the folder holds, which is then resumed. Without a model, it is
 * the one that the folder holds. It can be read, and what is left of it can be run, except for the network. Of the
 * options, checkpoint_seconds is then taken. codes, statistics and ternarize_options are taken too where codes are
 * still to be made (FNE_JOB_FEATURES). The other options are neither taken nor compared with the job's.
 *
 * \param[in] folder             where the job writes. The folder is made if it does not exist. If it already holds this
 *                               job, the job is resumed.
 * \param[in] model              the network, which may be closed afterwards, or NULL
 * \param[in] extractor_options  NULL stands for the defaults. Batches are padded, and on_error is not taken (see
 *                               fail_on_bad_image). Not used where model is NULL.
 * \param[in] options            What they point to is copied. May be NULL, which stands for the defaults, where model
 *                               is NULL.
 * \param[out] job               receives the job, which fne_job_close() frees
 * \return FNE_OK, an error of fne_extractor_open(), or
 * \retval FNE_FILE_ERROR        the source, the list, the statistics or the manifest cannot be read
 * \retval FNE_INVALID_ARGUMENT  also where there are no images, both a source and paths, a root for a folder, a shard
 *                               without images, or drop_features without statistics or without codes; an update of a
 *                               shard, of a job without features, or of one whose rows depend on their batch
 * \retval FNE_JOB_MISMATCH      the folder holds a job of another model, other options or other images. The message
 *                               says what differs.
 * \retval FNE_JOB_BUSY          an update is exchanging the folder's files, or was interrupted while it did. Open the
 *                               job with fne_job_options::update, and run it, which finishes that.
 * \retval FNE_UNSUPPORTED_TENSOR  also where a row depends on the other images of its batch, unless
 *                               allow_batch_statistics is set
 * \retval FNE_CANCELLED         the listing function asked for it
 * \retval FNE_INVALID_DATA      the manifest is damaged, or of another version. Without a model, also where a file of a
 *                               finished job is missing, or has another size or header than it was written with. The
 *                               message names all of these. With a model such a job can be opened, and fne_job_run()
 *                               repairs it.
 * \since 2.0 */
FNE_API fne_status fne_job_open(const char *folder, const fne_model *model,
                                const fne_extractor_options *extractor_options, const fne_job_options *options,
                                fne_job **job);

/** Opens a job that merges shards. These must be all the shards of one list, run with the same model and options. Their
 * order does not matter. The folder gets the same bytes as that of one job over all images. TensorFlow is not needed.
 * Shards of different engines, as their manifests name these, are merged only where accept_other_engine is set.
 *
 * \param[in] folder       where the job writes, as in fne_job_open()
 * \param[in] shards       shard_count folders of jobs
 * \param[in] shard_count  at least 1
 * \param[in] options      NULL stands for the defaults. drop_features, codes, statistics, ternarize_options,
 *                         accept_other_engine and checkpoint_seconds are taken.
 * \param[out] job         receives the job, which fne_job_close() frees
 * \return FNE_OK or an error
 * \retval FNE_FILE_ERROR    a shard or the statistics cannot be read
 * \retval FNE_JOB_MISMATCH  shards are missing, given twice, unfinished, without features, of different engines, or
 *                           differ, or the folder holds another job
 * \retval FNE_INVALID_DATA  a manifest, a list or another file of a shard is damaged. fne_job_run() compares the
 *                           features of the shards with their checksums while it reads them.
 * \since 2.0 */
FNE_API fne_status fne_job_open_merge(const char *folder, const char *const *shards, uint64_t shard_count,
                                      const fne_job_options *options, fne_job **job);

/** Frees a job. The folder stays as it is.
 * \param[in] job  may be NULL
 * \since 2.0 */
FNE_API void fne_job_close(fne_job *job);

#define FNE_PHASE_EMBEDDING 0  /**< images are embedded. Counted in images. */
#define FNE_PHASE_STATISTICS 1 /**< statistics are written. 0 or 1 of 1. */
#define FNE_PHASE_CODES 2      /**< codes are made of features that were kept. Counted in images. */
#define FNE_PHASE_FINISHING 3  /**< files get their final names. Counted in steps. */
#define FNE_PHASE_VERIFYING 4  /**< files are compared with their checksums. Counted in bytes. */

/** Called on the thread that runs the job. The last call has done equal to total in FNE_PHASE_FINISHING. It comes when
 * the job is finished, so what it returns does not matter.
 * \param[in] user   the reports' user
 * \param[in] phase  one of FNE_PHASE_*
 * \param[in] done   how much of the phase is done
 * \param[in] total  how much there is in the phase
 * \return 0 to go on, another value to cancel (FNE_CANCELLED). What was done is then on the disk. */
typedef int32_t (*fne_job_progress_fn)(void *user, int32_t phase, uint64_t done, uint64_t total);

/** Called on the thread that runs the job, with a sentence about damage that was found and is made good, or about
 * images that have changed since they were embedded. The log gets the same sentence as a warning.
 * \param[in] user     the reports' user
 * \param[in] message  lives until the function returns */
typedef void (*fne_job_notice_fn)(void *user, const char *message);

/** What a job's run reports, all of it on the calling thread. */
typedef struct fne_job_reports {
    uint64_t struct_size;           /**< set by fne_job_reports_init() */
    fne_job_progress_fn progress;   /**< may be NULL */
    fne_image_error_fn image_error; /**< called for each image that cannot be embedded, also for one that ends the run.
                                         May be NULL. */
    fne_job_notice_fn notice;       /**< may be NULL */
    void *user;                     /**< handed to all of them */
} fne_job_reports;

/** Fills a struct with zeros.
 * \param[out] reports     the struct, whose struct_size is set
 * \param[in] struct_size  sizeof(fne_job_reports)
 * \since 2.0 */
FNE_API void fne_job_reports_init(fne_job_reports *reports, uint64_t struct_size);

/** Does what is left of the job. After an error, running the job again resumes it from its last checkpoint. Where no
 * image is good and the statistics are the job's own, the error is the first image's.
 *
 * FNE_IO_ERROR and FNE_OUT_OF_MEMORY end the run also where bad images are marked, because the image may be good. A
 * missing image is FNE_IO_ERROR where the folder that all images are in, or a disk below it, is gone.
 *
 * First, what former runs wrote is compared with its checksums (FNE_PHASE_VERIFYING), also in a finished job. What is
 * damaged is made again: images whose features are lost are embedded again, and the rest is computed from the features.
 * The notices say what was found. Nothing is left of a finished job that is whole. Images whose files have another size
 * or time than when they were embedded are named in a notice, and keep their rows.
 *
 * With fne_job_options::update, what was begun before is finished first. Then images that are not in the job are
 * appended, and images whose files have changed, or that had failed, are embedded again. Images that are no longer in
 * the source keep their rows, marked as failed, with the reason "removed by an update". All others keep their rows,
 * and are not computed again. The result is that of a job over the list of the former images and the new ones, in which
 * the removed files are missing (docs/jobs.md). It is made in the folder update.part. Until it is done, the job can be
 * read as it was. An update that was interrupted goes on when it is run again. fne_job_intake_info() counts.
 *
 * \param[in,out] job  the job
 * \param[in] reports  may be NULL
 * \return FNE_OK, with fail_on_bad_image an error of fne_extract_files(), or
 * \retval FNE_FILE_ERROR          a file cannot be read or written, also because the disk is full
 * \retval FNE_JOB_BUSY            the folder's job is being run
 * \retval FNE_JOB_MISMATCH        the engine or the statistics are others than the job was begun with
 * \retval FNE_INVALID_ARGUMENT    also where images are left and the job was opened without a model, where the
 *                                 statistics that it was begun with are not given, or where the folder holds something
 *                                 else than a job
 * \retval FNE_SHAPE_MISMATCH      the given statistics have another number of features
 * \retval FNE_INVALID_DATA        the manifest, the given statistics, or a file of a shard is damaged
 * \retval FNE_CANCELLED           the progress function asked for it
 * \retval FNE_BACKEND_ERROR       the engine failed
 * \retval FNE_UNSUPPORTED_TENSOR  as fne_extract_files()
 * \retval FNE_FORKED              the job was opened with a model before this process was forked
 * \since 2.0 */
FNE_API fne_status fne_job_run(fne_job *job, const fne_job_reports *reports);

/** Compares all files of a finished job with the checksums in its manifest. Where the job has features and statistics
 * of its own, the statistics are also computed again. They are exact, so they must have the same bytes. The folder may
 * be read by others meanwhile. TensorFlow is not needed.
 *
 * \param[in] job      the job
 * \param[in] reports  progress is called with FNE_PHASE_VERIFYING. May be NULL.
 * \return FNE_OK where the job is whole, or
 * \retval FNE_INVALID_DATA      files are damaged. The message names all of them. fne_job_run() of the job, opened with
 *                               its model, repairs them.
 * \retval FNE_INVALID_ARGUMENT  the job is not finished
 * \retval FNE_FILE_ERROR        a file cannot be read
 * \retval FNE_CANCELLED         the progress function asked for it
 * \since 2.0 */
FNE_API fne_status fne_job_verify(const fne_job *job, const fne_job_reports *reports);

/** Compares a part of one file with its checksum, such as the rows that a program is about to read from a large matrix.
 * The blocks that the part touches are read as a whole. The manifest gives the blocks' size (docs/jobs.md). Any number
 * of threads may call this at once.
 *
 * \param[in] job         a job that is finished, or has its features (FNE_JOB_FEATURES)
 * \param[in] file        a name in the manifest's "files", such as "features.npy"
 * \param[in] first_byte  where the part begins in the file
 * \param[in] byte_count  the part's size in bytes. What is beyond the file's end is left out.
 * \return FNE_OK where the part is whole, or
 * \retval FNE_INVALID_DATA      it is damaged, or the file has another size or header than it was written with
 * \retval FNE_INVALID_ARGUMENT  the manifest has no such file
 * \retval FNE_FILE_ERROR        the file cannot be read
 * \since 2.0 */
FNE_API fne_status fne_job_verify_file(const fne_job *job, const char *file, uint64_t first_byte, uint64_t byte_count);

#define FNE_JOB_RUNNING 0  /**< not finished, or not begun */
#define FNE_JOB_FEATURES 1 /**< features and statistics are there, codes are not yet */
#define FNE_JOB_FINISHED 2 /**< all is there */

/** How far a job is. */
typedef struct fne_progress_info {
    uint64_t struct_size;    /**< set by fne_progress_info_init() */
    int32_t state;           /**< FNE_JOB_RUNNING, FNE_JOB_FEATURES or FNE_JOB_FINISHED */
    uint32_t rows_per_image; /**< 1, or 10 with ten crops */
    uint64_t image_count;    /**< number of this job's images */
    uint64_t first_image;    /**< place of a shard's first image in the whole list */
    uint64_t total_images;   /**< number of images in the whole list */
    uint64_t images_done;    /**< images that are embedded or failed, and safe on the disk */
    uint64_t failed_images;  /**< images that failed, once the job has tried all of them, else 0 */
    uint64_t feature_count;  /**< F */
    uint64_t layer_count;    /**< how many layers fne_job_layer_info() describes */
} fne_progress_info;

/** Fills a struct with zeros.
 * \param[out] info        the struct, whose struct_size is set
 * \param[in] struct_size  sizeof(fne_progress_info)
 * \since 2.0 */
FNE_API void fne_progress_info_init(fne_progress_info *info, uint64_t struct_size);

/** Describes how far the job is. To see what another process has done since, open the job again.
 *
 * \param[in] job       the job
 * \param[in,out] info  receives the facts. Its struct_size must be set.
 * \return FNE_OK or an error
 * \retval FNE_FILE_ERROR    the checkpoint cannot be read
 * \retval FNE_INVALID_DATA  the manifest is damaged
 * \since 2.0 */
FNE_API fne_status fne_job_progress_info(const fne_job *job, fne_progress_info *info);

#define FNE_LEFT_OUT_HIDDEN 0            /**< files and folders whose names begin with a dot */
#define FNE_LEFT_OUT_NO_IMAGE 1          /**< files whose first bytes are those of no image */
#define FNE_LEFT_OUT_RAW 2               /**< cameras' raw files, by the endings of their names */
#define FNE_LEFT_OUT_UNREADABLE_FILE 3   /**< files that cannot be read and have no image's name */
#define FNE_LEFT_OUT_UNREADABLE_FOLDER 4 /**< folders that cannot be read, with all that is in them */
#define FNE_LEFT_OUT_SPECIAL 5           /**< pipes, sockets and devices */
#define FNE_LEFT_OUT_BROKEN_LINK 6       /**< links that lead nowhere and have no image's name */

/** What was taken of a data set, and what was left out. */
typedef struct fne_intake_info {
    uint64_t struct_size;    /**< set by fne_intake_info_init() */
    uint64_t taken[16];      /**< images that this object's runs have embedded, by FNE_FORMAT_*. Those of former runs do
                                  not count. */
    uint64_t left_out[16];   /**< what was left out of the folder, by FNE_LEFT_OUT_* */
    uint64_t taken_count;    /**< the sum of taken */
    uint64_t left_out_count; /**< the sum of left_out */
    uint64_t new_count;      /**< images that an update has added, or that came back. This and what follows is 0 without
                                  fne_job_options::update. */
    uint64_t changed_count;  /**< images that an update has embedded again, since their files are others */
    uint64_t retried_count;  /**< images that had failed before, and that an update has tried again */
    uint64_t removed_count;  /**< images that an update has marked as removed */
    uint64_t kept_count;     /**< images whose rows an update has kept */
} fne_intake_info;

/** Fills a struct with zeros.
 * \param[out] info        the struct, whose struct_size is set
 * \param[in] struct_size  sizeof(fne_intake_info)
 * \since 2.0 */
FNE_API void fne_intake_info_init(fne_intake_info *info, uint64_t struct_size);

/** Counts what the job has taken, and what it left out of its folder of images.
 *
 * \param[in] job       the job
 * \param[in,out] info  receives the counts. Its struct_size must be set.
 * \return FNE_OK
 * \since 2.0 */
FNE_API fne_status fne_job_intake_info(const fne_job *job, fne_intake_info *info);

/** The images below a folder. A listing never changes, so any number of threads may use it at once. */
typedef struct fne_listing fne_listing;

/** Lists the images below a folder, in the order of their paths' bytes. A file is taken by its name, where that has the
 * ending of an image (jpg, jpeg, jpe, jfif, png, webp, gif, bmp, dib, tif, tiff, avif, avifs, heic, heif, hif, jp2,
 * j2k, jpx). Of any other file the first bytes decide. Names that begin with a dot and cameras' raw files are left out.
 * Each real folder is listed once, however many links lead to it. The list does not depend on what can be decoded.
 *
 * \param[in] folder              the folder
 * \param[in] fail_on_unreadable  1: a folder or a file below it that cannot be read is an error. 0: it is left out, and
 *                                the log names it.
 * \param[in] progress            called while the folder is listed. May be NULL.
 * \param[in] user                handed to progress
 * \param[out] listing            receives the listing, which fne_listing_close() frees
 * \return FNE_OK or an error
 * \retval FNE_FILE_ERROR  the folder cannot be read
 * \retval FNE_CANCELLED   the progress function asked for it
 * \since 2.0 */
FNE_API fne_status fne_listing_open(const char *folder, int32_t fail_on_unreadable, fne_listing_fn progress, void *user,
                                    fne_listing **listing);

/** Frees a listing.
 * \param[in] listing  may be NULL
 * \since 2.0 */
FNE_API void fne_listing_close(fne_listing *listing);

/** The number of images.
 *
 * \param[in] listing  the listing
 * \param[out] count   receives it
 * \return FNE_OK
 * \since 2.0 */
FNE_API fne_status fne_listing_count(const fne_listing *listing, uint64_t *count);

/** The name of an image.
 *
 * \param[in] listing  the listing
 * \param[in] index    0 to count - 1
 * \param[out] name    receives the path below the folder, which need not be UTF-8. It lives until the listing is
 *                     closed.
 * \return FNE_OK, or FNE_INVALID_ARGUMENT for an index beyond the images
 * \since 2.0 */
FNE_API fne_status fne_listing_name(const fne_listing *listing, uint64_t index, const char **name);

/** Counts what was left out of the folder.
 *
 * \param[in] listing   the listing
 * \param[in,out] info  receives the counts. All of taken is 0. Its struct_size must be set.
 * \return FNE_OK
 * \since 2.0 */
FNE_API fne_status fne_listing_intake_info(const fne_listing *listing, fne_intake_info *info);

/** Describes a layer, as fne_extractor_layer_info() does.
 *
 * \param[in] job       the job
 * \param[in] index     0 to layer_count - 1
 * \param[in,out] info  receives the facts. The name lives until the job is closed. The struct_size must be set.
 * \return FNE_OK, or FNE_INVALID_ARGUMENT for an index beyond the layers
 * \since 2.0 */
FNE_API fne_status fne_job_layer_info(const fne_job *job, uint64_t index, fne_layer_info *info);

/** The job's own statistics, once its features are there. A job that was begun with given statistics has none.
 *
 * \param[in] job          the job
 * \param[out] statistics  receives an object that belongs to the caller. fne_statistics_close() frees it.
 * \return FNE_OK or an error
 * \retval FNE_FILE_ERROR    there are none
 * \retval FNE_INVALID_DATA  they are damaged
 * \since 2.0 */
FNE_API fne_status fne_job_statistics(const fne_job *job, fne_statistics **statistics);

/** The name of an image, as the job's list has it. The names are compared with their checksum.
 *
 * \param[in] job    the job, in any state
 * \param[in] image  0 to image_count - 1
 * \param[out] name  receives the path below the job's source, which need not be UTF-8. It lives until the job is run
 *                   or closed.
 * \return FNE_OK or an error
 * \retval FNE_INVALID_ARGUMENT  also for an image beyond the last one
 * \retval FNE_FILE_ERROR        the manifest or the list cannot be read
 * \retval FNE_INVALID_DATA      they are damaged
 * \since 2.0 */
FNE_API fne_status fne_job_image_name(const fne_job *job, uint64_t image, const char **name);

/** Why an image could not be embedded.
 *
 * \param[in] job      a job that has its features (FNE_JOB_FEATURES) or is finished
 * \param[in] image    0 to image_count - 1
 * \param[out] reason  receives a sentence, or NULL where the image is embedded. It lives until the next call of this
 *                     function with the job, or until the job is closed.
 * \return FNE_OK, or as fne_job_statuses()
 * \since 2.0 */
FNE_API fne_status fne_job_image_reason(const fne_job *job, uint64_t image, const char **reason);

/** The statuses of images. The file is compared with its checksum.
 *
 * \param[in] job          a job that has its features (FNE_JOB_FEATURES) or is finished
 * \param[in] first_image  the first image
 * \param[in] image_count  at least 1
 * \param[out] statuses    receives for each image FNE_OK where it is embedded, else the number of the error
 * \param[in] capacity     at least image_count
 * \return FNE_OK or an error
 * \retval FNE_INVALID_ARGUMENT   also for images beyond the last one, and where the job is not finished
 * \retval FNE_BUFFER_TOO_SMALL   the capacity is too small
 * \retval FNE_FILE_ERROR         a file cannot be read
 * \retval FNE_INVALID_DATA       a file is damaged
 * \since 2.0 */
FNE_API fne_status fne_job_statuses(const fne_job *job, uint64_t first_image, uint64_t image_count, int32_t *statuses,
                                    uint64_t capacity);

/** Rows of features. An image has rows_per_image rows, one after the other. The file must have the size and the header
 * that the job wrote. To compare rows with their checksums too, call fne_job_verify() once, or fne_job_verify_file().
 *
 * \param[in] job        a job that has its features (FNE_JOB_FEATURES) or is finished
 * \param[in] first_row  the first row
 * \param[in] row_count  at least 1
 * \param[out] features  receives float32 [row_count, F]. The rows of images that are not embedded are NaN.
 * \param[in] capacity   at least row_count * F
 * \return FNE_OK or an error. After an error, what is in features has no meaning.
 * \retval FNE_INVALID_ARGUMENT   also for rows beyond the last one, and where the job is not finished or has no such
 *                                file
 * \retval FNE_BUFFER_TOO_SMALL   the capacity is too small
 * \retval FNE_FILE_ERROR         a file cannot be read
 * \retval FNE_INVALID_DATA       a file has another size or another header than the job wrote
 * \since 2.0 */
FNE_API fne_status fne_job_features(const fne_job *job, uint64_t first_row, uint64_t row_count, float *features,
                                    uint64_t capacity);

/** Rows of codes, where the job made them (FNE_CODES_INT8).
 *
 * \param[in] job        a finished job
 * \param[in] first_row  the first row
 * \param[in] row_count  at least 1
 * \param[out] codes     receives int8 [row_count, F] of -1, 0 and 1. The rows of images that are not embedded are -128.
 * \param[in] capacity   at least row_count * F
 * \return as fne_job_features()
 * \since 2.0 */
FNE_API fne_status fne_job_codes(const fne_job *job, uint64_t first_row, uint64_t row_count, int8_t *codes,
                                 uint64_t capacity);

/** Rows of packed codes, where the job made them (FNE_CODES_PACKED).
 *
 * \param[in] job        a finished job
 * \param[in] first_row  the first row
 * \param[in] row_count  at least 1
 * \param[out] packed    receives uint64 [row_count, 2 * ceil(F / 64)], as fne_pack() writes it. The rows of images that
 *                       are not embedded are 0.
 * \param[in] capacity   at least row_count * 2 * ceil(F / 64)
 * \return as fne_job_features()
 * \since 2.0 */
FNE_API fne_status fne_job_packed_codes(const fne_job *job, uint64_t first_row, uint64_t row_count, uint64_t *packed,
                                        uint64_t capacity);

/** Opens an extractor that makes the same rows as the job, for further images. The input, the size, the colors, the
 * layers, the precision and the batch size are the job's, and its limits of images too. The model's SHA-256 must be the
 * one in the manifest.
 *
 * \param[in] job         the job, which has been run at least once
 * \param[in] model       the job's model. Where the job gave values for inputs, a model without values gets them. NULL:
 *                        the file that the model was read from when the job ran, as the job's places.json says.
 * \param[in] options     loader_threads, streams, engine_threads, goal, device, gpu_memory_growth, on_error, decoder
 *                        and decoder_user are taken. The others are the job's, whatever stands here. With
 *                        FNE_GOAL_LATENCY an image is not padded to the job's batch, unless rows depend on their batch
 *                        or the network takes one batch size alone. So it takes a fraction of the time, and the last
 *                        bits of its row may be others than in the job. NULL stands for the defaults.
 * \param[out] extractor  receives the extractor, which fne_extractor_close() frees
 * \return FNE_OK, an error of fne_extractor_open(), or
 * \retval FNE_JOB_MISMATCH  the model is not the one that the job was made with
 * \retval FNE_FILE_ERROR    the manifest cannot be read, also because the job has not been run yet. Without a model,
 *                           also where the job does not say where the model is, or it is there no more.
 * \retval FNE_INVALID_DATA  the manifest or places.json is damaged
 * \since 2.0 */
FNE_API fne_status fne_job_extractor(const fne_job *job, const fne_model *model, const fne_extractor_options *options,
                                     fne_extractor **extractor);

/** \} */

#ifdef __cplusplus
}
#endif

#endif /* FNE_H */

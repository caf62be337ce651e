/**
 * \file fne.hpp
 * \brief libfne for C++17 and later: RAII, exceptions and spans over fne.h, in one header.
 *
 * Copyright (C) 2026 the libfne authors. Licence: GPL-3.0-or-later, see LICENSE.
 *
 *     fne::model model("network.pb");
 *     fne::extractor_options options;
 *     options.height = options.width = 224;
 *     fne::extractor extractor(model, options);
 *     std::vector<std::string> paths{"cat.jpg", "dog.png"};
 *     std::vector<float> features = extractor.extract(paths); // [paths.size(), extractor.feature_count()]
 *     fne::statistics statistics(extractor.feature_count());
 *     statistics.update(features);
 *     auto [mean, std] = statistics.moments();
 *     std::vector<std::int8_t> codes = fne::ternarize(features, mean, std);
 *
 * What fne.h says of each function holds here too: units, ranges, threads, fork. This header adds:
 *
 * - A failure of the library is an fne::error, which carries the status and the sentence of fne_last_error(). The
 *   standard library's own std::bad_alloc and std::length_error come through as they are.
 * - An object owns its handle and frees it. Objects can be moved, and may be destroyed in any order. Calls on an object
 *   that was moved from give FNE_INVALID_ARGUMENT.
 * - Arrays are spans. A span owns nothing, must outlive the call, and is not copied on the way. Many functions exist
 *   twice: one fills a span of the caller's, and one returns a std::vector. A span of the wrong size is an fne::error
 *   (FNE_SHAPE_MISMATCH or FNE_BUFFER_TOO_SMALL), never a read or a write outside.
 * - fne::span is std::span where the compiler has it (C++20). Elsewhere it is a small class of this header.
 * - Options are fne.h's structs, filled with the defaults when they are made. The strings and arrays that they point to
 *   must live until the call returns.
 * - Callbacks are std::function. An exception that leaves one ends the call and arrives at the caller.
 * - Everything except fne::error is in an inline namespace of this release and of the kind of span. Parts of a program
 *   that were compiled with another fne.hpp or another standard can therefore live in one process. They cannot hand
 *   these objects to each other.
 */
#ifndef FNE_HPP
#define FNE_HPP

#include <fne.h>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#if __has_include(<version>)
#include <version>
#endif
#if defined(__cpp_lib_span)
#include <span>
#endif

namespace fne {

/** A failed call: its status, and what fne_last_error() said. */
class error : public std::runtime_error {
public:
    /** An error with a status, FNE_*, and a message. */
    error(fne_status status, const std::string &message) : std::runtime_error(message), status_(status) {}
    fne_status status() const noexcept { return status_; }                 /**< FNE_* */
    const char *name() const noexcept { return fne_status_name(status_); } /**< such as "FNE_FILE_ERROR" */

private:
    fne_status status_;
};

/** Throws the error of a status, with the calling thread's message. Does nothing for FNE_OK. */
inline void check(fne_status status) {
    if (status != FNE_OK) throw error(status, fne_last_error());
}

#if defined(__cpp_lib_span)
inline namespace v2_0_0_cxx20 {
template <class T>
using span = std::span<T>; /**< std::span */
#else
inline namespace v2_0_0_cxx17 {

/** A pointer and a number of elements: what this header needs of std::span where the compiler has none. */
template <class T>
class span {
public:
    constexpr span() noexcept = default;
    /** The count elements from data on. */
    constexpr span(T *data, std::size_t count) noexcept : data_(data), size_(count) {}
    /** The elements of an array. */
    template <std::size_t Count>
    constexpr span(T (&array)[Count]) noexcept : data_(array), size_(Count) {} // NOLINT: implicit as std::span's
    /** The elements of a container that stores them contiguously, such as a std::vector. A temporary container can only
     * be read. */
    template <class Container, class Element = std::remove_pointer_t<decltype(std::declval<Container &>().data())>,
              class = std::enable_if_t<std::is_convertible_v<Element (*)[], T (*)[]> &&
                                       (std::is_lvalue_reference_v<Container> || std::is_const_v<T>)>>
    constexpr span(Container &&container) noexcept // NOLINT: implicit as std::span's
        : data_(container.data()), size_(container.size()) {}

    constexpr T *data() const noexcept { return data_; }              /**< the first element */
    constexpr std::size_t size() const noexcept { return size_; }     /**< how many */
    constexpr bool empty() const noexcept { return size_ == 0; }      /**< whether there is none */
    constexpr T &operator[](std::size_t i) const { return data_[i]; } /**< element i, not checked */
    constexpr T *begin() const noexcept { return data_; }             /**< for loops */
    constexpr T *end() const noexcept { return data_ + size_; }       /**< for loops */

private:
    T *data_ = nullptr;
    std::size_t size_ = 0;
};
#endif

/** \cond INTERNAL */
namespace detail {

template <class T, void (*Close)(T *)>
struct closer {
    void operator()(T *object) const noexcept { Close(object); }
};
template <class T, void (*Close)(T *)>
using handle = std::unique_ptr<T, closer<T, Close>>;

inline std::size_t product(std::uint64_t a, std::uint64_t b) {
    if (b != 0 && a > std::numeric_limits<std::size_t>::max() / b) throw error(FNE_OUT_OF_MEMORY, "a size overflows");
    return static_cast<std::size_t>(a * b);
}

/** The number of rows. Throws unless the elements are whole rows, at least one. */
inline std::uint64_t require_whole_rows(std::size_t size, std::uint64_t columns, const char *what) {
    if (columns == 0 || size == 0 || size % columns != 0)
        throw error(FNE_SHAPE_MISMATCH, std::string(what) + " has " + std::to_string(size) +
                                            " elements. The number must be a multiple of " + std::to_string(columns) +
                                            ", and not 0");
    return size / columns;
}

/** Throws unless a span has the expected size. */
inline void require_size(std::size_t size, std::size_t expected, const char *what) {
    if (size != expected)
        throw error(FNE_SHAPE_MISMATCH, std::string(what) + " has " + std::to_string(size) + " elements instead of " +
                                            std::to_string(expected));
}

/** Throws unless there are as many bytes as RGB pixels of that size have. */
inline void require_rgb_size(std::size_t size, std::uint32_t height, std::uint32_t width) {
    require_size(size, product(product(height, width), 3), "rgb");
}

/** Where a span begins. An empty span gives a pointer that is not NULL, so that the library says what is wrong with
 * it. */
template <class T>
T *start(span<T> elements) {
    static std::remove_const_t<T> nothing{};
    return elements.empty() ? &nothing : elements.data();
}

/** Infos that are read one by one, by their index. */
template <class Info, class Ask>
std::vector<Info> described(std::uint64_t count, Ask &&ask) {
    std::vector<Info> result(static_cast<std::size_t>(count));
    for (std::uint64_t i = 0; i < count; ++i) check(ask(i, &result[static_cast<std::size_t>(i)]));
    return result;
}

inline std::vector<const char *> pointers(const std::vector<std::string> &strings) {
    std::vector<const char *> result;
    result.reserve(strings.size());
    for (const auto &string : strings) result.push_back(string.c_str());
    return result;
}

/** Runs a callback. What it throws is kept in failure. A result of false asks the library to stop. */
template <class Callback>
bool guarded(std::exception_ptr &failure, Callback &&callback) noexcept {
    if (failure) return false;
    try {
        return callback();
    } catch (...) {
        failure = std::current_exception();
        return false;
    }
}

/** Throws what a callback has thrown, or else the error of a call's status. */
inline void finish(fne_status status, const std::exception_ptr &failure) {
    if (failure) std::rethrow_exception(failure);
    check(status);
}

} // namespace detail
/** \endcond */

/** \name The library */
///@{
inline std::string version() { return fne_version_string(); } /**< such as "2.0.0" */
inline std::string build_info() { return fne_build_info(); }  /**< version, compiler, image codecs */

/** Loads TensorFlow's C library from a file or a folder. For nullptr see fne_backend_load(). */
inline void load_backend(const char *path = nullptr) { check(fne_backend_load(path)); }

/** Loads the library of an engine, "tensorflow" or "onnxruntime", see fne_engine_load(). */
inline void load_engine(const std::string &engine, const char *path = nullptr) {
    check(fne_engine_load(engine.c_str(), path));
}

/** The version of an engine's loaded library; "" where none is loaded. */
inline std::string engine_version(const std::string &engine) {
    const char *version = "";
    check(fne_engine_info(engine.c_str(), &version, nullptr));
    return version;
}

/** The file of an engine's loaded library; "" where none is loaded. */
inline std::string engine_path(const std::string &engine) {
    const char *path = "";
    check(fne_engine_info(engine.c_str(), nullptr, &path));
    return path;
}
///@}

/** \name Options
 * fne.h's structs with their defaults. */
///@{
/** Limits of images, and what happens to damaged ones. */
struct image_options : fne_image_options {
    image_options() { fne_image_options_init(this, sizeof(fne_image_options)); } /**< the defaults */
};
/** Whether a graph with operations that are not on the list is taken. */
struct model_options : fne_model_options {
    model_options() { fne_model_options_init(this, sizeof(fne_model_options)); } /**< the defaults */
};
/** Layers, input size, preprocessing, precision, threads. */
struct extractor_options : fne_extractor_options {
    extractor_options() { fne_extractor_options_init(this, sizeof(fne_extractor_options)); } /**< the defaults */
};
/** Thresholds, and the rules at their boundary. */
struct ternarize_options : fne_ternarize_options {
    ternarize_options() { fne_ternarize_options_init(this, sizeof(fne_ternarize_options)); } /**< the defaults */
};
/** Source, shard and codes of a job. */
struct job_options : fne_job_options {
    job_options() { fne_job_options_init(this, sizeof(fne_job_options)); } /**< the defaults */
};
///@}

/** \name Images */
///@{
/** Pixels in memory: RGB, uint8 [height, width, 3]. */
struct image {
    std::vector<std::uint8_t> rgb; /**< height * width * 3 bytes */
    std::uint32_t height = 0;      /**< pixels */
    std::uint32_t width = 0;       /**< pixels */
    bool is_partial = false;       /**< the image is damaged, and tolerate_truncation let it pass */

    /** The image as fne_extract_pixels() takes it. It is valid as long as the image lives unchanged. */
    fne_pixel_image pixels() const {
        detail::require_rgb_size(rgb.size(), height, width);
        fne_pixel_image result{};
        result.pixels = rgb.data();
        result.height = height;
        result.width = width;
        result.channel_order = FNE_CHANNELS_RGB;
        return result;
    }
};

/** What the header of an image file says. */
inline fne_image_info probe(const std::string &path, const image_options &options = {}) {
    fne_image_info info;
    fne_image_info_init(&info, sizeof info);
    check(fne_image_probe(path.c_str(), &options, &info));
    return info;
}

/** The same for an encoded image in memory. */
inline fne_image_info probe(span<const std::uint8_t> bytes, const image_options &options = {}) {
    fne_image_info info;
    fne_image_info_init(&info, sizeof info);
    check(fne_image_probe_memory(detail::start(bytes), bytes.size(), &options, &info));
    return info;
}

/** \cond INTERNAL */
namespace detail {
template <class Decode>
image decoded(fne_image_info info, Decode &&decode) {
    image result;
    result.rgb.resize(product(product(info.height, info.width), 3));
    check(decode(result.rgb.data(), result.rgb.size(), &info));
    result.height = info.height; // as decoded: the file may have changed since it was probed
    result.width = info.width;
    result.is_partial = info.is_partial != 0;
    result.rgb.resize(product(product(info.height, info.width), 3));
    return result;
}
} // namespace detail
/** \endcond */

/** Decodes a JPEG or PNG file to RGB, oriented as its EXIF data ask. */
inline image decode(const std::string &path, const image_options &options = {}) {
    return detail::decoded(probe(path, options), [&](std::uint8_t *rgb, std::size_t size, fne_image_info *info) {
        return fne_image_decode(path.c_str(), &options, rgb, size, info);
    });
}

/** The same for an encoded image in memory. */
inline image decode(span<const std::uint8_t> bytes, const image_options &options = {}) {
    return detail::decoded(probe(bytes, options), [&](std::uint8_t *rgb, std::size_t size, fne_image_info *info) {
        return fne_image_decode_memory(detail::start(bytes), bytes.size(), &options, rgb, size, info);
    });
}

/** Resizes an image. interpolation is FNE_INTERPOLATION_*. */
inline image resize(const image &source, std::uint32_t height, std::uint32_t width,
                    std::int32_t interpolation = FNE_INTERPOLATION_BILINEAR) {
    detail::require_rgb_size(source.rgb.size(), source.height, source.width);
    image result;
    result.rgb.resize(detail::product(detail::product(height, width), 3));
    check(fne_image_resize(source.rgb.data(), source.height, source.width, interpolation,
                           detail::start(span<std::uint8_t>(result.rgb)), height, width, result.rgb.size()));
    result.height = height;
    result.width = width;
    result.is_partial = source.is_partial;
    return result;
}
///@}

/** \name Infos
 * fne.h's structs, in this header's namespace. */
///@{
/** A tensor of a model. */
struct tensor_info : fne_tensor_info {
    tensor_info() { fne_tensor_info_init(this, sizeof(fne_tensor_info)); } /**< zeros */
};
/** A layer of an extractor or of a job. */
struct layer_info : fne_layer_info {
    layer_info() { fne_layer_info_init(this, sizeof(fne_layer_info)); } /**< zeros */
};
///@}

/** A frozen TensorFlow GraphDef. Several threads may use it at once. */
class model {
public:
    /** Reads a GraphDef file. */
    explicit model(const std::string &path, const model_options &options = {}) {
        fne_model *opened = nullptr;
        check(fne_model_open(path.c_str(), &options, &opened));
        handle_.reset(opened);
    }
    /** The same for a serialized GraphDef in memory, which is copied. */
    explicit model(span<const std::uint8_t> bytes, const model_options &options = {}) {
        fne_model *opened = nullptr;
        check(fne_model_open_memory(detail::start(bytes), bytes.size(), &options, &opened));
        handle_.reset(opened);
    }

    /** The first outputs of all nodes that are no constants, in graph order. Names live as long as the model. */
    std::vector<tensor_info> tensors() const {
        std::uint64_t count = 0;
        check(fne_model_tensor_count(get(), &count));
        return detail::described<tensor_info>(
            count, [this](std::uint64_t i, tensor_info *info) { return fne_model_tensor_info(get(), i, info); });
    }

    /** The library that runs the network: "tensorflow" or "onnxruntime". */
    std::string engine() const {
        const char *engine = nullptr;
        check(fne_model_engine(get(), &engine));
        return engine;
    }

    /** The SHA-256 of the network's bytes, as a job's manifest has it. */
    std::string sha256() const {
        char digits[65];
        check(fne_model_sha256(get(), digits));
        return digits;
    }

    /** What the network reads. Sizes that it leaves open are 0. The name lives as long as the model. */
    fne_input_info input(const char *input_tensor = nullptr) const {
        fne_input_info info;
        fne_input_info_init(&info, sizeof info);
        check(fne_model_input_info(get(), input_tensor, &info));
        return info;
    }

    /** What a user should know about the network, in sentences. */
    std::vector<std::string> notes() const {
        std::uint64_t count = 0;
        check(fne_model_note_count(get(), &count));
        std::vector<std::string> result;
        for (std::uint64_t i = 0; i < count; ++i) {
            const char *note = nullptr;
            check(fne_model_note(get(), i, &note));
            result.emplace_back(note);
        }
        return result;
    }

    /** The shapes of tensors() for images of height x width pixels; 0: as the graph's placeholder says. A first
     * dimension of 1 stands for n, and one of 16 for 16 n. A shape is empty where it does not follow from the graph. */
    std::vector<std::vector<std::int64_t>> shapes(std::uint32_t height = 0, std::uint32_t width = 0) const {
        std::uint64_t count = 0;
        check(fne_model_tensor_count(get(), &count));
        std::vector<std::int32_t> ranks(count);
        std::vector<std::int64_t> sizes(count * FNE_SHAPE_RANK);
        check(fne_model_shapes(get(), nullptr, height, width, ranks.data(), sizes.data(), count));
        std::vector<std::vector<std::int64_t>> result(count);
        for (std::uint64_t i = 0; i < count; ++i) {
            const std::int64_t *first = sizes.data() + i * FNE_SHAPE_RANK;
            if (ranks[i] > 0) result[i].assign(first, first + ranks[i]);
        }
        return result;
    }

    const fne_model *get() const noexcept { return handle_.get(); } /**< for fne.h's functions */

private:
    detail::handle<fne_model, fne_model_close> handle_;
};

/** What a call of an extractor takes beside its images. */
struct run {
    /** Called between batches, on the calling thread, with the number of images done and of all images. A result of
     * false cancels (FNE_CANCELLED). */
    std::function<bool(std::uint64_t done, std::uint64_t total)> progress;
    /** Called on the calling thread for each image that is skipped (FNE_ON_ERROR_SKIP). */
    std::function<void(std::uint64_t index, const error &)> image_error;
    span<fne_status> statuses;  /**< receives one status per image. May be empty. */
    span<std::int8_t> codes;    /**< receives ternary codes, made with mean and std. May be empty. */
    span<std::uint64_t> packed; /**< receives them packed. May be empty. */
    span<const double> mean;    /**< [feature_count], needed for codes and packed */
    span<const double> std;     /**< [feature_count], needed for codes and packed */
    const fne_ternarize_options *thresholds = nullptr; /**< nullptr stands for the defaults */
    std::uint64_t rows_done = 0; /**< out: the first rows_done rows are final, also after an exception */
};

/** \cond INTERNAL */
namespace detail {

struct reporting {
    run *asked;
    std::exception_ptr failure;
};

inline std::int32_t report_progress(void *user, std::uint64_t done, std::uint64_t total) {
    auto &reports = *static_cast<reporting *>(user);
    const auto &progress = reports.asked->progress;
    return guarded(reports.failure, [&] { return !progress || progress(done, total); }) ? 0 : 1;
}

inline void report_image(void *user, std::uint64_t index, fne_status status, const char *message) {
    auto &reports = *static_cast<reporting *>(user);
    guarded(reports.failure, [&] {
        if (reports.asked->image_error) reports.asked->image_error(index, error(status, message));
        return true;
    });
}

template <class Call>
void running(run &asked, Call &&call) {
    asked.rows_done = 0;
    reporting reports{&asked, nullptr};
    fne_extract_run given;
    fne_extract_run_init(&given, sizeof given);
    given.progress = report_progress;
    given.image_error = report_image;
    given.user = &reports;
    given.statuses = asked.statuses.empty() ? nullptr : asked.statuses.data();
    given.statuses_capacity = asked.statuses.size();
    given.codes = asked.codes.empty() ? nullptr : asked.codes.data();
    given.codes_capacity = asked.codes.size();
    given.packed = asked.packed.empty() ? nullptr : asked.packed.data();
    given.packed_capacity = asked.packed.size();
    if (!asked.mean.empty() || !asked.std.empty()) {
        require_size(asked.std.size(), asked.mean.size(), "std");
        given.mean = asked.mean.data();
        given.std = asked.std.data();
        given.statistics_size = asked.mean.size();
    }
    given.ternarize_options = asked.thresholds;
    const fne_status status = call(&given);
    asked.rows_done = given.rows_done;
    finish(status, reports.failure);
}

inline float *data_or_null(span<float> features) { return features.empty() ? nullptr : features.data(); }

} // namespace detail
/** \endcond */

/** A model prepared for an input size and a list of layers. It turns images into pooled float32 features. Several
 * threads may use it at once. */
class extractor {
public:
    /** Imports the graph into TensorFlow. The model may be destroyed afterwards. */
    explicit extractor(const model &network, const extractor_options &options = {}) {
        fne_extractor *opened = nullptr;
        check(fne_extractor_open(network.get(), &options, &opened));
        handle_.reset(opened);
        check(fne_extractor_feature_count(get(), &feature_count_));
    }
    /** Takes over a handle of fne.h, and frees it. */
    static extractor adopt(fne_extractor *opened) { return extractor(taken{opened}); }

    std::uint64_t feature_count() const noexcept { return feature_count_; } /**< F, the number of features of a row */

    /** What is fed: size, channels, batch, rows per image. The name lives as long as the extractor. */
    fne_input_info input() const {
        fne_input_info info;
        fne_input_info_init(&info, sizeof info);
        check(fne_extractor_input_info(get(), &info));
        return info;
    }

    /** What the last bits of a row can depend on, as JSON (fne_extractor_engine()). */
    std::string engine() const {
        const char *facts = nullptr;
        check(fne_extractor_engine(get(), &facts));
        return facts;
    }

    /** The layers of a row, in the order of its columns. Names live as long as the extractor. */
    std::vector<layer_info> layers() const {
        std::uint64_t count = 0;
        check(fne_extractor_layer_count(get(), &count));
        return detail::described<layer_info>(
            count, [this](std::uint64_t i, layer_info *info) { return fne_extractor_layer_info(get(), i, info); });
    }

    /** Embeds image files into features, float32 [images * rows per image, F]. features may be empty where the run has
     * codes or packed. */
    void extract(span<const char *const> paths, span<float> features, run &asked) const {
        detail::running(asked, [&](fne_extract_run *given) {
            return fne_extract_files(get(), paths.data(), paths.size(), detail::data_or_null(features), features.size(),
                                     given);
        });
    }
    /** The same for a vector of strings. */
    void extract(const std::vector<std::string> &paths, span<float> features, run &asked) const {
        const auto pointers = detail::pointers(paths);
        extract(span<const char *const>(pointers.data(), pointers.size()), features, asked);
    }
    /** The features of image files. */
    std::vector<float> extract(const std::vector<std::string> &paths) const {
        auto features = rows_for(paths.size());
        run asked;
        extract(paths, features, asked);
        return features;
    }

    /** As for files, with JPEG or PNG data in memory. */
    void extract(span<const fne_encoded_image> images, span<float> features, run &asked) const {
        detail::running(asked, [&](fne_extract_run *given) {
            return fne_extract_encoded(get(), images.data(), images.size(), detail::data_or_null(features),
                                       features.size(), given);
        });
    }

    /** The features of images in memory. */
    std::vector<float> extract(span<const fne_encoded_image> images) const {
        auto features = rows_for(images.size());
        run asked;
        extract(images, features, asked);
        return features;
    }

    /** As for files, with decoded pixels. */
    void extract(span<const fne_pixel_image> images, span<float> features, run &asked) const {
        detail::running(asked, [&](fne_extract_run *given) {
            return fne_extract_pixels(get(), images.data(), images.size(), detail::data_or_null(features),
                                      features.size(), given);
        });
    }
    /** The features of decoded images. */
    std::vector<float> extract(span<const fne_pixel_image> images) const {
        auto features = rows_for(images.size());
        run asked;
        extract(images, features, asked);
        return features;
    }
    /** The features of one decoded image. */
    std::vector<float> extract(const image &source) const {
        const fne_pixel_image pixels = source.pixels();
        return extract(span<const fne_pixel_image>(&pixels, 1));
    }

    /** As for files, with float32 [n, height, width, channels] that is fed to the network as it is. Each of the n
     * inputs is one row. */
    void extract_tensor(span<const float> input, span<float> features, run &asked) const {
        asked.rows_done = 0;
        const auto fed = input_size();
        const auto count = detail::require_whole_rows(input.size(), fed, "input");
        detail::running(asked, [&](fne_extract_run *given) {
            return fne_extract_tensor(get(), input.data(), input.size(), count, detail::data_or_null(features),
                                      features.size(), given);
        });
    }

    /** What the network would be fed with for an image: float32 [rows per image, height, width,
     * channels]. */
    std::vector<float> preprocess(const fne_pixel_image &source) const {
        std::vector<float> fed(detail::product(input().rows_per_image, input_size()));
        check(fne_extractor_preprocess(get(), &source, fed.data(), fed.size()));
        return fed;
    }

    /** The codes of image files, made with their own statistics. These are written to mean and std, [F] each. */
    std::vector<std::int8_t> embed(const std::vector<std::string> &paths, span<double> mean, span<double> std,
                                   run &asked) const {
        detail::require_size(std.size(), mean.size(), "std");
        const auto rows = detail::product(paths.size(), input().rows_per_image);
        std::vector<std::int8_t> codes(detail::product(rows, feature_count_));
        const auto pointers = detail::pointers(paths);
        detail::running(asked, [&](fne_extract_run *given) {
            return fne_embed_files(get(), pointers.data(), pointers.size(), detail::start(span<std::int8_t>(codes)),
                                   codes.size(), mean.data(), std.data(), mean.size(), given);
        });
        return codes;
    }

    const fne_extractor *get() const noexcept { return handle_.get(); } /**< for fne.h's functions */

private:
    struct taken {
        fne_extractor *handle;
    };
    explicit extractor(taken opened) : handle_(opened.handle) {
        check(fne_extractor_feature_count(get(), &feature_count_));
    }

    std::vector<float> rows_for(std::size_t images) const {
        return std::vector<float>(detail::product(detail::product(images, input().rows_per_image), feature_count_));
    }
    std::size_t input_size() const {
        const auto info = input();
        return detail::product(detail::product(info.height, info.width), info.channels);
    }

    detail::handle<fne_extractor, fne_extractor_close> handle_;
    std::uint64_t feature_count_ = 0;
};

/** Exact count, sum and sum of squares of each feature. Only one thread at a time may use it. */
class statistics {
public:
    /** For so many features, before any row. */
    explicit statistics(std::uint64_t feature_count) {
        fne_statistics *opened = nullptr;
        check(fne_statistics_open(feature_count, &opened));
        handle_.reset(opened);
    }
    /** Reads what save() or fne_statistics_save() wrote. */
    static statistics load(span<const std::uint8_t> bytes) {
        fne_statistics *opened = nullptr;
        check(fne_statistics_load(detail::start(bytes), bytes.size(), &opened));
        return adopt(opened);
    }
    /** Takes over a handle of fne.h, and frees it. */
    static statistics adopt(fne_statistics *opened) { return statistics(taken{opened}); }

    /** Adds rows, float32 [n, F]. */
    void update(span<const float> rows) {
        if (rows.empty()) return;
        const auto columns = feature_count();
        const auto count = detail::require_whole_rows(rows.size(), columns, "rows");
        check(fne_statistics_update(handle_.get(), rows.data(), count, columns));
    }
    /** Adds what another object has seen. */
    void merge(const statistics &other) { check(fne_statistics_merge(handle_.get(), other.get())); }

    /** F, the number of features. */
    std::uint64_t feature_count() const {
        std::uint64_t features = 0;
        check(fne_statistics_count(get(), nullptr, &features));
        return features;
    }
    /** The number of rows seen. */
    std::uint64_t row_count() const {
        std::uint64_t rows = 0;
        check(fne_statistics_count(get(), &rows, nullptr));
        return rows;
    }
    /** Mean and standard deviation, [F] each. The variance is the sum of squared deviations over (rows - ddof). */
    std::pair<std::vector<double>, std::vector<double>> moments(std::uint32_t ddof = 0) const {
        const auto features = static_cast<std::size_t>(feature_count());
        std::vector<double> mean(features), std(features);
        check(fne_statistics_moments(get(), mean.data(), std.data(), features, ddof));
        return {std::move(mean), std::move(std)};
    }
    /** The object as bytes, in the format of docs/numerics.md. */
    std::vector<std::uint8_t> save() const {
        std::uint64_t size = 0;
        check(fne_statistics_size(get(), &size));
        std::vector<std::uint8_t> bytes(static_cast<std::size_t>(size));
        check(fne_statistics_save(get(), bytes.data(), bytes.size()));
        return bytes;
    }

    const fne_statistics *get() const noexcept { return handle_.get(); } /**< for fne.h's functions */

private:
    struct taken {
        fne_statistics *handle;
    };
    explicit statistics(taken opened) : handle_(opened.handle) {}

    detail::handle<fne_statistics, fne_statistics_close> handle_;
};

/** \name Embedding
 * The size of mean gives the number of features, or the argument feature_count does. The number of rows follows. */
///@{
/** z = (x - mean) / std in float64, and 0 where std is 0. z is float64 [n, F]. */
inline void standardize(span<const float> x, span<const double> mean, span<const double> std, span<double> z) {
    detail::require_size(std.size(), mean.size(), "std");
    const auto count = detail::require_whole_rows(x.size(), mean.size(), "x");
    check(fne_standardize(x.data(), count, mean.size(), mean.data(), std.data(), z.data(), z.size()));
}
/** The same into a vector. */
inline std::vector<double> standardize(span<const float> x, span<const double> mean, span<const double> std) {
    std::vector<double> z(x.size());
    standardize(x, mean, std, z);
    return z;
}

/** Standardizes and discretizes to -1, 0 and 1. codes is int8 [n, F]. */
inline void ternarize(span<const float> x, span<const double> mean, span<const double> std, span<std::int8_t> codes,
                      const ternarize_options &options = {}) {
    detail::require_size(std.size(), mean.size(), "std");
    const auto count = detail::require_whole_rows(x.size(), mean.size(), "x");
    check(fne_ternarize(x.data(), count, mean.size(), mean.data(), std.data(), &options, codes.data(), codes.size()));
}
/** The same into a vector. */
inline std::vector<std::int8_t> ternarize(span<const float> x, span<const double> mean, span<const double> std,
                                          const ternarize_options &options = {}) {
    std::vector<std::int8_t> codes(x.size());
    ternarize(x, mean, std, codes, options);
    return codes;
}

/** Divides each row of feature_count features by its Euclidean norm. y may be x. */
inline void l2_normalize(span<const float> x, std::uint64_t feature_count, span<float> y) {
    const auto count = detail::require_whole_rows(x.size(), feature_count, "x");
    check(fne_l2_normalize(x.data(), count, feature_count, y.data(), y.size()));
}
///@}

/** \name Packed codes
 * Two bits per feature, uint64 [n, packed_words(F)]. */
///@{
/** The number of words of a row. */
inline std::uint64_t packed_words(std::uint64_t feature_count) {
    std::uint64_t words = 0;
    check(fne_packed_words(feature_count, &words));
    return words;
}

/** Packs int8 [n, F] of -1, 0 and 1. */
inline std::vector<std::uint64_t> pack(span<const std::int8_t> codes, std::uint64_t feature_count) {
    const auto count = detail::require_whole_rows(codes.size(), feature_count, "codes");
    std::vector<std::uint64_t> packed(detail::product(count, packed_words(feature_count)));
    check(fne_pack(codes.data(), count, feature_count, packed.data(), packed.size()));
    return packed;
}

/** Unpacks to int8 [n, F]. */
inline std::vector<std::int8_t> unpack(span<const std::uint64_t> packed, std::uint64_t feature_count) {
    const auto count = detail::require_whole_rows(packed.size(), packed_words(feature_count), "packed");
    std::vector<std::int8_t> codes(detail::product(count, feature_count));
    check(fne_unpack(packed.data(), count, feature_count, codes.data(), codes.size()));
    return codes;
}

/** The dot products of all rows of a with all rows of b, int32 [rows of a, rows of b]. threads 0 stands for one per
 * processor. */
inline std::vector<std::int32_t> packed_dot(span<const std::uint64_t> a, span<const std::uint64_t> b,
                                            std::uint64_t feature_count, std::uint32_t threads = 0) {
    const auto words = packed_words(feature_count);
    const auto a_count = detail::require_whole_rows(a.size(), words, "a");
    const auto b_count = detail::require_whole_rows(b.size(), words, "b");
    std::vector<std::int32_t> products(detail::product(a_count, b_count));
    check(
        fne_packed_dot(a.data(), a_count, b.data(), b_count, feature_count, threads, products.data(), products.size()));
    return products;
}

/** What a search found: [queries, k] each, the best first. */
struct found {
    std::vector<std::uint64_t> indices; /**< of rows in the base */
    std::vector<double> scores;         /**< by the metric, such as cosines */
};

/** \cond INTERNAL */
namespace detail {
/** Searches by a function that is given the number of rows of the base and of the queries, and room for the result. */
template <class Search>
found searched(span<const std::uint64_t> base, span<const std::uint64_t> queries, std::uint64_t feature_count,
               std::uint64_t k, Search &&search) {
    const auto words = packed_words(feature_count);
    const auto base_count = require_whole_rows(base.size(), words, "base");
    const auto query_count = require_whole_rows(queries.size(), words, "queries");
    if (k < 1 || k > base_count)
        throw error(FNE_INVALID_ARGUMENT, "k is " + std::to_string(k) + " of " + std::to_string(base_count) + " rows");
    found result;
    result.indices.resize(product(query_count, k));
    result.scores.resize(result.indices.size());
    check(search(base_count, query_count, result.indices.data(), result.scores.data(), result.indices.size()));
    return result;
}
} // namespace detail
/** \endcond */

/** The k best rows of a base for each query. metric is FNE_METRIC_*. threads 0 stands for one per processor. */
inline found packed_search(span<const std::uint64_t> base, span<const std::uint64_t> queries,
                           std::uint64_t feature_count, std::uint64_t k, std::int32_t metric = FNE_METRIC_COSINE,
                           std::uint32_t threads = 0) {
    return detail::searched(base, queries, feature_count, k,
                            [&](auto base_count, auto query_count, auto *indices, auto *scores, auto capacity) {
                                return fne_packed_search(base.data(), base_count, queries.data(), query_count,
                                                         feature_count, k, metric, threads, indices, scores, capacity);
                            });
}

/** The mean of codes, float32 [F]. */
inline std::vector<float> packed_mean(span<const std::uint64_t> codes, std::uint64_t feature_count,
                                      std::uint32_t threads = 0) {
    const auto count = detail::require_whole_rows(codes.size(), packed_words(feature_count), "codes");
    std::vector<float> mean(feature_count);
    check(fne_packed_mean(codes.data(), count, feature_count, threads, mean.data(), mean.size()));
    return mean;
}

/** The product of each row with a mean, float64 [n], which packed_search_centred() takes. */
inline std::vector<double> packed_offsets(span<const std::uint64_t> codes, std::uint64_t feature_count,
                                          span<const float> mean, std::uint32_t threads = 0) {
    const auto count = detail::require_whole_rows(codes.size(), packed_words(feature_count), "codes");
    detail::require_size(mean.size(), feature_count, "mean");
    std::vector<double> offsets(count);
    check(fne_packed_offsets(codes.data(), count, feature_count, mean.data(), threads, offsets.data(), offsets.size()));
    return offsets;
}

/** The k best rows of a base for each query by FNE_METRIC_CENTRED. mean and offsets are those of packed_mean() and
 * packed_offsets(), so that they are computed once for many searches. */
inline found packed_search_centred(span<const std::uint64_t> base, span<const std::uint64_t> queries,
                                   std::uint64_t feature_count, std::uint64_t k, span<const float> mean,
                                   span<const double> offsets, std::uint32_t threads = 0) {
    detail::require_size(mean.size(), feature_count, "mean");
    return detail::searched(base, queries, feature_count, k,
                            [&](auto base_count, auto query_count, auto *indices, auto *scores, auto capacity) {
                                detail::require_size(offsets.size(), base_count, "offsets");
                                return fne_packed_search_centred(base.data(), base_count, queries.data(), query_count,
                                                                 feature_count, k, mean.data(), offsets.data(), threads,
                                                                 indices, scores, capacity);
                            });
}
///@}

/** Saves packed codes to PATH.npy, and what they mean to PATH.json (fne_packed_save()). The Python package reads them.
 * layers are the layers of the columns. Empty: they are not known. */
inline void packed_save(const std::string &path, span<const std::uint64_t> codes, std::uint64_t feature_count,
                        span<const layer_info> layers = {}) {
    const auto words = packed_words(feature_count);
    const auto count = codes.empty() ? 0 : detail::require_whole_rows(codes.size(), words, "codes");
    check(fne_packed_save(path.c_str(), codes.data(), count, feature_count, layers.data(), layers.size()));
}

/** Packed codes that packed_save() or the Python package saved. Any number of threads may use it. */
class packed_file {
public:
    /** Opens the files, and compares them with each other. */
    explicit packed_file(const std::string &path) {
        fne_codes *opened = nullptr;
        check(fne_codes_open(path.c_str(), &opened));
        handle_.reset(opened);
        check(fne_codes_sizes(get(), &row_count_, &feature_count_, &layer_count_));
    }

    std::uint64_t row_count() const noexcept { return row_count_; }         /**< the number of codes */
    std::uint64_t feature_count() const noexcept { return feature_count_; } /**< F, the features of a code */

    /** The layers of the columns. Empty: they are not known. Names live as long as the object. */
    std::vector<layer_info> layers() const {
        return detail::described<layer_info>(
            layer_count_, [this](std::uint64_t i, layer_info *info) { return fne_codes_layer_info(get(), i, info); });
    }
    /** Some of the codes, row_count * 2 * ceil(F / 64) words. */
    std::vector<std::uint64_t> read(std::uint64_t first_row, std::uint64_t row_count) const {
        std::vector<std::uint64_t> result(detail::product(row_count, packed_words(feature_count_)));
        check(fne_codes_read(get(), first_row, row_count, result.data(), result.size()));
        return result;
    }
    /** All codes. */
    std::vector<std::uint64_t> read() const {
        return row_count_ == 0 ? std::vector<std::uint64_t>() : read(0, row_count_);
    }

    const fne_codes *get() const noexcept { return handle_.get(); } /**< for fne.h's functions */

private:
    detail::handle<fne_codes, fne_codes_close> handle_;
    std::uint64_t row_count_ = 0;
    std::uint64_t feature_count_ = 0;
    std::uint64_t layer_count_ = 0;
};

/** How features become compact codes, which the Python package fits and saves. Any number of threads may use it. */
class compact_codes {
public:
    /** Reads a saved file's bytes. */
    explicit compact_codes(span<const std::uint8_t> bytes) {
        fne_compact *opened = nullptr;
        check(fne_compact_open_memory(detail::start(bytes), bytes.size(), &opened));
        handle_.reset(opened);
        check(fne_compact_sizes(get(), &feature_count_, &dimensions_));
    }

    std::uint64_t feature_count() const noexcept { return feature_count_; } /**< F, the features of a row */
    std::uint64_t dimensions() const noexcept { return dimensions_; }       /**< D, the features of its packed code */

    /** The packed codes of rows, float32 [n, F]. threads 0 stands for one per processor. */
    std::vector<std::uint64_t> transform(span<const float> rows, std::uint32_t threads = 0) const {
        if (rows.empty()) return {};
        const auto count = detail::require_whole_rows(rows.size(), feature_count_, "rows");
        std::vector<std::uint64_t> packed(detail::product(count, packed_words(dimensions_)));
        check(fne_compact_transform(get(), rows.data(), count, feature_count_, threads, packed.data(), packed.size()));
        return packed;
    }

    const fne_compact *get() const noexcept { return handle_.get(); } /**< for fne.h's functions */

private:
    detail::handle<fne_compact, fne_compact_close> handle_;
    std::uint64_t feature_count_ = 0;
    std::uint64_t dimensions_ = 0;
};

/** The paths of the images below a folder, relative to it, as a job takes them (fne_listing_open()). */
inline std::vector<std::string> list_images(const std::string &folder, bool fail_on_unreadable = false) {
    fne_listing *opened = nullptr;
    check(fne_listing_open(folder.c_str(), fail_on_unreadable ? 1 : 0, nullptr, nullptr, &opened));
    const detail::handle<fne_listing, fne_listing_close> listing(opened);
    std::uint64_t count = 0;
    check(fne_listing_count(listing.get(), &count));
    std::vector<std::string> names;
    for (std::uint64_t i = 0; i < count; ++i) {
        const char *name = nullptr;
        check(fne_listing_name(listing.get(), i, &name));
        names.emplace_back(name);
    }
    return names;
}

/** The embedding of many images into a folder, restartable (docs/jobs.md). Only one thread at a time may use it. */
class job {
public:
    /** Called with FNE_PHASE_*, and with how much of the phase is done and how much there is. A result of false cancels
     * (FNE_CANCELLED). */
    using progress_function = std::function<bool(std::int32_t phase, std::uint64_t done, std::uint64_t total)>;
    /** Called for each image that cannot be embedded. */
    using image_error_function = std::function<void(std::uint64_t index, const error &)>;
    /** Called with a sentence about damage that was found and is made good, or about images that have changed. */
    using notice_function = std::function<void(const std::string &message)>;

    /** A new job in a folder, or the one that the folder holds, which is then resumed. */
    job(const std::string &folder, const model &network, const job_options &options,
        const extractor_options &extracting = {}) {
        fne_job *opened = nullptr;
        check(fne_job_open(folder.c_str(), network.get(), &extracting, &options, &opened));
        handle_.reset(opened);
    }
    /** The job that a folder holds, to read it, or to run what is left of it except for the network. */
    explicit job(const std::string &folder) {
        fne_job *opened = nullptr;
        check(fne_job_open(folder.c_str(), nullptr, nullptr, nullptr, &opened));
        handle_.reset(opened);
    }
    /** A job that merges shards. */
    static job merge(const std::string &folder, const std::vector<std::string> &shards,
                     const job_options &options = {}) {
        const auto pointers = detail::pointers(shards);
        fne_job *opened = nullptr;
        check(fne_job_open_merge(folder.c_str(), pointers.data(), pointers.size(), &options, &opened));
        return adopt(opened);
    }
    /** Takes over a handle of fne.h, and frees it. */
    static job adopt(fne_job *opened) { return job(taken{opened}); }

    /** Does what is left of the job. What is damaged is made again. */
    void run(progress_function progress = {}, image_error_function image_error = {}, notice_function notice = {}) {
        reporting reports{std::move(progress), std::move(image_error), std::move(notice), nullptr};
        const fne_job_reports given = reports.for_c();
        const fne_status status = fne_job_run(handle_.get(), &given);
        detail::finish(status, reports.failure);
    }

    /** Compares all files of a finished job with their checksums. Throws FNE_INVALID_DATA, with the names of the
     * damaged ones. */
    void verify(progress_function progress = {}) const {
        reporting reports{std::move(progress), {}, {}, nullptr};
        const fne_job_reports given = reports.for_c();
        const fne_status status = fne_job_verify(get(), &given);
        detail::finish(status, reports.failure);
    }
    /** Compares a part of one file with its checksum, such as rows of "features.npy" that are about to be read. */
    void verify_file(const std::string &file, std::uint64_t first_byte = 0,
                     std::uint64_t byte_count = UINT64_MAX) const {
        check(fne_job_verify_file(get(), file.c_str(), first_byte, byte_count));
    }

    /** How far the job is. */
    fne_progress_info progress() const {
        fne_progress_info result;
        fne_progress_info_init(&result, sizeof result);
        check(fne_job_progress_info(get(), &result));
        return result;
    }
    /** What this object's runs took, and what was left out of the folder of images. */
    fne_intake_info intake() const {
        fne_intake_info result;
        fne_intake_info_init(&result, sizeof result);
        check(fne_job_intake_info(get(), &result));
        return result;
    }
    /** The layers of a row, in the order of its columns. Names live as long as the job. */
    std::vector<layer_info> layers() const {
        return detail::described<layer_info>(progress().layer_count, [this](std::uint64_t i, layer_info *layer) {
            return fne_job_layer_info(get(), i, layer);
        });
    }
    /** The job's own statistics, once its features are there. */
    fne::statistics statistics() const {
        fne_statistics *opened = nullptr;
        check(fne_job_statistics(get(), &opened));
        return fne::statistics::adopt(opened);
    }

    /** The name of an image, as bytes that need not be UTF-8. */
    std::string name(std::uint64_t image) const {
        const char *found = nullptr;
        check(fne_job_image_name(get(), image, &found));
        return found;
    }
    /** Why an image could not be embedded; "" where it is embedded. */
    std::string reason(std::uint64_t image) const {
        const char *found = nullptr;
        check(fne_job_image_reason(get(), image, &found));
        return found == nullptr ? "" : found;
    }
    /** For each image FNE_OK where it is embedded, else the number of the error. */
    std::vector<std::int32_t> statuses() const {
        std::vector<std::int32_t> result(progress().image_count);
        check(fne_job_statuses(get(), 0, result.size(), result.data(), result.size()));
        return result;
    }
    /** Rows of features, row_count * F numbers. */
    std::vector<float> features(std::uint64_t first_row, std::uint64_t row_count) const {
        std::vector<float> result(detail::product(row_count, progress().feature_count));
        check(fne_job_features(get(), first_row, row_count, result.data(), result.size()));
        return result;
    }
    /** Rows of codes, row_count * F numbers. */
    std::vector<std::int8_t> codes(std::uint64_t first_row, std::uint64_t row_count) const {
        std::vector<std::int8_t> result(detail::product(row_count, progress().feature_count));
        check(fne_job_codes(get(), first_row, row_count, result.data(), result.size()));
        return result;
    }
    /** Rows of packed codes, row_count * 2 * ceil(F / 64) words. */
    std::vector<std::uint64_t> packed_codes(std::uint64_t first_row, std::uint64_t row_count) const {
        std::vector<std::uint64_t> result(detail::product(row_count, packed_words(progress().feature_count)));
        check(fne_job_packed_codes(get(), first_row, row_count, result.data(), result.size()));
        return result;
    }
    /** An extractor that makes the same rows as the job. Threads, streams, device, on_error and decoder of the options
     * are taken; the others are the job's. */
    fne::extractor extractor(const model &network, const extractor_options &options = {}) const {
        fne_extractor *opened = nullptr;
        check(fne_job_extractor(get(), network.get(), &options, &opened));
        return fne::extractor::adopt(opened);
    }
    /** As above, of the file that the network was read from when the job ran. */
    fne::extractor extractor(const extractor_options &options = {}) const {
        fne_extractor *opened = nullptr;
        check(fne_job_extractor(get(), nullptr, &options, &opened));
        return fne::extractor::adopt(opened);
    }

    const fne_job *get() const noexcept { return handle_.get(); } /**< for fne.h's functions */

private:
    struct taken {
        fne_job *handle;
    };
    explicit job(taken opened) : handle_(opened.handle) {}

    struct reporting {
        progress_function progress;
        image_error_function image_error;
        notice_function notice;
        std::exception_ptr failure;

        fne_job_reports for_c() {
            fne_job_reports result;
            fne_job_reports_init(&result, sizeof result);
            result.progress = report_progress;
            result.image_error = report_image;
            result.notice = report_notice;
            result.user = this;
            return result;
        }
    };
    static std::int32_t report_progress(void *user, std::int32_t phase, std::uint64_t done, std::uint64_t total) {
        auto &reports = *static_cast<reporting *>(user);
        const auto &progress = reports.progress;
        return detail::guarded(reports.failure, [&] { return !progress || progress(phase, done, total); }) ? 0 : 1;
    }
    static void report_image(void *user, std::uint64_t index, fne_status status, const char *message) {
        auto &reports = *static_cast<reporting *>(user);
        detail::guarded(reports.failure, [&] {
            if (reports.image_error) reports.image_error(index, error(status, message));
            return true;
        });
    }
    static void report_notice(void *user, const char *message) {
        auto &reports = *static_cast<reporting *>(user);
        detail::guarded(reports.failure, [&] {
            if (reports.notice) reports.notice(message);
            return true;
        });
    }

    detail::handle<fne_job, fne_job_close> handle_;
};

} // namespace v2_0_0_cxx17 or v2_0_0_cxx20
} // namespace fne

#endif /* FNE_HPP */

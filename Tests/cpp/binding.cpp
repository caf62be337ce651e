/* Every part of fne.hpp once: binding NETWORK.pb HEIGHT WIDTH FOLDER BROKEN IMAGE...
 *
 * Checks what can be checked here, and writes features.bin, codes.bin, mean.bin and packed.bin to FOLDER for a
 * comparison with NumPy. Ends with 1 and the line of the first check that fails. */
#include <fne.hpp>

#include "../c/compact.h"

#include <cmath>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#define CHECK(condition)                                                                  \
    do {                                                                                  \
        if (!(condition)) {                                                               \
            std::fprintf(stderr, "binding.cpp:%d: %s is not so\n", __LINE__, #condition); \
            std::exit(1);                                                                 \
        }                                                                                 \
    } while (false)

/** The status and the message of the fne::error that a call throws. */
template <class Call>
static std::pair<fne_status, std::string> thrown(Call &&call) {
    try {
        call();
    } catch (const fne::error &error) {
        return {error.status(), error.what()};
    }
    return {FNE_OK, ""};
}

template <class T>
static void write(const std::string &path, const std::vector<T> &values) {
    const auto size = std::streamsize(values.size() * sizeof(T));
    std::ofstream(path, std::ios::binary).write(reinterpret_cast<const char *>(values.data()), size);
}

static std::vector<std::uint8_t> read(const std::string &path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

static bool has(const std::string &text, const std::string &part) { return text.find(part) != std::string::npos; }

static void images(const std::string &path, const std::string &broken) {
    const auto info = fne::probe(path);
    const fne::image image = fne::decode(path);
    CHECK(image.height == info.height && image.width == info.width);
    CHECK(image.rgb.size() == std::size_t(info.height) * info.width * 3);
    const auto bytes = read(path);
    CHECK(fne::decode(bytes).rgb == image.rgb && fne::probe(bytes).width == info.width);
    const fne::image half = fne::resize(image, image.height / 2, image.width / 2);
    CHECK(half.rgb.size() == std::size_t(half.height) * half.width * 3);
    fne::image_options options;
    options.max_pixels = 10;
    CHECK(thrown([&] { fne::decode(path, options); }).first == FNE_IMAGE_LIMIT);
    const auto [status, message] = thrown([&] { fne::decode(broken); });
    CHECK(status == FNE_UNSUPPORTED_IMAGE && has(message, broken));
    fne::image torn = image;
    torn.rgb.pop_back();
    CHECK(thrown([&] { fne::resize(torn, 4, 4); }).first == FNE_SHAPE_MISMATCH);
    CHECK(thrown([&] { torn.pixels(); }).first == FNE_SHAPE_MISMATCH);
    CHECK(thrown([&] { fne::resize(image, 0, 4); }).first == FNE_INVALID_ARGUMENT);
    const std::vector<std::uint8_t> nothing;
    CHECK(thrown([&] { fne::decode(nothing); }).first == FNE_UNSUPPORTED_IMAGE);
    CHECK(thrown([&] { fne::model{nothing}; }).first == FNE_INVALID_GRAPH);
    CHECK(thrown([&] { fne::statistics::load(nothing); }).first == FNE_INVALID_DATA);
    fne::image_options tolerant;
    tolerant.tolerate_truncation = 1;
    auto cut = bytes;
    cut.resize(bytes.size() * 3 / 4);
    const fne::image part = fne::decode(cut, tolerant);
    CHECK(part.is_partial && fne::resize(part, 8, 8).is_partial && !image.is_partial);
}

// What a span takes: arrays and containers; a temporary only to read.
static_assert(std::is_constructible_v<fne::span<float>, float (&)[3]>);
static_assert(std::is_constructible_v<fne::span<float>, std::vector<float> &>);
static_assert(std::is_constructible_v<fne::span<const float>, const std::vector<float> &>);
static_assert(std::is_constructible_v<fne::span<const float>, std::vector<float>>);
static_assert(std::is_constructible_v<fne::span<const float>, std::array<float, 3> &>);
static_assert(!std::is_constructible_v<fne::span<float>, std::vector<float>>);
static_assert(!std::is_constructible_v<fne::span<float>, const std::vector<float> &>);
static_assert(!std::is_constructible_v<fne::span<double>, std::vector<float> &>);

static void arithmetic() {
    const std::vector<float> x{1, 2, 3, 4, 5, 9};
    fne::statistics statistics(2), other(2);
    statistics.update(x);
    other.update(x);
    statistics.update(fne::span<const float>());
    CHECK(thrown([] { fne::statistics(0); }).first == FNE_INVALID_ARGUMENT);
    CHECK(statistics.row_count() == 3 && statistics.feature_count() == 2);
    const auto moments = statistics.moments();
    const auto &mean = moments.first, &std = moments.second;
    CHECK(mean[0] == 3 && mean[1] == 5 && std::abs(std[0] - std::sqrt(8.0 / 3)) < 1e-15);
    CHECK(std::abs(statistics.moments(1).second[0] - 2) < 1e-15);
    other.merge(statistics);
    CHECK(other.row_count() == 6 && other.moments().first == mean);
    CHECK(fne::statistics::load(statistics.save()).save() == statistics.save());
    fne::statistics moved = std::move(other);
    CHECK(moved.row_count() == 6);
    CHECK(thrown([&] { other.row_count(); }).first == FNE_INVALID_ARGUMENT); // moved from: a clear error, no crash
    CHECK(thrown([&] { statistics.update(fne::span<const float>(x.data(), 5)); }).first == FNE_SHAPE_MISMATCH);
    CHECK(thrown([&] { statistics.merge(fne::statistics(3)); }).first == FNE_SHAPE_MISMATCH);

    const auto z = fne::standardize(x, mean, std);
    CHECK(z.size() == 6 && z[2] == 0 && z[5] == (9 - 5) / std[1]);
    const auto codes = fne::ternarize(x, mean, std);
    CHECK((codes == std::vector<std::int8_t>{-1, -1, 0, -1, 1, 1}));
    fne::ternarize_options thresholds;
    thresholds.lower = -10;
    thresholds.upper = 1.3;
    CHECK((fne::ternarize(x, mean, std, thresholds) == std::vector<std::int8_t>{0, 0, 0, 0, 0, 1}));
    std::vector<std::int8_t> few(5);
    CHECK(thrown([&] { fne::ternarize(x, mean, std, fne::span<std::int8_t>(few)); }).first == FNE_BUFFER_TOO_SMALL);
    std::vector<float> unit(6);
    fne::l2_normalize(x, 2, unit);
    CHECK(std::abs(unit[2] - 0.6f) < 1e-7f && std::abs(unit[3] - 0.8f) < 1e-7f);

    const auto packed = fne::pack(codes, 2);
    CHECK(packed.size() == 3 * fne::packed_words(2) && fne::unpack(packed, 2) == codes);
    CHECK((fne::packed_dot(packed, packed, 2) == std::vector<std::int32_t>{2, 1, -2, 1, 1, -1, -2, -1, 2}));
    const auto found = fne::packed_search(packed, packed, 2, 2, FNE_METRIC_DOT, 1);
    CHECK((found.indices == std::vector<std::uint64_t>{0, 1, 0, 1, 2, 1}) && found.scores[5] == -1);
    CHECK(thrown([&] { fne::packed_search(packed, packed, 2, 4); }).first == FNE_INVALID_ARGUMENT);
    const fne::compact_codes compact(compact_bytes);
    CHECK(compact.feature_count() == 2 && compact.dimensions() == 2);
    const std::vector<float> points = {1, 0, 0, 1};
    CHECK((compact.transform(points) == std::vector<std::uint64_t>{3, 1, 3, 3})); // compact.h has the numbers
    CHECK(thrown([&] { fne::compact_codes damaged(fne::span<const std::uint8_t>(compact_bytes, 100)); }).first ==
          FNE_INVALID_DATA);

    const auto mean_code = fne::packed_mean(packed, 2);
    CHECK(mean_code.size() == 2 && mean_code[0] == 0 && std::abs(mean_code[1] + 1 / 3.0f) < 1e-7f);
    const auto offsets = fne::packed_offsets(packed, 2, mean_code);
    CHECK(offsets.size() == 3 && std::abs(offsets[0] - 1 / 3.0) < 1e-7);
    const auto centred = fne::packed_search_centred(packed, packed, 2, 3, mean_code, offsets, 1);
    CHECK(centred.indices == fne::packed_search(packed, packed, 2, 3, FNE_METRIC_CENTRED).indices);
    CHECK(centred.indices[0] == 0 && std::abs(centred.scores[0] - 1) < 1e-12);
    const fne::span<const double> few_offsets(offsets.data(), 2);
    CHECK(thrown([&] { fne::packed_search_centred(packed, packed, 2, 3, mean_code, few_offsets); }).first ==
          FNE_SHAPE_MISMATCH);
    const fne::span<const std::uint64_t> three(packed.data(), 3);
    CHECK(thrown([&] { fne::unpack(three, 2); }).first == FNE_SHAPE_MISMATCH);
}

static void embedding(const std::string &network, unsigned height, unsigned width, const std::string &folder,
                      const std::string &broken, const std::vector<std::string> &paths) {
    const auto [status, message] = thrown([] { fne::model("none.pb"); });
    CHECK(status == FNE_FILE_ERROR && has(message, "none.pb"));
    CHECK(fne::model(read(network)).tensors().size() == fne::model(network).tensors().size());
    CHECK(fne::model(network).notes().empty());
    const fne::model described(network);
    const fne_input_info reads = described.input();
    CHECK(reads.name == std::string("input") && reads.channels == 3 && reads.whole_numbers == 0);
    CHECK(thrown([&] { described.input("none"); }).first == FNE_UNKNOWN_TENSOR);

    fne::extractor_options options;
    options.height = height;
    options.width = width;
    fne::extractor extractor(fne::model(network), options); // the model is gone after this line
    const auto columns = extractor.feature_count();
    const auto layers = extractor.layers();
    CHECK(layers.back().first_feature + layers.back().feature_count == columns);
    CHECK(extractor.input().height == height && extractor.input().rows_per_image == 1);

    const auto features = extractor.extract(paths);
    CHECK(features.size() == paths.size() * columns);
    write(folder + "/features.bin", features);

    // The other ways in give the same rows.
    std::vector<fne::image> decoded;
    std::vector<fne_pixel_image> pixels;
    std::vector<std::vector<std::uint8_t>> files;
    std::vector<fne_encoded_image> encoded;
    std::vector<float> fed;
    for (const auto &path : paths) {
        decoded.push_back(fne::decode(path));
        files.push_back(read(path));
    }
    for (std::size_t i = 0; i < paths.size(); ++i) {
        pixels.push_back(decoded[i].pixels());
        encoded.push_back({files[i].data(), files[i].size()});
        const auto one = extractor.preprocess(pixels[i]);
        fed.insert(fed.end(), one.begin(), one.end());
    }
    CHECK(extractor.extract(pixels) == features && extractor.extract(encoded) == features);
    CHECK(extractor.input().channels == 3);
    CHECK(thrown([&] { extractor.extract(std::vector<std::string>()); }).first == FNE_INVALID_ARGUMENT);
    std::vector<float> again(features.size());
    fne::run run;
    extractor.extract(encoded, again, run);
    CHECK(again == features && run.rows_done == paths.size());
    again.assign(features.size(), 0);
    extractor.extract_tensor(fed, again, run);
    CHECK(again == features && run.rows_done == paths.size());
    const fne::span<const float> seven(fed.data(), 7);
    CHECK(thrown([&] { extractor.extract_tensor(seven, again, run); }).first == FNE_SHAPE_MISMATCH);
    CHECK(run.rows_done == 0);
    const auto one = extractor.extract(decoded[0]);
    CHECK(one.size() == columns && std::abs(one[0] - features[0]) < 1e-4f);

    // Codes in one go, by their own statistics and by given ones.
    std::vector<double> mean(columns), std(columns);
    fne::run plain;
    const auto codes = extractor.embed(paths, mean, std, plain);
    write(folder + "/codes.bin", codes);
    write(folder + "/mean.bin", mean);
    std::vector<std::int8_t> direct(codes.size());
    std::vector<std::uint64_t> packed(paths.size() * fne::packed_words(columns));
    fne::run coded;
    coded.codes = direct;
    coded.packed = packed;
    coded.mean = mean;
    coded.std = std;
    extractor.extract(paths, fne::span<float>(), coded);
    CHECK(direct == codes && packed == fne::pack(codes, columns));
    write(folder + "/packed.bin", packed);

    // Callbacks: progress, cancelling, an exception on its way through the library.
    fne::run counted;
    std::uint64_t most = 0;
    counted.progress = [&](std::uint64_t done, std::uint64_t total) {
        most = done;
        return total == paths.size();
    };
    extractor.extract(paths, again, counted);
    CHECK(most == paths.size());
    fne::run stopped;
    stopped.progress = [](std::uint64_t, std::uint64_t) { return false; };
    CHECK(thrown([&] { extractor.extract(paths, again, stopped); }).first == FNE_CANCELLED);
    fne::run failing;
    failing.progress = [](std::uint64_t, std::uint64_t) -> bool { throw std::logic_error("from a callback"); };
    bool arrived = false;
    try {
        extractor.extract(paths, again, failing);
    } catch (const std::logic_error &error) {
        arrived = std::strcmp(error.what(), "from a callback") == 0;
    }
    CHECK(arrived);

    // Images that cannot be read.
    auto some = paths;
    some[1] = broken;
    const auto [code, sentence] = thrown([&] { extractor.extract(some); });
    CHECK(code == FNE_UNSUPPORTED_IMAGE && has(sentence, broken));
    options.on_error = FNE_ON_ERROR_SKIP;
    const fne::extractor skipping(fne::model(network), options);
    fne::run skipped;
    std::vector<fne_status> statuses(some.size());
    std::vector<std::uint64_t> left_out;
    skipped.statuses = statuses;
    skipped.image_error = [&](std::uint64_t index, const fne::error &error) {
        CHECK(error.status() == FNE_UNSUPPORTED_IMAGE && std::strcmp(error.name(), "FNE_UNSUPPORTED_IMAGE") == 0);
        left_out.push_back(index);
    };
    skipping.extract(some, again, skipped);
    CHECK(left_out == std::vector<std::uint64_t>{1} && statuses[1] == FNE_UNSUPPORTED_IMAGE && statuses[0] == FNE_OK);
    CHECK(std::isnan(again[columns]) && !std::isnan(again[0]));
    const fne::span<float> three(again.data(), 3);
    CHECK(thrown([&] { extractor.extract(paths, three, run); }).first == FNE_BUFFER_TOO_SMALL);

    fne::extractor moved = std::move(extractor);
    CHECK(moved.extract(paths) == features);
}

/* What a job's folder holds, and an extractor that makes its rows again. */
static void read_job(const fne::job &job, const fne::model &model, const std::vector<std::string> &paths) {
    const auto statuses = job.statuses();
    CHECK(statuses.size() == paths.size());
    const auto rows = job.features(0, paths.size());
    const fne::extractor extractor = job.extractor(model);
    for (std::size_t i = 0; i < paths.size(); ++i) {
        CHECK(job.name(i) == paths[i]);
        CHECK(job.reason(i).empty() == (statuses[i] == FNE_OK));
        if (statuses[i] != FNE_OK) continue;
        const auto row = extractor.extract(std::vector<std::string>{paths[i]});
        CHECK(std::equal(row.begin(), row.end(), rows.begin() + static_cast<std::ptrdiff_t>(i * row.size())));
    }
    CHECK(thrown([&] { job.name(paths.size()); }).first == FNE_INVALID_ARGUMENT);
}

/* Codes of a job in files of their own, which test_install.py opens in Python. */
static void saved_codes(const fne::job &job, const std::string &folder) {
    const auto features = job.progress().feature_count;
    const auto layers = job.layers();
    std::vector<std::uint64_t> codes;
    for (std::uint64_t row = 0; row < job.progress().image_count; ++row) {
        const auto packed = fne::pack(job.codes(row, 1), features);
        codes.insert(codes.end(), packed.begin(), packed.end());
    }
    fne::packed_save(folder + "/saved", codes, features, layers);
    const fne::packed_file file(folder + "/saved.npy");
    CHECK(file.row_count() * fne::packed_words(features) == codes.size() && file.feature_count() == features);
    const auto row = std::ptrdiff_t(fne::packed_words(features));
    CHECK(file.read() == codes && file.read(1, 1) == std::vector(codes.begin() + row, codes.begin() + 2 * row));
    CHECK(file.layers().size() == layers.size());
    CHECK(std::strcmp(file.layers().back().name, layers.back().name) == 0);
    CHECK(file.layers().back().feature_count == layers.back().feature_count);
    CHECK(thrown([&] { file.read(file.row_count(), 1); }).first == FNE_INVALID_ARGUMENT);
    CHECK(thrown([&] { fne::packed_file(folder + "/none"); }).first == FNE_FILE_ERROR);
    CHECK(thrown([&] {
              fne::packed_save(folder + "/torn", fne::span<const std::uint64_t>(codes.data(), 1), features);
          }).first == FNE_SHAPE_MISMATCH);
    fne::packed_save(folder + "/empty", {}, 5);
    CHECK(fne::packed_file(folder + "/empty").read().empty());
}

static void jobs(const std::string &network, unsigned height, unsigned width, const std::string &folder,
                 const std::vector<std::string> &paths) {
    fne::extractor_options extracting;
    extracting.height = height;
    extracting.width = width;
    const fne::model model(network);
    std::vector<const char *> names;
    for (const auto &path : paths) names.push_back(path.c_str());
    fne::job_options options;
    options.paths = names.data();
    options.path_count = names.size();
    {
        fne::job job(folder + "/job", model, options, extracting);
        std::uint64_t calls = 0;
        job.run([&](std::int32_t phase, std::uint64_t done, std::uint64_t total) {
            ++calls;
            return phase >= FNE_PHASE_EMBEDDING && done <= total;
        });
        job.verify([&](std::int32_t phase, std::uint64_t done, std::uint64_t total) {
            ++calls;
            return phase == FNE_PHASE_VERIFYING && done <= total;
        });
        CHECK(calls > 0 && job.progress().state == FNE_JOB_FINISHED && job.progress().image_count == paths.size());
    }
    const fne::job opened(folder + "/job");
    opened.verify_file("features.npy", 0, 128);
    saved_codes(opened, folder);
    read_job(opened, model, paths);
    CHECK(thrown([&] { opened.verify_file("nothing"); }).first == FNE_INVALID_ARGUMENT);
    std::fstream features(folder + "/job/features.npy", std::ios::in | std::ios::out | std::ios::binary);
    features.seekp(200).put(1);
    features.close();
    CHECK(thrown([&] { opened.verify_file("features.npy", 200, 1); }).first == FNE_INVALID_DATA);
    CHECK(thrown([&] { opened.verify(); }).second.find("features.npy") != std::string::npos);
    options.codes = FNE_CODES_INT8;
    std::string said;
    fne::job(folder + "/job", model, options, extracting).run({}, {}, [&](const std::string &text) { said += text; });
    CHECK(said.find("features.npy") != std::string::npos);
    opened.verify();
    CHECK(opened.layers().size() == opened.progress().layer_count && opened.statistics().row_count() == paths.size());

    extracting.batch_size = 2; // parts are whole batches
    options.shard_count = 2;
    std::vector<std::string> shards;
    for (options.shard_index = 0; options.shard_index < 2; ++options.shard_index) {
        shards.push_back(folder + "/shard" + std::to_string(options.shard_index));
        fne::job(shards.back(), model, options, extracting).run();
    }
    fne::job merged = fne::job::merge(folder + "/merged", shards);
    merged.run();
    CHECK(merged.statistics().save() == opened.statistics().save());
    CHECK(thrown([&] { fne::job(folder + "/nothing"); }).first != FNE_OK);
    options.shard_index = options.shard_count = 0;
    bool arrived = false;
    try {
        fne::job third(folder + "/third", model, options, extracting);
        third.run([](std::int32_t, std::uint64_t, std::uint64_t) -> bool { throw 7; });
    } catch (int number) {
        arrived = number == 7;
    }
    CHECK(arrived);
}

int main(int argc, char **argv) {
    if (argc < 7) return 2;
    const std::string network = argv[1], folder = argv[4], broken = argv[5];
    const unsigned height = unsigned(std::stoul(argv[2])), width = unsigned(std::stoul(argv[3]));
    const std::vector<std::string> paths(argv + 6, argv + argc);
    CHECK(fne::version() == fne_version_string() && has(fne::build_info(), fne::version()));
    fne::load_backend();
    images(paths[0], broken);
    arithmetic();
    embedding(network, height, width, folder, broken, paths);
    jobs(network, height, width, folder, paths);
    std::puts("every check holds");
    return 0;
}

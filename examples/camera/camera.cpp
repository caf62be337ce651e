// Answers a camera's frame with the photographs of a folder that resemble it most.
//
//     camera network.pb SIZE PHOTOGRAPHS JOB FRAME HEIGHT WIDTH STRIDE
//
// The first call embeds PHOTOGRAPHS into the job. Later ones find the job there. SIZE is the network's input, such as
// 224x224 (height and width).
// FRAME is a file of raw pixels as cameras and OpenCV give them: rows of blue, green and red bytes, with STRIDE bytes
// from one row to the next. Each line of the answer is a photograph and its similarity, the most similar one first.
//
// Build, from the project's folder after `make build`:
//
//     cd build
//     g++ -std=c++17 -O2 -Iinclude ../examples/camera/camera.cpp -Llib -lfne -Wl,-rpath,$PWD/lib -o camera
//
// FNE_TENSORFLOW names TensorFlow's library or its folder, if it is not on the system's library path.
#include <fne.hpp>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

/// A frame in a camera's memory. Its rows may be longer than its pixels.
struct Frame {
    std::vector<std::uint8_t> bytes;
    std::uint32_t height, width;
    std::uint64_t stride;

    /// The frame as the library takes it. No pixel is copied or reordered here.
    fne_pixel_image pixels() const {
        fne_pixel_image result{};
        result.pixels = bytes.data();
        result.row_stride = stride;
        result.height = height;
        result.width = width;
        result.channel_order = FNE_CHANNELS_BGR;
        return result;
    }
};

static Frame read_frame(const std::string &path, std::uint32_t height, std::uint32_t width, std::uint64_t stride) {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw std::runtime_error("cannot read " + path);
    const Frame frame{{std::istreambuf_iterator<char>(file), {}}, height, width, stride};
    const std::uint64_t row = 3 * std::uint64_t(width), size = frame.bytes.size();
    // The library cannot know how many bytes there are. The last row may end with its pixels.
    if (height == 0 || width == 0 || stride < row || size < row || (size - row) / stride < height - 1)
        throw std::runtime_error(path + " is too short for such a frame, or its rows are longer than the stride");
    return frame;
}

/// A finished job that is searched.
class Index {
public:
    Index(const fne::job &job, const fne::model &network) : job_(job), extractor_(job.extractor(network)) {
        const auto facts = job.progress();
        features_ = facts.feature_count;
        std::tie(mean_, std_) = job.statistics().moments();
        // The rows of images that could not be read are left out. They are no photographs, and not part of the mean.
        const auto statuses = job.statuses();
        const auto all = job.packed_codes(0, facts.image_count);
        const auto words = fne::packed_words(features_);
        for (std::uint64_t i = 0; i < facts.image_count; ++i) {
            if (statuses[i] != FNE_OK) continue;
            images_.push_back(i);
            const auto row = all.begin() + static_cast<std::ptrdiff_t>(i * words);
            codes_.insert(codes_.end(), row, row + static_cast<std::ptrdiff_t>(words));
        }
        centre_ = fne::packed_mean(codes_, features_);
        offsets_ = fne::packed_offsets(codes_, features_, centre_);
    }

    /// Prints the photographs that are nearest to a frame.
    void answer(const Frame &frame, std::uint64_t count) const {
        const fne_pixel_image pixels = frame.pixels();
        std::vector<std::uint64_t> query(fne::packed_words(features_));
        fne::run run; // makes the code, and keeps no float row
        run.mean = mean_;
        run.std = std_;
        run.packed = query;
        extractor_.extract(fne::span<const fne_pixel_image>(&pixels, 1), {}, run);
        const auto k = std::min<std::uint64_t>(count, images_.size());
        const auto found = fne::packed_search_centred(codes_, query, features_, k, centre_, offsets_);
        for (std::uint64_t i = 0; i < k; ++i)
            std::printf("%s\t%.4f\n", job_.name(images_[found.indices[i]]).c_str(), found.scores[i]);
    }

private:
    const fne::job &job_;
    fne::extractor extractor_;
    std::uint64_t features_ = 0;
    std::vector<double> mean_, std_;
    std::vector<std::uint64_t> images_, codes_;
    std::vector<float> centre_;
    std::vector<double> offsets_;
};

/// Embeds the photographs, or what is left of them after a run that was stopped.
static fne::job embedded(const fne::model &network, char **argv) {
    fne::extractor_options extracting;
    if (std::sscanf(argv[2], "%ux%u", &extracting.height, &extracting.width) != 2)
        throw std::runtime_error(std::string(argv[2]) + " is no size such as 224x224");
    extracting.on_error = FNE_ON_ERROR_SKIP;
    fne::job_options options;
    options.source = argv[3];
    options.codes = FNE_CODES_PACKED;
    fne::job job(argv[4], network, options, extracting);
    job.run({}, [&](std::uint64_t image, const fne::error &error) {
        std::fprintf(stderr, "camera: photograph %llu is left out: %s\n", (unsigned long long)image, error.what());
    });
    return job;
}

static void run(char **argv) {
    const auto size = [&](int place) { return std::uint32_t(std::stoul(argv[place])); };
    const Frame frame = read_frame(argv[5], size(6), size(7), size(8));
    const fne::model network(argv[1]);
    const fne::job job = embedded(network, argv);
    Index(job, network).answer(frame, 5);
}

int main(int argc, char **argv) {
    if (argc != 9) {
        std::fprintf(stderr, "usage: camera network.pb SIZE PHOTOGRAPHS JOB FRAME HEIGHT WIDTH STRIDE\n");
        return 2;
    }
    try {
        run(argv);
    } catch (const std::exception &failure) {
        std::fprintf(stderr, "camera: %s\n", failure.what());
        return 1;
    }
    return 0;
}

// Classifies photographs with a classifier that train.py trained in Python.
//
//     classify network.pb TRAINED photograph...
//
// network.pb is the network that train.py used. TRAINED/preprocessing.txt says how photographs become its input.
//
// Build, from the project's folder after `make build`:
//
//     cd build
//     g++ -std=c++17 -O2 -Iinclude ../examples/classifier/classify.cpp -Llib -lfne -Wl,-rpath,$PWD/lib -o classify
//
// FNE_TENSORFLOW names TensorFlow's library or its folder, if it is not on the system's library path.
#include <fne.h>

#include <cstdio>
#include <fstream>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

static void check(fne_status status) {
    if (status != FNE_OK) throw std::runtime_error(fne_last_error());
}

using Model = std::unique_ptr<fne_model, decltype(&fne_model_close)>;
using Extractor = std::unique_ptr<fne_extractor, decltype(&fne_extractor_close)>;
using Statistics = std::unique_ptr<fne_statistics, decltype(&fne_statistics_close)>;

static std::vector<char> read(const std::string &path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw std::runtime_error("cannot read " + path);
    return {std::istreambuf_iterator<char>(file), {}};
}

// Reads what the network is fed with: lines with a name and its values, in this order.
static void read_preprocessing(const std::string &path, fne_extractor_options &options) {
    std::ifstream file(path);
    if (!file) throw std::runtime_error("cannot read " + path);
    std::string size, order, channels, mean, scale;
    file >> size >> options.height >> order >> channels;
    file >> mean >> options.mean[0] >> options.mean[1] >> options.mean[2];
    file >> scale >> options.scale[0] >> options.scale[1] >> options.scale[2];
    if (!file || size != "size" || order != "channel_order" || (channels != "rgb" && channels != "bgr") ||
        mean != "mean" || scale != "scale") {
        throw std::runtime_error(path + " is not what train.py writes");
    }
    options.width = options.height;
    options.channel_order = channels == "bgr" ? FNE_CHANNELS_BGR : FNE_CHANNELS_RGB;
}

static void run(int argc, char **argv) {
    const std::string trained = argv[2];
    fne_model *model = nullptr;
    check(fne_model_open(argv[1], nullptr, &model));
    const Model keep_model(model, fne_model_close);
    fne_extractor_options options;
    fne_extractor_options_init(&options, sizeof options);
    read_preprocessing(trained + "/preprocessing.txt", options);
    options.on_error = FNE_ON_ERROR_SKIP;
    if (argc == 4) {
        options.goal = FNE_GOAL_LATENCY; // one photograph: all processors work on it
    } else {
        options.pad_batches = 1; // as the job did in training. One photograph would cost as much as four.
    }
    fne_extractor *extractor = nullptr;
    check(fne_extractor_open(model, &options, &extractor));
    const Extractor keep_extractor(extractor, fne_extractor_close);
    uint64_t features = 0;
    check(fne_extractor_feature_count(extractor, &features));

    const std::vector<char> saved = read(trained + "/statistics.fne");
    fne_statistics *statistics = nullptr;
    check(fne_statistics_load(reinterpret_cast<const uint8_t *>(saved.data()), saved.size(), &statistics));
    const Statistics keep_statistics(statistics, fne_statistics_close);
    std::vector<double> mean(features), std(features);
    check(fne_statistics_moments(statistics, mean.data(), std.data(), features, 0));

    std::vector<std::string> classes;
    std::ifstream names(trained + "/classes.txt");
    for (std::string line; std::getline(names, line);) classes.push_back(line);
    const std::vector<char> bytes = read(trained + "/weights.f32");
    if (classes.empty() || bytes.size() != classes.size() * (features + 1) * sizeof(float)) {
        throw std::runtime_error("the weights are of another network or other classes");
    }
    const float *weights = reinterpret_cast<const float *>(bytes.data());

    // One call for all photographs. It writes codes, and keeps no float rows.
    const uint64_t count = static_cast<uint64_t>(argc - 3);
    std::vector<int8_t> codes(count * features);
    std::vector<fne_status> statuses(count);
    fne_extract_run run;
    fne_extract_run_init(&run, sizeof run);
    run.codes = codes.data();
    run.codes_capacity = codes.size();
    run.mean = mean.data();
    run.std = std.data();
    run.statistics_size = features;
    run.statuses = statuses.data();
    run.statuses_capacity = count;
    check(fne_extract_files(extractor, argv + 3, count, nullptr, 0, &run));
    for (uint64_t i = 0; i < count; ++i) {
        if (statuses[i] != FNE_OK) {
            std::printf("%s\t%s\n", argv[3 + i], fne_status_name(statuses[i]));
            continue;
        }
        size_t best = 0;
        double most = 0;
        for (size_t c = 0; c < classes.size(); ++c) {
            const float *row = weights + c * (features + 1);
            double sum = row[features];
            for (uint64_t f = 0; f < features; ++f) sum += row[f] * codes[i * features + f];
            if (c == 0 || sum > most) {
                best = c;
                most = sum;
            }
        }
        std::printf("%s\t%s\t%.4f\n", argv[3 + i], classes[best].c_str(), most);
    }
}

int main(int argc, char **argv) {
    if (argc < 4) {
        std::fprintf(stderr, "usage: classify network.pb TRAINED photograph...\n");
        return 2;
    }
    try {
        run(argc, argv);
    } catch (const std::exception &failure) {
        std::fprintf(stderr, "classify: %s\n", failure.what());
        return 1;
    }
    return 0;
}

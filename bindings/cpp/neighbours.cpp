/* Which of some images look alike, in C++:
 *
 *     neighbours network.pb HEIGHTxWIDTH image...
 *
 * The program embeds the images with all convolutional and dense layers of a frozen TensorFlow GraphDef, and packs the
 * ternary codes. For each image it prints the other one whose code is nearest, with the cosine. Images that cannot be
 * read are named and left out.
 *
 * Build, from the project's folder after `make build`:
 *
 *     g++ -std=c++17 -O2 -Ibuild/include bindings/cpp/neighbours.cpp -Lbuild/lib -lfne -Wl,-rpath,"$PWD/build/lib" \
 *         -o build/neighbours
 *
 * or after `make install` with what `pkg-config --cflags --libs fne` says. libfne looks for TensorFlow's library on the
 * system's library path and where FNE_TENSORFLOW says.
 */
#include <fne.hpp>

#include <cstdio>
#include <exception>
#include <string>
#include <vector>

static int neighbours(const std::string &network, unsigned height, unsigned width,
                      const std::vector<std::string> &paths) {
    fne::extractor_options options;
    options.height = height;
    options.width = width;
    options.on_error = FNE_ON_ERROR_SKIP;
    const fne::extractor extractor(fne::model(network), options);
    const auto columns = extractor.feature_count();

    std::vector<float> features(paths.size() * columns);
    std::vector<fne_status> statuses(paths.size());
    fne::run run;
    run.statuses = statuses;
    run.image_error = [&](std::uint64_t index, const fne::error &error) {
        std::fprintf(stderr, "%s: left out: %s\n", paths[index].c_str(), error.what());
    };
    extractor.extract(paths, features, run);

    fne::statistics statistics(columns);
    std::vector<std::string> names;
    std::vector<float> good;
    for (std::size_t i = 0; i < paths.size(); ++i) {
        if (statuses[i] != FNE_OK) continue;
        names.push_back(paths[i]);
        good.insert(good.end(), &features[i * columns], &features[i * columns] + columns);
    }
    if (names.size() < 2) throw fne::error(FNE_INVALID_ARGUMENT, "two images that can be read are needed");
    statistics.update(good);
    const auto [mean, std] = statistics.moments();

    const auto packed = fne::pack(fne::ternarize(good, mean, std), columns);
    const auto found = fne::packed_search(packed, packed, columns, 2); // each image finds itself, too
    for (std::size_t i = 0; i < names.size(); ++i) {
        const std::size_t place = found.indices[2 * i] == i ? 2 * i + 1 : 2 * i;
        std::printf("%s\t%s\t%.6f\n", names[i].c_str(), names[found.indices[place]].c_str(), found.scores[place]);
    }
    return 0;
}

int main(int argc, char **argv) {
    unsigned height, width;
    char rest;
    if (argc < 5 || std::sscanf(argv[2], "%5ux%5u%c", &height, &width, &rest) != 2) {
        std::fprintf(stderr, "usage: neighbours network.pb HEIGHTxWIDTH image...\n");
        return 2;
    }
    try {
        return neighbours(argv[1], height, width, {argv + 3, argv + argc});
    } catch (const fne::error &error) {
        std::fprintf(stderr, "neighbours: %s: %s\n", error.name(), error.what());
    } catch (const std::exception &error) { // out of memory
        std::fprintf(stderr, "neighbours: %s\n", error.what());
    }
    return 1;
}

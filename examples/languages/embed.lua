-- Embeds images with libfne and counts the codes of each:
--
--     embed.lua network.pb HEIGHTxWIDTH image...
--
-- prints a line for each image: its name, and how many of its codes are -1, 0 and 1, with tabs between them. Mean and
-- standard deviation are those of these images.
--
-- Run, from the project's folder after `make build`. The system looks for the library; libfne looks for TensorFlow on
-- the system's library path and where FNE_TENSORFLOW says:
--
--     LD_LIBRARY_PATH=build/lib FNE_TENSORFLOW=.venv/lib/python3.11/site-packages/tensorflow \
--         luajit examples/languages/embed.lua network.pb 224x224 *.jpg

local ffi = require("ffi")

-- Copied from fne.h: what is used here, structs with all their members.
ffi.cdef [[
typedef int32_t fne_status;
typedef struct fne_model fne_model;
typedef struct fne_extractor fne_extractor;
typedef struct fne_statistics fne_statistics;
typedef int32_t (*fne_progress_fn)(void *user, uint64_t done, uint64_t total);
typedef void (*fne_image_error_fn)(void *user, uint64_t index, fne_status status, const char *message);

typedef struct fne_extractor_options {
    uint64_t struct_size;
    const char *input_tensor;
    const char *const *layers;
    uint64_t layer_count;
    uint32_t height, width;
    int32_t channel_order;
    float mean[3], scale[3];
    uint32_t batch_size, loader_threads, engine_threads;
    int32_t on_error, resize_mode, interpolation;
    uint32_t crops, resize_height, resize_width, streams;
    const struct fne_image_options *image_options;
    int32_t precision, float32_layers;
    const char *device;
    int32_t gpu_memory_growth, pad_batches;
} fne_extractor_options;

typedef struct fne_extract_run {
    uint64_t struct_size;
    fne_progress_fn progress;
    fne_image_error_fn image_error;
    void *user;
    fne_status *statuses;
    uint64_t statuses_capacity;
    int8_t *codes;
    uint64_t codes_capacity;
    const double *mean, *std;
    uint64_t statistics_size;
    const struct fne_ternarize_options *ternarize_options;
    uint64_t *packed;
    uint64_t packed_capacity, rows_done;
} fne_extract_run;

const char *fne_status_name(fne_status status);
const char *fne_last_error(void);
fne_status fne_model_open(const char *path, const struct fne_model_options *options, fne_model **model);
void fne_model_close(fne_model *model);
void fne_extractor_options_init(fne_extractor_options *options, uint64_t struct_size);
fne_status fne_extractor_open(const fne_model *model, const fne_extractor_options *options, fne_extractor **extractor);
void fne_extractor_close(fne_extractor *extractor);
fne_status fne_extractor_feature_count(const fne_extractor *extractor, uint64_t *count);
void fne_extract_run_init(fne_extract_run *run, uint64_t struct_size);
fne_status fne_extract_files(const fne_extractor *extractor, const char *const *paths, uint64_t count,
                             float *features, uint64_t capacity, fne_extract_run *run);
fne_status fne_statistics_open(uint64_t feature_count, fne_statistics **statistics);
void fne_statistics_close(fne_statistics *statistics);
fne_status fne_statistics_update(fne_statistics *statistics, const float *rows, uint64_t row_count,
                                 uint64_t feature_count);
fne_status fne_statistics_moments(const fne_statistics *statistics, double *mean, double *std, uint64_t capacity,
                              uint32_t ddof);
fne_status fne_ternarize(const float *x, uint64_t row_count, uint64_t feature_count, const double *mean,
                         const double *std, const struct fne_ternarize_options *options, int8_t *codes,
                         uint64_t capacity);
]]

local fne = ffi.load("libfne.so.2") -- the number of the binary interface

local function check(status)
    if status == 0 then return end
    error(ffi.string(fne.fne_status_name(status)) .. ": " .. ffi.string(fne.fne_last_error()), 0)
end

-- A struct that its init function has filled: struct_size is the size that this program knows.
local function initialized(kind)
    local value = ffi.new(kind)
    fne[kind .. "_init"](value, ffi.sizeof(value))
    return value
end

-- An object of the library, closed when it is collected, also after an error.
local function open(kind, call)
    local out = ffi.new(kind .. " *[1]")
    check(call(out))
    return ffi.gc(out[0], fne[kind .. "_close"])
end

-- Closes it now: the collector sees a pointer, not the memory behind it, and would take its time.
local function close(kind, object)
    fne[kind .. "_close"](ffi.gc(object, nil))
end

local function embed(network, height, width, images)
    local model = open("fne_model", function(out) return fne.fne_model_open(network, nil, out) end)
    -- A Lua string may be assigned to a char * of the struct, but has to be kept in a variable as long as the struct.
    local options = initialized("fne_extractor_options")
    options.height, options.width = height, width
    local extractor = open("fne_extractor", function(out) return fne.fne_extractor_open(model, options, out) end)
    close("fne_model", model) -- the extractor keeps what it needs

    local number_of_features = ffi.new("uint64_t[1]")
    check(fne.fne_extractor_feature_count(extractor, number_of_features))
    local features = tonumber(number_of_features[0]) -- a uint64_t is no Lua number: it counts no loop
    local paths = ffi.new("const char *[?]", #images, images) -- points into the strings of images
    local pooled = ffi.new("float[?]", #images * features)
    local run = initialized("fne_extract_run") -- its callbacks stay NULL
    check(fne.fne_extract_files(extractor, paths, #images, pooled, #images * features, run))
    close("fne_extractor", extractor)

    local rows = tonumber(run.rows_done)
    local statistics = open("fne_statistics", function(out) return fne.fne_statistics_open(features, out) end)
    check(fne.fne_statistics_update(statistics, pooled, rows, features))
    local mean, std = ffi.new("double[?]", features), ffi.new("double[?]", features)
    check(fne.fne_statistics_moments(statistics, mean, std, features, 0))
    close("fne_statistics", statistics)
    local codes = ffi.new("int8_t[?]", rows * features)
    check(fne.fne_ternarize(pooled, rows, features, mean, std, nil, codes, rows * features))

    for row = 0, rows - 1 do -- C counts from 0, the table of names from 1
        local number = { [-1] = 0, [0] = 0, [1] = 0 }
        for i = row * features, (row + 1) * features - 1 do number[codes[i]] = number[codes[i]] + 1 end
        assert(io.write(table.concat({ images[row + 1], number[-1], number[0], number[1] }, "\t"), "\n"))
    end
    assert(io.stdout:flush()) -- a full disk is seen here; io.stdout cannot be closed
end

local function is_side(pixels) return pixels and pixels >= 1 and pixels <= 16384 end

local height, width = (arg[2] or ""):match("^(%d+)x(%d+)$")
height, width = tonumber(height), tonumber(width)
if not is_side(height) or not is_side(width) or #arg < 3 then
    io.stderr:write("usage: embed.lua network.pb HEIGHTxWIDTH image... (sides of 1 to 16384 pixels)\n")
    os.exit(2)
end
local done, message = pcall(embed, arg[1], height, width, { unpack(arg, 3) })
if not done then
    io.stderr:write("embed.lua: ", message, "\n")
    os.exit(1)
end

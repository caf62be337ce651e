# Embeds images with libfne and counts the codes of each:
#
#     embed.rb network.pb HEIGHTxWIDTH image...
#
# prints a line for each image: its name, and how many of its codes are -1, 0 and 1, with tabs between them. Mean and
# standard deviation are those of these images.
#
# Run, from the project's folder after `make build`, with Ruby's own fiddle. The system looks for the library;
# libfne looks for TensorFlow on the system's library path and where FNE_TENSORFLOW says:
#
#     LD_LIBRARY_PATH=build/lib FNE_TENSORFLOW=.venv/lib/python3.11/site-packages/tensorflow \
#         ruby examples/languages/embed.rb network.pb 224x224 *.jpg

require "fiddle/import"

module Fne
  extend Fiddle::Importer
  dlload "libfne.so.2" # the number of the binary interface

  # All members of the structs in fne.h, in their order; pointers are void *, callbacks among them.
  ExtractorOptions = struct [
    "uint64_t struct_size", "void *input_tensor", "void *layers", "uint64_t layer_count", "uint32_t height",
    "uint32_t width", "int32_t channel_order", "float mean[3]", "float scale[3]", "uint32_t batch_size",
    "uint32_t loader_threads", "uint32_t engine_threads", "int32_t on_error", "int32_t resize_mode",
    "int32_t interpolation", "uint32_t crops", "uint32_t resize_height", "uint32_t resize_width", "uint32_t streams",
    "void *image_options", "int32_t precision", "int32_t float32_layers", "void *device", "int32_t gpu_memory_growth",
    "int32_t pad_batches"
  ]
  ExtractRun = struct [
    "uint64_t struct_size", "void *progress", "void *image_error", "void *user", "void *statuses",
    "uint64_t statuses_capacity", "void *codes", "uint64_t codes_capacity", "void *mean", "void *std",
    "uint64_t statistics_size", "void *ternarize_options", "void *packed", "uint64_t packed_capacity",
    "uint64_t rows_done"
  ]

  extern "char *fne_status_name(int32_t)"
  extern "char *fne_last_error()"
  extern "int32_t fne_model_open(char *, void *, void *)"
  extern "void fne_model_close(void *)"
  extern "void fne_extractor_options_init(void *, uint64_t)"
  extern "int32_t fne_extractor_open(void *, void *, void *)"
  extern "void fne_extractor_close(void *)"
  extern "int32_t fne_extractor_feature_count(void *, void *)"
  extern "void fne_extract_run_init(void *, uint64_t)"
  extern "int32_t fne_extract_files(void *, void *, uint64_t, void *, uint64_t, void *)"
  extern "int32_t fne_statistics_open(uint64_t, void *)"
  extern "void fne_statistics_close(void *)"
  extern "int32_t fne_statistics_update(void *, void *, uint64_t, uint64_t)"
  extern "int32_t fne_statistics_moments(void *, void *, void *, uint64_t, uint32_t)"
  extern "int32_t fne_ternarize(void *, uint64_t, uint64_t, void *, void *, void *, void *, uint64_t)"

  class Error < StandardError; end

  module_function

  # C strings come as pointers, their text as bytes without an encoding.
  def check(status)
    return if status.zero?

    raise Error, [fne_status_name(status), fne_last_error()].map { |text| text.to_s.force_encoding("UTF-8") }.join(": ")
  end

  # Memory of Ruby's: freed when the pointer is collected. A String would be no place to write to, Strings share memory.
  def memory(count, size)
    Fiddle::Pointer.malloc(count * size, Fiddle::RUBY_FREE)
  end

  # A struct that its init function has filled: struct_size is the size that this program knows.
  def initialized(struct, init)
    struct.malloc(Fiddle::RUBY_FREE).tap { |value| method(init).call(value, struct.size) }
  end

  # Gives an object of the library to the block and closes it afterwards, whatever happens, as File.open does.
  def open(kind, *arguments)
    out = memory(1, Fiddle::SIZEOF_VOIDP)
    check method("fne_#{kind}_open").call(*arguments, out)
    begin
      yield out.ptr
    ensure
      method("fne_#{kind}_close").call(out.ptr)
    end
  end

  # The pooled features of the images, float32 [rows, features], and these two numbers.
  def extract(network, height, width, images)
    options = initialized(ExtractorOptions, :fne_extractor_options_init)
    options.height = height
    options.width = width
    open(:model, network, nil) do |model|
      open(:extractor, model, options) do |extractor|
        out = memory(1, Fiddle::SIZEOF_INT64_T)
        check fne_extractor_feature_count(extractor, out)
        features = out[0, 8].unpack1("Q")
        pooled = memory(images.size * features, Fiddle::SIZEOF_FLOAT)
        paths = images.pack("p*") # const char *[]; it keeps the strings that it points to
        # Its callbacks stay NULL. A Fiddle::Closure that is given here must be kept in a variable during the call.
        run = initialized(ExtractRun, :fne_extract_run_init)
        check fne_extract_files(extractor, paths, images.size, pooled, images.size * features, run)
        return pooled, run.rows_done, features
      end
    end
  end

  # The codes of the rows, by their own mean and standard deviation: arrays of -1, 0 and 1.
  def ternarize(pooled, rows, features)
    open(:statistics, features) do |statistics|
      check fne_statistics_update(statistics, pooled, rows, features)
      mean, std = Array.new(2) { memory(features, Fiddle::SIZEOF_DOUBLE) }
      check fne_statistics_moments(statistics, mean, std, features, 0)
      codes = memory(rows * features, Fiddle::SIZEOF_INT8_T)
      check fne_ternarize(pooled, rows, features, mean, std, nil, codes, rows * features)
      Array.new(rows) { |row| codes[row * features, features].unpack("c*") }
    end
  end
end

network, size, *images = ARGV
height, width = size.to_s.match(/\A(\d+)x(\d+)\z/)&.captures&.map(&:to_i)
unless [height, width].all? { |side| side&.between?(1, 16_384) } && images.any?
  warn "usage: embed.rb network.pb HEIGHTxWIDTH image... (sides of 1 to 16384 pixels)"
  exit 2
end
begin
  codes = Fne.ternarize(*Fne.extract(network, height, width, images))
  images.zip(codes) { |image, row| puts [image, *[-1, 0, 1].map { |code| row.count(code) }].join("\t") }
  $stdout.flush # a full disk is seen here
rescue Fne::Error, SystemCallError => error
  abort "embed.rb: #{error.message}"
end

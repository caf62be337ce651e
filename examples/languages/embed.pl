# Embeds images with libfne and counts the codes of each:
#
#     embed.pl network.pb HEIGHTxWIDTH image...
#
# prints a line for each image: its name, and how many of its codes are -1, 0 and 1, with tabs between them. Mean and
# standard deviation are those of these images.
#
# Run, from the project's folder after `make build`, with FFI::Platypus (Debian's libffi-platypus-perl). The system
# looks for the library; libfne looks for TensorFlow on the system's library path and where FNE_TENSORFLOW says:
#
#     LD_LIBRARY_PATH=build/lib FNE_TENSORFLOW=.venv/lib/python3.11/site-packages/tensorflow \
#         perl examples/languages/embed.pl network.pb 224x224 *.jpg

use v5.36;

# All members of the structs in fne.h, in their order; pointers are opaque, callbacks among them.
package Fne::ExtractorOptions {
    use FFI::Platypus::Record;
    record_layout_1(
        uint64 => 'struct_size', opaque => 'input_tensor', opaque => 'layers', uint64 => 'layer_count',
        uint32 => 'height', uint32 => 'width', sint32 => 'channel_order', 'float[3]' => 'mean', 'float[3]' => 'scale',
        uint32 => 'batch_size', uint32 => 'loader_threads', uint32 => 'engine_threads', sint32 => 'on_error',
        sint32 => 'resize_mode', sint32 => 'interpolation', uint32 => 'crops', uint32 => 'resize_height',
        uint32 => 'resize_width', uint32 => 'streams', opaque => 'image_options', sint32 => 'precision',
        sint32 => 'float32_layers', opaque => 'device', sint32 => 'gpu_memory_growth', sint32 => 'pad_batches',
    );
}

package Fne::ExtractRun {
    use FFI::Platypus::Record;
    record_layout_1(
        uint64 => 'struct_size', opaque => 'progress', opaque => 'image_error', opaque => 'user', opaque => 'statuses',
        uint64 => 'statuses_capacity', opaque => 'codes', uint64 => 'codes_capacity', opaque => 'mean',
        opaque => 'std', uint64 => 'statistics_size', opaque => 'ternarize_options', opaque => 'packed',
        uint64 => 'packed_capacity', uint64 => 'rows_done',
    );
}

# An object of the library, closed when its last reference goes, also when a program dies.
package Fne::Object {
    sub new ($class, $pointer, $close) { return bless { pointer => $pointer, close => $close }, $class }
    sub DESTROY ($self) { $self->{close}->($self->{pointer}) }
}

package main;

use FFI::Platypus 2.00;
use FFI::Platypus::Buffer qw(grow scalar_to_pointer set_used_length);

my $ffi = FFI::Platypus->new(api => 2, lib => 'libfne.so.2'); # the number of the binary interface
$ffi->type('record(Fne::ExtractorOptions)*' => 'extractor_options');
$ffi->type('record(Fne::ExtractRun)*' => 'extract_run');
$ffi->attach(@$_) for (
    [fne_status_name => ['sint32'] => 'string'],
    [fne_last_error => [] => 'string'],
    [fne_model_open => ['string', 'opaque', 'opaque*'] => 'sint32'],
    [fne_model_close => ['opaque'] => 'void'],
    [fne_extractor_options_init => ['extractor_options', 'uint64'] => 'void'],
    [fne_extractor_open => ['opaque', 'extractor_options', 'opaque*'] => 'sint32'],
    [fne_extractor_close => ['opaque'] => 'void'],
    [fne_extractor_feature_count => ['opaque', 'uint64*'] => 'sint32'],
    [fne_extract_run_init => ['extract_run', 'uint64'] => 'void'],
    [fne_extract_files => ['opaque', 'string[]', 'uint64', 'opaque', 'uint64', 'extract_run'] => 'sint32'],
    [fne_statistics_open => ['uint64', 'opaque*'] => 'sint32'],
    [fne_statistics_close => ['opaque'] => 'void'],
    [fne_statistics_update => ['opaque', 'opaque', 'uint64', 'uint64'] => 'sint32'],
    [fne_statistics_moments => ['opaque', 'opaque', 'opaque', 'uint64', 'uint32'] => 'sint32'],
    [fne_ternarize => ['opaque', 'uint64', 'uint64', 'opaque', 'opaque', 'opaque', 'opaque', 'uint64'] => 'sint32'],
);

sub check ($status) {
    die fne_status_name($status) . ': ' . fne_last_error() . "\n" if $status;
}

# A string of so many bytes that the library may write into: Perl's own strings may share their memory.
sub memory ($size) {
    grow(my $bytes, $size);
    set_used_length($bytes, $size);
    return \$bytes;
}

sub embed ($network, $height, $width, @images) {
    check(fne_model_open($network, undef, \my $opened));
    my $model = Fne::Object->new($opened, \&fne_model_close);

    # The init function fills the struct: struct_size is the size that this program knows.
    my $options = Fne::ExtractorOptions->new;
    fne_extractor_options_init($options, $ffi->sizeof('record(Fne::ExtractorOptions)'));
    $options->height($height);
    $options->width($width);
    check(fne_extractor_open($model->{pointer}, $options, \$opened));
    my $extractor = Fne::Object->new($opened, \&fne_extractor_close);
    undef $model; # the extractor keeps what it needs

    check(fne_extractor_feature_count($extractor->{pointer}, \my $features));
    my $count = @images;
    my $pooled = memory(4 * $count * $features);
    my $run = Fne::ExtractRun->new; # its callbacks stay NULL; a closure given here has to be kept in a variable
    fne_extract_run_init($run, $ffi->sizeof('record(Fne::ExtractRun)'));
    check(fne_extract_files($extractor->{pointer}, \@images, $count, scalar_to_pointer($$pooled), $count * $features,
                            $run));

    my $rows = $run->rows_done;
    check(fne_statistics_open($features, \$opened));
    my $statistics = Fne::Object->new($opened, \&fne_statistics_close);
    check(fne_statistics_update($statistics->{pointer}, scalar_to_pointer($$pooled), $rows, $features));
    my ($mean, $std) = map { memory(8 * $features) } 1 .. 2;
    check(fne_statistics_moments($statistics->{pointer}, scalar_to_pointer($$mean), scalar_to_pointer($$std), $features,
                             0));
    my $codes = memory($rows * $features);
    check(fne_ternarize(scalar_to_pointer($$pooled), $rows, $features, scalar_to_pointer($$mean),
                        scalar_to_pointer($$std), undef, scalar_to_pointer($$codes), $rows * $features));

    for my $row (0 .. $rows - 1) { # int8 is a byte: -1 is 0xff
        my $bytes = substr $$codes, $row * $features, $features;
        say(join "\t", $images[$row], $bytes =~ tr/\xff//, $bytes =~ tr/\x00//, $bytes =~ tr/\x01//)
            or die "standard output: $!\n";
    }
    close STDOUT or die "standard output: $!\n"; # a full disk is seen here
}

my ($network, $size, @images) = @ARGV; # bytes, as libfne takes paths
my ($height, $width) = ($size // '') =~ /\A([0-9]+)x([0-9]+)\z/;
if (!@images || grep { $_ < 1 || $_ > 16384 } $height // 0, $width // 0) {
    print STDERR "usage: embed.pl network.pb HEIGHTxWIDTH image... (sides of 1 to 16384 pixels)\n";
    exit 2;
}
eval { embed($network, $height, $width, @images); 1 } or do {
    print STDERR "embed.pl: $@";
    exit 1;
};

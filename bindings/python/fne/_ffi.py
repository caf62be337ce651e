"""The C interface of fne.h through ctypes. Only this module declares its structs and functions."""

from __future__ import annotations

import ctypes
from ctypes import POINTER, c_char_p, c_double, c_float, c_int32, c_uint32, c_uint64, c_void_p
from typing import Any

import numpy

from fne import errors
from fne._arguments import refuse_masked
from fne._libpath import library_candidates
from fne._text import printable

OK = 0
#: FNE_FEW_IMAGES
FEW_IMAGES = 10
#: What an update embeds again, as fne.h numbers it.
UPDATE, UPDATE_UNRECORDED = 1, 2
#: FNE_SHAPE_RANK
SHAPE_RANK = 8

KINDS = {0: "other", 1: "convolution", 2: "depthwise", 3: "dense", 4: "input"}
#: FNE_FORMAT_*. The names are Pillow's.
FORMATS = {
    0: "other",
    1: "JPEG",
    2: "PNG",
    3: "WEBP",
    4: "GIF",
    5: "BMP",
    6: "TIFF",
    7: "AVIF",
    8: "HEIF",
    9: "JPEG2000",
}
#: FNE_LEFT_OUT_*
LEFT_OUT = {
    0: "hidden",
    1: "no image",
    2: "camera raw",
    3: "unreadable file",
    4: "unreadable folder",
    5: "special file",
    6: "broken link",
}


class ImageOptions(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_uint64),
        ("max_bytes", c_uint64),
        ("max_pixels", c_uint64),
        ("max_chunk_bytes", c_uint64),
        ("max_scans", c_uint32),
        ("tolerate_truncation", c_int32),
        ("max_side", c_uint32),
        ("max_expansion", c_uint32),
    ]


class ImageInfo(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_uint64),
        ("height", c_uint32),
        ("width", c_uint32),
        ("format", c_int32),
        ("orientation", c_int32),
        ("is_partial", c_int32),
        ("reserved", c_int32),
    ]


class ModelOptions(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_uint64),
        ("allow_unsafe", c_int32),
        ("reserved", c_int32),
        ("feeds", POINTER(c_char_p)),
        ("feed_count", c_uint64),
    ]


class TensorInfo(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_uint64),
        ("name", c_char_p),
        ("operation", c_char_p),
        ("kind", c_int32),
        ("rank", c_int32),
        ("channels", ctypes.c_int64),
        ("is_default", c_int32),
        ("is_classifier", c_int32),
        ("is_classifier_input", c_int32),
        ("is_penultimate", c_int32),
        ("module", c_char_p),
    ]


DECODER = ctypes.CFUNCTYPE(c_int32, c_void_p, c_void_p, c_uint64, c_char_p, c_void_p)


class ExtractorOptions(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_uint64),
        ("input_tensor", c_char_p),
        ("layers", POINTER(c_char_p)),
        ("layer_count", c_uint64),
        ("height", c_uint32),
        ("width", c_uint32),
        ("channel_order", c_int32),
        ("mean", c_float * 3),
        ("scale", c_float * 3),
        ("batch_size", c_uint32),
        ("loader_threads", c_uint32),
        ("engine_threads", c_uint32),
        ("on_error", c_int32),
        ("resize_mode", c_int32),
        ("interpolation", c_int32),
        ("crops", c_uint32),
        ("resize_height", c_uint32),
        ("resize_width", c_uint32),
        ("streams", c_uint32),
        ("image_options", POINTER(ImageOptions)),
        ("precision", c_int32),
        ("float32_layers", c_int32),
        ("device", c_char_p),
        ("gpu_memory_growth", c_int32),
        ("pad_batches", c_int32),
        ("feeds", POINTER(c_char_p)),
        ("feed_count", c_uint64),
        ("channels", c_uint32),
        ("reserved", c_uint32),
        ("token_pooling", c_int32),
        ("prefix_tokens", c_uint32),
        ("decoder", DECODER),
        ("decoder_user", c_void_p),
        ("goal", c_int32),
        ("reserved_goal", c_uint32),
        ("decode", c_int32),
        ("reserved_decode", c_uint32),
    ]


class LayerInfo(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_uint64),
        ("name", c_char_p),
        ("kind", c_int32),
        ("rank", c_int32),
        ("first_feature", c_uint64),
        ("feature_count", c_uint64),
    ]


class InputInfo(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_uint64),
        ("name", c_char_p),
        ("height", c_uint32),
        ("width", c_uint32),
        ("batch_size", c_uint32),
        ("rows_per_image", c_uint32),
        ("streams", c_uint32),
        ("channels", c_uint32),
        ("batch_warning", c_char_p),
        ("whole_numbers", c_int32),
        ("reserved", c_int32),
    ]


PROGRESS = ctypes.CFUNCTYPE(c_int32, c_void_p, c_uint64, c_uint64)
IMAGE_ERROR = ctypes.CFUNCTYPE(None, c_void_p, c_uint64, c_int32, c_char_p)
LOG = ctypes.CFUNCTYPE(None, c_void_p, c_int32, c_char_p)


class TernarizeOptions(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_uint64),
        ("lower", c_double),
        ("upper", c_double),
        ("rules", c_int32),
        ("reserved", c_int32),
    ]


class ExtractRun(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_uint64),
        ("progress", PROGRESS),
        ("image_error", IMAGE_ERROR),
        ("user", c_void_p),
        ("statuses", POINTER(c_int32)),
        ("statuses_capacity", c_uint64),
        ("codes", c_void_p),
        ("codes_capacity", c_uint64),
        ("mean", c_void_p),
        ("std", c_void_p),
        ("statistics_size", c_uint64),
        ("ternarize_options", POINTER(TernarizeOptions)),
        ("packed", c_void_p),
        ("packed_capacity", c_uint64),
        ("rows_done", c_uint64),
    ]


JOB_PROGRESS = ctypes.CFUNCTYPE(c_int32, c_void_p, c_int32, c_uint64, c_uint64)
LISTING = ctypes.CFUNCTYPE(c_int32, c_void_p, c_uint64)
JOB_NOTICE = ctypes.CFUNCTYPE(None, c_void_p, c_char_p)


class JobOptions(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_uint64),
        ("source", c_char_p),
        ("paths", POINTER(c_char_p)),
        ("path_count", c_uint64),
        ("root", c_char_p),
        ("shard_index", c_uint32),
        ("shard_count", c_uint32),
        ("drop_features", c_int32),
        ("codes", c_int32),
        ("statistics", c_char_p),
        ("ternarize_options", POINTER(TernarizeOptions)),
        ("fail_on_bad_image", c_int32),
        ("accept_other_engine", c_int32),
        ("checkpoint_seconds", c_uint32),
        ("retry_failed", c_int32),
        ("listing", LISTING),
        ("listing_user", c_void_p),
        ("allow_batch_statistics", c_int32),
        ("reserved", c_int32),
        ("update", c_int32),
        ("keep_statistics", c_int32),
        ("model_source", c_char_p),
        ("model_signature", c_char_p),
        ("model_tags", POINTER(c_char_p)),
        ("model_tag_count", c_uint64),
    ]


class JobReports(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_uint64),
        ("progress", JOB_PROGRESS),
        ("image_error", IMAGE_ERROR),
        ("notice", JOB_NOTICE),
        ("user", c_void_p),
    ]


class ProgressInfo(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_uint64),
        ("state", c_int32),
        ("rows_per_image", c_uint32),
        ("image_count", c_uint64),
        ("first_image", c_uint64),
        ("total_images", c_uint64),
        ("images_done", c_uint64),
        ("failed_images", c_uint64),
        ("feature_count", c_uint64),
        ("layer_count", c_uint64),
    ]


class IntakeInfo(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_uint64),
        ("taken", c_uint64 * 16),
        ("left_out", c_uint64 * 16),
        ("taken_count", c_uint64),
        ("left_out_count", c_uint64),
        ("new_count", c_uint64),
        ("changed_count", c_uint64),
        ("retried_count", c_uint64),
        ("removed_count", c_uint64),
        ("kept_count", c_uint64),
    ]


class EncodedImage(ctypes.Structure):
    _fields_ = [("bytes", c_void_p), ("size", c_uint64)]


class PixelImage(ctypes.Structure):
    _fields_ = [
        ("pixels", c_void_p),
        ("row_stride", c_uint64),
        ("height", c_uint32),
        ("width", c_uint32),
        ("channel_order", c_int32),
        ("reserved", c_int32),
    ]


_handle = c_void_p
_out = POINTER(c_void_p)
_size_out = POINTER(c_uint64)

# The argument types of every function that returns a status. NumPy's arrays travel as addresses.
# The formatter would spread each function over many lines.
_STATUS_FUNCTIONS: dict[str, list[Any]] = {
    "fne_backend_load": [c_char_p],
    "fne_backend_info": [POINTER(c_char_p), POINTER(c_char_p)],
    "fne_engine_load": [c_char_p, c_char_p],
    "fne_engine_info": [c_char_p, POINTER(c_char_p), POINTER(c_char_p)],
    "fne_image_probe": [c_char_p, POINTER(ImageOptions), POINTER(ImageInfo)],
    "fne_image_probe_memory": [c_char_p, c_uint64, POINTER(ImageOptions), POINTER(ImageInfo)],
    "fne_image_decode": [c_char_p, POINTER(ImageOptions), c_void_p, c_uint64, POINTER(ImageInfo)],
    "fne_image_decode_memory": [c_char_p, c_uint64, POINTER(ImageOptions), c_void_p, c_uint64, POINTER(ImageInfo)],
    "fne_image_resize": [c_void_p, c_uint32, c_uint32, c_int32, c_void_p, c_uint32, c_uint32, c_uint64],
    "fne_model_open": [c_char_p, POINTER(ModelOptions), _out],
    "fne_model_open_memory": [c_char_p, c_uint64, POINTER(ModelOptions), _out],
    "fne_model_tensor_count": [_handle, _size_out],
    "fne_model_tensor_info": [_handle, c_uint64, POINTER(TensorInfo)],
    "fne_model_engine": [_handle, POINTER(c_char_p)],
    "fne_model_sha256": [_handle, c_char_p],
    "fne_model_note_count": [_handle, _size_out],
    "fne_model_note": [_handle, c_uint64, POINTER(c_char_p)],
    "fne_model_shapes": [_handle, c_char_p, c_uint32, c_uint32, c_void_p, c_void_p, c_uint64],
    "fne_select_layers": [
        POINTER(c_char_p),
        c_uint64,
        POINTER(c_char_p),
        c_char_p,
        c_uint64,
        c_void_p,
        c_uint64,
        _size_out,
    ],
    "fne_extractor_open": [_handle, POINTER(ExtractorOptions), _out],
    "fne_extractor_feature_count": [_handle, _size_out],
    "fne_extractor_layer_count": [_handle, _size_out],
    "fne_extractor_layer_info": [_handle, c_uint64, POINTER(LayerInfo)],
    "fne_extractor_input_info": [_handle, POINTER(InputInfo)],
    "fne_extractor_engine": [_handle, POINTER(c_char_p)],
    "fne_model_input_info": [_handle, c_char_p, POINTER(InputInfo)],
    "fne_extract_files": [_handle, POINTER(c_char_p), c_uint64, c_void_p, c_uint64, POINTER(ExtractRun)],
    "fne_embed_files": [
        _handle,
        POINTER(c_char_p),
        c_uint64,
        c_void_p,
        c_uint64,
        c_void_p,
        c_void_p,
        c_uint64,
        POINTER(ExtractRun),
    ],
    "fne_extract_encoded": [_handle, POINTER(EncodedImage), c_uint64, c_void_p, c_uint64, POINTER(ExtractRun)],
    "fne_extract_pixels": [_handle, POINTER(PixelImage), c_uint64, c_void_p, c_uint64, POINTER(ExtractRun)],
    "fne_extract_tensor": [_handle, c_void_p, c_uint64, c_uint64, c_void_p, c_uint64, POINTER(ExtractRun)],
    "fne_extractor_preprocess": [_handle, POINTER(PixelImage), c_void_p, c_uint64],
    "fne_statistics_open": [c_uint64, _out],
    "fne_statistics_update": [_handle, c_void_p, c_uint64, c_uint64],
    "fne_statistics_merge": [_handle, _handle],
    "fne_statistics_count": [_handle, _size_out, _size_out],
    "fne_statistics_moments": [_handle, c_void_p, c_void_p, c_uint64, c_uint32],
    "fne_statistics_size": [_handle, _size_out],
    "fne_statistics_save": [_handle, c_void_p, c_uint64],
    "fne_statistics_load": [c_char_p, c_uint64, _out],
    "fne_standardize": [c_void_p, c_uint64, c_uint64, c_void_p, c_void_p, c_void_p, c_uint64],
    "fne_ternarize": [
        c_void_p,
        c_uint64,
        c_uint64,
        c_void_p,
        c_void_p,
        POINTER(TernarizeOptions),
        c_void_p,
        c_uint64,
    ],
    "fne_l2_normalize": [c_void_p, c_uint64, c_uint64, c_void_p, c_uint64],
    "fne_packed_words": [c_uint64, _size_out],
    "fne_packed_save": [c_char_p, c_void_p, c_uint64, c_uint64, POINTER(LayerInfo), c_uint64],
    "fne_codes_open": [c_char_p, _out],
    "fne_codes_sizes": [_handle, _size_out, _size_out, _size_out],
    "fne_codes_layer_info": [_handle, c_uint64, POINTER(LayerInfo)],
    "fne_codes_read": [_handle, c_uint64, c_uint64, c_void_p, c_uint64],
    "fne_pack": [c_void_p, c_uint64, c_uint64, c_void_p, c_uint64],
    "fne_unpack": [c_void_p, c_uint64, c_uint64, c_void_p, c_uint64],
    "fne_packed_dot": [c_void_p, c_uint64, c_void_p, c_uint64, c_uint64, c_uint32, c_void_p, c_uint64],
    "fne_packed_mean": [c_void_p, c_uint64, c_uint64, c_uint32, c_void_p, c_uint64],
    "fne_packed_offsets": [c_void_p, c_uint64, c_uint64, c_void_p, c_uint32, c_void_p, c_uint64],
    "fne_packed_dot_centred": [
        c_void_p,
        c_uint64,
        c_void_p,
        c_uint64,
        c_uint64,
        c_void_p,
        c_uint32,
        c_void_p,
        c_uint64,
    ],
    "fne_packed_search_centred": [
        c_void_p,
        c_uint64,
        c_void_p,
        c_uint64,
        c_uint64,
        c_uint64,
        c_void_p,
        c_void_p,
        c_uint32,
        c_void_p,
        c_void_p,
        c_uint64,
    ],
    "fne_packed_search": [
        c_void_p,
        c_uint64,
        c_void_p,
        c_uint64,
        c_uint64,
        c_uint64,
        c_int32,
        c_uint32,
        c_void_p,
        c_void_p,
        c_uint64,
    ],
    "fne_compact_open_memory": [c_char_p, c_uint64, _out],
    "fne_compact_sizes": [_handle, _size_out, _size_out],
    "fne_compact_transform": [_handle, c_void_p, c_uint64, c_uint64, c_uint32, c_void_p, c_uint64],
    "fne_job_open": [c_char_p, _handle, POINTER(ExtractorOptions), POINTER(JobOptions), _out],
    "fne_job_open_merge": [c_char_p, POINTER(c_char_p), c_uint64, POINTER(JobOptions), _out],
    "fne_job_run": [_handle, POINTER(JobReports)],
    "fne_job_verify": [_handle, POINTER(JobReports)],
    "fne_job_verify_file": [_handle, c_char_p, c_uint64, c_uint64],
    "fne_job_progress_info": [_handle, POINTER(ProgressInfo)],
    "fne_job_intake_info": [_handle, POINTER(IntakeInfo)],
    "fne_job_image_name": [_handle, c_uint64, POINTER(c_char_p)],
    "fne_job_image_reason": [_handle, c_uint64, POINTER(c_char_p)],
    "fne_job_statuses": [_handle, c_uint64, c_uint64, c_void_p, c_uint64],
    "fne_job_features": [_handle, c_uint64, c_uint64, c_void_p, c_uint64],
    "fne_job_codes": [_handle, c_uint64, c_uint64, c_void_p, c_uint64],
    "fne_job_packed_codes": [_handle, c_uint64, c_uint64, c_void_p, c_uint64],
    "fne_job_extractor": [_handle, _handle, POINTER(ExtractorOptions), _out],
    "fne_listing_open": [c_char_p, c_int32, LISTING, c_void_p, _out],
    "fne_listing_count": [_handle, _size_out],
    "fne_listing_name": [_handle, c_uint64, POINTER(c_char_p)],
    "fne_listing_intake_info": [_handle, POINTER(IntakeInfo)],
    "fne_decoding_rows": [_handle, c_uint32, c_uint32, POINTER(c_void_p)],
    "fne_decoding_message": [_handle, c_char_p],
}

# Functions that return something else: the type of the result, and those of the arguments.
_OTHER_FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "fne_version_string": (c_char_p, []),
    "fne_abi_version": (c_uint32, []),
    "fne_build_info": (c_char_p, []),
    "fne_status_name": (c_char_p, [c_int32]),
    "fne_last_error": (c_char_p, []),
    "fne_set_log_callback": (None, [LOG, c_void_p]),
    "fne_model_close": (None, [_handle]),
    "fne_extractor_close": (None, [_handle]),
    "fne_statistics_close": (None, [_handle]),
    "fne_compact_close": (None, [_handle]),
    "fne_image_options_init": (None, [POINTER(ImageOptions), c_uint64]),
    "fne_extractor_options_init": (None, [POINTER(ExtractorOptions), c_uint64]),
    "fne_job_close": (None, [_handle]),
    "fne_listing_close": (None, [_handle]),
    "fne_codes_close": (None, [_handle]),
    "fne_job_options_init": (None, [POINTER(JobOptions), c_uint64]),
    "fne_ternarize_options_init": (None, [POINTER(TernarizeOptions), c_uint64]),
}


def _load() -> ctypes.CDLL:
    tried = []
    for candidate in library_candidates():
        try:
            library = ctypes.CDLL(candidate)
        except OSError as error:
            tried.append(f"{candidate}: {error}")
            continue
        for name, arguments in _STATUS_FUNCTIONS.items():
            function = getattr(library, name)
            function.argtypes, function.restype = arguments, c_int32
        for name, (result, arguments) in _OTHER_FUNCTIONS.items():
            function = getattr(library, name)
            function.argtypes, function.restype = arguments, result
        return library
    raise errors.NotInstalledError(
        "libfne.so.2 was not found. Build it with 'make build', or set FNE_LIBRARY to the file. Tried: "
        + "; ".join(tried)
    )


lib = _load()


def decoded(message: bytes) -> str:
    """A message of the library. Names of files in it may hold anything."""
    return printable(message.decode("utf-8", "surrogateescape"))


def last_error() -> str:
    """The message of this thread's last failed call."""
    return decoded(lib.fne_last_error())


def check(status: int) -> None:
    """Raises the exception that a status stands for; does nothing when it is OK."""
    if status != OK:
        raise errors.from_status(status, last_error())


def sized(struct: type[Any]) -> Any:
    """A struct of zeros that knows its size."""
    return struct(struct_size=ctypes.sizeof(struct))


def defaults(struct: type[Any], init: Any) -> Any:
    """A struct of options with the library's defaults, which an *_init function writes."""
    options = struct()
    init(ctypes.byref(options), ctypes.sizeof(struct))
    return options


class Handle:
    """An object of the library. It is closed once, at the latest when its owner is freed."""

    def __init__(self, value: int | None, close: Any) -> None:
        self._value = value
        self._close = close

    def __call__(self) -> int:
        if self._value is None:
            raise errors.InvalidArgumentError("this object is closed")
        return self._value

    def close(self) -> None:
        value, self._value = self._value, None
        if value is not None:
            self._close(value)

    def __del__(self) -> None:
        self.close()


def open_handle(function: Any, close: Any, *arguments: Any) -> Handle:
    """Calls a function that makes an object of the library, its last argument."""
    out = c_void_p()
    check(function(*arguments, ctypes.byref(out)))
    return Handle(out.value, close)


def count(function: Any, handle: Handle) -> int:
    """Calls a function whose only result is a count."""
    out = c_uint64()
    check(function(handle(), ctypes.byref(out)))
    return out.value


def text(text: str) -> bytes:
    """A text as C takes it. A text with a zero byte is refused: C would read it to that byte only."""
    try:
        encoded = text.encode()
    except UnicodeError:
        raise errors.InvalidArgumentError(f"the text {text!r} is not Unicode") from None
    if b"\0" in encoded:
        raise errors.InvalidArgumentError(f"the text {text!r} holds a zero byte")
    return encoded


def strings(texts: list[bytes]) -> Any:
    """Strings as an array of C."""
    return (c_char_p * len(texts))(*texts)


def output(out: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    """The array that receives a result: the caller's, which is checked, or a new one."""
    if out is None:
        return numpy.empty(shape, dtype)
    refuse_masked("out", out)
    if out.shape != shape or out.dtype != dtype or not out.flags.c_contiguous:
        raise errors.InvalidArgumentError(
            f"out is {out.dtype} {out.shape}; it must be {numpy.dtype(dtype)} {shape} and C-contiguous"
        )
    if not out.flags.writeable:
        raise errors.InvalidArgumentError("out is read-only")
    return out

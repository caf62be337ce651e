"""The options of an extractor, as the library takes them."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any, TypedDict

import numpy

from fne import _ffi
from fne._arguments import as_array, as_count, as_size, choice
from fne._decoder import pillow_decoder
from fne._feeds import Feeds, set_feeds
from fne._ffi import lib
from fne._images import INTERPOLATIONS, ImageOptions, image_options_struct
from fne._preprocessing import Preprocessing
from fne.errors import InvalidArgumentError

CHANNEL_ORDERS = {"rgb": 0, "bgr": 1}
RESIZE_MODES = {"stretch": 0, "shortest_side": 1}
DECODE_MODES = {"full": 0, "scaled": 1}
PRECISIONS = {"float32": 0, "bfloat16": 1}
GOALS = {"throughput": 0, "latency": 1}
TOKEN_POOLINGS = {"mean": 0, "first": 1, "rest": 2, "first+rest": 3}


class FurtherOptions(TypedDict, total=False):
    """The keyword arguments of `fne.Extractor`, which documents them."""

    preset: str | Preprocessing | None
    engine: str | None
    resize_mode: str | None
    resize_size: int | tuple[int, int] | None
    interpolation: str | None
    crops: int
    image_options: ImageOptions | None
    channel_order: str | None
    mean: float | Sequence[float] | None
    scale: float | Sequence[float] | None
    batch_size: int | None
    pad_batches: bool
    loader_threads: int | None
    streams: int | None
    engine_threads: int | None
    device: str | None
    gpu_memory_growth: bool
    precision: str
    float32_layers: int | None
    feeds: Feeds
    channels: int | None
    token_pooling: str
    prefix_tokens: int
    goal: str
    decode: str


class ExtractorOptions(FurtherOptions, total=False):
    """All options of an extractor but for on_error."""

    input_tensor: str | None
    layers: str | Sequence[str] | None
    size: int | tuple[int, int] | None


def extractor_options(
    *,
    input_tensor: str | None = None,
    layers: str | Sequence[str] | None = None,
    size: int | tuple[int, int] | None = None,
    resize_mode: str = "stretch",
    resize_size: int | tuple[int, int] | None = None,
    interpolation: str = "bilinear",
    crops: int = 1,
    image_options: ImageOptions | None = None,
    channel_order: str = "rgb",
    mean: float | Sequence[float] = 0.0,
    scale: float | Sequence[float] = 1.0,
    batch_size: int | None = None,
    pad_batches: bool = False,
    loader_threads: int | None = None,
    streams: int | None = None,
    engine_threads: int | None = None,
    device: str | None = None,
    gpu_memory_growth: bool = False,
    precision: str = "float32",
    float32_layers: int | None = None,
    feeds: Feeds = None,
    channels: int | None = None,
    token_pooling: str = "mean",
    prefix_tokens: int = 1,
    goal: str = "throughput",
    decode: str = "full",
) -> Any:
    """The options as the struct that fne.h calls fne_extractor_options. `fne.Extractor` documents them.

    preset and engine are not among them: `chosen_preprocessing` has put options in their place.
    """
    options = _ffi.defaults(_ffi.ExtractorOptions, lib.fne_extractor_options_init)
    options.input_tensor = None if input_tensor is None else _ffi.text(input_tensor)
    if layers is not None:
        names = [layers] if isinstance(layers, str) else list(layers)
        if not names:
            raise InvalidArgumentError("the list of layers is empty; pass None for all default layers")
        options.layers = _ffi.strings([_ffi.text(name) for name in names])
        options.layer_count = len(names)
    set_feeds(options, feeds)
    if size is not None:
        options.height, options.width = as_size("size", size)
    if resize_size is not None:
        options.resize_height, options.resize_width = as_size("resize_size", resize_size)
    options.resize_mode = choice("resize_mode", resize_mode, RESIZE_MODES)
    options.interpolation = choice("interpolation", interpolation, INTERPOLATIONS)
    options.crops = as_count("crops", crops)
    limits = image_options_struct(image_options)
    options.image_options = ctypes.pointer(limits)
    options.decoder = pillow_decoder(limits)
    options.channel_order = choice("channel_order", channel_order, CHANNEL_ORDERS)
    options.mean = _channels("mean", mean)
    options.scale = _channels("scale", scale)
    for name, value in (
        ("batch_size", batch_size),
        ("loader_threads", loader_threads),
        ("streams", streams),
        ("engine_threads", engine_threads),
        ("channels", channels),
    ):
        if value is not None:
            setattr(options, name, as_count(name, value))
    options.device = None if device is None else _ffi.text(device)
    options.pad_batches = int(pad_batches)
    options.gpu_memory_growth = int(gpu_memory_growth)
    options.precision = choice("precision", precision, PRECISIONS)
    if float32_layers is not None:
        options.float32_layers = as_count("float32_layers", float32_layers, least=0)
    options.token_pooling = choice("token_pooling", token_pooling, TOKEN_POOLINGS)
    options.prefix_tokens = as_count("prefix_tokens", prefix_tokens)
    options.goal = choice("goal", goal, GOALS)
    options.decode = choice("decode", decode, DECODE_MODES)
    return options


def _channels(name: str, value: float | Sequence[float]) -> tuple[float, ...]:
    numbers = numpy.atleast_1d(as_array(name, value, numpy.float32))
    if numbers.shape not in ((1,), (3,)):
        raise InvalidArgumentError(f"{name} is {value!r}; it must be one number, or one for each of the three channels")
    return tuple(float(number) for number in numpy.broadcast_to(numbers, 3))

"""Extractors: images in, pooled float32 features out."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, NamedTuple

import numpy
from numpy.typing import NDArray

from fne import _ffi
from fne._backend import load_backend
from fne._ffi import check, lib
from fne._model import Model

_CHANNEL_ORDERS = {"rgb": 0, "bgr": 1}
_ON_ERROR = {"raise": 0, "skip": 1}

Progress = Callable[[int, int], Any]


class Layer(NamedTuple):
    """A layer's place in the row: columns `features`; rank 4 is averaged over height and width, rank 2 as it is."""

    name: str
    kind: str
    rank: int
    features: slice


@dataclass
class Extraction:
    """What an extraction gave.

    Attributes:
        features: float32 [N, F]; a skipped image's row is NaN
        statuses: int32 [N]; 0 where the row is good, else the number of the error in fne.h
        reasons: for each skipped image a sentence that names it, by its position
    """

    features: NDArray[numpy.float32]
    statuses: NDArray[numpy.int32]
    reasons: dict[int, str] = field(default_factory=dict)

    @property
    def ok(self) -> NDArray[numpy.bool_]:
        """bool [N]: which rows are good."""
        return self.statuses == 0


class Extractor:
    """A model prepared for one input size and a list of layers. Any number of threads may use it at once.

    Args:
        model: a `Model`, or what makes one (a path, bytes, a GraphDef)
        input_tensor: None: the graph's only float32 placeholder. With or without "import/" and ":0".
        layers: names, globs over the layers ("block4_*"), "all" (also the classifier's), "last:25%"; None: all default
            layers. The columns follow this order.
        size: (height, width) that images are stretched to; None: as the graph's placeholder says
        channel_order: "rgb" or "bgr", what the network is fed with
        mean, scale: value fed = (pixel - mean) * scale in float32, pixels being 0 to 255; a number, or one for each
            channel in the order fed
        batch_size: images a run of the network; None: 16
        loader_threads, engine_threads: None: one a processor
        on_error: "raise": the first bad image ends the call; "skip": its row becomes NaN and the call goes on

    Raises:
        UnknownTensorError, TensorError, BackendUnavailableError, BackendError, InvalidArgumentError
    """

    def __init__(
        self,
        model: Any,
        input_tensor: str | None = None,
        layers: str | Sequence[str] | None = None,
        size: tuple[int, int] | None = None,
        *,
        channel_order: str = "rgb",
        mean: float | Sequence[float] = 0.0,
        scale: float | Sequence[float] = 1.0,
        batch_size: int | None = None,
        loader_threads: int | None = None,
        engine_threads: int | None = None,
        on_error: str = "raise",
    ) -> None:
        options = _ffi.defaults(_ffi.ExtractorOptions, lib.fne_extractor_options_init)
        options.input_tensor = None if input_tensor is None else input_tensor.encode()
        if layers is not None:
            names = [layers] if isinstance(layers, str) else list(layers)
            if not names:
                raise ValueError("the list of layers is empty; pass None for all default layers")
            options.layers = _ffi.strings([name.encode() for name in names])
            options.layer_count = len(names)
        if size is not None:
            options.height, options.width = (_count("size", value) for value in size)
        options.channel_order = _choice("channel_order", channel_order, _CHANNEL_ORDERS)
        options.mean = _channels("mean", mean)
        options.scale = _channels("scale", scale)
        for name, value in (
            ("batch_size", batch_size),
            ("loader_threads", loader_threads),
            ("engine_threads", engine_threads),
        ):
            if value is not None:
                setattr(options, name, _count(name, value))
        options.on_error = _choice("on_error", on_error, _ON_ERROR)
        if not isinstance(model, Model):
            model = Model(model)
        load_backend()
        self._handle = _ffi.open_handle(
            lib.fne_extractor_open, lib.fne_extractor_close, model._handle(), ctypes.byref(options)
        )

    @property
    def feature_count(self) -> int:
        """F, the features of a row."""
        return _ffi.count(lib.fne_extractor_feature_count, self._handle)

    @property
    def layers(self) -> list[Layer]:
        """The layers in the order of the columns."""
        result = []
        for index in range(_ffi.count(lib.fne_extractor_layer_count, self._handle)):
            info = _ffi.sized(_ffi.LayerInfo)
            check(lib.fne_extractor_layer_info(self._handle(), index, ctypes.byref(info)))
            columns = slice(info.first_feature, info.first_feature + info.feature_count)
            result.append(Layer(info.name.decode(), _ffi.KINDS[info.kind], info.rank, columns))
        return result

    @property
    def input_tensor(self) -> str:
        """The tensor that images are fed to."""
        return str(self._input().name.decode())

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) that images are stretched to."""
        info = self._input()
        return info.height, info.width

    @property
    def batch_size(self) -> int:
        """Images a run of the network."""
        return int(self._input().batch_size)

    def _input(self) -> Any:
        info = _ffi.sized(_ffi.InputInfo)
        check(lib.fne_extractor_input_info(self._handle(), ctypes.byref(info)))
        return info

    def extract(self, images: Any, *, progress: Progress | None = None) -> Extraction:
        """Embeds images.

        Args:
            images: a list of paths; or of encoded images as bytes; or of RGB pixels, uint8 [height, width, 3] each; or
                one float32 array [N, height, width, 3] that is fed to the network as it is
            progress: called with (images done, images in all) after each batch, on this thread; what it raises stops
                the extraction and is raised here

        Raises:
            FileError, ImageError: a bad image, named, unless on_error is "skip"
            NotFiniteError: the network gave NaN or infinity
        """
        if isinstance(images, (str, bytes, os.PathLike)):
            raise TypeError("images is one path or image; pass a list")
        if isinstance(images, numpy.ndarray) and images.dtype == numpy.float32:
            return self._extract_tensor(images, progress)
        items = list(images)
        keep: list[Any] = []  # memory that C reads during the call
        if all(isinstance(item, (str, os.PathLike)) for item in items):
            function: Any = lib.fne_extract_files
            array: Any = _ffi.strings([os.fsencode(item) for item in items])
        elif all(isinstance(item, (bytes, bytearray, memoryview)) for item in items):
            function = lib.fne_extract_encoded
            keep = [bytes(item) for item in items]
            array = (_ffi.EncodedImage * len(items))(
                *(_ffi.EncodedImage(ctypes.cast(item, ctypes.c_void_p), len(item)) for item in keep)
            )
        elif all(isinstance(item, numpy.ndarray) for item in items):
            function = lib.fne_extract_pixels
            keep = [_dense_rows(item, index) for index, item in enumerate(items)]
            array = (_ffi.PixelImage * len(items))(
                *(_ffi.PixelImage(item.ctypes.data, item.strides[0], item.shape[0], item.shape[1]) for item in keep)
            )
        else:
            raise TypeError("images must all be paths, all be bytes, or all be uint8 arrays [height, width, 3]")
        return self._run(len(items), progress, lambda *output: function(self._handle(), array, len(items), *output))

    def _extract_tensor(self, tensor: NDArray[numpy.float32], progress: Progress | None) -> Extraction:
        tensor = numpy.ascontiguousarray(tensor)
        if tensor.ndim != 4 or tensor.shape[1:] != (*self.size, 3):
            raise ValueError(f"the tensor has shape {tensor.shape}; [N, {self.size[0]}, {self.size[1]}, 3] is needed")
        return self._run(
            len(tensor),
            progress,
            lambda *output: lib.fne_extract_tensor(
                self._handle(), tensor.ctypes.data, tensor.size, len(tensor), *output
            ),
        )

    def _run(self, count: int, progress: Progress | None, call: Callable[..., int]) -> Extraction:
        result = Extraction(
            numpy.empty((count, self.feature_count), numpy.float32), numpy.zeros(count, numpy.int32)
        )
        raised: list[BaseException] = []

        # Called between batches also without a progress function: Python handles Ctrl-C only while it runs itself.
        def on_progress(_user: Any, done: int, total: int) -> int:
            try:
                if progress is not None:
                    progress(done, total)
                return 0
            except BaseException as error:  # must not cross C; raised again below
                raised.append(error)
                return 1

        def on_image_error(_user: Any, index: int, _status: int, message: bytes) -> None:
            result.reasons[index] = message.decode("utf-8", "replace")

        run = _ffi.sized(_ffi.ExtractRun)
        run.progress = _ffi.PROGRESS(on_progress)
        run.image_error = _ffi.IMAGE_ERROR(on_image_error)
        run.statuses = result.statuses.ctypes.data_as(ctypes.POINTER(ctypes.c_int32))
        run.statuses_capacity = count
        status = call(result.features.ctypes.data, result.features.size, ctypes.byref(run))
        if raised:
            raise raised[0]
        check(status)
        return result

    def close(self) -> None:
        """Frees the extractor and its session."""
        self._handle.close()

    def __enter__(self) -> Extractor:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _dense_rows(pixels: NDArray[Any], index: int) -> NDArray[numpy.uint8]:
    """The array itself where its rows are dense, else a copy."""
    if pixels.dtype != numpy.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ValueError(f"image {index} is {pixels.dtype} {pixels.shape}; uint8 [height, width, 3] is needed")
    dense = pixels.strides[2] == 1 and pixels.strides[1] == 3 and pixels.strides[0] >= 3 * pixels.shape[1]
    return pixels if dense else numpy.ascontiguousarray(pixels)


def _count(name: str, value: Any) -> int:
    if isinstance(value, (int, numpy.integer)) and not isinstance(value, bool) and 1 <= value < 2**31:
        return int(value)
    raise ValueError(f"{name} is {value!r}; it must be a positive integer")


def _choice(name: str, value: str, values: dict[str, int]) -> int:
    if value not in values:
        raise ValueError(f"{name} is {value!r}; it must be one of {', '.join(map(repr, values))}")
    return values[value]


def _channels(name: str, value: float | Sequence[float]) -> tuple[float, ...]:
    numbers = numpy.atleast_1d(numpy.asarray(value, numpy.float32))
    if numbers.shape not in ((1,), (3,)):
        raise ValueError(f"{name} is {value!r}; it must be a number or one for each of the three channels")
    return tuple(float(number) for number in numpy.broadcast_to(numbers, 3))

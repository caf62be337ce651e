"""Extractors: images in, pooled float32 features out."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, NamedTuple

import numpy
from numpy.typing import NDArray

from fne import _ffi, _pillow
from fne._backend import load_backend
from fne._ffi import check, lib
from fne._images import INTERPOLATIONS, ImageOptions, read_image
from fne._model import Model
from fne.errors import FNEError, error

_CHANNEL_ORDERS = {"rgb": 0, "bgr": 1}
_RESIZE_MODES = {"stretch": 0, "shortest_side": 1}
_ON_ERROR = ("raise", "skip")
_SKIP = 1

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
        features: float32 [N, F]; a skipped image's row is NaN. With ten crops [N * 10, F], the rows of an image adjacent
        statuses: int32 [N]; 0 where the row is good, else the number of the error in fne.h
        reasons: for each skipped image a sentence that names it, by its position
    """

    features: NDArray[numpy.float32]
    statuses: NDArray[numpy.int32]
    reasons: dict[int, str] = field(default_factory=dict)

    @property
    def ok(self) -> NDArray[numpy.bool_]:
        """bool [N]: which images are good."""
        return self.statuses == 0


class Extractor:
    """A model prepared for one input size and a list of layers. Any number of threads may use it at once.

    Args:
        model: a `Model`, or what makes one (a path, bytes, a GraphDef)
        input_tensor: None: the graph's only float32 placeholder. With or without "import/" and ":0".
        layers: names, globs over the layers ("block4_*"), "all" (also the classifier's), "last:25%"; None: all default
            layers. The columns follow this order.
        size: (height, width) that the network is fed with; None: as the graph's placeholder says
        resize_mode: "stretch": to the size asked for, whatever the image's aspect; "shortest_side": with its aspect, to
            the smallest image that covers the size asked for, of which the centre is taken
        resize_size: (height, width) that images are resized to before they are cropped to `size`; None: `size`, with ten
            crops 8/7 of it (256 for 224)
        interpolation: "bilinear": as OpenCV's INTER_LINEAR; "antialiased": as Pillow's BILINEAR
        crops: 1, or 10: the four corners, the centre, and these of the mirrored image, each a row of its own
        image_options: limits, and what is done with damage
        channel_order: "rgb" or "bgr", what the network is fed with
        mean, scale: value fed = (pixel - mean) * scale in float32, pixels being 0 to 255; a number, or one for each
            channel in the order fed
        batch_size: rows a run of the network; None: 16
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
        resize_mode: str = "stretch",
        resize_size: tuple[int, int] | None = None,
        interpolation: str = "bilinear",
        crops: int = 1,
        image_options: ImageOptions | None = None,
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
        if resize_size is not None:
            options.resize_height, options.resize_width = (_count("resize_size", value) for value in resize_size)
        options.resize_mode = _choice("resize_mode", resize_mode, _RESIZE_MODES)
        options.interpolation = _choice("interpolation", interpolation, INTERPOLATIONS)
        options.crops = _count("crops", crops)
        self._image_options = image_options or ImageOptions()
        c_image_options = self._image_options._struct()
        options.image_options = ctypes.pointer(c_image_options)
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
        if on_error not in _ON_ERROR:
            raise ValueError(f"on_error is {on_error!r}; it must be one of {', '.join(map(repr, _ON_ERROR))}")
        self._on_error = on_error
        options.on_error = _SKIP  # bad images are seen here first: Pillow may read them
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
        """(height, width) that the network is fed with."""
        info = self._input()
        return info.height, info.width

    @property
    def batch_size(self) -> int:
        """Rows a run of the network."""
        return int(self._input().batch_size)

    @property
    def rows_per_image(self) -> int:
        """Rows that an image gives: 1, or 10 with ten crops."""
        return int(self._input().rows_per_image)

    def _input(self) -> Any:
        info = _ffi.sized(_ffi.InputInfo)
        check(lib.fne_extractor_input_info(self._handle(), ctypes.byref(info)))
        return info

    def preprocess(self, image: Any) -> NDArray[numpy.float32]:
        """What the network would be fed with for an image (as `extract` takes one): float32 [rows_per_image, height,
        width, 3]."""
        if not isinstance(image, numpy.ndarray):
            image = read_image(image, options=self._image_options)
        pixels = _dense_rows(image, 0)
        fed = numpy.empty((self.rows_per_image, *self.size, 3), numpy.float32)
        struct = _pixel_image(pixels)
        check(lib.fne_extractor_preprocess(self._handle(), ctypes.byref(struct), fed.ctypes.data, fed.size))
        return fed

    def extract(self, images: Any, *, progress: Progress | None = None) -> Extraction:
        """Embeds images.

        Args:
            images: a list whose items are paths, encoded images as bytes, RGB pixels as uint8 [height, width, 3], or
                `PIL.Image.Image`; or one float32 array [N, height, width, 3] that is fed to the network as it is.
                JPEG and PNG are read by libfne, other formats by Pillow where it is installed. Lists of one kind are
                fastest, `PIL.Image` slowest.
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
        kinds = {_kind(item, index) for index, item in enumerate(items)}
        run = _Run(self, items, progress)
        if kinds <= {"path"}:
            paths = _ffi.strings([_ffi.path(item) for item in items])
            return run.native(lib.fne_extract_files, paths)
        if kinds == {"encoded"}:
            items[:] = [bytes(item) for item in items]
            encoded = (_ffi.EncodedImage * len(items))(
                *(_ffi.EncodedImage(ctypes.cast(item, ctypes.c_void_p), len(item)) for item in items)
            )
            return run.native(lib.fne_extract_encoded, encoded)
        if kinds == {"pixels"}:
            items[:] = [_dense_rows(item, index) for index, item in enumerate(items)]
            return run.native(lib.fne_extract_pixels, (_ffi.PixelImage * len(items))(*map(_pixel_image, items)))
        return run.mixed()

    def _extract_tensor(self, tensor: NDArray[numpy.float32], progress: Progress | None) -> Extraction:
        tensor = numpy.ascontiguousarray(tensor)
        if tensor.ndim != 4 or tensor.shape[1:] != (*self.size, 3):
            raise ValueError(f"the tensor has shape {tensor.shape}; [N, {self.size[0]}, {self.size[1]}, 3] is needed")
        return _Run(self, tensor, progress, rows_per_image=1).tensor(tensor)

    def close(self) -> None:
        """Frees the extractor and its session."""
        self._handle.close()

    def __enter__(self) -> Extractor:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class _Run:
    """One extraction. The library skips bad images; here those are given to Pillow, or raised, or recorded."""

    def __init__(
        self,
        extractor: Extractor,
        items: Sequence[Any],
        progress: Progress | None = None,
        *,
        rows_per_image: int | None = None,
        on_error: str | None = None,
    ) -> None:
        self._extractor = extractor
        self._on_error = on_error or extractor._on_error
        self._items = items
        self._progress = progress
        self._rows = rows_per_image or extractor.rows_per_image
        self._result = Extraction(
            numpy.empty((len(items) * self._rows, extractor.feature_count), numpy.float32),
            numpy.zeros(len(items), numpy.int32),
        )

    def tensor(self, fed: NDArray[numpy.float32]) -> Extraction:
        """What is fed as it is."""
        return self.native(lib.fne_extract_tensor, fed.ctypes.data, fed.size)

    def native(self, function: Any, *images: Any) -> Extraction:
        """All images by one call of the library."""
        result = self._result
        refused: list[tuple[int, FNEError]] = []  # of the batch
        raised: list[BaseException] = []

        # Called between batches also without a progress function: Python handles Ctrl-C only while it runs itself.
        def on_progress(_user: Any, done: int, total: int) -> int:
            try:
                bad = refused.copy()
                refused.clear()
                if bad:
                    self._embed([index for index, _ in bad], [refusal for _, refusal in bad])
                if self._progress is not None:
                    self._progress(done, total)
                return 0
            except BaseException as failure:  # must not cross C; raised again below
                raised.append(failure)
                return 1

        def on_image_error(_user: Any, index: int, status: int, message: bytes) -> None:
            refused.append((index, error(status, message.decode("utf-8", "replace"))))

        run = _ffi.sized(_ffi.ExtractRun)
        run.progress = _ffi.PROGRESS(on_progress)
        run.image_error = _ffi.IMAGE_ERROR(on_image_error)
        run.statuses = result.statuses.ctypes.data_as(ctypes.POINTER(ctypes.c_int32))
        run.statuses_capacity = len(result.statuses)
        output = (result.features.ctypes.data, result.features.size, ctypes.byref(run))
        status = function(self._extractor._handle(), *images, len(self._items), *output)
        if raised:
            raise raised[0]
        check(status)
        return result

    def mixed(self) -> Extraction:
        """Images of several kinds: read by this process' threads through Python, a batch after the other."""
        batch = max(1, self._extractor.batch_size // self._rows)
        for first in range(0, len(self._items), batch):
            indices = range(first, min(first + batch, len(self._items)))
            self._embed(indices, [None] * len(indices))
            if self._progress is not None:
                self._progress(indices.stop, len(self._items))
        return self._result

    def _embed(self, indices: Sequence[int], refusals: Iterable[FNEError | None]) -> None:
        """Fills the rows of these images, as far as Python can read them."""
        with ThreadPoolExecutor(max_workers=len(os.sched_getaffinity(0))) as pool:
            fed = list(pool.map(self._read, indices, refusals))
        good = []
        for index, outcome in zip(indices, fed, strict=True):
            if isinstance(outcome, FNEError):
                self._record(index, outcome)
            else:
                good.append((index, outcome))
        if not good:
            return
        tensor = numpy.concatenate([outcome for _, outcome in good])
        rows = _Run(self._extractor, tensor, rows_per_image=1, on_error="skip").tensor(tensor)
        for position, (index, _) in enumerate(good):
            of_image = slice(position * self._rows, (position + 1) * self._rows)
            bad = [number for number in range(of_image.start, of_image.stop) if number in rows.reasons]
            if bad:
                self._record(index, error(int(rows.statuses[bad[0]]), rows.reasons[bad[0]]))
                continue
            self._row(index)[:] = rows.features[of_image]
            self._result.statuses[index] = _ffi.OK

    def _read(self, index: int, refusal: FNEError | None) -> NDArray[numpy.float32] | FNEError:
        """What the network is to be fed with, or why there is nothing."""
        item = self._items[index]
        try:
            if refusal is not None:
                if refusal.status != _ffi.UNSUPPORTED_IMAGE or isinstance(item, numpy.ndarray):
                    return refusal
                item = _pillow.read(item, refusal, self._extractor._image_options._struct().max_pixels)
            return self._extractor.preprocess(bytes(item) if isinstance(item, (bytearray, memoryview)) else item)
        except FNEError as failure:
            return failure

    def _record(self, index: int, failure: FNEError) -> None:
        if self._on_error == "raise":
            raise error(failure.status, f"image {index} of {len(self._items)}: {failure}")
        self._result.statuses[index] = failure.status
        self._result.reasons[index] = str(failure)
        self._row(index)[:] = numpy.nan

    def _row(self, index: int) -> NDArray[numpy.float32]:
        return self._result.features[index * self._rows : (index + 1) * self._rows]


def _kind(item: Any, index: int) -> str:
    if isinstance(item, (str, os.PathLike)):
        return "path"
    if isinstance(item, (bytes, bytearray, memoryview)):
        return "encoded"
    if isinstance(item, numpy.ndarray):
        _check_pixels(item, index)
        return "pixels"
    if _pillow.is_image(item):
        return "pillow"
    raise TypeError(
        f"image {index} is a {type(item).__name__}; images are paths, bytes, uint8 arrays [height, width, 3] or PIL.Image"
    )


def _check_pixels(pixels: NDArray[Any], index: int) -> None:
    if pixels.dtype != numpy.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ValueError(f"image {index} is {pixels.dtype} {pixels.shape}; uint8 [height, width, 3] is needed")


def _dense_rows(pixels: NDArray[Any], index: int) -> NDArray[numpy.uint8]:
    """The array itself where its rows are dense, else a copy."""
    _check_pixels(pixels, index)
    dense = pixels.strides[2] == 1 and pixels.strides[1] == 3 and pixels.strides[0] >= 3 * pixels.shape[1]
    return pixels if dense else numpy.ascontiguousarray(pixels)


def _pixel_image(pixels: NDArray[numpy.uint8]) -> Any:
    return _ffi.PixelImage(pixels.ctypes.data, pixels.strides[0], pixels.shape[0], pixels.shape[1])


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

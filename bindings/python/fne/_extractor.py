"""Extractors: images in, pooled float32 features or ternary codes out."""

from __future__ import annotations

import ctypes
import json
import os
import warnings
from collections.abc import Callable, Sequence
from copy import deepcopy
from threading import Lock
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy
from numpy.typing import NDArray

from fne import _ffi, _pillow
from fne._arguments import choice, path_bytes, refuse_masked
from fne._backend import load_backend
from fne._codes import PackedCodes
from fne._embedding import SKIPPED_CODE, Discretization
from fne._ffi import check, lib
from fne._images import read_image
from fne._interrupts import Callbacks
from fne._kinds import as_images, check_pixels, kind
from fne._layer import Layer, from_library
from fne._model import Model, Origin, as_model
from fne._options import extractor_options
from fne._outcome import Embedding, Extraction, Outcome
from fne._preprocessing_choice import chosen_preprocessing, warn_of
from fne._text import printable
from fne._thresholds import LOWER, UPPER
from fne.errors import (
    BatchStatisticsWarning,
    FileSystemError,
    FNEError,
    InvalidArgumentError,
    OutOfMemoryError,
    UnsupportedImageError,
    from_status,
    reworded,
)

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from fne._options import ExtractorOptions, FurtherOptions

#: What a bad image does, as fne.h counts it.
ON_ERROR = {"raise": 0, "skip": 1}

Progress = Callable[[int, int], Any]


class Extractor:
    """A model that is prepared for one input size and a list of layers. Any number of threads may use it at once.

    Extractors can be copied and pickled. The copy is opened anew when it is used first, with the same options, which
    takes as long as the first time. So open one in each worker process, not in each task (docs/python.md). A pickle
    holds the path of the model's file. Of a model that was not opened from a path it holds the graph's bytes, and an
    extractor keeps these bytes in memory.

    Args:
        model: a `Model`, or what makes one (a path, bytes, a GraphDef, a Keras model, a SavedModel's folder, or
            with `size` a `torch.nn.Module`)
        input_tensor: the tensor that images are fed to, with or without "import/" and ":0"; None: the graph's only
            placeholder that can take images. Images are fed as float32, and cast to the input's type.
        layers: names, globs over the layers ("block4_*"), "all" (with the classifier's layers), "last:25%",
            "penultimate" (what the classifier reads), or a list of these; None: all default layers. The columns follow
            this order.
        size: (height, width) that the network is fed with, or one number for a square; None: what the graph's
            placeholder says
        preset: how the network is fed: "imagenet", "inception", "clip", "caffe", "raw", or a `fne.Preprocessing`. It
            sets mean, scale, channel_order, resize_mode, resize_size and interpolation where these are not given
            (docs/networks.md). None: what stands beside an ONNX file, in preprocessor_config.json or config.json, else
            the pixels as they are.
        engine: the library that is to run the network, as in `fne.Model`
        resize_mode: "stretch" resizes to the size asked for, whatever the image's aspect. "shortest_side" keeps the
            aspect: it resizes to the smallest image that covers the size asked for, and takes its centre.
        resize_size: (height, width), or one number, that images are resized to before they are cropped to `size`; None:
            `size`, or with ten crops 8/7 of it (256 for 224)
        interpolation: "bilinear" is OpenCV's INTER_LINEAR, "antialiased" is Pillow's BILINEAR, "bicubic" is Pillow's
            BICUBIC
        decode: "full" decodes all pixels. "scaled" decodes a large JPEG at 1/2, 1/4 or 1/8 of its size, where that
            leaves at least twice the size that it is resized to. For photographs of 12 megapixels that is 2.5 times as
            fast, and 5 times for those that are turned. Every image is then resized antialiased or bicubic: "bilinear"
            becomes "antialiased" (docs/numerics.md).
        crops: 1, or 10: the four corners, the centre, and the same five of the mirrored image. Each crop is a row.
        image_options: the limits, and what is done with damaged images
        channels: the numbers per pixel that the network is fed with: 3, or 1 for grey, as OpenCV's cvtColor makes it of
            the resized image; None: what the graph's placeholder says, else 3
        channel_order: "rgb" or "bgr", the order that the network is fed with; it has no effect on grey
        mean, scale: the value fed is (pixel - mean) * scale in float32, where pixels are 0 to 255. Each is one number,
            or one for each channel in the order fed. Grey takes the first. A network of whole numbers, such as uint8,
            is fed with the pixels themselves, and takes neither.
        batch_size: the rows per run of the network; None: 4, or 2 in float32 where a layer's map has at least 4 MiB
            per image and the graph at most 32 MiB, and fewer where there are too few images to keep all streams busy
        pad_batches: fill a batch that has too few images with zeros, so that the network always sees `batch_size` rows.
            The bits of a row then do not depend on how many images a call has, unless a `BatchStatisticsWarning` says
            otherwise.
        loader_threads: the threads that read, decode and resize; None: one per processor, at most 16
        streams: the batches that are in the network at once, each on a thread of its own; None: one per processor, or
            the processors divided by `engine_threads`, at most 64
        engine_threads: the threads that the engine spreads one operation over; None: 1. On TensorFlow the
            first extractor of a process, or the first session of Python's tensorflow, decides for all.
        goal: "throughput", or "latency" for one image at a time, such as the frames of a camera. batch_size and streams
            are then 1 where they are None, and engine_threads is the number of processors, at most 16 (docs/speed.md).
        device: "cpu", "gpu" or "gpu:1"; None: TensorFlow's first GPU where it has one, else the CPU. On a GPU the
            defaults are batch_size 32 and streams 2.
        gpu_memory_growth: take the GPU's memory when it is needed, instead of nearly all of it at the start
        precision: "float32", or on TensorFlow "bfloat16", where layers multiply bfloat16 and sum float32. That is 1.4
            to 1.8 times as fast on processors with AVX-512 BF16 or AMX, and 98.6 to 99.8 % of the ternary values are
            those of float32 (docs/numerics.md).
        feeds: values for inputs beside the image, such as `{"phase_train": False}`, in addition to the model's
            (`fne.Model`)
        float32_layers: how many layers stay float32 with bfloat16, counted from the first; None: 2
        token_pooling: what is taken of a layer [n, tokens, channels], as transformers have them: the "mean" of all
            tokens, the "first" token (often a class token), the mean of the "rest" after the prefix tokens, or
            "first+rest", which gives twice as many features. Other layers do not depend on it.
        prefix_tokens: the tokens before the image's own, such as class and register tokens
        on_error: "raise" ends the call at the first bad image. "skip" makes its row NaN and goes on. Where the disk,
            the network or the memory fails, the image may be good, and the call ends.

    Raises:
        UnknownTensorError: there is no such layer or input
        TensorError: a tensor cannot be embedded
        BackendUnavailableError, BackendError: TensorFlow, or ONNX Runtime for an ONNX file, is missing or fails
        InvalidArgumentError: an option is out of its range

    Warns:
        PreprocessingWarning: nothing says how an ONNX network is fed, or an entry of a file beside it cannot be taken
        BatchStatisticsWarning: a row depends on the other images of its batch, as with batch normalization in training
            mode. With batch_size=1 it does not, and there is no warning.

    >>> from fne import zoo
    >>> with Extractor(zoo.efficientnet_lite0(), layers="last:25%") as extractor:
    ...     extraction = extractor.extract(zoo.sample_images()[:2])
    >>> extraction.features.shape, extraction.features.dtype, extraction.ok
    ((2, 11392), dtype('float32'), array([ True,  True]))
    """

    def __init__(
        self,
        model: Any,
        input_tensor: str | None = None,
        layers: str | Sequence[str] | None = None,
        size: int | tuple[int, int] | None = None,
        *,
        on_error: str = "raise",
        **options: Unpack[FurtherOptions],
    ) -> None:
        choice("on_error", on_error, ON_ERROR)
        self._on_error = on_error
        model = as_model(model, size)
        self._image_options = options.get("image_options")
        # The lists among the options may change before a copy or a pickle is made of them.
        given: ExtractorOptions = {
            "input_tensor": input_tensor,
            "layers": model.resolved(layers),
            "size": size,
            **deepcopy(options),
        }
        self._options, self._preprocessing_source, self._notes = chosen_preprocessing(model, given)
        warn_of(self._notes, stacklevel=2)
        self._engine = model.engine
        self._origin = model._origin
        self._handle = _opened(model, self._options)

    def __getstate__(self) -> dict[str, Any]:
        self._handle()  # raises where the extractor is closed
        state = {**self.__dict__, "_origin": self._origin.portable()}
        del state["_handle"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._handle = _OpenedLater(self._origin, self._options)

    def _warn_again(self, stacklevel: int) -> None:
        """Gives the warnings of the opening once more, to a caller who is given an extractor that is open already."""
        warn_of(self._notes, stacklevel + 1)
        _warn_of_batches(self._input(), stacklevel + 1)

    @property
    def preprocessing_source(self) -> str:
        """What says how images are fed: a preset, a file beside the model, the options, or the default."""
        return self._preprocessing_source

    @property
    def feature_count(self) -> int:
        """F, the number of features of a row."""
        return _ffi.count(lib.fne_extractor_feature_count, self._handle)

    @property
    def layers(self) -> list[Layer]:
        """The layers in the order of the columns."""
        return from_library(
            _ffi.count(lib.fne_extractor_layer_count, self._handle),
            lambda index, info: check(lib.fne_extractor_layer_info(self._handle(), index, ctypes.byref(info))),
        )

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
    def channels(self) -> int:
        """The numbers per pixel that the network is fed with: 3, or 1 for grey."""
        return int(self._input().channels)

    @property
    def batch_size(self) -> int:
        """The rows per run of the network."""
        return int(self._input().batch_size)

    @property
    def rows_per_image(self) -> int:
        """The rows per image: 1, or 10 with ten crops."""
        return int(self._input().rows_per_image)

    @property
    def streams(self) -> int:
        """The batches that are in the network at once."""
        return int(self._input().streams)

    @property
    def engine_facts(self) -> dict[str, Any]:
        """What the last bits of a row can depend on beside the model and the options.

        It holds the engine's version, the device, the processor's features, the variables that change the engine's
        arithmetic, and libfne's version. A job's manifest records the same.
        """
        text = ctypes.c_char_p()
        check(lib.fne_extractor_engine(self._handle(), ctypes.byref(text)))
        facts: dict[str, Any] = json.loads(text.value or b"{}")
        return facts

    def _input(self) -> Any:
        info = _ffi.sized(_ffi.InputInfo)
        check(lib.fne_extractor_input_info(self._handle(), ctypes.byref(info)))
        return info

    def preprocess(self, image: Any) -> NDArray[numpy.float32]:
        """What the network is fed with for an image.

        Args:
            image: one of the kinds that `extract` takes

        Returns:
            float32 [rows_per_image, height, width, channels]
        """
        if not isinstance(image, numpy.ndarray):
            image = read_image(image, options=self._image_options)
        pixels = _dense_rows(image, 0)
        fed = numpy.empty((self.rows_per_image, *self.size, self.channels), numpy.float32)
        struct = _pixel_image(pixels)
        check(lib.fne_extractor_preprocess(self._handle(), ctypes.byref(struct), fed.ctypes.data, fed.size))
        return fed

    def extract(
        self, images: Any, *, out: NDArray[numpy.float32] | None = None, progress: Progress | None = None
    ) -> Extraction:
        """Runs the network: pooled float32 features of images.

        Args:
            images: a folder, whose images are those of `fne.list_images`; a list whose items are paths, encoded images
                as bytes, RGB pixels as uint8 [height, width, 3], or `PIL.Image.Image`; or one float32 array [N, height,
                width, channels] that is fed to the network as it is.
                libfne reads JPEG and PNG, and WebP where libwebp is installed. Pillow, where it is installed, reads
                other formats, on the library's threads. A list of one kind is fastest; `PIL.Image.Image` is slowest.
            out: float32 [rows, F], C-contiguous, that receives the features, such as a `numpy.memmap`; None: a new
                array
            progress: is called with (images done, images in all) after each batch, on this thread. What it raises stops
                the extraction and is raised here.

        Raises:
            FileError, ImageError: an image is bad and on_error is "raise"; the message names it
            FileSystemError, OutOfMemoryError: the system failed over an image, which may be good; whatever on_error is
            NotFiniteError: the network gave NaN or infinity
        """
        run = self._run(images, _Rows(numpy.float32, numpy.nan, out), progress)
        return Extraction(run.output, run.statuses, run.reasons)

    def embed(
        self,
        images: Any,
        mean: NDArray[Any],
        std: NDArray[Any],
        *,
        lower: float = LOWER,
        upper: float = UPPER,
        rules: str = "documented",
        out: NDArray[numpy.int8] | None = None,
        progress: Progress | None = None,
    ) -> Embedding:
        """Ternary codes of images by given statistics. Memory holds the float rows of a few batches at a time.

        Args:
            images, progress: as in `extract`
            mean, std: [F], those of the training images
            lower, upper, rules: as in `fne.ternarize`
            out: int8 [rows, F], C-contiguous, that receives the codes, such as a `numpy.memmap`; None: a new array

        Raises:
            FNEError: what `extract` raises
            ShapeMismatchError: the statistics have another number of features
        """
        return self._embed_part(images, Discretization(mean, std, lower, upper, rules), out, progress)

    def embed_packed(
        self,
        images: Any,
        mean: NDArray[Any],
        std: NDArray[Any],
        *,
        lower: float = LOWER,
        upper: float = UPPER,
        rules: str = "documented",
        progress: Progress | None = None,
    ) -> tuple[PackedCodes, Outcome]:
        """Ternary codes of images with two bits per feature. No int8 matrix is made.

        Args: as in `embed`

        Returns:
            the packed codes, which are 0 for skipped images; and which images are good
        """
        discretization = Discretization(mean, std, lower, upper, rules)
        run = self._run(images, _Rows(numpy.uint64, 0, None, discretization), progress)
        words = run.output.reshape(len(run.output), 2, -1)
        return PackedCodes(words, self.feature_count, self.layers), Outcome(run.statuses, run.reasons)

    def _embed_part(
        self,
        images: Any,
        discretization: Discretization,
        out: NDArray[numpy.int8] | None = None,
        progress: Progress | None = None,
        place: tuple[int, int] | None = None,
    ) -> Embedding:
        """Ternary codes of a part of a list of images.

        Args:
            place: for the messages, the number of the part's first image and the number of all images
        """
        run = self._run(images, _Rows(numpy.int8, SKIPPED_CODE, out, discretization), progress, place)
        return Embedding(run.output, run.statuses, run.reasons)

    def _embed_files(
        self, paths: Sequence[str | os.PathLike[str]], progress: Progress | None
    ) -> tuple[Embedding, NDArray[numpy.float64]]:
        """Ternary codes of files by their own statistics, [2, F]. The float rows stay inside the library."""
        stats = numpy.empty((2, self.feature_count))
        run = _Run(self, paths, _Rows(numpy.int8, SKIPPED_CODE), progress)
        mean, std = stats[0].ctypes.data, stats[1].ctypes.data

        def function(handle: Any, files: Any, count: int, codes: int, capacity: int, options: Any) -> int:
            status: int = lib.fne_embed_files(handle, files, count, codes, capacity, mean, std, stats.shape[1], options)
            return status

        run.native(function, _ffi.strings([path_bytes(path) for path in paths]))
        return Embedding(run.output, run.statuses, run.reasons), stats

    def _run(self, images: Any, rows: _Rows, progress: Progress | None, place: tuple[int, int] | None = None) -> _Run:
        if isinstance(images, numpy.ndarray) and images.dtype == numpy.float32:
            refuse_masked("images", images)
            tensor = numpy.ascontiguousarray(images)
            shape = (*self.size, self.channels)
            if tensor.ndim != 4 or tensor.shape[1:] != shape:
                raise InvalidArgumentError(
                    f"the tensor has shape {tensor.shape}; [N, {', '.join(map(str, shape))}] is needed"
                )
            return _Run(self, tensor, rows, progress, rows_per_image=1).tensor(tensor)
        items = as_images("images", images)
        kinds = {kind(item, index) for index, item in enumerate(items)}
        run = _Run(self, items, rows, progress, place=place)
        if kinds <= {"path"}:
            paths = _ffi.strings([path_bytes(item) for item in items])
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

    def close(self) -> None:
        """Frees the extractor and its session."""
        self._handle.close()

    def __enter__(self) -> Extractor:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _opened(model: Model, options: dict[str, Any]) -> _ffi.Handle:
    struct = extractor_options(**options)
    struct.on_error = ON_ERROR["skip"]  # a bad image is raised here
    load_backend(engine=model.engine)
    handle = _ffi.open_handle(lib.fne_extractor_open, lib.fne_extractor_close, model._handle(), ctypes.byref(struct))
    info = _ffi.sized(_ffi.InputInfo)
    check(lib.fne_extractor_input_info(handle(), ctypes.byref(info)))
    _warn_of_batches(info, stacklevel=3)
    return handle


def _warn_of_batches(info: Any, stacklevel: int) -> None:
    if info.batch_warning is not None:
        warnings.warn(BatchStatisticsWarning(printable(_ffi.decoded(info.batch_warning))), stacklevel=stacklevel + 1)


class _OpenedLater(_ffi.Handle):
    """The handle of a copy, which is opened when it is used first.

    Pools of processes do not report what goes wrong while they load a task. They report what goes wrong in the task,
    such as that TensorFlow was loaded before a fork.
    """

    def __init__(self, origin: Origin, options: dict[str, Any]) -> None:
        super().__init__(None, lib.fne_extractor_close)
        self._origin, self._options = origin, options
        self._handle: _ffi.Handle | None = None
        self._lock = Lock()

    def __call__(self) -> int:
        with self._lock:
            if self._handle is None:
                self._handle = _opened(self._origin.model(), self._options)
            return self._handle()

    def close(self) -> None:
        with self._lock:
            handle, self._handle = self._handle, _ffi.Handle(None, lib.fne_extractor_close)
        if handle is not None:
            handle.close()


class _Rows(NamedTuple):
    """What a run makes of an image, and where it writes it."""

    dtype: Any
    skipped: Any  # the value in the rows of a skipped image
    out: NDArray[Any] | None = None
    discretization: Discretization | None = None

    def array(self, rows: int, features: int) -> NDArray[Any]:
        columns = 2 * -(-features // 64) if self.dtype == numpy.uint64 else features
        result: NDArray[Any] = _ffi.output(self.out, (rows, columns), self.dtype)
        return result


class _Run:
    """One extraction. The library skips bad images. Here they are raised or recorded."""

    def __init__(
        self,
        extractor: Extractor,
        items: Sequence[Any] | NDArray[Any],
        rows: _Rows,
        progress: Progress | None = None,
        *,
        place: tuple[int, int] | None = None,
        rows_per_image: int | None = None,
        on_error: str | None = None,
    ) -> None:
        self._extractor = extractor
        self._first, self._total = place or (0, len(items))
        self._on_error = on_error or extractor._on_error
        self._items = items
        self._rows = rows
        self._progress = progress
        self._rows_per_image = rows_per_image or extractor.rows_per_image
        self.output = rows.array(len(items) * self._rows_per_image, extractor.feature_count)
        self.statuses = numpy.zeros(len(items), numpy.int32)
        self.reasons: dict[int, str] = {}

    def tensor(self, fed: NDArray[numpy.float32]) -> _Run:
        """Rows of what is fed to the network as it is."""
        return self.native(lib.fne_extract_tensor, fed.ctypes.data, fed.size)

    def native(self, function: Any, *images: Any) -> _Run:
        """Rows of all images by one call of the library."""
        refused: list[tuple[int, FNEError]] = []  # in the batch that was done last
        calls = Callbacks()

        def report(done: int, total: int) -> None:
            bad = refused.copy()
            refused.clear()
            for index, refusal in bad:
                self._record(index, self._worded(index, refusal))
            if self._progress is not None:
                self._progress(done, total)

        def on_progress(_user: Any, done: int, total: int) -> int:
            return calls.proceed(lambda: report(done, total))

        def on_image_error(_user: Any, index: int, status: int, message: bytes) -> None:
            refused.append((index, from_status(status, _ffi.decoded(message))))

        run = _ffi.sized(_ffi.ExtractRun)
        run.progress = _ffi.PROGRESS(on_progress)
        run.image_error = _ffi.IMAGE_ERROR(on_image_error)
        run.statuses = self.statuses.ctypes.data_as(ctypes.POINTER(ctypes.c_int32))
        run.statuses_capacity = len(self.statuses)
        address: int | None
        address, capacity = self.output.ctypes.data, self.output.size
        discretization = self._rows.discretization
        if discretization is not None:
            if self._rows.dtype == numpy.uint64:
                run.packed, run.packed_capacity = address, capacity
            else:
                run.codes, run.codes_capacity = address, capacity
            run.mean, run.std = discretization.mean.ctypes.data, discretization.std.ctypes.data
            run.statistics_size = len(discretization.mean)
            run.ternarize_options = ctypes.pointer(discretization.options)
            address, capacity = None, 0
        with calls:
            status = function(
                self._extractor._handle(), *images, len(self._items), address, capacity, ctypes.byref(run)
            )
        check(status)
        return self

    def mixed(self) -> _Run:
        """Rows of images of several kinds. Threads of Python read them, a few batches at a time."""
        batch = max(1, self._extractor.batch_size * self._extractor.streams // self._rows_per_image)
        for first in range(0, len(self._items), batch):
            indices = range(first, min(first + batch, len(self._items)))
            self._embed(indices)
            if self._progress is not None:
                self._progress(indices.stop, len(self._items))
        return self

    def _embed(self, indices: Sequence[int]) -> None:
        """Fills the rows of these images where Python can read them."""
        from concurrent.futures import ThreadPoolExecutor  # it is slow to import, and seldom needed

        with ThreadPoolExecutor(max_workers=len(os.sched_getaffinity(0))) as pool:
            fed = list(pool.map(self._read, indices))
        good = []
        for index, outcome in zip(indices, fed, strict=True):
            if isinstance(outcome, FNEError):
                self._record(index, outcome)
            else:
                good.append((index, outcome))
        if not good:
            return
        tensor = numpy.concatenate([outcome for _, outcome in good])
        rows = self._rows._replace(out=None)
        run = _Run(self._extractor, tensor, rows, rows_per_image=1, on_error="skip").tensor(tensor)
        for position, (index, _) in enumerate(good):
            of_image = slice(position * self._rows_per_image, (position + 1) * self._rows_per_image)
            bad = [number for number in range(of_image.start, of_image.stop) if number in run.reasons]
            if bad:
                self._record(index, from_status(int(run.statuses[bad[0]]), run.reasons[bad[0]]))
                continue
            self._row(index)[:] = run.output[of_image]
            self.statuses[index] = _ffi.OK

    def _worded(self, index: int, refusal: FNEError) -> FNEError:
        """The error of an image, which says so where a path was given as bytes."""
        item = self._items[index]
        is_path = isinstance(item, bytes) and isinstance(refusal, UnsupportedImageError) and _pillow.is_path(item)
        return _pillow.path_refused(refusal) if is_path else refusal

    def _read(self, index: int) -> NDArray[numpy.float32] | FNEError:
        """What the network is to be fed with for an image, or why there is nothing."""
        item = self._items[index]
        try:
            return self._extractor.preprocess(bytes(item) if isinstance(item, (bytearray, memoryview)) else item)
        except FNEError as failure:
            return failure

    def _record(self, index: int, failure: FNEError) -> None:
        if self._on_error == "raise" or isinstance(failure, (FileSystemError, OutOfMemoryError)):
            raise reworded(failure, f"image {self._first + index} of {self._total}: {failure}")
        self.statuses[index] = failure.status
        self.reasons[index] = str(failure)
        self._row(index)[:] = self._rows.skipped

    def _row(self, index: int) -> NDArray[Any]:
        return self.output[index * self._rows_per_image : (index + 1) * self._rows_per_image]


def _dense_rows(pixels: NDArray[Any], index: int) -> NDArray[numpy.uint8]:
    """The array itself where its rows have no gaps, else a copy."""
    check_pixels(pixels, index)
    dense = pixels.strides[2] == 1 and pixels.strides[1] == 3 and pixels.strides[0] >= 3 * pixels.shape[1]
    return pixels if dense else numpy.ascontiguousarray(pixels)


def _pixel_image(pixels: NDArray[numpy.uint8]) -> Any:
    return _ffi.PixelImage(pixels.ctypes.data, pixels.strides[0], pixels.shape[0], pixels.shape[1])

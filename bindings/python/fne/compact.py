"""Compact codes: 128 bytes per image, for searching large collections.

The features are those that the network's classifier reads ("penultimate"). Their main directions are turned into 512
dimensions, in each of which a code is -1, 0 or 1. docs/codes.md says how well they find, and documents the file.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy
from numpy.typing import NDArray

from fne import _ffi
from fne._arguments import as_array, as_count, as_path
from fne._codes import PackedCodes
from fne._ffi import check, lib
from fne._job import Job
from fne._kept_layers import selected
from fne._model import Model
from fne._saved import content, file_errors, parsed
from fne._statistics import Statistics
from fne.errors import InvalidArgumentError, JobMismatchError, NotFiniteError, ShapeMismatchError

#: With fewer images than this, codes are not fitted.
FEWEST_IMAGES = 200
#: A code is 0 where a dimension is within so many of its standard deviations of the mean.
THRESHOLD = 0.6
#: More features would take memory and time without end: the second moments of 8192 are 512 MB.
_MOST_FEATURES = 8192
_MOST_DIMENSIONS = 2**16
#: A direction with a smaller share of the largest variance is a matter of rounding.
_LEAST_VARIANCE = 1e-10
_SEED = 20
_BLOCK_BYTES = 16 << 20
_MAGIC, _VERSION, _HEADER = b"FNECOMP\n", 1, struct.Struct("<8sIIQQQQQ")
_CHECKSUM = 64
_ABOUT = {"layers": (None, [str]), "model_sha256": (None, str)}


class CompactCodes:
    """How features become compact codes. `fit` finds it in a collection's features, and `load` reads it from a file.

    Any number of threads may use an object at once. Objects can be pickled.

    Attributes:
        feature_count: F, the number of features
        component_count: C, the number of main directions
        dimensions: D, the number of codes of an image
        image_count: the number of images that the codes were fitted to
        layers: the names of the layers that the features are of; None: the codes were fitted to an array
        mean: of each feature, float64 [F]
        components: the main directions, float64 [F, C], the one of the largest variance first
        variances: of the images along the main directions, float64 [C]

    >>> random = numpy.random.default_rng(0)
    >>> features = random.normal(size=(300, 100)).astype(numpy.float32)
    >>> compact = CompactCodes.fit(features)
    >>> compact
    <fne.CompactCodes: 100 features, 64 components, 512 dimensions, 128 bytes per image>
    >>> packed = compact.transform(features)
    >>> len(packed), packed.feature_count, packed.words.nbytes
    (300, 512, 38400)
    >>> indices, scores = packed.search(packed[:2], k=1, metric="centred")
    >>> indices[:, 0]
    array([0, 1])
    """

    def __init__(self, data: bytes) -> None:
        """Reads what `to_bytes` gave; `fit` and `load` are the ways to make an object.

        Raises:
            SavedDataError: the bytes are damaged, or of another version
        """
        self._data = bytes(data)
        self._handle = _ffi.open_handle(lib.fne_compact_open_memory, lib.fne_compact_close, self._data, len(self._data))
        _, _, _, features, components, dimensions, images, _ = _HEADER.unpack_from(self._data)
        self.feature_count, self.component_count, self.dimensions = features, components, dimensions
        self.image_count = images
        sizes = [features, features * components, components, components * dimensions, dimensions]
        numbers = numpy.frombuffer(self._data, "<f8", sum(sizes), _HEADER.size)
        self.mean, basis, self.variances, _, _ = numpy.split(numbers, numpy.cumsum(sizes)[:-1])
        self.components = basis.reshape(features, components)
        about = parsed(self._data[_HEADER.size + numbers.nbytes : -_CHECKSUM], _ABOUT, "the text of the compact codes")
        self.layers: list[str] | None = about["layers"]
        self._model_sha256 = about["model_sha256"]

    @classmethod
    def fit(
        cls,
        source: Any,
        *,
        layers: str | Sequence[str] | None = None,
        model: Any = None,
        components: int = 64,
        dimensions: int = 512,
    ) -> CompactCodes:
        """Finds the main directions of a collection's features (PCA).

        The features are read twice, some megabytes at a time. The memory does not grow with the number of images. It
        is about 40 F^2 bytes.

        Args:
            source: a finished `fne.Job` that keeps its features, with one row per image; or float32 [N, F], such as a
                memory-mapped file. Images of the job that failed do not count.
            layers: selectors over the job's layers, best "penultimate"; None: the job's only layer
            model: the job's model, which "penultimate" needs
            components: C, the number of main directions
            dimensions: D, at least C. A code takes two bits for each.

        Raises:
            InvalidArgumentError: there are fewer than 200 images; the images differ in fewer than C directions; the
                features are more than 8192; the job has several layers, and layers is None
            NotFiniteError: the array holds NaN or infinity; the message names its row and feature
        """
        components, dimensions = as_count("components", components), as_count("dimensions", dimensions)
        if not components <= dimensions <= _MOST_DIMENSIONS:
            raise InvalidArgumentError(
                f"dimensions is {dimensions}; it must be {components}, the number of components, to {_MOST_DIMENSIONS}"
            )
        names = _layers_of(source, layers, model)
        rows = _rows_of(source, names)
        if rows.feature_count > _MOST_FEATURES:
            raise InvalidArgumentError(
                f"there are {rows.feature_count} features; compact codes are made of at most {_MOST_FEATURES}. Select "
                'the layers that the network\'s classifier reads, with layers="penultimate"'
            )
        if rows.image_count < FEWEST_IMAGES:
            raise InvalidArgumentError(
                f"there are {rows.image_count} images, and at least {FEWEST_IMAGES} are needed. The main directions of "
                "fewer images tell these apart, and no others. Compare their features or their packed codes as they are"
            )
        mean, moments = _second_moments(rows)
        basis, variances = _main_directions(moments, rows.image_count, components)
        rotation = rotation_matrix(components, dimensions)
        cuts = THRESHOLD * numpy.sqrt(variances @ rotation**2)
        numbers = [mean, basis, variances, rotation, cuts]
        about = {"layers": names, "model_sha256": _model_of(source) if isinstance(source, Job) else None}
        return cls(_as_bytes(numbers, rows.image_count, about))

    def transform(self, source: Any, *, threads: int | None = None) -> PackedCodes:
        """The codes of images.

        Args:
            source: a finished `fne.Job` that keeps its features; or features, float32 [N, F]
            threads: None: one per processor. The result does not depend on it.

        Returns:
            N codes of D features. Those of images of a job that failed are 0, as in `Job.packed_codes`.

        Raises:
            NotFiniteError: the array holds NaN or infinity; the message names its row and feature
            ShapeMismatchError: the features are not F
            UnknownTensorError: the job does not keep the layers that the codes were fitted to
            JobMismatchError: the job was made with another model than the one that the codes were fitted to
        """
        if isinstance(source, Job) and self._model_sha256 not in (None, _model_of(source)):
            raise JobMismatchError(
                f"the job in '{source.folder}' was made with another model than the one that these codes were fitted to"
            )
        rows = _rows_of(source, self.layers)
        words = numpy.zeros((rows.row_count, 2, -(-self.dimensions // 64)), numpy.uint64)
        if rows.feature_count != self.feature_count:
            raise ShapeMismatchError(
                f"the rows have {rows.feature_count} features; these codes were fitted to {self.feature_count}"
            )
        for first, good, block in rows.blocks():
            part = words[first : first + len(good)]
            part[good] = self._coded(block, threads) if len(block) else 0
        return PackedCodes(words, self.dimensions)

    def _coded(self, rows: NDArray[numpy.float32], threads: int | None) -> NDArray[numpy.uint64]:
        packed = numpy.empty((len(rows), 2, -(-self.dimensions // 64)), numpy.uint64)
        check(
            lib.fne_compact_transform(
                self._handle(), rows.ctypes.data, *rows.shape, threads or 0, packed.ctypes.data, packed.size
            )
        )
        return packed

    def to_bytes(self) -> bytes:
        """The object as bytes, which `fne_compact_open_memory` and `from_bytes` read."""
        return self._data

    @classmethod
    def from_bytes(cls, data: bytes) -> CompactCodes:
        """The object that `to_bytes` made bytes of.

        Raises:
            SavedDataError: the bytes are damaged, or of another version
        """
        return cls(data)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the object to a file, whose format docs/codes.md documents."""
        target = as_path(path)
        with file_errors(target, "written"):
            target.write_bytes(self._data)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> CompactCodes:
        """Reads what `save` wrote.

        Raises:
            SavedDataError: the file is damaged, or of another version
        """
        return cls(content(as_path(path)))

    def __reduce__(self) -> tuple[Any, ...]:
        return CompactCodes, (self._data,)

    def __repr__(self) -> str:
        size = 16 * -(-self.dimensions // 64)
        return (
            f"<fne.CompactCodes: {self.feature_count} features, {self.component_count} components, "
            f"{self.dimensions} dimensions, {size} bytes per image>"
        )


def rotation_matrix(components: int, dimensions: int) -> NDArray[numpy.float64]:
    """The matrix that turns components into dimensions, float64 [C, D] of float32 values. Its rows are orthonormal.

    Its numbers come from the generator SplitMix64, as docs/codes.md says, so that any language can make it again.
    """
    sums = _sums_of_twelve(components * dimensions).reshape(dimensions, components)
    columns, upper = numpy.linalg.qr(sums)
    return (columns * numpy.sign(numpy.diag(upper))).T.astype(numpy.float32).astype(numpy.float64)


def _sums_of_twelve(count: int) -> NDArray[numpy.float64]:
    """Numbers whose distribution is near the normal one. Each is exact: a sum of twelve integers of 32 bits, less its
    mean."""
    with numpy.errstate(over="ignore"):
        state = numpy.uint64(_SEED) + numpy.arange(1, 6 * count + 1, dtype=numpy.uint64) * numpy.uint64(
            0x9E3779B97F4A7C15
        )
        state = (state ^ (state >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
        state ^= state >> numpy.uint64(31)
    halves = (state >> numpy.uint64(32)) + (state & numpy.uint64(0xFFFFFFFF))
    sums: NDArray[numpy.float64] = halves.reshape(count, 6).sum(1).astype(numpy.float64) - 6 * 2.0**32
    return sums


# ---- rows


class _Rows(NamedTuple):
    """Rows of features, in blocks.

    blocks: gives the number of a block's first row, which of its rows are good, and the good rows, float32 [n, F]
    """

    image_count: int
    row_count: int
    feature_count: int
    blocks: Callable[[], Iterator[tuple[int, NDArray[numpy.bool_], NDArray[numpy.float32]]]]


def _layers_of(source: Any, layers: str | Sequence[str] | None, model: Any) -> list[str] | None:
    """The names of the layers that are selected; None: the source is an array."""
    if not isinstance(source, Job):
        if layers is not None or model is not None:
            raise InvalidArgumentError("layers and model are given with an array; only a job has layers to select")
        return None
    names = [layer.name for layer in source.layers]
    if layers is None:
        if len(names) > 1:
            raise InvalidArgumentError(
                f"the job in '{source.folder}' has {len(names)} layers; say which are used, best with "
                'layers="penultimate" and model='
            )
        return names
    asked = [layers] if isinstance(layers, str) else list(layers)
    if "penultimate" in asked and "penultimate" not in names and model is None:
        raise InvalidArgumentError('layers="penultimate" needs the job\'s model, with model=')
    opened = None if model is None else model if isinstance(model, Model) else Model(model)
    read = None if opened is None else partial(_penultimate, opened)
    return [layer.name for layer in selected(source.layers, asked, read, f"the job in '{source.folder}'")]


def _penultimate(model: Model) -> list[str]:
    return [tensor.name for tensor in model.penultimate()]


def _rows_of(source: Any, layers: Sequence[str] | None) -> _Rows:
    if not isinstance(source, Job):
        return _rows_of_array(as_array("the features", source))
    if source.rows_per_image != 1:
        raise InvalidArgumentError(
            f"the job in '{source.folder}' has ten crops per image; compact codes need one row per image"
        )
    if source.state == "running":
        raise InvalidArgumentError(f"the job in '{source.folder}' is not finished, and compact codes need all of it")
    ok = source.ok
    columns = source.columns(None if layers is None else list(layers))
    count = columns.stop - columns.start if isinstance(columns, slice) else len(columns)
    step = _rows_at_once(source.feature_count)

    def blocks() -> Iterator[tuple[int, NDArray[numpy.bool_], NDArray[numpy.float32]]]:
        for first in range(0, len(source), step):
            good = ok[first : first + step]
            features = source.features(None if layers is None else list(layers), slice(first, first + step))
            yield first, good, numpy.ascontiguousarray(features[good])

    return _Rows(int(ok.sum()), len(source), count, blocks)


def _model_of(job: Job) -> str:
    sha256: str = job.manifest["settings"]["model"]["sha256"]
    return sha256


def _rows_of_array(features: NDArray[Any]) -> _Rows:
    if features.ndim != 2 or features.dtype not in (numpy.float32, numpy.float64) or features.shape[1] < 1:
        raise InvalidArgumentError(f"the features are {features.dtype} {features.shape}; they must be float32 [N, F]")
    step = _rows_at_once(features.shape[1])

    def blocks() -> Iterator[tuple[int, NDArray[numpy.bool_], NDArray[numpy.float32]]]:
        for first in range(0, len(features), step):
            block = features[first : first + step]
            bad = numpy.argwhere(~numpy.isfinite(block))
            if len(bad):
                raise NotFiniteError(f"row {first + bad[0, 0]}, feature {bad[0, 1]} of the features is not finite")
            yield first, numpy.ones(len(block), numpy.bool_), _narrow(block)

    return _Rows(len(features), len(features), features.shape[1], blocks)


def _narrow(block: NDArray[Any]) -> NDArray[numpy.float32]:
    with numpy.errstate(over="ignore"):  # the comparison finds an overflow
        narrow = numpy.ascontiguousarray(block, numpy.float32)
    if block.dtype == numpy.float64 and not numpy.array_equal(narrow, block):
        raise InvalidArgumentError("the features are float64, with values that float32 cannot hold; pass float32")
    return narrow


def _rows_at_once(feature_count: int) -> int:
    return max(1, _BLOCK_BYTES // (4 * feature_count))


# ---- main directions


def _second_moments(rows: _Rows) -> tuple[NDArray[numpy.float64], NDArray[numpy.float64]]:
    """The mean of each feature, and the sums of the products of each two features less their means."""
    statistics = Statistics(rows.feature_count)
    for _, _, block in rows.blocks():
        statistics.update(block)
    mean = statistics.mean()
    moments = numpy.zeros((rows.feature_count, rows.feature_count))
    for _, _, block in rows.blocks():
        wide = block.astype(numpy.float64)
        wide -= mean
        moments += wide.T @ wide
    return mean, moments


def _main_directions(
    moments: NDArray[numpy.float64], count: int, components: int
) -> tuple[NDArray[numpy.float64], NDArray[numpy.float64]]:
    """The directions of the largest variances, float64 [F, C], and the variances, float64 [C].

    A direction's largest number is positive, so that equal data give equal directions.
    """
    values, vectors = numpy.linalg.eigh(moments)
    variances, found = values[::-1] / count, int((values > _LEAST_VARIANCE * max(values[-1], 0.0)).sum())
    if found < components:
        raise InvalidArgumentError(
            f"the images differ in {found} directions, and components is {components}; pass components={found} or "
            "fewer, or more images"
            if found
            else "all images have the same features, so that they have no main directions"
        )
    basis = vectors[:, ::-1][:, :components]
    largest = basis[numpy.abs(basis).argmax(0), numpy.arange(components)]
    return numpy.ascontiguousarray(basis * numpy.sign(largest)), numpy.ascontiguousarray(variances[:components])


# ---- saving


def _as_bytes(numbers: Sequence[NDArray[numpy.float64]], images: int, about: dict[str, Any]) -> bytes:
    import hashlib  # it is slow to import, and seldom needed

    mean, basis, _, rotation, _ = numbers
    text = json.dumps(about).encode()
    header = _HEADER.pack(_MAGIC, _VERSION, 0, len(mean), basis.shape[1], rotation.shape[1], images, len(text))
    data = b"".join([header, *(part.astype("<f8").tobytes() for part in numbers), text])
    return data + hashlib.sha256(data).hexdigest().encode()


__all__ = ["CompactCodes"]

"""Packed ternary codes: two bits per feature. Counting bits compares them."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy
from numpy.typing import NDArray

from fne import _ffi
from fne._arguments import as_array, as_count, as_path, choice, path_bytes, refuse_masked
from fne._expansion import REACH, expanded
from fne._ffi import check, lib
from fne._kept_layers import selected
from fne._layer import Layer, for_library, from_library, side_by_side, span
from fne._saved import exists, mapped_array
from fne.errors import InvalidArgumentError, MissingFileError, ShapeMismatchError

METRICS = {"dot": 0, "cosine": 1, "hamming": 2, "centred": 3}
#: The metrics that are cosines, whose searches can be expanded.
EXPANDED = ("cosine", "centred")
#: The queries of an expanded search that are in memory at once, each with its 1,000 nearest codes or more.
_QUERIES_AT_ONCE = 64
#: The bytes of columns that are shifted at once. So much stays in a processor's caches from one step to the next.
_BYTES_AT_ONCE = 1 << 18
#: Held while a mean is computed, so that threads which search the same codes compute it once.
_MEANS = threading.Lock()


class _Centre(NamedTuple):
    """A mean code, float32 [F], and the product of each code with it, float64 [n]."""

    mean: NDArray[numpy.float32]
    offsets: NDArray[numpy.float64]


class PackedCodes:
    """Codes of -1, 0, 1 in two planes of bits: the first says which are not 0, the second which are -1.

    Args:
        words: uint64 [n, 2, ceil(F / 64)], C-contiguous, such as a memory-mapped file. They are not copied, and must
            not change while the object is used.
        feature_count: F
        layers: the layers of the columns, which `select` needs; None: unknown

    >>> codes = numpy.int8([[1, 0, -1, 1], [0, 0, -1, -1], [1, 1, 1, 0]])
    >>> packed = PackedCodes.pack(codes)
    >>> len(packed), packed.feature_count, packed.words.shape
    (3, 4, (3, 2, 1))
    >>> packed.dot(packed[:1])
    array([[3],
           [0],
           [0]], dtype=int32)
    >>> indices, scores = packed.search(packed[:1], k=2)
    >>> indices, scores
    (array([[0, 1]]), array([[3., 0.]]))
    """

    def __init__(self, words: NDArray[numpy.uint64], feature_count: int, layers: Sequence[Layer] | None = None) -> None:
        self.feature_count = as_count("feature_count", feature_count)
        refuse_masked("words", words)
        expected = (2, -(-self.feature_count // 64))
        if words.dtype != numpy.uint64 or words.ndim != 3 or words.shape[1:] != expected:
            raise ShapeMismatchError(
                f"words are {words.dtype} {words.shape}; "
                f"uint64 [n, 2, {expected[1]}] is needed for {feature_count} features"
            )
        self.words = words if words.flags.c_contiguous else numpy.ascontiguousarray(words)
        self.layers = None if layers is None else list(layers)
        self._own_centre: _Centre | None = None

    @classmethod
    def pack(cls, codes: NDArray[Any], layers: Sequence[Layer] | None = None) -> PackedCodes:
        """Packs codes.

        Args:
            codes: int8 [n, F] of -1, 0, 1. The rows of skipped images, -128, become 0.
            layers: as in `PackedCodes`

        Raises:
            InvalidArgumentError: codes hold another value; the message names its row and feature
        """
        codes = as_array("codes", codes)
        if codes.ndim != 2 or codes.dtype != numpy.int8 or codes.shape[1] < 1:
            raise InvalidArgumentError(f"codes are {codes.dtype} {codes.shape}; they must be int8 [n, F]")
        words = numpy.zeros((len(codes), 2, -(-codes.shape[1] // 64)), numpy.uint64)
        if len(codes):
            dense = numpy.ascontiguousarray(codes)
            check(lib.fne_pack(dense.ctypes.data, *dense.shape, words.ctypes.data, words.size))
        return cls(words, codes.shape[1], layers)

    @classmethod
    def from_bytes(
        cls, rows: Iterable[bytes | None], feature_count: int, layers: Sequence[Layer] | None = None
    ) -> PackedCodes:
        """The codes of a column "packed", which `fne.ray.embed` and `fne.spark.embed` make.

        Args:
            rows: for each image the bytes of its code, or of its ten codes with ten crops; None for a bad image, whose
                code becomes 0. They are little-endian words in the order of `words`.
            feature_count: F
            layers: as in `PackedCodes`

        Raises:
            ShapeMismatchError: the rows are of other lengths; the message names the first

        >>> packed = PackedCodes.pack(numpy.int8([[1, 0, -1], [0, 1, 1]]))
        >>> rows = [packed.words[0].tobytes(), None, packed.words[1].tobytes()]
        >>> PackedCodes.from_bytes(rows, 3).unpack().tolist()
        [[1, 0, -1], [0, 0, 0], [0, 1, 1]]
        """
        size = 16 * -(-as_count("feature_count", feature_count) // 64)
        data = [None if row is None else bytes(row) for row in rows]
        length = next((len(row) for row in data if row is not None), size)
        for number, row in enumerate(data):
            if row is not None and (len(row) != length or not row or length % size):
                raise ShapeMismatchError(
                    f"row {number} has {len(row)} bytes; codes of {feature_count} features have {size}, or a multiple "
                    "of it with several rows per image"
                )
        joined = b"".join(bytes(length) if row is None else row for row in data)
        words = numpy.frombuffer(joined, "<u8").astype(numpy.uint64, copy=False)
        return cls(words.reshape(-1, 2, size // 16), feature_count, layers)

    def unpack(self) -> NDArray[numpy.int8]:
        """The codes, int8 [n, F] of -1, 0, 1."""
        codes = numpy.empty((len(self), self.feature_count), numpy.int8)
        if len(self):
            check(lib.fne_unpack(self.words.ctypes.data, *codes.shape, codes.ctypes.data, codes.size))
        return codes

    def __len__(self) -> int:
        return len(self.words)

    def __repr__(self) -> str:
        return (
            f"<fne.PackedCodes: {len(self)} codes of {self.feature_count} features, {self.words.nbytes / 1e6:.1f} MB>"
        )

    def __getitem__(self, images: Any) -> PackedCodes:
        """Some of the codes. A slice gives a view; a list of numbers, a mask or one number gives a copy."""
        if isinstance(images, (int, numpy.integer)):
            images = [images]
        return PackedCodes(self.words[images], self.feature_count, self.layers)

    def select(self, layers: str | Sequence[str] | slice) -> PackedCodes:
        """The codes of some layers, or of a range of columns.

        Args:
            layers: names, globs, "last:25%", or a list of these; or a slice of columns
        """
        if isinstance(layers, slice):
            first, stop, step = layers.indices(self.feature_count)
            if step != 1 or stop <= first:
                raise InvalidArgumentError(f"the columns are {layers}; they must be a range of at least one")
            return PackedCodes(self._columns([slice(first, stop)]), stop - first)
        if self.layers is None:
            raise InvalidArgumentError(
                "these codes do not know their layers; pass layers to pack, or a slice of columns"
            )
        chosen = selected(self.layers, layers)
        kept, columns = side_by_side(chosen), span(chosen)
        wanted = [layer.features for layer in chosen] if columns is None else [columns]
        return PackedCodes(self._columns(wanted), kept[-1].features.stop, kept)

    def _columns(self, ranges: Sequence[slice]) -> NDArray[numpy.uint64]:
        """The words of ranges of columns, side by side."""
        total = sum(columns.stop - columns.start for columns in ranges)
        words = numpy.zeros((len(self), 2, -(-total // 64)), numpy.uint64)
        step = max(1, _BYTES_AT_ONCE // (16 * words.shape[2]))
        for start in range(0, len(self), step):
            source, target = self.words[start : start + step], words[start : start + step]
            first = 0
            for columns in ranges:
                _put_columns(source, columns, target, first)
                first += columns.stop - columns.start
        return words

    # ---- comparing

    def dot(self, other: PackedCodes, *, threads: int | None = None) -> NDArray[numpy.int32]:
        """The exact dot products of all pairs, int32 [n, m].

        Args:
            other: m codes of as many features
            threads: None: one per processor
        """
        self._match(other)
        products = numpy.empty((len(self), len(other)), numpy.int32)
        if products.size:
            check(
                lib.fne_packed_dot(
                    self.words.ctypes.data,
                    len(self),
                    other.words.ctypes.data,
                    len(other),
                    self.feature_count,
                    threads or 0,
                    products.ctypes.data,
                    products.size,
                )
            )
        return products

    def gram(self, *, centred: bool = False, threads: int | None = None) -> NDArray[Any]:
        """The dot products of the codes with each other, int32 [n, n].

        `sklearn.svm.SVC(kernel="precomputed")` takes this matrix.

        Args:
            centred: the dot products of the codes less their mean, float64 [n, n]. The squared norms are the diagonal.
            threads: None: one per processor
        """
        if not centred:
            return self.dot(self, threads=threads)
        products = numpy.empty((len(self), len(self)))
        if products.size:
            rows = self.words.ctypes.data, len(self)
            mean = self.mean(threads=threads)
            check(
                lib.fne_packed_dot_centred(
                    *rows,
                    *rows,
                    self.feature_count,
                    mean.ctypes.data,
                    threads or 0,
                    products.ctypes.data,
                    products.size,
                )
            )
        return products

    def mean(self, *, threads: int | None = None) -> NDArray[numpy.float32]:
        """The mean code: the mean of each feature, float32 [F]. It is computed once, and read-only.

        Raises:
            InvalidArgumentError: there are no codes
        """
        return self._centre(None, threads).mean

    def search(
        self,
        queries: PackedCodes,
        k: int = 10,
        *,
        metric: str = "dot",
        mean: NDArray[Any] | None = None,
        expand: int = 0,
        threads: int | None = None,
    ) -> tuple[NDArray[numpy.int64], NDArray[numpy.float64]]:
        """The k codes that are nearest to each query, the nearest first. Of equally near ones the first comes first.

        Args:
            queries: m codes of as many features
            k: 1 to n
            metric: "dot"; "cosine", which is 0 for codes that are all 0; "hamming", the number of features that differ;
                "centred", the cosine of the codes less their mean, which is 0 for codes that are the mean itself. The
                first centred search computes the mean, and a number for each code (8 bytes), which later ones use
                again.
            mean: with "centred", another mean code than that of these codes, [F] of -1 to 1. Its numbers are computed
                in each search.
            expand: with "cosine" and "centred", how many of the nearest codes go along with the query. The codes are
                then ordered by their cosine to the query plus these, each times its own cosine to the query
                (docs/codes.md). That is done for the 1,000 nearest, or for 10 k where that is more. 2 is a good number.
                Where a class has five codes or more it finds more of them, and where it has two or three it does not.
            threads: None: one per processor. The result does not depend on it.

        Returns:
            indices int64 [m, k], scores float64 [m, k]
        """
        self._match(queries)
        choice("metric", metric, METRICS)
        if mean is not None and metric != "centred":
            raise InvalidArgumentError(f'mean is given, and the metric is {metric!r}; only "centred" takes a mean')
        k = as_count("k", k)
        if k > len(self):
            raise InvalidArgumentError(f"k is {k}; it must be 1 to {len(self)}, the number of codes searched")
        if as_count("expand", expand, 0) and metric not in EXPANDED:
            raise InvalidArgumentError(
                f'expand is {expand}, and the metric is {metric!r}; only "cosine" and "centred" can expand'
            )
        centre = self._centre(mean, threads) if metric == "centred" and len(queries) else None
        if not expand:
            return self._nearest(queries, k, metric, centre, threads)
        blocks = [queries[first : first + _QUERIES_AT_ONCE] for first in range(0, len(queries), _QUERIES_AT_ONCE)]
        found = [self._expanded(block, k, metric, centre, expand, threads) for block in blocks or [queries]]
        return numpy.concatenate([rows for rows, _ in found]), numpy.concatenate([scores for _, scores in found])

    def _nearest(
        self, queries: PackedCodes, k: int, metric: str, centre: _Centre | None, threads: int | None
    ) -> tuple[NDArray[numpy.int64], NDArray[numpy.float64]]:
        """The k nearest codes of each query, by the metric itself."""
        indices, scores = numpy.empty((len(queries), k), numpy.uint64), numpy.empty((len(queries), k))
        if len(queries):
            rows = self.words.ctypes.data, len(self), queries.words.ctypes.data, len(queries), self.feature_count, k
            out = threads or 0, indices.ctypes.data, scores.ctypes.data, indices.size
            if centre is not None:
                check(lib.fne_packed_search_centred(*rows, centre.mean.ctypes.data, centre.offsets.ctypes.data, *out))
            else:
                check(lib.fne_packed_search(*rows, METRICS[metric], *out))
        return indices.astype(numpy.int64), scores

    def _expanded(
        self, queries: PackedCodes, k: int, metric: str, centre: _Centre | None, count: int, threads: int | None
    ) -> tuple[NDArray[numpy.int64], NDArray[numpy.float64]]:
        """The k nearest codes of each query and its nearest codes together, of those that are near the query."""
        taken = min(max(count, 10 * k, REACH), len(self))
        found, cosines = self._nearest(queries, taken, metric, centre, threads)
        indices, scores = numpy.empty((len(queries), k), numpy.int64), numpy.empty((len(queries), k))
        for number, rows in enumerate(found):
            near = self[rows]
            own = None if centre is None else _Centre(centre.mean, numpy.ascontiguousarray(centre.offsets[rows]))
            places, values = near._nearest(near[:count], taken, metric, own, threads)
            of_nearest = numpy.empty_like(values)
            numpy.put_along_axis(of_nearest, places, values, 1)
            new = expanded(cosines[number], numpy.arange(len(values)), of_nearest)
            order = numpy.lexsort((rows, -new))[:k]
            indices[number], scores[number] = rows[order], new[order]
        return indices, scores

    def _centre(self, mean: NDArray[Any] | None, threads: int | None) -> _Centre:
        """A mean, and the codes' products with it. Those of the codes' own mean are kept."""
        if mean is not None:
            return self._centre_by(self._as_mean(mean), threads)
        with _MEANS:
            if self._own_centre is None:
                if not len(self):
                    raise InvalidArgumentError("there are no codes, and so they have no mean")
                own = numpy.empty(self.feature_count, numpy.float32)
                words = self.words.ctypes.data
                check(
                    lib.fne_packed_mean(words, len(self), self.feature_count, threads or 0, own.ctypes.data, own.size)
                )
                own.flags.writeable = False
                self._own_centre = self._centre_by(own, threads)
            return self._own_centre

    def _centre_by(self, mean: NDArray[numpy.float32], threads: int | None) -> _Centre:
        offsets = numpy.empty(len(self))
        check(
            lib.fne_packed_offsets(
                self.words.ctypes.data,
                len(self),
                self.feature_count,
                mean.ctypes.data,
                threads or 0,
                offsets.ctypes.data,
                offsets.size,
            )
        )
        return _Centre(mean, offsets)

    def _as_mean(self, mean: NDArray[Any]) -> NDArray[numpy.float32]:
        given = as_array("mean", mean)
        if given.shape != (self.feature_count,) or given.dtype.kind not in "fiu":
            raise ShapeMismatchError(
                f"the mean is {given.dtype} {given.shape}; it must be numbers of the shape ({self.feature_count},)"
            )
        return numpy.ascontiguousarray(given, numpy.float32)

    def _match(self, other: PackedCodes) -> None:
        if other.feature_count != self.feature_count:
            raise ShapeMismatchError(
                f"codes of {other.feature_count} and of {self.feature_count} features cannot be compared"
            )

    # ---- other forms

    def to_scipy_sparse(self) -> Any:
        """The codes as a `scipy.sparse.csr_array`, int8 [n, F], which scikit-learn's linear models take."""
        import scipy.sparse

        return scipy.sparse.csr_array(self.unpack())

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the words to a .npy file, and what they mean to a .json file beside it (docs/codes.md).

        C programs read and write the same files. A path without the ending ".npy" gets it.

        Raises:
            InvalidArgumentError: a layer has columns that the codes do not have, or another kind than the library's
            FileError: a file cannot be written
        """
        layers = for_library(self.layers) if self.layers else None
        words, count = self.words.ctypes.data, 0 if layers is None else len(layers)
        check(lib.fne_packed_save(path_bytes(as_path(path)), words, len(self), self.feature_count, layers, count))

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, mmap: bool = True) -> PackedCodes:
        """Reads what `save` or a C program wrote. The words are memory-mapped unless mmap is False.

        Raises:
            SavedDataError: a file is damaged, or of another version
            FileError: a file cannot be read
            MissingFileError: there is no such file
        """
        source = as_path(path)
        facts = source.with_suffix(".json") if source.suffix == ".npy" else source.with_name(source.name + ".json")
        if not exists(facts):
            raise MissingFileError(f"'{facts}' does not exist")
        file = _ffi.open_handle(lib.fne_codes_open, lib.fne_codes_close, path_bytes(source))
        rows, features, layers = ctypes.c_uint64(), ctypes.c_uint64(), ctypes.c_uint64()
        check(lib.fne_codes_sizes(file(), *map(ctypes.byref, (rows, features, layers))))
        known = from_library(
            layers.value, lambda index, info: check(lib.fne_codes_layer_info(file(), index, ctypes.byref(info)))
        )
        words = mapped_array(source if source.suffix == ".npy" else source.with_name(source.name + ".npy"))
        return cls(words if mmap else numpy.array(words), features.value, known or None)


def _put_columns(source: NDArray[numpy.uint64], columns: slice, target: NDArray[numpy.uint64], first: int) -> None:
    """Puts columns of some words into others, from column `first` on, where all columns are 0 before."""
    begin, end = columns.start // 64, -(-columns.stop // 64)
    taken = source[:, :, begin:end].copy()
    taken[:, :, 0] &= _bits(columns.start % 64, 64)
    taken[:, :, -1] &= _bits(0, (columns.stop - 1) % 64 + 1)
    # Word begin + n of the source becomes the words `word` + n and `word` + n + 1 of the target. The first of these
    # may be before the columns, and the last after them. Nothing is put there.
    word, shift = divmod(first - columns.start, 64)
    word += begin
    _or_words(target, word, taken << numpy.uint64(shift) if shift else taken)
    if shift:
        _or_words(target, word + 1, taken >> numpy.uint64(64 - shift))


def _or_words(target: NDArray[numpy.uint64], first: int, words: NDArray[numpy.uint64]) -> None:
    """Sets bits of words, from the word `first` on. Words that the target does not have are left out."""
    skipped, end = max(0, -first), min(first + words.shape[2], target.shape[2])
    place = target[:, :, first + skipped : end]
    numpy.bitwise_or(place, words[:, :, skipped : end - first], out=place)


def _bits(first: int, stop: int) -> numpy.uint64:
    """A word whose bits are set from `first` to before `stop`."""
    return numpy.uint64((1 << stop) - (1 << first))

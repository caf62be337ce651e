"""Packed ternary codes: two bits per feature. Counting bits compares them."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy
from numpy.typing import NDArray

from fne._arguments import as_array, as_count, as_path, choice, refuse_masked
from fne._ffi import check, lib
from fne._layer import JSON as LAYER_JSON
from fne._layer import Layer, from_json, side_by_side, span, to_json
from fne._saved import content, file_errors, mapped_array, parsed
from fne._selection import select
from fne.errors import InvalidArgumentError, SavedDataError, ShapeMismatchError

METRICS = {"dot": 0, "cosine": 1, "hamming": 2}
_FORMAT, _VERSION = "fne-packed-codes", 1
_FACTS = {"features": int, "layers": (None, [LAYER_JSON])}


class PackedCodes:
    """Codes of -1, 0, 1 in two planes of bits: the first says which are not 0, the second which are -1.

    Args:
        words: uint64 [n, 2, ceil(F / 64)], C-contiguous, such as a memory-mapped file. They are not copied.
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
            return PackedCodes(self._columns(slice(first, stop)), stop - first)
        if self.layers is None:
            raise InvalidArgumentError(
                "these codes do not know their layers; pass layers to pack, or a slice of columns"
            )
        chosen = [self.layers[number] for number in select(layers, [layer.name for layer in self.layers])]
        kept, columns = side_by_side(chosen), span(chosen)
        if columns is not None:
            return PackedCodes(self._columns(columns), kept[-1].features.stop, kept)
        parts = [PackedCodes(self._columns(layer.features), layer.feature_count).unpack() for layer in chosen]
        return PackedCodes.pack(numpy.concatenate(parts, 1), kept)

    def _columns(self, columns: slice) -> NDArray[numpy.uint64]:
        """The words of a range of columns, shifted so that they begin at bit 0."""
        first, stop = columns.start, columns.stop
        count, shift, word = -(-(stop - first) // 64), numpy.uint64(first % 64), first // 64
        padded = numpy.zeros((*self.words.shape[:2], count + 1), numpy.uint64)
        have = self.words[:, :, word : word + count + 1]
        padded[:, :, : have.shape[2]] = have
        if shift == 0:
            words = padded[:, :, :count].copy()
        else:
            words = (padded[:, :, :count] >> shift) | (padded[:, :, 1:] << (numpy.uint64(64) - shift))
        if (stop - first) % 64:
            words[:, :, -1] &= numpy.uint64((1 << ((stop - first) % 64)) - 1)
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

    def gram(self, *, threads: int | None = None) -> NDArray[numpy.int32]:
        """The dot products of the codes with each other, int32 [n, n].

        `sklearn.svm.SVC(kernel="precomputed")` takes this matrix.
        """
        return self.dot(self, threads=threads)

    def search(
        self, queries: PackedCodes, k: int = 10, *, metric: str = "dot", threads: int | None = None
    ) -> tuple[NDArray[numpy.int64], NDArray[numpy.float64]]:
        """The k codes that are nearest to each query, the nearest first. Of equally near ones the first comes first.

        Args:
            queries: m codes of as many features
            k: 1 to n
            metric: "dot"; "cosine", which is 0 for codes that are all 0; "hamming", the number of features that differ
            threads: None: one per processor. The result does not depend on it.

        Returns:
            indices int64 [m, k], scores float64 [m, k]
        """
        self._match(queries)
        metric_number = choice("metric", metric, METRICS)
        k = as_count("k", k)
        if k > len(self):
            raise InvalidArgumentError(f"k is {k}; it must be 1 to {len(self)}, the number of codes searched")
        indices, scores = numpy.empty((len(queries), k), numpy.uint64), numpy.empty((len(queries), k))
        if len(queries):
            check(
                lib.fne_packed_search(
                    self.words.ctypes.data,
                    len(self),
                    queries.words.ctypes.data,
                    len(queries),
                    self.feature_count,
                    k,
                    metric_number,
                    threads or 0,
                    indices.ctypes.data,
                    scores.ctypes.data,
                    indices.size,
                )
            )
        return indices.astype(numpy.int64), scores

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
        """Writes the words to a .npy file, and what they mean to a .json file beside it (docs/codes.md)."""
        target = _npy(path)
        with file_errors(target, "written"):
            numpy.save(target, self.words)
        layers = None if self.layers is None else [to_json(layer) for layer in self.layers]
        facts = {"format": _FORMAT, "version": _VERSION, "features": self.feature_count, "layers": layers}
        beside = target.with_suffix(".json")
        with file_errors(beside, "written"):
            beside.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, mmap: bool = True) -> PackedCodes:
        """Reads what `save` wrote. The words are memory-mapped unless mmap is False."""
        source = _npy(path)
        beside = source.with_suffix(".json")
        data, name = content(beside), f"'{beside}'"
        kind = parsed(data, {}, name)
        if (kind.get("format"), kind.get("version")) != (_FORMAT, _VERSION):
            raise SavedDataError(f"{name} describes no packed codes of version {_VERSION}")
        facts = parsed(data, _FACTS, name)
        layers = facts["layers"]
        words = mapped_array(source)
        words = words if mmap else numpy.array(words)
        return cls(words, facts["features"], None if layers is None else [from_json(layer) for layer in layers])


def _npy(path: str | os.PathLike[str]) -> Path:
    target = as_path(path)
    return target if target.suffix == ".npy" else target.with_name(target.name + ".npy")

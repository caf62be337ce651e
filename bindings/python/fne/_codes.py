"""Packed ternary codes: two bits a feature, compared by counting bits."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy
from numpy.typing import NDArray

from fne import errors
from fne._extractor import Layer
from fne._ffi import check, lib
from fne._options import as_count
from fne._selection import select

_METRICS = {"dot": 0, "cosine": 1, "hamming": 2}
_FORMAT, _VERSION = "fne-packed-codes", 1


class PackedCodes:
    """Codes of -1, 0, 1 as uint64 [n, 2, ceil(F / 64)]: the plane of what is not 0, and the plane of what is -1.

    Args:
        words: uint64 [n, 2, ceil(F / 64)], C-contiguous, such as a memory-mapped file; it is not copied
        feature_count: F
        layers: the columns' layers, for `select`; None: unknown

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
        expected = (2, -(-self.feature_count // 64))
        if words.dtype != numpy.uint64 or words.ndim != 3 or words.shape[1:] != expected:
            raise errors.error(
                18,
                f"words are {words.dtype} {words.shape}; uint64 [n, 2, {expected[1]}] is needed for {feature_count} features",
            )
        self.words = words if words.flags.c_contiguous else numpy.ascontiguousarray(words)
        self.layers = None if layers is None else list(layers)

    @classmethod
    def pack(cls, codes: NDArray[Any], layers: Sequence[Layer] | None = None) -> PackedCodes:
        """Packs int8 [n, F] of -1, 0, 1; the rows of skipped images, -128, become 0.

        Raises:
            InvalidArgumentError: another value, by row and feature
        """
        codes = numpy.asarray(codes)
        if codes.ndim != 2 or codes.dtype != numpy.int8 or codes.shape[1] < 1:
            raise ValueError(f"codes are {codes.dtype} {codes.shape}; int8 [n, F] is needed")
        words = numpy.zeros((len(codes), 2, -(-codes.shape[1] // 64)), numpy.uint64)
        if len(codes):
            dense = numpy.ascontiguousarray(codes)
            check(lib.fne_pack(dense.ctypes.data, *dense.shape, words.ctypes.data, words.size))
        return cls(words, codes.shape[1], layers)

    def unpack(self) -> NDArray[numpy.int8]:
        """int8 [n, F] of -1, 0, 1."""
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
        """Some of the codes: a slice (a view), numbers or a mask (a copy), or one number."""
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
                raise ValueError(f"the columns are {layers}; a range of at least one is needed")
            return PackedCodes(self._columns(first, stop), stop - first)
        if self.layers is None:
            raise ValueError("these codes do not know their layers; pass layers to pack, or a slice of columns")
        chosen = [self.layers[number] for number in select(layers, [layer.name for layer in self.layers])]
        parts, kept, width = [], [], 0
        for layer in chosen:
            count = layer.features.stop - layer.features.start
            kept.append(layer._replace(features=slice(width, width + count)))
            parts.append((layer.features.start, layer.features.stop))
            width += count
        together = all(a[1] == b[0] for a, b in zip(parts, parts[1:], strict=False))
        if together:
            return PackedCodes(self._columns(parts[0][0], parts[-1][1]), width, kept)
        return PackedCodes.pack(
            numpy.concatenate([PackedCodes(self._columns(*part), part[1] - part[0]).unpack() for part in parts], 1),
            kept,
        )

    def _columns(self, first: int, stop: int) -> NDArray[numpy.uint64]:
        """The words of a range of columns, shifted to begin at bit 0."""
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
        """The dot products of all pairs, int32 [n, m]: exact.

        Args:
            other: m codes of as many features
            threads: None: one a processor
        """
        self._match(other)
        products = numpy.empty((len(self), len(other)), numpy.int32)
        if products.size:
            check(
                lib.fne_packed_dot(
                    self.words.ctypes.data, len(self), other.words.ctypes.data, len(other), self.feature_count, threads or 0,
                    products.ctypes.data, products.size,
                )
            )  # fmt: skip
        return products

    def gram(self, *, threads: int | None = None) -> NDArray[numpy.int32]:
        """The dot products with itself, int32 [n, n]: what `sklearn.svm.SVC(kernel="precomputed")` takes."""
        return self.dot(self, threads=threads)

    def search(
        self, queries: PackedCodes, k: int = 10, *, metric: str = "dot", threads: int | None = None
    ) -> tuple[NDArray[numpy.int64], NDArray[numpy.float64]]:
        """The k best of these codes for each query, best first; of equal ones the first first.

        Args:
            queries: m codes of as many features
            k: 1 to n
            metric: "dot"; "cosine" (0 for codes without a feature that is not 0); "hamming", the number of features that differ
            threads: None: one a processor; the result does not depend on it

        Returns:
            indices int64 [m, k], scores float64 [m, k]
        """
        self._match(queries)
        if metric not in _METRICS:
            raise ValueError(f"metric is {metric!r}; it must be one of {', '.join(map(repr, _METRICS))}")
        k = as_count("k", k)
        if k > len(self):
            raise errors.error(1, f"k is {k}; it must be 1 to {len(self)}, the number of codes searched")
        indices, scores = numpy.empty((len(queries), k), numpy.uint64), numpy.empty((len(queries), k))
        if len(queries):
            check(
                lib.fne_packed_search(
                    self.words.ctypes.data, len(self), queries.words.ctypes.data, len(queries), self.feature_count, k,
                    _METRICS[metric], threads or 0, indices.ctypes.data, scores.ctypes.data, indices.size,
                )
            )  # fmt: skip
        return indices.astype(numpy.int64), scores

    def _match(self, other: PackedCodes) -> None:
        if other.feature_count != self.feature_count:
            raise errors.error(
                18, f"codes of {other.feature_count} and of {self.feature_count} features cannot be compared"
            )

    # ---- other forms

    def to_scipy_sparse(self) -> Any:
        """`scipy.sparse.csr_array` int8 [n, F]: what linear models of scikit-learn take without the zeros."""
        import scipy.sparse

        return scipy.sparse.csr_array(self.unpack())

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes path (.npy, the words) and beside it, with .json for .npy, what they mean (docs/codes.md)."""
        target = _npy(path)
        numpy.save(target, self.words)
        layers = None if self.layers is None else [_described(layer) for layer in self.layers]
        facts = {"format": _FORMAT, "version": _VERSION, "features": self.feature_count, "layers": layers}
        target.with_suffix(".json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, mmap: bool = True) -> PackedCodes:
        """Reads what `save` wrote, memory-mapped unless mmap is False."""
        source = _npy(path)
        facts = json.loads(source.with_suffix(".json").read_text("utf-8"))
        if facts.get("format") != _FORMAT or facts.get("version") != _VERSION:
            raise errors.error(19, f"'{source.with_suffix('.json')}' describes no packed codes of version {_VERSION}")
        layers = facts["layers"]
        words = numpy.load(source, mmap_mode="r" if mmap else None, allow_pickle=False)
        return cls(words, facts["features"], None if layers is None else [_layer(layer) for layer in layers])


def _npy(path: str | os.PathLike[str]) -> Path:
    target = Path(path)
    return target if target.suffix == ".npy" else target.with_name(target.name + ".npy")


def _described(layer: Layer) -> dict[str, Any]:
    first, stop = layer.features.start, layer.features.stop
    return {
        "name": layer.name,
        "kind": layer.kind,
        "rank": layer.rank,
        "first_feature": first,
        "features": stop - first,
    }


def _layer(facts: dict[str, Any]) -> Layer:
    columns = slice(facts["first_feature"], facts["first_feature"] + facts["features"])
    return Layer(facts["name"], facts["kind"], facts["rank"], columns)

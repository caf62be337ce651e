"""Layer selectors over a list of names. The library has their grammar: fne.h explains it at fne_select_layers."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import numpy

from fne import _ffi
from fne._ffi import check, lib
from fne.errors import InvalidArgumentError

_DEFAULT, _PENULTIMATE = 1, 2


def select(
    selectors: str | Sequence[str] | None,
    names: Sequence[str],
    default: Sequence[bool] | None = None,
    penultimate: Sequence[bool] | None = None,
) -> list[int]:
    """The numbers of the selected layers, in the order of the selectors. None stands twice.

    Args:
        selectors: names, globs, "all", "last:25%", "penultimate", or a list of these; None: all default layers
        names: the names of all layers, in the order of their columns
        default: which of them are default layers; None: all are
        penultimate: which of them classifiers read, which "penultimate" selects; None: this is not known

    Raises:
        UnknownTensorError: a selector selects no layer
        InvalidArgumentError: a share is impossible, or a layer is named twice
        ValueError: the list of selectors is empty

    >>> names = ["conv1", "conv2", "pool", "dense"]
    >>> select("last:50%", names), select(["dense", "conv*"], names)
    ([2, 3], [3, 0, 1])
    """
    given = [] if selectors is None else [selectors] if isinstance(selectors, str) else list(selectors)
    if selectors is not None and not given:
        raise InvalidArgumentError("the list of layers is empty; pass None for all default layers")
    roles = None
    if default is not None or penultimate is not None:
        defaults = [True] * len(names) if default is None else default
        read = [False] * len(names) if penultimate is None else penultimate
        roles = bytes(_DEFAULT * bool(a) + _PENULTIMATE * bool(b) for a, b in zip(defaults, read, strict=True))
    indices = numpy.empty(len(names), numpy.uint64)
    count = ctypes.c_uint64()
    check(
        lib.fne_select_layers(
            _ffi.strings([_ffi.text(selector) for selector in given]),
            len(given),
            _ffi.strings([_ffi.text(name) for name in names]),
            roles,
            len(names),
            indices.ctypes.data,
            indices.size,
            ctypes.byref(count),
        )
    )
    return [int(number) for number in indices[: count.value]]

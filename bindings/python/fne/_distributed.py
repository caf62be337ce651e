"""What a worker of Ray or Spark does. This module knows neither of them."""

from __future__ import annotations

import hashlib
import os
import pickle
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy
from numpy.typing import NDArray

from fne._embedding import SKIPPED_CODE, ternarize
from fne._extractor import Extractor
from fne._ffi import OK
from fne._model import Model, Origin, as_model, reopened
from fne._model_source import named
from fne._preprocessing_choice import chosen_preprocessing
from fne._statistics import Statistics
from fne.errors import InvalidArgumentError, InvalidTypeError

#: The images that a worker embeds at a time.
IMAGES_AT_ONCE = 64


class Shipped(NamedTuple):
    """A model that was opened where the data set is made, as it travels to the workers.

    aliases: the tensors of Keras' layers
    """

    origin: Origin
    aliases: dict[str, str]


#: A model as it travels to the workers. A string is a path, which all of them must be able to read.
Portable = str | bytes | Shipped


def portable(model: Any, options: Mapping[str, Any]) -> tuple[Portable, dict[str, Any]]:
    """A model as it travels to the workers, and the options of their extractors.

    A path and bytes go as they are. Anything else is opened here: a PyTorch module, a Keras model and a network of a
    library are exported once, and the workers need none of these libraries.

    Args:
        options: those of `fne.Extractor`
    """
    given, model = model, named(model)
    if model is given and isinstance(model, (str, os.PathLike)):
        return os.path.abspath(os.fspath(model)), dict(options)
    if isinstance(model, (bytes, bytearray, memoryview)):
        return bytes(model), dict(options)
    try:
        opened = as_model(given, options.get("size"))
    except InvalidTypeError as failure:
        raise InvalidTypeError(f"a model for workers is what fne.Model takes: {failure}") from None
    # What stands beside the file here says how images are prepared, and the workers may lack it.
    chosen, _ = chosen_preprocessing(opened, options, stacklevel=3)
    return Shipped(opened._origin.portable(), opened.aliases), chosen


def worker_options(options: dict[str, Any]) -> dict[str, Any]:
    """The options of an extractor in a worker.

    Batches are padded to a fixed size, so that rows have the same bits as those of a single process. There is a worker
    for each processor, so a worker takes the threads of one.
    """
    given = {"streams": 1, "loader_threads": 1, **options}
    return {**given, "pad_batches": True, "on_error": "skip"}


_extractors: dict[str, Extractor] = {}


def extractor(model: Portable, options: dict[str, Any]) -> Extractor:
    """This process' extractor of that model and options. It is opened once and serves all tasks of the worker."""
    key = f"{_identity(model)} {sorted(options.items())!r}"
    if key not in _extractors:
        opened = reopened(*model) if isinstance(model, Shipped) else Model(model)
        _extractors[key] = Extractor(opened, **worker_options(options))
    return _extractors[key]


def _identity(model: Portable) -> str:
    graph = model.origin.graph if isinstance(model, Shipped) else model
    choices = pickle.dumps((model.origin.options, model.aliases)) if isinstance(model, Shipped) else b""
    parts = (graph if isinstance(graph, bytes) else graph.encode(), choices)
    return " ".join(hashlib.sha256(part).hexdigest() for part in parts)


def features(
    model: Portable, options: dict[str, Any], images: Sequence[Any]
) -> tuple[NDArray[numpy.float32], NDArray[numpy.int32], list[str | None]]:
    """The features float32 [n, F], which are NaN where an image failed, the statuses int32 [n], and the reasons.

    Args:
        images: as in `fne.Extractor.extract`
    """
    extraction = extractor(model, options).extract(list(images))
    return extraction.features, extraction.statuses, [extraction.reasons.get(i) for i in range(len(images))]


def statistics_of(parts: Iterable[tuple[NDArray[numpy.float32], NDArray[Any]]]) -> bytes | None:
    """The saved statistics of the good images' rows; None where there are no parts. A part is (rows, statuses)."""
    result: Statistics | None = None
    for rows, statuses in parts:
        result = result or Statistics(rows.shape[1])
        result.update(rows[numpy.asarray(statuses) == OK])
    return None if result is None else result.to_bytes()


def merged(parts: Iterable[bytes]) -> bytes:
    """Saved statistics, merged. The bytes do not depend on their order or grouping."""
    result: Statistics | None = None
    for part in parts:
        other = Statistics.from_bytes(bytes(part))
        result = other if result is None else result.merge(other)
    if result is None:
        raise InvalidArgumentError("there are no rows to compute statistics of")
    return result.to_bytes()


class Coder:
    """Makes codes with saved statistics."""

    def __init__(self, saved: bytes, lower: float, upper: float) -> None:
        statistics = Statistics.from_bytes(saved)
        self._mean, self._std = statistics.mean(), statistics.std()
        self._lower, self._upper = lower, upper

    def __call__(self, rows: NDArray[numpy.float32], statuses: NDArray[Any]) -> NDArray[numpy.int8]:
        """The codes, int8 [n, F]. They are -128 where an image failed."""
        good = numpy.asarray(statuses) == OK
        codes = numpy.full(rows.shape, SKIPPED_CODE, numpy.int8)
        codes[good] = ternarize(rows[good], self._mean, self._std, lower=self._lower, upper=self._upper)
        return codes

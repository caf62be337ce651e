"""The extractors of a worker's process, and what they say of the images of a batch."""

from __future__ import annotations

import functools
import gc
import hashlib
import importlib.util
import json
import os
import pickle
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy
import pyarrow
from numpy.typing import NDArray

from fne import _pillow
from fne._arguments import as_path
from fne._cluster.column import Refused
from fne._cluster.parts import Coder
from fne._extractor import Extractor
from fne._ffi import OK
from fne._model import Model, as_model
from fne._model_source import named
from fne._outcome import Outcome
from fne._preprocessing_choice import chosen_preprocessing, warn_of
from fne.errors import InvalidArgumentError, from_status

#: The rows that a worker computes at a time. The last batch of a task is padded, and a task of Ray costs 30 ms, so
#: fewer are slow.
_ROWS_AT_ONCE = 128
#: The images of a usual batch.
_BATCH = 16
#: A run ends where more than half of a worker's first images fail for one reason; this many images are the first.
WATCHED = 1000
#: The extractors, and the runs that are watched, that a process keeps.
_KEPT = 4
_LONGEST_REASON = 300


class Plan(NamedTuple):
    """What travels to the workers.

    model: a pickled `fne.Model`, a call that gives it, or the path of one
    file: the path that the model is read from; None: the model travels itself
    options: those of an extractor
    run: tells this run from others, where its images are watched; None: they are not
    key: tells this model and these options from others
    """

    model: bytes | str | Callable[[], bytes]
    file: str | None
    options: dict[str, Any]
    run: str | None
    key: str

    @property
    def rows_per_image(self) -> int:
        """The rows of an image: 1, or 10 with ten crops."""
        return int(self.options.get("crops", 1))

    @property
    def images_at_once(self) -> int:
        """The images that a worker embeds at a time."""
        return max(_BATCH, _ROWS_AT_ONCE // self.rows_per_image)

    @property
    def axes(self) -> tuple[int, ...]:
        """The axes of an image's values before the features: (10,) with ten crops, else none."""
        return (self.rows_per_image,) if self.rows_per_image > 1 else ()


class Found(NamedTuple):
    """What came of the images of a batch.

    values: one item per image, or None for a bad one
    statuses: int32 [n]: 0, or the number of the error in fne.h
    reasons: one for each image; empty where it is good
    engine: what the last bits depend on, as a line of JSON
    """

    values: NDArray[Any]
    statuses: NDArray[numpy.int32]
    reasons: list[str]
    engine: str


def plan(model: Any, options: dict[str, Any], stop_on_failures: bool) -> Plan:
    """The plan of a run.

    A model that has a path travels as the path, and all workers must be able to read it. Others travel themselves: a
    PyTorch module and a Keras model as the graph that is made of them here.

    Raises:
        InvalidArgumentError: an option is decided by the workers
        FNEError: the model cannot be opened
    """
    for name in ("pad_batches", "on_error"):
        if name in options:
            raise InvalidArgumentError(f"{name} is not for workers: batches are padded, and bad images are skipped")
    run = os.urandom(8).hex() if stop_on_failures else None
    if isinstance(model, (str, os.PathLike)) and named(model) is model and not os.path.exists(model):
        path = str(as_path(model).absolute())  # the workers may have what this machine lacks
        return _plan(path, path, dict(options), run)
    opened = as_model(model, options.get("size"))
    graph = opened._origin.portable().graph
    # What stands beside the file here says how images are prepared, and the workers may lack it.
    choice = chosen_preprocessing(opened, options)
    warn_of(choice.notes, stacklevel=3)
    return _plan(pickle.dumps(opened), graph if isinstance(graph, str) else None, choice.options, run)


def _plan(model: bytes | str, file: str | None, options: dict[str, Any], run: str | None) -> Plan:
    state = model if isinstance(model, bytes) else model.encode()
    key = hashlib.sha256(state + pickle.dumps(sorted(options.items()))).hexdigest()
    return Plan(model, file, options, run, key)


def worker_options(options: dict[str, Any]) -> dict[str, Any]:
    """The options of an extractor in a worker.

    Batches are padded to a fixed size, so that rows have the same bits as those of a single process. There is a worker
    for each processor, so a worker takes the threads of one.
    """
    given = {"streams": 1, "loader_threads": 1, **options}
    return {**given, "pad_batches": True, "on_error": "skip"}


class _Opened(NamedTuple):
    extractor: Extractor
    engine: str


_extractors: OrderedDict[str, _Opened] = OrderedDict()


def _opened(plan: Plan) -> _Opened:
    """This process' extractor of a plan. It is opened once, and serves all tasks of the worker.

    A file that was replaced since is another model.
    """
    key = plan.key + identity(plan.file)
    if key not in _extractors:
        state = plan.model() if callable(plan.model) else plan.model
        model = pickle.loads(state) if isinstance(state, bytes) else Model(state)
        extractor = Extractor(model, **worker_options(plan.options))
        _extractors[key] = _Opened(extractor, _description(model, extractor))
        while len(_extractors) > _KEPT:
            _extractors.popitem(last=False)
    _extractors.move_to_end(key)
    return _extractors[key]


@functools.cache
def settle() -> None:
    """Leaves what this process holds by now out of Python's searches for garbage. Only its first call does anything.

    Spark searches after each task. That took 20 to 30 ms of the processor, more than the statistics of a partition.
    """
    gc.collect()
    gc.freeze()


def identity(file: str | None) -> str:
    """What changes with a file. A missing one has none: opening it says more."""
    try:
        facts = None if file is None else os.stat(file)
    except OSError:
        return ""
    return "" if facts is None else f" {facts.st_ino} {facts.st_size} {facts.st_mtime_ns}"


def _description(model: Model, extractor: Extractor) -> str:
    """What a row's last bits depend on in this worker, as a line of JSON."""
    facts = {
        **extractor.engine_facts,
        "model": model.sha256()[:16],
        "pillow": _pillow.installed(),
        "pillow_heif": importlib.util.find_spec("pillow_heif") is not None,
    }
    return json.dumps(facts, sort_keys=True)


def features(plan: Plan, images: Sequence[Any]) -> Found:
    """The features of images, float32 [n * rows per image, F]. The rows of bad images are NaN.

    Args:
        images: what `images_of` gave
    """

    def extract(extractor: Extractor, good: list[Any]) -> tuple[NDArray[Any], Outcome]:
        extraction = extractor.extract(good)
        return extraction.features, Outcome(extraction.statuses, extraction.reasons)

    return _found(plan, images, extract, lambda count: numpy.empty((0, count), numpy.float32), numpy.nan)


def packed(plan: Plan, images: Sequence[Any], coder: Coder) -> Found:
    """The packed codes of images, uint64 [n * rows per image, 2, words], as `fne.PackedCodes` has them."""

    def embed(extractor: Extractor, good: list[Any]) -> tuple[NDArray[Any], Outcome]:
        codes, outcome = extractor.embed_packed(good, coder.mean, coder.std, lower=coder.lower, upper=coder.upper)
        return codes.words, outcome

    return _found(plan, images, embed, lambda count: numpy.empty((0, 2, -(-count // 64)), numpy.uint64), 0)


def packed_column(words: NDArray[numpy.uint64], statuses: NDArray[Any]) -> Any:
    """Packed codes as a column of bytes, little-endian words. It is null where an image failed."""
    rows = words.astype("<u8", copy=False).reshape(len(statuses), -1)
    data = [row.tobytes() if status == OK else None for row, status in zip(rows, statuses, strict=True)]
    return pyarrow.array(data, pyarrow.binary())


def columns_of(found: Found) -> list[Any]:
    """The columns "status", "reason" and "engine"."""
    engines = pyarrow.array([found.engine] * len(found.statuses), pyarrow.string())
    return [pyarrow.array(found.statuses), pyarrow.array(found.reasons, pyarrow.string()), engines]


def _found(
    plan: Plan,
    images: Sequence[Any],
    compute: Callable[[Extractor, list[Any]], tuple[NDArray[Any], Outcome]],
    nothing: Callable[[int], NDArray[Any]],
    filler: float,
) -> Found:
    """What comes of images.

    Args:
        compute: gives the values of images, and what is to be said of them
        nothing: gives the values of no images, from the number of features
        filler: the value of a bad image's row
    """
    extractor, engine = _opened(plan)
    good = [number for number, image in enumerate(images) if not isinstance(image, Refused)]
    statuses = numpy.full(len(images), OK, numpy.int32)
    reasons = [""] * len(images)
    for number, image in enumerate(images):
        if isinstance(image, Refused):
            statuses[number], reasons[number] = image
    values = nothing(extractor.feature_count)
    if good:
        values, outcome = compute(extractor, [images[number] for number in good])
        statuses[good] = outcome.statuses
        for place, reason in outcome.reasons.items():
            reasons[good[place]] = _short(reason)
    if len(good) < len(images):
        rows = plan.rows_per_image
        every = numpy.full((len(images), rows, *values.shape[1:]), filler, values.dtype)
        every[good] = values.reshape(len(good), rows, *values.shape[1:])
        values = every.reshape(-1, *values.shape[1:])
    if plan.run is not None:
        _watch(plan.run, statuses, reasons)
    return Found(values, statuses, reasons, engine)


def _short(reason: str) -> str:
    half = _LONGEST_REASON // 2 - 3
    return reason if len(reason) <= _LONGEST_REASON else f"{reason[:half]} ... {reason[-half:]}"


class _Watched:
    """The first images of a run in this process, by the number of their error."""

    def __init__(self) -> None:
        self.seen, self.failed = 0, Counter[int]()


_watched: OrderedDict[str, _Watched] = OrderedDict()


def _watch(run: str, statuses: NDArray[numpy.int32], reasons: Sequence[str]) -> None:
    """Ends a run whose images fail for one reason.

    Raises:
        FNEError: the error of that reason
    """
    watched = _watched.setdefault(run, _Watched())
    while len(_watched) > _KEPT:
        _watched.popitem(last=False)
    if watched.seen >= WATCHED:
        return
    watched.seen += len(statuses)
    watched.failed.update(statuses[statuses != OK].tolist())
    status, count = max(watched.failed.items(), key=lambda item: item[1], default=(OK, 0))
    if 2 * count > WATCHED:
        last = max(number for number, found in enumerate(statuses) if found == status)
        raise from_status(
            status,
            f"{count} of the first {watched.seen} images of a worker failed for one reason, so the run ends. The last "
            f"reason is: {reasons[last]}. Look at the column and the options, or go on with stop_on_failures=False",
        )

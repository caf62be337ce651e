"""Jobs: the embedding of a data set into a folder, and what can be done with it afterwards."""

from __future__ import annotations

import ctypes
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy
from numpy.typing import NDArray

from fne import _ffi
from fne._backend import load_backend
from fne._embedding import Discretization, ternarize
from fne._codes import PackedCodes
from fne._extractor import SKIPPED_CODE, Extractor, Layer
from fne._ffi import check, lib
from fne._images import ImageOptions
from fne._interrupts import Interrupts
from fne._model import Model
from fne._options import as_count, extractor_options
from fne._selection import select
from fne._progress import JobProgressLine
from fne._statistics import Statistics
from fne.errors import error

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from fne._options import ExtractorOptions

_PHASES = {0: "embedding", 1: "statistics", 2: "codes", 3: "finishing"}
_STATES = {0: "running", 1: "features", 2: "finished"}
_FORMATS = {"int8": 1, "packed": 2}
_NO_CODES = -1

JobProgress = Callable[[str, int, int], Any]
Images = slice | Sequence[int] | NDArray[Any] | None


def embed_dataset(
    source: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    model: Any,
    output: str | os.PathLike[str],
    *,
    root: str | os.PathLike[str] | None = None,
    shard: tuple[int, int] = (0, 1),
    codes: str | Sequence[str] | None = "int8",
    statistics: Statistics | str | os.PathLike[str] | None = None,
    keep_features: bool = True,
    lower: float = -0.25,
    upper: float = 0.15,
    rules: str = "documented",
    on_error: str = "skip",
    accept_other_engine: bool = False,
    checkpoint_seconds: int = 15,
    progress: bool | JobProgress = False,
    **extractor: Unpack[ExtractorOptions],
) -> Job:
    """Embeds a data set into a folder: pooled float32 features, exact statistics, ternary codes, names and statuses.

    Interrupted at any moment, also by SIGKILL or a full disk, the same call goes on where it stopped and ends with the same
    bytes as if nothing had happened; on a finished job it returns at once. The folder is documented in docs/jobs.md.

    Args:
        source: a folder, whose JPEG and PNG files are taken in the order of their paths' bytes; a file that lists names,
            one a line or each ended by a zero byte; or a sequence of paths
        model: a `Model`, or what makes one (a path, bytes, a GraphDef, a Keras model, a SavedModel's folder)
        output: the job's folder; made where it does not exist
        root: what relative names in a list or a sequence are relative to; None: the list file's folder, the working directory
        shard: (index, count): embed one of count parts of the images, whole batches each; `merge_shards` puts them together
        codes: "int8", "packed" (two bits a feature), or both; None: none yet
        statistics: those that codes are made with, such as a training set's: `Statistics`, or a file of saved ones; None: the
            job's own
        keep_features: False keeps codes only, which needs statistics
        lower, upper, rules: as in `fne.ternarize`
        on_error: "skip": bad images are marked, see `Job.failures`; "raise": the first one ends the run
        accept_other_engine: go on with another TensorFlow or on another kind of processor than the job was begun with, whose
            rows may differ in their last bits; the manifest then names both
        checkpoint_seconds: what a killed job loses at most
        progress: True shows a line on a terminal; a function is called with (phase, done, total)
        extractor: the options of `fne.Extractor`: input_tensor, layers, size, batch_size, precision, ...

    Raises:
        JobMismatchError: the folder holds a job of another model, other options or other images; the message says what differs
        JobBusyError: another process runs it
        FNEError: what `fne.Extractor` raises; a full disk is a FileError

    >>> job = fne.embed_dataset("photographs", fne.zoo.efficientnet_lite0(), "job")  # doctest: +SKIP
    >>> job.codes().shape  # doctest: +SKIP
    (510, 21008)
    """
    if on_error not in ("skip", "raise"):
        raise ValueError(f"on_error is {on_error!r}; it must be one of 'skip', 'raise'")
    options = _ffi.defaults(_ffi.JobOptions, lib.fne_job_options_init)
    if isinstance(source, (str, os.PathLike)):
        options.source = _ffi.path(source)
    else:
        paths = [_ffi.path(path) for path in source]
        options.paths, options.path_count = _ffi.strings(paths), len(paths)
    if root is not None:
        options.root = _ffi.path(root)
    index, count = shard
    options.shard_index, options.shard_count = as_count("shard", index, least=0), as_count("shard", count)
    options.drop_features = int(not keep_features)
    options.fail_on_bad_image = int(on_error == "raise")
    options.accept_other_engine = int(accept_other_engine)
    options.checkpoint_seconds = as_count("checkpoint_seconds", checkpoint_seconds)
    if not isinstance(model, Model):
        model = Model(model)
    if "layers" in extractor:
        extractor["layers"] = model.resolved(extractor["layers"])
    struct = extractor_options(**extractor)
    load_backend()
    with _given(options, codes, statistics, lower, upper, rules):
        _run(lib.fne_job_open, output, model._handle(), ctypes.byref(struct), options, progress)
    return Job(output)


def merge_shards(
    shards: Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    codes: str | Sequence[str] | None = "int8",
    statistics: Statistics | str | os.PathLike[str] | None = None,
    keep_features: bool = True,
    lower: float = -0.25,
    upper: float = 0.15,
    rules: str = "documented",
    progress: bool | JobProgress = False,
) -> Job:
    """Puts finished shards together, in any order: the same bytes as one job over all the images. Restartable as that is.

    Args:
        shards: the folders of all shards
        codes, statistics, keep_features, lower, upper, rules, progress: as in `embed_dataset`

    Raises:
        JobMismatchError: shards are missing, unfinished, or differ
    """
    options = _ffi.defaults(_ffi.JobOptions, lib.fne_job_options_init)
    options.drop_features = int(not keep_features)
    folders = [_ffi.path(shard) for shard in shards]
    with _given(options, codes, statistics, lower, upper, rules):
        _run(lib.fne_job_open_merge, output, _ffi.strings(folders), len(folders), options, progress)
    return Job(output)


@contextmanager
def _given(
    options: Any,
    codes: str | Sequence[str] | None,
    statistics: Statistics | str | os.PathLike[str] | None,
    lower: float,
    upper: float,
    rules: str,
) -> Iterator[None]:
    """Sets what all jobs have in common; a Statistics object is a file as long as the job runs."""
    formats = [codes] if isinstance(codes, str) else list(codes or [])
    for name in formats:
        if name not in _FORMATS:
            raise ValueError(f"codes is {name!r}; it must be one of {', '.join(map(repr, _FORMATS))}, or None")
    options.codes = sum(_FORMATS[name] for name in set(formats)) or _NO_CODES
    ternarize_options = Discretization((), (), lower, upper, rules).options
    options.ternarize_options = ctypes.pointer(ternarize_options)
    if not isinstance(statistics, Statistics):
        options.statistics = None if statistics is None else _ffi.path(statistics)
        yield
        return
    import tempfile  # slow to import, and seldom needed

    with tempfile.NamedTemporaryFile(suffix=".fne") as file:
        file.write(statistics.to_bytes())
        file.flush()
        options.statistics = _ffi.path(file.name)
        yield


def _run(open_job: Any, output: str | os.PathLike[str], first: Any, second: Any, options: Any, progress: Any) -> None:
    """Opens a job and runs it to its end."""
    handle = _ffi.open_handle(open_job, lib.fne_job_close, _ffi.path(output), first, second, ctypes.byref(options))
    show = JobProgressLine() if progress is True else progress or None
    raised: list[BaseException] = []
    interrupts = Interrupts()

    # Called also without a progress function: Python handles Ctrl-C only while it runs itself.
    def on_progress(_user: Any, phase: int, done: int, total: int) -> int:
        try:
            interrupts.handle()
            if show is not None:
                show(_PHASES[phase], done, total)
            return 0
        except BaseException as failure:  # must not cross C; raised again below
            raised.append(failure)
            return 1

    reports = _ffi.sized(_ffi.JobReports)
    reports.progress = _ffi.JOB_PROGRESS(on_progress)
    try:
        with interrupts:
            status = lib.fne_job_run(handle(), ctypes.byref(reports))
        if raised:
            raise raised[0]
        check(status)
    finally:
        handle.close()


class Job:
    """A job's folder, to read. What has the size of the data set is memory-mapped.

    Args:
        folder: what `embed_dataset`, `merge_shards` or `fne embed` wrote to

    Attributes:
        folder: as a `Path`
        manifest: manifest.json, a dictionary

    Raises:
        FileError, SavedDataError: there is no job, or a damaged one
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self._info = _ffi.sized(_ffi.ProgressInfo)
        handle = _ffi.open_handle(lib.fne_job_open, lib.fne_job_close, _ffi.path(folder), None, None, None)
        try:
            check(lib.fne_job_progress_info(handle(), ctypes.byref(self._info)))
        finally:
            handle.close()
        self.manifest: dict[str, Any] = json.loads((self.folder / "manifest.json").read_bytes())

    def __repr__(self) -> str:
        return f"<fne.Job {str(self.folder)!r}: {self.state}, {len(self)} images, {self.feature_count} features>"

    def __len__(self) -> int:
        """The number of images."""
        return int(self._info.image_count)

    @property
    def state(self) -> str:
        """ "running": not finished; "features": features and statistics are there, codes are not yet; "finished"."""
        return _STATES[self._info.state]

    @property
    def images_done(self) -> int:
        """Images that are embedded, or failed, and safe on the disk."""
        return int(self._info.images_done)

    @property
    def feature_count(self) -> int:
        """F."""
        return int(self._info.feature_count)

    @property
    def rows_per_image(self) -> int:
        """1, or 10 with ten crops."""
        return int(self._info.rows_per_image)

    @cached_property
    def layers(self) -> list[Layer]:
        """The layers in the order of the columns."""
        return [
            Layer(
                layer["name"],
                layer["kind"],
                layer["rank"],
                slice(layer["first_feature"], layer["first_feature"] + layer["features"]),
            )
            for layer in self.manifest["settings"]["layers"]
        ]

    @cached_property
    def names(self) -> list[str]:
        """The images' names, relative to the source. Those that are not UTF-8 as `os.fsdecode` gives them."""
        listed = (self.folder / "images.list").read_bytes()
        return [os.fsdecode(name) for name in listed.split(b"\0")[:-1]]

    @property
    def statuses(self) -> NDArray[numpy.int32]:
        """int32 [N]: 0 where the image is embedded, else the number of the error in fne.h."""
        return self._load("status.npy")

    @property
    def ok(self) -> NDArray[numpy.bool_]:
        """bool [N]: which images are embedded."""
        return numpy.asarray(numpy.asarray(self.statuses) == 0)

    @cached_property
    def failures(self) -> dict[int, str]:
        """For each image that could not be embedded why, by its number."""
        bad = set(numpy.flatnonzero(self.statuses).tolist())
        if not bad:
            return {}
        with open(self.folder / "images.jsonl", "rb") as lines:
            return {image: json.loads(line)["reason"] for image, line in enumerate(lines) if image in bad}

    # ---- what was computed

    def features(self, layers: str | Sequence[str] | None = None, images: Images = None) -> NDArray[numpy.float32]:
        """Pooled float32 features [rows, F'], memory-mapped; rows of images that failed are NaN.

        Args:
            layers: names, globs ("block4_*"), "all", "last:25%", or a list of these; None: all
            images: a slice, numbers or a mask of the images; None: all. With ten crops the ten rows of each.

        Layers and images that lie together are a view of the file, others are copied.
        """
        return self._part("features.npy", layers, images)

    def codes(self, layers: str | Sequence[str] | None = None, images: Images = None) -> NDArray[numpy.int8]:
        """The job's codes, int8 [rows, F'] of -1, 0, 1, memory-mapped; rows of images that failed are `SKIPPED_CODE` (-128).

        Args: as in `features`
        """
        return self._part("codes.npy", layers, images)

    def packed_codes(self) -> PackedCodes:
        """The job's codes with two bits a feature, memory-mapped; packed now where the job keeps int8 codes only. 0 for images that
        failed."""
        if (self.folder / "codes_packed.npy").exists() or not (self.folder / "codes.npy").exists():
            return PackedCodes(self._load("codes_packed.npy"), self.feature_count, self.layers)
        return PackedCodes.pack(self.codes(), self.layers)

    def extractor(self, model: Any, **options: Any) -> Extractor:
        """An extractor that makes rows as the job's, for further images.

        Args:
            model: the job's; another one is refused
            options: such as on_error, streams, image_options

        Raises:
            JobMismatchError: the model is another one
        """
        settings = self.manifest["settings"]
        source, limits = settings["input"], settings["image_options"]
        model = model if isinstance(model, Model) else Model(model)
        if model.sha256() != settings["model"]["sha256"]:
            raise error(21, f"the model is not the one that the job in '{self.folder}' was made with")
        given = {
            "input_tensor": source["tensor"],
            "layers": [layer.name for layer in self.layers],
            "size": (source["height"], source["width"]),
            "resize_mode": source["resize_mode"],
            "resize_size": (source["resize_height"], source["resize_width"]),
            "interpolation": source["interpolation"],
            "crops": source["crops"],
            "channel_order": source["channel_order"],
            "mean": source["mean"],
            "scale": source["scale"],
            "image_options": ImageOptions(**limits),
            "precision": settings["precision"],
            "float32_layers": settings["float32_layers"],
            "batch_size": settings["batch_size"],
            "pad_batches": True,
            **options,
        }
        return Extractor(model, **given)

    @property
    def stats(self) -> NDArray[numpy.float64]:
        """Mean and standard deviation, float64 [2, F], of the images that could be embedded."""
        return self._load("stats.npy", mapped=False)

    def statistics(self, images: Images = None) -> Statistics:
        """The exact statistics of all images, or of some of them, such as a training split.

        Args:
            images: as in `features`. Those that failed do not count.
        """
        if images is None:
            return Statistics.from_bytes((self.folder / "statistics.fne").read_bytes())
        result = Statistics(self.feature_count)
        for rows in self._chunks(self._numbers(images)[self.ok[self._numbers(images)]], None):
            result.update(rows)
        return result

    def ternarize(
        self,
        statistics: Statistics | None = None,
        *,
        layers: str | Sequence[str] | None = None,
        images: Images = None,
        lower: float = -0.25,
        upper: float = 0.15,
        rules: str = "documented",
        out: NDArray[numpy.int8] | None = None,
    ) -> NDArray[numpy.int8]:
        """Codes anew: of other thresholds, by other statistics, of some layers and images. The network is not run.

        Args:
            statistics: of all F features; None: the job's own
            layers, images: as in `features`
            lower, upper, rules: as in `fne.ternarize`
            out: int8 [rows, F'], C-contiguous, that receives the codes, such as a `numpy.memmap`; None: a new array
        """
        if statistics is None:
            mean, std = self.stats
        else:
            mean, std = statistics.mean(), statistics.std()
        columns = self.columns(layers)
        numbers = self._numbers(images)
        result: NDArray[numpy.int8] = _ffi.output(
            out, (len(numbers) * self.rows_per_image, len(mean[columns])), numpy.int8
        )
        ok = numpy.repeat(self.ok[numbers], self.rows_per_image)
        done = 0
        for rows in self._chunks(numbers, columns):
            part = slice(done, done + len(rows))
            good = ok[part]
            result[part][~good] = SKIPPED_CODE
            result[part][good] = ternarize(
                rows[good], mean[columns], std[columns], lower=lower, upper=upper, rules=rules
            )
            done += len(rows)
        return result

    def columns(self, layers: str | Sequence[str] | None) -> slice | NDArray[numpy.int64]:
        """The columns of layers, as a slice where they lie together.

        Args:
            layers: names, globs, "all", "last:25%", or a list of these; None: all

        Raises:
            UnknownTensorError: no layer of that name
        """
        chosen = select(layers, [layer.name for layer in self.layers])
        spans = [self.layers[number].features for number in chosen]
        if all(a.stop == b.start for a, b in zip(spans, spans[1:], strict=False)):
            return slice(spans[0].start, spans[-1].stop)
        return numpy.concatenate([numpy.arange(span.start, span.stop) for span in spans])

    # ---- the parts

    def _numbers(self, images: Images) -> NDArray[numpy.int64]:
        every = numpy.arange(len(self))
        return every if images is None else every[images if isinstance(images, slice) else numpy.asarray(images)]

    def _rows(self, images: Images) -> Any:
        """What indexes the rows of images."""
        if images is None:
            return slice(None)
        if isinstance(images, slice):
            first, stop, step = images.indices(len(self))
            if step == 1:
                return slice(first * self.rows_per_image, max(first, stop) * self.rows_per_image)
        numbers = self._numbers(images)
        return (numbers[:, None] * self.rows_per_image + numpy.arange(self.rows_per_image)).ravel()

    def _part(self, name: str, layers: str | Sequence[str] | None, images: Images) -> NDArray[Any]:
        matrix = self._load(name)
        columns, rows = self.columns(layers), self._rows(images)
        together = isinstance(columns, slice) or isinstance(rows, slice)
        part: NDArray[Any] = matrix[rows, columns] if together else matrix[rows][:, columns]
        return part

    def _chunks(
        self, numbers: NDArray[numpy.int64], columns: slice | NDArray[numpy.int64] | None
    ) -> Iterator[NDArray[numpy.float32]]:
        """The features of images, some megabytes at a time."""
        features = self._load("features.npy")
        step = max(1, (16 << 20) // (4 * self.feature_count * self.rows_per_image))
        for first in range(0, len(numbers), step):
            rows = features[self._rows(numbers[first : first + step])]
            yield rows if columns is None else numpy.ascontiguousarray(rows[:, columns])

    def _load(self, name: str, mapped: bool = True) -> NDArray[Any]:
        path = self.folder / name
        if not path.exists():
            raise error(4, f"'{path}' does not exist: the job is in the state '{self.state}', {self._kept()}")
        matrix: NDArray[Any] = numpy.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
        return matrix

    def _kept(self) -> str:
        formats = (self.manifest["codes"] or {}).get("formats", [])
        kept = (["features"] if self.manifest["keeps_features"] else []) + [f"{name} codes" for name in formats]
        return "and keeps " + " and ".join(kept or ["nothing"])

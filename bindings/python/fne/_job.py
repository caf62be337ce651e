"""Jobs: the embedding of a data set into a folder, and what can be read from the folder afterwards."""

from __future__ import annotations

import ctypes
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy
from numpy.typing import NDArray

from fne import _ffi
from fne._arguments import as_array, as_count, as_list, as_path, choice, listed, path_bytes
from fne._backend import ENGINES, load_backend
from fne._codes import PackedCodes
from fne._embedding import SKIPPED_CODE, Discretization, ternarize
from fne._extractor import ON_ERROR, Extractor
from fne._ffi import OK, check, lib
from fne._images import ImageOptions
from fne._intake import Intake, intake_of
from fne._interrupts import Callbacks
from fne._kept_layers import selected
from fne._kinds import as_paths
from fne._layer import JSON as LAYER_JSON
from fne._layer import Layer, column_numbers, from_json, side_by_side, span
from fne._model import Model, as_model
from fne._options import extractor_options
from fne._places import Places, recalled, set_places
from fne._preprocessing_choice import PRESET_OPTIONS, chosen_preprocessing, warn_of
from fne._progress import JobProgressLine
from fne._saved import content, exists, file_errors, mapped_array, parsed
from fne._statistics import Statistics
from fne._text import printable
from fne._thresholds import LOWER, UPPER
from fne.errors import (
    FewImagesWarning,
    FileError,
    InvalidArgumentError,
    JobMismatchError,
    JobWarning,
    MissingFileError,
    SavedDataError,
    UnknownTensorError,
)

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from fne._options import ExtractorOptions

_PHASES = {0: "embedding", 1: "statistics", 2: "codes", 3: "finishing", 4: "verifying"}
_STATES = {0: "running", 1: "features", 2: "finished"}
_FORMATS = {"int8": 1, "packed": 2}
_NO_CODES = -1
_PRESET = (*PRESET_OPTIONS, "resize_size")

#: The most bytes that a reader compares with their checksums without being asked.
_VERIFIED_UNASKED = 1 << 30
_NUMPY_HEADER = 128

#: What the package reads of a manifest. The library checks the rest.
_MANIFEST = {
    "keeps_features": bool,
    "images": {"sha256": str},
    "codes": (None, {"lower": float, "upper": float, "rules": str, "statistics": str, "formats": [str]}),
    "files": {},
    "engines": [
        (
            {"onnxruntime": str, "device": str, "processor": str},
            {"tensorflow": str, "device": str, "processor": str},
        )
    ],
    "settings": {
        "model": {"sha256": str, "bytes": int},
        "input": {
            "tensor": str,
            "height": int,
            "width": int,
            "crops": int,
            "resize_mode": str,
            "resize_height": int,
            "resize_width": int,
            "interpolation": str,
            "channels": int,
            "channel_order": str,
            "mean": [float],
            "scale": [float],
        },
        "image_options": {
            "max_bytes": int,
            "max_pixels": int,
            "max_side": int,
            "max_expansion": int,
            "max_chunk_bytes": int,
            "max_scans": int,
            "tolerate_truncation": bool,
        },
        "precision": str,
        "float32_layers": (None, int),
        "batch_size": int,
        "layers": [LAYER_JSON],
    },
}

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
    lower: float = LOWER,
    upper: float = UPPER,
    rules: str = "documented",
    on_error: str = "skip",
    retry_failed: bool = False,
    update: bool = False,
    keep_statistics: bool = False,
    embed_unrecorded: bool = False,
    accept_other_engine: bool = False,
    allow_batch_statistics: bool = False,
    checkpoint_seconds: int = 15,
    progress: bool | JobProgress = False,
    **extractor: Unpack[ExtractorOptions],
) -> Job:
    """Embeds a data set into a folder: pooled float32 features, exact statistics, ternary codes, names and statuses.

    A job can be interrupted at any moment, also by SIGKILL or a full disk. The same call then resumes it, and the
    result has the same bytes as if nothing had happened. The call compares what is in the folder with its checksums,
    and makes again what is damaged. A `JobWarning` says so. Nothing is left to do for a finished job that is whole.
    docs/jobs.md documents the folder.

    Args:
        source: a folder, whose images are those of `fne.list_images`; a file that lists names, one per line, or each
            ended by a zero byte; or a sequence of paths. Pillow, where it is installed, reads what libfne does not.
        model: a `Model`, or what makes one (a path, bytes, a GraphDef, a Keras model, a SavedModel's folder, or
            with `size` a `torch.nn.Module`)
        output: the job's folder, which is made where it does not exist
        root: the folder that relative names are relative to; None: for a list file its folder, for a sequence the
            working directory
        shard: (index, count): embed one of count parts of the images. A part is made of whole batches, and
            `merge_shards` puts the parts together.
        codes: "int8", "packed" (two bits per feature), or both; None: none yet
        statistics: what codes are made with, such as a training set's: `Statistics`, or a file of saved ones; None: the
            job's own
        keep_features: False keeps the codes only, and needs statistics
        lower, upper, rules: as in `fne.ternarize`
        on_error: "skip" marks bad images, which `Job.failures` then names, and leaves folders out that cannot be read,
            with a `JobWarning`. "raise" ends the run at the first of either. Where the disk, the network or the memory
            fails, the run ends, and the same call goes on with it.
        retry_failed: try images again that could not be embedded before, also in a finished job
        update: bring the job that the folder holds up to date with its images. New ones are appended. Those whose files
            have another size or time than when they were embedded, and those that had failed, are embedded again. Those
            that are gone are marked as failed, and `Job.removed` names them. All others are kept, and are not computed
            again. The statistics and the codes follow. `Job.intake.changes` counts. docs/jobs.md says what the
            result equals.
        keep_statistics: make the codes of the updated job with the statistics that its codes had before
        embed_unrecorded: where the job has no record of the size and the time of an image's file, embed it again with
            an update. Otherwise it is kept, with a `JobWarning`.
        accept_other_engine: resume with another version of TensorFlow or ONNX Runtime, or on another kind of processor,
            than those that the job began with. Rows may then differ in their last bits, and the manifest names both.
        allow_batch_statistics: take a network whose rows depend on the other images of their batch, as with batch
            normalization in training mode. The manifest then says so.
        checkpoint_seconds: the most work, in seconds, that a kill loses
        progress: True shows a line on a terminal. A function is called with (phase, done, total). The phases are
            "embedding" and "codes", which count images, "verifying", which counts bytes, and "statistics" and
            "finishing".
        extractor: the options of `fne.Extractor`: input_tensor, layers, size, preset, batch_size, precision, ...

    Raises:
        JobMismatchError: the folder holds a job of another model, other options or other images; the message says what
            differs
        TensorError: also where a row depends on the other images of its batch, unless allow_batch_statistics is set
        JobBusyError: another process runs the job, or an update was interrupted while it exchanged the job's files. The
            same update finishes it.
        FileSystemError: the disk or the network failed over an image, also after some seconds of further tries
        FNEError: what `fne.Extractor` raises; a full disk is a FileError

    >>> job = fne.embed_dataset("photographs", fne.zoo.efficientnet_lite0(), "job")  # doctest: +SKIP
    >>> job.codes().shape  # doctest: +SKIP
    (510, 21008)
    """
    options = _ffi.defaults(_ffi.JobOptions, lib.fne_job_options_init)
    options.fail_on_bad_image = int(choice("on_error", on_error, ON_ERROR) == ON_ERROR["raise"])
    if isinstance(source, (str, bytes, os.PathLike)):
        options.source = path_bytes(source)
    else:
        paths = [path_bytes(path) for path in as_paths("source", as_list("source", source))]
        options.paths, options.path_count = _ffi.strings(paths), len(paths)
    if root is not None:
        options.root = path_bytes(root)
    index, count = shard
    options.shard_index, options.shard_count = as_count("shard", index, least=0), as_count("shard", count)
    options.drop_features = int(not keep_features)
    options.retry_failed = int(retry_failed)
    if not update and (keep_statistics or embed_unrecorded):
        raise InvalidArgumentError("keep_statistics and embed_unrecorded need update=True")
    options.update = (_ffi.UPDATE_UNRECORDED if embed_unrecorded else _ffi.UPDATE) if update else 0
    options.keep_statistics = int(keep_statistics)
    options.accept_other_engine = int(accept_other_engine)
    options.allow_batch_statistics = int(allow_batch_statistics)
    options.checkpoint_seconds = as_count("checkpoint_seconds", checkpoint_seconds)
    model = as_model(model, extractor.get("size"))
    if "layers" in extractor:
        extractor["layers"] = model.resolved(extractor["layers"])
    choice_made = chosen_preprocessing(model, extractor)
    warn_of(choice_made.notes, stacklevel=2)
    struct = extractor_options(**choice_made.options)
    set_places(options, model)
    load_backend(engine=model.engine)
    with _given(options, codes, statistics, lower, upper, rules):
        intake = _run(lib.fne_job_open, output, model._handle(), ctypes.byref(struct), options, progress)
    job = Job(output)
    job.intake = intake
    _warn_of_few(job, intake.taken)
    return job


def merge_shards(
    shards: Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    codes: str | Sequence[str] | None = "int8",
    statistics: Statistics | str | os.PathLike[str] | None = None,
    keep_features: bool = True,
    lower: float = LOWER,
    upper: float = UPPER,
    rules: str = "documented",
    accept_other_engine: bool = False,
    progress: bool | JobProgress = False,
) -> Job:
    """Puts finished shards together. The result has the same bytes as one job over all the images.

    A merge that was interrupted resumes, as `embed_dataset` does.

    Args:
        shards: the folders of all shards, in any order
        output: the folder of the whole
        codes, statistics, keep_features, lower, upper, rules, progress: as in `embed_dataset`
        accept_other_engine: merge shards of different versions of TensorFlow or ONNX Runtime, or of different kinds of
            processors. Rows may then differ in their last bits, and the manifest names each engine.

    Raises:
        JobMismatchError: a shard is missing or unfinished, or the shards belong to different jobs or engines
    """
    options = _ffi.defaults(_ffi.JobOptions, lib.fne_job_options_init)
    options.drop_features = int(not keep_features)
    options.accept_other_engine = int(accept_other_engine)
    shards = as_list("shards", shards)
    folders = [path_bytes(shard) for shard in shards]
    with _given(options, codes, statistics, lower, upper, rules):
        _run(lib.fne_job_open_merge, output, _ffi.strings(folders), len(folders), options, progress)
    job = Job(output)
    _warn_of_few(job, len(job))
    return job


def _warn_of_few(job: Job, is_new: Any) -> None:
    """Warns of a new job whose own statistics, by which its codes are made, are of too few images."""
    codes = job.manifest["codes"]
    if not is_new or codes is None or codes.get("statistics", "own") != "own":
        return
    count = int(job.ok.sum())
    if count < _ffi.FEW_IMAGES:
        warnings.warn(FewImagesWarning(count), stacklevel=3)


@contextmanager
def _given(
    options: Any,
    codes: str | Sequence[str] | None,
    statistics: Statistics | str | os.PathLike[str] | None,
    lower: float,
    upper: float,
    rules: str,
) -> Iterator[None]:
    """Sets the options that all jobs have. A Statistics object lies in a file while the job runs."""
    formats = [codes] if isinstance(codes, str) else list(codes or [])
    for name in formats:
        if name not in _FORMATS:
            raise InvalidArgumentError(f"codes is {name!r}; it must be one of {listed(_FORMATS)}, or None")
    options.codes = sum(_FORMATS[name] for name in set(formats)) or _NO_CODES
    ternarize_options = Discretization((), (), lower, upper, rules).options
    options.ternarize_options = ctypes.pointer(ternarize_options)
    if not isinstance(statistics, Statistics):
        options.statistics = None if statistics is None else path_bytes(statistics)
        yield
        return
    import tempfile  # it is slow to import, and seldom needed

    with tempfile.NamedTemporaryFile(suffix=".fne") as file:
        file.write(statistics.to_bytes())
        file.flush()
        options.statistics = path_bytes(file.name)
        yield


def _run(open_job: Any, output: str | os.PathLike[str], first: Any, second: Any, options: Any, progress: Any) -> Intake:
    """Opens a job and runs it to the end. Returns what was taken, and what was left out."""
    out = ctypes.c_void_p()
    with Callbacks() as calls:
        options.listing = _ffi.LISTING(lambda _user, _found: calls.proceed())
        status = open_job(path_bytes(output), first, second, ctypes.byref(options), ctypes.byref(out))
    check(status)
    handle = _ffi.Handle(out.value, lib.fne_job_close)
    try:
        _reported(lib.fne_job_run, handle, progress, close=False)
        return intake_of(lib.fne_job_intake_info, handle)
    finally:
        handle.close()


def _reported(function: Any, handle: Any, progress: Any, close: bool = True) -> None:
    """Calls a function of the library that reports. What the reports raise is raised again.

    Args:
        close: whether the job is closed afterwards
    """
    show = JobProgressLine() if progress is True else progress or None
    calls = Callbacks()

    def report(phase: int, done: int, total: int) -> None:
        if show is not None:
            show(_PHASES[phase], done, total)

    def on_progress(_user: Any, phase: int, done: int, total: int) -> int:
        return calls.proceed(lambda: report(phase, done, total))

    def on_image_error(_user: Any, _image: int, _status: int, _message: bytes) -> None:
        if isinstance(show, JobProgressLine):
            show.failed += 1

    def on_notice(_user: Any, message: bytes) -> None:
        # A filter may make an error of the warning.
        calls.attempt(lambda: warnings.warn(JobWarning(printable(_ffi.decoded(message))), stacklevel=7))

    reports = _ffi.sized(_ffi.JobReports)
    reports.progress = _ffi.JOB_PROGRESS(on_progress)
    reports.image_error = _ffi.IMAGE_ERROR(on_image_error)
    reports.notice = _ffi.JOB_NOTICE(on_notice)
    try:
        with calls:
            status = function(handle(), ctypes.byref(reports))
        check(status)
    finally:
        if close:
            handle.close()


class Job:
    """A job's folder, for reading. Arrays that grow with the data set are memory-mapped.

    A copy or a pickle holds the folder's path, and opens the folder again.

    The sizes and the headers of all files are compared with the manifest when the job is opened. What is read is
    compared with its checksums when it is read first.

    Args:
        folder: the folder that `embed_dataset`, `merge_shards` or `fne embed` wrote
        verify: whether what is read is compared with its checksums, which takes about as long as reading it. None: up
            to 1 GiB at once, so that opening a larger matrix takes no time; see `Job.verify`.

    Attributes:
        folder: the same as a `Path`
        manifest: the contents of manifest.json, a dictionary
        intake: of a job that `embed_dataset` returned, a `fne.Intake`: what that run took, and what it left out. Empty
            for a job that was only opened.

    Raises:
        FileError: the folder holds no job
        SavedDataError: the job is damaged
    """

    def __init__(self, folder: str | os.PathLike[str], *, verify: bool | None = None) -> None:
        self.folder = as_path(folder)
        self.intake = Intake()
        self._verify = verify
        self._limit = {True: 1 << 62, False: -1, None: _VERIFIED_UNASKED}[verify]
        self._verified: dict[str, set[int]] = {}
        self._info = _ffi.sized(_ffi.ProgressInfo)
        handle = self._opened()
        try:
            check(lib.fne_job_progress_info(handle(), ctypes.byref(self._info)))
        finally:
            handle.close()
        path = self.folder / "manifest.json"
        self.manifest: dict[str, Any] = parsed(content(path), _MANIFEST, f"'{path}'")
        if not self.manifest["engines"] and self.state != "running":
            raise SavedDataError(f"'{path}' is damaged: engines is empty")

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(type(self), verify=self._verify), (self.folder.absolute(),)

    def __repr__(self) -> str:
        return f"<fne.Job {str(self.folder)!r}: {self.state}, {len(self)} images, {self.feature_count} features>"

    def __len__(self) -> int:
        """The number of images."""
        return int(self._info.image_count)

    @property
    def state(self) -> str:
        """How far the job is: "running", "features" (it has features and statistics, no codes yet) or "finished"."""
        return _STATES[self._info.state]

    @property
    def images_done(self) -> int:
        """The images that are embedded or failed, and are safe on the disk."""
        return int(self._info.images_done)

    @property
    def feature_count(self) -> int:
        """F, the number of features."""
        return int(self._info.feature_count)

    @property
    def rows_per_image(self) -> int:
        """The rows per image: 1, or 10 with ten crops."""
        return int(self._info.rows_per_image)

    @cached_property
    def layers(self) -> list[Layer]:
        """The layers in the order of the columns."""
        layers = [from_json(layer) for layer in self.manifest["settings"]["layers"]]
        if side_by_side(layers) != layers or layers[-1].features.stop != self.feature_count:
            raise SavedDataError(f"'{self.folder / 'manifest.json'}' is damaged: its layers leave gaps or overlap")
        return layers

    @cached_property
    def names(self) -> list[str]:
        """The names of the images, relative to the source, as `os.fsdecode` gives them."""
        path = self.folder / "images.list"
        self._compare("images.list")
        data = content(path)
        if self.state == "running":  # the manifest has no checksums of files yet, but that of the names
            import hashlib

            if hashlib.sha256(data).hexdigest() != self.manifest["images"]["sha256"]:
                raise SavedDataError(f"'{path}' is damaged: these are not the names that the job was begun with")
        names = [os.fsdecode(name) for name in data.split(b"\0")[:-1]]
        if len(names) != len(self):
            raise SavedDataError(
                f"'{path}' is damaged: it holds {len(names)} names, and the job has {len(self)} images"
            )
        return names

    @property
    def statuses(self) -> NDArray[numpy.int32]:
        """For each image 0 where it is embedded, else the number of the error in fne.h; int32 [N]."""
        return self._load("status.npy")

    @property
    def ok(self) -> NDArray[numpy.bool_]:
        """Which images are embedded, bool [N]."""
        return numpy.asarray(numpy.asarray(self.statuses) == OK)

    @property
    def removed(self) -> list[int]:
        """The numbers of the images that updates have removed. Their rows stay, and count as failed."""
        removed: list[int] = self.manifest["images"].get("removed", [])
        return removed

    @cached_property
    def failures(self) -> dict[int, str]:
        """For each image that could not be embedded, by its number, a sentence that says why."""
        bad = set(numpy.flatnonzero(~self.ok).tolist())
        if not bad:
            return {}
        path = self.folder / "images.jsonl"
        self._compare("images.jsonl")
        with file_errors(path), open(path, "rb") as lines:
            reasons = {
                image: parsed(line, {"reason": str}, f"'{path}', line {image + 1},")["reason"]
                for image, line in enumerate(lines)
                if image in bad
            }
        if len(reasons) < len(bad):
            raise SavedDataError(f"'{path}' is damaged: it ends before the job's last image")
        return reasons

    def verify(self, progress: bool | JobProgress = False) -> None:
        """Compares all files of a finished job with their checksums.

        Where the job has features and statistics of its own, the statistics are computed again too. They are exact, so
        they must be the same.

        Args:
            progress: True shows a line on a terminal. A function is called with ("verifying", bytes done, bytes).

        Raises:
            SavedDataError: files are damaged; the message names all of them. `embed_dataset` with the job's images and
                its model repairs them.
            InvalidArgumentError: the job is not finished
        """
        _reported(lib.fne_job_verify, self._opened(), progress)

    # ---- what was computed

    def features(
        self, layers: str | Sequence[str] | None = None, images: Images = None, *, model: Any = None
    ) -> NDArray[numpy.float32]:
        """The pooled features, float32 [rows, F'], memory-mapped. The rows of images that failed are NaN.

        Where the layers and the images lie together, the result is a view of the file. Otherwise it is a copy.

        Args:
            layers: names, globs ("block4_*"), "all", "last:25%", "penultimate", or a list of these; None: all
            images: a slice, numbers or a mask of the images; None: all. With ten crops an image has ten rows.
            model: the job's model, which "penultimate" needs. The job does not know what a classifier reads.

        Raises:
            UnknownTensorError: there is no such layer, or the job does not keep what the classifier reads
            JobMismatchError: the model is not the job's
        """
        return self._part("features.npy", self.columns(layers, model), images)

    def codes(
        self, layers: str | Sequence[str] | None = None, images: Images = None, *, model: Any = None
    ) -> NDArray[numpy.int8]:
        """The codes, int8 [rows, F'] of -1, 0, 1, memory-mapped. Rows of images that failed are `SKIPPED_CODE` (-128).

        Args: as in `features`
        """
        return self._part("codes.npy", self.columns(layers, model), images)

    def packed_codes(self) -> PackedCodes:
        """The codes with two bits per feature. Those of images that failed are 0.

        They are memory-mapped. Where the job keeps int8 codes only, they are packed now.
        """
        if exists(self.folder / "codes_packed.npy") or not exists(self.folder / "codes.npy"):
            return PackedCodes(self._load("codes_packed.npy"), self.feature_count, self.layers)
        return PackedCodes.pack(self.codes(), self.layers)

    @property
    def places(self) -> Places:
        """Where the network and the images were when the job ran. They may be elsewhere now."""
        return recalled(self.folder)

    def model(self, *, allow_unsafe: bool = False) -> Model:
        """The job's network, opened from where it was when the job ran.

        Args:
            allow_unsafe: as in `fne.Model`. The job does not remember it, because a job may come from others.

        Raises:
            MissingFileError: the job does not say where the network is, or it is not there any more
            JobMismatchError: another network is there now
        """
        places = self.places
        if places.model is None:
            raise MissingFileError(f"the job in '{self.folder}' does not say where its network is")
        if os.path.isabs(places.model) and not exists(as_path(places.model)):
            raise MissingFileError(
                f"the network of the job in '{self.folder}' was '{places.model}', which does not exist any more"
            )
        # The default network has a file for each engine.
        for engine in [None] if os.path.isabs(places.model) else ENGINES:
            model = Model(
                places.model,
                signature=places.signature,
                tags=places.tags,
                feeds=list(places.feeds),
                allow_unsafe=allow_unsafe,
                engine=engine,
            )
            if model.sha256() == self.manifest["settings"]["model"]["sha256"]:
                return model
        raise JobMismatchError(f"'{places.model}' is not the network any more that made the job in '{self.folder}'")

    def extractor(self, model: Any = None, **options: Any) -> Extractor:
        """An extractor that makes the same rows as the job, for further images.

        Args:
            model: the job's model; None: `Job.model`, from where it was when the job ran
            options: options of `fne.Extractor`, such as on_error, streams, image_options. With goal="latency" an image
                is not padded to the job's batch, so that it takes a fraction of the time. The last bits of its row may
                then be others than in the job.

        Raises:
            JobMismatchError: the model is not the job's
            MissingFileError: no model is given, and the job's is not there any more
        """
        settings = self.manifest["settings"]
        source, limits = settings["input"], settings["image_options"]
        model = self.model() if model is None else self._own(model)
        given = {
            "input_tensor": source["tensor"],
            "layers": [layer.name for layer in self.layers],
            "size": (source["height"], source["width"]),
            "resize_mode": source["resize_mode"],
            "resize_size": (source["resize_height"], source["resize_width"]),
            "interpolation": source["interpolation"],
            "crops": source["crops"],
            "channels": source["channels"],
            "channel_order": source["channel_order"],
            "mean": source["mean"],
            "scale": source["scale"],
            "image_options": ImageOptions(**limits),
            "precision": settings["precision"],
            "float32_layers": settings["float32_layers"],
            **_batches(settings, options.get("goal")),
            "token_pooling": settings.get("token_pooling", "mean"),
            "prefix_tokens": settings.get("prefix_tokens", 1),
            "decode": settings.get("decode", "full"),
            **options,
        }
        if options.get("preset") is not None:  # it takes the place of the job's own
            given = {name: value for name, value in given.items() if name in options or name not in _PRESET}
        return Extractor(model, **given)

    @property
    def stats(self) -> NDArray[numpy.float64]:
        """The mean and the standard deviation of the embedded images' features, float64 [2, F]."""
        return self._load("stats.npy", mapped=False)

    def statistics(self, images: Images = None) -> Statistics:
        """The exact statistics of all images, or of some of them, such as a training split.

        Args:
            images: as in `features`. Images that failed do not count.
        """
        if images is None:
            self._compare("statistics.fne")
            return Statistics.from_bytes(content(self.folder / "statistics.fne"))
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
        model: Any = None,
        lower: float = LOWER,
        upper: float = UPPER,
        rules: str = "documented",
        out: NDArray[numpy.int8] | None = None,
    ) -> NDArray[numpy.int8]:
        """New codes of the features: with other thresholds or statistics, of some layers or images.

        The network does not run again.

        Args:
            statistics: of all F features; None: the job's own
            layers, images, model: as in `features`
            lower, upper, rules: as in `fne.ternarize`
            out: int8 [rows, F'], C-contiguous, that receives the codes, such as a `numpy.memmap`; None: a new array
        """
        if statistics is None:
            mean, std = self.stats
        else:
            mean, std = statistics.mean(), statistics.std()
        columns = self.columns(layers, model)
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

    def columns(self, layers: str | Sequence[str] | None, model: Any = None) -> slice | NDArray[numpy.int64]:
        """The columns of layers: a slice where they lie together, else their numbers.

        Args:
            layers, model: as in `features`. A share counts the network's layers, without tensors kept beside them.

        Raises: as in `features`
        """
        own = None if model is None else self._own(model)

        def read() -> list[str]:
            if own is None:
                raise UnknownTensorError("'penultimate' needs the job's model, which knows what is meant; pass model=")
            return [tensor.name for tensor in own.penultimate()]

        chosen = selected(self.layers, layers, read, f"the job in '{self.folder}'")
        together = span(chosen)
        return column_numbers(chosen) if together is None else together

    # ---- the parts

    def _own(self, model: Any) -> Model:
        """The job's model, opened. Another one is refused."""
        source = self.manifest["settings"]["input"]
        opened = as_model(model, (source["height"], source["width"]))
        if opened.sha256() != self.manifest["settings"]["model"]["sha256"]:
            raise JobMismatchError(f"the model is not the one that the job in '{self.folder}' was made with")
        return opened

    def _numbers(self, images: Images) -> NDArray[numpy.int64]:
        every = numpy.arange(len(self))
        return every if images is None else every[images if isinstance(images, slice) else as_array("images", images)]

    def _rows(self, images: Images) -> Any:
        """The index of the rows of images."""
        if images is None:
            return slice(None)
        if isinstance(images, slice):
            first, stop, step = images.indices(len(self))
            if step == 1:
                return slice(first * self.rows_per_image, max(first, stop) * self.rows_per_image)
        return row_numbers(self._numbers(images), self.rows_per_image)

    def _part(self, name: str, columns: slice | NDArray[numpy.int64], images: Images) -> NDArray[Any]:
        rows = self._rows(images)
        matrix = self._load(name, rows=rows)
        together = isinstance(columns, slice) or isinstance(rows, slice)
        part: NDArray[Any] = matrix[rows, columns] if together else matrix[rows][:, columns]
        return part

    def _chunks(
        self, numbers: NDArray[numpy.int64], columns: slice | NDArray[numpy.int64] | None
    ) -> Iterator[NDArray[numpy.float32]]:
        """The rows of images, some megabytes at a time."""
        features = self._load("features.npy", rows=numpy.empty(0, numpy.int64))
        step = max(1, (16 << 20) // (4 * self.feature_count * self.rows_per_image))
        for first in range(0, len(numbers), step):
            chosen = self._rows(numbers[first : first + step])
            self._compare_rows("features.npy", features, chosen)
            rows = features[chosen]
            yield rows if columns is None else numpy.ascontiguousarray(rows[:, columns])

    def _load(self, name: str, mapped: bool = True, rows: Any = None) -> NDArray[Any]:
        """The matrix in a file.

        Args:
            rows: the index of the rows that are read; None: all
        """
        path = self.folder / name
        if not exists(path):
            raise FileError(f"'{path}' does not exist: the job is in the state '{self.state}', {self._kept()}")
        expected = self._matrices()[name]
        matrix = mapped_array(path)
        if (matrix.dtype, matrix.shape) != expected or not matrix.flags.c_contiguous:
            raise SavedDataError(
                f"'{path}' is damaged: it holds {matrix.dtype} {matrix.shape}; the job has {expected[0]} {expected[1]}"
            )
        self._compare_rows(name, matrix, slice(None) if rows is None else rows)
        return matrix if mapped else numpy.array(matrix)

    # ---- comparing with checksums

    def _opened(self) -> Any:
        """The job in the library."""
        return _ffi.open_handle(lib.fne_job_open, lib.fne_job_close, path_bytes(self.folder), None, None, None)

    def _compare(self, name: str) -> None:
        """Compares a whole file with its checksum, if it has one."""
        size = self._checksum(name).get("bytes", 0)
        if 0 < size <= self._limit:
            self._compare_blocks(name, numpy.arange(-(-size // self._block_size(name))))

    def _compare_rows(self, name: str, matrix: NDArray[Any], rows: Any) -> None:
        """Compares the blocks that hold rows of a matrix with their checksums, if it has some."""
        if not self._checksum(name):
            return
        size, row_size = self._block_size(name), matrix.strides[0]
        if isinstance(rows, slice):
            first, stop, _ = rows.indices(len(matrix))
            blocks = numpy.arange(
                (_NUMPY_HEADER + first * row_size) // size, -(-(_NUMPY_HEADER + max(first, stop) * row_size) // size)
            )
        else:
            starts = _NUMPY_HEADER + rows[:, None] * row_size
            within = numpy.minimum(numpy.arange(row_size // size + 2) * size, row_size - 1)
            blocks = numpy.unique((starts + within) // size)
        if len(blocks) * size <= self._limit:
            self._compare_blocks(name, blocks)

    def _compare_blocks(self, name: str, blocks: NDArray[numpy.int64]) -> None:
        known = self._verified.setdefault(name, set())
        new = numpy.array([block for block in blocks.tolist() if block not in known], numpy.int64)
        if not len(new):
            return
        size = self._block_size(name)
        handle = self._opened()
        try:
            for run in numpy.split(new, numpy.flatnonzero(numpy.diff(new) > 1) + 1):
                first, count = int(run[0]), len(run)
                check(lib.fne_job_verify_file(handle(), name.encode(), first * size, count * size))
        finally:
            handle.close()
        known.update(new.tolist())

    def _checksum(self, name: str) -> dict[str, Any]:
        found = self.manifest["files"].get(name, {}) if self.state != "running" else {}
        return found if isinstance(found, dict) else {}

    def _block_size(self, name: str) -> int:
        checksum = self._checksum(name)
        return int(checksum.get("block_bytes", max(checksum["bytes"], 1)))

    def _matrices(self) -> dict[str, tuple[Any, tuple[int, ...]]]:
        """The type and the shape of each file of numbers."""
        features, rows = self.feature_count, len(self) * self.rows_per_image
        return {
            "status.npy": (numpy.dtype(numpy.int32), (len(self),)),
            "features.npy": (numpy.dtype(numpy.float32), (rows, features)),
            "codes.npy": (numpy.dtype(numpy.int8), (rows, features)),
            "codes_packed.npy": (numpy.dtype(numpy.uint64), (rows, 2, -(-features // 64))),
            "stats.npy": (numpy.dtype(numpy.float64), (2, features)),
        }

    def _kept(self) -> str:
        formats = (self.manifest["codes"] or {}).get("formats", [])
        kept = (["features"] if self.manifest["keeps_features"] else []) + [f"{name} codes" for name in formats]
        return "and keeps " + " and ".join(kept or ["nothing"])


def _batches(settings: Any, goal: str | None) -> dict[str, Any]:
    """The batches of an extractor for further images: the job's, or what the goal is better with.

    Where rows depend on their batch, it stays the job's.
    """
    if goal == "latency" and settings.get("batch_statistics") is None:
        return {}
    return {"batch_size": settings["batch_size"], "pad_batches": True}


def row_numbers(images: NDArray[numpy.int64], rows_per_image: int) -> NDArray[numpy.int64]:
    """The numbers of the rows of images. The rows of an image follow each other.

    >>> row_numbers(numpy.array([4, 1]), 2)
    array([8, 9, 2, 3])
    """
    return (images[:, None] * rows_per_image + numpy.arange(rows_per_image)).ravel()

"""Ray Data: the embedding of a data set on a cluster. It needs `pip install fne[ray]`.

Each worker keeps its extractor for the tasks that follow, also those of the next call. Statistics are exact, so they
may be merged in any order. The workers make and write the codes. The bits are those of one process with the same batch
size and engine threads, on the same kind of processor.
The column "engine" says what a row was computed with, and statistics refuse rows of workers that differ.

With statistics of a sample, or of an earlier run, one pass makes packed codes, which are a thirtieth of the features:

>>> import fne.ray, ray.data  # doctest: +SKIP
>>> paths = ray.data.from_items([{"path": path} for path in files])  # doctest: +SKIP
>>> statistics = fne.ray.statistics_of_sample(paths, "/shared/network.pb", fraction=0.01)  # doctest: +SKIP
>>> fne.ray.embed(paths, "/shared/network.pb", statistics).write_parquet("/shared/codes")  # doctest: +SKIP

With the statistics of all images there are two steps:

>>> rows = fne.ray.features(paths, "/shared/network.pb").materialize()  # doctest: +SKIP
>>> statistics = fne.ray.statistics(rows)  # doctest: +SKIP
>>> fne.ray.codes(rows, statistics).write_parquet("/shared/codes")  # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow
import ray
import ray.data
from numpy.typing import NDArray
from ray.data.block import BlockAccessor
from ray.data.extensions import ArrowTensorArray

from fne._arguments import as_count
from fne._cluster import column as columns
from fne._cluster import parts, worker
from fne._statistics import Statistics
from fne._thresholds import LOWER, UPPER

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from fne._options import ExtractorOptions

#: The rows that a task takes where no network runs. A task costs more than the statistics or codes of a few rows.
_ROWS_AT_ONCE = 256
#: The statistics of so many blocks are merged by a worker, before all are merged here.
_PARTS_AT_ONCE = 32
#: The processors that a merging task takes. Ray would run it and the step before as one task if the numbers were equal,
#: and would merge the parts of that task alone.
_MERGING_CPUS = 0.5


def features(
    dataset: ray.data.Dataset,
    model: Any,
    *,
    column: str | None = None,
    concurrency: int | tuple[int, int] | None = None,
    num_cpus: float = 1,
    num_gpus: float | None = None,
    ray_remote_args: dict[str, Any] | None = None,
    stop_on_failures: bool = True,
    **extractor: Unpack[ExtractorOptions],
) -> ray.data.Dataset:
    """The pooled features of images.

    The result is lazy. Before it is used twice, `materialize()` it, or write it and read it again.

    Args:
        dataset: a data set with a column of images: paths that every worker can read, encoded images as bytes (Ray's
            `read_binary_files`), or pixels as uint8 [height, width, 3] (Ray's `read_images(mode="RGB")`).
            `fne.list_images` makes paths of a folder.
        model: what `fne.Model` takes, or a `fne.Model`. A path must be one that every worker can read. A PyTorch
            module, a Keras model and a network such as "timm:resnet50" are exported here, once, and the file travels.
        column: the column of the images; None: the first of "content", "bytes", "image" and "path" that there is
        concurrency: the most workers at a time, or (least, most); None: as many as there are processors. The least
            counts with num_gpus only.
        num_cpus: the processors that a worker takes. streams and loader_threads are 1 unless they are given.
        num_gpus: the GPUs that a worker takes. Workers with GPUs are actors, which start with each run and end with
            it, since Ray ends the process of each task with a GPU. If all processors are taken by concurrency, that is
            the most, and 1 is the least: the steps before this one need a processor too, and would wait for ever.
        ray_remote_args: other arguments of Ray's tasks or actors, such as `{"resources": {"fast_disk": 1}}`
        stop_on_failures: end the run where more than half of a worker's first 1,000 images fail for one reason
        extractor: the options of `fne.Extractor`. Batches are padded, and bad images are skipped.

    Returns:
        the data set with four more columns: "features" (float32 [F], or [10, F] with ten crops; NaN where an image
        failed), "status" (0, or the number of the error in fne.h), "reason", and "engine" (what the last bits depend
        on)

    Raises:
        FNEError: the model cannot be opened
        InvalidArgumentError: an option is decided by the workers
    """
    plan = _sent(worker.plan(model, dict(extractor), stop_on_failures))
    return _mapped(dataset, _Features, (plan, column), concurrency, num_cpus, num_gpus, ray_remote_args)


def embed(
    dataset: ray.data.Dataset,
    model: Any,
    statistics: Statistics,
    *,
    column: str | None = None,
    lower: float = LOWER,
    upper: float = UPPER,
    concurrency: int | tuple[int, int] | None = None,
    num_cpus: float = 1,
    num_gpus: float | None = None,
    ray_remote_args: dict[str, Any] | None = None,
    stop_on_failures: bool = True,
    **extractor: Unpack[ExtractorOptions],
) -> ray.data.Dataset:
    """The packed ternary codes of images, in one pass. No features leave a worker.

    Args:
        statistics: saved ones, or those of `statistics_of_sample`
        lower, upper: the thresholds, as in `fne.ternarize`
        others: as in `features`

    Returns:
        the data set with four more columns: "packed" (bytes, null where an image failed; `fne.PackedCodes.from_bytes`
        reads the column), "status", "reason" and "engine"

    Raises:
        FNEError: the model cannot be opened
        InvalidArgumentError: an option is decided by the workers
    """
    plan = _sent(worker.plan(model, dict(extractor), stop_on_failures))
    coder = parts.Coder(statistics, lower, upper)
    return _mapped(dataset, _Packed, (plan, column, coder), concurrency, num_cpus, num_gpus, ray_remote_args)


class _Stored:
    """A model in Ray's store. A worker takes it out when it opens the model, and not with each task."""

    def __init__(self, model: bytes) -> None:
        self._reference = ray.put(model)

    def __call__(self) -> bytes:
        found: bytes = ray.get(self._reference)
        return found


def _sent(plan: worker.Plan) -> worker.Plan:
    return plan._replace(model=_Stored(plan.model)) if isinstance(plan.model, bytes) else plan


def _mapped(
    dataset: ray.data.Dataset,
    step: type[_Features] | type[_Packed],
    arguments: tuple[Any, ...],
    concurrency: int | tuple[int, int] | None,
    num_cpus: float,
    num_gpus: float | None,
    ray_remote_args: dict[str, Any] | None,
) -> ray.data.Dataset:
    known = dataset.schema(fetch_if_missing=False)
    if known is not None:  # a wrong column is an error here, and not in every worker
        columns.chosen(known.names, arguments[1], step.ADDED)
    # The processes of tasks outlive a run, and so does what they opened. Those of actors do not.
    where: dict[str, Any]
    if num_gpus:
        least, most = _actors(concurrency, num_cpus)
        where = {"fn": step, "fn_constructor_args": arguments}
        where["compute"] = ray.data.ActorPoolStrategy(min_size=least, max_size=most)
    else:
        where = {"fn": step(*arguments), "compute": ray.data.TaskPoolStrategy(size=_tasks(concurrency))}
    return dataset.map_batches(
        batch_size=arguments[0].images_at_once,
        batch_format="pyarrow",
        num_cpus=num_cpus,
        num_gpus=num_gpus,
        **where,
        **(ray_remote_args or {}),
    )


def _tasks(concurrency: int | tuple[int, int] | None) -> int | None:
    """The most tasks at a time; None: as many as there is room for."""
    most = concurrency[1] if isinstance(concurrency, tuple) else concurrency
    return None if most is None else as_count("concurrency", most)


def _actors(concurrency: int | tuple[int, int] | None, num_cpus: float) -> tuple[int, int]:
    """The least and the most actors. The least leave room for the steps before them."""
    if isinstance(concurrency, tuple):
        return concurrency
    processors = ray.cluster_resources().get("CPU", 1.0)  # type: ignore[no-untyped-call]
    fitting = max(1, int(processors / num_cpus)) if num_cpus > 0 else max(1, int(processors))
    most = fitting if concurrency is None else as_count("concurrency", concurrency)
    return (most, most) if concurrency is not None and most < fitting else (1, most)


class _Features:
    """What a worker does: features of images."""

    ADDED = ("features", "status", "reason", "engine")

    def __init__(self, plan: worker.Plan, column: str | None) -> None:
        self._plan, self._column = plan, column

    def __call__(self, table: pyarrow.Table) -> pyarrow.Table:
        images = _images(table, self._column, self.ADDED)
        found = worker.features(self._plan, images)
        rows = found.values.reshape(len(images), *self._plan.axes, found.values.shape[-1])
        return _with(table, self.ADDED, ArrowTensorArray.from_numpy(rows), found)


class _Packed:
    """What a worker does: packed codes of images."""

    ADDED = ("packed", "status", "reason", "engine")

    def __init__(self, plan: worker.Plan, column: str | None, coder: parts.Coder) -> None:
        self._plan, self._column, self._coder = plan, column, coder

    def __call__(self, table: pyarrow.Table) -> pyarrow.Table:
        images = _images(table, self._column, self.ADDED)
        found = worker.packed(self._plan, images, self._coder)
        return _with(table, self.ADDED, worker.packed_column(found.values, found.statuses), found)


def _images(table: pyarrow.Table, column: str | None, added: tuple[str, ...]) -> list[Any]:
    name = columns.chosen(table.column_names, column, added)
    return columns.images_of(table.column(name), name)


def _with(table: pyarrow.Table, names: tuple[str, ...], values: Any, found: worker.Found) -> pyarrow.Table:
    for name, column in zip(names, [values, *worker.columns_of(found)], strict=True):
        table = table.append_column(name, column)
    return table


def statistics_of_sample(
    dataset: ray.data.Dataset,
    model: Any,
    *,
    fraction: float = 0.01,
    seed: int = 0,
    accept_other_engine: bool = False,
    **options: Any,
) -> Statistics:
    """The exact statistics of some of the images, drawn at random.

    Of 100,000 images, the standard error of a feature's mean is 0.3 % of its deviation.

    Args:
        fraction: the share of the images, above 0 and at most 1
        seed: the draw's
        accept_other_engine: as in `statistics`
        options: those of `features`
    """
    parts.check_fraction(fraction)
    sample = dataset if fraction == 1 else dataset.random_sample(fraction, seed=seed)
    return statistics(features(sample, model, **options), accept_other_engine=accept_other_engine)


def statistics(dataset: ray.data.Dataset, *, accept_other_engine: bool = False) -> Statistics:
    """The exact statistics of the good images' features.

    Args:
        dataset: what `features` returned
        accept_other_engine: take rows of workers that differ in the engine's version or settings, the processor, the
            model's bytes or the readers of images

    Raises:
        JobMismatchError: the workers differ, and that is not accepted; the message lists them
        InvalidArgumentError: there is no good image

    Warns:
        FewImagesWarning: there are few images
    """
    kept = dataset.select_columns(["features", "status", "reason", "engine"])
    blocks = kept.map_batches(_part, batch_size=_ROWS_AT_ONCE, batch_format="pyarrow")
    merged = blocks.map_batches(_merge, batch_size=_PARTS_AT_ONCE, batch_format="pyarrow", num_cpus=_MERGING_CPUS)
    tables = merged.iter_batches(batch_size=1, batch_format="pyarrow")
    found = (part for table in tables for part in parts.parts_of(table))
    return parts.statistics_of(found, accept_other_engine)


def _part(table: pyarrow.Table) -> pyarrow.Table:
    return parts.table_of(
        parts.part_of(
            _tensors(table, "features"),
            table.column("status").to_numpy(),
            table.column("reason").to_pylist(),
            table.column("engine").unique().to_pylist(),
        )
    )


def _merge(table: pyarrow.Table) -> pyarrow.Table:
    return parts.table_of(parts.merged(parts.parts_of(table)))


def _tensors(table: pyarrow.Table, name: str) -> NDArray[Any]:
    found: NDArray[Any] = BlockAccessor.for_block(table.select([name])).to_numpy([name])[name]
    return found


def codes(
    dataset: ray.data.Dataset,
    statistics: Statistics,
    *,
    lower: float = LOWER,
    upper: float = UPPER,
    keep_features: bool = False,
    packed: bool = False,
) -> ray.data.Dataset:
    """The ternary codes.

    Args:
        dataset: what `features` returned
        statistics: those of all images, or of the training images
        lower, upper: the thresholds, as in `fne.ternarize`
        keep_features: keep the column "features" too
        packed: make the column "packed", as `embed` does, in place of "codes"

    Returns:
        the data set with the column "codes" (int8 of the features' shape, -128 where an image failed)
    """
    step = _Codes(parts.Coder(statistics, lower, upper), keep_features, packed)
    return dataset.map_batches(step, batch_size=_ROWS_AT_ONCE, batch_format="pyarrow")


class _Codes:
    def __init__(self, coder: parts.Coder, keep_features: bool, packed: bool) -> None:
        self._coder, self._keep_features, self._packed = coder, keep_features, packed

    def __call__(self, table: pyarrow.Table) -> pyarrow.Table:
        rows, statuses = _tensors(table, "features"), table.column("status").to_numpy()
        kept = table if self._keep_features else table.drop_columns(["features"])
        if self._packed:
            return kept.append_column("packed", worker.packed_column(self._coder.packed(rows, statuses), statuses))
        return kept.append_column("codes", ArrowTensorArray.from_numpy(self._coder(rows, statuses)))

"""Ray Data: the embedding of a data set on a cluster. It needs `pip install fne[ray]`.

Each worker holds an extractor. Statistics are exact, so Ray may merge them in any order. The workers make and write the
codes. The bits are those of one process with the same batch size and engine threads, on the same kind of processor.

>>> import fne.ray, ray.data  # doctest: +SKIP
>>> paths = ray.data.from_items([{"path": path} for path in files])  # doctest: +SKIP
>>> rows = fne.ray.features(paths, "/shared/network.pb", size=(224, 224), concurrency=8).materialize()  # doctest: +SKIP
>>> statistics = fne.ray.statistics(rows)  # doctest: +SKIP
>>> fne.ray.codes(rows, statistics).write_parquet("/shared/codes")  # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy
import ray.data
from ray.data.aggregate import AggregateFnV2
from ray.data.block import BlockAccessor

from fne import _distributed
from fne._statistics import Statistics
from fne._thresholds import LOWER, UPPER

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from fne._options import ExtractorOptions


def features(
    dataset: ray.data.Dataset,
    model: Any,
    *,
    column: str = "path",
    concurrency: int | tuple[int, int] = 1,
    num_cpus: float = 1,
    **extractor: Unpack[ExtractorOptions],
) -> ray.data.Dataset:
    """The pooled features of images.

    The result is lazy. Before it is used twice, `materialize()` it, or write it and read it again.

    Args:
        dataset: a data set with a column of images: paths that every worker can read, encoded images as bytes, or
            pixels as uint8 [height, width, 3]. `fne.list_images` makes paths of a folder.
        model: what `fne.Model` takes, or a `Model`. A path must be one that every worker can read. A PyTorch module, a
            Keras model and a network such as "timm:resnet50" are exported here, once, and the file travels.
        column: the column of the images
        concurrency: the number of workers, or (least, most)
        num_cpus: the processors that a worker takes. streams and loader_threads are 1 unless they are given.
        extractor: the options of `fne.Extractor`. Batches are padded, and bad images are skipped.

    Returns:
        the data set with three more columns: "features" (float32 [F], NaN where an image failed), "status" (0, or the
        number of the error in fne.h) and "reason"
    """
    travelling, options = _distributed.portable(model, extractor)
    return dataset.map_batches(
        _Embed,
        fn_constructor_args=(travelling, options, column),
        batch_size=_distributed.IMAGES_AT_ONCE,
        batch_format="numpy",
        concurrency=concurrency,
        num_cpus=num_cpus,
    )


class _Embed:
    def __init__(self, model: _distributed.Portable, options: dict[str, Any], column: str) -> None:
        self._model, self._options, self._column = model, options, column

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        images = list(batch[self._column])
        rows, statuses, reasons = _distributed.features(self._model, self._options, images)
        return {
            **batch,
            "features": rows,
            "status": statuses,
            "reason": numpy.array([r or "" for r in reasons], dtype=object),
        }


def statistics(dataset: ray.data.Dataset) -> Statistics:
    """The exact statistics of the good images' features. Ray's aggregation merges them.

    Args:
        dataset: what `features` returned
    """
    saved = dataset.select_columns(["features", "status"]).aggregate(_Merge())["statistics"]
    return Statistics.from_bytes(_distributed.merged([saved] if saved else []))


class _Merge(AggregateFnV2[bytes, bytes]):
    """An aggregation that computes the statistics of each block, and merges them pair by pair."""

    def __init__(self) -> None:
        super().__init__("statistics", lambda: b"", on=None, ignore_nulls=False)

    def aggregate_block(self, block: Any) -> bytes:
        columns = BlockAccessor.for_block(block).to_numpy(["features", "status"])
        rows = numpy.ascontiguousarray(columns["features"], numpy.float32)
        return _distributed.statistics_of([(rows, columns["status"])] if len(rows) else []) or b""

    def combine(self, current: bytes, other: bytes) -> bytes:
        return _distributed.merged([current, other]) if current and other else current or other


def codes(
    dataset: ray.data.Dataset,
    statistics: Statistics,
    *,
    lower: float = LOWER,
    upper: float = UPPER,
    keep_features: bool = False,
) -> ray.data.Dataset:
    """The ternary codes.

    Args:
        dataset: what `features` returned
        statistics: those of all images, or of the training images
        lower, upper: the thresholds, as in `fne.ternarize`
        keep_features: keep the column "features" too

    Returns:
        the data set with the column "codes" (int8 [F], -128 where an image failed)
    """
    coder = _Code(statistics.to_bytes(), lower, upper, keep_features)
    return dataset.map_batches(coder, batch_size=_distributed.IMAGES_AT_ONCE, batch_format="numpy")


class _Code:
    def __init__(self, *arguments: Any) -> None:
        *self._arguments, self._keep_features = arguments
        self._coder: _distributed.Coder | None = None

    def __reduce__(self) -> Any:
        return _Code, (*self._arguments, self._keep_features)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        if self._coder is None:
            self._coder = _distributed.Coder(*self._arguments)
        rows = numpy.ascontiguousarray(batch["features"], numpy.float32)
        kept = batch if self._keep_features else {name: values for name, values in batch.items() if name != "features"}
        return {**kept, "codes": self._coder(rows, batch["status"])}

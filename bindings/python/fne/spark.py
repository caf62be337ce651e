"""Apache Spark: the embedding of a data set on a cluster. It needs `pip install fne[spark]` and Java 17.

Workers run the Python that PYSPARK_PYTHON names, where `fne` must be installed. Each worker holds an extractor and
keeps it (spark.python.worker.reuse, which is the default). Statistics are exact, so they may be merged in any order.
The executors make and write the codes. The bits are those of one process with the same batch size and engine threads,
on the same kind of processor. The column "engine" says what a row was computed with, and statistics refuse rows of
executors that differ.

With statistics of a sample, or of an earlier run, one pass makes packed codes, which are a thirtieth of the features:

>>> import fne.spark  # doctest: +SKIP
>>> images = spark.read.format("binaryFile").load("/shared/images")  # doctest: +SKIP
>>> statistics = fne.spark.statistics_of_sample(images, "/shared/network.pb", fraction=0.01)  # doctest: +SKIP
>>> coded = fne.spark.embed(images, "/shared/network.pb", statistics).drop("content")  # doctest: +SKIP
>>> coded.write.parquet("/shared/codes")  # doctest: +SKIP

With the statistics of all images there are two steps:

>>> rows = fne.spark.features(images, "/shared/network.pb").drop("content").cache()  # doctest: +SKIP
>>> statistics = fne.spark.statistics(rows)  # doctest: +SKIP
>>> fne.spark.codes(rows, statistics).write.parquet("/shared/codes")  # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy
import pyarrow
from numpy.typing import NDArray
from pyspark.errors import PySparkAttributeError
from pyspark.sql import DataFrame
from pyspark.sql.types import (
    ArrayType,
    BinaryType,
    ByteType,
    DataType,
    FloatType,
    IntegerType,
    LongType,
    StringType,
    StructField,
    StructType,
)

from fne._cluster import column as columns
from fne._cluster import parts, worker
from fne._statistics import Statistics
from fne._thresholds import LOWER, UPPER

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from fne._options import ExtractorOptions

#: The most tasks that merge the statistics of all partitions, before the driver merges theirs.
_MERGERS = 8
_Batches = Iterator[pyarrow.RecordBatch]
_OUTCOME = [
    StructField("status", IntegerType()),
    StructField("reason", StringType()),
    StructField("engine", StringType()),
]


def features(
    frame: DataFrame,
    model: Any,
    *,
    column: str | None = None,
    stop_on_failures: bool = True,
    **extractor: Unpack[ExtractorOptions],
) -> DataFrame:
    """The pooled features of images.

    The result is lazy. Before it is used twice, `cache()` it, or write it and read it again.

    Args:
        frame: a frame with a column of images: paths that every executor can read (also the "path" of Spark's
            `binaryFile`), encoded images as bytes (its "content"), or the structs of Spark's `image` source.
            `fne.list_images` makes paths of a folder. Each of its partitions becomes a task.
        model: what `fne.Model` takes, or a `fne.Model`. A path must be one that every executor can read. A PyTorch
            module, a Keras model and a network such as "timm:resnet50" are exported here, once, and the file travels.
        column: the column of the images; None: the first of "content", "bytes", "image" and "path" that there is
        stop_on_failures: end the run where more than half of a worker's first 1,000 images fail for one reason
        extractor: the options of `fne.Extractor`. Batches are padded, and bad images are skipped. streams and
            loader_threads are 1 unless they are given.

    Returns:
        the frame with four more columns: "features" (array<float>, or array<array<float>> with ten crops; NaN where an
        image failed), "status" (0, or the number of the error in fne.h), "reason", and "engine" (what the last bits
        depend on)

    Raises:
        FNEError: the model cannot be opened
        InvalidArgumentError: there is no such column, or an option is decided by the workers
    """
    plan = worker.plan(model, dict(extractor), stop_on_failures)

    def embed(images: list[Any]) -> tuple[Any, worker.Found]:
        found = worker.features(plan, images)
        return _lists(found.values.reshape(len(images), *plan.axes, -1), numpy.float32), found

    return _mapped(frame, plan, column, "features", _nested(FloatType(), plan), embed)


def embed(
    frame: DataFrame,
    model: Any,
    statistics: Statistics,
    *,
    column: str | None = None,
    lower: float = LOWER,
    upper: float = UPPER,
    stop_on_failures: bool = True,
    **extractor: Unpack[ExtractorOptions],
) -> DataFrame:
    """The packed ternary codes of images, in one pass. No features leave a worker.

    Args:
        statistics: saved ones, or those of `statistics_of_sample`
        lower, upper: the thresholds, as in `fne.ternarize`
        others: as in `features`

    Returns:
        the frame with four more columns: "packed" (binary, null where an image failed; `fne.PackedCodes.from_bytes`
        reads the column), "status", "reason" and "engine"

    Raises:
        FNEError: the model cannot be opened
        InvalidArgumentError: there is no such column, or an option is decided by the workers
    """
    plan = worker.plan(model, dict(extractor), stop_on_failures)
    coder = parts.Coder(statistics, lower, upper)

    def pack(images: list[Any]) -> tuple[Any, worker.Found]:
        found = worker.packed(plan, images, coder)
        return worker.packed_column(found.values, found.statuses), found

    return _mapped(frame, plan, column, "packed", BinaryType(), pack)


def _mapped(
    frame: DataFrame,
    plan: worker.Plan,
    column: str | None,
    added: str,
    type_: DataType,
    embed: Callable[[list[Any]], tuple[Any, worker.Found]],
) -> DataFrame:
    """The frame with the column that `embed` makes of images, and what it says of them."""
    name = columns.chosen(frame.columns, column, [added, *(field.name for field in _OUTCOME)])

    def run(batches: _Batches) -> _Batches:
        for batch in batches:
            for first in range(0, len(batch), plan.images_at_once):
                some = batch.slice(first, plan.images_at_once)
                values, found = embed(columns.images_of(some.column(name), name))
                made = [*some.columns, values, *worker.columns_of(found)]
                yield pyarrow.RecordBatch.from_arrays(made, names)

    schema = StructType([*frame.schema.fields, StructField(added, type_), *_OUTCOME])
    names = schema.names
    return _in_workers(frame, run, schema)


def _in_workers(frame: DataFrame, run: Callable[[_Batches], _Batches], schema: StructType) -> DataFrame:
    """What `run` makes of the frame. The workers settle after their first task."""

    def settled(batches: _Batches) -> _Batches:
        yield from run(batches)
        worker.settle()

    return frame.mapInArrow(settled, schema)


def _nested(type_: DataType, plan: worker.Plan) -> ArrayType:
    inner = ArrayType(type_, False)
    return ArrayType(inner, False) if plan.axes else inner


def _lists(values: NDArray[Any], dtype: Any) -> Any:
    """An array [n, F] or [n, rows per image, F] as a column of lists."""
    result = pyarrow.array(numpy.ascontiguousarray(values, dtype).reshape(-1))
    for axis in range(values.ndim - 1, 0, -1):
        count, length = int(numpy.prod(values.shape[:axis])), values.shape[axis]
        offsets = pyarrow.array(numpy.arange(count + 1, dtype=numpy.int32) * length)
        result = pyarrow.ListArray.from_arrays(offsets, result)
    return result


def matrix(column: Any) -> NDArray[Any]:
    """A column of lists, of one length each, as an array."""
    shape: list[int] = []
    while pyarrow.types.is_list(column.type):
        shape.append(len(column))
        column = column.flatten()
    count = len(column)
    lengths = [max(inner // max(outer, 1), 1) for outer, inner in zip(shape, [*shape[1:], count], strict=True)]
    values: NDArray[Any] = column.to_numpy(zero_copy_only=False)
    return values.reshape(shape[0], *lengths)


def statistics_of_sample(
    frame: DataFrame,
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
    sample = frame if fraction == 1 else frame.sample(fraction, seed)
    return statistics(features(sample, model, **options), accept_other_engine=accept_other_engine)


def statistics(frame: DataFrame, *, accept_other_engine: bool = False) -> Statistics:
    """The exact statistics of the good images' features.

    Args:
        frame: what `features` returned
        accept_other_engine: take rows of executors that differ in the engine's version or settings, the processor, the
            model's bytes or the readers of images

    Raises:
        JobMismatchError: the executors differ, and that is not accepted; the message lists them
        InvalidArgumentError: there is no good image

    Warns:
        FewImagesWarning: there are few images
    """
    return parts.statistics_of([gathered(frame)], accept_other_engine)


def gathered(frame: DataFrame) -> parts.Part:
    """What `statistics` needs of all rows."""

    def of_partition(batches: _Batches) -> _Batches:
        return _row(parts.merged(_part(batch) for batch in batches))

    def merge(batches: _Batches) -> _Batches:
        return _row(parts.merged(part for batch in batches for part in parts.parts_of(batch)))

    kept = frame.select("features", "status", "reason", "engine")
    found = _in_workers(kept, of_partition, _PART)
    merged = _in_workers(found.repartition(_mergers(frame)), merge, _PART)
    return parts.merged(_collected(merged.collect()))


def _mergers(frame: DataFrame) -> int:
    """The tasks that merge: more than there are processors would only cost their starts."""
    try:
        return min(_MERGERS, frame.sparkSession.sparkContext.defaultParallelism)
    except PySparkAttributeError:  # a client of Spark Connect does not see the processors
        return _MERGERS


_PART = StructType(
    [
        StructField("saved", BinaryType()),
        StructField("engines", ArrayType(StringType())),
        StructField("good", LongType()),
        StructField("bad", LongType()),
        StructField("reason", StringType()),
    ]
)


def _part(batch: pyarrow.RecordBatch) -> parts.Part:
    return parts.part_of(
        matrix(batch.column("features")),
        batch.column("status").to_numpy(),
        batch.column("reason").to_pylist(),
        batch.column("engine").unique().to_pylist(),
    )


def _row(part: parts.Part) -> _Batches:
    """A part as a row; nothing for nothing."""
    yield from parts.table_of(part).to_batches() if part != parts.NOTHING else ()


def _collected(rows: Iterable[Any]) -> Iterator[parts.Part]:
    return (parts.Part(**row.asDict()) for row in rows)


def codes(
    frame: DataFrame, statistics: Statistics, *, lower: float = LOWER, upper: float = UPPER, packed: bool = False
) -> DataFrame:
    """The ternary codes.

    Args:
        frame: what `features` returned
        statistics: those of all images, or of the training images
        lower, upper: the thresholds, as in `fne.ternarize`
        packed: make the column "packed", as `embed` does, in place of "codes". Spark copies lists value by value, so
            this is faster too.

    Returns:
        the frame with the column "codes" (array<tinyint> of the features' shape, -128 where an image failed) in place
        of "features"
    """
    coder = parts.Coder(statistics, lower, upper)
    kept = [field for field in frame.schema.fields if field.name != "features"]
    nested = frame.schema["features"].dataType

    def code(batches: _Batches) -> _Batches:
        for batch in batches:
            if len(batch):
                columns_kept = [batch.column(field.name) for field in kept]
                made = make(matrix(batch.column("features")), batch.column("status").to_numpy())
                yield pyarrow.RecordBatch.from_arrays([*columns_kept, made], names)

    def make(rows: NDArray[Any], statuses: NDArray[Any]) -> Any:
        if packed:
            return worker.packed_column(coder.packed(rows, statuses), statuses)
        return _lists(coder(rows, statuses), numpy.int8)

    inner = ArrayType(ByteType(), False)
    is_deep = isinstance(nested, ArrayType) and isinstance(nested.elementType, ArrayType)
    listed = StructField("codes", ArrayType(inner, False) if is_deep else inner)
    schema = StructType([*kept, StructField("packed", BinaryType()) if packed else listed])
    names = schema.names
    return _in_workers(frame, code, schema)

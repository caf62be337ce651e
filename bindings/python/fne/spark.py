"""Apache Spark: the embedding of a data set on a cluster. It needs `pip install fne[spark]` and Java 17.

Workers run the Python that PYSPARK_PYTHON names, where `fne` must be installed. Each worker holds an extractor and
keeps it (spark.python.worker.reuse, which is the default). Statistics are exact, so Spark may merge them in any order.
The executors make and write the codes. The bits are those of one process with the same batch size and engine threads,
on the same kind of processor.

>>> import fne.spark  # doctest: +SKIP
>>> paths = spark.createDataFrame([(path,) for path in files], ["path"]).repartition(8)  # doctest: +SKIP
>>> rows = fne.spark.features(paths, "/shared/network.pb", size=(224, 224)).cache()  # doctest: +SKIP
>>> statistics = fne.spark.statistics(rows)  # doctest: +SKIP
>>> fne.spark.codes(rows, statistics).write.parquet("/shared/codes")  # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy
import pandas
from pyspark.sql import DataFrame
from pyspark.sql.functions import pandas_udf  # type: ignore[attr-defined]
from pyspark.sql.types import (
    ArrayType,
    BinaryType,
    ByteType,
    FloatType,
    IntegerType,
    StringType,
    StructField,
    StructType,
)

from fne import _distributed
from fne._statistics import Statistics
from fne._thresholds import LOWER, UPPER

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from fne._options import ExtractorOptions


def features(frame: DataFrame, model: Any, *, column: str = "path", **extractor: Unpack[ExtractorOptions]) -> DataFrame:
    """The pooled features of images.

    The result is lazy. Before it is used twice, `cache()` it, or write it and read it again.

    Args:
        frame: a frame with a column of images: paths that every executor can read, or encoded images as bytes.
            `fne.list_images` makes paths of a folder. Each of its partitions becomes a task.
        model: what `fne.Model` takes, or a `Model`. A path must be one that every executor can read. A PyTorch module,
            a Keras model and a network such as "timm:resnet50" are exported here, once, and the file travels.
        column: the column of the images
        extractor: the options of `fne.Extractor`. Batches are padded, and bad images are skipped. streams and
            loader_threads are 1 unless they are given.

    Returns:
        the frame with three more columns: "features" (array<float>, NaN where an image failed), "status" (0, or the
        number of the error in fne.h) and "reason"
    """
    travelling, options = _distributed.portable(model, extractor)

    def embed(parts: Iterator[pandas.DataFrame]) -> Iterator[pandas.DataFrame]:
        for part in parts:
            for first in range(0, len(part), _distributed.IMAGES_AT_ONCE):
                some = part.iloc[first : first + _distributed.IMAGES_AT_ONCE]
                rows, statuses, reasons = _distributed.features(travelling, options, some[column].tolist())
                yield some.assign(features=list(rows), status=statuses, reason=[reason or "" for reason in reasons])

    added = [
        StructField("features", ArrayType(FloatType(), False)),
        StructField("status", IntegerType()),
        StructField("reason", StringType()),
    ]
    return frame.mapInPandas(embed, StructType([*frame.schema.fields, *added]))


def statistics(frame: DataFrame) -> Statistics:
    """The exact statistics of the good images' features. Spark's aggregation merges them.

    Args:
        frame: what `features` returned
    """

    def partial(parts: Iterator[pandas.DataFrame]) -> Iterator[pandas.DataFrame]:
        saved = _distributed.statistics_of((_matrix(part), part["status"].to_numpy()) for part in parts if len(part))
        if saved is not None:
            yield pandas.DataFrame({"partial": [saved]})

    @pandas_udf(BinaryType())  # type: ignore[untyped-decorator]
    def merge(parts: pandas.Series) -> bytes:
        return _distributed.merged(parts)

    partials = frame.select("features", "status").mapInPandas(
        partial, StructType([StructField("partial", BinaryType())])
    )
    row = partials.agg(merge("partial").alias("statistics")).first()
    return Statistics.from_bytes(bytes(row["statistics"]))  # type: ignore[index]


def codes(frame: DataFrame, statistics: Statistics, *, lower: float = LOWER, upper: float = UPPER) -> DataFrame:
    """The ternary codes.

    Args:
        frame: what `features` returned
        statistics: those of all images, or of the training images
        lower, upper: the thresholds, as in `fne.ternarize`

    Returns:
        the frame with the column "codes" (array<tinyint>, -128 where an image failed) in place of "features"
    """
    saved = statistics.to_bytes()

    def code(parts: Iterator[pandas.DataFrame]) -> Iterator[pandas.DataFrame]:
        coder = _distributed.Coder(saved, lower, upper)
        for part in parts:
            if not len(part):
                continue
            yield part.drop(columns="features").assign(codes=list(coder(_matrix(part), part["status"].to_numpy())))

    kept = [field for field in frame.schema.fields if field.name != "features"]
    return frame.mapInPandas(code, StructType([*kept, StructField("codes", ArrayType(ByteType(), False))]))


def _matrix(part: pandas.DataFrame) -> Any:
    return numpy.stack([numpy.asarray(row, numpy.float32) for row in part["features"]])

"""Spark's machine learning: the Full-Network Embedding as a stage of a `Pipeline`. It needs `pip install fne[spark]`.

>>> from pyspark.ml import Pipeline  # doctest: +SKIP
>>> from pyspark.ml.classification import LinearSVC  # doctest: +SKIP
>>> from fne.spark_ml import FullNetworkEmbedder  # doctest: +SKIP
>>> embedder = FullNetworkEmbedder(model="/shared/network.pb", size=224, handleInvalid="skip")  # doctest: +SKIP
>>> fitted = Pipeline(stages=[embedder, LinearSVC(regParam=0.01)]).fit(images)  # doctest: +SKIP
>>> fitted.write().overwrite().save("hdfs:///models/flowers")  # doctest: +SKIP

`fit` computes the exact statistics of the images that it is given, and of no others: the bytes are those of
`fne.spark.statistics`. The stage is saved and loaded with its pipeline, on any file system that Spark writes to.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, TypeVar

import numpy
import pyarrow
from numpy.typing import NDArray
from pyspark.ml.base import Estimator, Model
from pyspark.ml.linalg import VectorUDT
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.param.shared import HasInputCol, HasOutputCol
from pyspark.ml.util import (
    DefaultParamsReadable,
    DefaultParamsReader,
    DefaultParamsWritable,
    DefaultParamsWriter,
    MLReadable,
    MLReader,
    MLWritable,
    MLWriter,
)
from pyspark.sql import DataFrame
from pyspark.sql.types import ArrayType, FloatType, StructField, StructType
from pyspark.storagelevel import StorageLevel

from fne import spark
from fne._arguments import choice, listed
from fne._cluster import column as columns
from fne._cluster import parts, worker
from fne._ffi import OK
from fne._statistics import Statistics
from fne._thresholds import LOWER, UPPER
from fne.errors import InvalidArgumentError, InvalidTypeError, JobMismatchError, from_status
from fne.zoo._efficientnet import EFFICIENTNET_LITE0

__all__ = ["FullNetworkEmbedder", "FullNetworkEmbedderModel", "clear_cache"]

_Batches = Iterator[pyarrow.RecordBatch]
_Stage = TypeVar("_Stage", bound="_Parameters")

#: What `fne.spark.features` says of an image, beside its features.
_OUTCOME = ("status", "reason", "engine")
#: The rows that are made vectors of at a time.
_ROWS_AT_ONCE = 256
#: The frames whose features are kept after `fit`.
_MOST_KEPT = 2
_STORAGE_LEVELS = [name for name in dir(StorageLevel) if name.isupper()]


def _plain(value: Any) -> Any:
    """A value that JSON can hold, as a saved stage is JSON."""
    if isinstance(value, numpy.ndarray):
        value = value.tolist()
    try:
        return json.loads(json.dumps(value, default=lambda number: number.item()))
    except (TypeError, ValueError, AttributeError):
        raise InvalidTypeError(
            f"{type(value).__name__} cannot be saved with a pipeline; pass text, numbers or lists of them"
        ) from None


def _network_name(value: Any) -> str:
    if not isinstance(value, (str, os.PathLike)):
        raise InvalidTypeError(
            f"the model is a {type(value).__name__}, which cannot be saved with a pipeline. Save the network to a file "
            "that every executor can read, and pass its path, or a name such as 'timm:resnet50'"
        )
    return os.fsdecode(value)


def _one_of(name: str, names: Iterable[str]) -> Callable[[Any], str]:
    known = {word: word for word in names}
    return lambda value: choice(name, value, known)


def _param(name: str, text: str, convert: Any = _plain) -> Param[Any]:
    return Param(Params._dummy(), name, text, typeConverter=convert)


def _option(name: str) -> Param[Any]:
    return _param(name, f"as in fne.Extractor: {name}")


class _Parameters(HasInputCol, HasOutputCol):
    """The parameters of both stages. Spark's own names are written as Spark does, and the package's as the package."""

    inputCol = _param("inputCol", "the column of images, or of features", TypeConverters.toString)
    outputCol = _param("outputCol", "the column of vectors, which is added", TypeConverters.toString)
    statusCol = _param("statusCol", "an added column: 0, or the number of the error in fne.h", TypeConverters.toString)
    reasonCol = _param("reasonCol", "an added column: why an image is bad", TypeConverters.toString)
    engineCol = _param("engineCol", "an added column: what the last bits depend on", TypeConverters.toString)
    output = _param("output", "what vectors hold: codes or standardized", _one_of("output", ("codes", "standardized")))
    handleInvalid = _param(
        "handleInvalid",
        "what to do with bad images: error, skip or keep",
        _one_of("handleInvalid", ("error", "skip", "keep")),
    )
    intermediateStorageLevel = _param(
        "intermediateStorageLevel",
        "where fit keeps features for transform; NONE keeps nothing",
        _one_of("intermediateStorageLevel", _STORAGE_LEVELS),
    )
    lower = _param("lower", "codes are -1 below it", TypeConverters.toFloat)
    upper = _param("upper", "codes are 1 above it", TypeConverters.toFloat)
    accept_other_engine = _param("accept_other_engine", "take rows of executors that differ", TypeConverters.toBoolean)
    stop_on_failures = _param("stop_on_failures", "end where most images fail", TypeConverters.toBoolean)
    model = _param("model", "the network: a path or a name", _network_name)
    input_tensor = _option("input_tensor")
    layers = _option("layers")
    size = _option("size")
    preset = _option("preset")
    engine = _option("engine")
    resize_mode = _option("resize_mode")
    resize_size = _option("resize_size")
    interpolation = _option("interpolation")
    channel_order = _option("channel_order")
    mean = _option("mean")
    scale = _option("scale")
    batch_size = _option("batch_size")
    loader_threads = _option("loader_threads")
    streams = _option("streams")
    engine_threads = _option("engine_threads")
    device = _option("device")
    gpu_memory_growth = _option("gpu_memory_growth")
    precision = _option("precision")
    float32_layers = _option("float32_layers")
    feeds = _option("feeds")
    channels = _option("channels")
    token_pooling = _option("token_pooling")
    prefix_tokens = _option("prefix_tokens")
    goal = _option("goal")
    decode = _option("decode")

    def __init__(self) -> None:
        super().__init__()
        self._setDefault(
            outputCol="features",
            statusCol="status",
            reasonCol="reason",
            engineCol="engine",
            output="codes",
            handleInvalid="error",
            intermediateStorageLevel="MEMORY_AND_DISK",
            lower=LOWER,
            upper=UPPER,
            accept_other_engine=False,
            stop_on_failures=True,
            model=EFFICIENTNET_LITE0,
        )

    def setParams(self: _Stage, **params: Any) -> _Stage:
        """Sets parameters by their names. None leaves one as it is."""
        known = [param.name for param in self.params]
        for name in params:
            if name not in known:
                raise InvalidArgumentError(f"there is no parameter {name!r}; there are {listed(known)}")
        return self._set(**params)

    def setInputCol(self: _Stage, value: str) -> _Stage:
        """Sets the column of images."""
        return self.setParams(inputCol=value)

    def setOutputCol(self: _Stage, value: str) -> _Stage:
        """Sets the column of vectors."""
        return self.setParams(outputCol=value)

    def setHandleInvalid(self: _Stage, value: str) -> _Stage:
        """Sets what to do with bad images."""
        return self.setParams(handleInvalid=value)

    def _value(self, name: str) -> Any:
        return self.getOrDefault(name) if self.isDefined(name) else None

    def _network(self) -> dict[str, Any]:
        """What decides the features: the model and the extractor's options that are set."""
        given = {name: self._value(name) for name in ("model", *OPTIONS)}
        return {name: value for name, value in given.items() if value is not None}


#: The parameters that are options of `fne.Extractor`. Crops are not among them, as a vector is one row. Limits of
#: images are not, as they are no JSON, and workers pad batches.
OPTIONS = tuple(
    name for name, value in vars(_Parameters).items() if isinstance(value, Param) and value.doc.startswith("as in")
)


class FullNetworkEmbedder(
    _Parameters,
    Estimator["FullNetworkEmbedderModel"],
    DefaultParamsReadable["FullNetworkEmbedder"],
    DefaultParamsWritable,
):
    """Learns the exact statistics of images' features. Its model turns images into vectors.

    Args:
        model: the network: a path that every executor can read, or a name such as "efficientnet_lite0", the default,
            or "timm:resnet50"
        inputCol: the column of images, as in `fne.spark.features`; or the column "features" that function made, whose
            rows then do not go through the network again. Not set: the first of "content", "bytes", "image" and
            "path" that there is
        outputCol: the column of vectors ("features")
        statusCol, reasonCol, engineCol: the columns that say what came of an image, as in `fne.spark.features`
            ("status", "reason", "engine")
        output: "codes" makes vectors of -1, 0 and 1, "standardized" of float64 as `fne.standardize` gives them
        lower, upper: the thresholds of codes, as in `fne.ternarize`
        handleInvalid: "error" ends at bad images. "skip" leaves their rows out. "keep" makes their vectors NaN, which
            Spark's classifiers refuse to be trained on; a prediction for such a row means nothing. With both, `fit`
            leaves bad images out of the statistics and warns.
        intermediateStorageLevel: where `fit` keeps the features, so that `transform` of the same frame, and a further
            fit with other thresholds, do not run the network again. The features of the last two frames are kept until
            `clear_cache`, with the frames' other columns, where paths take less than images. "NONE" keeps nothing.
            ("MEMORY_AND_DISK")
        accept_other_engine, stop_on_failures: as in `fne.spark.statistics` and `fne.spark.features`
        layers, size, preset and the others: the options of `fne.Extractor` but for crops, image_options, pad_batches
            and on_error

    A vector takes 8 bytes per feature.
    """

    def __init__(self, **params: Any) -> None:
        super().__init__()
        self.setParams(**params)

    def _fit(self, dataset: DataFrame) -> FullNetworkEmbedderModel:
        whole = spark.gathered(_rows(self, dataset, keep=True).frame)
        if whole.bad:
            said = f"{whole.bad} of {whole.good + whole.bad} images are bad, such as for this reason: {whole.reason}"
            if self.getOrDefault("handleInvalid") == "error":
                raise InvalidArgumentError(f"{said}. handleInvalid='skip' leaves them out, and 'keep' their vectors")
            warnings.warn(f"{said}. They are not in the statistics", stacklevel=3)
        statistics = parts.statistics_of([whole], self.getOrDefault("accept_other_engine"))
        fitted = FullNetworkEmbedderModel(statistics, whole.engines, self._network())
        return self._copyValues(fitted._resetUid(self.uid))


class FullNetworkEmbedderModel(_Parameters, Model, MLReadable["FullNetworkEmbedderModel"], MLWritable):
    """Turns images into vectors with the statistics of the images that it was fitted on.

    Its parameters are those of `FullNetworkEmbedder`. The ones that decide the features cannot be changed.

    Attributes:
        statistics: the exact `fne.Statistics` of the images of `fit`
        engines: what their features were computed with
        fitted_network: the parameters that decide the features
    """

    def __init__(self, statistics: Statistics, engines: list[str], network: dict[str, Any]) -> None:
        super().__init__()
        self.statistics, self.engines, self.fitted_network = statistics, list(engines), network

    def _transform(self, dataset: DataFrame) -> DataFrame:
        self._refuse_other_options()
        rows = _rows(self, dataset, keep=False)
        kept = [(field, name) for field, name in zip(rows.frame.schema.fields, rows.names, strict=True) if name]
        fields = [StructField(name, field.dataType, field.nullable, field.metadata) for field, name in kept]
        counted = {"ml_attr": {"num_attrs": self.statistics.feature_count}}  # Spark would look for a row otherwise
        added = StructField(self.getOrDefault("outputCol"), VectorUDT(), False, counted)
        vectors = _Vectors(self, [field.name for field, _ in kept])
        return rows.frame.mapInArrow(vectors, StructType([*fields, added]))

    def _refuse_other_options(self) -> None:
        now, fitted = self._network(), self.fitted_network
        changed = [name for name in ("model", *OPTIONS) if now.get(name) != fitted.get(name)]
        if changed:
            raise InvalidArgumentError(
                f"after fit, other values were given to {listed(changed)}. The statistics are of other features; fit "
                "again"
            )

    def write(self) -> MLWriter:
        """What saves this model."""
        return _Writer(self)

    @classmethod
    def read(cls) -> MLReader[FullNetworkEmbedderModel]:
        """What loads a model."""
        return _Reader()


class _Writer(MLWriter):
    """Writes the parameters as Spark does, and beside them a row of Parquet with the statistics."""

    def __init__(self, model: FullNetworkEmbedderModel) -> None:
        super().__init__()
        self._model = model

    def saveImpl(self, path: str) -> None:
        model = self._model
        DefaultParamsWriter.saveMetadata(model, path, self.sparkSession)
        row = (model.statistics.to_bytes(), model.engines, json.dumps(model.fitted_network))
        self.sparkSession.createDataFrame([row], _SAVED).coalesce(1).write.parquet(os.path.join(path, "data"))


#: statistics are the bytes of the file that `fne.Statistics.to_bytes` makes.
_SAVED = "statistics binary, engines array<string>, network string"


class _Reader(MLReader["FullNetworkEmbedderModel"]):
    def load(self, path: str) -> FullNetworkEmbedderModel:
        name = f"{FullNetworkEmbedderModel.__module__}.{FullNetworkEmbedderModel.__name__}"
        metadata = DefaultParamsReader.loadMetadata(path, self.sparkSession, name)
        (row,) = self.sparkSession.read.parquet(os.path.join(path, "data")).collect()
        statistics = Statistics.from_bytes(bytes(row["statistics"]))
        model = FullNetworkEmbedderModel(statistics, row["engines"], json.loads(row["network"]))
        model._resetUid(metadata["uid"])
        DefaultParamsReader.getAndSetParams(model, metadata)
        return model


class _Vectors:
    """Makes vectors of features, in a worker. It can be pickled.

    Args:
        model: the fitted stage
        kept: the columns of the rows that stay
    """

    def __init__(self, model: FullNetworkEmbedderModel, kept: list[str]) -> None:
        self._kept, self._invalid = kept, model.getOrDefault("handleInvalid")
        self._coder = parts.Coder(model.statistics, model.getOrDefault("lower"), model.getOrDefault("upper"))
        self._is_codes = model.getOrDefault("output") == "codes"
        self._networks = {_network_of(engine) for engine in model.engines}
        self._any_network = model.getOrDefault("accept_other_engine")

    def __call__(self, batches: _Batches) -> _Batches:
        for batch in batches:
            for first in range(0, len(batch), _ROWS_AT_ONCE):
                yield from self._of(batch.slice(first, _ROWS_AT_ONCE))

    def _of(self, batch: pyarrow.RecordBatch) -> _Batches:
        self._refuse_other_network(batch.column("engine").unique().to_pylist())
        statuses = batch.column("status").to_numpy()
        bad = numpy.flatnonzero(statuses != OK)
        if len(bad) and self._invalid == "error":
            reason = batch.column("reason")[int(bad[0])].as_py()
            raise from_status(
                int(statuses[bad[0]]), f"{reason}. handleInvalid='skip' leaves bad images out, and 'keep' marks them"
            )
        if self._invalid == "skip":
            batch, statuses = batch.filter(pyarrow.array(statuses == OK)), statuses[statuses == OK]
        if len(batch):
            vectors = _dense(self._values(spark.matrix(batch.column("features")), statuses == OK))
            columns_kept = [batch.column(name) for name in self._kept]
            yield pyarrow.RecordBatch.from_arrays([*columns_kept, vectors], [*self._kept, "vectors"])

    def _values(self, rows: NDArray[Any], good: NDArray[numpy.bool_]) -> NDArray[numpy.float64]:
        values = numpy.full(rows.shape, numpy.nan)
        if good.any():
            kept = numpy.ascontiguousarray(rows[good], numpy.float32)
            values[good] = self._coder.of(kept) if self._is_codes else self._coder.standardized(kept)
        return values

    def _refuse_other_network(self, engines: list[str]) -> None:
        others = {_network_of(engine) for engine in engines} - self._networks
        if others and not self._any_network:
            raise JobMismatchError(
                f"the features are of the network {listed(sorted(others))} and the statistics of "
                f"{listed(sorted(self._networks))} (the first digits of the files' SHA-256); fit again, or pass "
                "accept_other_engine=True"
            )


def _network_of(engine: str) -> str:
    """The checksum of the network, in what `fne.spark.features` says of a row."""
    return str(json.loads(engine)["model"])


def _dense(values: NDArray[numpy.float64]) -> Any:
    """Rows as the structs that Spark stores dense vectors as."""
    count, length = values.shape
    offsets = pyarrow.array(numpy.arange(count + 1, dtype=numpy.int32) * length)
    return pyarrow.StructArray.from_arrays(
        [
            pyarrow.array(numpy.ones(count, numpy.int8)),
            pyarrow.nulls(count, pyarrow.int32()),
            pyarrow.nulls(count, pyarrow.list_(pyarrow.int32())),
            pyarrow.ListArray.from_arrays(offsets, pyarrow.array(values.reshape(-1))),
        ],
        names=["type", "size", "indices", "values"],
    )


# ---- the features of a frame


class _Rows(NamedTuple):
    """A frame with the columns "features", "status", "reason" and "engine".

    names: of the columns, as the stage's result has them; empty: the result lacks the column
    """

    frame: DataFrame
    names: list[str]


class _Kept(NamedTuple):
    source: DataFrame
    key: str
    features: DataFrame


_kept: list[_Kept] = []
_lock = threading.Lock()


def clear_cache() -> None:
    """Frees the features that `fit` keeps."""
    with _lock:
        _forget(0)


def _forget(most: int) -> None:
    while len(_kept) > most:
        with contextlib.suppress(Exception):  # the session may have ended, and what it kept with it
            _kept.pop(0).features.unpersist()


def _rows(stage: _Parameters, dataset: DataFrame, keep: bool) -> _Rows:
    """The features of a frame's images.

    Args:
        keep: keep them for other calls with this frame
    """
    asked = stage.getOrDefault("inputCol") if stage.isDefined("inputCol") else None
    if asked in dataset.columns and isinstance(dataset.schema[asked].dataType, ArrayType):
        return _given(stage, dataset, asked)
    added = [stage.getOrDefault(name) for name in ("statusCol", "reasonCol", "engineCol")]
    column = columns.chosen(dataset.columns, asked, [stage.getOrDefault("outputCol"), *added])
    return _Rows(_features(stage, dataset, column, keep), [*dataset.columns, "", *added])


def _given(stage: _Parameters, dataset: DataFrame, asked: str) -> _Rows:
    """A frame whose features are there."""
    columns.chosen(dataset.columns, asked, [stage.getOrDefault("outputCol")])
    missing = [name for name in _OUTCOME if name not in dataset.columns]
    # Files of Parquet do not keep that there are no nulls, so both types are features.
    is_features = dataset.schema[asked].dataType in (ArrayType(FloatType(), False), ArrayType(FloatType(), True))
    if missing or not is_features:
        raise InvalidArgumentError(
            f"the column {asked!r} is no column 'features' of fne.spark.features, with one row for each image and the "
            f"columns {listed(_OUTCOME)} beside it"
        )
    return _Rows(_renamed(dataset, {asked: "features", **{name: name for name in _OUTCOME}}), dataset.columns)


def _features(stage: _Parameters, dataset: DataFrame, column: str, keep: bool) -> DataFrame:
    options = stage._network()
    stop = stage.getOrDefault("stop_on_failures")
    level = getattr(StorageLevel, stage.getOrDefault("intermediateStorageLevel"))
    key = repr((sorted(options.items()), column, stop, worker.identity(options["model"])))
    with _lock:
        for kept in _kept:
            if kept.source is dataset and kept.key == key:
                return kept.features
        model = options.pop("model")
        renamed = _renamed(dataset, {column: column})
        made = spark.features(renamed, model, column=column, stop_on_failures=stop, **options)
        if keep and level != StorageLevel.NONE:
            _kept.append(_Kept(dataset, key, made.persist(level)))
            _forget(_MOST_KEPT)
        return made


def _renamed(dataset: DataFrame, names: dict[str, str]) -> DataFrame:
    """A frame whose columns have the names that are given, and others such names that are nobody's."""
    return dataset.toDF(*(names.get(name, f"_fne_{number}") for number, name in enumerate(dataset.columns)))

"""scikit-learn: the Full-Network Embedding as transformers. Needs `pip install fne[sklearn]`.

>>> from sklearn.pipeline import make_pipeline  # doctest: +SKIP
>>> from sklearn.svm import LinearSVC  # doctest: +SKIP
>>> classifier = make_pipeline(FullNetworkEmbedder(layers="last:50%"), LinearSVC(C=0.01))  # doctest: +SKIP
>>> classifier.fit(train_paths, train_labels).score(test_paths, test_labels)  # doctest: +SKIP

`fit` learns the statistics of the images that it is given, and nothing of others. Pooled features are cached, so that
cross-validation and a search over `layers`, `lower`, `upper` run the network once for each image.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from fne._embedding import ternarize
from fne._extractor import Extractor, Layer
from fne._model import Model
from fne._selection import select
from fne._statistics import Statistics
from fne.zoo import efficientnet_lite0

__all__ = ["FullNetworkEmbedder", "FullNetworkFeatures", "TernaryDiscretizer", "clear_cache"]

_CACHE_BYTES = 2 << 30
_MOST_EXTRACTORS = 4


class TernaryDiscretizer(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """A matrix of features to codes: standardized by the training rows' exact mean and population deviation, above `upper` 1, below
    `lower` -1, else 0.

    Args:
        lower, upper: thresholds on the standardized value
        rules: as in `fne.ternarize`

    Attributes:
        mean_, scale_: float64 [F]
        statistics_: the exact `fne.Statistics`; they merge
        n_features_in_, feature_names_in_, n_samples_seen_

    Features are taken as float32, what networks give; float64 is rounded. Codes are int8.

    >>> import numpy
    >>> TernaryDiscretizer().fit_transform(numpy.float32([[0, 5], [1, 5], [5, 5]]))
    array([[-1,  0],
           [-1,  0],
           [ 1,  0]], dtype=int8)
    """

    def __init__(self, *, lower: float = -0.25, upper: float = 0.15, rules: str = "documented") -> None:
        self.lower = lower
        self.upper = upper
        self.rules = rules

    def fit(self, X: Any, y: Any = None) -> TernaryDiscretizer:
        """Learns mean and deviation of float [n, F]."""
        self.statistics_: Statistics | None = None
        return self.partial_fit(X)

    def partial_fit(self, X: Any, y: Any = None) -> TernaryDiscretizer:
        """Adds rows to those seen; the result is the same, to the bit, for any division of the rows."""
        first = getattr(self, "statistics_", None) is None
        X = validate_data(self, X, dtype=numpy.float32, reset=first)
        if first:
            self.statistics_ = Statistics(X.shape[1])
        assert self.statistics_ is not None
        self.statistics_.update(X)
        self.mean_, self.scale_ = self.statistics_.mean(), self.statistics_.std()
        self.n_samples_seen_ = self.statistics_.count
        return self

    def transform(self, X: Any) -> NDArray[numpy.int8]:
        """int8 [n, F]."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=numpy.float32, reset=False)
        return ternarize(X, self.mean_, self.scale_, lower=self.lower, upper=self.upper, rules=self.rules)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []  # codes are int8, whatever the features are
        return tags


class _NetworkTransformer(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """What both network transformers have in common: images in."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = []
        tags.requires_fit = True
        return tags


class FullNetworkFeatures(_NetworkTransformer):
    """Images to pooled float32 features.

    Args:
        model: what `fne.Model` takes, but a path, bytes or a GraphDef; None: the default network, `fne.zoo.efficientnet_lite0()`
        layers: names, globs, "all", "last:25%", or a list of these; None: all default layers
        size, channel_order, mean, scale, resize_mode, interpolation, precision, batch_size: as in `fne.Extractor`
        cache: None: none; "memory": of this process, up to 2 GB; a folder: a file for each image there, for many processes and days

    Attributes:
        layers_: `fne.Layer` of each layer, with its columns
        n_features_out_: F

    X is a sequence of paths, of encoded images as bytes, of RGB pixels uint8 [height, width, 3], or one array of such pixels.
    """

    def __init__(
        self,
        model: Any = None,
        *,
        layers: str | Sequence[str] | None = None,
        size: tuple[int, int] | None = None,
        channel_order: str = "rgb",
        mean: float | Sequence[float] = 0.0,
        scale: float | Sequence[float] = 1.0,
        resize_mode: str = "stretch",
        interpolation: str = "bilinear",
        precision: str = "float32",
        batch_size: int = 4,
        cache: str | os.PathLike[str] | None = "memory",
    ) -> None:
        self.model = model
        self.layers = layers
        self.size = size
        self.channel_order = channel_order
        self.mean = mean
        self.scale = scale
        self.resize_mode = resize_mode
        self.interpolation = interpolation
        self.precision = precision
        self.batch_size = batch_size
        self.cache = cache

    def fit(self, X: Any = None, y: Any = None) -> FullNetworkFeatures:
        """Learns nothing of the images: which columns there are."""
        self._resolve()
        return self

    def _resolve(self) -> _Network:
        network = _network(self)
        chosen = select(self.layers, [layer.name for layer in network.layers], network.default)
        self.layers_: list[Layer] = []
        columns, first = [], 0
        for number in chosen:
            layer = network.layers[number]
            count = layer.features.stop - layer.features.start
            columns.append(numpy.arange(layer.features.start, layer.features.stop))
            self.layers_.append(layer._replace(features=slice(first, first + count)))
            first += count
        self._columns = numpy.concatenate(columns)
        self.n_features_out_ = first
        return network

    def transform(self, X: Any) -> NDArray[numpy.float32]:
        """float32 [n, F]."""
        check_is_fitted(self)
        network = _network(self)
        items = list(X)
        if not items:
            return numpy.empty((0, self.n_features_out_), numpy.float32)
        rows: NDArray[numpy.float32] = network.features(items, self.cache)[:, self._columns]
        return rows

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:
        """ "layer_3" for the fourth feature of each layer."""
        check_is_fitted(self)
        return numpy.array(
            [f"{layer.name}_{i}" for layer in self.layers_ for i in range(layer.features.stop - layer.features.start)],
            dtype=object,
        )


class FullNetworkEmbedder(_NetworkTransformer):
    """Images to ternary codes: `FullNetworkFeatures`, then `TernaryDiscretizer` with the statistics of the images of `fit`.

    Args:
        model, layers, size, channel_order, mean, scale, resize_mode, interpolation, precision, batch_size, cache: as in
            `FullNetworkFeatures`
        lower, upper, rules: as in `TernaryDiscretizer`

    Attributes:
        features_, discretizer_: the two, fitted
        layers_, n_features_out_: the first one's
    """

    def __init__(
        self,
        model: Any = None,
        *,
        layers: str | Sequence[str] | None = None,
        lower: float = -0.25,
        upper: float = 0.15,
        rules: str = "documented",
        size: tuple[int, int] | None = None,
        channel_order: str = "rgb",
        mean: float | Sequence[float] = 0.0,
        scale: float | Sequence[float] = 1.0,
        resize_mode: str = "stretch",
        interpolation: str = "bilinear",
        precision: str = "float32",
        batch_size: int = 4,
        cache: str | os.PathLike[str] | None = "memory",
    ) -> None:
        self.model = model
        self.layers = layers
        self.lower = lower
        self.upper = upper
        self.rules = rules
        self.size = size
        self.channel_order = channel_order
        self.mean = mean
        self.scale = scale
        self.resize_mode = resize_mode
        self.interpolation = interpolation
        self.precision = precision
        self.batch_size = batch_size
        self.cache = cache

    def fit(self, X: Any, y: Any = None) -> FullNetworkEmbedder:
        """Learns mean and deviation of these images' features."""
        self._fit(X)
        return self

    def _fit(self, X: Any) -> NDArray[numpy.float32]:
        own = {
            name: value
            for name, value in self.get_params(deep=False).items()
            if name not in ("lower", "upper", "rules")
        }
        self.features_ = FullNetworkFeatures(**own).fit(X)
        self.layers_, self.n_features_out_ = self.features_.layers_, self.features_.n_features_out_
        rows: NDArray[numpy.float32] = self.features_.transform(X)
        self.discretizer_ = TernaryDiscretizer(lower=self.lower, upper=self.upper, rules=self.rules).fit(rows)
        return rows

    def fit_transform(self, X: Any, y: Any = None) -> NDArray[numpy.int8]:
        """`fit`, and the codes of the same images."""
        rows = self._fit(X)
        codes: NDArray[numpy.int8] = self.discretizer_.transform(rows)
        return codes

    def transform(self, X: Any) -> NDArray[numpy.int8]:
        """int8 [n, F]."""
        check_is_fitted(self)
        rows = self.features_.transform(X)
        return numpy.empty(rows.shape, numpy.int8) if not len(rows) else self.discretizer_.transform(rows)

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:
        """As `FullNetworkFeatures.get_feature_names_out`."""
        check_is_fitted(self)
        return self.features_.get_feature_names_out()


# ---- the network, and what it gave before


class _Network:
    """An extractor of all layers, and the rows that it gave."""

    def __init__(self, model: Model, options: dict[str, Any], identity: str) -> None:
        self._identity = identity
        tensors = [tensor for tensor in model.tensors() if tensor.is_default or tensor.is_classifier]
        self.default = [tensor.is_default for tensor in tensors]
        self._extractor = Extractor(model, layers=[tensor.name for tensor in tensors], pad_batches=True, **options)
        self.layers = self._extractor.layers

    def features(self, items: Sequence[Any], cache: str | os.PathLike[str] | None) -> NDArray[numpy.float32]:
        """float32 [n, all layers' features]."""
        if cache is None:
            return self._extractor.extract(items).features
        store = _memory if cache == "memory" else _Folder(Path(cache))
        keys = [f"{self._identity}-{_image_key(item)}" for item in items]
        rows: dict[str, NDArray[numpy.float32]] = {}
        missing: dict[str, Any] = {}
        for key, item in zip(keys, items, strict=True):
            if key in rows or key in missing:
                continue
            known = store.get(key)
            if known is None:
                missing[key] = item
            else:
                rows[key] = known
        if missing:
            computed = self._extractor.extract(list(missing.values())).features
            for key, row in zip(missing, computed, strict=True):
                rows[key] = row
                store.put(key, row)
        return numpy.stack([rows[key] for key in keys])


class _Memory:
    """Rows of this process, the latest used up to a limit."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._rows: OrderedDict[str, NDArray[numpy.float32]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, key: str) -> NDArray[numpy.float32] | None:
        with self._lock:
            row = self._rows.get(key)
            if row is not None:
                self._rows.move_to_end(key)
            return row

    def put(self, key: str, row: NDArray[numpy.float32]) -> None:
        with self._lock:
            if key not in self._rows:
                self._rows[key] = row.copy()
                self._bytes += row.nbytes
            while self._bytes > self._limit:
                self._bytes -= self._rows.popitem(last=False)[1].nbytes

    def clear(self) -> None:
        with self._lock:
            self._rows.clear()
            self._bytes = 0


class _Folder:
    """A file for each row, there whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, key: str) -> NDArray[numpy.float32] | None:
        try:
            row: NDArray[numpy.float32] = numpy.load(self._folder / (key + ".npy"), allow_pickle=False)
            return row
        except (OSError, ValueError):
            return None

    def put(self, key: str, row: NDArray[numpy.float32]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=self._folder, suffix=".new")
        with os.fdopen(descriptor, "wb") as file:
            numpy.save(file, row)
        os.replace(temporary, self._folder / (key + ".npy"))


_memory = _Memory(_CACHE_BYTES)
_networks: OrderedDict[str, _Network] = OrderedDict()
_networks_lock = threading.Lock()


def clear_cache() -> None:
    """Forgets the features in memory and closes the networks that this module holds open."""
    _memory.clear()
    with _networks_lock:
        _networks.clear()


def _network(owner: Any) -> _Network:
    """The network of an estimator's parameters, opened once."""
    options = {
        name: getattr(owner, name)
        for name in (
            "size",
            "channel_order",
            "mean",
            "scale",
            "resize_mode",
            "interpolation",
            "precision",
            "batch_size",
        )
    }
    model = efficientnet_lite0() if owner.model is None else owner.model
    described = repr(
        [(name, numpy.asarray(value).tolist() if value is not None else None) for name, value in options.items()]
    )
    identity = hashlib.sha256(f"{_model_key(model)} {described}".encode()).hexdigest()[:24]
    with _networks_lock:
        if identity not in _networks:
            _networks[identity] = _Network(model if isinstance(model, Model) else Model(model), options, identity)
            if len(_networks) > _MOST_EXTRACTORS:
                _networks.popitem(last=False)
        _networks.move_to_end(identity)
        return _networks[identity]


def _model_key(model: Any) -> str:
    if isinstance(model, Model):
        return model.sha256()
    if isinstance(model, (str, os.PathLike)):
        facts = os.stat(model)
        return f"{os.path.abspath(model)} {facts.st_size} {facts.st_mtime_ns}"
    data = model.SerializeToString(deterministic=True) if hasattr(model, "SerializeToString") else bytes(model)
    return hashlib.sha256(data).hexdigest()


def _image_key(item: Any) -> str:
    """A file by its place, size and time of change; else by its bytes."""
    if isinstance(item, (str, os.PathLike)):
        facts = os.stat(item)
        text = f"{os.path.abspath(item)} {facts.st_size} {facts.st_mtime_ns}".encode("utf-8", "surrogateescape")
        return hashlib.sha256(text).hexdigest()[:40]
    if isinstance(item, numpy.ndarray):
        return hashlib.sha256(
            repr((item.dtype.str, item.shape)).encode() + numpy.ascontiguousarray(item).tobytes()
        ).hexdigest()[:40]
    return hashlib.sha256(bytes(item)).hexdigest()[:40]

"""scikit-learn: the Full-Network Embedding as transformers. They need `pip install fne[sklearn]`.

>>> from sklearn.pipeline import make_pipeline  # doctest: +SKIP
>>> from sklearn.svm import LinearSVC  # doctest: +SKIP
>>> classifier = make_pipeline(FullNetworkEmbedder(layers="last:50%"), LinearSVC(C=0.01))  # doctest: +SKIP
>>> classifier.fit(train_paths, train_labels).score(test_paths, test_labels)  # doctest: +SKIP

`fit` learns the statistics of the images that it is given, and of no others. Pooled features are cached. So
cross-validation, and a search over `layers`, `lower` and `upper`, run the network once for each image.
"""

from __future__ import annotations

import hashlib
import io
import os
import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from fne._arguments import as_count, as_path, is_pillow_image, refuse_masked
from fne._cache import write_atomically
from fne._centring import FEWEST_ROWS, centred_l2, mean_row
from fne._embedding import SKIPPED_CODE, ternarize
from fne._extractor import Extractor
from fne._ffi import FEW_IMAGES
from fne._images import ImageOptions, read_image
from fne._keras_graph import identity as keras_identity
from fne._keras_graph import keras_of
from fne._kinds import as_images, kind
from fne._layer import Layer, column_numbers, side_by_side
from fne._model import Model, TensorInfo, as_model
from fne._model_source import named
from fne._preprocessing import Preprocessing
from fne._preprocessing_choice import beside_model
from fne._selection import select
from fne._statistics import Statistics
from fne._thresholds import LOWER, UPPER
from fne._torch_export import is_torch_module
from fne._torch_identity import identity as torch_identity
from fne.errors import FewImagesWarning, NotFiniteError, SkippedImagesWarning, UnknownTensorError
from fne.zoo._efficientnet import EFFICIENTNET_LITE0

__all__ = [
    "CentredL2",
    "FewShotEmbedder",
    "FullNetworkEmbedder",
    "FullNetworkFeatures",
    "TernaryDiscretizer",
    "clear_cache",
]

_CACHE_BYTES = 2 << 30
_MOST_EXTRACTORS = 4

#: The parameters of the estimators that are options of `fne.Extractor`.
_EXTRACTOR_OPTIONS = (
    "size",
    "preset",
    "channel_order",
    "mean",
    "scale",
    "resize_mode",
    "interpolation",
    "decode",
    "precision",
    "batch_size",
    "crops",
    "image_options",
    "device",
    "on_error",
)


class TernaryDiscretizer(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Turns a matrix of features into codes.

    A feature is standardized by the training rows' exact mean and population deviation. Above `upper` its code is 1,
    below `lower` it is -1, else 0. Features are taken as float32, which networks give; float64 is rounded. Codes are
    int8.

    Args:
        lower, upper: the thresholds on the standardized value
        rules: as in `fne.ternarize`

    Attributes:
        mean_, scale_: float64 [F]
        statistics_: the exact `fne.Statistics`, which can be merged
        n_features_in_, feature_names_in_, n_samples_seen_: as scikit-learn defines them

    >>> import numpy
    >>> TernaryDiscretizer().fit_transform(numpy.float32([[0, 5], [1, 5], [5, 5]]))
    array([[-1,  0],
           [-1,  0],
           [ 1,  0]], dtype=int8)
    """

    def __init__(self, *, lower: float = LOWER, upper: float = UPPER, rules: str = "documented") -> None:
        self.lower = lower
        self.upper = upper
        self.rules = rules

    def fit(self, X: Any, y: Any = None) -> TernaryDiscretizer:
        """Learns the mean and the deviation of the rows of X, float [n, F]."""
        self.statistics_: Statistics | None = None
        return self.partial_fit(X)

    def partial_fit(self, X: Any, y: Any = None) -> TernaryDiscretizer:
        """Adds rows to those seen. The result has the same bits for any division of the rows."""
        first = getattr(self, "statistics_", None) is None
        refuse_masked("X", X)
        X = validate_data(self, X, dtype=numpy.float32, reset=first)
        if first:
            self.statistics_ = Statistics(X.shape[1])
        assert self.statistics_ is not None
        self.statistics_.update(X)
        self.mean_, self.scale_ = self.statistics_.mean(), self.statistics_.std()
        self.n_samples_seen_ = self.statistics_.count
        return self

    def transform(self, X: Any) -> NDArray[numpy.int8]:
        """The codes, int8 [n, F]."""
        check_is_fitted(self)
        refuse_masked("X", X)
        X = validate_data(self, X, dtype=numpy.float32, reset=False)
        return ternarize(X, self.mean_, self.scale_, lower=self.lower, upper=self.upper, rules=self.rules)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []  # codes are int8 for features of any type
        return tags


class CentredL2(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Subtracts the mean of the rows that it was fitted on, and divides each row by its L2 norm.

    Codes and activations have an offset in common, which says nothing about an image and shifts every cosine. A row
    that is the mean itself becomes zero.

    Args:
        with_mean: whether the mean is subtracted. The mean of a handful of rows says more of them than of others.

    Attributes:
        mean_: float64 [F]; None without a mean
        n_features_in_, feature_names_in_, n_samples_seen_: as scikit-learn defines them

    >>> import numpy
    >>> CentredL2().fit_transform(numpy.float32([[1, 5], [1, 9], [4, 7]]))
    array([[-0.4472136, -0.8944272],
           [-0.4472136,  0.8944272],
           [ 1.       ,  0.       ]], dtype=float32)
    """

    def __init__(self, *, with_mean: bool = True) -> None:
        self.with_mean = with_mean

    def fit(self, X: Any, y: Any = None) -> CentredL2:
        """Learns the mean of the rows of X, [n, F]. Float32 stays float32; other types become float64.

        Raises:
            NotFiniteError: values are so large that their sum is infinite
        """
        refuse_masked("X", X)
        X = validate_data(self, X, dtype=(numpy.float64, numpy.float32))
        self.n_samples_seen_ = len(X)
        self.mean_ = None
        if self.with_mean:
            with numpy.errstate(over="ignore"):
                self.mean_ = mean_row(X)
            if not numpy.isfinite(self.mean_).all():
                raise NotFiniteError(
                    "the mean of X is not finite: the values are too large to be summed; divide them by a number first"
                )
        return self

    def transform(self, X: Any) -> NDArray[Any]:
        """The centred rows over their norms, float [n, F]."""
        check_is_fitted(self)
        refuse_masked("X", X)
        X = validate_data(self, X, dtype=(numpy.float64, numpy.float32), reset=False)
        return centred_l2(X, self.mean_)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


class _NetworkTransformer(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """The tags of the transformers that take images."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = []
        tags.requires_fit = True
        return tags


class FullNetworkFeatures(_NetworkTransformer):
    """Turns images into pooled float32 features.

    X is a folder, or a sequence of paths, of encoded images as bytes, of RGB pixels as uint8 [height, width, 3] or of
    `PIL.Image.Image`; or one array of such pixels.

    Args:
        model: what `fne.Extractor` takes, such as a path, a Keras model, a `torch.nn.Module` with `size`, or a
            `fne.Model`; None: the default network, `fne.zoo.efficientnet_lite0()`
        layers: names, globs, "all", "last:25%", "penultimate", or a list of these; None: all default layers. Layers of
            Keras models may be called by their Keras names.
        size, preset, channel_order, mean, scale, resize_mode, interpolation, decode, precision, batch_size,
            image_options, device: as in `fne.Extractor`
        crops: 1 or 10, as in `fne.Extractor`. The row of an image is the mean of its crops' rows, since scikit-learn
            takes one row for each image.
        on_error: "raise" raises at the first bad image. "skip" makes its row NaN, with a `fne.SkippedImagesWarning`
            that names it.
        cache: "memory" keeps up to 2 GB of rows in this process. A folder keeps a file per image, for other processes
            and later runs. None keeps nothing.

    Attributes:
        layers_: the `fne.Layer` of each layer, with its columns
        n_features_out_: F
    """

    def __init__(
        self,
        model: Any = None,
        *,
        layers: str | Sequence[str] | None = None,
        size: int | tuple[int, int] | None = None,
        preset: str | Preprocessing | None = None,
        channel_order: str | None = None,
        mean: float | Sequence[float] | None = None,
        scale: float | Sequence[float] | None = None,
        resize_mode: str | None = None,
        interpolation: str | None = None,
        decode: str = "full",
        precision: str = "float32",
        batch_size: int | None = None,
        crops: int = 1,
        image_options: ImageOptions | None = None,
        device: str | None = None,
        on_error: str = "raise",
        cache: str | os.PathLike[str] | None = "memory",
    ) -> None:
        self.model = model
        self.layers = layers
        self.size = size
        self.preset = preset
        self.channel_order = channel_order
        self.mean = mean
        self.scale = scale
        self.resize_mode = resize_mode
        self.interpolation = interpolation
        self.decode = decode
        self.precision = precision
        self.batch_size = batch_size
        self.crops = crops
        self.image_options = image_options
        self.device = device
        self.on_error = on_error
        self.cache = cache

    def fit(self, X: Any = None, y: Any = None) -> FullNetworkFeatures:
        """Finds the layers and their columns. It learns nothing from the images."""
        self._resolve()
        return self

    def _resolve(self) -> None:
        model, _ = _opened(self.model, self.size)
        selectors = model.resolved(self.layers)
        self._further = _further_tensors(model, selectors)
        network = _network(self, self._further)
        chosen = select(selectors, [layer.name for layer in network.layers], network.default)
        layers = [network.layers[number] for number in chosen]
        self.layers_: list[Layer] = side_by_side(layers)
        self._columns = column_numbers(layers)
        self.n_features_out_ = len(self._columns)

    def transform(self, X: Any) -> NDArray[numpy.float32]:
        """The features, float32 [n, F]."""
        check_is_fitted(self)
        network = _network(self, self._further)
        items = as_images("X", X)
        if not items:
            return numpy.empty((0, self.n_features_out_), numpy.float32)
        rows: NDArray[numpy.float32] = network.features(items, self.cache)[:, self._columns]
        return rows

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:
        """A name for each column: the layer's name, "_", and the number of the feature in the layer, from 0 on."""
        check_is_fitted(self)
        return numpy.array(
            [f"{layer.name}_{i}" for layer in self.layers_ for i in range(layer.feature_count)],
            dtype=object,
        )


class FullNetworkEmbedder(_NetworkTransformer):
    """Turns images into ternary codes.

    It is a `FullNetworkFeatures`, and after it a `TernaryDiscretizer` with the statistics of the images of `fit`.

    Args:
        model, layers, size, preset, channel_order, mean, scale, resize_mode, interpolation, decode, precision,
            batch_size, crops, image_options, device, cache: as in `FullNetworkFeatures`
        on_error: "raise" raises at the first bad image. "skip" leaves it out of the statistics, and makes its codes
            `fne.SKIPPED_CODE` (-128), with a `fne.SkippedImagesWarning`.
        lower, upper, rules: as in `TernaryDiscretizer`

    Attributes:
        features_, discretizer_: the two transformers, fitted
        layers_, n_features_out_: those of features_
    """

    def __init__(
        self,
        model: Any = None,
        *,
        layers: str | Sequence[str] | None = None,
        lower: float = LOWER,
        upper: float = UPPER,
        rules: str = "documented",
        size: int | tuple[int, int] | None = None,
        preset: str | Preprocessing | None = None,
        channel_order: str | None = None,
        mean: float | Sequence[float] | None = None,
        scale: float | Sequence[float] | None = None,
        resize_mode: str | None = None,
        interpolation: str | None = None,
        decode: str = "full",
        precision: str = "float32",
        batch_size: int | None = None,
        crops: int = 1,
        image_options: ImageOptions | None = None,
        device: str | None = None,
        on_error: str = "raise",
        cache: str | os.PathLike[str] | None = "memory",
    ) -> None:
        self.model = model
        self.layers = layers
        self.lower = lower
        self.upper = upper
        self.rules = rules
        self.size = size
        self.preset = preset
        self.channel_order = channel_order
        self.mean = mean
        self.scale = scale
        self.resize_mode = resize_mode
        self.interpolation = interpolation
        self.decode = decode
        self.precision = precision
        self.batch_size = batch_size
        self.crops = crops
        self.image_options = image_options
        self.device = device
        self.on_error = on_error
        self.cache = cache

    def fit(self, X: Any, y: Any = None) -> FullNetworkEmbedder:
        """Learns the mean and the deviation of these images' features."""
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
        good = rows[_good(rows)]
        if len(good) < FEW_IMAGES:
            warnings.warn(FewImagesWarning(len(good)), stacklevel=3)
        self.discretizer_ = TernaryDiscretizer(lower=self.lower, upper=self.upper, rules=self.rules).fit(good)
        return rows

    def fit_transform(self, X: Any, y: Any = None) -> NDArray[numpy.int8]:
        """Fits, and gives the codes of the same images."""
        return self._made(self._fit(X))

    def transform(self, X: Any) -> NDArray[numpy.int8]:
        """The codes, int8 [n, F]."""
        check_is_fitted(self)
        return self._made(self.features_.transform(X))

    def _made(self, rows: NDArray[numpy.float32]) -> NDArray[numpy.int8]:
        codes, good = numpy.full(rows.shape, SKIPPED_CODE, numpy.int8), _good(rows)
        if good.any():
            codes[good] = self.discretizer_.transform(rows[good])
        return codes

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:
        """A name for each column, as in `FullNetworkFeatures.get_feature_names_out`."""
        check_is_fitted(self)
        return self.features_.get_feature_names_out()


class FewShotEmbedder(_NetworkTransformer):
    """Turns images into rows for classifiers that learn from few images.

    A row has two parts. One is the ternary codes of the later layers, the other what the network's own classifier
    reads. Each part is centred and divided by its L2 norm, so that both weigh the same. With few images of each class
    a linear classifier on these rows is ahead of one on the codes of all layers (docs/results.md).

    The statistics of the codes and the means are learned from the images of `fit`, and from a pool of images without
    labels where one is given. With less than `fewest_images` of both together the parts are not centred.

    Args:
        model, size, preset, channel_order, mean, scale, resize_mode, interpolation, decode, precision, batch_size,
            crops, image_options, device, on_error, cache: as in `FullNetworkFeatures`. With on_error="skip" the
            statistics and the means do not count bad images.
        layers: the layers of the codes, as in `FullNetworkFeatures`
        penultimate: the layers of the other part, as names or globs; None: what the network's classifier reads
        lower, upper, rules: as in `TernaryDiscretizer`
        fewest_images: how many images are enough to be centred on

    Attributes:
        features_, discretizer_: the transformers of images and of codes, fitted
        codes_l2_, penultimate_l2_: the `CentredL2` of each part
        layers_: the `fne.Layer` of each layer that is read, with its columns in features_
        n_features_out_: F

    >>> from sklearn.linear_model import RidgeClassifierCV  # doctest: +SKIP
    >>> embedder = FewShotEmbedder().fit(train_paths, pool=other_paths)  # doctest: +SKIP
    >>> classifier = RidgeClassifierCV(alphas=[0.01, 0.1, 1]).fit(  # doctest: +SKIP
    ...     embedder.transform(train_paths), train_labels
    ... )
    """

    def __init__(
        self,
        model: Any = None,
        *,
        layers: str | Sequence[str] | None = "last:50%",
        penultimate: str | Sequence[str] | None = None,
        lower: float = LOWER,
        upper: float = UPPER,
        rules: str = "documented",
        fewest_images: int = FEWEST_ROWS,
        size: int | tuple[int, int] | None = None,
        preset: str | Preprocessing | None = None,
        channel_order: str | None = None,
        mean: float | Sequence[float] | None = None,
        scale: float | Sequence[float] | None = None,
        resize_mode: str | None = None,
        interpolation: str | None = None,
        decode: str = "full",
        precision: str = "float32",
        batch_size: int | None = None,
        crops: int = 1,
        image_options: ImageOptions | None = None,
        device: str | None = None,
        on_error: str = "raise",
        cache: str | os.PathLike[str] | None = "memory",
    ) -> None:
        self.model = model
        self.layers = layers
        self.penultimate = penultimate
        self.lower = lower
        self.upper = upper
        self.rules = rules
        self.fewest_images = fewest_images
        self.size = size
        self.preset = preset
        self.channel_order = channel_order
        self.mean = mean
        self.scale = scale
        self.resize_mode = resize_mode
        self.interpolation = interpolation
        self.decode = decode
        self.precision = precision
        self.batch_size = batch_size
        self.crops = crops
        self.image_options = image_options
        self.device = device
        self.on_error = on_error
        self.cache = cache

    def fit(self, X: Any, y: Any = None, pool: Any = None) -> FewShotEmbedder:
        """Learns the statistics and the means.

        Args:
            X: images, as in `FullNetworkFeatures`
            pool: further images, whose labels are not known. They are of the same kind as those that are to be told
                apart.

        Raises:
            UnknownTensorError: the network has no classifier, and `penultimate` is not given
        """
        self._fit(X, pool)
        return self

    def fit_transform(self, X: Any, y: Any = None, pool: Any = None) -> NDArray[numpy.float32]:
        """Fits, and gives the rows of the images of X."""
        return self._made(self._fit(X, pool))

    def transform(self, X: Any) -> NDArray[numpy.float32]:
        """The rows, float32 [n, F]."""
        check_is_fitted(self)
        return self._made(self.features_.transform(X))

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:
        """A name for each column, as in `FullNetworkFeatures.get_feature_names_out`.

        Those of the second part begin with "penultimate_".
        """
        check_is_fitted(self)
        names = self.features_.get_feature_names_out()
        return numpy.concatenate([names[self._codes], "penultimate_" + names[self._penultimate]])

    def _fit(self, X: Any, pool: Any) -> NDArray[numpy.float32]:
        model, _ = _opened(self.model, self.size)
        codes, penultimate = _selected(model, self.layers), self._read_by_classifier(model)
        shared = {name: getattr(self, name) for name in ("model", "cache", *_EXTRACTOR_OPTIONS)}
        wanted = [*codes, *(name for name in penultimate if name not in codes)]
        self.features_ = FullNetworkFeatures(layers=wanted, **shared).fit()
        self.layers_ = self.features_.layers_
        self._codes, self._penultimate = (
            column_numbers([layer for layer in self.layers_ if layer.name in names]) for names in (codes, penultimate)
        )
        self.n_features_out_ = len(self._codes) + len(self._penultimate)
        rows: NDArray[numpy.float32] = self.features_.transform(X)
        seen = rows if pool is None else numpy.concatenate([rows, self.features_.transform(pool)])
        seen = seen[_good(seen)]
        self.discretizer_ = TernaryDiscretizer(lower=self.lower, upper=self.upper, rules=self.rules)
        enough = len(seen) >= as_count("fewest_images", self.fewest_images, 0)
        self.codes_l2_, self.penultimate_l2_ = CentredL2(with_mean=enough), CentredL2(with_mean=enough)
        self.codes_l2_.fit(self.discretizer_.fit_transform(seen[:, self._codes]).astype(numpy.float32))
        self.penultimate_l2_.fit(seen[:, self._penultimate])
        return rows

    def _read_by_classifier(self, model: Model) -> list[str]:
        if self.penultimate is not None:
            return _selected(model, self.penultimate)
        names = [tensor.name for tensor in model.tensors() if tensor.is_penultimate]
        if not names:
            raise UnknownTensorError(
                "the network has no classifier whose input could be taken; name a layer with penultimate="
            )
        return names

    def _made(self, rows: NDArray[numpy.float32]) -> NDArray[numpy.float32]:
        result, good = numpy.full((len(rows), self.n_features_out_), numpy.nan, numpy.float32), _good(rows)
        if not good.any():
            return result
        rows = rows[good]
        codes = self.discretizer_.transform(rows[:, self._codes]).astype(numpy.float32)
        parts = [self.codes_l2_.transform(codes), self.penultimate_l2_.transform(rows[:, self._penultimate])]
        result[good] = numpy.concatenate(parts, 1)
        return result


def _good(rows: NDArray[numpy.float32]) -> NDArray[numpy.bool_]:
    """Which rows are of images that could be embedded. A network never gives NaN: that is an error."""
    return numpy.asarray(~numpy.isnan(rows[:, :1]).any(1))


def _selected(model: Model, selectors: str | Sequence[str] | None) -> list[str]:
    """The names of the tensors that selectors select."""
    tensors = model.tensors()
    names = [tensor.name for tensor in tensors]
    default, penultimate = [t.is_default for t in tensors], [t.is_penultimate for t in tensors]
    return [names[number] for number in select(model.resolved(selectors), names, default, penultimate)]


# ---- the network, and the rows that it gave before


class _Network:
    """An extractor of all layers, and of further tensors. Rows that it gave before come from a cache."""

    def __init__(self, model: Model, further: Sequence[str], options: dict[str, Any], identity: str) -> None:
        self._identity = identity
        tensors = _layers(model)
        self.default = [tensor.is_default for tensor in tensors] + [False] * len(further)
        names = [tensor.name for tensor in tensors] + list(further)
        self._extractor = Extractor(model, layers=names, pad_batches=True, **options)
        self._image_options = options["image_options"]
        self.layers = self._extractor.layers

    def features(self, items: Sequence[Any], cache: str | os.PathLike[str] | None) -> NDArray[numpy.float32]:
        """The features of all layers, float32 [n, F]. The rows of bad images are NaN, and are not kept."""
        items = [read_image(item, options=self._image_options) if is_pillow_image(item) else item for item in items]
        if cache is None:
            return self._computed(items, range(len(items)))
        store = _memory if cache == "memory" else _Folder(as_path(cache))
        keys = [f"{self._identity}-{_image_key(item, number)}" for number, item in enumerate(items)]
        rows: dict[str, NDArray[numpy.float32]] = {}
        missing: dict[str, int] = {}
        for place, key in enumerate(keys):
            if key in rows or key in missing:
                continue
            known = store.get(key)
            if known is None:
                missing[key] = place
            else:
                rows[key] = known
        if missing:
            computed = self._computed([items[place] for place in missing.values()], list(missing.values()))
            for key, row, is_good in zip(missing, computed, _good(computed), strict=True):
                rows[key] = row
                if is_good:
                    store.put(key, row)
        return numpy.stack([rows[key] for key in keys])

    def _computed(self, items: Sequence[Any], places: Sequence[int]) -> NDArray[numpy.float32]:
        """The rows of images, each the mean of its crops' rows. A warning names those that are skipped.

        Args:
            places: the numbers of the images in the list that was given
        """
        extraction = self._extractor.extract(items)
        if extraction.reasons:
            names = [_name(items[number]) for number in extraction.reasons]
            skipped = [places[number] for number in extraction.reasons]
            warnings.warn(SkippedImagesWarning(skipped, names, list(extraction.reasons.values())), stacklevel=6)
        rows, crops = extraction.features, self._extractor.rows_per_image
        if crops == 1:
            return rows
        mean: NDArray[numpy.float32] = rows.reshape(len(items), crops, -1).mean(1, numpy.float64).astype(numpy.float32)
        return mean


def _name(item: Any) -> str:
    """An image's name, for a warning."""
    return os.fsdecode(item) if isinstance(item, (str, os.PathLike)) else f"an image of type {type(item).__name__}"


class _Memory:
    """A cache in memory. Beyond the limit, the rows that were used longest ago are dropped."""

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
    """A cache in a folder, with a file per row."""

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
        buffer = io.BytesIO()
        numpy.save(buffer, row)
        write_atomically(self._folder / (key + ".npy"), buffer.getvalue())


_memory = _Memory(_CACHE_BYTES)
_models: OrderedDict[str, _Opened] = OrderedDict()
_networks: OrderedDict[str, _Network] = OrderedDict()
_networks_lock = threading.RLock()


def clear_cache() -> None:
    """Drops the features in memory, and closes the networks that this module holds open."""
    _memory.clear()
    with _networks_lock:
        _models.clear()
        _networks.clear()


Kept = TypeVar("Kept")


def _once(kept: OrderedDict[str, Kept], key: str, make: Callable[[], Kept]) -> Kept:
    """What is kept under a key. The lock is held; what was used longest ago is dropped."""
    if key not in kept:
        kept[key] = make()
        if len(kept) > _MOST_EXTRACTORS:
            kept.popitem(last=False)
    kept.move_to_end(key)
    return kept[key]


def _network(owner: Any, further: Sequence[str]) -> _Network:
    """The network of an estimator's parameters. It is opened once.

    Args:
        further: tensors that are no layers of the network, and are wanted too
    """
    options = {name: getattr(owner, name) for name in _EXTRACTOR_OPTIONS}
    described = repr(
        [(name, numpy.asarray(value).tolist() if value is not None else None) for name, value in options.items()]
    )
    with _networks_lock:
        model, key = _opened(owner.model, owner.size)
        text = f"{key} {described}" + (f" {further}" if further else "")
        if model.engine == "onnxruntime" and owner.preset is None:
            text += f" {beside_model(model)}"  # what stands beside the model says how it is fed
        identity = hashlib.sha256(text.encode()).hexdigest()[:24]
        return _once(_networks, identity, lambda: _Network(model, further, options, identity))


class _Opened(NamedTuple):
    """A model that is kept open, what names it in the cache, and what the files around it were when it was opened."""

    model: Model
    key: str
    facts: str


def _opened(given: Any, size: int | tuple[int, int] | None) -> tuple[Model, str]:
    """The model that a parameter stands for, opened once, and what names it in the cache."""
    source = named(EFFICIENTNET_LITE0 if given is None else given)
    if isinstance(source, Model):
        return source, source.sha256()
    with _networks_lock:
        is_path = isinstance(source, (str, os.PathLike))
        place = os.path.abspath(as_path(source)) if is_path else _identity(source, size)
        facts = _facts(_around(as_path(source))) if is_path else ""
        if place is None or facts is None:
            model = as_model(source, size)
            return model, model.sha256()
        if place in _models and _models[place].facts != facts:
            del _models[place]
        opened = _once(_models, place, lambda: _newly_opened(source, size, place, facts))
        return opened.model, opened.key


def _newly_opened(source: Any, size: int | tuple[int, int] | None, place: str, facts: str) -> _Opened:
    model = as_model(source, size)
    if not facts:
        return _Opened(model, place, facts)
    # Of an ONNX file, only its checksum says which files beside it hold its weights.
    own = None if model.engine == "onnxruntime" else _facts(_parts(as_path(source)))
    return _Opened(model, model.sha256() if own is None else repr((place, own)), facts)


def _identity(source: Any, size: int | tuple[int, int] | None) -> str | None:
    """A checksum of a model that is no file."""
    if is_torch_module(source):
        identity = torch_identity(source)
        return None if identity is None else f"{identity} {size}"
    if keras_of(source) is not None:
        return keras_identity(source)
    if hasattr(source, "SerializeToString"):
        return hashlib.sha256(source.SerializeToString(deterministic=True)).hexdigest()
    return hashlib.sha256(source).hexdigest() if isinstance(source, (bytes, bytearray, memoryview)) else None


#: The files of frozen graphs and of Keras, which have no others beside them.
_ALONE = (".pb", ".keras", ".h5", ".hdf5")
#: With more files in its folder, a model is opened again each time.
_MOST_FILES = 2000


def _parts(path: Path) -> list[Path]:
    """The files of a model: of a folder those in it, at most one more than `_MOST_FILES`."""
    if not os.path.isdir(path):
        return [path]
    return sorted(islice((part for part in path.rglob("*") if os.path.isfile(part)), _MOST_FILES + 1))


def _around(path: Path) -> list[Path]:
    """The files of a model and those in its folder that may be its own: an ONNX file has weights in any of them."""
    return _parts(path if os.path.isdir(path) or path.suffix in _ALONE else path.parent)


def _facts(files: list[Path]) -> str | None:
    """Path, size and time of change of each file; None: these are too many, or cannot be read."""
    if len(files) > _MOST_FILES:
        return None
    try:
        return repr([(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files])
    except OSError:
        return None


def _layers(model: Model) -> list[TensorInfo]:
    return [tensor for tensor in model.tensors() if tensor.is_default or tensor.is_classifier]


def _further_tensors(model: Model, selectors: Sequence[str] | None) -> list[str]:
    """The tensors that a selector alone names and that are no layers, such as a map before its normalization."""
    names = [tensor.name for tensor in model.tensors()]
    layers = {tensor.name for tensor in _layers(model)}
    found: dict[str, None] = {}
    for selector in selectors or []:
        try:
            numbers = select(selector, names)
        except UnknownTensorError:
            continue  # the extractor says so
        if len(numbers) == 1 and names[numbers[0]] not in layers:
            found[names[numbers[0]]] = None
    return list(found)


def _image_key(item: Any, number: int) -> str:
    """What names an image in the cache: of a file its path, size and time of change, else a checksum of its bytes."""
    if kind(item, number) == "path":
        try:
            facts = os.stat(item)
        except (OSError, ValueError):
            return hashlib.sha256(os.fsencode(item)).hexdigest()[:40]  # the extractor says what is wrong
        text = f"{os.path.abspath(item)} {facts.st_size} {facts.st_mtime_ns}".encode("utf-8", "surrogateescape")
        return hashlib.sha256(text).hexdigest()[:40]
    if isinstance(item, numpy.ndarray):
        return hashlib.sha256(
            repr((item.dtype.str, item.shape)).encode() + numpy.ascontiguousarray(item).tobytes()
        ).hexdigest()[:40]
    return hashlib.sha256(bytes(item)).hexdigest()[:40]

"""The classes of fne 1.x: a PyTorch network, its features, a classifier. They need `pip install fne[torch]`.

PyTorch runs the network and averages the activations, on any device. libfne computes statistics, discretization and
normalization. Names, shapes, types and results are those of the fne 1.x package. docs/from-1.x.md lists the errors of
1.x that were corrected.

>>> from fne.fne_torch import FullNetworkEmbedding, vote  # doctest: +SKIP
>>> embedding = FullNetworkEmbedding(vgg, ["features.0", "classifier.3"], sklearn.svm.LinearSVC())  # doctest: +SKIP
>>> embedding.fit(train_loader, with_crops=True, crop_size=224)  # doctest: +SKIP
>>> vote(embedding.predict(test_loader, with_crops=True, crop_size=224))  # doctest: +SKIP
"""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy
import torch
from numpy.typing import NDArray
from torch import nn

from fne._arguments import as_array
from fne._embedding import l2_normalize, ternarize
from fne._statistics import Statistics
from fne._thresholds import LOWER, UPPER
from fne._torch_features import FeatureRows, UnknownLayerError, modules_of
from fne._torch_layout import UnsupportedLayerError
from fne.errors import InvalidArgumentError, NotFiniteError, ShapeMismatchError

__all__ = [
    "FeatureExtractor",
    "FullNetworkEmbedding",
    "L2Norm",
    "NotFittedError",
    "UnknownLayerError",
    "UnsupportedLayerError",
    "vote",
]

_CROPS = 10

#: The attributes that a fitted embedding has, and their names in its state.
_STATISTICS = ("_means", "_stds")


class NotFittedError(InvalidArgumentError, AttributeError):
    """The embedding has no statistics yet: call `fit`, or load the state of a fitted one."""


class FeatureExtractor(nn.Module):
    """The features of a PyTorch network's layers, and a classifier on top of them.

    Objects can be pickled and copied where the network and the classifier can. docs/from-1.x.md says how to save them.
    The network has hooks only while features are computed.

    Args:
        model: the network. Put it into evaluation mode first (`model.eval()`).
        layers: the names of its modules, as `model.named_modules()` gives them. Convolutions of one to three
            dimensions, transposed convolutions and `nn.Linear` are taken. Their outputs are averaged over all
            positions of an image, before any activation. The columns follow the order in which the modules run.
        classifier: an object with `fit(features, labels)` and `predict(features)`, such as one of scikit-learn's

    Raises:
        UnknownLayerError: there is no such module; it is a KeyError too
        UnsupportedLayerError: a module is of another kind, or its output cannot be divided among the images; it is a
            NotImplementedError too
    """

    def __init__(self, model: nn.Module, layers: Iterable[str], classifier: Any) -> None:
        super().__init__()
        self.model = model
        self.layers = list(layers)
        self.classifier = classifier
        self._all_features = torch.Tensor()
        modules_of(model, self.layers)  # raises where a layer cannot be taken

    # ---- features

    def _extract_features(
        self, data: Any, train: bool = True, with_crops: bool = False, crop_size: int | Sequence[int] | None = None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The features, [n, F] on the CPU, and where train is True the labels.

        Features are float64 where the network's outputs are, else float32.
        """
        if self.model.training:
            warnings.warn(
                "the network is in training mode, where dropout and batch normalization change the features from call "
                "to call; call eval() on it first",
                stacklevel=3,
            )
        features = FeatureRows(self.model, self.layers)
        labels: list[torch.Tensor] = [torch.Tensor()]
        for x, y in data:
            for part in self._parts(x, data.batch_size, crop_size) if with_crops else (x,):
                features.add(part)
            if train:
                labels.append(torch.as_tensor(y).repeat_interleave(_CROPS) if with_crops else torch.as_tensor(y))
        if features.missing:
            warnings.warn(
                f"these layers have no features: {', '.join(features.missing)}; the network did not call them, though "
                "it may use their weights; leave them out of the layers",
                stacklevel=3,
            )
        rows = features.all()
        self._all_features = rows.detach()  # tensors of a graph of gradients cannot be copied
        return rows, torch.cat(labels) if train else None

    def _parts(
        self, x: torch.Tensor, size: int | None, crop_size: int | Sequence[int] | None
    ) -> Iterator[torch.Tensor]:
        if crop_size is None:
            raise InvalidArgumentError("with_crops needs crop_size, a side or (height, width)")
        crops = self._compute_crops(x, crop_size)
        step = size or len(crops)
        return (crops[first : first + step] for first in range(0, len(crops), step))

    @staticmethod
    def _compute_crops(batch: torch.Tensor, crop_size: int | Sequence[int]) -> torch.Tensor:
        """The ten crops of each image, [10 n, channels, crop height, crop width] of [n, channels, height, width].

        The crops of an image follow each other: the corners (top left, top right, bottom left, bottom right), the
        centre, and the same five of the mirrored image.
        """
        height, width = (
            (crop_size, crop_size) if isinstance(crop_size, int) else tuple(crop_size) * (3 - len(crop_size))
        )
        bottom, right = batch.shape[-2] - height, batch.shape[-1] - width
        if bottom < 0 or right < 0:
            raise InvalidArgumentError(
                f"crops of {height} x {width} are larger than the images, {batch.shape[-2]} x {batch.shape[-1]}"
            )
        places = [(0, 0), (0, right), (bottom, 0), (bottom, right), (round(bottom / 2), round(right / 2))]
        crops = [
            image[..., top : top + height, left : left + width]
            for image in (batch, batch.flip(-1))
            for top, left in places
        ]
        return torch.stack(crops, 1).flatten(0, 1)

    # ---- the classifier

    def fit(self, train_data: Any, with_crops: bool = False, crop_size: int | Sequence[int] | None = None) -> None:
        """Fits the classifier.

        Args:
            train_data: a `DataLoader` of (images [n, channels, height, width], labels [n])
            with_crops: take ten crops of each image. Each crop is a sample with the image's label.
            crop_size: the side of the crops, or (height, width)
        """
        with torch.no_grad():
            features, labels = self._extract_features(train_data, True, with_crops, crop_size)
            features = self._postprocess(features, train=True)
        assert labels is not None
        self.classifier.fit(features.numpy(), labels.cpu().numpy())

    def predict(
        self, test_data: Any, with_crops: bool = False, crop_size: int | Sequence[int] | None = None
    ) -> NDArray[Any]:
        """The classifier's predictions, [n]. With crops they are [n, 10], and `vote` makes one of ten.

        Args: as in `fit`. The labels are not used.
        """
        with torch.no_grad():
            features, _ = self._extract_features(test_data, False, with_crops, crop_size)
            features = self._postprocess(features, train=False)
        predicted = numpy.asarray(self.classifier.predict(features.numpy()))
        return predicted.reshape(-1, _CROPS) if with_crops else predicted

    @abstractmethod
    def _postprocess(self, features: torch.Tensor, train: bool = True) -> torch.Tensor:
        """What the classifier is given for features [n, F]."""


class FullNetworkEmbedding(FeatureExtractor):
    """Features that are standardized by the training images' mean and sample standard deviation, and discretized.

    Attributes:
        f_minus: the lower threshold; a code is -1 at it and below
        f_plus: the upper threshold; a code is 1 above it

    `state_dict` holds the network's weights and, of a fitted embedding, the statistics `_means` and `_stds`. An
    embedding that loads this state is fitted, but for its classifier.
    """

    _means: torch.Tensor
    _stds: torch.Tensor

    def __init__(self, model: nn.Module, layers: Iterable[str], classifier: Any) -> None:
        super().__init__(model, layers, classifier)
        self.f_plus = UPPER
        self.f_minus = LOWER

    def _learn(self, features: torch.Tensor) -> None:
        """Learns the mean and the sample standard deviation. A single row's deviation is NaN, as with torch.std.

        Those of float32 features are exact, and then rounded to float32.
        """
        nan = torch.full(features.shape[1:], torch.nan, dtype=features.dtype)
        if features.dtype == torch.float64:
            _refuse_not_finite(features)
            self._means, self._stds = features.mean(0), features.std(0) if len(features) > 1 else nan
            return
        with Statistics(features.shape[1]) as statistics:
            statistics.update(features.numpy())
            self._means = torch.from_numpy(statistics.mean().astype(numpy.float32))
            several = len(features) > 1
            self._stds = torch.from_numpy(statistics.std(ddof=1).astype(numpy.float32)) if several else nan

    def _statistics(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The means and the deviations that features are standardized with."""
        if "_stds" not in self.__dict__:
            raise NotFittedError("the embedding is not fitted: call fit, or load the state of a fitted one")
        if len(features) and features.shape[1:] != self._means.shape:
            raise ShapeMismatchError(
                f"the embedding was fitted on {len(self._means)} features; these are {features.shape[1]}"
            )
        return self._means, self._stds

    def _standarize(self, features: torch.Tensor, train: bool = True) -> torch.Tensor:
        if train:
            self._learn(features)
        means, stds = self._statistics(features)
        return (features - means) / stds

    def _discretize(self, features: torch.Tensor) -> torch.Tensor:
        """The codes of standardized features, int64 -1, 0, 1."""
        return torch.bucketize(features, torch.Tensor([self.f_minus, self.f_plus])) - 1

    def _postprocess(self, features: torch.Tensor, train: bool = True) -> torch.Tensor:
        if train:
            self._learn(features)
        means, stds = self._statistics(features)
        if len(features) == 0 or not bool(torch.isfinite(stds).all()):
            return self._discretize(self._standarize(features, train=False))
        if torch.float64 in (features.dtype, means.dtype):
            _refuse_not_finite(features)
            return self._discretize(self._standarize(features, train=False))
        codes = ternarize(
            features.numpy(), means.numpy(), stds.numpy(), lower=self.f_minus, upper=self.f_plus, rules="torch"
        )
        return torch.from_numpy(codes.astype(numpy.int64))

    # ---- the state. The statistics are no buffers: `half` and `to` would convert them, and features are on the CPU.

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        for name in _STATISTICS:
            if name in self.__dict__:
                destination[prefix + name] = getattr(self, name)

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: Any,
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )
        keys = [prefix + name for name in _STATISTICS]
        unexpected_keys[:] = [key for key in unexpected_keys if key not in keys]
        given = [state_dict[key] for key in keys if key in state_dict]
        if len(given) < len(keys):
            if given or "_stds" in self.__dict__:
                missing_keys += [key for key in keys if key not in state_dict]
            return
        if (problem := self._problem(*given)) is not None:
            error_msgs.append(f"{keys[0]} and {keys[1]}: {problem}")
            return
        self._means, self._stds = (
            values.detach().to("cpu", torch.promote_types(values.dtype, torch.float32), copy=True) for values in given
        )

    def _problem(self, means: torch.Tensor, stds: torch.Tensor) -> str | None:
        """Why these cannot be the statistics; None where they can."""
        if not means.is_floating_point() or not stds.is_floating_point():
            return f"they are {means.dtype} and {stds.dtype}; they must be of floating point"
        if means.ndim != 1 or means.shape != stds.shape:
            return f"they have shapes {list(means.shape)} and {list(stds.shape)}; both must be [F]"
        if "_stds" in self.__dict__ and means.shape != self._means.shape:
            return f"they have {len(means)} features; this embedding was fitted on {len(self._means)}"
        return None


def _refuse_not_finite(features: torch.Tensor) -> None:
    bad = torch.nonzero(~torch.isfinite(features))
    if len(bad):
        row, feature = bad[0].tolist()
        raise NotFiniteError(f"row {row}, feature {feature} is {float(features[row, feature])}; it must be finite")


class L2Norm(FeatureExtractor):
    """Features whose rows are divided by their L2 norm. This is how features of a single layer are usually treated."""

    def _postprocess(self, features: torch.Tensor, train: bool = True, test: bool = False) -> torch.Tensor:
        if len(features) == 0:
            return features
        return torch.from_numpy(l2_normalize(features.numpy()))


def vote(predictions: NDArray[Any], decisions: NDArray[Any] | None = None, classes: Any = None) -> NDArray[Any]:
    """One prediction per image from the predictions of its ten crops.

    Args:
        predictions: [n, 10], as `predict` gives them. The class that most crops have wins. Where several classes have
            as many, the one that comes first in the crops' order wins.
        decisions: the classifier's decision values or probabilities, [n * 10, classes], or [n * 10] for two classes.
            Their sums decide, instead of the counts.
        classes: the classifier's `classes_`, which decisions need

    Returns:
        [n]

    >>> import numpy
    >>> vote(numpy.array([["cat", "dog", "cat"], ["dog", "dog", "cat"]]))
    array(['cat', 'dog'], dtype='<U3')
    """
    predictions = as_array("predictions", predictions)
    if predictions.ndim != 2:
        raise InvalidArgumentError(f"predictions have shape {predictions.shape}; they must be [n, crops]")
    if decisions is None:
        counts = (predictions[:, :, None] == predictions[:, None, :]).sum(2)
        return numpy.asarray(predictions[numpy.arange(len(predictions)), counts.argmax(1)])
    if classes is None:
        raise InvalidArgumentError("decisions need the classes that they stand for: classes=classifier.classes_")
    values = as_array("decisions", decisions, numpy.float64)
    if values.ndim == 1:  # of two classes; a value above 0 means the second
        values = numpy.stack([-values, values], axis=1)
    totals = values.reshape(*predictions.shape, -1).sum(1)
    return numpy.asarray(numpy.asarray(classes)[totals.argmax(1)])

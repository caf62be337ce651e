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
from collections.abc import Callable, Iterable, Iterator, Sequence
from difflib import get_close_matches
from typing import Any

import numpy
import torch
from numpy.typing import NDArray
from torch import nn

from fne._embedding import l2_normalize, ternarize
from fne._statistics import Statistics
from fne._thresholds import LOWER, UPPER
from fne.errors import UnknownTensorError

__all__ = ["FeatureExtractor", "FullNetworkEmbedding", "L2Norm", "UnknownLayerError", "vote"]

_CROPS = 10

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


class UnknownLayerError(UnknownTensorError, KeyError):
    """The network has no module of that name. The message lists similar names."""

    __str__ = UnknownTensorError.__str__  # that of KeyError would put the message in quotes


class FeatureExtractor(nn.Module):
    """The features of a PyTorch network's layers, and a classifier on top of them.

    Args:
        model: the network. Put it into evaluation mode first (`model.eval()`).
        layers: the names of its modules, as `model.named_modules()` gives them. Convolutions of one to three
            dimensions, transposed convolutions and `nn.Linear` are taken. Their outputs are averaged over all
            positions, before any activation. The columns follow the order in which the modules run.
        classifier: an object with `fit(features, labels)` and `predict(features)`, such as one of scikit-learn's

    Raises:
        UnknownLayerError: there is no such module; it is a KeyError too
        NotImplementedError: a module is of another kind
    """

    def __init__(self, model: nn.Module, layers: Iterable[str], classifier: Any) -> None:
        super().__init__()
        self.model = model
        self.layers = list(layers)
        self.classifier = classifier
        self._all_features = torch.Tensor()
        self._one_batch: list[torch.Tensor] = []
        modules = dict(model.named_modules())
        for name in self.layers:
            if name not in modules:
                close = get_close_matches(name, [known for known in modules if known], 5, 0.3)
                raise UnknownLayerError(
                    f"the network has no layer {name!r}; similar names: {', '.join(close) or 'none'}"
                )
            modules[name].register_forward_hook(self._hook(name, modules[name]))

    def _hook(self, name: str, module: nn.Module) -> Callable[[nn.Module, Any, torch.Tensor], None]:
        """A function that collects a layer's output for a batch, [n, channels]."""

        def convolution(_module: nn.Module, _inputs: Any, output: torch.Tensor) -> None:
            self._one_batch.append(output.mean(tuple(range(2, output.ndim))))

        def linear(_module: nn.Module, _inputs: Any, output: torch.Tensor) -> None:
            # In transformers it is [n, positions.., channels]. The activation that follows may work in place, so copy.
            self._one_batch.append(
                output.clone() if output.ndim == 2 else output.mean(tuple(range(1, output.ndim - 1)))
            )

        if isinstance(module, _CONVOLUTIONS):
            return convolution
        if isinstance(module, nn.Linear):
            return linear
        raise NotImplementedError(
            f"layer {name!r} is a {type(module).__name__}; "
            "only convolutions, transposed convolutions and nn.Linear can be taken"
        )

    # ---- features

    def _extract_features(
        self, data: Any, train: bool = True, with_crops: bool = False, crop_size: int | Sequence[int] | None = None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The features, float32 [n, F] on the CPU, and where train is True the labels."""
        if self.model.training:
            warnings.warn(
                "the network is in training mode, where dropout and batch normalization change the features from call "
                "to call; call eval() on it first",
                stacklevel=3,
            )
        features: list[torch.Tensor] = []
        labels: list[torch.Tensor] = [torch.Tensor()]
        for x, y in data:
            for part in self._parts(x, data.batch_size, crop_size) if with_crops else (x,):
                features.append(self._features_of(part))
            if train:
                labels.append(torch.as_tensor(y).repeat_interleave(_CROPS) if with_crops else torch.as_tensor(y))
        self._all_features = torch.cat(features) if features else torch.Tensor()
        return self._all_features, torch.cat(labels) if train else None

    def _parts(
        self, x: torch.Tensor, size: int | None, crop_size: int | Sequence[int] | None
    ) -> Iterator[torch.Tensor]:
        if crop_size is None:
            raise ValueError("with_crops needs crop_size, a side or (height, width)")
        crops = self._compute_crops(x, crop_size)
        step = size or len(crops)
        return (crops[first : first + step] for first in range(0, len(crops), step))

    def _features_of(self, batch: torch.Tensor) -> torch.Tensor:
        weight = next(self.model.parameters(), None)
        self._one_batch = []
        self.model(batch if weight is None else batch.to(weight.device))
        rows = torch.cat([part.float() for part in self._one_batch], 1).cpu()
        self._one_batch = []
        return rows

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
            raise ValueError(
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
    """

    def __init__(self, model: nn.Module, layers: Iterable[str], classifier: Any) -> None:
        super().__init__(model, layers, classifier)
        self.f_plus = UPPER
        self.f_minus = LOWER

    def _learn(self, features: torch.Tensor) -> None:
        """Learns the exact mean and sample standard deviation as float32. A single row's is NaN, as with torch.std."""
        with Statistics(features.shape[1]) as statistics:
            statistics.update(features.numpy())
            std = statistics.std(ddof=1) if len(features) > 1 else numpy.full(features.shape[1], numpy.nan)
            self._means = torch.from_numpy(statistics.mean().astype(numpy.float32))
            self._stds = torch.from_numpy(std.astype(numpy.float32))

    def _standarize(self, features: torch.Tensor, train: bool = True) -> torch.Tensor:
        if train:
            self._learn(features)
        return (features - self._means) / self._stds

    def _discretize(self, features: torch.Tensor) -> torch.Tensor:
        """The codes of standardized features, int64 -1, 0, 1."""
        return torch.bucketize(features, torch.Tensor([self.f_minus, self.f_plus])) - 1

    def _postprocess(self, features: torch.Tensor, train: bool = True) -> torch.Tensor:
        if train:
            self._learn(features)
        if len(features) == 0 or not bool(torch.isfinite(self._stds).all()):
            return self._discretize(self._standarize(features, train=False))
        codes = ternarize(
            features.numpy(),
            self._means.numpy(),
            self._stds.numpy(),
            lower=self.f_minus,
            upper=self.f_plus,
            rules="torch",
        )
        return torch.from_numpy(codes.astype(numpy.int64))


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
    predictions = numpy.asarray(predictions)
    if predictions.ndim != 2:
        raise ValueError(f"predictions have shape {predictions.shape}; they must be [n, crops]")
    if decisions is None:
        counts = (predictions[:, :, None] == predictions[:, None, :]).sum(2)
        return numpy.asarray(predictions[numpy.arange(len(predictions)), counts.argmax(1)])
    if classes is None:
        raise ValueError("decisions need the classes that they stand for: classes=classifier.classes_")
    values = numpy.asarray(decisions, numpy.float64)
    if values.ndim == 1:  # of two classes; a value above 0 means the second
        values = numpy.stack([-values, values], axis=1)
    totals = values.reshape(*predictions.shape, -1).sum(1)
    return numpy.asarray(numpy.asarray(classes)[totals.argmax(1)])

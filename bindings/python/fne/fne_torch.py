"""The classes of fne 1.x: a PyTorch network, its features, a classifier. Needs `pip install fne[torch]`.

PyTorch runs the network and averages the activations, on any device; libfne computes statistics, discretization and
normalization. Names, shapes, types and results are those of the fne 1.x package (docs/from-1.x.md tells what was mended).

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
from fne.errors import UnknownTensorError

__all__ = ["FeatureExtractor", "FullNetworkEmbedding", "L2Norm", "UnknownLayerError", "vote"]

_CROPS = 10

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


class UnknownLayerError(UnknownTensorError, KeyError):
    """The network has no module of that name; the message lists close ones."""

    __str__ = Exception.__str__  # KeyError's would quote the message


class FeatureExtractor(nn.Module):
    """Features of a PyTorch network's layers, and a classifier on top of them.

    Args:
        model: the network; put it into evaluation mode first (`model.eval()`)
        layers: names of its modules, as `model.named_modules()` has them: convolutions of one to three dimensions, transposed ones,
            and `nn.Linear`. Their outputs are taken, before any activation, averaged over all positions, in the order in which the
            modules run.
        classifier: with `fit(features, labels)` and `predict(features)`, such as one of scikit-learn's

    Raises:
        UnknownLayerError: a KeyError, with the names that are close
        NotImplementedError: a module of another kind
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
                raise UnknownLayerError(f"the network has no layer {name!r}; close ones: {', '.join(close) or 'none'}")
            modules[name].register_forward_hook(self._hook(name, modules[name]))

    def _hook(self, name: str, module: nn.Module) -> Callable[[nn.Module, Any, torch.Tensor], None]:
        """Collects a layer's output of a batch, [n, channels]."""

        def convolution(_module: nn.Module, _inputs: Any, output: torch.Tensor) -> None:
            self._one_batch.append(output.mean(tuple(range(2, output.ndim))))

        def linear(_module: nn.Module, _inputs: Any, output: torch.Tensor) -> None:
            # [n, positions.., channels] in transformers. A copy: an activation behind it may work in place.
            self._one_batch.append(
                output.clone() if output.ndim == 2 else output.mean(tuple(range(1, output.ndim - 1)))
            )

        if isinstance(module, _CONVOLUTIONS):
            return convolution
        if isinstance(module, nn.Linear):
            return linear
        raise NotImplementedError(
            f"layer {name!r} is a {type(module).__name__}; convolutions, transposed convolutions and nn.Linear can be taken"
        )

    # ---- features

    def _extract_features(
        self, data: Any, train: bool = True, with_crops: bool = False, crop_size: int | Sequence[int] | None = None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """float32 [n, F] on the CPU, and the labels with train."""
        if self.model.training:
            warnings.warn(
                "the network is in training mode, so dropout and batch normalization change the features from call to call; "
                "call eval() on it first",
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
        """[n, channels, height, width] to [10 n, channels, crop height, crop width], the ten crops of an image adjacent: four
        corners (top left, top right, bottom left, bottom right), the centre, and these of the mirrored image."""
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
            with_crops: take ten crops of each image, each a sample with the image's label
            crop_size: their side, or (height, width)
        """
        with torch.no_grad():
            features, labels = self._extract_features(train_data, True, with_crops, crop_size)
            features = self._postprocess(features, train=True)
        assert labels is not None
        self.classifier.fit(features.numpy(), labels.cpu().numpy())

    def predict(
        self, test_data: Any, with_crops: bool = False, crop_size: int | Sequence[int] | None = None
    ) -> NDArray[Any]:
        """The classifier's predictions: [n], with crops [n, 10], which `vote` brings together.

        Args: as in `fit`; the labels are not used
        """
        with torch.no_grad():
            features, _ = self._extract_features(test_data, False, with_crops, crop_size)
            features = self._postprocess(features, train=False)
        predicted = numpy.asarray(self.classifier.predict(features.numpy()))
        return predicted.reshape(-1, _CROPS) if with_crops else predicted

    @abstractmethod
    def _postprocess(self, features: torch.Tensor, train: bool = True) -> torch.Tensor:
        """What the classifier gets of features [n, F]."""


class FullNetworkEmbedding(FeatureExtractor):
    """Standardized by the training images' mean and (sample) standard deviation, then discretized to -1, 0, 1.

    Attributes:
        f_minus: at most it is -1 (-0.25)
        f_plus: above it is 1 (0.15)
    """

    def __init__(self, model: nn.Module, layers: Iterable[str], classifier: Any) -> None:
        super().__init__(model, layers, classifier)
        self.f_plus = 0.15
        self.f_minus = -0.25

    def _learn(self, features: torch.Tensor) -> None:
        """Mean and sample standard deviation, exact and rounded to float32; NaN of a single row, as torch.std gives."""
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
        """int64 -1, 0, 1 of standardized features."""
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
    """Each image's row over its L2 norm: the single-layer features' usual treatment, to compare with."""

    def _postprocess(self, features: torch.Tensor, train: bool = True, test: bool = False) -> torch.Tensor:
        if len(features) == 0:
            return features
        return torch.from_numpy(l2_normalize(features.numpy()))


def vote(predictions: NDArray[Any], decisions: NDArray[Any] | None = None, classes: Any = None) -> NDArray[Any]:
    """One prediction an image from those of its ten crops.

    Args:
        predictions: [n, 10], as `predict` gives them: the class that most crops have; of several the one that comes first in the
            crops' order
        decisions: instead of counting, sum these: the classifier's decision values or probabilities, [n * 10, classes], or
            [n * 10] for two classes
        classes: the classifier's `classes_`, with decisions

    Returns:
        [n]

    >>> import numpy
    >>> vote(numpy.array([["cat", "dog", "cat"], ["dog", "dog", "cat"]]))
    array(['cat', 'dog'], dtype='<U3')
    """
    predictions = numpy.asarray(predictions)
    if predictions.ndim != 2:
        raise ValueError(f"predictions have shape {predictions.shape}; [n, crops] is needed")
    if decisions is None:
        counts = (predictions[:, :, None] == predictions[:, None, :]).sum(2)
        return numpy.asarray(predictions[numpy.arange(len(predictions)), counts.argmax(1)])
    if classes is None:
        raise ValueError("decisions need the classes that they stand for: classes=classifier.classes_")
    values = numpy.asarray(decisions, numpy.float64)
    if values.ndim == 1:  # two classes: above 0 is the second
        values = numpy.stack([-values, values], axis=1)
    totals = values.reshape(*predictions.shape, -1).sum(1)
    return numpy.asarray(numpy.asarray(classes)[totals.argmax(1)])

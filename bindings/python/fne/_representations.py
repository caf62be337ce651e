"""What classifiers are given of an image: the embedding, parts of it, and single layers, from one job's features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy
from numpy.typing import NDArray

from fne._classifiers import Kernel, Matrix, can_validate
from fne._embedding import l2_normalize, standardize, ternarize
from fne._job import Job
from fne._model import TensorInfo
from fne._selection import select
from fne._statistics import Statistics

REPRESENTATIONS = (
    "fne", "fne with outputs", "fne last 75%", "fne last 50%", "fne last 25%", "standardized", "l2", "best layer", "last layer",
    "penultimate", "penultimate l2", "outputs",
)  # fmt: skip


class Roles(NamedTuple):
    """Numbers of a job's layers, by what they are in the network."""

    #: the default layers, which make the embedding
    layers: list[int]
    #: what the classifier's last layer reads: in most networks the pooled last map
    penultimate: list[int]
    outputs: list[int]

    @staticmethod
    def tensors(tensors: Sequence[TensorInfo]) -> list[TensorInfo]:
        """Those of a network that have a role."""
        return [t for t in tensors if t.is_default or t.is_classifier or t.is_classifier_input]

    @classmethod
    def of(cls, tensors: Sequence[TensorInfo]) -> Roles:
        """The roles of tensors, by their places in the list."""

        def having(role: str) -> list[int]:
            return [number for number, tensor in enumerate(tensors) if getattr(tensor, role)]

        return cls(having("is_default"), having("is_classifier_input"), having("is_classifier"))


class Representations:
    """The features of the images that were embedded, and their labels."""

    def __init__(
        self, job: Job, labels: NDArray[numpy.int64], roles: Roles, lower: float = -0.25, upper: float = 0.15
    ) -> None:
        good = numpy.flatnonzero(job.ok)
        self.labels = labels[good]
        self.rows = numpy.asarray(job.features(images=good))
        self._per_image = job.rows_per_image
        self._layers = job.layers
        self._roles = roles
        self._lower, self._upper = lower, upper
        self._statistics: tuple[bytes, Matrix, Matrix] | None = None

    def _of(self, images: NDArray[Any]) -> NDArray[Any]:
        """The rows of images: with ten crops ten of each."""
        return (images[:, None] * self._per_image + numpy.arange(self._per_image)).ravel()

    def statistics(self, training: NDArray[Any]) -> tuple[Matrix, Matrix]:
        """Mean and deviation over the training images' rows; those of the last training images asked for are kept."""
        asked = training.tobytes()
        if self._statistics is None or self._statistics[0] != asked:
            statistics = Statistics(self.rows.shape[1]).update(self.rows[self._of(training)])
            self._statistics = asked, statistics.mean(), statistics.std()
        return self._statistics[1:]

    def kernel(self, rows: Matrix, training: NDArray[Any], test: NDArray[Any]) -> Kernel:
        return Kernel(rows[self._of(training)], self.labels[training], rows[self._of(test)], self._per_image)

    def feature_count(self, numbers: Sequence[int]) -> int:
        """Of some layers together."""
        return len(self.columns(numbers))

    def columns(self, numbers: Sequence[int]) -> NDArray[Any]:
        """Numbers of the features of some layers."""
        return numpy.concatenate(
            [numpy.arange(self._layers[n].features.start, self._layers[n].features.stop) for n in numbers]
        )

    def kernel_of(self, name: str, training: NDArray[Any], test: NDArray[Any]) -> tuple[Kernel, str | None] | None:
        """A representation's kernel, and the layer where it is a single one; None where the network has no such."""
        layers, penultimate, outputs = self._roles
        names = [layer.name for layer in self._layers]
        mean, std = self.statistics(training)

        def codes(numbers: Sequence[int]) -> Kernel:
            columns = self.columns(numbers)
            rows = numpy.ascontiguousarray(self.rows[:, columns])
            made = ternarize(rows, mean[columns], std[columns], lower=self._lower, upper=self._upper)
            return self.kernel(made, training, test)

        def floats(numbers: Sequence[int]) -> Kernel:
            columns = self.columns(numbers)
            rows = numpy.ascontiguousarray(self.rows[:, columns])
            return self.kernel(standardize(rows, mean[columns], std[columns]), training, test)

        def unit(numbers: Sequence[int]) -> Kernel:
            rows = numpy.ascontiguousarray(self.rows[:, self.columns(numbers)])
            return self.kernel(l2_normalize(rows), training, test)

        if name == "fne":
            return codes(layers), None
        if name == "fne with outputs":
            return (codes(sorted([*layers, *outputs])), None) if outputs else None
        if name.startswith("fne last "):
            is_layer = [number in layers for number in range(len(names))]
            return codes(select(f"last:{name.split()[-1]}", names, is_layer)), None
        if name == "standardized":
            return floats(layers), None
        if name == "l2":
            return unit(layers), None
        if name == "last layer":
            return floats(layers[-1:]), names[layers[-1]]
        if name in ("penultimate", "penultimate l2"):
            made = floats if name == "penultimate" else unit
            return (made(penultimate), ", ".join(names[number] for number in penultimate)) if penultimate else None
        if name == "outputs":
            return (floats(outputs[:1]), names[outputs[0]]) if outputs else None
        if not can_validate(self.labels[training]):
            return None  # one image a class tells nothing of which layer is better
        best: tuple[Kernel, str] | None = None
        for number in sorted({*layers, *penultimate}):
            kernel = floats([number])
            if best is None or kernel.validated() > best[0].validated():  # of equally good ones the earliest
                best = kernel, names[number]
        return best

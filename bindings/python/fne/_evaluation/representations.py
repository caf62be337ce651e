"""What classifiers are given of an image: the embedding, parts of it, and single layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from typing import NamedTuple

import numpy
from numpy.typing import NDArray

from fne._centring import FEWEST_ROWS, mean_row, side_by_side_l2
from fne._embedding import l2_normalize, standardize, ternarize
from fne._evaluation.classifiers import Kernel, Matrix
from fne._evaluation.protocol import can_validate
from fne._job import Job, row_numbers
from fne._layer import column_numbers
from fne._model import TensorInfo
from fne._selection import select
from fne._statistics import Statistics
from fne._thresholds import LOWER, UPPER


class Roles(NamedTuple):
    """The numbers of a job's layers, by what they are in the network.

    layers: the default layers, which make the embedding
    penultimate: what the classifier's last layer reads, as the selector "penultimate" finds it
    outputs: the classifier's outputs
    """

    layers: list[int]
    penultimate: list[int]
    outputs: list[int]

    @staticmethod
    def tensors(tensors: Sequence[TensorInfo]) -> list[TensorInfo]:
        """The tensors of a network that have a role."""
        return [t for t in tensors if t.is_default or t.is_classifier or t.is_penultimate]

    @classmethod
    def of(cls, tensors: Sequence[TensorInfo]) -> Roles:
        """The roles of tensors, by their places in the list."""

        def having(role: str) -> list[int]:
            return [number for number, tensor in enumerate(tensors) if getattr(tensor, role)]

        return cls(having("is_default"), having("is_penultimate"), having("is_classifier"))

    def last(self, percent: int) -> list[int]:
        """The last default layers, by the rule of the selector "last:P%"."""
        return [self.layers[place] for place in select(f"last:{percent}%", [str(number) for number in self.layers])]


class Form(Enum):
    """What becomes of features."""

    CODES = "ternary codes"
    STANDARDIZED = "standardized floats"
    UNIT = "floats over their L2 norm"
    BESIDE = "ternary codes over their L2 norm, beside the penultimate over its L2 norm"
    CENTRED = "the same, with both centred before"


class Representation(NamedTuple):
    """A row of the table of representations.

    form: what becomes of the features
    layers: the numbers of the layers that it takes of a network; none where the network does not have them
    text: what it is, in words
    is_single_layer: whether it is a layer of the network, and no embedding of several
    is_best: whether it is the one of its layers that cross-validation on the training images prefers
    share: for the plot over shares, how many % of the layers it takes, from the last
    """

    form: Form
    layers: Callable[[Roles], list[int]]
    text: str
    is_single_layer: bool = False
    is_best: bool = False
    share: int | None = None


def _last(percent: int) -> Representation:
    text = f"the ternary codes of the last {percent} % of the layers"
    return Representation(Form.CODES, lambda roles: roles.last(percent), text, share=percent)


#: The representations by their names, in the order of the results and the plots.
REPRESENTATIONS: dict[str, Representation] = {
    "fne": Representation(Form.CODES, lambda roles: roles.layers, "the ternary codes of all default layers", share=100),
    "fne with outputs": Representation(
        Form.CODES,
        lambda roles: sorted([*roles.layers, *roles.outputs]) if roles.outputs else [],
        "the ternary codes of all default layers and of the classifier's outputs",
    ),
    "fne last 75%": _last(75),
    "fne last 50%": _last(50),
    "fne last 25%": _last(25),
    "fne last 10%": _last(10),
    "fne + penultimate": Representation(
        Form.BESIDE,
        lambda roles: roles.layers if roles.penultimate else [],
        "the ternary codes of all default layers over their L2 norm, beside what the classifier's last layer reads "
        "over its own",
    ),
    "centred": Representation(
        Form.CENTRED,
        lambda roles: roles.last(50) if roles.penultimate else [],
        "the ternary codes of the last 50 % of the layers, and what the classifier's last layer reads. Of each the "
        f"mean over the training images is subtracted, where these are at least {FEWEST_ROWS}, and each is divided by "
        "its L2 norm. This is what fne.sklearn.FewShotEmbedder makes.",
    ),
    "standardized": Representation(
        Form.STANDARDIZED, lambda roles: roles.layers, "the features of all default layers, standardized"
    ),
    "l2": Representation(
        Form.UNIT, lambda roles: roles.layers, "the features of all default layers over their L2 norm"
    ),
    "best layer": Representation(
        Form.STANDARDIZED,
        lambda roles: sorted({*roles.layers, *roles.penultimate}),
        'the layer, or "penultimate", that cross-validation on the training images prefers; of equally good ones the '
        "earliest. It needs two training images per class, and is measured only where it is asked for by name, because "
        "it takes most of the time.",
        is_single_layer=True,
        is_best=True,
    ),
    "last layer": Representation(
        Form.STANDARDIZED, lambda roles: roles.layers[-1:], "the last layer before the outputs", is_single_layer=True
    ),
    "penultimate": Representation(
        Form.STANDARDIZED,
        lambda roles: roles.penultimate,
        "what the classifier's last layer reads, in most networks the pooled last block",
        is_single_layer=True,
    ),
    "penultimate l2": Representation(
        Form.UNIT, lambda roles: roles.penultimate, "the same over its L2 norm", is_single_layer=True
    ),
    "outputs": Representation(
        Form.STANDARDIZED, lambda roles: roles.outputs[:1], "the classifier's outputs", is_single_layer=True
    ),
}


#: The representations that are measured where none are asked for.
DEFAULT_REPRESENTATIONS = tuple(name for name, row in REPRESENTATIONS.items() if not row.is_best)


class Representations:
    """The features of the images that were embedded, and their labels."""

    def __init__(
        self, job: Job, labels: NDArray[numpy.int64], roles: Roles, lower: float = LOWER, upper: float = UPPER
    ) -> None:
        good = numpy.flatnonzero(job.ok)
        self.labels = labels[good]
        self.rows = numpy.asarray(job.features(images=good))
        self._per_image = job.rows_per_image
        self._layers = job.layers
        self._roles = roles
        self._lower, self._upper = lower, upper
        self._statistics: tuple[bytes, Matrix, Matrix] | None = None

    def statistics(self, training: NDArray[numpy.int64]) -> tuple[Matrix, Matrix]:
        """The mean and the deviation over the training images' rows. Those of the last training images are kept."""
        asked = training.tobytes()
        if self._statistics is None or self._statistics[0] != asked:
            statistics = Statistics(self.rows.shape[1]).update(self.rows[self._of(training)])
            self._statistics = asked, statistics.mean(), statistics.std()
        return self._statistics[1:]

    def kernel(self, rows: Matrix, training: NDArray[numpy.int64], test: NDArray[numpy.int64]) -> Kernel:
        """The kernel of rows that were made of all images' features."""
        return Kernel(rows[self._of(training)], self.labels[training], rows[self._of(test)], self._per_image)

    def columns(self, numbers: Sequence[int]) -> NDArray[numpy.int64]:
        """The numbers of the features of some layers."""
        return column_numbers([self._layers[number] for number in numbers])

    def feature_count(self, numbers: Sequence[int]) -> int:
        """The number of the features of some layers."""
        return len(self.columns(numbers))

    def kernel_of(
        self, name: str, training: NDArray[numpy.int64], test: NDArray[numpy.int64], judge: str = "svm"
    ) -> tuple[Kernel, str | None] | None:
        """A representation's kernel, and where it is a single layer that layer's name.

        Args:
            judge: the classifier whose accuracy on training images that were held out chooses the best layer: "svm" or
                "ridge"

        None: the network has no such layers, or the best of them cannot be told with one image per class.
        """
        representation = REPRESENTATIONS[name]
        numbers = representation.layers(self._roles)
        if not numbers:
            return None
        if representation.is_best:
            return self._best(representation.form, numbers, training, test, judge)
        kernel = self._made(representation.form, numbers, training, test)
        names = ", ".join(self._layers[number].name for number in numbers)
        return kernel, names if representation.is_single_layer else None

    def _of(self, images: NDArray[numpy.int64]) -> NDArray[numpy.int64]:
        """The numbers of the rows of images. With ten crops an image has ten."""
        return row_numbers(images, self._per_image)

    def rows_of(self, name: str) -> Matrix | None:
        """A representation's rows of all images, with what all images tell. None: the network has no such layers."""
        representation = REPRESENTATIONS[name]
        numbers = representation.layers(self._roles)
        return self._rows(representation.form, numbers, numpy.arange(len(self.labels))) if numbers else None

    def _made(
        self, form: Form, numbers: Sequence[int], training: NDArray[numpy.int64], test: NDArray[numpy.int64]
    ) -> Kernel:
        return self.kernel(self._rows(form, numbers, training), training, test)

    def _rows(self, form: Form, numbers: Sequence[int], training: NDArray[numpy.int64]) -> Matrix:
        """The rows of all images in a form. What is learned is learned from the training images."""
        columns = self.columns(numbers)
        rows: Matrix = numpy.ascontiguousarray(self.rows[:, columns])
        if form is Form.UNIT:
            return l2_normalize(rows)
        mean, std = (values[columns] for values in self.statistics(training))
        if form is Form.STANDARDIZED:
            return standardize(rows, mean, std)
        codes = ternarize(rows, mean, std, lower=self._lower, upper=self._upper)
        if form is Form.CODES:
            return codes
        return self._beside_penultimate(codes, self._of(training) if form is Form.CENTRED else None)

    def _beside_penultimate(self, codes: Matrix, centre: NDArray[numpy.int64] | None) -> Matrix:
        """Codes beside the penultimate, each over its L2 norm.

        Args:
            centre: the rows whose mean is subtracted, if they are of enough images; None: nothing is
        """
        blocks = (codes, self.rows[:, self.columns(self._roles.penultimate)])
        centred = centre is not None and len(centre) >= FEWEST_ROWS * self._per_image
        means = [mean_row(block[centre]) if centred else None for block in blocks]
        return side_by_side_l2(blocks, means)

    def _best(
        self, form: Form, numbers: Sequence[int], training: NDArray[numpy.int64], test: NDArray[numpy.int64], judge: str
    ) -> tuple[Kernel, str] | None:
        if not can_validate(self.labels[training]):
            return None
        best: tuple[Kernel, int] | None = None
        for number in numbers:
            kernel = self._made(form, [number], training, test)
            if best is None or kernel.validated(judge) > best[0].validated(judge):
                best = kernel, number
        return None if best is None else (best[0], self._layers[best[1]].name)

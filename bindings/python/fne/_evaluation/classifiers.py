"""Classifiers on dot products. Their parameters are chosen on the training rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy
from numpy.typing import NDArray

from fne._codes import PackedCodes
from fne._evaluation.protocol import can_validate

PENALTIES = (0.01, 0.1, 1.0, 10.0)
_FOLDS = 3
_NEIGHBOURS = (1, 3, 5)

Matrix = NDArray[Any]


class Kernel:
    """The dot products of training and test rows, and the norms of the test rows. Classifiers need nothing else."""

    def __init__(self, training: Matrix, labels: NDArray[numpy.int64], test: Matrix, per_image: int) -> None:
        self._labels = numpy.repeat(labels, per_image)
        self._can_validate = can_validate(labels)
        self._groups = numpy.repeat(numpy.arange(len(labels)), per_image)
        self._per_image = per_image
        gram: Matrix
        cross: Matrix
        if training.dtype == numpy.int8:
            packed, asked = PackedCodes.pack(training), PackedCodes.pack(test)
            gram, cross = packed.gram(), asked.dot(packed)
            squares = numpy.count_nonzero(test, axis=1).astype(numpy.float64)
        else:
            wide, other = training.astype(numpy.float64), test.astype(numpy.float64)
            gram, cross = wide @ wide.T, other @ wide.T
            squares = numpy.einsum("ij,ij->i", other, other)
        # Rows are scaled to a mean square of 1, so that one grid of penalties serves all representations.
        scale = 1 / max(float(numpy.mean(numpy.diag(gram))), 1e-30)
        self._gram, self._cross = gram * scale, cross * scale
        self._norms = numpy.sqrt(numpy.maximum(squares * scale, 1e-30))
        self._validated: tuple[float, float] | None = None
        self._coordinates: tuple[Matrix, Matrix] | None = None

    def rows(self) -> tuple[Matrix, Matrix]:
        """Training and test rows that have these dot products.

        They have at most as many dimensions as there are training rows. The weights of a linear SVM are sums of
        training rows, so it decides in these coordinates as it does on the features.
        """
        if self._coordinates is None:
            values, vectors = numpy.linalg.eigh(self._gram)
            kept = values > 1e-9 * values[-1]
            kept[-1] = True  # rows that are all zero have no other dimension
            roots = numpy.sqrt(numpy.maximum(values[kept], 1e-30))
            self._coordinates = vectors[:, kept] * roots, self._cross @ (vectors[:, kept] / roots)
        return self._coordinates

    def validated(self) -> float:
        """The SVM's cross-validated accuracy on the training images."""
        return self.penalty()[1]

    def predict(self, classifier: str) -> NDArray[numpy.int64]:
        """A label for each test image. The sum of the scores over its crops decides."""
        scores = CLASSIFIERS[classifier].scores(self)
        return numpy.asarray(scores.reshape(-1, self._per_image, scores.shape[1]).sum(1).argmax(1))

    # ---- the SVM

    def penalty(self) -> tuple[float, float]:
        """The penalty C that is best on the training images, and its accuracy. With too few images it is 1."""
        if self._validated is None:
            folds = list(self._folds())
            if not folds:
                self._validated = (1.0, 0.0)
                return self._validated
            rows, _ = self.rows()
            accuracies = []
            for penalty in PENALTIES:
                right = 0
                for fit, held in folds:
                    model = _linear_svm(penalty).fit(rows[fit], self._labels[fit])
                    right += int((model.predict(rows[held]) == self._labels[held]).sum())
                accuracies.append(right / len(self._labels))
            best = int(numpy.argmax(accuracies))
            self._validated = (PENALTIES[best], accuracies[best])
        return self._validated

    def svm_scores(self) -> Matrix:
        """The SVM's decision values, [test rows, classes]."""
        rows, test = self.rows()
        decisions = _linear_svm(self.penalty()[0]).fit(rows, self._labels).decision_function(test)
        return numpy.asarray(numpy.stack([-decisions, decisions], 1) if decisions.ndim == 1 else decisions)

    def _folds(self) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
        """Stratified folds. The crops of an image stay together. There are none where a class has a single image."""
        from sklearn.model_selection import StratifiedGroupKFold

        if not self._can_validate:
            return
        fewest = int(numpy.bincount(self._labels).min()) // self._per_image
        folds = StratifiedGroupKFold(min(_FOLDS, fewest), shuffle=True, random_state=0)
        yield from folds.split(self._gram, self._labels, self._groups)

    # ---- centroids and neighbours

    def centroid_scores(self) -> Matrix:
        """The cosines to the class means, [test rows, classes]. With cosines all crops of an image weigh the same."""
        members = (self._labels[:, None] == numpy.arange(self._labels.max() + 1)).astype(numpy.float64)
        members /= members.sum(0)
        norms = numpy.sqrt(numpy.maximum((members * (self._gram @ members)).sum(0), 1e-30))
        return numpy.asarray((self._cross @ members) / norms / self._norms[:, None])

    def neighbour_scores(self) -> Matrix:
        """The votes of the nearest training rows, [test rows, classes]."""
        norms = numpy.sqrt(numpy.maximum(numpy.diag(self._gram), 1e-30))
        k = self._neighbours(self._gram / norms / norms[:, None])
        return self._votes(self._cross / norms, self._labels, k)

    def _neighbours(self, cosines: Matrix) -> int:
        """How many neighbours are best on the training images."""
        folds, best = list(self._folds()), (-1, 1)
        for k in _NEIGHBOURS if folds else ():
            right = 0
            for fit, held in folds:
                votes = self._votes(cosines[numpy.ix_(held, fit)], self._labels[fit], min(k, len(fit)))
                right += int((votes.argmax(1) == self._labels[held]).sum())
            best = max(best, (right, -k))
        return -best[1] if folds else 1

    def _votes(self, cosines: Matrix, labels: NDArray[Any], k: int) -> Matrix:
        nearest = numpy.argsort(-cosines, axis=1, kind="stable")[:, :k]
        votes = numpy.zeros((len(cosines), int(self._labels.max()) + 1))
        for column in range(k):  # of labels with equal counts the nearest one's wins: it outweighs all farther ones
            numpy.add.at(votes, (numpy.arange(len(cosines)), labels[nearest[:, column]]), 1 + 1e-3 * 2.0**-column)
        return votes


class Classifier(NamedTuple):
    """A classifier: what it does, in words, and its scores of test rows, [test rows, classes]."""

    text: str
    scores: Callable[[Kernel], Matrix]


#: The classifiers by their names.
CLASSIFIERS = {
    "svm": Classifier(
        "a linear SVM, one class against the rest. Its C is one of "
        + ", ".join(f"{penalty:g}" for penalty in PENALTIES)
        + ", by cross-validation on the training images, whose rows are scaled to a mean square of 1. "
        "With one image per class C is 1.",
        lambda kernel: kernel.svm_scores(),
    ),
    "centroid": Classifier("the nearest class mean by cosine", lambda kernel: kernel.centroid_scores()),
    "knn": Classifier(
        "the k nearest neighbours by cosine. k is one of "
        + ", ".join(map(str, _NEIGHBOURS))
        + ", by cross-validation; with one image per class k is 1. "
        "Of labels with equal counts the nearest one's wins.",
        lambda kernel: kernel.neighbour_scores(),
    ),
}


def _linear_svm(penalty: float) -> Any:
    """One class against the rest. With few images per class it is far better than SVC's one against one.

    docs/results.md has the numbers.
    """
    from sklearn.svm import LinearSVC

    return LinearSVC(C=penalty, dual=False)

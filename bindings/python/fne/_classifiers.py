"""Linear SVM, nearest centroid and nearest neighbours on dot products, their parameters chosen on the training rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy
from numpy.typing import NDArray

from fne._codes import PackedCodes

CLASSIFIERS = ("svm", "centroid", "knn")

PENALTIES = (0.01, 0.1, 1.0, 10.0)
_FOLDS = 3
_NEIGHBOURS = (1, 3, 5)

Matrix = NDArray[Any]


def can_validate(labels: NDArray[numpy.int64]) -> bool:
    """Whether training images of these labels, one for each image, are enough for cross-validation: two of each class."""
    return int(numpy.bincount(labels).min()) >= 2


class Kernel:
    """Dot products of training and test rows, and the test rows' norms: all that the classifiers need."""

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
        # Of a mean square of 1, so that one grid of penalties serves all representations.
        scale = 1 / max(float(numpy.mean(numpy.diag(gram))), 1e-30)
        self._gram, self._cross = gram * scale, cross * scale
        self._norms = numpy.sqrt(numpy.maximum(squares * scale, 1e-30))
        self._validated: tuple[float, float] | None = None
        self._coordinates: tuple[Matrix, Matrix] | None = None

    def rows(self) -> tuple[Matrix, Matrix]:
        """Training and test rows with these dot products, in as many dimensions as there are training rows at most.

        A linear SVM's weights are sums of training rows, so it decides in these coordinates as in the features.
        """
        if self._coordinates is None:
            values, vectors = numpy.linalg.eigh(self._gram)
            kept = values > 1e-9 * values[-1]
            kept[-1] = True  # rows that are all zero have no other
            roots = numpy.sqrt(numpy.maximum(values[kept], 1e-30))
            self._coordinates = vectors[:, kept] * roots, self._cross @ (vectors[:, kept] / roots)
        return self._coordinates

    def _folds(self) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
        """Stratified folds of images, whose crops stay together; none where a class has a single image."""
        from sklearn.model_selection import StratifiedGroupKFold

        if not self._can_validate:
            return
        fewest = int(numpy.bincount(self._labels).min()) // self._per_image
        folds = StratifiedGroupKFold(min(_FOLDS, fewest), shuffle=True, random_state=0)
        yield from folds.split(self._gram, self._labels, self._groups)

    def _choose(self) -> tuple[float, float]:
        """The penalty that the training images prefer, and its accuracy; 1 where they are too few to tell."""
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

    def validated(self) -> float:
        """Cross-validated accuracy on the training images."""
        return self._choose()[1]

    def predict(self, classifier: str) -> NDArray[numpy.int64]:
        """A label for each test image: the sum over its crops decides."""
        scores = {"svm": self._svm, "centroid": self._centroid, "knn": self._nearest}[classifier]()
        return numpy.asarray(scores.reshape(-1, self._per_image, scores.shape[1]).sum(1).argmax(1))

    def _svm(self) -> Matrix:
        rows, test = self.rows()
        decisions = _linear_svm(self._choose()[0]).fit(rows, self._labels).decision_function(test)
        return numpy.asarray(numpy.stack([-decisions, decisions], 1) if decisions.ndim == 1 else decisions)

    def _centroid(self) -> Matrix:
        """Cosines, so that each crop of an image has the same weight."""
        members = (self._labels[:, None] == numpy.arange(self._labels.max() + 1)).astype(numpy.float64)
        members /= members.sum(0)
        norms = numpy.sqrt(numpy.maximum((members * (self._gram @ members)).sum(0), 1e-30))
        return numpy.asarray((self._cross @ members) / norms / self._norms[:, None])

    def _nearest(self) -> Matrix:
        norms = numpy.sqrt(numpy.maximum(numpy.diag(self._gram), 1e-30))
        k = self._neighbours(self._gram / norms / norms[:, None])
        return self._votes(self._cross / norms, self._labels, k)

    def _neighbours(self, cosines: Matrix) -> int:
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
        for column in range(k):  # of equal counts the label of the nearest decides: it outweighs all that are farther
            numpy.add.at(votes, (numpy.arange(len(cosines)), labels[nearest[:, column]]), 1 + 1e-3 * 2.0**-column)
        return votes


def _linear_svm(penalty: float) -> Any:
    """One class against the rest: with few images a class far better than one against one, which SVC makes (docs/results.md)."""
    from sklearn.svm import LinearSVC

    return LinearSVC(C=penalty, dual=False)

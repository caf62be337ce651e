"""Classifiers on dot products. Their parameters are chosen on the training rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy
from numpy.typing import NDArray

from fne._codes import PackedCodes
from fne._evaluation.protocol import folds
from fne._evaluation.ridge import PENALTIES as RIDGE_PENALTIES
from fne._evaluation.ridge import WITHOUT_CHOICE as RIDGE_WITHOUT_CHOICE
from fne._evaluation.ridge import Ridge

PENALTIES = (0.01, 0.1, 1.0, 10.0)
#: With fewer training images of a class than this, C is not chosen: two or three images hold back too little to tell
#: one C from another, and the small one that is often chosen loses 3 points (docs/results.md).
FEWEST_FOR_CHOICE = 4
#: C where it is not chosen, because a class has two or three images.
PENALTY_OF_FEW = 10.0
_NEIGHBOURS = (1, 3, 5)

Matrix = NDArray[Any]


class Kernel:
    """The dot products of training and test rows, and the norms of the test rows. Classifiers need nothing else."""

    def __init__(self, training: Matrix, labels: NDArray[numpy.int64], test: Matrix, per_image: int) -> None:
        self._labels = numpy.repeat(labels, per_image)
        self._folds = folds(labels, per_image)
        self._penalties = PENALTIES if numpy.bincount(labels).min() >= FEWEST_FOR_CHOICE else (PENALTY_OF_FEW,)
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
        self._scale = scale
        self._gram, self._cross = gram * scale, cross * scale
        self._norms = numpy.sqrt(numpy.maximum(squares * scale, 1e-30))
        self._validated: tuple[float, float] | None = None
        self._coordinates: tuple[Matrix, Matrix] | None = None
        self._ridge: tuple[Ridge, float, float] | None = None

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

    def validated(self, classifier: str = "svm") -> float:
        """The accuracy on held out training images: the ridge's by leaving out each, or the SVM's by folds."""
        return self.ridge()[2] if classifier == "ridge" else self.penalty()[1]

    def predict(self, classifier: str, vote: str = "sum") -> NDArray[numpy.int64]:
        """A label for each test image.

        Args:
            classifier: a name of CLASSIFIERS
            vote: a name of VOTES, which says how the crops of an image decide
        """
        scores = CLASSIFIERS[classifier].scores(self)
        return VOTES[vote].decide(scores.reshape(-1, self._per_image, scores.shape[1]))

    # ---- the SVM

    def penalty(self) -> tuple[float, float]:
        """The penalty C that is best on the training images, and its accuracy on those that were held out.

        With two or three images of a class it is 10, and with one it is 1, without an accuracy.
        """
        if self._validated is None:
            if not self._folds:
                self._validated = (1.0, 0.0)
                return self._validated
            rows, _ = self.rows()
            right = numpy.zeros(len(self._penalties), numpy.int64)
            for fit, held in self._folds:
                training, others = _triangular(rows[fit], rows[held])
                for number, penalty in enumerate(self._penalties):
                    model = _linear_svm(penalty).fit(training, self._labels[fit])
                    right[number] += (model.predict(others) == self._labels[held]).sum()
            best = int(numpy.argmax(right))
            self._validated = (self._penalties[best], int(right[best]) / len(self._labels))
        return self._validated

    def svm_scores(self) -> Matrix:
        """The SVM's decision values, [test rows, classes]."""
        rows, test = _triangular(*self.rows())
        return _of_each_class(_linear_svm(self.penalty()[0]).fit(rows, self._labels).decision_function(test))

    def unscaled_svm_scores(self) -> Matrix:
        """The decision values of SVMs with C = 1 on the rows as they were given, [test rows, classes].

        On such rows C = 1 leaves next to no slack. The solver of `LinearSVC` did not converge on the crops of 170
        photographs. That of `SVC` takes the dot products, and does.
        """
        from sklearn.multiclass import OneVsRestClassifier
        from sklearn.svm import SVC

        model = OneVsRestClassifier(SVC(kernel="precomputed", C=1.0)).fit(self._gram / self._scale, self._labels)
        return _of_each_class(model.decision_function(self._cross / self._scale))

    # ---- the ridge

    def ridge(self) -> tuple[Ridge, float, float]:
        """The ridge, its penalty, and its accuracy on the training images when each is left out."""
        if self._ridge is None:
            ridge = Ridge(self._gram, self._labels, self._per_image)
            self._ridge = (ridge, *(ridge.best_penalty() if self._folds else (RIDGE_WITHOUT_CHOICE, 0.0)))
        return self._ridge

    def ridge_scores(self) -> Matrix:
        """The ridge's values, [test rows, classes]."""
        ridge, penalty, _ = self.ridge()
        return ridge.scores(ridge.fit(penalty), self._cross)

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
        best = (-1, 1)
        for k in _NEIGHBOURS if self._folds else ():
            right = 0
            for fit, held in self._folds:
                votes = self._votes(cosines[numpy.ix_(held, fit)], self._labels[fit], min(k, len(fit)))
                right += int((votes.argmax(1) == self._labels[held]).sum())
            best = max(best, (right, -k))
        return -best[1] if self._folds else 1

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
        f"With two or three images per class C is {PENALTY_OF_FEW:g}, and with one it is 1.",
        lambda kernel: kernel.svm_scores(),
    ),
    "svm unscaled": Classifier(
        "a linear SVM, one class against the rest, with C = 1, scikit-learn's default, on rows that are not scaled",
        lambda kernel: kernel.unscaled_svm_scores(),
    ),
    "ridge": Classifier(
        "ridge regression, one class against the rest. Its penalty is one of "
        + ", ".join(f"{penalty:g}" for penalty in RIDGE_PENALTIES)
        + ", by leaving out each training image in turn, which has a closed form. Rows are scaled as for the SVM. "
        f"With one image per class it is {RIDGE_WITHOUT_CHOICE:g}.",
        lambda kernel: kernel.ridge_scores(),
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


def _sum(scores: Matrix) -> NDArray[numpy.int64]:
    return numpy.asarray(scores.sum(1).argmax(1))


def _majority(scores: Matrix) -> NDArray[numpy.int64]:
    votes = numpy.zeros((len(scores), scores.shape[2]), numpy.int64)
    numpy.add.at(votes, (numpy.arange(len(scores))[:, None], scores.argmax(2)), 1)
    equal = votes == votes.max(1, keepdims=True)
    return numpy.asarray(numpy.where(equal, scores.sum(1), -numpy.inf).argmax(1))


class Vote(NamedTuple):
    """How the crops of an image decide.

    decide: takes scores [images, crops, classes], and gives a label for each image
    """

    text: str
    decide: Callable[[Matrix], NDArray[numpy.int64]]


#: The votes by their names. With one crop they are the same.
VOTES = {
    "sum": Vote("the sum of the scores over an image's crops decides", _sum),
    "majority": Vote(
        "each crop has one vote for a class. Of classes with equal votes the greater sum of the scores wins.", _majority
    ),
}


def _of_each_class(decisions: Matrix) -> Matrix:
    """Decision values with a column for each class. scikit-learn gives one column for two classes."""
    return numpy.asarray(numpy.stack([-decisions, decisions], 1) if decisions.ndim == 1 else decisions)


def _triangular(rows: Matrix, others: Matrix) -> tuple[Matrix, Matrix]:
    """The same rows in other coordinates, in which those to fit on make a triangle.

    The solver skips zeros. So it takes a third of the time, and finds the same.
    """
    directions, triangle = numpy.linalg.qr(rows.T)
    return numpy.ascontiguousarray(triangle.T), others @ directions


def _linear_svm(penalty: float) -> Any:
    """One class against the rest. With few images per class it is far better than SVC's one against one.

    docs/results.md has the numbers.
    """
    from sklearn.svm import LinearSVC

    return LinearSVC(C=penalty, dual=False)

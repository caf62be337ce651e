"""Ridge regression on a Gram matrix. Leaving out each image in turn has a closed form."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy
from numpy.typing import NDArray

#: The penalties that are tried, for rows of mean square 1.
PENALTIES = (0.01, 0.1, 1.0, 10.0, 100.0)

#: The penalty where none can be chosen, because a class has one image.
WITHOUT_CHOICE = 0.1

Matrix = NDArray[Any]


class RidgeFit(NamedTuple):
    """A ridge regression for each class: the weights of the training rows, and the constants.

    weights: float64 [rows, classes], for the centred products of `Ridge`
    constants: float64 [classes]
    """

    weights: Matrix
    constants: Matrix


class Ridge:
    """Ridge regressions of one class against the rest, for all penalties from one eigendecomposition.

    The targets are 1 and -1. The constant term has no penalty.

    Args:
        gram: float64 [rows, rows], the dot products of the training rows
        labels: the class of each row, from 0 on
        per_image: how many rows in succession are of one image. They are left out together.
    """

    def __init__(self, gram: Matrix, labels: NDArray[numpy.int64], per_image: int) -> None:
        self._labels, self._per_image = labels, per_image
        self._targets = numpy.where(labels[:, None] == numpy.arange(labels.max() + 1), 1.0, -1.0)
        self._means = gram.mean(0)
        self._mean = float(self._means.mean())
        values, self._vectors = numpy.linalg.eigh(gram - self._means - self._means[:, None] + self._mean)
        self._values = numpy.maximum(values, 0)
        self._constants = self._targets.mean(0)
        self._rotated = self._vectors.T @ (self._targets - self._constants)

    def fit(self, penalty: float) -> RidgeFit:
        """The regressions with a penalty on the squares of the weights."""
        weights = self._vectors @ (self._rotated / (self._values + penalty)[:, None])
        return RidgeFit(weights, self._constants)

    def scores(self, fit: RidgeFit, cross: Matrix) -> Matrix:
        """The scores of other rows, [others, classes].

        Args:
            cross: float64 [others, rows], the dot products of the others and the training rows
        """
        centred = cross - cross.mean(1, keepdims=True) - self._means + self._mean
        return numpy.asarray(centred @ fit.weights + fit.constants)

    def left_out(self, penalty: float) -> Matrix:
        """The scores of each training row by the regressions on all other images, [rows, classes].

        With the hat matrix H of a penalty and the residuals r of a fit on all rows, the residuals of an image's rows in
        a fit without them are (I - H')^-1 r', where H' and r' are the parts of that image. It is exact for least
        squares with a quadratic penalty (Hastie, Tibshirani and Friedman, "The Elements of Statistical Learning", 2nd
        edition, section 7.10). So no further fit is needed.
        """
        rows, classes = self._targets.shape
        shrunk = self._vectors * (self._values / (self._values + penalty))
        residuals = self._targets - self._constants - shrunk @ self._rotated
        parts = shrunk.reshape(-1, self._per_image, rows) @ self._vectors.reshape(-1, self._per_image, rows).transpose(
            0, 2, 1
        )
        kept = numpy.eye(self._per_image) - parts - 1 / rows
        without = numpy.linalg.solve(kept, residuals.reshape(-1, self._per_image, classes))
        return numpy.asarray(self._targets - without.reshape(rows, classes))

    def best_penalty(self) -> tuple[float, float]:
        """The penalty that tells most training rows right when their image is left out, and that share.

        Of equally good ones it is the largest.
        """
        shares = [float((self.left_out(penalty).argmax(1) == self._labels).mean()) for penalty in PENALTIES]
        best = max(range(len(PENALTIES)), key=lambda number: (shares[number], PENALTIES[number]))
        return PENALTIES[best], shares[best]

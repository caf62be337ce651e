"""How much the thresholds matter."""

from __future__ import annotations

from collections.abc import Sequence

import numpy
from numpy.typing import NDArray

from fne._arguments import as_array, as_count
from fne._embedding import standardize
from fne._evaluation.protocol import SEEDS, class_accuracy, smallest_class, splits
from fne._evaluation.representations import Representations, Roles
from fne._evaluation.solving import small_problems
from fne._job import Job
from fne._thresholds import LOWER, LOWERS, UPPER, UPPERS
from fne.errors import InvalidArgumentError

#: The training images per class that `threshold_study` takes by default.
TRAINING_IMAGES = 10

#: How near to a threshold a standardized value counts as near.
_NEAR = 0.01


def threshold_study(
    job: Job,
    labels: NDArray[numpy.int64],
    *,
    lowers: Sequence[float] = LOWERS,
    uppers: Sequence[float] = UPPERS,
    images: int = TRAINING_IMAGES,
    seeds: int = SEEDS,
    layers: str | Sequence[str] | None = None,
    is_test: NDArray[numpy.bool_] | None = None,
) -> tuple[NDArray[numpy.float64], float]:
    """Measures the mean accuracy per class of the SVM for each pair of thresholds.

    Args:
        job: a job that keeps the features of the layers, such as the one that `evaluate` leaves
        labels: int [N], one for each image of the job, from 0 on; also for images that failed
        lowers, uppers: the thresholds
        images, seeds: training images of each class, and random splits, as in `evaluate`
        layers: as in `fne.Job.features`
        is_test: bool [N], the images of the job that are for the test, where the data set has a split of its own; None:
            those that are not for the training

    Returns:
        the accuracy, float64 [lowers, uppers]; and the share of the standardized values that lie within 0.01 of one of
        the default thresholds
    """
    labels = as_array("labels", labels)
    if labels.shape != (len(job),):
        raise InvalidArgumentError(
            f"labels have shape {labels.shape}; the job has {len(job)} images, and each needs one label"
        )
    if labels.dtype.kind not in "iu" or (labels < 0).any():
        raise InvalidArgumentError("labels must be integers from 0 on")
    labels = labels.astype(numpy.int64)
    if is_test is not None:
        is_test = as_array("is_test", is_test, bool)
        if is_test.shape != labels.shape:
            raise InvalidArgumentError(f"is_test has shape {is_test.shape}; the labels have {labels.shape}")
        is_test = is_test[job.ok]
    images, seeds = as_count("images", images), as_count("seeds", seeds)
    data = Representations(job, labels, Roles(list(range(len(job.layers))), [], []))
    columns = job.columns(layers)
    grid = numpy.zeros((len(lowers), len(uppers)))
    near: list[float] = []
    for seed in range(seeds):
        split = splits(data.labels, images, seed, is_test=is_test)
        if split is None:
            smallest = smallest_class(data.labels, [str(label) for label in range(int(labels.max()) + 1)], is_test)
            raise InvalidArgumentError(
                f"class {smallest.name} has too few images for {images} training images: {smallest.images}"
                + (", and one is needed for the test" if is_test is None else "")
            )
        mean, std = data.statistics(split[0])
        rows = data.rows[:, columns]
        z = standardize(numpy.ascontiguousarray(rows), mean[columns], std[columns])
        near.append(float(numpy.mean((numpy.abs(z - LOWER) < _NEAR) | (numpy.abs(z - UPPER) < _NEAR))))
        with small_problems():
            for i, lower in enumerate(lowers):
                for j, upper in enumerate(uppers):
                    codes = (z > upper).astype(numpy.int8) - (z < lower).astype(numpy.int8)
                    predicted = data.kernel(codes, *split).predict("svm")
                    grid[i, j] += class_accuracy(predicted, data.labels[split[1]]) / seeds
    return grid, float(numpy.mean(near))

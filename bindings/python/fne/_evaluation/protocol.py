"""The few-shot protocol: which images are for the training and which for the test, and what is measured."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy
from numpy.typing import NDArray

from fne.errors import InvalidArgumentError

#: The numbers of training images per class that an evaluation takes by default. "all" leaves a share for the test.
IMAGES_PER_CLASS: tuple[int | str, ...] = (1, 2, 5, 10, 20, "all")

#: The random splits for each of these numbers.
SEEDS = 5
#: A name of PROTOCOLS.
PROTOCOL = "library"

_FOLDS = 3
_MOST_KEPT_FOLDS = 32

#: The rows to fit on, and the rows that are held out.
Fold = tuple[NDArray[Any], NDArray[Any]]


class Protocol(NamedTuple):
    """What an evaluation does where its arguments do not say.

    crops: per image
    """

    text: str
    crops: int
    classifiers: tuple[str, ...]
    vote: str


#: The protocols by their names.
PROTOCOLS = {
    "library": Protocol("one row per image, and the SVM with a chosen penalty", 1, ("svm",), "sum"),
    "paper": Protocol(
        "that of the published experiments (Garcia-Gasulla et al., arXiv 1705.07706): ten crops of each image, which "
        "are the four corners, the centre, and the mirrors of these five. Images are resized to 8/7 of the crops' size "
        "before, which is 256 for 224. Each crop is a row for the training, and the predictions of the crops vote. The "
        'classifier is "svm unscaled".',
        10,
        ("svm unscaled",),
        "majority",
    ),
}


class SmallestClass(NamedTuple):
    """The name of a class, and the number of its images."""

    name: str
    images: int


def splits(
    labels: NDArray[numpy.int64],
    images: int | str,
    seed: int,
    test_share: float = 0.3,
    is_test: NDArray[numpy.bool_] | None = None,
) -> tuple[NDArray[numpy.int64], NDArray[numpy.int64]] | None:
    """The numbers of the training images and of the test images.

    Args:
        labels: the class of each image, from 0 on
        images: how many images of each class are for the training, at random. The others are for the test. "all" leaves
            test_share of each class for the test.
        seed: another seed gives another split. The training sets of one seed are nested.
        is_test: bool [N], the images for the test, where the data set has a split of its own. The training images come
            from the others, and "all" takes all of these. A class may then have no image for the test.

    Returns:
        None where a class has too few images
    """
    random = numpy.random.default_rng([seed, 71])
    training, test = [], []
    for label in range(int(labels.max()) + 1):
        of_class = labels == label
        members = random.permutation(numpy.flatnonzero(of_class if is_test is None else of_class & ~is_test))
        left = max(1, round(test_share * len(members))) if is_test is None else 0
        count = len(members) - left if images == "all" else int(images)
        if count < 1 or count > len(members) - min(left, 1):
            return None
        training.append(members[:count])
        test.append(members[count:] if is_test is None else numpy.flatnonzero(of_class & is_test))
    return numpy.concatenate(training), numpy.concatenate(test)


def class_accuracy(predicted: NDArray[numpy.int64], truth: NDArray[numpy.int64]) -> float:
    """The mean over the classes of the share of their images that are told right."""
    return float(numpy.mean([numpy.mean(predicted[truth == label] == label) for label in numpy.unique(truth)]))


def can_validate(labels: NDArray[numpy.int64]) -> bool:
    """Whether these training images are enough for cross-validation: two of each class."""
    return int(numpy.bincount(labels).min()) >= 2


def folds(labels: NDArray[numpy.int64], per_image: int) -> tuple[Fold, ...]:
    """Stratified folds of the training rows. They depend on the labels alone, and are computed once for each of these.

    The crops of an image stay together. There are no folds where a class has a single image.

    Args:
        labels: the class of each image, from 0 on
        per_image: how many rows in succession are of one image
    """
    return _folds(numpy.ascontiguousarray(labels, numpy.int64).tobytes(), per_image) if can_validate(labels) else ()


@lru_cache(_MOST_KEPT_FOLDS)
def _folds(labels: bytes, per_image: int) -> tuple[Fold, ...]:
    from sklearn.model_selection import StratifiedGroupKFold

    images = numpy.frombuffer(labels, numpy.int64)
    rows = numpy.repeat(images, per_image)
    groups = numpy.repeat(numpy.arange(len(images)), per_image)
    made = StratifiedGroupKFold(min(_FOLDS, int(numpy.bincount(images).min())), shuffle=True, random_state=0)
    return tuple(made.split(rows, rows, groups))


def smallest_class(
    labels: NDArray[numpy.int64], classes: Sequence[str], is_test: NDArray[numpy.bool_] | None = None
) -> SmallestClass:
    """The class with the fewest images, or with a split of its own the fewest for the training. Of several the first.

    Args:
        is_test: as in `splits`
    """
    counts = numpy.bincount(labels if is_test is None else labels[~is_test], minlength=len(classes))
    label = int(counts.argmin())
    return SmallestClass(classes[label], int(counts[label]))


def training_size(labels: NDArray[numpy.int64], images: int | str, is_test: NDArray[numpy.bool_] | None = None) -> int:
    """The training images of all classes together; 0 where a class has too few images."""
    split = splits(labels, images, 0, is_test=is_test)
    return 0 if split is None else len(split[0])


def served(
    labels: NDArray[numpy.int64],
    classes: Sequence[str],
    numbers: Sequence[int | str],
    what: str,
    is_test: NDArray[numpy.bool_] | None = None,
) -> list[int | str]:
    """The numbers of training images per class that every class has enough images for.

    Args:
        what: what the labels belong to, for the message
        is_test: as in `splits`

    Raises:
        InvalidArgumentError: there is no such number
    """
    enough = [images for images in numbers if training_size(labels, images, is_test)]
    if not enough:
        smallest = smallest_class(labels, classes, is_test)
        needed = ", and one of them is needed for the test" if is_test is None else " for the training"
        raise InvalidArgumentError(
            f"nothing to measure with {', '.join(map(str, numbers))} training images per class: the smallest class, "
            f"'{smallest.name}', has {smallest.images} {what}{needed}"
        )
    return enough

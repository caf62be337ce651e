"""Few-shot evaluation of the embedding beside single layers. The network sees each image once."""

from __future__ import annotations

import math
import os
import textwrap
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy
from numpy.typing import NDArray

from fne._arguments import as_count, as_path, listed
from fne._evaluation.classifiers import CLASSIFIERS
from fne._evaluation.dataset import classes_of
from fne._evaluation.protocol import (
    IMAGES_PER_CLASS,
    SEEDS,
    class_accuracy,
    served,
    smallest_class,
    splits,
    training_size,
)
from fne._evaluation.representations import REPRESENTATIONS, Representations, Roles
from fne._evaluation.result import Evaluation, Score
from fne._job import Job, embed_dataset
from fne._model import Model
from fne._options import ExtractorOptions
from fne._thresholds import LOWER, UPPER
from fne.errors import InvalidArgumentError, InvalidTypeError, UnknownTensorError

if TYPE_CHECKING:
    from typing_extensions import Unpack

#: The representation and the classifier whose confusion is counted.
_CONFUSION = ("fne", "svm")


def evaluate(
    source: str | os.PathLike[str],
    model: Any,
    output: str | os.PathLike[str],
    *,
    images_per_class: int | str | Sequence[int | str] = IMAGES_PER_CLASS,
    seeds: int = SEEDS,
    representations: str | Sequence[str] = tuple(REPRESENTATIONS),
    classifiers: str | Sequence[str] = ("svm",),
    lower: float = LOWER,
    upper: float = UPPER,
    progress: bool | Callable[[str, int, int], Any] = False,
    **extractor: Unpack[ExtractorOptions],
) -> Evaluation:
    """Measures the accuracy of representations on identical, stratified splits of a data set.

    Statistics, the classifiers' parameters and the best layer come from the training images alone. The training sets of
    one seed are nested: its 5 images of a class are among its 10. So the accuracies of one seed rise together. The
    standard deviation is the sample's over the seeds. It says how much a split matters, not how far one number of
    images is from the next.

    The evaluation is meant for up to about two thousand training rows, where each crop is a row. An SVM is fitted in as
    many dimensions as there are training rows. The best layer takes an SVM for each layer, penalty and fold.

    Args:
        source: a folder that holds a folder of images for each class, or a list with the lines "name<tab>class". Names
            that begin with a dot are left out, and links to folders are followed. A list names an image once.
        model: what `fne.Model` takes
        output: a folder, not inside the source folder. It receives the job with the features of all layers,
            evaluation.json and plots. A job that is there already is resumed.
        images_per_class: how many images of each class are for the training. The others are for the test. "all" takes
            70 % of each class. A number that the smallest class has too few images for is left out; facts names it.
        seeds: the number of random splits for each number of images
        representations: names of representations, such as "fne", "best layer" or "penultimate l2".
            `help(fne.evaluate)` and `fne evaluate --help` describe all.
        classifiers: some of "svm", "centroid" and "knn", which are described there too
        lower, upper: the thresholds, as in `fne.ternarize`
        progress: as in `fne.embed_dataset`
        extractor: the options of `fne.Extractor`, but for layers and on_error. With crops=10 each crop is a training
            row, and the sum over its crops decides for a test image.

    Returns:
        an `Evaluation`, which is written to output too

    Raises:
        InvalidArgumentError: there are too few images or classes, a list names an image twice, or all images of a class
            failed
        TypeError, ValueError: an argument is out of its range; nothing has run then
    """
    numbers = _images_per_class(images_per_class)
    seeds = as_count("seeds", seeds)
    wanted = _names("representations", representations, tuple(REPRESENTATIONS))
    deciding = _names("classifiers", classifiers, tuple(CLASSIFIERS))
    lower, upper = float(lower), float(upper)
    if not (lower <= upper and math.isfinite(lower) and math.isfinite(upper)):
        raise InvalidArgumentError(
            f"lower is {lower} and upper is {upper}; both must be finite, and lower not above upper"
        )
    _check_options(extractor)
    folder = as_path(output)
    _refuse_inside(as_path(source), folder)
    names, labels, classes, root = classes_of(source)
    served(labels, classes, numbers, "images")
    opened = model if isinstance(model, Model) else Model(model)
    tensors = Roles.tensors(opened.tensors())
    roles = Roles.of(tensors)
    if not roles.layers:
        raise UnknownTensorError(
            "the network has no convolution and no dense layer before its outputs: there is nothing to embed"
        )
    extractor["layers"] = [tensor.name for tensor in tensors]
    job = embed_dataset(names, opened, folder / "job", root=root, codes=None, progress=progress, **extractor)
    _refuse_lost_classes(job, labels, classes)
    data = Representations(job, labels, roles, lower, upper)
    enough = served(data.labels, classes, numbers, "images that could be embedded")
    # Of several numbers with the most images, the first. "all" may be more or fewer than a number.
    most = max(enough, key=lambda images: training_size(data.labels, images))
    scores: list[Score] = []
    chosen: dict[tuple[int | str, int], str] = {}
    confusion = numpy.zeros((len(classes), len(classes)), numpy.int64)
    for images in enough:
        for seed in range(seeds):
            split = splits(data.labels, images, seed)
            assert split is not None  # the seed does not decide whether there is a split
            truth = data.labels[split[1]]
            for representation in wanted:
                part = data.kernel_of(representation, *split)
                if part is None:
                    continue
                kernel, layer = part
                if layer is not None and REPRESENTATIONS[representation].is_best:
                    chosen[images, seed] = layer
                for classifier in deciding:
                    predicted = kernel.predict(classifier)
                    scores.append(Score(representation, classifier, images, seed, class_accuracy(predicted, truth)))
                    if images == most and (representation, classifier) == _CONFUSION:
                        numpy.add.at(confusion, (truth, predicted), 1)
    if not scores:
        raise InvalidArgumentError(
            f"nothing to measure: the network has none of {listed(wanted)}, or the best layer is to be chosen with one "
            "training image per class"
        )
    facts = {
        "images": len(labels),
        "failed": len(job.failures),
        "classes": len(classes),
        "smallest class": smallest_class(data.labels, classes)._asdict(),
        "skipped": [images for images in numbers if images not in enough],
        "images of the confusion": most,
        "crops": job.rows_per_image,
        "thresholds": [lower, upper],
        "seeds": seeds,
        "features": data.feature_count(roles.layers),
        "layers": len(roles.layers),
        "settings": {name: value for name, value in job.manifest["settings"].items() if name != "layers"},
    }
    result = Evaluation(classes, scores, chosen, confusion, facts)
    result.save(folder)
    return result


def choices() -> str:
    """The representations and the classifiers with their descriptions, as text."""
    tables = {
        "Representations": {name: row.text for name, row in REPRESENTATIONS.items()},
        "Classifiers": {name: row.text for name, row in CLASSIFIERS.items()},
    }
    lines = []
    for title, table in tables.items():
        lines.append(f"{title}:")
        for name, text in table.items():
            lines += textwrap.wrap(f'"{name}": {text}', 110, initial_indent="  ", subsequent_indent="      ")
    return "\n".join(lines)


if evaluate.__doc__ is not None:  # python -OO drops it
    evaluate.__doc__ += "\n" + textwrap.indent(choices(), "    ")


def _images_per_class(given: int | str | Sequence[int | str]) -> list[int | str]:
    """The numbers as Python's own, which JSON can hold."""
    values = [given] if isinstance(given, str) or not isinstance(given, Iterable) else list(given)
    numbers: list[int | str] = []
    for value in values:
        if not isinstance(value, str):
            numbers.append(as_count("images_per_class", value))
        elif value == "all":
            numbers.append("all")
        else:
            raise InvalidArgumentError(f"images_per_class is {value!r}; it must be a positive integer or 'all'")
    if not numbers:
        raise InvalidArgumentError("images_per_class is empty")
    _refuse_twice("images_per_class", numbers)
    return numbers


def _names(what: str, given: str | Sequence[str], known: Sequence[str]) -> list[str]:
    names = [given] if isinstance(given, str) else list(given)
    if not names:
        raise InvalidArgumentError(f"{what} is empty; it takes some of {listed(known)}")
    for name in names:
        if name not in known:
            raise InvalidArgumentError(f"{name!r} in {what} is none of {listed(known)}")
    _refuse_twice(what, names)
    return names


def _refuse_twice(what: str, values: Sequence[int | str]) -> None:
    for value in values:
        if values.count(value) > 1:
            raise InvalidArgumentError(f"{what} holds {value!r} twice")


def _check_options(extractor: ExtractorOptions) -> None:
    if "layers" in extractor:
        raise InvalidArgumentError("layers cannot be given: the representations choose the layers")
    for option in extractor:
        if option not in ExtractorOptions.__optional_keys__:
            raise InvalidTypeError(
                f"evaluate takes no option {option!r}; it takes those of fne.Extractor, but for layers and on_error"
            )


def _refuse_inside(source: Path, output: Path) -> None:
    """An output folder inside the source would be a class of the next run."""
    if not source.is_dir():
        return
    real = output.resolve()
    for place in (source, *(entry for entry in source.iterdir() if entry.is_dir())):
        if real.is_relative_to(place.resolve()):
            raise InvalidArgumentError(f"the output '{output}' lies inside '{place}', whose images are to be evaluated")


def _refuse_lost_classes(job: Job, labels: NDArray[numpy.int64], classes: Sequence[str]) -> None:
    counts = numpy.bincount(labels[job.ok], minlength=len(classes))
    lost = [name for name, count in zip(classes, counts, strict=True) if not count]
    if lost:
        image = int(numpy.flatnonzero(labels == classes.index(lost[0]))[0])
        raise InvalidArgumentError(
            f"no image of {listed(lost)} could be embedded; '{job.names[image]}': {job.failures[image]}"
        )

"""Few-shot evaluation of the embedding beside single layers. The network sees each image once."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy

from fne._arguments import as_count, chosen_names, listed, refuse_twice
from fne._evaluation.classifiers import CLASSIFIERS, VOTES
from fne._evaluation.embedding import embedded_classes
from fne._evaluation.protocol import (
    IMAGES_PER_CLASS,
    PROTOCOLS,
    SEEDS,
    class_accuracy,
    served,
    splits,
    training_size,
)
from fne._evaluation.representations import DEFAULT_REPRESENTATIONS, REPRESENTATIONS
from fne._evaluation.result import Evaluation, Score
from fne._evaluation.solving import small_problems
from fne._options import ExtractorOptions
from fne._thresholds import LOWER, UPPER
from fne.errors import InvalidArgumentError

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
    representations: str | Sequence[str] = DEFAULT_REPRESENTATIONS,
    classifiers: str | Sequence[str] | None = None,
    vote: str | None = None,
    protocol: str = "library",
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
    many dimensions as there are training rows. "ridge" is many times faster. The best layer takes an SVM for each
    layer, penalty and fold, so it is measured only where representations name it. Where "ridge" is among the
    classifiers and "svm" is not, the ridge chooses it.

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
            `help(fne.evaluate)` and `fne evaluate --help` describe all. By default it is all but "best layer".
        classifiers: some of "svm", "svm unscaled", "ridge", "centroid" and "knn", which are described there too; None:
            the protocol's
        vote: "sum" or "majority", how the crops of an image decide; None: the protocol's
        protocol: "library" or "paper", which are described there too. A protocol gives what the other arguments do not.
        lower, upper: the thresholds, as in `fne.ternarize`
        progress: as in `fne.embed_dataset`
        extractor: the options of `fne.Extractor`, but for layers and on_error. With crops=10 each crop is a training
            row, and a test image's crops decide together.

    Returns:
        an `Evaluation`, which is written to output too

    Raises:
        InvalidArgumentError: there are too few images or classes, a list names an image twice, or all images of a class
            failed
        TypeError, ValueError: an argument is out of its range; nothing has run then
    """
    numbers = _images_per_class(images_per_class)
    seeds = as_count("seeds", seeds)
    wanted = chosen_names("representations", representations, tuple(REPRESENTATIONS))
    followed = PROTOCOLS[chosen_names("protocol", protocol, tuple(PROTOCOLS))[0]]
    deciding = chosen_names(
        "classifiers", followed.classifiers if classifiers is None else classifiers, tuple(CLASSIFIERS)
    )
    voting = chosen_names("vote", followed.vote if vote is None else vote, tuple(VOTES))[0]
    judge = "ridge" if "ridge" in deciding and "svm" not in deciding else "svm"
    extractor.setdefault("crops", followed.crops)
    embedded = embedded_classes(
        source,
        model,
        output,
        lower=lower,
        upper=upper,
        progress=progress,
        check=lambda labels, classes: served(labels, classes, numbers, "images"),
        extractor=extractor,
    )
    data, classes = embedded.data, embedded.classes
    enough = served(data.labels, classes, numbers, "images that could be embedded")
    # Of several numbers with the most images, the first. "all" may be more or fewer than a number.
    most = max(enough, key=lambda images: training_size(data.labels, images))
    scores: list[Score] = []
    chosen: dict[tuple[int | str, int], str] = {}
    confusion = numpy.zeros((len(classes), len(classes)), numpy.int64)
    with small_problems():
        for images in enough:
            for seed in range(seeds):
                split = splits(data.labels, images, seed)
                assert split is not None  # the seed does not decide whether there is a split
                truth = data.labels[split[1]]
                for representation in wanted:
                    part = data.kernel_of(representation, *split, judge)
                    if part is None:
                        continue
                    kernel, layer = part
                    if layer is not None and REPRESENTATIONS[representation].is_best:
                        chosen[images, seed] = layer
                    for classifier in deciding:
                        predicted = kernel.predict(classifier, voting)
                        accuracy = class_accuracy(predicted, truth)
                        scores.append(Score(representation, classifier, images, seed, accuracy))
                        if images == most and (representation, classifier) == _CONFUSION:
                            numpy.add.at(confusion, (truth, predicted), 1)
    if not scores:
        raise InvalidArgumentError(
            f"nothing to measure: the network has none of {listed(wanted)}, or the best layer is to be chosen with one "
            "training image per class"
        )
    facts = {
        **embedded.facts(),
        "skipped": [images for images in numbers if images not in enough],
        "images of the confusion": most,
        "vote": voting,
        "protocol": protocol,
        "seeds": seeds,
    }
    result = Evaluation(classes, scores, chosen, confusion, facts)
    result.save(embedded.folder)
    return result


def choices() -> str:
    """The representations, the classifiers, the votes and the protocols with their descriptions, as text."""
    tables = {
        "Representations": {name: row.text for name, row in REPRESENTATIONS.items()},
        "Classifiers": {name: row.text for name, row in CLASSIFIERS.items()},
        "Votes": {name: row.text for name, row in VOTES.items()},
        "Protocols": {name: row.text for name, row in PROTOCOLS.items()},
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
    refuse_twice("images_per_class", numbers)
    return numbers

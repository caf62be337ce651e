"""Few-shot evaluation of the embedding beside single layers. The network sees each image once."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from fne._arguments import as_count, chosen_names, refuse_twice
from fne._evaluation.classifiers import CLASSIFIERS, VOTES
from fne._evaluation.dataset import DataSet
from fne._evaluation.embedding import embedded_classes
from fne._evaluation.measuring import Measuring, Plan
from fne._evaluation.protocol import IMAGES_PER_CLASS, PROTOCOL, PROTOCOLS, SEEDS, served
from fne._evaluation.representations import DEFAULT_REPRESENTATIONS, REPRESENTATIONS
from fne._evaluation.result import Evaluation
from fne._options import ExtractorOptions
from fne._thresholds import LOWER, UPPER
from fne.errors import InvalidArgumentError

if TYPE_CHECKING:
    from typing_extensions import Unpack


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
    protocol: str = PROTOCOL,
    split: str = "auto",
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

    Each score is written to output when it is measured. An evaluation that was stopped, as by Ctrl-C, goes on from
    there, and one that is run again with more seeds or representations measures only what is new.

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
        split: "auto" takes folders such as train and val, with a folder for each class in them, for a split of the data
            set's own: classifiers are trained on images of the one, and tested on the other. Where test and val are
            there, it is test. "all" then takes all images for the training. "none" takes each folder for a class.
        lower, upper: the thresholds, as in `fne.ternarize`
        progress: as in `fne.embed_dataset`. A further phase is "measuring", which counts classifiers.
        extractor: the options of `fne.Extractor`, but for layers and on_error. With crops=10 each crop is a training
            row, and a test image's crops decide together.

    Returns:
        an `Evaluation`, which is written to output too

    Raises:
        InvalidArgumentError: there are too few images or classes, a list names an image twice, or all images of a class
            failed
        TypeError, ValueError: an argument is out of its range; nothing has run then
        KeyboardInterrupt: what was measured until then is written to output
    """
    return prepared(
        source,
        model,
        output,
        images_per_class=images_per_class,
        seeds=seeds,
        representations=representations,
        classifiers=classifiers,
        vote=vote,
        protocol=protocol,
        split=split,
        lower=lower,
        upper=upper,
        progress=progress,
        extractor=extractor,
    ).run()


def prepared(
    source: str | os.PathLike[str] | DataSet,
    model: Any,
    output: str | os.PathLike[str],
    *,
    images_per_class: int | str | Sequence[int | str],
    seeds: int,
    representations: str | Sequence[str],
    classifiers: str | Sequence[str] | None,
    vote: str | None,
    protocol: str,
    split: str,
    lower: float,
    upper: float,
    progress: bool | Callable[[str, int, int], Any],
    extractor: ExtractorOptions,
) -> Measuring:
    """Embeds the images of an evaluation. `Measuring.run` is what remains.

    Args:
        source: as in `evaluate`, or a data set that was read already

    Other arguments and errors are those of `evaluate`.
    """
    numbers = _images_per_class(images_per_class)
    seeds = as_count("seeds", seeds)
    wanted = chosen_names("representations", representations, tuple(REPRESENTATIONS))
    protocol = chosen_names("protocol", protocol, tuple(PROTOCOLS))[0]
    followed = PROTOCOLS[protocol]
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
        split=split,
        lower=lower,
        upper=upper,
        progress=progress,
        check=lambda found: served(found.labels, found.classes, numbers, "images", found.is_test),
        extractor=extractor,
    )
    labels, is_test = embedded.data.labels, embedded.is_test
    enough = served(labels, embedded.classes, numbers, "images that could be embedded", is_test)
    skipped = [images for images in numbers if images not in enough]
    plan = Plan(enough, skipped, seeds, wanted, deciding, voting, judge, protocol)
    return Measuring(embedded, plan, progress)


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

"""How well a data set's classes are told apart by the embedding, beside single layers: few-shot protocols on one pass of the network."""

from __future__ import annotations

import importlib.util
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy
from numpy.typing import NDArray

from fne._classifiers import CLASSIFIERS
from fne._embedding import standardize
from fne._job import Job, embed_dataset
from fne._model import Model
from fne._options import ExtractorOptions, as_count
from fne._plots import PLOTS, plot
from fne._representations import REPRESENTATIONS, Representations, Roles
from fne.errors import error

if TYPE_CHECKING:
    from typing_extensions import Unpack

IMAGES_PER_CLASS: tuple[int | str, ...] = (1, 2, 5, 10, 20, "all")
_ENDINGS = {".jpg", ".jpeg", ".jpe", ".jfif", ".png"}


class Score(NamedTuple):
    """One run: mean accuracy per class of a representation and a classifier, with so many training images a class."""

    representation: str
    classifier: str
    images: int | str
    seed: int
    accuracy: float


@dataclass
class Evaluation:
    """What `evaluate` found.

    Attributes:
        classes: their names
        scores: one for each run
        chosen: the layer that was the best on the training images, by (images, seed)
        confusion: int [classes, classes], true by predicted, of the FNE and the SVM over all seeds, with the number of training images that
            gives the most of all classes together (facts names it); zeros where these two were not asked for
        facts: data set, network, protocol; "skipped": the numbers of images that the smallest class cannot serve; "smallest class": its
            name and how many of its images could be embedded
    """

    classes: list[str]
    scores: list[Score]
    chosen: dict[tuple[int | str, int], str]
    confusion: NDArray[numpy.int64]
    facts: dict[str, Any]

    def summary(self) -> list[dict[str, Any]]:
        """A row for each representation, classifier and number of images: mean over the seeds, standard deviation (of the sample)."""
        groups: dict[tuple[str, str, int | str], list[float]] = {}
        for score in self.scores:
            groups.setdefault((score.representation, score.classifier, score.images), []).append(score.accuracy)
        return [
            {
                "representation": representation,
                "classifier": classifier,
                "images": images,
                "mean": float(numpy.mean(values)),
                "std": float(numpy.std(values, ddof=1)) if len(values) > 1 else 0.0,
                "seeds": len(values),
            }
            for (representation, classifier, images), values in groups.items()
        ]

    def table(self) -> str:
        """Mean accuracy and its deviation, a column for each number of images."""
        rows = self.summary()
        columns = list(dict.fromkeys(row["images"] for row in rows))
        lines = ["".join([f"{'':32}", *(f"{name!s:>14}" for name in columns)])]
        for name in dict.fromkeys((row["representation"], row["classifier"]) for row in rows):
            cells = {
                row["images"]: f"{row['mean']:.3f} ({row['std']:.3f})"
                for row in rows
                if (row["representation"], row["classifier"]) == name
            }
            lines.append(
                "".join([f"{name[0] + ', ' + name[1]:32}", *(f"{cells.get(column, ''):>14}" for column in columns)])
            )
        return "\n".join(lines)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Writes evaluation.json, and with matplotlib accuracy.png, shares.png and confusion.png; an earlier run's plots go."""
        target = Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        for name in PLOTS:
            (target / name).unlink(missing_ok=True)
        data = {
            "facts": self.facts,
            "classes": self.classes,
            "summary": self.summary(),
            "scores": [score._asdict() for score in self.scores],
            "best layers": [
                {"images": images, "seed": seed, "layer": name} for (images, seed), name in self.chosen.items()
            ],
            "confusion": self.confusion.tolist(),
        }
        (target / "evaluation.json").write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
        if importlib.util.find_spec("matplotlib"):
            plot(self, target)


def classes_of(source: str | os.PathLike[str]) -> tuple[list[str], NDArray[numpy.int64], list[str], Path]:
    """The images of a folder with a folder for each class, or of a list whose lines are a name, a tab and a class.

    Folders are searched to any depth, links to folders are followed, and what begins with a dot is left out. A list is UTF-8, with or
    without a mark at its start; bytes that are not are taken as `os.fsdecode` takes them.

    Returns:
        names, labels int64 [N], the classes' names, what the names are relative to
    """
    path = Path(source)
    if path.is_dir():
        found = sorted(file.relative_to(path) for file in _images_below(path))
        named = [(str(name), name.parts[0]) for name in found if len(name.parts) > 1]
        root = path
    else:
        named = _listed(path)
        root = path.parent
    classes = sorted({label for _, label in named})
    if len(classes) < 2:
        raise error(1, f"'{path}' has {len(classes)} classes; two are needed, each a folder of images")
    number = {name: label for label, name in enumerate(classes)}
    return [name for name, _ in named], numpy.array([number[label] for _, label in named]), classes, root


def _images_below(folder: Path, above: tuple[str, ...] = ()) -> Iterator[Path]:
    real = os.path.realpath(folder)
    if real in above:  # a link to a folder that it lies in
        return
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from _images_below(entry, (*above, real))
        elif entry.suffix.lower() in _ENDINGS and entry.is_file():
            yield entry


def _listed(path: Path) -> list[tuple[str, str]]:
    """Names and classes of a list."""
    text = path.read_bytes().decode("utf-8-sig", "surrogateescape")
    if "\0" in text:
        raise error(1, f"'{path}' holds zero bytes; a list is text in UTF-8")
    named: list[tuple[str, str]] = []
    lines: dict[str, int] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        name, tab, label = line.rstrip("\r").rpartition("\t")
        label = label.strip()
        if not tab:
            raise error(1, f"'{path}', line {number}: each line must be an image's name, a tab, and its class")
        if not name.strip() or not label:
            raise error(1, f"'{path}', line {number}: the {'class' if name.strip() else 'name'} is empty")
        first = lines.setdefault(os.path.normpath(path.parent / name), number)
        if first != number:
            raise error(1, f"'{path}': line {number} names '{name}' again, which is on line {first}")
        named.append((name, label))
    return named


def splits(
    labels: NDArray[numpy.int64], images: int | str, seed: int, test_share: float = 0.3
) -> tuple[NDArray[numpy.int64], NDArray[numpy.int64]] | None:
    """Numbers of the training and of the test images: so many of each class at random, the rest for the test; "all" leaves a share of
    each class for the test. None where a class has too few."""
    random = numpy.random.default_rng([seed, 71])
    training, test = [], []
    for label in range(int(labels.max()) + 1):
        members = random.permutation(numpy.flatnonzero(labels == label))
        count = len(members) - max(1, round(test_share * len(members))) if images == "all" else int(images)
        if count < 1 or count >= len(members):
            return None
        training.append(members[:count])
        test.append(members[count:])
    return numpy.concatenate(training), numpy.concatenate(test)


def class_accuracy(predicted: NDArray[numpy.int64], truth: NDArray[numpy.int64]) -> float:
    """Mean over the classes of the share of their images that were told."""
    return float(numpy.mean([numpy.mean(predicted[truth == label] == label) for label in numpy.unique(truth)]))


def evaluate(
    source: str | os.PathLike[str],
    model: Any,
    output: str | os.PathLike[str],
    *,
    images_per_class: int | str | Sequence[int | str] = IMAGES_PER_CLASS,
    seeds: int = 5,
    representations: str | Sequence[str] = REPRESENTATIONS,
    classifiers: str | Sequence[str] = ("svm",),
    lower: float = -0.25,
    upper: float = 0.15,
    progress: bool | Callable[[str, int, int], Any] = False,
    **extractor: Unpack[ExtractorOptions],
) -> Evaluation:
    """Accuracy of representations on identical, stratified splits of a data set; the network sees each image once.

    Statistics, the classifier's parameters and the best layer come from the training images alone. The training sets of one seed are
    nested: its 5 images of a class are among its 10. So the accuracies of one seed rise together, and the standard deviation, which is
    the sample's over the seeds, says how much a split matters, not how far one number of images is from the next.

    It is meant for up to about two thousand training rows (each crop is one): an SVM is fitted in as many dimensions as there are
    training rows, and the best layer takes one for each layer, penalty and fold.

    Args:
        source: a folder with a folder of images for each class, or a list of "name<tab>class"; names and folders that begin with a dot
            are left out, links to folders are followed. An image is named once
        model: as `fne.Model` takes it
        output: receives the job (features of all layers; gone on with where it is there), evaluation.json and plots; not inside the
            source folder
        images_per_class: training images of each class; the rest are the test; "all": 70 %. A number that the smallest class cannot
            serve is left out, and facts names it
        seeds: random splits for each number
        representations: of "fne": the ternary codes of all default layers; "fne with outputs": with the classifier's outputs; "fne last
            75%", "fne last 50%", "fne last 25%" of the layers; "standardized": floats; "l2": all features over their norm; "best layer":
            the single layer, or "penultimate", which is among the candidates, that cross-validation on the training images prefers
            (from two images a class on), of equally good ones the earliest; "last layer": the last one before the outputs;
            "penultimate": what the classifier's last layer reads, in most networks the pooled last block; "penultimate l2": that over
            its norm; "outputs": the classifier's own. The other single layers are standardized.
        classifiers: of "svm" (linear, one class against the rest, C of 0.01, 0.1, 1 and 10 by cross-validation on the training images,
            where rows have a mean square of 1; with one image a class C is 1), "centroid" (nearest class mean), "knn" (k of 1, 3 and 5
            by cross-validation, 1 with one image a class; of equal counts the label of the nearest); the last two by cosine
        lower, upper: thresholds
        progress: as in `fne.embed_dataset`
        extractor: the options of `fne.Extractor` but for layers and on_error; with crops=10 each crop is a training sample, and test
            images are decided by the sum over their crops

    Returns:
        an `Evaluation`, which was also written to output

    Raises:
        InvalidArgumentError: no number of images can be split; all images of a class failed; the list or the folder names no two
            classes, or an image twice
        TypeError, ValueError: an argument out of its range; nothing was run then
    """
    numbers = _images_per_class(images_per_class)
    seeds = as_count("seeds", seeds)
    wanted = _names("representations", representations, REPRESENTATIONS)
    deciding = _names("classifiers", classifiers, CLASSIFIERS)
    lower, upper = float(lower), float(upper)
    if not (lower <= upper and math.isfinite(lower) and math.isfinite(upper)):
        raise ValueError(f"lower is {lower} and upper is {upper}; lower must not be above upper, and both finite")
    if "layers" in extractor:
        raise ValueError("layers is chosen by the representations")
    for option in extractor:
        if option not in ExtractorOptions.__optional_keys__:
            raise TypeError(
                f"evaluate takes no option {option!r}; it takes those of fne.Extractor, but for layers and on_error"
            )
    folder = Path(output)
    _refuse_inside(Path(source), folder)
    names, labels, classes, root = classes_of(source)
    _served(labels, classes, numbers, "images")
    opened = model if isinstance(model, Model) else Model(model)
    tensors = Roles.tensors(opened.tensors())
    roles = Roles.of(tensors)
    if not roles.layers:
        raise error(
            10, "the network has no convolution and no dense layer before its outputs: there is nothing to embed"
        )
    extractor["layers"] = [tensor.name for tensor in tensors]
    job = embed_dataset(names, opened, folder / "job", root=root, codes=None, progress=progress, **extractor)
    _refuse_lost_classes(job, labels, classes)
    data = Representations(job, labels, roles, lower, upper)
    served, smallest = _served(data.labels, classes, numbers, "images that could be embedded")
    # The first of those with the most: "all" may be more or fewer than a number.
    most = max(served, key=lambda images: _training_size(data.labels, images))
    scores: list[Score] = []
    chosen: dict[tuple[int | str, int], str] = {}
    confusion = numpy.zeros((len(classes), len(classes)), numpy.int64)
    for images in served:
        for seed in range(seeds):
            split = splits(data.labels, images, seed)
            assert split is not None  # whether there is one is not the seed's
            truth = data.labels[split[1]]
            for representation in wanted:
                part = data.kernel_of(representation, *split)
                if part is None:
                    continue
                kernel, layer = part
                if layer is not None and representation == "best layer":
                    chosen[images, seed] = layer
                for classifier in deciding:
                    predicted = kernel.predict(classifier)
                    scores.append(Score(representation, classifier, images, seed, class_accuracy(predicted, truth)))
                    if images == most and representation == "fne" and classifier == "svm":
                        numpy.add.at(confusion, (truth, predicted), 1)
    if not scores:
        raise error(
            1,
            f"nothing to measure: the network has none of {', '.join(map(repr, wanted))}, or a best layer is to be "
            "chosen with one training image a class",
        )
    facts = {
        "images": len(labels),
        "failed": len(job.failures),
        "classes": len(classes),
        "smallest class": smallest,
        "skipped": [images for images in numbers if images not in served],
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


def _images_per_class(given: int | str | Sequence[int | str]) -> list[int | str]:
    """Numbers as Python's own, which JSON can write."""
    values = [given] if isinstance(given, str) or not isinstance(given, Iterable) else list(given)
    numbers: list[int | str] = []
    for value in values:
        if not isinstance(value, str):
            numbers.append(as_count("images_per_class", value))
        elif value == "all":
            numbers.append("all")
        else:
            raise ValueError(f"images_per_class is {value!r}; it must be a positive integer or 'all'")
    if not numbers:
        raise ValueError("images_per_class is empty")
    _refuse_twice("images_per_class", numbers)
    return numbers


def _names(what: str, given: str | Sequence[str], known: Sequence[str]) -> list[str]:
    names = [given] if isinstance(given, str) else list(given)
    if not names:
        raise ValueError(f"{what} is empty; it takes some of {', '.join(map(repr, known))}")
    for name in names:
        if name not in known:
            raise ValueError(f"{name!r} in {what} is none of {', '.join(map(repr, known))}")
    _refuse_twice(what, names)
    return names


def _refuse_twice(what: str, values: Sequence[int | str]) -> None:
    for value in values:
        if values.count(value) > 1:
            raise ValueError(f"{what} holds {value!r} twice")


def _refuse_inside(source: Path, output: Path) -> None:
    """An output inside the source would be a class of the next run."""
    if not source.is_dir():
        return
    real = output.resolve()
    for place in (source, *(entry for entry in source.iterdir() if entry.is_dir())):
        if real.is_relative_to(place.resolve()):
            raise error(1, f"the output '{output}' lies inside '{place}', whose images are to be evaluated")


def smallest_class(labels: NDArray[numpy.int64], classes: Sequence[str]) -> dict[str, Any]:
    """Its name and the number of its images; the first of equally small ones."""
    counts = numpy.bincount(labels, minlength=len(classes))
    label = int(counts.argmin())
    return {"name": classes[label], "images": int(counts[label])}


def _training_size(labels: NDArray[numpy.int64], images: int | str) -> int:
    """Training images of all classes together; 0 where a class has too few."""
    split = splits(labels, images, 0)
    return 0 if split is None else len(split[0])


def _served(
    labels: NDArray[numpy.int64], classes: Sequence[str], numbers: Sequence[int | str], what: str
) -> tuple[list[int | str], dict[str, Any]]:
    """The numbers of training images that there are images enough for, and the smallest class."""
    smallest = smallest_class(labels, classes)
    served = [images for images in numbers if _training_size(labels, images)]
    if not served:
        raise error(
            1,
            f"nothing to measure with {', '.join(map(str, numbers))} training images a class: the smallest class, "
            f"'{smallest['name']}', has {smallest['images']} {what}, and one of them is needed for the test",
        )
    return served, smallest


def _refuse_lost_classes(job: Job, labels: NDArray[numpy.int64], classes: Sequence[str]) -> None:
    counts = numpy.bincount(labels[job.ok], minlength=len(classes))
    lost = [name for name, count in zip(classes, counts, strict=True) if not count]
    if lost:
        image = int(numpy.flatnonzero(labels == classes.index(lost[0]))[0])
        raise error(
            1,
            f"no image of {', '.join(map(repr, lost))} could be embedded; '{job.names[image]}': {job.failures[image]}",
        )


def threshold_study(
    job: Job,
    labels: NDArray[numpy.int64],
    *,
    lowers: Sequence[float] = (-1.0, -0.75, -0.5, -0.25, -0.1, 0.0),
    uppers: Sequence[float] = (0.0, 0.15, 0.3, 0.5, 0.75, 1.0),
    images: int = 10,
    seeds: int = 5,
    layers: str | Sequence[str] | None = None,
) -> tuple[NDArray[numpy.float64], float]:
    """Mean accuracy per class of the SVM for each pair of thresholds, and how many values lie within 0.01 of the paper's.

    Args:
        job: with the features of the layers, such as `evaluate` leaves
        labels: int [N], one for each image of the job, from 0 on, also for those that failed
        lowers, uppers: thresholds
        images, seeds: training images of each class, and random splits, as in `evaluate`
        layers: as in `fne.Job.features`

    Returns:
        float64 [lowers, uppers]; the share of standardized values within 0.01 of -0.25 or 0.15
    """
    labels = numpy.asarray(labels)
    if labels.shape != (len(job),):
        raise ValueError(
            f"labels have shape {labels.shape}; the job has {len(job)} images, one label for each is needed"
        )
    if labels.dtype.kind not in "iu" or (labels < 0).any():
        raise ValueError("labels must be integers from 0 on")
    labels = labels.astype(numpy.int64)
    images, seeds = as_count("images", images), as_count("seeds", seeds)
    data = Representations(job, labels, Roles(list(range(len(job.layers))), [], []))
    columns = job.columns(layers)
    grid = numpy.zeros((len(lowers), len(uppers)))
    near: list[float] = []
    for seed in range(seeds):
        split = splits(data.labels, images, seed)
        if split is None:
            smallest = smallest_class(data.labels, [str(label) for label in range(int(labels.max()) + 1)])
            raise error(
                1,
                f"class {smallest['name']} has too few images for {images} training images: {smallest['images']}, "
                "and one is needed for the test",
            )
        mean, std = data.statistics(split[0])
        rows = data.rows[:, columns]
        z = standardize(numpy.ascontiguousarray(rows), mean[columns], std[columns])
        near.append(float(numpy.mean((numpy.abs(z + 0.25) < 0.01) | (numpy.abs(z - 0.15) < 0.01))))
        for i, lower in enumerate(lowers):
            for j, upper in enumerate(uppers):
                codes = (z > upper).astype(numpy.int8) - (z < lower).astype(numpy.int8)
                predicted = data.kernel(codes, *split).predict("svm")
                grid[i, j] += class_accuracy(predicted, data.labels[split[1]]) / seeds
    return grid, float(numpy.mean(near))

"""How well a data set's classes are told apart by the embedding, beside single layers: few-shot protocols on one pass of the network."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy
from numpy.typing import NDArray

from fne._classifiers import CLASSIFIERS
from fne._embedding import standardize
from fne._job import Job, embed_dataset
from fne._model import Model
from fne._plots import plot
from fne._representations import REPRESENTATIONS, Representations, Roles
from fne.errors import error

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from fne._options import ExtractorOptions

IMAGES_PER_CLASS: tuple[int | str, ...] = (1, 2, 5, 10, 20, "all")


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
        confusion: int [classes, classes], true by predicted, of the FNE and the SVM with the most training images, over all seeds
        facts: data set, network, protocol
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
        """Writes evaluation.json, and with matplotlib accuracy.png, shares.png and confusion.png."""
        target = Path(folder)
        target.mkdir(parents=True, exist_ok=True)
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

    Returns:
        names, labels int64 [N], the classes' names, what the names are relative to
    """
    path = Path(source)
    if path.is_dir():
        endings = {".jpg", ".jpeg", ".jpe", ".jfif", ".png"}
        found = sorted(
            file.relative_to(path)
            for file in path.rglob("*")
            if file.suffix.lower() in endings and not file.name.startswith(".")
        )
        named = [(str(name), name.parts[0]) for name in found if len(name.parts) > 1]
        root = path
    else:
        lines = [line for line in path.read_text("utf-8").splitlines() if line.strip()]
        pairs = [line.rsplit("\t", 1) for line in lines]
        if any(len(pair) != 2 for pair in pairs):
            raise error(1, f"'{path}': each line must be an image's name, a tab, and its class")
        named = [(name, label) for name, label in pairs]
        root = path.parent
    classes = sorted({label for _, label in named})
    if len(classes) < 2:
        raise error(1, f"'{path}' has {len(classes)} classes; two are needed, each a folder of images")
    return [name for name, _ in named], numpy.array([classes.index(label) for _, label in named]), classes, root


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


def evaluate(
    source: str | os.PathLike[str],
    model: Any,
    output: str | os.PathLike[str],
    *,
    images_per_class: Sequence[int | str] = IMAGES_PER_CLASS,
    seeds: int = 5,
    representations: Sequence[str] = REPRESENTATIONS,
    classifiers: Sequence[str] = ("svm",),
    lower: float = -0.25,
    upper: float = 0.15,
    progress: bool | Callable[[str, int, int], Any] = False,
    **extractor: Unpack[ExtractorOptions],
) -> Evaluation:
    """Accuracy of representations on identical, stratified splits of a data set; the network sees each image once.

    Statistics, the classifier's parameters and the best layer come from the training images alone.

    Args:
        source: a folder with a folder of images for each class, or a list of "name<tab>class"
        model: as `fne.Model` takes it
        output: receives the job (features of all layers; gone on with where it is there), evaluation.json and plots
        images_per_class: training images of each class; the rest are the test; "all": 70 %
        seeds: random splits for each number
        representations: of "fne": the ternary codes of all default layers; "fne with outputs": with the classifier's outputs; "fne last
            75%", "fne last 50%", "fne last 25%" of the layers; "standardized": floats; "l2": all features over their norm; "best layer":
            the single layer, or "penultimate", that cross-validation on the training images prefers (from two images a class on);
            "last layer": the last one before the outputs; "penultimate": what the classifier's last layer reads, in most networks the
            pooled last block; "penultimate l2": that over its norm; "outputs": the classifier's own. The other single layers are
            standardized.
        classifiers: of "svm" (linear, one class against the rest, C by cross-validation on the training images), "centroid" (nearest class mean), "knn" (k by
            cross-validation); the last two by cosine
        lower, upper: thresholds
        progress: as in `fne.embed_dataset`
        extractor: the options of `fne.Extractor` but for layers; with crops=10 each crop is a training sample, and test images are
            decided by the sum over their crops

    Returns:
        an `Evaluation`, which was also written to output
    """
    for given, known, what in (
        (representations, REPRESENTATIONS, "representation"),
        (classifiers, CLASSIFIERS, "classifier"),
    ):
        for name in given:
            if name not in known:
                raise ValueError(f"{what} {name!r} is none of {', '.join(map(repr, known))}")
    if "layers" in extractor:
        raise ValueError("layers is chosen by the representations")
    names, labels, classes, root = classes_of(source)
    opened = model if isinstance(model, Model) else Model(model)
    folder = Path(output)
    tensors = Roles.tensors(opened.tensors())
    extractor["layers"] = [tensor.name for tensor in tensors]
    job = embed_dataset(names, opened, folder / "job", root=root, codes=None, progress=progress, **extractor)
    roles = Roles.of(tensors)
    data = Representations(job, labels, roles, lower, upper)
    scores: list[Score] = []
    chosen: dict[tuple[int | str, int], str] = {}
    confusion = numpy.zeros((len(classes), len(classes)), numpy.int64)
    most = None
    for images in images_per_class:
        for seed in range(seeds):
            split = splits(data.labels, images, seed)
            if split is None:
                continue
            if images != most:
                most, confusion = images, numpy.zeros_like(confusion)
            for representation in representations:
                part = data.kernel_of(representation, *split)
                if part is None:
                    continue
                kernel, layer = part
                if layer is not None and representation == "best layer":
                    chosen[images, seed] = layer
                for classifier in classifiers:
                    predicted = kernel.predict(classifier, seed)
                    truth = data.labels[split[1]]
                    accuracy = numpy.mean(
                        [numpy.mean(predicted[truth == label] == label) for label in numpy.unique(truth)]
                    )
                    scores.append(Score(representation, classifier, images, seed, float(accuracy)))
                    if representation == "fne" and classifier == "svm":
                        numpy.add.at(confusion, (truth, predicted), 1)
    if not scores:
        fewest = int(numpy.bincount(data.labels).min())
        wanted = ", ".join(map(str, images_per_class))
        raise error(
            1, f"nothing to measure: {seeds} seeds of {wanted} training images, and a class has {fewest} images"
        )
    facts = {
        "images": len(labels),
        "failed": len(job.failures),
        "classes": len(classes),
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
    """Mean accuracy of the SVM for each pair of thresholds, and how many values lie within 0.01 of the paper's.

    Returns:
        float64 [lowers, uppers]; the share of standardized values within 0.01 of -0.25 or 0.15
    """
    data = Representations(job, labels, Roles(list(range(len(job.layers))), [], []))
    columns = job.columns(layers)
    grid = numpy.zeros((len(lowers), len(uppers)))
    near: list[float] = []
    for seed in range(seeds):
        split = splits(data.labels, images, seed)
        if split is None:
            raise error(1, f"a class has too few images for {images} training images")
        mean, std = data.statistics(split[0])
        rows = data.rows[:, columns]
        z = standardize(numpy.ascontiguousarray(rows), mean[columns], std[columns])
        near.append(float(numpy.mean((numpy.abs(z + 0.25) < 0.01) | (numpy.abs(z - 0.15) < 0.01))))
        for i, lower in enumerate(lowers):
            for j, upper in enumerate(uppers):
                codes = (z > upper).astype(numpy.int8) - (z < lower).astype(numpy.int8)
                predicted = data.kernel(codes, *split).predict("svm", seed)
                grid[i, j] += numpy.mean(predicted == data.labels[split[1]]) / seeds
    return grid, float(numpy.mean(near))

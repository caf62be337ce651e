"""How well a data set's classes are told apart by the embedding, beside single layers: few-shot protocols on one pass of the network."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy
from numpy.typing import NDArray

from fne._codes import PackedCodes
from fne._embedding import l2_normalize, standardize, ternarize
from fne._job import Job, embed_dataset
from fne._model import Model
from fne._selection import select
from fne._statistics import Statistics
from fne.errors import error

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from fne._options import ExtractorOptions

REPRESENTATIONS = (
    "fne", "fne with outputs", "fne last 75%", "fne last 50%", "fne last 25%", "standardized", "l2", "best layer", "last layer",
    "outputs",
)  # fmt: skip
CLASSIFIERS = ("svm", "centroid", "knn")
IMAGES_PER_CLASS: tuple[int | str, ...] = (1, 2, 5, 10, 20, "all")

_PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)
_FOLDS = 3
_NEIGHBOURS = (1, 3, 5)

Matrix = NDArray[Any]


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
        """Writes evaluation.json, and with matplotlib accuracy.png and confusion.png."""
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
        try:
            import matplotlib
        except ImportError:
            return
        matplotlib.use("Agg", force=False)
        _plot(self, target)


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
            the single layer that cross-validation on the training images prefers (from two images a class on); "last layer": the last one before the outputs;
            "outputs": the classifier's own. Single layers are standardized.
        classifiers: of "svm" (linear, C by cross-validation on the training images), "centroid" (nearest class mean), "knn" (k by
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
    extractor["layers"] = "all"
    job = embed_dataset(names, opened, folder / "job", root=root, codes=None, progress=progress, **extractor)
    default = {tensor.name for tensor in opened.layers()}
    data = _Data(job, labels, [layer.name in default for layer in job.layers], lower, upper)
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
                part = data.represented(representation, *split)
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
        raise error(1, f"nothing to measure: {seeds} seeds of {wanted} training images, and a class has {fewest} images")
    facts = {
        "images": len(labels),
        "failed": len(job.failures),
        "classes": len(classes),
        "crops": job.rows_per_image,
        "thresholds": [lower, upper],
        "seeds": seeds,
        "features": job.feature_count,
        "layers": len(job.layers),
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
    data = _Data(job, labels, [True] * len(job.layers), -0.25, 0.15)
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


# ---- representations


class _Data:
    """The features of the images that were embedded, and their labels."""

    def __init__(self, job: Job, labels: NDArray[numpy.int64], default: list[bool], lower: float, upper: float) -> None:
        good = numpy.flatnonzero(job.ok)
        self.labels = labels[good]
        self.rows = numpy.asarray(job.features(images=good))
        self._per_image = job.rows_per_image
        self._layers = job.layers
        self._default = default
        self._lower, self._upper = lower, upper

    def _of(self, images: NDArray[Any]) -> NDArray[Any]:
        """The rows of images: with ten crops ten of each."""
        return (images[:, None] * self._per_image + numpy.arange(self._per_image)).ravel()

    def statistics(self, training: NDArray[Any]) -> tuple[Matrix, Matrix]:
        """Mean and deviation over the training images' rows."""
        statistics = Statistics(self.rows.shape[1]).update(self.rows[self._of(training)])
        return statistics.mean(), statistics.std()

    def kernel(self, rows: Matrix, training: NDArray[Any], test: NDArray[Any]) -> _Kernel:
        return _Kernel(rows[self._of(training)], self.labels[training], rows[self._of(test)], self._per_image)

    def _columns(self, numbers: Sequence[int]) -> NDArray[Any]:
        return numpy.concatenate(
            [numpy.arange(self._layers[n].features.start, self._layers[n].features.stop) for n in numbers]
        )

    def represented(self, name: str, training: NDArray[Any], test: NDArray[Any]) -> tuple[_Kernel, str | None] | None:
        """A representation's kernel, and the layer where it is a single one; None where the network has no such."""
        names = [layer.name for layer in self._layers]
        defaults = [number for number, is_default in enumerate(self._default) if is_default]
        outputs = [number for number, is_default in enumerate(self._default) if not is_default]
        mean, std = self.statistics(training)

        def codes(numbers: Sequence[int]) -> _Kernel:
            columns = self._columns(numbers)
            rows = numpy.ascontiguousarray(self.rows[:, columns])
            made = ternarize(rows, mean[columns], std[columns], lower=self._lower, upper=self._upper)
            return self.kernel(made, training, test)

        def floats(numbers: Sequence[int]) -> _Kernel:
            columns = self._columns(numbers)
            rows = numpy.ascontiguousarray(self.rows[:, columns])
            return self.kernel(standardize(rows, mean[columns], std[columns]), training, test)

        if name == "fne":
            return codes(defaults), None
        if name == "fne with outputs":
            return (codes(range(len(names))), None) if outputs else None
        if name.startswith("fne last "):
            return codes(select(f"last:{name.split()[-1]}", names, self._default)), None
        if name == "standardized":
            return floats(defaults), None
        if name == "l2":
            rows = numpy.ascontiguousarray(self.rows[:, self._columns(defaults)])
            return self.kernel(l2_normalize(rows), training, test), None
        if name == "last layer":
            return floats(defaults[-1:]), names[defaults[-1]]
        if name == "outputs":
            return (floats(outputs[:1]), names[outputs[0]]) if outputs else None
        kernels = {number: floats([number]) for number in defaults}
        if not kernels[defaults[0]].can_validate():
            return None  # one image a class tells nothing of which layer is better
        best = max(defaults, key=lambda number: kernels[number].validated())
        return kernels[best], names[best]


class _Kernel:
    """Dot products of training and test rows: all that the classifiers need."""

    def __init__(self, training: Matrix, labels: NDArray[numpy.int64], test: Matrix, per_image: int) -> None:
        self._labels = numpy.repeat(labels, per_image)
        self._groups = numpy.repeat(numpy.arange(len(labels)), per_image)
        self._per_image = per_image
        gram: Matrix
        cross: Matrix
        if training.dtype == numpy.int8:
            packed, asked = PackedCodes.pack(training), PackedCodes.pack(test)
            gram, cross = packed.gram(), asked.dot(packed)
        else:
            wide, other = training.astype(numpy.float64), test.astype(numpy.float64)
            gram, cross = wide @ wide.T, other @ wide.T
        # Of a mean square of 1, so that one grid of penalties serves all representations.
        scale = 1 / max(float(numpy.mean(numpy.diag(gram))), 1e-30)
        self._gram, self._cross = gram * scale, cross * scale
        self._validated: tuple[float, float] | None = None

    def _folds(self) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
        """Stratified folds of images, whose crops stay together; none where a class has a single image."""
        from sklearn.model_selection import StratifiedGroupKFold

        fewest = int(numpy.bincount(self._labels).min()) // self._per_image
        if fewest < 2:
            return
        folds = StratifiedGroupKFold(min(_FOLDS, fewest), shuffle=True, random_state=0)
        yield from folds.split(self._gram, self._labels, self._groups)

    def _choose(self) -> tuple[float, float]:
        """The penalty that the training images prefer, and its accuracy; the middle one where they are too few to tell."""
        from sklearn.svm import SVC

        if self._validated is None:
            folds = list(self._folds())
            if not folds:
                self._validated = (1.0, 0.0)
                return self._validated
            accuracies = []
            for penalty in _PENALTIES:
                right = 0
                for fit, held in folds:
                    model = SVC(kernel="precomputed", C=penalty).fit(self._gram[numpy.ix_(fit, fit)], self._labels[fit])
                    right += int((model.predict(self._gram[numpy.ix_(held, fit)]) == self._labels[held]).sum())
                accuracies.append(right / len(self._labels))
            best = int(numpy.argmax(accuracies))
            self._validated = (_PENALTIES[best], accuracies[best])
        return self._validated

    def can_validate(self) -> bool:
        """Whether there are training images enough for cross-validation."""
        return next(self._folds(), None) is not None

    def validated(self) -> float:
        """Cross-validated accuracy on the training images."""
        return self._choose()[1]

    def predict(self, classifier: str, seed: int) -> NDArray[numpy.int64]:
        """A label for each test image."""
        scores = {"svm": self._svm, "centroid": self._centroid, "knn": self._nearest}[classifier]()
        return numpy.asarray(scores.reshape(-1, self._per_image, scores.shape[1]).sum(1).argmax(1))

    def _svm(self) -> Matrix:
        from sklearn.svm import SVC

        model = SVC(kernel="precomputed", C=self._choose()[0], decision_function_shape="ovr").fit(
            self._gram, self._labels
        )
        decisions = model.decision_function(self._cross)
        return numpy.asarray(numpy.stack([-decisions, decisions], 1) if decisions.ndim == 1 else decisions)

    def _centroid(self) -> Matrix:
        members = (self._labels[:, None] == numpy.arange(self._labels.max() + 1)).astype(numpy.float64)
        members /= members.sum(0)
        norms = numpy.sqrt(numpy.maximum((members * (self._gram @ members)).sum(0), 1e-30))
        return numpy.asarray((self._cross @ members) / norms)

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
        for column in range(k):  # a nearer one decides between equal counts
            numpy.add.at(votes, (numpy.arange(len(cosines)), labels[nearest[:, column]]), 1 + 1e-3 * (k - column))
        return votes


def _plot(evaluation: Evaluation, folder: Path) -> None:
    import matplotlib.pyplot

    rows = [row for row in evaluation.summary() if row["classifier"] == evaluation.scores[0].classifier]
    columns = list(dict.fromkeys(row["images"] for row in rows))
    figure, axes = matplotlib.pyplot.subplots(figsize=(8, 5))
    for name in dict.fromkeys(row["representation"] for row in rows):
        own = [row for row in rows if row["representation"] == name]
        places = [columns.index(row["images"]) for row in own]
        axes.errorbar(
            places,
            [r["mean"] for r in own],
            [r["std"] for r in own],
            label=name,
            capsize=3,
            lw=2.5 if name == "fne" else 1.2,
        )
    axes.set_xticks(range(len(columns)), [str(column) for column in columns])
    axes.set(xlabel="training images a class", ylabel="mean accuracy per class")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    figure.savefig(folder / "accuracy.png", dpi=120, bbox_inches="tight")
    matplotlib.pyplot.close(figure)
    if evaluation.confusion.any():
        shares = evaluation.confusion / numpy.maximum(evaluation.confusion.sum(1, keepdims=True), 1)
        figure, axes = matplotlib.pyplot.subplots(figsize=(7, 6))
        image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        axes.set_xticks(range(len(evaluation.classes)), evaluation.classes, rotation=90, fontsize=7)
        axes.set_yticks(range(len(evaluation.classes)), evaluation.classes, fontsize=7)
        axes.set(xlabel="predicted", ylabel="true")
        figure.colorbar(image)
        figure.savefig(folder / "confusion.png", dpi=120, bbox_inches="tight")
        matplotlib.pyplot.close(figure)

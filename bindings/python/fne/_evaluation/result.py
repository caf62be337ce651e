"""The result of an evaluation, and its files."""

from __future__ import annotations

import importlib.util
import json
import os
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy
from numpy.typing import NDArray

from fne._arguments import as_path
from fne._evaluation.differences import Difference, described, difference
from fne._evaluation.plots import PLOTS, plot
from fne.errors import InvalidArgumentError


class Score(NamedTuple):
    """A run: the mean accuracy per class of a representation and a classifier.

    images: the training images per class, or "all"
    """

    representation: str
    classifier: str
    images: int | str
    seed: int
    accuracy: float


@dataclass
class Evaluation:
    """What `evaluate` found.

    Attributes:
        classes: the names of the classes
        scores: a `Score` for each run
        chosen: for each (images, seed) the layer that was best on the training images
        confusion: int [classes, classes], true by predicted, of the FNE and the SVM. It is summed over the seeds, for
            the number of training images that gives the most images of all classes together; facts names that number.
            It is zero where these two were not asked for.
        facts: the data set, the network, the protocol. "skipped" are the numbers of training images that the smallest
            class has too few images for. "smallest class" is its name, and how many of its images could be embedded.
            "complete" is False where the evaluation was stopped before its end.
    """

    classes: list[str]
    scores: list[Score]
    chosen: dict[tuple[int | str, int], str]
    confusion: NDArray[numpy.int64]
    facts: dict[str, Any]

    def summary(self) -> list[dict[str, Any]]:
        """A row for each representation, classifier and number of images.

        A row has the mean over the seeds and the sample's standard deviation.
        """
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

    def differences(self, reference: str = "fne") -> list[dict[str, Any]]:
        """What each representation gains against another one, for each classifier and number of images.

        Both are measured on the same splits, so the differences are paired: what makes a split easy for both drops out.
        The splits of a data set share images. So the standard error says how sure the order is on this data set, and
        not on another one.

        Args:
            reference: the representation that the others are compared with

        Returns:
            for each representation, classifier and number of images "mean", "error" and "verdict". The error is the
            standard error over the seeds. The verdict is "ahead" or "behind" where Student's interval of 95 % does not
            hold 0, else "level". Both are None with one seed.

        Raises:
            InvalidArgumentError: the reference was not measured
        """
        found: dict[tuple[str, str, int | str], dict[int, float]] = {}
        for score in self.scores:
            found.setdefault((score.representation, score.classifier, score.images), {})[score.seed] = score.accuracy
        if all(representation != reference for representation, *_ in found):
            raise InvalidArgumentError(f"there is nothing to compare with: '{reference}' was not measured")
        rows = []
        for (representation, classifier, images), values in found.items():
            others = found.get((reference, classifier, images), {})
            seeds = [seed for seed in values if seed in others]
            if representation == reference or not seeds:
                continue
            gap = difference([values[seed] for seed in seeds], [others[seed] for seed in seeds])
            named = {"representation": representation, "classifier": classifier, "images": images}
            rows.append({**named, "reference": reference, **gap._asdict(), "seeds": len(seeds)})
        return rows

    def difference_table(self, reference: str = "fne") -> str:
        """The differences as text, with a column for each number of images.

        Each cell is the mean, ± its standard error, and "+" for ahead, "-" for behind, "=" for level.
        """
        rows = self.differences(reference)
        columns = list(dict.fromkeys(score.images for score in self.scores))
        lines = ["".join([f"{'minus ' + reference:32}", *(f"{name!s:>18}" for name in columns)])]
        for name in dict.fromkeys((row["representation"], row["classifier"]) for row in rows):
            cells = {
                row["images"]: described(Difference(row["mean"], row["error"], row["verdict"]))
                for row in rows
                if (row["representation"], row["classifier"]) == name
            }
            lines.append(
                "".join([f"{name[0] + ', ' + name[1]:32}", *(f"{cells.get(column, ''):>18}" for column in columns)])
            )
        return "\n".join(lines)

    def table(self) -> str:
        """The mean accuracy and its deviation as text, with a column for each number of images."""
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
        """Writes evaluation.json, and where matplotlib is installed accuracy.png, shares.png and confusion.png.

        The plots of an earlier run are removed.
        """
        target = as_path(folder)
        target.mkdir(parents=True, exist_ok=True)
        for name in PLOTS:
            (target / name).unlink(missing_ok=True)
        (target / "evaluation.json").write_text(json.dumps(self.as_json(), indent=1) + "\n", encoding="utf-8")
        if importlib.util.find_spec("matplotlib"):
            plot(self.summary(), self.classes, self.confusion, target)

    def as_json(self) -> dict[str, Any]:
        """The contents of evaluation.json."""
        return {
            "facts": self.facts,
            "classes": self.classes,
            "summary": self.summary(),
            "differences": self.differences() if "fne" in {score.representation for score in self.scores} else [],
            "scores": [score._asdict() for score in self.scores],
            "best layers": [
                {"images": images, "seed": seed, "layer": name} for (images, seed), name in self.chosen.items()
            ],
            "confusion": self.confusion.tolist(),
        }

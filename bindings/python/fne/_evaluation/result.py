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
from fne._evaluation.plots import PLOTS, plot


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
        summary = self.summary()
        data = {
            "facts": self.facts,
            "classes": self.classes,
            "summary": summary,
            "scores": [score._asdict() for score in self.scores],
            "best layers": [
                {"images": images, "seed": seed, "layer": name} for (images, seed), name in self.chosen.items()
            ],
            "confusion": self.confusion.tolist(),
        }
        (target / "evaluation.json").write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
        if importlib.util.find_spec("matplotlib"):
            plot(summary, self.classes, self.confusion, target)

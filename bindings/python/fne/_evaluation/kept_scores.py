"""The scores of an evaluation on the disk, each as soon as it is measured."""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy
from numpy.typing import NDArray

from fne._evaluation.result import Score
from fne._saved import content, exists, file_errors, parsed

#: The file in the evaluation's folder. Its first line says what the scores are of.
KEPT_SCORES = "scores.jsonl"

#: It is raised where a representation or a classifier gives other numbers than before, so that old scores are dropped.
_VERSION = 1

_SHAPE = {
    "representation": str,
    "classifier": str,
    "images": (str, int),
    "seed": int,
    "accuracy": float,
    "layer": (None, str),
    "confusion": (None, [[int]]),
}


class Kept(NamedTuple):
    """A score, and what else was found with it.

    layer: the layer that was chosen as the best
    confusion: for each pair of a true and a predicted class that occurs: true, predicted, how often
    """

    score: Score
    layer: str | None = None
    confusion: list[list[int]] | None = None


class KeptScores:
    """The scores in a folder. Those of something else are dropped.

    Args:
        folder: the evaluation's
        identity: what the scores are of: features, labels, choices
    """

    def __init__(self, folder: Path, identity: str) -> None:
        self._path = folder / KEPT_SCORES
        self._found: dict[tuple[str, str, int | str, int], Kept] = {}
        library = importlib.metadata.version("scikit-learn")  # another one may give other scores
        first = json.dumps({"of": identity, "version": _VERSION, "scikit-learn": library}).encode() + b"\n"
        data = content(self._path) if exists(self._path) else b""
        lines = data[: data.rfind(b"\n") + 1].splitlines(keepends=True)  # a kill may cut the last one short
        if not lines or lines[0] != first:
            lines = [first]
        for number, line in enumerate(lines[1:], 2):
            kept = _kept(parsed(line, _SHAPE, f"'{self._path}', line {number},"))
            self._found[kept.score[:-1]] = kept
        if b"".join(lines) != data:
            folder.mkdir(parents=True, exist_ok=True)
            with file_errors(self._path, "written"):
                self._path.write_bytes(b"".join(lines))

    def get(self, representation: str, classifier: str, images: int | str, seed: int) -> Kept | None:
        """What was measured before."""
        return self._found.get((representation, classifier, images, seed))

    def put(self, kept: Kept) -> None:
        """Writes what was measured."""
        self._found[kept.score[:-1]] = kept
        line = {**kept.score._asdict(), "layer": kept.layer, "confusion": kept.confusion}
        with file_errors(self._path, "written"), open(self._path, "ab") as file:
            file.write(json.dumps(line).encode() + b"\n")


def _kept(line: dict[str, Any]) -> Kept:
    score = Score(*(line[name] for name in Score._fields))
    return Kept(score, line["layer"], line["confusion"])


def counted(truth: NDArray[numpy.int64], predicted: NDArray[numpy.int64]) -> list[list[int]]:
    """The pairs of a true and a predicted class that occur, with how often."""
    pairs, counts = numpy.unique(numpy.stack([truth, predicted], 1), axis=0, return_counts=True)
    return numpy.column_stack([pairs, counts]).tolist()  # type: ignore[no-any-return]

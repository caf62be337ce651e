"""The measurements of an evaluation, one after the other. They can be stopped, and go on later."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy

from fne._arguments import listed
from fne._evaluation.embedding import EmbeddedClasses
from fne._evaluation.kept_scores import Kept, KeptScores, counted
from fne._evaluation.protocol import class_accuracy, splits, training_size
from fne._evaluation.representations import REPRESENTATIONS
from fne._evaluation.result import Evaluation, Score
from fne._evaluation.solving import small_problems
from fne._progress import EvaluationProgressLine
from fne.errors import InvalidArgumentError

#: The representation and the classifier whose confusion is counted.
_CONFUSION = ("fne", "svm")


class Plan(NamedTuple):
    """What is measured.

    numbers: the training images per class that every class has enough images for
    skipped: those that were asked for, and that it has not
    judge: the classifier that chooses the best layer
    """

    numbers: Sequence[int | str]
    skipped: Sequence[int | str]
    seeds: int
    representations: Sequence[str]
    classifiers: Sequence[str]
    vote: str
    judge: str
    protocol: str


class Part(NamedTuple):
    """A measurement: a classifier on a representation and a split."""

    images: int | str
    seed: int
    representation: str
    classifier: str


class Measuring:
    """An evaluation whose images are embedded.

    Args:
        progress: as in `fne.evaluate`
    """

    def __init__(self, embedded: EmbeddedClasses, plan: Plan, progress: bool | Callable[[str, int, int], Any]) -> None:
        self._embedded, self._plan = embedded, plan
        self._progress = progress
        self._kept = KeptScores(embedded.folder, f"{embedded.identity()} {plan.vote} {plan.judge}")
        self._done: list[Kept] = []
        self._complete = False

    def run(self) -> Evaluation:
        """Measures what was not measured before, and writes the result, also where Ctrl-C ends it.

        Raises:
            InvalidArgumentError: the network has nothing of what was asked for
            KeyboardInterrupt: `result` is what there is until then. It is written, and the next run goes on from there.
        """
        try:
            with small_problems():
                self._measure()
            self._complete = True
        finally:
            result = self.result()
            if result.scores:
                result.save(self._embedded.folder)
        if not result.scores:
            raise InvalidArgumentError(
                f"nothing to measure: the network has none of {listed(self._plan.representations)}, or the best layer "
                "is to be chosen with one training image per class"
            )
        return result

    def result(self) -> Evaluation:
        """What was measured until now."""
        plan, data, classes = self._plan, self._embedded.data, self._embedded.classes
        # Of several numbers with the most images, the first. "all" may be more or fewer than a number.
        most = max(plan.numbers, key=lambda images: training_size(data.labels, images, self._embedded.is_test))
        confusion = numpy.zeros((len(classes), len(classes)), numpy.int64)
        for kept in self._done:
            if kept.confusion is not None and kept.score.images == most:
                for true, predicted, count in kept.confusion:
                    confusion[true, predicted] += count
        chosen = {(kept.score.images, kept.score.seed): kept.layer for kept in self._done if kept.layer is not None}
        facts = {
            **self._embedded.facts(),
            "skipped": list(plan.skipped),
            "images of the confusion": most,
            "vote": plan.vote,
            "protocol": plan.protocol,
            "seeds": plan.seeds,
            "complete": self._complete,
        }
        return Evaluation(classes, [kept.score for kept in self._done], chosen, confusion, facts)

    def _parts(self) -> Iterator[Part]:
        """All measurements. With a split of the data set's own, "all" training images are the same for each seed."""
        plan, is_given = self._plan, self._embedded.is_test is not None
        for images in plan.numbers:
            for seed in range(1 if is_given and images == "all" else plan.seeds):
                for representation in plan.representations:
                    for classifier in plan.classifiers:
                        yield Part(images, seed, representation, classifier)

    def _measure(self) -> None:
        parts = list(self._parts())
        shown = _Shown(self._progress, self._plan.seeds, len(parts))
        for (images, seed, representation), group in groupby(parts, lambda part: part[:-1]):
            kernel: Any = None
            for part in group:
                shown(part)
                kept = self._kept.get(representation, part.classifier, images, seed)
                if kept is None:
                    kernel = kernel or self._kernel(images, seed, representation)
                    kept = self._measured(part, kernel) if kernel[0] is not None else None
                if kept is not None:
                    self._done.append(kept)
                shown.count()

    def _kernel(self, images: int | str, seed: int, representation: str) -> tuple[Any, str | None, Any]:
        """A representation's kernel, the best layer where it is one, and the test images."""
        data = self._embedded.data
        split = splits(data.labels, images, seed, is_test=self._embedded.is_test)
        assert split is not None  # the seed does not decide whether there is a split
        part = data.kernel_of(representation, *split, self._plan.judge)
        if part is None:
            return None, None, None
        kernel, layer = part
        return kernel, layer if REPRESENTATIONS[representation].is_best else None, split[1]

    def _measured(self, part: Part, kernel: tuple[Any, str | None, Any]) -> Kept:
        rows, layer, test = kernel
        truth = self._embedded.data.labels[test]
        predicted = rows.predict(part.classifier, self._plan.vote)
        score = Score(part.representation, part.classifier, part.images, part.seed, class_accuracy(predicted, truth))
        is_counted = (part.representation, part.classifier) == _CONFUSION
        kept = Kept(score, layer, counted(truth, predicted) if is_counted else None)
        self._kept.put(kept)
        return kept


class _Shown:
    """Says where an evaluation is."""

    def __init__(self, progress: bool | Callable[[str, int, int], Any], seeds: int, total: int) -> None:
        self._line = EvaluationProgressLine() if progress is True else None
        self._call = progress if callable(progress) else None
        self._seeds, self._done, self._total = seeds, 0, total

    def __call__(self, part: Part) -> None:
        if self._line is not None:
            where = f"{part.representation}, {part.classifier}, {part.images} per class, "
            self._line(f"{where}split {part.seed + 1} of {self._seeds}", self._done, self._total)
        if self._call is not None:
            self._call("measuring", self._done, self._total)

    def count(self) -> None:
        self._done += 1
        if self._done == self._total:
            if self._line is not None:
                self._line("measured", self._done, self._total)
            if self._call is not None:
                self._call("measuring", self._done, self._total)

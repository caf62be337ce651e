"""How well search finds images of the same class: each image asks for its neighbours among all others."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy
from numpy.typing import NDArray

from fne._arguments import as_path, chosen_names, listed
from fne._centring import centred_l2, mean_row
from fne._evaluation.dataset import DataSet
from fne._evaluation.differences import Difference, described, difference
from fne._evaluation.embedding import EmbeddedClasses, embedded_classes
from fne._evaluation.representations import REPRESENTATIONS
from fne._evaluation.solving import small_problems
from fne._expansion import NEAREST, expanded_all
from fne._options import ExtractorOptions
from fne._thresholds import LOWER, UPPER
from fne.errors import InvalidArgumentError

if TYPE_CHECKING:
    from typing_extensions import Unpack

_NEAREST = 10

#: How rows are compared, by name.
METRICS = {
    "cosine": "the cosine of two rows",
    "centred": "the cosine after the mean row of the data set is subtracted from both",
    "expanded": f"the same, where each query takes its {NEAREST} nearest rows along: to it are added those rows, each "
    "times its cosine to the query, all over their norms. This is what fne search does.",
}

#: The representations that a search can use. A best layer is chosen with labels, which a search does not have.
SEARCHED = tuple(name for name, row in REPRESENTATIONS.items() if not row.is_best)

#: The measures by name.
MEASURES = {
    "R@1": "the share of the queries whose nearest neighbour is of their class (recall at 1, as in Oh Song et al., "
    '"Deep Metric Learning via Lifted Structured Feature Embedding", 2016)',
    "P@10": "the share of the ten nearest neighbours that are of the query's class (Manning, Raghavan and Schütze, "
    '"Introduction to Information Retrieval", 2008, section 8.4). It stays below 1 where a class has fewer than eleven '
    "images.",
    "mAP": "the mean over the queries of the average precision. That is the mean, over the images of the query's "
    "class, of the share of that class among the neighbours down to that image (the same section).",
}


class Measures(NamedTuple):
    """What was found for each query, float64 [queries], in the order of MEASURES."""

    first: NDArray[numpy.float64]
    precision: NDArray[numpy.float64]
    average: NDArray[numpy.float64]


def measures(scores: NDArray[Any], labels: NDArray[numpy.int64]) -> Measures:
    """The measures of each image that has another image of its class.

    Args:
        scores: [N, N], how alike two images are. Of equal scores the image with the lower number comes first, as in
            `fne.PackedCodes.search`. An image is not its own neighbour.
        labels: int64 [N]
    """
    count = len(labels)
    apart = scores.astype(numpy.float64)
    numpy.fill_diagonal(apart, -numpy.inf)
    order = numpy.argsort(-apart, axis=1, kind="stable")[:, : count - 1]
    alike = labels[order] == labels[:, None]
    alike = alike[alike.any(1)]
    found = alike.cumsum(1)
    precisions = found / numpy.arange(1, count)
    average = (precisions * alike).sum(1) / found[:, -1]
    nearest = min(_NEAREST, count - 1)
    return Measures(alike[:, 0].astype(numpy.float64), found[:, nearest - 1] / nearest, average)


def similarities(rows: NDArray[Any], metric: str) -> NDArray[numpy.float64]:
    """The scores of all pairs of rows, float64 [N, N], by a name of METRICS."""
    unit = centred_l2(rows.astype(numpy.float64), None if metric == "cosine" else mean_row(rows))
    scores: NDArray[numpy.float64] = unit @ unit.T
    return expanded_all(scores) if metric == "expanded" else scores


@dataclass
class Retrieval:
    """What `evaluate_retrieval` found.

    Attributes:
        values: for each (representation, metric) the `Measures` of each query
        facts: the data set, the network, the protocol. "queries" is the number of images that have another image of
            their class; the others are among the neighbours alone.
    """

    values: dict[tuple[str, str], Measures]
    facts: dict[str, Any]

    def summary(self) -> list[dict[str, Any]]:
        """A row for each representation and metric: of each measure the mean over the queries and its standard error.

        The standard error is the sample deviation over the square root of the number of queries.
        """
        return [
            {
                "representation": representation,
                "metric": metric,
                **{name: _mean(of_queries) for name, of_queries in zip(MEASURES, found, strict=True)},
            }
            for (representation, metric), found in self.values.items()
        ]

    def differences(self, reference: tuple[str, str] = ("fne", "cosine")) -> list[dict[str, Any]]:
        """What each representation and metric gains against another pair, over the same queries.

        Args:
            reference: the representation and the metric that the others are compared with

        Returns:
            a row for each representation and metric: of each measure "mean", "error" and "verdict" as in
            `Evaluation.differences`, over the queries

        Raises:
            InvalidArgumentError: the reference was not measured
        """
        if reference not in self.values:
            raise InvalidArgumentError(f"there is nothing to compare with: {', '.join(reference)} was not measured")
        base = self.values[reference]
        return [
            {
                "representation": representation,
                "metric": metric,
                "reference": list(reference),
                **{
                    name: difference(own, other)._asdict()
                    for name, own, other in zip(MEASURES, found, base, strict=True)
                },
            }
            for (representation, metric), found in self.values.items()
            if (representation, metric) != reference
        ]

    def table(self, reference: tuple[str, str] = ("fne", "cosine")) -> str:
        """The measures with their standard errors as text. The last column has the difference in mAP to a reference.

        "+" is ahead of the reference, "-" behind it, "=" level.
        """
        gaps = {}
        if reference in self.values:
            gaps = {(row["representation"], row["metric"]): row["mAP"] for row in self.differences(reference)}
        title = f"mAP minus {', '.join(reference)}" if gaps else ""
        lines = ["".join([f"{'':32}", *(f"{name:>16}" for name in MEASURES), f"{title:>30}"]).rstrip()]
        for row in self.summary():
            own = (row["representation"], row["metric"])
            cells = [f"{row[name]['mean']:.3f} ± {row[name]['error']:.3f}" for name in MEASURES]
            gap = described(Difference(**gaps[own])) if own in gaps else ""
            lines.append("".join([f"{', '.join(own):32}", *(f"{cell:>16}" for cell in cells), f"{gap:>30}"]).rstrip())
        return "\n".join(lines)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Writes retrieval.json."""
        target = as_path(folder)
        target.mkdir(parents=True, exist_ok=True)
        (target / "retrieval.json").write_text(json.dumps(self.as_json(), indent=1) + "\n", encoding="utf-8")

    def as_json(self) -> dict[str, Any]:
        """The contents of retrieval.json."""
        compared = self.differences() if ("fne", "cosine") in self.values else []
        return {"facts": self.facts, "measures": MEASURES, "summary": self.summary(), "differences": compared}


def _mean(values: NDArray[numpy.float64]) -> dict[str, float]:
    error = float(values.std(ddof=1)) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return {"mean": float(values.mean()), "error": error}


def evaluate_retrieval(
    source: str | os.PathLike[str] | DataSet,
    model: Any,
    output: str | os.PathLike[str],
    *,
    representations: str | Sequence[str] = SEARCHED,
    metrics: str | Sequence[str] = tuple(METRICS),
    split: str = "auto",
    lower: float = LOWER,
    upper: float = UPPER,
    progress: bool | Callable[[str, int, int], Any] = False,
    **extractor: Unpack[ExtractorOptions],
) -> Retrieval:
    """Measures how well search finds images of the same class.

    Each image is a query once, and all other images are the base. Labels say what is found, and nothing is learned from
    them. The statistics of the codes and the mean row are those of the whole data set, as in a job.

    Args:
        source, model, output: as in `evaluate`. The job in the output folder is the same. The folder receives
            retrieval.json.
        representations: as in `evaluate`, but for "best layer"
        metrics: some of "cosine", "centred" and "expanded"
        split: as in `evaluate`. It says what the classes are. The images of the training and of the test are searched
            together.
        lower, upper, progress: as in `evaluate`
        extractor: as in `evaluate`, with one crop

    Returns:
        a `Retrieval`, which is written to output too

    Raises:
        InvalidArgumentError: no class has two images, there are several crops, or an argument is out of its range
    """
    wanted = chosen_names("representations", representations, SEARCHED)
    compared = chosen_names("metrics", metrics, tuple(METRICS))
    if extractor.get("crops", 1) != 1:
        raise InvalidArgumentError(f"crops is {extractor['crops']}; a search takes one row per image")
    embedded = embedded_classes(
        source,
        model,
        output,
        split=split,
        lower=lower,
        upper=upper,
        progress=progress,
        check=lambda found: _check(found.labels, found.classes),
        extractor=extractor,
    )
    data = embedded.data
    _check(data.labels, embedded.classes, "images that could be embedded")
    values = {}
    with small_problems():
        for representation in wanted:
            rows = data.rows_of(representation)
            if rows is None:
                continue
            for metric in compared:
                values[representation, metric] = measures(similarities(rows, metric), data.labels)
    if not values:
        raise InvalidArgumentError(f"nothing to measure: the network has none of {listed(wanted)}")
    result = Retrieval(values, _facts(embedded))
    result.save(embedded.folder)
    return result


def _check(labels: NDArray[numpy.int64], classes: Sequence[str], what: str = "images") -> None:
    if numpy.bincount(labels, minlength=len(classes)).max() < 2:
        raise InvalidArgumentError(f"nothing to find: no class has two {what}")


def _facts(embedded: EmbeddedClasses) -> dict[str, Any]:
    counts = numpy.bincount(embedded.data.labels)
    return {**embedded.facts(), "queries": int(counts[counts > 1].sum())}

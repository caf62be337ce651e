"""What a network's features are worth on a data set, by the product's own evaluation: one pair of reproduce.py."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from picture_sets import DataSet

import fne
from fne._cache import write_atomically
from fne._evaluation.dataset import data_set
from fne._evaluation.retrieval import MEASURES, Measures, measures, similarities
from fne.compact import FEWEST_IMAGES, CompactCodes

#: The rows of the tables of search: a representation and a metric of `fne evaluate --task retrieval`.
SEARCHED = {
    "FNE, all layers, cosine": ("fne", "cosine"),
    "FNE, all layers, centred": ("fne", "centred"),
    "last 25 %, cosine": ("fne last 25%", "cosine"),
    "last 25 %, centred": ("fne last 25%", "centred"),
    "last 10 %, cosine": ("fne last 10%", "cosine"),
    "last 10 %, centred": ("fne last 10%", "centred"),
    "last 10 %, centred, expanded": ("fne last 10%", "expanded"),
    "last 25 %, centred, expanded (the default)": ("fne last 25%", "expanded"),
    "penultimate, floats, cosine": ("penultimate l2", "cosine"),
    "penultimate, floats, centred": ("penultimate l2", "centred"),
    "penultimate, floats, centred, expanded": ("penultimate l2", "expanded"),
}
COMPACT = "compact codes, 128 bytes, centred"
#: The rows of the tables of classifiers: representations of `fne evaluate`.
CLASSIFIED = {
    "FNE, all layers": "fne",
    "last 50 %": "fne last 50%",
    "last 25 %": "fne last 25%",
    "last 10 %": "fne last 10%",
    "penultimate, over its norm": "penultimate l2",
    "`FewShotEmbedder`": "centred",
}
CLASSIFIERS = {"svm": "linear SVM", "ridge": "ridge"}


class Network(NamedTuple):
    """A network's name, its file, and options of `fne.Extractor`."""

    name: str
    file: Path
    options: dict[str, Any]


def measured(network: Network, data: DataSet, folder: Path, images: tuple[int, ...], seeds: int) -> dict[str, Any]:
    """What was found for a pair. What a former run of the same left in the folder is taken as it is.

    Args:
        folder: the pair's own. It receives the job, evaluation.json, retrieval.json and pair.json.
        images: the numbers of training images per class
        seeds: the splits for each

    Returns:
        "network", "set", "kind" and what else was asked for; for each classifier by row and number of images the
        accuracies of the splits; "search": by row and measure a number for each query

    Raises:
        InvalidArgumentError: the folder holds what was found for something else
    """
    known = folder / "pair.json"
    asked = {
        "network": network.name,
        "set": data.name,
        "kind": data.kind,
        "files": [str(network.file.resolve()), str(data.folder.resolve())],
        "options": json.loads(json.dumps(network.options)),
        "splits": [list(images), seeds],
    }
    if not known.exists():
        model = fne.Model(network.file)
        found = {
            **asked,
            **_accuracies(model, network, data, folder, images, seeds),
            "search": {
                row: dict(zip(MEASURES, map(_rounded, values), strict=True))
                for row, values in _search(model, network, data, folder).items()
            },
        }
        write_atomically(known, json.dumps(found).encode())
    pair: dict[str, Any] = json.loads(known.read_text())
    for name, value in asked.items():
        if pair.get(name) != value:
            raise fne.InvalidArgumentError(
                f"'{folder}' was measured with {name} {pair.get(name)}, and {value} is asked for; remove it, or take "
                "another --out"
            )
    return pair


def _accuracies(
    model: fne.Model, network: Network, data: DataSet, folder: Path, images: tuple[int, ...], seeds: int
) -> dict[str, Any]:
    result = fne.evaluate(
        data.folder,
        model,
        folder,
        images_per_class=images,
        seeds=seeds,
        representations=tuple(CLASSIFIED.values()),
        classifiers=tuple(CLASSIFIERS),
        **network.options,
    )
    rows = {representation: row for row, representation in CLASSIFIED.items()}
    found: dict[str, Any] = {classifier: {} for classifier in CLASSIFIERS}
    for score in result.scores:
        by_images = found[score.classifier].setdefault(rows[score.representation], {})
        by_images.setdefault(str(score.images), []).append(score.accuracy)
    return found


def _search(model: fne.Model, network: Network, data: DataSet, folder: Path) -> dict[str, Measures]:
    result = fne.evaluate_retrieval(
        data.folder,
        model,
        folder,
        representations=tuple(dict.fromkeys(representation for representation, _ in SEARCHED.values())),
        **network.options,
    )
    found = {row: result.values[asked] for row, asked in SEARCHED.items() if asked in result.values}
    compact = _compact(model, data, fne.Job(folder / "job"))
    return found if compact is None else {**found, COMPACT: compact}


def _compact(model: fne.Model, data: DataSet, job: fne.Job) -> Measures | None:
    """The measures of compact codes that are fitted to the images; None where there are too few of these."""
    if job.ok.sum() < FEWEST_IMAGES:
        return None
    codes = CompactCodes.fit(job, layers="penultimate", model=model).transform(job)[job.ok]
    return measures(similarities(codes.unpack(), "centred"), data_set(data.folder).labels[job.ok])


def _rounded(values: Iterable[float]) -> list[float]:
    return [round(float(value), 9) for value in values]

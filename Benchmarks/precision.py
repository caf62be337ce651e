"""The curve of speed and agreement of bfloat16, where values change, and what a classifier makes of it. A part of
`make bench`.

Networks with random weights are left out. A trial has no classifier.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from figures import figure, ratios, taking_turns
from networks import SIZE, Network
from progress import progress
from settings import chosen_networks, chosen_photographs, parse, parser

import fne

#: How many layers stay in float32, beside all. 2 is libfne's choice.
CURVE, TRIAL_CURVE, DEFAULT = (0, 1, 2, 3, 6, 12), (2,), 2


class Embedded(NamedTuple):
    """Rows of all photographs, their statistics, the layers, and the seconds that the rows took."""

    rows: Any
    mean: Any
    std: Any
    layers: list[fne.Layer]
    seconds: float

    def codes(self) -> Any:
        return fne.ternarize(self.rows, self.mean, self.std)


def embedded(network: Network, paths: list[str], **choice: Any) -> Embedded:
    options = json.loads(network.options)
    with fne.Extractor(network.path, None, None, (SIZE, SIZE), **options, **choice) as extractor:
        extractor.extract(paths[:16])
        start = time.perf_counter()
        rows = extractor.extract(paths).features
        seconds = time.perf_counter() - start
        layers = list(extractor.layers)
    collected = fne.Statistics(rows.shape[1]).update(rows)
    return Embedded(rows, collected.mean(), collected.std(), layers, seconds)


def curve(network: Network, paths: list[str], given: argparse.Namespace) -> None:
    """Prints a line for each number of layers that stay in float32."""
    exact = embedded(network, paths)
    codes = exact.codes()
    labels = None if given.quick else np.array([Path(path).parent.name for path in paths])
    print(f"{network.title}: bfloat16 beside float32{_accuracy(f'{network.title}, float32', codes, labels)}")
    for first in choices(given, len(exact.layers)):
        name = f"{network.title}, bfloat16 but for {first} layers"
        ways = {
            "float32": partial(embedded, network, paths),
            "bfloat16": partial(embedded, network, paths, precision="bfloat16", float32_layers=first),
        }
        rounds = 1 if given.quick else max(1, given.rounds // 2)
        found = taking_turns(ways, rounds, 0, progress.rounds(name, rounds))
        times = ratios(*([run.seconds for run in found[kind]] for kind in ("float32", "bfloat16")))
        fast = found["bfloat16"][0].codes()
        speed = figure(f"{name}, times float32", "ratio", times)
        equal = figure(f"{name}, equal ternary values", "%", 100 * np.mean(fast == codes))
        line = f"  first {first:2d} layers float32: {speed} times as fast, {equal} % equal"
        print(line + _accuracy(name, fast, labels))
        if first == DEFAULT:
            where(network.title, exact, fast != codes)


def choices(given: argparse.Namespace, layers: int) -> tuple[int, ...]:
    return TRIAL_CURVE if given.quick else tuple(dict.fromkeys((*CURVE, layers)))


def where(title: str, exact: Embedded, flips: Any) -> None:
    """Prints in which layers values change, how near to the thresholds, and in which features."""
    by_layer = [flips[:, layer.features].mean() for layer in exact.layers]
    fifths = [100 * np.mean(part) for part in np.array_split(by_layer, 5)]
    shares = [figure(f"{title}, changes of fifth {n} of the layers", "%", each) for n, each in enumerate(fifths, 1)]
    print(f"    changes by fifths of the layers: {', '.join(shares)} %")
    if not flips.any():
        return
    z = np.abs((exact.rows - exact.mean) / np.where(exact.std > 0, exact.std, 1))[..., None] - [0.25, 0.15]
    near = np.abs(z).min(-1)
    for limit in (0.01, 0.03, 0.1):
        name = f"{title}, within {limit} of a threshold"
        share = figure(f"{name}, share of the values", "%", 100 * np.mean(near <= limit), 1)
        changed = figure(f"{name}, share of the changes", "%", 100 * flips[near <= limit].sum() / flips.sum(), 1)
        print(f"    within {limit} of a threshold: {share} % of the values, {changed} % of the changes")
    spread = exact.std / np.maximum(np.abs(exact.mean), 1e-30)
    constant = spread <= np.quantile(spread, 0.1)
    changed = figure(
        f"{title}, the tenth of the features that varies least, share of the changes",
        "%",
        100 * flips[:, constant].sum() / flips.sum(),
        1,
    )
    print(
        f"    the tenth of the features that varies least (std / mean up to {spread[constant].max():.2g}): "
        f"{changed} % of the changes"
    )


def _accuracy(name: str, codes: Any, labels: Any) -> str:
    """That of a linear SVM on the codes, in five folds, as text; "" for photographs without classes."""
    if labels is None or len(set(labels)) < 2:
        return ""
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from sklearn.svm import LinearSVC

    folds = StratifiedKFold(5, shuffle=True, random_state=1)
    accuracy = cross_val_score(LinearSVC(C=1e-3), codes, labels, cv=folds).mean()
    return f"; SVM {figure(f'{name}, accuracy of an SVM', '%', 100 * accuracy)} %"


def main() -> None:
    given = parse(parser(__doc__))
    chosen = [network for network in chosen_networks(given) if "random" not in network.title]
    with tempfile.TemporaryDirectory() as folder:
        paths = chosen_photographs(given, Path(folder))
        rounds = 1 if given.quick else max(1, given.rounds // 2)
        progress.plan(len(chosen) * len(choices(given, 0)) * rounds)
        for network in chosen:
            curve(network, paths, given)


if __name__ == "__main__":
    main()

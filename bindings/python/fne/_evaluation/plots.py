"""Plots of an evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy
from numpy.typing import NDArray

from fne._evaluation.representations import REPRESENTATIONS
from fne._text import printable
from fne._thresholds import LOWER, UPPER

PLOTS = ("accuracy.png", "shares.png", "confusion.png")
_BARS = "bars: standard deviation over the splits"
_MARKERS = "osD^v<>PX*hdpH8"


def plot(summary: list[dict[str, Any]], classes: Sequence[str], confusion: NDArray[numpy.int64], folder: Path) -> None:
    """Draws the accuracy over the training images, the accuracy over the share of the layers, and the confusion.

    Args:
        summary, classes, confusion: as `Evaluation` has them. The first classifier of the summary is drawn.
        folder: receives the plots, which PLOTS names
    """
    import matplotlib

    matplotlib.use("Agg", force=False)
    classifier = summary[0]["classifier"]
    rows = [row for row in summary if row["classifier"] == classifier]
    paths = [folder / name for name in PLOTS]
    _accuracy(rows, f"{classifier}; {_BARS}", paths[0])
    _shares(rows, f"{classifier}; {_BARS}", paths[1])
    if confusion.any():
        _confusion(classes, confusion, paths[2])


def _accuracy(rows: list[dict[str, Any]], title: str, path: Path) -> None:
    from matplotlib import pyplot

    columns = list(dict.fromkeys(row["images"] for row in rows))
    figure, axes = pyplot.subplots(figsize=(8, 5))
    for name in dict.fromkeys(row["representation"] for row in rows):
        own = [row for row in rows if row["representation"] == name]
        places = [columns.index(row["images"]) for row in own]
        _line(axes, places, own, name, **_look(name))
    axes.set_xticks(range(len(columns)), [str(column) for column in columns])
    axes.set(xlabel="training images per class", ylabel="mean accuracy per class", title=title)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    _save(figure, path)


def _look(name: str) -> dict[str, Any]:
    """A representation's colour, mark and line. No two are alike, and the line of a single layer is dashed."""
    from matplotlib import colormaps

    number = list(REPRESENTATIONS).index(name)
    # The ten dark colours of tab20 come before its ten light ones.
    colour = colormaps["tab20"]((2 * number) % 20 + number // 10)
    return {
        "color": colour,
        "marker": _MARKERS[number],
        "linewidth": 3.0 if name == "fne" else 1.2,
        "linestyle": "--" if REPRESENTATIONS[name].is_single_layer else "-",
        "zorder": 3 if name == "fne" else 2,
    }


def _shares(rows: list[dict[str, Any]], title: str, path: Path) -> None:
    from matplotlib import pyplot

    known = {name: row.share for name, row in REPRESENTATIONS.items() if row.share is not None}
    own = sorted((row for row in rows if row["representation"] in known), key=lambda row: known[row["representation"]])
    if len({row["representation"] for row in own}) < 2:
        return
    figure, axes = pyplot.subplots(figsize=(6, 4))
    for images in dict.fromkeys(row["images"] for row in rows):
        line = [row for row in own if row["images"] == images]
        _line(axes, [known[row["representation"]] for row in line], line, f"{images} images per class")
    axes.set_xticks(sorted(known.values()))
    axes.set(xlabel="share of the layers, from the last, in %", ylabel="mean accuracy per class", title=title)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    _save(figure, path)


def _confusion(classes: Sequence[str], confusion: NDArray[numpy.int64], path: Path) -> None:
    from matplotlib import pyplot

    shares = confusion / numpy.maximum(confusion.sum(1, keepdims=True), 1)
    figure, axes = pyplot.subplots(figsize=(7, 6))
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    names = [_printable(name) for name in classes]
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=7)
    axes.set_yticks(range(len(names)), names, fontsize=7)
    axes.set(xlabel="predicted", ylabel="true", title="fne, svm: shares of each class, over all splits")
    figure.colorbar(image)
    _save(figure, path)


def plot_thresholds(grid: NDArray[Any], lowers: Sequence[float], uppers: Sequence[float], path: Path) -> None:
    """Draws the accuracy for each pair of thresholds as a map of colours. The paper's pair has a frame."""
    import matplotlib

    matplotlib.use("Agg", force=False)
    from matplotlib import pyplot
    from matplotlib.patches import Rectangle

    figure, axes = pyplot.subplots(figsize=(6, 4))
    image = axes.imshow(grid, cmap="viridis")
    middle = (grid.min() + grid.max()) / 2
    for row, column in numpy.ndindex(grid.shape):
        ink = "black" if grid[row, column] > middle else "white"
        axes.text(column, row, f"{grid[row, column]:.3f}", ha="center", va="center", color=ink, fontsize=8)
        if (lowers[row], uppers[column]) == (LOWER, UPPER):
            axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor="red", linewidth=2))
    axes.set_xticks(range(len(uppers)), [str(upper) for upper in uppers])
    axes.set_yticks(range(len(lowers)), [str(lower) for lower in lowers])
    axes.set(xlabel="upper threshold", ylabel="lower threshold", title="mean accuracy; framed: the paper's pair")
    figure.colorbar(image)
    _save(figure, path)


def _printable(text: str) -> str:
    """A name that matplotlib shows as it is. A dollar begins no formula; what cannot be shown is spelled out."""
    return printable(text).replace("$", r"\$")


def _line(axes: Any, places: list[int], rows: list[dict[str, Any]], name: str, **look: Any) -> None:
    means, deviations = [row["mean"] for row in rows], [row["std"] for row in rows]
    axes.errorbar(places, means, deviations, label=name, capsize=3, elinewidth=1.2, **{"linewidth": 1.5, **look})


def _save(figure: Any, path: Path) -> None:
    from matplotlib import pyplot

    figure.savefig(path, dpi=120, bbox_inches="tight")
    pyplot.close(figure)

"""The report's map: a canvas that the page's script draws, its data, and the images that are far from all others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy

from fne._command.comparison import Comparison
from fne._command.figures import Neighbourhood
from fne._command.markup import Markup, data, element, joined
from fne._folders import places_in_folders
from fne._job import Job
from fne._text import printable

#: The most images whose small pictures are in the page for the map. All others are points with names.
_MOST_PICTURES = 500
#: The most outliers that are listed, and the share of the images that they are at most.
_MOST_OUTLIERS, _OUTLIERS_SHARE = 24, 0.1
#: The places on the map are whole numbers up to this.
_SIDE = 10_000
#: The metric whose larger numbers are further away.
_DISTANCE = "hamming"


def spread(count: int, most: int) -> list[int]:
    """At most so many of the numbers below count, evenly chosen."""
    return [int(number) for number in numpy.linspace(0, count - 1, min(count, most))]


def map_section(job: Job, around: Neighbourhood, how: Comparison, source: Callable[[int], str | None]) -> Markup:
    """The map with its data.

    Args:
        source: the data: address of an image's small picture, by its number; None: there is none
    """
    images, layers = len(around.images), len(how.layers)
    note = f"{images:,} images, placed by {around.projection.words} of their codes in {layers} layers."
    use = (
        "Point at an image for its name and its neighbours, and click it to open it. Drag to move, and press + and - "
        "to zoom. With the keyboard, the arrows go from image to image, Enter opens, and Escape closes."
    )
    return joined(
        element("h2", "Map"),
        element("p", element("small", note, " ", around.words)),
        element("p", element("small", use)),
        element(
            "div",
            element("canvas", id="points", tabindex=0, role="application", aria_label="map of the images"),
            element("canvas", id="marks", aria_hidden="true"),
            element("div", id="tip", hidden="hidden"),
            id="map",
        ),
        element("p", *_buttons(), id="tools"),
        element("p", id="said", role="status"),
        element("div", id="legend"),
        element("dialog", element("div", id="opened"), element("button", "Close", id="close"), id="large"),
        data("points-data", _points(job, around, how, source)),
        element("noscript", element("p", "The map needs JavaScript, which this browser does not run.")),
    )


def _buttons() -> list[Markup]:
    names = {"closer": "+", "further": "\N{MINUS SIGN}", "whole": "all"}
    labels = {"closer": "zoom in", "further": "zoom out", "whole": "show all"}
    made = [element("button", words, id=name, aria_label=labels[name]) for name, words in names.items()]
    return [*made, element("button", "pictures", id="pictures", aria_pressed="false")]


def _points(job: Job, around: Neighbourhood, how: Comparison, source: Callable[[int], str | None]) -> dict[str, Any]:
    """What the script draws. All lists are in the order of the points."""
    images = around.images.tolist()
    labels = [place.label for place in places_in_folders(job.names)]
    counts = Counter(labels[image] for image in images)
    classes = sorted(counts, key=lambda label: (-counts[label], label))
    number = {label: place for place, label in enumerate(classes)}
    places = numpy.rint(around.projection.places * _SIDE).astype(int)
    pictures = {place: source(images[place]) for place in spread(len(images), _MOST_PICTURES)}
    return {
        "names": [printable(job.names[image]) for image in images],
        "x": places[:, 0].tolist(),
        "y": places[:, 1].tolist(),
        "near": around.nearest.tolist(),
        "scores": numpy.round(around.scores, 3).tolist(),
        "classes": [printable(label) for label in classes] if len(classes) > 1 else [],
        "class": [number[labels[image]] for image in images] if len(classes) > 1 else [0] * len(images),
        "outliers": outliers(around, how),
        "pictures": {place: picture for place, picture in pictures.items() if picture},
    }


def outliers(around: Neighbourhood, how: Comparison) -> list[int]:
    """The images that are furthest from their ten nearest, by the mean score, as places in `around.images`.

    At most 24, and at most a tenth of the images, the furthest first.
    """
    count = min(_MOST_OUTLIERS, int(len(around.images) * _OUTLIERS_SHARE))
    if not count:
        return []
    means = around.scores.mean(1)
    order = numpy.argsort(-means if how.metric == _DISTANCE else means, kind="stable")
    return [int(place) for place in order[:count]]


def outliers_section(around: Neighbourhood, how: Comparison, figure: Callable[..., Markup]) -> Markup:
    """The list of outliers.

    Args:
        figure: draws an image by its number
    """
    title = element("h2", "Outliers")
    found = outliers(around, how)
    if not found:
        return joined(title, element("p", "Not looked for: there are fewer than ten images."))
    note = "The images that are least like their ten nearest, with the mean score to these. The map rings them."
    means = around.scores.mean(1)
    cells = [figure(int(around.images[one]), element("br"), f"{means[one]:.3f}") for one in found]
    row = element("div", *cells, class_="row many", id="outliers")
    return joined(title, element("p", element("small", note)), row)

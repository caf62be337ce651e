"""The page of `fne report`: HTML that needs no other file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy
from numpy.typing import NDArray

from fne._command.cleaning import cleaning_section
from fne._command.comparison import Comparison
from fne._command.figures import neighbours
from fne._command.markup import Markup, document, element, joined
from fne._command.pictures import data_address, picture_below
from fne._job import Job

#: The most images that the map shows as pictures, and the most that are shown with their neighbours.
_MOST_PICTURES = 500
_MOST_NEIGHBOURS = 24
_THUMBNAIL = 80

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:64rem;padding:0 1rem;color:#1c2733;background:#fff}
h1{font-size:1.6rem}h2{font-size:1.15rem;margin-top:2.2rem;border-bottom:1px solid #d5dde5}
table{border-collapse:collapse}td,th{padding:.15rem .8rem .15rem 0;text-align:left;vertical-align:top}
td.n{text-align:right}
#map{position:relative;height:36rem;background:#f4f6f8;overflow:hidden}
#map>*{position:absolute;width:2.6rem;height:2.6rem;transform:translate(-50%,-50%);object-fit:cover}
#map>*:hover{width:7rem;height:7rem;z-index:2;outline:2px solid #1b6ca8}
#map>i{width:.5rem;height:.5rem;border-radius:50%;background:#1b6ca8}
.row{display:flex;gap:.5rem;margin:.4rem 0}.row figure{margin:0;width:5.5rem;font-size:.7rem;overflow-wrap:anywhere}
.row img,.row b{display:block;width:5.5rem;height:5.5rem;object-fit:cover;background:#e4e9ee}
.row figure:first-child{margin-right:1rem}
svg text{font:11px system-ui,sans-serif;fill:#1c2733}
.key{display:inline-block;width:.8rem;height:.8rem;margin:0 .3rem 0 1rem}
small{color:#5c6b7a}
"""
_COLOURS = {"minus": "#2f6fad", "zero": "#d9dee3", "plus": "#d0742b"}


def page(job: Job, facts: dict[str, Any], root: Path, how: Comparison) -> str:
    """The page.

    Args:
        facts: the job's figures
        root: the folder that the job's names are relative to, for the pictures. None lies outside of it.
        how: what the map and the neighbours are made of
    """
    numbers, places, cosines = neighbours(job, how)
    thumbnails = _Thumbnails(job, root)
    data = Markup(json.dumps(facts, ensure_ascii=True, allow_nan=False).replace("<", "\\u003c"))
    name = job.folder.absolute().name
    return document(
        f"{name}: Full-Network Embedding",
        _STYLE,
        element("h1", name),
        _overview(facts),
        _failures(facts),
        _shares(facts),
        _map(numbers, places, thumbnails, how),
        _neighbours(numbers, cosines, thumbnails, how),
        cleaning_section(job, how, thumbnails.figure),
        element("script", data, type="application/json", id="figures"),
    )


def _overview(facts: dict[str, Any]) -> Markup:
    settings, codes = facts["settings"], facts["codes"]
    engine = facts["engines"][-1]
    source = settings["input"]
    colours = "grey" if source["channels"] == 1 else source["channel_order"]
    images = sum(run["images"] for run in facts["runs"])
    speed = (
        f"{images / facts['seconds']:.1f} images/s in {facts['seconds']:.1f} s, {len(facts['runs'])} runs"
        if facts["seconds"]
        else "-"
    )
    rows: list[tuple[str, list[Any]]] = [
        ("images", [f"{facts['images']}: {facts['embedded']} embedded, {facts['failed']} failed"]),
        (
            "features",
            [
                f"{facts['features']} of {len(facts['layers'])} layers; "
                f"{facts['constant']} constant, {facts['redundant']} redundant"
            ],
        ),
        (
            "codes",
            [
                f"below {codes['lower']} is -1, above {codes['upper']} is 1; {codes['statistics']} statistics"
                if codes
                else "none"
            ],
        ),
        (
            "network",
            [
                f"{settings['model']['bytes'] / 1e6:.1f} MB, ",
                element("small", f"SHA-256 {settings['model']['sha256']}"),
            ],
        ),
        (
            "input",
            [
                f"{source['height']} x {source['width']}, {source['resize_mode']}, {source['interpolation']}, "
                f"{source['crops']} crops, {colours}, mean {source['mean']}, scale {source['scale']}"
            ],
        ),
        (
            "engine",
            [
                f"{_library(engine)}, {settings['precision']}, batches of {settings['batch_size']}, "
                f"{engine['device']}, {engine['processor']}"
            ],
        ),
        ("time", [speed]),
    ]
    return element("table", *(element("tr", element("th", name), element("td", *value)) for name, value in rows))


def _library(engine: dict[str, Any]) -> str:
    """The library that computed rows, with its version."""
    return f"ONNX Runtime {engine['onnxruntime']}" if "onnxruntime" in engine else f"TensorFlow {engine['tensorflow']}"


def _number(value: Any) -> Markup:
    """A cell that holds a number."""
    return element("td", value, class_="n")


def _header(*names: str) -> Markup:
    return element("tr", *(element("th", name) for name in names))


def _failures(facts: dict[str, Any]) -> Markup:
    title = element("h2", "Failures")
    if not facts["failed"]:
        return joined(title, element("p", "none"))
    rows = [
        element("tr", _number(failure["image"]), element("td", failure["name"]), element("td", failure["reason"]))
        for failure in facts["failures"]
    ]
    more = facts["failed"] - len(facts["failures"])
    rest = element("p", f"and {more} more, in images.jsonl") if more else ""
    return joined(title, element("table", _header("image", "name", "reason"), *rows, id="failures"), rest)


def _shares(facts: dict[str, Any]) -> Markup:
    """A bar for each layer, with the shares of -1, 0 and 1."""
    height, label, width = 15, 300, 520
    bars, table = [], []
    for number, layer in enumerate(facts["layers"]):
        total = max(layer["minus"] + layer["zero"] + layer["plus"], 1)
        at, y = 0.0, number * height
        for name in ("minus", "zero", "plus"):
            part = layer[name] / total
            bars.append(
                element(
                    "rect",
                    element("title", f"{layer['name']}: {part:.2%}"),
                    x=f"{label + at * width:.2f}",
                    y=y + 2,
                    width=f"{part * width:.2f}",
                    height=height - 3,
                    fill=_COLOURS[name],
                )
            )
            at += part
        bars.append(element("text", layer["name"][-46:], x=label - 8, y=y + height - 4, text_anchor="end"))
        bars.append(element("text", layer["features"], x=label + width + 8, y=y + height - 4))
        shares = (_number(f"{layer[name] / total:.2%}") for name in ("minus", "zero", "plus"))
        table.append(
            element(
                "tr",
                element("td", layer["name"]),
                element("td", layer["kind"]),
                _number(layer["features"]),
                *shares,
                _number(layer["constant"]),
                _number(layer["redundant"]),
            )
        )
    key = [
        joined(element("span", class_="key", style=f"background:{_COLOURS[name]}"), value)
        for name, value in (("minus", -1), ("zero", 0), ("plus", 1))
    ]
    box = f"0 0 {label + width + 60} {len(facts['layers']) * height}"
    head = _header("layer", "kind", "features", "-1", "0", "1", "constant", "redundant")
    constant = "A constant feature has the same value in every image."
    redundant = "A redundant feature equals an earlier one in every image."
    return joined(
        element("h2", "Shares of -1, 0, 1 by layer"),
        element("p", *key),
        element("svg", *bars, width="100%", viewBox=box),
        element("details", element("summary", "in numbers"), element("table", head, *table, id="layers")),
        element("p", element("small", f"{constant} {redundant}")),
    )


def _map(numbers: NDArray[Any], places: NDArray[Any], thumbnails: _Thumbnails, how: Comparison) -> Markup:
    shown = set(numpy.linspace(0, len(numbers) - 1, min(len(numbers), _MOST_PICTURES)).astype(int).tolist())
    parts = []
    for place, image in enumerate(numbers.tolist()):
        style = f"left:{3 + 94 * places[place, 0]:.2f}%;top:{4 + 92 * places[place, 1]:.2f}%"
        picture = thumbnails.source(image) if place in shown else None
        title = thumbnails.name(image)
        parts.append(
            element("img", style=style, alt="", title=title, src=picture)
            if picture
            else element("i", style=style, title=title)
        )
    components = f"the first two principal components of their codes in {len(how.layers)} layers"
    note = f"{len(numbers)} images, placed by {components}."
    return joined(element("h2", "Map"), element("p", element("small", note)), element("div", *parts, id="map"))


def _neighbours(numbers: NDArray[Any], cosines: NDArray[Any], thumbnails: _Thumbnails, how: Comparison) -> Markup:
    rows = []
    for place in numpy.linspace(0, len(numbers) - 1, min(len(numbers), _MOST_NEIGHBOURS)).astype(int).tolist():
        others = [other for other in numpy.argsort(-cosines[place], kind="stable").tolist() if other != place][:5]
        cells = [thumbnails.figure(int(numbers[place]))]
        cells += [
            thumbnails.figure(int(numbers[other]), element("br"), f"{cosines[place, other]:.3f}") for other in others
        ]
        rows.append(element("div", *cells, class_="row"))
    note = element("p", element("small", f"by the {how.words}"))
    return joined(element("h2", "Nearest neighbours"), note, *rows)


class _Thumbnails:
    """Small pictures as data: addresses. An image that cannot be read, or lies outside the folder, has none."""

    def __init__(self, job: Job, root: Path) -> None:
        self._names, self._root = job.names, root
        self._sources: dict[int, str | None] = {}

    def name(self, image: int) -> str:
        return self._names[image]

    def source(self, image: int) -> str | None:
        if image not in self._sources:
            pixels = picture_below(self._root, self._names[image])
            self._sources[image] = None if isinstance(pixels, str) else data_address(pixels, _THUMBNAIL)
        return self._sources[image]

    def figure(self, image: int, *caption: Any) -> Markup:
        picture = self.source(image)
        shown = element("img", alt="", src=picture) if picture else element("b")
        return element("figure", shown, Path(self._names[image]).name, *caption)

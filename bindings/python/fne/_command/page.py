"""The page of `fne report`: HTML that needs no other file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fne._command.cleaning import cleaning_section
from fne._command.comparison import Comparison
from fne._command.figures import Neighbourhood, neighbours
from fne._command.map import map_section, outliers_section, spread
from fne._command.map_script import SCRIPT as MAP_SCRIPT
from fne._command.map_script import STYLE as MAP_STYLE
from fne._command.markup import Markup, data, document, element, joined
from fne._command.pictures import data_address, picture_below
from fne._job import Job

#: The most images that are shown with their neighbours.
_MOST_NEIGHBOURS = 24
_THUMBNAIL = 80

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:64rem;padding:0 1rem;color:#1c2733;background:#fff}
h1{font-size:1.6rem}h2{font-size:1.15rem;margin-top:2.2rem;border-bottom:1px solid #d5dde5}
table{border-collapse:collapse}td,th{padding:.15rem .8rem .15rem 0;text-align:left;vertical-align:top}
td.n{text-align:right}
.row{display:flex;gap:.5rem;margin:.4rem 0}.row figure{margin:0;width:5.5rem;font-size:.7rem;overflow-wrap:anywhere}
.row img,.row b{display:block;width:5.5rem;height:5.5rem;object-fit:cover;background:#e4e9ee}
.row figure:first-child{margin-right:1rem}
svg text{font:11px system-ui,sans-serif;fill:#1c2733}
.key{display:inline-block;width:.8rem;height:.8rem;margin:0 .3rem 0 1rem}
small{color:#5c6b7a}
"""
_COLOURS = {"minus": "#2f6fad", "zero": "#d9dee3", "plus": "#d0742b"}


def page(job: Job, facts: dict[str, Any], root: Path, how: Comparison, method: str = "auto") -> str:
    """The page.

    Args:
        facts: the job's figures
        root: the folder that the job's names are relative to, for the pictures. None lies outside of it.
        how: what the map and the neighbours are made of
        method: how the map is made, as in `project`
    """
    around = neighbours(job, how, method)
    thumbnails = _Thumbnails(job, root)
    name = job.folder.absolute().name
    return document(
        f"{name}: Full-Network Embedding",
        _STYLE + MAP_STYLE,
        element("h1", name),
        _overview(facts),
        _failures(facts),
        _shares(facts),
        map_section(job, around, how, thumbnails.source),
        _neighbours(around, thumbnails, how),
        outliers_section(around, how, thumbnails.figure),
        cleaning_section(job, how, thumbnails.figure),
        data("figures", facts),
        script=MAP_SCRIPT,
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
                f"{settings.get('decode', 'full')} decoding, {source['crops']} crops, {colours}, "
                f"mean {source['mean']}, scale {source['scale']}"
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


def _neighbours(around: Neighbourhood, thumbnails: _Thumbnails, how: Comparison) -> Markup:
    images = around.images.tolist()
    rows = []
    for place in spread(len(images), _MOST_NEIGHBOURS):
        near = zip(around.nearest[place, :5].tolist(), around.scores[place, :5].tolist(), strict=True)
        cells = [thumbnails.figure(images[place])]
        cells += [thumbnails.figure(images[other], element("br"), f"{score:.3f}") for other, score in near]
        rows.append(element("div", *cells, class_="row"))
    words = f"by the {how.words}" + (f"; {around.words}" if around.words else "")
    return joined(element("h2", "Nearest neighbours"), element("p", element("small", words)), *rows)


class _Thumbnails:
    """Small pictures as data: addresses. An image that cannot be read, or lies outside the folder, has none."""

    def __init__(self, job: Job, root: Path) -> None:
        self._names, self._root = job.names, root
        self._sources: dict[int, str | None] = {}

    def source(self, image: int) -> str | None:
        if image not in self._sources:
            pixels = picture_below(self._root, self._names[image])
            self._sources[image] = None if isinstance(pixels, str) else data_address(pixels, _THUMBNAIL)
        return self._sources[image]

    def figure(self, image: int, *caption: Any) -> Markup:
        picture = self.source(image)
        shown = element("img", alt="", src=picture) if picture else element("b")
        return element("figure", shown, Path(self._names[image]).name, *caption)

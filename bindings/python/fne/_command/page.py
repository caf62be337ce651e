"""The page of `fne report`: HTML that needs no other file."""

from __future__ import annotations

import base64
import html
import io
import json
from pathlib import Path
from typing import Any

import numpy
from numpy.typing import NDArray

from fne._command.figures import neighbours
from fne._command.pictures import png, square
from fne._images import read_image
from fne._job import Job
from fne.errors import FNEError

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


def page(job: Job, facts: dict[str, Any], root: Path) -> str:
    """The page.

    Args:
        facts: the job's figures
        root: the folder that the job's names are relative to, for the pictures
    """
    numbers, places, cosines = neighbours(job)
    thumbnails = _Thumbnails(job, root)
    data = json.dumps(facts, ensure_ascii=True).replace("<", "\\u003c")
    parts = [
        "<!DOCTYPE html><html lang=en><head><meta charset=utf-8><meta name=viewport content='width=device-width'>",
        f"<link rel=icon href='data:,'><title>{_text(job.folder.name)}: Full-Network Embedding</title>",
        f"<style>{_STYLE}</style></head>",
        f"<body><h1>{_text(job.folder.name)}</h1>",
        _overview(facts),
        _failures(facts),
        _shares(facts),
        _map(numbers, places, thumbnails),
        _neighbours(numbers, cosines, thumbnails),
        f"<script type='application/json' id=figures>{data}</script></body></html>",
    ]
    return "\n".join(parts)


def _text(value: Any) -> str:
    return html.escape(str(value).encode("utf-8", "replace").decode())


def _table(rows: list[tuple[str, str]]) -> str:
    return "<table>" + "".join(f"<tr><th>{_text(name)}</th><td>{value}</td></tr>" for name, value in rows) + "</table>"


def _overview(facts: dict[str, Any]) -> str:
    settings, codes = facts["settings"], facts["codes"]
    engine = facts["engines"][-1]
    source = settings["input"]
    images = sum(run["images"] for run in facts["runs"])
    speed = (
        f"{images / facts['seconds']:.1f} images/s in {facts['seconds']:.1f} s, {len(facts['runs'])} runs"
        if facts["seconds"]
        else "-"
    )
    rows = [
        ("images", f"{facts['images']}: {facts['embedded']} embedded, {facts['failed']} failed"),
        (
            "features",
            f"{facts['features']} of {len(facts['layers'])} layers; "
            f"{facts['constant']} constant, {facts['redundant']} redundant",
        ),
        (
            "codes",
            f"below {codes['lower']} is -1, above {codes['upper']} is 1; {codes['statistics']} statistics"
            if codes
            else "none",
        ),
        (
            "network",
            f"{settings['model']['bytes'] / 1e6:.1f} MB, <small>SHA-256 {_text(settings['model']['sha256'])}</small>",
        ),
        (
            "input",
            _text(
                f"{source['height']} x {source['width']}, {source['resize_mode']}, {source['interpolation']}, "
                f"{source['crops']} crops, {source['channel_order']}, mean {source['mean']}, scale {source['scale']}"
            ),
        ),
        (
            "engine",
            _text(
                f"TensorFlow {engine['tensorflow']}, {settings['precision']}, batches of {settings['batch_size']}, "
                f"{engine['device']}, {engine['processor']}"
            ),
        ),
        ("time", speed),
    ]
    return _table(rows)


def _failures(facts: dict[str, Any]) -> str:
    if not facts["failed"]:
        return "<h2>Failures</h2><p>none</p>"
    rows = "".join(
        f"<tr><td class=n>{f['image']}</td><td>{_text(f['name'])}</td><td>{_text(f['reason'])}</td></tr>"
        for f in facts["failures"]
    )
    more = facts["failed"] - len(facts["failures"])
    rest = f"<p>and {more} more, in images.jsonl</p>" if more else ""
    return (
        f"<h2>Failures</h2><table id=failures><tr><th>image</th><th>name</th><th>reason</th></tr>{rows}</table>{rest}"
    )


def _shares(facts: dict[str, Any]) -> str:
    """A bar for each layer, with the shares of -1, 0 and 1."""
    height, label, width = 15, 300, 520
    bars, table = [], []
    for number, layer in enumerate(facts["layers"]):
        total = max(layer["minus"] + layer["zero"] + layer["plus"], 1)
        at, y = 0.0, number * height
        for name in ("minus", "zero", "plus"):
            part = layer[name] / total
            bars.append(
                f"<rect x='{label + at * width:.2f}' y='{y + 2}' width='{part * width:.2f}' height='{height - 3}' "
                f"fill='{_COLOURS[name]}'>"
                f"<title>{_text(layer['name'])}: {part:.2%}</title></rect>"
            )
            at += part
        bars.append(f"<text x='{label - 8}' y='{y + height - 4}' text-anchor='end'>{_text(layer['name'][-46:])}</text>")
        bars.append(f"<text x='{label + width + 8}' y='{y + height - 4}'>{layer['features']}</text>")
        table.append(
            f"<tr><td>{_text(layer['name'])}</td><td>{layer['kind']}</td><td class=n>{layer['features']}</td>"
            + "".join(f"<td class=n>{layer[name] / total:.2%}</td>" for name in ("minus", "zero", "plus"))
            + f"<td class=n>{layer['constant']}</td><td class=n>{layer['redundant']}</td></tr>"
        )
    key = "".join(
        f"<span class=key style='background:{_COLOURS[name]}'></span>{value}"
        for name, value in (("minus", -1), ("zero", 0), ("plus", 1))
    )
    head = "".join(
        f"<th>{name}</th>" for name in ("layer", "kind", "features", "-1", "0", "1", "constant", "redundant")
    )
    return (
        f"<h2>Shares of -1, 0, 1 by layer</h2><p>{key}</p><svg width='100%' viewBox='0 0 {label + width + 60} "
        f"{len(facts['layers']) * height}'>{''.join(bars)}</svg><details><summary>in numbers</summary>"
        f"<table id=layers><tr>{head}</tr>{''.join(table)}</table></details><p><small>A constant feature has the same "
        "value in every image. A redundant feature equals an earlier one in every image.</small></p>"
    )


def _map(numbers: NDArray[Any], places: NDArray[Any], thumbnails: _Thumbnails) -> str:
    shown = set(numpy.linspace(0, len(numbers) - 1, min(len(numbers), _MOST_PICTURES)).astype(int).tolist())
    parts = []
    for place, image in enumerate(numbers.tolist()):
        style = f"style='left:{3 + 94 * places[place, 0]:.2f}%;top:{4 + 92 * places[place, 1]:.2f}%'"
        picture = thumbnails.source(image) if place in shown else None
        title = _text(thumbnails.name(image))
        parts.append(
            f"<img {style} alt='' title='{title}' src='{picture}'>" if picture else f"<i {style} title='{title}'></i>"
        )
    return (
        f"<h2>Map</h2><p><small>{len(numbers)} images, placed by the first two principal components of their codes."
        "</small></p>"
        f"<div id=map>{''.join(parts)}</div>"
    )


def _neighbours(numbers: NDArray[Any], cosines: NDArray[Any], thumbnails: _Thumbnails) -> str:
    rows = []
    for place in numpy.linspace(0, len(numbers) - 1, min(len(numbers), _MOST_NEIGHBOURS)).astype(int).tolist():
        others = [other for other in numpy.argsort(-cosines[place], kind="stable").tolist() if other != place][:5]
        cells = [thumbnails.figure(int(numbers[place]), "")]
        cells += [thumbnails.figure(int(numbers[other]), f"<br>{cosines[place, other]:.3f}") for other in others]
        rows.append(f"<div class=row>{''.join(cells)}</div>")
    return f"<h2>Nearest neighbours</h2><p><small>by the cosine of the codes</small></p>{''.join(rows)}"


class _Thumbnails:
    """Small pictures as data: addresses. An image that cannot be read has none."""

    def __init__(self, job: Job, root: Path) -> None:
        self._names, self._root = job.names, root
        self._sources: dict[int, str | None] = {}

    def name(self, image: int) -> str:
        return self._names[image]

    def source(self, image: int) -> str | None:
        if image not in self._sources:
            try:
                pixels = read_image(self._root / self._names[image])
            except (FNEError, OSError):
                self._sources[image] = None
            else:
                self._sources[image] = data_address(pixels)
        return self._sources[image]

    def figure(self, image: int, caption: str) -> str:
        picture = self.source(image)
        shown = f"<img alt='' src='{picture}'>" if picture else "<b></b>"
        return f"<figure>{shown}{_text(Path(self._names[image]).name)}{caption}</figure>"


def data_address(pixels: NDArray[numpy.uint8]) -> str:
    """The middle of a picture as a data: address. It is a JPEG where Pillow is installed, else a PNG."""
    small = square(pixels, _THUMBNAIL)
    try:
        import PIL.Image
    except ImportError:
        return "data:image/png;base64," + base64.b64encode(png(small)).decode()
    buffer = io.BytesIO()
    PIL.Image.fromarray(small).save(buffer, "JPEG", quality=72)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()

"""`fne report`: a finished job as one self-contained HTML page."""

from __future__ import annotations

import base64
import html
import io
import json
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
from numpy.typing import NDArray

from fne._codes import PackedCodes
from fne._images import read_image, resize
from fne._job import Job
from fne.errors import FNEError

# What the map and the neighbours are made of, and how many of these are shown as pictures.
_MOST_IMAGES = 2000
_MOST_PICTURES = 500
_MOST_NEIGHBOURS = 24
_MOST_FAILURES = 200
_THUMBNAIL = 80


def figures(job: Job) -> dict[str, Any]:
    """All that the page says in numbers, of a job with codes or with features."""
    manifest = job.manifest
    counts = _Counts(job.feature_count)
    for chunk in _codes(job):
        counts.add(chunk)
    deviations = job.stats[1] if (job.folder / "stats.npy").exists() else None
    constant = counts.constant() if deviations is None else deviations == 0
    redundant = counts.redundant() & ~constant
    layers = [
        {
            "name": layer.name,
            "kind": layer.kind,
            "features": layer.features.stop - layer.features.start,
            "minus": int(counts.minus[layer.features].sum()),
            "zero": int(counts.zero[layer.features].sum()),
            "plus": int(counts.plus[layer.features].sum()),
            "constant": int(constant[layer.features].sum()),
            "redundant": int(redundant[layer.features].sum()),
        }
        for layer in job.layers
    ]
    runs = _runs(job)
    return {
        "images": len(job),
        "embedded": int(job.ok.sum()),
        "failed": len(job.failures),
        "features": job.feature_count,
        "rows_per_image": job.rows_per_image,
        "layers": layers,
        "constant": int(constant.sum()),
        "redundant": int(redundant.sum()),
        "codes": manifest["codes"],
        "settings": {name: value for name, value in manifest["settings"].items() if name != "layers"},
        "engines": manifest["engines"],
        "runs": runs,
        "seconds": round(sum(run["seconds"] for run in runs), 3),
        "failures": [
            {"image": image, "name": job.names[image], "reason": reason}
            for image, reason in list(job.failures.items())[:_MOST_FAILURES]
        ],
    }


def _runs(job: Job) -> list[dict[str, Any]]:
    path = job.folder / "runs.jsonl"
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


def _codes(job: Job, step: int = 256) -> Iterator[NDArray[numpy.int8]]:
    """The codes of the images that were embedded, some at a time."""
    good = numpy.flatnonzero(job.ok)
    for first in range(0, len(good), step):
        yield _codes_of(job, good[first : first + step])


def _codes_of(job: Job, images: NDArray[Any]) -> NDArray[numpy.int8]:
    if (job.folder / "codes.npy").exists():
        return numpy.asarray(job.codes(images=images))
    if (job.folder / "codes_packed.npy").exists():
        rows = (images[:, None] * job.rows_per_image + numpy.arange(job.rows_per_image)).ravel()
        return job.packed_codes()[rows].unpack()
    return job.ternarize(images=images)


class _Counts:
    """How often each feature is -1, 0 and 1, and which features are always equal."""

    def __init__(self, features: int) -> None:
        self.minus, self.zero, self.plus = (numpy.zeros(features, numpy.int64) for _ in range(3))
        self._hashes = numpy.full(features, 14695981039346656037, numpy.uint64)

    def add(self, codes: NDArray[numpy.int8]) -> None:
        self.minus += (codes == -1).sum(0)
        self.zero += (codes == 0).sum(0)
        self.plus += (codes == 1).sum(0)
        for row in codes:
            self._hashes = (self._hashes ^ (row + 2).astype(numpy.uint64)) * numpy.uint64(1099511628211)

    def constant(self) -> NDArray[numpy.bool_]:
        total = self.minus + self.zero + self.plus
        return numpy.asarray((self.minus == total) | (self.zero == total) | (self.plus == total))

    def redundant(self) -> NDArray[numpy.bool_]:
        """Features whose codes are those of an earlier one in every image."""
        _, first = numpy.unique(self._hashes, return_index=True)
        result = numpy.ones(len(self._hashes), bool)
        result[first] = False
        return result


def neighbours(job: Job) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Of at most 2,000 embedded images: their numbers, their places on a map (the first two principal components of the codes,
    0 to 1), and the cosines of each two."""
    good = numpy.flatnonzero(job.ok)
    if len(good) > _MOST_IMAGES:
        good = good[numpy.linspace(0, len(good) - 1, _MOST_IMAGES).astype(int)]
    codes = PackedCodes.pack(_codes_of(job, good).reshape(len(good), -1))
    gram = codes.gram().astype(numpy.float32)
    norms = numpy.sqrt(numpy.maximum(numpy.diag(gram), 1))
    centred = gram - gram.mean(0) - gram.mean(1)[:, None] + gram.mean()
    values, vectors = numpy.linalg.eigh(centred.astype(numpy.float64))
    places = (
        vectors[:, -2:][:, ::-1] * numpy.sqrt(numpy.maximum(values[-2:][::-1], 0))
        if len(good) > 1
        else numpy.zeros((len(good), 2))
    )
    low, high = places.min(0), places.max(0)
    return good, (places - low) / numpy.where(high > low, high - low, 1), gram / norms / norms[:, None]


def write_report(job: Job, output: str | os.PathLike[str], images: str | os.PathLike[str] | None = None) -> None:
    """Writes the page.

    Args:
        images: what the job's names are relative to, for the pictures; None: the working directory
    """
    if job.state == "running":
        raise ValueError(f"the job in '{job.folder}' is not finished: {job.images_done} of {len(job)} images are done")
    facts = figures(job)
    Path(output).write_text(_page(job, facts, Path(images or ".")), encoding="utf-8")


# ---- the page

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:64rem;padding:0 1rem;color:#1c2733;background:#fff}
h1{font-size:1.6rem}h2{font-size:1.15rem;margin-top:2.2rem;border-bottom:1px solid #d5dde5}
table{border-collapse:collapse}td,th{padding:.15rem .8rem .15rem 0;text-align:left;vertical-align:top}td.n{text-align:right}
#map{position:relative;height:36rem;background:#f4f6f8;overflow:hidden}
#map>*{position:absolute;width:2.6rem;height:2.6rem;transform:translate(-50%,-50%);object-fit:cover}
#map>*:hover{width:7rem;height:7rem;z-index:2;outline:2px solid #1b6ca8}
#map>i{width:.5rem;height:.5rem;border-radius:50%;background:#1b6ca8}
.row{display:flex;gap:.5rem;margin:.4rem 0}.row figure{margin:0;width:5.5rem;font-size:.7rem;overflow-wrap:anywhere}
.row img,.row b{display:block;width:5.5rem;height:5.5rem;object-fit:cover;background:#e4e9ee}.row figure:first-child{margin-right:1rem}
svg text{font:11px system-ui,sans-serif;fill:#1c2733}.key{display:inline-block;width:.8rem;height:.8rem;margin:0 .3rem 0 1rem}
small{color:#5c6b7a}
"""
_COLOURS = {"minus": "#2f6fad", "zero": "#d9dee3", "plus": "#d0742b"}


def _page(job: Job, facts: dict[str, Any], root: Path) -> str:
    numbers, places, cosines = neighbours(job)
    thumbnails = _Thumbnails(job, root)
    data = json.dumps(facts, ensure_ascii=True).replace("<", "\\u003c")
    parts = [
        "<!DOCTYPE html><html lang=en><head><meta charset=utf-8><meta name=viewport content='width=device-width'>",
        f"<link rel=icon href='data:,'><title>{_text(job.folder.name)}: Full-Network Embedding</title><style>{_STYLE}</style></head>",
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
        ("features", f"{facts['features']} of {len(facts['layers'])} layers; {facts['constant']} constant, {facts['redundant']} redundant"),
        ("codes", f"below {codes['lower']} is -1, above {codes['upper']} is 1; {codes['statistics']} statistics" if codes else "none"),
        ("network", f"{settings['model']['bytes'] / 1e6:.1f} MB, <small>SHA-256 {_text(settings['model']['sha256'])}</small>"),
        ("input", _text(f"{source['height']} x {source['width']}, {source['resize_mode']}, {source['interpolation']}, "
                        f"{source['crops']} crops, {source['channel_order']}, mean {source['mean']}, scale {source['scale']}")),
        ("engine", _text(f"TensorFlow {engine['tensorflow']}, {settings['precision']}, batches of {settings['batch_size']}, "
                         f"{engine['device']}, {engine['processor']}")),
        ("time", speed),
    ]  # fmt: skip
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
    """A bar for each layer: the shares of -1, 0, 1."""
    height, label, width = 15, 300, 520
    bars, table = [], []
    for number, layer in enumerate(facts["layers"]):
        total = max(layer["minus"] + layer["zero"] + layer["plus"], 1)
        at, y = 0.0, number * height
        for name in ("minus", "zero", "plus"):
            part = layer[name] / total
            bars.append(
                f"<rect x='{label + at * width:.2f}' y='{y + 2}' width='{part * width:.2f}' height='{height - 3}' fill='{_COLOURS[name]}'>"
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
        f"{len(facts['layers']) * height}'>{''.join(bars)}</svg><details><summary>in numbers</summary><table id=layers><tr>{head}</tr>"
        f"{''.join(table)}</table></details><p><small>constant: the same value in every image. redundant: the codes of an earlier "
        "feature in every image.</small></p>"
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
        f"<h2>Map</h2><p><small>{len(numbers)} images by the first two principal components of their codes.</small></p>"
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
    """Small pictures as data: addresses; none where an image is not to be had."""

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
                self._sources[image] = _data_address(pixels)
        return self._sources[image]

    def figure(self, image: int, caption: str) -> str:
        picture = self.source(image)
        shown = f"<img alt='' src='{picture}'>" if picture else "<b></b>"
        return f"<figure>{shown}{_text(Path(self._names[image]).name)}{caption}</figure>"


def _data_address(pixels: NDArray[numpy.uint8]) -> str:
    """The middle of a picture, as a JPEG where Pillow is installed, else as a PNG."""
    side = min(pixels.shape[:2])
    top, left = (pixels.shape[0] - side) // 2, (pixels.shape[1] - side) // 2
    square = numpy.ascontiguousarray(pixels[top : top + side, left : left + side])
    small = resize(square, (_THUMBNAIL, _THUMBNAIL), interpolation="antialiased")
    try:
        import PIL.Image
    except ImportError:
        return "data:image/png;base64," + base64.b64encode(png(small)).decode()
    buffer = io.BytesIO()
    PIL.Image.fromarray(small).save(buffer, "JPEG", quality=72)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def png(pixels: NDArray[numpy.uint8]) -> bytes:
    """A PNG of uint8 [height, width, 3]."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    height, width = pixels.shape[:2]
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")

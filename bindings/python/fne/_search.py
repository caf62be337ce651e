"""`fne search`: a job's images that are nearest to others."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy
from numpy.typing import NDArray

from fne._images import read_image, resize
from fne._job import Job
from fne.errors import FNEError, error

_SIDE, _GAP = 128, 6


class Hit(NamedTuple):
    """An image of the job: its number, its name, and how near it is."""

    image: int
    name: str
    score: float


def search_job(
    job: Job,
    model: Any,
    queries: Sequence[str | os.PathLike[str]],
    k: int = 10,
    *,
    layers: str | Sequence[str] | None = None,
    metric: str = "cosine",
) -> list[list[Hit]]:
    """The k nearest images of a job for each query, by the codes that the job's statistics and thresholds give.

    Args:
        job: a finished one, one row an image
        model: the job's
        queries: images
        layers: compare some layers only; None: all
        metric: as in `PackedCodes.search`
    """
    if job.rows_per_image != 1:
        raise ValueError("the job has ten crops an image; search needs one row an image")
    codes = job.manifest["codes"]
    if codes is None:
        raise error(4, f"the job in '{job.folder}' has no codes yet")
    if not (job.folder / "stats.npy").exists():
        raise error(
            4,
            f"the job in '{job.folder}' was made with given statistics, which it does not keep: it cannot code a query",
        )
    base = job.packed_codes()
    with job.extractor(model) as extractor:
        mean, std = job.stats
        packed, _ = extractor.embed_packed(
            list(queries), mean, std, lower=codes["lower"], upper=codes["upper"], rules=codes["rules"]
        )
    if layers is not None:
        base, packed = base.select(layers), packed.select(layers)
    good = numpy.flatnonzero(job.ok)
    if len(good) < len(job):
        base = base[good]
    indices, scores = base.search(packed, min(k, len(base)), metric=metric)
    return [
        [Hit(int(good[index]), job.names[good[index]], float(score)) for index, score in zip(row, values, strict=True)]
        for row, values in zip(indices, scores, strict=True)
    ]


def contact_sheet(
    queries: Sequence[str | os.PathLike[str]],
    found: list[list[Hit]],
    output: str | os.PathLike[str],
    images: str | os.PathLike[str] | None = None,
) -> None:
    """Draws a row for each query: the image itself, a gap, what was found. An image that cannot be read is grey.

    Args:
        output: a PNG
        images: what the job's names are relative to; None: the working directory
    """
    from fne._report import png

    root = Path(images or ".")
    columns = 1 + max(len(hits) for hits in found)
    step = _SIDE + _GAP
    sheet = numpy.full((len(queries) * step + _GAP, columns * step + 3 * _GAP, 3), 255, numpy.uint8)
    for row, (query, hits) in enumerate(zip(queries, found, strict=True)):
        pictures = [_square(Path(query)), *(_square(root / hit.name) for hit in hits)]
        for column, picture in enumerate(pictures):
            left = _GAP + column * step + (2 * _GAP if column else 0)
            sheet[_GAP + row * step :, left:][:_SIDE, :_SIDE] = picture
    Path(output).write_bytes(png(sheet))


def _square(path: Path) -> NDArray[numpy.uint8]:
    try:
        pixels = read_image(path)
    except (FNEError, OSError):
        return numpy.full((_SIDE, _SIDE, 3), 224, numpy.uint8)
    side = min(pixels.shape[:2])
    top, left = (pixels.shape[0] - side) // 2, (pixels.shape[1] - side) // 2
    square = numpy.ascontiguousarray(pixels[top : top + side, left : left + side])
    return resize(square, (_SIDE, _SIDE), interpolation="antialiased")

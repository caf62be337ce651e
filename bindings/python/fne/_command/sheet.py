"""Sheets of images, as a PNG or as an HTML page: a row for each query, group of copies or doubtful label."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy
from numpy.typing import NDArray

from fne._arguments import as_path
from fne._command.markup import Markup, document, element
from fne._command.pictures import data_address, picture, picture_below, png, square
from fne._saved import file_errors

_SIDE, _GAP, _GREY, _INK = 128, 6, 224, 96

#: The letters of what a tile without a picture says: seven rows of five points.
_LETTERS = {
    " ": "..... ..... ..... ..... ..... ..... .....",
    "a": "..... ..... .###. ....# .#### #...# .####",
    "b": "#.... #.... ####. #...# #...# #...# ####.",
    "d": "....# ....# .#### #...# #...# #...# .####",
    "e": "..... ..... .###. #...# ##### #.... .###.",
    "f": "..##. .#..# .#... ###.. .#... .#... .#...",
    "l": ".##.. ..#.. ..#.. ..#.. ..#.. ..#.. .###.",
    "n": "..... ..... ####. #...# #...# #...# #...#",
    "o": "..... ..... .###. #...# #...# #...# .###.",
    "r": "..... ..... #.##. ##..# #.... #.... #....",
    "t": ".#... .#... ###.. .#... .#... .#..# ..##.",
    "u": "..... ..... #...# #...# #...# #..## .##.#",
}

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem;color:#1c2733;background:#fff}
.row{display:flex;flex-wrap:wrap;gap:.5rem;margin:1rem 0}
figure{margin:0;width:8rem;font-size:.75rem;overflow-wrap:anywhere}figure:first-child{margin-right:1rem}
img,b{display:flex;width:8rem;height:8rem;object-fit:cover;background:#e4e9ee;align-items:center;justify-content:center}
b{font-weight:normal;color:#5c6b7a}
"""


class Hit(NamedTuple):
    """An image of the job: its number, its name, and its score."""

    image: int
    name: str
    score: float


def write_sheet(
    queries: Sequence[str | os.PathLike[str]],
    found: list[list[Hit]],
    output: str | os.PathLike[str],
    images: str | os.PathLike[str],
    title: str = "",
) -> int:
    """Draws a row for each query: the query itself, a gap, and the images found.

    An image that is not in the folder, or cannot be read, is a grey tile that says so.

    Args:
        output: receives the sheet, an HTML page where its name ends in .html or .htm, else a PNG
        images: the folder that the job's names are relative to
        title: what stands over an HTML page

    Returns:
        how many of the images found have no picture
    """
    tiles = [picture(query) for query in queries]
    return _write(queries, tiles, found, output, images, "nearest images", title)


def write_job_sheet(
    rows: Sequence[Sequence[Hit]],
    output: str | os.PathLike[str],
    images: str | os.PathLike[str],
    heading: str,
    title: str = "",
) -> int:
    """Draws a row for each list of images of a job, a gap after the first of them. All else is as in `write_sheet`.

    Args:
        heading: the title of an HTML page

    Returns:
        how many pictures are missing
    """
    firsts = [row[0].name for row in rows]
    tiles = [picture_below(images, name) for name in firsts]
    missing = _write(firsts, tiles, [list(row[1:]) for row in rows], output, images, heading, title)
    return missing + sum(isinstance(tile, str) for tile in tiles)


def _write(
    queries: Sequence[str | os.PathLike[str]],
    tiles: Sequence[_Tile],
    found: list[list[Hit]],
    output: str | os.PathLike[str],
    images: str | os.PathLike[str],
    heading: str,
    title: str,
) -> int:
    """Writes the sheet, and says how many of the images found have no picture."""
    rows = [(tile, [picture_below(images, hit.name) for hit in hits]) for tile, hits in zip(tiles, found, strict=True)]
    path = as_path(output)
    if path.suffix.lower() in (".html", ".htm"):
        data = _page(queries, found, rows, heading, title).encode("utf-8")
    else:
        data = png(_sheet(rows))
    with file_errors(path, "written"):
        path.write_bytes(data)
    return sum(isinstance(tile, str) for _, others in rows for tile in others)


_Tile = NDArray[numpy.uint8] | str
_Row = tuple[_Tile, list[_Tile]]


def _pairs(
    queries: Sequence[str | os.PathLike[str]], found: list[list[Hit]]
) -> Iterator[tuple[str | os.PathLike[str], list[Hit]]]:
    return zip(queries, found, strict=True)


# ---- as pixels


def _sheet(rows: Sequence[_Row]) -> NDArray[numpy.uint8]:
    """The sheet, uint8 [height, width, 3]."""
    columns = 1 + max((len(tiles) for _, tiles in rows), default=0)
    step = _SIDE + _GAP
    sheet = numpy.full((len(rows) * step + _GAP, columns * step + 3 * _GAP, 3), 255, numpy.uint8)
    for row, (query, tiles) in enumerate(rows):
        for column, tile in enumerate([query, *tiles]):
            left = _GAP + column * step + (2 * _GAP if column else 0)
            sheet[_GAP + row * step :, left:][:_SIDE, :_SIDE] = _pixels(tile)
    return sheet


def _pixels(tile: _Tile) -> NDArray[numpy.uint8]:
    """A tile, uint8 [128, 128, 3]."""
    if not isinstance(tile, str):
        return square(tile, _SIDE)
    words = numpy.concatenate([numpy.pad(_letter(letter), ((0, 0), (0, 1))) for letter in tile], axis=1)
    words = words.repeat(2, 0).repeat(2, 1)
    result = numpy.full((_SIDE, _SIDE, 3), _GREY, numpy.uint8)
    top, left = (_SIDE - words.shape[0]) // 2, (_SIDE - words.shape[1]) // 2
    result[top : top + words.shape[0], left : left + words.shape[1]][words] = _INK
    return result


def _letter(letter: str) -> NDArray[numpy.bool_]:
    return numpy.array([[point == "#" for point in row] for row in _LETTERS[letter].split()])


# ---- as a page


def _page(
    queries: Sequence[str | os.PathLike[str]],
    found: list[list[Hit]],
    rows: Sequence[_Row],
    heading: str,
    title: str,
) -> str:
    body = [
        element("div", _figure(tile, Path(os.fsdecode(query)).name), *_figures(tiles, hits), class_="row")
        for (query, hits), (tile, tiles) in zip(_pairs(queries, found), rows, strict=True)
    ]
    return document(heading, _STYLE, element("p", title), *body)


def _figures(tiles: Sequence[_Tile], hits: Sequence[Hit]) -> list[Markup]:
    return [_figure(tile, hit.name, element("br"), f"{hit.score:.4f}") for tile, hit in zip(tiles, hits, strict=True)]


def _figure(tile: _Tile, *caption: Any) -> Markup:
    shown = element("b", tile) if isinstance(tile, str) else element("img", alt="", src=data_address(tile, _SIDE))
    return element("figure", shown, *caption)

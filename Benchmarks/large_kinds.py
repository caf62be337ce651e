"""Full and scaled decoding of JPEGs by quality, subsampling of the colours, size, and the size asked for.

The last column says how many times faster than full decoding the smallest scale is, which is 1/8. It leaves little but
the Huffman codes, which are read at any scale. No smaller scale and no better resize can be faster than that.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from figures import figure, ratios, taking_turns
from large_files import smooth
from progress import progress

import fne

#: Heights and widths by their megapixels.
SIZES = {8: (2448, 3264), 12: (3000, 4000), 24: (4248, 5664), 48: (6000, 8000)}
SAMPLINGS = {
    "4:2:0": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
    "4:2:2": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422,
    "4:4:4": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
}
QUALITIES = (75, 85, 92, 95)
#: So small an input has photographs of all these sizes decoded at 1/8.
SMALLEST = 64


class Kind(NamedTuple):
    """A kind of file, and the side of the input that it is decoded for."""

    megapixels: int = 12
    quality: int = 92
    sampling: str = "4:2:0"
    side: int = 224


def kinds(few: bool) -> list[Kind]:
    """Qualities with subsamplings, then sizes, then sides of the input; with few, one of all."""
    if few:
        return [Kind()]
    found = [Kind(quality=quality, sampling=sampling) for sampling in SAMPLINGS for quality in QUALITIES]
    found += [Kind(megapixels=megapixels) for megapixels in SIZES]
    found += [Kind(side=side) for side in (128, 224, 299)]
    return list(dict.fromkeys(found))


def identity_network(size: int) -> bytes:
    """A network whose features are what it is fed with."""
    import tensorflow as tf

    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, [None, size, size, 3], "input")
        tf.reshape(x, [-1, size * size * 3], "fed")
    content: bytes = graph.as_graph_def().SerializeToString()
    return content


def with_libfne(side: int, **options: Any) -> Callable[[str], Any]:
    """From a file to what a network is fed with, on one thread."""
    one = {"batch_size": 1, "streams": 1, "loader_threads": 1}
    extractor = fne.Extractor(identity_network(side), layers="fed", **one, **options)
    return lambda path: extractor.extract([path]).features


def seconds(run: Callable[[str], Any], paths: list[Path]) -> float:
    """Processor seconds of a photograph."""
    start = time.process_time()
    for path in paths:
        run(str(path))
    return (time.process_time() - start) / len(paths)


def _written(kind: Kind, source: str, noise: Any | None, path: Path) -> Path:
    height, width = SIZES[kind.megapixels]
    image = smooth(source, height, width)
    if noise is not None:
        copies = -(-height // noise.shape[0]), -(-width // noise.shape[1]), 1
        image = cv2.add(image, np.tile(noise, copies)[:height, :width], dtype=cv2.CV_8U)
    path.parent.mkdir(parents=True, exist_ok=True)
    sampling = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, SAMPLINGS[kind.sampling]]
    cv2.imwrite(str(path), image, [cv2.IMWRITE_JPEG_QUALITY, kind.quality, *sampling])
    return path


def _row(title: str, ways: dict[str, Callable[[str], Any]], paths: list[Path], rounds: int) -> str:
    """The figures of one kind of file."""
    turns = {name: partial(seconds, run, paths) for name, run in ways.items()}
    found = taking_turns(turns, rounds, 1, progress.rounds(title, rounds))
    megabytes = statistics.mean(path.stat().st_size for path in paths) / 1e6
    texts = [
        f"{megabytes:.1f}",
        figure(f"{title}, full", "ms", [1e3 * each for each in found["full"]], 1),
        figure(f"{title}, scaled", "ms", [1e3 * each for each in found["scaled"]], 1),
        figure(f"{title}, times full decoding", "ratio", ratios(found["full"], found["scaled"])),
        figure(f"{title}, times full decoding at 1/8", "ratio", ratios(found["full"], found["1/8"])),
    ]
    return " | ".join(texts)


def by_kind(sources: list[str], noise: Any, out: Path, rounds: int, few: bool) -> None:
    """Prints the table.

    Args:
        noise: float32 [height, width, 3], which is repeated for larger photographs
        few: measures one kind alone
    """
    chosen = kinds(few)
    sides = {kind.side for kind in chosen}
    full = {side: with_libfne(side) for side in sides}
    scaled = {side: with_libfne(side, decode="scaled") for side in sides}
    smallest = with_libfne(SMALLEST, decode="scaled")
    print(
        "| photographs | megapixels | quality | colours | input | MB | full, ms | scaled, ms | times | times at 1/8 |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for content, added in (("with noise", noise.round().astype(np.int8)), ("smooth", None)):
        for kind in chosen:
            paths = [_written(kind, each, added, out / "kinds" / f"{n}.jpg") for n, each in enumerate(sources)]
            title = f"{content}, {kind.megapixels} MP, {kind.quality}, {kind.sampling}, {kind.side}"
            ways = {"full": full[kind.side], "scaled": scaled[kind.side], "1/8": smallest}
            print(f"| {content} | {' | '.join(map(str, kind))} | {_row(title, ways, paths, rounds)} |", flush=True)

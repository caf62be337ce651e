"""Photographs of 12 megapixels: full and scaled decoding, beside OpenCV's.

    .venv/bin/python Benchmarks/large.py [--rounds 7] [--assets FOLDER] [--per-class 30] [--out build/large] [--quick]

The photographs are made of the sample photographs, enlarged to 4000 x 3000, with noise as a camera's sensor has it.
They are saved as JPEG (quality 92, 4:2:0), baseline, baseline with an EXIF orientation as telephones write it for
upright photographs, and progressive, and as WebP (quality 90). Three tables are printed.

1. Speed from a file to the numbers that a network of 224 x 224 is fed with. All ways take turns, on one thread each.
   The time is the processor's, so that other programs count little. Images per second are 1 over its median.
2. Agreement: the share of the default network's codes that are those of full decoding, with the same statistics.
3. With --assets: `fne.evaluate` on the photographs in images/flowers17, which has a folder for each class. They are
   enlarged in the same way. Ridge and the linear SVM learn from the same splits, by full and by scaled decoding.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from figures import figure, ratios, taking_turns
from networks import ROOT
from progress import progress
from settings import parse, parser

import fne

HEIGHT, WIDTH, SIZE = 3000, 4000, 224
#: The deviation of the noise, which is blurred a little as by a camera's own filter. A JPEG takes about 2 MB so.
NOISE, BLUR = 6.0, 0.8

KINDS: dict[str, tuple[str, list[int]]] = {
    "baseline": (".jpg", [cv2.IMWRITE_JPEG_QUALITY, 92]),
    "baseline, turned": (".jpg", [cv2.IMWRITE_JPEG_QUALITY, 92]),
    "progressive": (".jpg", [cv2.IMWRITE_JPEG_QUALITY, 92, cv2.IMWRITE_JPEG_PROGRESSIVE, 1]),
    "WebP": (".webp", [cv2.IMWRITE_WEBP_QUALITY, 90]),
}
#: A JPEG's segment with EXIF data that ask for a quarter turn.
TURN = b"\xff\xe1\x00\x22Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
#: How the extractors of libfne are opened.
OURS: dict[str, dict[str, str]] = {
    "libfne, full": {},
    "libfne, full, antialiased": {"interpolation": "antialiased"},
    "libfne, scaled": {"decode": "scaled"},
}


# ---- photographs


def sensor_noise() -> Any:
    noise = np.random.default_rng(12).normal(0, NOISE, (HEIGHT, WIDTH, 3)).astype(np.float32)
    return cv2.GaussianBlur(noise, (0, 0), BLUR)


def enlarged(source: str | Path, noise: Any) -> Any:
    """A photograph at 4000 x 3000 pixels, cut to this aspect."""
    image = cv2.imread(str(source))
    height, width = image.shape[:2]
    rows, columns = min(height, width * HEIGHT // WIDTH), min(width, height * WIDTH // HEIGHT)
    top, left = (height - rows) // 2, (width - columns) // 2
    part = image[top : top + rows, left : left + columns]
    large = cv2.resize(part, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    return cv2.add(large, noise, dtype=cv2.CV_8U)


def saved(image: Any, kind: str, path: Path) -> Path:
    """Writes the photograph beside the path, with the ending of its kind."""
    ending, options = KINDS[kind]
    path = path.with_suffix(ending)
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image, options)
    if kind == "baseline, turned":
        content = path.read_bytes()
        path.write_bytes(content[:2] + TURN + content[2:])
    return path


# ---- speed


def identity_network() -> bytes:
    """A network whose features are what it is fed with."""
    import tensorflow as tf

    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, [None, SIZE, SIZE, 3], "input")
        tf.reshape(x, [-1, SIZE * SIZE * 3], "fed")
    content: bytes = graph.as_graph_def().SerializeToString()
    return content


def with_opencv(flag: int, shrink: int) -> Callable[[str], Any]:
    def run(path: str) -> Any:
        resized = cv2.resize(cv2.imread(path, flag), (SIZE, SIZE), interpolation=shrink)
        return cv2.cvtColor(resized, cv2.COLOR_BGR2RGB).astype(np.float32)

    return run


def ways() -> dict[str, Callable[[str], Any]]:
    """From a file to what a network is fed with."""
    cv2.setNumThreads(1)
    network = fne.Model(identity_network())

    def with_libfne(options: dict[str, Any]) -> Callable[[str], Any]:
        one = {"batch_size": 1, "streams": 1, "loader_threads": 1}
        extractor = fne.Extractor(network, layers="fed", **one, **options)
        return lambda path: extractor.extract([path]).features

    return {name: with_libfne(options) for name, options in OURS.items()} | {
        "OpenCV, full, INTER_LINEAR": with_opencv(cv2.IMREAD_COLOR, cv2.INTER_LINEAR),
        "OpenCV, full, INTER_AREA": with_opencv(cv2.IMREAD_COLOR, cv2.INTER_AREA),
        "OpenCV, reduced to 1/4, INTER_AREA": with_opencv(cv2.IMREAD_REDUCED_COLOR_4, cv2.INTER_AREA),
    }


def seconds(run: Callable[[str], Any], paths: list[Path]) -> float:
    """Processor seconds of a photograph."""
    start = time.process_time()
    for path in paths:
        run(str(path))
    return (time.process_time() - start) / len(paths)


def speed(files: dict[str, list[Path]], rounds: int) -> None:
    runs = ways()
    print("| kind, MB | way | images/s | ms | times libfne's full decoding |")
    print("|---|---|---|---|---|")
    for kind, paths in files.items():
        megabytes = statistics.mean(path.stat().st_size for path in paths) / 1e6
        turns = {name: partial(seconds, run, paths) for name, run in runs.items()}
        times = taking_turns(turns, rounds, 1, progress.rounds(f"large photographs, {kind}", rounds))
        for name, found in times.items():
            title = f"{kind}, {name}"
            texts = [
                figure(f"{title}, speed", "images/s", [1 / each for each in found], 1),
                figure(f"{title}, time", "ms", [1e3 * each for each in found], 1),
                figure(f"{title}, times full decoding", "ratio", ratios(times["libfne, full"], found)),
            ]
            print(f"| {kind}, {megabytes:.1f} | {name} | {' | '.join(texts)} |", flush=True)


# ---- agreement and accuracy


def agreement(paths: list[Path], title: str) -> None:
    """The shares of equal codes, by the statistics of full decoding."""
    network = fne.zoo.efficientnet_lite0()
    rows = {}
    for name, options in OURS.items():
        with fne.Extractor(network, **options) as extractor:
            rows[name] = extractor.extract(paths).features
    collected = fne.Statistics(rows["libfne, full"].shape[1]).update(rows["libfne, full"])
    codes = {name: fne.ternarize(found, collected.mean(), collected.std()) for name, found in rows.items()}
    names = list(codes)
    print(f"{title}: equal codes of {len(paths)} photographs")
    for first, second in ((0, 1), (0, 2), (1, 2)):
        equal = 100 * np.mean(codes[names[first]] == codes[names[second]])
        text = figure(f"{title}, equal codes of {names[first]} and {names[second]}", "%", equal)
        print(f"  {names[first]} and {names[second]}: {text} %", flush=True)


def accuracy(folder: Path, out: Path) -> None:
    """What classifiers reach on the same splits."""
    options: dict[str, Any] = {
        "images_per_class": 5,
        "seeds": 5,
        "representations": ("fne", "penultimate l2"),
        "classifiers": ("ridge", "svm"),
    }
    found: dict[tuple[str, str, int], dict[str, list[float]]] = {}
    for name in ("libfne, full", "libfne, scaled"):
        place = out / name.split()[-1]
        result = fne.evaluate(folder, fne.zoo.efficientnet_lite0(), place, **options, **OURS[name])
        for score in result.scores:
            key = score.representation, score.classifier, score.images
            found.setdefault(key, {}).setdefault(name, []).append(score.accuracy)
    print("| representation, classifier, images per class | full | scaled | scaled less full |")
    print("|---|---|---|---|")
    for key, scores in found.items():
        title = ", ".join(map(str, key))
        full, scaled = (100 * np.array(scores[name]) for name in ("libfne, full", "libfne, scaled"))
        texts = [
            figure(f"accuracy, {title}, {what}", "%", list(values))
            for what, values in (("full", full), ("scaled", scaled), ("scaled less full", scaled - full))
        ]
        print(f"| {title} | {' | '.join(texts)} |")


def large_photographs(assets: Path | None, out: Path, rounds: int, per_class: int, few: int | None) -> None:
    """Measures all.

    Args:
        assets: a folder with photographs of flowers; None: without accuracy
        few: takes so many of the sample photographs only
    """
    noise = sensor_noise()
    sources = fne.zoo.sample_images()[:few]
    progress.plan(len(KINDS) * rounds)
    files: dict[str, list[Path]] = {kind: [] for kind in KINDS}
    for source in sources:
        image = enlarged(source, noise)
        for kind in KINDS:
            files[kind].append(saved(image, kind, out / kind / Path(source).name))
    speed({kind: paths[:4] for kind, paths in files.items()}, rounds)
    agreement(files["baseline"], "sample photographs")
    if assets is None:
        return
    flowers = sorted(path for path in (assets / "images/flowers17").iterdir() if path.is_dir())
    chosen = [path for folder in flowers for path in sorted(folder.glob("*.jpg"))[:per_class]]
    for number, path in enumerate(chosen):
        shifted = np.roll(noise, 97 * number, axis=(0, 1))
        saved(enlarged(path, shifted), "baseline", out / "flowers" / path.parent.name / path.name)
    agreement(sorted((out / "flowers").rglob("*.jpg")), "flowers")
    accuracy(out / "flowers", out)


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--per-class", type=int, default=30, help="how many flowers of each class are enlarged")
    options.add_argument("--out", type=Path, default=ROOT / "build/large")
    given = parse(options)
    assets = None if given.quick else given.assets
    large_photographs(assets, given.out, given.rounds, given.per_class, few=2 if given.quick else None)


if __name__ == "__main__":
    main()

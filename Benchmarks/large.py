"""Photographs of 12 megapixels: full and scaled decoding, beside OpenCV's.

    .venv/bin/python Benchmarks/large.py [--rounds 7] [--assets FOLDER] [--per-class 30] [--out build/large] [--quick]

The photographs are made of the sample photographs, enlarged to 4000 x 3000, with noise as a camera's sensor has it.
They are saved as JPEG (quality 92, 4:2:0), baseline, baseline with an EXIF orientation as telephones write it for
upright photographs, and progressive, and as WebP (quality 90). Four tables are printed.

1. Speed from a file to the numbers that a network of 224 x 224 is fed with. All ways take turns, on one thread each.
   The time is the processor's, so that other programs count little. Images per second are 1 over its median.
2. The same by quality, subsampling of the colours, size and the size asked for, with the noise and without it.
3. Agreement: the share of the default network's codes that are those of full decoding, with the same statistics.
4. With --assets: `fne.evaluate` on the photographs in images/flowers17, which has a folder for each class. They are
   enlarged in the same way. Ridge and the linear SVM learn from the same splits, by full and by scaled decoding.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from figures import figure, ratios, taking_turns
from large_files import KINDS, enlarged, saved, sensor_noise
from large_kinds import by_kind, kinds, seconds, with_libfne
from networks import ROOT
from progress import progress
from settings import parse, parser

import fne

SIZE = 224
#: How the extractors of libfne are opened.
OURS: dict[str, dict[str, str]] = {
    "libfne, full": {},
    "libfne, full, antialiased": {"interpolation": "antialiased"},
    "libfne, scaled": {"decode": "scaled"},
}


# ---- speed


def with_opencv(flag: int, shrink: int) -> Callable[[str], Any]:
    def run(path: str) -> Any:
        resized = cv2.resize(cv2.imread(path, flag), (SIZE, SIZE), interpolation=shrink)
        return cv2.cvtColor(resized, cv2.COLOR_BGR2RGB).astype(np.float32)

    return run


def ways() -> dict[str, Callable[[str], Any]]:
    """From a file to what a network is fed with."""
    cv2.setNumThreads(1)
    return {name: with_libfne(SIZE, **options) for name, options in OURS.items()} | {
        "OpenCV, full, INTER_LINEAR": with_opencv(cv2.IMREAD_COLOR, cv2.INTER_LINEAR),
        "OpenCV, full, INTER_AREA": with_opencv(cv2.IMREAD_COLOR, cv2.INTER_AREA),
        "OpenCV, reduced to 1/4, INTER_AREA": with_opencv(cv2.IMREAD_REDUCED_COLOR_4, cv2.INTER_AREA),
    }


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
    progress.plan((len(KINDS) + 2 * len(kinds(bool(few)))) * rounds)
    files: dict[str, list[Path]] = {kind: [] for kind in KINDS}
    for source in sources:
        image = enlarged(source, noise)
        for kind in KINDS:
            files[kind].append(saved(image, kind, out / kind / Path(source).name))
    speed({kind: paths[:4] for kind, paths in files.items()}, rounds)
    by_kind(sources[:2], noise, out, rounds, bool(few))
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
